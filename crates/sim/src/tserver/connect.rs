//! How a call comes about: its destination is called, answers, and is given to the caller.

use std::time::Instant;

use super::agenda::Timer;
use super::call::{Call, CallKey, Customer, Party, PartyKind};
use super::config::{CustomerAnswer, CustomerConfig};
use super::io::{EventKind, Output, PartyState, RequestError};
use super::leg::{InvitePurpose, LegKey, Then};
use super::limits::MAX_CALLS;
use super::machine::TServer;
use super::sdp::Audio;
use super::trunk::{TRUNK_PREFIX, TrunkCall};
use super::view::{CallKind, LegState};
use super::write::Reply;

impl TServer {
    pub(super) fn new_call(&mut self, kind: CallKind, dialled: String) -> Option<CallKey> {
        if self.calls.len() >= MAX_CALLS {
            return None;
        }
        let key = CallKey(self.number());
        let uuid = self.ids.call_uuid();
        self.uuids.insert(uuid.clone(), key);
        let kind = match kind {
            CallKind::Outbound if self.config.dns.contains_key(&dialled) => CallKind::Internal,
            kind => kind,
        };
        let call = Call {
            key,
            uuid,
            conn_id: self.ids.conn_id(),
            kind,
            dialled,
            parties: Vec::new(),
            consult_of: None,
        };
        self.calls.insert(key, call);
        Some(key)
    }

    /// Calls the dialled number on behalf of the party that is already there.
    pub(super) fn call_destination(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let number = call.dialled.clone();
        let Some(caller) = call.parties.first() else {
            return;
        };
        let caller_number = caller.number.clone();
        let offer = match &caller.kind {
            PartyKind::Customer(customer) => Some(customer.offer()),
            PartyKind::Endpoint(leg) => self.legs.get(leg).and_then(|l| l.remote_sdp.clone()),
        };
        let Some(offer) = offer else {
            return;
        };
        if !self.config.dns.contains_key(&number) {
            return self.call_customer(now, key, number);
        }
        let from_outside = matches!(caller.kind, PartyKind::Customer(_));
        if !from_outside && self.forwards(&number) {
            let trunk = format!("{TRUNK_PREFIX}{number}");
            self.push(Output::Trunk(TrunkCall {
                from: caller_number,
                to: number,
            }));
            return self.call_customer(now, key, trunk);
        }
        match self.refuses_call(&number, key) {
            Some(RequestError::Busy(_)) => return self.destination_failed(now, key, None, 486),
            Some(_) => return self.destination_failed(now, key, None, 480),
            None => {}
        }
        let Some(leg) = self.leg_to_dn(now, key, &number, &caller_number) else {
            return self.destination_failed(now, key, None, 480);
        };
        if let Some(call) = self.calls.get_mut(&key) {
            call.parties.push(Party::new(
                number,
                PartyKind::Endpoint(leg),
                PartyState::Initiated,
            ));
        }
        self.send_invite(now, leg, InvitePurpose::Destination { offer });
    }

    fn call_customer(&mut self, now: Instant, key: CallKey, number: String) {
        let Some(local) = self.free_media.pop_front() else {
            return self.destination_failed(now, key, None, 503);
        };
        let behaviour = self.customer_config(&number);
        if let Some(call) = self.calls.get_mut(&key) {
            call.parties.push(Party::new(
                number,
                PartyKind::Customer(Customer::new(local, behaviour.telephone_event)),
                PartyState::Ringing,
            ));
        }
        self.media(key, 1, false);
        if behaviour.then != CustomerAnswer::Refuse(404) {
            self.ring_uas_caller(now, key);
        }
        if behaviour.forks {
            self.other_branch_rings(now, key);
        }
        if behaviour.early_media {
            self.early_media(now, key, 1);
        }
        self.later(now, behaviour.ring, Timer::CustomerActs(key));
    }

    pub(super) fn customer_config(&self, number: &str) -> CustomerConfig {
        self.config
            .customers
            .get(number)
            .copied()
            .unwrap_or(self.config.customer)
    }

    pub(super) fn customer_acts(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let Some(index) = call.parties.iter().position(|party| {
            party.state == PartyState::Ringing && matches!(party.kind, PartyKind::Customer(_))
        }) else {
            return;
        };
        let number = call.parties[index].number.clone();
        match self.customer_config(&number).then {
            CustomerAnswer::Never => {
                if let Some(limit) = self.config.ring_max {
                    self.later(now, limit, Timer::CustomerGivesUp(key));
                }
            }
            CustomerAnswer::Refuse(status) => self.destination_failed(now, key, None, status),
            CustomerAnswer::Answer => self.customer_picks_up(now, key, index),
        }
    }

    pub(super) fn customer_gives_up(&mut self, now: Instant, key: CallKey) {
        let rings = |party: &Party| {
            party.state == PartyState::Ringing && matches!(party.kind, PartyKind::Customer(_))
        };
        let call = self.calls.get(&key);
        if call.is_some_and(|call| call.parties.iter().any(rings)) {
            self.destination_failed(now, key, None, 480);
        }
    }

    fn customer_picks_up(&mut self, now: Instant, key: CallKey, index: usize) {
        let offer = self.offer_for(key, index);
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let Some(party) = call.parties.get_mut(index) else {
            return;
        };
        party.state = PartyState::Established;
        let answer = match (party.customer_mut(), offer) {
            (Some(customer), Some(offer)) => {
                Audio::read(&offer).and_then(|audio| customer.answer(&audio))
            }
            _ => None,
        };
        self.media(key, index, false);
        match answer {
            Some(answer) => self.callee_answered(now, key, index, &answer),
            None => self.destination_failed(now, key, None, 488),
        }
    }

    /// What the other party last described.
    fn offer_for(&self, key: CallKey, index: usize) -> Option<String> {
        let call = self.calls.get(&key)?;
        match &call.parties[call.other(index)?].kind {
            PartyKind::Customer(customer) => Some(customer.offer()),
            PartyKind::Endpoint(leg) => self.legs.get(leg)?.remote_sdp.clone(),
        }
    }

    /// 200 of a called DN.
    pub(super) fn destination_answered(
        &mut self,
        now: Instant,
        key: CallKey,
        leg: LegKey,
        sdp: &str,
    ) {
        let index = self.calls.get(&key).and_then(|call| call.index_of_leg(leg));
        let joins = self.calls.get(&key).zip(index);
        if joins.is_some_and(|(call, index)| call.parties[index].bridge.is_some()) {
            return self.tell_bridge(leg);
        }
        if let Some(index) = index {
            self.callee_answered(now, key, index, sdp);
        }
    }

    /// Gives the callee's description to the party that waits for it.
    pub(super) fn callee_answered(&mut self, now: Instant, key: CallKey, index: usize, sdp: &str) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let Some(other) = call.other(index) else {
            return;
        };
        let waiting = &mut call.parties[other];
        let leg = match &mut waiting.kind {
            PartyKind::Customer(customer) => {
                waiting.state = PartyState::Established;
                let heard = Audio::read(sdp).and_then(|audio| customer.hear(&audio));
                self.media(key, other, false);
                if heard.is_none() {
                    self.end_call(now, key, None, Some(488));
                }
                return;
            }
            PartyKind::Endpoint(leg) => *leg,
        };
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        if entry.call != key {
            // The one dialog of the agent is with the other call: this one waits for its return.
            return;
        }
        match entry.state {
            LegState::Answered if entry.ours => {
                let answer = entry.origin.pass(sdp);
                self.ack(leg, Some(answer), true);
                self.establish(key, leg);
                self.leg_free(now, leg);
            }
            LegState::Calling | LegState::Early if !entry.ours => self.accept_call(now, leg, sdp),
            // What it last described was an answer to a hold: it is asked for an offer of its own.
            _ if entry.remote_audio().is_none_or(|audio| !audio.is_two_way()) => {
                let then = Then::Resync;
                self.reinvite(now, leg, InvitePurpose::Offerless { then });
            }
            _ => {
                let offer = sdp.to_owned();
                self.reinvite(now, leg, InvitePurpose::Connect { offer });
            }
        }
    }

    /// The destination's ACK, after the delay seen, and what follows it.
    pub(super) fn ack_destination(&mut self, now: Instant, leg: LegKey) {
        let Some(entry) = self.legs.get(&leg) else {
            return;
        };
        if entry.state != LegState::Answered {
            return;
        }
        let call = entry.call;
        self.ack(leg, None, true);
        self.establish(call, leg);
        if self.bridge_after_answer(now, leg) {
            return self.leg_free(now, leg);
        }
        if self.config.reinvite_after_answer {
            let delay = self.config.delays.reinvite;
            self.later(now, delay, Timer::Resync(leg));
        }
        self.leg_free(now, leg);
    }

    /// 180 for an endpoint that calls by itself, when its destination rings.
    pub(super) fn ring_caller(&mut self, now: Instant, key: CallKey, destination: LegKey) {
        let first = self.calls.get(&key).and_then(|call| call.parties.first());
        if first.and_then(Party::leg) != Some(destination) {
            self.ring_uas_caller(now, key);
        }
    }

    fn ring_uas_caller(&mut self, now: Instant, key: CallKey) {
        let leg = self
            .calls
            .get(&key)
            .and_then(|call| call.parties.first())
            .and_then(Party::leg);
        let Some(entry) = leg.and_then(|leg| self.legs.get_mut(&leg)) else {
            return;
        };
        if entry.ours || !matches!(entry.state, LegState::Calling | LegState::Early) {
            return;
        }
        let Some(server) = entry.invited.clone() else {
            return;
        };
        entry.state = LegState::Early;
        let (tag, contact) = (entry.local_tag.clone(), entry.frame.contact.clone());
        let uuid = entry.frame.call_uuid.clone();
        self.respond(
            now,
            &server,
            Reply {
                status: 180,
                to_tag: Some(&tag),
                lines: vec![("Contact", contact), ("X-Genesys-CallUUID", uuid)],
                ..Reply::default()
            },
        );
    }

    /// The party of a leg changes its state, and an event says so.
    pub(super) fn set_party(
        &mut self,
        key: CallKey,
        leg: LegKey,
        state: PartyState,
        kind: EventKind,
    ) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let Some(index) = call.index_of_leg(leg) else {
            return;
        };
        call.parties[index].state = state;
        self.call_event(key, index, kind);
    }

    /// The party of a leg talks from now on, or is held where its endpoint holds already; nothing happens if it already does.
    pub(super) fn establish(&mut self, key: CallKey, leg: LegKey) {
        let waiting = self.calls.get(&key).is_some_and(|call| {
            call.index_of_leg(leg).is_some_and(|index| {
                matches!(
                    call.parties[index].state,
                    PartyState::Initiated | PartyState::Ringing | PartyState::Dialing
                )
            })
        });
        if !waiting {
            return;
        }
        self.set_party(key, leg, PartyState::Established, EventKind::Established);
        // An endpoint may hold before the other party is there: its agent took another call meanwhile.
        let holds = self.legs.get(&leg).is_some_and(|entry| {
            !entry.black_hole && entry.remote_audio().is_some_and(|audio| audio.holds())
        });
        if holds {
            self.set_party(key, leg, PartyState::Held, EventKind::Held);
        }
    }
}
