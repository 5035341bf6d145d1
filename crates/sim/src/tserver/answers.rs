//! What the answers of endpoints mean, by the purpose of the request.

use std::time::{Duration, Instant};

use super::agenda::Timer;
use super::config::MakeCallFlow;
use super::io::{EventKind, PartyState};
use super::leg::{InvitePurpose, LegKey, Then, Unacknowledged, Waiter};
use super::limits::MAX_GLARE_RETRIES;
use super::machine::TServer;
use super::offers::Answer;
use super::read::Incoming;
use super::text;
use super::transaction::Purpose;
use super::view::LegState;

impl TServer {
    /// 101-199 to an INVITE.
    pub(super) fn provisional(
        &mut self,
        now: Instant,
        leg: LegKey,
        purpose: &InvitePurpose,
        message: &Incoming,
    ) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let first = !entry.provisional;
        entry.provisional = true;
        if entry.cancelled {
            if first {
                self.send_cancel(now, leg);
            }
            return;
        }
        if entry.state == LegState::Confirmed {
            return;
        }
        self.learn_remote(leg, message);
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        entry.state = LegState::Early;
        self.acknowledge_provisional(now, leg, message);
        let Some(entry) = self.legs.get(&leg) else {
            return;
        };
        let (call, dn) = (entry.call, entry.dn.clone());
        if !first {
            return;
        }
        match purpose {
            InvitePurpose::Originator => {
                self.set_party(call, leg, PartyState::Dialing, EventKind::Dialing);
                let talk = self
                    .config
                    .dns
                    .get(&dn)
                    .is_some_and(|dn| dn.cti_control.talk);
                if talk {
                    self.send_notify(now, leg, "talk", None);
                }
                if let Some(limit) = self.config.ring_max {
                    self.later(now, limit, Timer::NoAnswer(leg));
                }
            }
            InvitePurpose::Destination { .. } => {
                self.set_party(call, leg, PartyState::Ringing, EventKind::Ringing);
                self.ring_caller(now, call, leg);
                let limit = self.config.dns.get(&dn).and_then(|dn| dn.no_answer_timeout);
                if let Some(limit) = limit.or(self.config.ring_max) {
                    self.later(now, limit, Timer::NoAnswer(leg));
                }
            }
            _ => {}
        }
    }

    /// Remote tag and target, from an answer of the endpoint.
    fn learn_remote(&mut self, leg: LegKey, message: &Incoming) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        if entry.ours && entry.remote_tag.is_none() && message.to_tag().is_some() {
            entry.learn_routes(message);
        }
        if let Some(tag) = message.to_tag() {
            entry.remote_tag = Some(tag.to_owned());
            entry.frame.to = message.to().to_owned();
        }
        if let Some(contact) = message.get("Contact") {
            let uri = text::uri_of(contact);
            entry.frame.uri = uri.to_owned();
            if let Some(address) = text::address_of(uri).filter(|_| entry.frame.routes.is_empty()) {
                entry.destination.to = address;
            }
        }
    }

    pub(super) fn final_answer(
        &mut self,
        now: Instant,
        purpose: Purpose,
        status: u16,
        message: &Incoming,
    ) {
        let good = status < 300;
        match purpose {
            Purpose::Invite(leg, purpose) => {
                if let Some(entry) = self.legs.get_mut(&leg) {
                    entry.inviting = None;
                }
                if good {
                    self.accepted(now, leg, purpose, message);
                } else {
                    self.refused(now, leg, purpose, status);
                }
            }
            Purpose::Notify {
                leg,
                request: Some(request),
            } if !good => self.leg_error(leg, request, format!("the endpoint answered {status}")),
            Purpose::Notify { .. } => {}
            Purpose::Dtmf { leg, digits, next } => {
                if good {
                    self.next_digit(now, leg, digits, next);
                } else {
                    let message = format!("the endpoint answered {status}");
                    self.leg_error(leg, "TSendDTMF", message);
                }
            }
            Purpose::Bye(leg) => self.remove_leg(now, leg),
            Purpose::Prack(leg) if !good => self.prack_refused(leg),
            Purpose::Refer(referral) if !good => {
                self.refer_refused(&referral, format!("the endpoint answered {status}"));
            }
            Purpose::Move(leg) if !good => {
                self.move_failed(leg, format!("the endpoint answered {status}"));
            }
            Purpose::Refresh(leg) => self.session_refreshed(now, leg, status, message),
            Purpose::Prack(_)
            | Purpose::Move(_)
            | Purpose::Refer(_)
            | Purpose::Cancel
            | Purpose::Options
            | Purpose::Aside(_)
            | Purpose::ReferProgress => {}
        }
    }

    /// Timer B, Timer F, or the trying timer.
    pub(super) fn no_final_answer(&mut self, now: Instant, purpose: Purpose) {
        match purpose {
            Purpose::Invite(leg, purpose) => {
                if let Some(entry) = self.legs.get_mut(&leg) {
                    entry.inviting = None;
                }
                self.refused(now, leg, purpose, 408);
            }
            Purpose::Notify {
                leg,
                request: Some(request),
            } => self.leg_error(leg, request, "the endpoint did not answer".to_owned()),
            Purpose::Dtmf { leg, .. } => {
                self.leg_error(leg, "TSendDTMF", "the endpoint did not answer".to_owned());
            }
            Purpose::Bye(leg) => self.remove_leg(now, leg),
            Purpose::Prack(leg) => self.prack_refused(leg),
            Purpose::Refer(referral) => {
                self.refer_refused(&referral, "the endpoint did not answer".to_owned());
            }
            Purpose::Move(leg) => self.move_failed(leg, "the endpoint did not answer".to_owned()),
            Purpose::Refresh(leg) => self.dialog_lost(now, leg, 408),
            Purpose::Notify { .. }
            | Purpose::Cancel
            | Purpose::Options
            | Purpose::Aside(_)
            | Purpose::ReferProgress => {}
        }
    }

    fn accepted(&mut self, now: Instant, leg: LegKey, purpose: InvitePurpose, message: &Incoming) {
        self.learn_remote(leg, message);
        self.session_granted(now, leg, message);
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        if let Some(offer) = entry.offering.take() {
            entry.local_sdp = Some(offer);
        }
        entry.unacknowledged = Some(Unacknowledged {
            cseq: message.cseq,
            purpose: purpose.clone(),
        });
        if !entry.alive() {
            // It crossed our CANCEL or BYE.
            let cancelled = entry.cancelled;
            self.ack_nothing(leg);
            if cancelled {
                self.send_bye(now, leg, None);
            }
            return self.never_sent(now, purpose);
        }
        if let Some(sdp) = message.sdp() {
            entry.remote_sdp = Some(sdp.to_owned());
        }
        entry.glare_retries = 0;
        let sdp = message.sdp().map(str::to_owned);
        let call = entry.call;
        match (purpose, sdp) {
            (InvitePurpose::Originator, Some(_)) => self.originator_answered(now, leg),
            (InvitePurpose::Destination { .. }, Some(sdp)) => {
                entry.state = LegState::Answered;
                let delay = self.config.delays.ack;
                self.later(now, delay, Timer::Ack(leg));
                self.destination_answered(now, call, leg, &sdp);
            }
            (InvitePurpose::Offerless { .. }, Some(offer)) => {
                self.seek_answer(now, leg, &offer, Waiter::Ack(leg));
            }
            (InvitePurpose::PeerOffer { waiter, .. }, Some(answer)) => {
                self.ack(leg, None, true);
                self.note_retrieved(call, leg);
                self.deliver(now, waiter, Answer::Sdp(answer));
                self.leg_free(now, leg);
            }
            (InvitePurpose::Connect { .. }, Some(_)) => {
                self.ack(leg, None, true);
                self.tell_customer(leg);
                self.establish(call, leg);
                self.note_retrieved(call, leg);
                self.leg_free(now, leg);
            }
            (InvitePurpose::Bridge { .. }, Some(_)) => {
                self.ack(leg, None, true);
                self.tell_bridge(leg);
                self.note_retrieved(call, leg);
                self.leg_free(now, leg);
            }
            (InvitePurpose::Hold, Some(_)) => self.held_by_black_hole(now, leg),
            (InvitePurpose::Held | InvitePurpose::Refresh, Some(_)) => {
                self.ack(leg, None, true);
                self.leg_free(now, leg);
            }
            (_, None) => {
                // A 2xx without SDP where one is due: the session cannot be.
                self.ack_nothing(leg);
                self.end_call(now, call, None, Some(488));
            }
        }
    }

    fn originator_answered(&mut self, now: Instant, leg: LegKey) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        entry.state = LegState::Answered;
        let (call, dn) = (entry.call, entry.dn.clone());
        // A 200 without an 18x before it dials as well.
        let dialing = self.calls.get(&call).is_some_and(|call| {
            call.parties
                .first()
                .is_some_and(|party| party.state == PartyState::Dialing)
        });
        if !dialing {
            self.set_party(call, leg, PartyState::Dialing, EventKind::Dialing);
        }
        let flow = self
            .config
            .dns
            .get(&dn)
            .map_or(MakeCallFlow::One, |dn| dn.make_call_flow);
        match flow {
            MakeCallFlow::One => {
                let lifetime = self.config.timers.lifetime();
                self.later(now, lifetime, Timer::Withheld(leg));
            }
            MakeCallFlow::Two => self.ack_nothing(leg),
        }
        self.call_destination(now, call);
    }

    fn held_by_black_hole(&mut self, now: Instant, leg: LegKey) {
        self.ack(leg, None, true);
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        entry.black_hole = true;
        let call = entry.call;
        self.set_party(call, leg, PartyState::Held, EventKind::Held);
        self.hold_other(now, call, leg);
        self.leg_free(now, leg);
    }

    fn refused(&mut self, now: Instant, leg: LegKey, purpose: InvitePurpose, status: u16) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        if !entry.alive() {
            if entry.cancelled {
                self.remove_leg(now, leg);
            }
            return self.never_sent(now, purpose);
        }
        let (call, provisional) = (entry.call, entry.provisional);
        if self.comes_again(now, leg, &purpose, status) {
            return;
        }
        match purpose {
            InvitePurpose::Destination { .. } => {
                if status == 408 && provisional {
                    self.send_cancel(now, leg);
                }
                self.invite_failed(now, leg, status);
                self.endpoint_left(now, leg);
                self.destination_failed(now, call, Some(leg), status);
                self.remove_leg(now, leg);
            }
            InvitePurpose::Originator => {
                self.invite_failed(now, leg, status);
                self.endpoint_left(now, leg);
                self.leg_error(
                    leg,
                    "TMakeCall",
                    format!("the originator answered {status}"),
                );
                self.end_call(now, call, None, Some(status));
                self.remove_leg(now, leg);
            }
            _ if matches!(status, 408 | 481) => self.dialog_lost(now, leg, status),
            InvitePurpose::Offerless { then } => {
                if then == Then::Retrieve {
                    let message = format!("the endpoint answered {status}");
                    self.leg_error(leg, "TRetrieveCall", message);
                }
                self.leg_free(now, leg);
            }
            InvitePurpose::PeerOffer { waiter, .. } => {
                self.deliver(now, waiter, Answer::Refused(status));
                self.leg_free(now, leg);
            }
            InvitePurpose::Connect { .. } => self.end_call(now, call, None, Some(status)),
            InvitePurpose::Hold => {
                self.leg_error(leg, "THoldCall", format!("the endpoint answered {status}"));
                self.leg_free(now, leg);
                // A main call that waited while its dialog was lent is with its agent again, whose endpoint would not hold it.
                if self.note_retrieved(call, leg) {
                    self.resync(now, leg);
                }
            }
            InvitePurpose::Held | InvitePurpose::Refresh => self.leg_free(now, leg),
            InvitePurpose::Bridge { .. } if self.is_conference(call) => {
                self.party_lost(now, leg, Some(status));
            }
            InvitePurpose::Bridge { .. } => {
                self.leg_free(now, leg);
                self.unbridge(now, call);
            }
        }
    }

    /// Whether a re-INVITE that was refused is sent again. 491: one of the endpoint's is under way; without an answer to who asks where its media is,
    /// nobody would hear it from then on. 500: a later request of ours overtook it. 503: there was no room for it just then.
    fn comes_again(
        &mut self,
        now: Instant,
        leg: LegKey,
        purpose: &InvitePurpose,
        status: u16,
    ) -> bool {
        let opens = matches!(
            purpose,
            InvitePurpose::Destination { .. } | InvitePurpose::Originator
        );
        let Some(entry) = self.legs.get_mut(&leg).filter(|_| !opens) else {
            return false;
        };
        let must = *purpose == InvitePurpose::Offerless { then: Then::Resync };
        let again = match status {
            491 if must => true,
            491 | 500 | 503 => entry.glare_retries < MAX_GLARE_RETRIES,
            _ => false,
        };
        // The next one has tries of its own.
        entry.glare_retries = if again { entry.glare_retries + 1 } else { 0 };
        if again {
            self.after_glare(now, leg, purpose.clone());
        }
        again
    }

    /// RFC 3261 section 14.1: the owner of the Call-ID waits 2.1 to 4 s, the other side 0 to 2 s.
    fn after_glare(&mut self, now: Instant, leg: LegKey, purpose: InvitePurpose) {
        let ours = self.legs.get(&leg).is_some_and(|leg| leg.ours);
        let tens_of_ms = if ours {
            210 + self.ids.below(191)
        } else {
            self.ids.below(201)
        };
        let delay = Duration::from_millis(tens_of_ms * 10);
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.queue.push_front(purpose);
            entry.backing_off = true;
        }
        self.later(now, delay, Timer::Again(leg));
    }

    pub(super) fn after_back_off(&mut self, now: Instant, leg: LegKey) {
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.backing_off = false;
        }
        self.leg_free(now, leg);
    }

    /// The endpoint knows the dialog no more, or says nothing.
    pub(super) fn dialog_lost(&mut self, now: Instant, leg: LegKey, status: u16) {
        self.endpoint_left(now, leg);
        self.calls_lost(now, leg, status);
        self.remove_leg(now, leg);
    }
}
