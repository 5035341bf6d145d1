//! One agent: its configuration, its session with a page, its browser legs, its calls.

use std::time::{Duration, Instant};

use control::{MessageWaiting, MicrophoneView};

use crate::config::AgentConfig;
use crate::ids::{BrowserLegId, CallId, PageId, WorkerId};
use crate::io::BrowserState;
use crate::limits::{LEG_DISTANCE_MAX, LEG_DISTANCE_MIN, REFUSED_ANSWERS_MAX};

/// One agent DN.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) config: AgentConfig,
    pub(crate) session: Option<Session>,
    /// Calls in the order in which they began.
    pub(crate) calls: Vec<CallId>,
    /// What SIP Server said last about waiting messages.
    pub(crate) message_waiting: Option<MessageWaiting>,
    /// It is no longer in the configuration: it takes no calls, and stays for as long as it has some.
    pub(crate) removed: bool,
}

/// The time between sign-in and sign-out, over any number of connections of the page.
#[derive(Debug)]
pub(crate) struct Session {
    /// Named in `welcome`, for logs and help desks.
    pub(crate) id: String,
    /// The secret that brings a page back to this session.
    pub(crate) resume: String,
    /// What the page that has the session came with. It brings the same page back once more: the `welcome` with the secret after it may have
    /// been lost with the socket.
    pub(crate) came_with: Option<CameWith>,
    pub(crate) presence: Presence,
    pub(crate) worker: WorkerId,
    /// The leg that calls are patched to.
    pub(crate) leg: Option<Leg>,
    /// A fresh leg that takes over once it is connected: the old one goes on until then (make before break).
    pub(crate) next_leg: Option<Leg>,
    pub(crate) muted: bool,
    /// What the page said of its microphone last.
    pub(crate) microphone: Option<MicrophoneView>,
    /// Offers that the page was sent.
    pub(crate) offers: u64,
    /// What the page's connection has counted, as it said last.
    pub(crate) browser_counts: control::BrowserCounts,
    /// Answers of the page in a row that could not be used.
    pub(crate) refused_answers: u8,
    /// How far the next leg is from the last offer, should that leg fail soon.
    pub(crate) leg_distance: Duration,
    /// When the page was last offered a fresh leg.
    pub(crate) leg_offered_at: Option<Instant>,
    /// When the page is offered another one, after some that failed soon.
    pub(crate) next_leg_at: Option<Instant>,
    /// When calls end if no leg comes back in the place of the one that was lost last. It counts while the page is there to bring one, and begins anew when
    /// it comes back.
    pub(crate) leg_lost_deadline: Option<Instant>,
    /// Why the last leg failed, until another is up.
    pub(crate) leg_failure: Option<control::MediaFailure>,
    /// When the page wants other credentials for the TURN server.
    pub(crate) turn_renewal: Option<Instant>,
}

/// The secret in the `hello` of the page that has a session.
#[derive(Debug)]
pub(crate) struct CameWith {
    pub(crate) secret: String,
    /// It was this session's own. One of a session that is over brings its page back as well, and proves nothing: the token did.
    pub(crate) is_own: bool,
}

/// Whether the page is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Connected.
    Here(PageId),
    /// Lost; the session ends at this time unless it comes back.
    Away(Instant),
}

/// One browser leg as far as the switchboard knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    pub(crate) id: BrowserLegId,
    /// `None` until the page has answered our offer.
    pub(crate) state: Option<BrowserState>,
    /// The number of its last offer.
    pub(crate) offer: Option<u64>,
    /// The page that is there does not have this connection: it came back without one, or took the DN over. It carries the calls until a fresh one is up.
    pub(crate) is_left: bool,
}

impl Leg {
    pub(crate) const fn new(id: BrowserLegId) -> Self {
        Self {
            id,
            state: None,
            offer: None,
            is_left: false,
        }
    }

    pub(crate) const fn is_connected(self) -> bool {
        matches!(self.state, Some(BrowserState::Connected { .. }))
    }
}

impl Session {
    pub(crate) const fn page(&self) -> Option<PageId> {
        match self.presence {
            Presence::Here(page) => Some(page),
            Presence::Away(_) => None,
        }
    }

    /// Whether whoever names this secret is the page that has the session, and not one that lost it to another page meanwhile.
    pub(crate) fn is_resumed_by(&self, secret: &str) -> bool {
        self.resume == secret || self.has_come_with(secret).is_some()
    }

    /// Whether this secret was handed out by this session: whoever names it needs no token that is still valid.
    pub(crate) fn is_proven_by(&self, secret: &str) -> bool {
        self.resume == secret || self.has_come_with(secret).is_some_and(|came| came.is_own)
    }

    fn has_come_with(&self, secret: &str) -> Option<&CameWith> {
        self.came_with.as_ref().filter(|came| came.secret == secret)
    }

    /// Media can flow to and from the agent.
    pub(crate) fn is_media_ready(&self) -> bool {
        self.leg.is_some_and(Leg::is_connected)
    }

    /// The page that is there has this leg's connection, or is to make it: it is told how that stands, and of no other.
    pub(crate) fn has_page_leg(&self, id: BrowserLegId) -> bool {
        let legs = [self.leg, self.next_leg].into_iter().flatten();
        legs.into_iter().any(|leg| leg.id == id && !leg.is_left)
    }

    /// The page is there and has no leg, nor one under way, and it has not refused too many.
    pub(crate) fn wants_leg(&self) -> bool {
        self.page().is_some()
            && self.next_leg.is_none()
            && self.leg.is_none_or(|leg| leg.is_left)
            && self.refused_answers < REFUSED_ANSWERS_MAX
    }

    /// A leg is gone: when the page is offered the next one. At once, but where several fail soon after they were offered they are not offered as fast as
    /// they fail.
    pub(crate) fn after_lost_leg(&mut self, now: Instant) -> Instant {
        let Some(offered_at) = self.leg_offered_at else {
            return now;
        };
        if now.saturating_duration_since(offered_at) >= LEG_DISTANCE_MAX {
            self.leg_distance = Duration::ZERO;
            return now;
        }
        let at = offered_at + self.leg_distance;
        self.leg_distance = (self.leg_distance * 2).clamp(LEG_DISTANCE_MIN, LEG_DISTANCE_MAX);
        at
    }

    /// When this session wants to be looked at.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let presence = match self.presence {
            Presence::Here(_) => self.leg_lost_deadline,
            Presence::Away(until) => Some(until),
        };
        let deadlines = [presence, self.next_leg_at, self.turn_renewal];
        deadlines.into_iter().flatten().min()
    }
}

impl Agent {
    pub(crate) const fn new(config: AgentConfig) -> Self {
        Self {
            config,
            session: None,
            calls: Vec::new(),
            message_waiting: None,
            removed: false,
        }
    }

    pub(crate) fn page(&self) -> Option<PageId> {
        self.session.as_ref().and_then(Session::page)
    }
}
