//! What a conversation is worth, by the E-model (ITU-T G.107), out of what was measured on its way.
//!
//! The parameters that a gateway cannot measure (loudness, noise of rooms, echo of telephones) stand at the default values of G.107 table 3, as is
//! the custom for the scores of RTCP XR (RFC 3611 section 4.7.5).

use std::time::Duration;

use crate::codec::Codec;

/// What a score is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inputs {
    /// From mouth to ear, one way.
    pub one_way: Option<Duration>,
    /// The share of speech that was not played as it was said, 0 to 1: lost, or too late.
    pub loss: Option<f64>,
    /// How much longer the losses in a row are than they were if each packet were lost by chance; 1 is chance. `None` counts as chance,
    /// and so does no loss.
    pub burst_ratio: Option<f64>,
    /// How speech was coded.
    pub codec: Codec,
}

/// A score, and what it was made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Transmission rating, 0 to 93.2.
    pub r: f64,
    /// Mean opinion score of a conversation, 1 to 4.5.
    pub mos: f64,
    /// What it was made of.
    pub inputs: Inputs,
}

/// Equipment impairment and robustness against loss of a codec with concealment.
#[derive(Clone, Copy, Debug)]
struct Impairment {
    /// `Ie`.
    equipment: f64,
    /// `Bpl`.
    robustness: f64,
}

/// G.711 with concealment: ITU-T G.113 appendix I. The appendix has no values on this scale for the others, so they are given those of G.711:
/// G.722 at 64 kbit/s has the wider band, and Opus at 32 kbit/s is as good in a narrow one. What is scored here is how a network treats a
/// call, not which codec is the finest.
const fn impairment_of(codec: Codec) -> Impairment {
    match codec {
        Codec::G711(_) | Codec::G722 | Codec::Opus => Impairment {
            equipment: 0.0,
            robustness: 25.1,
        },
    }
}

/// Scores what was measured; `None` when delay or loss was not.
#[must_use]
pub fn score(inputs: Inputs) -> Option<Score> {
    let delay_ms = inputs.one_way?.as_secs_f64() * 1_000.0;
    let loss_percent = inputs.loss?.clamp(0.0, 1.0) * 100.0;
    let burst_ratio = inputs.burst_ratio.unwrap_or(1.0).max(1.0);
    let of = impairment_of(inputs.codec);
    let effective = of.equipment
        + (95.0 - of.equipment) * loss_percent / (loss_percent / burst_ratio + of.robustness);
    let r = basic_ratio() - simultaneous() - of_delay(delay_ms) - effective;
    let r = r.clamp(0.0, 100.0);
    Some(Score {
        r,
        mos: mos(r),
        inputs,
    })
}

/// How much longer than by chance losses are (G.107 section 7.5), from how many packets or frames were lost of how many, and in how many
/// runs. `None` when nothing was lost, or nothing was not.
#[must_use]
pub fn burst_ratio(lost: u64, all: u64, runs: u64) -> Option<f64> {
    if lost == 0 || runs == 0 || lost >= all {
        return None;
    }
    let by_chance = 1.0 / (1.0 - lost as f64 / all as f64);
    Some(lost as f64 / runs as f64 / by_chance)
}

/// The share that is lost over two legs in a row, each with its own share: what the second one loses is of what the first one left.
#[must_use]
pub fn loss_of_both(first: f64, second: f64) -> f64 {
    1.0 - (1.0 - first) * (1.0 - second)
}

/// The burst ratio of two legs in a row, from the share that each lost and its own ratio: each counts as much as it lost.
#[must_use]
pub fn burst_ratio_of_both(first: (f64, f64), second: (f64, f64)) -> f64 {
    let all = first.0 + second.0;
    if all <= 0.0 {
        return 1.0;
    }
    (first.0 * first.1 + second.0 * second.1) / all
}

/// The opinion score of a rating (G.107 annex B).
#[must_use]
pub fn mos(r: f64) -> f64 {
    if r <= 0.0 {
        return 1.0;
    }
    let r = r.min(100.0);
    // Below 6.5 the cubic goes under its floor.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7.0e-6).max(1.0)
}

// The default values of G.107 table 3.
const SLR: f64 = 8.0;
const RLR: f64 = 2.0;
const OLR: f64 = SLR + RLR;
const STMR: f64 = 15.0;
const LSTR: f64 = 18.0;
const DS: f64 = 3.0;
const TELR: f64 = 65.0;
const WEPL: f64 = 110.0;
const NC: f64 = -70.0;
const NFOR: f64 = -64.0;
const PS: f64 = 35.0;
const PR: f64 = 35.0;
const QDU: f64 = 1.0;

fn power(db: f64) -> f64 {
    10_f64.powf(db / 10.0)
}

/// All noise at the point of 0 dB, in dBm0p (G.107 section 7.2).
fn noise() -> f64 {
    let send = PS - SLR - DS - 100.0 + 0.004 * (PS - OLR - DS - 14.0).powi(2);
    let room = PR + 10.0 * (1.0 + power(10.0 - LSTR)).log10();
    let receive = RLR - 121.0 + room + 0.008 * (room - 35.0).powi(2);
    let floor = NFOR + RLR;
    10.0 * (power(NC) + power(send) + power(receive) + power(floor)).log10()
}

/// `Ro`: signal to noise.
fn basic_ratio() -> f64 {
    15.0 - 1.5 * (SLR + noise())
}

/// `Is`: what comes at the same time as speech (G.107 section 7.3). The delay of its side tone is that of a local echo, none.
fn simultaneous() -> f64 {
    let x = (OLR + 0.2 * (64.0 + noise() - RLR)) / 8.0;
    let loud = 20.0 * ((1.0 + x.powi(8)).powf(1.0 / 8.0) - x);
    let side = -10.0 * (power(-STMR) + power(-TELR)).log10();
    let tone = 12.0 * (1.0 + ((side - 13.0) / 6.0).powi(8)).powf(1.0 / 8.0)
        - 28.0 * (1.0 + ((side + 1.0) / 19.4).powi(35)).powf(1.0 / 35.0)
        - 13.0 * (1.0 + ((side - 3.0) / 33.0).powi(13)).powf(1.0 / 13.0)
        + 29.0;
    let q = 37.0 - 15.0 * QDU.log10();
    let g = 1.07 + 0.258 * q + 0.0602 * q * q;
    let y = (basic_ratio() - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0;
    let z = 46.0 / 30.0 - g / 40.0;
    let quantised = 15.0 * (1.0 + 10_f64.powf(y) + 10_f64.powf(z)).log10();
    loud + tone + quantised
}

/// `Id`: echo of talker and listener, and delay itself (G.107 section 7.4), with all delays the same.
fn of_delay(ms: f64) -> f64 {
    let echo = TELR - 40.0 * ((1.0 + ms / 10.0) / (1.0 + ms / 150.0)).log10()
        + 6.0 * (-0.3 * ms * ms).exp();
    let difference = -1.5 * (noise() - RLR) - (80.0 + 2.5 * (echo - 14.0));
    let talker = (difference / 2.0 + (difference * difference / 4.0 + 100.0).sqrt() - 1.0)
        * (1.0 - (-ms).exp());
    let heard = basic_ratio() - 10.5 * (WEPL + 7.0) * (2.0 * ms + 1.0).powf(-0.25);
    let listener = heard / 2.0 + (heard * heard / 4.0 + 169.0).sqrt();
    let long = if ms <= 100.0 {
        0.0
    } else {
        let x = (ms / 100.0).log2();
        let bend = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
        25.0 * (bend(x) - 3.0 * bend(x / 3.0) + 2.0)
    };
    talker + listener + long
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::g711::Law;

    fn after(ms: u64, loss: f64, burst_ratio: Option<f64>) -> f64 {
        let inputs = Inputs {
            one_way: Some(Duration::from_millis(ms)),
            loss: Some(loss),
            burst_ratio,
            codec: Codec::G711(Law::A),
        };
        score(inputs).unwrap().r
    }

    /// G.107 section 7.7: with all parameters at their defaults R is 93.2.
    #[test]
    fn the_defaults_give_what_the_recommendation_says() {
        assert!((basic_ratio() - 94.77).abs() < 0.01, "{}", basic_ratio());
        assert!((simultaneous() - 1.41).abs() < 0.01, "{}", simultaneous());
        assert!((after(0, 0.0, None) - 93.2).abs() < 0.05);
        assert!((mos(93.2) - 4.41).abs() < 0.005);
    }

    /// G.107 table B.1, and the ends of the scale.
    #[test]
    fn opinions_are_those_of_annex_b() {
        for (r, opinion) in [
            (90.0, 4.34),
            (80.0, 4.03),
            (70.0, 3.60),
            (60.0, 3.10),
            (50.0, 2.58),
        ] {
            assert!((mos(r) - opinion).abs() < 0.01, "{r}: {}", mos(r));
        }
        assert!((mos(-5.0) - 1.0).abs() < f64::EPSILON);
        assert!((mos(100.0) - 4.5).abs() < 1.0e-9);
        assert!(mos(3.0) >= 1.0);
    }

    /// The more of anything bad, the worse.
    #[test]
    fn delay_loss_and_bursts_cost() {
        let delays = [0, 20, 100, 150, 200, 300, 500];
        let falling = delays.map(|ms| after(ms, 0.0, None));
        assert!(
            falling.windows(2).all(|pair| pair[0] > pair[1]),
            "{falling:?}"
        );
        // G.107 with its defaults: about 90 at 150 ms, and near 80 at 250 ms.
        assert!((after(150, 0.0, None) - 90.0).abs() < 1.5, "{falling:?}");
        let at_loss = |loss| after(0, 0.0, None) - after(0, loss, None);
        // Ie,eff = 95 Ppl / (Ppl + 25.1).
        for (loss, cost) in [(0.01, 3.64), (0.05, 15.78), (0.20, 42.13)] {
            assert!((at_loss(loss) - cost).abs() < 0.01, "{loss}");
        }
        assert!(after(0, 0.1, Some(3.0)) < after(0, 0.1, None) - 5.0);
    }

    #[test]
    fn what_was_not_measured_gives_no_score() {
        let known = Inputs {
            one_way: Some(Duration::from_millis(80)),
            loss: Some(0.0),
            burst_ratio: None,
            codec: Codec::Opus,
        };
        assert!(score(known).is_some());
        assert!(
            score(Inputs {
                one_way: None,
                ..known
            })
            .is_none()
        );
        assert!(
            score(Inputs {
                loss: None,
                ..known
            })
            .is_none()
        );
    }

    /// Two legs that lose a fifth each leave 64 of 100; bursts of the one are diluted by what the other loses by chance.
    #[test]
    fn legs_in_a_row_add_their_losses() {
        assert!((loss_of_both(0.2, 0.2) - 0.36).abs() < 1.0e-9);
        assert!((loss_of_both(0.2, 0.0) - 0.2).abs() < 1.0e-9);
        assert!((loss_of_both(0.5, 1.0) - 1.0).abs() < 1.0e-9);
        assert!((burst_ratio_of_both((0.1, 4.0), (0.2, 1.0)) - 2.0).abs() < 1.0e-9);
        assert!((burst_ratio_of_both((0.1, 4.0), (0.0, 1.0)) - 4.0).abs() < 1.0e-9);
        assert!((burst_ratio_of_both((0.0, 1.0), (0.0, 1.0)) - 1.0).abs() < 1.0e-9);
    }

    #[test]
    fn bursts_are_compared_with_chance() {
        assert_eq!(burst_ratio(0, 100, 0), None);
        assert_eq!(burst_ratio(100, 100, 1), None);
        // One in ten by chance: runs of 1.11 on average.
        assert!((burst_ratio(1_000, 10_000, 900).unwrap() - 1.0).abs() < 0.001);
        assert!((burst_ratio(1_000, 10_000, 100).unwrap() - 9.0).abs() < 0.001);
    }
}
