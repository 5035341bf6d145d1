//! What a user agent tells: messages to send and events to act on.

use std::net::{IpAddr, SocketAddr};

use super::config::{SiteId, Source, Transmit, Transport};
use crate::registration::RegistrationFault;
use crate::{HeaderName, Headers, Reason, Request, Response, StatusCode, Tag, Uri};

/// Names a dialog from its INVITE to [`Event::Terminated`]; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialogId(pub(crate) u64);

/// Names a transaction: a request of the peer that waits for `respond`, or one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub(crate) u64);

impl DialogId {
    /// The number, for logs.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl TransactionId {
    /// The number, for logs.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// What the shell or the application has to do next.
#[derive(Debug, Clone)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Act on this.
    Event(Event),
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A new call; 100 is sent. Ring, answer or reject it.
    Invite {
        /// Its handle from now on.
        dialog: DialogId,
        /// The INVITE. The offer, if any, is found by `sip::body::sdp`.
        request: Box<Request>,
        /// Who sent it.
        peer: Source,
    },
    /// An INVITE that would have begun a call is refused, and the refusal is sent. No [`DialogId`] is minted for it; [`Event::Refused`] counts it as
    /// every message that is refused.
    InviteRefused {
        /// What it was.
        invite: Box<RefusedInvite>,
    },
    /// The caller gave up before the answer; 200 and 487 are sent.
    Cancelled {
        /// The call.
        dialog: DialogId,
        /// Why, if CANCEL said so.
        reason: Option<Reason>,
    },
    /// The first ACK of a 2xx of ours.
    Ack {
        /// The call.
        dialog: DialogId,
        /// Whether our 2xx carried the offer, so that this ACK owes the answer. With two 2xx under way the ACKs may overtake each
        /// other.
        to_offer: bool,
        /// The answer, when our 2xx carried the offer.
        sdp: Option<Vec<u8>>,
    },
    /// No ACK for 64*T1; the 2xx is no longer repeated. The application decides.
    AckMissing {
        /// The call.
        dialog: DialogId,
    },
    /// Our ringing, which the caller wanted to acknowledge, was never acknowledged (RFC 3262 section 3): refuse the call.
    PrackMissing {
        /// The call.
        dialog: DialogId,
    },
    /// The peer changes the session; answer with `respond`.
    Reinvite {
        /// The call.
        dialog: DialogId,
        /// What to respond to.
        transaction: TransactionId,
        /// The INVITE, with or without an offer.
        request: Box<Request>,
    },
    /// The peer changes the session by UPDATE; answer with `respond`.
    Update {
        /// The call.
        dialog: DialogId,
        /// What to respond to.
        transaction: TransactionId,
        /// The UPDATE, with or without an offer.
        request: Box<Request>,
    },
    /// A re-INVITE that still waited for `respond` was cancelled; 487 is sent.
    ReinviteCancelled {
        /// The call.
        dialog: DialogId,
        /// No longer to be responded to.
        transaction: TransactionId,
    },
    /// NOTIFY, INFO, REFER, MESSAGE, OPTIONS ... in a dialog; answer with `respond`.
    Request {
        /// The call.
        dialog: DialogId,
        /// What to respond to.
        transaction: TransactionId,
        /// The request. Repetitions never get here.
        request: Box<Request>,
    },
    /// A request outside of any dialog; answer with `respond`.
    OutOfDialog {
        /// What to respond to.
        transaction: TransactionId,
        /// The request.
        request: Box<Request>,
        /// Who sent it.
        peer: Source,
    },
    /// The peer hung up; 200 is sent, unless it is left to the application.
    Bye {
        /// The call.
        dialog: DialogId,
        /// Why, if BYE said so.
        reason: Option<Reason>,
        /// The 200 waits for [`super::UserAgent::answer_bye`].
        answer_owed: bool,
    },
    /// Other hosts than before may speak SIP to us: those that [`super::UserAgent::set_allowed`] named, and former ones that still hold a
    /// dialog.
    Peers {
        /// All of them.
        hosts: Vec<IpAddr>,
    },
    /// Something came of what we asked for in a dialog, or with the INVITE that opens it.
    Outcome {
        /// The call.
        dialog: DialogId,
        /// What.
        outcome: Outcome,
    },
    /// The session timer ran out without a refresh (RFC 4028 section 10); BYE is sent.
    SessionExpired {
        /// The call.
        dialog: DialogId,
    },
    /// The handle is dead. Exactly one for each [`DialogId`], always its last event.
    Terminated {
        /// The call.
        dialog: DialogId,
    },
    /// A registration changed.
    Registration {
        /// The DN.
        dn: String,
        /// At which site.
        site: SiteId,
        /// How it stands now.
        status: RegistrationStatus,
    },
    /// SIP Server answered a probe.
    Probed {
        /// Whom [`super::UserAgent::probe`] asked.
        server: SocketAddr,
        /// By which transport.
        transport: Transport,
    },
    /// A message was refused or dropped; for counters.
    Refused {
        /// Why.
        reason: RefusedReason,
        /// Who sent it.
        peer: SocketAddr,
    },
}

/// A call that was lost before it was one.
#[derive(Debug, Clone)]
pub struct RefusedInvite {
    /// Whom it was for; `None` where that could not be read.
    pub uri: Option<Uri>,
    /// The headers of the INVITE, as far as they could be read.
    pub headers: Headers,
    /// What was sent.
    pub status: StatusCode,
    /// Why, for counters: [`RefusedReason::Parse`], [`RefusedReason::Extension`] or [`RefusedReason::Limit`].
    pub reason: RefusedReason,
    /// What was wrong with it, for people; `None` where nothing was. It may hold what the peer wrote.
    pub fault: Option<String>,
}

/// What came of a call, a re-INVITE or another request of ours.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A provisional response above 100 to a call of ours.
    Progress {
        /// 180, 183 ...
        status: StatusCode,
        /// Which early dialog it is of: each branch of a forked call has a tag of its own.
        fork: Option<Tag>,
        /// An early answer or offer.
        sdp: Option<Vec<u8>>,
        /// Why, if the response said so.
        reason: Option<Reason>,
        /// The headers of the response.
        headers: Box<Headers>,
    },
    /// A call of ours is answered. When it had no offer, `sdp` is one: give `ack_with` the answer.
    Answered {
        /// Which early dialog became the call.
        fork: Option<Tag>,
        /// The answer, or the offer of an offerless call.
        sdp: Option<Vec<u8>>,
        /// The headers of the response.
        headers: Box<Headers>,
    },
    /// A call of ours failed.
    Failed {
        /// The final response; `None` when none came (timeout, transport).
        status: Option<StatusCode>,
        /// Why, if the response said so.
        reason: Option<Reason>,
        /// Header lines of the response (`Contact` of 302, `Retry-After`, `Warning` ...).
        headers: Vec<(HeaderName, Vec<u8>)>,
    },
    /// A re-INVITE of ours is accepted. When it had no offer, `sdp` is one: give `ack_with` the
    /// answer.
    ReinviteAnswered {
        /// The answer, or the offer of an offerless re-INVITE.
        sdp: Option<Vec<u8>>,
    },
    /// A refresh of the session timer was answered with a description. Where it is the one that is known already, nothing changes.
    Refreshed {
        /// The answer to the last description of ours.
        sdp: Vec<u8>,
    },
    /// A re-INVITE of ours failed; the session is as before.
    ReinviteFailed {
        /// The final response; `None` when none came. 491 also when the peer changed the session
        /// while it waited: make a new offer. 503 also when there was no room to send it.
        status: Option<StatusCode>,
    },
    /// The final response to `request`.
    Response {
        /// Which request.
        transaction: TransactionId,
        /// The response.
        response: Box<Response>,
    },
    /// No final response to `request` (timeout, transport, or the table is full).
    RequestFailed {
        /// Which request.
        transaction: TransactionId,
    },
}

/// Why a message was refused or dropped. A closed set: it labels a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusedReason {
    /// The sender is not one of the SIP Servers.
    Source,
    /// A response came from another host than its request went to.
    ResponseSource,
    /// The message is not well-formed SIP.
    Parse,
    /// 405 or 501.
    Method,
    /// 420.
    Extension,
    /// 481.
    NoDialog,
    /// 481 to a CANCEL, or a response or ACK that belongs to nothing.
    NoTransaction,
    /// 482: the same request by two ways.
    Merged,
    /// 500: CSeq is not higher than the last one.
    Sequence,
    /// 491 or 500 with Retry-After: two changes of a session at once.
    Glare,
    /// 422: the session timer asked for is too short.
    SessionInterval,
    /// A challenge that is not answered: the digest would leak.
    Challenge,
    /// A table is full.
    Limit,
}

impl RefusedReason {
    /// The label in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::ResponseSource => "response_source",
            Self::Parse => "parse",
            Self::Method => "method",
            Self::Extension => "extension",
            Self::NoDialog => "no_dialog",
            Self::NoTransaction => "no_transaction",
            Self::Merged => "merged",
            Self::Sequence => "sequence",
            Self::Glare => "glare",
            Self::SessionInterval => "session_interval",
            Self::Challenge => "challenge",
            Self::Limit => "limit",
        }
    }
}

/// Where a registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationState {
    /// No answer yet, or waiting for its turn.
    Registering,
    /// SIP Server lists our Contact.
    Registered,
    /// Refused or unanswered; tried again later.
    Failed,
    /// Given up by us.
    Unregistered,
}

/// A registration as an administrator wants to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationStatus {
    /// Where it stands.
    pub state: RegistrationState,
    /// The last final response; `None` when none came.
    pub sip_status: Option<StatusCode>,
    /// What that means, in the words of SIP Server's administrator; empty when all is well.
    pub reason: String,
    /// The same as one of a closed set; `None` when all is well.
    pub fault: Option<RegistrationFault>,
    /// The SIP Server.
    pub server: SocketAddr,
    /// The granted life, seconds, while registered.
    pub expires_s: Option<u32>,
    /// Something odd that does not stop the registration, such as an address translation.
    pub note: Option<String>,
}

/// How much a user agent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Client and server transactions.
    pub transactions: usize,
    /// Dialogs, also those without a handle (forked answers).
    pub dialogs: usize,
    /// Registrations.
    pub registrations: usize,
    /// Outputs not yet taken.
    pub queued_outputs: usize,
}
