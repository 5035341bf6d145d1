//! The attacks by name. Each runs for as long as it is told to, at least once through, and panics when talkbridge does not hold.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::besieged::Besieged;
use super::flood::Flood;
use super::forged::{bad_srtp, forged_hellos};
use super::lossy::lossy_wire;
use super::scarce::scarce_memory;
use super::stalled;
use super::streams::{self, Tls};
use super::{Dialog, SipPeer, crlf, protos, torture};
use crate::Site;

/// What a siege comes to: a line of what was done.
pub type Done = Pin<Box<dyn Future<Output = String> + Send>>;

/// An attack that can go on for long.
#[derive(Clone, Copy)]
pub struct Siege {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// Runs it for a time.
    pub run: fn(Duration) -> Done,
}

/// All of them.
pub const ALL: [Siege; 14] = [
    Siege {
        name: "torture",
        meaning: "RFC 4475, RFC 5118 and the messages of advisories, over UDP, TCP and TLS",
        run: |length| Box::pin(torture(length)),
    },
    Siege {
        name: "protos",
        meaning: "broken INVITEs in the classes of PROTOS, a good call after each group",
        run: |length| Box::pin(broken_invites(length)),
    },
    Siege {
        name: "stranger-flood",
        meaning: "every method from twenty hosts that are no SIP Server",
        run: |length| Box::pin(stranger_flood(length)),
    },
    Siege {
        name: "server-flood",
        meaning: "every method under SIP Server's own address",
        run: |length| Box::pin(server_flood(length)),
    },
    Siege {
        name: "guess",
        meaning: "talk, BYE and re-INVITE with guessed tags in a call that is up",
        run: |length| Box::pin(guesses(length)),
    },
    Siege {
        name: "idle",
        meaning: "connections that say nothing, half a message, or an octet now and then",
        run: |length| Box::pin(idle(length)),
    },
    Siege {
        name: "half-hello",
        meaning: "TLS handshakes that stop halfway, more than there are places",
        run: |length| Box::pin(stalled::half_hellos(length)),
    },
    Siege {
        name: "sudden-close",
        meaning: "INVITEs over TLS, and the connection is closed at once",
        run: |length| Box::pin(streams::sudden_close(length)),
    },
    Siege {
        name: "one-call",
        meaning: "INVITEs of one call from a hundred connections that read nothing",
        run: |length| Box::pin(streams::one_call_from_everywhere(length)),
    },
    Siege {
        name: "scarce-memory",
        meaning: "large INVITEs, messages of pages that nobody knows and halves of messages, in a process that gets no memory beyond its own limits",
        run: |length| Box::pin(scarce_memory(length)),
    },
    Siege {
        name: "lossy-wire",
        meaning: "calls over a wire that loses SIP, between network namespaces (takes root)",
        run: |length| Box::pin(between_hosts(length, lossy_wire)),
    },
    Siege {
        name: "bad-srtp",
        meaning: "bad SRTP under a browser's own address, between network namespaces (takes root)",
        run: |length| Box::pin(between_hosts(length, bad_srtp)),
    },
    Siege {
        name: "forged-hellos",
        meaning: "ClientHellos under a browser's own address while agents sign in, between network namespaces (takes root)",
        run: |length| Box::pin(between_hosts(length, forged_hellos)),
    },
    Siege {
        name: "spray",
        meaning: "RTP, also of the caller's own source, short RTCP, bad SRTP and ClientHellos on every media port of a gateway with room for two calls",
        run: |length| Box::pin(spray(length)),
    },
];

/// Datagrams of a flood in a second, where the machine can send so many; half of it where nothing is optimized.
const FLOOD_PER_S: u64 = match cfg!(debug_assertions) {
    true => 25_000,
    false => 50_000,
};

/// Datagrams a second at each port of a spray.
const SPRAY_PER_S: u64 = 3_000;

/// The same of speech that is the caller's by its source: enough for each of its numbers to be guessed.
const INJECTED_PER_S: u64 = 500;

/// Twenty hosts of the attacker, and a port on each.
fn crowd(site: &crate::Site) -> Vec<SocketAddr> {
    (0..20)
        .map(|nth| SocketAddr::new(site.crowd(nth), 5060))
        .collect()
}

/// The methods of a flood, in turn, each with identifiers of its own; `nobody` is a DN that is not there.
fn any_request(from: SocketAddr, gateway: SocketAddr, nth: u64) -> Vec<u8> {
    const METHODS: [(&str, &str); 9] = [
        ("OPTIONS", ""),
        ("REGISTER", "Expires: 60\n"),
        ("SUBSCRIBE", "Event: presence\n"),
        ("NOTIFY", "Event: talk\n"),
        ("PUBLISH", "Event: presence\n"),
        ("MESSAGE", "Content-Type: text/plain\n"),
        ("INVITE", "Content-Type: application/sdp\n"),
        ("BYE", ""),
        ("REFER", "Refer-To: <sip:2000@192.0.2.1>\n"),
    ];
    let (method, lines) = METHODS[nth as usize % METHODS.len()];
    let mut call = Dialog::between(from, gateway, "9999");
    crlf(&call.request(method, lines, "")).into_bytes()
}

async fn torture(length: Duration) -> String {
    let mut tls = None;
    let mut besieged = Besieged::start_at(Site::new(), |site, config| {
        tls = Some(Tls::listen(site, config));
    })
    .await;
    let tls = tls.expect("it was configured above");
    let site = &besieged.desk.site;
    let gateway = site.gateway_sip();
    let peer = SipPeer::start(site, site.sip_server(), 5098).await;
    let messages = torture::all(gateway);
    let until = Instant::now() + length;
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < until {
        for (name, message) in &messages {
            peer.send(message).await;
            peer.finds_it_alive(name).await;
            torture::over_tcp(site.sip_server(), gateway, name, message).await;
            tls.tortures(site.sip_server(), name, message).await;
        }
        rounds += 1;
    }
    let grown = besieged.has_grown_at_most(64);
    besieged.is_heard().await;
    besieged.ends().await;
    format!(
        "{} messages, {rounds} times, over UDP, TCP and TLS; grown by {grown} MiB",
        messages.len()
    )
}

async fn broken_invites(length: Duration) -> String {
    let mut besieged = Besieged::start().await;
    let site = &besieged.desk.site;
    let peer = SipPeer::start(site, site.sip_server(), 5098).await;
    let identity = Dialog::new(&peer, "1002");
    let until = Instant::now() + length;
    let (mut sent, mut group) = (0, 0);
    while group < protos::GROUPS || Instant::now() < until {
        let (name, messages) = protos::group(group, &identity);
        for message in &messages {
            peer.send(message).await;
            sent += 1;
        }
        peer.finds_it_alive(name).await;
        // A good call in between, as the suite has it. Some of the broken ones may be good enough to ring: they are given up.
        let mut call = peer.tries("1002", "", besieged.media()).await;
        for _ in 0..20 {
            if call.is_ok() {
                break;
            }
            besieged.desk.page.hang_up_all_but_first().await;
            call = peer.tries("1002", "", besieged.media()).await;
        }
        let call = call.unwrap_or_else(|refusal| panic!("{refusal} after {name}"));
        peer.gives_up(&call).await;
        group += 1;
    }
    let grown = besieged.has_grown_at_most(96);
    besieged.is_heard().await;
    besieged.ends().await;
    format!("{sent} broken INVITEs in {group} groups; grown by {grown} MiB")
}

async fn stranger_flood(length: Duration) -> String {
    let mut besieged = Besieged::start_among_others().await;
    let site = &besieged.desk.site;
    let gateway = site.gateway_sip();
    let flood = Flood::start(gateway, crowd(site), FLOOD_PER_S, move |from, nth| {
        any_request(from, gateway, nth)
    });
    let done = endure(&mut besieged, &flood, length, 64).await;
    assert_eq!(flood.came_back(), 0, "strangers hear nothing");
    drop(flood);
    besieged.ends().await;
    format!("requests from 20 hosts: {done}")
}

async fn server_flood(length: Duration) -> String {
    let mut besieged = Besieged::start_among_others().await;
    let site = &besieged.desk.site;
    let (gateway, forged) = (site.gateway_sip(), SocketAddr::new(site.sip_server(), 5099));
    let flood = Flood::start(gateway, [forged], FLOOD_PER_S, move |from, nth| {
        any_request(from, gateway, nth)
    });
    let done = endure(&mut besieged, &flood, length, 384).await;
    drop(flood);
    besieged.is_driven().await;
    besieged.ends().await;
    format!("requests under SIP Server's address: {done}")
}

/// While it lasts: the calls are heard, one is driven, another agent signs in and is registered, every registration that is due is refreshed before it
/// ends, memory stays within `most_mib`. A line of how much it was.
async fn endure(besieged: &mut Besieged, flood: &Flood, length: Duration, most_mib: u64) -> String {
    let until = Instant::now() + length;
    let (mut grown, mut agent) = (0, None);
    while agent.is_none()
        || flood.sent() < 5_000
        || !besieged.has_refreshed()
        || Instant::now() < until
    {
        besieged.is_heard().await;
        besieged.is_driven().await;
        if agent.is_none() {
            agent = Some(besieged.admits_another_agent().await);
        }
        grown = besieged.has_grown_at_most(most_mib);
        besieged.is_still_registered();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    format!(
        "{sent}, {rate} a second, beside {calls} calls; grown by {grown} MiB",
        sent = flood.sent(),
        rate = flood.rate_per_s(),
        calls = besieged.calls(),
    )
}

async fn guesses(length: Duration) -> String {
    let mut besieged = Besieged::start().await;
    let site = &besieged.desk.site;
    let (gateway, media) = (site.gateway_sip(), SocketAddr::new(site.stranger(), 20_000));
    let real = besieged.call();
    let flood = Flood::start(
        gateway,
        [SocketAddr::new(site.sip_server(), 5099)],
        FLOOD_PER_S,
        move |from, nth| {
            let mut guess = Dialog {
                us: from,
                to_tag: Some(format!("{nth:x}")),
                cseq: 100,
                ..real.clone()
            };
            let forged = match nth % 4 {
                0 => guess.request("NOTIFY", "Event: hold\n", ""),
                1 => guess.request("BYE", "", ""),
                2 => guess.invite("", media),
                _ => guess.ack_with_answer(1, media),
            };
            crlf(&forged).into_bytes()
        },
    );
    let done = endure(&mut besieged, &flood, length, 256).await;
    drop(flood);
    besieged.ends().await;
    format!("guesses: {done}")
}

/// Runs a siege that has a runtime of its own.
async fn between_hosts(length: Duration, siege: fn(Duration) -> String) -> String {
    let done = tokio::task::spawn_blocking(move || siege(length)).await;
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// How many connections of each kind.
const IDLERS: usize = 300;

async fn idle(length: Duration) -> String {
    let mut besieged = Besieged::start_with(|config| {
        config["limits"] =
            serde_json::json!({"http_connections_per_source": 100, "sip_connections": 64});
    })
    .await;
    let site = &besieged.desk.site;
    let (sip, agents) = (site.gateway_sip(), besieged.desk.gateway.agents());
    let admin = besieged.desk.gateway.admin();
    let mut open = Vec::new();
    for nth in 0..IDLERS {
        for (from, to, said) in [
            (site.stranger(), sip, &b""[..]),
            (site.sip_server(), sip, b"OPTIONS sip:1002@"),
            (site.stranger(), agents, b"GET /agent/v1 HTTP/1.1\r\nHost:"),
            (site.stranger(), admin, b""),
        ] {
            let Ok(mut stream) = streams::connect(from, to).await else {
                continue;
            };
            if nth % 2 == 0 {
                drop(stream.write_all(said).await);
            }
            open.push(stream);
        }
    }
    let connections = open.len();
    besieged.is_heard().await;
    besieged.is_driven().await;
    let another = besieged.admits_another_agent().await;
    let grown = besieged.has_grown_at_most(64);
    // Silence and halves are closed within 30 s; a short run does not wait for that.
    if length >= Duration::from_secs(30) {
        let closed = async {
            for stream in &mut open {
                let mut buffer = [0; 64];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(40), closed).await;
        assert!(in_time.is_ok(), "idle connections stay open");
    }
    drop((open, another));
    besieged.is_heard().await;
    besieged.ends().await;
    format!("{connections} connections; grown by {grown} MiB")
}

async fn spray(length: Duration) -> String {
    let mut besieged = Besieged::start_with(|config| {
        config["media"]["ports"] = torture::SPRAYED.into();
    })
    .await;
    let site = &besieged.desk.site;
    let gateway = site.gateway();
    let dropped = "talkbridge_rtp_wrong_source_total";
    let before = besieged.desk.gateway.metric(dropped, "").await;
    let mut floods = Vec::new();
    for port in torture::MEDIA_PORTS {
        let target = SocketAddr::new(gateway, port);
        let from = SocketAddr::new(site.stranger(), port);
        floods.push(Flood::start(target, [from], SPRAY_PER_S, |_, nth| {
            torture::media(nth)
        }));
    }
    let (ssrc, began) = (besieged.desk.customer.ssrc(), Instant::now());
    for port in [16_384, 16_386] {
        let target = SocketAddr::new(gateway, port);
        let from = SocketAddr::new(site.stranger(), port + 1_000);
        floods.push(Flood::start(
            target,
            [from],
            INJECTED_PER_S,
            move |_, nth| torture::injected(ssrc, began.elapsed(), nth),
        ));
    }
    let sent = |floods: &[Flood]| floods.iter().map(Flood::sent).sum::<u64>();
    let until = Instant::now() + length;
    let mut agent = None;
    while agent.is_none() || sent(&floods) < 5_000 || Instant::now() < until {
        besieged.is_heard().await;
        if agent.is_none() {
            // The window of the DTLS race: an agent who connects meanwhile.
            agent = Some(besieged.admits_another_agent().await);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let bled: usize = floods.iter().map(Flood::came_back).sum();
    assert_eq!(bled, 0, "datagrams came back to who sprayed");
    let desk = &besieged.desk;
    assert!(
        desk.page.state().ear.heard_tones_only(),
        "the agent heard it"
    );
    assert!(desk.customer.heard().ear.heard_tones_only());
    let counted = desk.gateway.metric(dropped, "").await - before;
    assert!(counted > 1_000.0, "{counted} reached the call's own ports");
    let grown = besieged.has_grown_at_most(64);
    let count = sent(&floods);
    drop(floods);
    besieged.ends().await;
    format!(
        "{count} datagrams on {} ports, {counted} at the call's own; grown by {grown} MiB",
        torture::MEDIA_PORTS.len()
    )
}
