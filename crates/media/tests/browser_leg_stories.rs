//! Life of a browser leg, told with a browser of full ICE in virtual time. No test here reads a clock twice.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use media::browser_leg::{Failure, LegError, LegKind, LegState, Received, Refusal, SdpRefusal};
use support::{SECOND, World, gateway, home, stranger};

fn states(world: &World) -> Vec<LegState> {
    world.states.iter().map(|(_, state)| *state).collect()
}

#[test]
fn the_offer_names_what_we_want_and_nothing_else() {
    let mut world = World::new(LegKind::Warm);
    let offer = world.leg.offer(world.now).unwrap();
    for line in [
        "m=audio 9 UDP/TLS/RTP/SAVPF 0 8 101",
        "a=ice-lite",
        "a=setup:actpass",
        "a=rtcp-mux",
        "a=rtpmap:101 telephone-event/8000",
        &format!("a=ice-ufrag:{}", world.leg.ufrag()),
    ] {
        assert!(
            offer.lines().any(|l| l == line),
            "{line} is missing in\n{offer}"
        );
    }
    assert!(offer.contains(&gateway().port().to_string()));
    assert!(
        !offer.contains("transport-wide-cc"),
        "the extension that leaks"
    );
    assert!(!offer.contains("CN/8000"));
    assert_eq!(offer.matches("a=extmap:").count(), 2);
}

#[test]
fn a_warm_leg_connects_and_carries_both_ways() {
    let mut world = World::connected();
    let expected = [LegState::Offered, LegState::Connecting, LegState::Connected];
    assert_eq!(states(&world), expected);
    assert_eq!(world.reachable.first(), Some(&home()));
    assert!(
        world.saw_client_hello,
        "the browser is the DTLS client, as browsers choose to be"
    );
    let times = world.leg.connect_times();
    assert!(times.ice.is_some() && times.dtls.is_some(), "{times:?}");
    world.talk(50);
    assert_eq!(world.heard.len(), 50);
    assert!(
        world
            .heard
            .iter()
            .all(|(pt, _, payload)| *pt == 0 && payload[..] == [0x11; 160])
    );
    assert_eq!(world.browser.heard.len(), 50);
    assert_eq!(&world.browser.heard[49].payload[..], [0x22; 160]);
    assert_eq!(
        Some(*world.browser.heard[0].header.ssrc),
        world.leg.send_ssrc()
    );
    assert!(world.refused.is_empty(), "{:?}", world.refused);
}

#[test]
fn telephone_events_pass_both_ways() {
    let mut world = World::connected();
    assert_eq!(world.leg.formats().telephone_event, Some(101));
    world.browser.speak(world.now, 101, 7, &[5, 0x8a, 3, 0x20]);
    world.run(SECOND);
    assert_eq!(world.heard, [(101, 7, vec![5, 0x8a, 3, 0x20])]);
}

#[test]
fn a_leg_per_call_answers_the_browsers_offer() {
    let mut world = World::new(LegKind::PerCall {
        ready_within: 4 * SECOND,
    });
    let (offer, pending) = world.browser.offer();
    let answer = world.leg.answer_offer(world.now, &offer).unwrap();
    assert!(answer.contains("a=setup:passive"), "{answer}");
    world.browser.accept(pending, &answer);
    world.run(2 * SECOND);
    assert_eq!(states(&world), [LegState::Connecting, LegState::Connected]);
    world.talk(10);
    assert_eq!((world.heard.len(), world.browser.heard.len()), (10, 10));
    // Ready is ready: the deadline of the call is over.
    world.run(10 * SECOND);
    assert_eq!(world.leg.state(), LegState::Connected);
}

#[test]
fn a_leg_per_call_offers_with_the_call() {
    let mut world = World::negotiated(LegKind::PerCall {
        ready_within: 4 * SECOND,
    });
    world.run(2 * SECOND);
    assert_eq!(world.leg.state(), LegState::Connected);
}

#[test]
fn a_leg_per_call_tells_in_time_that_it_is_not_ready() {
    // Answered, but no datagram arrives.
    let mut world = World::negotiated(LegKind::PerCall {
        ready_within: 4 * SECOND,
    });
    world.cut = true;
    world.run(10 * SECOND);
    let failed = LegState::Failed(Failure::NoPath);
    assert_eq!(world.states.last(), Some(&(4 * SECOND, failed)));
    // Never answered at all.
    let mut silent = World::new(LegKind::PerCall {
        ready_within: 4 * SECOND,
    });
    silent.leg.offer(silent.now).unwrap();
    silent.run(10 * SECOND);
    let failed = LegState::Failed(Failure::Unanswered);
    assert_eq!(silent.states.last(), Some(&(4 * SECOND, failed)));
    assert_eq!(
        silent.leg.poll_timeout(),
        None,
        "nothing is left to wait for"
    );
}

#[test]
fn ice_restarts_without_a_gap() {
    let mut world = World::connected();
    for round in 0..3 {
        let before = world.leg.ufrag();
        let offer = world.leg.offer(world.now).unwrap();
        world.talk(5);
        let answer = world.browser.answer(&offer);
        world.leg.accept_answer(world.now, &answer).unwrap();
        assert_ne!(world.leg.ufrag(), before, "round {round}");
        world.talk(45);
        world.run(SECOND);
    }
    assert_eq!((world.heard.len(), world.browser.heard.len()), (150, 150));
    assert_eq!(world.leg.state(), LegState::Connected);
    assert_eq!(
        world.states.len(),
        3,
        "no state change is seen: {:?}",
        world.states
    );
    // The restart's own deadline was cleared.
    world.talk(50);
    world.run(Duration::from_secs(90));
    assert_eq!(world.leg.state(), LegState::Connected);
}

/// The page never hears of the restart, or answers it and checks nothing: the call is heard over the old path, for as long as consent is there.
#[test]
fn a_restart_that_fails_keeps_the_old_path() {
    let mut world = World::new(LegKind::Warm);
    let offer = world.leg.offer(world.now).unwrap();
    let answer = world.browser.answer(&offer);
    world.leg.accept_answer(world.now, &answer).unwrap();
    world.run(2 * SECOND);
    let ufrag = world.leg.ufrag();

    world.leg.offer(world.now).unwrap();
    world.run(90 * SECOND);
    world.talk(50);
    assert_eq!((world.heard.len(), world.browser.heard.len()), (50, 50));
    assert_eq!(world.leg.ufrag(), ufrag, "checks still find it");

    // Offered again, and answered by what the browser's engine knows nothing of.
    world.leg.offer(world.now).unwrap();
    let secret = |line: &&str| line.starts_with("a=ice-ufrag:") || line.starts_with("a=ice-pwd:");
    let claimed = answer.lines().map(|line| match secret(&line) {
        true => format!("{line}another\r\n"),
        false => format!("{line}\r\n"),
    });
    let claimed: String = claimed.collect();
    world.leg.accept_answer(world.now, &claimed).unwrap();
    let restarted = world.now - world.start;
    world.talk(150);
    assert_eq!((world.heard.len(), world.browser.heard.len()), (200, 200));
    assert_eq!(world.leg.state(), LegState::Connected);
    world.run(90 * SECOND);
    let failed = (restarted + 60 * SECOND, LegState::Failed(Failure::Consent));
    assert_eq!(world.states.last(), Some(&failed), "not for ever");
}

#[test]
fn the_browser_closes() {
    let mut world = World::connected();
    world.browser.rtc.close().unwrap();
    world.run(SECOND);
    assert_eq!(world.leg.state(), LegState::Closed);
    assert!(
        !world.say(0, &[0; 160]),
        "writing to a closed engine would leak"
    );
    assert_eq!(
        world.deliver(home(), &[0x80; 40]),
        Received::Refused(Refusal::Over)
    );
}

#[test]
fn we_close_and_the_browser_hears_of_it() {
    let mut world = World::connected();
    world.leg.close(world.now);
    world.run(SECOND);
    assert_eq!(world.leg.state(), LegState::Closed);
    assert!(
        world.browser.events.iter().any(|event| event == "Closed"),
        "{:?}",
        world.browser.events
    );
    // Closing a leg that never connected is silent and final.
    let mut early = World::negotiated(LegKind::Warm);
    early.leg.close(early.now);
    assert_eq!(early.leg.state(), LegState::Closed);
    assert_eq!(early.leg.poll_timeout(), None);
}

#[test]
fn lost_consent_comes_back_or_fails() {
    let mut world = World::connected();
    world.cut = true;
    world.run(20 * SECOND);
    assert_eq!(world.leg.state(), LegState::Disconnected);
    assert!(!world.say(0, &[0; 160]), "nobody is there to hear it");
    world.cut = false;
    let offer = world.leg.offer(world.now).unwrap();
    let answer = world.browser.answer(&offer);
    world.leg.accept_answer(world.now, &answer).unwrap();
    world.run(2 * SECOND);
    assert_eq!(world.leg.state(), LegState::Connected, "{:?}", world.states);
    world.talk(10);
    assert_eq!(world.heard.len(), 10);
    world.cut = true;
    world.run(Duration::from_secs(120));
    assert_eq!(world.leg.state(), LegState::Failed(Failure::Consent));
}

/// ES2021-09: bad SRTP must never end a call, and leaves no trace.
#[test]
fn bad_srtp_is_refused_and_counted() {
    let mut world = World::connected();
    world.talk(5);
    let bad = [
        0x80, 0, 0x70, 0x28, 0x09, 0xcd, 0x2d, 0x15, 0xfd, 0x3e, 0x5c, 0x86, 0x41,
    ];
    for _ in 0..200 {
        assert_eq!(
            world.deliver(home(), &bad),
            Received::Refused(Refusal::Srtp)
        );
        assert_eq!(
            world.deliver(stranger(), &bad),
            Received::Refused(Refusal::UnknownSource)
        );
    }
    world.talk(5);
    assert_eq!(world.heard.len(), 10);
}

#[test]
fn a_replayed_packet_is_heard_once() {
    let mut world = World::connected();
    world.browser.speak(world.now, 0, 0, &[1; 160]);
    let sent = world.take_from_browser();
    for datagram in &sent {
        assert_eq!(world.deliver(home(), datagram), Received::Taken);
        assert_eq!(
            world.deliver(home(), datagram),
            Received::Refused(Refusal::Srtp)
        );
    }
    world.drain_leg();
    assert_eq!(world.heard.len(), 1);
}

#[test]
fn a_check_with_the_wrong_key_is_refused() {
    let mut world = World::negotiated(LegKind::Warm);
    let mut checks: Vec<_> = world
        .take_from_browser()
        .into_iter()
        .filter(|d| d.first() == Some(&0))
        .collect();
    let mut forged = checks.remove(0);
    // Within the signature.
    let at = forged.len() - 20;
    forged[at] ^= 1;
    assert_eq!(
        world.deliver(stranger(), &forged),
        Received::Refused(Refusal::BadIntegrity)
    );
    world.drain_leg();
    assert!(world.reachable.is_empty() && world.astray.is_empty());
}

/// NAT rebinding: the engine alone would send to the old address for 14 s.
#[test]
fn the_browser_moves_and_moves_back() {
    let mut world = World::connected();
    world.talk(10);
    let addresses = [
        "198.51.100.30:50001",
        "198.51.100.99:4000",
        "198.51.100.30:50000",
    ];
    for (n, address) in addresses.into_iter().enumerate() {
        world.browser.address = address.parse().unwrap();
        let before = world.browser.heard.len();
        // Within one check interval media is back, both ways.
        world.talk(250);
        let heard = world.browser.heard.len() - before;
        assert!(heard > 100, "move {n}: {heard} of 250 packets heard");
        assert_eq!(world.heard_of(50), (50, 50), "move {n}");
        assert_eq!(world.leg.state(), LegState::Connected, "move {n}");
    }
}

/// The browser's checks overtake its answer: connected without waiting for its retransmission.
#[test]
fn checks_that_overtake_the_answer_are_used() {
    let mut world = World::new(LegKind::Warm);
    let offer = world.leg.offer(world.now).unwrap();
    let answer = world.browser.answer(&offer);
    for datagram in world.take_from_browser() {
        world.deliver(home(), &datagram);
    }
    world.drain_leg();
    assert!(
        world.reachable.is_empty(),
        "unanswered before the browser is known"
    );
    world.leg.accept_answer(world.now, &answer).unwrap();
    world.drain_leg();
    assert_eq!(world.reachable, [home()], "answered with the answer");
    world.run(2 * SECOND);
    assert_eq!(world.leg.state(), LegState::Connected);
}

#[test]
fn descriptions_that_are_refused_end_the_leg() {
    let mut world = World::new(LegKind::Warm);
    let offer = world.leg.offer(world.now).unwrap();
    let answer = world.browser.answer(&offer);
    let weak = answer.replace("fingerprint:sha-256", "fingerprint:sha-1");
    let refused = world.leg.accept_answer(world.now, &weak);
    assert_eq!(refused, Err(LegError::Refused(SdpRefusal::WeakFingerprint)));
    assert_eq!(world.leg.state(), LegState::Failed(Failure::Description));
    assert_eq!(
        world.leg.accept_answer(world.now, &answer),
        Err(LegError::State)
    );

    let mut world = World::new(LegKind::Warm);
    world.leg.offer(world.now).unwrap();
    assert!(matches!(
        world.leg.accept_answer(world.now, "v=0\r\n"),
        Err(LegError::Refused(_))
    ));
}

#[test]
fn an_answer_nobody_asked_for_is_ignored() {
    let mut world = World::connected();
    let error = world.leg.accept_answer(world.now, "v=0\r\n");
    assert_eq!(error, Err(LegError::State));
    assert_eq!(world.leg.state(), LegState::Connected);
    let mut offered = World::new(LegKind::Warm);
    offered.leg.offer(offered.now).unwrap();
    assert_eq!(offered.leg.offer(offered.now), Err(LegError::State));
}

/// A browser that nothing reaches asks for a restart every quarter of a minute: the agent learns within half a minute all the same why she hears nothing.
#[test]
fn restarts_put_no_failure_off() {
    let mut world = World::negotiated(LegKind::Warm);
    world.cut = true;
    for _ in 0..3 {
        world.run(9 * SECOND);
        let offer = world.leg.offer(world.now).unwrap();
        let answer = world.browser.answer(&offer);
        world.leg.accept_answer(world.now, &answer).unwrap();
    }
    world.run(9 * SECOND);
    let failed = LegState::Failed(Failure::NoPath);
    assert_eq!(world.states.last(), Some(&(30 * SECOND, failed)));
}

/// A browser whose certificate is not the one it announced is an attacker in the middle.
#[test]
fn a_wrong_certificate_ends_the_leg() {
    let mut world = World::new(LegKind::Warm);
    let offer = world.leg.offer(world.now).unwrap();
    let answer = world.browser.answer(&offer);
    let at = answer.find("sha-256 ").unwrap() + 8;
    let mut forged = answer.into_bytes();
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    world
        .leg
        .accept_answer(world.now, std::str::from_utf8(&forged).unwrap())
        .unwrap();
    world.run(2 * SECOND);
    assert_eq!(world.leg.state(), LegState::Failed(Failure::Certificate));
}

/// An answer that names two certificates, or two roles, and a browser that has one of each: what comes of it is the same every time, and is never a leg whose
/// far end is another than the answer named.
#[test]
fn two_certificates_or_two_roles_deceive_nobody() {
    let answered = |change: &dyn Fn(&str) -> String| {
        let mut world = World::new(LegKind::Warm);
        let offer = world.leg.offer(world.now).unwrap();
        let answer = change(&world.browser.answer(&offer));
        let taken = world.leg.accept_answer(world.now, &answer);
        world.run(20 * SECOND);
        (taken.is_ok(), world.leg.state())
    };
    let line = |answer: &str| {
        let line = answer
            .lines()
            .find(|line| line.starts_with("a=fingerprint:"));
        format!("{}\r\n", line.unwrap())
    };
    let other = |answer: &str| {
        let line = line(answer);
        let at = line.find("sha-256 ").unwrap() + 8;
        let digit = if &line[at..=at] == "A" { "B" } else { "A" };
        format!("{}{digit}{}", &line[..at], &line[at + 1..])
    };
    let both_wrong = |answer: &str| answer.replace(&line(answer), &other(answer).repeat(2));
    let (_, state) = answered(&both_wrong);
    assert_eq!(state, LegState::Failed(Failure::Certificate));
    let twice = |answer: &str| answer.replace(&line(answer), &line(answer).repeat(2));
    assert_eq!(answered(&twice), (true, LegState::Connected));
    // The first one counts.
    let two = |first: bool| {
        move |answer: &str| {
            let (own, other) = (line(answer), other(answer));
            let pair = if first {
                own.clone() + &other
            } else {
                other + &own
            };
            answer.replace(&own, &pair)
        }
    };
    assert_eq!(answered(&two(true)), (true, LegState::Connected));
    let failed = LegState::Failed(Failure::Certificate);
    assert_eq!(answered(&two(false)), (true, failed));
    for roles in [["active", "passive"], ["passive", "active"]] {
        let roles = roles.map(|role| format!("a=setup:{role}\r\n")).concat();
        let changed = |answer: &str| answer.replace("a=setup:active\r\n", &roles);
        let refused = LegState::Failed(Failure::Description);
        assert_eq!(answered(&changed), (false, refused), "{roles}");
    }
}

#[test]
fn what_was_not_negotiated_is_not_sent() {
    let mut world = World::new(LegKind::Warm);
    let offer = world.leg.offer(world.now).unwrap();
    let answer = world.browser.answer(&offer);
    let only_mu = answer
        .replace("SAVPF 0 8 101", "SAVPF 0")
        .lines()
        .filter(|l| !l.contains("rtpmap:8 ") && !l.contains(":101 ") && !l.contains("rtcp-fb:8 "))
        .collect::<Vec<_>>()
        .join("\r\n")
        + "\r\n";
    world.leg.accept_answer(world.now, &only_mu).unwrap();
    world.run(2 * SECOND);
    let formats = world.leg.formats();
    assert_eq!(
        (formats.mu, formats.a, formats.telephone_event),
        (Some(0), None, None)
    );
    let packet = media::browser_leg::SendPacket {
        payload_type: 8,
        sequence: 5_000,
        timestamp: 0,
        marker: true,
        payload: &[0; 160],
        map: None,
    };
    assert!(!world.send(&packet));
    let long = media::browser_leg::SendPacket {
        payload_type: 0,
        payload: &[0; 1_900],
        ..packet
    };
    assert!(!world.send(&long), "no audio packet is as long");
    let fits = media::browser_leg::SendPacket {
        payload: &[0; 1_400],
        ..long
    };
    assert!(world.send(&fits));
    world.run(SECOND);
    assert_eq!(world.browser.heard.len(), 1);
}
