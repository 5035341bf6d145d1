//! Floods: the tables have ends, and a full user agent says so.
#![allow(clippy::unwrap_used)]

mod support;

use sip::HeaderName;
use sip::ua::Event;
use sip::ua::limits::Capacity;
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
    assert_eq!(world.told(), ["Refused Limit"]);
    assert_eq!(world.ua.counts().dialogs, DIALOGS);
}

/// The transaction table is bounded; beyond it requests are answered without memory, and room
/// comes back when the flood ends.
#[test]
fn a_flood_of_options_is_bounded() {
    let mut world = small();
    let options = |n: usize| {
        format!(
            "OPTIONS sip:1002@192.0.2.10 SIP/2.0\nFrom: sip:x@y;tag=1\nTo: sip:1002@192.0.2.81\n\
             Call-ID: {n}\nCSeq: 1 OPTIONS\nVia: SIP/2.0/UDP 192.0.2.81;branch=z9hG4bK{n}\n\
             Content-Length: 0\n\n"
        )
    };
    for n in 0..TRANSACTIONS {
        world.receive(&options(n));
    }
    world.events();
    assert_eq!(world.labels(), [""; 0]);
    world.receive(&options(TRANSACTIONS));
    world.only("503 OPTIONS");
    assert_eq!(world.told(), ["Refused Limit"]);
    assert_eq!(world.ua.counts().transactions, TRANSACTIONS);
    world.assert_quiet();
    world.receive(&options(0));
    assert_eq!(world.told(), ["OutOfDialog"]);
}

/// A call of ours, and a DN too many, fail at once.
#[test]
fn our_own_orders_have_limits_too() {
    let mut world = small();
    for dn in ["1", "2", "3"] {
        let order = sip::ua::RegisterDn {
            dn: dn.to_owned(),
            server: support::server(),
            transport: sip::ua::Transport::Udp,
            domain: "192.0.2.81".to_owned(),
            credentials: None,
        };
        world.act(|ua, now| ua.register(now, order));
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
    while world.ua.counts().transactions < TRANSACTIONS {
        call.talk(&mut world);
    }
    world.events();
    world.act(|ua, now| ua.reinvite(now, dialog, Some(support::OUR_SDP.to_vec())));
    let events = world.events();
    let [Event::ReinviteFailed { status, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(*status, Some(sip::StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(world.ua.counts().dialogs, 1);
}
