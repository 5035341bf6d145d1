//! Broken INVITEs by the thousand, in the classes of the PROTOS suite for SIP: a part of a good INVITE, and what is put in its place.

use super::Dialog;
use super::dialog::description;

/// A part of the INVITE and what stands there, as a template: `{}` is where the anomaly goes.
const PARTS: [(&str, &str, &str); 34] = [
    ("method", "INVITE sip:", "{} sip:"),
    ("scheme", "INVITE sip:", "INVITE {}:"),
    ("user", "INVITE sip:1002@", "INVITE sip:{}@"),
    ("host", "INVITE sip:1002@HOST", "INVITE sip:1002@{}"),
    ("port", "HOST SIP/2.0", "127.0.0.1:{} SIP/2.0"),
    ("uri parameter", "HOST SIP/2.0", "HOST;transport={} SIP/2.0"),
    ("uri header", "HOST SIP/2.0", "HOST?Subject={} SIP/2.0"),
    ("version", "HOST SIP/2.0", "HOST {}"),
    ("via version", "Via: SIP/2.0/UDP", "Via: {}/UDP"),
    ("via transport", "Via: SIP/2.0/UDP", "Via: SIP/2.0/{}"),
    ("via host", "UDP PEER;", "UDP {};"),
    ("via port", "UDP PEER;", "UDP 127.0.0.1:{};"),
    ("via parameter", ";branch=", ";{};branch="),
    ("via ttl", ";branch=", ";ttl={};branch="),
    ("via maddr", ";branch=", ";maddr={};branch="),
    ("via received", ";branch=", ";received={};branch="),
    ("branch", ";branch=", ";branch={}"),
    ("from display", "From: <", "From: \"{}\" <"),
    ("from uri", "From: <sip:1003@PEER>", "From: <{}>"),
    ("from tag", ";tag=", ";tag={}"),
    ("to display", "To: <", "To: {} <"),
    ("to uri", "To: <sip:1002@HOST>", "To: <{}>"),
    ("call-id", "Call-ID: ", "Call-ID: {}"),
    ("cseq number", "CSeq: 1", "CSeq: {}"),
    ("cseq method", "CSeq: 1 INVITE", "CSeq: 1 {}"),
    ("contact", "Contact: <sip:1003@PEER>", "Contact: {}"),
    (
        "contact parameter",
        "Contact: <sip:1003@PEER>",
        "Contact: <sip:1003@PEER>;{}",
    ),
    ("max-forwards", "Max-Forwards: 70", "Max-Forwards: {}"),
    ("content-type", "application/sdp", "{}"),
    ("content-length", "Content-Length: ", "Content-Length: {}"),
    (
        "a header's value",
        "Max-Forwards: 70",
        "Max-Forwards: 70\nX-Genesys-CallUUID: {}",
    ),
    (
        "a header's name",
        "Max-Forwards: 70",
        "Max-Forwards: 70\n{}: x",
    ),
    (
        "session timer",
        "Max-Forwards: 70",
        "Max-Forwards: 70\nSession-Expires: {}\nMin-SE: {}",
    ),
    ("sdp", "m=audio", "a={}\nc=IN IP4 {}\nm={}"),
];

/// Format strings, numbers at the edges, odd addresses, broken punctuation.
const TEXTS: &[&str] = &[
    "",
    "%s%s%s%s%s%s%s%s",
    "%n%n%n%n",
    "%.999999d",
    "%x%x%x%x",
    "-1",
    "0",
    "00000000000000000001",
    "255",
    "256",
    "65535",
    "65536",
    "65537",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "1e9",
    "0x10",
    "+1",
    "-0",
    "1.5",
    "127.0.0.1.1",
    "999.999.999.999",
    "127.0.0.1 ",
    "0.0.0.0",
    "255.255.255.255",
    "127.1",
    "0177.0.0.1",
    "[::1]",
    "[::",
    "::1",
    "[::ffff:127.0.0.1]",
    "[fe80::1%lo]",
    "a:a:a",
    "@",
    "@@",
    "sip:",
    "sip:@",
    "sip:sip:sip:",
    "<",
    ">",
    "<>",
    "<<<<>>>>",
    "\"",
    "\"\"",
    "\"\\\"",
    ";",
    ";;",
    "=",
    ";=",
    ";tag",
    ",",
    ",,,",
    "?",
    "&",
    "#",
    "\t",
    " \t ",
    "%",
    "%0",
    "%00",
    "%zz",
    "%0d%0a",
    "\r",
    "\r\n",
    "\r\n\r\n",
    "\r\n ",
    "SIP/2.0",
    "SIP/9.99",
    "SIP/2.0.0",
    "SIP/-1.0",
    "UDP",
    "INVITE",
    "\u{e9}\u{20ac}\u{1f600}",
    "\u{202e}",
    "(((((((((())))))))))",
    "a(b(c)d)e",
    "multipart/mixed;boundary=",
    "application/sdp;;;",
    "*",
    "*;expires=0",
];

/// NUL, and UTF-8 that is none: overlong, surrogate, cut off.
const OCTETS: &[&[u8]] = &[
    b"\0",
    b"a\0b",
    b"\0\0\0\0\0\0\0\0",
    b"\xc0\xaf",
    b"\xc0\x80",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xff\xfe",
    b"\xe2\x82",
    b"\x80",
    b"\x1b[2J",
    b"\x7f",
];

/// What is put there, by class.
fn anomalies() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    // 2^n of one character, around the sizes of buffers.
    for octet in [b'a', b'0', b' ', b'(', b'"', b'\\', b'%', 0xff] {
        for power in [0, 4, 7, 8, 10, 12, 14] {
            for around in [0, 1] {
                all.push(vec![octet; (1 << power) + around]);
            }
        }
    }
    all.extend(TEXTS.iter().map(|text| text.as_bytes().to_vec()));
    for octets in OCTETS {
        all.push(octets.to_vec());
    }
    all
}

/// How many groups there are: one for each part.
pub const GROUPS: usize = PARTS.len();

/// The broken messages of one group and its name. `call` gives addresses; each message has identifiers of its own.
pub fn group(nth: usize, call: &Dialog) -> (&'static str, Vec<Vec<u8>>) {
    let (name, good, broken) = PARTS[nth % GROUPS];
    let messages = anomalies()
        .into_iter()
        .map(|anomaly| {
            let mut call = Dialog::between(call.us, call.gateway, "1002");
            let invite = call.request(
                "INVITE",
                "Content-Type: application/sdp\n",
                &description(call.us),
            );
            let (host, peer) = (call.gateway.to_string(), call.us.to_string());
            let fill = |template: &str| template.replace("HOST", &host).replace("PEER", &peer);
            broken_at(&invite, &fill(good), &fill(broken), &anomaly)
        })
        .collect();
    (name, messages)
}

fn broken_at(invite: &str, good: &str, broken: &str, anomaly: &[u8]) -> Vec<u8> {
    let at = invite
        .find(good)
        .unwrap_or_else(|| panic!("{good:?} is in every INVITE"));
    let crlf = |text: &str| super::crlf(text).into_bytes();
    let mut message = crlf(&invite[..at]);
    for (nth, piece) in broken.split("{}").enumerate() {
        if nth > 0 {
            message.extend_from_slice(anomaly);
        }
        message.extend(crlf(piece));
    }
    message.extend(crlf(&invite[at + good.len()..]));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_broken_in_every_way() {
        let call = Dialog::between(
            ([127, 0, 0, 2], 5060).into(),
            ([127, 0, 0, 1], 5060).into(),
            "1002",
        );
        let mut all = 0;
        for nth in 0..GROUPS {
            let (name, messages) = group(nth, &call);
            all += messages.len();
            let holds = messages
                .iter()
                .filter(|message| message.windows(8).any(|text| text == b"%n%n%n%n"));
            assert!(holds.count() > 0, "{name}");
        }
        // PROTOS has 4,527 cases.
        assert!(all > 4_527, "{all}");
    }
}
