//! Browser legs: one warm connection per signed-in agent, calls are patched to it.
//!
//! A page that comes back gets a fresh leg beside the old one. Whichever is connected carries the calls; the fresh one takes
//! over when it is up, and only then is the old one closed.

use std::time::Instant;

use control::{ErrorCode, GatewayMessage, MediaFailure, MediaState};

use crate::Switchboard;
use crate::agent::Leg;
use crate::call::End;
use crate::config::CodecPolicy;
use crate::fact::CallRef;
use crate::failure::Cause;
use crate::ids::BrowserLegId;
use crate::io::{BrowserState, Fact, MediaCommand, MediaDirection, MediaEvent, MissingAudio};
use crate::limits::LEG_RECOVERY_MAX;

impl Switchboard {
    pub(crate) fn on_media(&mut self, now: Instant, event: MediaEvent) {
        match event {
            MediaEvent::BrowserOffer { leg, sdp, restart } => {
                if let Some(dn) = self.legs.get(&leg).cloned() {
                    let offer = self.number_offer(&dn, leg);
                    let message = GatewayMessage::MediaOffer {
                        sdp,
                        restart,
                        offer,
                    };
                    self.tell_agent(&dn, message);
                }
            }
            MediaEvent::BrowserState { leg, state } => self.on_leg_state(now, leg, state),
            MediaEvent::BrowserRefused { leg, reason } => self.on_leg_refused(now, leg, reason),
            MediaEvent::BrowserClosed { leg } => self.on_leg_failed(now, leg, MediaFailure::Closed),
            MediaEvent::PortOpened { call, port } => self.on_port_opened(now, call, port),
            MediaEvent::PortFailed { call, port, taken } => {
                self.on_port_failed(now, call, port, taken);
            }
            MediaEvent::FirstPacket { call, direction } => self.on_audible(now, call, direction),
            MediaEvent::OneWay {
                call,
                direction,
                missing,
            } => self.on_one_way(call, direction, missing),
            MediaEvent::Digit { call, digit } => self.on_digit(call, digit),
            MediaEvent::Quality { call, report } => {
                self.on_quality(call, report);
            }
            MediaEvent::Load { worker, load } => self.on_worker_load(worker, load),
            MediaEvent::TapClosed { tap } => self.on_tap_closed(tap),
            MediaEvent::CallClosed { call, report } => self.on_call_media_closed(call, report),
        }
    }

    /// Starts a fresh leg for the page, unless the one it has outlived the lost socket.
    pub(crate) fn bring_media(&mut self, dn: &str, kept: bool) {
        let Some(session) = self.session_mut(dn) else {
            return;
        };
        let worker = session.worker;
        if kept && session.is_media_ready() {
            // An offer that has not reached the page, or was not answered by it, is for a connection that it does not have.
            let unanswered = session.next_leg.take_if(|leg| leg.state.is_none());
            if session.next_leg.is_none()
                && let Some(leg) = &mut session.leg
            {
                leg.is_left = false;
            }
            let state = session.next_leg.or(session.leg).and_then(|leg| leg.state);
            if let Some(unanswered) = unanswered {
                self.close_leg(worker, unanswered.id);
            }
            // What became of it meanwhile was told to nobody.
            if let Some(state) = state.map(BrowserState::shown) {
                self.tell_agent(dn, GatewayMessage::MediaState { state, cause: None });
            }
            return;
        }
        let policy = self.codec_policy(dn);
        let leg = self.next_leg();
        self.legs.insert(leg, dn.to_owned());
        let now = self.turn;
        let Some(session) = self.session_mut(dn) else {
            return;
        };
        (session.leg_offered_at, session.next_leg_at) = (Some(now), None);
        let ready = session.leg.as_mut().filter(|leg| leg.is_connected());
        let unused = if let Some(former) = ready {
            former.is_left = true;
            session.next_leg.replace(Leg::new(leg))
        } else {
            let next = session.next_leg.take();
            let former = session.leg.replace(Leg::new(leg));
            if let Some(next) = next {
                self.close_leg(worker, next.id);
            }
            former
        };
        if let Some(unused) = unused {
            self.close_leg(worker, unused.id);
        }
        self.tell_worker(
            worker,
            MediaCommand::OfferBrowser {
                leg,
                restart: false,
                policy,
            },
        );
        // A call that the unused leg carried is not left on it.
        self.update_media(dn);
    }

    fn codec_policy(&self, dn: &str) -> CodecPolicy {
        self.agents
            .get(dn)
            .map_or(CodecPolicy::default(), |agent| agent.config.codec_policy)
    }

    /// The page's network changed: a new offer with ICE restart on the living leg, or a fresh leg where the page has none that lives. While a fresh one is to
    /// take over, and when that has failed, the page knows nothing of the older one.
    pub(crate) fn restart_media(&mut self, dn: &str) {
        let policy = self.codec_policy(dn);
        let Some(session) = self.session_mut(dn) else {
            return;
        };
        let living = |leg: &Leg| leg.state.is_some() && !leg.is_left;
        match session.leg.filter(living) {
            Some(leg) => {
                let worker = session.worker;
                let command = MediaCommand::OfferBrowser {
                    leg: leg.id,
                    restart: true,
                    policy,
                };
                self.tell_worker(worker, command);
            }
            None => self.bring_media(dn, false),
        }
    }

    /// The leg that the page's next candidate, or answer without a number, is for: the one that was offered last.
    pub(crate) fn offered_leg(&self, dn: &str) -> Option<BrowserLegId> {
        let session = self.agents.get(dn)?.session.as_ref()?;
        session.next_leg.or(session.leg).map(|leg| leg.id)
    }

    fn number_offer(&mut self, dn: &str, leg: BrowserLegId) -> Option<u64> {
        let session = self.session_mut(dn)?;
        session.offers += 1;
        let number = session.offers;
        let mut legs = [&mut session.leg, &mut session.next_leg].into_iter();
        let found = legs.find_map(|known| known.as_mut().filter(|known| known.id == leg))?;
        found.offer = Some(number);
        found.offer
    }

    /// The leg whose last offer has this number. There is none where another offer has taken its place: a page answers one after the other, and two may be
    /// under way.
    pub(crate) fn leg_of_offer(&self, dn: &str, offer: u64) -> Option<BrowserLegId> {
        let session = self.agents.get(dn)?.session.as_ref()?;
        let legs = [session.next_leg, session.leg].into_iter().flatten();
        let mut offered = legs.filter(|leg| leg.offer == Some(offer));
        offered.next().map(|leg| leg.id)
    }

    fn close_leg(&mut self, worker: crate::ids::WorkerId, leg: BrowserLegId) {
        self.legs.remove(&leg);
        self.tell_worker(worker, MediaCommand::CloseBrowser { leg });
    }

    fn on_leg_state(&mut self, now: Instant, id: BrowserLegId, state: BrowserState) {
        let Some(dn) = self.legs.get(&id).cloned() else {
            return;
        };
        let Some(session) = self.session_mut(&dn) else {
            return;
        };
        if let BrowserState::Failed(failure) = state {
            return self.on_leg_failed(now, id, failure);
        }
        let connected = matches!(state, BrowserState::Connected { .. });
        let worker = session.worker;
        let is_hers = session.has_page_leg(id);
        let mut closed = None;
        if let Some(next) = session.next_leg.as_mut().filter(|leg| leg.id == id) {
            next.state = Some(state);
            if connected {
                closed = std::mem::replace(&mut session.leg, session.next_leg.take());
            }
        } else if let Some(leg) = session.leg.as_mut().filter(|leg| leg.id == id) {
            leg.state = Some(state);
        }
        if connected {
            session.leg_lost_deadline = None;
            session.leg_failure = None;
            session.refused_answers = 0;
        } else if state == BrowserState::Disconnected && session.leg_lost_deadline.is_none() {
            session.leg_lost_deadline = Some(now + LEG_RECOVERY_MAX);
        }
        if let Some(closed) = closed {
            self.close_leg(worker, closed.id);
        }
        if is_hers {
            let state = state.shown();
            self.tell_agent(&dn, GatewayMessage::MediaState { state, cause: None });
        }
        self.fact(Fact::BrowserLeg {
            dn: dn.clone(),
            state: Some(state),
        });
        if connected {
            self.update_media(&dn);
            self.answer_waiting(now, &dn);
        }
        self.arm_agent(&dn);
    }

    fn on_leg_refused(&mut self, now: Instant, id: BrowserLegId, reason: String) {
        let Some(dn) = self.legs.get(&id).cloned() else {
            return;
        };
        let message = GatewayMessage::Error {
            id: None,
            code: ErrorCode::BadMedia,
            message: reason.clone(),
        };
        self.tell_agent(&dn, message);
        if let Some(session) = self.session_mut(&dn) {
            session.refused_answers = session.refused_answers.saturating_add(1);
        }
        self.fact(Fact::BrowserRefused { dn, reason });
        self.on_leg_gone(now, id, MediaFailure::Refused);
    }

    fn on_leg_failed(&mut self, now: Instant, id: BrowserLegId, failure: MediaFailure) {
        let Some(dn) = self.legs.get(&id).cloned() else {
            return;
        };
        let call = self.call_over(&dn, id);
        self.fact(Fact::BrowserLegFailed { dn, call, failure });
        self.on_leg_gone(now, id, failure);
    }

    /// The call that the agent speaks in over this leg.
    fn call_over(&self, dn: &str, id: BrowserLegId) -> Option<CallRef> {
        let agent = self.agents.get(dn)?;
        agent.session.as_ref()?.leg.filter(|leg| leg.id == id)?;
        let calls = || agent.calls.iter().filter_map(|call| self.calls.get(call));
        let spoken = calls().find(|call| call.is_up() && call.has_voice());
        let call = spoken.or_else(|| calls().find(|call| call.is_up()))?;
        Some(call.reference())
    }

    /// A leg will not come back. If the page is there, and had it, it is offered a fresh one; calls wait for it, but not for ever. One that was to take
    /// over leaves them where they are.
    fn on_leg_gone(&mut self, now: Instant, id: BrowserLegId, failure: MediaFailure) {
        let Some(dn) = self.legs.remove(&id) else {
            return;
        };
        let Some(session) = self.session_mut(&dn) else {
            return;
        };
        let worker = session.worker;
        let is_hers = session.has_page_leg(id);
        if session.next_leg.take_if(|leg| leg.id == id).is_some() {
            self.tell_worker(worker, MediaCommand::CloseBrowser { leg: id });
            self.tell_media_failed(&dn, failure);
            self.offer_leg_again(now, &dn);
            return;
        }
        if session.leg.is_none_or(|leg| leg.id != id) {
            return;
        }
        session.leg = session.next_leg.take();
        session.leg_failure = Some(failure).filter(|_| !session.is_media_ready());
        session
            .leg_lost_deadline
            .get_or_insert(now + LEG_RECOVERY_MAX);
        self.tell_worker(worker, MediaCommand::CloseBrowser { leg: id });
        if is_hers {
            self.tell_media_failed(&dn, failure);
        }
        self.fact(Fact::BrowserLeg {
            dn: dn.clone(),
            state: None,
        });
        self.update_media(&dn);
        self.offer_leg_again(now, &dn);
    }

    /// Where the page wants a leg, it is offered one: at once, or when the last offer is long enough ago.
    fn offer_leg_again(&mut self, now: Instant, dn: &str) {
        let Some(session) = self.session_mut(dn) else {
            return;
        };
        let at = session.after_lost_leg(now);
        session.next_leg_at = Some(at).filter(|_| session.wants_leg());
        self.offer_next_leg(now, dn);
        self.arm_agent(dn);
    }

    /// The time for another leg has come.
    pub(crate) fn offer_next_leg(&mut self, now: Instant, dn: &str) {
        let Some(session) = self.session_mut(dn) else {
            return;
        };
        let due = session.next_leg_at.take_if(|at| *at <= now);
        if due.is_some() && session.wants_leg() {
            self.bring_media(dn, false);
        }
    }

    fn tell_media_failed(&mut self, dn: &str, failure: MediaFailure) {
        let message = GatewayMessage::MediaState {
            state: MediaState::Failed,
            cause: Some(failure),
        };
        self.tell_agent(dn, message);
    }

    /// A call that is up wants a browser leg. Where there is none, nor one that was lost a moment ago, it is waited for no longer
    /// than for a lost one: a page that never gets its microphone does not keep a silent call.
    pub(crate) fn watch_media(&mut self, now: Instant, id: crate::ids::CallId) {
        let Some(call) = self.calls.get(&id).filter(|call| call.is_up()) else {
            return;
        };
        let dn = call.dn.clone();
        let Some(session) = self.session_mut(&dn) else {
            return;
        };
        if session.is_media_ready() || session.leg_lost_deadline.is_some() {
            return;
        }
        session.leg_lost_deadline = Some(now + LEG_RECOVERY_MAX);
        self.arm_agent(&dn);
    }

    /// The browser leg did not come back in time: an agent who cannot be heard has no call.
    pub(crate) fn end_calls_without_media(&mut self, now: Instant, dn: &str) {
        let Some(agent) = self.agents.get(dn) else {
            return;
        };
        if agent
            .session
            .as_ref()
            .is_some_and(crate::agent::Session::is_media_ready)
        {
            return;
        }
        for call in agent.calls.clone() {
            if self.calls.get(&call).is_some_and(crate::call::Call::is_up) {
                self.end_call(now, call, End::from(Cause::BrowserMedia));
            }
        }
    }

    fn on_audible(&mut self, now: Instant, id: crate::ids::CallId, direction: MediaDirection) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let after_talk = call.talk_at.map(|at| now.saturating_duration_since(at));
        let call = call.reference();
        self.fact(Fact::Audible {
            call,
            direction,
            after_talk,
        });
    }

    fn on_one_way(
        &mut self,
        id: crate::ids::CallId,
        direction: MediaDirection,
        missing: Option<MissingAudio>,
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.audio_missing = missing.map(|missing| control::AudioMissing {
            direction: match direction {
                MediaDirection::ToAgent => control::AudioDirection::ToAgent,
                MediaDirection::ToCaller => control::AudioDirection::ToCaller,
            },
            reason: match missing {
                MissingAudio::OtherAddress => control::MissingReason::OtherAddress,
                MissingAudio::OtherKey => control::MissingReason::OtherKey,
                MissingAudio::OtherFormat => control::MissingReason::OtherFormat,
                MissingAudio::Nothing => control::MissingReason::Nothing,
            },
        });
        let call = call.reference();
        self.fact(Fact::OneWayAudio {
            call,
            direction,
            missing,
        });
        self.show(id);
    }

    fn on_quality(&mut self, id: crate::ids::CallId, report: Box<crate::io::MediaReport>) {
        self.tell_figures(id, &report);
        self.watch_hearing(id, &report);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let to_agent = report.to_agent.quality();
        let to_caller = report.to_caller.quality();
        call.remembered.measured(report);
        let browser = call.remembered.browser.clone().map(Box::new);
        call.quality = Some(control::admin::CallQuality {
            to_agent: to_agent.clone(),
            to_caller: to_caller.clone(),
            browser: browser.clone(),
        });
        let dn = call.dn.clone();
        let badly = call.hearing.badly();
        let message = GatewayMessage::Quality {
            call: id.to_string(),
            to_agent: Box::new(to_agent),
            to_caller: Box::new(to_caller),
            browser,
            heard_badly: Some(badly).filter(|badly| badly.by_anybody()),
        };
        self.tell_agent(&dn, message);
    }
}
