//! Rows of sequence numbers, and where the next one belongs (RFC 3550 appendix A.1).

use crate::limits::{SEQUENCE_DROPOUT_MAX, SEQUENCE_MISORDER_MAX};

/// What is remembered of a row beside its highest number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    /// The last packet was far behind; this number would confirm that the row begins anew there (`bad_seq`).
    suspected: Option<u16>,
}

/// Where a number belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<T> {
    /// Into the row: so far ahead of its highest number, or behind it.
    Here(T),
    /// Into another row.
    Anew,
    /// So far behind that it is late, or the first of another row.
    FarBehind,
}

impl<T> Place<T> {
    pub(crate) fn map<U>(self, here: impl FnOnce(T) -> U) -> Place<U> {
        match self {
            Self::Here(step) => Place::Here(here(step)),
            Self::Anew => Place::Anew,
            Self::FarBehind => Place::FarBehind,
        }
    }
}

impl Row {
    /// Where the next number belongs. A row that goes back is not believed before its second packet.
    pub(crate) fn place(&mut self, highest: u16, sequence: u16) -> Place<i32> {
        let suspected = self.suspected.take();
        // The low 16 bits are what comes over the wire, so the cut is meant.
        let step = i32::from(sequence.wrapping_sub(highest) as i16);
        if (-SEQUENCE_MISORDER_MAX..=SEQUENCE_DROPOUT_MAX).contains(&step) {
            return Place::Here(step);
        }
        if step > 0 {
            return Place::Anew;
        }
        self.suspected = Some(sequence.wrapping_add(1));
        if suspected == Some(sequence) {
            Place::Anew
        } else {
            Place::FarBehind
        }
    }
}
