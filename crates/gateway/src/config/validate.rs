//! What the types cannot say: values that contradict each other, or that cannot work.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;

use secrecy::ExposeSecret;
use sip::HeaderName;
use sip::session_timer::MIN_SE_S;

use super::address::{SipListen, SipTransport};
use super::load::Findings;
use super::locate::Step;
use super::sections::{Config, TokenAlgorithm};
use super::srtp::Srtp;
use crate::limits::TURN_TTL_S;

/// Shortest secret of an HS256 key: as long as the hash (RFC 7518 section 3.2).
const HS256_SECRET_MIN: usize = 32;

/// Shortest sensible registration: SIP Server is asked again after two thirds of it.
const EXPIRES_MIN_S: u32 = 10;

/// Longest DN that is taken for one: T-Library numbers are far shorter.
const DN_MAX: usize = 64;

/// Headers passed to the page: as many as the switchboard takes from one call.
const PASS_HEADERS_MAX: usize = 32;

/// SIP transactions: fewer would not carry one busy agent, and more are 4 GB.
const SIP_TRANSACTIONS: RangeInclusive<usize> = 1_000..=2_000_000;

/// A beep more often than this is a fault of a line to whoever hears it.
const RECORDING_BEEP_MIN_S: u32 = 5;

/// Media workers beyond this are a typing error.
const WORKERS_MAX: u16 = 256;

pub(super) fn validate(config: &Config, findings: &mut Findings<'_>) {
    sip(config, findings);
    register_and_timers(config, findings);
    keep_alive(config, findings);
    sip_tls(config, findings);
    web_rtc(config, findings);
    media(config, findings);
    super::listeners::validate(config, findings);
    auth(config, findings);
    recording(config, findings);
    limits(config, findings);
    agents(config, findings);
    shared_ports(config, findings);
}

fn sip(config: &Config, findings: &mut Findings<'_>) {
    let sip = &config.sip;
    if sip.listen.is_empty() {
        findings.error(
            &at(&["sip", "listen"]),
            "expected at least one listening address",
        );
    }
    for (index, listen) in sip.listen.iter().enumerate() {
        let repeated = sip.listen[..index].iter().any(|other| other == listen);
        if repeated {
            let path = ["sip".into(), "listen".into(), index.into()];
            findings.error(
                &path,
                format!("expected each address once, found `{listen}` again"),
            );
        }
    }
    if sip.advertise.is_unspecified() || sip.advertise.is_multicast() {
        findings.error(
            &at(&["sip", "advertise"]),
            format!(
                "expected an address that SIP Server can reach, found `{}`",
                sip.advertise
            ),
        );
    }
    super::sites::validate(sip, findings);
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| (' '..='~').contains(&c));
    if !plain(&sip.user_agent) {
        findings.error(&at(&["sip", "user_agent"]), "expected printable ASCII text");
    }
    pass_headers(config, findings);
    calls(config, findings);
    if sip
        .domain
        .as_deref()
        .is_some_and(|domain| !is_host_port(domain))
    {
        findings.error(
            &at(&["sip", "domain"]),
            "expected a host with an optional port",
        );
    }
}

fn calls(config: &Config, findings: &mut Findings<'_>) {
    let sip = &config.sip;
    // A quoted string (RFC 3261 section 25.1) without the characters that would have to be escaped in it.
    let quotable = |c: char| (' '..='~').contains(&c) && !matches!(c, '"' | '\\');
    if sip
        .realm
        .as_deref()
        .is_some_and(|realm| realm.is_empty() || !realm.chars().all(quotable))
    {
        let expected = "expected the realm as SIP Server spells it, without quotes";
        findings.error(&at(&["sip", "realm"]), expected);
    }
    if (1..MIN_SE_S).contains(&sip.session_expires_s) {
        let found = sip.session_expires_s;
        findings.error(
            &at(&["sip", "session_expires_s"]),
            format!("expected 0 or at least {MIN_SE_S} seconds, found {found}"),
        );
    }
}

/// Headers that would show a page what is none of its business: secrets, and other hosts of the network.
const NEVER_PASSED: [HeaderName; 8] = [
    HeaderName::AUTHORIZATION,
    HeaderName::PROXY_AUTHORIZATION,
    HeaderName::WWW_AUTHENTICATE,
    HeaderName::PROXY_AUTHENTICATE,
    HeaderName::P_ASSERTED_IDENTITY,
    HeaderName::VIA,
    HeaderName::ROUTE,
    HeaderName::RECORD_ROUTE,
];

fn pass_headers(config: &Config, findings: &mut Findings<'_>) {
    for (index, name) in config.sip.pass_headers.iter().enumerate() {
        let path = ["sip".into(), "pass_headers".into(), index.into()];
        match HeaderName::parse(name.as_bytes()) {
            None => findings.error(
                &path,
                format!("expected the name of a header, found `{name}`"),
            ),
            Some(header) if NEVER_PASSED.contains(&header) => {
                findings.error(
                    &path,
                    format!("expected a header that a page may see, found `{name}`"),
                );
            }
            Some(_) => {}
        }
        if index == PASS_HEADERS_MAX {
            findings.error(
                &path,
                format!("expected at most {PASS_HEADERS_MAX} headers"),
            );
        }
    }
}

pub(super) fn is_host_port(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    !text.is_empty() && text.chars().all(allowed)
}

fn recording(config: &Config, findings: &mut Findings<'_>) {
    let recording = &config.recording;
    if !matches!(recording.rate_hz, 8_000 | 16_000) {
        let message = format!("expected 8000 or 16000, found {}", recording.rate_hz);
        findings.error(&at(&["recording", "rate_hz"]), message);
    }
    if (1..RECORDING_BEEP_MIN_S).contains(&recording.beep_s) {
        let found = recording.beep_s;
        findings.error(
            &at(&["recording", "beep_s"]),
            format!("expected 0 or at least {RECORDING_BEEP_MIN_S} seconds, found {found}"),
        );
    }
}

fn register_and_timers(config: &Config, findings: &mut Findings<'_>) {
    let register = &config.sip.register;
    if register.expires_s < EXPIRES_MIN_S {
        findings.error(
            &at(&["sip", "register", "expires_s"]),
            format!(
                "expected {EXPIRES_MIN_S} seconds or more, found {}",
                register.expires_s
            ),
        );
    }
    let positive = [
        ("start_rate_per_s", register.start_rate_per_s),
        ("retry_s", register.retry_s),
        ("retry_max_s", register.retry_max_s),
    ];
    for (key, value) in positive {
        if value == 0 {
            findings.error(
                &at(&["sip", "register", key]),
                "expected 1 or more, found 0",
            );
        }
    }
    if register.retry_max_s < register.retry_s {
        findings.error(
            &at(&["sip", "register", "retry_max_s"]),
            "expected `retry_s` or more",
        );
    }
    let timers = &config.sip.timers;
    for (key, value) in [
        ("t1_ms", timers.t1_ms),
        ("t2_ms", timers.t2_ms),
        ("t4_ms", timers.t4_ms),
    ] {
        if value == 0 || value > 60_000 {
            let message = format!("expected 1 to 60000 milliseconds, found {value}");
            findings.error(&at(&["sip", "timers", key]), message);
        }
    }
    if timers.t2_ms < timers.t1_ms {
        findings.error(&at(&["sip", "timers", "t2_ms"]), "expected `t1_ms` or more");
    }
}

fn keep_alive(config: &Config, findings: &mut Findings<'_>) {
    let keep_alive = &config.sip.keep_alive;
    // 32767 s is the most that the operating system takes for TCP_KEEPIDLE.
    for (key, value, least, most) in [
        ("tcp_s", keep_alive.tcp_s, 10, 32_767),
        ("ping_s", keep_alive.ping_s, 20, 3_600),
    ] {
        if value != 0 && !(least..=most).contains(&value) {
            let message =
                format!("expected 0 for none, or {least} to {most} seconds, found {value}");
            findings.error(&at(&["sip", "keep_alive", key]), message);
        }
    }
}

fn sip_tls(config: &Config, findings: &mut Findings<'_>) {
    let sip = &config.sip;
    let listens = sip
        .listen
        .iter()
        .any(|listen| listen.transport == SipTransport::Tls);
    match &sip.tls {
        None if listens || sip.transport == Some(SipTransport::Tls) => findings.error(
            &at(&["sip", "listen"]),
            "expected a table [sip.tls] with certificate_file, key_file and ca_file for TLS",
        ),
        None => {}
        Some(tls) => {
            readable(
                &tls.certificate_file,
                &["sip", "tls", "certificate_file"],
                findings,
            );
            readable(&tls.key_file, &["sip", "tls", "key_file"], findings);
            readable(&tls.ca_file, &["sip", "tls", "ca_file"], findings);
        }
    }
}

fn web_rtc(config: &Config, findings: &mut Findings<'_>) {
    let rtc = &config.webrtc;
    if rtc.listen.ip().is_unspecified() && rtc.advertise.is_empty() {
        findings.error(
            &at(&["webrtc", "advertise"]),
            "expected at least one address that browsers can reach, since `listen` names none",
        );
    }
    for (index, address) in rtc.advertise.iter().enumerate() {
        if address.is_unspecified() || address.is_multicast() {
            let path = ["webrtc".into(), "advertise".into(), index.into()];
            findings.error(
                &path,
                format!("expected an address browsers can reach, found `{address}`"),
            );
        }
    }
    if rtc.codecs.is_empty() {
        findings.error(&at(&["webrtc", "codecs"]), "expected at least one codec");
    }
    if rtc.listen.port() == 0 {
        findings.error(
            &at(&["webrtc", "listen"]),
            "expected a port of its own, found 0",
        );
    }
    if rtc.tcp_listen.is_some_and(|listen| listen.port() == 0) {
        let message = "expected a port of its own, found 0";
        findings.error(&at(&["webrtc", "tcp_listen"]), message);
    }
    turn(config, findings);
    for (index, server) in rtc.ice_servers.iter().enumerate() {
        let known = |url: &String| {
            ["stun:", "stuns:", "turn:", "turns:"]
                .iter()
                .any(|scheme| url.starts_with(scheme))
        };
        if server.urls.is_empty() || !server.urls.iter().all(known) {
            findings.error(
                &ice_server(index),
                "expected `stun:`, `turn:` or `turns:` addresses in `urls`",
            );
        }
        named(&server.urls, &ice_server(index), findings);
    }
}

fn ice_server(index: usize) -> [Step<'static>; 3] {
    ["webrtc".into(), "ice_servers".into(), index.into()]
}

/// Firefox compares the server's certificate with a name, and leaves a server out that has none.
fn named(urls: &[String], path: &[Step<'_>], findings: &mut Findings<'_>) {
    let by_address = |url: &&String| url.strip_prefix("turns:").is_some_and(is_address);
    if let Some(url) = urls.iter().find(by_address) {
        let message = format!(
            "Firefox takes no TURN server over TLS that is named by its address: expected a name of DNS that is in its certificate, found `{url}`"
        );
        findings.warning(path, message);
    }
}

/// Whether the host of this, with or without a port and parameters, is an address.
fn is_address(server: &str) -> bool {
    let host = server.split(['?', ':']).next().unwrap_or_default();
    server.starts_with('[') || host.parse::<Ipv4Addr>().is_ok()
}

fn turn(config: &Config, findings: &mut Findings<'_>) {
    let Some(turn) = &config.webrtc.turn else {
        return;
    };
    named(&turn.urls, &at(&["webrtc", "turn", "urls"]), findings);
    let known = |url: &String| url.starts_with("turn:") || url.starts_with("turns:");
    if turn.urls.is_empty() || !turn.urls.iter().all(known) {
        findings.error(
            &at(&["webrtc", "turn", "urls"]),
            "expected `turn:` or `turns:` addresses",
        );
    }
    if turn.secret.is_none() {
        findings.error(
            &at(&["webrtc", "turn"]),
            "expected the secret that the TURN server knows: `secret`, `secret_file` or TALKBRIDGE_TURN_SECRET",
        );
    }
    if !TURN_TTL_S.contains(&turn.ttl_s) {
        findings.error(
            &at(&["webrtc", "turn", "ttl_s"]),
            format!(
                "expected {} to {} seconds, found {}",
                TURN_TTL_S.start(),
                TURN_TTL_S.end(),
                turn.ttl_s
            ),
        );
    }
}

fn media(config: &Config, findings: &mut Findings<'_>) {
    let media = &config.media;
    if media.address.is_unspecified() || media.address.is_multicast() {
        findings.error(
            &at(&["media", "address"]),
            format!(
                "expected the address to be written into the SDP, found `{}`",
                media.address
            ),
        );
    }
    if media.codecs.is_empty() {
        findings.error(&at(&["media", "codecs"]), "expected at least one codec");
    }
    srtp(config, findings);
    if media.workers > WORKERS_MAX {
        let message = format!("expected at most {WORKERS_MAX}, found {}", media.workers);
        findings.error(&at(&["media", "workers"]), message);
    }
}

/// Keys of SRTP travel in the session description, so whoever reads the SIP has them.
fn srtp(config: &Config, findings: &mut Findings<'_>) {
    let media = &config.media;
    let mut policies = config.sip.sites.iter().filter_map(|site| site.srtp);
    if media.srtp == Srtp::Off && policies.all(|srtp| srtp == Srtp::Off) {
        return;
    }
    if media.srtp_suites.is_empty() {
        let message = "expected at least one crypto suite";
        findings.error(&at(&["media", "srtp_suites"]), message);
    }
    let plain = |listen: &SipListen| listen.transport != SipTransport::Tls;
    if config.sip.listen.iter().any(plain) {
        let message = "the keys of SRTP travel in the session description: by another transport than tls they can be read on the way";
        findings.warning(&at(&["media", "srtp"]), message);
    }
}

/// Two sockets that want one port fail at start in a way that names neither key; so they are compared here.
fn shared_ports(config: &Config, findings: &mut Findings<'_>) {
    let ports = config.media.ports;
    let inside = |address: SocketAddr| {
        let overlaps = address.ip().is_unspecified() || address.ip() == config.media.address;
        overlaps && (ports.first..=ports.last).contains(&address.port())
    };
    for (index, listen) in config.sip.listen.iter().enumerate() {
        if listen.transport == SipTransport::Udp && inside(listen.address) {
            let path = ["sip".into(), "listen".into(), index.into()];
            findings.error(
                &path,
                format!("expected a port outside of [media] ports {ports}"),
            );
        }
    }
    if inside(config.webrtc.listen) {
        let message = format!("expected a port outside of [media] ports {ports}");
        findings.error(&at(&["webrtc", "listen"]), message);
    }
    let tcp = config.webrtc.tcp_listen;
    if tcp.is_some_and(|tcp| tcp == config.http.listen || tcp == config.admin.listen) {
        findings.error(
            &at(&["webrtc", "tcp_listen"]),
            "expected another address than those of [http] and [admin]",
        );
    }
    let same = config.http.listen == config.admin.listen && config.http.listen.port() != 0;
    if same {
        findings.error(
            &at(&["admin", "listen"]),
            "expected another address than [http] listen",
        );
    }
}

fn auth(config: &Config, findings: &mut Findings<'_>) {
    if config.auth.token_keys.is_empty() {
        let message = "no token_keys: no page can sign in";
        findings.warning(&at(&["auth", "token_keys"]), message);
    }
    for (index, key) in config.auth.token_keys.iter().enumerate() {
        let path = ["auth".into(), "token_keys".into(), index.into()];
        if key.alg == TokenAlgorithm::Hs256 {
            if key.public_key_file.is_some() {
                findings.error(
                    &path,
                    "expected `secret` or `secret_file` for HS256, found a public key",
                );
            }
            match key.secret.as_ref().map(|secret| secret.expose_secret().len()) {
                None if key.secret_file.is_some() => {} // Its own error is there already.
                None | Some(0) => findings.error(
                    &path,
                    "expected `secret`, `secret_file` or TALKBRIDGE_TOKEN_SECRET for HS256",
                ),
                Some(length) if length < HS256_SECRET_MIN => findings.warning(
                    &path,
                    format!(
                        "the secret of an HS256 key should have {HS256_SECRET_MIN} octets or more (RFC 7518 section \
                         3.2), this one has {length}: it can be guessed from a token"
                    ),
                ),
                Some(_) => {}
            }
            continue;
        }
        if key.secret.is_some() || key.secret_file.is_some() {
            findings.error(
                &path,
                "expected `public_key_file` only, found a shared secret",
            );
        }
        match &key.public_key_file {
            None => findings.error(&path, "expected `public_key_file` for this algorithm"),
            Some(file) => {
                if let Err(why) = crate::token::read_public_key(key.alg, file) {
                    findings.error(&path, why);
                }
            }
        }
    }
}

fn limits(config: &Config, findings: &mut Findings<'_>) {
    let limits = &config.limits;
    let positive = [
        ("calls_per_agent", limits.calls_per_agent),
        ("calls", limits.calls),
        ("web_sockets", limits.web_sockets),
        (
            "http_connections_per_source",
            limits.http_connections_per_source,
        ),
        ("messages_per_s", limits.messages_per_s as usize),
        ("sip_connections", limits.sip_connections),
        ("media_wait_s", limits.media_wait_s as usize),
    ];
    for (key, value) in positive {
        if value == 0 {
            findings.error(&at(&["limits", key]), "expected 1 or more, found 0");
        }
    }
    for (key, value) in [
        ("media_busy_percent", limits.media_busy_percent),
        ("media_late_percent", limits.media_late_percent),
    ] {
        if value > 100 {
            let message = format!("expected 0 to 100, found {value}");
            findings.error(&at(&["limits", key]), message);
        }
    }
    let (agents, calls) = (config.agents.len(), at(&["limits", "calls"]));
    // Who has written the number has thought of it: not everybody talks at once.
    if agents > limits.calls && !findings.is_written(&calls) {
        let message = format!(
            "{agents} agents and {} calls in all unless `calls` is set: further ones are refused with 503; set it to as many as may talk at once",
            limits.calls
        );
        findings.warning(&calls, message);
    }
    let transactions = limits.sip_transactions;
    if !SIP_TRANSACTIONS.contains(&transactions) {
        let (least, most) = (SIP_TRANSACTIONS.start(), SIP_TRANSACTIONS.end());
        findings.error(
            &at(&["limits", "sip_transactions"]),
            format!("expected {least} to {most}, found {transactions}"),
        );
    }
}

fn agents(config: &Config, findings: &mut Findings<'_>) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, agent) in config.agents.iter().enumerate() {
        let path = ["agents".into(), index.into(), "dn".into()];
        let user = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,;?/#".contains(c);
        if agent.dn.is_empty() || agent.dn.len() > DN_MAX || !agent.dn.chars().all(user) {
            let message = format!(
                "expected a DN of 1 to {DN_MAX} characters that a SIP user may have, found `{}`",
                agent.dn.escape_debug()
            );
            findings.error(&path, message);
        }
        if first.insert(&agent.dn, index).is_some() {
            findings.error(
                &path,
                format!("expected each DN once, found `{}` again", agent.dn),
            );
        }
    }
}

pub(super) fn readable(file: &Path, path: &[&str], findings: &mut Findings<'_>) {
    if let Err(error) = std::fs::File::open(file) {
        let message = format!("expected a readable PEM file: {}: {error}", file.display());
        findings.error(&at(path), message);
    }
}

pub(super) fn at<'a>(path: &[&'a str]) -> Vec<Step<'a>> {
    path.iter().map(|key| Step::Key(key)).collect()
}
