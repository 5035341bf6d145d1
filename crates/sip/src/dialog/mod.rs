//! Dialogs (RFC 3261 section 12): what the two ends of a call agree on, from INVITE to BYE.
//!
//! A dialog is found by Call-ID and tags, never by the Request-URI: SIP Server sends in-dialog
//! requests to whatever our Contact was, with or without a user part.

mod accepted;
mod forks;
mod provisional;
mod reinvite;
mod reliable;
mod route_set;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

pub(crate) use accepted::{Accepted, Due as AcceptedDue};
pub(crate) use forks::{Forks, Progress};
pub(crate) use provisional::Provisional;
pub(crate) use reinvite::{Reinvite, Reinvites};
pub(crate) use reliable::Reliable;
pub(crate) use route_set::RouteSet;

use crate::digest::Credentials;
use crate::session_timer::{MIN_SE_S, Session};
use crate::transaction::MergeKey;
use crate::ua::{DialogId, Hop, TransactionId, Transport};
use crate::{CallId, HeaderName, Headers, Method, Reason, Request, Tag, Uri};

/// What a message of the peer finds a dialog by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DialogKey {
    pub(crate) call_id: CallId,
    pub(crate) local: Tag,
    /// `None` while the peer of our INVITE has not shown its tag, and for peers of RFC 2543.
    pub(crate) remote: Option<Tag>,
}

/// Who sent the INVITE that opened the dialog. The caller owns the Call-ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Caller,
    Callee,
}

/// How far a dialog has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not answered yet.
    Early,
    /// Answered.
    Confirmed,
    /// The application has ended it; BYE waits, or waits for its answer.
    Ending,
}

/// The ACK of a 2xx to our INVITE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwedAck {
    /// The transaction of the INVITE, which repeats the ACK when the 2xx comes again.
    pub(crate) transaction: TransactionId,
    pub(crate) cseq: u32,
    pub(crate) remote: Option<Tag>,
}

/// One dialog.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) id: DialogId,
    pub(crate) role: Role,
    pub(crate) stage: Stage,
    /// The application knows it. A forked answer that is ended at once has no handle.
    pub(crate) visible: bool,
    /// It was opened by a REFER and carries nothing but NOTIFYs about it.
    pub(crate) is_subscription: bool,
    /// The user part of our Contact, as it is spelt in a URI.
    pub(crate) dn: Vec<u8>,
    /// The DN itself: the key of its registration.
    pub(crate) account: String,
    pub(crate) key: DialogKey,
    /// The request of the peer that opened it: one that is equal to it opens no second dialog while this one lives (RFC 3261
    /// section 8.2.2.2).
    pub(crate) opened_by: Option<MergeKey>,
    /// All keys it is filed under.
    pub(crate) filed: Vec<DialogKey>,
    /// `From` of our requests: the peer's own octets where it named us first.
    pub(crate) local: Vec<u8>,
    /// `To` of our requests.
    pub(crate) remote: Vec<u8>,
    pub(crate) local_cseq: u32,
    pub(crate) remote_cseq: Option<u32>,
    /// The peer's tag that counts so: the branches of a forked call each count by themselves (RFC 3261 section 12.2.2).
    pub(crate) counted_by: Option<Tag>,
    pub(crate) route_set: RouteSet,
    pub(crate) remote_target: Uri,
    /// Where the peer's messages came from, or the server our call went to.
    pub(crate) peer: Hop,
    pub(crate) peer_allows_update: bool,

    /// The peer's INVITE, while it waits for our final response.
    pub(crate) invite_in: Option<TransactionId>,
    /// The peer's UPDATE with an offer, while it waits for our response.
    pub(crate) update_in: Option<TransactionId>,
    /// 2xx of ours that wait for their ACK.
    pub(crate) accepted: Vec<Accepted>,
    /// Our INVITE, while it waits for its final response, and what it was made of.
    pub(crate) invite_out: Option<(TransactionId, Reinvite)>,
    /// A 2xx that carries an offer: the application still owes the answer.
    pub(crate) owed_ack: Option<OwedAck>,
    pub(crate) reinvites: Reinvites,

    /// The early dialogs of our INVITE.
    pub(crate) forks: Forks,
    /// The peer's INVITE requires provisional responses that it can acknowledge.
    pub(crate) wants_reliable: bool,
    /// The last such response of ours.
    pub(crate) reliable: Option<Reliable>,
    /// The last 18x, its next repetition.
    pub(crate) provisional: Option<Provisional>,
    /// CANCEL is wanted; it is sent once a provisional response has come.
    pub(crate) cancel: Cancel,
    /// The reason of the BYE that is wanted.
    pub(crate) bye_reason: Option<Reason>,
    pub(crate) bye_sent: bool,
    /// The peer's BYE, while it waits for the application.
    pub(crate) bye_in: Option<TransactionId>,
    /// What the application says with a BYE of ours, or with the answer to the peer's.
    pub(crate) bye_headers: Vec<(HeaderName, Vec<u8>)>,
    /// The peer has said, or by its silence shown, that the dialog is over for it. Its own BYE may be lost on the way, so ours waits so
    /// long.
    pub(crate) lost: Option<Instant>,
    pub(crate) session: Option<Session>,
    /// The shortest session interval that the peer grants, seconds, and how often it was raised.
    pub(crate) session_floor_s: u32,
    pub(crate) session_raises: u8,
    /// The SIP Server that our call went to, and what answers a challenge of it.
    pub(crate) credentials: Option<(SocketAddr, Credentials)>,
    /// The last session description we sent, for a refresh that changes nothing.
    pub(crate) last_sdp: Option<Vec<u8>>,
    /// An UPDATE of the application with an offer that waits for its answer.
    pub(crate) update_out: Option<TransactionId>,
}

/// How far the cancellation of our call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    No,
    Wanted,
    /// Sent; without a final response by then the call counts as cancelled (RFC 3261 section 9.1).
    Sent(Instant),
}

/// What a dialog is born with.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) id: DialogId,
    pub(crate) role: Role,
    pub(crate) stage: Stage,
    pub(crate) visible: bool,
    pub(crate) dn: Vec<u8>,
    pub(crate) account: String,
    pub(crate) key: DialogKey,
    pub(crate) local: Vec<u8>,
    pub(crate) remote: Vec<u8>,
    pub(crate) local_cseq: u32,
    pub(crate) remote_cseq: Option<u32>,
    pub(crate) route_set: RouteSet,
    pub(crate) remote_target: Uri,
    pub(crate) peer: Hop,
}

impl Dialog {
    pub(crate) fn new(birth: Birth) -> Self {
        let counted_by = birth.key.remote.clone();
        Self {
            id: birth.id,
            role: birth.role,
            stage: birth.stage,
            visible: birth.visible,
            is_subscription: false,
            dn: birth.dn,
            account: birth.account,
            key: birth.key,
            opened_by: None,
            filed: Vec::new(),
            local: birth.local,
            remote: birth.remote,
            local_cseq: birth.local_cseq,
            remote_cseq: birth.remote_cseq,
            counted_by,
            route_set: birth.route_set,
            remote_target: birth.remote_target,
            peer: birth.peer,
            peer_allows_update: false,
            invite_in: None,
            update_in: None,
            accepted: Vec::new(),
            invite_out: None,
            update_out: None,
            owed_ack: None,
            reinvites: Reinvites::default(),
            forks: Forks::default(),
            wants_reliable: false,
            reliable: None,
            provisional: None,
            cancel: Cancel::No,
            bye_reason: None,
            bye_sent: false,
            bye_in: None,
            bye_headers: Vec::new(),
            lost: None,
            session: None,
            session_floor_s: MIN_SE_S,
            session_raises: 0,
            credentials: None,
            last_sdp: None,
        }
    }

    /// A request of ours with the next `CSeq`, without Via, Contact and body.
    pub(crate) fn request(&mut self, method: Method) -> Request {
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.numbered_request(method, self.local_cseq)
    }

    /// The same with the `CSeq` of an earlier request, as ACK needs it.
    pub(crate) fn numbered_request(&self, method: Method, cseq: u32) -> Request {
        let (uri, routes) = self.route_set.apply(&self.remote_target);
        let cseq = format!("{cseq} {method}");
        let mut request = Request::new(method, uri);
        let headers = &mut request.headers;
        headers.push(HeaderName::MAX_FORWARDS, "70");
        for route in routes {
            headers.push(HeaderName::ROUTE, route);
        }
        headers.push(HeaderName::FROM, self.local.clone());
        headers.push(HeaderName::TO, self.remote.clone());
        headers.push(HeaderName::CALL_ID, self.key.call_id.as_bytes());
        headers.push(HeaderName::CSEQ, cseq);
        request
    }

    /// Takes in the number of a request of the peer's; whether it is a new one.
    pub(crate) fn counts(&mut self, number: u32, tag: Option<Tag>) -> bool {
        let last = self.remote_cseq.filter(|_| self.counted_by == tag);
        if last.is_some_and(|last| number <= last) {
            return false;
        }
        (self.remote_cseq, self.counted_by) = (Some(number), tag);
        true
    }

    /// The hosts whose requests may belong to it: where the peer was last seen, and where our own next request goes.
    pub(crate) fn hosts(&self) -> [IpAddr; 2] {
        [self.peer.to.ip(), self.hop(|_| true).to.ip()]
    }

    /// A new request of the peer came from here: another connection, or another host of a proxy, which may be the only one left.
    /// One on another transport than the dialog's leads nowhere new.
    pub(crate) fn seen_at(&mut self, hop: Hop) {
        if hop.transport == self.peer.transport {
            self.peer = hop;
        }
    }

    /// Where the next request goes: to the first route or the remote target when they name an
    /// address that may be spoken to, else to where the peer was last seen. Names are not resolved
    /// here, and a Contact that names a stranger gets nothing. A port beside a name is that of each of its hosts (RFC 3263 section 4.2); over
    /// UDP the one that the peer really speaks from goes before it. Without a `transport` parameter the
    /// transport of the dialog stays: SIP Server's Contact names none on any of them.
    pub(crate) fn hop(&self, allowed: impl Fn(IpAddr) -> bool) -> Hop {
        let uri = self.next_uri();
        let named = uri.param("transport").and_then(Transport::from_param);
        let transport = named.unwrap_or(self.peer.transport);
        let Some(address) = uri
            .host()
            .and_then(crate::Host::ip)
            .filter(|ip| allowed(*ip))
        else {
            let listens = uri
                .port()
                .filter(|_| self.goes_by_name() && self.peer.transport.is_reliable());
            let mut hop = self.peer;
            hop.to.set_port(listens.unwrap_or(hop.to.port()));
            return hop;
        };
        let port = uri.port().unwrap_or(transport.default_port());
        let connection = self
            .peer
            .connection
            .filter(|_| transport == self.peer.transport);
        Hop {
            transport,
            to: (address, port).into(),
            connection,
        }
    }

    /// What names the next hop of our requests: the first route, else the remote target (RFC 3261 section 8.1.2).
    fn next_uri(&self) -> Uri {
        let route = self.route_set.first();
        route.unwrap_or_else(|| self.remote_target.clone())
    }

    /// Whether a name leads to the next hop, so that several hosts may take our requests.
    pub(crate) fn goes_by_name(&self) -> bool {
        let next = self.next_uri();
        next.host().is_some_and(|host| host.ip().is_none())
    }

    /// Takes the Contact of a target refresh over (RFC 3261 section 12.2).
    pub(crate) fn refresh_target(&mut self, headers: &Headers) {
        if let Ok(Some(contact)) = headers.contact() {
            self.remote_target = contact.uri;
        }
        if headers.contains(&HeaderName::ALLOW) {
            self.peer_allows_update = headers.allow().contains(&Method::Update);
        }
    }

    /// Whether our INVITE has not met the other end yet.
    pub(crate) fn remote_target_is_unknown(&self) -> bool {
        self.role == Role::Caller && self.filed.iter().all(|key| key.remote.is_none())
    }

    pub(crate) fn owns_call_id(&self) -> bool {
        self.role == Role::Caller
    }

    /// Whether we have sent an offer that is not answered yet.
    pub(crate) fn offer_is_out(&self) -> bool {
        // A reliable provisional response answers the INVITE that opens the dialog, and no later one.
        let is_answered = self.stage == Stage::Early && self.forks.is_answered();
        let invite_out = self.invite_out.as_ref();
        self.accepted.iter().any(|accepted| accepted.carries_offer)
            || invite_out.is_some_and(|(_, invite)| invite.sdp.is_some() && !is_answered)
            || self.update_out.is_some()
    }

    /// Whether the peer's ACK to the 2xx that answered its first INVITE is still missing.
    pub(crate) fn answer_is_unconfirmed(&self) -> bool {
        self.accepted.iter().any(|accepted| accepted.opens_dialog)
    }

    /// Whether an INVITE of ours may go out: only one INVITE transaction runs in a dialog, in
    /// either direction (RFC 3261 section 14.1).
    pub(crate) fn may_invite(&self) -> bool {
        self.stage == Stage::Confirmed
            && self.invite_in.is_none()
            && self.invite_out.is_none()
            && self.owed_ack.is_none()
            && self.accepted.is_empty()
    }

    /// When the dialog has something to do by itself.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let accepted = self.accepted.iter().map(Accepted::next_timeout);
        let cancelled = match self.cancel {
            Cancel::Sent(until) => Some(until),
            Cancel::No | Cancel::Wanted => None,
        };
        let provisional = self.provisional.as_ref().map(Provisional::next_timeout);
        let session = self.session.as_ref().map(Session::next_timeout);
        // Where the BYE waits for something else, that wakes it.
        let waits_only = !self.bye_sent && self.bye_in.is_none() && !self.answer_is_unconfirmed();
        let farewell = self.lost.filter(|_| waits_only);
        let reliable = self.reliable.as_ref().and_then(Reliable::next_timeout);
        let others = [
            cancelled,
            farewell,
            provisional,
            reliable,
            session,
            self.reinvites.next_timeout(),
        ];
        accepted.chain(others.into_iter().flatten()).min()
    }
}
