//! Third parties as the endpoint sees them: the borrowed dialog, the Media Server, a switch-over.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{A, ANSWER, B, Bench, OFFER, body, config, config_with, field};
use sim::tserver::{CallUuid, Config, Control, PartyState, Request, RequestError, SessionConfig};

fn single_dialog() -> Config {
    config_with(|dn| {
        dn.dual_dialog = false;
    })
}

fn states(bench: &Bench, call: &CallUuid) -> Vec<PartyState> {
    let view = bench.server.call(call).unwrap();
    view.parties.iter().map(|party| party.state).collect()
}

/// Answers a re-INVITE of SIP Server and gives its ACK.
fn agrees(bench: &mut Bench, sdp: &str) -> (String, String) {
    let invite = bench.expect("INVITE sip:1002@");
    bench.answer(A, &invite, "200 OK", Some(sdp));
    bench.pass(142);
    (invite, bench.expect("ACK sip:1002@"))
}

#[test]
fn a_consultation_borrows_the_dialog_and_gives_it_back() {
    let mut bench = Bench::registered(single_dialog());
    let (call, first) = bench.talking();
    let consult = bench.ask(Request::InitiateTransfer {
        dn: "1002".to_owned(),
        call: call.clone(),
        to: "0309876543".to_owned(),
    });
    let (hold, _) = agrees(&mut bench, ANSWER);
    assert_eq!(field(&hold, "Call-ID"), field(&first, "Call-ID"));
    assert!(body(&hold).contains("c=IN IP4 0.0.0.0"));
    assert_eq!(field(&hold, "X-Genesys-CallUUID"), consult.0);
    bench.pass(1_500);
    let (talk, _) = agrees(&mut bench, OFFER);
    assert_eq!(field(&talk, "Call-ID"), field(&first, "Call-ID"));
    assert_eq!(states(&bench, &consult)[0], PartyState::Established);
    assert_eq!(states(&bench, &call)[1], PartyState::Held);
    // To and fro, and back.
    bench.ask(Request::AlternateCall {
        dn: "1002".to_owned(),
        call: consult.clone(),
        held: call.clone(),
    });
    let (again, ack) = agrees(&mut bench, OFFER);
    assert_eq!(field(&again, "X-Genesys-CallUUID"), call.0);
    assert!(body(&ack).contains("m=audio 20000"), "{ack}");
    assert_eq!(states(&bench, &consult)[0], PartyState::Held);
    bench.ask(Request::ReconnectCall {
        dn: "1002".to_owned(),
        call: consult.clone(),
    });
    assert!(bench.server.call(&consult).is_none());
    let sent = bench.sent.iter().map(|(_, sent)| sent.bytes.clone());
    assert!(!sent.into_iter().any(|bytes| bytes.starts_with(b"BYE")));
}

#[test]
fn a_conference_takes_the_main_dialog_to_the_media_server() {
    let mut settings = config();
    settings.customer_media = (0..6)
        .map(|index| bench::addr(&format!("192.0.2.90:{}", 20_000 + 2 * index)))
        .collect();
    let mut bench = Bench::registered(settings);
    let (call, _) = bench.talking();
    let now = bench.now;
    let alone = bench.server.request(
        now,
        Request::CompleteConference {
            dn: "1002".to_owned(),
            call: call.clone(),
        },
    );
    assert_eq!(alone, Err(RequestError::NoCall));
    bench.ask(Request::SingleStepConference {
        dn: "1002".to_owned(),
        call: call.clone(),
        to: "1003".to_owned(),
    });
    let bridge = bench.expect("INVITE sip:1002@");
    assert!(body(&bridge).contains("RTP/AVP 8 0 96"), "{bridge}");
    let out = bench.expect("INVITE sip:1003@");
    bench.answer(A, &bridge, "200 OK", Some(ANSWER));
    bench.expect("ACK sip:1002@");
    bench.answer(B, &out, "180 Ringing", None);
    bench.answer(B, &out, "200 OK", Some(ANSWER));
    bench.pass(88);
    bench.expect("ACK sip:1003@");
    assert_eq!(states(&bench, &call), [PartyState::Established; 3]);
    assert_eq!(bench.bridges.iter().filter(|port| !port.ended).count(), 4);
    bench.sent.clear();
    bench.ask(Request::DeleteFromConference {
        dn: "1002".to_owned(),
        call: call.clone(),
        number: "1003".to_owned(),
    });
    bench.expect("BYE sip:1003@");
    let (_, ack) = agrees(&mut bench, OFFER);
    assert!(body(&ack).contains("m=audio 20000"), "{ack}");
    assert_eq!(states(&bench, &call).len(), 2);
}

#[test]
fn a_conference_without_ports_touches_no_dialog() {
    let mut bench = Bench::registered(config());
    let (call, _) = bench.talking();
    let now = bench.now;
    let refused = bench.server.request(
        now,
        Request::SingleStepConference {
            dn: "1002".to_owned(),
            call,
            to: "1003".to_owned(),
        },
    );
    assert_eq!(refused, Err(RequestError::NoMedia));
    bench.drain();
    bench.nothing();
}

#[test]
fn a_switch_over_keeps_what_was_confirmed() {
    let mut bench = Bench::registered(config());
    let (call, first) = bench.talking();
    bench.ask(Request::HoldCall {
        dn: "1002".to_owned(),
        call: call.clone(),
    });
    bench.expect("NOTIFY ");
    bench.control(Control::Switchover);
    bench.pass(5_000);
    // The NOTIFY is not repeated: the backup never heard of it. The dialog goes on.
    bench.nothing();
    bench.in_dialog(A, &first, "INFO", 1, None);
    bench.expect("SIP/2.0 200 ");
    assert_eq!(bench.server.counts().registrations, 2);
    bench.ask(Request::ReleaseCall {
        dn: "1002".to_owned(),
        call,
    });
    bench.expect("BYE sip:1002@");
}

/// An agent who talks, and who has begun a consultation on the dialog of the call: the bench, the call, and the consultation.
fn consulting_on_one_dialog() -> (Bench, CallUuid, CallUuid) {
    let mut bench = Bench::registered(single_dialog());
    let (call, _) = bench.talking();
    let consult = bench.ask(Request::InitiateTransfer {
        dn: "1002".to_owned(),
        call: call.clone(),
        to: "0309876543".to_owned(),
    });
    agrees(&mut bench, ANSWER);
    (bench, call, consult)
}

/// The backup knows nothing of a consultation that still rings: the dialog that it had borrowed is the main call's again.
#[test]
fn a_switch_over_gives_a_borrowed_dialog_back() {
    let (mut bench, call, consult) = consulting_on_one_dialog();
    bench.control(Control::Switchover);
    assert!(bench.server.call(&consult).is_none());
    let (hold, _) = agrees(&mut bench, ANSWER);
    assert_eq!(field(&hold, "X-Genesys-CallUUID"), call.0);
    assert!(body(&hold).contains("c=IN IP4 0.0.0.0"));
    assert_eq!(states(&bench, &call)[1], PartyState::Held);
}

/// The next primary is lost as well, before the endpoint has heard that: its backup says so again, and the endpoint does not stay with a call that is over.
#[test]
fn a_second_switch_over_gives_it_back_all_the_same() {
    let (mut bench, call, _) = consulting_on_one_dialog();
    bench.control(Control::Switchover);
    bench.expect("INVITE sip:1002@");
    bench.control(Control::Switchover);
    let (hold, _) = agrees(&mut bench, ANSWER);
    assert_eq!(field(&hold, "X-Genesys-CallUUID"), call.0);
    assert!(body(&hold).contains("c=IN IP4 0.0.0.0"));
    assert_eq!(states(&bench, &call)[1], PartyState::Held);
    bench.control(Control::Switchover);
    bench.nothing();
}

/// A re-INVITE of the endpoint's own is under way for longer than the hold of a dialog that comes back is tried. The hold is given up, and the endpoint asked
/// where its media is until it says so: its customer sends nowhere meanwhile.
#[test]
fn an_endpoint_that_is_busy_is_asked_until_it_answers() {
    let (mut bench, call, consult) = consulting_on_one_dialog();
    bench.pass(1_500);
    agrees(&mut bench, OFFER);
    bench.ask(Request::CustomerHangup { call: consult });
    let next = |bench: &mut Bench| {
        let tens_of_ms = (0..500).find(|_| {
            bench.pass(10);
            !bench.sent.is_empty()
        });
        assert!(tens_of_ms.is_some(), "it is not asked again");
        bench.expect("INVITE sip:1002@")
    };
    for _ in 0..30 {
        let invite = next(&mut bench);
        bench.answer(A, &invite, "491 Request Pending", None);
        bench.expect("ACK sip:1002@");
    }
    assert_eq!(states(&bench, &call)[1], PartyState::Established);
    let asked = next(&mut bench);
    assert!(body(&asked).is_empty(), "{asked}");
    bench.answer(A, &asked, "200 OK", Some(OFFER));
    bench.pass(142);
    let ack = bench.expect("ACK sip:1002@");
    assert!(body(&ack).contains("m=audio 20000"), "{ack}");
}

/// A recording begins, and the primary is lost before the endpoint has said where its media is: the backup asks again, and both are heard.
#[test]
fn a_switch_over_connects_whoever_was_about_to_be() {
    let mut bench = Bench::registered(config());
    let (call, _) = bench.talking();
    bench.ask(Request::RecordCall {
        dn: "1002".to_owned(),
        call: call.clone(),
        on: true,
    });
    bench.expect("INVITE sip:1002@");
    bench.control(Control::Switchover);
    let (asked, ack) = agrees(&mut bench, OFFER);
    assert!(body(&asked).is_empty(), "{asked}");
    assert!(body(&ack).contains("m=audio "), "{ack}");
    bench.pass(5_000);
    bench.nothing();
}

#[test]
fn an_endpoint_that_does_not_refresh_loses_its_call() {
    let mut settings = config_with(|dn| {
        dn.session = SessionConfig {
            interval_s: 90,
            refreshes: false,
            ..SessionConfig::default()
        };
    });
    settings.reinvite_after_answer = false;
    let mut bench = Bench::registered(settings);
    let (_, invite) = bench.ringing();
    assert_eq!(field(&invite, "Session-Expires"), "90;refresher=uas");
    let ok = bench::answer(A, &invite, "200 OK", Some(ANSWER)).replace(
        "Content-Type",
        "Require: timer\r\nSession-Expires: 90;refresher=uas\r\nContent-Type",
    );
    bench.put(A, &ok);
    bench.pass(100);
    bench.sent.clear();
    bench.pass(59_000);
    assert_eq!(bench.server.calls().len(), 1);
    bench.pass(1_000);
    assert!(bench.server.calls().is_empty());
}
