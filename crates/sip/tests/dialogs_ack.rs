//! The 200 to an INVITE and its ACK, which SIP Server holds back until the dialled party answers.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use sip::HeaderName;
use sip::ua::Event;
use support::{BLACK_HOLE, Call, OFFER, OUR_SDP, World, instants_ms, tcp};

/// 0.5, 1.5, 3.5, 7.5 s, then every 4 s: what SIP Server's own endpoint does.
const REPETITIONS_MS: [u128; 10] = [
    500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500,
];

/// Flow 1 of TMakeCall: a call that rings at the other side for half a minute must not be lost.
#[test]
fn the_200_is_repeated_for_32_s_while_the_ack_is_withheld() {
    let mut world = World::new();
    let call = Call::answered(&mut world, "");
    world.advance(Duration::from_millis(31_999));
    let sent = world.sent();
    assert!(
        sent.iter()
            .all(|sent| sent.label() == "200 INVITE" && sent.to_tag() == call.to_tag)
    );
    assert_eq!(instants_ms(&sent, Duration::ZERO), REPETITIONS_MS);
    assert_eq!(
        world.told(),
        [""; 0],
        "nothing ends a call whose ACK is late"
    );
    call.ack(&mut world, 1, BLACK_HOLE);
    let events = world.events();
    let [Event::Ack { sdp: Some(sdp), .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert!(sdp.starts_with(b"v=0\r\no=Genesys 1770020797"));
    world.advance_s(60);
    assert_eq!(world.labels(), [""; 0]);
}

/// The dialog repeats its 200 on a stream as well: the ACK comes end to end.
#[test]
fn the_200_is_repeated_on_a_stream_too() {
    let mut world = World::new();
    world.source = tcp("192.0.2.81:5060", 4);
    Call::answered(&mut world, OFFER);
    world.advance_s(33);
    let sent = world.sent();
    assert_eq!(instants_ms(&sent, Duration::ZERO), REPETITIONS_MS);
    assert!(
        sent.iter()
            .all(|sent| sent.transmit.connection == world.source.connection)
    );
}

/// After 32 s the application decides, and its BYE goes out at once.
#[test]
fn a_missing_ack_is_told_and_the_application_ends_the_call() {
    let mut world = World::new();
    let call = Call::answered(&mut world, OFFER);
    world.advance_s(32);
    world.sent();
    assert_eq!(world.told(), ["AckMissing"]);
    world.advance_s(60);
    assert_eq!(world.labels(), [""; 0], "repetition has ended");
    let dialog = call.dialog;
    world.act(|ua, now| ua.bye(now, dialog, None));
    world.only("BYE");
}

/// A callee must not send BYE before the ACK has come (RFC 3261 section 15).
#[test]
fn bye_waits_for_the_ack() {
    let mut world = World::new();
    let call = Call::answered(&mut world, "");
    let dialog = call.dialog;
    world.act(|ua, now| ua.bye(now, dialog, Some(sip::Reason::sip(480, "Agent gone"))));
    assert_eq!(world.labels(), [""; 0]);
    world.advance_ms(600);
    assert_eq!(world.labels(), ["200 INVITE"], "the 200 is still owed");
    call.ack(&mut world, 1, OFFER);
    let bye = world.only("BYE");
    assert_eq!(
        bye.header(&HeaderName::REASON).unwrap(),
        "SIP;cause=480;text=\"Agent gone\""
    );
    world.receive(&support::reply(&bye, "200 OK", "", "", ""));
    assert_eq!(world.told(), ["Terminated"]);
    world.assert_quiet();
}

/// ... or until 64*T1 are over.
#[test]
fn bye_waits_no_longer_than_64_t1() {
    let mut world = World::new();
    let call = Call::answered(&mut world, "");
    let dialog = call.dialog;
    world.act(|ua, now| ua.bye(now, dialog, None));
    world.advance(Duration::from_millis(31_999));
    assert!(world.labels().iter().all(|label| label == "200 INVITE"));
    world.advance_ms(1);
    world.only("BYE");
    assert_eq!(world.told(), [""; 0]);
    world.advance_s(32);
    assert_eq!(
        world.told(),
        ["Terminated"],
        "a BYE that nobody answers ends the dialog as well"
    );
    world.assert_quiet();
}

/// The ACK is told once; SDP in it counts only as the answer to an offer of ours.
#[test]
fn a_repeated_ack_is_absorbed_and_its_sdp_needs_an_offer() {
    let mut world = World::new();
    let call = Call::answered(&mut world, OFFER);
    call.ack(&mut world, 1, BLACK_HOLE);
    let events = world.events();
    assert!(
        matches!(events.as_slice(), [Event::Ack { sdp: None, .. }]),
        "{events:?}"
    );
    call.ack(&mut world, 1, BLACK_HOLE);
    assert_eq!(world.told(), [""; 0]);
}

/// ACKs without a dialog are counted, never answered.
#[test]
fn a_stray_ack_is_dropped() {
    let mut world = World::new();
    let mut call = Call::answered(&mut world, OFFER);
    call.to_tag = "00".to_owned();
    call.ack(&mut world, 1, "");
    assert_eq!(world.told(), ["Refused NoTransaction"]);
    assert_eq!(world.labels(), [""; 0]);
}

/// INVITEs that come again after the 200 are absorbed: the dialog itself repeats the 200.
#[test]
fn an_invite_repeated_after_the_200_is_absorbed() {
    let mut world = World::new();
    let call = Call::answered(&mut world, OFFER);
    world.receive(&support::invite(
        &call.call_id,
        &call.from,
        &call.invite_branch,
        OFFER,
    ));
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.ua.counts().dialogs, 1);
}

/// INVITEs that come again while we ring get the last response again.
#[test]
fn an_invite_repeated_while_ringing_gets_the_180_again() {
    let mut world = World::new();
    let call = Call::ringing(&mut world, OFFER);
    world.receive(&support::invite(
        &call.call_id,
        &call.from,
        &call.invite_branch,
        OFFER,
    ));
    assert_eq!(world.only("180 INVITE").to_tag(), call.to_tag);
    let dialog = call.dialog;
    world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
    world.only("200 INVITE");
}

/// The one 180 that is lost is missed by nobody: SIP Server has its 100, and the agent's desktop shows no call. So it is said again, ever
/// more seldom; over a stream, where nothing is lost, as often as proxies want it that would give the call up.
#[test]
fn a_call_goes_on_saying_that_it_rings() {
    for (stream, expected_s) in [
        (false, vec![2, 6, 14, 30, 62, 122, 182]),
        (true, vec![60, 120, 180]),
    ] {
        let mut world = World::new();
        if stream {
            world.source = tcp("192.0.2.81:5060", 4);
        }
        let call = Call::ringing(&mut world, OFFER);
        world.advance_s(190);
        let sent = world.sent();
        let again = instants_ms(&sent, Duration::ZERO);
        let expected: Vec<u128> = expected_s.into_iter().map(|at: u128| at * 1_000).collect();
        assert_eq!(again, expected);
        for ringing in &sent {
            assert_eq!(
                (ringing.label(), ringing.to_tag()),
                ("180 INVITE".into(), call.to_tag.clone())
            );
        }
        let dialog = call.dialog;
        world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
        world.only("200 INVITE");
    }
}
