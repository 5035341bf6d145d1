//! Levels, and the curve of what is heard.

use super::*;

/// The tone that telephone engineers measure levels with (ITU-T O.6).
const TEST_HZ: f64 = 1_020.0;

/// Mean power of one frequency, in dB.
fn level_db(hz: f64, samples: &[i16]) -> f64 {
    let turn = std::f64::consts::TAU * hz / f64::from(Rate::Narrow.hz());
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        re += f64::from(*sample) * (turn * n as f64).cos();
        im += f64::from(*sample) * (turn * n as f64).sin();
    }
    20.0 * (2.0 * f64::hypot(re, im) / samples.len() as f64).log10()
}

/// Whatever is decoded and encoded on the way, a tone comes out as loud as it went in: within 0.1 dB, both ways.
#[test]
fn levels_are_kept_from_end_to_end() {
    let sides = [
        (MU, 0),
        (Codec::G711(Law::A), 8),
        (Codec::G722, 9),
        (Codec::Opus, 120),
    ];
    for (sip, payload_type) in sides {
        for browser in [Codec::Opus, MU, Codec::G722] {
            let mut call = Call::new(sip, payload_type, browser, FORMATS);
            call.caller.tone = Tone::single(TEST_HZ, 0.25);
            call.agent.tone = Tone::single(TEST_HZ, 0.25);
            for _ in 0..150 {
                call.turn(true, true);
            }
            let level = |samples: &[i16]| level_db(TEST_HZ, &samples[samples.len() - 8_000..]);
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
