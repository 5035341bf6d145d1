//! Which addresses a browser is reached at, and which of them counts.
//!
//! An ICE-lite agent learns of a new address by a check from it. The engine keeps sending to the old address until that
//! has been silent for 15 s, which a caller hears as 14 s of one-way audio. So when the browser *nominates* a new
//! address, the old one is retired at once; and since the engine ignores a retired address for ever, it is brought back first
//! when a check comes from it again (a phone that moves from one network to another and back).
//!
//! Where a NAT between them moves a browser it nominates nothing: to it nothing has changed, and Firefox's checks for consent (RFC 7675) name no
//! candidate. Whoever then says what only the browser can say is followed, once the nominated address is silent.

use std::time::{Duration, Instant};

use str0m::Candidate;

use super::guard;
use super::types::{Carrier, Endpoint};
use crate::limits::{ADDRESS_CHANGES_MAX, REMOTE_CANDIDATES_MAX};

#[derive(Debug, Default)]
pub(super) struct Paths {
    signalled: Vec<Candidate>,
    /// Where media goes.
    current: Option<Endpoint>,
    /// The address of the last nomination that was answered. It is the current one, unless a NAT has moved the browser.
    nominated: Option<Endpoint>,
    /// Where the browser is heard since when, while nothing comes from the current address.
    elsewhere: Option<(Endpoint, Instant)>,
    retired: Vec<Endpoint>,
    changes: usize,
}

impl Paths {
    /// The browser named a candidate; `false` when it has named too many.
    pub(super) fn signal(&mut self, candidate: Candidate) -> bool {
        if self.signalled.len() >= REMOTE_CANDIDATES_MAX {
            return false;
        }
        self.signalled.push(candidate);
        true
    }

    /// A new negotiation: what was known of addresses no longer counts, but media goes on over the current one.
    pub(super) fn restart(&mut self) {
        self.signalled.clear();
        self.retired.clear();
        self.changes = 0;
    }

    /// Over TCP a browser names no address of use: its port is the system's choice.
    pub(super) fn is_signalled(&self, endpoint: Endpoint) -> bool {
        self.named(endpoint).next().is_some()
    }

    fn named(&self, endpoint: Endpoint) -> impl Iterator<Item = &Candidate> {
        let signalled = self.signalled.iter();
        signalled.filter(move |candidate| {
            endpoint.carrier == Carrier::Udp && candidate.addr() == endpoint.address
        })
    }

    pub(super) const fn current(&self) -> Option<Endpoint> {
        self.current
    }

    /// Something came from `source`. At the current address even what nobody can read is a sign of life: of a packet that somebody said before the browser did,
    /// from elsewhere, the browser's own is the repetition.
    pub(super) fn note(&mut self, source: Endpoint) {
        if self.current == Some(source) {
            self.elsewhere = None;
        }
    }

    /// The browser, and nobody else, has said something from `source`: whether it has been moved there. It has been heard there for `long`, and nothing has come
    /// from the current address since. Of somebody who repeats what he overhears the browser's own words come next.
    pub(super) fn is_moved(&mut self, now: Instant, source: Endpoint, long: Duration) -> bool {
        if self.current.is_none_or(|current| current == source) {
            return false;
        }
        match self.elsewhere {
            Some((there, since)) if there == source => now.saturating_duration_since(since) >= long,
            _ => {
                self.elsewhere = Some((source, now));
                false
            }
        }
    }

    /// The browser was moved to `address`. Returns the address to retire.
    pub(super) fn follow(&mut self, address: Endpoint) -> Option<Endpoint> {
        self.elsewhere = None;
        let old = self
            .current
            .replace(address)
            .filter(|old| *old != address)?;
        self.changes += 1;
        Some(old)
    }

    /// A nomination from `address` was answered. Returns the address to retire, if there was another one.
    pub(super) fn nominate(&mut self, address: Endpoint) -> Option<Endpoint> {
        self.nominated = Some(address);
        self.follow(address)
    }

    /// Media goes elsewhere than the browser said, and `address` is where it said: what it says counts for more than what it does.
    pub(super) fn is_back(&self, address: Endpoint) -> bool {
        self.nominated == Some(address) && self.current != Some(address)
    }

    /// Takes note that `address` was retired; returns the candidates by which the engine may know it.
    pub(super) fn retire(&mut self, address: Endpoint) -> Vec<Candidate> {
        if !self.retired.contains(&address) {
            self.retired.push(address);
        }
        let named = self.named(address).cloned();
        named.chain(guard::peer_reflexive(address)).collect()
    }

    /// A check came from a retired address: the candidate that brings it back.
    pub(super) fn bring_back(&mut self, address: Endpoint) -> Option<Candidate> {
        let index = self
            .retired
            .iter()
            .position(|retired| *retired == address)?;
        self.retired.swap_remove(index);
        guard::peer_reflexive(address)
    }

    /// The browser has moved more often than a browser can.
    pub(super) const fn exhausted(&self) -> bool {
        self.changes >= ADDRESS_CHANGES_MAX
    }
}
