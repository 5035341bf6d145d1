//! The list of a site's SIP Servers changes while DNs are registered: a name means others than before.

use std::net::SocketAddr;
use std::time::Instant;

use sip::ua::{SiteHost, SiteId};

use super::{Home, Site, Sites, Step};
use crate::config::{FailoverPolicy, Server};
use crate::limits::SERVERS_A_SITE_MAX;

/// What a new list came to.
#[derive(Debug)]
pub(crate) struct Listed {
    /// What is to be done.
    pub(crate) steps: Vec<Step>,
    /// Servers that no site names any more.
    pub(crate) gone: Vec<Server>,
    /// Servers that were left out, since another site has them: the registrations of one DN would take each other's place there.
    pub(crate) elsewhere: Vec<SocketAddr>,
}

impl Sites {
    /// Every server of the site.
    pub(crate) fn servers_of(&self, site: SiteId) -> impl Iterator<Item = &Server> {
        let homes = self.site(site).map_or(&[][..], |site| &site.homes);
        homes.iter().map(|home| &home.server)
    }

    /// The same, and which of them answer as far as is known.
    pub(crate) fn hosts_of(&self, site: SiteId) -> Vec<SiteHost> {
        let homes = self.site(site).map_or(&[][..], |site| &site.homes);
        let host = |home: &Home| SiteHost {
            transport: home.server.transport,
            address: home.server.address,
            answers: home.is_usable(),
        };
        homes.iter().map(host).collect()
    }

    /// What of the site's names could not be looked up. Whether that is news.
    pub(crate) fn note_problem(&mut self, site: SiteId, problem: Option<String>) -> bool {
        self.site_mut(site)
            .is_some_and(|site| std::mem::replace(&mut site.problem, problem.clone()) != problem)
    }

    /// Why there is nobody to register at.
    pub(crate) fn nameless(&self, site: SiteId) -> Option<&str> {
        let site = self.site(site).filter(|site| site.homes.is_empty())?;
        site.problem.as_deref()
    }

    /// The site has these servers from now on. `None` when that is nothing new, or nothing at all.
    pub(crate) fn list(
        &mut self,
        now: Instant,
        site: SiteId,
        servers: &[Server],
    ) -> Option<Listed> {
        let others = self.ids().filter(|other| *other != site);
        let taken: Vec<SocketAddr> = others
            .flat_map(|other| self.servers_of(other))
            .map(|server| server.address)
            .collect();
        let mut wanted: Vec<Server> = Vec::new();
        let mut elsewhere = Vec::new();
        for server in servers.iter().take(SERVERS_A_SITE_MAX) {
            if taken.contains(&server.address) {
                elsewhere.push(server.address);
            } else if wanted.iter().all(|had| had.address != server.address) {
                wanted.push(server.clone());
            }
        }
        if wanted.is_empty() || self.servers_of(site).eq(&wanted) {
            return None;
        }
        let former: Vec<Server> = self.servers_of(site).cloned().collect();
        let gone = former.into_iter().filter(|had| !wanted.contains(had));
        let policy = self.policy;
        let mut listed = Listed {
            gone: gone.collect(),
            steps: Vec::new(),
            elsewhere,
        };
        self.site_mut(site)?
            .list(now, site, wanted, &policy, &mut listed.steps);
        Some(listed)
    }
}

impl Site {
    /// What is known of a server that stays is kept, and so are its registrations, wherever it stands now. The registrations of one
    /// that is gone move as if it had died.
    fn list(
        &mut self,
        now: Instant,
        id: SiteId,
        servers: Vec<Server>,
        policy: &FailoverPolicy,
        steps: &mut Vec<Step>,
    ) {
        let mut known = std::mem::take(&mut self.homes);
        let holder = known.get(self.current).map(|home| home.server.clone());
        let mut home = |server: Server| {
            let kept = known.iter().position(|home| home.server == server);
            kept.map_or_else(|| Home::new(server), |at| known.swap_remove(at))
        };
        self.homes = servers.into_iter().map(&mut home).collect();
        self.rotation = None;
        // Wherever the scout went: it counts places that are others now.
        if let Some(dn) = self.scout.take().and_then(|scout| scout.dn) {
            steps.push(Step::Return(id, dn));
        }
        let stays = self
            .homes
            .iter()
            .position(|home| Some(&home.server) == holder.as_ref());
        self.current = stays.unwrap_or_else(|| {
            steps.push(Step::Move(id));
            let usable = self.homes.iter().position(Home::is_usable);
            usable.unwrap_or_default()
        });
        // A preferred one that nobody has seen fail: one DN goes and looks when it is time for going back.
        for preferred in &mut self.homes[..self.current] {
            if !preferred.down {
                preferred.answering_since.get_or_insert(now);
            }
        }
        self.plan_probes(now, policy);
    }
}
