//! From the configuration's words to the values that the machines take.

use std::net::SocketAddr;
use std::time::Duration;

use media::codec::Rate;
use secrecy::ExposeSecret;
use sip::ua::{Refusal, RegistrationPolicy, SiteId, Timers, Transport, UaConfig};
use switchboard::{
    AgentConfig, AutoAnswer, CodecPolicy, DtmfFallback, Failback, FailoverPolicy, HeaderPolicy,
    MediaConfig, MessagePolicy, OptionsPolicy, OverloadPolicy, Policy, RecordingPolicy,
    ReferPolicy, RegisterPolicy, Server, SiteConfig, SrtpConfig, TurnConfig,
};

use crate::config::{self, Codec, Config, Refuse, RegisterWhen, SipTransport, Srtp, SrtpSuite};
use crate::edge::keep_alive::KeepAlive;
use crate::edge::recording;
use crate::limits::tcp_acknowledged_within;

/// What the switchboard is told at birth.
#[must_use]
pub fn switchboard(config: &Config, workers: usize) -> switchboard::Config {
    let sip = &config.sip;
    switchboard::Config {
        sip: user_agent(config),
        sites: sites(sip),
        media: MediaConfig {
            address: config.media.address,
            ports: config.media.ports.first..=config.media.ports.last,
            codecs: config.media.codecs.iter().copied().map(codec).collect(),
            srtp: srtp(config),
            workers,
            quarantine: Duration::from_secs(config.media.quarantine_s.into()),
        },
        ice_servers: config.webrtc.ice_servers.iter().map(ice_server).collect(),
        turn: config.webrtc.turn.as_ref().and_then(turn),
        agents: agents(config),
        policy: Policy {
            resume_grace: Duration::from_secs(config.limits.resume_grace_s.into()),
            media_wait: Duration::from_secs(config.limits.media_wait_s.into()),
            calls_per_agent: config.limits.calls_per_agent,
            calls: config.limits.calls,
            overload: OverloadPolicy {
                busy_percent: config.limits.media_busy_percent,
                late_percent: config.limits.media_late_percent,
            },
            options: match sip.options {
                config::Options::Always200 => OptionsPolicy::AlwaysOk,
                config::Options::SignedInOnly => OptionsPolicy::SignedInOnly,
            },
            messages: match sip.messages {
                config::Messages::Refuse => MessagePolicy::Refuse,
                config::Messages::Show => MessagePolicy::Show,
            },
            refer: match sip.refer {
                config::Refer::All => ReferPolicy::All,
                config::Refer::WithinCalls => ReferPolicy::WithinCalls,
                config::Refer::None => ReferPolicy::None,
            },
            dtmf_fallback: match config.media.dtmf_fallback {
                config::DtmfFallback::Info => DtmfFallback::Info,
                config::DtmfFallback::Inband => DtmfFallback::Inband,
                config::DtmfFallback::None => DtmfFallback::None,
            },
            failover: failover(sip),
            rtp_stat: sip.rtp_stat,
            record_numbers: config.cdr.numbers,
            recording: recording(&config.recording),
            headers: HeaderPolicy {
                trust_asserted_identity: sip.trust_asserted_identity,
                pass: passed(&sip.pass_headers),
            },
        },
    }
}

/// The sites with what is written as an address; those that are names follow when DNS has answered.
fn sites(sip: &config::Sip) -> Vec<SiteConfig> {
    let site = |list: &config::ServerList<'_>| SiteConfig {
        name: list.name.map(str::to_owned),
        servers: servers(list, |_| &[]),
    };
    sip.lists().iter().map(site).collect()
}

/// The SIP Servers of a site in order of preference. `found` tells what DNS says of a name.
pub fn servers<'a>(
    list: &config::ServerList<'_>,
    found: impl Fn(&config::ServerName) -> &'a [(SipTransport, SocketAddr)],
) -> Vec<Server> {
    let mut servers = Vec::new();
    for entry in list.servers.iter() {
        let plain;
        let (named, addresses) = match entry {
            config::ServerAddress::Address(address) => {
                plain = [(list.plain_transport(), *address)];
                (own_domain(&address.ip(), Some(address.port())), &plain[..])
            }
            config::ServerAddress::Name(name) => (own_domain(&name.host, name.port), found(name)),
        };
        let domain = list.domain.map_or(named, str::to_owned);
        servers.extend(addresses.iter().map(|(of, address)| Server {
            transport: transport(*of),
            address: *address,
            domain: domain.clone(),
        }));
    }
    servers
}

/// How calls are recorded, where they are.
fn recording(recording: &config::Recording) -> Option<RecordingPolicy> {
    recording.folder.as_ref()?;
    Some(RecordingPolicy {
        always: recording.when == config::RecordWhen::Always,
        agents_may: recording.agents_may,
        rate_hz: recording.rate_hz,
        beep: (recording.beep_s > 0).then(|| Duration::from_secs(recording.beep_s.into())),
        extension: match recording.format {
            config::RecordFormat::Wav => ".wav",
            config::RecordFormat::Opus => ".opus",
        },
    })
}

/// How the writer of recordings is set up, where there is one.
#[must_use]
pub fn recorder(config: &Config) -> Option<recording::Settings> {
    let recording = &config.recording;
    Some(recording::Settings {
        folder: recording.folder.clone()?,
        format: match recording.format {
            config::RecordFormat::Wav => recording::Format::Wav,
            config::RecordFormat::Opus => recording::Format::Opus,
        },
        rate: if recording.rate_hz == Rate::Narrow.hz() {
            Rate::Narrow
        } else {
            Rate::Wide
        },
    })
}

fn failover(sip: &config::Sip) -> FailoverPolicy {
    let seconds = |value: u32| Duration::from_secs(value.into());
    FailoverPolicy {
        failback: match sip.failback {
            config::Failback::Auto => Failback::Auto,
            config::Failback::Stay => Failback::Stay,
        },
        failback_after: seconds(sip.failback_after_s),
        probe_interval: sip.probe_interval_s.map(seconds),
        pause: seconds(sip.register.retry_s) / 2,
        pause_max: seconds(sip.register.retry_max_s),
        ..FailoverPolicy::default()
    }
}

/// The names of headers; the configuration was checked for names that are none.
fn passed(names: &[String]) -> Vec<sip::HeaderName> {
    let parse = |name: &String| sip::HeaderName::parse(name.as_bytes());
    names.iter().filter_map(parse).collect()
}

/// The agents as the switchboard knows them.
#[must_use]
pub fn agents(config: &Config) -> Vec<AgentConfig> {
    let policy = config.webrtc.codec_policy;
    let agents = config.agents.iter();
    agents.map(|named| agent(named, policy)).collect()
}

/// How many media workers run. By default one core is left to the thread that decides and to the pages: a worker that has to share its core with
/// them makes speech late, and two half-idle ones are woken more often than a busy one.
#[must_use]
pub fn workers(config: &Config) -> usize {
    match config.media.workers {
        0 => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            (cores - 1).max(1)
        }
        workers => usize::from(workers),
    }
}

/// A transport by the name that the `sip` crate gives it.
#[must_use]
pub fn transport(transport: SipTransport) -> Transport {
    match transport {
        SipTransport::Udp => Transport::Udp,
        SipTransport::Tcp => Transport::Tcp,
        SipTransport::Tls => Transport::Tls,
    }
}

/// The address of record names the server as an administrator would: without the port that everybody means.
fn own_domain(host: &dyn std::fmt::Display, port: Option<u16>) -> String {
    let host = host.to_string();
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    match port.filter(|port| *port != 5060) {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

fn user_agent(config: &Config) -> UaConfig {
    let sip = &config.sip;
    let advertised = |listen: &config::SipListen| {
        (
            transport(listen.transport),
            SocketAddr::new(sip.advertise, listen.address.port()),
        )
    };
    UaConfig {
        listen: sip.listen.iter().map(advertised).collect(),
        allowed: sip.written_addresses().map(|server| server.ip()).collect(),
        refusal: match sip.refuse {
            Refuse::Silent => Refusal::Silent,
            Refuse::Forbidden => Refusal::Forbidden,
        },
        user_agent: sip.user_agent.clone(),
        timers: timers(&sip.timers),
        registration: RegistrationPolicy {
            expires_s: sip.register.expires_s,
            start_rate_per_s: sip.register.start_rate_per_s,
            retry_s: sip.register.retry_s,
            retry_max_s: sip.register.retry_max_s,
        },
        session_expires_s: (sip.session_expires_s > 0).then_some(sip.session_expires_s),
        realm: sip.realm.clone(),
    }
}

fn agent(agent: &config::Agent, policy: config::CodecPolicy) -> AgentConfig {
    AgentConfig {
        dn: agent.dn.clone(),
        name: agent.name.clone(),
        password: agent.password.clone(),
        register: match agent.register {
            RegisterWhen::OnSignIn => RegisterPolicy::OnSignIn,
            RegisterWhen::Always => RegisterPolicy::Always,
        },
        auto_answer: match agent.auto_answer {
            config::AutoAnswer::Never => AutoAnswer::Never,
            config::AutoAnswer::Headers => AutoAnswer::Headers,
            config::AutoAnswer::Always => AutoAnswer::Always,
        },
        codec_policy: match agent.codec_policy.unwrap_or(policy) {
            config::CodecPolicy::RelayFirst => CodecPolicy::RelayFirst,
            config::CodecPolicy::Opus => CodecPolicy::Opus,
        },
    }
}

fn codec(codec: Codec) -> sdp::Codec {
    match codec {
        Codec::Pcmu => sdp::Codec::Pcmu,
        Codec::Pcma => sdp::Codec::Pcma,
        Codec::G722 => sdp::Codec::G722,
        Codec::Opus => sdp::Codec::Opus,
    }
}

/// A codec that browsers are offered.
#[must_use]
pub fn browser_codec(named: Codec) -> media::codec::Codec {
    crate::edge::media_worker::codec(codec(named))
}

/// The configuration was checked for a secret.
fn turn(turn: &config::Turn) -> Option<TurnConfig> {
    Some(TurnConfig {
        urls: turn.urls.clone(),
        secret: turn.secret.clone()?,
        life: Duration::from_secs(turn.ttl_s.into()),
    })
}

fn ice_server(server: &config::IceServer) -> control::IceServer {
    let secret = |secret: &secrecy::SecretString| control::Secret::from(secret.expose_secret());
    control::IceServer {
        urls: server.urls.clone(),
        username: server.username.clone(),
        credential: server.credential.as_ref().map(secret),
    }
}

fn timers(timers: &config::Timers) -> Timers {
    let milliseconds = |value: u32| Duration::from_millis(value.into());
    Timers {
        t1: milliseconds(timers.t1_ms),
        t2: milliseconds(timers.t2_ms),
        t4: milliseconds(timers.t4_ms),
    }
}

/// How SIP connections are kept alive; 0 in the configuration means not at all.
#[must_use]
pub fn keep_alive(config: &Config) -> KeepAlive {
    let seconds = |s: u32| (s > 0).then(|| Duration::from_secs(s.into()));
    KeepAlive {
        tcp: seconds(config.sip.keep_alive.tcp_s),
        ping: seconds(config.sip.keep_alive.ping_s),
        acknowledged_within: tcp_acknowledged_within(timers(&config.sip.timers).patience()),
        ..KeepAlive::default()
    }
}

/// How the SIP side's media is secured.
fn srtp(config: &Config) -> SrtpConfig {
    let media = &config.media;
    let policy = |srtp: Srtp| match srtp {
        Srtp::Off => sdp::SrtpPolicy::Off,
        Srtp::Optional => sdp::SrtpPolicy::Optional,
        Srtp::Required => sdp::SrtpPolicy::Required,
    };
    let of_sites = (0..).map(SiteId).zip(&config.sip.sites);
    let suite = |suite: &SrtpSuite| match suite {
        SrtpSuite::AeadAes256Gcm => sdp::CryptoSuite::AeadAes256Gcm,
        SrtpSuite::AeadAes128Gcm => sdp::CryptoSuite::AeadAes128Gcm,
        SrtpSuite::Aes256CmSha1_80 => sdp::CryptoSuite::Aes256CmSha1_80,
        SrtpSuite::Aes128CmSha1_80 => sdp::CryptoSuite::Aes128CmSha1_80,
        SrtpSuite::Aes256CmSha1_32 => sdp::CryptoSuite::Aes256CmSha1_32,
        SrtpSuite::Aes128CmSha1_32 => sdp::CryptoSuite::Aes128CmSha1_32,
    };
    SrtpConfig {
        policy: policy(media.srtp),
        of_sites: of_sites
            .filter_map(|(id, site)| Some((id, policy(site.srtp?))))
            .collect(),
        suites: media.srtp_suites.iter().map(suite).collect(),
    }
}
