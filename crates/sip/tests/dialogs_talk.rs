//! A call comes in and WWE answers it: SIP Server says NOTIFY `talk`, in the early dialog.
#![allow(clippy::unwrap_used)]

mod support;

use sip::ua::{Event, Outcome};
use sip::{HeaderName, StatusCode};
use support::{Call, OFFER, OUR_SDP, World, invite, reply, udp};

/// The desktop's Answer must reach the phone: early NOTIFY, 200 to it, then 200 to the INVITE.
#[test]
fn talk_in_the_early_dialog_answers_the_call() {
    let mut world = World::new();
    let mut call = Call::arrive(&mut world, OFFER);
    let dialog = call.dialog;
    world.act(|ua, now| ua.ring(now, dialog));
    let ringing = world.only("180 INVITE");
    let text = ringing.text();
    assert!(text.starts_with(
        "SIP/2.0 180 Ringing\r\n\
         From: sip:1003@192.0.2.81:5060;tag=88170A6B-45A8-43AE-9D3C-97CE63DC2C9C-256\r\n\
         To: sip:1002@192.0.2.81:5060;tag="
    ));
    assert_eq!(
        ringing.header(&HeaderName::CONTACT).unwrap(),
        "<sip:1002@192.0.2.10:5060>"
    );
    assert_eq!(
        ringing.header(&HeaderName::ALLOW_EVENTS).unwrap(),
        "talk, hold"
    );
    assert!(
        ringing
            .header(&HeaderName::ALLOW)
            .unwrap()
            .contains("NOTIFY")
    );
    call.to_tag = ringing.to_tag();

    call.talk(&mut world);
    let events = world.events();
    let [
        Event::Request {
            transaction,
            request,
            ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(&*request.headers.event().unwrap().unwrap().package, "talk");
    let transaction = *transaction;
    world.act(|ua, now| {
        ua.respond(now, transaction, StatusCode::OK, &[], None);
        ua.answer(now, dialog, OUR_SDP.to_vec());
    });
    let sent = world.sent();
    assert_eq!(sent[0].label(), "200 NOTIFY");
    assert_eq!(
        sent[0].header(&HeaderName::CONTACT).unwrap(),
        "<sip:1002@192.0.2.10:5060>"
    );
    assert_eq!(sent[1].label(), "200 INVITE");
    assert_eq!(sent[1].to_tag(), call.to_tag);
    assert_eq!(sent[1].message.body(), OUR_SDP);
    assert_eq!(
        sent[1].header(&HeaderName::SESSION_EXPIRES).unwrap(),
        "1800;refresher=uac"
    );
    assert_eq!(sent[1].header(&HeaderName::REQUIRE).unwrap(), "timer");

    call.ack(&mut world, 1, "");
    let events = world.events();
    assert!(
        matches!(events.as_slice(), [Event::Ack { sdp: None, .. }]),
        "{events:?}"
    );
    world.advance_s(60);
    assert_eq!(world.labels(), [""; 0], "nothing is repeated after the ACK");
}

/// SIP Server repeats talk when our 200 is lost: the agent keeps one call, answered once.
#[test]
fn a_repeated_talk_is_absorbed() {
    let mut world = World::new();
    let mut call = Call::ringing(&mut world, OFFER);
    let notify = call.talk(&mut world);
    let events = world.events();
    let [Event::Request { transaction, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    world.receive(&notify);
    assert_eq!(
        world.labels(),
        [""; 0],
        "not answered yet, so nothing to repeat"
    );
    let transaction = *transaction;
    world.act(|ua, now| ua.respond(now, transaction, StatusCode::OK, &[], None));
    let first = world.only("200 NOTIFY");
    // Before the 180 is said again.
    for wait_ms in [500, 1000, 400] {
        world.advance_ms(wait_ms);
        world.receive(&notify);
        assert_eq!(world.only("200 NOTIFY").text(), first.text());
    }
    assert_eq!(world.told(), [""; 0]);
}

/// A talk with our tag is obeyed even when our 180 has not left yet.
#[test]
fn talk_that_overtakes_the_180_finds_its_dialog() {
    let mut world = World::new();
    let mut call = Call::arrive(&mut world, OFFER);
    // Our tag is drawn at the INVITE; a seeded twin tells it.
    let mut twin = World::new();
    call.to_tag = Call::ringing(&mut twin, OFFER).to_tag;
    call.talk(&mut world);
    assert_eq!(world.told(), ["Request"]);
}

/// Forged or lost talks never answer a call: wrong tags, wrong Call-ID, no tag.
#[test]
fn talk_outside_of_the_dialog_gets_481() {
    let mut world = World::new();
    let call = Call::ringing(&mut world, OFFER);
    let event = "Event: talk\nSubscription-State: active\n";
    let right = call.request_text(&mut world, 2, "NOTIFY", event, "");
    let wrong_to = right.replace(&call.to_tag, "0000000000000000");
    let wrong_from = right.replace("97CE63DC2C9C-256", "97CE63DC2C9C-999");
    let wrong_id = right.replace("Call-ID: D", "Call-ID: E");
    for (index, forged) in [wrong_to, wrong_from, wrong_id].into_iter().enumerate() {
        world.receive(&forged.replace("32F3EB33637E-", &format!("{index}-")));
        world.only("481 NOTIFY");
        assert_eq!(world.told(), ["Refused NoDialog"]);
    }
    // Without a To tag it is a request outside of dialogs, which the application refuses.
    let no_tag = right.replace(&format!(";tag={}", call.to_tag), "");
    world.receive(&no_tag.replace("32F3EB33637E-", "3-"));
    assert_eq!(world.told(), ["OutOfDialog"]);
}

/// Requests that arrive late and out of order are not obeyed (RFC 3261 section 12.2.2).
#[test]
fn a_lower_cseq_gets_500() {
    let mut world = World::new();
    let mut call = Call::ringing(&mut world, OFFER);
    call.cseq = 6;
    call.talk(&mut world);
    assert_eq!(world.told(), ["Request"]);
    world.sent();
    for cseq in [7, 3] {
        let late = call.request_text(&mut world, cseq, "INFO", "", "");
        world.receive(&late);
        world.only("500 INFO");
        assert_eq!(world.told(), ["Refused Sequence"]);
    }
}

/// The Request-URI of in-dialog requests is whatever our Contact was made of on the way.
#[test]
fn the_request_uri_does_not_choose_the_dialog() {
    let mut world = World::new();
    let call = Call::ringing(&mut world, OFFER);
    let event = "Event: talk\nSubscription-State: active\n";
    let text = call.request_text(&mut world, 2, "NOTIFY", event, "");
    world.receive(&text.replace(
        "NOTIFY sip:1002@192.0.2.10:5060",
        "NOTIFY sip:192.0.2.10:5060",
    ));
    assert_eq!(world.told(), ["Request"]);
}

/// Our own in-dialog requests name both ends as SIP Server did, octet for octet.
#[test]
fn our_requests_copy_the_peers_own_words() {
    let mut world = World::new();
    let call = Call::up(&mut world);
    let dialog = call.dialog;
    let body = Some((
        "application/dtmf-relay",
        b"Signal=5\r\nDuration=160\r\n".to_vec(),
    ));
    let handle = world.act(|ua, now| ua.request(now, dialog, sip::Method::Info, &[], body));
    let info = world.only("INFO");
    assert_eq!(info.request().uri.to_string(), "sip:1003@192.0.2.81:5060");
    assert_eq!(
        info.header(&HeaderName::FROM).unwrap(),
        format!("sip:1002@192.0.2.81:5060;tag={}", call.to_tag)
    );
    assert_eq!(info.header(&HeaderName::TO).unwrap(), call.from);
    assert_eq!(info.transmit.to, support::server());
    world.receive(&reply(&info, "200 OK", "", "", ""));
    let events = world.events();
    let [
        Event::Outcome {
            outcome:
                Outcome::Response {
                    transaction,
                    response,
                    ..
                },
            ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((*transaction, response.status), (handle, StatusCode::OK));
}

/// A switch-over in mid-call: the other host of the pair carries the dialog on, and the agent's Answer, Release and audio still
/// work. A host that is not of the list is nobody, whatever it knows.
#[test]
fn the_other_server_of_a_pair_carries_the_call_on() {
    let mut world = World::new();
    let mut call = Call::ringing(&mut world, OFFER);
    world.source = udp("203.0.113.66:5060");
    call.talk(&mut world);
    call.request(&mut world, "BYE", "", "");
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), ["Refused Source", "Refused Source"]);

    world.source = udp("192.0.2.82:5060");
    call.talk(&mut world);
    assert_eq!(world.told(), ["Request"]);
    let dialog = call.dialog;
    world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
    world.only("200 INVITE");
    call.ack(&mut world, 1, "");
    assert_eq!(world.told(), ["Ack"]);
    call.request(&mut world, "BYE", "", "");
    world.only("200 BYE");
    assert_eq!(world.told(), ["Bye", "Terminated"]);
}

/// The instances of a SIP Proxy take turns within one dialog; which of them may speak is decided by the list of SIP Servers.
#[test]
fn a_proxy_named_in_the_route_may_speak_by_another_instance() {
    let mut world = World::new();
    for route in ["<sip:192.0.2.82;lr>", "<sip:proxy.example.com;lr>"] {
        let branch = world.branch();
        let from = "sip:1003@192.0.2.81:5060;tag=88170A6B-1";
        let text = invite(&format!("{branch}@x"), from, &branch, OFFER);
        world.receive(&text.replace("Contact:", &format!("Record-Route: {route}\nContact:")));
        world.only("100 INVITE");
        let [Event::Invite { dialog, .. }] = world.events()[..] else {
            panic!("no call")
        };
        world.act(|ua, now| ua.ring(now, dialog));
        let tag = world.only("180 INVITE").to_tag();
        world.receive_from(
            &udp("192.0.2.82:5060"),
            &format!(
                "NOTIFY sip:1002@192.0.2.10:5060 SIP/2.0\nFrom: {from}\n\
                 To: sip:1002@192.0.2.81:5060;tag={tag}\nCall-ID: {branch}@x\nCSeq: 2 NOTIFY\n\
                 Via: SIP/2.0/UDP 192.0.2.82:5060;branch={branch}n\nEvent: talk\n\
                 Subscription-State: active\nContent-Length: 0\n\n"
            ),
        );
        assert_eq!(world.told(), ["Request"], "{route}");
        // The instance that brought the INVITE gets its answer, and may be gone by now.
        world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
        let answer = world.only("200 INVITE").transmit.to;
        assert_eq!(answer.to_string(), "192.0.2.81:5060");
        let ack = format!(
            "ACK sip:1002@192.0.2.10:5060 SIP/2.0\nFrom: {from}\n\
             To: sip:1002@192.0.2.81:5060;tag={tag}\nCall-ID: {branch}@x\nCSeq: 1 ACK\n\
             Via: SIP/2.0/UDP 192.0.2.82:5060;branch={branch}a\nContent-Length: 0\n\n"
        );
        world.receive_from(&udp("192.0.2.82:5060"), &ack);
        world.act(|ua, now| ua.bye(now, dialog, None));
        let bye = world.only("BYE").transmit.to;
        assert_eq!(bye.to_string(), "192.0.2.82:5060", "{route}");
        world.events();
    }
}
