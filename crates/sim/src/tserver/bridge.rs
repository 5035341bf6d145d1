//! The Media Server between the parties of a call: conference, supervision, recording, greeting.
//!
//! Each endpoint of such a call talks to a port of its own. No dialog is touched before every port is there: what fails, fails
//! before anything was sent.

use std::time::Instant;

use super::agenda::Timer;
use super::call::{Call, CallKey, Customer, Party, PartyKind};
use super::io::{CallUuid, CustomerMedia, EventKind, Output, PartyState, RequestError};
use super::leg::{InvitePurpose, Leg, LegKey, Then, Waiter};
use super::machine::TServer;
use super::offers::Answer;
use super::sdp::Audio;
use super::view::LegState;

impl TServer {
    /// Gives every endpoint of a call a port of the Media Server, where it has none, and tells it by re-INVITE.
    pub(super) fn bridge_call(&mut self, now: Instant, key: CallKey) -> Result<(), RequestError> {
        let Some(call) = self.calls.get(&key) else {
            return Err(RequestError::NoCall);
        };
        let connected =
            |party: &&Party| matches!(party.state, PartyState::Established | PartyState::Held);
        if let Some(party) = call.parties.iter().find(|party| !connected(party)) {
            return Err(RequestError::State(party.state));
        }
        let lent = |party: &&Party| {
            let leg = party.leg().and_then(|leg| self.legs.get(&leg));
            leg.is_some_and(|leg| leg.call != key)
        };
        if let Some(party) = call.parties.iter().find(lent) {
            return Err(RequestError::State(party.state));
        }
        let needed: Vec<usize> = (0..call.parties.len())
            .filter(|&index| {
                let party = &call.parties[index];
                party.leg().is_some() && party.bridge.is_none()
            })
            .collect();
        if self.free_media.len() < needed.len() {
            return Err(RequestError::NoMedia);
        }
        self.silence_customers(key);
        for index in needed {
            let offer = self.place_bridge(key, index);
            let leg = self
                .calls
                .get(&key)
                .and_then(|call| call.parties[index].leg());
            let (Some(offer), Some(leg)) = (offer, leg) else {
                continue;
            };
            self.before_new_media(now, leg);
            self.reinvite(now, leg, InvitePurpose::Bridge { offer });
        }
        Ok(())
    }

    /// `reinvite-requires-hold`, and the end of a black hole of ours.
    pub(super) fn before_new_media(&mut self, now: Instant, leg: LegKey) {
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.black_hole = false;
        }
        if self.dn_of(leg).is_some_and(|dn| dn.reinvite_requires_hold) {
            self.reinvite(now, leg, InvitePurpose::Held);
        }
    }

    /// What customers say and hear in a bridged call passes between the ports and them, not through the network.
    fn silence_customers(&mut self, key: CallKey) {
        let count = self.calls.get(&key).map_or(0, |call| call.parties.len());
        for index in 0..count {
            let party = self
                .calls
                .get_mut(&key)
                .and_then(|call| call.parties.get_mut(index));
            if let Some(customer) = party.and_then(Party::customer_mut) {
                customer.remote = None;
                self.media(key, index, false);
            }
        }
    }

    /// Takes a port for a party and gives the port's offer.
    fn place_bridge(&mut self, key: CallKey, index: usize) -> Option<String> {
        let local = self.free_media.pop_front()?;
        let party = self
            .calls
            .get_mut(&key)
            .and_then(|call| call.parties.get_mut(index));
        let Some(party) = party else {
            self.free_media.push_front(local);
            return None;
        };
        let port = party.bridge.insert(Customer::bridge(local));
        let offer = port.offer();
        self.bridge_media(key, index);
        Some(offer)
    }

    /// Gives the port of a party back, if it has one.
    pub(super) fn release_bridge(&mut self, key: CallKey, index: usize) {
        let call = self.calls.get_mut(&key);
        let Some(party) = call.and_then(|call| call.parties.get_mut(index)) else {
            return;
        };
        let Some(mut port) = party.bridge.take() else {
            return;
        };
        port.remote = None;
        self.free_media.push_back(port.local);
        self.push_bridge(key, index, &port, true);
    }

    fn bridge_media(&mut self, key: CallKey, index: usize) {
        let call = self.calls.get(&key);
        let port = call
            .and_then(|call| call.parties.get(index))
            .and_then(|party| party.bridge.clone());
        if let Some(port) = port {
            self.push_bridge(key, index, &port, false);
        }
    }

    fn push_bridge(&mut self, key: CallKey, index: usize, port: &Customer, ended: bool) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let media = CustomerMedia {
            call: call.uuid.clone(),
            number: call.parties[index].number.clone(),
            local: port.local,
            remote: port.remote,
            payload_type: port.payload_type,
            telephone_event: port.telephone_event,
            ended,
        };
        self.push(Output::Bridge(media));
    }

    /// The party of a leg in its call, if the Media Server serves it.
    fn bridged(&mut self, leg: LegKey) -> Option<(CallKey, usize, &mut Customer)> {
        let key = self.legs.get(&leg)?.call;
        let call = self.calls.get_mut(&key)?;
        let index = call.index_of_leg(leg)?;
        let port = call.parties[index].bridge.as_mut()?;
        Some((key, index, port))
    }

    /// The Media Server answers an offer of a leg that it serves.
    pub(super) fn bridge_answers(
        &mut self,
        now: Instant,
        leg: LegKey,
        offer: &str,
        waiter: Waiter,
    ) -> bool {
        let Some((key, index, port)) = self.bridged(leg) else {
            return false;
        };
        let answer = Audio::read(offer).and_then(|audio| port.answer(&audio));
        self.bridge_media(key, index);
        let answer = answer.map_or(Answer::Refused(488), Answer::Sdp);
        self.deliver(now, waiter, answer);
        true
    }

    /// The port takes over what its leg last described.
    pub(super) fn tell_bridge(&mut self, leg: LegKey) {
        let audio = self.legs.get(&leg).and_then(super::leg::Leg::remote_audio);
        let (Some(audio), Some((key, index, port))) = (audio, self.bridged(leg)) else {
            return;
        };
        port.hear(&audio);
        self.bridge_media(key, index);
    }

    /// The party is held by a black hole: its port sends nowhere. `false` where it has none.
    pub(super) fn mute_bridge(&mut self, leg: LegKey) -> bool {
        let Some((key, index, port)) = self.bridged(leg) else {
            return false;
        };
        port.remote = None;
        self.bridge_media(key, index);
        true
    }

    /// The endpoint's media is active: a hold of its own is over. `false` where nothing was held.
    pub(super) fn note_retrieved(&mut self, key: CallKey, leg: LegKey) -> bool {
        let active = self.legs.get(&leg).is_some_and(|entry| {
            !entry.black_hole && entry.remote_audio().is_some_and(|audio| !audio.holds())
        });
        let held = self.calls.get(&key).is_some_and(|call| {
            call.index_of_leg(leg)
                .is_some_and(|index| call.parties[index].state == PartyState::Held)
        });
        if active && held {
            self.set_party(key, leg, PartyState::Established, EventKind::Retrieved);
        }
        active && held
    }

    /// An endpoint whose hold was about to end when the primary was lost, as it was to be in a conference, holds on.
    pub(super) fn holds_go_on(&mut self) {
        let mut held = Vec::new();
        for call in self.calls.values() {
            for party in &call.parties {
                let leg = party.leg().and_then(|leg| self.legs.get(&leg));
                let holds = |leg: &&Leg| {
                    let holds = leg.remote_audio().is_some_and(|audio| audio.holds());
                    leg.call == call.key && leg.state == LegState::Confirmed && holds
                };
                let leg = leg.filter(|leg| holds(leg) && !leg.black_hole);
                if let Some(leg) = leg.filter(|_| party.state == PartyState::Established) {
                    held.push((call.key, leg.key));
                }
            }
        }
        for (call, leg) in held {
            self.set_party(call, leg, PartyState::Held, EventKind::Held);
        }
    }

    /// Whoever was about to be connected when the primary was lost, and is heard by nobody, is asked anew where its media is.
    pub(super) fn connect_again(&mut self, now: Instant) {
        let deaf = |call: &Call, index: usize, party: &Party| {
            let port = party.bridge.as_ref();
            let other = call.other(index).map(|other| &call.parties[other].kind);
            match (port, other) {
                (Some(port), _) => port.remote.is_none(),
                (None, Some(PartyKind::Customer(customer))) => customer.remote.is_none(),
                _ => false,
            }
        };
        let mut unheard = Vec::new();
        for call in self.calls.values() {
            for (index, party) in call.parties.iter().enumerate() {
                let leg = party.leg().and_then(|leg| self.legs.get(&leg));
                let active = leg.filter(|leg| {
                    let held = leg.remote_audio().is_some_and(|audio| audio.holds());
                    party.state == PartyState::Established
                        && leg.call == call.key
                        && leg.state == LegState::Confirmed
                        && !leg.black_hole
                        && !held
                });
                if let Some(leg) = active.filter(|_| deaf(call, index, party)) {
                    unheard.push(leg.key);
                }
            }
        }
        for leg in unheard {
            let then = Then::Resync;
            self.reinvite(now, leg, InvitePurpose::Offerless { then });
        }
    }

    /// The Media Server steps out of a call of two, and they are connected again.
    pub(super) fn unbridge(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let connected = call
            .parties
            .iter()
            .all(|party| matches!(party.state, PartyState::Established | PartyState::Held));
        let bridged = call.parties.iter().any(|party| party.bridge.is_some());
        if !bridged || !connected || call.parties.len() != 2 {
            return;
        }
        for index in 0..2 {
            self.release_bridge(key, index);
        }
        self.connect_parties(now, key);
    }

    /// One of several parties goes; two that are left need no Media Server.
    pub(super) fn leave(&mut self, now: Instant, key: CallKey, index: usize, status: Option<u16>) {
        let released = EventKind::Released { sip_status: status };
        self.release_party(now, key, index, status, released);
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        call.parties.remove(index);
        let endpoints = call.parties.iter().any(|party| party.leg().is_some());
        if call.parties.len() < 2 || !endpoints {
            return self.end_call(now, key, None, None);
        }
        self.unbridge(now, key);
    }

    /// A party's dialog is lost: with two of them the call is over.
    pub(super) fn party_lost(&mut self, now: Instant, leg: LegKey, status: Option<u16>) {
        let Some(key) = self.legs.get(&leg).map(|entry| entry.call) else {
            return;
        };
        let index = self.calls.get(&key).and_then(|call| call.index_of_leg(leg));
        match index {
            Some(index) if self.is_conference(key) => self.leave(now, key, index, status),
            _ => self.end_call(now, key, None, status),
        }
    }

    /// The dialog is gone at the endpoint, and every call with it.
    pub(super) fn calls_lost(&mut self, now: Instant, leg: LegKey, status: u16) {
        for key in self.calls_of_leg(leg) {
            let index = self.calls.get(&key).and_then(|call| call.index_of_leg(leg));
            match index {
                Some(index) if self.is_conference(key) => {
                    self.leave(now, key, index, Some(status));
                }
                _ => self.end_call(now, key, None, Some(status)),
            }
        }
    }

    pub(super) fn is_conference(&self, key: CallKey) -> bool {
        self.calls
            .get(&key)
            .is_some_and(|call| call.parties.len() > 2)
    }

    /// TCompleteConference: the parties of both calls are in one; the consult dialog gets BYE.
    pub(super) fn complete_conference(
        &mut self,
        now: Instant,
        dn: &str,
        call: &CallUuid,
    ) -> Result<CallUuid, RequestError> {
        let (main, consult) = self.consultation(dn, call)?;
        let (own, _) = self.connected_pair(dn, main)?;
        let (consult_own, consult_other) = self.connected_pair(dn, consult)?;
        if self.free_media.len() < 3 {
            return Err(RequestError::NoMedia);
        }
        let borrowed = self.give_back(now, main, consult);
        if !borrowed {
            let released = EventKind::Released { sip_status: None };
            self.release_party(now, consult, consult_own, None, released);
        }
        let uuid = self.move_party(main, consult, consult_other)?;
        // Where a recording has a port in between already, the conference brings another: the agent's hold ends with its re-INVITE.
        self.release_bridge(main, own);
        if let Some(call) = self.calls.get_mut(&main) {
            let before = std::mem::replace(&mut call.parties[own].state, PartyState::Established);
            let joined = call.parties.len() - 1;
            if before == PartyState::Held {
                self.call_event(main, own, EventKind::Retrieved);
            }
            self.call_event(main, joined, EventKind::PartyChanged);
        }
        self.bridge_call(now, main)?;
        Ok(uuid)
    }

    /// Another party joins over the Media Server: TSingleStepConference, and a supervisor, whom `announced` agents hear beep.
    pub(super) fn add_party(
        &mut self,
        now: Instant,
        call: CallUuid,
        to: String,
        announced: bool,
    ) -> Result<CallUuid, RequestError> {
        let key = *self.uuids.get(&call).ok_or(RequestError::NoCall)?;
        let entry = self.calls.get(&key).ok_or(RequestError::NoCall)?;
        if entry.index_of_dn(&to).is_some() || entry.parties.len() >= super::limits::MAX_PARTIES {
            return Err(RequestError::Busy(to));
        }
        let is_dn = self.config.dns.contains_key(&to);
        if is_dn && self.registrar.binding(&to).is_none() {
            return Err(RequestError::NotRegistered(to));
        }
        if self.free_media.len() < entry.parties.len() + 1 {
            return Err(RequestError::NoMedia);
        }
        self.bridge_call(now, key)?;
        if announced {
            self.beep(now, key);
        }
        let events = self.customer_config(&to).telephone_event;
        if is_dn {
            self.invite_party(now, key, to);
        } else if let (Some(local), Some(call)) =
            (self.free_media.pop_front(), self.calls.get_mut(&key))
        {
            let kind = PartyKind::Customer(Customer::new(local, events));
            call.parties
                .push(Party::new(to, kind, PartyState::Established));
            let index = call.parties.len() - 1;
            self.media(key, index, false);
        }
        Ok(call)
    }

    fn beep(&mut self, now: Instant, key: CallKey) {
        let legs: Vec<LegKey> = self
            .calls
            .get(&key)
            .map(|call| call.parties.iter().filter_map(Party::leg).collect())
            .unwrap_or_default();
        for leg in legs {
            if self.dn_of(leg).is_some_and(|dn| dn.cti_control.beep) {
                self.send_notify(now, leg, "beep", None);
            }
        }
    }

    fn invite_party(&mut self, now: Instant, key: CallKey, dn: String) {
        let shown = self.calls.get(&key).and_then(|call| {
            let caller = call.parties.first()?;
            Some(caller.number.clone())
        });
        let leg = self.leg_to_dn(now, key, &dn, &shown.unwrap_or_default());
        let (Some(leg), Some(call)) = (leg, self.calls.get_mut(&key)) else {
            return;
        };
        let kind = PartyKind::Endpoint(leg);
        call.parties
            .push(Party::new(dn, kind, PartyState::Initiated));
        let index = call.parties.len() - 1;
        if let Some(offer) = self.place_bridge(key, index) {
            self.send_invite(now, leg, InvitePurpose::Destination { offer });
        }
    }

    /// TDeleteFromConference.
    pub(super) fn delete_party(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallUuid,
        number: &str,
    ) -> Result<CallUuid, RequestError> {
        let (key, _, _) = self.party_of(dn, &call)?;
        let entry = self.calls.get(&key).ok_or(RequestError::NoCall)?;
        let index = entry
            .parties
            .iter()
            .position(|party| party.number == number);
        let index = index.filter(|_| number != dn).ok_or(RequestError::NoCall)?;
        if entry.parties.len() < 3 {
            return Err(RequestError::State(entry.parties[index].state));
        }
        self.leave(now, key, index, None);
        Ok(call)
    }

    /// Recording starts or stops: the Media Server comes between, or steps out.
    pub(super) fn record_call(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallUuid,
        on: bool,
    ) -> Result<CallUuid, RequestError> {
        let (key, _, _) = self.party_of(dn, &call)?;
        if on {
            self.bridge_call(now, key)?;
        } else {
            self.unbridge(now, key);
        }
        Ok(call)
    }

    /// What the annex wants right after the answer: a greeting, a recording. `false` where it wants nothing.
    pub(super) fn bridge_after_answer(&mut self, now: Instant, leg: LegKey) -> bool {
        let Some(key) = self.legs.get(&leg).map(|entry| entry.call) else {
            return false;
        };
        let Some(settings) = self.dn_of(leg) else {
            return false;
        };
        let (greeting, record) = (settings.greeting, settings.record);
        if greeting.is_none() && !record || self.bridge_call(now, key).is_err() {
            return false;
        }
        if let (Some(length), false) = (greeting, record) {
            self.later(now, length, Timer::GreetingOver(key));
        }
        true
    }
}
