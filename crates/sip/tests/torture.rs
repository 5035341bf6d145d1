//! The torture messages of RFC 4475: what is accepted, and how the rest is refused.
#![allow(clippy::unwrap_used)]

use sip::{HeaderName, Message, Method, StreamFramer, wire::Frame};

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// It is read, and printed again octet for octet.
    Accept,
    /// It is a request that is refused with this status.
    Refuse(u16),
    /// It is a response, which has no answer: it is dropped.
    Drop,
}
use Verdict::{Accept, Drop, Refuse};

/// Section of the RFC, file, verdict. Where the RFC leaves a choice the stricter one is taken, since
/// SIP Server sends none of these; application-layer refusals (415, 420, 483, 401) are not the
/// parser's.
const TABLE: [(&str, &str, Verdict); 49] = [
    ("3.1.1.1", "wsinv", Accept),
    ("3.1.1.2", "intmeth", Accept),
    ("3.1.1.3", "esc01", Accept),
    ("3.1.1.4", "escnull", Accept),
    ("3.1.1.5", "esc02", Accept),
    ("3.1.1.6", "lwsdisp", Accept),
    ("3.1.1.7", "longreq", Accept),
    ("3.1.1.8", "dblreq", Accept),
    ("3.1.1.9", "semiuri", Accept),
    ("3.1.1.10", "transports", Accept),
    ("3.1.1.11", "mpart01", Accept),
    ("3.1.1.12", "unreason", Accept),
    ("3.1.1.13", "noreason", Accept),
    ("3.1.2.1", "badinv01", Refuse(400)),
    ("3.1.2.2", "clerr", Refuse(400)),
    ("3.1.2.3", "ncl", Refuse(400)),
    ("3.1.2.4", "scalar02", Refuse(400)),
    ("3.1.2.5", "scalarlg", Drop),
    ("3.1.2.6", "quotbal", Refuse(400)),
    ("3.1.2.7", "ltgtruri", Refuse(400)),
    ("3.1.2.8", "lwsruri", Refuse(400)),
    ("3.1.2.9", "lwsstart", Refuse(400)),
    ("3.1.2.10", "trws", Refuse(400)),
    ("3.1.2.11", "escruri", Refuse(400)),
    // An element that has no use for Date may ignore it; talkbridge has none.
    ("3.1.2.12", "baddate", Accept),
    ("3.1.2.13", "regbadct", Refuse(400)),
    ("3.1.2.14", "badaspec", Refuse(400)),
    ("3.1.2.15", "baddn", Refuse(400)),
    ("3.1.2.16", "badvers", Refuse(505)),
    ("3.1.2.17", "mismatch01", Refuse(400)),
    ("3.1.2.18", "mismatch02", Refuse(501)),
    ("3.1.2.19", "bigcode", Drop),
    ("3.2.1", "badbranch", Accept),
    ("3.3.1", "insuf", Refuse(400)),
    ("3.3.2", "unkscm", Refuse(416)),
    ("3.3.3", "novelsc", Refuse(416)),
    // Unknown schemes in To and From are of the grammar; a registrar would refuse them.
    ("3.3.4", "unksm2", Accept),
    ("3.3.5", "bext01", Accept),
    ("3.3.6", "invut", Accept),
    ("3.3.7", "regaut01", Accept),
    ("3.3.8", "multi01", Refuse(400)),
    ("3.3.9", "mcl01", Refuse(400)),
    ("3.3.10", "bcast", Accept),
    ("3.3.11", "zeromf", Accept),
    ("3.3.12", "cparam01", Accept),
    ("3.3.13", "cparam02", Accept),
    ("3.3.14", "regescrt", Accept),
    ("3.3.15", "sdp01", Accept),
    ("3.4.1", "inv2543", Accept),
];

fn file(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/tests/data/rfc4475/{name}.dat",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn accepted(name: &str) -> Message {
    Message::parse(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_message_gets_its_verdict() {
    let mut wrong = Vec::new();
    for (section, name, want) in TABLE {
        let got = match Message::parse(&file(name)) {
            Ok(_) => Accept,
            Err(error) => error
                .reply()
                .map_or(Drop, |reply| Refuse(reply.status.as_u16())),
        };
        if got != want {
            wrong.push(format!("{section} {name}: want {want:?}, got {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_is_the_folder() {
    let folder = format!("{}/tests/data/rfc4475", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut table: Vec<String> = TABLE.map(|(_, name, _)| format!("{name}.dat")).to_vec();
    files.sort();
    table.sort();
    assert_eq!(files, table);
}

#[test]
fn accepted_messages_leave_octet_for_octet() {
    for (_, name, verdict) in TABLE {
        if verdict != Accept {
            continue;
        }
        let mut octets = file(name);
        if name == "dblreq" {
            // What is behind Content-Length in a datagram is no part of the message.
            let end = octets
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .unwrap()
                + 4;
            octets.truncate(end);
        }
        let printed = accepted(name).to_bytes();
        assert!(
            printed == octets,
            "{name}:\n{}",
            String::from_utf8_lossy(&printed)
        );
    }
}

/// A refusal goes back along the Vias and can be matched by its sender.
#[test]
fn refusals_carry_what_was_readable() {
    let reply = Message::parse(&file("badvers"))
        .unwrap_err()
        .reply()
        .unwrap();
    assert_eq!(
        reply.headers.get(&HeaderName::VIA).unwrap(),
        b"SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw"
    );
    assert_eq!(reply.headers.cseq().unwrap().method, Method::Options);
    let reply = Message::parse(&file("multi01"))
        .unwrap_err()
        .reply()
        .unwrap();
    assert_eq!(
        reply.headers.call_id().unwrap().as_bytes(),
        b"multi01.98asdh@192.0.2.1"
    );
    assert_eq!(reply.headers.len(), 5);
    let printed = reply.to_bytes();
    assert!(matches!(
        Message::parse(&printed).unwrap(),
        Message::Response(_)
    ));
}

#[test]
fn the_same_on_a_stream() {
    for (_, name, verdict) in TABLE {
        let octets = file(name);
        let mut framer = StreamFramer::new();
        framer.push(&octets);
        let Some(Ok(Frame::Message(frame))) = framer.next() else {
            assert!(
                ["clerr", "ncl", "mcl01", "inv2543"].contains(&name),
                "{name} has a length"
            );
            continue;
        };
        assert_eq!(Message::parse(&frame).is_ok(), verdict == Accept, "{name}");
    }
    let mut framer = StreamFramer::new();
    framer.push(&file("dblreq"));
    let frames: Vec<_> = std::iter::from_fn(|| framer.next())
        .map(Result::unwrap)
        .collect();
    let messages = frames
        .iter()
        .filter(|frame| matches!(frame, Frame::Message(_)))
        .count();
    assert_eq!(
        messages, 2,
        "on a stream the second request of dblreq is one"
    );
}

#[test]
fn wsinv_means_what_the_rfc_says() {
    let Message::Request(request) = accepted("wsinv") else {
        panic!("a request")
    };
    let headers = &request.headers;
    assert_eq!(
        headers.to().unwrap().tag().unwrap().as_bytes(),
        b"1918181833n"
    );
    let from = headers.from().unwrap();
    assert_eq!(from.display.clone().unwrap(), br#"J Rosenberg \""#);
    assert_eq!(from.tag().unwrap().as_bytes(), b"98asjd8");
    assert_eq!(headers.max_forwards().unwrap(), Some(68));
    assert_eq!(headers.cseq().unwrap().number, 9);
    assert_eq!(headers.get(&HeaderName::SUBJECT).unwrap(), b"");
    assert_eq!(
        headers.get(&HeaderName::other("NewFangledHeader")).unwrap(),
        b"newfangled value continued newfangled value"
    );
    let vias = headers.vias().unwrap();
    let hops: Vec<_> = vias
        .iter()
        .map(|via| (&*via.transport, via.host.to_string()))
        .collect();
    assert_eq!(
        hops,
        [
            ("UDP", "192.0.2.2".to_owned()),
            ("TCP", "spindle.example.com".to_owned()),
            ("UDP", "192.168.255.111".to_owned())
        ]
    );
    assert_eq!(vias[2].branch.as_ref().unwrap().as_bytes(), b"z9hG4bK30239");
    let contact = headers.contact().unwrap().unwrap();
    assert_eq!(contact.display.unwrap(), br#"Quoted string """#);
    assert_eq!(contact.params.get("newparam").unwrap(), b"newvalue");
    assert_eq!(contact.params.get("q").unwrap(), b"0.33");
    assert_eq!(
        headers.route().unwrap()[0]
            .uri
            .param("unknown-no-value")
            .unwrap(),
        b""
    );
}

#[test]
fn intmeth_means_what_the_rfc_says() {
    let Message::Request(request) = accepted("intmeth") else {
        panic!("a request")
    };
    assert_eq!(
        request.method.as_str(),
        "!interesting-Method0123456789_*+`.%indeed'~"
    );
    assert_eq!(
        request.uri.user().unwrap(),
        b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    );
    assert_eq!(
        request.uri.password().unwrap(),
        b"&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    );
    let to = request.headers.to().unwrap();
    assert_eq!(to.display.unwrap(), b"BEL:\x07 NUL:\x00 DEL:\x7f");
    let from = request.headers.from().unwrap();
    assert_eq!(
        from.display.clone().unwrap(),
        b"token1~` token2'+_ token3*%!.-"
    );
    assert_eq!(
        from.params.unquoted("fromParam''~+*_!.-%").unwrap(),
        "работающий".as_bytes()
    );
    assert_eq!(from.tag().unwrap().as_bytes(), b"_token~1'+`*%!-.");
    let unknown = HeaderName::parse(b"extensionHeader-!.%*+_`'~").unwrap();
    assert_eq!(request.headers.get_str(&unknown).unwrap(), "\u{feff}大停電");
}

#[test]
fn a_percent_sign_escapes_in_uris_only() {
    let Message::Request(request) = accepted("esc02") else {
        panic!("a request")
    };
    assert_eq!(request.method.as_str(), "RE%47IST%45R");
    assert_eq!(request.headers.contacts().unwrap().len(), 2);
    assert_eq!(request.headers.to().unwrap().display.unwrap(), b"%Z%45");
    let Message::Request(request) = accepted("esc01") else {
        panic!("a request")
    };
    assert_eq!(
        request.uri.user_unescaped().unwrap(),
        b"sips:user@example.com"
    );
    let Message::Request(request) = accepted("escnull") else {
        panic!("a request")
    };
    assert_eq!(
        request.headers.to().unwrap().uri.user_unescaped().unwrap(),
        b"null-\0-null"
    );
}

#[test]
fn the_rest_that_has_a_meaning_here() {
    assert_eq!(accepted("longreq").headers().vias().unwrap().len(), 34);
    let branch = accepted("badbranch")
        .headers()
        .top_via()
        .unwrap()
        .branch
        .unwrap();
    assert!(!branch.is_rfc3261());
    let cparam = |name| accepted(name).headers().contact().unwrap().unwrap();
    assert!(cparam("cparam01").params.has("unknownparam"));
    assert!(cparam("cparam02").uri.param("unknownparam").is_some());
    let route = cparam("regescrt").uri.header("Route").unwrap();
    assert_eq!(route, b"<sip:sip.example.com>");
    let Message::Response(response) = accepted("noreason") else {
        panic!("a response")
    };
    assert!(response.reason.is_empty());
    let mpart = accepted("mpart01");
    let part = sip::body::find(mpart.headers(), mpart.body(), "application/octet-stream").unwrap();
    assert_eq!((part.len(), &part[..2]), (342, &b"\x30\x82"[..]));
    assert!(
        !accepted("inv2543").body().is_empty(),
        "no Content-Length: the rest is the body"
    );
}
