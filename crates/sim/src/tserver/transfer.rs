//! Transfers: SIP Server joins the remaining parties and the transferring endpoint only sees BYE.

use std::time::Instant;

use super::call::{CallKey, PartyKind};
use super::io::{CallUuid, EventKind, PartyState, RequestError};
use super::leg::{InvitePurpose, LegKey, Then};
use super::machine::TServer;
use super::sdp::Audio;

impl TServer {
    pub(super) fn complete_transfer(
        &mut self,
        now: Instant,
        dn: &str,
        call: &CallUuid,
    ) -> Result<CallUuid, RequestError> {
        let (main, consult) = self.consultation(dn, call)?;
        if let Some(asked) = self.transfer_by_endpoint(now, dn, main, consult) {
            return asked;
        }
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
        let (own, _) = self.connected_pair(dn, main)?;
        let uuid = self.leave_both(now, dn, (main, own), consult)?;
        for index in 0..2 {
            self.call_event(main, index, EventKind::PartyChanged);
        }
        self.connect_parties(now, main);
        Ok(uuid)
    }

    /// The DN goes out of both calls, and the other party of the consult call comes into the main one.
    pub(super) fn leave_both(
        &mut self,
        now: Instant,
        dn: &str,
        (main, own): (CallKey, usize),
        consult: CallKey,
    ) -> Result<CallUuid, RequestError> {
        let (consult_own, consult_other) = self.connected_pair(dn, consult)?;
        for index in 0..2 {
            self.release_bridge(main, index);
            self.release_bridge(consult, index);
        }
        let released = EventKind::Released { sip_status: None };
        self.release_party(now, main, own, None, released.clone());
        self.release_party(now, consult, consult_own, None, released);
        let uuid = self.move_party(main, consult, consult_other)?;
        if let Some(call) = self.calls.get_mut(&main) {
            call.parties.remove(own);
        }
        Ok(uuid)
    }

    /// The DN and the other party in a call of two who are connected.
    pub(super) fn connected_pair(
        &self,
        dn: &str,
        key: CallKey,
    ) -> Result<(usize, usize), RequestError> {
        let call = self.calls.get(&key).ok_or(RequestError::NoCall)?;
        let own = call.index_of_dn(dn).ok_or(RequestError::NoCall)?;
        let other = call.other(own).ok_or(RequestError::NoCall)?;
        for index in [own, other] {
            let state = call.parties[index].state;
            if call.parties.len() > 2
                || !matches!(state, PartyState::Established | PartyState::Held)
            {
                return Err(RequestError::State(state));
            }
        }
        Ok((own, other))
    }

    /// The consult call is no more; its party is in the main call, which keeps its CallUUID.
    pub(super) fn move_party(
        &mut self,
        main: CallKey,
        consult: CallKey,
        index: usize,
    ) -> Result<CallUuid, RequestError> {
        self.release_bridge(consult, index);
        let mut consult = self.calls.remove(&consult).ok_or(RequestError::NoCall)?;
        self.uuids.remove(&consult.uuid);
        let joined = consult.parties.remove(index);
        let joined_leg = joined.leg();
        let call = self.calls.get_mut(&main).ok_or(RequestError::NoCall)?;
        call.parties.push(joined);
        let uuid = call.uuid.clone();
        if let Some(leg) = joined_leg.and_then(|leg| self.legs.get_mut(&leg)) {
            leg.call = main;
            leg.frame.call_uuid.clone_from(&uuid.0);
        }
        Ok(uuid)
    }

    /// The two parties of a call agree on media anew.
    pub(super) fn connect_parties(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let legs: Vec<LegKey> = call
            .parties
            .iter()
            .filter_map(super::call::Party::leg)
            .collect();
        for party in &mut call.parties {
            // An endpoint that holds by itself goes on holding.
            let holds = party
                .leg()
                .and_then(|leg| self.legs.get(&leg))
                .is_some_and(|leg| {
                    !leg.black_hole && leg.remote_audio().is_some_and(|audio| audio.holds())
                });
            party.state = if holds {
                PartyState::Held
            } else {
                PartyState::Established
            };
        }
        for leg in &legs {
            self.before_new_media(now, *leg);
        }
        if let Some(&leg) = legs.first() {
            let purpose = self.reconnecting(key, leg);
            return self.reinvite(now, leg, purpose);
        }
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
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

    /// By a re-INVITE without SDP, or (`reuse-sdp-on-reinvite`) with what the other party last described.
    fn reconnecting(&self, key: CallKey, leg: LegKey) -> InvitePurpose {
        let reuse = self.dn_of(leg).is_some_and(|dn| dn.reuse_sdp);
        let customer = self.calls.get(&key).and_then(|call| {
            let other = call.other(call.index_of_leg(leg)?)?;
            match &call.parties[other].kind {
                PartyKind::Customer(customer) => Some(customer.offer()),
                PartyKind::Endpoint(_) => None,
            }
        });
        match customer {
            Some(offer) if reuse => InvitePurpose::Connect { offer },
            _ => InvitePurpose::Offerless { then: Then::Resync },
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
        let (key, leg, state) = self.party_of(dn, &call)?;
        // A borrowed dialog is not given away: the main call waits for it.
        if self.calls_of_leg(leg).len() > 1 {
            return Err(RequestError::State(state));
        }
        let (own, _) = self.connected_pair(dn, key)?;
        if self.send_endpoint_to(now, dn, key, &to) {
            return Ok(call);
        }
        let released = EventKind::Released { sip_status: None };
        for index in 0..2 {
            self.release_bridge(key, index);
        }
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
