//! How long packets take, relative to each other: a histogram that forgets.
//!
//! The delay of a packet is the moment of its arrival less the moment that its timestamp stands for. The difference of the two clocks is in
//! it too, so only differences mean something: how much later than the fastest one nearly all packets are. As the clocks drift apart, so
//! does the whole histogram, and nothing has to be corrected.

/// Width of a bucket in microseconds. A network at rest stays within one or two of them.
const BUCKET_US: i64 = 2_000;

/// Half a second in all. What is later than that counts as that late.
const BUCKETS: usize = 256;

/// Where the first packet is put, so that faster ones find room.
const FIRST_BUCKET: usize = 32;

/// What the weight of a packet becomes with each millisecond of speech that follows: a third after five seconds.
const FORGETTING: f32 = 0.9998;

/// Growing weights are brought down again beyond this.
const WEIGHT_MAX: f32 = 1.0e6;

/// The share of packets that the target delay waits for.
const WAITED_FOR: f32 = 0.97;

/// The share of packets that may be faster than what is called the fastest: single ones do not count.
const FASTEST: f32 = 0.01;

/// A packet this much faster than the fastest is none of the same time line: a network does not hurry.
const FASTER_MAX_US: i64 = 120_000;

/// A packet this much slower than nearly all is none of the same time line: its source stood still meanwhile.
const SLOWER_MAX_US: i64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Delays {
    weights: [f32; BUCKETS],
    total: f32,
    /// What the next packet weighs: older ones weigh less in comparison.
    weight: f32,
    /// Length of the packets, in milliseconds, and what they make of the weight of an older one.
    length_ms: usize,
    forgetting: f32,
    /// Lower edge of the first bucket.
    origin_us: i64,
    summary: Option<Summary>,
}

#[derive(Clone, Copy, Debug)]
struct Summary {
    fastest_us: i64,
    median_us: i64,
    target_us: i64,
}

impl Delays {
    pub(super) const fn new() -> Self {
        Self {
            weights: [0.0; BUCKETS],
            total: 0.0,
            weight: 1.0,
            length_ms: 0,
            forgetting: 1.0,
            origin_us: 0,
            summary: None,
        }
    }

    /// Whether a packet with this delay may belong to the same time line as those before it.
    pub(super) fn is_plausible(&self, delay_us: i64) -> bool {
        self.summary.is_none_or(|known| {
            (known.fastest_us - FASTER_MAX_US..=known.target_us + SLOWER_MAX_US).contains(&delay_us)
        })
    }

    /// The delay of the fastest packets.
    pub(super) fn fastest_us(&self) -> Option<i64> {
        self.summary.map(|known| known.fastest_us)
    }

    /// The delay that half of the packets have at most.
    pub(super) fn median_us(&self) -> Option<i64> {
        self.summary.map(|known| known.median_us)
    }

    /// The delay that nearly all packets have at most.
    pub(super) fn target_us(&self) -> Option<i64> {
        self.summary.map(|known| known.target_us)
    }

    /// Takes note of a packet of this length.
    pub(super) fn record(&mut self, delay_us: i64, length_ms: usize) {
        if length_ms != self.length_ms {
            self.length_ms = length_ms;
            self.forgetting = FORGETTING.powf(length_ms as f32);
        }
        let far = (delay_us - self.origin_us).div_euclid(BUCKET_US) < -(BUCKETS as i64);
        if self.summary.is_none() || far {
            self.weights.fill(0.0);
            self.total = 0.0;
            self.origin_us = delay_us - FIRST_BUCKET as i64 * BUCKET_US;
        }
        let behind = (delay_us - self.origin_us).div_euclid(BUCKET_US);
        if behind < 0 {
            self.make_room_below(behind.unsigned_abs() as usize);
        } else if behind >= BUCKETS as i64 {
            self.make_room_above();
        }
        let bucket = (delay_us - self.origin_us).div_euclid(BUCKET_US);
        let bucket = usize::try_from(bucket).unwrap_or(0).min(BUCKETS - 1);
        self.weights[bucket] += self.weight;
        self.total += self.weight;
        self.weight /= self.forgetting;
        if self.weight > WEIGHT_MAX {
            self.bring_down();
        }
        self.summarise();
    }

    /// Moves the buckets up; the uppermost become one.
    fn make_room_below(&mut self, wanted: usize) {
        let by = wanted.saturating_add(FIRST_BUCKET).min(BUCKETS - 1);
        let cut: f32 = self.weights[BUCKETS - by..].iter().sum();
        self.weights.copy_within(..BUCKETS - by, by);
        self.weights[..by].fill(0.0);
        self.weights[BUCKETS - 1] += cut;
        self.origin_us -= by as i64 * BUCKET_US;
    }

    /// Moves the buckets down as far as nothing is lost that still counts.
    fn make_room_above(&mut self) {
        let mut sum = 0.0;
        let unused = self.weights.iter().take_while(|weight| {
            sum += **weight;
            sum <= self.total * FASTEST
        });
        let by = unused.count().saturating_sub(FIRST_BUCKET);
        self.weights.copy_within(by.., 0);
        self.weights[BUCKETS - by..].fill(0.0);
        self.total = self.weights.iter().sum();
        self.origin_us += by as i64 * BUCKET_US;
    }

    fn bring_down(&mut self) {
        for weight in &mut self.weights {
            *weight /= self.weight;
        }
        self.weight = 1.0;
        // What was rounded on the way is put right here.
        self.total = self.weights.iter().sum();
    }

    fn summarise(&mut self) {
        let edges = [FASTEST, 0.5, WAITED_FOR].map(|share| share * self.total);
        let mut found = [BUCKETS - 1; 3];
        let (mut sum, mut next) = (0.0, 0);
        for (bucket, weight) in self.weights.iter().enumerate() {
            sum += weight;
            while next < edges.len() && sum > edges[next] {
                found[next] = bucket;
                next += 1;
            }
            if next == edges.len() {
                break;
            }
        }
        let lower_edge = |bucket: usize| self.origin_us + bucket as i64 * BUCKET_US;
        self.summary = Some(Summary {
            fastest_us: lower_edge(found[0]),
            median_us: lower_edge(found[1]) + BUCKET_US / 2,
            target_us: lower_edge(found[2]) + BUCKET_US,
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn after(delays_us: impl IntoIterator<Item = i64>) -> Delays {
        let mut known = Delays::new();
        for delay_us in delays_us {
            known.record(delay_us, 20);
        }
        known
    }

    /// Target above the fastest.
    fn spread_ms(delays: &Delays) -> i64 {
        (delays.target_us().unwrap() - delays.fastest_us().unwrap()) / 1_000
    }

    #[test]
    fn a_quiet_network_needs_a_bucket() {
        let delays = after((0..500).map(|n| -7_000_000 + n % 3 * 1_000));
        assert!(spread_ms(&delays) <= 8, "{}", spread_ms(&delays));
        assert!(delays.target_us().unwrap() >= -7_000_000 + 2_000);
    }

    #[test]
    fn one_packet_in_ten_that_is_late_is_waited_for_and_one_in_a_hundred_is_not() {
        let often = after((0..500).map(|n| if n % 10 == 5 { 60_000 } else { 0 }));
        assert!((60..70).contains(&spread_ms(&often)));
        let seldom = after((0..500).map(|n| if n % 100 == 50 { 60_000 } else { 0 }));
        assert!(spread_ms(&seldom) <= 8);
    }

    #[test]
    fn a_bad_time_is_forgotten() {
        let mut delays = after((0..500).map(|n| n % 7 * 20_000));
        assert!(spread_ms(&delays) >= 120);
        for _ in 0..1_000 {
            delays.record(0, 20);
        }
        assert!(spread_ms(&delays) <= 8, "after twenty seconds of rest");
    }

    /// The route becomes longer by 300 ms, or shorter, again and again; drift does the same in hours.
    #[test]
    fn the_histogram_follows_its_network() {
        let mut delays = Delays::new();
        for round in 0..20_i64 {
            let route = if round % 2 == 0 { 0 } else { 300_000 };
            for n in 0..1_500 {
                delays.record(route + n % 2 * 1_000, 20);
            }
            assert!(spread_ms(&delays) <= 8, "round {round}");
            assert!((delays.fastest_us().unwrap() - route).abs() <= BUCKET_US);
        }
        for n in 0..100_000 {
            delays.record(n * 4, 20);
        }
        assert!(spread_ms(&delays) <= 8, "drift");
        let lag = 400_000 - delays.fastest_us().unwrap();
        assert!(lag < 10_000, "{lag}");
    }

    #[test]
    fn a_jump_is_no_delay() {
        let delays = after([0, 0, 0]);
        assert!(delays.is_plausible(200_000));
        assert!(!delays.is_plausible(2_000_000));
        assert!(!delays.is_plausible(-200_000));
        let extreme = after([0, -100_000, 900_000, -200_000, 1_500_000]);
        assert!(extreme.fastest_us().is_some());
    }
}
