//! Notices where packets are handed over.

use std::ops::Range;

use super::*;
use crate::codec::Rate;
use crate::ids::TapId;
use crate::tap::{TAP_FRAME_MAX, TapSettings};
use crate::tone::{Tone, level_db, share_in};

/// What the browser was sent, packet by packet.
struct Heard(Vec<(Stamp, Vec<u8>)>);

impl Heard {
    fn share(&self, hz: f64, packets: Range<usize>) -> f64 {
        let packets = self.0[packets].iter();
        let heard: Vec<u8> = packets.flat_map(|(_, sent)| sent.clone()).collect();
        share_in(Law::Mu, hz, &heard).unwrap()
    }

    fn is_one_stream(&self) {
        for (index, (stamp, _)) in self.0.iter().enumerate() {
            assert_eq!(stamp.sequence, 4_000 + index as u64);
        }
    }
}

/// So many turns of 20 ms with a beep in the sixth; `packets` says how many packets of the caller come in each.
fn beep_in(turns: usize, packets: impl Fn(usize) -> usize) -> Heard {
    let mut call = Call::new();
    let (start, mut caller, mut number) = (call.now, Tone::single(440.0, 0.25), 0);
    let mut heard = Vec::new();
    for turn in 0..turns {
        call.now = start + Duration::from_millis(20 * turn as u64);
        if turn == 5 {
            call.bridge.beep(call.now);
        }
        loop {
            let end = BrowserEnd {
                formats: FORMATS,
                stream: &mut call.leg,
            };
            let Some(notice) = call.bridge.poll_notice(call.now, Some(end)) else {
                break;
            };
            assert_eq!(notice.payload_type, 0);
            heard.push((notice.stamp, notice.payload.to_vec()));
        }
        call.now += Duration::from_millis(3);
        let count = packets(turn);
        for nth in 0..count {
            let mut said = [0; 160];
            caller.fill(Law::Mu, &mut said);
            // One that comes before its time has its own timestamp all the same.
            let frame = u32::from(number).max((turn + 1 - count + nth) as u32);
            let speech = rtp(0, 1 + number, frame * 160, &said);
            number += 1;
            let forward = call.sip(peer(), &speech).unwrap().forward.unwrap();
            assert_eq!((forward.payload_type, forward.map), (0, None));
            let as_it_came = || speech[forward.payload].to_vec();
            heard.push((forward.stamp, forward.instead.unwrap_or_else(as_it_came)));
        }
    }
    Heard(heard)
}

/// A beep is heard over the caller, who is not interrupted: his packets carry it, and those before and behind it are his alone.
#[test]
fn a_beep_is_heard_over_the_caller() {
    // The network bunches two packets in the middle of it.
    let heard = beep_in(25, |turn| match turn {
        7 => 2,
        8 => 0,
        _ => 1,
    });
    assert_eq!(heard.0.len(), 25, "a packet for a packet");
    heard.is_one_stream();
    for (index, (stamp, _)) in heard.0.iter().enumerate() {
        assert_eq!(stamp.timestamp, 9_000 + index as u32 * 160);
    }
    for hz in [440.0, 1_400.0] {
        let share = heard.share(hz, 5..15);
        assert!(share > 0.3, "{hz} Hz during the beep: {share}");
    }
    for alone in [0..5, 15..25] {
        assert!(heard.share(440.0, alone) > 0.95, "the caller alone");
    }
}

/// While the caller sends nothing a beep sounds alone, for as long as it lasts, and it ends when he speaks again.
#[test]
fn a_beep_is_heard_while_the_caller_sends_nothing() {
    let heard = beep_in(40, |turn| usize::from(!(5..30).contains(&turn)));
    heard.is_one_stream();
    let beep = 5..heard.0.len() - 10;
    assert_eq!(beep.len(), 13, "200 ms of tone and a pause");
    assert!(heard.share(1_400.0, 5..15) > 0.95);
    assert!(heard.share(440.0, beep.end..beep.end + 10) > 0.95);
}

/// A beep for a call on hold is not kept for later.
#[test]
fn a_beep_that_nobody_may_hear_passes() {
    let mut call = Call::new();
    let held = BridgePlan {
        to_agent: false,
        ..plan()
    };
    call.bridge.set_plan(held, Patch::Same);
    call.bridge.beep(call.now);
    call.now += Duration::from_secs(1);
    let end = BrowserEnd {
        formats: FORMATS,
        stream: &mut call.leg,
    };
    assert_eq!(call.bridge.poll_notice(call.now, Some(end)), None);
    assert_eq!(call.bridge.poll_timeout(), None);
    assert_eq!(call.leg.sent(), (0, 0));
}

/// A browser that is sent another payload type drops what it has not played yet: a beep in a pause of the caller has the law that he has, and so it is where he
/// has said nothing yet.
#[test]
fn a_beep_alone_keeps_the_law_of_the_caller() {
    for (said, plan_law, expected) in [
        (None, Law::A, 8),
        (Some(0), Law::A, 0),
        (Some(8), Law::Mu, 8),
    ] {
        let mut call = Call::new();
        let format = SipFormat {
            codec: Codec::G711(plan_law),
            payload_type: plan_law.payload_type(),
            ..plan().format
        };
        call.bridge
            .set_plan(BridgePlan { format, ..plan() }, Patch::Same);
        if let Some(payload_type) = said {
            let speech = rtp(payload_type, 1, 0, &[9; 160]);
            let forward = call.sip(peer(), &speech).unwrap().forward.unwrap();
            assert_eq!(forward.payload_type, payload_type);
            call.now += Duration::from_secs(1);
        }
        call.bridge.beep(call.now);
        call.now += Duration::from_millis(100);
        let end = BrowserEnd {
            formats: FORMATS,
            stream: &mut call.leg,
        };
        let notice = call.bridge.poll_notice(call.now, Some(end)).unwrap();
        assert_eq!(notice.payload_type, expected, "{said:?}");
    }
}

/// So many turns of 20 ms of a recorded call with a beep in the sixth; `speaks` says in which the agent is heard. What the caller is sent, and what she said.
fn recorded(turns: usize, speaks: impl Fn(usize) -> bool) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut call = Call::new();
    let format = SipFormat {
        codec: Codec::G711(Law::Mu),
        payload_type: 0,
        ..plan().format
    };
    call.bridge
        .set_plan(BridgePlan { format, ..plan() }, Patch::Same);
    let (start, mut agent) = (call.now, Tone::single(600.0, 0.25));
    let (mut sent, mut said) = (Vec::new(), Vec::new());
    for turn in 0..turns {
        call.now = start + Duration::from_millis(20 * turn as u64);
        if turn == 5 {
            let settings = TapSettings {
                rate: Rate::Narrow,
                beep: Some(Duration::from_secs(60)),
                paused: false,
            };
            assert!(call.bridge.open_tap(call.now, TapId(1), settings));
        }
        while call
            .bridge
            .poll_tap(call.now, &mut [0; TAP_FRAME_MAX])
            .is_some()
        {}
        while let Some(own) = call.bridge.poll_digit(call.now, &mut call.out) {
            sent.push(call.out[..own.len].to_vec());
        }
        call.now += Duration::from_millis(3);
        let mut spoken = [0; 160];
        agent.fill(Law::Mu, &mut spoken);
        if speaks(turn) {
            let incoming = Incoming {
                ssrc: 5,
                sequence: said.len() as u16,
                timestamp: turn as u32 * 160,
                marker: false,
            };
            let packet = FromBrowser {
                incoming,
                payload_type: 0,
                payload: &spoken,
            };
            let own = call
                .bridge
                .from_browser(call.now, packet, FORMATS, &mut call.out);
            let own = own.unwrap();
            sent.push(call.out[..own.len].to_vec());
            said.push(spoken.to_vec());
        }
    }
    (sent, said)
}

/// Payloads of packets that are one stream.
fn payloads(sent: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let read = |(index, datagram): (usize, &Vec<u8>)| {
        let header = Header::parse(datagram).unwrap();
        assert_eq!(header.sequence, 100 + index as u16, "without a gap");
        assert_eq!(header.payload_type, 0);
        datagram[header.payload].to_vec()
    };
    sent.iter().enumerate().map(read).collect()
}

fn level(hz: f64, packets: &[Vec<u8>]) -> f64 {
    let octets = packets.iter().flatten();
    let samples: Vec<i16> = octets.map(|octet| Law::Mu.decode(*octet)).collect();
    level_db(Rate::Narrow, hz, &samples)
}

/// The beep of a recording costs no word of the agent: the caller hears both, each as loud as it is alone, and before and behind it her packets as they came.
#[test]
fn the_agent_is_heard_under_the_beep_of_a_recording() {
    let (sent, said) = recorded(25, |_| true);
    for (index, datagram) in sent.iter().enumerate() {
        let header = Header::parse(datagram).unwrap();
        assert_eq!(header.timestamp, 5_000 + index as u32 * 160);
    }
    let heard = payloads(&sent);
    assert_eq!(heard.len(), 25, "a packet for a packet");
    assert_eq!((&heard[..5], &heard[15..]), (&said[..5], &said[15..]));
    let voice = level(600.0, &heard[5..15]) - level(600.0, &said[5..15]);
    assert!(voice.abs() < 0.2, "{voice} dB of her voice");
    let (alone, _) = recorded(25, |turn| turn < 2);
    let tone = level(1_400.0, &heard[5..15]) - level(1_400.0, &payloads(&alone)[2..12]);
    assert!(tone.abs() < 0.2, "{tone} dB of the tone");
}

/// An agent whose browser sends nothing is recorded all the same: the caller hears the beep alone, and then her.
#[test]
fn the_beep_of_a_recording_is_heard_while_the_agent_sends_nothing() {
    let (sent, said) = recorded(40, |turn| !(2..30).contains(&turn));
    let heard = payloads(&sent);
    assert_eq!(heard.len(), said.len() + 10, "200 ms");
    assert!(share_in(Law::Mu, 1_400.0, &heard[2..12].concat()).unwrap() > 0.95);
    assert_eq!(&heard[12..], &said[2..]);
}

/// A key that the agent presses in her softphone while the beep of a recording sounds is handed over whole, and the beep goes on behind it.
#[test]
fn a_key_is_handed_over_during_the_beep_of_a_recording() {
    let mut call = Call::new();
    let start = call.now;
    call.browser(8, 0, &[9; 160]).unwrap();
    call.bridge.beep_to_both(call.now);
    let (mut keys, mut own) = (0, 0);
    for turn in 1..30_u16 {
        call.now = start + Duration::from_millis(20 * u64::from(turn));
        while call.bridge.poll_digit(call.now, &mut call.out).is_some() {
            own += 1;
        }
        let end = u8::from(turn >= 10) << 7;
        let event = [5, end | 10, 0, 160];
        let pressed = |call: &mut Call| {
            let incoming = Incoming {
                ssrc: 5,
                sequence: turn,
                timestamp: 160,
                marker: turn == 1,
            };
            let packet = FromBrowser {
                incoming,
                payload_type: 126,
                payload: &event,
            };
            let sent = call
                .bridge
                .from_browser(call.now, packet, FORMATS, &mut call.out);
            sent.is_ok()
        };
        if turn <= 12 {
            assert!(pressed(&mut call), "{turn}");
            assert_eq!(own, 0, "nothing of ours lies between");
            keys += 1;
        }
    }
    assert_eq!((keys, own), (12, 10), "200 ms behind the key");
}

/// The agent, who sends nothing, presses a key when the beep of a recording has sounded alone for a while: every packet of the key is handed over, and the rest of the beep goes
/// on behind it.
#[test]
fn a_key_is_handed_over_behind_a_beep_that_sounds_alone() {
    let mut call = Call::new();
    let start = call.now;
    call.browser(8, 0, &[9; 160]).unwrap();
    call.now = start + Duration::from_secs(1);
    call.bridge.beep_to_both(call.now);
    let (mut keys, mut own) = (0, [0; 2]);
    for turn in 50..100_u16 {
        call.now = start + Duration::from_millis(20 * u64::from(turn));
        while call.bridge.poll_digit(call.now, &mut call.out).is_some() {
            own[usize::from(turn > 55)] += 1;
        }
        if !(55..=66).contains(&turn) {
            continue;
        }
        let incoming = Incoming {
            ssrc: 5,
            sequence: turn - 54,
            // When it was pressed, by a clock that runs a packet behind ours.
            timestamp: 54 * 160,
            marker: turn == 55,
        };
        let end = u8::from(turn >= 64) << 7;
        let packet = FromBrowser {
            incoming,
            payload_type: 126,
            payload: &[5, end | 10, 0, 160],
        };
        let sent = call
            .bridge
            .from_browser(call.now, packet, FORMATS, &mut call.out);
        keys += u16::from(sent.is_ok());
    }
    assert_eq!(keys, 12);
    assert!(own[0] > 0 && own[1] > 0 && own[0] + own[1] == 10, "{own:?}");
}

/// A caller whose telephone stands still for ten seconds, and its clock with it, is heard as soon as he speaks again, though a beep was heard meanwhile. His key that is
/// held for seconds, beside a beep, stays one.
#[test]
fn a_caller_whose_clock_stood_still_during_a_beep_is_heard() {
    let mut call = Call::new();
    let start = call.now;
    let speech = |number: u16| rtp(8, number, u32::from(number) * 160, &[9; 160]);
    let beep = |call: &mut Call| {
        call.bridge.beep(call.now);
        let mut last = None;
        for _ in 0..20 {
            call.now += Duration::from_millis(20);
            let end = BrowserEnd {
                formats: FORMATS,
                stream: &mut call.leg,
            };
            last = call.bridge.poll_notice(call.now, Some(end)).or(last);
        }
        last.unwrap().stamp
    };
    call.sip(peer(), &speech(1)).unwrap().forward.unwrap();
    call.now = start + Duration::from_secs(9);
    let before = beep(&mut call);
    call.now = start + Duration::from_secs(10);
    let first = call.sip(peer(), &speech(2)).unwrap().forward.unwrap();
    assert_eq!(first.stamp.sequence, before.sequence + 1);
    let passed_ms = first.stamp.timestamp.wrapping_sub(9_000) / 8;
    assert!(passed_ms.abs_diff(10_000) <= 20, "{passed_ms} ms");
    assert!(first.stamp.marker);
    let second = call.sip(peer(), &speech(3)).unwrap().forward.unwrap();
    assert_eq!(second.stamp.timestamp, first.stamp.timestamp + 160);

    let mut begins = 0;
    for turn in 0..150_u16 {
        let event = [5, 10, ((turn * 160) >> 8) as u8, (turn * 160) as u8];
        let heard = call.sip(peer(), &rtp(101, 4 + turn, 640, &event)).unwrap();
        begins += usize::from(heard.forward.is_ok_and(|forward| forward.stamp.marker));
        if turn == 75 {
            beep(&mut call);
        }
        call.now += Duration::from_millis(20);
    }
    assert_eq!(begins, 0, "no second key");
}
