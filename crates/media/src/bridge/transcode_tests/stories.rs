//! Who hears whom, and when.

use super::*;
use crate::ids::TapId;
use crate::tap::{TAP_FRAME_MAX, TapSettings};

/// Each pair of codecs carries a tone each way, at 50 packets a second, numbered without a gap.
#[test]
fn whatever_the_ends_speak_they_hear_each_other() {
    for (sip, payload_type) in SIP_SIDES {
        for browser in [Codec::Opus, MU, Codec::G722] {
            for preference in [Preference::Opus, Preference::Relay] {
                let formats = BrowserFormats {
                    preference,
                    ..FORMATS
                };
                let mut call = Call::new(sip, payload_type, browser, formats);
                for _ in 0..100 {
                    call.turn(true, true);
                }
                let context = format!("{sip:?} {browser:?} {preference:?}");
                assert!(share(440.0, &call.ear.heard) > 0.9, "ear: {context}");
                assert!(share(660.0, &call.far.heard) > 0.9, "far: {context}");
                for heard in [&call.ear.heard, &call.far.heard] {
                    let seconds = heard.len() as f64 / 8_000.0;
                    assert!((1.85..2.05).contains(&seconds), "{seconds} s: {context}");
                }
                let step = 20 * call.sip.ticks_per_ms();
                for pair in call.sip_numbers.windows(2) {
                    assert_eq!(pair[1].0, pair[0].0 + 1, "{context}");
                    assert_eq!(pair[1].1, pair[0].1 + step, "{context}");
                }
            }
        }
    }
}

/// The first packet of each direction is told once, when it leaves.
#[test]
fn the_first_frame_is_told_once() {
    let mut call = Call::new(MU, 0, Codec::Opus, FORMATS);
    for _ in 0..20 {
        call.turn(true, true);
    }
    assert_eq!(call.firsts, (1, 1));
}

/// On a decoded path a beep does not take the caller's place: both are heard.
#[test]
fn a_beep_is_mixed_with_speech() {
    let mut call = Call::new(MU, 0, Codec::Opus, FORMATS);
    for _ in 0..50 {
        call.turn(true, true);
    }
    call.ear.heard.clear();
    call.bridge.beep(call.now);
    for _ in 0..10 {
        call.turn(true, true);
    }
    let during = &call.ear.heard[400..1_400];
    assert!(share_of(1_400.0, during).unwrap() > 0.2);
    assert!(share_of(440.0, during).unwrap() > 0.2);
    for _ in 0..20 {
        call.turn(true, true);
    }
    assert!(
        share(440.0, &call.ear.heard) > 0.9,
        "and afterwards the caller alone"
    );
}

/// A key in band reaches the far end's detector alone: what the agent says meanwhile would break it.
#[test]
fn a_key_in_band_pauses_speech() {
    let mut call = Call::new(MU, 0, Codec::Opus, FORMATS);
    let mut plan = *call.bridge.plan().unwrap();
    plan.format.telephone_event = None;
    call.bridge.set_plan(plan, Patch::Same);
    for _ in 0..50 {
        call.turn(true, true);
    }
    call.far.heard.clear();
    let length = Some(Duration::from_millis(200));
    assert_eq!(call.bridge.send_digits(call.now, "5", length), 0);
    for _ in 0..10 {
        call.turn(true, true);
    }
    let during = &call.far.heard[160..1_440];
    let key = share_of(770.0, during).unwrap() + share_of(1_336.0, during).unwrap();
    assert!(key > 0.95, "{key}");
    for _ in 0..30 {
        call.turn(true, true);
    }
    assert!(
        share(660.0, &call.far.heard) > 0.9,
        "and then she is heard again"
    );
}

/// Keys take the time of speech, and her voice goes on where the clock is: sixteen of them do not put her two seconds behind.
#[test]
fn speech_goes_on_where_the_clock_is_after_keys() {
    let mut call = Call::new(MU, 0, Codec::Opus, FORMATS);
    for _ in 0..50 {
        call.turn(true, true);
    }
    assert_eq!(
        call.bridge.send_digits(call.now, "4111111111111111", None),
        0
    );
    for _ in 0..200 {
        call.turn(true, true);
    }
    let (first, last) = (&call.far_sent[0], &call.far_sent[call.far_sent.len() - 1]);
    let passed_ms = (last.at - first.at).as_millis() as u32;
    let told_ms = last.stamp.timestamp.wrapping_sub(first.stamp.timestamp) / 8;
    assert!(
        told_ms.abs_diff(passed_ms) <= 20,
        "{told_ms} of {passed_ms} ms"
    );
    let begins = call.far_sent.iter().filter(|sent| sent.stamp.marker);
    assert!(
        begins.count() >= 2,
        "speech behind a key begins a talk-spurt"
    );
}

/// A far end that was handed Opus or G.722 as it came, and knows no telephone events, hears keys too: they are encoded for themselves, in the one
/// stream that it hears, and then the agent's own packets go on.
#[test]
fn a_key_in_band_reaches_a_far_end_that_is_handed_speech() {
    for (codec, payload_type, packet_ms) in [
        (Codec::G722, 9, 20),
        (Codec::Opus, 120, 20),
        (Codec::G722, 9, 30),
    ] {
        let mut call = Call::new(codec, payload_type, codec, FORMATS);
        let mut plan = *call.bridge.plan().unwrap();
        plan.format.telephone_event = None;
        plan.format.packet_ms = packet_ms;
        call.bridge.set_plan(plan, Patch::Same);
        for _ in 0..50 {
            call.turn(false, true);
        }
        assert!(call.sip_numbers.is_empty(), "nothing is encoded");
        assert!(share(660.0, &call.far.heard) > 0.9);
        call.far.heard.clear();
        assert_eq!(call.bridge.send_digits(call.now, "5", None), 0);
        for _ in 0..13 {
            call.turn(false, true);
        }
        // 100 ms of silence, in which the far end's decoder forgets the agent, and 100 ms of the key.
        let during = &call.far.heard[960..1_600];
        let key = share_of(770.0, during).unwrap() + share_of(1_336.0, during).unwrap();
        assert!(key > 0.95, "{codec:?}: {key}");
        let step = packet_ms as u32 * codec.ticks_per_ms();
        for pair in call.sip_numbers.windows(2) {
            assert_eq!(pair[1].0, pair[0].0 + 1, "{codec:?}");
            assert_eq!(pair[1].1, pair[0].1 + step, "{codec:?}");
        }
        for _ in 0..30 {
            call.turn(false, true);
        }
        assert!(
            share(660.0, &call.far.heard) > 0.9,
            "then she is heard again"
        );
        assert_eq!(call.bridge.poll_timeout(), None, "no clock runs on");
    }
}

/// A far end that asks for packets of another length gets them, evenly, and hears what it would have heard; what it sends itself is as long as it likes.
#[test]
fn packets_are_as_long_as_the_far_end_asks() {
    for (sip, payload_type) in [(MU, 0), (Codec::G722, 9), (Codec::Opus, 120)] {
        for asked in [10, 30, 40, 60] {
            let browser = if sip == MU { Codec::Opus } else { MU };
            let formats = BrowserFormats {
                preference: Preference::Relay,
                ..FORMATS
            };
            let mut call = Call::new(sip, payload_type, browser, formats);
            let packet_ms = sip.packet_ms(Some(asked), None);
            let mut plan = *call.bridge.plan().unwrap();
            plan.format.packet_ms = packet_ms;
            call.bridge.set_plan(plan, Patch::Same);
            for _ in 0..120 {
                call.turn(true, true);
            }
            let context = format!("{sip:?} {asked}");
            assert!(share(660.0, &call.far.heard) > 0.9, "{context}");
            assert!(share(440.0, &call.ear.heard) > 0.9, "{context}");
            let seconds = call.far.heard.len() as f64 / 8_000.0;
            assert!((2.25..2.45).contains(&seconds), "{seconds} s: {context}");
            let step = packet_ms as u32 * sip.ticks_per_ms();
            for pair in call.sip_numbers.windows(2) {
                assert_eq!(pair[1].0, pair[0].0 + 1, "{context}");
                assert_eq!(pair[1].1, pair[0].1 + step, "{context}");
            }
            let between = Duration::from_millis(packet_ms as u64);
            for pair in call.sip_sent_at.windows(2) {
                assert_eq!(pair[1] - pair[0], between, "{context}");
            }
        }
    }
}

/// Hold ends what waits: nothing said before it is heard behind it.
#[test]
fn a_closed_direction_keeps_nothing_for_later() {
    let mut call = Call::new(MU, 0, Codec::Opus, FORMATS);
    for _ in 0..50 {
        call.turn(true, true);
    }
    let mut plan = *call.bridge.plan().unwrap();
    plan.to_agent = false;
    plan.to_caller = false;
    call.bridge.set_plan(plan, Patch::Same);
    call.ear.heard.clear();
    call.far.heard.clear();
    for _ in 0..50 {
        call.now += FRAME;
        call.drain();
    }
    assert!(call.ear.heard.is_empty() && call.far.heard.is_empty());
    assert_eq!(call.bridge.poll_timeout(), None, "no clock runs on");
}

/// Keys that the browser sends as events reach a SIP side that counts otherwise as events of ours.
#[test]
fn the_browsers_own_keys_are_sent_again() {
    let mut call = Call::new(MU, 0, Codec::Opus, FORMATS);
    for _ in 0..10 {
        call.turn(true, true);
    }
    let (incoming, _) = call.agent.frame();
    for duration in [160_u16, 320, 480] {
        let [high, low] = duration.to_be_bytes();
        let packet = FromBrowser {
            incoming,
            payload_type: 126,
            payload: &[5, 10, high, low],
        };
        let mut out = [0; PACKET_MAX];
        let result = call
            .bridge
            .from_browser(call.now, packet, FORMATS, &mut out);
        assert_eq!(result, Err(Dropped::Silence));
    }
    let mut events = 0;
    let mut out = [0; PACKET_MAX];
    for _ in 0..30 {
        while let Some(sent) = call.bridge.poll_digit(call.now, &mut out) {
            let header = Header::parse(&out[..sent.len]).unwrap();
            assert_eq!((header.payload_type, out[12]), (101, 5));
            events += 1;
        }
        call.now += FRAME;
    }
    assert_eq!(events, 7, "one key");
}

/// A caller who announces silence by comfort noise is not a stranger and not malformed.
#[test]
fn comfort_noise_is_tolerated() {
    let mut call = Call::new(MU, 0, Codec::Opus, FORMATS);
    call.turn(true, true);
    let fields = Fields {
        marker: false,
        payload_type: 13,
        sequence: 8,
        timestamp: 1_160,
        ssrc: 77,
    };
    let mut datagram = vec![0; 13];
    packet::write(&mut datagram, &fields, &[60], None).unwrap();
    let end = BrowserEnd {
        formats: FORMATS,
        stream: &mut call.leg,
    };
    let heard = call
        .bridge
        .from_sip(call.now, peer(), &datagram, Some(end))
        .unwrap();
    assert_eq!(heard.forward.unwrap_err(), Dropped::Silence);
}

/// Where the far end's speech is decoded here, it is told of the jitter buffer that it passes, too.
#[test]
fn a_far_end_is_told_of_the_buffer_it_passes() {
    let mut call = Call::new(MU, 0, Codec::Opus, FORMATS);
    let mut plan = *call.bridge.plan().unwrap();
    plan.voip_metrics = true;
    plan.remote_rtcp = Some(peer());
    call.bridge.set_plan(plan, Patch::Same);
    for _ in 0..100 {
        call.turn(true, true);
    }
    let clock = crate::rtcp::NtpClock::new(call.now, Duration::from_secs(1_000_000));
    let mut out = [0; crate::rtcp::COMPOUND_MAX];
    let report = call.bridge.report_rtcp(call.now, &clock, "c", &mut out);
    let (_, bytes) = report.unwrap();
    let extended = crate::rtcp::parse(bytes).find_map(|packet| match packet {
        crate::rtcp::Rtcp::Extended(packet) => Some(packet),
        _ => None,
    });
    let extended = extended.unwrap();
    let told = crate::xr::voip_metrics(extended).next().unwrap();
    let buffer = call.bridge.measured().to_agent.playout_delay.unwrap();
    assert_eq!(told.jitter_buffer.as_millis(), buffer.as_millis());
    assert!(buffer > Duration::ZERO);
    assert_eq!(
        extended[36], 0b1011_0000,
        "adaptive, and losses are concealed"
    );
    assert_eq!(extended[40..44], [2, 88, 2, 88], "600 ms at most");
}

/// A machine that stood still for a moment sends the keys that waited all at once: the far end hears each, not two as one.
#[test]
fn keys_that_waited_for_a_busy_machine_stay_apart() {
    let mut call = Call::new(MU, 0, MU, FORMATS);
    for _ in 0..10 {
        call.turn(true, true);
    }
    assert_eq!(call.bridge.send_digits(call.now, "1122", None), 0);
    call.now += Duration::from_secs(2);
    let mut out = [0; PACKET_MAX];
    let mut keys = std::collections::BTreeSet::new();
    while let Some(sent) = call.bridge.poll_digit(call.now, &mut out) {
        let header = Header::parse(&out[..sent.len]).unwrap();
        keys.insert((header.timestamp, out[12]));
    }
    let pressed: Vec<u8> = keys.iter().map(|(_, key)| *key).collect();
    assert_eq!(pressed, [1, 1, 2, 2], "{keys:?}");
}

/// Both parties hear the beep of a recording from now on.
fn is_recorded(call: &mut Call) {
    let settings = TapSettings {
        rate: Rate::Narrow,
        beep: Some(Duration::from_secs(60)),
        paused: false,
    };
    assert!(call.bridge.open_tap(call.now, TapId(1), settings));
    let mut out = [0; TAP_FRAME_MAX];
    assert_eq!(call.bridge.poll_tap(call.now, &mut out), None);
}

/// On a decoded path the beep of a recording costs no word of the agent: the caller hears both, each as loud as it is alone.
#[test]
fn the_caller_hears_the_agent_under_the_beep_of_a_recording() {
    let during = |agent_speaks: bool, beeps: bool| {
        let mut call = Call::new(MU, 0, Codec::Opus, FORMATS);
        if !agent_speaks {
            call.agent.tone = Tone::single(600.0, 0.0);
        } else {
            call.agent.tone = Tone::single(600.0, 0.25);
        }
        for _ in 0..50 {
            call.turn(true, true);
        }
        call.far.heard.clear();
        if beeps {
            is_recorded(&mut call);
        }
        for _ in 0..12 {
            call.turn(true, true);
        }
        // Whole periods of both, in the middle of the tone.
        call.far.heard[320..1_440].to_vec()
    };
    let (both, voice, tone) = (during(true, true), during(true, false), during(false, true));
    for (hz, alone) in [(600.0, &voice), (1_400.0, &tone)] {
        let level = |heard: &[i16]| level_db(Rate::Narrow, hz, heard);
        let lost = level(alone) - level(&both);
        assert!(lost.abs() < 0.2, "{lost} dB of {hz} Hz");
        assert!(level(alone) > 60.0, "{hz} Hz is heard");
    }
}

/// Where the caller is handed Opus or G.722 as it came, the beep of a recording takes the place of what the agent says: behind a tenth of a second of silence, and her
/// own packets go on behind it.
#[test]
fn the_beep_of_a_recording_takes_the_place_of_what_is_handed_over() {
    for (codec, payload_type) in [(Codec::Opus, 120), (Codec::G722, 9)] {
        let mut call = Call::new(codec, payload_type, codec, FORMATS);
        for _ in 0..50 {
            call.turn(false, true);
        }
        call.far.heard.clear();
        is_recorded(&mut call);
        for _ in 0..30 {
            call.turn(false, true);
        }
        let heard = &call.far.heard;
        assert!(heard.len().abs_diff(30 * 160) <= 160, "{codec:?}");
        let silence = &heard[500..800];
        let peak = silence.iter().map(|sample| sample.unsigned_abs()).max();
        assert!(peak.unwrap() < 300, "{codec:?}: {peak:?}");
        let beep = share_of(1_400.0, &heard[1_000..2_300]).unwrap();
        assert!(beep > 0.9, "{codec:?}: {beep}");
        assert!(
            share(660.0, &heard[2_560..]) > 0.9,
            "{codec:?}: then she is"
        );
        for pair in call.sip_numbers.windows(2) {
            assert_eq!(pair[1].0, pair[0].0 + 1, "{codec:?}");
        }
    }
}

/// A key that the agent presses while the beep of a recording sounds reaches a far end that reads keys from the sound, and the beep waits for it.
#[test]
fn a_key_is_read_under_the_beep_of_a_recording() {
    for browser in [MU, Codec::Opus] {
        let mut call = Call::new(MU, 0, browser, FORMATS);
        let mut plan = *call.bridge.plan().unwrap();
        plan.format.telephone_event = None;
        call.bridge.set_plan(plan, Patch::Same);
        for _ in 0..50 {
            call.turn(true, true);
        }
        call.far.heard.clear();
        is_recorded(&mut call);
        for _ in 0..3 {
            call.turn(true, true);
        }
        let length = Some(Duration::from_millis(100));
        assert_eq!(call.bridge.send_digits(call.now, "5", length), 0);
        for _ in 0..30 {
            call.turn(true, true);
        }
        let windows = call.far.heard.chunks(400);
        let at = |hz: f64| {
            let is_heard = move |part: &[i16]| share_of(hz, part).is_some_and(|share| share > 0.15);
            windows.clone().filter(move |part| is_heard(part)).count()
        };
        assert!((1..=3).contains(&at(770.0)), "{browser:?}: the key, once");
        assert!(
            (3..=6).contains(&at(1_400.0)),
            "{browser:?}: and the beep, whole"
        );
        assert!(share(660.0, &call.far.heard) > 0.9, "{browser:?}");
    }
}

/// A browser that sets its timestamps back in mid-call, and a beep of the recording behind that: the caller goes on hearing her.
#[test]
fn an_agent_whose_clock_is_set_back_is_heard_behind_a_beep() {
    for (codec, payload_type) in [(Codec::Opus, 120), (Codec::G722, 9)] {
        let mut call = Call::new(codec, payload_type, codec, FORMATS);
        call.agent.timestamp = 1_000_000_000;
        for _ in 0..50 {
            call.turn(false, true);
        }
        call.agent.timestamp -= 10_000 * codec.ticks_per_ms();
        call.turn(false, true);
        is_recorded(&mut call);
        for _ in 0..20 {
            call.turn(false, true);
        }
        call.far.heard.clear();
        for _ in 0..20 {
            call.turn(false, true);
        }
        assert_eq!(call.far.heard.len(), 20 * 160, "{codec:?}");
        for pair in call.far_sent.windows(2) {
            assert_eq!(pair[1].stamp.sequence, pair[0].stamp.sequence + 1);
        }
    }
}

impl Voice {
    /// Another codec from the next packet on, in the same row of numbers.
    fn turns_to(&mut self, codec: Codec) {
        self.codec = codec;
        self.encoder = Encoder::new(codec, Rate::Narrow, OpusTuning::default()).unwrap();
        self.said = Listener::new(codec);
    }
}

/// No packet is missing in what was sent, none comes before the one before it, and all of them are where the clock is.
fn is_one_stream(sent: &[Sent], context: &str) {
    for pair in sent.windows(2) {
        let (before, after) = (pair[0].stamp, pair[1].stamp);
        assert_eq!(after.sequence, before.sequence + 1, "{context}");
        let step_ms = after.timestamp.wrapping_sub(before.timestamp) / 8;
        assert!((20..=80).contains(&step_ms), "{context}: {step_ms} ms");
    }
    let (first, last) = (&sent[0], &sent[sent.len() - 1]);
    let passed_ms = (last.at - first.at).as_millis() as u32;
    let told_ms = last.stamp.timestamp.wrapping_sub(first.stamp.timestamp) / 8;
    let apart_ms = told_ms.abs_diff(passed_ms);
    assert!(apart_ms <= 60, "{context}: {told_ms} of {passed_ms} ms");
}

/// A caller, or a browser, goes over to a codec that is decoded and comes back to one that is handed over, under one SSRC: whoever hears it counts no loss.
#[test]
fn speech_that_is_handed_over_again_leaves_no_hole() {
    let formats = BrowserFormats {
        g722: None,
        opus: None,
        preference: Preference::Relay,
        ..FORMATS
    };
    let mut call = Call::new(MU, 0, MU, formats);
    for codec in [MU, Codec::G722, MU] {
        call.caller.turns_to(codec);
        let mut plan = *call.bridge.plan().unwrap();
        (plan.format.codec, plan.format.payload_type) = (codec, if codec == MU { 0 } else { 9 });
        call.plans(plan, Patch::Same);
        for _ in 0..50 {
            call.turn(true, false);
        }
    }
    assert!(call.ear_sent.len() >= 148, "{}", call.ear_sent.len());
    is_one_stream(&call.ear_sent, "to the agent");

    for packet_ms in [20, 60] {
        let formats = BrowserFormats {
            preference: Preference::Relay,
            ..FORMATS
        };
        let mut call = Call::new(MU, 0, MU, formats);
        let mut plan = *call.bridge.plan().unwrap();
        plan.format.packet_ms = packet_ms;
        call.plans(plan, Patch::Same);
        for codec in [MU, Codec::Opus, MU] {
            call.agent.turns_to(codec);
            for _ in 0..50 {
                call.turn(false, true);
            }
        }
        let context = format!("to the caller, packets of {packet_ms} ms");
        assert!(
            call.far_sent.len() >= 98 + 1_000 / packet_ms - 2,
            "{context}"
        );
        is_one_stream(&call.far_sent, &context);
    }
}

/// Ten seconds on a bad line are handed over, then SIP Server leads the call to somebody whose speech is decoded, and back. What was bad stays in the score, as
/// much as it was of the call; how long packets wait for their turn counts while they do.
#[test]
fn what_was_lost_before_another_way_stays_in_the_score() {
    let mut call = Call::new(Codec::Opus, 120, Codec::Opus, FORMATS);
    call.bridge.browser_round_trip = Some(Duration::from_millis(40));
    call.bridge.round_trip = Some(Duration::from_millis(40));
    let says = |call: &mut Call, packets: u32, every: u32| {
        for n in 0..packets {
            let is_lost = n % every == every / 2;
            if is_lost {
                call.caller.frame();
            }
            call.turn(!is_lost, false);
        }
    };
    let goes_over = |call: &mut Call, codec: Codec, payload_type: u8| {
        let mut plan = *call.bridge.plan().unwrap();
        plan.format.codec = codec;
        plan.format.payload_type = payload_type;
        call.bridge.set_plan(plan, Patch::Same);
        let former = std::mem::replace(&mut call.caller, Voice::new(codec, 440.0));
        call.caller.sequence = former.sequence;
    };
    says(&mut call, 500, 10);
    let relayed = call.bridge.measured().to_agent;
    assert_eq!((relayed.loss, relayed.lost), (Some(0.1), Some(50)));
    goes_over(&mut call, MU, 0);
    says(&mut call, 250, 500);
    let decoded = call.bridge.measured().to_agent;
    assert_eq!(decoded.path, Some(Path::Both));
    let share = |expected: f64, report: &DirectionReport| {
        let loss = report.loss.unwrap();
        assert!((loss - expected).abs() < 0.005, "{loss}, not {expected}");
        let bad = report.score.unwrap().mos;
        let good = crate::emodel::score(crate::emodel::Inputs {
            loss: Some(0.0),
            ..report.score.unwrap().inputs
        });
        assert!(bad < good.unwrap().mos - 0.2, "{report:?}");
    };
    share(50.0 / 750.0, &decoded);
    assert!(decoded.playout_delay.is_some());
    assert!(decoded.concealed_share.unwrap() < 0.01, "{decoded:?}");
    goes_over(&mut call, Codec::Opus, 120);
    says(&mut call, 500, 5);
    let again = call.bridge.measured().to_agent;
    share(150.0 / 1_250.0, &again);
    assert_eq!((again.relay_lost, again.playout_delay), (Some(150), None));
    assert_eq!(
        again.score.unwrap().inputs.one_way,
        relayed.score.unwrap().inputs.one_way
    );
}
