//! What holds for any value: what is built can be read back, and nothing that is put in gets out of
//! its place.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sip::{
    HeaderName, Host, Message, Method, NameAddr, Request, StreamFramer, Tag, Uri,
    wire::{Frame, Reason},
};

fn options() -> Request {
    let mut request = Request::new(Method::Options, "sip:1002@192.0.2.10".parse().unwrap());
    for (name, value) in [
        (HeaderName::VIA, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa"),
        (HeaderName::FROM, "<sip:a@h>;tag=1"),
        (HeaderName::TO, "<sip:1002@192.0.2.10>"),
        (HeaderName::CALL_ID, "c"),
        (HeaderName::CSEQ, "1 OPTIONS"),
    ] {
        request.headers.push(name, value);
    }
    request
}

fn octets(length: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..length)
}

proptest! {
    /// A value that a browser or a trunk chose never becomes a second header or a body.
    #[test]
    fn a_header_value_stays_in_its_line(value in octets(64)) {
        let mut request = options();
        let lines = request.headers.len();
        request.headers.push(HeaderName::SUBJECT, value);
        let Message::Request(read) = Message::parse(&request.to_bytes()).unwrap() else {
            panic!("a request")
        };
        prop_assert_eq!(read.headers.len(), lines + 2); // and Content-Length
        prop_assert!(read.body.is_empty());
    }

    #[test]
    fn a_reason_phrase_stays_in_its_line(reason in octets(64)) {
        let mut response = sip::Response::for_request(&options(), sip::StatusCode::OK);
        response.reason = reason;
        let Message::Response(read) = Message::parse(&response.to_bytes()).unwrap() else {
            panic!("a response")
        };
        prop_assert_eq!(read.headers.len(), response.headers.len() + 1);
    }

    #[test]
    fn display_names_survive(display in octets(64), tag in "[a-zA-Z0-9.-]{1,16}") {
        let expected: Vec<u8> =
            display.iter().map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }).collect();
        let built = NameAddr {
            display: Some(display),
            ..NameAddr::new("sip:a@h;x=1".parse().unwrap())
        }.with_tag(&Tag::new(&tag));
        let read = NameAddr::parse(&built.to_bytes()).unwrap();
        prop_assert_eq!(read.display.unwrap(), expected);
        prop_assert_eq!(read.uri, built.uri);
        prop_assert_eq!(read.params.get("tag").unwrap(), tag.as_bytes());
    }

    /// A number that is dialled stays in the user part, whatever it is.
    #[test]
    fn users_survive(user in proptest::collection::vec(any::<u8>(), 1..40)) {
        let host = Host::parse(b"192.0.2.10").unwrap();
        let built = Uri::sip(Some(&user), &host, Some(5060)).unwrap();
        prop_assert_eq!(built.user_unescaped().unwrap(), user);
        prop_assert_eq!(built.host().unwrap(), &host);
        prop_assert_eq!(built.params().count() + built.headers().count(), 0);
        prop_assert_eq!(Uri::parse(built.as_bytes()).unwrap(), built);
    }

    #[test]
    fn reasons_survive(cause in any::<u16>(), text in "[ -~]{0,40}") {
        let built = Reason::sip(cause, &text);
        prop_assert_eq!(Reason::parse(&built.to_bytes()).unwrap(), built);
    }

    #[test]
    fn streams_are_cut_anywhere(
        bodies in proptest::collection::vec(octets(40), 1..5),
        cuts in proptest::collection::vec(1_usize..200, 1..20),
    ) {
        let messages: Vec<Vec<u8>> = bodies.into_iter().map(|body| {
            let mut request = options();
            request.body = body;
            request.to_bytes()
        }).collect();
        let stream = messages.concat();
        let (mut framer, mut read, mut rest) = (StreamFramer::new(), Vec::new(), stream.as_slice());
        for cut in cuts.into_iter().cycle() {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            framer.push(piece);
            while let Some(frame) = framer.next() {
                match frame.unwrap() {
                    Frame::Message(octets) => read.push(octets),
                    Frame::KeepAlive => panic!("none was sent"),
                }
            }
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(read, messages);
    }

    #[test]
    fn noise_is_survived(noise in octets(300)) {
        sip::fuzz::message(&noise);
        sip::fuzz::stream(&noise);
        sip::fuzz::digest(&noise);
    }
}
