//! What endpoints do by themselves: calls, cancels, transfers; and odd requests.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{A, ANSWER, B, Bench, OFFER, addr, answer, body, config, config_with, field, has};
use sim::tserver::{Control, DropWhat, EventKind, PartyState, Request};

fn invite(to: &str, call_id: &str, extra: &str) -> String {
    format!(
        "INVITE sip:{to}@192.0.2.81:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {A};branch=z9hG4bK{call_id}\r\n\
         From: <sip:1002@192.0.2.81>;tag=agent\r\nTo: <sip:{to}@192.0.2.81>\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: <sip:1002@{A}>\r\nMax-Forwards: 70\r\n\
         {extra}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OFFER}",
        OFFER.len()
    )
}

/// A request of the caller in the dialog that `ok` made.
fn within(ok: &str, method: &str, cseq: u32, extra: &str) -> String {
    format!(
        "{method} sip:x@192.0.2.81:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {A};branch=z9hG4bK{method}{cseq}\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
         {extra}Content-Length: 0\r\n\r\n",
        field(ok, "From"),
        field(ok, "To"),
        field(ok, "Call-ID"),
    )
}

fn connected(bench: &mut Bench) -> String {
    bench.put(A, &invite("0301234567", "c1", ""));
    bench.expect("SIP/2.0 100 ");
    bench.expect("SIP/2.0 180 ");
    bench.pass(1500);
    let ok = bench.expect("SIP/2.0 200 ");
    bench.put(A, &within(&ok, "ACK", 1, ""));
    ok
}

#[test]
fn an_endpoint_calls_a_customer() {
    let mut bench = Bench::registered(config());
    let ok = connected(&mut bench);
    assert!(body(&ok).contains("m=audio 20000 RTP/AVP 0 101"));
    assert!(field(&ok, "Contact").starts_with("<sip:0301234567@192.0.2.81:5060"));
    let kinds: Vec<_> = bench.kinds().into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, [EventKind::Dialing, EventKind::Established]);
    bench.put(A, &within(&ok, "BYE", 2, ""));
    bench.expect("SIP/2.0 200 ");
    assert!(bench.server.calls().is_empty());
    assert!(bench.media.last().unwrap().ended);
}

#[test]
fn an_endpoint_calls_a_dn() {
    let mut bench = Bench::registered(config());
    bench.put(A, &invite("1003", "c1", ""));
    bench.expect("SIP/2.0 100 ");
    let out = bench.expect("INVITE sip:1003@");
    bench.answer(B, &out, "180 Ringing", None);
    let ringing = bench.expect("SIP/2.0 180 ");
    bench.answer(B, &out, "200 OK", Some(ANSWER));
    let ok = bench.expect("SIP/2.0 200 ");
    assert_eq!(field(&ok, "To"), field(&ringing, "To"));
    bench.pass(100);
    bench.expect("ACK sip:1003@");
    // Its offerless re-INVITE is answered; the offer waits until the caller has acknowledged.
    let again = bench.expect("INVITE sip:1003@");
    bench.answer(B, &again, "200 OK", Some(OFFER));
    bench.nothing();
    bench.put(A, &within(&ok, "ACK", 1, ""));
    let passed = bench.expect("INVITE sip:1002@");
    bench.put(A, &answer(A, &passed, "200 OK", Some(ANSWER)));
    bench.expect("ACK sip:1002@");
    bench.expect("ACK sip:1003@");
    bench.nothing();
}

#[test]
fn a_refusal_of_the_destination_comes_back() {
    let mut bench = Bench::registered(config());
    bench.put(A, &invite("1003", "c1", ""));
    bench.expect("SIP/2.0 100 ");
    let out = bench.expect("INVITE sip:1003@");
    bench.answer(B, &out, "486 Busy Here", None);
    bench.expect("ACK ");
    let busy = bench.expect("SIP/2.0 486 Busy Here");
    bench.pass(500);
    assert_eq!(busy, bench.take(), "repeated until the ACK");
    let ack = within(&busy, "ACK", 1, "").replace("z9hG4bKACK1", "z9hG4bKc1");
    bench.put(A, &ack);
    bench.pass(40_000);
    bench.nothing();
}

#[test]
fn the_caller_cancels() {
    let mut bench = Bench::registered(config());
    let text = invite("1003", "c1", "");
    bench.put(A, &text);
    bench.expect("SIP/2.0 100 ");
    let out = bench.expect("INVITE sip:1003@");
    bench.answer(B, &out, "180 Ringing", None);
    bench.expect("SIP/2.0 180 ");
    let cancel = text
        .replace("INVITE sip", "CANCEL sip")
        .replace("1 INVITE", "1 CANCEL");
    bench.put(A, &cancel);
    bench.expect("SIP/2.0 200 ");
    bench.expect("SIP/2.0 487 ");
    bench.expect("CANCEL sip:1003@");
    assert!(bench.server.calls().is_empty());
}

#[test]
fn an_invite_may_be_challenged_and_strangers_are_refused() {
    let settings = config_with(|dn| {
        dn.password = Some("secret".to_owned());
        dn.authenticate_register = false;
        dn.authenticate_invite = true;
    });
    let mut bench = Bench::registered(settings);
    bench.put(A, &invite("1003", "c1", ""));
    let challenge = bench.expect("SIP/2.0 401 ");
    assert!(field(&challenge, "WWW-Authenticate").contains("qop=\"auth\""));
    bench.put(
        A,
        &invite("1003", "c2", "").replace("sip:1002@192.0.2.81>;tag", "sip:9@h>;tag"),
    );
    bench.expect("SIP/2.0 403 ");
}

#[test]
fn a_blind_refer_moves_the_customer_to_the_target() {
    let mut bench = Bench::registered(config());
    let (_, first) = bench.talking();
    let refer = bench
        .in_dialog(A, &first, "INFO", 1, None)
        .replace("INFO", "REFER")
        .replace("CSeq: 1", "CSeq: 2")
        .replace(
            "Max-Forwards",
            "Refer-To: <sip:1003@192.0.2.81>\r\nMax-Forwards",
        );
    bench.expect("SIP/2.0 200 ");
    bench.put(A, &refer);
    bench.expect("SIP/2.0 202 Accepted");
    let notify = bench.expect("NOTIFY ");
    assert_eq!(field(&notify, "Event"), "refer");
    assert_eq!(body(&notify), "SIP/2.0 200 OK\r\n");
    bench.answer(A, &notify, "200 OK", None);
    let bye = bench.expect("BYE sip:1002@");
    bench.answer(A, &bye, "200 OK", None);
    let out = bench.expect("INVITE sip:1003@");
    assert!(field(&out, "From").starts_with("sip:0301234567@"));
    bench.answer(B, &out, "180 Ringing", None);
    bench.answer(B, &out, "200 OK", Some(ANSWER));
    bench.pass(88);
    bench.expect("ACK sip:1003@");
    let call = bench.server.calls().remove(0);
    let numbers: Vec<_> = call.parties.iter().map(|p| p.number.as_str()).collect();
    assert_eq!(numbers, ["0301234567", "1003"]);
}

#[test]
fn a_consultation_is_completed_and_the_agent_sees_bye_twice() {
    let mut bench = Bench::registered(config());
    let (call, first) = bench.talking();
    let consult = bench.ask(Request::InitiateTransfer {
        dn: "1002".to_owned(),
        call: call.clone(),
        to: "1003".to_owned(),
    });
    let hold = bench.expect("NOTIFY ");
    assert_eq!(field(&hold, "Event"), "hold");
    bench.answer(A, &hold, "200 OK", None);
    let second = bench.expect("INVITE sip:1002@");
    assert_ne!(field(&second, "Call-ID"), field(&first, "Call-ID"));
    bench.in_dialog(
        A,
        &first,
        "INVITE",
        1,
        Some(&format!("{ANSWER}a=inactive\r\n")),
    );
    bench.expect("SIP/2.0 200 ");
    bench.in_dialog(A, &first, "ACK", 1, None);
    bench.answer(A, &second, "180 Ringing", None);
    let talk = bench.expect("NOTIFY ");
    bench.answer(A, &talk, "200 OK", None);
    bench.answer(A, &second, "200 OK", Some(OFFER));
    let third = bench.expect("INVITE sip:1003@");
    bench.answer(B, &third, "180 Ringing", None);
    bench.answer(B, &third, "200 OK", Some(ANSWER));
    bench.expect("ACK sip:1002@");
    bench.pass(88);
    bench.expect("ACK sip:1003@");
    bench.ask(Request::CompleteTransfer {
        dn: "1002".to_owned(),
        call: consult,
    });
    bench.expect("BYE sip:1002@");
    bench.expect("BYE sip:1002@");
    let joined = bench.expect("INVITE sip:1003@");
    assert_eq!(field(&joined, "X-Genesys-CallUUID"), call.0);
    bench.answer(B, &joined, "200 OK", Some(OFFER));
    bench.pass(142);
    let ack = bench.expect("ACK sip:1003@");
    assert!(body(&ack).contains("m=audio 20000"));
    let view = bench.server.call(&call).unwrap();
    assert!(
        view.parties
            .iter()
            .all(|p| p.state == PartyState::Established)
    );
    assert_eq!(bench.server.calls().len(), 1);
    assert_eq!(
        bench.media.last().unwrap().remote,
        Some(addr("198.51.100.3:8000"))
    );
}

#[test]
fn an_offer_that_waits_for_a_party_that_leaves_is_answered_by_a_black_hole() {
    let mut bench = Bench::registered(config());
    bench.put(A, &invite("1003", "c1", ""));
    bench.expect("SIP/2.0 100 ");
    let out = bench.expect("INVITE sip:1003@");
    bench.answer(B, &out, "200 OK", Some(ANSWER));
    let ok = bench.expect("SIP/2.0 200 ");
    bench.pass(100);
    bench.expect("ACK sip:1003@");
    let again = bench.expect("INVITE sip:1003@");
    bench.answer(B, &again, "200 OK", Some(OFFER));
    bench.nothing();
    // The caller, whose answer is waited for, is transferred away before its ACK came.
    let call = bench.server.calls()[0].call.clone();
    bench.ask(Request::SingleStepTransfer {
        dn: "1002".to_owned(),
        call,
        to: "0301".to_owned(),
    });
    bench.put(A, &within(&ok, "ACK", 1, ""));
    let ack = bench.expect("ACK sip:1003@");
    assert!(body(&ack).contains("c=IN IP4 0.0.0.0"));
    let bye = bench.expect("BYE sip:1002@");
    bench.put(A, &answer(A, &bye, "200 OK", None));
    bench.pass(1500);
    let connect = bench.expect("INVITE sip:1003@");
    assert!(body(&connect).contains("m=audio 20000"));
}

#[test]
fn a_site_that_shuts_down_refuses_calls() {
    let mut bench = Bench::registered(config());
    bench.control(Control::RefuseCalls(Some(603)));
    bench.put(A, &invite("1003", "c1", ""));
    bench.expect("SIP/2.0 603 Decline");
    bench.control(Control::RefuseCalls(None));
    bench.put(A, &invite("1003", "c2", ""));
    bench.expect("SIP/2.0 100 ");
}

#[test]
fn requests_outside_a_dialog() {
    let mut bench = Bench::registered(config());
    let request = |method: &str| {
        format!(
            "{method} sip:192.0.2.81 SIP/2.0\r\nVia: SIP/2.0/UDP {A};branch=z9hG4bK{method}\r\n\
             From: <sip:1002@192.0.2.81>;tag=1\r\nTo: <sip:192.0.2.81>\r\nCall-ID: x\r\n\
             CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for (method, status) in [
        ("OPTIONS", "200"),
        ("SUBSCRIBE", "489"),
        ("NOTIFY", "481"),
        ("BYE", "481"),
    ] {
        bench.put(A, &request(method));
        bench.expect(&format!("SIP/2.0 {status} "));
    }
}

#[test]
fn options_are_sent_to_a_registered_dn() {
    let settings = config_with(|dn| dn.oos_check = Some(std::time::Duration::from_secs(10)));
    let mut bench = Bench::registered(settings);
    bench.pass(10_000);
    let options = bench.expect("OPTIONS sip:1002@198.51.100.3:5060 ");
    assert!(has(&options, "Max-Forwards"));
    bench.answer(A, &options, "200 OK", None);
    bench.pass(9_999);
    bench.nothing();
}

#[test]
fn dropped_and_unreadable_messages_are_counted_and_a_restart_forgets() {
    let mut bench = Bench::registered(config());
    bench.control(Control::DropReceived {
        method: "INVITE".to_owned(),
        what: DropWhat::Requests,
        count: 1,
    });
    let text = invite("1003", "c1", "");
    bench.put(A, &text);
    bench.nothing();
    bench.put(A, &text);
    bench.expect("SIP/2.0 100 ");
    bench.put(A, "garbage");
    bench.put(A, "\r\n\r\n");
    let counts = bench.server.counts();
    assert_eq!((counts.dropped, counts.unreadable), (1, 1));
    bench.control(Control::Restart);
    let counts = bench.server.counts();
    assert_eq!(
        (
            counts.calls,
            counts.legs,
            counts.registrations,
            counts.appointments
        ),
        (0, 0, 0, 0)
    );
}
