//! How the two sides of a call are brought together: legs, offers and answers.

use std::time::Instant;

use super::agenda::Timer;
use super::call::{Call, CallKey, Customer, Party, PartyKind};
use super::config::CustomerAnswer;
use super::io::{EventKind, PartyState, Source};
use super::leg::{Destination, InvitePurpose, Leg, LegKey, Then, Waiter};
use super::limits::MAX_CALLS;
use super::machine::TServer;
use super::read::Incoming;
use super::register::contact_destination;
use super::sdp::{Audio, Origin};
use super::text;
use super::transaction::{ClientKey, Purpose};
use super::view::{CallKind, LegState};
use super::write::{Body, Frame, InviteForm, Reply};

/// What became of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Sdp(String),
    /// Nobody there to answer: media goes nowhere.
    BlackHole,
    Refused(u16),
}

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

    /// The address of record of a number as From shows it: a DN's as it registered.
    fn aor(&self, number: &str) -> String {
        self.registrar.binding(number).map_or_else(
            || format!("sip:{number}@{}", self.config.advertise),
            |binding| binding.aor.clone(),
        )
    }

    /// A new dialog of ours to a registered DN, showing `other` as the remote party.
    pub(super) fn leg_to_dn(
        &mut self,
        now: Instant,
        call: CallKey,
        dn: &str,
        other: &str,
    ) -> Option<LegKey> {
        let binding = self.registrar.binding(dn)?.clone();
        let tag = self.ids.tag();
        let server = self.config.advertise;
        let frame = Frame {
            uri: text::uri_of(&binding.contact).to_owned(),
            from: format!("{};tag={tag}", self.aor(other)),
            to: binding.aor,
            call_id: self.ids.call_id(&server.ip().to_string()),
            transport: binding.destination.transport,
            sent_by: server.to_string(),
            contact: self.contact(other, binding.destination.transport),
            call_uuid: self.uuid_text(call),
        };
        Some(self.add_leg(now, call, dn, binding.destination, frame, (tag, None)))
    }

    /// The dialog of an endpoint's own INVITE.
    pub(super) fn leg_from_endpoint(
        &mut self,
        now: Instant,
        call: CallKey,
        dn: &str,
        source: Source,
        message: &Incoming,
    ) -> LegKey {
        let tag = self.ids.tag();
        let uri = text::uri_of(message.get("Contact").unwrap_or_default()).to_owned();
        let user = text::user_of(text::uri_of(message.to())).unwrap_or_default();
        let destination = contact_destination(&uri, source);
        let frame = Frame {
            uri,
            from: format!("{};tag={tag}", message.to()),
            to: message.from().to_owned(),
            call_id: message.call_id().to_owned(),
            transport: destination.transport,
            sent_by: self.config.advertise.to_string(),
            contact: self.contact(user, destination.transport),
            call_uuid: self.uuid_text(call),
        };
        let remote = message.from_tag().map(str::to_owned);
        let key = self.add_leg(now, call, dn, destination, frame, (tag, remote));
        if let Some(leg) = self.legs.get_mut(&key) {
            leg.ours = false;
            leg.remote_cseq = message.cseq;
        }
        key
    }

    fn uuid_text(&self, call: CallKey) -> String {
        self.calls
            .get(&call)
            .map(|call| call.uuid.0.clone())
            .unwrap_or_default()
    }

    fn add_leg(
        &mut self,
        now: Instant,
        call: CallKey,
        dn: &str,
        destination: Destination,
        frame: Frame,
        (local_tag, remote_tag): (String, Option<String>),
    ) -> LegKey {
        let key = LegKey(self.number());
        self.dialogs
            .insert((frame.call_id.clone(), local_tag.clone()), key);
        let origin = Origin::new(self.unix_time_s(now), self.config.advertise.ip());
        let leg = Leg {
            key,
            call,
            dn: dn.to_owned(),
            state: LegState::Calling,
            ours: true,
            frame,
            local_tag,
            remote_tag,
            destination,
            cseq: 0,
            remote_cseq: 0,
            inviting: None,
            invite_cseq: 0,
            provisional: false,
            cancelled: false,
            unacknowledged: None,
            acks: std::collections::BTreeMap::new(),
            invited: None,
            awaiting_ack: None,
            bye_after_ack: None,
            queue: std::collections::VecDeque::new(),
            glare_retries: 0,
            origin,
            remote_sdp: None,
            offered: None,
            local_sdp: None,
            black_hole: false,
        };
        self.legs.insert(key, leg);
        key
    }

    /// Sends an INVITE, the first of a dialog or a later one.
    pub(super) fn send_invite(&mut self, now: Instant, leg: LegKey, purpose: InvitePurpose) {
        let branch = self.ids.branch();
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let sdp = match &purpose {
            InvitePurpose::Originator | InvitePurpose::Offerless { .. } => None,
            InvitePurpose::Destination { offer }
            | InvitePurpose::PeerOffer { offer, .. }
            | InvitePurpose::Connect { offer } => Some(entry.origin.pass(offer)),
            InvitePurpose::Hold | InvitePurpose::Held => Some(entry.origin.black_hole()),
        };
        let form = match purpose {
            InvitePurpose::Destination { .. } => InviteForm::Destination,
            InvitePurpose::Originator => InviteForm::Originator,
            _ => InviteForm::Again,
        };
        let cseq = entry.next_cseq();
        let bytes = entry.frame.invite(form, cseq, &branch, sdp.as_deref());
        let key = ClientKey {
            branch,
            method: "INVITE",
        };
        entry.invite_cseq = cseq;
        entry.inviting = Some(key.clone());
        if sdp.is_some() {
            entry.local_sdp = sdp;
        }
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
        self.send_invite(now, leg, purpose);
    }

    /// A re-INVITE that cannot be: whoever waits for its answer is told.
    fn never_sent(&mut self, now: Instant, purpose: InvitePurpose) {
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
    pub(super) fn ack(
        &mut self,
        now: Instant,
        leg: LegKey,
        sdp: Option<String>,
        max_forwards: bool,
    ) {
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
        let first = entry.state == LegState::Answered;
        if first {
            entry.state = LegState::Confirmed;
        }
        self.transmit(destination, bytes);
        if first {
            self.plan_refresh(now, leg);
        }
    }

    /// ACK that leads media nowhere, if the 2xx carried an offer; else a plain one.
    pub(super) fn ack_nothing(&mut self, now: Instant, leg: LegKey) {
        let sdp = self.legs.get_mut(&leg).and_then(|leg| {
            let offered = matches!(
                leg.unacknowledged.as_ref()?.purpose,
                InvitePurpose::Originator | InvitePurpose::Offerless { .. }
            );
            offered.then(|| leg.origin.black_hole())
        });
        self.ack(now, leg, sdp, true);
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
        if self.refuses_second_call(&number, key) {
            return self.destination_failed(now, key, None, 486);
        }
        let Some(leg) = self.leg_to_dn(now, key, &number, &caller_number) else {
            return self.destination_failed(now, key, None, 480);
        };
        if let Some(call) = self.calls.get_mut(&key) {
            call.parties.push(Party {
                number,
                kind: PartyKind::Endpoint(leg),
                state: PartyState::Initiated,
            });
        }
        self.send_invite(now, leg, InvitePurpose::Destination { offer });
    }

    /// `reject-call-incall`.
    pub(super) fn refuses_second_call(&self, dn: &str, except: CallKey) -> bool {
        let asked = self
            .config
            .dns
            .get(dn)
            .is_some_and(|dn| dn.reject_call_incall);
        asked
            && self
                .calls
                .values()
                .any(|call| call.key != except && call.index_of_dn(dn).is_some())
    }

    fn call_customer(&mut self, now: Instant, key: CallKey, number: String) {
        let Some(local) = self.free_media.pop_front() else {
            return self.destination_failed(now, key, None, 503);
        };
        let behaviour = self.customer_config(&number);
        if let Some(call) = self.calls.get_mut(&key) {
            call.parties.push(Party {
                number,
                kind: PartyKind::Customer(Customer::new(local)),
                state: PartyState::Ringing,
            });
        }
        self.media(key, 1, false);
        if behaviour.then != CustomerAnswer::Refuse(404) {
            self.ring_uas_caller(now, key);
        }
        self.later(now, behaviour.ring, Timer::CustomerActs(key));
    }

    fn customer_config(&self, number: &str) -> super::config::CustomerConfig {
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
            CustomerAnswer::Never => {}
            CustomerAnswer::Refuse(status) => self.destination_failed(now, key, None, status),
            CustomerAnswer::Answer => self.customer_picks_up(now, key, index),
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
        match entry.state {
            LegState::Answered if entry.ours => {
                let answer = entry.origin.pass(sdp);
                self.ack(now, leg, Some(answer), true);
                self.establish(key, leg);
                self.leg_free(now, leg);
            }
            LegState::Calling | LegState::Early if !entry.ours => {
                let answer = entry.origin.pass(sdp);
                entry.state = LegState::Answered;
                if let Some(server) = entry.invited.take() {
                    self.accept(now, leg, &server, &answer);
                }
                self.establish(key, leg);
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
        self.ack(now, leg, None, true);
        self.establish(call, leg);
        if self.config.reinvite_after_answer {
            let delay = self.config.delays.reinvite;
            self.later(now, delay, Timer::Resync(leg));
        }
        self.leg_free(now, leg);
    }

    pub(super) fn resync(&mut self, now: Instant, leg: LegKey) {
        self.reinvite(now, leg, InvitePurpose::Offerless { then: Then::Resync });
    }

    /// Asks the other party of the call to answer an offer of this leg.
    pub(super) fn seek_answer(&mut self, now: Instant, leg: LegKey, offer: &str, waiter: Waiter) {
        let other = self.legs.get(&leg).and_then(|entry| {
            let call = self.calls.get(&entry.call)?;
            let other = call.other(call.index_of_leg(leg)?)?;
            Some((&call.parties[other], entry.black_hole))
        });
        let Some((other, black_hole)) = other else {
            return self.deliver(now, waiter, Answer::BlackHole);
        };
        let retrieving = matches!(
            self.legs.get(&leg).and_then(|leg| leg.unacknowledged.as_ref()),
            Some(answered)
                if answered.purpose == InvitePurpose::Offerless { then: Then::Retrieve }
        );
        if black_hole && !retrieving {
            return self.deliver(now, waiter, Answer::BlackHole);
        }
        let offer = offer.to_owned();
        match other.kind {
            PartyKind::Customer(_) => {
                let delay = match waiter {
                    Waiter::Ack(_) => self.config.delays.customer_answer,
                    Waiter::Reply(_) => std::time::Duration::ZERO,
                };
                if delay.is_zero() {
                    self.customer_answers(now, waiter, &offer);
                } else {
                    self.later(now, delay, Timer::CustomerAnswer { waiter, offer });
                }
            }
            PartyKind::Endpoint(peer) => {
                // An endpoint that called by itself is asked as soon as it has acknowledged.
                let open = self.legs.get(&peer).is_some_and(|peer| {
                    let connected = match peer.state {
                        LegState::Confirmed => true,
                        LegState::Answered => !peer.ours,
                        _ => false,
                    };
                    connected && !peer.black_hole
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

    /// The customer on the other side of a leg.
    fn customer_of(&self, leg: LegKey) -> Option<(CallKey, usize)> {
        let call = self.calls.get(&self.legs.get(&leg)?.call)?;
        let other = call.other(call.index_of_leg(leg)?)?;
        matches!(call.parties[other].kind, PartyKind::Customer(_)).then_some((call.key, other))
    }

    /// The customer on the other side takes over what this leg last described.
    pub(super) fn tell_customer(&mut self, leg: LegKey) {
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
        let call = entry.call;
        self.ack(now, leg, Some(sdp), true);
        if retrieve {
            self.set_party(call, leg, PartyState::Established, EventKind::Retrieved);
        }
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
        let holds = entry.remote_audio().is_some_and(|audio| audio.holds());
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
        if let Some(peer) = peer {
            self.reinvite(now, peer, InvitePurpose::Held);
        }
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

    /// The party of a leg talks from now on; nothing happens if it already does.
    pub(super) fn establish(&mut self, key: CallKey, leg: LegKey) {
        let waiting = self.calls.get(&key).is_some_and(|call| {
            call.index_of_leg(leg).is_some_and(|index| {
                matches!(
                    call.parties[index].state,
                    PartyState::Initiated | PartyState::Ringing | PartyState::Dialing
                )
            })
        });
        if waiting {
            self.set_party(key, leg, PartyState::Established, EventKind::Established);
        }
    }

    /// In-dialog NOTIFY without a body.
    pub(super) fn send_notify(
        &mut self,
        now: Instant,
        leg: LegKey,
        event: &str,
        request: Option<&'static str>,
    ) {
        let purpose = Purpose::Notify { leg, request };
        self.send_in_dialog(now, leg, "NOTIFY", purpose, |frame, cseq, branch| {
            frame.notify(event, cseq, branch, None)
        });
    }

    /// One DTMF digit by NOTIFY or INFO.
    pub(super) fn send_digit(&mut self, now: Instant, leg: LegKey, digits: String, next: usize) {
        let Some(digit) = digits.chars().nth(next) else {
            return;
        };
        let by_notify = self
            .legs
            .get(&leg)
            .and_then(|leg| self.config.dns.get(&leg.dn))
            .is_some_and(|dn| dn.cti_control.dtmf);
        let text = format!("Signal={digit}\r\nDuration=160\r\n");
        let method = if by_notify { "NOTIFY" } else { "INFO" };
        let purpose = Purpose::Dtmf { leg, digits, next };
        self.send_in_dialog(now, leg, method, purpose, |frame, cseq, branch| {
            let body = Body {
                kind: "application/dtmf-relay",
                text: &text,
            };
            if by_notify {
                frame.notify("dtmf", cseq, branch, Some(body))
            } else {
                frame.info(cseq, branch, body)
            }
        });
    }

    pub(super) fn send_in_dialog(
        &mut self,
        now: Instant,
        leg: LegKey,
        method: &'static str,
        purpose: Purpose,
        write: impl FnOnce(&Frame, u32, &str) -> Vec<u8>,
    ) {
        let branch = self.ids.branch();
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let cseq = entry.next_cseq();
        let frame = entry.frame.clone();
        let bytes = write(&frame, cseq, &branch);
        let destination = entry.destination;
        let key = ClientKey { branch, method };
        self.start_client(now, key, destination, (frame, cseq), bytes, purpose);
    }
}
