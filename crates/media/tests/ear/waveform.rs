//! No click: where sound is guessed, cut, put in or interrupted, its curve bends little more than the voice itself does.

use std::time::Duration;

use media::codec::{Codec, Rate};
use media::tone::sharpest_bend;

use crate::line::{Line, PCMU, packets, play, voice};
use crate::network::{Network, arrivals};

/// What a voice does by itself once it was coded.
fn own_bend(codec: Codec, rate: Rate) -> i32 {
    let sent = packets(codec, rate, &voice(rate, 3_000), 20, 0);
    let heard = play(codec, rate, &sent, &arrivals(Network::Quiet, &sent, 1));
    // The very beginning and the end are edges of the voice, not ours.
    sharpest_bend(&heard.samples[2_000..heard.samples.len() - 9_600])
}

#[test]
fn a_loss_does_not_click() {
    // After a loss the decoder of G.722 is not where its encoder is, and needs some milliseconds to be there again.
    for (codec, rate, most) in [(PCMU, Rate::Narrow, 1.5), (Codec::G722, Rate::Wide, 2.0)] {
        let own = own_bend(codec, rate);
        let sent = packets(codec, rate, &voice(rate, 10_000), 20, 0);
        for percent in [5.0, 20.0] {
            let network = Network::Bursts { percent };
            let heard = play(codec, rate, &sent, &arrivals(network, &sent, 11));
            assert!(heard.report.concealed > Duration::from_millis(200));
            let sharpest = sharpest_bend(&heard.samples[2_000..heard.samples.len() - 9_600]);
            assert!(
                f64::from(sharpest) <= f64::from(own) * most,
                "{codec:?} {percent}: {sharpest} against {own}"
            );
        }
    }
}

/// Delay that is taken out or put in is not heard.
#[test]
fn a_change_of_delay_does_not_click() {
    for (codec, rate, most) in [(PCMU, Rate::Narrow, 1.5), (Codec::G722, Rate::Wide, 2.0)] {
        let own = own_bend(codec, rate);
        let sent = packets(codec, rate, &voice(rate, 12_000), 20, 0);
        // For a second every third packet takes 45 ms longer.
        let mut order: Vec<(i64, usize)> = sent
            .iter()
            .enumerate()
            .map(|(n, packet)| {
                let slow = (100..150).contains(&n) && n % 3 == 0;
                (packet.sent_us + if slow { 45_000 } else { 0 }, n)
            })
            .collect();
        order.sort_unstable();
        let heard = play(codec, rate, &sent, &order);
        assert!(
            heard.report.compressed > Duration::from_millis(20),
            "{:?}",
            heard.report
        );
        let sharpest = sharpest_bend(&heard.samples[2_000..heard.samples.len() - 9_600]);
        assert!(
            f64::from(sharpest) <= f64::from(own) * most,
            "{codec:?}: {sharpest} against {own}"
        );
    }
}

#[test]
fn an_interruption_does_not_click() {
    let own = own_bend(PCMU, Rate::Narrow);
    let sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 4_000), 20, 0);
    let mut line = Line::new(PCMU, Rate::Narrow);
    for (n, packet) in sent.iter().enumerate() {
        line.bring(packet.sent_us, packet);
        if n % 31 == 30 {
            line.playout.interrupt();
        }
    }
    let heard = line.finish(4_000_000);
    let sharpest = sharpest_bend(&heard.samples[500..heard.samples.len() - 800]);
    assert!(sharpest <= own * 3 / 2, "{sharpest} against {own}");
}
