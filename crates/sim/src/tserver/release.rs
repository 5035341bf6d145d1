//! How calls end: BYE, CANCEL, refusals, and the time-outs of SIP Server itself.

use std::time::Instant;

use super::agenda::Timer;
use super::call::{Call, CallKey, PartyKind};
use super::io::{EventKind, PartyState};
use super::leg::{InvitePurpose, LegKey};
use super::machine::TServer;
use super::transaction::{ClientKey, Purpose, ServerKey};
use super::view::LegState;
use super::write::{self, Reply};

fn call_leg(call: Option<&Call>, index: usize) -> Option<LegKey> {
    call?.parties.get(index)?.leg()
}

/// RFC 3326 header that SIP Server makes from a refusal.
fn reason_header(status: u16) -> String {
    format!("SIP;cause={status};text=\"{}\"", write::reason(status))
}

impl TServer {
    /// Ends a call for everybody. `by` is the party that left, `status` what the destination said.
    pub(super) fn end_call(
        &mut self,
        now: Instant,
        key: CallKey,
        by: Option<usize>,
        status: Option<u16>,
    ) {
        if let (Some(index), true) = (by, self.is_conference(key)) {
            return self.leave(now, key, index, status);
        }
        self.return_dialog(now, key);
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let abandoned = by == Some(0)
            && call
                .parties
                .get(1)
                .is_some_and(|party| party.state == PartyState::Ringing);
        let count = call.parties.len();
        for index in 0..count {
            let kind = match index {
                1 if abandoned => EventKind::Abandoned,
                _ => EventKind::Released { sip_status: status },
            };
            let lent = call_leg(self.calls.get(&key), index)
                .is_some_and(|leg| self.legs.get(&leg).is_some_and(|leg| leg.call != key));
            if lent {
                // Its dialog is with the other one of two calls that share it.
                self.call_event(key, index, kind);
                continue;
            }
            self.release_party(now, key, index, status, kind);
        }
        if let Some(call) = self.calls.remove(&key) {
            self.uuids.remove(&call.uuid);
        }
    }

    /// Lets one party of a call go.
    pub(super) fn release_party(
        &mut self,
        now: Instant,
        key: CallKey,
        index: usize,
        status: Option<u16>,
        kind: EventKind,
    ) {
        self.release_bridge(key, index);
        let Some(party) = self
            .calls
            .get_mut(&key)
            .and_then(|call| call.parties.get_mut(index))
        else {
            return;
        };
        let before = party.state;
        party.state = PartyState::Released;
        match party.kind {
            PartyKind::Customer(_) => self.media(key, index, true),
            PartyKind::Endpoint(leg) => {
                self.release_leg(now, leg, status);
                if before != PartyState::Released && before != PartyState::Initiated {
                    self.call_event(key, index, kind);
                }
            }
        }
    }

    /// Ends a dialog in the way that its state allows.
    pub(super) fn release_leg(&mut self, now: Instant, leg: LegKey, status: Option<u16>) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let reason = status.map(reason_header);
        let (state, ours) = (entry.state, entry.ours);
        match state {
            LegState::Terminated => {}
            LegState::Calling | LegState::Early if ours => {
                entry.state = LegState::Terminated;
                entry.cancelled = true;
                if entry.provisional {
                    self.send_cancel(now, leg);
                }
                self.forget_requests_of(leg);
            }
            LegState::Calling | LegState::Early => {
                let server = entry.invited.take();
                let tag = entry.local_tag.clone();
                entry.state = LegState::Terminated;
                if let Some(server) = server {
                    self.respond(
                        now,
                        &server,
                        Reply {
                            status: status.unwrap_or(480),
                            to_tag: Some(&tag),
                            ..Reply::default()
                        },
                    );
                }
                self.remove_leg(now, leg);
            }
            LegState::Answered if !ours => entry.bye_after_ack = Some(reason),
            LegState::Answered | LegState::Confirmed => {
                self.acknowledge_before_bye(leg, status.is_some());
                self.refuse_pending(now, leg);
                self.send_bye(now, leg, reason.as_deref());
            }
        }
    }

    /// A 2xx of the endpoint that still waits for its ACK gets one before the BYE.
    fn acknowledge_before_bye(&mut self, leg: LegKey, refused: bool) {
        let Some(entry) = self.legs.get(&leg) else {
            return;
        };
        let echo = match &entry.unacknowledged {
            Some(answered) if refused && answered.purpose == InvitePurpose::Originator => {
                // Seen: the originator's own description comes back, without Max-Forwards.
                entry.remote_sdp.clone()
            }
            Some(_) => None,
            None => return,
        };
        match echo {
            Some(own) => self.ack(leg, Some(own), false),
            None => self.ack_nothing(leg),
        }
    }

    /// An INVITE of the endpoint that is not answered yet.
    fn refuse_pending(&mut self, now: Instant, leg: LegKey) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let tag = entry.local_tag.clone();
        if let Some(server) = entry.invited.take() {
            self.respond(
                now,
                &server,
                Reply {
                    status: 487,
                    to_tag: Some(&tag),
                    ..Reply::default()
                },
            );
        }
    }

    pub(super) fn send_bye(&mut self, now: Instant, leg: LegKey, reason: Option<&str>) {
        let reason = reason.map(str::to_owned);
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.state = LegState::Terminated;
        }
        self.abandon_queue(now, leg);
        self.forget_requests_of(leg);
        self.send_in_dialog(now, leg, "BYE", Purpose::Bye(leg), |frame, cseq, branch| {
            frame.bye(cseq, branch, reason.as_deref())
        });
    }

    /// CANCEL of the INVITE under way: same branch, CSeq and To as the INVITE had.
    pub(super) fn send_cancel(&mut self, now: Instant, leg: LegKey) {
        let lifetime = self.config.timers.lifetime();
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let Some(invite) = entry.inviting.clone() else {
            return;
        };
        let Some(frame) = self.clients.get_mut(&invite).map(|client| {
            // RFC 3261 section 9.1: 64*T1 later the INVITE counts as over, answered or not.
            client.abandon()
        }) else {
            return;
        };
        let cseq = entry.invite_cseq;
        let bytes = frame.cancel(cseq, &invite.branch);
        let destination = entry.destination;
        self.later(now, lifetime, Timer::ClientEnd(invite.clone()));
        let key = ClientKey {
            branch: invite.branch,
            method: "CANCEL",
        };
        self.start_client(now, key, destination, (frame, cseq), bytes, Purpose::Cancel);
    }

    /// The endpoint has ended the dialog, or it is out of reach.
    pub(super) fn endpoint_left(&mut self, now: Instant, leg: LegKey) {
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.state = LegState::Terminated;
        }
        self.abandon_queue(now, leg);
        self.refuse_pending(now, leg);
        self.forget_requests_of(leg);
    }

    /// Forgets a dialog. An INVITE of ours that still runs gets its time, but no more.
    pub(super) fn remove_leg(&mut self, now: Instant, leg: LegKey) {
        let Some(entry) = self.legs.remove(&leg) else {
            return;
        };
        self.dialogs.remove(&(entry.frame.call_id, entry.local_tag));
        let Some(invite) = entry.inviting else {
            return;
        };
        if let Some(client) = self.clients.get_mut(&invite) {
            client.abandon();
            let lifetime = self.config.timers.lifetime();
            self.later(now, lifetime, Timer::ClientEnd(invite));
        }
    }

    /// Re-INVITEs that will never be sent: whoever waits for their answers is told.
    pub(super) fn abandon_queue(&mut self, now: Instant, leg: LegKey) {
        let queue = self
            .legs
            .get_mut(&leg)
            .map(|entry| std::mem::take(&mut entry.queue));
        for purpose in queue.into_iter().flatten() {
            self.never_sent(now, purpose);
        }
    }

    /// The destination refused, is busy, is not there.
    pub(super) fn destination_failed(
        &mut self,
        now: Instant,
        key: CallKey,
        leg: Option<LegKey>,
        status: u16,
    ) {
        let joining = leg.filter(|_| self.is_conference(key));
        if let Some(leg) = joining {
            return self.party_lost(now, leg, Some(status));
        }
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let failed = leg.and_then(|leg| call.index_of_leg(leg));
        let busy = matches!(status, 486 | 600);
        for index in 0..call.parties.len() {
            if busy && Some(index) != failed {
                self.call_event(key, index, EventKind::DestinationBusy);
            }
        }
        self.end_call(now, key, None, Some(status));
    }

    pub(super) fn no_answer(&mut self, now: Instant, leg: LegKey) {
        let entry = self.legs.get(&leg);
        if entry.is_some_and(|leg| leg.state == LegState::Early) {
            self.party_lost(now, leg, Some(480));
        }
    }

    /// Flow 1, 64*T1 after the originator's 200: black hole, BYE without Reason, CANCEL.
    pub(super) fn withheld_too_long(&mut self, now: Instant, leg: LegKey) {
        let waiting = self
            .legs
            .get(&leg)
            .filter(|leg| leg.state == LegState::Answered && leg.unacknowledged.is_some())
            .map(|leg| leg.call);
        if let Some(call) = waiting {
            self.end_call(now, call, None, None);
        }
    }

    /// Our 2xx was never acknowledged (RFC 3261 section 13.3.1.4).
    pub(super) fn ack_missing(&mut self, now: Instant, leg: LegKey, key: &ServerKey) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let missing = entry
            .awaiting_ack
            .take_if(|(_, awaited)| awaited == key)
            .is_some();
        if !missing {
            return;
        }
        entry.state = LegState::Confirmed;
        match entry.bye_after_ack.take() {
            Some(reason) => self.send_bye(now, leg, reason.as_deref()),
            None => self.party_lost(now, leg, Some(408)),
        }
    }
}
