//! What SIP Server says that moves no call, how calls want to ring, and a number that rings at two phones.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{A, Bench, OFFER, body, config_with, field, has};
use sim::tserver::{
    Alert, Aside, Control, CustomerAnswer, CustomerConfig, PartyState, Remark, Request,
    SessionConfig,
};

/// The words of the annex are the headers of the INVITE; those of a TMakeCall are others.
#[test]
fn calls_say_how_they_want_to_ring() {
    for (alert, name, value) in [
        (
            Alert::Ring("alert-external"),
            "Alert-Info",
            "<http://127.0.0.1/ring>;info=alert-external",
        ),
        (
            Alert::AutoAnswer,
            "Alert-Info",
            "<http://127.0.0.1/ring>;info=alert-autoanswer",
        ),
        (Alert::RingAnswer, "Alert-Info", "ring answer"),
        (
            Alert::AnswerAfter(3),
            "Call-Info",
            "<http://127.0.0.1/>;answer-after=3",
        ),
    ] {
        let mut bench = Bench::registered(config_with(|dn| dn.alert = alert));
        let (_, invite) = bench.ringing();
        assert_eq!(field(&invite, name), value);

        let mut bench = Bench::registered(config_with(|dn| dn.make_call_alert = alert));
        let (_, invite) = bench.ringing();
        assert!(!has(&invite, name), "no TMakeCall");
        bench.ask(Request::MakeCall {
            dn: "1002".to_owned(),
            to: "5550100".to_owned(),
        });
        assert_eq!(field(&bench.take(), name), value);
    }
}

/// `use-contact-as-dn`: the user of Contact is registered, whoever To names.
#[test]
fn the_user_of_contact_is_the_dn() {
    let mut bench = Bench::new(config_with(|dn| dn.use_contact_as_dn = true));
    let text = bench::register("1002", A, "r1", 300);
    let text = text.replace("To: <sip:1002@", "To: <sip:somebody@");
    bench.put(A, &text);
    bench.expect("SIP/2.0 200 ");
    assert_eq!(bench.server.registrations()[0].dn, "1002");
}

/// The session is refreshed by UPDATE; an endpoint that has no room just then gets a re-INVITE, one that knows no such dialog loses the call.
#[test]
fn a_session_is_refreshed_by_update() {
    let settings = config_with(|dn| {
        dn.session = SessionConfig {
            interval_s: 90,
            by_update: true,
            ..SessionConfig::default()
        };
    });
    let mut bench = Bench::registered(settings);
    bench.talking();
    bench.pass(44_858);
    let update = bench.expect("UPDATE sip:1002@");
    assert_eq!(field(&update, "Session-Expires"), "90;refresher=uac");
    assert_eq!(field(&update, "Supported"), "timer");
    assert_eq!(body(&update), "");
    bench.answer(A, &update, "200 OK", None);
    bench.pass(45_000);
    let update = bench.expect("UPDATE sip:1002@");
    bench.answer(A, &update, "503 Service Unavailable", None);
    let invite = bench.expect("INVITE sip:1002@");
    bench.answer(A, &invite, "200 OK", Some(OFFER));
    bench.pass(200);
    bench.expect("ACK ");
    bench.pass(45_000);
    let update = bench.expect("UPDATE sip:1002@");
    bench.answer(A, &update, "481 Call/Transaction Does Not Exist", None);
    assert!(bench.server.calls().is_empty());
}

/// A target refresh: the dialog's Contact is another one from then on, in re-INVITEs too.
#[test]
fn a_dialog_moves_to_another_contact() {
    let mut bench = Bench::registered(config_with(|dn| dn.cti_control.hold = false));
    let (call, invite) = bench.talking();
    let dn = "1002".to_owned();
    bench.ask(Request::Aside {
        dn: dn.clone(),
        call: call.clone(),
        aside: Aside::Target,
    });
    let update = bench.expect("UPDATE sip:1002@");
    let contact = field(&update, "Contact");
    assert_ne!(contact, field(&invite, "Contact"));
    bench.answer(A, &update, "200 OK", None);
    bench.ask(Request::HoldCall { dn, call });
    assert_eq!(field(&bench.expect("INVITE "), "Contact"), contact);
}

/// Whatever becomes of it, nothing follows for the call.
#[test]
fn asides_and_remarks_change_nothing() {
    let mut bench = Bench::registered(config_with(|_| {}));
    let (call, _) = bench.talking();
    for (aside, start) in [
        (Aside::Options, "OPTIONS sip:1002@"),
        (Aside::Message("hello".to_owned()), "MESSAGE sip:1002@"),
        (Aside::Event("presence"), "NOTIFY sip:1002@"),
        (Aside::Keys("5".to_owned()), "INFO sip:1002@"),
    ] {
        bench.ask(Request::Aside {
            dn: "1002".to_owned(),
            call: call.clone(),
            aside,
        });
        let request = bench.expect(start);
        assert!(field(&request, "To").contains(";tag="));
        bench.answer(A, &request, "405 Method Not Allowed", None);
    }
    for (remark, start, event) in [
        (
            Remark::Messages { new: 2, old: 7 },
            "NOTIFY ",
            "message-summary",
        ),
        (Remark::Event("presence"), "NOTIFY ", "presence"),
        (Remark::Subscribe("dialog"), "SUBSCRIBE ", "dialog"),
    ] {
        let dn = "1002".to_owned();
        bench.control(Control::Remark { dn, remark });
        let request = bench.expect(start);
        assert_eq!(field(&request, "Event"), event);
        assert!(!field(&request, "To").contains(";tag="));
        if event == "message-summary" {
            assert!(body(&request).contains("Voice-Message: 2/7"));
        }
        bench.answer(A, &request, "489 Bad Event", None);
    }
    assert_eq!(bench.kinds(), [], "no desktop hears of it");
    assert_eq!(
        bench.server.calls()[0].parties[1].state,
        PartyState::Established
    );
    bench.nothing();
}

/// Both phones ring, one answers: 18x with two tags, the 200 with that of the second.
#[test]
fn a_number_rings_at_two_phones() {
    let mut settings = config_with(|_| {});
    settings.customer.forks = true;
    let mut bench = Bench::registered(settings);
    let invite = format!(
        "INVITE sip:0301@192.0.2.81:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {A};branch=z9hG4bKc1\r\n\
         From: <sip:1002@192.0.2.81>;tag=agent\r\nTo: <sip:0301@192.0.2.81>\r\nCall-ID: c1\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:1002@{A}>\r\nMax-Forwards: 70\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OFFER}",
        OFFER.len()
    );
    bench.put(A, &invite);
    bench.expect("SIP/2.0 100 ");
    let own = field(&bench.expect("SIP/2.0 180 "), "To");
    let other = field(&bench.expect("SIP/2.0 180 "), "To");
    assert_ne!(own, other);
    let early = bench.expect("SIP/2.0 183 ");
    assert_eq!(field(&early, "To"), other);
    assert!(body(&early).contains("m=audio 29998 "));
    bench.pass(1_500);
    let ok = bench.expect("SIP/2.0 200 ");
    assert_eq!(field(&ok, "To"), own);
    assert!(!body(&ok).contains("m=audio 29998 "));
}

/// A customer without telephone events describes none, and takes none.
#[test]
fn a_phone_may_have_no_telephone_events() {
    let mut settings = config_with(|_| {});
    settings.customer.telephone_event = false;
    let mut bench = Bench::registered(settings);
    let (_, invite) = bench.ringing();
    assert!(!body(&invite).contains("telephone-event"));
}

/// Whoever hands a call on is told that the target rings, and that it refuses: the call stays then.
#[test]
fn a_transfer_that_fails_says_so() {
    for (number, news) in [("5550100", "200 OK"), ("0800", "486 ")] {
        let mut settings = config_with(|_| {});
        settings.refer_progress = true;
        let busy = CustomerConfig {
            then: CustomerAnswer::Refuse(486),
            ..settings.customer
        };
        settings.customers.insert("0800".to_owned(), busy);
        let mut bench = Bench::registered(settings);
        let (_, invite) = bench.talking();
        let refer = format!(
            "REFER sip:x@192.0.2.81:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {A};branch=z9hG4bKrefer\r\n\
             From: {};tag=endpoint-1002\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 REFER\r\n\
             Refer-To: <sip:{number}@192.0.2.81>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            field(&invite, "To"),
            field(&invite, "From"),
            field(&invite, "Call-ID"),
        );
        bench.put(A, &refer);
        bench.expect("SIP/2.0 202 ");
        for (ms, news) in [(0, "100 "), (60, "180 "), (1_500, news)] {
            bench.pass(ms);
            let notify = bench.expect("NOTIFY ");
            let told = format!("SIP/2.0 {news}");
            assert!(body(&notify).starts_with(&told), "{notify}");
            let last = field(&notify, "Subscription-State").starts_with("terminated");
            assert_eq!(last, ms == 1_500);
            bench.answer(A, &notify, "200 OK", None);
        }
        let calls = bench.server.calls();
        let stays = calls[0].parties.iter();
        let stays = stays.filter(|party| party.leg.is_some()).count();
        assert_eq!(stays, usize::from(number == "0800"));
    }
}
