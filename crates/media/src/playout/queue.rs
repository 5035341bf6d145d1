//! Packets that wait for their time, in the order of their numbers. The memory of those that were played is used again.

use std::collections::VecDeque;

use crate::limits::PLAYOUT_PACKETS_MAX;

/// Where a packet stands, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Extended sequence number; it never falls, whatever the source.
    pub(super) number: i64,
    /// Its first sample on the time line of the playout.
    pub(super) position: i64,
    /// Samples it becomes; 0 is a packet without speech.
    pub(super) samples: usize,
    /// Stretch of one source without a jump; numbers are comparable within one.
    pub(super) stretch: u32,
    /// Which codec.
    pub(super) codec: u32,
    /// When it arrived, in microseconds.
    pub(super) arrived_us: i64,
}

impl Place {
    /// The first sample behind it.
    pub(super) fn end(&self) -> i64 {
        self.position + self.samples as i64
    }

    /// It says that nothing is said.
    pub(super) const fn is_pause(&self) -> bool {
        self.samples == 0
    }
}

#[derive(Debug)]
struct Waiting {
    place: Place,
    payload: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    spare: Vec<Vec<u8>>,
}

impl Queue {
    pub(super) fn head(&self) -> Option<(&Place, &[u8])> {
        self.waiting
            .front()
            .map(|first| (&first.place, first.payload.as_slice()))
    }

    /// The first packet with speech.
    pub(super) fn first_speech(&self) -> Option<&Place> {
        self.waiting
            .iter()
            .map(|waiting| &waiting.place)
            .find(|place| !place.is_pause())
    }

    /// Where what waits ends.
    pub(super) fn end(&self) -> Option<i64> {
        self.waiting.back().map(|last| last.place.end())
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= PLAYOUT_PACKETS_MAX
    }

    /// Puts a packet into its place; `false` when its number waits already.
    pub(super) fn insert(&mut self, place: Place, payload: &[u8]) -> bool {
        // From the back: nearly all packets come in order.
        let before = |waiting: &Waiting| waiting.place.number < place.number;
        let behind = self.waiting.iter().rev().take_while(|w| !before(w)).count();
        let index = self.waiting.len() - behind;
        let taken = self.waiting.get(index);
        if taken.is_some_and(|waiting| waiting.place.number == place.number) {
            return false;
        }
        let mut memory = self.spare.pop().unwrap_or_default();
        memory.clear();
        memory.extend_from_slice(payload);
        let payload = memory;
        self.waiting.insert(index, Waiting { place, payload });
        true
    }

    /// Removes the first packet.
    pub(super) fn drop_head(&mut self) -> Option<Place> {
        let first = self.waiting.pop_front()?;
        if self.spare.len() < PLAYOUT_PACKETS_MAX {
            self.spare.push(first.payload);
        }
        Some(first.place)
    }

    pub(super) fn clear(&mut self) {
        while self.drop_head().is_some() {}
    }

    /// Removes what only an older codec than this can read, and says how many packets that were.
    pub(super) fn drop_older_than(&mut self, codec: u32) -> u64 {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.place.codec >= codec);
        (before - self.waiting.len()) as u64
    }
}
