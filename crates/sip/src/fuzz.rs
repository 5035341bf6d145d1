//! What the fuzzers run, kept here so that the stable tests replay their corpus through the same
//! code. Every body asserts what must hold for any octets at all.

use std::fmt::Debug;

use crate::{
    Uri, body,
    digest::{Challenge, Credentials},
    limits::{BODY_BYTES_MAX, SIPFRAG_BYTES_MAX},
    sipfrag,
    wire::{
        CSeq, ContentType, EventPackage, Frame, HeaderName, Headers, Message, Method, NameAddr,
        Reason, Replaces, SessionExpires, StreamFramer, SubscriptionState, Via,
    },
};

/// A datagram: no panic, and what was read prints and reads back as the same message.
pub fn message(bytes: &[u8]) {
    let message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(error) => {
            if let Some(reply) = error.reply() {
                let printed = reply.to_bytes();
                assert!(printed.starts_with(b"SIP/2.0 "), "a refusal is a response");
            }
            return;
        }
    };
    let printed = message.to_bytes();
    let again = Message::parse(&printed).expect("what was read once is read again");
    assert_eq!(message, again, "printing keeps the meaning");
    assert_eq!(printed, again.to_bytes(), "printing is stable");
    typed(&message);
}

/// Every typed header, for its bounds.
fn typed(message: &Message) {
    let headers = message.headers();
    let from = headers.from().expect("checked when the message was read");
    let reread = crate::wire::NameAddr::parse(&from.to_bytes());
    assert_eq!(
        reread.map(|f| f.uri),
        Some(from.uri),
        "a printed From is a From"
    );
    for contact in headers
        .contacts()
        .expect("checked when the message was read")
    {
        assert!(!contact.to_bytes().is_empty(), "a contact has a URI");
    }
    let _ = (
        headers.record_route(),
        headers.route(),
        headers.expires(),
        headers.min_expires(),
    );
    let _ = (
        headers.content_type(),
        headers.event(),
        headers.subscription_state(),
    );
    let _ = (
        headers.reason().map(|reason| reason.map(|r| r.to_bytes())),
        headers.retry_after(),
    );
    let _ = (
        headers.session_expires(),
        headers.min_se(),
        headers.replaces(),
        headers.refer_to(),
    );
    let _ = (
        headers.referred_by(),
        headers.asserted_identities(),
        headers.allow(),
    );
    let _ = (
        headers.require(),
        headers.supported(),
        headers.www_authenticate(),
    );
    let _ = body::sdp(headers, message.body());
    let mut stamped = headers.clone();
    stamped.note_source(([192, 0, 2, 1], 5060).into());
    assert!(stamped.top_via().is_ok(), "a Via with its source is a Via");
}

/// A stream: however it is cut, the same frames come out. The first octet chooses the cut.
pub fn stream(bytes: &[u8]) {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = frames(bytes, bytes.len().max(1));
    let pieces = frames(bytes, usize::from(cut) + 1);
    assert_eq!(whole, pieces, "the cut does not matter");
    for frame in whole.into_iter().flatten() {
        if let Frame::Message(bytes) = frame {
            message(&bytes);
        }
    }
}

fn frames(bytes: &[u8], size: usize) -> Vec<Result<Frame, crate::wire::FramingError>> {
    let mut framer = StreamFramer::new();
    let mut frames = Vec::new();
    for piece in bytes.chunks(size) {
        framer.push(piece);
        while let Some(frame) = framer.next() {
            let failed = frame.is_err();
            frames.push(frame);
            if failed {
                return frames;
            }
        }
    }
    frames
}

/// A challenge line: no panic, and every answer is one header line.
pub fn digest(bytes: &[u8]) {
    let credentials = Credentials::new("1002", "secret");
    for challenge in Challenge::parse_all(bytes) {
        let answer = challenge.answer(&credentials, &Method::Register, b"sip:h", "c", 1);
        assert!(
            !answer.iter().any(|b| matches!(b, b'\r' | b'\n')),
            "an answer is one line"
        );
    }
}

/// A URI: it prints as it came, and every URI that is made of it is one.
pub fn uri(bytes: &[u8]) {
    let Ok(uri) = Uri::parse(bytes) else { return };
    assert_eq!(uri.to_bytes(), bytes, "a URI is kept as it was spelt");
    assert!(uri.equivalent(&uri), "a URI is itself");
    let mut made = vec![
        uri.for_request_line(),
        uri.with_param("transport", Some(b"tcp")),
        uri.with_param("lr", None),
        uri.with_header("Replaces", b"a@b;to-tag=1\r\nX: y"),
    ];
    if let (Some(user), Some(host)) = (uri.user_unescaped(), uri.host()) {
        made.extend(Uri::sip(Some(&user), host, uri.port()));
    }
    for uri in made {
        let printed = uri.to_bytes();
        assert!(
            !printed.iter().any(u8::is_ascii_control),
            "nothing leaves its line: {uri:?}"
        );
        assert_eq!(Uri::parse(&printed).as_ref(), Ok(&uri), "it is a URI");
    }
    for (name, _) in uri.headers() {
        let name = String::from_utf8_lossy(name).into_owned();
        let _ = uri.header(&name);
    }
}

/// One header value, read as each kind there is: what is read prints as one line and reads back as the same.
pub fn value(bytes: &[u8]) {
    again(bytes, Via::parse, Via::to_bytes);
    again(bytes, NameAddr::parse, NameAddr::to_bytes);
    again(bytes, CSeq::parse, |cseq| cseq.to_string().into_bytes());
    again(bytes, Reason::parse, Reason::to_bytes);
    again(bytes, SessionExpires::parse, SessionExpires::to_bytes);
    again(bytes, Replaces::parse, Replaces::to_bytes);
    let _ = (
        ContentType::parse(bytes),
        EventPackage::parse(bytes),
        SubscriptionState::parse(bytes),
        Method::parse(bytes),
    );
    // Refer-To carries Replaces within its URI.
    if let Some(target) = NameAddr::parse(bytes)
        && let Some(replaces) = target.uri.header("Replaces")
    {
        again(&replaces, Replaces::parse, Replaces::to_bytes);
    }
}

fn again<T: PartialEq + Debug>(
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Option<T>,
    print: impl Fn(&T) -> Vec<u8>,
) {
    let Some(read) = parse(bytes) else { return };
    let printed = print(&read);
    let is_line_end = |b: &u8| matches!(b, b'\r' | b'\n');
    if bytes.iter().any(is_line_end) {
        // No message brings one here: folded lines are joined before, and bare line ends are refused.
        return;
    }
    assert!(
        !printed.iter().any(is_line_end),
        "a printed value stays in its line"
    );
    assert_eq!(parse(&printed), Some(read), "a printed value is the same");
}

/// A body: its content type up to the first line feed, then itself. What is found in it is a part of it.
pub fn bodies(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |&b| b == b'\n');
    let (kind, body) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let mut headers = Headers::new();
    headers.push(HeaderName::CONTENT_TYPE, kind);
    for essence in ["application/sdp", sipfrag::CONTENT_TYPE] {
        let body = body.get(..BODY_BYTES_MAX).unwrap_or(body);
        if let Some(found) = body::find(&headers, body, essence) {
            let whole = body.as_ptr_range();
            let part = found.as_ptr_range();
            assert!(
                whole.start <= part.start && part.end <= whole.end,
                "a part lies within"
            );
        }
    }
    if let Some((status, reason)) = sipfrag::status(body) {
        assert!(reason.len() < SIPFRAG_BYTES_MAX, "a reason is bounded");
        let told = sipfrag::of_status(status);
        assert_eq!(
            sipfrag::status(&told).map(|(status, _)| status),
            Some(status),
            "a printed fragment tells the same"
        );
    }
}
