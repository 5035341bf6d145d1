//! Transfers that the endpoint takes part in: a REFER in its dialog, an INVITE with `Replaces`.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{A, ANSWER, Bench, OFFER, config_with, field, param};
use sim::tserver::{CallUuid, EventKind, Request, TransferBy};

/// A customer talks to 1002, whose endpoint takes part in transfers like this.
fn talking(transfer_by: TransferBy) -> (Bench, CallUuid, String) {
    let settings = config_with(|dn| {
        dn.transfer_by = transfer_by;
    });
    let mut bench = Bench::registered(settings);
    let (call, invite) = bench.talking();
    (bench, call, invite)
}

fn transfers(bench: &mut Bench, call: &CallUuid) {
    bench.ask(Request::CustomerTransfers {
        call: call.clone(),
        to: "0307654321".to_owned(),
    });
}

fn news(bench: &mut Bench, invite: &str, fragment: &str) {
    let text = format!(
        "NOTIFY sip:x@192.0.2.81:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {A};branch=z9hG4bKnews\r\n\
         From: {};tag=endpoint-1002\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 9 NOTIFY\r\n\
         Event: refer;id=2\r\nSubscription-State: terminated;reason=noresource\r\n\
         Content-Type: message/sipfrag;version=2.0\r\nContent-Length: {}\r\n\r\n{fragment}",
        field(invite, "To"),
        field(invite, "From"),
        field(invite, "Call-ID"),
        fragment.len()
    );
    bench.put(A, &text);
    bench.expect("SIP/2.0 200 ");
}

/// The endpoint is asked by REFER in its dialog; its call is over when it says that it talks to somebody else.
#[test]
fn an_endpoint_that_has_moved_is_released() {
    let (mut bench, call, invite) = talking(TransferBy::Refer);
    transfers(&mut bench, &call);
    let refer = bench.expect("REFER sip:1002@");
    assert_eq!(field(&refer, "Call-ID"), field(&invite, "Call-ID"));
    assert_eq!(
        field(&refer, "Refer-To"),
        "<sip:0307654321@192.0.2.81:5060>"
    );
    bench.answer(A, &refer, "202 Accepted", None);
    news(&mut bench, &invite, "SIP/2.0 200 OK\r\n");
    bench.expect("BYE ");
    assert!(bench.server.call(&call).is_none());
}

/// Where it could not, everything stays as it was.
#[test]
fn an_endpoint_that_could_not_move_keeps_its_call() {
    let (mut bench, call, invite) = talking(TransferBy::Refer);
    transfers(&mut bench, &call);
    let refer = bench.expect("REFER ");
    bench.answer(A, &refer, "202 Accepted", None);
    news(&mut bench, &invite, "SIP/2.0 486 Busy Here\r\n");
    bench.nothing();
    assert!(bench.server.call(&call).is_some());
    let failed = |(_, kind): &(String, EventKind)| matches!(kind, EventKind::Error { .. });
    assert!(bench.kinds().iter().any(failed));
}

/// An INVITE with `Replaces` names the old dialog as its endpoint knows it, and carries the call on.
#[test]
fn a_new_dialog_takes_the_place_of_the_old_one() {
    let (mut bench, call, invite) = talking(TransferBy::Replaces);
    transfers(&mut bench, &call);
    let again = bench.expect("INVITE sip:1002@");
    assert_eq!(field(&again, "Require"), "replaces");
    let replaces = field(&again, "Replaces");
    assert!(replaces.starts_with(&field(&invite, "Call-ID")));
    assert_eq!(param(&replaces, "to-tag"), "endpoint-1002");
    assert_eq!(
        param(&replaces, "from-tag"),
        param(&field(&invite, "From"), "tag")
    );
    assert_eq!(field(&again, "X-Genesys-CallUUID"), call.0);
    bench.answer(A, &again, "200 OK", Some(ANSWER));
    bench.in_dialog(A, &invite, "BYE", 5, None);
    bench.expect("SIP/2.0 200 ");
    bench.pass(88);
    bench.expect("ACK ");
    bench.pass(12);
    let resync = bench.expect("INVITE ");
    bench.answer(A, &resync, "200 OK", Some(OFFER));
    bench.pass(142);
    bench.expect("ACK ");
    bench.pass(20_000);
    bench.nothing();
    let view = bench.server.call(&call).unwrap();
    assert_eq!(view.parties.len(), 2);
    assert_eq!(view.parties[0].number, "0307654321");
}
