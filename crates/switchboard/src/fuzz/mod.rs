//! The body of the fuzz target: anything that can happen to a switchboard, in any order, and what must hold after each.

mod script;
mod watch;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control::{GatewayMessage, PageMessage, PageRequest};
use sip::Message;
use sip::ua::{ConnectionId, Refusal, RegistrationPolicy, Source, Timers, Transport, UaConfig};

use crate::{
    AdminCommand, AdminId, AgentConfig, AutoAnswer, BrowserLegId, BrowserState, CallId,
    CodecPolicy, Config, DirectionReport, Fact, Input, MediaCommand, MediaConfig, MediaDirection,
    MediaEvent, MediaReport, Output, PageId, Policy, RecordingPolicy, RegisterPolicy, Server,
    SiteConfig, SrtpConfig, Switchboard, WallClock,
};
use script::Script;
use watch::Watch;

/// The DNs that are configured, and one that is not.
const DNS: [&str; 4] = ["1001", "1002", "1003", "1999"];

/// How long after the shutdown nothing may be left: a call that waits for its ACK, then for the answer to its BYE.
const QUIET: Duration = Duration::from_secs(300);

/// Timers that may fire in one stretch of time: more means that time stands still.
const TURNS_MAX: usize = 50_000;

/// Stretches of time that may pass.
const STRETCHES_MS: [u64; 8] = [1, 20, 500, 1_000, 4_000, 10_000, 32_000, 310_000];

/// Reads `data` as a list of operations, an octet that says which and what each of them wants to know, and does them.
///
/// # Panics
/// When an invariant is broken: a request without a reply, a plan that joins what must not be joined, a call that ends twice or
/// never, ports or legs that are left.
pub fn operations(base: Instant, data: &[u8]) {
    let mut octets = Octets(data);
    let mut run = Run::new(base, octets.next());
    while !octets.0.is_empty() {
        run.operation(&mut octets);
    }
    run.input(Input::Shutdown);
    run.advance(QUIET);
    run.watch.nothing_left(&run.board);
}

/// What is left of the fuzzer's octets; nothing reads as zeros.
struct Octets<'d>(&'d [u8]);

impl Octets<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number below `limit`, which an octet can hold.
    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.next()) % limit
    }

    fn some(&mut self) -> Vec<u8> {
        let length = usize::from(self.next()).min(self.0.len());
        let (some, rest) = self.0.split_at(length);
        self.0 = rest;
        some.to_vec()
    }
}

struct Run {
    now: Instant,
    board: Switchboard,
    watch: Watch,
    script: Script,
    /// The last page of each of [`DNS`], and the last secret that each was given.
    pages: [Option<PageId>; DNS.len()],
    secrets: [Option<String>; DNS.len()],
    pages_count: u64,
    calls: Vec<CallId>,
    ports: VecDeque<(CallId, u16)>,
    legs: Vec<BrowserLegId>,
    /// What workers and pages owe.
    chores: VecDeque<Input>,
    /// The last datagram of SIP Server.
    datagram: Vec<u8>,
    orders: u64,
}

impl Run {
    fn new(now: Instant, shape: u8) -> Self {
        let clock = WallClock {
            at: now,
            epoch_ms: 1_700_000_000_000,
        };
        let mut run = Self {
            now,
            board: Switchboard::new(now, config(shape), clock, [shape; 32]),
            watch: Watch::default(),
            script: Script::default(),
            pages: [None; DNS.len()],
            secrets: [const { None }; DNS.len()],
            pages_count: 0,
            calls: Vec::new(),
            ports: VecDeque::new(),
            legs: Vec::new(),
            chores: VecDeque::new(),
            datagram: Vec::new(),
            orders: 0,
        };
        run.drain();
        run
    }

    fn operation(&mut self, octets: &mut Octets<'_>) {
        match octets.below(32) {
            0..=1 => self.sign_in(octets),
            2 => self.page_closed(octets),
            3..=7 => self.page(octets),
            8..=9 => self.media(octets),
            10..=13 => self.work(octets),
            14..=15 => {
                let text = self.script.invites(octets);
                self.datagram(text);
            }
            16..=19 => self.say(octets, Script::asks),
            20..=21 => self.say(octets, Script::acknowledges),
            22 => self.say(octets, |script, octets| script.cancels(octets)),
            23..=25 => self.say(octets, Script::answers),
            26 => self.noise(octets),
            27..=28 => self.order(octets),
            29..=30 => self.advance(Duration::from_millis(
                STRETCHES_MS[octets.below(STRETCHES_MS.len())],
            )),
            _ => self.operate(octets),
        }
    }

    // ----- what pages do -----

    fn sign_in(&mut self, octets: &mut Octets<'_>) {
        let index = octets.below(DNS.len());
        let choice = octets.next();
        let resume = match choice % 3 {
            0 => None,
            1 => self.secrets[index].clone(),
            _ => Some("a guess".to_owned()),
        };
        self.pages_count += 1;
        let page = PageId(self.pages_count);
        self.pages[index] = Some(page);
        self.input(Input::SignIn {
            page,
            dn: DNS[index].to_owned(),
            token_expired: choice & 0x40 != 0,
            request_id: Some(Watch::REQUEST.to_owned()),
            resume,
            media_kept: choice & 0x80 != 0,
        });
    }

    fn page_closed(&mut self, octets: &mut Octets<'_>) {
        if let Some(page) = self.pages[octets.below(DNS.len())] {
            self.input(Input::PageClosed { page });
        }
    }

    fn page(&mut self, octets: &mut Octets<'_>) {
        let Some(page) = self.pages[octets.below(DNS.len())] else {
            return;
        };
        let call = self.call_name(octets);
        let message = match octets.below(20) {
            0..=3 => PageMessage::Answer { call },
            4 => PageMessage::Reject { call },
            5 => PageMessage::Hangup { call },
            6..=7 => PageMessage::Hold { call },
            8..=9 => PageMessage::Retrieve { call },
            10..=12 => PageMessage::Dial {
                number: ["5550100", "+49 (30) 12", "*21#", "no number"][octets.below(4)].to_owned(),
            },
            13 => PageMessage::Dtmf {
                call,
                digits: ["5", "0123456789*#ABCD", "", "x"][octets.below(4)].to_owned(),
            },
            14 => PageMessage::MediaAnswer {
                sdp: "answer".to_owned(),
                offer: [None, Some(1), Some(2)][octets.below(3)],
            },
            15 => PageMessage::MediaCandidate {
                candidate: None,
                sdp_mid: None,
                sdp_mline_index: None,
            },
            16 => PageMessage::MediaRestart,
            17 => PageMessage::Mute { muted: true },
            18 => PageMessage::Transfer {
                to: [None, Some("1005"), Some("1005"), Some("no number")][octets.below(4)]
                    .map(str::to_owned),
                to_call: Some(self.call_name(octets)).filter(|_| octets.next() < 128),
                call,
            },
            _ => PageMessage::Bye,
        };
        self.input(Input::Page {
            page,
            request: PageRequest {
                id: Some(Watch::REQUEST.to_owned()),
                message,
            },
        });
    }

    /// The newest call more often than others; sometimes one that never was.
    fn call(&self, octets: &mut Octets<'_>) -> CallId {
        let back = octets.below(8).saturating_sub(4);
        let index = self.calls.len().checked_sub(1 + back);
        let known = index.and_then(|index| self.calls.get(index));
        known.copied().unwrap_or(CallId(u64::MAX))
    }

    fn call_name(&self, octets: &mut Octets<'_>) -> String {
        let call = self.call(octets);
        if octets.next() == 255 {
            return "no call".to_owned();
        }
        call.to_string()
    }

    // ----- what media workers report -----

    /// Workers and pages do what they owe: the next thing, or everything.
    fn work(&mut self, octets: &mut Octets<'_>) {
        let all = octets.next() < 128;
        while let Some(input) = self.chores.pop_front() {
            self.input(input);
            if !all {
                break;
            }
        }
        if let Some(text) = self.script.registers().filter(|_| all) {
            self.datagram(text);
        }
    }

    /// A fact that nobody owes, true or not.
    fn media(&mut self, octets: &mut Octets<'_>) {
        let back = octets.below(4);
        let leg = self.legs.len().checked_sub(1 + back);
        let leg = leg.map_or(BrowserLegId(u64::MAX), |index| self.legs[index]);
        let call = self.call(octets);
        let ports = self.ports.back().copied();
        let state = |state| MediaEvent::BrowserState { leg, state };
        let event = match octets.below(14) {
            0 => MediaEvent::BrowserOffer {
                leg,
                sdp: "offer".to_owned(),
                restart: false,
            },
            1 => state(BrowserState::Connecting),
            2..=3 => state(connected()),
            4 => state(BrowserState::Disconnected),
            5 => state(BrowserState::Failed(control::MediaFailure::NoPath)),
            6 => MediaEvent::BrowserRefused {
                leg,
                reason: "unreadable".to_owned(),
            },
            7 => MediaEvent::BrowserClosed { leg },
            8 => MediaEvent::PortOpened { call, port: 16_384 },
            9 => {
                let (call, port) = ports.unwrap_or((call, 1));
                MediaEvent::PortFailed {
                    call,
                    port,
                    taken: true,
                }
            }
            10 => MediaEvent::FirstPacket {
                call,
                direction: MediaDirection::ToAgent,
            },
            11 => MediaEvent::Digit { call, digit: '5' },
            12 => MediaEvent::Quality {
                call,
                report: Box::new(report(octets.next())),
            },
            13 => MediaEvent::OneWay {
                call,
                direction: MediaDirection::ToCaller,
                missing: Some(crate::MissingAudio::Nothing),
            },
            _ => MediaEvent::CallClosed {
                call,
                report: Box::new(report(octets.next())),
            },
        };
        self.input(Input::Media(event));
    }

    // ----- what SIP Server says -----

    fn say(
        &mut self,
        octets: &mut Octets<'_>,
        words: impl FnOnce(&mut Script, &mut Octets<'_>) -> Option<Vec<u8>>,
    ) {
        if let Some(text) = words(&mut self.script, octets) {
            self.datagram(text);
        }
    }

    fn datagram(&mut self, bytes: Vec<u8>) {
        self.datagram.clone_from(&bytes);
        let source = Source {
            transport: Transport::Udp,
            remote: servers()[0],
            connection: None,
        };
        self.input(Input::Sip { source, bytes });
    }

    /// The last datagram once more, the same with an octet changed, or anything.
    fn noise(&mut self, octets: &mut Octets<'_>) {
        let mut bytes = self.datagram.clone();
        match octets.below(3) {
            0 => {}
            1 => {
                let at = usize::from(octets.next()) | usize::from(octets.next()) << 8;
                let octet = octets.next();
                let length = bytes.len().max(1);
                if let Some(place) = bytes.get_mut(at % length) {
                    *place = octet;
                }
            }
            _ => bytes = octets.some(),
        }
        self.datagram(bytes);
    }

    // ----- what operators do -----

    fn order(&mut self, octets: &mut Octets<'_>) {
        let call = self.call(octets);
        let command = match octets.below(6) {
            0 => AdminCommand::Answer(call),
            1 => AdminCommand::Hangup(call),
            2 => AdminCommand::Hold(call),
            3 => AdminCommand::Retrieve(call),
            4 => AdminCommand::Dtmf(call, "1".to_owned()),
            _ => AdminCommand::Dial {
                dn: DNS[octets.below(DNS.len())].to_owned(),
                number: "5550101".to_owned(),
            },
        };
        self.orders += 1;
        let request = AdminId(self.orders);
        self.input(Input::Admin { request, command });
    }

    fn operate(&mut self, octets: &mut Octets<'_>) {
        let choice = octets.next();
        let input = match choice % 8 {
            0 => Input::Shutdown,
            1 => Input::Drain,
            2..=4 => Input::Reload {
                agents: agents(octets.next()),
            },
            5 => Input::SipConnectionLost {
                connection: ConnectionId(u64::from(choice)),
                transport: Transport::Tcp,
                peer: servers()[usize::from(choice / 8) % 2],
            },
            _ => Input::SipTransmitFailed {
                transport: Transport::Udp,
                to: servers()[usize::from(choice / 8) % 2],
            },
        };
        self.input(input);
    }

    // ----- time, and what comes of it all -----

    fn advance(&mut self, stretch: Duration) {
        let end = self.now + stretch;
        let mut turns = 0;
        while let Some(at) = self.board.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
            let next = self.board.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "time stands still");
            turns += 1;
            assert!(turns < TURNS_MAX, "timers without end");
        }
        self.now = end;
        self.input(Input::Timeout);
    }

    fn input(&mut self, input: Input) {
        self.watch.before(&input);
        self.board.handle(self.now, input);
        self.drain();
        self.watch.after(&self.board);
    }

    fn drain(&mut self) {
        while let Some(output) = self.board.poll_output() {
            self.watch.output(&output);
            match output {
                Output::Sip(transmit) => {
                    if let Ok(message) = Message::parse(&transmit.bytes) {
                        self.script.hears(message);
                    }
                }
                Output::Page { page, message } => self.page_hears(page, message),
                Output::Media { command, .. } => self.worker_hears(command),
                Output::Fact(Fact::CallOffered { call, .. }) => self.calls.push(call.call),
                Output::ClosePage { .. }
                | Output::Admin { .. }
                | Output::SipPeers(_)
                | Output::Recording(_)
                | Output::Fact(_) => {}
            }
        }
    }

    fn page_hears(&mut self, page: PageId, message: GatewayMessage) {
        match message {
            GatewayMessage::Welcome(welcome) => {
                if let Some(index) = DNS.iter().position(|dn| *dn == welcome.agent.dn) {
                    self.secrets[index] = Some(welcome.resume.expose().to_owned());
                }
            }
            GatewayMessage::MediaOffer { sdp, offer, .. } => self.chores.push_back(Input::Page {
                page,
                request: PageRequest {
                    id: Some(Watch::REQUEST.to_owned()),
                    message: PageMessage::MediaAnswer { sdp, offer },
                },
            }),
            _ => {}
        }
    }

    fn worker_hears(&mut self, command: MediaCommand) {
        let event = match command {
            MediaCommand::OfferBrowser { leg, restart, .. } => {
                self.legs.push(leg);
                MediaEvent::BrowserOffer {
                    leg,
                    sdp: "offer".to_owned(),
                    restart,
                }
            }
            MediaCommand::AnswerBrowser { leg, .. } => MediaEvent::BrowserState {
                leg,
                state: connected(),
            },
            MediaCommand::OpenPort { call, port } => {
                self.ports.push_back((call, port));
                MediaEvent::PortOpened { call, port }
            }
            MediaCommand::CloseCall { call } => MediaEvent::CallClosed {
                call,
                report: Box::new(report(1)),
            },
            MediaCommand::CloseTap { tap, .. } => MediaEvent::TapClosed { tap },
            MediaCommand::CandidateBrowser { .. }
            | MediaCommand::OpenTap { .. }
            | MediaCommand::PauseTap { .. }
            | MediaCommand::CloseBrowser { .. }
            | MediaCommand::Plan(_)
            | MediaCommand::SendDigits { .. }
            | MediaCommand::Beep { .. } => return,
        };
        self.chores.push_back(Input::Media(event));
    }
}

const fn connected() -> BrowserState {
    BrowserState::Connected {
        ice: None,
        dtls: None,
    }
}

fn report(octet: u8) -> MediaReport {
    let direction = DirectionReport {
        packets: u64::from(octet),
        lost: (octet > 99).then_some(u64::from(octet)),
        jitter_ms: (octet > 9).then(|| f64::from(octet)),
        ..DirectionReport::default()
    };
    MediaReport {
        to_agent: direction.clone(),
        to_caller: direction,
    }
}

fn servers() -> Vec<SocketAddr> {
    ["192.0.2.81:5060", "192.0.2.83:5060"]
        .iter()
        .filter_map(|address| address.parse().ok())
        .collect()
}

/// The agents by a mask: which of them there are, and when they are registered.
fn agents(mask: u8) -> Vec<AgentConfig> {
    let there = |index: usize| mask & (1 << index) == 0;
    let always = |index: usize| mask & (8 << index) != 0;
    let agent = |index: usize| AgentConfig {
        dn: DNS[index].to_owned(),
        name: None,
        password: (mask & 0x40 != 0).then(|| "secret".to_owned().into()),
        register: if always(index) {
            RegisterPolicy::Always
        } else {
            RegisterPolicy::OnSignIn
        },
        auto_answer: [AutoAnswer::Headers, AutoAnswer::Never, AutoAnswer::Always][index],
        codec_policy: CodecPolicy::default(),
    };
    (0..3).filter(|index| there(*index)).map(agent).collect()
}

/// A small site: few ports, few calls, so that everything runs out.
fn config(shape: u8) -> Config {
    let servers = servers().into_iter().map(|address| Server {
        transport: Transport::Udp,
        address,
        domain: address.ip().to_string(),
    });
    Config {
        sip: UaConfig {
            listen: vec![(Transport::Udp, SocketAddr::from(([192, 0, 2, 10], 5060)))],
            allowed: servers.clone().map(|server| server.address.ip()).collect(),
            refusal: Refusal::Silent,
            user_agent: "talkbridge".into(),
            timers: Timers::default(),
            registration: RegistrationPolicy::default(),
            session_expires_s: Some(1800),
            realm: None,
        },
        sites: vec![SiteConfig {
            name: None,
            servers: servers.take(1 + usize::from(shape & 1)).collect(),
        }],
        media: MediaConfig {
            address: [192, 0, 2, 10].into(),
            ports: 16_384..=16_391,
            srtp: SrtpConfig::default(),
            codecs: vec![sdp::Codec::Pcmu, sdp::Codec::Pcma],
            workers: 2,
            quarantine: Duration::from_secs(5),
        },
        ice_servers: Vec::new(),
        turn: None,
        agents: agents(shape & 0x78),
        policy: Policy {
            calls: 5,
            rtp_stat: shape & 0x04 != 0,
            calls_per_agent: 2 + usize::from(shape >> 7),
            recording: Some(RecordingPolicy {
                always: true,
                agents_may: true,
                rate_hz: 8_000,
                beep: None,
                extension: ".wav",
            }),
            ..Policy::default()
        },
    }
}
