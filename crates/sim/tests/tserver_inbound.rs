//! A call to an agent: INVITE, NOTIFY talk, the answer and the offerless re-INVITE after it.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{A, ANSWER, Bench, OFFER, body, config, config_with, field, has, param};
use sim::tserver::{
    ConnectionId, Control, EventKind, Input, LegState, PartyState, Request, RequestError, Source,
    Transport,
};

#[test]
fn the_invite_has_the_traced_form() {
    let mut bench = Bench::registered(config());
    let (call, invite) = bench.ringing();
    let tag = param(&field(&invite, "From"), "tag");
    let branch = param(&field(&invite, "Via"), "branch");
    let call_id = field(&invite, "Call-ID");
    let sdp = body(&invite);
    assert_eq!(
        invite,
        format!(
            "INVITE sip:1002@198.51.100.3:5060 SIP/2.0\r\n\
             From: sip:0301234567@192.0.2.81:5060;tag={tag}\r\n\
             To: sip:1002@192.0.2.81:5060\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 INVITE\r\n\
             Content-Length: {}\r\n\
             Content-Type: application/sdp\r\n\
             Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\n\
             Contact: <sip:0301234567@192.0.2.81:5060>\r\n\
             Allow: ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, REFER, UPDATE\r\n\
             Max-Forwards: 70\r\n\
             X-Genesys-CallUUID: {call}\r\n\
             Session-Expires: 1800;refresher=uac\r\n\
             Min-SE: 90\r\n\
             Supported: uui,100rel,timer\r\n\r\n{sdp}",
            sdp.len()
        )
    );
    assert_eq!(
        sdp,
        "v=0\r\no=Genesys 1770020000 1 IN IP4 192.0.2.81\r\ns=customer\r\n\
         c=IN IP4 192.0.2.90\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0 8 101\r\n\
         a=rtpmap:0 pcmu/8000\r\na=rtpmap:8 pcma/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-15\r\n"
    );
    assert!(call_id.ends_with("-1@192.0.2.81"));
    assert!(!has(&invite, "User-Agent"));
}

#[test]
fn tanswercall_is_a_notify_inside_the_early_dialog() {
    let mut bench = Bench::registered(config());
    let (call, invite) = bench.ringing();
    bench.ask(Request::AnswerCall {
        dn: "1002".to_owned(),
        call: call.clone(),
    });
    let notify = bench.take();
    let branch = param(&field(&notify, "Via"), "branch");
    assert_eq!(
        notify,
        format!(
            "NOTIFY sip:1002@198.51.100.3:5060 SIP/2.0\r\n\
             From: {}\r\n\
             To: sip:1002@192.0.2.81:5060;tag=endpoint-1002\r\n\
             Call-ID: {}\r\n\
             CSeq: 2 NOTIFY\r\n\
             Content-Length: 0\r\n\
             Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\n\
             Contact: <sip:0301234567@192.0.2.81:5060>\r\n\
             Event: talk\r\n\
             Subscription-State: active\r\n\
             Max-Forwards: 70\r\n\
             X-Genesys-CallUUID: {call}\r\n\r\n",
            field(&invite, "From"),
            field(&invite, "Call-ID"),
        )
    );
}

#[test]
fn an_unanswered_notify_is_repeated_by_timer_e_and_ends_in_an_error() {
    let mut bench = Bench::registered(config());
    let (call, _) = bench.ringing();
    let start = bench.now.duration_since(bench.start).as_millis();
    bench.ask(Request::AnswerCall {
        dn: "1002".to_owned(),
        call,
    });
    bench.pass(40_000);
    let times: Vec<u128> = bench.sent.iter().map(|(at, _)| at - start).collect();
    assert_eq!(
        times,
        [
            0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    let first = bench.sent[0].1.bytes.clone();
    assert!(bench.sent.iter().all(|(_, t)| t.bytes == first));
    let (_, last) = bench.kinds().pop().unwrap();
    assert!(
        matches!(&last, EventKind::Error { request, .. } if *request == "TAnswerCall"),
        "{last:?}"
    );
    // The call rings on.
    assert_eq!(
        bench.server.calls()[0].parties[1].state,
        PartyState::Ringing
    );
}

#[test]
fn the_answer_is_followed_by_an_offerless_reinvite_answered_in_the_ack() {
    let mut bench = Bench::registered(config());
    let (call, invite) = bench.ringing();
    bench.ask(Request::AnswerCall {
        dn: "1002".to_owned(),
        call: call.clone(),
    });
    let notify = bench.take();
    bench.answer(A, &notify, "200 OK", None);
    bench.answer(A, &invite, "200 OK", Some(ANSWER));
    bench.nothing();
    bench.pass(87);
    bench.nothing();
    bench.pass(1);
    let ack = bench.take();
    let branch = param(&field(&ack, "Via"), "branch");
    let (from, to) = (field(&invite, "From"), field(&ack, "To"));
    let call_id = field(&invite, "Call-ID");
    assert_eq!(
        ack,
        format!(
            "ACK sip:1002@198.51.100.3:5060 SIP/2.0\r\nFrom: {from}\r\n\
             To: sip:1002@192.0.2.81:5060;tag=endpoint-1002\r\nCall-ID: {call_id}\r\n\
             CSeq: 1 ACK\r\nContent-Length: 0\r\n\
             Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\nMax-Forwards: 70\r\n\
             X-Genesys-CallUUID: {call}\r\n\r\n"
        )
    );
    bench.pass(12);
    let again = bench.take();
    let branch = param(&field(&again, "Via"), "branch");
    assert_eq!(
        again,
        format!(
            "INVITE sip:1002@198.51.100.3:5060 SIP/2.0\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: 3 INVITE\r\nContent-Length: 0\r\n\
             Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\n\
             Contact: <sip:0301234567@192.0.2.81:5060>\r\n\
             Allow: INVITE, ACK, PRACK, CANCEL, BYE, REFER, INFO, MESSAGE, NOTIFY, OPTIONS\r\n\
             Max-Forwards: 70\r\nX-Genesys-CallUUID: {call}\r\n\
             Session-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\nSupported: timer\r\n\r\n"
        )
    );
    bench.answer(A, &again, "200 OK", Some(OFFER));
    bench.pass(142);
    let ack = bench.expect("ACK ");
    assert_eq!(field(&ack, "CSeq"), "3 ACK");
    assert_eq!(
        body(&ack),
        "v=0\r\no=Genesys 1770020000 2 IN IP4 192.0.2.81\r\ns=customer\r\n\
         c=IN IP4 192.0.2.90\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0 101\r\n\
         a=rtpmap:0 pcmu/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
    );
    let kinds = bench.kinds();
    let of = |kind: EventKind| ("1002".to_owned(), kind);
    assert_eq!(kinds, [of(EventKind::Ringing), of(EventKind::Established)]);
    let leg = bench.server.legs().remove(0);
    assert_eq!((leg.state, leg.idle), (LegState::Confirmed, true));
    let media = bench.media.last().unwrap();
    assert_eq!(media.remote, Some(bench::addr("198.51.100.3:8000")));
    assert_eq!(media.telephone_event, Some(101));
}

#[test]
fn a_repeated_200_is_acknowledged_again() {
    let mut bench = Bench::registered(config());
    let (_, invite) = bench.ringing();
    bench.answer(A, &invite, "200 OK", Some(ANSWER));
    bench.pass(88);
    let ack = bench.expect("ACK ");
    bench.answer(A, &invite, "200 OK", Some(ANSWER));
    assert_eq!(ack, bench.take());
    // Also when the ACK was lost and the re-INVITE is already acknowledged.
    bench.pass(12);
    let again = bench.expect("INVITE ");
    bench.answer(A, &again, "200 OK", Some(OFFER));
    bench.pass(142);
    bench.expect("ACK ");
    bench.answer(A, &invite, "200 OK", Some(ANSWER));
    assert_eq!(ack, bench.take());
}

#[test]
fn a_refusal_is_acknowledged_with_via_first() {
    let mut bench = Bench::registered(config());
    let (_, invite) = bench.ringing();
    bench.answer(A, &invite, "486 Busy Here", None);
    let ack = bench.take();
    assert_eq!(
        ack,
        format!(
            "ACK sip:1002@198.51.100.3:5060 SIP/2.0\r\nVia: {}\r\nFrom: {}\r\n\
             To: sip:1002@192.0.2.81:5060;tag=endpoint-1002\r\nCall-ID: {}\r\nCSeq: 1 ACK\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            field(&invite, "Via"),
            field(&invite, "From"),
            field(&invite, "Call-ID")
        )
    );
    bench.answer(A, &invite, "486 Busy Here", None);
    assert_eq!(
        ack,
        bench.take(),
        "a repeated refusal is acknowledged again"
    );
    bench.nothing();
    assert!(bench.server.calls().is_empty());
    assert!(bench.media.last().unwrap().ended);
    assert!(bench.kinds().contains(&(
        "1002".to_owned(),
        EventKind::Released {
            sip_status: Some(486)
        }
    )));
}

#[test]
fn the_customer_gives_up_and_the_ringing_endpoint_is_cancelled() {
    let mut bench = Bench::registered(config());
    let (call, invite) = bench.ringing();
    bench.ask(Request::CustomerHangup { call });
    let cancel = bench.take();
    assert_eq!(
        cancel,
        format!(
            "CANCEL sip:1002@198.51.100.3:5060 SIP/2.0\r\nFrom: {}\r\n\
             To: sip:1002@192.0.2.81:5060\r\nCall-ID: {}\r\nCSeq: 1 CANCEL\r\n\
             Content-Length: 0\r\nVia: {}\r\nMax-Forwards: 70\r\n\r\n",
            field(&invite, "From"),
            field(&invite, "Call-ID"),
            field(&invite, "Via"),
        )
    );
    bench.answer(A, &cancel, "200 OK", None);
    bench.answer(A, &invite, "487 Request Terminated", None);
    bench.expect("ACK ");
    assert_eq!(bench.server.counts().legs, 0);
    assert!(bench.server.legs().is_empty());
}

#[test]
fn a_200_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut bench = Bench::registered(config());
    let (call, invite) = bench.ringing();
    bench.ask(Request::CustomerHangup { call });
    bench.expect("CANCEL ");
    bench.answer(A, &invite, "200 OK", Some(ANSWER));
    bench.expect("ACK ");
    let bye = bench.expect("BYE ");
    bench.answer(A, &bye, "200 OK", None);
    assert!(bench.server.legs().is_empty());
}

#[test]
fn the_endpoint_hangs_up_and_its_bye_is_answered() {
    let mut bench = Bench::registered(config());
    let (_, invite) = bench.talking();
    let bye = bench.in_dialog(A, &invite, "BYE", 1, None);
    let ok = bench.expect("SIP/2.0 200 OK");
    bench.put(A, &bye);
    assert_eq!(ok, bench.take(), "absorbed as a repetition");
    assert!(bench.server.legs().is_empty() && bench.server.calls().is_empty());
    bench.in_dialog(A, &invite, "BYE", 2, None);
    bench.expect("SIP/2.0 481 ");
}

#[test]
fn trelease_is_a_bye_that_is_repeated_until_answered() {
    let mut bench = Bench::registered(config());
    let (call, _) = bench.talking();
    bench.ask(Request::ReleaseCall {
        dn: "1002".to_owned(),
        call: call.clone(),
    });
    let bye = bench.take();
    assert!(bye.ends_with(&format!(
        "Max-Forwards: 70\r\nX-Genesys-CallUUID: {call}\r\n\r\n"
    )));
    assert!(!has(&bye, "Reason"));
    bench.pass(500);
    assert_eq!(bye, bench.take());
    bench.answer(A, &bye, "200 OK", None);
    bench.pass(60_000);
    bench.nothing();
    let counts = bench.server.counts();
    assert_eq!(
        (counts.calls, counts.legs, counts.client_transactions),
        (0, 0, 0)
    );
}

#[test]
fn an_endpoint_that_says_nothing_costs_32_seconds() {
    let mut bench = Bench::registered(config());
    bench.ask(Request::CustomerCall {
        from: "1".to_owned(),
        to: "1002".to_owned(),
    });
    bench.pass(33_000);
    let times: Vec<u128> = bench.sent.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    assert!(bench.server.calls().is_empty());
}

#[test]
fn only_100_is_given_up_after_the_trying_timer() {
    let mut bench = Bench::registered(config());
    bench.ask(Request::CustomerCall {
        from: "1".to_owned(),
        to: "1002".to_owned(),
    });
    let invite = bench.take();
    bench.pass(100);
    bench.put(
        A,
        &bench::answer(A, &invite, "100 Trying", None).replace(";tag=endpoint-1002", ""),
    );
    bench.pass(31_900);
    assert_eq!(bench.server.calls().len(), 1);
    bench.pass(200);
    assert!(bench.server.calls().is_empty());
}

#[test]
fn no_answer_supervision_cancels() {
    let settings = config_with(|dn| {
        dn.no_answer_timeout = Some(std::time::Duration::from_secs(15));
    });
    let mut bench = Bench::registered(settings);
    bench.ringing();
    bench.pass(14_999);
    bench.nothing();
    bench.pass(1);
    bench.expect("CANCEL ");
}

/// `recovery-timeout`: behind an INVITE that failed no call goes to the DN for a while.
#[test]
fn a_dn_whose_invite_failed_rests() {
    let settings = config_with(|dn| {
        dn.recovery_timeout = Some(std::time::Duration::from_secs(3));
    });
    let mut bench = Bench::registered(settings);
    bench.customer_calls().unwrap();
    let invite = bench.expect("INVITE ");
    bench.answer(A, &invite, "503 Service Unavailable", None);
    bench.expect("ACK ");
    bench.pass(2_999);
    let refused = bench.customer_calls();
    assert_eq!(refused, Err(RequestError::OutOfService("1002".to_owned())));
    bench.nothing();
    bench.pass(1);
    bench.customer_calls().unwrap();
    bench.expect("INVITE ");
}

/// `reject-call-notready`: the endpoint of an agent who is not ready is not asked.
#[test]
fn an_agent_who_is_not_ready_gets_no_call() {
    for rejects in [false, true] {
        let settings = config_with(|dn| {
            dn.reject_call_notready = rejects;
        });
        let mut bench = Bench::registered(settings);
        let ready = |on| {
            let dn = "1002".to_owned();
            Control::AgentReady { dn, on }
        };
        bench.control(ready(false));
        let refused = bench.customer_calls();
        assert_eq!(refused.is_err(), rejects);
        if rejects {
            bench.nothing();
            bench.control(ready(true));
            bench.customer_calls().unwrap();
        }
        bench.expect("INVITE ");
    }
}

#[test]
fn an_old_cseq_inside_a_dialog_is_refused() {
    let mut bench = Bench::registered(config());
    let (_, invite) = bench.talking();
    bench.in_dialog(A, &invite, "INFO", 5, None);
    bench.expect("SIP/2.0 200 ");
    bench.in_dialog(A, &invite, "INFO", 4, None);
    let refusal = bench.expect("SIP/2.0 500 ");
    assert!(has(&refusal, "Retry-After"));
    bench.in_dialog(A, &invite, "INFO", 6, None);
    bench.expect("SIP/2.0 200 ");
}

#[test]
fn customers_give_their_media_address_back() {
    let mut bench = Bench::registered(config());
    let ask = |to: &str| Request::CustomerCall {
        from: "1".to_owned(),
        to: to.to_owned(),
    };
    for _ in 0..5 {
        let call = bench.ask(ask("1002"));
        bench.ask(Request::CustomerHangup { call });
    }
    bench.ask(ask("1002"));
    bench.ask(ask("1003"));
    let third = bench.server.request(bench.now, ask("1003"));
    assert_eq!(third, Err(RequestError::NoMedia));
}

/// Nobody knows what of the last octets was read: what has no answer when its connection is lost leaves once more by another one.
#[test]
fn what_waits_when_its_connection_is_lost_is_sent_once_more() {
    let mut bench = Bench::new(config());
    let lost = ConnectionId(1);
    bench.input(Input::Received {
        source: Source {
            transport: Transport::Tcp,
            remote: bench::addr(A),
            connection: Some(lost),
        },
        bytes: bench::register("1002", A, "reg-1002", 1800).into_bytes(),
    });
    bench.sent.clear();
    bench.ask(Request::CustomerCall {
        from: "0301234567".to_owned(),
        to: "1002".to_owned(),
    });
    let (_, first) = bench.sent.remove(0);
    assert_eq!(first.connection, Some(lost));
    bench.pass(2_000);
    bench.nothing();
    bench.input(Input::ConnectionLost(lost));
    let (_, again) = bench.sent.remove(0);
    assert_eq!((again.connection, again.bytes), (None, first.bytes));
    bench.nothing();
}
