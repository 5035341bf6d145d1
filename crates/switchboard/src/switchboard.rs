//! The machine itself: what it owns, the one way in, and the draining of what it decided.
//!
//! The verbs are in the modules beside this one, a noun each: [`crate::incoming`], [`crate::answer`], [`crate::hold`],
//! [`crate::ending`], [`crate::session`], [`crate::legs`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::{CallRecord, GatewayMessage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use sip::Agenda;
use sip::ua::{DialogId, SiteId, UserAgent};

use crate::agent::Agent;
use crate::call::Call;
use crate::config::{Config, MessagePolicy, RegisterPolicy};
use crate::end_record::Owed;
use crate::ids::{BrowserLegId, CallId, PageId, TapId, WorkerId};
use crate::io::{Fact, Input, MediaCommand, Output};
use crate::overload::Watch;
use crate::ports::Ports;
use crate::recording::RecordingFile;
use crate::referral::Referral;
use crate::registration::Relocation;
use crate::sites::Sites;
use crate::wall_clock::WallClock;

/// The heart: agents, their pages and browser legs, their calls.
///
/// Drain [`Switchboard::poll_output`] after every [`Switchboard::handle`], then come back at
/// [`Switchboard::poll_timeout`] with [`Input::Timeout`], or earlier with anything else.
#[derive(Debug)]
pub struct Switchboard {
    pub(crate) config: Config,
    pub(crate) ua: UserAgent,
    pub(crate) sites: Sites,
    /// What is due at the sites waits until then, whatever their timers say.
    pub(crate) sites_rest: Instant,
    /// DNs that are on their way to another SIP Server.
    pub(crate) relocations: BTreeMap<SiteId, Relocation>,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) clock: WallClock,
    pub(crate) agents: BTreeMap<String, Agent>,
    pub(crate) calls: BTreeMap<CallId, Call>,
    /// Calls that ended, newest last, for the administration interface.
    pub(crate) ended: VecDeque<CallRecord>,
    /// Calls that ended and whose media worker has yet to report the last measurements.
    pub(crate) last_words: BTreeMap<CallId, Owed>,
    /// Taps whose samples may still come, and whose calls they are.
    pub(crate) taps: BTreeMap<TapId, CallId>,
    /// Recordings whose files are not settled: being written, or on their way to the disk.
    pub(crate) files: BTreeMap<TapId, RecordingFile>,
    pub(crate) dialogs: BTreeMap<DialogId, CallId>,
    /// Calls that SIP Server has asked for by REFER, until it was told what became of them.
    pub(crate) referrals: BTreeMap<CallId, Referral>,
    pub(crate) pages: BTreeMap<PageId, String>,
    pub(crate) legs: BTreeMap<BrowserLegId, String>,
    pub(crate) ports: Ports,
    /// How the media workers fare, in the order of their numbers.
    pub(crate) workers: Vec<Watch>,
    pub(crate) draining: bool,
    pub(crate) shutting_down: bool,
    /// The agents that a shutdown has not come to yet.
    pub(crate) leaving: VecDeque<String>,
    timers: Agenda<Timer>,
    outputs: VecDeque<Output>,
    /// The time of the present turn.
    pub(crate) turn: Instant,
    pub(crate) last_tap: u64,
    last_call: u64,
    last_leg: u64,
}

/// What a wake-up is for. One that no longer matches its owner's state does nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Call(CallId),
    LastWord(CallId),
    Agent(Arc<str>),
    Leave,
    Workers,
}

impl Switchboard {
    /// A switchboard at rest. DNs that are registered always begin to register at once, at the configured pace.
    ///
    /// # Panics
    /// When the configuration names no site or no codec: the shell has checked both.
    #[must_use]
    pub fn new(now: Instant, config: Config, clock: WallClock, seed: [u8; 32]) -> Self {
        assert!(
            !config.sites.is_empty(),
            "a configuration names at least one site"
        );
        assert!(
            !config.media.codecs.is_empty(),
            "a configuration names at least one codec"
        );
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut ua_seed = [0; 32];
        rng.fill_bytes(&mut ua_seed);
        let mut ua = UserAgent::new(config.sip.clone(), ua_seed);
        if config.policy.rtp_stat {
            ua = ua.leaving_byes();
        }
        if config.policy.messages == MessagePolicy::Show {
            ua = ua.taking_messages();
        }
        // Call ids of one run do not repeat those of the run before: they meet in the logs.
        let last_call = u64::from(rng.next_u32()) << 20;
        let ports = Ports::new(&config.media.ports, config.media.quarantine);
        let workers = vec![Watch::default(); config.media.workers.max(1)];
        let agents = config
            .agents
            .iter()
            .map(|agent| (agent.dn.clone(), Agent::new(agent.clone())))
            .collect();
        let sites = Sites::new(now, &config.sites, config.policy.failover);
        let mut switchboard = Self {
            config,
            ua,
            sites,
            sites_rest: now,
            relocations: BTreeMap::new(),
            rng,
            clock,
            agents,
            calls: BTreeMap::new(),
            ended: VecDeque::new(),
            last_words: BTreeMap::new(),
            taps: BTreeMap::new(),
            files: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            referrals: BTreeMap::new(),
            pages: BTreeMap::new(),
            legs: BTreeMap::new(),
            ports,
            workers,
            draining: false,
            shutting_down: false,
            leaving: VecDeque::new(),
            timers: Agenda::new(),
            outputs: VecDeque::new(),
            turn: now,
            last_tap: 0,
            last_call,
            last_leg: 0,
        };
        switchboard.tell_hosts();
        let always: Vec<String> = switchboard
            .agents
            .values()
            .filter(|agent| agent.config.register == RegisterPolicy::Always)
            .map(|agent| agent.config.dn.clone())
            .collect();
        for dn in always {
            switchboard.register(now, &dn);
        }
        switchboard.pump(now);
        switchboard
    }

    /// The same with other bounds on what SIP peers may make it hold.
    #[must_use]
    pub fn with_sip_capacity(mut self, capacity: sip::ua::limits::Capacity) -> Self {
        self.ua = self.ua.with_capacity(capacity);
        self
    }

    /// The only way in.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.turn = now;
        match input {
            Input::Sip { source, bytes } => self.ua.receive(now, &source, &bytes),
            Input::SipConnectionLost {
                connection,
                transport,
                peer,
            } => self.ua.connection_lost(now, connection, transport, peer),
            Input::SipTransmitFailed { transport, to } => {
                self.ua.transmit_failed(now, transport, to);
            }
            Input::SignIn {
                page,
                dn,
                token_expired,
                request_id,
                resume,
                media_kept,
            } => {
                let hello = crate::session::Hello {
                    page,
                    token_expired,
                    request_id,
                    resume,
                    media_kept,
                };
                self.sign_in(now, &dn, hello);
            }
            Input::Page { page, request } => self.on_page_request(now, page, request),
            Input::PageClosed { page } => self.on_page_closed(now, page),
            Input::Media(event) => self.on_media(now, event),
            Input::Admin { request, command } => {
                let result = self.on_admin(now, command);
                self.emit(Output::Admin { request, result });
            }
            Input::SipServers {
                site,
                servers,
                problem,
            } => self.use_servers(now, site, &servers, problem),
            Input::TapLeft { tap } => self.close_live_tap(tap),
            Input::RecordingSettled { tap, failed } => {
                self.on_recording_settled(now, tap, failed);
            }
            Input::Reload { agents } => self.reload(now, agents),
            Input::Clock(epoch_ms) => self.on_clock(now, epoch_ms),
            Input::Drain => self.drain(),
            Input::Shutdown => self.shutdown(now),
            Input::Timeout => {}
        }
        self.fire_timers(now);
        if !self.shutting_down {
            self.hear_welcomes(now);
        }
        self.sites_due(now);
        self.pump(now);
    }

    /// The next thing to do, in the order in which it was decided.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Timeout`] if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let all = [
            self.timers.next_timeout(),
            self.sites_deadline(),
            self.ua.poll_timeout(),
        ];
        all.into_iter().flatten().min()
    }

    /// Lets the user agent run until it has nothing more to say. Its events cause further outputs of its own.
    fn pump(&mut self, now: Instant) {
        if self.ua.poll_timeout().is_some_and(|at| at <= now) {
            self.ua.handle_timeout(now);
        }
        while let Some(output) = self.ua.poll_output() {
            match output {
                sip::ua::Output::Transmit(transmit) => self.emit(Output::Sip(transmit)),
                sip::ua::Output::Event(event) => self.on_sip_event(now, event),
            }
        }
    }

    fn fire_timers(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                Timer::Call(call) => {
                    self.call_due(now, call);
                    self.arm_call_again(now, call);
                }
                Timer::LastWord(call) => self.last_word_due(now, call),
                Timer::Agent(dn) => self.agent_due(now, &dn),
                Timer::Leave => self.some_leave(now),
                Timer::Workers => self.look_at_workers(now),
            }
        }
    }

    /// A call may wait for several things: the next of them is still to come.
    fn arm_call_again(&mut self, now: Instant, call: CallId) {
        let next = self.calls.get(&call).and_then(Call::deadline);
        if let Some(at) = next.filter(|at| *at > now) {
            self.timers.set(&Timer::Call(call), Some(at));
        }
    }

    /// Wakes the call at its own deadline.
    pub(crate) fn arm_call(&mut self, call: CallId) {
        let at = self.calls.get(&call).and_then(Call::deadline);
        self.timers.set(&Timer::Call(call), at);
    }

    /// The record of a call that is over waits for its worker until then.
    pub(crate) fn arm_last_word(&mut self, at: Instant, call: CallId) {
        self.timers.set(&Timer::LastWord(call), Some(at));
    }

    /// The next agents of a shutdown leave then.
    pub(crate) fn arm_leave(&mut self, at: Instant) {
        self.timers.set(&Timer::Leave, Some(at));
    }

    /// It is looked then whether the media workers still speak.
    pub(crate) fn arm_workers(&mut self, at: Instant) {
        self.timers.set(&Timer::Workers, Some(at));
    }

    /// Wakes the agent's session at its own deadline.
    pub(crate) fn arm_agent(&mut self, dn: &str) {
        let session = self.agents.get(dn).and_then(|agent| agent.session.as_ref());
        let at = session.and_then(crate::agent::Session::deadline);
        self.timers.set(&Timer::Agent(dn.into()), at);
    }

    pub(crate) fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn fact(&mut self, fact: Fact) {
        self.emit(Output::Fact(fact));
    }

    pub(crate) fn tell_worker(&mut self, worker: WorkerId, command: MediaCommand) {
        self.emit(Output::Media { worker, command });
    }

    /// Says something to the agent's page, if it is there.
    pub(crate) fn tell_agent(&mut self, dn: &str, message: GatewayMessage) {
        if let Some(page) = self.agents.get(dn).and_then(Agent::page) {
            self.emit(Output::Page { page, message });
        }
    }

    /// Shows the call to the agent's page, if the picture changed.
    pub(crate) fn show(&mut self, call: CallId) {
        self.record_by_policy(self.turn, call);
        let Some(call) = self.calls.get_mut(&call) else {
            return;
        };
        let view = call.view();
        if call.shown.as_ref() == Some(&view) {
            return;
        }
        call.remembered.state(self.turn, view.state);
        if view.state == control::CallState::Talking {
            let agent = self.agents.get(&call.dn);
            let session = agent.and_then(|agent| agent.session.as_ref());
            let counts = session.map(|session| session.browser_counts);
            call.remembered.begins_at(counts.unwrap_or_default());
        }
        call.shown = Some(view.clone());
        let reference = call.reference();
        let shown = GatewayMessage::Call { call: view.clone() };
        self.tell_agent(&reference.dn, shown);
        self.fact(Fact::CallShown {
            call: reference,
            view: Box::new(view),
        });
    }

    pub(crate) const fn next_call(&mut self) -> CallId {
        self.last_call += 1;
        CallId(self.last_call)
    }

    pub(crate) const fn next_leg(&mut self) -> BrowserLegId {
        self.last_leg += 1;
        BrowserLegId(self.last_leg)
    }

    /// A secret of 128 bits in hexadecimal digits.
    pub(crate) fn secret(&mut self) -> String {
        format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64())
    }

    pub(crate) const fn resume_grace(&self) -> Duration {
        self.config.policy.resume_grace
    }
}
