//! The world in virtual time: talkbridge's switchboard and the model SIP Server with a bad network between them, model
//! browsers on the other side, and an oracle that watches every datagram.
//!
//! A run is its seed: [`run`] draws the site (DNs and their options), the faults and everything that anybody does from it, and two
//! runs of one seed are equal to the byte. A run has three phases: *chaos*, in which agents, customers and desktops do what they like while
//! the network loses, repeats and delays; *calm*, after which every view must agree; and *closing time*, after which
//! nothing may be left.

mod asides;
mod attacker;
mod browsers;
mod calendar;
mod calm;
mod capture;
pub mod coverage;
mod covered;
mod deeds;
mod faults;
mod invites;
mod journeys;
mod limits;
mod mishaps;
mod moments;
mod network;
mod numbers;
mod oracle;
mod people;
mod proxy;
mod queue;
mod reference;
mod registered;
mod servers;
mod site;
mod sites;
mod standstills;
mod storm;
mod streams;
mod targets;
mod turn;
mod wire;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use switchboard::{CallId, Fact, Input, MediaEvent, Switchboard};

use crate::tserver::{self, Control, TServer};

pub use capture::{Captured, pcapng};
pub use faults::Faults;
pub use storm::{FURTHER, is_storm};
pub use streams::is_by_stream;

use asides::Asides;
use attacker::Attacker;
use browsers::Browsers;
use calendar::Calendar;
use coverage::Coverage;
use journeys::Journeys;
use network::{Network, Place};
use oracle::Oracle;
use proxy::Proxy;
use queue::{Event, Queue};
use reference::{Happened, Reference};
use registered::Watch;
use servers::{Server, ServerId};
use site::{Layout, Site};
use sites::Logins;
use storm::{Kind, Storm};
use streams::Streams;
use workers::Workers;

/// How long everybody has to sign in.
const OPENING: Duration = Duration::from_secs(2);

/// How long people do what they like.
const CHAOS: Duration = Duration::from_secs(90);

/// 64*T1: a request is repeated for as long, and waits for its answer.
const PATIENCE: Duration = Duration::from_secs(32);

/// Outputs that one input may cause: a shutdown with every agent in two calls fits.
const OUTPUTS_MAX: usize = 200;

/// Runs one seed.
///
/// # Errors
/// The first invariant that did not hold, with the trace that leads to it.
pub fn run(seed: u64, record: bool) -> Result<Report, Box<Violation>> {
    let mut world = World::new(seed, record);
    let outcome = world.run();
    match outcome {
        Ok(()) => Ok(world.report()),
        Err(broken) => Err(Box::new(Violation {
            seed,
            at: world.now.saturating_duration_since(world.born),
            broken,
            trace: world.trace,
            captured: world.captured,
        })),
    }
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Calls that talkbridge saw.
    pub calls: usize,
    /// Calls that were answered.
    pub answered: usize,
    /// NOTIFY talk and hold that reached a dialog.
    pub controls: usize,
    /// Datagrams that were sent, both ways.
    pub datagrams: usize,
    /// Datagrams that the network lost, repeated or reordered.
    pub faults: usize,
    /// How often something else broke: SIP Server, its registrar, talkbridge's machine.
    pub mishaps: usize,
    /// How often a queue of the shell was full: a datagram was lost, or a page let go.
    pub overflows: usize,
    /// Calls that one site handed to the other.
    pub forwarded: usize,
    /// Datagrams that a stranger forged.
    pub attacks: usize,
    /// How often a call was shown as the reference model expected.
    pub compared: usize,
    /// Rows of the state tables that were reached.
    pub rows: BTreeSet<coverage::Row>,
    /// A digest of everything that happened, in order: equal for equal seeds.
    pub digest: u64,
    /// What happened, a line each, when it was recorded.
    pub trace: Vec<String>,
    /// What passed on the wire, when it was recorded.
    pub captured: Vec<Captured>,
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed that shows it.
    pub seed: u64,
    /// Virtual time since the beginning.
    pub at: Duration,
    /// What did not hold.
    pub broken: String,
    /// What happened before, a line each, when it was recorded.
    pub trace: Vec<String>,
    /// What passed on the wire before, when it was recorded.
    pub captured: Vec<Captured>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        write!(f, "seed {} at {:?}: {}", self.seed, self.at, self.broken)
    }
}

impl std::error::Error for Violation {}

/// Everything there is.
struct World {
    born: Instant,
    now: Instant,
    rng: ChaCha12Rng,
    site: Site,
    storm: Storm,
    board: Switchboard,
    /// The hosts on talkbridge's list, the preferred one first.
    servers: Vec<Server>,
    /// SIP Servers: one for each host, or one behind all of them.
    machines: Vec<TServer>,
    proxy: Option<Proxy>,
    /// The connections, where the site speaks over TCP.
    streams: Option<Streams>,
    queue: Queue,
    browsers: Browsers,
    workers: Workers,
    oracle: Oracle,
    asides: Asides,
    attacker: Attacker,
    coverage: Coverage,
    reference: Reference,
    watch: Watch,
    journeys: Journeys,
    calendar: Calendar,
    logins: Logins,
    /// Agents who said last that they are muted.
    muted: BTreeSet<String>,
    /// The DN of each call that talkbridge has told of.
    dns: BTreeMap<CallId, String>,
    /// talkbridge gets no processor before this.
    stalled_until: Instant,
    /// Datagrams that wait for that.
    waiting: usize,
    record: bool,
    trace: Vec<String>,
    captured: Vec<Captured>,
    digest: u64,
    report: Report,
}

/// The result of anything that can break an invariant.
type Step = Result<(), String>;

impl World {
    fn new(seed: u64, record: bool) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let born = origin();
        let (storm, mut own) = Storm::of(seed);
        let mut site = Site::draw(&mut rng);
        site.suit(&storm, &mut own);
        if proxy::stands_before(seed) {
            site.layout = Layout::Proxied;
        }
        site.transport = streams::spoken(seed);
        let by_stream = streams::is_by_stream(seed);
        let board = Switchboard::new(born, site.switchboard(), site.clock(born), rng.random())
            .with_sip_capacity(site.sip_capacity());
        let hosts = site.hosts();
        let mut machines = Vec::new();
        let servers = hosts.iter().enumerate().map(|(index, address)| {
            let id = ServerId(index);
            let machine_seed = rng.random();
            if index == 0 || site.layout != Layout::Proxied {
                machines.push(TServer::new(site.tserver(id), machine_seed, born));
            }
            let faults = storm.stir(&mut own, Faults::draw(&mut rng));
            let wire = Network::new(faults, ChaCha12Rng::seed_from_u64(rng.random()));
            Server::new(born, id, *address, wire)
        });
        let servers: Vec<Server> = servers.collect();
        let small_tables = site.has_small_tables();
        let proxied = site.layout == Layout::Proxied;
        let proxy = proxied.then(|| Proxy::new(seed));
        let (manners, auto_answer) = (site.manners, site.auto_answer());
        let calendar = Calendar::new(born, site.clock(born).epoch_ms);
        Self {
            born,
            now: born,
            rng,
            site,
            storm,
            board,
            servers,
            machines,
            proxy,
            streams: by_stream.then(|| Streams::new(seed)),
            queue: Queue::default(),
            browsers: Browsers::default(),
            workers: Workers::default(),
            oracle: Oracle::new(small_tables, manners, proxied, by_stream),
            asides: Asides::default(),
            attacker: Attacker::default(),
            coverage: Coverage::default(),
            reference: Reference::new(small_tables, auto_answer),
            watch: Watch::default(),
            journeys: Journeys::default(),
            calendar,
            logins: Logins::default(),
            muted: BTreeSet::new(),
            dns: BTreeMap::new(),
            stalled_until: born,
            waiting: 0,
            record,
            trace: Vec::new(),
            captured: Vec::new(),
            digest: 0xcbf2_9ce4_8422_2325,
            report: Report::default(),
        }
    }

    fn run(&mut self) -> Step {
        for id in self.server_ids() {
            let faults = self.server(id).wire.faults();
            self.note(|| format!("SIP Server {}: {faults:?}", id.0));
        }
        self.open()?;
        self.chaos()?;
        self.repair()?;
        self.calm()?;
        self.closing_time()
    }

    fn report(&mut self) -> Report {
        Report {
            digest: self.digest,
            faults: self.injected(),
            compared: self.reference.compared,
            rows: self.coverage.rows(),
            trace: std::mem::take(&mut self.trace),
            captured: std::mem::take(&mut self.captured),
            ..self.report.clone()
        }
    }

    /// Every agent signs in, and the first things to do are drawn.
    fn open(&mut self) -> Step {
        self.desktops_log_in()?;
        if matches!(self.storm.kind, Kind::Deaf | Kind::GoingBack) {
            for id in self.server_ids() {
                if self.rng.random() {
                    self.turn_deaf(id, true)?;
                }
            }
        }
        for dn in self.site.dns() {
            self.sign_in(&dn, None, false)?;
        }
        self.step_until(self.now + OPENING)
    }

    fn chaos(&mut self) -> Step {
        let end = self.now + CHAOS;
        while self.now < end {
            let pause = self.storm.pause(&mut self.rng, self.site.pause_ms);
            self.step_until((self.now + pause).min(end))?;
            // It may have come to stand still meanwhile.
            self.step_until(self.now.max(self.stalled_until))?;
            self.registered_in_time()?;
            self.credentials_are_good()?;
            self.somebody_does_something()?;
        }
        Ok(())
    }

    /// Lets everything happen that is due up to `end`.
    fn step_until(&mut self, end: Instant) -> Step {
        loop {
            let servers = self.machine_ids();
            let servers = servers.filter_map(|id| self.machine_timeout(id));
            let others = [self.queue.next(), self.board_timeout()];
            let next = servers.chain(others.into_iter().flatten()).min();
            let next = next.filter(|at| *at <= end);
            let Some(at) = next else { break };
            self.now = self.now.max(at);
            if self.board_timeout().is_some_and(|at| at <= self.now) {
                self.board_handles(Input::Timeout)?;
            }
            for id in self.machine_ids() {
                let due = self.machine_timeout(id);
                if due.is_some_and(|at| at <= self.now) {
                    self.server_handles(id, tserver::Input::Tick)?;
                }
            }
            while let Some(event) = self.queue.due(self.now) {
                self.happen(event)?;
            }
        }
        self.now = end;
        Ok(())
    }

    /// When talkbridge wants to be called again and can be.
    fn board_timeout(&self) -> Option<Instant> {
        let wanted = self.board.poll_timeout()?;
        Some(wanted.max(self.stalled_until))
    }

    fn happen(&mut self, event: Event) -> Step {
        if self.now < self.stalled_until && event.is_for_gateway() {
            self.wait(event);
            return Ok(());
        }
        if let Some(until) = self.waits_for_server(&event) {
            self.queue.at(until, event);
            return Ok(());
        }
        match event {
            Event::Arrive {
                server,
                at: Place::Gateway,
                bytes,
            } => {
                self.oracle.gateway_receives(self.now, &bytes);
                let source = site::source(self.server(server).address);
                self.board_handles(Input::Sip { source, bytes })
            }
            Event::Arrive {
                server,
                at: Place::Server,
                bytes,
            } => self.server_hears(server, tserver::Source::udp(site::GATEWAY), bytes),
            Event::Octets {
                stream,
                at,
                piece,
                octets,
            } => self.octets_arrive(stream, at, piece, octets),
            Event::StreamLost { stream, at } => self.stream_is_lost(stream, at),
            Event::StreamRefused { stream, by } => self.stream_is_refused(stream, by),
            Event::GoesAway { server, dead } => self.goes_away(server, dead),
            Event::ComesBack { server } => self.comes_back(server),
            Event::Forwarded { server, call } => self.forwarded(server, call),
            Event::Registrar { server, mode } => self.control(server, Control::RegisterMode(mode)),
            Event::Hangs { server, until } => {
                if !self.server(server).health.is_silent() {
                    self.hangs(server, until);
                }
                Ok(())
            }
            Event::GoesFirst => self.everything_happens_at_once(),
            Event::Forgets { server } => self.forgets(server),
            Event::GoesOn { server } => {
                self.goes_on(server);
                Ok(())
            }
            Event::BrowserAnswers { page, leg } => self.browser_answers(page, leg),
            Event::Reported(event) => self.board_handles(Input::Media(event)),
            Event::LegConnects { leg } => self.leg_connects(leg),
        }
    }

    /// talkbridge stands still. Its queue of datagrams is bounded, and what finds it full is lost; pages and media workers wait.
    fn wait(&mut self, event: Event) {
        if matches!(event, Event::Arrive { .. }) {
            if self.waiting >= self.site.queue {
                self.report.overflows += 1;
                return;
            }
            self.waiting += 1;
        }
        self.queue.at(self.stalled_until, event);
    }

    /// What the reference model looks at.
    fn happened(&self, input: &Input) -> Happened {
        match input {
            Input::Sip { bytes, .. } => Happened::Sip(String::from_utf8_lossy(bytes).into_owned()),
            Input::Page { page, request } => match self.browsers.dn_of_open(*page) {
                Some(dn) => Happened::Page(dn.to_owned(), request.message.clone()),
                None => Happened::Other,
            },
            Input::Media(MediaEvent::Digit { call, digit }) => Happened::Key(*call, *digit),
            Input::SipConnectionLost { .. } | Input::SipTransmitFailed { .. }
                if self.streams.is_some() =>
            {
                Happened::StreamLost
            }
            _ => Happened::Other,
        }
    }

    /// The administration and the pages show what the reference model expects.
    fn shown_as_expected(&mut self) -> Step {
        for record in self.board.calls() {
            if let Some(id) = CallId::parse(&record.call.id) {
                self.reference.compare(id, &record.call)?;
            }
        }
        for view in self.browsers.open().flat_map(|page| page.calls.values()) {
            if let Some(id) = CallId::parse(&view.id) {
                self.reference.compare(id, view)?;
            }
        }
        Ok(())
    }

    fn observe(&mut self, fact: &Fact) {
        match fact {
            Fact::CallOffered { .. } | Fact::CallRefused { .. } => self.report.calls += 1,
            Fact::CallAnswered { .. } => self.report.answered += 1,
            Fact::RemoteControl { .. } => self.report.controls += 1,
            _ => {}
        }
        self.note(|| format!("     {fact:?}"));
    }

    fn note_message(&mut self, server: ServerId, arrow: &str, bytes: &[u8]) {
        self.note(|| format!("  {arrow} {} {}", server.0, wire::summary(bytes)));
    }

    /// One line of the trace.
    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.record {
            let at = self.now.saturating_duration_since(self.born);
            self.trace
                .push(format!("{:9.3} {}", at.as_secs_f64(), line()));
        }
    }

    /// Adds what was sent, and when, to the digest of the run.
    fn digest(&mut self, bytes: &[u8]) {
        let at = self.now.saturating_duration_since(self.born).as_nanos();
        let mut mix = |word: u64| {
            self.digest = (self.digest ^ word)
                .wrapping_mul(0x0100_0000_01b3)
                .rotate_left(23);
        };
        mix(at as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(u64::from_le_bytes(word));
        }
    }
}

/// Virtual time needs a first instant, and the standard library gives none but the clock's. Only differences are ever looked at.
#[allow(clippy::disallowed_methods)]
fn origin() -> Instant {
    Instant::now()
}
