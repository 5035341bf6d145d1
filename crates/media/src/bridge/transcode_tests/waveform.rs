//! Levels, and the curve of what is heard.

use super::*;
use crate::playout::{Arrival, Playout};

/// The tone that telephone engineers measure levels with (ITU-T O.6).
const TEST_HZ: f64 = 1_020.0;

/// Whatever is decoded and encoded on the way, a tone comes out as loud as it went in: within 0.1 dB, both ways.
#[test]
fn levels_are_kept_from_end_to_end() {
    for (sip, payload_type) in SIP_SIDES {
        for browser in [Codec::Opus, MU, Codec::G722] {
            let mut call = Call::new(sip, payload_type, browser, FORMATS);
            call.caller.tone = Tone::single(TEST_HZ, 0.25);
            call.agent.tone = Tone::single(TEST_HZ, 0.25);
            for _ in 0..150 {
                call.turn(true, true);
            }
            let level = |samples: &[i16]| {
                level_db(Rate::Narrow, TEST_HZ, &samples[samples.len() - 8_000..])
            };
            for (said, heard) in [
                (&call.caller.said, &call.ear),
                (&call.agent.said, &call.far),
            ] {
                let (said, heard) = (level(&said.heard), level(&heard.heard));
                let off = heard - said;
                assert!(off.abs() < 0.1, "{sip:?} {browser:?}: {off:.3} dB");
            }
        }
    }
}

fn speaking(sip: Codec, payload_type: u8, browser: Codec) -> Call {
    let mut call = Call::new(sip, payload_type, browser, FORMATS);
    call.caller.speech = Some(Box::new(voice()));
    call.agent.speech = Some(Box::new(voice()));
    call
}

/// What a receiver with a jitter buffer and concealment makes of packets that all take as long.
fn received(codec: Codec, sent: &[Sent]) -> Vec<i16> {
    let mut playout = Playout::new(codec, Rate::Narrow).unwrap();
    let (mut heard, mut packets) = (Vec::new(), sent.iter().peekable());
    let (mut now, last) = (sent[0].at, sent[sent.len() - 1].at);
    while now < last {
        now += FRAME / 2;
        while let Some(packet) = packets.next_if(|packet| packet.at <= now) {
            let arrival = Arrival {
                ssrc: 1,
                sequence: packet.stamp.sequence as u16,
                timestamp: packet.stamp.timestamp,
                marker: packet.stamp.marker,
                payload: &packet.payload,
            };
            playout.insert(packet.at, arrival);
        }
        let mut frame = [0; 160];
        playout.pull(now, &mut frame);
        heard.extend_from_slice(&frame);
        now += FRAME / 2;
    }
    heard
}

/// The sharpest bend of what is heard in the quarter of a second behind each pause.
fn bend_behind_pauses(codec: Codec, sent: &[Sent]) -> i32 {
    let heard = received(codec, sent);
    let behind = sent.windows(2).filter_map(|pair| {
        let pause = pair[1].at - pair[0].at > 4 * FRAME;
        let at = (pair[1].at - sent[0].at).as_millis() as usize * Rate::Narrow.per_ms();
        pause.then(|| sharpest_bend(&heard[at - 100..at + 2_000]))
    });
    behind.max().unwrap()
}

/// Ways through a transcoder: SIP side, payload type, browser.
const WAYS: [(Codec, u8, Codec); 5] = [
    (MU, 0, Codec::Opus),
    (Codec::G711(Law::A), 8, Codec::G722),
    (Codec::G722, 9, Codec::Opus),
    (Codec::G722, 9, MU),
    (Codec::Opus, 120, MU),
];

/// What the voice does by itself on both ways, to the agent and to the far end.
fn own_bends(call: &mut Call, codecs: [Codec; 2]) -> [i32; 2] {
    for _ in 0..100 {
        call.turn(true, true);
    }
    [
        sharpest_bend(&received(codecs[0], &call.ear_sent)),
        sharpest_bend(&received(codecs[1], &call.far_sent)),
    ]
}

/// Half as much again as the voice bends by itself is not heard.
fn assert_no_click(sharpest: i32, own: i32, what: &str) {
    assert!(sharpest <= own * 3 / 2, "{what}: {sharpest} against {own}");
}

/// Hold and retrieve, twenty times, in the middle of a word: what is heard behind each rises from silence, and is not what another encoder's decoder makes of it.
#[test]
fn retrieving_does_not_click() {
    for (sip, payload_type, browser) in WAYS {
        let codecs = [FORMATS.target(sip).unwrap().0, sip];
        let mut call = speaking(sip, payload_type, browser);
        let own = own_bends(&mut call, codecs);
        for _ in 0..20 {
            call.is_held(21);
            for _ in 0..23 {
                call.turn(true, true);
            }
        }
        let ways = [call.ear_sent, call.far_sent];
        for (way, sent) in ways.iter().enumerate() {
            let sharpest = bend_behind_pauses(codecs[way], sent);
            assert_no_click(sharpest, own[way], &format!("{sip:?} {browser:?} {way}"));
        }
    }
}

/// A re-INVITE that changes nothing, the keys, or the length of packets, and one that parks the call and takes it back at once: nothing is heard of it, and nothing is missing.
#[test]
fn a_reinvite_is_not_heard() {
    let changes: [fn(&mut BridgePlan, usize); 3] = [
        |_, _| {},
        |plan, round| plan.format.telephone_event = [None, Some(101)][round % 2],
        |plan, round| plan.format.packet_ms = [40, 20, 60, 10, 30][round % 5],
    ];
    for (sip, payload_type, browser) in WAYS {
        for (what, change) in changes.iter().enumerate() {
            let codecs = [FORMATS.target(sip).unwrap().0, sip];
            let mut call = speaking(sip, payload_type, browser);
            let own = own_bends(&mut call, codecs);
            for round in 0..20 {
                let mut plan = *call.bridge.plan().unwrap();
                let parked = BridgePlan {
                    remote: None,
                    ..plan
                };
                call.plans(parked, Patch::Same);
                change(&mut plan, round);
                // Opus has no packets of 30 ms.
                plan.format.packet_ms = sip.packet_ms(Some(plan.format.packet_ms as u16), None);
                call.plans(plan, Patch::Same);
                for _ in 0..23 {
                    call.turn(true, true);
                }
            }
            let context = format!("{sip:?} {browser:?}, change {what}");
            let ways = [&call.ear_sent, &call.far_sent];
            for (way, sent) in ways.into_iter().enumerate() {
                let sharpest = sharpest_bend(&received(codecs[way], sent));
                assert_no_click(sharpest, own[way], &context);
            }
            // 560 turns, less what waits and what is no whole packet yet.
            let seconds = call.far.heard.len() as f64 / 8_000.0;
            assert!((11.05..=11.2).contains(&seconds), "{seconds} s: {context}");
        }
    }
}

/// A caller whose codec changes between packets, without a word in the signalling.
#[test]
fn another_law_in_mid_call_is_not_heard() {
    let mut call = speaking(MU, 0, Codec::Opus);
    let own = own_bends(&mut call, [Codec::Opus, MU]);
    for round in 0..20 {
        // A packet is early, and waits while those of the other law begin.
        call.caller_says();
        let law = [Law::A, Law::Mu][round % 2];
        let codec = Codec::G711(law);
        call.caller.codec = codec;
        call.caller.encoder = Encoder::new(codec, Rate::Narrow, OpusTuning::default()).unwrap();
        call.caller.said = Listener::new(codec);
        let mut plan = *call.bridge.plan().unwrap();
        (plan.format.codec, plan.format.payload_type) = (codec, law.payload_type());
        call.plans(plan, Patch::Same);
        call.caller_says();
        call.turn(false, false);
        call.turn(false, false);
        for _ in 0..21 {
            call.turn(true, false);
        }
    }
    let sharpest = sharpest_bend(&received(Codec::Opus, &call.ear_sent));
    assert_no_click(sharpest, own[0], "to the agent");
    let seconds = call.ear.heard.len() as f64 / 8_000.0;
    assert!((11.15..=11.2).contains(&seconds), "{seconds} s");
    let concealed = call.bridge.measured().to_agent.concealed;
    assert_eq!(
        concealed,
        Some(Duration::ZERO),
        "nothing that waited is lost"
    );
}
