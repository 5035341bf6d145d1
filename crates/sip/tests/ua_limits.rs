//! Floods: the tables have ends, and a full user agent says so.
#![allow(clippy::unwrap_used)]

mod support;

use sip::HeaderName;
use sip::ua::limits::{
    Capacity, HELD_OCTETS_MAX, ROOM_EIGHTHS_FOR_CALLS_UP, ROOM_EIGHTHS_FOR_NEW_CALLS,
    ROOM_EIGHTHS_FOR_REST,
};
use sip::ua::{Event, Outcome};
use support::{Call, World, config, invite};

const DIALOGS: usize = 40;
const TRANSACTIONS: usize = 100;

fn small() -> World {
    let mut world = World::with(config());
    let seeded = sip::ua::UserAgent::new(config(), [7; 32]);
    let registrations = 2;
    world.ua = seeded.with_capacity(Capacity {
        transactions: TRANSACTIONS,
        dialogs: DIALOGS,
        registrations,
    });
    world
}

fn options(n: usize, lines: &str) -> String {
    format!(
        "OPTIONS sip:1002@192.0.2.10 SIP/2.0\nFrom: sip:x@y;tag=1\nTo: sip:1002@192.0.2.81\n\
         Call-ID: {n}\nCSeq: 1 OPTIONS\nVia: SIP/2.0/UDP 192.0.2.81;branch=z9hG4bK{n}\n{lines}\
         Content-Length: 0\n\n"
    )
}

fn order(dn: &str) -> sip::ua::RegisterDn {
    sip::ua::RegisterDn {
        dn: dn.to_owned(),
        site: sip::ua::SiteId::default(),
        server: support::server(),
        transport: sip::ua::Transport::Udp,
        domain: "192.0.2.81".to_owned(),
        credentials: None,
    }
}

/// Fills the table: up to its share with the peer's requests in the call, the rest with ours.
fn fill(world: &mut World, call: &mut Call) {
    while world.ua.counts().transactions < TRANSACTIONS * ROOM_EIGHTHS_FOR_CALLS_UP / 8 {
        call.talk(world);
    }
    let dialog = call.dialog;
    while world.ua.counts().transactions < TRANSACTIONS {
        world.act(|ua, now| ua.request(now, dialog, sip::Method::Info, &[], None));
    }
    world.events();
    world.sent();
}

/// More calls than there is room for get 503 and Retry-After; after the flood nothing is left.
#[test]
fn calls_beyond_the_limit_get_503() {
    let mut world = small();
    for call in 0..DIALOGS {
        let text = invite(
            &format!("{call}"),
            "sip:x@y;tag=1",
            &format!("z9hG4bK{call}"),
            "",
        );
        world.receive(&text);
    }
    world.sent();
    world.events();
    world.receive(&invite("last", "sip:x@y;tag=1", "z9hG4bKlast", ""));
    assert!(
        world
            .only("503 INVITE")
            .header(&HeaderName::RETRY_AFTER)
            .is_some()
    );
    assert_eq!(world.told(), ["InviteRefused", "Refused Limit"]);
    assert_eq!(world.ua.counts().dialogs, DIALOGS);
}

/// The transaction table is bounded; beyond it requests are answered without memory, and room
/// comes back when the flood ends.
#[test]
fn a_flood_of_options_is_bounded() {
    let mut world = small();
    let most = TRANSACTIONS * ROOM_EIGHTHS_FOR_REST / 8;
    for n in 0..most {
        world.receive(&options(n, ""));
    }
    world.events();
    assert_eq!(world.labels(), [""; 0]);
    world.receive(&options(TRANSACTIONS, ""));
    world.only("503 OPTIONS");
    assert_eq!(world.told(), ["Refused Limit"]);
    assert_eq!(world.ua.counts().transactions, most);
    world.assert_quiet();
    world.receive(&options(0, ""));
    assert_eq!(world.told(), ["OutOfDialog"]);
}

/// OPTIONS by the thousand from SIP Server's own address: a caller still gets through, the desktop's Answer and the caller's BYE
/// still work, and our REGISTER leaves.
#[test]
fn a_flood_leaves_room_for_calls_and_for_our_own_requests() {
    let mut world = small();
    let mut call = Call::up(&mut world);
    let mut n = 0;
    while world.ua.counts().transactions < TRANSACTIONS * ROOM_EIGHTHS_FOR_REST / 8 {
        world.receive(&options(n, ""));
        n += 1;
    }
    world.events();
    world.receive(&options(n, ""));
    world.only("503 OPTIONS");
    // A forged dialog buys nothing.
    world.receive(&options(n, "").replace("To: sip:1002@192.0.2.81", "To: sip:1002@y;tag=z"));
    world.only("503 OPTIONS");
    world.events();

    let mut calls = 0;
    while world.ua.counts().transactions < TRANSACTIONS * ROOM_EIGHTHS_FOR_NEW_CALLS / 8 {
        Call::ringing(&mut world, support::OFFER);
        calls += 1;
    }
    assert!(calls > 0);
    world.receive(&invite("late", "sip:x@y;tag=1", "z9hG4bKlate", ""));
    world.only("503 INVITE");
    world.events();

    call.talk(&mut world);
    assert_eq!(world.told(), ["Request"]);
    while world.ua.counts().transactions < TRANSACTIONS * ROOM_EIGHTHS_FOR_CALLS_UP / 8 {
        call.talk(&mut world);
    }
    world.events();
    call.talk(&mut world);
    world.only("503 NOTIFY");

    world.act(|ua, now| ua.register(now, order("1002")));
    world.only("REGISTER");
}

/// Few messages of the largest kind hold as little memory as many small ones, answered or not.
#[test]
fn a_flood_of_large_messages_is_bounded_in_octets() {
    let mut world = World::with(config());
    let large = format!("X-Large: {}\n", "x".repeat(8_000)).repeat(7);
    let octets = options(0, &large).len();
    for n in 0..HELD_OCTETS_MAX / octets {
        world.receive(&options(n, &large));
        world.events();
        if world.labels() == ["503 OPTIONS"] {
            assert!(n * octets <= HELD_OCTETS_MAX * ROOM_EIGHTHS_FOR_REST / 8 + octets);
            return;
        }
    }
    panic!("nothing was refused");
}

/// A call of ours, and a DN too many, fail at once.
#[test]
fn our_own_orders_have_limits_too() {
    let mut world = small();
    for dn in ["1", "2", "3"] {
        world.act(|ua, now| ua.register(now, order(dn)));
    }
    let told = world.told();
    assert_eq!(told.last().unwrap(), "Registration Failed");
    assert_eq!(world.ua.counts().registrations, 2);
    for _ in 0..DIALOGS + 1 {
        let call = sip::ua::OutgoingInvite {
            dn: "1".to_owned(),
            target: "sip:2000@192.0.2.81".parse().unwrap(),
            to: support::server(),
            transport: sip::ua::Transport::Udp,
            sdp: None,
            headers: Vec::new(),
            credentials: None,
        };
        world.act(|ua, now| ua.invite(now, call));
    }
    assert_eq!(world.told(), ["Failed", "Terminated"]);
    assert_eq!(world.ua.counts().dialogs, DIALOGS);
}

/// A full table refuses our re-INVITE as a busy peer would: the call is as it was, and nobody takes it for lost.
#[test]
fn a_reinvite_without_room_is_refused_and_the_call_goes_on() {
    let mut world = small();
    let mut call = Call::up(&mut world);
    let dialog = call.dialog;
    fill(&mut world, &mut call);
    world.act(|ua, now| ua.reinvite(now, dialog, Some(support::OUR_SDP.to_vec())));
    let events = world.events();
    let [
        Event::Outcome {
            outcome: Outcome::ReinviteFailed { status, .. },
            ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(*status, Some(sip::StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(world.ua.counts().dialogs, 1);
}

/// Requests to a SIP Server that hangs fill the table for half a minute. Just then the agents are registered at another one, it is asked
/// whether it lives, and a caller whose agent hangs up hears of it.
#[test]
fn agents_move_to_another_server_although_the_table_is_full() {
    let mut world = small();
    let mut call = Call::up(&mut world);
    fill(&mut world, &mut call);
    world.act(|ua, now| ua.register(now, order("1002")));
    world.only("REGISTER");
    world.act(|ua, now| {
        ua.probe(
            now,
            sip::ua::Transport::Udp,
            support::server(),
            "192.0.2.81",
        );
    });
    world.only("OPTIONS");
    world.act(|ua, now| ua.bye(now, call.dialog, None));
    world.only("BYE");
}
