//! The machine: what goes in, what comes out, and who takes which message.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::agenda::{Agenda, Timer};
use super::call::{Call, CallKey, PartyKind};
use super::config::Config;
use super::control::Drops;
use super::ids::Ids;
use super::io::{
    CallUuid, ConnectionId, CustomerMedia, Event, EventKind, Input, Output, RegisterMode, Source,
    Transmit, Transport,
};
use super::leg::{Destination, Leg, LegKey};
use super::moved::Move;
use super::read::{Incoming, Start};
use super::referred::{ReferralKey, Referred};
use super::register::Registrar;
use super::service::Service;
use super::transaction::{ClientKey, ClientTransaction, ServerKey, ServerTransaction};

/// The simulated SIP Server.
#[derive(Debug)]
pub struct TServer {
    pub(super) config: Config,
    pub(super) ids: Ids,
    born: Instant,
    outputs: VecDeque<Output>,
    pub(super) agenda: Agenda,
    pub(super) registrar: Registrar,
    pub(super) register_mode: RegisterMode,
    pub(super) refuse_calls: Option<u16>,
    pub(super) drops: Drops,
    pub(super) service: Service,
    pub(super) clients: BTreeMap<ClientKey, ClientTransaction>,
    pub(super) servers: BTreeMap<ServerKey, ServerTransaction>,
    pub(super) legs: BTreeMap<LegKey, Leg>,
    /// By Call-ID and our own tag.
    pub(super) dialogs: HashMap<(String, String), LegKey>,
    pub(super) calls: BTreeMap<CallKey, Call>,
    pub(super) uuids: HashMap<CallUuid, CallKey>,
    /// Endpoints that were asked to call somebody.
    pub(super) referrals: BTreeMap<ReferralKey, Referred>,
    /// Endpoints that were asked to move, by the dialog in which they were.
    pub(super) moves: BTreeMap<LegKey, Move>,
    pub(super) numbers: u64,
    pub(super) free_media: VecDeque<SocketAddr>,
    pub(super) unreadable: u64,
    pub(super) dropped: u64,
}

impl TServer {
    /// A server that starts at `now` without bindings and calls.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut agenda = Agenda::default();
        for (dn, settings) in &config.dns {
            if let Some(period) = settings.oos_check {
                agenda.at(now + period, Timer::OosCheck { dn: dn.clone() });
            }
        }
        Self {
            free_media: config.customer_media.iter().copied().collect(),
            config,
            ids: Ids::new(seed),
            born: now,
            outputs: VecDeque::new(),
            agenda,
            registrar: Registrar::default(),
            register_mode: RegisterMode::Normal,
            refuse_calls: None,
            drops: Drops::default(),
            service: Service::default(),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            legs: BTreeMap::new(),
            dialogs: HashMap::new(),
            calls: BTreeMap::new(),
            uuids: HashMap::new(),
            referrals: BTreeMap::new(),
            moves: BTreeMap::new(),
            numbers: 0,
            unreadable: 0,
            dropped: 0,
        }
    }

    /// The only way in. Whatever is due at `now` happens first.
    pub fn handle(&mut self, now: Instant, input: Input) {
        while let Some(timer) = self.agenda.due(now) {
            self.fire(now, timer);
        }
        match input {
            Input::Received { source, bytes } => self.receive(now, source, &bytes),
            Input::ConnectionLost(connection) => self.connection_lost(connection),
            Input::Request(request) => {
                // The failure is already an event.
                let _ = self.request(now, request);
            }
            Input::Control(control) => self.control(now, control),
            Input::Tick => {}
        }
    }

    /// What the machine wants to be done, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the machine wants to be called again, at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.agenda.next()
    }

    /// The configuration as it is now.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn receive(&mut self, now: Instant, source: Source, bytes: &[u8]) {
        // RFC 5626 keep-alives and stray line ends are no messages.
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n')) {
            return;
        }
        let Ok(message) = Incoming::read(bytes) else {
            self.unreadable = self.unreadable.saturating_add(1);
            return;
        };
        if self.drops.takes(&message) {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        match message.start {
            Start::Request { .. } => self.take_request(now, source, &message),
            Start::Response { status } => self.take_response(now, status, &message),
        }
    }

    fn fire(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::ClientResend(key) => self.client_resend(now, &key),
            Timer::ClientEnd(key) => self.client_end(now, &key),
            Timer::Trying(key) => self.client_trying(now, &key),
            Timer::ServerResend(key) => self.server_resend(now, &key),
            Timer::ServerEnd(key) => self.server_end(now, &key),
            Timer::BindingExpires { dn, generation } => self.binding_expires(&dn, generation),
            Timer::OosCheck { dn } => self.oos_check(now, dn),
            Timer::Ack(leg) => self.ack_destination(now, leg),
            Timer::Resync(leg) => self.resync(now, leg),
            Timer::Again(leg) => self.after_back_off(now, leg),
            Timer::CustomerAnswer { waiter, offer } => self.customer_answers(now, waiter, &offer),
            Timer::CustomerActs(call) => self.customer_acts(now, call),
            Timer::CustomerGivesUp(call) => self.customer_gives_up(now, call),
            Timer::GreetingOver(call) => self.unbridge(now, call),
            Timer::NoAnswer(leg) => self.no_answer(now, leg),
            Timer::Withheld(leg) => self.withheld_too_long(now, leg),
            Timer::Unacknowledged(leg) => self.provisional_unacknowledged(now, leg),
            Timer::ReferralOver(referral) => {
                self.referrals.remove(&referral);
            }
            Timer::MoveOver(leg) => self.move_over(now, leg),
            Timer::Transfer(wanted) => self.transfer_goes_on(now, wanted),
            Timer::Session(leg, generation) => self.session_due(now, leg, generation),
        }
    }

    fn connection_lost(&mut self, connection: ConnectionId) {
        self.registrar.forget_connection(connection);
        for leg in self.legs.values_mut() {
            if leg.destination.connection == Some(connection) {
                leg.destination.connection = None;
            }
        }
        self.send_again(connection);
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn later(&mut self, now: Instant, after: Duration, timer: Timer) {
        self.agenda.at(now + after, timer);
    }

    /// Seconds since 1970, for ids of `o=` lines.
    pub(super) fn unix_time_s(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.born);
        self.config.unix_time_s.saturating_add(elapsed.as_secs())
    }

    pub(super) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn transmit(&mut self, destination: Destination, bytes: Vec<u8>) {
        self.push(Output::Transmit(Transmit {
            transport: destination.transport,
            to: destination.to,
            connection: destination.connection,
            bytes,
        }));
    }

    /// `sip:dn@host:port` with the transport that makes the endpoint come back the same way.
    pub(super) fn contact(&self, user: &str, transport: Transport) -> String {
        let suffix = transport.uri_param();
        format!("<sip:{user}@{}{suffix}>", self.config.advertise)
    }

    /// An event of the party at `index` of a call, with its present state.
    pub(super) fn call_event(&mut self, key: CallKey, index: usize, kind: EventKind) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let Some(party) = call.parties.get(index) else {
            return;
        };
        let event = Event {
            kind,
            this_dn: party.number.clone(),
            other_dn: call.other_number(index),
            call: Some(call.uuid.clone()),
            conn_id: Some(call.conn_id.clone()),
            state: Some(party.state),
        };
        self.push(Output::Event(event));
    }

    /// An event of a DN without a call.
    pub(super) fn dn_event(&mut self, dn: &str, kind: EventKind) {
        self.push(Output::Event(Event {
            kind,
            this_dn: dn.to_owned(),
            other_dn: None,
            call: None,
            conn_id: None,
            state: None,
        }));
    }

    /// Tells the shell what the customer at `index` of a call sends and where.
    pub(super) fn media(&mut self, key: CallKey, index: usize, ended: bool) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let Some(party) = call.parties.get(index) else {
            return;
        };
        let PartyKind::Customer(customer) = &party.kind else {
            return;
        };
        let media = CustomerMedia {
            call: call.uuid.clone(),
            number: party.number.clone(),
            local: customer.local,
            remote: customer.remote.filter(|_| !ended),
            payload_type: customer.payload_type,
            telephone_event: customer.telephone_event,
            ended,
        };
        if ended {
            self.free_media.push_back(customer.local);
        }
        self.push(Output::Media(media));
    }
}
