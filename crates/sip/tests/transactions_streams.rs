//! Connections that go while something waits on them: nothing is repeated on a stream, so what the other end may not have read comes once more on
//! another one.
#![allow(clippy::unwrap_used)]

mod support;

use sip::ua::{ConnectionId, Event, Outcome, OutgoingInvite, Transport};
use sip::{Method, StatusCode};
use support::{Call, OFFER, OUR_SDP, Sent, World, invite, outgoing, reply, server, tcp};

/// The other end of a connection that SIP Server has opened.
const THEIRS: &str = "192.0.2.81:40000";

impl World {
    /// The connection to `peer` is gone.
    fn loses(&mut self, connection: u64, peer: &str) {
        let peer = peer.parse().unwrap();
        self.act(|ua, now| ua.connection_lost(now, ConnectionId(connection), Transport::Tcp, peer));
    }
}

fn over_tcp() -> World {
    let mut world = World::new();
    world.source = tcp(THEIRS, 1);
    world
}

fn info(world: &mut World, call: &Call) -> Sent {
    let dialog = call.dialog;
    world.act(|ua, now| ua.request(now, dialog, Method::Info, &[], None));
    world.only("INFO")
}

/// Nothing is repeated on a stream; a request on a broken one is sent again on a new one, once.
#[test]
fn a_broken_stream_is_replaced_once() {
    let mut world = over_tcp();
    let call = Call::up(&mut world);
    let first = info(&mut world, &call);
    assert_eq!(
        first.transmit.transport,
        Transport::Tcp,
        "the Contact names no transport"
    );
    assert_eq!(first.transmit.connection, Some(ConnectionId(1)));
    world.advance_s(10);
    assert_eq!(world.labels(), [""; 0]);
    world.loses(1, THEIRS);
    let again = world.only("INFO");
    assert_eq!(again.transmit.connection, None);
    assert_eq!(again.transmit.to, server());
    assert_eq!(again.transmit.bytes, first.transmit.bytes);
    // Any answer, however it comes, shows the connection it came on.
    world.receive_from(
        &tcp("192.0.2.81:5060", 2),
        &reply(&again, "100 Trying", "", "", ""),
    );
    // A connection that never lasts makes no storm.
    world.loses(2, "192.0.2.81:5060");
    assert_eq!(world.labels(), [""; 0]);
    world.advance_s(4);
    world.only("INFO");
    world.advance_s(28);
    assert_eq!(world.told(), ["RequestFailed"]);
}

/// The agent hangs up at the moment at which SIP Server closes the connection that we opened to it: her caller is not left in a dead call.
#[test]
fn a_request_that_named_no_connection_is_sent_again_too() {
    let mut world = over_tcp();
    let call = Call::up(&mut world);
    world.loses(1, THEIRS);
    let dialog = call.dialog;
    world.act(|ua, now| ua.bye(now, dialog, None));
    let first = world.only("BYE");
    assert_eq!(first.transmit.connection, None);
    world.loses(7, "192.0.2.82:5060");
    assert_eq!(world.labels(), [""; 0], "a connection to somebody else");
    world.loses(8, "192.0.2.81:5060");
    let again = world.only("BYE");
    assert_eq!(again.transmit, first.transmit);
    world.receive_from(
        &tcp("192.0.2.81:5060", 9),
        &reply(&again, "200 OK", "", "", ""),
    );
    assert_eq!(world.told(), ["Terminated"]);
}

/// SIP Server's host takes no connection for the seconds of a switch-over, and the agent has hung up: her BYE is tried again until it is taken.
#[test]
fn a_bye_waits_for_the_connection_to_come_up() {
    let mut world = over_tcp();
    let call = Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.bye(now, dialog, None));
    world.only("BYE");
    world.loses(1, THEIRS);
    let first = world.only("BYE");
    for _ in 0..3 {
        world.act(|ua, now| ua.transmit_failed(now, Transport::Tcp, server()));
        assert_eq!(world.labels(), [""; 0]);
        assert_eq!(world.told(), [""; 0]);
        world.advance_s(4);
        let again = world.only("BYE");
        assert_eq!(again.transmit, first.transmit);
    }
    world.receive_from(
        &tcp("192.0.2.81:5060", 9),
        &reply(&first, "200 OK", "", "", ""),
    );
    assert_eq!(world.told(), ["Terminated"]);
}

/// It never comes up again: nobody waits longer than a transaction lasts.
#[test]
fn a_bye_that_nobody_takes_is_given_up() {
    let mut world = over_tcp();
    let call = Call::up(&mut world);
    world.loses(1, THEIRS);
    let dialog = call.dialog;
    world.act(|ua, now| ua.bye(now, dialog, None));
    for _ in 0..8 {
        world.act(|ua, now| ua.transmit_failed(now, Transport::Tcp, server()));
        world.advance_s(4);
    }
    assert_eq!(world.told(), ["Terminated"]);
}

/// A hold that is pressed when the connection has just gone, and the host that takes no other.
fn held_without_connection() -> (World, std::net::SocketAddr) {
    let mut world = over_tcp();
    let call = Call::up(&mut world);
    world.loses(1, THEIRS);
    world.sent();
    let dialog = call.dialog;
    world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
    let to = world.only("INVITE").transmit.to;
    (world, to)
}

/// It is refused like one that SIP Server has no time for, and nothing but the hold has left meanwhile: no BYE.
fn assert_hold_is_refused(world: &mut World) {
    assert!(world.labels().iter().all(|label| label == "INVITE"));
    let events = world.events();
    assert!(
        matches!(
            events.as_slice(),
            [Event::Outcome {
                outcome: Outcome::ReinviteFailed {
                    status: Some(StatusCode::SERVICE_UNAVAILABLE),
                    ..
                },
                ..
            }]
        ),
        "{events:?}"
    );
}

/// SIP Server's host takes no connection for a moment, and a hold is pressed: it is refused like one that SIP Server has no time for (RFC 3261 section
/// 8.1.3.1), and the call goes on.
#[test]
fn a_hold_that_cannot_leave_ends_no_call() {
    let (mut world, to) = held_without_connection();
    for _ in 0..8 {
        world.act(|ua, now| ua.transmit_failed(now, Transport::Tcp, to));
        world.advance_s(4);
    }
    assert_hold_is_refused(&mut world);
    world.advance_s(5);
    assert_eq!(world.labels(), [""; 0], "no BYE");
    assert_eq!(world.told(), [""; 0]);
}

/// The same where the host has lost its power and says nothing to who wants to connect: that an attempt is under way when the time is over does not make it one
/// that was heard.
#[test]
fn a_hold_into_silence_ends_no_call() {
    let (mut world, to) = held_without_connection();
    // Each attempt takes five seconds, and each next one comes four later.
    for _ in 0..4 {
        world.advance_s(5);
        world.act(|ua, now| ua.transmit_failed(now, Transport::Tcp, to));
        world.advance_s(4);
    }
    assert_hold_is_refused(&mut world);
}

/// SIP Server holds the caller, its answer is lost with the connection, and then its host takes no other, or one that goes as well. The hold is not taken
/// for one that never left, with an agent who is shown as talking to a caller on hold: nobody has answered, and the call ends (RFC 3261 section
/// 12.2.1.2).
#[test]
fn a_hold_whose_answer_is_lost_is_not_taken_for_one_that_never_left() {
    for lost_twice in [false, true] {
        let mut world = over_tcp();
        let call = Call::up(&mut world);
        let dialog = call.dialog;
        world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
        let first = world.only("INVITE");
        assert_eq!(first.transmit.connection, Some(ConnectionId(1)));
        world.loses(1, THEIRS);
        let to = world.only("INVITE").transmit.to;
        if lost_twice {
            world.loses(2, &to.to_string());
            world.advance_s(4);
            world.only("INVITE");
        }
        for _ in 0..8 {
            world.act(|ua, now| ua.transmit_failed(now, Transport::Tcp, to));
            assert_eq!(world.told(), [""; 0]);
            world.advance_s(4);
            if world.labels().contains(&"BYE".to_owned()) {
                break;
            }
        }
        let events = world.events();
        assert!(
            matches!(
                events.as_slice(),
                [Event::Outcome {
                    outcome: Outcome::ReinviteFailed { status: None },
                    ..
                }]
            ),
            "{events:?}"
        );
    }
}

/// An agent who dials hangs up while SIP Server's host takes no connection: the callee does not ring on.
#[test]
fn a_cancel_waits_for_the_connection_to_come_up() {
    let mut world = World::new();
    let order = OutgoingInvite {
        transport: Transport::Tcp,
        ..outgoing(Some(OUR_SDP))
    };
    let dialog = world.act(|ua, now| ua.invite(now, order));
    let invite = world.only("INVITE");
    let came = tcp("192.0.2.81:5060", 4);
    world.receive_from(&came, &reply(&invite, "180 Ringing", "t", "", ""));
    world.loses(4, "192.0.2.81:5060");
    world.sent();
    world.act(|ua, now| ua.cancel(now, dialog));
    let first = world.only("CANCEL");
    world.act(|ua, now| ua.transmit_failed(now, Transport::Tcp, server()));
    assert_eq!(world.labels(), [""; 0]);
    world.advance_s(4);
    let sent = world.sent();
    let again = sent.iter().find(|sent| sent.label() == "CANCEL");
    let again = again.expect("the CANCEL comes again");
    assert_eq!(again.transmit, first.transmit);
}

/// The agent declines, her refusal is lost with the connection, and the next one does not come up for a moment: the caller is not left with a ringing telephone.
#[test]
fn a_refusal_waits_for_the_connection_to_come_up() {
    let mut world = over_tcp();
    let call = Call::ringing(&mut world, OFFER);
    let dialog = call.dialog;
    world.act(|ua, now| ua.reject(now, dialog, StatusCode::BUSY_HERE, &[]));
    world.only("486 INVITE");
    world.loses(1, THEIRS);
    let first = world.only("486 INVITE");
    for _ in 0..2 {
        world.act(|ua, now| ua.transmit_failed(now, Transport::Tcp, server()));
        assert_eq!(world.labels(), [""; 0]);
        world.advance_s(4);
        let again = world.only("486 INVITE");
        assert_eq!(again.transmit, first.transmit);
    }
    world.source = tcp("192.0.2.81:5060", 2);
    call.ack_failure(&mut world, &first.to_tag());
    world.advance_s(40);
    assert_eq!(world.labels(), [""; 0]);
}

/// An agent dials while the connection goes: the call is made, and by one INVITE only, as its branch says.
#[test]
fn a_call_of_ours_is_made_on_the_next_connection() {
    let mut world = World::new();
    let order = OutgoingInvite {
        transport: Transport::Tcp,
        ..outgoing(Some(OUR_SDP))
    };
    world.act(|ua, now| ua.invite(now, order));
    let first = world.only("INVITE");
    world.loses(4, "192.0.2.81:5060");
    let again = world.only("INVITE");
    assert_eq!(again.transmit, first.transmit);
    world.loses(5, "192.0.2.81:5060");
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), ["Failed", "Terminated"]);
}

/// SIP Server refuses new connections, and the one that it has opened lives: what waits there goes on waiting.
#[test]
fn what_waits_on_a_living_connection_is_not_given_up() {
    let mut world = over_tcp();
    let call = Call::up(&mut world);
    let sent = info(&mut world, &call);
    assert_eq!(sent.transmit.to, server());
    world.act(|ua, now| ua.transmit_failed(now, Transport::Tcp, server()));
    assert_eq!(world.told(), [""; 0]);
    world.receive(&reply(&sent, "200 OK", "", "", ""));
    assert_eq!(world.told(), ["Response"]);
}

/// The agent declines, and the connection goes before SIP Server has acknowledged that: it is told once more, where its Via says, and does not go on
/// ringing.
#[test]
fn a_refusal_that_may_be_lost_is_said_again() {
    let mut world = over_tcp();
    let call = Call::ringing(&mut world, OFFER);
    let dialog = call.dialog;
    world.act(|ua, now| ua.reject(now, dialog, StatusCode::BUSY_HERE, &[]));
    let first = world.only("486 INVITE");
    assert_eq!(first.transmit.connection, Some(ConnectionId(1)));
    world.loses(1, THEIRS);
    let again = world.only("486 INVITE");
    assert_eq!(again.transmit.connection, None);
    assert_eq!(again.transmit.to, server());
    assert_eq!(again.transmit.bytes, first.transmit.bytes);
    world.loses(2, "192.0.2.81:5060");
    assert_eq!(world.labels(), [""; 0], "once");
    world.told();
    world.assert_quiet();
}

/// SIP Server says its INVITE again on another connection, and that comes behind the CANCEL and its end: no telephone rings for a caller who has gone.
#[test]
fn a_call_that_was_cancelled_does_not_ring_again() {
    let mut world = over_tcp();
    let call = Call::ringing(&mut world, OFFER);
    call.cancel(&mut world);
    let refusal = world
        .sent()
        .into_iter()
        .find(|sent| sent.label() == "487 INVITE")
        .expect("the end of the INVITE");
    call.ack_failure(&mut world, &refusal.to_tag());
    world.told();
    world.source = tcp("192.0.2.81:5060", 2);
    let again = invite(&call.call_id, &call.from, &call.invite_branch, OFFER);
    world.advance_s(15);
    world.receive(&again);
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.labels(), [""; 0]);
}

/// The same while it rings: SIP Server would take the call for one that nobody got.
#[test]
fn ringing_is_said_again_and_an_acknowledged_refusal_is_not() {
    let mut world = over_tcp();
    let call = Call::ringing(&mut world, OFFER);
    world.loses(1, THEIRS);
    world.only("180 INVITE");
    let dialog = call.dialog;
    world.act(|ua, now| ua.reject(now, dialog, StatusCode::BUSY_HERE, &[]));
    let refusal = world.only("486 INVITE");
    world.source = tcp("192.0.2.81:5060", 2);
    call.ack_failure(&mut world, &refusal.to_tag());
    world.loses(2, "192.0.2.81:5060");
    assert_eq!(world.labels(), [""; 0]);
}

/// SIP Server's connection goes with our 200 to its talk on it. It repeats the NOTIFY on a new one, is answered as the first time, on that one, and the
/// agent's call is not disturbed.
#[test]
fn what_sip_server_says_again_is_answered_again() {
    let mut world = over_tcp();
    let mut call = Call::ringing(&mut world, OFFER);
    let talk = call.talk(&mut world);
    let events = world.events();
    let [Event::Request { transaction, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    let transaction = *transaction;
    world.act(|ua, now| ua.respond(now, transaction, StatusCode::OK, &[], None));
    let first = world.only("200 NOTIFY");
    world.loses(1, THEIRS);
    world.sent();
    world.advance_s(20);
    world.sent();
    world.receive_from(&tcp("192.0.2.81:40001", 2), &talk);
    let again = world.only("200 NOTIFY");
    assert_eq!(again.transmit.bytes, first.transmit.bytes);
    assert_eq!(again.transmit.connection, Some(ConnectionId(2)));
    assert_eq!(world.told(), [""; 0]);
}

/// A call by way of a proxy that records its name: once its connection is gone, our BYE goes to where the proxy listens, as its Via or its name
/// says, and not to the port that its connection came from, at which nobody is.
#[test]
fn the_port_that_a_connection_came_from_is_not_connected_to() {
    for (route, listens) in [
        ("<sip:proxy.example.com;lr>", "192.0.2.81:5060"),
        ("<sip:proxy.example.com:5080;lr>", "192.0.2.81:5080"),
    ] {
        let mut world = over_tcp();
        let branch = world.branch();
        let from = "sip:1003@192.0.2.81:5060;tag=88170A6B-1";
        let text = invite(&format!("{branch}@x"), from, &branch, OFFER);
        world.receive(&text.replace("Contact:", &format!("Record-Route: {route}\nContact:")));
        let [Event::Invite { dialog, .. }] = world.events()[..] else {
            panic!("no call")
        };
        world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
        let tag = world.sent().pop().unwrap().to_tag();
        world.receive(&format!(
            "ACK sip:1002@192.0.2.10:5060 SIP/2.0\nFrom: {from}\n\
             To: sip:1002@192.0.2.81:5060;tag={tag}\nCall-ID: {branch}@x\nCSeq: 1 ACK\n\
             Via: SIP/2.0/TCP 192.0.2.81:5060;branch={branch}a\nContent-Length: 0\n\n"
        ));
        world.act(|ua, now| ua.request(now, dialog, Method::Info, &[], None));
        let info = world.only("INFO");
        assert_eq!(info.transmit.connection, Some(ConnectionId(1)), "{route}");
        world.receive(&reply(&info, "200 OK", "", "", ""));
        world.loses(1, THEIRS);
        world.act(|ua, now| ua.bye(now, dialog, None));
        let bye = world.only("BYE");
        assert_eq!(bye.transmit.to.to_string(), listens, "{route}");
        assert_eq!(bye.transmit.connection, None);
    }
}
