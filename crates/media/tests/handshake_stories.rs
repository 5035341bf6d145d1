//! The DTLS handshake of a browser leg, and what others throw into it. Virtual time.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use media::browser_leg::{Failure, LegKind, LegState, Received, Refusal};
use support::{SECOND, World, home, stranger};

/// The published ClientHello of the DTLS race (ES2023-01): one cipher suite, NULL.
const CLIENT_HELLO: &str = "16feff0000000000000000007c010000700000000000000070fefd000000006e\
070956943556d8566c6ea9d9f65b20a0b538a3859f9685e3fff87e0000000200\
000100004400170000ff01000100000a00080006001d00170018000b00020100\
00230000000d00140012040308040401050308050501080606010201000e0009\
000600010008000700";

fn client_hello() -> Vec<u8> {
    let octet = |at: usize| u8::from_str_radix(&CLIENT_HELLO[at..at + 2], 16).unwrap();
    (0..CLIENT_HELLO.len()).step_by(2).map(octet).collect()
}

/// The same with a cipher suite that could lead somewhere.
fn plausible_hello() -> Vec<u8> {
    let mut hello = client_hello();
    hello[63..65].copy_from_slice(&[0xc0, 0x2b]);
    hello
}

/// The published race: a stranger's ClientHello between the check and the true one.
#[test]
fn a_strangers_client_hello_changes_nothing() {
    let mut world = World::negotiated(LegKind::Warm);
    // The browser's first checks, and our answers; its ClientHello is still under way.
    for datagram in world.take_from_browser() {
        world.deliver(home(), &datagram);
    }
    for hello in [client_hello(), plausible_hello()].iter().cycle().take(50) {
        let refused = Received::Refused(Refusal::UnvalidatedDtls);
        assert_eq!(world.deliver(stranger(), hello), refused);
    }
    world.run(2 * SECOND);
    assert_eq!(world.leg.state(), LegState::Connected);
    assert!(
        world.astray.is_empty(),
        "nobody else gets an alert: {:?}",
        world.astray
    );
    // After the handshake: again, and a fatal alert.
    world.deliver(stranger(), &plausible_hello());
    world.deliver(
        stranger(),
        &[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40],
    );
    world.talk(10);
    assert_eq!(
        (world.heard.len(), world.leg.state()),
        (10, LegState::Connected)
    );
    assert!(world.astray.is_empty());
}

/// The same datagram from the browser's own address, spoofed: the handshake must still finish.
#[test]
fn a_spoofed_client_hello_does_not_stop_the_handshake() {
    let mut world = World::negotiated(LegKind::Warm);
    for _ in 0..3 {
        for datagram in world.take_from_browser() {
            world.deliver(home(), &datagram);
            let refused = Received::Refused(Refusal::UnvalidatedDtls);
            assert_eq!(world.deliver(home(), &client_hello()), refused);
        }
        world.run(Duration::from_millis(50));
    }
    world.run(5 * SECOND);
    assert_eq!(
        world.leg.state(),
        LegState::Connected,
        "{:?}",
        world.browser.events
    );
}

#[test]
fn garbage_from_anyone_changes_nothing() {
    let mut world = World::connected();
    let mut seed = 1_u64;
    let mut noise = |len: usize| -> Vec<u8> {
        (0..len)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33) as u8
            })
            .collect()
    };
    for n in 0..2_000 {
        let mut datagram = noise(n % 220);
        // Each kind of datagram in turn, so that every parser is reached.
        if let Some(first) = datagram.first_mut() {
            *first = [0, 1, 22, 23, 63, 0x80, 0x90, 0xbf, 200][n % 9];
        }
        world.deliver(home(), &datagram);
        world.deliver(stranger(), &datagram);
        world.drain_leg();
    }
    world.talk(20);
    assert_eq!(world.leg.state(), LegState::Connected);
    assert_eq!((world.heard.len(), world.browser.heard.len()), (20, 20));
    assert!(
        world.astray.is_empty(),
        "a stranger gets nothing: {:?}",
        world.astray
    );
}

/// Asterisk's cure for the race dropped a browser's early ClientHello and cost the first second.
#[test]
fn an_early_client_hello_is_kept_for_its_browser() {
    let mut world = World::negotiated(LegKind::Warm);
    // Two rounds of checks over the first address, until the browser's ClientHello is on its way.
    let mut hello = Vec::new();
    while hello.is_empty() {
        world.now += Duration::from_millis(10);
        let datagrams = world.take_from_browser();
        let (dtls, checks): (Vec<_>, Vec<_>) = datagrams.into_iter().partition(|d| d[0] == 22);
        hello = dtls;
        for check in checks {
            world.deliver(home(), &check);
        }
        world.drain_leg();
    }
    // It arrives from another address that the browser has named, before any check from there: kept.
    let second = "198.51.100.31:50009";
    world.leg.add_candidate(
        world.now,
        "candidate:9 1 udp 1 198.51.100.31 50009 typ host",
    );
    world.browser.address = second.parse().unwrap();
    let known = [Received::Kept, Received::Refused(Refusal::UnvalidatedDtls)];
    assert_eq!(world.deliver(world.browser.address, &hello[0]), known[0]);
    assert_eq!(world.deliver(stranger(), &hello[0]), known[1]);
    // Every repetition is lost. The first check from there brings the kept one back, and the handshake goes on.
    world.browser.aliases.push(home());
    world.lose_dtls_until_answered = true;
    world.run(5 * SECOND);
    assert_eq!(
        world.leg.state(),
        LegState::Connected,
        "{:?}",
        world.reachable
    );
    assert!(world.astray.is_empty());
    // What comes afterwards is not early, and not kept.
    let third = "198.51.100.32:50010".parse().unwrap();
    world.leg.add_candidate(
        world.now,
        "candidate:9 1 udp 1 198.51.100.32 50010 typ host",
    );
    assert_eq!(world.deliver(third, &hello[0]), known[1]);
}

/// Who forges the browser's address and says a good ClientHello before the browser's own, and goes on: the browser brings the cookie, he does not, and the leg
/// comes up as if he were not there.
#[test]
fn forged_hellos_stop_no_handshake() {
    for period in [50, 5, 1].map(Duration::from_millis) {
        let mut world = World::negotiated(LegKind::Warm);
        for nth in 0..400_u32 {
            let mut hello = plausible_hello();
            // The random, as each of them would have.
            hello[27..31].copy_from_slice(&nth.to_be_bytes());
            world.deliver(home(), &hello);
            world.run(period);
        }
        world.run(SECOND);
        let states: Vec<LegState> = world.states.iter().map(|(_, state)| *state).collect();
        let expected = [LegState::Offered, LegState::Connecting, LegState::Connected];
        assert_eq!(states, expected, "one each {period:?}");
        world.talk(10);
        assert_eq!(world.heard.len(), 10);
    }
}

/// The known limit: who puts in a message between the browser's cookie and its certificate spoils this handshake. But what the browser says is a sign of that: the
/// leg ends soon and in words, so that a new offer follows.
#[test]
fn a_spoiled_handshake_ends_soon() {
    let mut world = World::negotiated(LegKind::Warm);
    until_cookie(&mut world);
    let key_exchange = fragment(16, 4, 2, 0, 4, &[3, 1, 2, 3]);
    world.deliver(home(), &whole(22, 0, &key_exchange));
    world.run(20 * SECOND);
    let Some((at, LegState::Failed(Failure::Disturbed))) = world.states.last() else {
        panic!("{:?}", world.states)
    };
    assert!((3 * SECOND..4 * SECOND).contains(at), "{at:?}");
}

/// The browser's checks and its ClientHello have come; it has not heard our answer yet.
fn until_hello(world: &mut World) {
    let mut hello = false;
    while !hello {
        world.drain_leg();
        world.now += Duration::from_millis(10);
        for datagram in world.take_from_browser() {
            hello |= datagram[0] == 22;
            world.deliver(home(), &datagram);
        }
    }
}

/// The browser's second ClientHello has come as well, with the cookie; it has not heard our answer yet.
fn until_cookie(world: &mut World) {
    until_hello(world);
    until_hello(world);
}

/// The same ClientHello behind the browser's own, over and over, and alerts in the clear: signs end nothing by themselves.
#[test]
fn a_handshake_that_goes_well_is_not_ended_by_signs() {
    let alert = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    for forged in [plausible_hello(), alert.to_vec()] {
        let mut world = World::negotiated(LegKind::Warm);
        until_hello(&mut world);
        for _ in 0..20 {
            world.deliver(home(), &forged);
        }
        world.run(20 * SECOND);
        assert_eq!(world.leg.state(), LegState::Connected, "{:?}", world.states);
        world.talk(10);
        assert_eq!(world.heard.len(), 10);
    }
}

/// A DTLS 1.2 record (RFC 6347 section 4.1) that says it is so long.
fn record(kind: u8, epoch: u16, length: u16, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 0xfe, 0xfd];
    record.extend(epoch.to_be_bytes());
    record.extend([0, 0, 0, 0, 7, 7]);
    record.extend(length.to_be_bytes());
    record.extend(body);
    record
}

/// A record of its true length.
fn whole(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
    record(kind, epoch, u16::try_from(body.len()).unwrap(), body)
}

/// A handshake message, or a fragment of one (RFC 6347 section 4.2.2): its type, its length, its number, where the fragment begins and how long it says it is.
fn fragment(kind: u8, length: u32, number: u16, at: u32, len: u32, body: &[u8]) -> Vec<u8> {
    let three = |number: u32| number.to_be_bytes()[1..].to_vec();
    let head = [
        &[kind][..],
        &three(length),
        &number.to_be_bytes(),
        &three(at),
    ]
    .concat();
    [head, three(len), body.to_vec()].concat()
}

/// What no browser sends in a handshake, each with what it is.
fn hostile_records() -> Vec<(&'static str, Vec<u8>)> {
    let hello = plausible_hello()[13..].to_vec();
    let many: Vec<u8> = (0..40).flat_map(|_| whole(22, 0, &[])).collect();
    vec![
        ("a hello under keys that nobody has", whole(22, 1, &hello)),
        ("an epoch of the far future", whole(22, 0xffff, &hello)),
        ("no message at all", whole(22, 0, &[])),
        ("nothing encrypted", whole(22, 1, &[])),
        ("half a handshake header", whole(22, 0, &[1, 0, 0])),
        (
            "a record that is longer than its datagram",
            record(22, 0, 0xffff, &hello),
        ),
        ("a record head and nothing else", record(22, 0, 80, &[])),
        (
            "the first octets of a message of 64 KiB",
            whole(22, 0, &fragment(11, 0x1_0000, 1, 0, 4, &[1, 2, 3, 4])),
        ),
        (
            "its last octets, of 16 MiB",
            whole(22, 0, &fragment(11, 0xff_ffff, 1, 0xff_fff0, 15, &[7; 15])),
        ),
        (
            "a fragment that ends behind its message",
            whole(22, 0, &fragment(11, 8, 1, 6, 8, &[7; 8])),
        ),
        (
            "a fragment of nothing",
            whole(22, 0, &fragment(11, 40, 1, 0, 0, &[])),
        ),
        (
            "a fragment that is shorter than it says",
            whole(22, 0, &fragment(11, 400, 1, 0, 400, &[7; 4])),
        ),
        ("forty empty records in one datagram", many),
        (
            "a change of keys that nobody has agreed on",
            whole(20, 0, &[1]),
        ),
        ("data in the clear", whole(23, 0, b"hello")),
        ("an alert of no kind", whole(21, 0, &[])),
        ("a content type that there is not", whole(99, 0, &[1, 2, 3])),
    ]
}

/// What could be a browser's by all that can be seen of it.
fn plausible_records() -> Vec<(&'static str, Vec<u8>)> {
    let hello = plausible_hello()[13..].to_vec();
    let key_exchange = fragment(16, 4, 2, 0, 4, &[3, 1, 2, 3]);
    let finished = fragment(20, 12, 3, 0, 12, &[0; 12]);
    let three = [&hello[..], &key_exchange, &finished].concat();
    let certificate = fragment(11, 40, 2, 0, 40, &[7; 40]);
    let half = fragment(11, 4_000, 2, 0, 40, &[7; 40]);
    vec![
        ("three messages in one record", whole(22, 0, &three)),
        ("a key exchange", whole(22, 0, &key_exchange)),
        ("a certificate", whole(22, 0, &certificate)),
        ("a part of one", whole(22, 0, &half)),
    ]
}

/// Under the browser's own address, before its hello and behind it: none of it stops the handshake with the browser, or ends what came of it.
#[test]
fn hostile_records_stop_no_handshake() {
    for (what, datagram) in hostile_records() {
        for early in [true, false] {
            let mut world = interrupted(early, &datagram);
            let states = &world.states;
            assert_eq!(
                world.leg.state(),
                LegState::Connected,
                "{what}, early: {early}: {states:?}"
            );
            for _ in 0..50 {
                world.deliver(home(), &datagram);
            }
            world.talk(10);
            assert_eq!(world.heard.len(), 10, "{what}");
        }
    }
}

/// The same of what could be the browser's. It may spoil the handshake; but the browser says something else under the same number, and the leg ends in seconds,
/// for the page to make another.
#[test]
fn forged_messages_cost_seconds_at_most() {
    for (what, datagram) in plausible_records() {
        for early in [true, false] {
            let world = interrupted(early, &datagram);
            match world.states.last() {
                Some((_, LegState::Connected)) => {}
                Some((at, LegState::Failed(Failure::Disturbed))) => {
                    assert!(*at < 4 * SECOND, "{what}, early: {early}: {at:?}");
                }
                other => panic!("{what}, early: {early}: {other:?}"),
            }
        }
    }
}

/// A leg into whose handshake this came fifty times under the browser's own address: behind the browser's checks, or behind its hello.
fn interrupted(early: bool, datagram: &[u8]) -> World {
    let mut world = World::negotiated(LegKind::Warm);
    if early {
        for checks in world.take_from_browser() {
            world.deliver(home(), &checks);
        }
    } else {
        until_cookie(&mut world);
    }
    for _ in 0..50 {
        world.deliver(home(), datagram);
        world.drain_leg();
    }
    world.run(20 * SECOND);
    world
}

/// A bad network takes the browser's packets for longer than a spoiled handshake would be given: what it repeats is no sign.
#[test]
fn a_handshake_on_a_bad_network_has_its_time() {
    let mut world = World::negotiated(LegKind::Warm);
    until_hello(&mut world);
    world.cut = true;
    world.run(4 * SECOND);
    assert_eq!(world.leg.state(), LegState::Connecting);
    world.cut = false;
    // Repetitions come after 1, 3 and 7 s or so.
    world.run(10 * SECOND);
    assert_eq!(world.leg.state(), LegState::Connected, "{:?}", world.states);
}
