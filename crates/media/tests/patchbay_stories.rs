//! What one worker does, told with browsers and SIP sides in virtual time.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use media::browser_leg::{LegKind, LegState, Preference};
use media::codec::Codec;
use media::g711::Law;
use media::ids::{CallId, LegId, PortId};
use media::packet::Header;
use media::patchbay::{Direction, Event};
use media::rtcp::{self, Rtcp};
use media::telephone_event;
use media::tone::{Tone, sharpest_bend};
use support::worker::{Worker, peer, peer_rtcp, plan, rtp};
use support::{Browser, SECOND, settings, stranger};

#[test]
fn a_call_is_heard_both_ways() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    worker.plan(1, Some(0), true);
    worker.talk(&[1], 50);
    assert_eq!(worker.heard(), [[1]]);
    assert_eq!(worker.spoken(), [(peer(1), 0x80)]);
    for direction in [Direction::ToAgent, Direction::ToCaller] {
        let first = Event::FirstPacket {
            call: CallId(1),
            direction,
        };
        assert_eq!(
            worker
                .events
                .iter()
                .filter(|event| **event == first)
                .count(),
            1
        );
    }
    let counters = worker.bay.counters();
    assert_eq!((counters.rtp_sip_in, counters.rtp_browser_out), (50, 50));
    assert_eq!((counters.rtp_browser_in, counters.rtp_sip_out), (50, 50));
    assert_eq!((counters.rtp_wrong_source, counters.srtp_auth_fail), (0, 0));
}

/// The browser sends a key by itself, and the SIP side counts events otherwise: it is sent as one of ours at once, not when the worker has something else to
/// do for the call, seconds later.
#[test]
fn the_browsers_own_key_is_not_kept_waiting() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    let mut opus = plan(1, Some(0), true);
    opus.bridge.format.codec = Codec::Opus;
    opus.bridge.format.payload_type = 120;
    opus.bridge.format.event_ticks_per_ms = 48;
    worker.replan(1, opus);
    worker.run(Duration::from_millis(100));
    let key = |duration: u16, end: u8| {
        let [high, low] = duration.to_be_bytes();
        [5, end, high, low]
    };
    for packet in [key(160, 0), key(320, 0x80), key(320, 0x80)] {
        let now = worker.now;
        worker.browsers[0].speak(now, 101, 0, &packet);
        worker.run(Duration::from_millis(20));
    }
    worker.run(Duration::from_millis(300));
    let events: Vec<(u32, bool, u16)> = worker
        .net
        .rtp
        .drain(..)
        .filter_map(|(_, _, datagram)| {
            let header = Header::parse(&datagram).unwrap();
            let is_key = header.payload_type == 101 && datagram[12] == 5;
            let ticks = || u16::from_be_bytes([datagram[14], datagram[15]]);
            is_key.then(|| (header.timestamp, datagram[13] & 0x80 != 0, ticks()))
        })
        .collect();
    // A key of 100 ms in the ticks of Opus, and its end twice more.
    let ticks: Vec<(bool, u16)> = events
        .iter()
        .map(|(_, end, ticks)| (*end, *ticks))
        .collect();
    let steps = [960, 1_920, 2_880, 3_840].map(|ticks| (false, ticks));
    assert_eq!(ticks, [&steps[..], &[(true, 4_800); 3]].concat());
    assert!(events.iter().all(|(at, ..)| *at == events[0].0), "one key");
}

/// Two calls of one agent and a third of another: nobody ever hears what is not his.
#[test]
fn nobody_hears_another_call() {
    let mut worker = Worker::with_browsers(2);
    for call in [1, 2, 3] {
        worker.open(call);
    }
    worker.plan(1, Some(0), true);
    worker.plan(3, Some(1), true);
    worker.talk(&[1, 2, 3], 10);
    assert_eq!(worker.heard(), [[1], [3]]);
    assert_eq!(
        worker.spoken(),
        [(peer(1), 0x80), (peer(3), 0x81)].repeat(10)
    );
    // The first is held, the second retrieved, in the order that is harder: the new one takes the leg first.
    worker.plan(2, Some(0), true);
    worker.talk(&[1, 2, 3], 10);
    assert_eq!(worker.heard(), [[2], [3]]);
    worker.plan(1, Some(0), false);
    worker.talk(&[1, 2, 3], 10);
    assert_eq!(worker.heard(), [[2], [3]]);
    worker.spoken();
    // Both held: silence in both directions for the first agent.
    worker.plan(2, Some(0), false);
    worker.run(Duration::from_millis(20));
    let silence = Law::Mu.silence();
    assert_eq!(worker.heard(), [vec![2, silence], vec![]], "it fades");
    worker.talk(&[1, 2, 3], 10);
    assert_eq!(worker.heard(), [vec![], vec![3]]);
    assert!(
        worker
            .spoken()
            .iter()
            .all(|(to, octet)| (*to, *octet) == (peer(3), 0x81))
    );
    // And the first again.
    worker.plan(1, Some(0), true);
    worker.talk(&[1, 2, 3], 10);
    assert_eq!(worker.heard(), [[1], [3]]);
}

/// After a consultation the agent comes back to her first call, which was closed before the other one was opened: her browser has heard somebody else since, and
/// G.722 from where its encoder stood would begin with a click. After a hold it goes on from there.
#[test]
fn a_call_begins_anew_after_another_one_was_heard() {
    let mut offers = settings();
    offers.codecs = vec![Codec::G722];
    let mut worker = Worker::offering(offers, 1);
    for call in [1, 2] {
        worker.open(call);
    }
    let heard = |worker: &mut Worker, call: u64| {
        worker.plan(call, Some(0), true);
        worker.browsers[0].heard.clear();
        for _ in 0..25 {
            let n = worker.spoken;
            worker.spoken += 1;
            let speech = rtp(0, n, u32::from(n) * 160, &[20 * call as u8; 160]);
            worker.rtp_from(call, peer(call), &speech);
            worker.run(Duration::from_millis(20));
        }
        worker.plan(call, Some(0), false);
        worker.run(SECOND);
        let packets = worker.browsers[0].heard.drain(..);
        packets.map(|packet| packet.payload).collect::<Vec<_>>()
    };
    let at_first = heard(&mut worker, 1);
    let after_hold = heard(&mut worker, 1);
    let other = heard(&mut worker, 2);
    let after_other = heard(&mut worker, 1);
    assert!(at_first.len() > 10 && at_first != other);
    assert_ne!(after_hold[0], at_first[0], "its encoder goes on");
    assert_eq!(after_other[0], at_first[0]);
}

/// What the browser hears is one stream over hold, retrieve and other calls.
#[test]
fn the_browser_hears_one_stream() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    worker.open(2);
    for (call, open) in [(1, true), (1, false), (2, true), (2, false), (1, true)] {
        worker.plan(call, Some(0), open);
        worker.talk(&[1, 2], 10);
    }
    let heard = &worker.browsers[0].heard;
    // Each hold is two packets of a fade.
    assert_eq!(heard.len(), 10 + 2 + 10 + 2 + 10);
    let ssrcs: std::collections::BTreeSet<u32> = heard.iter().map(|p| *p.header.ssrc).collect();
    assert_eq!(ssrcs.len(), 1);
    for pair in heard.windows(2) {
        assert_eq!(
            *pair[1].seq_no,
            *pair[0].seq_no + 1,
            "no gap is made, no number used twice"
        );
        let step = pair[1]
            .header
            .timestamp
            .wrapping_sub(pair[0].header.timestamp);
        assert!(
            (160..=2_000).contains(&step),
            "timestamps follow the clock: {step}"
        );
    }
    let spurts: Vec<_> = heard.iter().map(|p| p.header.marker).collect();
    assert_eq!(spurts.iter().filter(|marker| **marker).count(), 3);
    assert!(
        spurts[0] && spurts[12] && spurts[24],
        "each talk-spurt is marked"
    );
}

/// The caller is held, or hangs up, in the middle of a sound: his packets just end, and what her browser makes of that may be a click. So the sound fades
/// before the packets end, on the clock of what was sent. Who was silent by himself is not followed by anything.
#[test]
fn what_is_handed_over_fades_before_its_packets_end() {
    for ms in [10, 20, 30, 40, 60] {
        for (hold, pauses) in [(true, false), (false, false), (true, true)] {
            fades(ms, hold, pauses);
        }
    }
}

fn fades(ms: u32, hold: bool, pauses: bool) {
    const PACKETS: u32 = 25;
    let len = ms * 8;
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    worker.plan(1, Some(0), true);
    let mut tone = Tone::notice(440.0, -6.0);
    for n in 0..PACKETS {
        let mut speech = vec![0; len as usize];
        tone.fill(Law::Mu, &mut speech);
        let packet = rtp(0, n as u16, n * len, &speech);
        worker.rtp_from(1, peer(1), &packet);
        worker.run(Duration::from_millis(ms.into()));
    }
    if pauses {
        worker.run(Duration::from_millis(100));
    }
    if hold {
        worker.plan(1, Some(0), false);
    } else {
        worker.close(1);
    }
    worker.run(SECOND);
    let heard = &worker.browsers[0].heard;
    let first = heard[0].header.timestamp;
    let mut end = 0;
    for packet in heard {
        assert_eq!(packet.header.timestamp.wrapping_sub(first), end, "{ms} ms");
        end += packet.payload.len() as u32;
    }
    let fade = if pauses { 0 } else { 2 * 160 };
    assert_eq!(end, PACKETS * len + fade, "{ms} ms");
    if pauses {
        return;
    }
    let samples: Vec<i16> = heard
        .iter()
        .flat_map(|packet| packet.payload.iter().map(|octet| Law::Mu.decode(*octet)))
        .collect();
    let last = ((PACKETS - 1) * len) as usize;
    let own = sharpest_bend(&samples[160..last]);
    let end = sharpest_bend(&samples[last..]);
    assert!(end <= own * 3 / 2, "{ms} ms: {end} against {own}");
    let silent = samples.len() - 160;
    assert!(samples[silent..].iter().all(|sample| *sample == 0));
}

/// The spray of the RTP bleed advisories, in four timing classes.
#[test]
fn a_sprayed_port_bleeds_nothing() {
    let mut worker = Worker::with_browsers(1);
    let spray = rtp(0, 60_988, 71_475_905, &[0; 160]);
    let sprayed = |worker: &mut Worker| {
        for _ in 0..20 {
            worker.rtp_from(1, stranger(), &spray);
            worker
                .bay
                .receive_rtcp(worker.now, CallId(1), stranger(), &mut [0x80, 0xc8, 0, 0]);
            worker
                .bay
                .receive_browser(worker.now, stranger(), &mut spray.clone(), &mut worker.net);
        }
        worker.run(Duration::from_millis(100));
    };
    worker.open(1);
    sprayed(&mut worker);
    worker.plan(1, Some(0), true);
    sprayed(&mut worker);
    worker.talk(&[1], 5);
    sprayed(&mut worker);
    worker.plan(1, Some(0), false);
    sprayed(&mut worker);
    worker.close(1);
    sprayed(&mut worker);
    assert_eq!(worker.heard(), [[1]]);
    assert!(worker.net.rtp.iter().all(|(_, to, _)| *to == peer(1)));
    assert!(worker.net.rtcp.iter().all(|(_, to, _)| *to == peer_rtcp(1)));
    assert!(worker.astray.is_empty());
    // Three kinds of datagram, 20 of each, in five classes; the closed call has no port to be sprayed.
    assert_eq!(worker.bay.counters().rtp_wrong_source, 5 * 60 - 40);
}

#[test]
fn digits_go_both_ways() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    worker.plan(1, Some(0), true);
    worker.talk(&[1], 5);
    worker.net.rtp.clear();
    worker
        .bay
        .send_digits(worker.now, CallId(1), "4#", None, &mut worker.net);
    worker.talk(&[1], 20);
    let mut receiver = telephone_event::Receiver::default();
    let mut digits = String::new();
    let mut sequence = None;
    for (_, to, datagram) in &worker.net.rtp {
        let header = Header::parse(datagram).unwrap();
        assert_eq!(*to, peer(1));
        let expected = sequence.map_or(header.sequence, |last: u16| last.wrapping_add(1));
        assert_eq!(header.sequence, expected, "audio and digits are one stream");
        sequence = Some(header.sequence);
        if header.payload_type == 101 {
            digits.extend(receiver.receive(
                header.ssrc,
                header.timestamp,
                &datagram[header.payload],
            ));
        }
    }
    assert_eq!(digits, "4#");
    // A key at the caller's telephone.
    let event = telephone_event::Event {
        code: 9,
        end: true,
        volume: 10,
        duration: 800,
    };
    for n in 0..3 {
        worker.rtp_from(1, peer(1), &rtp(101, 1_025 + n, 99_999, &event.to_bytes()));
    }
    worker.run(SECOND);
    let heard = Event::Digit {
        call: CallId(1),
        digit: '9',
    };
    assert_eq!(
        worker
            .events
            .iter()
            .filter(|event| **event == heard)
            .count(),
        1
    );
    assert!(
        worker.browsers[0]
            .heard
            .iter()
            .any(|p| *p.header.payload_type == 101)
    );
}

#[test]
fn reports_come_every_few_seconds() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    worker.plan(1, Some(0), true);
    for round in 0..60 {
        for n in 0..10 {
            // One packet of ten is lost on the way to us.
            let sequence = round * 10 + n;
            if n != 5 {
                let datagram = rtp(0, sequence, u32::from(sequence) * 160, &[1; 160]);
                worker.rtp_from(1, peer(1), &datagram);
            }
            worker.browsers[0].speak(worker.now, 0, u32::from(sequence) * 160, &[2; 160]);
            worker.run(Duration::from_millis(20));
        }
    }
    let reports: Vec<_> = worker
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Quality { report, .. } => Some(*report),
            _ => None,
        })
        .collect();
    assert_eq!(reports.len(), 2, "12 seconds");
    assert!(
        reports[0]
            .to_agent
            .lost
            .is_some_and(|lost| (20..=26).contains(&lost)),
        "{reports:?}"
    );
    assert_eq!(reports[0].to_caller.lost, Some(0));
    assert_eq!(
        reports[0].to_agent.round_trip, None,
        "the peer sent no report: not measured"
    );
    assert!(
        (2..=5).contains(&worker.net.rtcp.len()),
        "{}",
        worker.net.rtcp.len()
    );
    let (_, to, datagram) = &worker.net.rtcp[0];
    assert_eq!(*to, peer_rtcp(1));
    let Some(Rtcp::SenderReport { blocks, .. }) = rtcp::parse(datagram).next() else {
        panic!()
    };
    assert_eq!(blocks.iter().next().unwrap().ssrc, 0xabc);
    worker.close(1);
    worker.collect();
    let Some(Event::CallClosed { port, report, .. }) = worker.events.last() else {
        panic!()
    };
    assert_eq!((*port, report.to_agent.lost), (PortId(1), Some(60)));
    assert_eq!(worker.bay.counters().rtp_sip_lost, 60);
}

/// A leg that goes takes nothing with it, and a late command for it does nothing.
#[test]
fn legs_and_calls_end_without_a_trace() {
    let mut worker = Worker::with_browsers(2);
    worker.open(1);
    worker.plan(1, Some(0), true);
    worker
        .bay
        .close_browser(worker.now, LegId(0), &mut worker.net);
    worker.talk(&[1], 5);
    assert!(
        worker
            .events
            .contains(&Event::BrowserClosed { leg: LegId(0) })
    );
    assert!(
        worker.browsers[0]
            .events
            .iter()
            .any(|event| event == "Closed")
    );
    assert!(worker.net.rtp.is_empty());
    worker
        .bay
        .answer_browser(worker.now, LegId(0), "v=0\r\n", &mut worker.net);
    worker.bay.offer_browser(
        worker.now,
        LegId(0),
        (LegKind::Warm, Preference::Relay),
        true,
        &mut worker.net,
    );
    worker.plan(1, Some(0), true);
    worker
        .bay
        .send_digits(worker.now, CallId(9), "1", None, &mut worker.net);
    worker.bay.close_all(worker.now, &mut worker.net);
    worker.collect();
    assert_eq!(worker.bay.population(), (0, 0));
    worker.run(30 * SECOND);
    assert_eq!(
        worker.bay.poll_timeout(),
        None,
        "no timer outlives its owner"
    );
    assert_eq!(format!("{:?}", worker.bay.residue()), "(0, 0, 0)");
}

#[test]
fn a_refused_answer_ends_the_leg_in_words() {
    let mut worker = Worker::with_browsers(0);
    worker.bay.offer_browser(
        worker.now,
        LegId(5),
        (LegKind::Warm, Preference::Relay),
        false,
        &mut worker.net,
    );
    worker
        .bay
        .answer_browser(worker.now, LegId(5), "v=0\r\n", &mut worker.net);
    worker.collect();
    let Some(Event::BrowserRefused { leg, reason }) = worker.events.last() else {
        panic!()
    };
    assert_eq!((leg.0, reason.is_empty()), (5, false));
    assert_eq!(worker.bay.population(), (0, 0));
}

#[test]
fn an_ice_restart_keeps_the_call() {
    let mut worker = Worker::with_browsers(1);
    worker.open(1);
    worker.plan(1, Some(0), true);
    worker.talk(&[1], 10);
    worker.bay.offer_browser(
        worker.now,
        LegId(0),
        (LegKind::Warm, Preference::Relay),
        true,
        &mut worker.net,
    );
    worker.collect();
    assert!(matches!(
        worker.events.last(),
        Some(Event::BrowserOffer { restart: true, .. })
    ));
    worker.answer(0);
    worker.talk(&[1], 50);
    assert_eq!(worker.browsers[0].heard.len(), 60);
    assert_eq!(worker.net.rtp.len(), 60);
    assert_eq!(worker.bay.counters().stun_bad_integrity, 0);
}

/// A front whose calls bring the browser's own offer: the leg is answered, connects in time and is heard; one that does not
/// connect is told in time.
#[test]
fn a_leg_per_call_is_ready_or_told() {
    let mut worker = Worker::with_browsers(0);
    let address = SocketAddr::from(([198, 51, 100, 30], 50_000));
    worker
        .browsers
        .push(Browser::new(worker.now, address, false));
    let kind = LegKind::PerCall {
        ready_within: 4 * SECOND,
    };
    let (offer, pending) = worker.browsers[0].offer();
    let (now, net) = (worker.now, &mut worker.net);
    let answer = worker
        .bay
        .answer_browser_offer(now, LegId(0), (kind, Preference::Relay), &offer, net)
        .unwrap();
    worker.browsers[0].accept(pending, &answer);
    worker.run(2 * SECOND);
    assert!(worker.is_connected(0));
    worker.open(1);
    worker.plan(1, Some(0), true);
    worker.talk(&[1], 10);
    assert_eq!(
        (worker.heard(), worker.spoken()),
        (vec![vec![1]], vec![(peer(1), 0x80)])
    );
    // Another browser that never sends a datagram.
    let mut silent = Browser::new(
        worker.now,
        SocketAddr::from(([198, 51, 100, 31], 50_000)),
        false,
    );
    let (offer, _) = silent.offer();
    let (now, net) = (worker.now, &mut worker.net);
    worker
        .bay
        .answer_browser_offer(now, LegId(1), (kind, Preference::Relay), &offer, net)
        .unwrap();
    worker.run(3 * SECOND);
    assert_eq!(worker.bay.population(), (2, 1));
    worker.run(2 * SECOND);
    let told = worker.events.iter().any(|event| {
        matches!(
            event,
            Event::BrowserState {
                leg: LegId(1),
                state: LegState::Failed(_),
                ..
            }
        )
    });
    assert!(told, "{:?}", worker.events);
    assert_eq!(worker.bay.population(), (1, 1));
    // An offer that cannot be used leaves nothing behind.
    let (now, net) = (worker.now, &mut worker.net);
    assert!(
        worker
            .bay
            .answer_browser_offer(now, LegId(2), (kind, Preference::Relay), "v=0\r\n", net)
            .is_err()
    );
    assert_eq!(worker.bay.population(), (1, 1));
}

/// A ClientHello from an address that a browser has named finds its leg before any check; from elsewhere it is counted.
#[test]
fn early_dtls_finds_its_leg() {
    let mut worker = Worker::with_browsers(0);
    let address = SocketAddr::from(([198, 51, 100, 30], 50_000));
    worker
        .browsers
        .push(Browser::new(worker.now, address, false));
    worker.sign_in(0);
    let mut hello = vec![22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4];
    hello.extend([1, 0, 0, 0]);
    worker
        .bay
        .receive_browser(worker.now, address, &mut hello.clone(), &mut worker.net);
    assert_eq!(worker.bay.counters().dtls_unvalidated_source, 0, "kept");
    worker
        .bay
        .receive_browser(worker.now, stranger(), &mut hello.clone(), &mut worker.net);
    assert_eq!(worker.bay.counters().dtls_unvalidated_source, 1);
    worker.run(2 * SECOND);
    assert!(worker.is_connected(0));
}
