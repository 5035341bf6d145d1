//! The site of a run: its DNs and how SIP Server treats them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use sip::ua::{Refusal, RegistrationPolicy, Source, Timers, Transport, UaConfig};
use switchboard::{
    AgentConfig, AutoAnswer, Config, MediaConfig, Policy, RegisterPolicy, Server, SiteConfig,
    WallClock,
};

use crate::tserver::{self, CtiControl, CustomerAnswer, CustomerConfig, DnConfig, MakeCallFlow};

/// talkbridge's SIP address.
pub(super) const GATEWAY: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), 5060);
/// SIP Server's address.
pub(super) const SERVER: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 81)), 5060);
/// Where customers have their media.
const CUSTOMERS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 82));
/// A customer who never answers, and one who is busy; all other numbers answer.
pub(super) const NEVER_ANSWERS: &str = "5550190";
pub(super) const BUSY: &str = "5550191";

/// One drawn site.
#[derive(Debug)]
pub(super) struct Site {
    dns: Vec<(String, DnConfig, RegisterPolicy)>,
    reinvite_after_answer: bool,
}

impl Site {
    pub(super) fn draw(rng: &mut ChaCha12Rng) -> Self {
        let count = rng.random_range(1..=4);
        let dns = (0..count).map(|index| (format!("{}", 1_001 + index), dn(rng), policy(rng)));
        Self {
            dns: dns.collect(),
            reinvite_after_answer: rng.random_bool(0.7),
        }
    }

    pub(super) fn dns(&self) -> Vec<String> {
        self.dns.iter().map(|(dn, ..)| dn.clone()).collect()
    }

    pub(super) fn clock(&self, now: Instant) -> WallClock {
        WallClock {
            at: now,
            epoch_ms: 1_770_020_000_000,
        }
    }

    /// talkbridge's configuration.
    pub(super) fn switchboard(&self) -> Config {
        Config {
            sip: UaConfig {
                listen: vec![(Transport::Udp, GATEWAY)],
                allowed: vec![SERVER.ip()],
                refusal: Refusal::Silent,
                user_agent: "talkbridge".to_owned(),
                timers: Timers::default(),
                registration: RegistrationPolicy::default(),
            },
            sites: vec![SiteConfig {
                name: None,
                servers: vec![Server {
                    transport: Transport::Udp,
                    address: SERVER,
                    domain: SERVER.ip().to_string(),
                }],
            }],
            media: MediaConfig {
                address: GATEWAY.ip(),
                ports: 16_384..=16_483,
                codecs: vec![sdp::Codec::Pcmu, sdp::Codec::Pcma],
                workers: 2,
                quarantine: Duration::from_secs(5),
            },
            ice_servers: Vec::new(),
            agents: self
                .dns
                .iter()
                .map(|(dn, server, register)| AgentConfig {
                    dn: dn.clone(),
                    name: None,
                    password: server.password.clone().map(Into::into),
                    register: *register,
                    auto_answer: AutoAnswer::Headers,
                })
                .collect(),
            policy: Policy::default(),
        }
    }

    /// SIP Server's configuration.
    pub(super) fn tserver(&self) -> tserver::Config {
        let mut config = tserver::Config::new(SERVER);
        config.reinvite_after_answer = self.reinvite_after_answer;
        for (dn, settings, _) in &self.dns {
            config.dns.insert(dn.clone(), settings.clone());
        }
        let never = CustomerConfig {
            ring: Duration::from_secs(1),
            then: CustomerAnswer::Never,
        };
        let busy = CustomerConfig {
            ring: Duration::from_secs(1),
            then: CustomerAnswer::Refuse(486),
        };
        config.customers.insert(NEVER_ANSWERS.to_owned(), never);
        config.customers.insert(BUSY.to_owned(), busy);
        config.customer_media = (0..40)
            .map(|index| SocketAddr::new(CUSTOMERS, 20_000 + 2 * index))
            .collect();
        config
    }
}

fn dn(rng: &mut ChaCha12Rng) -> DnConfig {
    DnConfig {
        cti_control: CtiControl {
            talk: true,
            hold: rng.random(),
            dtmf: rng.random(),
        },
        make_call_flow: if rng.random() {
            MakeCallFlow::One
        } else {
            MakeCallFlow::Two
        },
        password: rng.random_bool(0.5).then(|| "a password".to_owned()),
        authenticate_invite: rng.random_bool(0.3),
        qop: rng.random(),
        no_answer_timeout: rng.random_bool(0.3).then_some(Duration::from_secs(15)),
        reject_call_incall: rng.random_bool(0.3),
        oos_check: rng.random_bool(0.3).then_some(Duration::from_secs(10)),
        ..DnConfig::default()
    }
}

fn policy(rng: &mut ChaCha12Rng) -> RegisterPolicy {
    if rng.random_bool(0.2) {
        RegisterPolicy::Always
    } else {
        RegisterPolicy::OnSignIn
    }
}

/// Where SIP Server's datagrams come from.
pub(super) const fn server_source() -> Source {
    Source {
        transport: Transport::Udp,
        remote: SERVER,
        connection: None,
    }
}
