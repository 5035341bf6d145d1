//! Little memory: everything that strangers and SIP Server's address can make talkbridge hold is held at once, and it gets no more than that.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::besieged::Besieged;
use super::flood::Flood;
use super::streams::connect;
use super::{Dialog, crlf, description};
use crate::load::vitals;

/// What the process may take beyond what it has with one call, MiB: what its limits let SIP, pages and streams hold together in this configuration, and room
/// between the pieces. One octet more is not to be had, and a program that asks for it in vain is aborted.
const ROOM_MIB: u64 = 192;

/// Large INVITEs a second.
const INVITES_PER_S: u64 = match cfg!(debug_assertions) {
    true => 1_000,
    false => 3_000,
};

/// WebSockets whose pages say more than they may before anybody knows them.
const WEB_SOCKETS: usize = 300;

/// The largest message of a page that is read at all, octets.
const PAGE_MESSAGE: usize = 255 * 1024;

/// SIP streams that the configuration has room for, each with as much of a message as there can be.
const STREAMS: usize = 60;

/// A round trip that makes transactions end within seconds of the flood, ms.
const T1_MS: u64 = 300;

/// Longer than the last of the flood's transactions lives, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// As long as it is told to, and until new calls are refused for want of room: the call goes on, and calls are taken again afterwards.
///
/// # Panics
/// When that is not so.
pub(super) async fn scarce_memory(length: Duration) -> String {
    let mut besieged = Besieged::start_with(|config| {
        config["limits"]["sip_connections"] = STREAMS.into();
        config["sip"]["timers"] = json!({"t1_ms": T1_MS});
    })
    .await;
    let another = besieged.admits_another_agent().await;
    let pid = besieged.desk.gateway.process().pid().expect("it runs");
    gets_no_more_than(pid, ROOM_MIB);
    let flood = large_invites(&besieged);
    let until = Instant::now() + length;
    let (mut refused, mut web_sockets, mut grown) = (0, 0, 0);
    while refused == 0 || Instant::now() < until {
        let streams = halves(&besieged).await;
        let pages = unknown_pages(&besieged).await;
        web_sockets += pages.len();
        besieged.is_heard().await;
        besieged.is_driven().await;
        let call = besieged.server.tries("1003", "", besieged.media()).await;
        match call {
            Ok(call) => besieged.server.gives_up(&call).await,
            Err(status) => {
                assert_eq!(status, 503);
                refused += 1;
            }
        }
        grown = besieged.has_grown_at_most(ROOM_MIB);
        drop((streams, pages));
    }
    let sent = flood.sent();
    drop(flood);
    let until = Instant::now() + PATIENCE;
    let call = loop {
        match besieged.server.tries("1003", "", besieged.media()).await {
            Ok(call) => break call,
            Err(status) => assert_eq!((status, Instant::now() < until), (503, true)),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    besieged.server.gives_up(&call).await;
    besieged.is_heard().await;
    drop(another);
    besieged.ends().await;
    format!(
        "{sent} large INVITEs, {web_sockets} WebSockets and {STREAMS} streams at a time in {ROOM_MIB} MiB, new calls refused {refused} times; grown by {grown} MiB"
    )
}

/// From now on the process has so much memory to write to beyond what it has, and none when it asks for more.
fn gets_no_more_than(pid: u32, room_mib: u64) {
    let data = vitals::status_kib(pid, "VmData").expect("it runs") * 1024;
    let limit = Some(data + room_mib * 1024 * 1024);
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let bound = prlimit(pid, Resource::Data, limit);
    bound.expect("a process of ours may be bound");
}

/// INVITEs of 57 KiB under SIP Server's address, each a new call: to nobody, and to an agent who has one. What they are answered with has 43 KiB of them.
fn large_invites(besieged: &Besieged) -> Flood {
    let site = &besieged.desk.site;
    let (gateway, from) = (site.gateway_sip(), SocketAddr::new(site.sip_server(), 5099));
    let via = format!(
        "Via: SIP/2.0/UDP {from};branch=z9hG4bK{}\n",
        "x".repeat(900)
    );
    let mut body = description(besieged.media());
    while body.len() < 14 * 1024 {
        body += &format!("a=x-note:{}\n", "x".repeat(1_000));
    }
    let body = crlf(&body);
    let lines = crlf(&format!(
        "Content-Type: application/sdp\n{}Content-Length: {}\n\n",
        via.repeat(45),
        body.len()
    ));
    // Made once: a thousand a second are more than a debug build writes letter by letter.
    let large = (lines + &body).into_bytes();
    Flood::start(gateway, [from], INVITES_PER_S, move |from, nth| {
        let dn = ["9999", "1002"][nth as usize % 2];
        let invite = crlf(&Dialog::between(from, gateway, dn).request("INVITE", "", ""));
        let head = invite.trim_end_matches("Content-Length: 0\r\n\r\n");
        [head.as_bytes(), &large].concat()
    })
}

/// Streams of SIP Server, each with a message of which the last octet does not come.
async fn halves(besieged: &Besieged) -> Vec<TcpStream> {
    let site = &besieged.desk.site;
    let body = "x".repeat(48 * 1024);
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        let Ok(mut stream) = connect(site.sip_server(), site.gateway_sip()).await else {
            continue;
        };
        let local = stream.local_addr().expect("it is connected");
        let whole =
            Dialog::between(local, site.gateway_sip(), "1002").request("MESSAGE", "", &body);
        // It is closed where there is no place.
        drop(
            stream
                .write_all(&crlf(&whole).as_bytes()[..whole.len()])
                .await,
        );
        open.push(stream);
    }
    open
}

/// WebSockets of somebody who never says hello, each with all of the largest message but its last octet, as far as they take it.
async fn unknown_pages(besieged: &Besieged) -> Vec<TcpStream> {
    let agents = besieged.desk.gateway.agents();
    let upgrade = format!(
        "GET /agent/v1 HTTP/1.1\r\nHost: {agents}\r\nOrigin: http://{agents}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    // A text of 64 bits' length, masked with zeros (RFC 6455 section 5.2).
    let mut frame = vec![0x81, 0xff];
    frame.extend_from_slice(&(PAGE_MESSAGE as u64).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.resize(frame.len() + PAGE_MESSAGE - 1, b' ');
    let mut open = Vec::new();
    for _ in 0..WEB_SOCKETS {
        let Ok(mut stream) = connect(besieged.desk.site.stranger(), agents).await else {
            continue;
        };
        drop(stream.write_all(upgrade.as_bytes()).await);
        let mut answer = [0; 12];
        let upgraded = stream.read_exact(&mut answer).await;
        assert!(upgraded.is_ok() && answer == *b"HTTP/1.1 101");
        // More than is taken does not leave.
        drop(stream.try_write(&frame));
        open.push(stream);
    }
    open
}
