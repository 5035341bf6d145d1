//! TMakeCall: the originator is called first, without SDP, and answered by NOTIFY at once.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{A, ANSWER, B, Bench, OFFER, addr, body, config, field, has, param};
use sim::tserver::{
    Config, CustomerAnswer, CustomerConfig, EventKind, LegState, MakeCallFlow, PartyState, Request,
};
use std::time::Duration;

fn dial(bench: &mut Bench, to: &str) -> String {
    let call = bench.ask(Request::MakeCall {
        dn: "1003".to_owned(),
        to: to.to_owned(),
    });
    assert_eq!(call.0.len(), 32);
    bench.expect("INVITE ")
}

/// The originator rings, is asked to talk, and offers.
fn originator_answers(bench: &mut Bench, invite: &str) {
    bench.answer(B, invite, "180 Ringing", None);
    let notify = bench.expect("NOTIFY ");
    assert_eq!(field(&notify, "Event"), "talk");
    bench.answer(B, &notify, "200 OK", None);
    bench.answer(B, invite, "200 OK", Some(OFFER));
}

fn flow_two() -> Config {
    let mut settings = config();
    if let Some(dn) = settings.dns.get_mut("1003") {
        dn.make_call_flow = MakeCallFlow::Two;
    }
    settings
}

#[test]
fn the_originator_gets_an_invite_without_sdp_from_the_dialled_party() {
    let mut bench = Bench::registered(config());
    let invite = dial(&mut bench, "1002");
    let (tag, branch) = (
        param(&field(&invite, "From"), "tag"),
        param(&field(&invite, "Via"), "branch"),
    );
    let (call_id, uuid) = (
        field(&invite, "Call-ID"),
        field(&invite, "X-Genesys-CallUUID"),
    );
    assert_eq!(
        invite,
        format!(
            "INVITE sip:1003@198.51.100.54:5061 SIP/2.0\r\n\
             From: sip:1002@192.0.2.81:5060;tag={tag}\r\n\
             To: sip:1003@192.0.2.81:5060\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 INVITE\r\n\
             Content-Length: 0\r\n\
             Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\n\
             Contact: <sip:1002@192.0.2.81:5060>\r\n\
             Allow: ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, REFER, UPDATE\r\n\
             Max-Forwards: 70\r\n\
             X-Genesys-CallUUID: {uuid}\r\n\
             Session-Expires: 1800;refresher=uac\r\n\
             Min-SE: 90\r\n\
             Supported: timer\r\n\r\n"
        )
    );
}

#[test]
fn the_ack_is_withheld_until_the_destination_answers() {
    let mut bench = Bench::registered(config());
    let invite = dial(&mut bench, "1002");
    originator_answers(&mut bench, &invite);
    let second = bench.expect("INVITE sip:1002@");
    assert_eq!(
        field(&second, "From").split(';').next().unwrap(),
        "sip:1003@192.0.2.81:5060"
    );
    assert_eq!(
        field(&second, "X-Genesys-CallUUID"),
        field(&invite, "X-Genesys-CallUUID")
    );
    assert!(
        body(&second).starts_with("v=0\r\no=Genesys 1770020000 1 IN IP4 192.0.2.81\r\ns=GSept")
    );
    // The originator repeats its 200 and gets nothing.
    bench.pass(500);
    bench.answer(B, &invite, "200 OK", Some(OFFER));
    bench.sent.retain(|(_, t)| t.to == addr(B));
    bench.nothing();
    bench.answer(A, &second, "180 Ringing", None);
    bench.answer(A, &second, "200 OK", Some(ANSWER));
    let ack = bench.expect("ACK sip:1003@");
    assert_eq!(field(&ack, "CSeq"), "1 ACK");
    assert_eq!(field(&ack, "Content-Type"), "application/sdp");
    assert!(body(&ack).contains("m=audio 8000 RTP/AVP 0 101"));
    let kinds = bench.kinds();
    let got: Vec<_> = kinds.iter().map(|(dn, kind)| (dn.as_str(), kind)).collect();
    assert_eq!(
        got,
        [
            ("1003", &EventKind::Dialing),
            ("1002", &EventKind::Ringing),
            ("1003", &EventKind::Established)
        ]
    );
    // The destination: ACK, offerless re-INVITE, whose offer goes to the originator.
    bench.pass(100);
    bench.expect("ACK sip:1002@");
    let again = bench.expect("INVITE sip:1002@");
    assert_eq!(body(&again), "");
    bench.answer(A, &again, "200 OK", Some(OFFER));
    let passed = bench.expect("INVITE sip:1003@");
    assert!(body(&passed).contains("a=rtpmap:8 pcma/8000"));
    bench.answer(B, &passed, "200 OK", Some(ANSWER));
    bench.expect("ACK sip:1003@");
    let ack = bench.expect("ACK sip:1002@");
    assert_eq!(field(&ack, "CSeq"), "2 ACK");
    assert!(body(&ack).contains("o=Genesys 1770020000 2 IN IP4 192.0.2.81\r\n"));
    bench.nothing();
    assert!(bench.server.legs().iter().all(|leg| leg.idle));
}

#[test]
fn a_refused_destination_gives_the_originator_its_own_sdp_and_a_bye_with_reason() {
    let mut bench = Bench::registered(config());
    let invite = dial(&mut bench, "1002");
    originator_answers(&mut bench, &invite);
    let second = bench.expect("INVITE sip:1002@");
    bench.answer(A, &second, "180 Ringing", None);
    bench.answer(A, &second, "403 Forbidden", None);
    bench.expect("ACK sip:1002@");
    let ack = bench.expect("ACK sip:1003@");
    let (branch, to) = (param(&field(&ack, "Via"), "branch"), field(&ack, "To"));
    let from = field(&invite, "From");
    let uuid = field(&invite, "X-Genesys-CallUUID");
    let call_id = field(&invite, "Call-ID");
    assert_eq!(
        ack,
        format!(
            "ACK sip:1003@198.51.100.54:5061 SIP/2.0\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 ACK\r\nContent-Length: {}\r\n\
             Content-Type: application/sdp\r\n\
             Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\n\
             X-Genesys-CallUUID: {uuid}\r\n\r\n{OFFER}",
            OFFER.len()
        ),
        "no Max-Forwards, its own o= line"
    );
    let bye = bench.expect("BYE sip:1003@");
    let branch = param(&field(&bye, "Via"), "branch");
    assert_eq!(
        bye,
        format!(
            "BYE sip:1003@198.51.100.54:5061 SIP/2.0\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: 3 BYE\r\nContent-Length: 0\r\n\
             Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\n\
             Reason: SIP;cause=403;text=\"Forbidden\"\r\nMax-Forwards: 70\r\n\
             X-Genesys-CallUUID: {uuid}\r\n\r\n"
        )
    );
}

#[test]
fn after_32_seconds_of_ringing_the_originator_gets_a_black_hole_and_bye() {
    let mut bench = Bench::registered(config());
    let invite = dial(&mut bench, "1002");
    originator_answers(&mut bench, &invite);
    let second = bench.expect("INVITE sip:1002@");
    bench.answer(A, &second, "180 Ringing", None);
    bench.pass(31_999);
    bench.nothing();
    bench.pass(1);
    let ack = bench.expect("ACK sip:1003@");
    assert_eq!(field(&ack, "Content-Length"), "270");
    assert_eq!(
        body(&ack),
        "v=0\r\no=Genesys 1770020000 1 IN IP4 0.0.0.0\r\ns=3pcc Make Call\r\n\
         c=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 10000 RTP/AVP 101 8 0 4 18 3\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:4 G723/8000\r\na=rtpmap:18 G729/8000\r\na=rtpmap:3 GSM/8000\r\n"
    );
    let bye = bench.expect("BYE sip:1003@");
    assert_eq!(field(&bye, "CSeq"), "3 BYE");
    assert!(!has(&bye, "Reason"));
    let cancel = bench.expect("CANCEL sip:1002@");
    assert_eq!(field(&cancel, "Via"), field(&second, "Via"));
}

#[test]
fn flow_two_acknowledges_at_once_and_connects_by_reinvite() {
    let mut bench = Bench::registered(flow_two());
    let invite = dial(&mut bench, "1002");
    originator_answers(&mut bench, &invite);
    let ack = bench.expect("ACK sip:1003@");
    assert!(body(&ack).contains("c=IN IP4 0.0.0.0"));
    let second = bench.expect("INVITE sip:1002@");
    bench.answer(A, &second, "180 Ringing", None);
    bench.pass(40_000);
    bench.nothing();
    bench.answer(A, &second, "200 OK", Some(ANSWER));
    let connect = bench.expect("INVITE sip:1003@");
    assert!(body(&connect).contains("m=audio 8000 RTP/AVP 0 101"));
    bench.answer(B, &connect, "200 OK", Some(ANSWER));
    bench.expect("ACK sip:1003@");
    let state = |bench: &Bench| bench.server.calls()[0].parties[0].state;
    assert_eq!(state(&bench), PartyState::Established);
}

#[test]
fn a_customer_rings_and_answers() {
    let mut bench = Bench::registered(config());
    let invite = dial(&mut bench, "0301234567");
    assert!(field(&invite, "From").starts_with("sip:0301234567@192.0.2.81:5060;tag="));
    originator_answers(&mut bench, &invite);
    bench.pass(1499);
    bench.nothing();
    bench.pass(1);
    let ack = bench.expect("ACK sip:1003@");
    assert!(body(&ack).contains("m=audio 20000 RTP/AVP 0 101"));
    assert_eq!(
        bench.media.last().unwrap().remote,
        Some(addr("198.51.100.3:8000"))
    );
    assert_eq!(bench.server.legs()[0].state, LegState::Confirmed);
}

#[test]
fn a_busy_customer_and_a_dn_without_endpoint_refuse() {
    let mut settings = config().with_dn("1004");
    settings.customers.insert(
        "0800".to_owned(),
        CustomerConfig {
            ring: Duration::from_millis(300),
            then: CustomerAnswer::Refuse(486),
            ..CustomerConfig::default()
        },
    );
    let mut bench = Bench::registered(settings);
    let invite = dial(&mut bench, "0800");
    originator_answers(&mut bench, &invite);
    bench.pass(300);
    bench.expect("ACK sip:1003@");
    let bye = bench.expect("BYE ");
    assert_eq!(field(&bye, "Reason"), "SIP;cause=486;text=\"Busy Here\"");
    bench.answer(B, &bye, "200 OK", None);
    let invite = dial(&mut bench, "1004");
    originator_answers(&mut bench, &invite);
    bench.expect("ACK sip:1003@");
    let bye = bench.expect("BYE ");
    assert!(field(&bye, "Reason").starts_with("SIP;cause=480;"));
}

#[test]
fn the_agent_hangs_up_while_it_dials() {
    let mut bench = Bench::registered(config());
    let invite = dial(&mut bench, "1002");
    originator_answers(&mut bench, &invite);
    let second = bench.expect("INVITE sip:1002@");
    bench.answer(A, &second, "180 Ringing", None);
    let call = bench.server.calls()[0].call.clone();
    bench.ask(Request::ReleaseCall {
        dn: "1003".to_owned(),
        call,
    });
    bench.expect("ACK sip:1003@");
    bench.expect("BYE sip:1003@");
    bench.expect("CANCEL sip:1002@");
    assert!(
        bench
            .kinds()
            .contains(&("1002".to_owned(), EventKind::Abandoned))
    );
}

#[test]
fn the_originator_refuses() {
    let mut bench = Bench::registered(config());
    let invite = dial(&mut bench, "1002");
    bench.answer(B, &invite, "480 Temporarily Unavailable", None);
    bench.expect("ACK ");
    bench.nothing();
    assert!(bench.server.calls().is_empty());
    let (_, kind) = bench.kinds().remove(0);
    assert!(matches!(kind, EventKind::Error { request, .. } if request == "TMakeCall"));
}
