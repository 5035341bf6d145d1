//! Offers and answers: INVITEs with and without SDP, ACKs, and who answers whom.

use std::time::{Duration, Instant};

use super::agenda::Timer;
use super::call::{CallKey, PartyKind};
use super::io::{EventKind, PartyState};
use super::leg::{InvitePurpose, Leg, LegKey, Then, Waiter};
use super::machine::TServer;
use super::sdp::Audio;
use super::transaction::{ClientKey, Purpose};
use super::view::LegState;
use super::write::InviteForm;

/// What became of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Sdp(String),
    /// Nobody there to answer: media goes nowhere.
    BlackHole,
    Refused(u16),
}

impl TServer {
    /// Sends an INVITE, the first of a dialog or a later one.
    pub(super) fn send_invite(&mut self, now: Instant, leg: LegKey, purpose: InvitePurpose) {
        let branch = self.ids.branch();
        let rfc3264 = self.dn_of(leg).is_some_and(|dn| dn.hold_rfc3264);
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let sdp = match &purpose {
            InvitePurpose::Originator | InvitePurpose::Offerless { .. } => None,
            InvitePurpose::Destination { offer }
            | InvitePurpose::PeerOffer { offer, .. }
            | InvitePurpose::Connect { offer }
            | InvitePurpose::Bridge { offer } => Some(entry.origin.pass(offer)),
            InvitePurpose::Hold | InvitePurpose::Held if rfc3264 => Some(entry.origin.inactive()),
            InvitePurpose::Hold | InvitePurpose::Held => Some(entry.origin.black_hole()),
            InvitePurpose::Refresh => entry.local_sdp.clone(),
        };
        let form = match purpose {
            InvitePurpose::Destination { .. } => InviteForm::Destination,
            InvitePurpose::Originator => InviteForm::Originator,
            _ => InviteForm::Again,
        };
        if matches!(
            purpose,
            InvitePurpose::Connect { .. } | InvitePurpose::Bridge { .. }
        ) {
            // Active media ends a black hole of ours, also one that was asked for meanwhile.
            entry.black_hole = false;
        }
        let cseq = entry.next_cseq();
        let bytes = entry.frame.invite(form, cseq, &branch, sdp.as_deref());
        let key = ClientKey {
            branch,
            method: "INVITE",
        };
        entry.invite_cseq = cseq;
        entry.inviting = Some(key.clone());
        entry.offering = sdp;
        let (destination, frame) = (entry.destination, entry.frame.clone());
        let purpose = Purpose::Invite(leg, purpose);
        self.start_client(now, key, destination, (frame, cseq), bytes, purpose);
    }

    /// Sends a re-INVITE, now or when the dialog is free.
    pub(super) fn reinvite(&mut self, now: Instant, leg: LegKey, purpose: InvitePurpose) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return self.never_sent(now, purpose);
        };
        if entry.state == LegState::Terminated {
            return self.never_sent(now, purpose);
        }
        if entry.state != LegState::Confirmed || !entry.idle() {
            entry.queue.push_back(purpose);
            return;
        }
        if entry.black_hole && matches!(purpose, InvitePurpose::PeerOffer { .. }) {
            // It was held while the offer waited for its turn.
            self.never_sent(now, purpose);
            return self.leg_free(now, leg);
        }
        self.send_invite(now, leg, purpose);
    }

    /// A re-INVITE that cannot be: whoever waits for its answer is told.
    pub(super) fn never_sent(&mut self, now: Instant, purpose: InvitePurpose) {
        if let InvitePurpose::PeerOffer { waiter, .. } = purpose {
            self.deliver(now, waiter, Answer::BlackHole);
        }
    }

    /// The running INVITE of a dialog is over: the next may start.
    pub(super) fn leg_free(&mut self, now: Instant, leg: LegKey) {
        let next = self
            .legs
            .get_mut(&leg)
            .filter(|leg| leg.state == LegState::Confirmed && leg.idle())
            .and_then(|leg| leg.queue.pop_front());
        if let Some(purpose) = next {
            self.reinvite(now, leg, purpose);
        }
    }

    /// ACK of the 2xx at hand. The first one confirms the dialog.
    pub(super) fn ack(&mut self, leg: LegKey, sdp: Option<String>, max_forwards: bool) {
        let branch = self.ids.branch();
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let Some(answered) = entry.unacknowledged.take() else {
            return;
        };
        let bytes = entry
            .frame
            .ack(answered.cseq, &branch, sdp.as_deref(), max_forwards);
        entry.keep_ack(answered.cseq, bytes.clone());
        if sdp.is_some() {
            entry.local_sdp = sdp;
        }
        let destination = entry.destination;
        if entry.state == LegState::Answered {
            entry.state = LegState::Confirmed;
        }
        self.transmit(destination, bytes);
    }

    /// ACK that leads media nowhere, if the 2xx carried an offer; else a plain one.
    pub(super) fn ack_nothing(&mut self, leg: LegKey) {
        let sdp = self.legs.get_mut(&leg).and_then(|leg| {
            let offered = matches!(
                leg.unacknowledged.as_ref()?.purpose,
                InvitePurpose::Originator | InvitePurpose::Offerless { .. }
            );
            offered.then(|| leg.origin.black_hole())
        });
        self.ack(leg, sdp, true);
    }

    pub(super) fn resync(&mut self, now: Instant, leg: LegKey) {
        self.reinvite(now, leg, InvitePurpose::Offerless { then: Then::Resync });
    }

    /// Asks the other party of the call to answer an offer of this leg.
    pub(super) fn seek_answer(&mut self, now: Instant, leg: LegKey, offer: &str, waiter: Waiter) {
        let entry = self.legs.get(&leg);
        let black_hole = entry.is_some_and(|leg| leg.black_hole);
        let retrieving = matches!(
            entry.and_then(|leg| leg.unacknowledged.as_ref()),
            Some(answered)
                if answered.purpose == InvitePurpose::Offerless { then: Then::Retrieve }
        );
        if black_hole && !retrieving {
            return self.deliver(now, waiter, Answer::BlackHole);
        }
        if self.bridge_answers(now, leg, offer, waiter) {
            return;
        }
        let other = self.legs.get(&leg).and_then(|entry| {
            let call = self.calls.get(&entry.call)?;
            let other = call.other(call.index_of_leg(leg)?)?;
            Some(&call.parties[other])
        });
        let Some(other) = other else {
            return self.deliver(now, waiter, Answer::BlackHole);
        };
        let offer = offer.to_owned();
        match other.kind {
            PartyKind::Customer(_) => {
                let delay = match waiter {
                    Waiter::Ack(_) => self.config.delays.customer_answer,
                    Waiter::Reply(_) => Duration::ZERO,
                };
                if delay.is_zero() {
                    self.customer_answers(now, waiter, &offer);
                } else {
                    self.later(now, delay, Timer::CustomerAnswer { waiter, offer });
                }
            }
            PartyKind::Endpoint(peer) => {
                // An endpoint that called by itself is asked as soon as it has acknowledged; a dialog that is lent to another
                // call is not asked.
                let own = self.legs.get(&leg).map(|leg| leg.call);
                let open = self.legs.get(&peer).is_some_and(|peer| {
                    let connected = match peer.state {
                        LegState::Confirmed => true,
                        LegState::Answered => !peer.ours,
                        _ => false,
                    };
                    connected && !peer.black_hole && Some(peer.call) == own
                });
                if open {
                    self.reinvite(now, peer, InvitePurpose::PeerOffer { offer, waiter });
                } else {
                    self.deliver(now, waiter, Answer::BlackHole);
                }
            }
        }
    }

    pub(super) fn customer_answers(&mut self, now: Instant, waiter: Waiter, offer: &str) {
        let found = self.customer_of(waiter.leg());
        let Some((key, index)) = found else {
            return self.deliver(now, waiter, Answer::BlackHole);
        };
        let answer = self
            .calls
            .get_mut(&key)
            .and_then(|call| call.parties[index].customer_mut())
            .and_then(|customer| customer.answer(&Audio::read(offer)?));
        self.media(key, index, false);
        self.deliver(
            now,
            waiter,
            answer.map_or(Answer::Refused(488), Answer::Sdp),
        );
    }

    /// The customer on the other side of a leg, unless the Media Server is between them.
    fn customer_of(&self, leg: LegKey) -> Option<(CallKey, usize)> {
        let call = self.calls.get(&self.legs.get(&leg)?.call)?;
        let own = call.index_of_leg(leg)?;
        let other = call
            .other(own)
            .filter(|_| call.parties[own].bridge.is_none())?;
        matches!(call.parties[other].kind, PartyKind::Customer(_)).then_some((call.key, other))
    }

    /// The customer on the other side takes over what this leg last described.
    pub(super) fn tell_customer(&mut self, leg: LegKey) {
        self.tell_bridge(leg);
        let Some((key, index)) = self.customer_of(leg) else {
            return;
        };
        let audio = self.legs.get(&leg).and_then(Leg::remote_audio);
        let customer = self
            .calls
            .get_mut(&key)
            .and_then(|call| call.parties[index].customer_mut());
        if let (Some(customer), Some(audio)) = (customer, audio) {
            customer.hear(&audio);
            self.media(key, index, false);
        }
    }

    /// Gives the answer to whoever waits for it.
    pub(super) fn deliver(&mut self, now: Instant, waiter: Waiter, answer: Answer) {
        match waiter {
            Waiter::Ack(leg) => self.deliver_in_ack(now, leg, answer),
            Waiter::Reply(leg) => self.deliver_in_reply(now, leg, answer),
        }
    }

    fn deliver_in_ack(&mut self, now: Instant, leg: LegKey, answer: Answer) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        if !entry.alive() {
            return;
        }
        let Some(answered) = &entry.unacknowledged else {
            return;
        };
        let retrieve = answered.purpose
            == InvitePurpose::Offerless {
                then: Then::Retrieve,
            };
        let sdp = match &answer {
            Answer::Sdp(sdp) => entry.origin.pass(sdp),
            Answer::BlackHole | Answer::Refused(_) => entry.origin.black_hole(),
        };
        if retrieve {
            entry.black_hole = false;
        }
        // Its agent may have put it on hold meanwhile, for another call.
        let holds = entry.remote_audio().is_some_and(|audio| audio.holds());
        let call = entry.call;
        self.ack(leg, Some(sdp), true);
        let connected = self.calls.get(&call).is_some_and(|call| {
            call.index_of_leg(leg)
                .and_then(|own| call.other(own))
                .is_some_and(|other| call.parties[other].state == PartyState::Established)
        });
        if connected && matches!(answer, Answer::Sdp(_)) {
            self.establish(call, leg);
        }
        if retrieve && !holds {
            self.set_party(call, leg, PartyState::Established, EventKind::Retrieved);
        }
        self.note_retrieved(call, leg);
        self.leg_free(now, leg);
    }

    fn deliver_in_reply(&mut self, now: Instant, leg: LegKey, answer: Answer) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let Some(server) = entry.invited.take() else {
            return;
        };
        let offered = entry.offered.take();
        let call = entry.call;
        let sdp = match answer {
            Answer::Sdp(sdp) => entry.origin.pass(&sdp),
            Answer::BlackHole => entry.origin.black_hole(),
            Answer::Refused(status) => {
                let status = if status == 491 { 500 } else { status };
                self.simple(now, &server, status, Vec::new());
                return self.leg_free(now, leg);
            }
        };
        entry.remote_sdp = offered;
        // What we hold stays held, whatever its endpoint wishes.
        let holds = entry.black_hole || entry.remote_audio().is_some_and(|audio| audio.holds());
        self.accept(now, leg, &server, &sdp);
        let state = self.calls.get(&call).and_then(|call| {
            let index = call.index_of_leg(leg)?;
            Some(call.parties[index].state)
        });
        match (state, holds) {
            (Some(PartyState::Established), true) => {
                self.set_party(call, leg, PartyState::Held, EventKind::Held);
            }
            (Some(PartyState::Held), false) => {
                self.set_party(call, leg, PartyState::Established, EventKind::Retrieved);
            }
            _ => {}
        }
    }

    /// The other party of a DN that holds by black hole gets one as well.
    pub(super) fn hold_other(&mut self, now: Instant, key: CallKey, leg: LegKey) {
        if self.mute_bridge(leg) {
            return;
        }
        if let Some((key, index)) = self.customer_of(leg) {
            if let Some(customer) = self
                .calls
                .get_mut(&key)
                .and_then(|call| call.parties[index].customer_mut())
            {
                customer.remote = None;
            }
            return self.media(key, index, false);
        }
        let peer = self.calls.get(&key).and_then(|call| {
            let other = call.other(call.index_of_leg(leg)?)?;
            call.parties[other].leg()
        });
        let lent = |peer: &LegKey| self.legs.get(peer).is_some_and(|leg| leg.call != key);
        if let Some(peer) = peer.filter(|peer| !lent(peer)) {
            self.reinvite(now, peer, InvitePurpose::Held);
        }
    }
}
