//! What the worker's thread and the rest of the process share: counters to read, and the wish that it stops.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use media::counters::Counters;

/// Fields of [`Counters`].
const FIELDS: usize = 14;

/// Written by the worker once per turn of its loop, read by whoever asks. Each number is whole; two of them may be from two
/// turns.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The worker shall end.
    pub(super) stop: AtomicBool,
    /// The worker has ended, in order or not.
    pub(super) ended: AtomicBool,
    /// Commands wait, and the worker has been woken for them or is awake.
    pub(super) called: AtomicBool,
    numbers: [AtomicU64; FIELDS],
}

impl Shared {
    pub(super) fn publish(&self, counters: &Counters) {
        for (cell, number) in self.numbers.iter().zip(to_numbers(counters)) {
            cell.store(number, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> Counters {
        from_numbers(std::array::from_fn(|index| {
            self.numbers[index].load(Ordering::Relaxed)
        }))
    }
}

/// Every field is named on both ways, so that a new one cannot be forgotten.
const fn to_numbers(counters: &Counters) -> [u64; FIELDS] {
    let Counters {
        rtp_sip_in,
        rtp_sip_out,
        rtp_browser_in,
        rtp_browser_out,
        rtp_sip_lost,
        rtp_browser_lost,
        rtp_wrong_source,
        rtp_malformed,
        srtp_auth_fail,
        dtls_unvalidated_source,
        stun_bad_integrity,
        unknown_datagrams,
        engine_errors,
        digits_refused,
    } = *counters;
    [
        rtp_sip_in,
        rtp_sip_out,
        rtp_browser_in,
        rtp_browser_out,
        rtp_sip_lost,
        rtp_browser_lost,
        rtp_wrong_source,
        rtp_malformed,
        srtp_auth_fail,
        dtls_unvalidated_source,
        stun_bad_integrity,
        unknown_datagrams,
        engine_errors,
        digits_refused,
    ]
}

const fn from_numbers(numbers: [u64; FIELDS]) -> Counters {
    let [
        rtp_sip_in,
        rtp_sip_out,
        rtp_browser_in,
        rtp_browser_out,
        rtp_sip_lost,
        rtp_browser_lost,
        rtp_wrong_source,
        rtp_malformed,
        srtp_auth_fail,
        dtls_unvalidated_source,
        stun_bad_integrity,
        unknown_datagrams,
        engine_errors,
        digits_refused,
    ] = numbers;
    Counters {
        rtp_sip_in,
        rtp_sip_out,
        rtp_browser_in,
        rtp_browser_out,
        rtp_sip_lost,
        rtp_browser_lost,
        rtp_wrong_source,
        rtp_malformed,
        srtp_auth_fail,
        dtls_unvalidated_source,
        stun_bad_integrity,
        unknown_datagrams,
        engine_errors,
        digits_refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read() {
        let numbers = std::array::from_fn(|index| index as u64 + 1);
        let shared = Shared::default();
        shared.publish(&from_numbers(numbers));
        assert_eq!(to_numbers(&shared.read()), numbers);
    }
}
