//! What Opus does for bad networks: it keeps still while nobody speaks, and repeats what was lost.

use super::*;

/// A call in which the browser is sent Opus, and prefers that silence is not.
fn sparing() -> Call {
    let formats = BrowserFormats {
        dtx: true,
        ..FORMATS
    };
    Call::new(MU, 0, Codec::Opus, formats)
}

/// An agent on a bad network is sent next to nothing while her customer says nothing: a packet that says so, and the sound of his room every 400 ms. His next word begins
/// where the clock on the wall says.
#[test]
fn silence_is_not_sent_to_an_agent_who_prefers_that() {
    let mut call = sparing();
    for _ in 0..50 {
        call.turn(true, true);
    }
    call.caller.tone = Tone::single(440.0, 0.0);
    // Silence is believed after 200 ms.
    for _ in 0..25 {
        call.turn(true, true);
    }
    let before = call.ear_sent.len();
    for _ in 0..100 {
        call.turn(true, true);
    }
    let sent = &call.ear_sent[before..];
    assert!((4..=12).contains(&sent.len()), "{} in 2 s", sent.len());
    assert!(
        sent.iter().any(|packet| packet.stamp.marker),
        "what follows silence is marked"
    );
    call.caller.tone = Tone::single(440.0, 0.25);
    let before = call.ear_sent.len();
    for _ in 0..50 {
        call.turn(true, true);
    }
    let sent = &call.ear_sent[before..];
    assert!((49..=51).contains(&sent.len()), "{}", sent.len());
    assert!(share(440.0, &call.ear.heard[call.ear.heard.len() - 4_000..]) > 0.9);

    let (first, last) = (
        call.ear_sent[0].stamp,
        call.ear_sent[call.ear_sent.len() - 1].stamp,
    );
    let frames = call.ear_sent.len() as u64;
    assert_eq!(last.sequence - first.sequence, frames - 1, "no gap");
    // 225 turns of 20 ms at 48 kHz, less the frames that wait.
    let passed = last.timestamp.wrapping_sub(first.timestamp) / 960;
    assert!(
        (222..=224).contains(&passed),
        "{passed} frames by the clock"
    );
}

/// The one packet that says so is sent: without it the browser would take silence for a loss, and guess on.
#[test]
fn silence_is_announced() {
    let mut call = sparing();
    for _ in 0..25 {
        call.turn(true, true);
    }
    call.caller.tone = Tone::single(440.0, 0.0);
    for _ in 0..60 {
        call.turn(true, true);
    }
    let announced = call
        .ear_sent
        .iter()
        .filter(|packet| packet.payload.len() <= 2);
    let announced = announced.count();
    assert!((1..=4).contains(&announced), "{announced}");
}

/// Who does not ask for it is sent silence like everything else.
#[test]
fn silence_is_sent_to_everybody_else() {
    let mut call = Call::new(MU, 0, Codec::Opus, FORMATS);
    call.caller.tone = Tone::single(440.0, 0.0);
    for _ in 0..100 {
        call.turn(true, true);
    }
    assert!((98..=100).contains(&call.ear_sent.len()));
}

/// The same on the SIP side, in packets of any length.
#[test]
fn silence_is_not_sent_to_a_far_end_that_prefers_that() {
    for packet_ms in [20, 40, 60] {
        let mut call = Call::new(Codec::Opus, 120, MU, FORMATS);
        let mut plan = *call.bridge.plan().unwrap();
        plan.format.packet_ms = packet_ms;
        plan.format.dtx = true;
        call.bridge.set_plan(plan, Patch::Same);
        call.agent.tone = Tone::single(660.0, 0.0);
        for _ in 0..150 {
            call.turn(true, true);
        }
        let sent = call.sip_numbers.len();
        assert!(sent < 150 * 20 / packet_ms / 2, "{sent} of {packet_ms} ms");
        call.agent.tone = Tone::single(660.0, 0.25);
        for _ in 0..60 {
            call.turn(true, true);
        }
        let (first, last) = (call.sip_numbers[0], *call.sip_numbers.last().unwrap());
        let frames = last.1.wrapping_sub(first.1) / 960;
        assert!((203..=209).contains(&frames), "{frames}, {packet_ms} ms");
        for pair in call.sip_numbers.windows(2) {
            assert_eq!(pair[1].0, pair[0].0 + 1, "{packet_ms}");
            let step = pair[1].1.wrapping_sub(pair[0].1);
            assert_eq!(step % (packet_ms as u32 * 48), 0, "{packet_ms}");
        }
    }
}

/// How many of the last packets for the browser repeat the one before them.
fn repeating(call: &Call, last: usize) -> usize {
    let mut decoder = Decoder::new(Codec::Opus, Rate::Narrow).unwrap();
    let sent = &call.ear_sent[call.ear_sent.len() - last..];
    sent.iter()
        .filter(|packet| decoder.recover(&packet.payload, &mut [0; 160]))
        .count()
}

/// A browser reports losses: what it is sent repeats itself, a report without any does not end that at once, and neither does hold.
#[test]
fn an_agent_who_loses_packets_is_sent_them_twice() {
    let mut call = Call::new(MU, 0, Codec::Opus, FORMATS);
    call.caller.speech = Some(Box::new(phrase()));
    let report = |percent| BrowserReport {
        loss_percent: Some(percent),
        ..BrowserReport::default()
    };
    for _ in 0..50 {
        call.turn(true, true);
    }
    assert_eq!(repeating(&call, 40), 0, "bits that nobody needs");
    call.bridge.browser_reports(report(12));
    for _ in 0..50 {
        call.turn(true, true);
    }
    assert!(repeating(&call, 40) > 15, "{}", repeating(&call, 40));

    call.is_held(10);
    call.bridge.browser_reports(report(0));
    for _ in 0..50 {
        call.turn(true, true);
    }
    assert!(repeating(&call, 40) > 15, "{}", repeating(&call, 40));

    for _ in 0..4 {
        call.bridge.browser_reports(report(0));
    }
    for _ in 0..50 {
        call.turn(true, true);
    }
    assert_eq!(repeating(&call, 40), 0, "the network is well again");
}

/// Another browser is another network.
#[test]
fn losses_are_those_of_the_browser_that_reported_them() {
    let mut call = Call::new(MU, 0, Codec::Opus, FORMATS);
    call.caller.speech = Some(Box::new(phrase()));
    call.bridge.browser_reports(BrowserReport {
        loss_percent: Some(12),
        ..BrowserReport::default()
    });
    let plan = *call.bridge.plan().unwrap();
    call.plans(plan, Patch::Another);
    for _ in 0..50 {
        call.turn(true, true);
    }
    assert_eq!(repeating(&call, 40), 0);
}
