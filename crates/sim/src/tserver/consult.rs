//! Consultation in a dialog of its own, or in the borrowed dialog of the main call (`dual-dialog-enabled`).

use std::time::Instant;

use super::call::{CallKey, Party, PartyKind};
use super::io::{CallUuid, EventKind, PartyState, RequestError};
use super::leg::{InvitePurpose, LegKey, Then};
use super::machine::TServer;
use super::view::{CallKind, LegState};

impl TServer {
    /// TInitiateTransfer and TInitiateConference: the main call is held, and the consult call is a TMakeCall of its own, or
    /// takes the main call's dialog.
    pub(super) fn initiate_transfer(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallUuid,
        to: String,
    ) -> Result<CallUuid, RequestError> {
        let (main, leg, state) = self.party_of(dn, &call)?;
        let has_dialog = self.legs.get(&leg).is_some_and(|entry| entry.call == main);
        let consults = self.main_and_consult(dn, &call).is_ok();
        let alone = self
            .calls
            .get(&main)
            .is_none_or(|call| call.parties.len() < 2);
        if alone
            || !has_dialog
            || consults
            || !matches!(state, PartyState::Established | PartyState::Held)
        {
            return Err(RequestError::State(state));
        }
        let dual = self.config.dns.get(dn).is_none_or(|dn| dn.dual_dialog);
        if !dual {
            return self.borrow_dialog(now, dn, main, leg, to);
        }
        if state == PartyState::Established {
            self.hold_leg(now, dn, leg);
        }
        let consult = self.make_call(now, dn, to, CallKind::Consult)?;
        let key = self.uuids.get(&consult).copied();
        if let Some(call) = key.and_then(|key| self.calls.get_mut(&key)) {
            call.consult_of = Some(main);
        }
        Ok(consult)
    }

    /// The one dialog of the agent goes to the consult call; the main call's party is held without one.
    fn borrow_dialog(
        &mut self,
        now: Instant,
        dn: &str,
        main: CallKey,
        leg: LegKey,
        to: String,
    ) -> Result<CallUuid, RequestError> {
        if self.is_conference(main) {
            return Err(RequestError::NotControllable);
        }
        self.unbridge(now, main);
        let consult = self
            .new_call(CallKind::Consult, to)
            .ok_or(RequestError::TooManyCalls)?;
        self.set_party(main, leg, PartyState::Held, EventKind::Held);
        self.hold_other(now, main, leg);
        self.lend(now, leg, consult);
        self.reinvite(now, leg, InvitePurpose::Held);
        let call = self.calls.get_mut(&consult).ok_or(RequestError::NoCall)?;
        call.consult_of = Some(main);
        let kind = PartyKind::Endpoint(leg);
        call.parties
            .push(Party::new(dn.to_owned(), kind, PartyState::Dialing));
        let uuid = call.uuid.clone();
        self.call_event(consult, 0, EventKind::Dialing);
        self.call_destination(now, consult);
        Ok(uuid)
    }

    /// From now on a leg belongs to this call, and its requests say so.
    fn lend(&mut self, now: Instant, leg: LegKey, to: CallKey) {
        self.abandon_queue(now, leg);
        let uuid = self.calls.get(&to).map(|call| call.uuid.0.clone());
        if let (Some(entry), Some(uuid)) = (self.legs.get_mut(&leg), uuid) {
            entry.call = to;
            entry.black_hole = false;
            entry.frame.call_uuid = uuid;
        }
    }

    /// The leg that two calls of a DN share, if they do.
    fn shared_leg(&self, one: CallKey, other: CallKey) -> Option<LegKey> {
        let legs = |key: CallKey| {
            let call = self.calls.get(&key);
            call.into_iter()
                .flat_map(|call| call.parties.iter().filter_map(Party::leg))
        };
        legs(one).find(|leg| legs(other).any(|shared| shared == *leg))
    }

    /// A borrowed dialog goes back to the main call; `false` where the consultation has its own.
    pub(super) fn give_back(&mut self, now: Instant, main: CallKey, consult: CallKey) -> bool {
        let Some(leg) = self.shared_leg(main, consult) else {
            return false;
        };
        self.lend(now, leg, main);
        true
    }

    /// The consult call that borrowed a dialog is over, and the main call is there: its dialog waits in a black hole until it is
    /// retrieved. `false` where nothing was borrowed.
    pub(super) fn return_dialog(&mut self, now: Instant, consult: CallKey) -> bool {
        let main = self.calls.get(&consult).and_then(|call| call.consult_of);
        let Some(leg) = main.and_then(|main| self.shared_leg(main, consult)) else {
            return false;
        };
        let Some(main) = main else { return false };
        if self.legs.get(&leg).is_none_or(|entry| !entry.alive()) {
            return false;
        }
        self.lend(now, leg, main);
        self.reinvite(now, leg, InvitePurpose::Hold);
        true
    }

    /// A consult call is forgotten: the dialog that it borrowed belongs to the main call again. `None` where nothing was borrowed.
    pub(super) fn recall_dialog(&mut self, now: Instant, consult: CallKey) -> Option<LegKey> {
        let main = self.calls.get(&consult)?.consult_of?;
        let leg = self.shared_leg(main, consult)?;
        self.lend(now, leg, main);
        Some(leg)
    }

    /// Dialogs that went to another call, or wait for it, while their endpoints were not told, as the primary was lost with the re-INVITE: they are
    /// now.
    pub(super) fn tell_again(&mut self, now: Instant) {
        let untold = self.legs.values().filter_map(|leg| {
            let waits = leg.state == LegState::Confirmed && leg.idle();
            let call = self.calls.get(&leg.call)?;
            let party = &call.parties[call.index_of_leg(leg.key)?];
            let holds = leg.black_hole || leg.remote_audio().is_some_and(|audio| audio.holds());
            let is_unheld = party.state == PartyState::Held && !holds;
            let is_told = leg.told == call.uuid.0 && !is_unheld;
            (waits && !is_told).then_some((leg.key, party.state))
        });
        let untold: Vec<(LegKey, PartyState)> = untold.collect();
        for (leg, state) in untold {
            let purpose = match state {
                PartyState::Held => InvitePurpose::Hold,
                _ => InvitePurpose::Offerless { then: Then::Resync },
            };
            self.reinvite(now, leg, purpose);
        }
    }

    /// Calls whose dialog this is: two while it is borrowed.
    pub(super) fn calls_of_leg(&self, leg: LegKey) -> Vec<CallKey> {
        self.calls
            .values()
            .filter(|call| call.index_of_leg(leg).is_some())
            .map(|call| call.key)
            .collect()
    }

    /// Main and consult call of the DN that consults, whichever of them was named. Whoever is consulted has none to complete, also where she is in both.
    pub(super) fn consultation(
        &self,
        dn: &str,
        call: &CallUuid,
    ) -> Result<(CallKey, CallKey), RequestError> {
        let (main, consult) = self.main_and_consult(dn, call)?;
        let consults = self.calls.get(&consult).and_then(|it| it.parties.first());
        if consults.is_none_or(|party| party.number != dn) {
            return Err(RequestError::NoCall);
        }
        Ok((main, consult))
    }

    fn main_and_consult(
        &self,
        dn: &str,
        call: &CallUuid,
    ) -> Result<(CallKey, CallKey), RequestError> {
        let (key, _, _) = self.party_of(dn, call)?;
        let consult_of = self.calls.get(&key).and_then(|call| call.consult_of);
        if let Some(main) = consult_of.filter(|main| self.calls.contains_key(main)) {
            return Ok((main, key));
        }
        self.calls
            .values()
            .find(|other| other.consult_of == Some(key) && other.index_of_dn(dn).is_some())
            .map(|consult| (key, consult.key))
            .ok_or(RequestError::NoCall)
    }

    /// TReconnectCall: the consult call is released, the main call retrieved.
    pub(super) fn reconnect_call(
        &mut self,
        now: Instant,
        dn: &str,
        call: &CallUuid,
    ) -> Result<CallUuid, RequestError> {
        let (main, consult) = self.consultation(dn, call)?;
        let own = self
            .calls
            .get(&consult)
            .and_then(|call| call.index_of_dn(dn));
        let shared = self.shared_leg(main, consult);
        self.end_call(now, consult, own, None);
        let call = self.calls.get(&main).ok_or(RequestError::NoCall)?;
        let uuid = call.uuid.clone();
        let leg = shared.or_else(|| {
            call.index_of_dn(dn)
                .and_then(|index| call.parties[index].leg())
        });
        let leg = leg.ok_or(RequestError::NoCall)?;
        if shared.is_some() {
            let then = Then::Retrieve;
            self.reinvite(now, leg, InvitePurpose::Offerless { then });
        } else {
            self.retrieve_leg(now, dn, leg);
        }
        Ok(uuid)
    }

    /// TAlternateCall. Hold first, so that the endpoint never has to send in two calls.
    pub(super) fn alternate_call(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallUuid,
        held: &CallUuid,
    ) -> Result<CallUuid, RequestError> {
        let (talking_key, talking_leg, talking) = self.party_of(dn, &call)?;
        let (held_key, held_leg, holding) = self.party_of(dn, held)?;
        if talking != PartyState::Established {
            return Err(RequestError::State(talking));
        }
        if holding != PartyState::Held {
            return Err(RequestError::State(holding));
        }
        if talking_leg != held_leg {
            self.hold_leg(now, dn, talking_leg);
            self.retrieve_leg(now, dn, held_leg);
            return Ok(call);
        }
        self.set_party(talking_key, talking_leg, PartyState::Held, EventKind::Held);
        self.hold_other(now, talking_key, talking_leg);
        self.lend(now, held_leg, held_key);
        if let Some(entry) = self.legs.get_mut(&held_leg) {
            entry.black_hole = true;
        }
        let then = Then::Retrieve;
        self.reinvite(now, held_leg, InvitePurpose::Offerless { then });
        Ok(call)
    }
}
