//! What the reader takes, what it refuses, and what it keeps.
#![allow(clippy::unwrap_used)]

mod common;

use common::{BODIES, wire};
use sdp::{ParseError, SessionDescription, limits};

fn refuse(body: &[u8]) -> ParseError {
    SessionDescription::parse(body).unwrap_err()
}

#[test]
fn every_line_comes_back_as_it_was() {
    for (name, body) in BODIES {
        let body = wire(body);
        assert_eq!(
            SessionDescription::parse(&body).unwrap().to_bytes(),
            body,
            "{name}"
        );
    }
}

#[test]
fn line_ends_of_all_kinds_read_the_same() {
    for (name, body) in BODIES {
        let crlf = SessionDescription::parse(&wire(body)).unwrap();
        assert_eq!(
            SessionDescription::parse(body.as_bytes()).unwrap(),
            crlf,
            "{name}: LF"
        );
        assert_eq!(
            SessionDescription::parse(body.trim_end().as_bytes()).unwrap(),
            crlf,
            "{name}: no last end"
        );
        let blank = [wire(body), b"\r\n\r\n".to_vec()].concat();
        assert_eq!(
            SessionDescription::parse(&blank).unwrap(),
            crlf,
            "{name}: empty lines at the end"
        );
    }
}

#[test]
fn octets_above_ascii_are_kept() {
    let body = b"v=0\r\ns=caf\xe9 \xc3\xa9\r\n".as_slice();
    let parsed = SessionDescription::parse(body).unwrap();
    assert_eq!(parsed.first(b's'), Some(b"caf\xe9 \xc3\xa9".as_slice()));
    assert_eq!(parsed.to_bytes(), body);
    assert_eq!(parsed.to_string(), "v=0\r\ns=caf\u{fffd} \u{e9}\r\n");
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let cases: [(&[u8], ParseError); 15] = [
        (b"", ParseError::Empty),
        (b"\r\n\r\n", ParseError::Empty),
        (b"s=-\r\nv=0\r\n", ParseError::Version),
        (b"v=1\r\n", ParseError::Version),
        (b"v=0\r\n\r\ns=-\r\n", ParseError::Shape { line: 2 }),
        (b"v=0\r\ns\r\n", ParseError::Shape { line: 2 }),
        (b"v=0\r\ns =-\r\n", ParseError::Shape { line: 2 }),
        (b"v=0\r\nS=-\r\n", ParseError::Shape { line: 2 }),
        (b"v=0\r\n s=-\r\n", ParseError::Shape { line: 2 }),
        (
            b"v=0\r\na=fmtp\0:101 0-16\r\n",
            ParseError::Octet { line: 2 },
        ),
        (b"v=0\r\na=x\ra=y\r\n", ParseError::Octet { line: 2 }),
        (b"v=0\nm=audio", ParseError::Media { line: 2 }),
        (
            b"v=0\nm=audio 65536 RTP/AVP 0",
            ParseError::Media { line: 2 },
        ),
        (b"v=0\nm=audio -1 RTP/AVP 0", ParseError::Media { line: 2 }),
        (b"v=0\nm=audio 8000 RTP/AVP", ParseError::Media { line: 2 }),
    ];
    for (body, cause) in cases {
        assert_eq!(refuse(body), cause, "{:?}", String::from_utf8_lossy(body));
    }
}

/// A payload type has seven bits, in every RTP profile; other protocols have words.
#[test]
fn a_payload_type_above_127_is_refused() {
    for number in ["128", "255", "256", "4294967296", "-1", "0x0", "audio"] {
        let body = format!("v=0\nm=audio 17002 RTP/AVP {number}");
        assert_eq!(
            refuse(body.as_bytes()),
            ParseError::PayloadType { line: 2 },
            "{number}"
        );
        let body = format!("v=0\nm=audio 17002 UDP/TLS/RTP/SAVPF {number}");
        assert_eq!(
            refuse(body.as_bytes()),
            ParseError::PayloadType { line: 2 },
            "{number}"
        );
    }
    assert!(SessionDescription::parse(b"v=0\nm=image 54111 udptl t38").is_ok());
    assert!(SessionDescription::parse(b"v=0\nm=audio 17002 RTP/AVP 127").is_ok());
}

#[test]
fn everything_has_a_limit() {
    let line = |bytes: usize| format!("v=0\na={}\n", "x".repeat(bytes - 2));
    assert!(SessionDescription::parse(line(limits::MAX_LINE_BYTES).as_bytes()).is_ok());
    assert_eq!(
        refuse(line(limits::MAX_LINE_BYTES + 1).as_bytes()),
        ParseError::LineTooLong { line: 2 }
    );
    let lines = |count: usize| format!("v=0\n{}", "a=x\n".repeat(count - 1));
    assert!(SessionDescription::parse(lines(limits::MAX_LINES).as_bytes()).is_ok());
    assert_eq!(
        refuse(lines(limits::MAX_LINES + 1).as_bytes()),
        ParseError::TooManyLines
    );
    let media = |count: usize| format!("v=0\n{}", "m=audio 8000 RTP/AVP 0\n".repeat(count));
    assert!(SessionDescription::parse(media(limits::MAX_MEDIA).as_bytes()).is_ok());
    assert_eq!(
        refuse(media(limits::MAX_MEDIA + 1).as_bytes()),
        ParseError::TooManyMedia {
            line: limits::MAX_MEDIA + 2
        }
    );
    let formats = |count: usize| format!("v=0\nm=audio 8000 RTP/AVP{}", " 0".repeat(count));
    assert!(SessionDescription::parse(formats(limits::MAX_FORMATS).as_bytes()).is_ok());
    assert_eq!(
        refuse(formats(limits::MAX_FORMATS + 1).as_bytes()),
        ParseError::TooManyFormats { line: 2 }
    );
    assert_eq!(
        refuse(&vec![b'v'; limits::MAX_BYTES + 1]),
        ParseError::TooLong
    );
    let word = format!(
        "v=0\nm={} 8000 x y",
        "w".repeat(limits::MAX_TOKEN_BYTES + 1)
    );
    assert_eq!(refuse(word.as_bytes()), ParseError::Media { line: 2 });
}
