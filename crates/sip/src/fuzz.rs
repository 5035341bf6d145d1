//! What the fuzzers run, kept here so that the stable tests replay their corpus through the same
//! code. Every body asserts what must hold for any octets at all.

use crate::{
    body,
    digest::{Challenge, Credentials},
    wire::{Frame, Message, Method, StreamFramer},
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
