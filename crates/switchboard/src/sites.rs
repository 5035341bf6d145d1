//! Which SIP Server a DN registers at: the sites, their lists of servers in order of preference, and what is known of each server.
//!
//! A site is one or several SIP Servers of which one holds the registrations. What one DN learns of a server holds for all of them: ten
//! thousand DNs do not each wait for the same silence. Pure: it is told what happened and says what to do.

#[cfg(feature = "coverage")]
mod coverage;
mod list;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip::ua::{SiteId, Transport};

use crate::config::{Failback, FailoverPolicy, Server, SiteConfig};
use crate::limits::{SCOUT_HOLD_MAX, SCOUT_MAX};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask the server by OPTIONS whether it lives.
    Probe(Server),
    /// The site's DNs are registered at another server from now on.
    Move(SiteId),
    /// The site's server was away and is back: it may have lost its bindings.
    Refresh(SiteId),
    /// One DN tries the preferred server, which is back, before all of them go there.
    Scout(SiteId),
    /// The scout found no welcome and goes back.
    Return(SiteId, String),
    /// The server does not answer.
    Down(SiteId, Server),
    /// The server answers again.
    Up(SiteId, Server),
}

/// What the SIP side knows of a server at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// When it last answered a REGISTER or a probe.
    pub(crate) answered: Option<Instant>,
    /// Since when the oldest REGISTER waits for its answer.
    pub(crate) waiting_since: Option<Instant>,
}

/// Every site, in order of preference.
#[derive(Debug)]
pub(crate) struct Sites {
    sites: Vec<Site>,
    policy: FailoverPolicy,
}

#[derive(Debug)]
struct Site {
    name: Option<String>,
    homes: Vec<Home>,
    /// There are other sites.
    has_sisters: bool,
    /// What of its names could not be looked up, and why.
    problem: Option<String>,
    /// The server that holds the registrations.
    current: usize,
    /// While no server answers: when the next of them may be tried, and the pause after that.
    rotation: Option<(Instant, Duration)>,
    scout: Option<Scout>,
    /// Scouts sent so far, so that another DN is the next.
    scouts: usize,
}

/// One SIP Server of a site.
#[derive(Debug)]
struct Home {
    server: Server,
    down: bool,
    /// When it was found so last.
    lost_at: Option<Instant>,
    /// Since when it answers again, while it is `down` and waits to be trusted.
    answering_since: Option<Instant>,
    /// It has answered a probe once, so that silence to one means something.
    answers_probes: bool,
    /// It has missed a probe and never answered one: it is deaf to them, or away.
    doubted: bool,
    /// The probe that waits for its answer.
    asked: Option<Instant>,
    next_probe: Option<Instant>,
    /// After a scout without welcome: when the next may go, and the wait after that.
    hold: Option<(Instant, Duration)>,
}

#[derive(Debug)]
struct Scout {
    dn: Option<String>,
    home: usize,
    until: Instant,
}

impl Home {
    fn new(server: Server) -> Self {
        Self {
            server,
            down: false,
            lost_at: None,
            answering_since: None,
            answers_probes: false,
            doubted: false,
            asked: None,
            next_probe: None,
            hold: None,
        }
    }

    fn is_usable(&self) -> bool {
        !self.down || self.answering_since.is_some()
    }

    fn recovered(&mut self) {
        self.down = false;
        self.lost_at = None;
        self.answering_since = None;
    }
}

impl Sites {
    pub(crate) fn new(now: Instant, sites: &[SiteConfig], policy: FailoverPolicy) -> Self {
        let has_sisters = sites.len() > 1;
        let site = |site: &SiteConfig| Site {
            has_sisters,
            name: site.name.clone(),
            homes: site.servers.iter().cloned().map(Home::new).collect(),
            problem: None,
            current: 0,
            rotation: None,
            scout: None,
            scouts: 0,
        };
        let mut sites = Self {
            sites: sites.iter().map(site).collect(),
            policy,
        };
        for site in &mut sites.sites {
            site.plan_probes(now, &sites.policy);
        }
        sites
    }

    /// The sites in order of preference.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SiteId> + use<> {
        (0..u16::try_from(self.sites.len()).unwrap_or(u16::MAX)).map(SiteId)
    }

    pub(crate) fn name(&self, site: SiteId) -> Option<&str> {
        self.site(site)?.name.as_deref()
    }

    /// Where the DN registers at this site.
    pub(crate) fn server_for(&self, site: SiteId, dn: &str) -> Option<&Server> {
        let site = self.site(site)?;
        let scout = site
            .scout
            .as_ref()
            .filter(|scout| scout.dn.as_deref() == Some(dn));
        let index = scout.map_or(site.current, |scout| scout.home);
        site.homes.get(index).map(|home| &home.server)
    }

    /// The server of this address at this site.
    pub(crate) fn server_at(&self, site: SiteId, address: SocketAddr) -> Option<&Server> {
        let homes = &self.site(site)?.homes;
        let home = homes.iter().find(|home| home.server.address == address);
        home.map(|home| &home.server)
    }

    /// The site of a SIP Server; of an address that none has (SIP Server sends from another port over TCP) the first that has a server there.
    pub(crate) fn site_of(&self, address: SocketAddr) -> Option<SiteId> {
        let at = |fits: &dyn Fn(SocketAddr) -> bool| {
            self.ids().find(|id| {
                let homes = self.site(*id).map(|site| &site.homes);
                homes.is_some_and(|homes| homes.iter().any(|home| fits(home.server.address)))
            })
        };
        at(&|server| server == address).or_else(|| at(&|server| server.ip() == address.ip()))
    }

    /// Every server and whether it answers, as far as is known.
    pub(crate) fn states(&self) -> impl Iterator<Item = (&Server, bool)> {
        let homes = self.sites.iter().flat_map(|site| &site.homes);
        homes.map(|home| (&home.server, home.is_usable()))
    }

    /// The servers that do not answer, and when each was found so last.
    pub(crate) fn silent(&self) -> impl Iterator<Item = (&Server, Instant)> {
        let homes = self.sites.iter().flat_map(|site| &site.homes);
        let silent = homes.filter(|home| !home.is_usable());
        silent.filter_map(|home| Some((&home.server, home.lost_at?)))
    }

    /// Each site's name, and how many of its servers answer and do not.
    pub(crate) fn tally(&self) -> Vec<(Option<String>, usize, usize)> {
        let count = |site: &Site| {
            let up = site.homes.iter().filter(|home| home.is_usable()).count();
            (site.name.clone(), up, site.homes.len() - up)
        };
        self.sites.iter().map(count).collect()
    }

    /// When [`Self::due`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let sites = self.sites.iter();
        sites.filter_map(|site| site.deadline(&self.policy)).min()
    }

    /// A server of the site gave no answer, or its answer was that it cannot serve.
    pub(crate) fn lost(&mut self, now: Instant, site: SiteId, address: SocketAddr) -> Vec<Step> {
        let policy = self.policy;
        let mut steps = Vec::new();
        if let Some(of) = self.site_mut(site)
            && let Some(index) = of.find(address)
        {
            #[cfg(feature = "coverage")]
            of.cover(index, "a REGISTER is not answered");
            of.lose(now, site, index, &policy, &mut steps);
        }
        steps
    }

    /// Whether the site has another server that may be tried instead of this one.
    pub(crate) fn has_alternative(&self, site: SiteId, address: SocketAddr) -> bool {
        let homes = self.site(site).map_or(&[][..], |site| &site.homes);
        homes
            .iter()
            .any(|home| home.server.address != address && home.is_usable())
    }

    /// A server has answered, at whatever site it is listed.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        transport: Transport,
        address: SocketAddr,
        probe: bool,
    ) -> Vec<Step> {
        let policy = self.policy;
        let mut steps = Vec::new();
        for id in self.ids() {
            let Some(site) = self.site_mut(id) else {
                continue;
            };
            let found = site.find(address);
            let Some(index) = found.filter(|i| site.homes[*i].server.transport == transport) else {
                continue;
            };
            #[cfg(feature = "coverage")]
            site.cover_answer(index, probe);
            if probe {
                site.homes[index].answers_probes = true;
                site.homes[index].asked = None;
                // So it was away, and may have lost its bindings.
                let was_away = std::mem::take(&mut site.homes[index].doubted);
                if was_away && index == site.current && !site.homes[index].down {
                    steps.push(Step::Refresh(id));
                }
            }
            site.hear(now, id, index, &policy, &mut steps);
        }
        steps
    }

    /// The DN that goes first to a server that is back; `None` when there is nobody to send, so that the way is free at once.
    pub(crate) fn send_scout(&mut self, site: SiteId, dns: &[String]) -> Option<String> {
        let of = self.site_mut(site)?;
        let scout = of.scout.as_mut()?;
        let dn = dns.get(of.scouts % dns.len().max(1))?.clone();
        of.scouts = of.scouts.wrapping_add(1);
        scout.dn = Some(dn.clone());
        Some(dn)
    }

    /// Whether this answer is the scout's, and what follows from it.
    pub(crate) fn scout_answered(
        &mut self,
        now: Instant,
        site: SiteId,
        dn: Option<&str>,
        address: SocketAddr,
        welcome: bool,
    ) -> Option<Vec<Step>> {
        let policy = self.policy;
        let of = self.site_mut(site)?;
        let scout = of.scout.as_ref()?;
        let there = of.homes.get(scout.home)?.server.address;
        if scout.dn.as_deref() != dn || there != address {
            return None;
        }
        let mut steps = Vec::new();
        of.end_scout(now, site, welcome, &policy, &mut steps);
        Some(steps)
    }

    /// Where the scout of the site is, if one is under way.
    pub(crate) fn scouted(&self, site: SiteId) -> Option<SocketAddr> {
        let site = self.site(site)?;
        let home = site.homes.get(site.scout.as_ref()?.home)?;
        Some(home.server.address)
    }

    /// Does what is due. `evidence` tells what is known of a server.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        mut evidence: impl FnMut(&Server) -> Evidence,
    ) -> Vec<Step> {
        let policy = self.policy;
        let mut steps = Vec::new();
        for id in self.ids() {
            let Some(site) = self.site_mut(id) else {
                continue;
            };
            for index in 0..site.homes.len() {
                site.judge(now, id, index, &policy, &mut evidence, &mut steps);
                site.probe(now, index, &policy, &mut steps);
            }
            site.look_back(now, id, &policy, &mut steps);
        }
        steps
    }

    fn site(&self, site: SiteId) -> Option<&Site> {
        self.sites.get(usize::from(site.0))
    }

    fn site_mut(&mut self, site: SiteId) -> Option<&mut Site> {
        self.sites.get_mut(usize::from(site.0))
    }
}

impl Site {
    fn find(&self, address: SocketAddr) -> Option<usize> {
        self.homes
            .iter()
            .position(|home| home.server.address == address)
    }

    /// How often its servers are probed: as configured, else only where there is more than one, here or at other sites. One that restarts
    /// has lost its bindings and says so to nobody; where another site takes the calls meanwhile nobody would miss it either.
    fn interval(&self, policy: &FailoverPolicy) -> Option<Duration> {
        let others = self.homes.len() > 1 || self.has_sisters;
        let unset = others.then_some(FailoverPolicy::PROBE_INTERVAL);
        let interval = policy.probe_interval.or(unset);
        interval.filter(|interval| !interval.is_zero())
    }

    fn plan_probes(&mut self, now: Instant, policy: &FailoverPolicy) {
        let probes = self.interval(policy).is_some();
        for home in &mut self.homes {
            // The only one that is left of a list is not probed any more.
            home.next_probe = probes.then(|| home.next_probe.unwrap_or(now));
        }
    }

    fn deadline(&self, policy: &FailoverPolicy) -> Option<Instant> {
        let probes = self.homes.iter().filter_map(|home| {
            let verdict = home.asked.map(|at| at + policy.answer_within);
            verdict.or(home.next_probe)
        });
        let back = self.homes.iter().take(self.current);
        let back = back.filter_map(|home| self.back_at(home, policy));
        let scout = self.scout.as_ref().map(|scout| scout.until);
        probes.chain(back).chain(scout).min()
    }

    /// When the registrations may go back to a preferred server.
    fn back_at(&self, home: &Home, policy: &FailoverPolicy) -> Option<Instant> {
        if self.scout.is_some() || policy.failback == Failback::Stay {
            return None;
        }
        let trusted = home.answering_since? + policy.failback_after;
        Some(home.hold.map_or(trusted, |(until, _)| trusted.max(until)))
    }

    /// Whether a probe has waited too long. Silence counts for nothing while a server answers REGISTERs, and neither does the silence of
    /// a server that never answered a probe, unless a REGISTER waits as long.
    fn judge(
        &mut self,
        now: Instant,
        id: SiteId,
        index: usize,
        policy: &FailoverPolicy,
        evidence: &mut impl FnMut(&Server) -> Evidence,
        steps: &mut Vec<Step>,
    ) {
        let home = &mut self.homes[index];
        let Some(asked) = home.asked.filter(|at| *at + policy.answer_within <= now) else {
            return;
        };
        home.asked = None;
        let known = evidence(&home.server);
        #[cfg(feature = "coverage")]
        self.cover(index, "a probe is not answered");
        let home = &self.homes[index];
        if known.answered.is_some_and(|at| at >= asked) {
            return self.hear(now, id, index, policy, steps);
        }
        let waited = known
            .waiting_since
            .is_some_and(|since| since + policy.answer_within <= now);
        if home.answers_probes || waited || home.down {
            self.lose(now, id, index, policy, steps);
        } else {
            self.homes[index].doubted = true;
        }
    }

    fn probe(
        &mut self,
        now: Instant,
        index: usize,
        policy: &FailoverPolicy,
        steps: &mut Vec<Step>,
    ) {
        let Some(interval) = self.interval(policy) else {
            return;
        };
        let home = &mut self.homes[index];
        // The next one waits for the answer to this one, or the verdict.
        if home.asked.is_some() || home.next_probe.is_none_or(|at| at > now) {
            return;
        }
        home.next_probe = Some(now + interval);
        home.asked = Some(now);
        steps.push(Step::Probe(home.server.clone()));
    }

    /// A preferred server has answered long enough: one DN goes and looks. And a scout that nobody answers comes home.
    fn look_back(
        &mut self,
        now: Instant,
        id: SiteId,
        policy: &FailoverPolicy,
        steps: &mut Vec<Step>,
    ) {
        if self.scout.as_ref().is_some_and(|scout| scout.until <= now) {
            self.end_scout(now, id, false, policy, steps);
        }
        let preferred = self.homes.iter().take(self.current);
        let ready =
            |home: &Home| -> bool { self.back_at(home, policy).is_some_and(|at| at <= now) };
        let Some(home) = preferred.map(ready).position(|ready| ready) else {
            return;
        };
        #[cfg(feature = "coverage")]
        self.cover(home, "it has answered long enough");
        self.scout = Some(Scout {
            dn: None,
            home,
            until: now + SCOUT_MAX,
        });
        steps.push(Step::Scout(id));
    }

    fn end_scout(
        &mut self,
        now: Instant,
        id: SiteId,
        welcome: bool,
        policy: &FailoverPolicy,
        steps: &mut Vec<Step>,
    ) {
        let Some(scout) = self.scout.take() else {
            return;
        };
        #[cfg(feature = "coverage")]
        self.cover_scout(scout.home, welcome);
        let home = &mut self.homes[scout.home];
        if welcome {
            home.recovered();
            home.hold = None;
            self.current = scout.home;
            self.rotation = None;
            steps.push(Step::Move(id));
            return;
        }
        let wait = home
            .hold
            .map_or(policy.failback_after, |(_, wait)| wait * 2);
        let wait = wait.min(SCOUT_HOLD_MAX);
        home.hold = Some((now + wait, wait));
        if let Some(dn) = scout.dn {
            steps.push(Step::Return(id, dn));
        }
    }

    fn hear(
        &mut self,
        now: Instant,
        id: SiteId,
        index: usize,
        policy: &FailoverPolicy,
        steps: &mut Vec<Step>,
    ) {
        let current_is_down = !self.homes[self.current].is_usable();
        let home = &mut self.homes[index];
        if !home.down {
            return;
        }
        if home.answering_since.is_none() {
            steps.push(Step::Up(id, home.server.clone()));
        }
        home.answering_since.get_or_insert(now);
        if index == self.current {
            home.recovered();
            self.rotation = None;
            steps.push(Step::Refresh(id));
        } else if current_is_down {
            home.recovered();
            self.rotation = None;
            self.current = index;
            steps.push(Step::Move(id));
        } else if index > self.current || policy.failback == Failback::Stay {
            home.recovered();
        }
    }

    fn lose(
        &mut self,
        now: Instant,
        id: SiteId,
        index: usize,
        policy: &FailoverPolicy,
        steps: &mut Vec<Step>,
    ) {
        let home = &mut self.homes[index];
        if home.is_usable() {
            steps.push(Step::Down(id, home.server.clone()));
        }
        home.down = true;
        home.lost_at = Some(now);
        home.answering_since = None;
        if self.scout.as_ref().is_some_and(|scout| scout.home == index) {
            self.end_scout(now, id, false, policy, steps);
        }
        if index != self.current {
            return;
        }
        if let Some(next) = self.homes.iter().position(Home::is_usable) {
            self.homes[next].recovered();
            self.current = next;
            self.rotation = None;
            return steps.push(Step::Move(id));
        }
        self.rotate(now, id, policy, steps);
    }

    /// No server answers: each is tried in its turn, with a pause that grows, as they may be of the kind that answers no probes.
    fn rotate(&mut self, now: Instant, id: SiteId, policy: &FailoverPolicy, steps: &mut Vec<Step>) {
        if self.homes.len() < 2 {
            return;
        }
        let (at, pause) = self.rotation.unwrap_or((now + policy.pause, policy.pause));
        if now < at || self.rotation.is_none() {
            self.rotation = Some((at, pause));
            return;
        }
        let pause = (pause * 2).min(policy.pause_max);
        self.rotation = Some((now + pause, pause));
        self.current = (self.current + 1) % self.homes.len();
        steps.push(Step::Move(id));
    }
}
