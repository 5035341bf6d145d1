//! What strangers, and peers that misbehave, make a worker do: nothing. Rows C and D of `docs/security.md`, in virtual time.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use media::ids::{CallId, LegId};
use media::packet::{self, Fields};
use media::patchbay::{Event, Plan};
use support::worker::{Worker, peer, peer_rtcp, plan, rtp};
use support::{SECOND, stranger};

/// What the attacker's audio consists of; nobody else's does.
const HIS: u8 = 0x2a;

/// The advisory's packet, and one that guesses the victim's numbers, for each payload type that could pass.
fn spray(sequence: u16) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for payload_type in [0, 8, 13, 101] {
        for (ssrc, sequence, timestamp) in [
            (0xef0a_07de, 60_988, 71_475_905),
            (0xabc, sequence, u32::from(sequence) * 160),
        ] {
            let fields = Fields {
                marker: false,
                payload_type,
                sequence,
                timestamp,
                ssrc,
            };
            let mut datagram = [0; 172];
            packet::write(&mut datagram, &fields, &[HIS; 160], None).unwrap();
            packets.push(datagram.to_vec());
        }
    }
    packets
}

/// Everything at once, at the RTP port, the RTCP port and the browsers' port.
fn sprayed(worker: &mut Worker, from: SocketAddr, call: u64) {
    let next = worker.spoken;
    for packet in (0..20).flat_map(|ahead| spray(1_000 * call as u16 + next + ahead)) {
        worker.rtp_from(call, from, &packet);
        let mut report = [0x80, 0xc8, 0, 0];
        let mut datagram = packet.clone();
        for datagram in [&mut report[..], &mut datagram] {
            worker
                .bay
                .receive_rtcp(worker.now, CallId(call), from, datagram);
        }
        worker
            .bay
            .receive_browser(worker.now, from, &mut packet.clone(), &mut worker.net);
    }
    worker.run(Duration::from_millis(40));
}

/// Not one octet went to him, and nobody has heard him.
fn held(worker: &mut Worker, from: SocketAddr) {
    let to_him = |(_, to, _): &(_, SocketAddr, _)| to.ip() == from.ip();
    assert!(!worker.net.rtp.iter().any(to_him));
    assert!(!worker.net.rtcp.iter().any(to_him));
    assert!(worker.astray.is_empty(), "{:?}", worker.astray);
    for heard in worker.heard() {
        assert!(!heard.contains(&HIS), "{heard:?}");
    }
    assert!(worker.spoken().iter().all(|(_, octet)| *octet != HIS));
}

/// A peer that sends thousands of keys a second, each a timestamp or a source of its own: as many are told as anybody could press, the others are counted, and
/// the call goes on.
#[test]
fn a_flood_of_keys_is_no_flood_of_digits() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    worker.plan(1, Some(0), true);
    for turn in 0..50_u16 {
        for n in 0..100 {
            let number = turn * 100 + n;
            let key = rtp(101, number, u32::from(number) * 8, &[5, 0x8a, 0, 160]);
            worker.rtp_from(1, peer(1), &key);
        }
        worker.run(Duration::from_millis(20));
    }
    let is_digit = |event: &&Event| matches!(event, Event::Digit { .. });
    let digits = worker.events.iter().filter(is_digit).count();
    assert!((26..=51).contains(&digits), "{digits} in a second");
    let counted = worker.bay.counters().rtp_malformed;
    assert_eq!(counted, 5_000 - digits as u64);
    worker.heard();
    worker.run(2 * SECOND);
    worker.spoken = 6_000;
    worker.talk(&[1], 10);
    assert_eq!(worker.heard(), [[1]]);
    worker.rtp_from(1, peer(1), &rtp(101, 7_100, 900_000, &[5, 0x8a, 0, 160]));
    worker.collect();
    let now = worker.events.iter().filter(is_digit).count();
    assert_eq!(now, digits + 1, "he presses a key");
}

/// RTP bleed and injection in the six timing classes of ES2025-01: before the answer, between it and the victim's first packet, in mid-call, while
/// the victim is silent or on hold, after a re-INVITE has moved the media, and after hang-up when the port is used again.
#[test]
fn no_moment_is_good_for_a_spray() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    sprayed(&mut worker, stranger(), 1);
    held(&mut worker, stranger());
    worker.plan(1, Some(0), true);
    sprayed(&mut worker, stranger(), 1);
    held(&mut worker, stranger());
    worker.talk(&[1], 10);
    for _ in 0..10 {
        sprayed(&mut worker, stranger(), 1);
        worker.talk(&[1], 1);
    }
    assert_eq!(worker.heard(), [[1]]);
    held(&mut worker, stranger());
    worker.talk(&[], 50);
    sprayed(&mut worker, stranger(), 1);
    worker.plan(1, Some(0), false);
    sprayed(&mut worker, stranger(), 1);
    held(&mut worker, stranger());
    // Moved: who was the peer until now is a stranger too.
    let moved = Plan {
        bridge: media::bridge::BridgePlan {
            remote: Some(peer(5)),
            remote_rtcp: Some(peer_rtcp(5)),
            ..plan(1, Some(0), true).bridge
        },
        ..plan(1, Some(0), true)
    };
    worker.replan(1, moved);
    worker.net.rtp.clear();
    worker.net.rtcp.clear();
    for from in [stranger(), peer(1), peer_rtcp(1)] {
        sprayed(&mut worker, from, 1);
    }
    worker.talk(&[], 5);
    let to: Vec<_> = worker.spoken();
    assert!(to.iter().all(|(to, _)| *to == peer(5)), "{to:?}");
    assert_eq!(worker.heard(), [Vec::<u8>::new()]);
    // The port is used again: the next call hears its own peer, and nothing of what still comes for the former one.
    worker.close(1);
    worker.open(2);
    worker.plan(2, Some(0), true);
    for _ in 0..5 {
        let late = rtp(0, 7_000 + worker.spoken, 0, &[HIS; 160]);
        worker.rtp_from(2, peer(5), &late);
        sprayed(&mut worker, stranger(), 2);
        worker.talk(&[2], 1);
    }
    assert_eq!(worker.heard(), [[2]]);
    held(&mut worker, stranger());
}

/// RTCP of every kind from the peer itself: short, BYE for its source and for ours, SDES, APP, XR, feedback, unknown, garbage. The call goes on,
/// and what is measured stays sane.
#[test]
fn rtcp_of_any_kind_ends_no_call() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    worker.plan(1, Some(0), true);
    worker.talk(&[1], 20);
    let ours = u32::from_be_bytes(worker.net.rtp[0].2[8..12].try_into().unwrap());
    let packet = |kind: u8, count: u8, body: &[u8]| {
        let words = (body.len() / 4) as u16;
        let mut packet = vec![0x80 | count, kind];
        packet.extend_from_slice(&words.to_be_bytes());
        packet.extend_from_slice(body);
        packet
    };
    let about_us = [&[0, 0, 0xa, 0xbc], &ours.to_be_bytes()[..], &[0xff; 20]].concat();
    let mut kinds = vec![
        vec![0x80, 0xc8, 0, 0],
        vec![0x81, 0xc9, 0, 0],
        vec![],
        vec![0x80],
        vec![0xff; 64],
        packet(203, 1, &ours.to_be_bytes()),
        packet(203, 1, &[0, 0, 0xa, 0xbc]),
        packet(203, 31, &[0; 8]),
        packet(202, 1, &[0, 0, 0xa, 0xbc, 1, 255, 0, 0]),
        packet(204, 0, &[0xff; 12]),
        packet(207, 0, &[0, 0, 0xa, 0xbc, 7, 0, 0, 8, 1, 2, 3, 4]),
        packet(205, 1, &[0xff; 12]),
        packet(201, 1, &about_us),
        packet(200, 31, &[0xff; 24]),
    ];
    for kind in 192..=223 {
        kinds.push(packet(kind, 31, &[0xff; 16]));
    }
    for _ in 0..20 {
        for datagram in &kinds {
            worker
                .bay
                .receive_rtcp(worker.now, CallId(1), peer_rtcp(1), &mut datagram.clone());
        }
        worker.talk(&[1], 10);
    }
    assert_eq!(worker.heard(), [[1]]);
    assert_eq!(worker.spoken(), [(peer(1), 0x80)]);
    worker.run(10 * SECOND);
    let report = worker.events.iter().rev().find_map(|event| match event {
        Event::Quality { report, .. } => Some(*report),
        _ => None,
    });
    let to_agent = report.unwrap().to_agent;
    assert_eq!((to_agent.packets, to_agent.lost), (220, Some(0)));
    assert!(to_agent.jitter.is_none_or(|jitter| jitter < SECOND));
    let closed = |event: &Event| matches!(event, Event::CallClosed { .. });
    assert!(!worker.events.iter().any(closed));
}

/// Comfort noise and telephone events that were not agreed are neither played nor answered in kind.
#[test]
fn payload_types_without_an_agreement_are_ignored() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    let mut plain = plan(1, Some(0), true);
    plain.bridge.format.telephone_event = None;
    worker.replan(1, plain);
    worker.talk(&[1], 5);
    worker.heard();
    for (nth, payload_type) in [13, 101, 96, 127, 13, 101].into_iter().enumerate() {
        let sequence = 1_000 + worker.spoken + nth as u16;
        let noise = rtp(payload_type, sequence, 99_000, &[HIS, 0, 1, 0xe0]);
        worker.rtp_from(1, peer(1), &noise);
        worker.talk(&[], 3);
    }
    held(&mut worker, stranger());
    let digit = |event: &Event| matches!(event, Event::Digit { .. });
    assert!(!worker.events.iter().any(digit));
    worker.spoken += 6;
    worker.talk(&[1], 5);
    assert_eq!(worker.heard(), [[1]]);
    let sent = worker
        .net
        .rtp
        .iter()
        .all(|(_, _, datagram)| datagram[1] & 0x7f == 0);
    assert!(sent, "speech only");
}

/// ES2017-04's cousin: checks by the thousand. Whoever cannot sign one gets nothing; whoever can gets an answer that is no longer than what he
/// sent, but for the address in it.
#[test]
fn checks_are_not_amplified() {
    let mut worker = Worker::with_browsers(1);
    let mut checks = Vec::new();
    while checks.is_empty() {
        worker.now += Duration::from_millis(50);
        let mut sent = std::collections::VecDeque::new();
        worker.browsers[0].drain(worker.now, &mut sent);
        let _ = worker.browsers[0]
            .rtc
            .handle_input(str0m::Input::Timeout(worker.now));
        checks.extend(
            sent.into_iter()
                .map(|(_, _, datagram)| datagram)
                .filter(|datagram| datagram[0] == 0 && datagram[1] == 1),
        );
    }
    let check = checks.remove(0);
    worker.net.browser.clear();
    let user = check.windows(4).position(|word| word == [0, 6, 0, 9]);
    for nth in 0..3_000_u32 {
        let mut forged = check.clone();
        let at = forged.len() - 9 - nth as usize % 20;
        forged[at] ^= 1 + (nth % 255) as u8;
        let mut foreign = check.clone();
        let name = user.map_or(24, |at| at + 4);
        foreign[name] ^= 1 + (nth % 127) as u8;
        let mut giant = check.clone();
        giant[2..4].copy_from_slice(&0xfffc_u16.to_be_bytes());
        let short = &check[..20 + nth as usize % (check.len() - 20)];
        for datagram in [&forged[..], &foreign, &giant, short] {
            worker.bay.receive_browser(
                worker.now,
                stranger(),
                &mut datagram.to_vec(),
                &mut worker.net,
            );
        }
    }
    let back: usize = worker
        .net
        .browser
        .iter()
        .filter(|(to, _)| *to == stranger())
        .map(|(_, datagram)| datagram.len())
        .sum();
    assert_eq!(back, 0);
    let counters = worker.bay.counters();
    assert!(counters.stun_bad_integrity > 2_000, "{counters:?}");
    let home = worker.browsers[0].address;
    worker
        .bay
        .receive_browser(worker.now, home, &mut check.clone(), &mut worker.net);
    let answer: usize = worker
        .net
        .browser
        .drain(..)
        .map(|(_, datagram)| datagram.len())
        .sum();
    assert!(
        0 < answer && answer <= check.len() + 20,
        "{answer} for {}",
        check.len()
    );
    worker.run(2 * SECOND);
    worker.open(1);
    worker.plan(1, Some(0), true);
    worker.talk(&[1], 5);
    assert_eq!(worker.heard(), [[1]]);
}

/// A page names addresses that are none of its business, a thousand of them: nothing is ever sent there, and the call is up all the same.
#[test]
fn candidates_lead_nowhere() {
    let mut worker = Worker::with_browsers(1);
    let targets = [
        "127.0.0.1",
        "169.254.169.254",
        "192.0.2.81",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "::1",
        "::ffff:127.0.0.1",
        "10.0.0.1",
        "metadata.google.internal",
        "8b1a9953-c461-4e3b-a1c5-1f6e0c1b2d3e.local",
    ];
    for nth in 0..1_000 {
        for target in targets {
            let line = format!(
                "candidate:{nth} 1 udp {} {target} {} typ host",
                nth + 1,
                1_024 + nth
            );
            worker
                .bay
                .candidate_browser(worker.now, LegId(0), &line, &mut worker.net);
        }
    }
    assert!(worker.bay.residue().2 <= media::limits::REMOTE_CANDIDATES_MAX + 2);
    worker.open(1);
    worker.plan(1, Some(0), true);
    worker.talk(&[1], 100);
    assert_eq!(worker.heard(), [[1]]);
    assert!(worker.astray.is_empty(), "{:?}", worker.astray);
}

/// A far end that is silent for an hour, and one that is on hold for an hour: neither the worker nor the leg gives the call up.
#[test]
fn an_hour_of_silence_ends_nothing() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    worker.plan(1, Some(0), true);
    worker.talk(&[1], 10);
    worker.heard();
    let minutes = |worker: &mut Worker, count: u32| {
        for _ in 0..count {
            // A minute at a time without the browser's every packet: its checks, and everything that is due here.
            worker.run(Duration::from_millis(200));
            worker.now += Duration::from_secs(59);
            worker.bay.handle_timeout(worker.now, &mut worker.net);
            worker.net.rtcp.clear();
        }
    };
    for open in [true, false] {
        worker.plan(1, None, open);
        minutes(&mut worker, 60);
        let closed = |event: &Event| matches!(event, Event::CallClosed { .. });
        worker.collect();
        assert!(!worker.events.iter().any(closed));
        assert_eq!(worker.bay.population().1, 1);
    }
    worker.rtp_from(1, peer(1), &rtp(0, 9_000, 1, &[1; 160]));
    assert_eq!(worker.bay.counters().rtp_sip_in, 11);
}

/// A page answers with what no browser says: the leg is refused in words or taken for what can be read, nothing breaks, and another agent's call is
/// heard on the same worker.
#[test]
fn descriptions_that_are_bombs_end_their_own_leg_at_most() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    worker.plan(1, Some(0), true);
    let offer = worker.events.iter().find_map(|event| match event {
        Event::BrowserOffer { sdp, .. } => Some(sdp.clone()),
        _ => None,
    });
    let offer = offer.unwrap();
    let audio = offer.split("m=audio").nth(1).unwrap();
    let lines = |line: &str, count: usize| line.repeat(count);
    let bombs = [
        String::new(),
        "v=0\r\n".to_owned(),
        lines("a=x\r\n", 30_000),
        offer.clone() + &lines("a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n", 2_000),
        offer.clone() + &lines(&format!("m=audio{audio}"), 50),
        offer.clone() + &lines("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", 50),
        offer.replace("m=audio", "m=video"),
        offer.replace("m=audio", "m=application"),
        offer.replace("a=mid:", "a=mid:x"),
        offer.replace("a=extmap:1 ", "a=extmap:14 "),
        offer.replace("a=extmap:1 ", "a=extmap:99999999999 "),
        offer.replace(" 0 8 101", &lines(" 0", 5_000)),
        offer.replace("a=setup:actpass", "a=setup:active\r\na=setup:passive"),
        offer.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00:"),
        offer.replace(
            "a=fingerprint",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNf\r\na=x",
        ),
        offer.replace(
            "a=ice-ufrag:",
            &format!("a=ice-ufrag:{}", "u".repeat(9_000)),
        ),
        offer.replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:0 PCMU/4294967296"),
        offer.replace("\r\n", "\n\n"),
        "\u{0}".repeat(1_000),
        "v=0\r\no=- \u{202e}".to_owned() + &"9".repeat(4_000),
    ];
    for (nth, bomb) in bombs.iter().enumerate() {
        let leg = LegId(100 + nth as u64);
        let manner = (
            media::browser_leg::LegKind::Warm,
            media::browser_leg::Preference::Relay,
        );
        worker
            .bay
            .offer_browser(worker.now, leg, manner, false, &mut worker.net);
        worker
            .bay
            .answer_browser(worker.now, leg, bomb, &mut worker.net);
        worker.talk(&[1], 1);
        worker.bay.close_browser(worker.now, leg, &mut worker.net);
    }
    worker.talk(&[1], 5);
    assert_eq!(worker.heard(), [[1]]);
    assert_eq!(worker.bay.population(), (1, 1));
}
