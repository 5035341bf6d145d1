//! Names of SIP Servers: looked up at the start, again when DNS says that its answer has aged, and soon after a failure.
//!
//! What was found once stays in use until DNS names others. Silence, an error or "no such name" takes no working server away.

pub mod locate;
mod lookup;
pub mod order;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sip::ua::SiteId;

use crate::config::{ServerAddress, ServerName, Sip, SipTransport};
use crate::limits::{DNS_RETRY_FIRST, DNS_RETRY_MAX, DNS_TTL_MAX, DNS_TTL_MIN};
use crate::requests::{Asker, Request};
use crate::run::RunError;
use crate::{assemble, control_thread};
use locate::{Failure, Found, Wish, locate};
use lookup::Network;

/// The SIP Servers of a site as far as their names are known.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Which site.
    pub site: SiteId,
    /// Every server, in order of preference.
    pub servers: Vec<switchboard::Server>,
    /// The name behind an address: the one that its certificate is for.
    pub names: BTreeMap<SocketAddr, String>,
    /// What could not be looked up, and why.
    pub problems: Vec<String>,
}

/// By which this process chooses among servers with weights.
///
/// # Errors
///
/// When the operating system has no randomness.
pub fn seed() -> Result<u64, RunError> {
    let seed = control_thread::seed()?;
    let (first, _) = seed.split_first_chunk().expect("32 octets hold 8");
    Ok(u64::from_be_bytes(*first))
}

/// Every site that has names among its servers.
#[must_use]
pub fn sites_with_names(sip: &Sip) -> Vec<SiteId> {
    let lists = sip.lists();
    let named = lists
        .iter()
        .enumerate()
        .filter(|(_, list)| names(list.servers).next().is_some());
    named
        .filter_map(|(index, _)| u16::try_from(index).ok().map(SiteId))
        .collect()
}

fn names(servers: &[ServerAddress]) -> impl Iterator<Item = &ServerName> {
    servers.iter().filter_map(|server| match server {
        ServerAddress::Name(name) => Some(name),
        ServerAddress::Address(_) => None,
    })
}

/// Keeps the control loop told of what the names of a site mean, until that is gone.
pub async fn watch(sip: Arc<Sip>, site: SiteId, seed: u64, asker: Asker) {
    let mut book = Book::new(sip, site, seed);
    loop {
        let next = book.look_up().await;
        let resolved = Box::new(book.resolved());
        if asker.tell(Request::SipServers(resolved)).await.is_err() {
            return;
        }
        tokio::time::sleep(next).await;
    }
}

/// Looks every name of the site up, once.
pub async fn once(sip: Arc<Sip>, site: SiteId, seed: u64) -> Resolved {
    let mut book = Book::new(sip, site, seed);
    book.look_up().await;
    book.resolved()
}

impl Resolved {
    /// What each name means, a sentence each, and what could not be looked up.
    #[must_use]
    pub fn findings(&self) -> Vec<Result<String, String>> {
        let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for server in &self.servers {
            if let Some(name) = self.names.get(&server.address) {
                let at = format!(
                    "{} {}",
                    server.transport.as_str().to_ascii_lowercase(),
                    server.address
                );
                found.entry(name).or_default().push(at);
            }
        }
        let found = found
            .iter()
            .map(|(name, at)| Ok(format!("{name} is {}", at.join(", "))));
        found
            .chain(self.problems.iter().cloned().map(Err))
            .collect()
    }
}

/// What is known of the names of one site.
struct Book {
    sip: Arc<Sip>,
    site: SiteId,
    seed: u64,
    known: BTreeMap<ServerName, Vec<(SipTransport, SocketAddr)>>,
    problems: BTreeMap<ServerName, Failure>,
    /// The pause after the next failure.
    pause: Duration,
}

impl Book {
    fn new(sip: Arc<Sip>, site: SiteId, seed: u64) -> Self {
        Self {
            sip,
            site,
            seed,
            known: BTreeMap::new(),
            problems: BTreeMap::new(),
            pause: DNS_RETRY_FIRST,
        }
    }

    /// Asks for each name. When to ask again.
    async fn look_up(&mut self) -> Duration {
        let sip = Arc::clone(&self.sip);
        let lists = sip.lists();
        let Some(list) = lists.get(usize::from(self.site.0)) else {
            return DNS_TTL_MAX;
        };
        let wish = Wish {
            transport: list.transport,
            possible: sip.listen.iter().map(|listen| listen.transport).collect(),
            seed: self.seed,
        };
        // Made anew each time: the servers of the operating system may be others by now.
        let dns = Network::new(&sip.resolvers, sip.advertise.is_ipv4());
        let mut next = DNS_TTL_MAX;
        for name in names(list.servers) {
            let answer = match &dns {
                Ok(dns) => locate(dns, name, &wish).await,
                Err(failure) => Err(failure.clone()),
            };
            next = next.min(self.learn(name, answer));
        }
        if self.problems.is_empty() {
            self.pause = DNS_RETRY_FIRST;
            return next.max(DNS_TTL_MIN);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(DNS_RETRY_MAX);
        pause.min(next).max(DNS_TTL_MIN)
    }

    fn learn(&mut self, name: &ServerName, answer: Result<Found, Failure>) -> Duration {
        let (found, problem) = match answer {
            Ok(found) => (Some((found.servers, found.valid_for)), found.incomplete),
            Err(failure) => (None, Some(failure)),
        };
        let valid_for = found
            .as_ref()
            .map_or(DNS_TTL_MAX, |(_, valid_for)| *valid_for);
        // A part of the answer is used where there was none, and else what was known is better.
        if let Some((servers, _)) = found
            && (problem.is_none() || !self.known.contains_key(name))
        {
            self.known.insert(name.clone(), servers);
        }
        match problem {
            None => {
                self.problems.remove(name);
            }
            Some(problem) => {
                if self.problems.get(name) != Some(&problem) {
                    let kept = self.known.get(name).map_or(0, Vec::len);
                    tracing::warn!(%name, why = %problem, kept, "name of a SIP Server not looked up, asked again soon");
                }
                self.problems.insert(name.clone(), problem);
            }
        }
        valid_for
    }

    fn resolved(&self) -> Resolved {
        let lists = self.sip.lists();
        let found = |name: &ServerName| self.known.get(name).map_or(&[][..], Vec::as_slice);
        let list = lists.get(usize::from(self.site.0));
        let known = self.known.iter();
        let names = known
            .flat_map(|(name, servers)| servers.iter().map(|(_, at)| (*at, name.host.clone())));
        let problems = self.problems.iter();
        Resolved {
            site: self.site,
            servers: list
                .map(|list| assemble::servers(list, found))
                .unwrap_or_default(),
            names: names.collect(),
            problems: problems
                .map(|(name, why)| format!("{name}: {why}"))
                .collect(),
        }
    }
}
