//! Provisional responses that are acknowledged (RFC 3262), in both directions.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use sip::ua::Event;
use sip::{HeaderName, StatusCode};
use support::{CALLEE, Call, OFFER, OUR_SDP, Sent, World, dial, instants_ms, invite, reply};

fn reliable(invite: &Sent, status: &str, tag: &str, rseq: u32, sdp: &str) -> String {
    let lines = format!("{CALLEE}Require: 100rel\nRSeq: {rseq}\n");
    reply(invite, status, tag, &lines, sdp)
}

/// A trunk that insists on PRACK rings: each response is acknowledged once, in order, and told once.
#[test]
fn reliable_ringing_is_acknowledged_once_and_in_order() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    let supported = invite.header(&HeaderName::SUPPORTED).unwrap();
    assert_eq!(supported, "replaces, timer, 100rel");
    world.receive(&reliable(
        &invite,
        "183 Session Progress",
        "t1",
        776_656,
        OFFER,
    ));
    let prack = world.only("PRACK");
    let rack = prack.header(&HeaderName::RACK).unwrap();
    assert_eq!(rack, "776656 1 INVITE");
    assert_eq!(prack.header(&HeaderName::CSEQ).unwrap(), "2 PRACK");
    assert_eq!(prack.to_tag(), "t1");
    assert_eq!(prack.request().uri.to_string(), "sip:2000@192.0.2.81:5060");
    assert_eq!(world.told(), ["Progress"]);

    world.receive(&reliable(
        &invite,
        "183 Session Progress",
        "t1",
        776_656,
        OFFER,
    ));
    assert_eq!(
        world.labels(),
        [""; 0],
        "the PRACK is repeated by its own transaction"
    );
    assert_eq!(world.told(), [""; 0]);
    world.receive(&reliable(&invite, "180 Ringing", "t1", 776_658, ""));
    assert_eq!(world.told(), [""; 0], "776657 is missing and comes again");
    assert_eq!(world.labels(), [""; 0]);

    world.receive(&reply(&prack, "200 OK", "", "", ""));
    world.receive(&reliable(&invite, "180 Ringing", "t1", 776_657, ""));
    let prack = world.only("PRACK");
    assert_eq!(prack.header(&HeaderName::CSEQ).unwrap(), "3 PRACK");
    world.receive(&reply(&prack, "200 OK", "", "", ""));
    assert_eq!(world.told(), ["Progress"]);

    world.receive(&reply(&invite, "200 OK", "t1", CALLEE, ""));
    let ack = world.only("ACK");
    assert_eq!(ack.header(&HeaderName::CSEQ).unwrap(), "1 ACK");
    assert_eq!(world.told(), ["Answered"]);
}

/// Each branch of a forked call counts for itself; the branch that is hung up gets numbers above its PRACKs.
#[test]
fn each_branch_has_numbers_of_its_own() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    world.receive(&reliable(&invite, "180 Ringing", "t1", 5, ""));
    assert_eq!(world.only("PRACK").to_tag(), "t1");
    world.receive(&reliable(&invite, "180 Ringing", "t2", 900, ""));
    assert_eq!(world.only("PRACK").to_tag(), "t2");
    world.receive(&reply(&invite, "200 OK", "t1", CALLEE, OFFER));
    world.only("ACK");
    world.receive(&reply(&invite, "200 OK", "t2", CALLEE, OFFER));
    let sent = world.sent();
    assert_eq!([sent[0].label(), sent[1].label()], ["ACK", "BYE"]);
    assert_eq!(sent[0].header(&HeaderName::CSEQ).unwrap(), "1 ACK");
    assert_eq!(sent[1].header(&HeaderName::CSEQ).unwrap(), "4 BYE");
}

/// A response that says it is reliable without a number, or the other way round, is told and not acknowledged.
#[test]
fn half_a_reliable_response_is_a_plain_one() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    for lines in [
        "Require: 100rel\n",
        "RSeq: 7\n",
        "Require: 100rel\nRSeq: 0\n",
    ] {
        let lines = format!("{CALLEE}{lines}");
        world.receive(&reply(&invite, "180 Ringing", "t1", &lines, ""));
        assert_eq!(world.labels(), [""; 0]);
        assert_eq!(world.told(), ["Progress"]);
    }
}

/// The answer came with a reliable 183: the announcement may be moved by UPDATE before anybody answers. Before that our offer is open.
#[test]
fn an_early_session_is_changed_by_update() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    let update = |world: &mut World, cseq: u32| {
        let branch = world.branch();
        let octets = OFFER.replace('\n', "\r\n").len();
        world.receive(&format!(
            "UPDATE sip:1002@192.0.2.10 SIP/2.0\nFrom: sip:2000@192.0.2.81;tag=t1\nTo: {}\n\
             Call-ID: {}\nCSeq: {cseq} UPDATE\nVia: SIP/2.0/UDP 192.0.2.81;branch={branch}\n\
             Content-Type: application/sdp\nContent-Length: {octets}\n\n{OFFER}",
            invite.header(&HeaderName::FROM).unwrap(),
            invite.header(&HeaderName::CALL_ID).unwrap(),
        ));
    };
    world.receive(&reply(&invite, "183 Session Progress", "t1", CALLEE, OFFER));
    update(&mut world, 1);
    world.only("491 UPDATE");
    world.receive(&reliable(&invite, "183 Session Progress", "t1", 1, OFFER));
    world.only("PRACK");
    world.events();
    update(&mut world, 2);
    assert_eq!(world.told(), ["Update"]);
}

/// A dialled call whose ringing was reliable talks; she holds it, and SIP Server's UPDATE crosses her re-INVITE: it waits (RFC 3311 section 5.2), and the
/// call goes on.
#[test]
fn an_update_that_crosses_a_hold_waits() {
    let mut world = World::new();
    let (dialog, invite) = dial(&mut world, Some(OUR_SDP));
    world.receive(&reliable(&invite, "183 Session Progress", "t1", 1, OFFER));
    let prack = world.only("PRACK");
    world.receive(&reply(&prack, "200 OK", "t1", CALLEE, ""));
    world.receive(&reply(&invite, "200 OK", "t1", CALLEE, ""));
    world.only("ACK");
    world.events();
    world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
    let hold = world.only("INVITE");
    let branch = world.branch();
    let octets = OFFER.replace('\n', "\r\n").len();
    world.receive(&format!(
        "UPDATE sip:1002@192.0.2.10 SIP/2.0\nFrom: sip:2000@192.0.2.81;tag=t1\nTo: {}\n\
         Call-ID: {}\nCSeq: 1 UPDATE\nVia: SIP/2.0/UDP 192.0.2.81;branch={branch}\n\
         Content-Type: application/sdp\nContent-Length: {octets}\n\n{OFFER}",
        invite.header(&HeaderName::FROM).unwrap(),
        invite.header(&HeaderName::CALL_ID).unwrap(),
    ));
    world.only("491 UPDATE");
    world.receive(&reply(&hold, "200 OK", "t1", CALLEE, OFFER));
    world.only("ACK");
}

/// The agent gives up while a reliable ringing waits for its PRACK: both are finished properly.
#[test]
fn cancel_while_a_prack_is_under_way() {
    let mut world = World::new();
    let (dialog, invite) = dial(&mut world, Some(OUR_SDP));
    world.receive(&reliable(&invite, "180 Ringing", "t1", 1, ""));
    let prack = world.only("PRACK");
    world.act(|ua, now| ua.cancel(now, dialog));
    let cancel = world.only("CANCEL");
    world.receive(&reply(&cancel, "200 OK", "t1", "", ""));
    world.receive(&reply(&invite, "487 Request Terminated", "t1", "", ""));
    world.only("ACK");
    world.receive(&reply(
        &prack,
        "481 Call/Transaction Does Not Exist",
        "",
        "",
        "",
    ));
    assert_eq!(world.told(), ["Progress", "Failed", "Terminated"]);
    world.assert_quiet();
}

/// An INVITE that requires acknowledged ringing.
fn required(world: &mut World) -> (Call, Sent) {
    let from = "sip:1003@192.0.2.81:5060;tag=88170A6B".to_owned();
    let branch = world.branch();
    let text = invite("rel@192.0.2.81", &from, &branch, OFFER);
    world.receive(&text.replace("Max-Forwards", "Require: 100rel\nMax-Forwards"));
    world.only("100 INVITE");
    let events = world.events();
    let [Event::Invite { dialog, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    let dialog = *dialog;
    world.act(|ua, now| ua.ring(now, dialog));
    let ringing = world.only("180 INVITE");
    let call = Call {
        dialog,
        call_id: "rel@192.0.2.81".to_owned(),
        from,
        invite_branch: branch,
        to_tag: ringing.to_tag(),
        cseq: 1,
    };
    (call, ringing)
}

fn rack(ringing: &Sent) -> String {
    format!(
        "RAck: {} 1 INVITE\n",
        ringing.header(&HeaderName::RSEQ).unwrap()
    )
}

/// A caller that insists hears it ring again and again until it says that it has heard.
#[test]
fn required_ringing_is_repeated_until_its_prack() {
    let mut world = World::new();
    let (mut call, ringing) = required(&mut world);
    assert_eq!(ringing.header(&HeaderName::REQUIRE).unwrap(), "100rel");
    let start = ringing.at;
    world.advance_ms(4_000);
    let sent = world.sent();
    assert_eq!(instants_ms(&sent, start), [500, 1500, 3500]);
    assert!(sent.iter().all(|again| again.text() == ringing.text()));
    let rack = rack(&ringing);
    call.request(&mut world, "PRACK", "RAck: 1 9 INVITE\n", "");
    world.only("481 PRACK");
    call.request(&mut world, "PRACK", "", "");
    world.only("481 PRACK");
    call.request(&mut world, "PRACK", &rack, "");
    world.only("200 PRACK");
    call.request(&mut world, "PRACK", &rack, "");
    world.only("481 PRACK");
    world.events();
    world.advance_s(20);
    assert_eq!(world.labels(), [""; 0]);
    let dialog = call.dialog;
    world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
    world.only("200 INVITE");
}

/// Proxies forget an INVITE that says nothing for minutes: the ringing goes on, under the next number.
#[test]
fn required_ringing_is_renewed_every_minute() {
    let mut world = World::new();
    let (mut call, ringing) = required(&mut world);
    call.request(&mut world, "PRACK", &rack(&ringing), "");
    world.sent();
    world.advance_s(60);
    let next = world.sent().remove(0);
    let number = |sent: &Sent| -> u32 {
        let text = sent.header(&HeaderName::RSEQ).unwrap();
        text.parse().unwrap()
    };
    assert_eq!(number(&next), number(&ringing) + 1);
    call.request(&mut world, "PRACK", &rack(&next), "");
    assert!(world.labels().contains(&"200 PRACK".to_owned()));
}

/// The agent is quicker than the PRACK: the 200 leaves at once, the ringing stops, and the late PRACK is welcome.
#[test]
fn an_answer_does_not_wait_for_the_prack() {
    let mut world = World::new();
    let (mut call, ringing) = required(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
    world.only("200 INVITE");
    world.advance_ms(400);
    call.request(&mut world, "PRACK", &rack(&ringing), "");
    world.only("200 PRACK");
    world.advance_ms(10_000);
    assert!(world.labels().iter().all(|label| label == "200 INVITE"));
}

/// The caller never says that it has heard: after 64*T1 the application is told, and refuses.
#[test]
fn ringing_that_nobody_acknowledges_is_given_up() {
    let mut world = World::new();
    let (call, _) = required(&mut world);
    world.advance(Duration::from_millis(31_999));
    assert_eq!(world.told(), [""; 0]);
    world.sent();
    world.advance_ms(1);
    assert_eq!(world.told(), ["PrackMissing"]);
    let dialog = call.dialog;
    world.act(|ua, now| ua.reject(now, dialog, StatusCode::SERVER_TIMEOUT, &[]));
    world.only("504 INVITE");
    world.assert_quiet();
}

/// CANCEL stops the repetitions.
#[test]
fn cancel_while_the_ringing_is_unacknowledged() {
    let mut world = World::new();
    let (call, _) = required(&mut world);
    call.cancel(&mut world);
    assert_eq!(world.labels(), ["200 CANCEL", "487 INVITE"]);
    call.ack_failure(&mut world, &call.to_tag);
    world.advance_s(5);
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), ["Cancelled", "Terminated"]);
}

/// Without an offer the 180 itself would have to carry ours: such a call is refused, and says why.
#[test]
fn required_ringing_without_an_offer_is_refused() {
    let mut world = World::new();
    let text = invite("rel@h", "sip:1003@192.0.2.81;tag=1", "z9hG4bK-r", "");
    world.receive(&text.replace("Max-Forwards", "Require: 100rel\nMax-Forwards"));
    let refused = world.only("420 INVITE");
    assert_eq!(refused.header(&HeaderName::UNSUPPORTED).unwrap(), "100rel");
    assert_eq!(world.ua.counts().dialogs, 0);
}

/// SIP Server only offers it: its ringing is plain, as always.
#[test]
fn offered_acknowledgement_is_not_used() {
    let mut world = World::new();
    let mut call = Call::arrive(&mut world, OFFER);
    let dialog = call.dialog;
    world.act(|ua, now| ua.ring(now, dialog));
    let ringing = world.only("180 INVITE");
    assert_eq!(ringing.header(&HeaderName::RSEQ), None);
    call.to_tag = ringing.to_tag();
    call.request(&mut world, "PRACK", "RAck: 1 1 INVITE\n", "");
    world.only("481 PRACK");
}
