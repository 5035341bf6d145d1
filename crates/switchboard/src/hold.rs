//! Hold and retrieve: our own by re-INVITE, SIP Server's by NOTIFY or re-INVITE.
//!
//! A wish is a level, not an edge: `hold.local` says what our side wants, and [`Switchboard::reconcile_hold`] sends one
//! re-INVITE at a time until the peer has been told. So hold and retrieve clicked in a hurry end in the last wish, and a
//! refused re-INVITE falls back to what the peer knows.

use std::time::Instant;

use control::HeldBy;
use sdp::{Direction, NegotiationError};
use sip::ua::TransactionId;
use sip::wire::{HeaderName, Request};
use sip::{StatusCode, Tag};

use crate::Switchboard;
use crate::call::{Call, End, Phase, Proof};
use crate::failure::Cause;
use crate::ids::CallId;
use crate::incoming::{cause_of, warning};
use crate::limits::{COLLISIONS_MAX, HOLD_AGAIN_AFTER};

/// Content type of a session description (RFC 8866).
pub(crate) const SDP: &str = "application/sdp";

impl Switchboard {
    /// Holds an answered call; `false` where it is held by us already or not answered. While the answer to our offer is on its way with the
    /// ACK, the wish waits for it.
    pub(crate) fn hold_call(&mut self, now: Instant, id: CallId, by: HeldBy) -> bool {
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        if !call.is_answered() || call.hold.local.is_some() {
            call.hold.for_now = false;
            return false;
        }
        call.hold.wish(Some(by));
        self.after_negotiation(now, id);
        true
    }

    /// Retrieves a call that our side holds; `false` where there is nothing to retrieve.
    pub(crate) fn retrieve_call(&mut self, now: Instant, id: CallId) -> bool {
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        if !call.is_answered() || call.hold.local.is_none() {
            return false;
        }
        call.hold.wish(None);
        self.after_negotiation(now, id);
        true
    }

    /// Holds a call for something that may fail.
    pub(crate) fn hold_for_now(&mut self, now: Instant, id: CallId) {
        self.hold_call(now, id, HeldBy::Agent);
        if let Some(call) = self.calls.get_mut(&id) {
            call.hold.for_now = call.hold.local.is_some();
        }
    }

    /// It has failed: the call is the agent's again. Where another one has her voice by then it makes way for that one, and its hold is like any other.
    pub(crate) fn retrieve_if_for_now(&mut self, now: Instant, id: CallId) {
        let makes_way = self.is_another_active(id);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if std::mem::take(&mut call.hold.for_now) && !makes_way {
            self.retrieve_call(now, id);
        }
    }

    /// An agent has one voice: every other call of hers that is active, or is about to be, is held first. One that answered itself has no voice before
    /// its ACK, and takes it then.
    pub(crate) fn hold_others(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let replaced = call.replaces;
        for other in self.calls_of(&call.dn.clone()) {
            let is_meant = other != id && replaced != Some(other);
            if is_meant && self.calls.get(&other).is_some_and(Call::has_voice) {
                self.makes_way(now, other);
            }
        }
    }

    /// The agent herself turns to a call. One of hers that answered itself and still waits for its ACK takes the voice from none that she turned to since:
    /// it comes up held.
    pub(crate) fn turn_to(&mut self, now: Instant, id: CallId) {
        self.hold_others(now, id);
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        for other in self.calls_of(&call.dn.clone()) {
            let is_doubted = |call: &Call| call.proof == Proof::Owed;
            if other != id && self.calls.get(&other).is_some_and(is_doubted) {
                self.makes_way(now, other);
            }
        }
    }

    /// The call is held for another one; where its answer is still on the way it comes up held.
    fn makes_way(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.is_answered() {
            self.hold_call(now, id, HeldBy::Agent);
        } else {
            call.hold.local.get_or_insert(HeldBy::Agent);
        }
    }

    /// Another call of the agent has her voice.
    pub(crate) fn is_another_active(&self, id: CallId) -> bool {
        let Some(call) = self.calls.get(&id) else {
            return false;
        };
        let others = self.calls_of(&call.dn);
        let active = |other: &CallId| self.calls.get(other).is_some_and(Call::has_voice);
        others.iter().any(|other| *other != id && active(other))
    }

    /// The agent's calls, oldest first.
    pub(crate) fn calls_of(&self, dn: &str) -> Vec<CallId> {
        self.agents
            .get(dn)
            .map(|agent| agent.calls.clone())
            .unwrap_or_default()
    }

    /// Sends the re-INVITE that the peer has yet to see, one at a time.
    pub(crate) fn reconcile_hold(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let settled = matches!(call.phase, Phase::Up { acknowledged: true })
            && call.hold.pending.is_none()
            && !call.hold.refused
            && call.hold.offered_in_ok.is_none();
        let wanted = call.hold.wanted();
        if !settled || wanted == call.hold.signalled && wanted == call.hold.announced {
            return;
        }
        let sdp = call.negotiation.offer(wanted);
        call.hold.pending = Some(wanted);
        let dialog = call.dialog;
        self.ua.reinvite(now, dialog, Some(sdp));
    }

    /// The peer has answered our re-INVITE.
    pub(crate) fn on_reinvite_answered(&mut self, now: Instant, id: CallId, sdp: Option<&[u8]>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(ours) = call.hold.pending.take() else {
            return;
        };
        let agreed = match sdp.map(|sdp| (sdp, call.negotiation.accept(sdp))) {
            Some((sdp, Ok(agreed))) => {
                call.remote_sdp = sdp.to_vec();
                Some(agreed)
            }
            Some((_, Err(error))) if ours != Direction::SendOnly => {
                return self.end_call(now, id, End::from(cause_of(&error)));
            }
            // Whatever SIP Server says of its media, a hold needs none of it; and a 200 that forgot its description has taken ours.
            _ => call.negotiation.keep_agreed(ours),
        };
        let Some(agreed) = agreed else {
            return self.end_call(now, id, End::from(Cause::BadSdp));
        };
        call.hold.settle_answered(ours, &agreed);
        call.hold.announced = ours;
        self.after_negotiation(now, id);
    }

    /// The user agent kept the session alive with our last description. Nothing changes, unless the peer took the occasion to move
    /// its media.
    pub(crate) fn on_refreshed(&mut self, now: Instant, id: CallId, sdp: Vec<u8>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if !call.is_up() || call.remote_sdp == sdp || call.negotiation.has_open_offer() {
            return;
        }
        let ours = call.hold.signalled;
        call.negotiation.offer_again(ours);
        // An answer that cannot be used leaves what was agreed.
        if let Ok(agreed) = call.negotiation.accept(&sdp) {
            call.remote_sdp = sdp;
            call.hold.settle_answered(ours, &agreed);
            self.after_negotiation(now, id);
        }
    }

    /// The peer refused our re-INVITE: both sides stay where they were (RFC 3261 section 14.1), and the page sees it. A call
    /// that made way for another one stays silent all the same: the agent has one voice. Then a peer that only cannot for the moment
    /// (5xx, or 491 for longer than two changes can cross) is told again, so that its caller hears of it. Where the peer's own change
    /// came first (491) the wish stands and is offered afresh.
    pub(crate) fn on_reinvite_failed(&mut self, now: Instant, id: CallId, status: StatusCode) {
        let made_way = self.is_another_active(id);
        let crossed = status == StatusCode::REQUEST_PENDING;
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.hold.pending.take().is_none() {
            return;
        }
        call.negotiation.abandon_offer();
        if crossed && call.hold.collisions < COLLISIONS_MAX {
            call.hold.collisions += 1;
            return self.after_negotiation(now, id);
        }
        call.hold.refused = true;
        match (call.hold.signalled, call.hold.local) {
            // Nobody has asked for this hold: a retrieval was refused.
            (Direction::SendOnly, None) => {
                (call.hold.local, call.hold.for_now) = (Some(HeldBy::Agent), true);
            }
            (Direction::SendRecv, Some(_)) if !made_way => call.hold.local = None,
            (Direction::SendRecv, Some(_)) if crossed || (500..600).contains(&status.as_u16()) => {
                call.hold.again_at = Some(now + HOLD_AGAIN_AFTER);
                self.arm_call(id);
            }
            _ => {}
        }
        self.after_negotiation(now, id);
    }

    /// The time has come to tell the peer again of a hold that it could not take.
    pub(crate) fn hold_again(&mut self, now: Instant, id: CallId) {
        let call = self.calls.get_mut(&id);
        if let Some(call) = call.filter(|call| call.hold.again_at.is_some_and(|at| at <= now)) {
            call.hold.again_at = None;
            call.hold.refused = false;
            self.reconcile_hold(now, id);
        }
    }

    /// SIP Server changes the session: new media, hold, retrieve, refresh. It is answered from our own media anchor;
    /// the browser's connection is never touched.
    pub(crate) fn on_reinvite(
        &mut self,
        now: Instant,
        id: CallId,
        transaction: TransactionId,
        request: &Request,
    ) {
        let answer = match sip::body::sdp(&request.headers, &request.body) {
            Some(offer) => match self.early_fork(id) {
                Some(fork) => self.answer_early_offer(id, offer, fork == tag_of(request)),
                None => self.answer_offer(id, offer),
            },
            None => self.offer_in_ok(id),
        };
        match answer {
            Ok(sdp) => {
                self.ua
                    .respond(now, transaction, StatusCode::OK, &[], Some((SDP, sdp)));
                self.prove(id);
                self.after_negotiation(now, id);
            }
            Err(refusal) => {
                // RFC 3261 section 14.2: a refused re-INVITE leaves the session as it was.
                let srtp = self
                    .calls
                    .get(&id)
                    .map(|call| call.negotiation.srtp_policy());
                let why = refusal.cause.zip(srtp);
                let headers = why.map(|(cause, srtp)| warning(cause, srtp));
                let headers = headers.unwrap_or_default();
                self.ua
                    .respond(now, transaction, refusal.status, &headers, None);
            }
        }
    }

    /// UPDATE (RFC 3311): with an offer like a re-INVITE, without one a refresh of the session timer.
    pub(crate) fn on_update(
        &mut self,
        now: Instant,
        id: CallId,
        transaction: TransactionId,
        request: &Request,
    ) {
        match sip::body::sdp(&request.headers, &request.body) {
            Some(_) => self.on_reinvite(now, id, transaction, request),
            None => {
                self.ua.respond(now, transaction, StatusCode::OK, &[], None);
                self.prove_now(now, id);
            }
        }
    }

    /// The branch of a dialled call that is heard before the answer.
    fn early_fork(&self, id: CallId) -> Option<Option<Tag>> {
        match &self.calls.get(&id)?.phase {
            Phase::Dialing { early, .. } => early.as_ref().map(|early| early.fork.clone()),
            _ => None,
        }
    }

    /// Early media moves, by UPDATE in its early dialog (RFC 3311 section 5.1). The other branches of a forked call are not heard, so
    /// what they offer has to wait for the answer.
    fn answer_early_offer(
        &mut self,
        id: CallId,
        offer: &[u8],
        heard: bool,
    ) -> Result<Vec<u8>, Refusal> {
        let call = self.calls.get_mut(&id).filter(|_| heard);
        let Some(Phase::Dialing {
            early: Some(early), ..
        }) = call.map(|call| &mut call.phase)
        else {
            return Err(StatusCode::REQUEST_PENDING.into());
        };
        let answer = early.negotiation.answer(offer, Direction::SendRecv);
        let (sdp, _) = answer.map_err(Refusal::of)?;
        early.sdp = offer.to_vec();
        early.settled = true;
        Ok(sdp)
    }

    fn answer_offer(&mut self, id: CallId, offer: &[u8]) -> Result<Vec<u8>, Refusal> {
        let Some(call) = self.calls.get_mut(&id) else {
            return Err(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST.into());
        };
        if !call.is_up() {
            return Err(StatusCode::REQUEST_PENDING.into());
        }
        let refresh = call.remote_sdp == offer;
        let before = call.hold.wanted();
        let wanted = if refresh { before } else { Direction::SendRecv };
        let mut trial = call.negotiation.clone();
        let (mut sdp, mut agreed) = trial.answer(offer, wanted).map_err(Refusal::of)?;
        let mut ours = wanted;
        if !refresh && call.hold.local.is_some() {
            // SIP Server holds by NOTIFY and may resume by an active re-INVITE of its own
            // (`docs/talk-and-hold.md#retrieve`): that ends our hold. Anything less leaves it.
            if agreed.direction == Direction::SendRecv && agreed.remote.is_some() {
                // An offer of somebody who was never told of our hold, or whom it crossed, does not end it.
                if call.hold.is_known() {
                    call.hold.local = None;
                }
            } else {
                trial = call.negotiation.clone();
                (sdp, agreed) = trial.answer(offer, before).map_err(Refusal::of)?;
                ours = before;
            }
        }
        call.negotiation = trial;
        call.remote_sdp = offer.to_vec();
        call.hold.settle(ours, &agreed);
        Ok(sdp)
    }

    fn offer_in_ok(&mut self, id: CallId) -> Result<Vec<u8>, Refusal> {
        let Some(call) = self.calls.get_mut(&id) else {
            return Err(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST.into());
        };
        if !call.is_up() {
            return Err(StatusCode::REQUEST_PENDING.into());
        }
        // Without a description of its own SIP Server retrieves what it holds itself, whoever else holds it too. On a call that
        // only we hold this is a refresh, or new media behind the hold, and a hold of ours that it was not told of is not meant.
        if call.hold.remote && call.hold.is_known() {
            call.hold.local = None;
        }
        let wanted = call.hold.wanted();
        call.hold.offered_in_ok = Some(wanted);
        Ok(call.negotiation.offer(wanted))
    }

    /// Answers a request that carries no description.
    pub(crate) fn reply(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        status: StatusCode,
        headers: &[(HeaderName, Vec<u8>)],
    ) {
        self.ua.respond(now, transaction, status, headers, None);
    }
}

/// Why a re-INVITE or UPDATE is not taken.
struct Refusal {
    status: StatusCode,
    /// What is wrong with its description.
    cause: Option<Cause>,
}

impl Refusal {
    fn of(error: NegotiationError) -> Self {
        let cause = cause_of(&error);
        let status = StatusCode::new(cause.outcome().sip.unwrap_or(488));
        Self {
            status: status.unwrap_or(StatusCode::NOT_ACCEPTABLE_HERE),
            cause: Some(cause),
        }
    }
}

impl From<StatusCode> for Refusal {
    fn from(status: StatusCode) -> Self {
        Self {
            status,
            cause: None,
        }
    }
}

/// The tag of the dialog's peer.
fn tag_of(request: &Request) -> Option<Tag> {
    request.headers.from().ok()?.tag()
}
