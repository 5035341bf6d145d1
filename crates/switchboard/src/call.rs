//! One call of one agent: what is known of it, and what others are shown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use control::{
    AnsweredBy, CallDetails, CallDirection, CallEnd, CallRecord, CallState, CallView, HeldBy,
    Remote,
};
use sdp::{Agreed, Direction, Negotiation};
use sip::ua::{DialogId, SiteId};
use sip::{HeaderName, Tag};

use crate::digits::InfoDigits;
use crate::dtmf_body::KeyDown;
use crate::end_record::Remembered;
use crate::failure::Cause;
use crate::farewell::Farewell;
use crate::hearing::Hearing;
use crate::ids::{CallId, WorkerId};
use crate::io::{CallRef, MediaPlan};
use crate::recording::Recordings;
use crate::transfer::Transfer;

/// One call of one agent.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) dn: String,
    pub(crate) dialog: DialogId,
    /// The site whose SIP Server it is with.
    pub(crate) site: Option<SiteId>,
    pub(crate) direction: CallDirection,
    pub(crate) call_uuid: Option<String>,
    pub(crate) remote: Remote,
    /// The party that the peer's last From named, whatever else named it since.
    pub(crate) last_from: Option<Remote>,
    pub(crate) details: Arc<CallDetails>,
    pub(crate) info_digits: InfoDigits,
    pub(crate) key_down: KeyDown,
    pub(crate) worker: WorkerId,
    pub(crate) port: u16,
    pub(crate) port_tries: u8,
    /// A media worker has bound the pair.
    pub(crate) port_is_open: bool,
    pub(crate) negotiation: Negotiation,
    pub(crate) phase: Phase,
    pub(crate) hold: Hold,
    /// The last description the peer gave, to tell a session refresh from a change.
    pub(crate) remote_sdp: Vec<u8>,
    pub(crate) created: Instant,
    pub(crate) created_ms: u64,
    pub(crate) talking: Option<(Instant, u64)>,
    pub(crate) answered_by: Option<AnsweredBy>,
    /// When the NOTIFY talk came that answered the call.
    pub(crate) talk_at: Option<Instant>,
    /// What the media worker was told last.
    pub(crate) plan: Option<MediaPlan>,
    /// What is to be said to SIP Server as soon as the media has been measured for the last time.
    pub(crate) farewell: Option<Farewell>,
    /// The ports are closed, or about to be.
    pub(crate) media_closed: bool,
    /// How the SIP side was secured when its audio last led somewhere: the suite, or `None` for not at all.
    pub(crate) srtp: Option<Option<sdp::CryptoSuite>>,
    /// The last measurement.
    pub(crate) quality: Option<control::admin::CallQuality>,
    pub(crate) hearing: Hearing,
    /// Which way nothing is heard although it should be.
    pub(crate) audio_missing: Option<control::AudioMissing>,
    /// The browser's own last measurement.
    pub(crate) browser_stats: Option<serde_json::Value>,
    pub(crate) recordings: Recordings,
    /// What its record will say.
    pub(crate) remembered: Remembered,
    pub(crate) proof: Proof,
    /// The call that this one takes the place of as soon as it is answered.
    pub(crate) replaces: Option<CallId>,
    /// Another call has taken its place; it is ended by us then, if SIP Server has not done so.
    pub(crate) leaves_at: Option<Instant>,
    /// The transfer that the agent has asked for last.
    pub(crate) transfer: Option<Transfer>,
    /// What the page was shown last.
    pub(crate) shown: Option<CallView>,
}

/// Whether a call is SIP Server's, and not forged under its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing has shown it, and nothing that matters was done for it.
    Unasked,
    /// It was answered at once, or a REFER outside of any call asked for it: the agent hears and is not heard until the ACK, or another request with our tag, which only a
    /// reader of our answer can send; or, of the REFER, until its news was taken.
    Owed,
    /// Something has shown it.
    Given,
}

/// What is known of a call when it begins.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) id: CallId,
    pub(crate) dn: String,
    pub(crate) dialog: DialogId,
    pub(crate) site: Option<SiteId>,
    pub(crate) call_uuid: Option<String>,
    pub(crate) remote: Remote,
    pub(crate) worker: WorkerId,
    pub(crate) port: u16,
    pub(crate) negotiation: Negotiation,
    pub(crate) phase: Phase,
    pub(crate) at: Instant,
    pub(crate) at_ms: u64,
}

/// How far the call has come. Each phase owns what only it needs.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Inbound, 180 is sent, nobody has answered.
    Ringing {
        offer: Option<Vec<u8>>,
        auto_answer_at: Option<Instant>,
        /// A caller that vanished is not waited for beyond this.
        gives_up_at: Instant,
    },
    /// Inbound, somebody has answered, the browser leg is not ready yet.
    Waiting {
        offer: Option<Vec<u8>>,
        by: AnsweredBy,
        deadline: Instant,
    },
    /// Inbound, 200 with our offer is sent; SIP Server brings the answer with its ACK, up to 32 s later
    /// (`docs/talk-and-hold.md#flow-1`).
    AwaitingAck,
    /// Outbound, our INVITE is on its way.
    Dialing {
        ringing: bool,
        /// What is heard before the answer.
        early: Option<Box<Early>>,
        /// The SIP Servers that were asked to take the call, none of them twice.
        tried: Vec<SocketAddr>,
        /// Header lines that the INVITE carries wherever it goes.
        headers: Vec<(HeaderName, Vec<u8>)>,
        /// A callee that neither answers nor refuses is not waited for beyond this.
        gives_up_at: Instant,
    },
    /// Answered, and media is agreed.
    Up {
        /// The three-way handshake is over: requests of ours may follow.
        acknowledged: bool,
    },
    /// BYE, CANCEL or a final status is on its way; the dialog is about to end.
    Ending {
        cause: Cause,
        sip_status: Option<u16>,
        reason: Option<String>,
        deadline: Instant,
    },
}

/// Early media: a description that came before the answer. The offer stays open beside it, as the answer may bring another one.
#[derive(Debug)]
pub(crate) struct Early {
    /// The branch of the call that sent it; a forked call has several.
    pub(crate) fork: Option<Tag>,
    pub(crate) negotiation: Negotiation,
    pub(crate) sdp: Vec<u8>,
    /// Its session was changed since: the first offer is history, and a description in the answer repeats it at best.
    pub(crate) settled: bool,
}

/// Who holds the call, and what the peer has been told of it.
#[derive(Debug)]
pub(crate) struct Hold {
    /// Our side's wish: who holds the call locally.
    pub(crate) local: Option<HeldBy>,
    /// It is held only while something is tried that may fail, a transfer or a call in its place, and is the agent's again then. A hold that
    /// anybody asks for meanwhile stays.
    pub(crate) for_now: bool,
    /// The direction our last completed description stated.
    pub(crate) signalled: Direction,
    /// What the peer knows by a re-INVITE. A hold that only a 2xx of ours stated counts for nothing at SIP Server
    /// (`docs/talk-and-hold.md#hold`).
    pub(crate) announced: Direction,
    /// The direction of the re-INVITE that is under way.
    pub(crate) pending: Option<Direction>,
    /// Our 2xx carried an offer: its answer comes with the ACK, and says this direction.
    pub(crate) offered_in_ok: Option<Direction>,
    /// The peer holds us.
    pub(crate) remote: bool,
    /// The peer refused to be told of our wish: it is not told again before the wish changes.
    pub(crate) refused: bool,
    /// The peer could not be told for the moment (5xx) that the call made way for another one: it is told again then.
    pub(crate) again_at: Option<Instant>,
    /// How often the peer's own change of the session came before our offer of this wish.
    pub(crate) collisions: u8,
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            local: None,
            for_now: false,
            signalled: Direction::SendRecv,
            announced: Direction::SendRecv,
            pending: None,
            offered_in_ok: None,
            remote: false,
            refused: false,
            again_at: None,
            collisions: 0,
        }
    }
}

impl Hold {
    /// Somebody wants something else: what came of the last wish is history.
    pub(crate) const fn wish(&mut self, local: Option<HeldBy>) {
        self.local = local;
        self.for_now = false;
        self.refused = false;
        self.again_at = None;
        self.collisions = 0;
    }

    /// The direction that our side wants to be in.
    pub(crate) const fn wanted(&self) -> Direction {
        if self.local.is_some() {
            Direction::SendOnly
        } else {
            Direction::SendRecv
        }
    }

    /// The peer was told, by a re-INVITE, that our side holds the call.
    pub(crate) fn is_known(&self) -> bool {
        self.announced == Direction::SendOnly
    }

    /// Who holds the call, as everybody is shown it: our own hold hides the peer's.
    pub(crate) fn by(&self) -> Option<HeldBy> {
        self.local.or_else(|| self.remote.then_some(HeldBy::Remote))
    }

    /// Takes over what an offer of the peer and our answer settled. The peer holds us when it takes nothing from us although we would send
    /// (RFC 3264 section 8.4); our own description echoed back says nothing about anybody's wish.
    pub(crate) fn settle(&mut self, ours: Direction, agreed: &Agreed) {
        self.signalled = ours;
        if ours == Direction::SendRecv {
            self.announced = ours;
        }
        self.remote = !agreed.echo && (agreed.remote.is_none() || !agreed.direction.sends());
    }

    /// Takes over what an offer of ours and the peer's answer settled. To our own hold `inactive` and a black hole are answers like any other
    /// (RFC 3264 section 6.1), and no hold of the peer's (`docs/talk-and-hold.md#hold`): whether it holds us as well is as it was.
    pub(crate) fn settle_answered(&mut self, ours: Direction, agreed: &Agreed) {
        let remote = self.remote;
        self.settle(ours, agreed);
        self.remote &= remote || ours != Direction::SendOnly;
    }
}

impl Call {
    /// A call that has just begun; nothing is agreed and nobody was told of it.
    pub(crate) fn new(birth: Birth) -> Self {
        Self {
            id: birth.id,
            dn: birth.dn,
            dialog: birth.dialog,
            site: birth.site,
            direction: match birth.phase {
                Phase::Dialing { .. } => CallDirection::Outbound,
                _ => CallDirection::Inbound,
            },
            call_uuid: birth.call_uuid,
            remote: birth.remote,
            last_from: None,
            details: Arc::default(),
            info_digits: InfoDigits::default(),
            key_down: KeyDown::default(),
            worker: birth.worker,
            port: birth.port,
            port_tries: 0,
            port_is_open: false,
            negotiation: birth.negotiation,
            phase: birth.phase,
            hold: Hold::default(),
            remote_sdp: Vec::new(),
            created: birth.at,
            created_ms: birth.at_ms,
            talking: None,
            answered_by: None,
            talk_at: None,
            plan: None,
            farewell: None,
            media_closed: false,
            srtp: None,
            quality: None,
            hearing: Hearing::default(),
            audio_missing: None,
            browser_stats: None,
            recordings: Recordings::default(),
            remembered: Remembered::default(),
            proof: Proof::Unasked,
            replaces: None,
            leaves_at: None,
            transfer: None,
            shown: None,
        }
    }

    pub(crate) fn reference(&self) -> CallRef {
        CallRef {
            call: self.id,
            call_uuid: self.call_uuid.clone(),
            dn: self.dn.clone(),
        }
    }

    pub(crate) fn state(&self) -> CallState {
        match &self.phase {
            Phase::Ringing { .. } | Phase::Dialing { ringing: true, .. } => CallState::Ringing,
            Phase::Waiting { .. } | Phase::AwaitingAck => CallState::Answering,
            Phase::Dialing { ringing: false, .. } => CallState::Offered,
            Phase::Up { .. } if self.hold.by().is_some() => CallState::Held,
            Phase::Up { .. } => CallState::Talking,
            Phase::Ending { .. } => CallState::Ending,
        }
    }

    /// When this call wants to be looked at, whatever happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Ringing {
                auto_answer_at: Some(at),
                ..
            }
            | Phase::Ringing {
                gives_up_at: at, ..
            }
            | Phase::Dialing {
                gives_up_at: at, ..
            } => Some(*at),
            Phase::Waiting { deadline, .. } => Some(*deadline),
            Phase::Ending { deadline, .. } => {
                let farewell = self.farewell.as_ref().map(Farewell::until);
                Some(farewell.map_or(*deadline, |until| until.min(*deadline)))
            }
            Phase::Up { .. } => {
                let transfer = self.transfer.as_ref().and_then(Transfer::deadline);
                let all = [transfer, self.leaves_at, self.hold.again_at];
                all.into_iter().flatten().min()
            }
            Phase::AwaitingAck => None,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
    }

    /// What the description that came before the answer agreed to.
    pub(crate) fn early(&self) -> Option<&Agreed> {
        match &self.phase {
            Phase::Dialing { early, .. } => early.as_ref()?.negotiation.agreed(),
            _ => None,
        }
    }

    /// The agent hears something before the answer; where not, her page plays the ring-back tone.
    pub(crate) fn has_early_media(&self) -> bool {
        self.early()
            .is_some_and(|agreed| agreed.remote.is_some() && agreed.direction.receives())
    }

    /// What media goes by now.
    pub(crate) fn agreed(&self) -> Option<&Agreed> {
        self.early().or_else(|| self.negotiation.agreed())
    }

    pub(crate) const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. })
    }

    /// Somebody has answered, and the answer is out.
    pub(crate) const fn is_answered(&self) -> bool {
        matches!(self.phase, Phase::Up { .. } | Phase::AwaitingAck)
    }

    /// Media flows, or would if the peer let it: another call of the same agent must be held first.
    pub(crate) const fn is_active(&self) -> bool {
        matches!(
            self.phase,
            Phase::Up { .. } | Phase::AwaitingAck | Phase::Dialing { .. }
        ) && self.hold.local.is_none()
            && !self.hold.remote
    }

    /// It has the agent's voice, or will have it when it is answered. One that may be forged has none.
    pub(crate) fn has_voice(&self) -> bool {
        self.is_active() && self.proof != Proof::Owed
    }

    /// Something has shown that it is SIP Server's. Says whether that was in doubt.
    pub(crate) fn prove(&mut self) -> bool {
        std::mem::replace(&mut self.proof, Proof::Given) == Proof::Owed
    }

    /// The whole picture, as pages and administrators see it.
    pub(crate) fn view(&self) -> CallView {
        CallView {
            id: self.id.to_string(),
            call_uuid: self.call_uuid.clone(),
            direction: self.direction,
            state: self.state(),
            remote: self.remote.clone(),
            early_media: self.has_early_media(),
            details: Arc::clone(&self.details),
            held_by: if self.is_up() { self.hold.by() } else { None },
            answered_by: self.answered_by,
            created_ms: self.created_ms,
            talking_ms: self.talking.map(|(_, at_ms)| at_ms),
            transfer: self.transfer.as_ref().map(Transfer::view),
            audio_missing: self
                .audio_missing
                .filter(|_| self.state() == CallState::Talking),
            recording: self.recordings.state(),
            listened: self.is_up() && self.recordings.is_listened(),
            paused: self.is_up() && self.recordings.is_paused(),
            end: None,
        }
    }

    /// How the audio of the SIP side is secured, as administrators and records are told.
    pub(crate) fn secured(&self) -> Option<String> {
        let suite = self.srtp?;
        Some(suite.map_or_else(|| "none".to_owned(), |suite| suite.to_string()))
    }

    /// The call as the administration interface shows it.
    pub(crate) fn record(&self) -> CallRecord {
        CallRecord {
            dn: self.dn.clone(),
            call: self.view(),
            srtp: self.secured(),
            quality: self.quality.clone(),
            browser_stats: self.browser_stats.clone(),
        }
    }

    /// The last picture of a call that ended.
    pub(crate) fn ended_view(&self, end: &End) -> CallView {
        CallView {
            state: CallState::Ended,
            early_media: false,
            held_by: None,
            audio_missing: None,
            recording: None,
            listened: false,
            paused: false,
            end: Some(end.view()),
            ..self.view()
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) cause: Cause,
    pub(crate) sip_status: Option<u16>,
    pub(crate) reason: Option<String>,
}

impl End {
    /// The same as pages and records show it.
    pub(crate) fn view(&self) -> CallEnd {
        let outcome = self.cause.outcome();
        CallEnd {
            by: outcome.by,
            sip_status: self.sip_status,
            reason: self.reason.clone(),
            cause: outcome.cause.to_owned(),
        }
    }
}

impl From<Cause> for End {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            sip_status: cause.outcome().sip,
            reason: None,
        }
    }
}
