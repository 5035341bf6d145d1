//! T-Library requests, and what customers do.

use std::time::Instant;

use super::call::{CallKey, Customer, Party, PartyKind};
use super::io::{CallUuid, Event, EventKind, Output, PartyState, Request, RequestError};
use super::leg::{InvitePurpose, LegKey, Then};
use super::limits::MAX_DTMF_DIGITS;
use super::machine::TServer;
use super::trunk::TrunkCall;
use super::view::CallKind;

impl TServer {
    /// Executes a request. On success the call it is about; its effects come out as SIP and events.
    ///
    /// # Errors
    ///
    /// Why it was refused; the same goes out as `EventError`.
    pub fn request(&mut self, now: Instant, request: Request) -> Result<CallUuid, RequestError> {
        let (name, dn, call) = describe(&request);
        let result = self.execute(now, request);
        if let Err(error) = &result {
            self.push(Output::Event(Event {
                kind: EventKind::Error {
                    request: name,
                    message: error.to_string(),
                },
                this_dn: dn,
                other_dn: None,
                call,
                conn_id: None,
                state: None,
            }));
        }
        result
    }

    fn execute(&mut self, now: Instant, request: Request) -> Result<CallUuid, RequestError> {
        match request {
            Request::CustomerCall { from, to } => self.customer_call(now, from, to, false),
            Request::TrunkCall(TrunkCall { from, to }) => self.customer_call(now, from, to, true),
            Request::CustomerHangup { call } => self.customer_hangup(now, call),
            Request::CustomerTransfers { call, to } => self.customer_transfers(now, call, to),
            Request::MakeCall { dn, to } => {
                let refers = self.config.dns.get(&dn).is_some_and(|dn| dn.refer_enabled);
                if refers {
                    return self.refer_endpoint(now, &dn, to);
                }
                self.make_call(now, &dn, to, CallKind::Outbound)
            }
            Request::Aside { dn, call, aside } => self.say_aside(now, &dn, call, &aside),
            Request::AnswerCall { dn, call } => self.answer_call(now, &dn, call),
            Request::HoldCall { dn, call } => self.hold_call(now, &dn, call),
            Request::RetrieveCall { dn, call } => self.retrieve_call(now, &dn, call),
            Request::ReleaseCall { dn, call } => self.release_call(now, &dn, call),
            Request::SendDtmf { dn, call, digits } => self.send_dtmf(now, &dn, call, digits),
            Request::AlternateCall { dn, call, held } => self.alternate_call(now, &dn, call, &held),
            Request::InitiateTransfer { dn, call, to } => {
                self.initiate_transfer(now, &dn, call, to)
            }
            Request::CompleteTransfer { dn, call } => self.complete_transfer(now, &dn, &call),
            Request::ReconnectCall { dn, call } => self.reconnect_call(now, &dn, &call),
            Request::CompleteConference { dn, call } => self.complete_conference(now, &dn, &call),
            Request::SingleStepConference { dn, call, to } => {
                self.party_of(&dn, &call)?;
                self.add_party(now, call, to, false)
            }
            Request::Supervise { dn, call } => self.add_party(now, call, dn, true),
            Request::DeleteFromConference { dn, call, number } => {
                self.delete_party(now, &dn, call, &number)
            }
            Request::RecordCall { dn, call, on } => self.record_call(now, &dn, call, on),
            Request::SingleStepTransfer { dn, call, to } => {
                self.single_step_transfer(now, &dn, call, to)
            }
        }
    }

    /// The call, the party of a DN in it, and that party's leg.
    pub(super) fn party_of(
        &self,
        dn: &str,
        call: &CallUuid,
    ) -> Result<(CallKey, LegKey, PartyState), RequestError> {
        if !self.config.dns.contains_key(dn) {
            return Err(RequestError::UnknownDn(dn.to_owned()));
        }
        let call = self
            .uuids
            .get(call)
            .and_then(|key| self.calls.get(key))
            .ok_or(RequestError::NoCall)?;
        let party = call
            .index_of_dn(dn)
            .map(|index| &call.parties[index])
            .ok_or(RequestError::NoCall)?;
        let leg = party.leg().ok_or(RequestError::NoCall)?;
        Ok((call.key, leg, party.state))
    }

    fn customer_call(
        &mut self,
        now: Instant,
        from: String,
        to: String,
        from_peer: bool,
    ) -> Result<CallUuid, RequestError> {
        if !self.config.dns.contains_key(&to) {
            return Err(RequestError::UnknownDn(to));
        }
        if !from_peer && self.forwards(&to) {
            self.push(Output::Trunk(TrunkCall {
                from,
                to: to.clone(),
            }));
            return Err(RequestError::Forwarded(to));
        }
        self.reachable(now, &to)?;
        if let Some(refused) = self.refuses_call(&to, CallKey(0)) {
            return Err(refused);
        }
        let local = self.free_media.pop_front().ok_or(RequestError::NoMedia)?;
        let Some(key) = self.new_call(CallKind::Inbound, to) else {
            self.free_media.push_front(local);
            return Err(RequestError::TooManyCalls);
        };
        let events = self.customer_config(&from).telephone_event;
        let call = self.calls.get_mut(&key).ok_or(RequestError::NoCall)?;
        call.parties.push(Party::new(
            from,
            PartyKind::Customer(Customer::new(local, events)),
            PartyState::Dialing,
        ));
        let uuid = call.uuid.clone();
        self.media(key, 0, false);
        self.call_destination(now, key);
        Ok(uuid)
    }

    fn customer_hangup(&mut self, now: Instant, call: CallUuid) -> Result<CallUuid, RequestError> {
        let key = *self.uuids.get(&call).ok_or(RequestError::NoCall)?;
        let by = self.calls.get(&key).and_then(|call| {
            call.parties
                .iter()
                .position(|party| matches!(party.kind, PartyKind::Customer(_)))
        });
        let by = by.ok_or(RequestError::NoCall)?;
        self.end_call(now, key, Some(by), None);
        Ok(call)
    }

    /// TMakeCall: the originator first, without SDP and with the dialled number in From.
    pub(super) fn make_call(
        &mut self,
        now: Instant,
        dn: &str,
        to: String,
        kind: CallKind,
    ) -> Result<CallUuid, RequestError> {
        if !self.config.dns.contains_key(dn) {
            return Err(RequestError::UnknownDn(dn.to_owned()));
        }
        self.reachable(now, dn)?;
        let key = self
            .new_call(kind, to.clone())
            .ok_or(RequestError::TooManyCalls)?;
        let leg = self
            .leg_to_dn(now, key, dn, &to)
            .ok_or_else(|| RequestError::NotRegistered(dn.to_owned()))?;
        let call = self.calls.get_mut(&key).ok_or(RequestError::NoCall)?;
        call.parties.push(Party::new(
            dn.to_owned(),
            PartyKind::Endpoint(leg),
            PartyState::Initiated,
        ));
        let uuid = call.uuid.clone();
        let alert = self
            .config
            .dns
            .get(dn)
            .and_then(|dn| dn.make_call_alert.line());
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.frame.alert = alert;
        }
        self.send_invite(now, leg, InvitePurpose::Originator);
        Ok(uuid)
    }

    fn answer_call(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallUuid,
    ) -> Result<CallUuid, RequestError> {
        let (_, leg, state) = self.party_of(dn, &call)?;
        if state != PartyState::Ringing {
            return Err(RequestError::State(state));
        }
        if !self.cti(dn).talk {
            return Err(RequestError::NotControllable);
        }
        self.send_notify(now, leg, "talk", Some("TAnswerCall"));
        Ok(call)
    }

    /// The annex of the DN of a leg.
    pub(super) fn dn_of(&self, leg: LegKey) -> Option<&super::DnConfig> {
        self.config.dns.get(&self.legs.get(&leg)?.dn)
    }

    pub(super) fn cti(&self, dn: &str) -> super::CtiControl {
        self.config
            .dns
            .get(dn)
            .map_or(super::CtiControl::default(), |dn| dn.cti_control)
    }

    fn hold_call(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallUuid,
    ) -> Result<CallUuid, RequestError> {
        let (_, leg, state) = self.party_of(dn, &call)?;
        if state != PartyState::Established {
            return Err(RequestError::State(state));
        }
        self.hold_leg(now, dn, leg);
        Ok(call)
    }

    pub(super) fn hold_leg(&mut self, now: Instant, dn: &str, leg: LegKey) {
        if self.cti(dn).hold {
            self.send_notify(now, leg, "hold", Some("THoldCall"));
        } else {
            self.reinvite(now, leg, InvitePurpose::Hold);
        }
    }

    fn retrieve_call(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallUuid,
    ) -> Result<CallUuid, RequestError> {
        let (_, leg, state) = self.party_of(dn, &call)?;
        // A main call whose dialog is borrowed comes back by TAlternateCall or TReconnectCall.
        let lent = self.calls_of_leg(leg).len() > 1;
        if state != PartyState::Held || lent {
            return Err(RequestError::State(state));
        }
        self.retrieve_leg(now, dn, leg);
        Ok(call)
    }

    pub(super) fn retrieve_leg(&mut self, now: Instant, dn: &str, leg: LegKey) {
        let black_hole = self.legs.get(&leg).is_some_and(|leg| leg.black_hole);
        if black_hole || !self.cti(dn).talk {
            let then = Then::Retrieve;
            self.reinvite(now, leg, InvitePurpose::Offerless { then });
        } else {
            self.send_notify(now, leg, "talk", Some("TRetrieveCall"));
        }
    }

    fn release_call(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallUuid,
    ) -> Result<CallUuid, RequestError> {
        let (key, _, _) = self.party_of(dn, &call)?;
        let by = self.calls.get(&key).and_then(|call| call.index_of_dn(dn));
        self.end_call(now, key, by, None);
        Ok(call)
    }

    fn send_dtmf(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallUuid,
        digits: String,
    ) -> Result<CallUuid, RequestError> {
        let (_, leg, state) = self.party_of(dn, &call)?;
        if state != PartyState::Established {
            return Err(RequestError::State(state));
        }
        let good = (1..=MAX_DTMF_DIGITS).contains(&digits.len())
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D'));
        if !good {
            return Err(RequestError::Digits);
        }
        let by_info = self.config.dns.get(dn).is_some_and(|dn| dn.dtmf_by_info);
        if !self.cti(dn).dtmf && !by_info {
            return Err(RequestError::NotControllable);
        }
        self.send_digit(now, leg, digits, 0);
        Ok(call)
    }

    /// The endpoint took a digit: the next one, or the event after the last.
    pub(super) fn next_digit(&mut self, now: Instant, leg: LegKey, digits: String, done: usize) {
        if done + 1 < digits.len() {
            return self.send_digit(now, leg, digits, done + 1);
        }
        let Some(call) = self.legs.get(&leg).map(|leg| leg.call) else {
            return;
        };
        let index = self
            .calls
            .get(&call)
            .and_then(|call| call.index_of_leg(leg));
        if let Some(index) = index {
            self.call_event(call, index, EventKind::DtmfSent { digits });
        }
    }

    /// `EventError` about a request that failed later, at the endpoint.
    pub(super) fn leg_error(&mut self, leg: LegKey, request: &'static str, message: String) {
        let Some(call) = self.legs.get(&leg).map(|leg| leg.call) else {
            return;
        };
        let index = self
            .calls
            .get(&call)
            .and_then(|call| call.index_of_leg(leg));
        if let Some(index) = index {
            self.call_event(call, index, EventKind::Error { request, message });
        }
    }
}

/// T-Library name, DN and call of a request, for `EventError`.
fn describe(request: &Request) -> (&'static str, String, Option<CallUuid>) {
    let (name, dn, call) = match request {
        Request::CustomerCall { to, .. } => ("CustomerCall", to.as_str(), None),
        Request::TrunkCall(call) => ("TrunkCall", call.to.as_str(), None),
        Request::CustomerHangup { call } => ("CustomerHangup", "", Some(call)),
        Request::CustomerTransfers { call, .. } => ("CustomerTransfers", "", Some(call)),
        Request::MakeCall { dn, .. } => ("TMakeCall", dn.as_str(), None),
        Request::Aside { dn, call, .. } => ("Aside", dn.as_str(), Some(call)),
        Request::AnswerCall { dn, call } => ("TAnswerCall", dn.as_str(), Some(call)),
        Request::HoldCall { dn, call } => ("THoldCall", dn.as_str(), Some(call)),
        Request::RetrieveCall { dn, call } => ("TRetrieveCall", dn.as_str(), Some(call)),
        Request::ReleaseCall { dn, call } => ("TReleaseCall", dn.as_str(), Some(call)),
        Request::SendDtmf { dn, call, .. } => ("TSendDTMF", dn.as_str(), Some(call)),
        Request::AlternateCall { dn, call, .. } => ("TAlternateCall", dn.as_str(), Some(call)),
        Request::InitiateTransfer { dn, call, .. } => {
            ("TInitiateTransfer", dn.as_str(), Some(call))
        }
        Request::CompleteTransfer { dn, call } => ("TCompleteTransfer", dn.as_str(), Some(call)),
        Request::SingleStepTransfer { dn, call, .. } => {
            ("TSingleStepTransfer", dn.as_str(), Some(call))
        }
        Request::ReconnectCall { dn, call } => ("TReconnectCall", dn.as_str(), Some(call)),
        Request::CompleteConference { dn, call } => {
            ("TCompleteConference", dn.as_str(), Some(call))
        }
        Request::SingleStepConference { dn, call, .. } => {
            ("TSingleStepConference", dn.as_str(), Some(call))
        }
        Request::Supervise { dn, call } => ("TMonitorNextCall", dn.as_str(), Some(call)),
        Request::DeleteFromConference { dn, call, .. } => {
            ("TDeleteFromConference", dn.as_str(), Some(call))
        }
        Request::RecordCall { dn, call, .. } => ("TPrivateService", dn.as_str(), Some(call)),
    };
    (name, dn.to_owned(), call.cloned())
}
