//! TMakeCall by REFER (`refer-enabled`): the endpoint calls by itself.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{A, Bench, OFFER, config_with, field};
use sim::tserver::{CallUuid, EventKind, Request};

fn referred() -> (Bench, CallUuid, String) {
    let settings = config_with(|dn| {
        dn.refer_enabled = true;
    });
    let mut bench = Bench::registered(settings);
    let call = bench.ask(Request::MakeCall {
        dn: "1002".to_owned(),
        to: "0301234567".to_owned(),
    });
    let refer = bench.expect("REFER sip:1002@");
    (bench, call, refer)
}

fn news(refer: &str, cseq: u32, state: &str) -> String {
    format!(
        "NOTIFY sip:192.0.2.81:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {A};branch=z9hG4bKnews{cseq}\r\n\
         From: {};tag=agent\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} NOTIFY\r\nEvent: refer\r\n\
         Subscription-State: {state}\r\nContent-Length: 0\r\n\r\n",
        field(refer, "To"),
        field(refer, "From"),
        field(refer, "Call-ID"),
    )
}

#[test]
fn the_endpoints_call_is_the_one_that_was_asked_for() {
    let (mut bench, call, refer) = referred();
    assert_eq!(
        field(&refer, "Refer-To"),
        "<sip:0301234567@192.0.2.81:5060>"
    );
    bench.answer(A, &refer, "202 Accepted", None);
    bench.put(A, &news(&refer, 1, "active;expires=360"));
    bench.expect("SIP/2.0 200 ");
    bench.put(
        A,
        &format!(
            "INVITE sip:0301234567@192.0.2.81:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {A};branch=z9hG4bKc1\r\n\
             From: <sip:1002@192.0.2.81>;tag=agent\r\nTo: <sip:0301234567@192.0.2.81>\r\n\
             Call-ID: c1\r\nCSeq: 1 INVITE\r\nContact: <sip:1002@{A}>\r\nMax-Forwards: 70\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OFFER}",
            OFFER.len()
        ),
    );
    bench.expect("SIP/2.0 100 ");
    let ringing = bench.expect("SIP/2.0 180 ");
    assert_eq!(field(&ringing, "X-Genesys-CallUUID"), call.0);
    assert!(bench.server.call(&call).is_some());
    bench.put(A, &news(&refer, 2, "terminated;reason=noresource"));
    bench.expect("SIP/2.0 200 ");
    bench.put(A, &news(&refer, 3, "terminated;reason=noresource"));
    bench.expect("SIP/2.0 481 ");
}

#[test]
fn an_endpoint_that_refuses_fails_the_request() {
    let (mut bench, _, refer) = referred();
    bench.answer(A, &refer, "480 Temporarily Unavailable", None);
    let failed = |(dn, kind): &(String, EventKind)| {
        dn == "1002"
            && matches!(
                kind,
                EventKind::Error {
                    request: "TMakeCall",
                    ..
                }
            )
    };
    assert!(bench.kinds().iter().any(failed));
    assert!(bench.server.calls().is_empty());
}
