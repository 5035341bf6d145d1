//! Requests of ours on the wire: repetition, streams, and a network that refuses.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use sip::ua::{Event, Transport};
use sip::{Method, StatusCode};
use support::{Call, OFFER, World, dial, instants_ms, reply, server};

fn info(world: &mut World, call: &Call) -> support::Sent {
    let dialog = call.dialog;
    world.act(|ua, now| ua.request(now, dialog, Method::Info, &[], None));
    world.only("INFO")
}

/// Timer E: 0.5, 1.5, 3.5 s, then every 4 s; Timer F at 32 s.
#[test]
fn a_request_is_repeated_with_the_same_octets() {
    let mut world = World::new();
    let call = Call::up(&mut world);
    let first = info(&mut world, &call);
    world.advance(Duration::from_millis(31_999));
    let sent = world.sent();
    assert_eq!(
        instants_ms(&sent, first.at),
        [
            500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500
        ]
    );
    assert!(sent.iter().all(|sent| sent.transmit == first.transmit));
    world.advance_ms(1);
    assert_eq!(world.told(), ["RequestFailed"]);
    assert_eq!(
        world.ua.counts().dialogs,
        1,
        "a request that fails leaves the call alone"
    );
}

/// The machine was suspended for a minute. A REGISTER that ends a binding, sent once more at the moment when it is given up, could overtake the
/// one that makes it anew, and the agent would not be called any more.
#[test]
fn what_is_given_up_after_a_standstill_is_not_sent_once_more() {
    let mut world = World::new();
    let call = Call::up(&mut world);
    info(&mut world, &call);
    world.now += Duration::from_secs(60);
    world.advance_s(0);
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), ["RequestFailed"]);
}

/// After a provisional response the request is repeated every T2 only.
#[test]
fn a_provisional_response_slows_the_repetition() {
    let mut world = World::new();
    let call = Call::up(&mut world);
    let first = info(&mut world, &call);
    world.receive(&reply(&first, "100 Trying", "", "", ""));
    world.advance_s(10);
    assert_eq!(instants_ms(&world.sent(), first.at), [500, 4500, 8500]);
}

/// Repeated final responses are absorbed (Timer K), later ones are stray.
#[test]
fn a_repeated_response_is_told_once() {
    let mut world = World::new();
    let call = Call::up(&mut world);
    let sent = info(&mut world, &call);
    let ok = reply(&sent, "200 OK", "", "", "");
    world.receive(&ok);
    world.receive(&ok);
    assert_eq!(world.told(), ["Response"]);
    world.advance_s(5);
    world.receive(&ok);
    assert_eq!(world.told(), ["Refused NoTransaction"]);
}

/// A response with somebody else's Via below ours was not for us (RFC 3261 section 8.1.3.3).
#[test]
fn a_response_with_two_vias_is_dropped() {
    let mut world = World::new();
    let call = Call::up(&mut world);
    let sent = info(&mut world, &call);
    let ok = reply(
        &sent,
        "200 OK",
        "",
        "Via: SIP/2.0/UDP other;branch=z9hG4bKx\n",
        "",
    );
    world.receive(&ok);
    assert_eq!(world.told(), ["Refused NoTransaction"]);
}

/// The route to SIP Server is gone for a moment while a call talks: what could not leave is repeated like what was lost, and the call goes on. Its BYE is
/// repeated too, or SIP Server would keep the call.
#[test]
fn a_route_that_is_gone_for_a_moment_ends_no_call() {
    let mut world = World::new();
    let call = Call::up(&mut world);
    let sent = info(&mut world, &call);
    world.act(|ua, now| ua.transmit_failed(now, Transport::Udp, server()));
    assert_eq!(world.told(), [""; 0]);
    world.advance_ms(500);
    world.only("INFO");
    world.receive(&reply(&sent, "200 OK", "", "", ""));
    assert_eq!(world.told(), ["Response"]);
    let dialog = call.dialog;
    world.act(|ua, now| ua.bye(now, dialog, None));
    let bye = world.only("BYE");
    world.act(|ua, now| ua.transmit_failed(now, Transport::Udp, server()));
    assert_eq!(world.told(), [""; 0]);
    world.advance_ms(500);
    world.only("BYE");
    world.receive(&reply(&bye, "200 OK", "", "", ""));
    assert_eq!(world.told(), ["Terminated"]);
}

/// The answer to a click could not leave; the click comes again, and gets the same answer.
#[test]
fn a_click_whose_answer_could_not_leave_is_answered_again() {
    let mut world = World::new();
    let mut call = Call::ringing(&mut world, OFFER);
    let talk = call.talk(&mut world);
    let events = world.events();
    let [Event::Request { transaction, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    let transaction = *transaction;
    world.act(|ua, now| ua.respond(now, transaction, StatusCode::OK, &[], None));
    world.only("200 NOTIFY");
    world.act(|ua, now| ua.transmit_failed(now, Transport::Udp, server()));
    world.receive(&talk);
    world.only("200 NOTIFY");
    assert_eq!(world.told(), [""; 0]);
}

/// A call that opens a dialog has other hosts to go to: it does not wait for what the network has refused.
#[test]
fn a_call_that_cannot_leave_fails_at_once() {
    let mut world = World::new();
    dial(&mut world, None);
    world.act(|ua, now| ua.transmit_failed(now, Transport::Tcp, server()));
    assert_eq!(world.told(), [""; 0], "another transport");
    world.act(|ua, now| ua.transmit_failed(now, Transport::Udp, server()));
    assert_eq!(world.told(), ["Failed", "Terminated"]);
}

/// What only belongs to the user agent itself cannot be sent by `request`.
#[test]
fn methods_with_calls_of_their_own_are_refused() {
    let mut world = World::new();
    let call = Call::up(&mut world);
    let dialog = call.dialog;
    for method in [Method::Invite, Method::Ack, Method::Bye, Method::Cancel] {
        world.act(|ua, now| ua.request(now, dialog, method, &[], None));
        assert_eq!(world.labels(), [""; 0]);
        assert_eq!(world.told(), ["RequestFailed"]);
    }
}

/// The same seed and the same inputs give the same octets.
#[test]
fn a_run_repeats_itself() {
    let run = || {
        let mut world = World::new();
        let call = Call::answered(&mut world, "");
        world.advance_s(10);
        call.ack(&mut world, 1, support::OFFER);
        info_all(&mut world, &call)
    };
    assert_eq!(run(), run());
}

fn info_all(world: &mut World, call: &Call) -> Vec<(Duration, Vec<u8>)> {
    let dialog = call.dialog;
    world.act(|ua, now| ua.reinvite(now, dialog, None));
    world.advance_s(40);
    world
        .sent()
        .into_iter()
        .map(|sent| (sent.at, sent.transmit.bytes))
        .collect()
}
