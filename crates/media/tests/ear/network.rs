//! Networks, each a few numbers and a seed.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::line::Packet;

/// What every packet takes.
pub const LATENCY_US: i64 = 40_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    /// Up to a millisecond of jitter.
    Quiet,
    /// Each packet may be lost.
    Random { percent: f64 },
    /// Gilbert and Elliott's: losses in runs of 2.5 packets on average.
    Bursts { percent: f64 },
    /// Every 4 s a Wi-Fi station changes its access point: 100 ms are lost, the next 140 ms come all at once.
    Handover,
    /// A mobile network: jitter of some milliseconds, and now and then a queue that comes at once.
    Mobile,
    /// One packet in twenty is overtaken.
    Reordering,
    /// The sender's clock is fast.
    Drift { ppm: i64 },
}

/// When a receiver reports first, and how long after that each time (RFC 3550 section 6.2).
const FIRST_REPORT_US: i64 = 2_500_000;
const REPORT_INTERVAL_US: i64 = 5_000_000;

/// What share a sender has to believe is lost when it sends each packet, in percent: as its receiver's reports say, whose last word counts at once when it is
/// worse, and else by half.
pub fn reported(packets: &[Packet], arrivals: &[(i64, usize)]) -> Vec<u8> {
    let mut came = vec![false; packets.len()];
    for (_, index) in arrivals {
        came[*index] = true;
    }
    let (mut percent, mut since, mut due) = (0_u8, 0, FIRST_REPORT_US);
    let told = |(n, packet): (usize, &Packet)| {
        if packet.sent_us >= due {
            let lost = came[since..n].iter().filter(|came| !**came).count();
            let fraction = lost * 256 / (n - since);
            let now = u8::try_from((fraction * 100).div_ceil(256)).unwrap_or(100);
            percent = now.max(percent / 2);
            (since, due) = (n, due + REPORT_INTERVAL_US);
        }
        percent
    };
    packets.iter().enumerate().map(told).collect()
}

/// When which packet arrives, in the order of arrival.
pub fn arrivals(network: Network, packets: &[Packet], seed: u64) -> Vec<(i64, usize)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut uniform = || random.random_range(0.0..1.0_f64);
    let mut bad = false;
    let mut queue_until = 0;
    let mut brought = Vec::new();
    for (index, packet) in packets.iter().enumerate() {
        let sent = packet.sent_us;
        let mut at = sent + LATENCY_US + (uniform() * 1_000.0) as i64;
        let lost = match network {
            Network::Quiet => false,
            Network::Random { percent } => uniform() * 100.0 < percent,
            Network::Bursts { percent } => {
                let leave = 1.0 / 2.5;
                let share = percent / 100.0;
                let enter = leave * share / (1.0 - share);
                bad = if bad {
                    uniform() >= leave
                } else {
                    uniform() < enter
                };
                bad
            }
            Network::Handover => {
                let phase = sent % 4_000_000 - 3_000_000;
                if (100_000..240_000).contains(&phase) {
                    at += 240_000 - phase;
                }
                (0..100_000).contains(&phase)
            }
            Network::Mobile => {
                at += (-8_000.0 * uniform().max(1.0e-6).ln()) as i64;
                if uniform() < 0.012 {
                    queue_until = at + 60_000 + (uniform() * 60_000.0) as i64;
                }
                at = at.max(queue_until.min(at + 120_000));
                false
            }
            Network::Reordering => {
                if uniform() < 0.05 {
                    at += 25_000 + (uniform() * 20_000.0) as i64;
                }
                false
            }
            Network::Drift { ppm } => {
                at -= sent * ppm / 1_000_000;
                false
            }
        };
        if !lost {
            brought.push((at, index));
        }
    }
    brought.sort_unstable();
    brought
}
