//! Clocks that are not the same, for hours.

use std::time::Duration;

use media::codec::Rate;
use media::playout::Pulled;

use crate::line::{Line, PCMU, packets, voice};

/// Two hours with a clock that is 200 ppm fast, and two with one that is slow: 1.4 s each that must go somewhere, and no word does.
#[test]
fn clocks_drift_for_hours() {
    let sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 1_000), 20, 0);
    for ppm in [200, -200_i64] {
        let mut line = Line::new(PCMU, Rate::Narrow);
        let mut packet = sent[0].clone();
        let (mut longest, mut guessed) = (Duration::ZERO, 0);
        let turns = 2 * 3_600 * 50_i64;
        for turn in 0..turns {
            packet
                .payload
                .copy_from_slice(&sent[turn as usize % sent.len()].payload);
            packet.number = turn as u16;
            packet.timestamp = turn as u32 * 160;
            let at_us = turn * 20_000 - turn * 20_000 * ppm / 1_000_000;
            line.bring(at_us, &packet);
            if turn % 500 == 499 {
                longest = longest.max(line.playout.measured().delay.unwrap());
                guessed += line.heard.count(Pulled::Concealed);
                line.heard.samples.clear();
                line.heard.frames.clear();
                line.heard.inserted.clear();
            }
        }
        let report = line.playout.measured();
        assert!(longest < Duration::from_millis(60), "{ppm}: {longest:?}");
        assert!(guessed < 20, "{ppm}: {guessed} frames of {turns}");
        let moved = if ppm > 0 {
            report.compressed
        } else {
            report.expanded
        };
        assert!(moved > Duration::from_millis(1_200), "{ppm}: {report:?}");
        assert!(moved < Duration::from_millis(2_500), "{ppm}: {report:?}");
    }
}
