//! The messages of RFC 4475, and those that broke others: after each, the gateway still answers.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use interop_tests::process::root;
use interop_tests::{Desk, Site};

/// Sends OPTIONS from SIP Server's address until it is answered; datagrams of the torture may fill
/// the same socket.
fn alive(socket: &UdpSocket, gateway: SocketAddr, nth: usize) -> bool {
    let us = socket.local_addr().expect("a bound socket has an address");
    let options = format!(
        "OPTIONS sip:1002@{gateway} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKalive{nth}\r\n\
         From: <sip:check@{us}>;tag=alive\r\nTo: <sip:1002@{gateway}>\r\nCall-ID: alive-{nth}@{us}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    let mut buffer = [0; 65_536];
    for _ in 0..10 {
        socket
            .send_to(options.as_bytes(), gateway)
            .expect("loopback takes it");
        while let Ok((size, _)) = socket.recv_from(&mut buffer) {
            let answer = String::from_utf8_lossy(&buffer[..size]).into_owned();
            if answer.contains(&format!("alive-{nth}@")) {
                return answer.starts_with("SIP/2.0 200");
            }
        }
    }
    false
}

fn checker(site: &Site) -> UdpSocket {
    let socket = UdpSocket::bind((site.sip_server(), 5099)).expect("the port is ours");
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout can be set");
    socket
}

/// Every file below `crates/sip/tests/data`, sorted.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates/sip/tests/data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .expect("the data of the sip crate")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|kind| kind == "dat" || kind == "sip")
            {
                found.push((
                    path.display().to_string(),
                    std::fs::read(&path).expect("a file"),
                ));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn the_gateway_answers_after_every_torture_message() {
    let desk = Desk::start().await;
    let gateway = desk.site.gateway_sip();
    let (torture, check) = (
        checker(&desk.site),
        UdpSocket::bind((desk.site.sip_server(), 5098)),
    );
    let check = check.expect("the port is ours");
    check
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout can be set");
    let files = files();
    assert!(
        files.len() >= 49,
        "RFC 4475 has 49 messages, found {}",
        files.len()
    );
    for (nth, (name, message)) in files.iter().enumerate() {
        torture
            .send_to(message, gateway)
            .expect("loopback takes it");
        assert!(alive(&check, gateway, nth), "no answer after {name}");
    }
    assert!(desk.page.connected() && desk.page.state().closed.is_none());
    // The DN of the page is not among the messages' targets: nothing rang.
    assert!(desk.page.call().is_null(), "{}", desk.page.call());
}

#[tokio::test]
async fn the_gateway_answers_after_what_broke_others() {
    let desk = Desk::start().await;
    let gateway = desk.site.gateway_sip();
    let (torture, check) = (
        checker(&desk.site),
        UdpSocket::bind((desk.site.sip_server(), 5098)),
    );
    let check = check.expect("the port is ours");
    check
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout can be set");
    for (nth, (name, message)) in advisories(gateway).into_iter().enumerate() {
        torture
            .send_to(&message, gateway)
            .expect("loopback takes it");
        assert!(alive(&check, gateway, nth), "no answer after {name}");
    }
    assert!(desk.page.call().is_null(), "{}", desk.page.call());
}

/// Datagrams of published advisories against SIP servers, each named for what it broke.
fn advisories(gateway: SocketAddr) -> Vec<(&'static str, Vec<u8>)> {
    let head = |method: &str, nth: u32| {
        format!(
            "{method} sip:1002@{gateway} SIP/2.0\r\nVia: SIP/2.0/UDP {gateway};branch=z9hG4bKadv{nth}\r\n\
             From: <sip:x@x.invalid>;tag=adv{nth}\r\nTo: <sip:1002@{gateway}>\r\nCall-ID: adv-{nth}\r\n\
             Max-Forwards: 70\r\n"
        )
    };
    let sdp = |nth: u32, body: &str| {
        let length = body.len();
        format!(
            "{}CSeq: 1 INVITE\r\nContact: <sip:x@{gateway}>\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}",
            head("INVITE", nth)
        )
        .into_bytes()
    };
    let session = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
    let accepts = format!("Accept: {}\r\n", "A".repeat(100)).repeat(50);
    vec![
        (
            "a CSeq method of 1,728 octets",
            format!("{}CSeq: 0 {}\r\n\r\n", head("OPTIONS", 1), "A".repeat(1728)).into_bytes(),
        ),
        (
            "a multipart body with LF only and a broken boundary",
            head("INVITE", 2).replace("\r\n", "\n").into_bytes().into_iter().chain(
                *b"CSeq: 1 INVITE\ncontent-type: multipart/mixed;`boundary=++\n\n--\n--++=AAA\nxxx\n--+",
            ).collect(),
        ),
        (
            "50 Accept headers",
            format!(
                "{}CSeq: 1 SUBSCRIBE\r\nEvent: message-summary\r\n{accepts}Allow: Allow: SUBSCRIBE\r\nContent-Length: 0\r\n\r\n",
                head("SUBSCRIBE", 3)
            )
            .into_bytes(),
        ),
        (
            "NUL in an fmtp line",
            sdp(4, &format!("{session}m=audio 17002 RTP/AVP 0 101\r\na=fmtp\0:101 0-16")),
        ),
        (
            "a payload type of 2^32",
            sdp(5, "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nm=audio 17002 RTP/AVP 4294967296"),
        ),
        (
            "a From tag of 264 octets",
            format!(
                "{}CSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n",
                head("REGISTER", 6).replace("tag=adv6", &format!("tag={}", "a".repeat(264)))
            )
            .into_bytes(),
        ),
        (
            "a header name with a space before its colon",
            format!(
                "{}CSeq: 1 INVITE\r\nX-Genesys-CallUUID : x\r\nX-Bypass-me : lol\r\nContent-Length: 0\r\n\r\n",
                head("OPTIONS", 7).replace("CSeq: 1 INVITE", "CSeq: 1 OPTIONS")
            )
            .into_bytes(),
        ),
        ("a lone CRLF", b"\r\n".to_vec()),
        ("nothing but zeros", vec![0; 1400]),
        ("a datagram of 60,000 octets", format!("{}X: {}\r\n\r\n", head("OPTIONS", 8), "a".repeat(60_000)).into_bytes()),
    ]
}
