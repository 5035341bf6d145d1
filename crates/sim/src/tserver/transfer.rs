//! Transfers: SIP Server joins the remaining parties and the transferring endpoint only sees BYE.

use std::time::Instant;

use super::call::{CallKey, PartyKind};
use super::io::{CallUuid, EventKind, PartyState, RequestError};
use super::leg::{InvitePurpose, LegKey, Then};
use super::machine::TServer;
use super::sdp::Audio;
use super::view::CallKind;

impl TServer {
    /// Two dialogs: the main call is held, the consult call is a TMakeCall of its own.
    pub(super) fn initiate_transfer(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallUuid,
        to: String,
    ) -> Result<CallUuid, RequestError> {
        let (main, leg, state) = self.party_of(dn, &call)?;
        match state {
            PartyState::Established => self.hold_leg(now, dn, leg),
            PartyState::Held => {}
            state => return Err(RequestError::State(state)),
        }
        let consult = self.make_call(now, dn, to, CallKind::Consult)?;
        let key = self.uuids.get(&consult).copied();
        if let Some(call) = key.and_then(|key| self.calls.get_mut(&key)) {
            call.consult_of = Some(main);
        }
        Ok(consult)
    }

    /// Main and consult call of a DN, whichever of them was named.
    fn consultation(&self, dn: &str, call: &CallUuid) -> Result<(CallKey, CallKey), RequestError> {
        let (key, _, _) = self.party_of(dn, call)?;
        let consult_of = self.calls.get(&key).and_then(|call| call.consult_of);
        if let Some(main) = consult_of {
            return Ok((main, key));
        }
        self.calls
            .values()
            .find(|other| other.consult_of == Some(key))
            .map(|consult| (key, consult.key))
            .ok_or(RequestError::NoCall)
    }

    pub(super) fn complete_transfer(
        &mut self,
        now: Instant,
        dn: &str,
        call: &CallUuid,
    ) -> Result<CallUuid, RequestError> {
        let (main, consult) = self.consultation(dn, call)?;
        self.join(now, dn, main, consult)
    }

    /// Joins the parties of two calls that are not `dn`; the main call keeps its CallUUID.
    pub(super) fn join(
        &mut self,
        now: Instant,
        dn: &str,
        main: CallKey,
        consult: CallKey,
    ) -> Result<CallUuid, RequestError> {
        let remaining = |key: CallKey| {
            let call = self.calls.get(&key).ok_or(RequestError::NoCall)?;
            let own = call.index_of_dn(dn).ok_or(RequestError::NoCall)?;
            let other = call.other(own).ok_or(RequestError::NoCall)?;
            let state = call.parties[other].state;
            if !matches!(state, PartyState::Established | PartyState::Held) {
                return Err(RequestError::State(state));
            }
            Ok((own, other))
        };
        let (own, _) = remaining(main)?;
        let (consult_own, consult_other) = remaining(consult)?;
        let released = EventKind::Released { sip_status: None };
        self.release_party(now, main, own, None, released.clone());
        self.release_party(now, consult, consult_own, None, released);
        let mut consult = self.calls.remove(&consult).ok_or(RequestError::NoCall)?;
        self.uuids.remove(&consult.uuid);
        let joined = consult.parties.remove(consult_other);
        let joined_leg = joined.leg();
        let call = self.calls.get_mut(&main).ok_or(RequestError::NoCall)?;
        call.parties.remove(own);
        call.parties.push(joined);
        let uuid = call.uuid.clone();
        if let Some(leg) = joined_leg.and_then(|leg| self.legs.get_mut(&leg)) {
            leg.call = main;
            leg.frame.call_uuid.clone_from(&uuid.0);
        }
        for index in 0..2 {
            self.call_event(main, index, EventKind::PartyChanged);
        }
        self.connect_parties(now, main);
        Ok(uuid)
    }

    /// The two parties of a call agree on media anew.
    fn connect_parties(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        for party in &mut call.parties {
            party.state = PartyState::Established;
        }
        let legs: Vec<LegKey> = call
            .parties
            .iter()
            .filter_map(super::call::Party::leg)
            .collect();
        for leg in &legs {
            if let Some(entry) = self.legs.get_mut(leg) {
                entry.black_hole = false;
            }
        }
        if let Some(&leg) = legs.first() {
            let then = Then::Resync;
            return self.reinvite(now, leg, InvitePurpose::Offerless { then });
        }
        // Two customers: each sends to the other's socket.
        let offers: Vec<Option<Audio>> = call
            .parties
            .iter()
            .map(|party| match &party.kind {
                PartyKind::Customer(customer) => Audio::read(&customer.offer()),
                PartyKind::Endpoint(_) => None,
            })
            .collect();
        for (index, party) in call.parties.iter_mut().enumerate() {
            let other = offers.get(1 - index.min(1)).and_then(Option::as_ref);
            if let (Some(customer), Some(audio)) = (party.customer_mut(), other) {
                customer.hear(audio);
            }
        }
        for index in 0..2 {
            self.media(key, index, false);
        }
    }

    /// The DN goes at once; its party is connected to the new destination when that answers.
    pub(super) fn single_step_transfer(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallUuid,
        to: String,
    ) -> Result<CallUuid, RequestError> {
        let (key, _, state) = self.party_of(dn, &call)?;
        if !matches!(state, PartyState::Established | PartyState::Held) {
            return Err(RequestError::State(state));
        }
        let entry = self.calls.get(&key).ok_or(RequestError::NoCall)?;
        let own = entry.index_of_dn(dn).ok_or(RequestError::NoCall)?;
        entry.other(own).ok_or(RequestError::NoCall)?;
        let released = EventKind::Released { sip_status: None };
        self.release_party(now, key, own, None, released);
        if let Some(entry) = self.calls.get_mut(&key) {
            entry.parties.remove(own);
            entry.dialled = to;
        }
        self.call_event(key, 0, EventKind::PartyChanged);
        self.call_destination(now, key);
        Ok(call)
    }
}
