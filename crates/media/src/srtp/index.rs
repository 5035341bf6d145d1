//! Packet indices, and which of them were seen (RFC 3711 sections 3.3.1 and 3.3.2).

use super::Refused;

/// Indices that are remembered below the highest; RFC 3711 section 3.3.2 wants 64 at least.
const WINDOW: u64 = 128;

/// Half of the sequence numbers.
const HALF: u16 = 0x8000;

/// The index that a sequence number stands for when `highest` is the highest so far.
pub(super) fn estimate(highest: Option<u64>, sequence: u16) -> u64 {
    let Some(highest) = highest else {
        return u64::from(sequence);
    };
    let roc = highest >> 16;
    // The low 16 bits are the sequence number.
    let last = highest as u16;
    let roc = if last < HALF && sequence.wrapping_sub(last) > HALF && sequence > last {
        // Before the first turn there is none to belong to: the sender has jumped.
        roc.saturating_sub(1)
    } else if last >= HALF && last - HALF > sequence {
        roc + 1
    } else {
        roc
    };
    roc << 16 | u64::from(sequence)
}

/// The highest index that has passed, and those just below it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) highest: u64,
    /// Bit n: `highest - n` was seen.
    seen: u128,
}

impl Window {
    pub(super) const fn new(first: u64) -> Self {
        Self {
            highest: first,
            seen: 1,
        }
    }

    /// Says whether an index may still come; changes nothing.
    pub(super) fn check(&self, index: u64) -> Result<(), Refused> {
        let Some(age) = self.highest.checked_sub(index) else {
            return Ok(());
        };
        if age >= WINDOW || self.seen >> age & 1 == 1 {
            Err(Refused::Replay)
        } else {
            Ok(())
        }
    }

    /// Notes an index whose packet has passed.
    pub(super) fn note(&mut self, index: u64) {
        match index.checked_sub(self.highest) {
            None => self.seen |= 1_u128 << (self.highest - index).min(WINDOW - 1),
            Some(step) => {
                let step = u32::try_from(step).unwrap_or(u32::MAX);
                self.seen = self.seen.checked_shl(step).unwrap_or(0) | 1;
                self.highest = index;
            }
        }
    }
}
