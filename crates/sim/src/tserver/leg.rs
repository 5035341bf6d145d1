//! One SIP dialog with an endpoint.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::call::CallKey;
use super::io::{ConnectionId, Transport};
use super::limits::MAX_ACKS_PER_LEG;
use super::reliable::Provisional;
use super::sdp::{Audio, Origin};
use super::session::Session;
use super::transaction::{ClientKey, ServerKey};
use super::view::LegState;
use super::write::Frame;

/// Number of a leg, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LegKey(pub(super) u64);

/// Where requests of a leg or to a DN go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) transport: Transport,
    pub(super) to: SocketAddr,
    pub(super) connection: Option<ConnectionId>,
}

/// Why an INVITE or re-INVITE is sent, which decides what its answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InvitePurpose {
    /// The called DN; carries the caller's offer.
    Destination { offer: String },
    /// The DN of a TMakeCall; without SDP.
    Originator,
    /// Re-INVITE without SDP: the other party's answer goes into the ACK.
    Offerless { then: Then },
    /// Re-INVITE that passes the other party's offer on.
    PeerOffer { offer: String, waiter: Waiter },
    /// Re-INVITE that gives a connected caller the description of the party that answered.
    Connect { offer: String },
    /// Re-INVITE with a black hole: this DN holds.
    Hold,
    /// Re-INVITE with a black hole: the other party holds.
    Held,
    /// Re-INVITE that repeats the last description: a session refresh.
    Refresh,
    /// Re-INVITE with the description of a port of the Media Server.
    Bridge { offer: String },
}

/// What an offerless re-INVITE is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Only to agree on media anew.
    Resync,
    /// To end a hold.
    Retrieve,
}

/// Who waits for the other party's answer to an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiter {
    /// This leg's 2xx carried the offer: the answer goes into the ACK.
    Ack(LegKey),
    /// This leg's re-INVITE carried the offer: the answer goes into our 200.
    Reply(LegKey),
}

impl Waiter {
    pub(super) fn leg(self) -> LegKey {
        match self {
            Self::Ack(leg) | Self::Reply(leg) => leg,
        }
    }
}

/// A 2xx of the endpoint that is not acknowledged yet.
#[derive(Debug, Clone)]
pub(super) struct Unacknowledged {
    pub(super) cseq: u32,
    pub(super) purpose: InvitePurpose,
}

#[derive(Debug)]
pub(super) struct Leg {
    pub(super) key: LegKey,
    pub(super) call: CallKey,
    pub(super) dn: String,
    pub(super) state: LegState,
    /// We sent the INVITE, so the Call-ID is ours.
    pub(super) ours: bool,
    pub(super) frame: Frame,
    pub(super) local_tag: String,
    pub(super) remote_tag: Option<String>,
    pub(super) destination: Destination,
    pub(super) cseq: u32,
    pub(super) remote_cseq: u32,
    /// Our INVITE that has no final answer yet.
    pub(super) inviting: Option<ClientKey>,
    /// The CSeq of that INVITE.
    pub(super) invite_cseq: u32,
    pub(super) provisional: bool,
    pub(super) cancelled: bool,
    pub(super) unacknowledged: Option<Unacknowledged>,
    /// The last ACKs by CSeq, for repetitions of their 2xx.
    pub(super) acks: BTreeMap<u32, Vec<u8>>,
    /// The endpoint's INVITE that has no final answer from us yet.
    pub(super) invited: Option<ServerKey>,
    /// Our 2xx whose ACK has not come yet, by CSeq.
    pub(super) awaiting_ack: Option<(u32, ServerKey)>,
    /// BYE as soon as the ACK is here.
    pub(super) bye_after_ack: Option<Option<String>>,
    /// Re-INVITEs that wait until the running one is over.
    pub(super) queue: VecDeque<InvitePurpose>,
    pub(super) glare_retries: u32,
    /// The first of the queue met 491 and waits.
    pub(super) backing_off: bool,
    pub(super) origin: Origin,
    pub(super) remote_sdp: Option<String>,
    /// The offer of the endpoint's re-INVITE until it is accepted.
    pub(super) offered: Option<String>,
    /// Our offer that is under way.
    pub(super) offering: Option<String>,
    /// The last description that it got, and did not refuse.
    pub(super) local_sdp: Option<String>,
    /// Held by our own black hole, not by the endpoint's re-INVITE.
    pub(super) black_hole: bool,
    /// The CallUUID of the last INVITE that its endpoint took, or sent.
    pub(super) told: String,
    /// Reliable provisional responses of the INVITE that opened the dialog.
    pub(super) provisional_responses: Provisional,
    /// The session timer, once agreed.
    pub(super) session: Option<Session>,
}

impl Leg {
    /// Can a re-INVITE start now?
    pub(super) fn idle(&self) -> bool {
        self.inviting.is_none()
            && self.unacknowledged.is_none()
            && self.invited.is_none()
            && self.awaiting_ack.is_none()
            && !self.backing_off
    }

    pub(super) fn next_cseq(&mut self) -> u32 {
        self.cseq = self.cseq.saturating_add(1);
        self.cseq
    }

    /// Keeps an ACK for repetitions of its 2xx.
    pub(super) fn keep_ack(&mut self, cseq: u32, bytes: Vec<u8>) {
        self.acks.insert(cseq, bytes);
        while self.acks.len() > MAX_ACKS_PER_LEG {
            self.acks.pop_first();
        }
    }

    /// The endpoint's audio as last described by it.
    pub(super) fn remote_audio(&self) -> Option<Audio> {
        self.remote_sdp.as_deref().and_then(Audio::read)
    }

    pub(super) fn alive(&self) -> bool {
        self.state != LegState::Terminated
    }
}
