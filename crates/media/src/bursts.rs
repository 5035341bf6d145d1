//! Losses of a stream as a row: bursts and the gaps between them (RFC 3611 section 4.7.2).

/// Packets in a row that come end a burst: the value that RFC 3611 section 4.7.2 recommends for `Gmin`.
pub const GMIN: u8 = 16;

/// The row of packets of one received stream, each of which came or did not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bursts {
    all: u64,
    lost: u64,
    /// Losses in a row count once.
    runs: u64,
    /// Packets that came since the last loss.
    since: u64,
    /// From the first loss of what may be a burst to its last one.
    open: Stretch,
    /// All bursts that are over.
    over: Stretch,
    count: u64,
    /// The row began with one.
    first_at_start: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stretch {
    all: u64,
    lost: u64,
}

/// What a row has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BurstReport {
    /// Share of packets lost within bursts, 0 to 1.
    pub burst_density: f64,
    /// The same between bursts.
    pub gap_density: f64,
    /// Mean length of bursts, in packets; 0 without any.
    pub burst_packets: f64,
    /// Mean length of gaps, in packets; 0 without any.
    pub gap_packets: f64,
    /// Packets that were lost, all that were to come, and in how many runs they were lost.
    pub losses: (u64, u64, u64),
}

impl Bursts {
    /// The next packet of the row came, or did not.
    pub const fn note(&mut self, came: bool) {
        self.all += 1;
        if came {
            self.since += 1;
            if self.since == GMIN as u64 {
                self.close();
            }
            return;
        }
        self.lost += 1;
        if self.open.lost == 0 {
            self.open.all = 1;
            self.first_at_start |= self.all == 1;
        } else {
            self.open.all += self.since + 1;
        }
        self.open.lost += 1;
        if self.since > 0 || self.lost == 1 {
            self.runs += 1;
        }
        self.since = 0;
    }

    /// What was open is over. One loss alone is no burst.
    const fn close(&mut self) {
        if self.open.lost > 1 {
            self.over.all += self.open.all;
            self.over.lost += self.open.lost;
            self.count += 1;
        } else if self.count == 0 {
            self.first_at_start = false;
        }
        self.open = Stretch { all: 0, lost: 0 };
    }

    /// What it has come to so far. A row is thought to be followed by packets that come.
    #[must_use]
    pub fn report(mut self) -> BurstReport {
        let ends_with_burst = self.open.lost > 1 && self.since == 0;
        self.close();
        let gaps_all = self.all - self.over.all;
        let gaps_lost = self.lost - self.over.lost;
        // One before each burst but a first one at the start, and one behind the last.
        let gaps = (self.count + 1)
            .saturating_sub(u64::from(self.first_at_start))
            .saturating_sub(u64::from(ends_with_burst));
        // Packets of a call are far fewer than 2^52.
        let share = |part: u64, all: u64| {
            if all == 0 {
                0.0
            } else {
                part as f64 / all as f64
            }
        };
        BurstReport {
            burst_density: share(self.over.lost, self.over.all),
            gap_density: share(gaps_lost, gaps_all),
            burst_packets: share(self.over.all, self.count),
            gap_packets: share(gaps_all, gaps),
            losses: (self.lost, self.all, self.runs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as a string: `.` came, `x` did not.
    fn row(text: &str) -> BurstReport {
        let mut bursts = Bursts::default();
        for packet in text.chars() {
            bursts.note(packet == '.');
        }
        bursts.report()
    }

    fn came(packets: usize) -> String {
        ".".repeat(packets)
    }

    #[test]
    fn without_losses_all_is_one_gap() {
        let report = row(&came(200));
        assert_eq!((report.burst_density, report.burst_packets), (0.0, 0.0));
        assert_eq!((report.gap_density, report.gap_packets), (0.0, 200.0));
        assert_eq!(row(""), BurstReport::default());
    }

    /// Losses that are [`GMIN`] packets or more apart are chance; closer ones are a burst, from its first to its last.
    #[test]
    fn losses_that_are_close_are_a_burst() {
        let chance = row(&format!("{0}x{0}x{0}", came(16)));
        assert_eq!(chance.burst_packets, 0.0);
        assert_eq!((chance.gap_density, chance.gap_packets), (2.0 / 50.0, 50.0));
        let burst = row(&format!("{0}x{1}x{0}", came(40), came(15)));
        assert_eq!(
            (burst.burst_packets, burst.burst_density),
            (17.0, 2.0 / 17.0)
        );
        assert_eq!((burst.gap_packets, burst.gap_density), (40.0, 0.0));
    }

    /// Two bursts of 4 and 2 packets with a chance loss between them, by hand.
    #[test]
    fn means_are_over_all_bursts_and_gaps() {
        let report = row(&format!("{0}xx.x{1}x{1}xx{0}", came(30), came(20)));
        assert_eq!(
            (report.burst_packets, report.burst_density),
            (3.0, 5.0 / 6.0)
        );
        assert_eq!(
            (report.gap_packets, report.gap_density),
            (101.0 / 3.0, 1.0 / 101.0)
        );
        assert_eq!(report.losses, (6, 107, 4));
    }

    /// A burst at either end has no gap beside it there; one that is not over counts.
    #[test]
    fn bursts_at_the_ends() {
        let report = row(&format!("xx{}xx", came(50)));
        assert_eq!((report.burst_packets, report.gap_packets), (2.0, 50.0));
        let report = row(&format!("x{}", came(50)));
        assert_eq!((report.burst_packets, report.gap_packets), (0.0, 51.0));
        assert_eq!(row("xxxx").gap_packets, 0.0);
        let report = row(&format!("{0}xx{0}x", came(20)));
        assert_eq!((report.burst_packets, report.gap_packets), (2.0, 20.5));
    }
}
