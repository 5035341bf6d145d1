//! Messages of published advisories, octet for octet as they attack: each is read or refused, none
//! is misread, and a good message is read afterwards.
#![allow(clippy::unwrap_used)]

use sip::{HeaderName, Message, Method, ParseFault, Request, StreamFramer, limits, wire::Frame};

/// A request with these lines behind the ones that every request needs.
fn with(method: &str, more: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} sip:1002@192.0.2.10 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 203.0.113.66:5060;branch=z9hG4bKa\r\n\
         From: <sip:a@203.0.113.66>;tag=1\r\nTo: <sip:1002@192.0.2.10>\r\n\
         Call-ID: c\r\nCSeq: 1 {method}\r\n{more}\r\n{body}"
    )
    .into_bytes()
}

fn read(octets: &[u8]) -> Request {
    match Message::parse(octets) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn refused(octets: &[u8]) -> (ParseFault, Option<u16>) {
    let error = Message::parse(octets).unwrap_err();
    (
        error.fault().clone(),
        error.reply().map(|reply| reply.status.as_u16()),
    )
}

#[test]
fn a_cseq_method_of_1728_octets() {
    let long = "A".repeat(1728);
    let octets = with("OPTIONS", "", "");
    let octets = String::from_utf8(octets)
        .unwrap()
        .replace("CSeq: 1 OPTIONS", &format!("CSeq: 0 {long}"));
    assert_eq!(refused(octets.as_bytes()).1, Some(400));
}

/// Line feeds alone are no line ends: nothing of it is a header, so nothing is answered.
#[test]
fn multipart_with_line_feeds_only() {
    let octets = b"INVITE sip:1002@192.0.2.10 SIP/2.0\nTo: <sip:1002@192.0.2.10>\n\
        From: \"Alice, A,\" <sip:bob@example.com>;tag=1c1\nCall-ID: 1\nCSeq: 1 INVITE\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=7c337f30d7ce.1\ncontent-type: multipart/mixed;`boundary=++\n\n\
        --\n--++=AAA\nxxx\n--+";
    assert_eq!(refused(octets), (ParseFault::StartLine, None));
    let crlf = String::from_utf8(octets.to_vec())
        .unwrap()
        .replace('\n', "\r\n");
    let invite = read(crlf.as_bytes());
    assert_eq!(sip::body::sdp(&invite.headers, &invite.body), None);
    assert_eq!(
        invite.headers.from().unwrap().display.unwrap(),
        b"Alice, A,"
    );
}

#[test]
fn fifty_accept_lines_and_a_header_in_a_header() {
    let accept = format!("Accept: {}\r\n", "A".repeat(100)).repeat(50);
    let octets = with(
        "SUBSCRIBE",
        &format!("Event: message-summary\r\nAllow: Allow: SUBSCRIBE, NOTIFY\r\n{accept}"),
        "",
    );
    let request = read(&octets);
    assert_eq!(request.headers.lines(&HeaderName::ACCEPT).count(), 50);
    assert_eq!(request.headers.allow(), [Method::Notify]);
}

/// A space before the colon must not hide a header from whoever looks for it.
#[test]
fn a_space_before_the_colon_hides_nothing() {
    let octets = with(
        "INVITE",
        "X-Bypass-me : lol\r\nX-Genesys-CallUUID\t: x\r\nX-A:\r\n  b\r\n",
        "",
    );
    let invite = read(&octets);
    assert_eq!(
        invite
            .headers
            .get(&HeaderName::other("X-Bypass-me"))
            .unwrap(),
        b"lol"
    );
    assert_eq!(
        invite
            .headers
            .get(&HeaderName::X_GENESYS_CALL_UUID)
            .unwrap(),
        b"x"
    );
    assert_eq!(invite.headers.get(&HeaderName::other("X-A")).unwrap(), b"b");
    assert!(invite.to_bytes() == octets);
    let mut doubled = invite;
    assert!(doubled.headers.remove(&HeaderName::other("x-bypass-ME")));
    assert!(!doubled.to_bytes().windows(6).any(|text| text == b"Bypass"));
}

#[test]
fn identifiers_have_a_length() {
    let tag = |length: usize| {
        let octets = String::from_utf8(with("REGISTER", "", "")).unwrap();
        octets.replace("tag=1", &format!("tag={}", "t".repeat(length)))
    };
    assert!(Message::parse(tag(264).as_bytes()).is_ok());
    assert_eq!(
        refused(tag(limits::IDENTIFIER_BYTES_MAX + 1).as_bytes()).1,
        Some(400)
    );
    let branch = String::from_utf8(with("REGISTER", "", "")).unwrap();
    let branch = branch.replace("z9hG4bKa", &format!("z9hG4bK{}", "b".repeat(2000)));
    assert_eq!(refused(branch.as_bytes()).1, Some(400));
}

/// Two parsers that take another one of two lengths read different messages from one stream.
#[test]
fn two_lengths_are_refused_even_when_equal() {
    for more in [
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nl: 4\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 3 \r\n\t3\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551619\r\n",
    ] {
        assert_eq!(refused(&with("INFO", more, "abc")).1, Some(400), "{more}");
    }
    assert_eq!(
        read(&with("INFO", "Content-Length: 003\r\n", "abcdef")).body,
        b"abc"
    );
}

#[test]
fn limits_have_their_statuses() {
    let large = "x".repeat(limits::BODY_BYTES_MAX + 1);
    assert_eq!(refused(&with("INFO", "", &large)).1, Some(413));
    let huge = "x".repeat(limits::MESSAGE_BYTES_MAX);
    assert_eq!(refused(&with("INFO", "", &huge)).1, Some(513));
    let many = "X: y\r\n".repeat(limits::HEADER_LINES_MAX);
    assert_eq!(
        refused(&with("INFO", &many, "")),
        (ParseFault::TooManyHeaders, Some(400))
    );
    let line = format!("X: {}\r\n", "y".repeat(limits::HEADER_LINE_BYTES_MAX));
    assert_eq!(
        refused(&with("INFO", &line, "")).0,
        ParseFault::HeaderLine(5)
    );
    let uri = String::from_utf8(with("INFO", "", "")).unwrap();
    let uri = uri.replacen("1002", &"1".repeat(limits::URI_BYTES_MAX), 1);
    assert_eq!(refused(uri.as_bytes()), (ParseFault::UriTooLong, Some(414)));
    assert_eq!(
        refused(&with("ACK", &many, "")),
        (ParseFault::TooManyHeaders, None)
    );
}

/// What cannot be told apart from a line end is refused, so that no refusal carries it back.
#[test]
fn bare_line_ends_in_headers_are_refused() {
    for more in [
        "X: a\rb\r\n",
        "X: a\nY: b\r\n",
        "X: a\r\r\n",
        "X: a\n\r\n",
        " X: folded\r\n\r",
    ] {
        let octets = with("INFO", more, "");
        match Message::parse(&octets) {
            Err(error) => {
                let Some(reply) = error.reply() else { continue };
                assert!(!reply.headers.contains(&HeaderName::other("Y")));
            }
            Ok(message) => panic!("{more:?}: {message:?}"),
        }
    }
}

#[test]
fn octets_of_other_charsets_are_carried() {
    let text = with("INVITE", "Subject: Gr\u{fc}\u{df}e\r\n", "");
    assert!(read(&text).to_bytes() == text);
    let latin = String::from_utf8(with("INVITE", "", "")).unwrap();
    let latin = latin.replace("From: <", "From: \"M~ller\" <").into_bytes();
    let latin: Vec<u8> = latin
        .iter()
        .map(|&b| if b == b'~' { 0xfc } else { b })
        .collect();
    let invite = read(&latin);
    assert_eq!(
        invite.headers.from().unwrap().display.unwrap(),
        b"M\xfcller"
    );
    assert_eq!(invite.headers.get_str(&HeaderName::FROM), None);
    assert!(invite.to_bytes() == latin);
}

#[test]
fn keep_alives_are_no_messages() {
    for noise in [&b""[..], b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"\0"] {
        assert_eq!(refused(noise), (ParseFault::Empty, None));
    }
    let mut octets = b"\r\n".to_vec();
    octets.extend(with("OPTIONS", "", ""));
    assert_eq!(read(&octets).method, Method::Options);
}

#[test]
fn one_octet_at_a_time_costs_one_message_of_memory() {
    let octets = with("INFO", "Content-Length: 3\r\n", "abc");
    let mut framer = StreamFramer::new();
    for (index, octet) in octets.iter().enumerate() {
        framer.push(&[*octet]);
        let last = index + 1 == octets.len();
        assert_eq!(framer.next().is_some(), last);
    }
    assert_eq!(framer.buffered(), 0);
    framer.push(&octets);
    assert_eq!(framer.next(), Some(Ok(Frame::Message(octets))));
}
