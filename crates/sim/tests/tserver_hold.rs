//! Hold and retrieve by NOTIFY, by re-INVITE and by the endpoint itself; DTMF; glare.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{A, ANSWER, Bench, OFFER, addr, body, config, config_with, field, has};
use sim::tserver::{CallUuid, Config, CtiControl, EventKind, PartyState, Request, RequestError};

fn without_hold() -> Config {
    config_with(|dn| {
        dn.cti_control.hold = false;
    })
}

fn hold(bench: &mut Bench, call: &CallUuid) {
    bench.ask(Request::HoldCall {
        dn: "1002".to_owned(),
        call: call.clone(),
    });
}

fn retrieve(bench: &mut Bench, call: &CallUuid) {
    bench.ask(Request::RetrieveCall {
        dn: "1002".to_owned(),
        call: call.clone(),
    });
}

fn state(bench: &Bench) -> PartyState {
    bench.server.calls()[0].parties[1].state
}

fn held_sdp() -> String {
    format!("{ANSWER}a=sendonly\r\n")
}

#[test]
fn thold_is_a_notify_and_the_hold_is_the_endpoints_reinvite() {
    let mut bench = Bench::registered(config());
    let (call, invite) = bench.talking();
    hold(&mut bench, &call);
    let notify = bench.expect("NOTIFY ");
    assert_eq!(field(&notify, "Event"), "hold");
    assert_eq!(field(&notify, "Subscription-State"), "active");
    assert_eq!(field(&notify, "CSeq"), "4 NOTIFY");
    bench.answer(A, &notify, "200 OK", None);
    assert_eq!(
        state(&bench),
        PartyState::Established,
        "not by the 200 alone"
    );
    bench.in_dialog(A, &invite, "INVITE", 1, Some(&held_sdp()));
    let ok = bench.expect("SIP/2.0 200 OK");
    assert!(body(&ok).ends_with("a=recvonly\r\n"), "{ok}");
    bench.in_dialog(A, &invite, "ACK", 1, None);
    assert_eq!(state(&bench), PartyState::Held);
    assert_eq!(
        bench.media.last().unwrap().remote,
        None,
        "the customer is silent"
    );
    retrieve(&mut bench, &call);
    let notify = bench.expect("NOTIFY ");
    assert_eq!(field(&notify, "Event"), "talk");
    bench.answer(A, &notify, "200 OK", None);
    bench.in_dialog(A, &invite, "INVITE", 2, Some(OFFER));
    let ok = bench.expect("SIP/2.0 200 OK");
    assert!(!body(&ok).contains("only"));
    bench.in_dialog(A, &invite, "ACK", 2, None);
    bench.nothing();
    assert_eq!(
        bench.media.last().unwrap().remote,
        Some(addr("198.51.100.3:8000"))
    );
    let kinds: Vec<_> = bench.kinds().into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, [EventKind::Held, EventKind::Retrieved]);
}

#[test]
fn without_hold_in_cti_control_the_agent_gets_a_black_hole() {
    let mut bench = Bench::registered(without_hold());
    let (call, _) = bench.talking();
    hold(&mut bench, &call);
    let again = bench.expect("INVITE ");
    assert!(body(&again).contains("c=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 10000"));
    assert_eq!(field(&again, "Supported"), "timer");
    bench.answer(A, &again, "200 OK", Some(ANSWER));
    let ack = bench.expect("ACK ");
    assert_eq!(body(&ack), "");
    assert_eq!(state(&bench), PartyState::Held);
    assert_eq!(bench.media.last().unwrap().remote, None);
    retrieve(&mut bench, &call);
    let again = bench.expect("INVITE ");
    assert_eq!(body(&again), "");
    bench.answer(A, &again, "200 OK", Some(OFFER));
    bench.pass(142);
    let ack = bench.expect("ACK ");
    assert!(body(&ack).contains("m=audio 20000 RTP/AVP 0 101"));
    assert_eq!(state(&bench), PartyState::Established);
    assert!(bench.media.last().unwrap().remote.is_some());
}

#[test]
fn the_endpoint_holds_by_itself_with_0_0_0_0() {
    let mut bench = Bench::registered(config());
    let (_, invite) = bench.talking();
    let sdp = OFFER.replace("c=IN IP4 198.51.100.3", "c=IN IP4 0.0.0.0");
    bench.in_dialog(A, &invite, "INVITE", 1, Some(&sdp));
    let ok = bench.expect("SIP/2.0 200 OK");
    bench.pass(500);
    assert_eq!(ok, bench.take(), "repeated until the ACK");
    bench.in_dialog(A, &invite, "ACK", 1, None);
    bench.pass(60_000);
    bench.nothing();
    assert_eq!(state(&bench), PartyState::Held);
}

#[test]
fn a_2xx_that_is_never_acknowledged_ends_the_call() {
    let mut bench = Bench::registered(config());
    let (_, invite) = bench.talking();
    bench.in_dialog(A, &invite, "INVITE", 1, Some(&held_sdp()));
    bench.pass(33_000);
    assert!(bench.server.calls().is_empty());
    let last = bench
        .sent
        .iter()
        .map(|(_, t)| &t.bytes)
        .any(|bytes| bytes.starts_with(b"BYE"));
    assert!(last);
}

#[test]
fn a_reinvite_that_meets_ours_gets_491_and_ours_is_tried_again() {
    let mut bench = Bench::registered(without_hold());
    let (call, invite) = bench.talking();
    hold(&mut bench, &call);
    let again = bench.expect("INVITE ");
    bench.in_dialog(A, &invite, "INVITE", 1, Some(OFFER));
    let refusal = bench.expect("SIP/2.0 491 ");
    assert_eq!(field(&refusal, "CSeq"), "1 INVITE");
    bench.in_dialog(A, &invite, "ACK", 1, None);
    bench.answer(A, &again, "491 Request Pending", None);
    bench.expect("ACK ");
    bench.sent.clear();
    bench.pass(2_099);
    let early = bench
        .sent
        .iter()
        .filter(|(_, t)| t.bytes.starts_with(b"INVITE"));
    assert_eq!(
        early.count(),
        0,
        "the owner of the Call-ID waits 2.1 s at least"
    );
    bench.pass(1_901);
    let retry = bench
        .sent
        .iter()
        .map(|(_, t)| String::from_utf8(t.bytes.clone()).unwrap())
        .find(|text| text.starts_with("INVITE"))
        .unwrap();
    assert_eq!(field(&retry, "CSeq"), "5 INVITE");
    bench.answer(A, &retry, "200 OK", Some(ANSWER));
    assert_eq!(state(&bench), PartyState::Held);
}

#[test]
fn a_refused_notify_hold_is_an_error_event() {
    let mut bench = Bench::registered(config());
    let (call, _) = bench.talking();
    hold(&mut bench, &call);
    let notify = bench.expect("NOTIFY ");
    bench.answer(A, &notify, "489 Bad Event", None);
    let (_, kind) = bench.kinds().remove(0);
    assert_eq!(
        kind,
        EventKind::Error {
            request: "THoldCall",
            message: "the endpoint answered 489".to_owned()
        }
    );
    assert_eq!(state(&bench), PartyState::Established);
}

#[test]
fn digits_go_one_by_one_as_notify_dtmf() {
    let mut bench = Bench::registered(config());
    let (call, _) = bench.talking();
    let digits = |digits: &str| Request::SendDtmf {
        dn: "1002".to_owned(),
        call: call.clone(),
        digits: digits.to_owned(),
    };
    bench.ask(digits("5#"));
    for digit in ["5", "#"] {
        let notify = bench.expect("NOTIFY ");
        assert_eq!(field(&notify, "Event"), "dtmf");
        assert_eq!(field(&notify, "Content-Type"), "application/dtmf-relay");
        assert_eq!(body(&notify), format!("Signal={digit}\r\nDuration=160\r\n"));
        bench.nothing();
        bench.answer(A, &notify, "200 OK", None);
    }
    let (_, kind) = bench.kinds().remove(0);
    assert_eq!(
        kind,
        EventKind::DtmfSent {
            digits: "5#".to_owned()
        }
    );
    let refused = bench.server.request(bench.now, digits("5x"));
    assert_eq!(refused, Err(RequestError::Digits));
}

#[test]
fn without_dtmf_in_cti_control_digits_go_as_info() {
    let settings = config_with(|dn| {
        dn.cti_control.dtmf = false;
    });
    let mut bench = Bench::registered(settings);
    let (call, _) = bench.talking();
    bench.ask(Request::SendDtmf {
        dn: "1002".to_owned(),
        call,
        digits: "7".to_owned(),
    });
    let info = bench.expect("INFO ");
    assert!(!has(&info, "Event"));
    assert_eq!(body(&info), "Signal=7\r\nDuration=160\r\n");
}

#[test]
fn requests_that_the_state_forbids_are_refused_and_reported() {
    let mut bench = Bench::registered(config());
    let (call, _) = bench.ringing();
    bench.events.clear();
    let now = bench.now;
    let refused = bench.server.request(
        now,
        Request::HoldCall {
            dn: "1002".to_owned(),
            call: call.clone(),
        },
    );
    assert_eq!(refused, Err(RequestError::State(PartyState::Ringing)));
    bench.drain();
    assert!(matches!(
        bench.kinds().remove(0).1,
        EventKind::Error {
            request: "THoldCall",
            ..
        }
    ));
    let settings = CtiControl {
        talk: false,
        hold: false,
        dtmf: false,
        beep: false,
    };
    bench.control(sim::tserver::Control::SetDn {
        dn: "1002".to_owned(),
        cti_control: Some(settings),
        make_call_flow: None,
    });
    let refused = bench.server.request(
        now,
        Request::AnswerCall {
            dn: "1002".to_owned(),
            call,
        },
    );
    assert_eq!(refused, Err(RequestError::NotControllable));
}

#[test]
fn the_session_is_refreshed_without_sdp_after_900_seconds() {
    let mut bench = Bench::registered(config());
    bench.talking();
    bench.register("1002", A, 7200);
    bench.sent.clear();
    bench.pass(899_000);
    bench.nothing();
    bench.pass(1_000);
    let refresh = bench.expect("INVITE ");
    assert_eq!(body(&refresh), "");
    bench.answer(A, &refresh, "200 OK", Some(OFFER));
    bench.pass(142);
    bench.expect("ACK ");
    assert_eq!(state(&bench), PartyState::Established);
}

#[test]
fn talternate_holds_one_dialog_and_retrieves_the_other() {
    let mut bench = Bench::registered(config());
    let (first, first_invite) = bench.talking();
    bench.in_dialog(A, &first_invite, "INVITE", 1, Some(&held_sdp()));
    bench.expect("SIP/2.0 200 ");
    bench.in_dialog(A, &first_invite, "ACK", 1, None);
    let (second, second_invite) = bench.talking();
    let alternate = |call: &CallUuid, held: &CallUuid| Request::AlternateCall {
        dn: "1002".to_owned(),
        call: call.clone(),
        held: held.clone(),
    };
    let wrong = bench.server.request(bench.now, alternate(&first, &second));
    assert_eq!(wrong, Err(RequestError::State(PartyState::Held)));
    bench.ask(alternate(&second, &first));
    let hold = bench.expect("NOTIFY ");
    let talk = bench.expect("NOTIFY ");
    assert_eq!(
        (field(&hold, "Event"), field(&hold, "Call-ID")),
        ("hold".to_owned(), field(&second_invite, "Call-ID"))
    );
    assert_eq!(
        (field(&talk, "Event"), field(&talk, "Call-ID")),
        ("talk".to_owned(), field(&first_invite, "Call-ID"))
    );
    bench.in_dialog(A, &second_invite, "INVITE", 1, Some(&held_sdp()));
    bench.in_dialog(A, &first_invite, "INVITE", 2, Some(OFFER));
    let states: Vec<_> = bench
        .server
        .calls()
        .iter()
        .map(|c| c.parties[1].state)
        .collect();
    assert_eq!(states, [PartyState::Established, PartyState::Held]);
}
