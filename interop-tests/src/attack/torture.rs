//! Messages that broke others, as they were published, and the torture messages of the RFCs.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::streams::{asks, connect};
use super::{Dialog, crlf};
use crate::process::root;

/// The ports of the SIP side where media is sprayed: room for two calls, so that the one that is up has a pair of them.
pub const SPRAYED: &str = "16384-16387";

/// Where media is sprayed: those ports, even and odd, and the worker's port for browsers.
pub const MEDIA_PORTS: [u16; 5] = [16384, 16385, 16386, 16387, 40000];

/// Every file below `crates/sip/tests/data` with its name, and every advisory.
///
/// # Panics
/// When the files are not there.
pub fn all(gateway: SocketAddr) -> Vec<(String, Vec<u8>)> {
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
                let octets = std::fs::read(&path).expect("a file of the project");
                found.push((path.display().to_string(), octets));
            }
        }
    }
    assert!(
        found.len() >= 49,
        "RFC 4475 has 49 messages, found {}",
        found.len()
    );
    found.sort();
    found.extend(
        advisories(gateway)
            .into_iter()
            .map(|(name, octets)| (name.to_owned(), octets)),
    );
    found
}

/// Messages of published advisories against SIP servers, each named for what it broke.
pub fn advisories(gateway: SocketAddr) -> Vec<(&'static str, Vec<u8>)> {
    let request = |method: &str, lines: &str, body: &str| {
        crlf(&Dialog::between(gateway, gateway, "9999").request(method, lines, body))
    };
    let session = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\n";
    let sdp = |body: &str| {
        let whole = request("INVITE", "Content-Type: application/sdp\n", "");
        let body = crlf(body);
        let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        whole
            .replace("Content-Length: 0\r\n\r\n", &length)
            .into_bytes()
    };
    let long = "A".repeat(1728);
    let accepts = format!("Accept: {}\n", "A".repeat(100)).repeat(50);
    let tag = "a".repeat(264);
    let register = request("REGISTER", "", "");
    vec![
        ("ES2017-01: a CSeq method of 1,728 octets", request("OPTIONS", "", "").replace("CSeq: 1 OPTIONS", &format!("CSeq: 0 {long}")).into_bytes()),
        (
            "ES2017-02: multipart with line feeds only and a broken boundary",
            format!(
                "INVITE sip:9999@{gateway} SIP/2.0\nTo: <sip:9999@{gateway}>\nFrom: \"Alice, A,\" <sip:bob@example.com>;tag=1c1\n\
                 Call-ID: 1@x\nCSeq: 1 INVITE\nVia: SIP/2.0/UDP {gateway};branch=7c337f30d7ce.1\nContact: <sip:bob@{gateway}>\n\
                 content-type: multipart/mixed;`boundary=++\n\n--\n--++=AAA\nxxx\n--+"
            )
            .into_bytes(),
        ),
        (
            "the same with whole line ends",
            request("INVITE", "Content-Type: multipart/mixed;`boundary=++\n", "--\n--++=AAA\nxxx\n--+").into_bytes(),
        ),
        (
            "ES2018-01: 50 Accept headers",
            request("SUBSCRIBE", &format!("Event: message-summary\n{accepts}Allow: Allow: SUBSCRIBE, NOTIFY\n"), "").into_bytes(),
        ),
        ("ES2018-02: NUL in an fmtp line", sdp(&format!("{session}t=0 0\nm=audio 17002 RTP/AVP 0 101\na=fmtp\0:101 0-16"))),
        ("ES2018-03: a payload type of 2^32", sdp(&format!("{session}m=audio 17002 RTP/AVP 4294967296"))),
        ("ES2018-05: a From tag of 264 octets", register.replace(";tag=tag", &format!(";tag={tag}")).into_bytes()),
        ("ES2018-05: a branch of 264 octets", register.replace(";branch=z9hG4bK", &format!(";branch=z9hG4bK{tag}")).into_bytes()),
        ("ES2020-01: a space before the colon", request("INVITE", "X-Bypass-me : lol\nX-Genesys-CallUUID : x\n", "").into_bytes()),
        ("CVE-2021-33056: a slash for a URI", request("INVITE", "Diversion: /\n", "").replace("From: <", "From: / <").into_bytes()),
        ("a lone CRLF", b"\r\n".to_vec()),
        ("nothing but zeros", vec![0; 1400]),
        ("60,000 octets", request("OPTIONS", &format!("X: {}\n", "a".repeat(60_000)), "").into_bytes()),
    ]
}

/// Sends a message on a connection of its own, and finds talkbridge alive on another one.
///
/// # Panics
/// When it is not.
pub async fn over_tcp(from: IpAddr, gateway: SocketAddr, name: &str, message: &[u8]) {
    let refused = |error| panic!("at {name}: {error}");
    let mut torture = connect(from, gateway).await.unwrap_or_else(refused);
    // It may be closed before the last octet is written.
    drop(torture.write_all(message).await);
    let mut check = connect(from, gateway).await.unwrap_or_else(refused);
    let local = check
        .local_addr()
        .expect("a connected socket has an address");
    let answer = asks(&mut check, local, gateway, "TCP", name).await;
    assert_eq!(answer, *b"SIP/2.0 200", "after {name}");
}

/// What is sprayed on media ports: RTP at rest and in motion, a key, comfort noise, short RTCP, BYE, bad SRTP, a ClientHello of the published race, STUN.
pub fn media(nth: u64) -> Vec<u8> {
    let rtp = |payload_type: u8, moving: bool, octets: usize| {
        let (sequence, timestamp) = if moving {
            (nth as u16, nth as u32 * 160)
        } else {
            (60_988, 71_475_905)
        };
        let mut packet = vec![0x80, payload_type];
        packet.extend(sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(0xef0a_07de_u32.to_be_bytes());
        packet.resize(12 + octets, 0);
        packet
    };
    match nth % 10 {
        0 => rtp(0, false, 160),
        1 => rtp(0, true, 160),
        2 => rtp(101, true, 4),
        3 => rtp(13, true, 1),
        4 => vec![0x80, 0xc8, 0, 0],
        5 => vec![0x81, 0xc9, 0, 0],
        6 => vec![0x81, 0xcb, 0, 1, 0xc0, 0x57, 0x01, 0x73],
        7 => vec![
            0x80, 0, 0x70, 0x28, 0x09, 0xcd, 0x2d, 0x15, 0xfd, 0x3e, 0x5c, 0x86, 0x41,
        ],
        8 => client_hello(),
        _ => {
            let mut binding = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
            binding.extend([nth as u8; 12]);
            binding
        }
    }
}

/// Speech of a source that is somebody else's, as loud as mu-law can be, where that source is after `elapsed` of a call: 20 ms a packet, from number 1 and
/// timestamp 0 on, up to half a second ahead.
pub fn injected(ssrc: u32, elapsed: Duration, nth: u64) -> Vec<u8> {
    let at = elapsed.as_millis() as u64 / 20 + nth % 25;
    let mut packet = vec![0x80, 0];
    packet.extend((at as u16).wrapping_add(1).to_be_bytes());
    packet.extend((at as u32).wrapping_mul(160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.resize(12 + 160, 0);
    packet
}

/// What is sent under a browser's own address: bad SRTP without a tag and with a wrong one, bad SRTCP, a ClientHello, fatal and closing alerts,
/// STUN without a signature.
pub fn forged_browser(nth: u64) -> Vec<u8> {
    let alert = |description: u8| {
        let mut record = vec![0x15, 0xfe, 0xfd];
        record.extend(nth.to_be_bytes());
        record.extend([0, 2, 2, description]);
        record
    };
    match nth % 6 {
        0 => media(7),
        1 | 2 => forged_speech(nth),
        3 => {
            let mut packet = vec![0x80, 0xc8, 0, 6];
            packet.resize(28 + 14, 0xa5);
            packet
        }
        4 => client_hello(),
        _ => match nth % 12 {
            5 => alert(40),
            _ => alert(0),
        },
    }
}

/// The same with a cipher suite that could lead somewhere, each with a random of its own: what a browser could say.
pub fn plausible_hello(nth: u64) -> Vec<u8> {
    let mut hello = client_hello();
    hello[63..65].copy_from_slice(&[0xc0, 0x2b]);
    hello[27..35].copy_from_slice(&nth.to_be_bytes());
    hello
}

/// Speech of a browser whose tag no key fits, each packet with a number of its own.
pub fn forged_speech(nth: u64) -> Vec<u8> {
    let mut packet = media(1);
    packet[2..4].copy_from_slice(&(nth as u16).to_be_bytes());
    packet
}

/// The datagram of the published ClientHello race: one record, one cipher suite, the null one.
fn client_hello() -> Vec<u8> {
    const HEX: &str = "16feff0000000000000000007c010000700000000000000070fefd000000006e070956943556d8566c6ea9d9f65b20a0b538a3859f9685e3fff87e\
        0000000200000100004400170000ff01000100000a00080006001d00170018000b0002010000230000000d00140012040308040401050308050501080606010201\
        000e0009000600010008000700";
    let digits: Vec<u8> = HEX.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_hello_is_the_published_one() {
        assert_eq!(client_hello().len(), 137);
    }

    #[test]
    fn tags_and_branches_are_as_long_as_they_say() {
        let all = advisories(([127, 0, 0, 1], 5060).into());
        let long = |name: &str| {
            all.iter()
                .any(|(found, octets)| found.contains(name) && octets.len() > 500)
        };
        assert!(long("From tag") && long("branch"));
    }
}
