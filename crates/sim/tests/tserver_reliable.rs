//! Reliable provisional responses (RFC 3262) and early media, both ways.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{A, Bench, OFFER, answer, body, config, config_with, field};
use sim::tserver::{Config, Request};

fn with_ring_back() -> Config {
    let mut settings = config();
    settings.customer.early_media = true;
    settings
}

/// The endpoint of 1002 calls a customer and knows reliable responses.
fn invite() -> String {
    format!(
        "INVITE sip:0301234567@192.0.2.81:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {A};branch=z9hG4bKc1\r\n\
         From: <sip:1002@192.0.2.81>;tag=agent\r\nTo: <sip:0301234567@192.0.2.81>\r\n\
         Call-ID: c1\r\nCSeq: 1 INVITE\r\nContact: <sip:1002@{A}>\r\nMax-Forwards: 70\r\n\
         Supported: timer, 100rel\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OFFER}",
        OFFER.len()
    )
}

fn prack(progress: &str, rseq: &str, cseq: u32) -> String {
    format!(
        "PRACK sip:x@192.0.2.81:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {A};branch=z9hG4bKprack{cseq}\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: c1\r\nCSeq: {cseq} PRACK\r\nRAck: {rseq} 1 INVITE\r\n\
         Content-Length: 0\r\n\r\n",
        field(progress, "From"),
        field(progress, "To"),
    )
}

#[test]
fn ring_back_is_repeated_until_its_prack_and_the_answer_waits_for_it() {
    let mut bench = Bench::registered(with_ring_back());
    bench.put(A, &invite());
    bench.expect("SIP/2.0 100 ");
    bench.expect("SIP/2.0 180 ");
    let progress = bench.expect("SIP/2.0 183 ");
    assert_eq!(field(&progress, "Require"), "100rel");
    assert!(body(&progress).contains("m=audio 20000 RTP/AVP 0 101"));
    assert!(bench.media.last().unwrap().remote.is_some());
    // He answers after 1.5 s.
    bench.pass(1_600);
    assert_eq!(bench.expect("SIP/2.0 183 "), progress);
    assert_eq!(bench.expect("SIP/2.0 183 "), progress);
    bench.nothing();
    bench.put(A, &prack(&progress, "1", 2));
    bench.expect("SIP/2.0 481 ");
    bench.put(A, &prack(&progress, &field(&progress, "RSeq"), 3));
    bench.expect("SIP/2.0 200 ");
    let ok = bench.expect("SIP/2.0 200 ");
    assert_eq!(field(&ok, "CSeq"), "1 INVITE");
    assert_eq!(body(&ok), body(&progress));
}

#[test]
fn a_call_whose_ring_back_is_never_acknowledged_is_given_up() {
    let mut bench = Bench::registered(with_ring_back());
    bench.put(A, &invite());
    bench.pass(40_000);
    let last = std::iter::from_fn(|| (!bench.sent.is_empty()).then(|| bench.take())).last();
    assert!(last.unwrap().starts_with("SIP/2.0 500 "));
    assert!(bench.server.calls().is_empty());
}

#[test]
fn responses_that_must_be_reliable_get_their_prack() {
    let settings = config_with(|dn| {
        dn.require_reliable = true;
    });
    let mut bench = Bench::registered(settings);
    bench.ask(Request::CustomerCall {
        from: "0301234567".to_owned(),
        to: "1002".to_owned(),
    });
    let invite = bench.expect("INVITE sip:1002@");
    assert_eq!(field(&invite, "Require"), "100rel");
    let ringing = answer(A, &invite, "180 Ringing", None).replace(
        "Content-Length",
        "Require: 100rel\r\nRSeq: 7\r\nContent-Length",
    );
    bench.put(A, &ringing);
    let prack = bench.expect("PRACK sip:1002@");
    assert_eq!(field(&prack, "RAck"), "7 1 INVITE");
    bench.put(A, &ringing);
    bench.nothing();
    // A later request overtook it: the next repetition gets another one.
    bench.answer(A, &prack, "500 Server Internal Error", None);
    bench.put(A, &ringing);
    let again = bench.expect("PRACK sip:1002@");
    assert_eq!(field(&again, "CSeq"), "3 PRACK");
}
