//! What is measured on a received stream: loss, and interarrival jitter by RFC 3550 A.8. What was not measured is `None`, never zero. A packet that came
//! twice makes up for a lost one in our reports, as A.3 has it, and nowhere else.

use std::time::{Duration, Instant};

use crate::bursts::{BurstReport, Bursts};
use crate::limits::PACKET_TIME_MAX;
use crate::row::{Place, Row};

/// Statistics of one received stream, over all the sources that fed it.
#[derive(Clone, Debug, Default)]
pub struct ReceiveStats {
    /// Packets counted, repetitions included.
    packets: u64,
    /// Those of them that had come before.
    duplicates: u64,
    /// Octets of their payloads.
    octets: u64,
    /// Expected minus received of the sources that have ended.
    lost_before: i64,
    source: Option<Source>,
    gate: Gate,
    /// A.8, in seconds, because a codec with another clock may take over; `None` until two packets of one source were seen.
    jitter_s: Option<f64>,
    /// Ticks per second of the codec that spoke last.
    clock_hz: f64,
    /// Ticks from a packet to the next, when last seen.
    packet_ticks: Option<u32>,
    bursts: Bursts,
    /// Totals at the last report: expected and received.
    reported: (u64, u64),
    expected_before: u64,
    received_before: u64,
}

/// Whether what a source sends is for us. What it sends to others meanwhile has numbers, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gate {
    #[default]
    Open,
    Closed,
    /// Open, but nothing new has come since.
    Opened,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    first: u16,
    highest: u16,
    cycles: u32,
    received: u64,
    /// How many numbers were not for us.
    passed: u64,
    /// The last of them: those below an extended number, and how many.
    passed_last: (u32, u32),
    /// Bit n: number `highest - n` has come.
    seen: u64,
    /// How many bits of it count: those of numbers since the first.
    remembered: u32,
    row: Row,
    /// Arrival and timestamp of the last audio packet.
    last: Option<(Instant, u32)>,
}

impl Source {
    fn extended(&self) -> u32 {
        (self.cycles << 16) | u32::from(self.highest)
    }

    fn expected(&self) -> u64 {
        let span = u64::from(self.extended().wrapping_sub(u32::from(self.first))) + 1;
        span.saturating_sub(self.passed)
    }

    /// Where the number belongs. A row that went on elsewhere may be anywhere ahead.
    fn place(&mut self, sequence: u16, gate: Gate) -> Place<i32> {
        match self.row.place(self.highest, sequence) {
            Place::Anew if gate != Gate::Open => {
                Place::Here(i32::from(sequence.wrapping_sub(self.highest)))
            }
            place => place,
        }
    }

    /// The row goes on at this extended number. Those between are neither lost nor received.
    fn pass(&mut self, step: u32, bursts: &mut Bursts) {
        self.settle(bursts);
        self.seen = self.seen.checked_shl(step).unwrap_or(0) | 1;
        self.remembered = 1;
        self.passed += u64::from(step - 1);
        self.passed_last = (self.extended(), step - 1);
    }

    /// One that was taken for not ours has come after all.
    fn recall(&mut self, behind: u32) {
        let (below, count) = self.passed_last;
        let before = below.wrapping_sub(self.extended().wrapping_sub(behind));
        if (1..=count).contains(&before) {
            self.passed = self.passed.saturating_sub(1);
        }
    }

    /// Less than nothing where more came than was sent: twice.
    fn lost_signed(&self) -> i64 {
        signed(self.expected()) - signed(self.received)
    }

    /// Notes the packet this many numbers ahead of the highest before it, or behind; whether it has come before, as far back as is remembered.
    fn note(&mut self, step: i32, bursts: &mut Bursts) -> bool {
        let distance = step.unsigned_abs();
        if step > 0 {
            for _ in 0..distance {
                if self.remembered == u64::BITS {
                    // What comes that late is lost.
                    bursts.note(self.seen >> (u64::BITS - 1) == 1);
                } else {
                    self.remembered += 1;
                }
                self.seen <<= 1;
            }
            self.seen |= 1;
            return false;
        }
        let bit = 1_u64.checked_shl(distance).unwrap_or(0);
        let known = self.seen & bit != 0;
        self.seen |= bit;
        known
    }

    /// What is remembered is settled, the oldest first.
    fn settle(&self, bursts: &mut Bursts) {
        for bit in (0..self.remembered).rev() {
            bursts.note(self.seen >> bit & 1 == 1);
        }
    }
}

/// What a report block says about a stream (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The source it is about.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, as 24-bit signed number.
    pub cumulative_lost: i32,
    /// Highest sequence number, extended.
    pub highest: u32,
    /// Jitter in ticks.
    pub jitter: u32,
}

impl ReceiveStats {
    /// Takes note of an accepted packet. `ticks_per_ms` is the clock of its codec; `None` for telephone events, whose timestamp stands
    /// still.
    pub fn receive(
        &mut self,
        now: Instant,
        ssrc: u32,
        sequence: u16,
        timestamp: u32,
        ticks_per_ms: Option<u32>,
    ) {
        self.packets += 1;
        let gate = self.gate;
        let place = self
            .source
            .as_mut()
            .filter(|source| source.ssrc == ssrc)
            .map_or(Place::Anew, |source| source.place(sequence, gate));
        let step = match place {
            Place::Here(step) => Some(step),
            Place::Anew => None,
            Place::FarBehind => return,
        };
        if gate == Gate::Opened && step.is_none_or(|step| step > 0) {
            self.gate = Gate::Open;
        }
        let Some(step) = step else {
            self.interrupt();
            if let Some(ticks) = ticks_per_ms {
                self.clock_hz = f64::from(ticks) * 1_000.0;
            }
            let last = ticks_per_ms.map(|_| (now, timestamp));
            self.source = Some(Source {
                ssrc,
                first: sequence,
                highest: sequence,
                cycles: 0,
                received: 1,
                passed: 0,
                passed_last: (0, 0),
                seen: 1,
                remembered: 1,
                row: Row::default(),
                last,
            });
            return;
        };
        let Some(source) = &mut self.source else {
            return;
        };
        source.received += 1;
        if step > 0 {
            if sequence < source.highest {
                source.cycles = source.cycles.wrapping_add(1) & 0xffff;
            }
            source.highest = sequence;
        }
        if step > 1 && gate != Gate::Open {
            source.pass(step.unsigned_abs(), &mut self.bursts);
            source.last = None;
        } else if source.note(step, &mut self.bursts) {
            self.duplicates += 1;
        } else if step < 0 {
            source.recall(step.unsigned_abs());
        }
        if let Some(ticks) = ticks_per_ms {
            self.time((now, timestamp), step, f64::from(ticks) * 1_000.0);
        }
    }

    /// Takes note of when a packet of the row came, and when it says that it was said (A.8).
    fn time(&mut self, (now, timestamp): (Instant, u32), step: i32, clock_hz: f64) {
        let same_clock = self.clock_hz == clock_hz;
        self.clock_hz = clock_hz;
        let Some(source) = &mut self.source else {
            return;
        };
        let last = source.last.replace((now, timestamp));
        let Some((at, before)) = last.filter(|_| same_clock) else {
            return;
        };
        if step == 1 {
            self.packet_ticks = Some(timestamp.wrapping_sub(before));
        }
        let passed_s = now.saturating_duration_since(at).as_secs_f64();
        let stepped_s = f64::from(timestamp.wrapping_sub(before) as i32) / clock_hz;
        let deviation_s = (passed_s - stepped_s).abs();
        // A jump of more than a second is another talk-spurt's timeline, not jitter.
        if deviation_s < 1.0 {
            let jitter_s = self.jitter_s.unwrap_or(0.0);
            self.jitter_s = Some(jitter_s + (deviation_s - jitter_s) / 16.0);
        }
    }

    /// So many octets were the payload of the packet that was just received.
    pub const fn carried(&mut self, octets: usize) {
        self.octets += octets as u64;
    }

    /// Whether what comes from now on is for us. While it is not, a source may send to others, and so does it up to the first packet behind the opening: the
    /// numbers that it goes on by until then are not lost. Its row is the same, so that reports count on.
    pub fn set_open(&mut self, open: bool) {
        self.gate = match (open, self.gate) {
            (false, _) => Gate::Closed,
            (true, Gate::Closed) => Gate::Opened,
            (true, as_it_is) => as_it_is,
        };
    }

    /// The source ends here, so that a pause (another call, another SSRC) does not count as loss.
    pub fn interrupt(&mut self) {
        if let Some(source) = self.source.take() {
            source.settle(&mut self.bursts);
            self.expected_before += source.expected();
            self.received_before += source.received;
            self.lost_before += signed(source.expected()) - signed(source.received);
        }
    }

    /// Packets accepted.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Octets of the payloads of packets accepted.
    #[must_use]
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// Packets that came again, of those that are remembered (the last 64 numbers); `None` before the first one.
    #[must_use]
    pub fn duplicates(&self) -> Option<u64> {
        (self.packets > 0).then_some(self.duplicates)
    }

    /// Packets accepted, each once.
    #[must_use]
    pub const fn distinct(&self) -> u64 {
        self.packets.saturating_sub(self.duplicates)
    }

    /// The source that is heard at present.
    #[must_use]
    pub fn ssrc(&self) -> Option<u32> {
        self.source.map(|source| source.ssrc)
    }

    /// Bursts and gaps of losses, and how long a packet is; `None` before two packets told it.
    #[must_use]
    pub fn bursts(&self) -> (BurstReport, Option<Duration>) {
        let mut bursts = self.bursts;
        if let Some(source) = &self.source {
            source.settle(&mut bursts);
        }
        let packet = self.packet_ticks.filter(|_| self.clock_hz > 0.0);
        let packet = packet.map(|ticks| Duration::from_secs_f64(f64::from(ticks) / self.clock_hz));
        (
            bursts.report(),
            packet.filter(|packet| *packet <= PACKET_TIME_MAX),
        )
    }

    /// Packets that never came; `None` before the first one.
    #[must_use]
    pub fn lost(&self) -> Option<u64> {
        let lost = self.lost_signed() + signed(self.duplicates);
        (self.packets > 0).then(|| u64::try_from(lost).unwrap_or(0))
    }

    /// Jitter; `None` before it was measured.
    #[must_use]
    pub fn jitter(&self) -> Option<Duration> {
        self.jitter_s.map(Duration::from_secs_f64)
    }

    /// A report block about the present source; each call ends one reporting interval.
    pub fn report(&mut self) -> Option<Block> {
        let source = self.source?;
        let expected = self.expected_before + source.expected();
        let received = self.received_before + source.received;
        let (expected_then, received_then) = self.reported;
        self.reported = (expected, received);
        let expected_now = expected.saturating_sub(expected_then);
        let lost_now = expected_now.saturating_sub(received.saturating_sub(received_then));
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0);
        Some(Block {
            ssrc: source.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: source.lost_signed().clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest: source.extended(),
            jitter: (self.jitter_s.unwrap_or(0.0) * self.clock_hz) as u32,
        })
    }

    fn lost_signed(&self) -> i64 {
        self.lost_before + self.source.map_or(0, |source| source.lost_signed())
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    #[test]
    fn nothing_received_is_not_measured() {
        let mut stats = ReceiveStats::default();
        assert_eq!(
            (stats.lost(), stats.jitter(), stats.report()),
            (None, None, None)
        );
        stats.receive(Instant::now(), 1, 5, 0, Some(8));
        assert_eq!((stats.lost(), stats.jitter()), (Some(0), None));
    }

    #[test]
    fn loss_over_the_wrap() {
        let now = Instant::now();
        let mut stats = ReceiveStats::default();
        for sequence in [65_533, 65_534, 0, 1, 4] {
            stats.receive(now, 1, sequence, 0, Some(8));
        }
        assert_eq!(stats.lost(), Some(3));
        let block = stats.report().unwrap();
        assert_eq!((block.cumulative_lost, block.highest), (3, 0x1_0004));
        assert_eq!(u32::from(block.fraction_lost), 3 * 256 / 8);
        stats.receive(now, 1, 5, 0, Some(8));
        assert_eq!(stats.report().unwrap().fraction_lost, 0, "a new interval");
    }

    /// RFC 3550 A.8 by hand: deviations of 0, 80 and 80 ticks.
    #[test]
    fn jitter_by_the_book() {
        let now = Instant::now();
        let mut stats = ReceiveStats::default();
        for (n, at_ms) in [(0_u16, 0_u64), (1, 20), (2, 50), (3, 60)] {
            let at = now + Duration::from_millis(at_ms);
            stats.receive(at, 1, n, u32::from(n) * 160, Some(8));
        }
        let first = 80.0 / 16.0;
        let second = first + (80.0 - first) / 16.0;
        assert!((stats.jitter().unwrap().as_secs_f64() - second / 8_000.0).abs() < 1e-6);
    }

    #[test]
    fn a_pause_and_another_source_are_no_loss() {
        let now = Instant::now();
        let mut stats = ReceiveStats::default();
        stats.receive(now, 1, 10, 0, Some(8));
        stats.receive(now, 1, 12, 0, Some(8));
        stats.interrupt();
        stats.receive(now, 1, 900, 0, Some(8));
        stats.receive(now, 2, 40_000, 0, Some(8));
        stats.receive(now, 2, 40_001, 0, Some(8));
        assert_eq!(
            (stats.lost(), stats.packets(), stats.ssrc()),
            (Some(1), 5, Some(2))
        );
    }

    /// What a network sends twice is neither late nor lost, and is counted as what it is; what it overtakes is no repetition.
    #[test]
    fn repetitions_are_told_from_packets_that_were_overtaken() {
        let now = Instant::now();
        let mut stats = ReceiveStats::default();
        assert_eq!(stats.duplicates(), None);
        for number in [
            65_534, 65_535, 65_535, 1, 0, 0, 1, 65_535, 60, 61, 124, 61, 60,
        ] {
            stats.receive(now, 1, number, 0, Some(8));
        }
        // 60 is 64 behind 124: too far back to be remembered.
        assert_eq!(stats.duplicates(), Some(5));
    }

    /// A direction that is closed: numbers that pass meanwhile were for others, those that come behind others are not taken for new ones, and a long hold
    /// turns the count of our reports no further back than a short one.
    #[test]
    fn numbers_that_pass_while_closed_are_no_loss() {
        let now = Instant::now();
        let mut stats = ReceiveStats::default();
        let hear = |stats: &mut ReceiveStats, numbers: &[u16]| {
            for number in numbers {
                stats.receive(now, 1, *number, 0, Some(8));
            }
        };
        hear(&mut stats, &[10, 11, 13]);
        stats.set_open(false);
        // A straggler, then unwanted music, of which one is overtaken.
        hear(&mut stats, &[12, 14, 900, 902, 901, 901]);
        stats.set_open(true);
        assert_eq!(stats.lost(), Some(0));
        assert_eq!((stats.packets(), stats.duplicates()), (9, Some(1)));
        // The first one behind the retrieve is late, the second one is not.
        hear(&mut stats, &[902, 20_000, 20_002]);
        assert_eq!((stats.lost(), stats.duplicates()), (Some(1), Some(2)));
        let block = stats.report().unwrap();
        assert_eq!((block.cumulative_lost, block.highest), (-1, 20_002));
        // Ten minutes of hold turn the numbers over.
        stats.set_open(false);
        stats.set_open(true);
        hear(&mut stats, &[50_002, 50_003]);
        stats.set_open(false);
        stats.set_open(true);
        hear(&mut stats, &[30_000, 30_001]);
        let block = stats.report().unwrap();
        assert_eq!((block.cumulative_lost, block.highest), (-1, 0x1_7531));
    }

    /// A packet that took two seconds by another way, or came again then, is one packet too late: nothing is lost by it, and our reports count on. Two in a row are a
    /// source that has begun anew.
    #[test]
    fn one_packet_far_behind_is_late_and_two_are_another_row() {
        let now = Instant::now();
        let mut stats = ReceiveStats::default();
        for number in [998, 999, 1_000, 899, 1_001, 900, 900, 1_002, 899, 1_004] {
            stats.receive(now, 1, number, 0, Some(8));
        }
        assert_eq!((stats.packets(), stats.lost()), (10, Some(1)));
        let block = stats.report().unwrap();
        assert_eq!((block.cumulative_lost, block.highest), (1, 1_004));
        assert_eq!(block.fraction_lost, (256_u32 / 7) as u8);
        for number in [500, 501, 502, 504] {
            stats.receive(now, 1, number, 0, Some(8));
        }
        let block = stats.report().unwrap();
        assert_eq!((block.cumulative_lost, block.highest), (1, 504));
        assert_eq!((stats.packets(), stats.lost()), (14, Some(2)));
    }

    /// A network that sends much twice loses as much as one that does not.
    #[test]
    fn repetitions_do_not_hide_loss() {
        let now = Instant::now();
        let mut stats = ReceiveStats::default();
        for number in [1, 1, 2, 2, 3, 3, 6, 6] {
            stats.receive(now, 1, number, 0, Some(8));
        }
        assert_eq!((stats.lost(), stats.distinct()), (Some(2), 4));
        let block = stats.report().unwrap();
        assert_eq!((block.cumulative_lost, block.fraction_lost), (-2, 0), "A.3");
    }

    #[test]
    fn repetitions_do_not_make_loss_negative() {
        let now = Instant::now();
        let mut stats = ReceiveStats::default();
        for _ in 0..5 {
            stats.receive(now, 1, 7, 0, Some(8));
        }
        assert_eq!(stats.lost(), Some(0));
        assert_eq!(stats.report().unwrap().cumulative_lost, -4);
    }
}
