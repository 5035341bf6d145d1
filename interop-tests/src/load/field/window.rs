//! What is counted between two moments.

use std::time::Duration;

use crate::load::samples::Samples;
use crate::load::speech::Heard;
use crate::load::stamp::{Sender, Stamp};

/// One direction of the audio.
#[derive(Debug, Clone, Default)]
pub struct Direction {
    /// Packets sent within the window.
    pub sent: u64,
    /// Packets sent within the window that arrived.
    pub received: u64,
    /// Their time on the way; of speech, that of its marks.
    pub latency: Samples,
    /// Marks in the speech that were not heard at the other end.
    pub marks_lost: u64,
}

/// What was counted in a window, and since the run began.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// From the telephones to the pages.
    pub to_agent: Direction,
    /// From the pages to the telephones.
    pub to_caller: Direction,
    /// Packets that reached a session they do not belong to, since the run began. Any is a fault.
    pub stray: u64,
    /// How late the load itself was with its packets: when it cannot keep up, so can nothing else.
    pub lateness: Samples,
    /// From the wish that a call be answered to the first packet at the page; all calls so far.
    pub talk_to_agent: Samples,
    /// The same to the first packet at the telephone.
    pub talk_to_caller: Samples,
    span: Option<(u64, u64)>,
}

impl Window {
    /// Packets count from `at_ns` on.
    pub(super) fn open(&mut self, at_ns: u64) {
        self.to_agent = Direction::default();
        self.to_caller = Direction::default();
        self.lateness = Samples::default();
        self.span = Some((at_ns, u64::MAX));
    }

    /// Packets that are sent from `at_ns` on count no more; those on their way still do.
    pub(super) fn close(&mut self, at_ns: u64) {
        if let Some((_, end)) = &mut self.span {
            *end = at_ns;
        }
    }

    /// A packet is sent, `late` after its time.
    pub(super) fn sent(&mut self, stamp: &Stamp, late: Duration) {
        if let Some(direction) = self.direction(stamp) {
            direction.sent += 1;
            self.lateness.add(late);
        }
    }

    /// A packet has arrived.
    pub(super) fn received(&mut self, stamp: &Stamp, now_ns: u64) {
        if let Some(direction) = self.direction(stamp) {
            direction.received += 1;
            direction.latency.add_ns(now_ns.saturating_sub(stamp.at_ns));
        }
    }

    /// A packet of speech is sent, `late` after its time.
    pub(super) fn said(&mut self, sender: Sender, now_ns: u64, late: Duration) {
        if let Some(direction) = self.way(sender, now_ns) {
            direction.sent += 1;
            self.lateness.add(late);
        }
    }

    /// A packet of speech has arrived: which one, nobody can tell who has not transcoded it.
    pub(super) fn listened(&mut self, sender: Sender, now_ns: u64) {
        if let Some(direction) = self.way(sender, now_ns) {
            direction.received += 1;
        }
    }

    /// What has become of a mark in the speech.
    pub(super) fn mark(&mut self, sender: Sender, mark: Heard) {
        if let Some(direction) = self.way(sender, mark.sent_ns) {
            match mark.took {
                Some(took) => direction.latency.add(took),
                None => direction.marks_lost += 1,
            }
        }
    }

    /// The direction of a packet that counts.
    fn direction(&mut self, stamp: &Stamp) -> Option<&mut Direction> {
        self.way(stamp.sender, stamp.at_ns)
    }

    fn way(&mut self, sender: Sender, at_ns: u64) -> Option<&mut Direction> {
        let (start, end) = self.span?;
        if !(start..end).contains(&at_ns) {
            return None;
        }
        Some(match sender {
            Sender::Caller => &mut self.to_agent,
            Sender::Page => &mut self.to_caller,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sent_within_the_window_counts_however_late_it_comes() {
        let stamp = |at_ns| Stamp {
            session: 1,
            sender: Sender::Page,
            at_ns,
        };
        let mut window = Window::default();
        window.sent(&stamp(5), Duration::ZERO);
        window.open(10);
        window.received(&stamp(9), 11);
        for at_ns in [10, 19] {
            window.sent(&stamp(at_ns), Duration::ZERO);
        }
        window.close(20);
        window.sent(&stamp(20), Duration::ZERO);
        window.received(&stamp(19), 400_019);
        window.received(&stamp(20), 30);
        assert_eq!((window.to_caller.sent, window.to_caller.received), (2, 1));
        assert_eq!(window.to_agent.sent, 0);
        let latency = window.to_caller.latency.percentiles().unwrap();
        assert!((latency.max_ms - 0.4).abs() < 1e-9);
    }
}
