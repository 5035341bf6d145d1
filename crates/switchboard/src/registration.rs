//! Registrations of the DNs at the sites: who is registered where, what an answer or a silence leads to, and the moves from one SIP
//! Server to another. Which server a site uses is decided in [`crate::sites`].

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use control::{GatewayMessage, RegistrationState as Shown, RegistrationView, SiteRegistration};
use secrecy::ExposeSecret;
use sip::digest::Credentials;
use sip::limits::WAKE_PAUSE_MIN;
use sip::registration_words::nameless;
use sip::ua::{RegisterDn, RegistrationFault, RegistrationState, RegistrationStatus, SiteId};

use crate::Switchboard;
use crate::agent::Agent;
use crate::config::{AgentConfig, RegisterPolicy, Server};
use crate::io::Fact;
use crate::limits::{RELOCATED_A_TURN_MAX, RELOCATION_PAUSE};
use crate::sites::{Evidence, Step};

/// DNs of a site that are on their way to a server, a slice at a time: ten thousand of them in one turn would let everybody's calls
/// wait.
#[derive(Debug)]
pub(crate) struct Relocation {
    dns: VecDeque<String>,
    /// They stay at their server, and bindings older than this are made again.
    refresh: Option<Instant>,
    next: Instant,
}

impl Switchboard {
    /// Registers the DN at every site and keeps it registered. What goes on unchanged is left alone.
    pub(crate) fn register(&mut self, now: Instant, dn: &str) {
        for site in self.sites.ids() {
            self.register_at(now, site, dn);
        }
    }

    fn register_at(&mut self, now: Instant, site: SiteId, dn: &str) {
        let Some(agent) = self.agents.get(dn) else {
            return;
        };
        let credentials = credentials(&agent.config);
        let Some(server) = self.sites.server_for(site, dn).cloned() else {
            return self.note_nameless(site, dn);
        };
        let order = RegisterDn {
            dn: dn.to_owned(),
            site,
            server: server.address,
            transport: server.transport,
            domain: server.domain,
            credentials,
        };
        self.ua.register(now, order);
    }

    /// The DN cannot be registered at this site until its SIP Servers are known.
    fn note_nameless(&mut self, site: SiteId, dn: &str) {
        let Some(why) = self.sites.nameless(site) else {
            return;
        };
        let reason = nameless(dn, why);
        self.fact(Fact::NoSipServer {
            dn: dn.to_owned(),
            site: self.sites.name(site).map(str::to_owned),
            reason,
        });
    }

    pub(crate) fn on_registration(
        &mut self,
        now: Instant,
        dn: &str,
        site: SiteId,
        status: RegistrationStatus,
    ) {
        let view = self.view_with(dn, Some((site, &status)));
        self.tell_agent(dn, GatewayMessage::Registration(view));
        let (state, server, fault) = (status.state, status.server, status.fault);
        let answered = status.sip_status.is_some();
        self.fact(Fact::Registration {
            dn: dn.to_owned(),
            site: self.sites.name(site).map(str::to_owned),
            status,
        });
        let welcome = match state {
            RegistrationState::Registered => true,
            RegistrationState::Failed => false,
            RegistrationState::Registering | RegistrationState::Unregistered => return,
        };
        let scout = self
            .sites
            .scout_answered(now, site, Some(dn), server, welcome);
        self.take_steps(now, scout.unwrap_or_default());
        let Some(known) = self.sites.server_at(site, server).cloned() else {
            return;
        };
        let steps = match fault {
            Some(RegistrationFault::Silent) if self.has_answered_lately(now, &known) => Vec::new(),
            Some(RegistrationFault::Silent | RegistrationFault::Unreachable) => {
                self.sites.lost(now, site, server)
            }
            // It is there and serves nobody: another one may.
            Some(RegistrationFault::Unavailable | RegistrationFault::SilentBehind)
                if self.sites.has_alternative(site, server) =>
            {
                self.sites.lost(now, site, server)
            }
            _ if answered => self.sites.answered(now, known.transport, server, false),
            _ => Vec::new(),
        };
        self.take_steps(now, steps);
    }

    /// Whether the server answered anybody while one REGISTER waited in vain: then a message was lost, and not the server.
    fn has_answered_lately(&self, now: Instant, server: &Server) -> bool {
        let waited = self.config.sip.timers.t1 * 64;
        let last = self.ua.last_answer(server.transport, server.address);
        last.is_some_and(|at| at + waited > now)
    }

    /// The site has these SIP Servers from now on. Calls go on wherever they are: a former server is heard until its last one is over.
    pub(crate) fn use_servers(
        &mut self,
        now: Instant,
        site: SiteId,
        servers: &[Server],
        problem: Option<String>,
    ) {
        let other_problem = self.sites.note_problem(site, problem);
        let Some(listed) = self.sites.list(now, site, servers) else {
            if other_problem && self.sites.nameless(site).is_some() && !self.shutting_down {
                self.relocate(now, site, None);
            }
            return;
        };
        for server in &listed.gone {
            self.ua.forget_server(server.transport, server.address);
        }
        let hosts: Vec<IpAddr> = self
            .sites
            .states()
            .map(|(server, _)| server.address.ip())
            .collect();
        self.ua.set_allowed(now, &hosts);
        self.tell_hosts();
        self.fact(Fact::SipServers {
            site: self.sites.name(site).map(str::to_owned),
            servers: self
                .sites
                .servers_of(site)
                .map(|server| server.address)
                .collect(),
            elsewhere: listed.elsewhere,
        });
        if !self.shutting_down {
            self.take_steps(now, listed.steps);
        }
    }

    pub(crate) fn on_probed(
        &mut self,
        now: Instant,
        transport: sip::ua::Transport,
        server: std::net::SocketAddr,
    ) {
        let steps = self.sites.answered(now, transport, server, true);
        self.take_steps(now, steps);
    }

    /// A REGISTER that is granted and changes nothing makes no event; but a server that was given up and grants one is back, also where nobody probes it.
    pub(crate) fn hear_welcomes(&mut self, now: Instant) {
        let ua = &self.ua;
        let back = self.sites.silent().filter(|(server, lost_at)| {
            let welcome = ua.last_welcome(server.transport, server.address);
            welcome.is_some_and(|at| at > *lost_at)
        });
        let back: Vec<Server> = back.map(|(server, _)| server.clone()).collect();
        for server in back {
            let steps = self
                .sites
                .answered(now, server.transport, server.address, false);
            self.take_steps(now, steps);
        }
    }

    /// When [`Self::sites_due`] wants to be called.
    pub(crate) fn sites_deadline(&self) -> Option<Instant> {
        if self.shutting_down {
            return None;
        }
        let moves = self.relocations.values().map(|moving| moving.next).min();
        let next = [moves, self.sites.deadline()].into_iter().flatten().min();
        next.map(|at| at.max(self.sites_rest))
    }

    pub(crate) fn sites_due(&mut self, now: Instant) {
        if self.sites_deadline().is_none_or(|at| at > now) {
            return;
        }
        let ua = &self.ua;
        let steps = self.sites.due(now, |server| Evidence {
            answered: ua.last_answer(server.transport, server.address),
            waiting_since: ua.waiting_since(server.transport, server.address),
        });
        self.take_steps(now, steps);
        let due: Vec<SiteId> = self
            .relocations
            .iter()
            .filter(|(_, moving)| moving.next <= now)
            .map(|(site, _)| *site)
            .collect();
        for site in due {
            self.move_some(now, site);
        }
        // What was due is done; should it not be, the calls have their turn all the same.
        debug_assert!(
            self.sites_deadline().is_none_or(|at| at > now),
            "due for ever"
        );
        self.sites_rest = now + WAKE_PAUSE_MIN;
    }

    fn take_steps(&mut self, now: Instant, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Probe(server) => {
                    let Server {
                        transport,
                        address,
                        domain,
                    } = &server;
                    self.ua.probe(now, *transport, *address, domain);
                }
                Step::Move(site) => self.relocate(now, site, None),
                Step::Refresh(site) => self.relocate(now, site, Some(now)),
                Step::Scout(site) => self.send_scout(now, site),
                Step::Return(site, dn) => {
                    if self.agents.get(&dn).is_some_and(|agent| self.wants(agent)) {
                        self.register_at(now, site, &dn);
                    }
                }
                Step::Down(site, server) => self.tell_server(site, &server, false),
                Step::Up(site, server) => self.tell_server(site, &server, true),
            }
        }
    }

    /// The user agent finds the next host of a proxy by what is known of them here.
    pub(crate) fn tell_hosts(&mut self) {
        let sites = self.sites.ids().map(|site| self.sites.hosts_of(site));
        self.ua.set_sites(sites.collect());
    }

    fn tell_server(&mut self, site: SiteId, server: &Server, up: bool) {
        self.tell_hosts();
        self.fact(Fact::SipServer {
            site: self.sites.name(site).map(str::to_owned),
            server: server.address,
            up,
        });
    }

    /// All DNs of the site go where it is registered now, those whose agent is there first.
    fn relocate(&mut self, now: Instant, site: SiteId, refresh: Option<Instant>) {
        let here = self.wanted(|agent| agent.session.is_some());
        let others = self.wanted(|agent| agent.session.is_none());
        let moving = Relocation {
            dns: here.into_iter().chain(others).collect(),
            refresh,
            next: now,
        };
        self.relocations.insert(site, moving);
    }

    fn move_some(&mut self, now: Instant, site: SiteId) {
        let Some(moving) = self.relocations.get_mut(&site) else {
            return;
        };
        let refresh = moving.refresh;
        moving.next = now + RELOCATION_PAUSE;
        let some = RELOCATED_A_TURN_MAX.min(moving.dns.len());
        let some: Vec<String> = moving.dns.drain(..some).collect();
        if moving.dns.is_empty() {
            self.relocations.remove(&site);
        }
        for dn in some {
            if !self.agents.get(&dn).is_some_and(|agent| self.wants(agent)) {
                continue;
            }
            // Also where it is only to be refreshed: it may still be on its way there, and a refresh goes where it went last.
            self.register_at(now, site, &dn);
            if let Some(since) = refresh {
                self.ua.refresh(now, &dn, site, since);
            }
            if self.sites.nameless(site).is_some() {
                let view = self.registration_view(&dn);
                self.tell_agent(&dn, GatewayMessage::Registration(view));
            }
        }
    }

    fn send_scout(&mut self, now: Instant, site: SiteId) {
        let dns = self.wanted(|_| true);
        if let Some(dn) = self.sites.send_scout(site, &dns) {
            return self.register_at(now, site, &dn);
        }
        // Nobody is registered: nobody has to go first.
        if let Some(server) = self.sites.scouted(site) {
            let steps = self.sites.scout_answered(now, site, None, server, true);
            self.take_steps(now, steps.unwrap_or_default());
        }
    }

    /// The DN is to be registered.
    fn wants(&self, agent: &Agent) -> bool {
        let always = agent.config.register == RegisterPolicy::Always;
        !self.shutting_down && (always || agent.session.is_some())
    }

    /// How many are to be registered, and are not.
    pub(crate) fn missing(&self) -> usize {
        let agents = self.agents.iter();
        let missing = agents.filter(|(dn, agent)| self.wants(agent) && !self.ua.is_registered(dn));
        missing.count()
    }

    fn wanted(&self, also: impl Fn(&Agent) -> bool) -> Vec<String> {
        let agents = self.agents.values();
        let wanted = agents.filter(|agent| self.wants(agent) && also(agent));
        wanted.map(|agent| agent.config.dn.clone()).collect()
    }

    /// The SIP Servers that take the DN's own calls, the best first: those it is registered at, in the order of the sites.
    pub(crate) fn outgoing_servers(&self, dn: &str) -> Vec<Server> {
        let registered = self.sites.ids().filter_map(|site| {
            let status = self.ua.registration(dn, site)?;
            let holds = status.state == RegistrationState::Registered;
            self.sites.server_at(site, status.server).filter(|_| holds)
        });
        let mut servers: Vec<Server> = registered.cloned().collect();
        if servers.is_empty() {
            servers.extend(self.sites.server_for(SiteId::default(), dn).cloned());
        }
        servers
    }

    /// When the SIP Server at `address` last answered a REGISTER or a probe.
    #[must_use]
    pub fn last_answer(&self, address: SocketAddr) -> Option<Instant> {
        let servers = self.sites.states().map(|(server, _)| server);
        let there = servers.filter(|server| server.address == address);
        there
            .filter_map(|server| self.ua.last_answer(server.transport, server.address))
            .max()
    }

    /// The SIP Server of `site` that a call of the DN goes to, where the DN is registered there; else the preferred one.
    pub(crate) fn outgoing_server(&self, dn: &str, site: Option<SiteId>) -> Option<Server> {
        let servers = self.outgoing_servers(dn);
        let there = |server: &&Server| self.sites.site_of(server.address) == site;
        let own = servers.iter().find(there).filter(|_| site.is_some());
        own.or(servers.first()).cloned()
    }

    /// Every SIP Server, and whether it answers as far as is known.
    pub fn sip_servers(&self) -> impl Iterator<Item = (&Server, bool)> {
        self.sites.states()
    }

    pub(crate) fn registration_view(&self, dn: &str) -> RegistrationView {
        self.view_with(dn, None)
    }

    /// How the DN stands at each site, and over all: registered where one site holds it. `latest` goes before what is kept: the last
    /// word on a registration comes when it is forgotten.
    fn view_with(
        &self,
        dn: &str,
        latest: Option<(SiteId, &RegistrationStatus)>,
    ) -> RegistrationView {
        let status = |site| match latest {
            Some((of, status)) if of == site => Some(status.clone()),
            _ => self.ua.registration(dn, site),
        };
        let statuses: Vec<(SiteId, Option<RegistrationStatus>)> =
            self.sites.ids().map(|site| (site, status(site))).collect();
        let rank = |status: &RegistrationStatus| match status.state {
            RegistrationState::Registered => 0,
            RegistrationState::Registering => 1,
            RegistrationState::Failed => 2,
            RegistrationState::Unregistered => 3,
        };
        let kept = statuses.iter().filter_map(|(_, status)| status.as_ref());
        let mut view = view(kept.min_by_key(|status| rank(status)));
        if view.state == Shown::Unregistered
            && let Some(reason) = self.sites.ids().find_map(|site| self.no_server(site, dn))
        {
            view = unknown_server(reason);
        }
        if statuses.len() > 1 {
            let sites = statuses.iter().enumerate();
            view.sites = sites
                .map(|(index, (site, status))| self.site_view(index, *site, status.as_ref(), dn))
                .collect();
        }
        view
    }

    /// Why the DN has nowhere to go at this site, while it is to be registered.
    fn no_server(&self, site: SiteId, dn: &str) -> Option<String> {
        let why = self.sites.nameless(site)?;
        let wanted = self.agents.get(dn).is_some_and(|agent| self.wants(agent));
        wanted.then(|| nameless(dn, why))
    }

    fn site_view(
        &self,
        index: usize,
        site: SiteId,
        status: Option<&RegistrationStatus>,
        dn: &str,
    ) -> SiteRegistration {
        let nameless = self.no_server(site, dn).filter(|_| status.is_none());
        let view = nameless.map_or_else(|| view(status), unknown_server);
        let name = self.sites.name(site).map(str::to_owned);
        let RegistrationView {
            state,
            sip_status,
            reason,
            server,
            expires_s,
            ..
        } = view;
        SiteRegistration {
            site: name.unwrap_or_else(|| format!("site {}", index + 1)),
            state,
            sip_status,
            reason,
            server,
            expires_s,
        }
    }
}

/// What answers a digest challenge for this DN; `None` where no password is configured.
pub(crate) fn credentials(agent: &AgentConfig) -> Option<Credentials> {
    let password = agent.password.as_ref()?;
    Some(Credentials::new(&agent.dn, password.expose_secret()))
}

/// A registration that waits for somebody to register at.
fn unknown_server(reason: String) -> RegistrationView {
    RegistrationView {
        state: Shown::Failed,
        reason: Some(reason),
        ..view(None)
    }
}

fn view(status: Option<&RegistrationStatus>) -> RegistrationView {
    RegistrationView {
        state: match status.map(|status| status.state) {
            Some(RegistrationState::Registering) => Shown::Registering,
            Some(RegistrationState::Registered) => Shown::Registered,
            Some(RegistrationState::Failed) => Shown::Failed,
            Some(RegistrationState::Unregistered) | None => Shown::Unregistered,
        },
        sip_status: status.and_then(|status| status.sip_status.map(sip::StatusCode::as_u16)),
        reason: status
            .map(|status| status.reason.clone())
            .filter(|reason| !reason.is_empty()),
        server: status.map(|status| status.server.to_string()),
        expires_s: status.and_then(|status| status.expires_s),
        sites: Vec::new(),
    }
}
