//! Answering: one idempotent path for the desktop's talk, the page's button and auto answer.

use std::time::Instant;

use control::{AnsweredBy, CallState};
use sdp::Direction;

use crate::Switchboard;
use crate::call::{Call, End, Phase, Proof};
use crate::failure::Cause;
use crate::ids::CallId;
use crate::incoming::cause_of;
use crate::io::Fact;

/// What an attempt to answer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The 200 is on its way.
    Now,
    /// The browser leg is not ready, or the port is not open yet; the 200 follows when both are.
    Waiting,
    /// The call is answered already, or over.
    NoOp,
    /// It could not be answered; the call is ending.
    Failed,
}

impl Switchboard {
    /// Answers a ringing call. Asked twice it does nothing the second time.
    pub(crate) fn answer_call(&mut self, now: Instant, id: CallId, by: AnsweredBy) -> Answered {
        let ready = self.is_media_ready(id);
        let media_wait = self.config.policy.media_wait;
        let Some(call) = self.calls.get_mut(&id) else {
            return Answered::NoOp;
        };
        let Phase::Ringing { offer, .. } = &mut call.phase else {
            return Answered::NoOp;
        };
        let offer = offer.take();
        if by == AnsweredBy::Talk {
            call.talk_at = Some(now);
        }
        if ready {
            return self.send_answer(now, id, offer, by);
        }
        call.phase = Phase::Waiting {
            offer,
            by,
            deadline: now + media_wait,
        };
        self.arm_call(id);
        self.show(id);
        Answered::Waiting
    }

    /// The browser leg has become ready: calls that waited for it are answered.
    pub(crate) fn answer_waiting(&mut self, now: Instant, dn: &str) {
        let Some(agent) = self.agents.get(dn) else {
            return;
        };
        for id in agent.calls.clone() {
            self.answer_if_ready(now, id);
        }
    }

    /// Answers a call that waited, where nothing is missing any more.
    pub(crate) fn answer_if_ready(&mut self, now: Instant, id: CallId) {
        if !self.is_media_ready(id) {
            return;
        }
        if let Some(call) = self.calls.get_mut(&id)
            && let Phase::Waiting { offer, by, .. } = &mut call.phase
        {
            let (offer, by) = (offer.take(), *by);
            self.send_answer(now, id, offer, by);
        }
    }

    /// The browser leg is up, and the port that the answer names is ours: a 200 cannot be taken back.
    fn is_media_ready(&self, id: CallId) -> bool {
        self.calls
            .get(&id)
            .filter(|call| call.port_is_open)
            .and_then(|call| self.agents.get(&call.dn)?.session.as_ref())
            .is_some_and(crate::agent::Session::is_media_ready)
    }

    fn send_answer(
        &mut self,
        now: Instant,
        id: CallId,
        offer: Option<Vec<u8>>,
        by: AnsweredBy,
    ) -> Answered {
        let Some(call) = self.calls.get_mut(&id) else {
            return Answered::NoOp;
        };
        if by == AnsweredBy::Auto && call.replaces.is_none() && call.proof == Proof::Unasked {
            call.proof = Proof::Owed;
        }
        self.inherit_hold(id);
        // A call that takes the place of one on hold is on hold itself; one that may be forged puts none on hold.
        let has_turned = |call: &Call| call.proof != Proof::Owed && call.hold.local.is_none();
        if self.calls.get(&id).is_some_and(has_turned) {
            self.turn_to(now, id);
        }
        self.inherit_recordings(id);
        let now_ms = self.clock.ms(now);
        let Some(call) = self.calls.get_mut(&id) else {
            return Answered::NoOp;
        };
        let sdp = match &offer {
            Some(offer) => match call.negotiation.answer(offer, Direction::SendRecv) {
                Ok((sdp, agreed)) => {
                    call.hold.settle(Direction::SendRecv, &agreed);
                    call.talking = Some((now, now_ms));
                    call.phase = Phase::Up {
                        acknowledged: false,
                    };
                    sdp
                }
                Err(error) => {
                    // The offer was tried when the call came in; only a changed configuration gets here.
                    self.end_call(now, id, End::from(cause_of(&error)));
                    return Answered::Failed;
                }
            },
            None => {
                call.hold.offered_in_ok = Some(Direction::SendRecv);
                call.phase = Phase::AwaitingAck;
                call.negotiation.offer(Direction::SendRecv)
            }
        };
        call.remote_sdp = offer.unwrap_or_default();
        call.answered_by = Some(by);
        let (dialog, reference) = (call.dialog, call.reference());
        let talk_to_ok = call.talk_at.map(|at| now.saturating_duration_since(at));
        self.ua.answer(now, dialog, sdp);
        self.end_replaced(now, id);
        self.fact(Fact::CallAnswered {
            call: reference,
            by,
            talk_to_ok,
        });
        self.update_media_of(id);
        self.show(id);
        Answered::Now
    }

    /// The ACK of a 2xx of ours: the handshake is over, and it brings the answer where our 2xx carried the offer (`to_offer`). The
    /// ACK of an earlier 2xx may come after the re-INVITE whose 2xx carries one: it answers nothing.
    pub(crate) fn on_ack(&mut self, now: Instant, id: CallId, to_offer: bool, sdp: Option<&[u8]>) {
        let now_ms = self.clock.ms(now);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let first = matches!(call.phase, Phase::AwaitingAck);
        if call.is_ending() {
            return;
        }
        if let Some(ours) = call.hold.offered_in_ok.take_if(|_| to_offer) {
            match sdp.map(|sdp| (sdp, call.negotiation.accept(sdp))) {
                Some((sdp, Ok(agreed))) => {
                    call.remote_sdp = sdp.to_vec();
                    call.hold.settle_answered(ours, &agreed);
                }
                Some((_, Err(error))) => {
                    self.end_call(now, id, End::from(cause_of(&error)));
                    return;
                }
                None if first => {
                    self.end_call(now, id, End::from(Cause::NoSdpInAck));
                    return;
                }
                // A refresh whose ACK forgot the answer changes nothing.
                None => call.negotiation.abandon_offer(),
            }
        }
        if call.talking.is_none() {
            call.talking = Some((now, now_ms));
        }
        call.phase = Phase::Up { acknowledged: true };
        self.prove(id);
        self.after_negotiation(now, id);
    }

    /// An ACK, or another request within its dialog, has come for the call: they bear our tag, which only SIP Server was told.
    pub(crate) fn prove(&mut self, id: CallId) -> bool {
        self.calls.get_mut(&id).is_some_and(Call::prove)
    }

    /// The same where no offer or answer comes with it: a call that was in doubt has the agent's voice from now on.
    pub(crate) fn prove_now(&mut self, now: Instant, id: CallId) {
        if !self.prove(id) {
            return;
        }
        if self.calls.get(&id).is_some_and(Call::has_voice) {
            self.hold_others(now, id);
        }
        self.after_negotiation(now, id);
    }

    /// What follows every settled offer and answer: media, our own pending hold wish, the page.
    pub(crate) fn after_negotiation(&mut self, now: Instant, id: CallId) {
        if self
            .calls
            .get(&id)
            .is_some_and(|call| call.is_up() && call.has_voice())
        {
            self.hold_others(now, id);
        }
        self.forget_stale_digits(id);
        self.update_media_of(id);
        self.watch_media(now, id);
        self.reconcile_hold(now, id);
        self.advance_transfer(now, id);
        self.show_hold_change(id);
        self.show(id);
    }

    /// Tells the log when a call became held or was retrieved.
    fn show_hold_change(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let was_held = call
            .shown
            .as_ref()
            .is_some_and(|view| view.state == CallState::Held);
        let was_talking = call
            .shown
            .as_ref()
            .is_some_and(|view| view.state == CallState::Talking);
        let reference = call.reference();
        match (call.state(), call.hold.by()) {
            (CallState::Held, Some(by)) if was_talking => {
                self.fact(Fact::CallHeld {
                    call: reference,
                    by,
                });
            }
            (CallState::Talking, _) if was_held => {
                self.fact(Fact::CallRetrieved { call: reference });
            }
            _ => {}
        }
    }
}
