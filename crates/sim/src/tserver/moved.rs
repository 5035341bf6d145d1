//! Transfers that an endpoint takes part in: a REFER inside its dialog (`transfer-complete-by-refer`), or an INVITE with `Replaces`
//! (`sip-replaces-mode`).
//!
//! No trace of either exists. SIP Server asks the party that stays: by REFER the endpoint calls the other one itself, with the dialog
//! that it shall take over in `Replaces`; by INVITE with `Replaces` it is called in a new dialog that takes the place of its old one.
//! (RFC 3515, RFC 3891, RFC 5589 section 7.)

use std::time::{Duration, Instant};

use super::agenda::Timer;
use super::call::{CallKey, Customer, Party, PartyKind};
use super::config::TransferBy;
use super::io::{CallUuid, EventKind, PartyState, RequestError, Source};
use super::leg::{InvitePurpose, LegKey};
use super::machine::TServer;
use super::read::Incoming;
use super::sdp::Audio;
use super::transaction::{Purpose, ServerKey};
use super::view::LegState;

/// An endpoint that was asked to move has done it, or not, after this.
const MOVE_LIFE: Duration = Duration::from_secs(400);
/// An endpoint ends the dialog that was replaced; one that does not is told.
const REPLACED_LIFE: Duration = Duration::from_secs(10);
/// Of no call: an old dialog that waits for its BYE.
const NO_CALL: CallKey = CallKey(0);

/// What an endpoint was asked for by a REFER in its dialog.
#[derive(Debug)]
pub(super) struct Move {
    /// The DN that transfers.
    by: String,
    main: CallKey,
    /// The consult call, and the Call-ID of the dialog to be replaced; `None` where the endpoint calls somebody new.
    consult: Option<(CallKey, String)>,
    /// The endpoint has moved: its old dialog may go.
    done: bool,
}

impl TServer {
    /// How the endpoint of a party takes part in transfers; nothing but re-INVITE for customers and for those who are not connected.
    fn way_of(&self, call: CallKey, index: usize) -> Option<(LegKey, TransferBy)> {
        let leg = self.calls.get(&call)?.parties.get(index)?.leg()?;
        let entry = self.legs.get(&leg)?;
        let settled = entry.state == LegState::Confirmed && self.calls_of_leg(leg).len() == 1;
        let way = self.config.dns.get(&entry.dn)?.transfer_by;
        settled.then_some((leg, way))
    }

    /// TCompleteTransfer with the help of an endpoint that stays; `None` where none is asked for it.
    pub(super) fn transfer_by_endpoint(
        &mut self,
        now: Instant,
        dn: &str,
        main: CallKey,
        consult: CallKey,
    ) -> Option<Result<CallUuid, RequestError>> {
        let (own, stays) = self.connected_pair(dn, main).ok()?;
        let (consult_own, target) = self.connected_pair(dn, consult).ok()?;
        let uuid = self.calls.get(&main)?.uuid.clone();
        if let Some((leg, TransferBy::Replaces)) = self.way_of(consult, target) {
            return Some(self.replace_dialog(now, dn, (main, own), consult, leg));
        }
        let (leg, TransferBy::Refer) = self.way_of(main, stays)? else {
            return None;
        };
        if self.moves.contains_key(&leg) {
            return Some(Err(RequestError::State(PartyState::Established)));
        }
        let call = self.calls.get(&consult)?;
        let number = call.parties[target].number.clone();
        let replaced = self.legs.get(&call.parties[consult_own].leg()?)?;
        let call_id = replaced.frame.call_id.clone();
        let (to_tag, from_tag) = (replaced.local_tag.clone(), replaced.remote_tag.clone()?);
        let replaces = format!("{call_id};to-tag={to_tag};from-tag={from_tag}");
        let server = self.config.advertise;
        let refer_to = format!("<sip:{number}@{server}?Replaces={}>", escape(&replaces));
        self.ask_to_move(now, leg, &refer_to, dn, main, Some((consult, call_id)));
        Some(Ok(uuid))
    }

    /// TSingleStepTransfer with a REFER to the endpoint that stays; `false` where that is not to be asked.
    pub(super) fn send_endpoint_to(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallKey,
        to: &str,
    ) -> bool {
        let pair = self.connected_pair(dn, call).ok();
        let Some((leg, TransferBy::Refer)) = pair.and_then(|(_, stays)| self.way_of(call, stays))
        else {
            return false;
        };
        if !self.moves.contains_key(&leg) {
            let refer_to = format!("<sip:{to}@{}>", self.config.advertise);
            self.ask_to_move(now, leg, &refer_to, dn, call, None);
        }
        true
    }

    fn ask_to_move(
        &mut self,
        now: Instant,
        leg: LegKey,
        refer_to: &str,
        by: &str,
        main: CallKey,
        consult: Option<(CallKey, String)>,
    ) {
        let asked = Move {
            by: by.to_owned(),
            main,
            consult,
            done: false,
        };
        self.moves.insert(leg, asked);
        self.later(now, MOVE_LIFE, Timer::MoveOver(leg));
        let purpose = Purpose::Move(leg);
        self.send_in_dialog(now, leg, "REFER", purpose, |frame, cseq, branch| {
            frame.refer(cseq, branch, refer_to)
        });
    }

    /// The endpoint would not move, or could not: everything stays as it was.
    pub(super) fn move_failed(&mut self, leg: LegKey, message: String) {
        if let Some(asked) = self.moves.remove(&leg) {
            let kind = EventKind::Error {
                request: "TCompleteTransfer",
                message,
            };
            self.dn_event(&asked.by, kind);
        }
    }

    /// NOTIFY about a REFER in a dialog: with its end the transferring DN and the old dialog go, or nothing does.
    pub(super) fn move_news(&mut self, now: Instant, leg: LegKey, message: &Incoming) {
        let state = message.get("Subscription-State").unwrap_or_default();
        if message
            .get("Event")
            .and_then(|event| event.split(';').next())
            != Some("refer")
            || !state.starts_with("terminated")
        {
            return;
        }
        let success = message.body.contains("SIP/2.0 2");
        if !success {
            return self.move_failed(leg, "the endpoint could not".to_owned());
        }
        let Some(asked) = self.moves.remove(&leg) else {
            return;
        };
        if asked.consult.is_some() {
            if asked.done {
                self.release_leg(now, leg, None);
            }
            return;
        }
        // It talks to somebody else: its former call is over.
        self.end_call(now, asked.main, None, None);
    }

    /// The time of an endpoint that was asked to move, or whose dialog was replaced, is over.
    pub(super) fn move_over(&mut self, now: Instant, leg: LegKey) {
        self.moves.remove(&leg);
        let old = self.legs.get(&leg);
        if old.is_some_and(|old| old.call == NO_CALL && old.alive()) {
            self.release_leg(now, leg, None);
        }
    }

    /// An endpoint's INVITE with `Replaces`: it takes the place of the DN that asked it to. `None` when it replaces nothing.
    pub(super) fn take_replacing(
        &mut self,
        now: Instant,
        key: &ServerKey,
        source: Source,
        message: &Incoming,
        dn: &str,
    ) -> Option<()> {
        let replaced = message.get("Replaces")?.split(';').next()?.trim();
        let asked = self.moves.iter().find(|(leg, asked)| {
            let named = asked.consult.as_ref();
            named.is_some_and(|(_, call_id)| call_id == replaced)
                && self.legs.get(leg).is_some_and(|leg| leg.dn == dn)
        });
        let (old, asked) = match asked {
            Some((old, asked)) if !asked.done => (*old, asked),
            _ => {
                self.simple(now, key, 481, Vec::new());
                return Some(());
            }
        };
        let (by, main) = (asked.by.clone(), asked.main);
        let consult = asked.consult.as_ref().map(|(consult, _)| *consult)?;
        let description = self.description_of_target(&by, consult, message);
        let index = self
            .calls
            .get(&main)
            .and_then(|call| call.index_of_leg(old));
        let there = self.connected_pair(&by, main).is_ok();
        let (Some(index), Some(answer), true) = (index, description, there) else {
            self.simple(now, key, 481, Vec::new());
            return Some(());
        };
        let leg = self.leg_from_endpoint(now, main, dn, source, message);
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.invited = Some(key.clone());
            entry.remote_sdp = message.sdp().map(str::to_owned);
        }
        self.set_server_leg(key, leg);
        self.release_bridge(main, index);
        if let Some(call) = self.calls.get_mut(&main) {
            call.parties[index].kind = PartyKind::Endpoint(leg);
        }
        self.orphan(now, old);
        if let Some(asked) = self.moves.get_mut(&old) {
            asked.done = true;
        }
        self.accept_call(now, leg, &answer);
        // The endpoint has its answer; a failure shows as an event.
        let _ = self.join(now, &by, main, consult);
        Some(())
    }

    /// What the party that the endpoint asks for answers to its offer.
    fn description_of_target(
        &mut self,
        by: &str,
        consult: CallKey,
        message: &Incoming,
    ) -> Option<String> {
        let offer = Audio::read(message.sdp()?)?;
        let (_, target) = self.connected_pair(by, consult).ok()?;
        match &mut self.calls.get_mut(&consult)?.parties.get_mut(target)?.kind {
            PartyKind::Customer(customer) => customer.answer(&offer),
            PartyKind::Endpoint(leg) => self.legs.get(leg)?.remote_sdp.clone(),
        }
    }

    /// The customer of a call hands the agent on to `to`, whom her endpoint is to call; or another customer takes his place, in a new
    /// dialog that takes the place of hers.
    pub(super) fn customer_transfers(
        &mut self,
        now: Instant,
        call: CallUuid,
        to: String,
    ) -> Result<CallUuid, RequestError> {
        let main = *self.uuids.get(&call).ok_or(RequestError::NoCall)?;
        let parties = self.calls.get(&main).map_or(&[][..], |call| &call.parties);
        let customer = parties.iter().position(|party| party.leg().is_none());
        let agent = parties.iter().position(|party| party.leg().is_some());
        let (Some(customer), Some(agent)) = (customer, agent) else {
            return Err(RequestError::NotControllable);
        };
        let dn = parties[agent].number.clone();
        self.connected_pair(&dn, main)?;
        match self.way_of(main, agent) {
            Some((leg, TransferBy::Refer)) if !self.moves.contains_key(&leg) => {
                let refer_to = format!("<sip:{to}@{}>", self.config.advertise);
                self.ask_to_move(now, leg, &refer_to, &dn, main, None);
            }
            Some((leg, TransferBy::Replaces)) if self.registrar.binding(&dn).is_some() => {
                let local = self.free_media.pop_front().ok_or(RequestError::NoMedia)?;
                for index in 0..2 {
                    self.release_bridge(main, index);
                }
                self.media(main, customer, true);
                let new = Customer::new(local, self.customer_config(&to).telephone_event);
                let offer = new.offer();
                if let Some(entry) = self.calls.get_mut(&main) {
                    entry.parties[customer] =
                        Party::new(to, PartyKind::Customer(new), PartyState::Established);
                    // Who called goes first.
                    entry.parties.swap(0, customer);
                    entry.parties.truncate(1);
                }
                self.media(main, 0, false);
                self.call_in_place_of(now, main, leg, offer);
            }
            _ => return Err(RequestError::NotControllable),
        }
        Ok(call)
    }

    /// The target is called in a new dialog that takes the place of its consult dialog; the DN that transfers goes at once.
    fn replace_dialog(
        &mut self,
        now: Instant,
        dn: &str,
        (main, own): (CallKey, usize),
        consult: CallKey,
        old: LegKey,
    ) -> Result<CallUuid, RequestError> {
        let uuid = self.leave_both(now, dn, (main, own), consult)?;
        if let Some(call) = self.calls.get_mut(&main) {
            call.parties.truncate(1);
        }
        self.call_event(main, 0, EventKind::PartyChanged);
        match self.offer_of(main, 0) {
            Some(offer) => self.call_in_place_of(now, main, old, offer),
            None => {
                self.orphan(now, old);
                self.end_call(now, main, None, Some(480));
            }
        }
        Ok(uuid)
    }

    /// Calls the endpoint of a dialog in a new one that takes its place, for the only party of a call.
    fn call_in_place_of(&mut self, now: Instant, main: CallKey, old: LegKey, offer: String) {
        let Some(replaced) = self.legs.get(&old) else {
            return;
        };
        let (number, call_id) = (replaced.dn.clone(), replaced.frame.call_id.clone());
        let theirs = replaced.remote_tag.clone().unwrap_or_default();
        let ours = replaced.local_tag.clone();
        self.orphan(now, old);
        let caller = self.calls.get(&main).and_then(|call| call.parties.first());
        let caller = caller.map(|party| party.number.clone()).unwrap_or_default();
        let Some(leg) = self.leg_to_dn(now, main, &number, &caller) else {
            return self.end_call(now, main, None, Some(480));
        };
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.frame.replaces = format!("{call_id};to-tag={theirs};from-tag={ours}");
        }
        if let Some(call) = self.calls.get_mut(&main) {
            let kind = PartyKind::Endpoint(leg);
            let party = Party::new(number, kind, PartyState::Initiated);
            call.parties.push(party);
        }
        self.send_invite(now, leg, InvitePurpose::Destination { offer });
    }

    /// What the party at `index` last described.
    fn offer_of(&self, call: CallKey, index: usize) -> Option<String> {
        match &self.calls.get(&call)?.parties.get(index)?.kind {
            PartyKind::Customer(customer) => Some(customer.offer()),
            PartyKind::Endpoint(leg) => self.legs.get(leg)?.remote_sdp.clone(),
        }
    }

    /// A dialog that was replaced belongs to no call any more, and is over soon.
    fn orphan(&mut self, now: Instant, leg: LegKey) {
        self.abandon_queue(now, leg);
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.call = NO_CALL;
        }
        self.later(now, REPLACED_LIFE, Timer::MoveOver(leg));
    }
}

/// What a header in a URI may not hold as it is (RFC 3261 section 25.1).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ';' | '=' | '@' | ':' | '?' | '&' | '%' => out.push_str(&format!("%{:02X}", c as u32)),
            _ => out.push(c),
        }
    }
    out
}
