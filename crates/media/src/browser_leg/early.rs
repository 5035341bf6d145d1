//! DTLS datagrams that came before their address was checked.
//!
//! A browser may send its ClientHello before our side of the negotiation has got that far. Dropping it costs its
//! retransmission timer, a second of silence; obeying it would let a stranger into the handshake. So a few are kept, only from
//! addresses that the browser itself has named, and handed over when an authenticated check has come from there.

use std::collections::VecDeque;
use std::time::Instant;

use super::types::Endpoint;
use crate::limits::{DATAGRAM_MAX, EARLY_DATAGRAM_AGE_MAX, EARLY_DATAGRAMS_MAX};

#[derive(Debug, Default)]
pub(super) struct EarlyDatagrams(VecDeque<(Instant, Endpoint, Vec<u8>)>);

impl EarlyDatagrams {
    pub(super) fn keep(&mut self, now: Instant, source: Endpoint, datagram: &[u8]) {
        self.forget_old(now);
        if datagram.len() > DATAGRAM_MAX {
            return;
        }
        if self.0.len() >= EARLY_DATAGRAMS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, source, datagram.to_vec()));
    }

    /// Takes the oldest one that came from `source`.
    pub(super) fn take(&mut self, now: Instant, source: Endpoint) -> Option<Vec<u8>> {
        self.forget_old(now);
        let index = self.0.iter().position(|(_, from, _)| *from == source)?;
        self.0.remove(index).map(|(_, _, datagram)| datagram)
    }

    pub(super) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }

    fn forget_old(&mut self, now: Instant) {
        self.0
            .retain(|(at, _, _)| now.saturating_duration_since(*at) <= EARLY_DATAGRAM_AGE_MAX);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    #[test]
    fn kept_in_order_bounded_and_not_for_ever() {
        let now = Instant::now();
        let at = |text: &str| Endpoint::from(text.parse::<std::net::SocketAddr>().unwrap());
        let source = at("192.0.2.1:1");
        let mut early = EarlyDatagrams::default();
        for n in 0..10_u8 {
            early.keep(now, source, &[n]);
        }
        early.keep(now, source, &[0; DATAGRAM_MAX + 1]);
        assert_eq!(early.take(now, at("192.0.2.1:2")), None);
        assert_eq!(early.take(now, source), Some(vec![4]));
        assert_eq!(early.take(now, source), Some(vec![5]));
        let later = now + EARLY_DATAGRAM_AGE_MAX + std::time::Duration::from_millis(1);
        assert_eq!(early.take(later, source), None);
    }
}
