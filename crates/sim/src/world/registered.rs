//! Where agents are registered, and by when they have to be.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sip::ua::RegistrationPolicy;
use switchboard::Failback;

use super::servers::{Server, ServerId};
use super::site::Layout;
use super::{Step, World};
use crate::tserver::RegisterMode;

/// A perfect wire to a SIP Server that serves: a challenge and its answer.
const AT_ONCE: Duration = Duration::from_secs(3);
/// The same over a wire that loses little: one REGISTER may be lost with all its repetitions, and is tried again.
const SOON: Duration = Duration::from_secs(60);
/// The same by connections, which break behind a REGISTER, or behind its answer, more often than a datagram is lost with all its repetitions: twice, each noticed 15 s later, with
/// a wait before the next try.
const SOON_BY_STREAM: Duration = Duration::from_secs(120);
/// Loss at which that is certain enough: two tries in a row fail once in a million million.
const LITTLE_LOSS: f64 = 0.1;
/// A server of a list is dead: it is asked every 10 s, has 4 s for the answer, and the DNs go to the next server.
const FOUND_DEAD: Duration = Duration::from_secs(16);
/// Over a wire that loses, a REGISTER may have to wait for 64*T1 first.
const FOUND_DEAD_LATE: Duration = Duration::from_secs(40);

/// The wait after the first failure, and some chance in it.
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(15);

/// By when somebody has to be registered once the storm is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Transactions have ended.
    Soon,
    /// Whoever was refused has tried again; what SIP Server forgot without a sign may be missing.
    Retried,
    /// Every registration was refreshed, and those of a list are back at its first server.
    Last,
}

/// Since when each agent waits to be registered at each site.
#[derive(Debug, Default)]
pub(super) struct Watch {
    waiting: BTreeMap<(String, usize), Instant>,
}

impl Watch {
    /// talkbridge stands still: what it owes begins anew.
    pub(super) fn begin_again(&mut self) {
        self.waiting.clear();
    }
}

impl World {
    /// The SIP Servers of each site.
    fn sites(&self) -> Vec<&[Server]> {
        match self.site.layout {
            Layout::Alone | Layout::Pair(_) | Layout::Proxied => vec![&self.servers],
            Layout::Continuity => self.servers.chunks(1).collect(),
        }
    }

    fn is_to_be_registered(&self, dn: &str) -> bool {
        let signed_in = self.board.agent(dn).is_some_and(|agent| agent.signed_in);
        signed_in || self.site.is_always_registered(dn)
    }

    /// In the middle of the storm: where a site has a server that serves, its agents are registered at it in bounded time.
    pub(super) fn registered_in_time(&mut self) -> Step {
        let mut waiting = BTreeMap::new();
        for dn in self.site.dns() {
            if !self.is_to_be_registered(&dn) {
                continue;
            }
            for (index, servers) in self.sites().into_iter().enumerate() {
                let Some((since, bound)) = owed(servers, self.streams.is_some()) else {
                    continue;
                };
                let bound = bound + self.turn();
                if servers.iter().any(|server| self.holds(server, &dn)) {
                    continue;
                }
                let key = (dn.clone(), index);
                let since = self
                    .watch
                    .waiting
                    .get(&key)
                    .map_or(self.now, |at| (*at).max(since));
                if since + bound < self.now {
                    return Err(format!(
                        "{dn} is not registered at site {index} after {:?}",
                        self.now.saturating_duration_since(since)
                    ));
                }
                waiting.insert(key, since);
            }
        }
        self.watch.waiting = waiting;
        Ok(())
    }

    /// A server that serves has a binding of the DN.
    fn holds(&self, server: &Server, dn: &str) -> bool {
        server.health.serves() && self.holder(server.id, dn).is_some()
    }

    /// By when the last of all registrations has had its turn.
    fn turn(&self) -> Duration {
        let all = self.site.dns().len() * self.servers.len();
        let usual = RegistrationPolicy::default().start_rate_per_s;
        match self.site.registrations_per_s {
            rate if rate == usual => Duration::ZERO,
            rate => Duration::from_secs(1) * u32::try_from(all).unwrap_or(u32::MAX) / rate,
        }
    }

    /// Every agent can be called, at every site.
    pub(super) fn registered(&self, due: Due) -> Step {
        for dn in self.site.dns() {
            let signed_in = self.board.agent(&dn).is_some_and(|agent| agent.signed_in);
            if !signed_in {
                continue;
            }
            for servers in self.sites() {
                let forgot = servers.iter().any(|server| server.health.forgot);
                if due == Due::Retried && forgot {
                    continue;
                }
                let first = due == Due::Last && self.site.layout == Layout::Pair(Failback::Auto);
                let candidates = if first { &servers[..1] } else { servers };
                if !candidates
                    .iter()
                    .any(|server| self.holder(server.id, &dn).is_some())
                {
                    let ids: Vec<ServerId> = candidates.iter().map(|server| server.id).collect();
                    return Err(format!("{dn} is signed in, but not registered at {ids:?}"));
                }
            }
        }
        Ok(())
    }
}

/// Since when talkbridge can know which server of a site serves, and how long it may take; `None` where it is owed nothing.
fn owed(servers: &[Server], by_stream: bool) -> Option<(Instant, Duration)> {
    // One that forgets, or refuses, says so to nobody else: it is the administrator who repairs that.
    let plain = |server: &Server| {
        let health = &server.health;
        let forgot = health.forgot && !health.away;
        (health.is_silent() || health.registrar == RegisterMode::Normal) && !forgot && !health.deaf
    };
    if !servers.iter().all(plain) || !servers.iter().any(|server| server.health.serves()) {
        return None;
    }
    let lossless = |server: &Server| server.health.is_silent() || server.wire.injected() == 0;
    let little = |server: &Server| {
        let faults = server.wire.faults();
        let little = faults.loss <= LITTLE_LOSS
            && faults.partition.is_zero()
            && faults.unlucky.iter().all(Option::is_none);
        server.health.is_silent() || little
    };
    let lost = servers.iter().any(|server| server.health.is_silent());
    let soon = if by_stream { SOON_BY_STREAM } else { SOON };
    let (bound, found) = match () {
        () if servers.iter().all(lossless) => (AT_ONCE, FOUND_DEAD),
        () if servers.iter().all(little) => (soon, FOUND_DEAD_LATE),
        () => return None,
    };
    let found = if lost { found } else { Duration::ZERO };
    // Whoever was refused, or heard nothing, waits twice as long each time before the next try.
    let tried = servers.iter().map(|server| server.health.trouble).max()?;
    let again = if tried.is_zero() {
        tried
    } else {
        tried * 2 + FIRST_WAIT
    };
    let since = servers.iter().map(|server| server.health.since).max()?;
    Some((since, bound + found + again))
}
