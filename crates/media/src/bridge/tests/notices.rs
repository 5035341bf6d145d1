//! Notices where packets are handed over.

use std::ops::Range;

use super::*;
use crate::tone::{Tone, share_in};

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
