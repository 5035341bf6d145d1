//! The site of a run: its DNs and how SIP Server treats them.

mod suited;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use sip::ua::limits::Capacity;
use sip::ua::{Refusal, RegistrationPolicy, Source, Timers, Transport, UaConfig};
use switchboard::{
    AgentConfig, AutoAnswer, CodecPolicy, Config, Failback, FailoverPolicy, MediaConfig, Policy,
    RegisterPolicy, Server, SiteConfig, SrtpConfig, TurnConfig, WallClock,
};

use super::asides::Manners;
use super::calendar::TURN_LIFE;
use super::proxy;
use super::servers::ServerId;
use crate::tserver::{
    self, Alert, CtiControl, CustomerAnswer, CustomerConfig, Delays, DnConfig, DrForward,
    MakeCallFlow, SessionConfig, TransferBy,
};

/// talkbridge's SIP address.
pub(super) const GATEWAY: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), 5060);
/// SIP Server's address.
pub(super) const SERVER: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 81)), 5060);
/// Milliseconds since 1970 at which every run begins.
pub(super) const EPOCH_MS: u64 = 1_770_020_000_000;
/// The year 9999.
pub(super) const FAR_FUTURE_MS: u64 = 253_402_300_799_000;
/// The address of the second SIP Server; where there is none it is on talkbridge's list all the same, and silent.
pub(super) const NEIGHBOUR: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 83)), 5060);
/// Where customers have their media.
const CUSTOMERS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 82));
/// Their first port, by the SIP Server that they are customers of.
const CUSTOMER_PORTS: [u16; 2] = [20_000, 21_000];
/// Longer than talkbridge lets anything ring, so that it gives up first.
const RING_MAX: Duration = Duration::from_secs(330);
/// A customer who never answers, and one who is busy; all other numbers answer.
pub(super) const NEVER_ANSWERS: &str = "5550190";
pub(super) const BUSY: &str = "5550191";
/// One who answers before it has rung, as machines do, and one who takes his time.
pub(super) const ANSWERS_AT_ONCE: &str = "5550192";
pub(super) const RINGS_LONG: &str = "5550193";

/// One DN: how SIP Server treats it, and how talkbridge does.
#[derive(Debug)]
struct Dn {
    number: String,
    settings: DnConfig,
    register: RegisterPolicy,
    auto_answer: AutoAnswer,
}

/// One drawn site.
#[derive(Debug)]
pub(super) struct Site {
    dns: Vec<Dn>,
    /// Share of the customers' calls that come in at a site that has the agent.
    pub(super) calls_where_she_is: f64,
    reinvite_after_answer: bool,
    trying_to_all: bool,
    /// Shorter registrations are answered 423.
    min_expires_s: Option<u32>,
    /// Agents who transfer a call are told how the target rings.
    refer_progress: bool,
    /// SIP Server answers by another connection where that of the request is gone.
    answers_elsewhere: bool,
    reliable_provisional: bool,
    customer: CustomerConfig,
    /// How long the customers of each SIP Server let it ring.
    rings: [Duration; 2],
    /// REGISTER requests that talkbridge sends in a second, at most.
    pub(super) registrations_per_s: u32,
    /// The life of a registration that talkbridge asks for, seconds.
    expires_s: u32,
    /// How long a preferred server has to last before DNs go back to it.
    failback_after: Duration,
    /// From a REFER to the first word of its target's network.
    first_news: Duration,
    /// What a request that moves no call may be answered with.
    pub(super) manners: Manners,
    refusal: Refusal,
    scarce: Scarce,
    /// Share of the port pairs that somebody else has taken.
    pub(super) ports_taken: f64,
    /// The longest that nobody does anything.
    pub(super) pause_ms: u64,
    pub(super) layout: Layout,
    /// What SIP Server, or the proxy before it, is spoken to by.
    pub(super) transport: Transport,
    /// How many datagrams wait for talkbridge while it stands still; what finds the queue full is lost.
    pub(super) queue: usize,
    /// What the clock of talkbridge's host said at its start.
    epoch_ms: u64,
    /// A TURN server shares a secret with talkbridge.
    turn: bool,
    /// `probe_interval_s` is set: a server is asked whether it lives also where there is no other.
    probes: bool,
}

/// How many SIP Servers there are, and how they stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One.
    Alone,
    /// Two sites; every DN is registered at both (Business Continuity).
    Continuity,
    /// One site with a primary and a backup at an address of its own.
    Pair(Failback),
    /// One SIP Server behind two instances of SIP Proxy.
    Proxied,
}

/// What the site has too little of; one in two has enough of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scarce {
    Nothing,
    /// Media ports for two calls.
    Ports,
    /// Room for three calls, and one for each agent.
    Calls,
    /// Room for a few SIP dialogs and transactions.
    Tables,
}

impl Site {
    pub(super) fn draw(rng: &mut ChaCha12Rng) -> Self {
        let count: usize = rng.random_range(1..=4);
        let forward = match rng.random_range(0..4) {
            0 => DrForward::OutOfService,
            1 => DrForward::NoAgent,
            _ => DrForward::Off,
        };
        let dns = (0..count).map(|index| {
            let settings = dn(rng);
            // An option of the application, which a DN may override.
            let forward = if rng.random_bool(0.8) {
                forward
            } else {
                DrForward::Off
            };
            numbered(rng, index, settings, forward)
        });
        Self {
            dns: dns.collect(),
            calls_where_she_is: if forward == DrForward::Off { 0.95 } else { 0.5 },
            reinvite_after_answer: rng.random_bool(0.7),
            trying_to_all: rng.random_bool(0.2),
            refer_progress: rng.random_bool(0.7),
            answers_elsewhere: false,
            min_expires_s: rng.random_bool(0.1).then_some(900),
            reliable_provisional: rng.random_bool(0.7),
            customer: CustomerConfig {
                early_media: rng.random(),
                forks: rng.random_bool(0.3),
                telephone_event: rng.random_bool(0.8),
                ..CustomerConfig::default()
            },
            rings: [CustomerConfig::default().ring; 2],
            registrations_per_s: RegistrationPolicy::default().start_rate_per_s,
            expires_s: RegistrationPolicy::default().expires_s,
            failback_after: FailoverPolicy::default().failback_after,
            first_news: Delays::default().first_news,
            manners: Manners::draw(rng),
            refusal: if rng.random() {
                Refusal::Silent
            } else {
                Refusal::Forbidden
            },
            scarce: match rng.random_range(0..16) {
                0..2 => Scarce::Ports,
                2..4 => Scarce::Calls,
                4 => Scarce::Tables,
                _ => Scarce::Nothing,
            },
            ports_taken: if rng.random_bool(0.2) { 0.3 } else { 0.0 },
            pause_ms: rng.random_range(300..2_500),
            layout: match rng.random_range(0..20) {
                0..5 => Layout::Continuity,
                5..8 => Layout::Pair(Failback::Auto),
                8 => Layout::Pair(Failback::Stay),
                _ => Layout::Alone,
            },
            transport: Transport::Udp,
            queue: if rng.random() {
                rng.random_range(1..30)
            } else {
                usize::MAX
            },
            epoch_ms: epoch_ms(rng),
            turn: rng.random_bool(0.3),
            probes: rng.random_bool(0.3),
        }
    }

    /// How much SIP talkbridge may hold.
    pub(super) fn sip_capacity(&self) -> Capacity {
        match self.scarce {
            Scarce::Tables => Capacity {
                transactions: 40,
                dialogs: 4,
                registrations: 8,
            },
            _ => Capacity::default(),
        }
    }

    /// Whether a table of talkbridge's user agent is so small that it refuses what it otherwise could not.
    pub(super) const fn has_small_tables(&self) -> bool {
        matches!(self.scarce, Scarce::Tables)
    }

    pub(super) fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        if self.scarce == Scarce::Calls {
            (policy.calls_per_agent, policy.calls) = (1, 3);
        }
        if let Layout::Pair(failback) = self.layout {
            policy.failover.failback = failback;
            policy.failover.failback_after = self.failback_after;
        }
        (policy.messages, policy.options) = (self.manners.messages, self.manners.options);
        policy.failover.probe_interval = self.probes.then_some(FailoverPolicy::PROBE_INTERVAL);
        policy
    }

    pub(super) fn dns(&self) -> Vec<String> {
        self.dns.iter().map(|dn| dn.number.clone()).collect()
    }

    pub(super) fn clock(&self, now: Instant) -> WallClock {
        WallClock {
            at: now,
            epoch_ms: self.epoch_ms,
        }
    }

    /// The addresses on talkbridge's list, the preferred one first.
    pub(super) fn hosts(&self) -> Vec<SocketAddr> {
        match self.layout {
            Layout::Alone => vec![SERVER],
            Layout::Continuity | Layout::Pair(_) => vec![SERVER, NEIGHBOUR],
            Layout::Proxied => proxy::INSTANCES.to_vec(),
        }
    }

    /// Whether talkbridge asks its SIP Servers if they live.
    pub(super) const fn probes(&self) -> bool {
        self.probes || !matches!(self.layout, Layout::Alone)
    }

    /// When a DN is to be registered.
    pub(super) fn is_always_registered(&self, dn: &str) -> bool {
        let always = |own: &Dn| own.number == dn && own.register == RegisterPolicy::Always;
        self.dns.iter().any(always)
    }

    /// How talkbridge answers calls to each DN by itself.
    pub(super) fn auto_answer(&self) -> BTreeMap<String, AutoAnswer> {
        let of = |dn: &Dn| (dn.number.clone(), dn.auto_answer);
        self.dns.iter().map(of).collect()
    }

    /// The transport of the site, in the words of SIP Server.
    pub(super) const fn spoken(&self) -> tserver::Transport {
        match self.transport {
            Transport::Udp => tserver::Transport::Udp,
            Transport::Tcp => tserver::Transport::Tcp,
            Transport::Tls => tserver::Transport::Tls,
        }
    }

    fn sites(&self) -> Vec<SiteConfig> {
        let servers = self.hosts().into_iter().map(|address| Server {
            transport: self.transport,
            address,
            // All hosts of a proxy have the domain of the registrar behind them.
            domain: match self.layout {
                Layout::Proxied => SERVER.ip().to_string(),
                _ => address.ip().to_string(),
            },
        });
        if self.layout != Layout::Continuity {
            return vec![SiteConfig {
                name: None,
                servers: servers.collect(),
            }];
        }
        let site = |(index, server)| SiteConfig {
            name: Some(format!("site-{index}")),
            servers: vec![server],
        };
        servers.enumerate().map(site).collect()
    }

    /// talkbridge's configuration.
    pub(super) fn switchboard(&self) -> Config {
        Config {
            sip: UaConfig {
                listen: vec![(self.transport, GATEWAY)],
                allowed: match self.layout {
                    Layout::Proxied => proxy::INSTANCES.map(|host| host.ip()).to_vec(),
                    _ => vec![SERVER.ip(), NEIGHBOUR.ip()],
                },
                refusal: self.refusal,
                user_agent: "talkbridge".to_owned(),
                timers: Timers::default(),
                registration: RegistrationPolicy {
                    expires_s: self.expires_s,
                    start_rate_per_s: self.registrations_per_s,
                    ..RegistrationPolicy::default()
                },
                session_expires_s: Some(1800),
                realm: None,
            },
            sites: self.sites(),
            media: MediaConfig {
                address: GATEWAY.ip(),
                ports: match self.scarce {
                    Scarce::Ports => 16_384..=16_387,
                    _ => 16_384..=16_483,
                },
                srtp: SrtpConfig::default(),
                codecs: vec![sdp::Codec::Pcmu, sdp::Codec::Pcma],
                workers: 2,
                quarantine: Duration::from_secs(5),
            },
            ice_servers: Vec::new(),
            turn: self.turn.then(|| TurnConfig {
                urls: vec!["turn:192.0.2.84".to_owned()],
                secret: "a shared secret".into(),
                life: TURN_LIFE,
            }),
            agents: self
                .dns
                .iter()
                .map(|dn| AgentConfig {
                    dn: dn.number.clone(),
                    name: None,
                    password: dn.settings.password.clone().map(Into::into),
                    register: dn.register,
                    auto_answer: dn.auto_answer,
                    codec_policy: CodecPolicy::default(),
                })
                .collect(),
            policy: self.policy(),
        }
    }

    /// SIP Server may ask the DN's endpoint to call somebody, by REFER: it then calls at the SIP Server that asks.
    pub(super) fn is_asked_to_call(&self, dn: &str) -> bool {
        let known = self.dns.iter().find(|known| known.number == dn);
        known.is_some_and(|known| {
            known.settings.refer_enabled || known.settings.transfer_by == TransferBy::Refer
        })
    }

    /// SIP Server's configuration.
    pub(super) fn tserver(&self, id: ServerId) -> tserver::Config {
        let (own, peer) = match id {
            ServerId(0) => (SERVER, NEIGHBOUR),
            ServerId(_) => (NEIGHBOUR, SERVER),
        };
        let mut config = tserver::Config::new(own);
        config.peer_site = Some(peer);
        config.outbound_proxy = (self.layout == Layout::Proxied).then_some(proxy::NAMED);
        config.ring_max = Some(RING_MAX);
        config.trying_to_all = self.trying_to_all;
        config.registrar.min_expires_s = self.min_expires_s;
        config.refer_progress = self.refer_progress;
        config.answers_elsewhere = self.answers_elsewhere;
        config.reliable_provisional = self.reliable_provisional;
        config.customer = CustomerConfig {
            ring: self.rings[id.0],
            ..self.customer
        };
        config.delays.first_news = self.first_news;
        config.reinvite_after_answer = self.reinvite_after_answer;
        for dn in &self.dns {
            let mut settings = dn.settings.clone();
            if self.layout != Layout::Continuity {
                settings.dr_forward = DrForward::Off;
            }
            config.dns.insert(dn.number.clone(), settings);
        }
        let never = CustomerConfig {
            ring: Duration::from_secs(1),
            then: CustomerAnswer::Never,
            ..config.customer
        };
        let busy = CustomerConfig {
            ring: Duration::from_secs(1),
            then: CustomerAnswer::Refuse(486),
            early_media: false,
            ..config.customer
        };
        config.customers.insert(NEVER_ANSWERS.to_owned(), never);
        config.customers.insert(BUSY.to_owned(), busy);
        for (number, ring) in [
            (ANSWERS_AT_ONCE, Duration::ZERO),
            (RINGS_LONG, Duration::from_secs(20)),
        ] {
            let customer = CustomerConfig {
                ring,
                ..config.customer
            };
            config.customers.insert(number.to_owned(), customer);
        }
        let first = CUSTOMER_PORTS[id.0];
        config.customer_media = (0..60)
            .map(|index| SocketAddr::new(CUSTOMERS, first + 2 * index))
            .collect();
        config
    }
}

/// What the clock says: now, nothing for want of a battery, or nonsense.
fn epoch_ms(rng: &mut ChaCha12Rng) -> u64 {
    match rng.random_range(0..16) {
        0 => 0,
        1 => FAR_FUTURE_MS,
        _ => EPOCH_MS,
    }
}

/// One more DN than was drawn.
fn any_dn(rng: &mut ChaCha12Rng, index: usize) -> Dn {
    let settings = dn(rng);
    numbered(rng, index, settings, DrForward::Off)
}

fn numbered(rng: &mut ChaCha12Rng, index: usize, mut settings: DnConfig, forward: DrForward) -> Dn {
    settings.dr_forward = forward;
    Dn {
        number: format!("{}", 1_001 + index),
        settings,
        register: policy(rng),
        auto_answer: match rng.random_range(0..10) {
            0 => AutoAnswer::Always,
            1 => AutoAnswer::Never,
            _ => AutoAnswer::Headers,
        },
    }
}

/// Each DN has its own set of options; one in four the one of a working agent DN.
fn dn(rng: &mut ChaCha12Rng) -> DnConfig {
    let usual = rng.random_range(0..4) == 0;
    let mut odd = |share: f64| rng.random_bool(share) && !usual;
    let options = DnConfig {
        cti_control: CtiControl {
            talk: !odd(0.1),
            hold: !odd(0.5),
            dtmf: !odd(0.5),
            beep: !odd(0.5),
        },
        dual_dialog: !odd(0.4),
        hold_rfc3264: odd(0.3),
        reinvite_requires_hold: odd(0.3),
        reuse_sdp: odd(0.3),
        record: odd(0.1),
        reject_call_incall: odd(0.2),
        reject_call_notready: odd(0.3),
        recovery_timeout: odd(0.2).then_some(Duration::from_secs(3)),
        refer_enabled: odd(0.15),
        require_reliable: odd(0.2),
        transfer_by: match (odd(0.25), odd(0.25)) {
            (true, _) => TransferBy::Refer,
            (_, true) => TransferBy::Replaces,
            _ => TransferBy::Reinvite,
        },
        authenticate_register: !odd(0.3),
        authenticate_invite: odd(0.3),
        dtmf_by_info: !odd(0.2),
        use_contact_as_dn: odd(0.15),
        session: SessionConfig {
            interval_s: if odd(0.5) { 90 } else { 1_800 },
            refreshes: !odd(0.3),
            with_sdp: odd(0.4),
            by_update: odd(0.2),
        },
        ..DnConfig::default()
    };
    DnConfig {
        make_call_flow: if rng.random() {
            MakeCallFlow::One
        } else {
            MakeCallFlow::Two
        },
        password: rng.random_bool(0.5).then(|| "a password".to_owned()),
        qop: rng.random(),
        no_answer_timeout: rng.random_bool(0.3).then_some(Duration::from_secs(15)),
        oos_check: rng.random_bool(0.3).then_some(Duration::from_secs(10)),
        greeting: rng.random_bool(0.1).then_some(Duration::from_secs(3)),
        alert: alert(rng),
        make_call_alert: alert(rng),
        ..options
    }
}

/// How calls want to ring; seven in ten say nothing.
fn alert(rng: &mut ChaCha12Rng) -> Alert {
    match rng.random_range(0..20) {
        0 => Alert::AutoAnswer,
        1 => Alert::RingAnswer,
        2 => Alert::AnswerAfter(rng.random_range(0..8)),
        // Longer than an endpoint lets itself be told.
        3 => Alert::AnswerAfter(3_600),
        4 => Alert::Ring("alert-external"),
        5 => Alert::Ring("alert-internal"),
        _ => Alert::Plain,
    }
}

fn policy(rng: &mut ChaCha12Rng) -> RegisterPolicy {
    if rng.random_bool(0.2) {
        RegisterPolicy::Always
    } else {
        RegisterPolicy::OnSignIn
    }
}

/// Where a SIP Server's datagrams come from.
pub(super) const fn source(remote: SocketAddr) -> Source {
    Source {
        transport: Transport::Udp,
        remote,
        connection: None,
    }
}
