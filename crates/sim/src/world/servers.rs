//! The hosts on talkbridge's list, and the wire between each of them and talkbridge: SIP Servers, or the instances of a proxy in front of one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::capture::Captured;
use super::network::{Network, Place};
use super::queue::Event;
use super::{PATIENCE, Step, World, site};
use crate::tserver::{self, CallUuid, Control, RegisterMode, TServer};

/// A host, by its place in the list: the preferred one is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServerId(pub(super) usize);

/// One host: a SIP Server, or an instance of a proxy.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) id: ServerId,
    pub(super) address: SocketAddr,
    pub(super) wire: Network,
    pub(super) health: Health,
}

/// Who is asked by OPTIONS every 10 s and has 4 s for the answer is known to be away after this, and to be back.
pub(super) const NOTICED: Duration = Duration::from_secs(20);

/// What has happened to a SIP Server so far, as far as talkbridge is owed less for it.
#[derive(Debug)]
pub(super) struct Health {
    /// Nothing passes between it and talkbridge.
    pub(super) away: bool,
    /// It is dead, and hears nothing either.
    pub(super) dead: bool,
    /// It stands still: what is sent to it waits for it.
    pub(super) hangs_until: Option<Instant>,
    /// How it answers REGISTER.
    pub(super) registrar: RegisterMode,
    /// It refuses calls of endpoints.
    pub(super) refuses_calls: bool,
    /// It answers no OPTIONS: nobody can know that it is away.
    pub(super) deaf: bool,
    /// Its backup took over then and knows no transaction: a repetition is a request of its own to it.
    pub(super) switched_over: Option<Instant>,
    /// It has forgotten bindings, and nobody could notice.
    pub(super) forgot: bool,
    /// For how long it gave those who registered a reason to wait before they try again.
    pub(super) trouble: Duration,
    /// It has not been out of order for a moment.
    pub(super) unbroken: bool,
    /// When any of this last changed, and whoever could not know of it had a chance to.
    pub(super) since: Instant,
}

impl Health {
    const fn new(now: Instant) -> Self {
        Self {
            away: false,
            dead: false,
            hangs_until: None,
            registrar: RegisterMode::Normal,
            refuses_calls: false,
            deaf: false,
            switched_over: None,
            forgot: false,
            trouble: Duration::ZERO,
            unbroken: true,
            since: now,
        }
    }

    /// Whoever registers there is registered.
    pub(super) fn serves(&self) -> bool {
        !self.is_silent() && self.registrar == RegisterMode::Normal
    }

    /// Nobody hears anything of it.
    pub(super) const fn is_silent(&self) -> bool {
        self.away || self.hangs_until.is_some()
    }

    /// Its SIP Server is told this.
    fn note(&mut self, now: Instant, control: &Control) {
        match control {
            Control::RegisterMode(mode) => {
                self.broke(now);
                self.registrar = *mode;
            }
            Control::RefuseCalls(status) => {
                self.unbroken = false;
                self.refuses_calls = status.is_some();
            }
            Control::Restart => {
                self.broke(now);
                self.forgot = true;
            }
            Control::Switchover => {
                self.broke(now);
                self.switched_over = Some(now);
            }
            _ => {}
        }
    }

    fn broke(&mut self, now: Instant) {
        self.unbroken = false;
        if !self.serves() {
            self.trouble += now.saturating_duration_since(self.since);
        }
        self.since = now;
    }
}

impl Server {
    pub(super) const fn new(
        now: Instant,
        id: ServerId,
        address: SocketAddr,
        wire: Network,
    ) -> Self {
        Self {
            id,
            address,
            wire,
            health: Health::new(now),
        }
    }

    /// It and its wire never were but perfect.
    pub(super) fn is_spotless(&self) -> bool {
        self.health.unbroken && self.wire.injected() == 0
    }
}

impl World {
    pub(super) fn server(&self, id: ServerId) -> &Server {
        &self.servers[id.0]
    }

    fn server_mut(&mut self, id: ServerId) -> &mut Server {
        &mut self.servers[id.0]
    }

    pub(super) fn server_ids(&self) -> impl Iterator<Item = ServerId> + use<> {
        (0..self.servers.len()).map(ServerId)
    }

    pub(super) fn server_at(&self, address: SocketAddr) -> Option<ServerId> {
        // Over TCP it speaks from other ports than it listens at.
        let mut servers = self.servers.iter();
        let found = servers.find(|server| server.address.ip() == address.ip());
        found.map(|server| server.id)
    }

    /// The SIP Server that a host is, or that stands behind it.
    pub(super) fn machine(&self, id: ServerId) -> &TServer {
        &self.machines[self.behind(id).0]
    }

    /// The first host of each SIP Server.
    pub(super) fn machine_ids(&self) -> impl Iterator<Item = ServerId> + use<> {
        (0..self.machines.len()).map(ServerId)
    }

    /// The first host of the SIP Server of a host.
    fn behind(&self, id: ServerId) -> ServerId {
        match self.proxy {
            Some(_) => ServerId(0),
            None => id,
        }
    }

    /// The hosts of the SIP Server of a host.
    fn hosts_of(&self, id: ServerId) -> Vec<ServerId> {
        match self.proxy {
            Some(_) => self.server_ids().collect(),
            None => vec![id],
        }
    }

    /// The Call-ID that holds the binding of a DN.
    pub(super) fn holder(&self, id: ServerId, dn: &str) -> Option<String> {
        let bindings = self.machine(id).registrations();
        let binding = bindings.into_iter().find(|binding| binding.dn == dn);
        binding.map(|binding| binding.call_id)
    }

    /// When a SIP Server wants to be called again and can be.
    pub(super) fn machine_timeout(&self, id: ServerId) -> Option<Instant> {
        let wanted = self.machine(id).poll_timeout()?;
        let hangs = self.server(id).health.hangs_until;
        Some(
            hangs
                .filter(|_| self.proxy.is_none())
                .map_or(wanted, |at| wanted.max(at)),
        )
    }

    /// Nothing can be asked of the SIP Server of a host: it is dead, or stands still. What becomes of the instances of its proxy is no matter.
    pub(super) fn is_asleep(&self, id: ServerId) -> bool {
        let health = &self.server(id).health;
        self.proxy.is_none() && (health.dead || health.hangs_until.is_some())
    }

    /// The SIP Server of a host, its wires, and whatever stands between, never were but perfect.
    pub(super) fn is_spotless(&self, id: ServerId) -> bool {
        let hosts = self.hosts_of(id);
        hosts.iter().all(|host| self.server(*host).is_spotless())
    }

    /// The SIP Server of a call.
    pub(super) fn server_of(&self, call: &CallUuid) -> Option<ServerId> {
        let mut machines = self.machine_ids();
        machines.find(|id| self.machine(*id).call(call).is_some())
    }

    /// All calls that any SIP Server knows, with the server.
    pub(super) fn server_calls(&self) -> Vec<(ServerId, tserver::CallView)> {
        let calls = |id: ServerId| {
            let calls = self.machine(id).calls().into_iter();
            calls.map(move |call| (id, call))
        };
        self.machine_ids().flat_map(calls).collect()
    }

    /// Datagrams that any wire lost, repeated or reordered.
    pub(super) fn injected(&self) -> usize {
        self.servers
            .iter()
            .map(|server| server.wire.injected())
            .sum()
    }

    pub(super) fn control(&mut self, id: ServerId, control: Control) -> Step {
        self.note(|| format!("SIP Server {}: {control:?}", id.0));
        let now = self.now;
        for host in self.hosts_of(id) {
            self.server_mut(host).health.note(now, &control);
        }
        let restarts = control == Control::Restart;
        if restarts || control == Control::Switchover {
            self.streams_break(id);
        }
        self.server_handles(id, tserver::Input::Control(control))?;
        if restarts {
            self.desktops_return(id)?;
        }
        Ok(())
    }

    /// Nothing passes any more between this SIP Server and talkbridge, and one that is dead forgets everything.
    pub(super) fn goes_away(&mut self, id: ServerId, dead: bool) -> Step {
        self.note(|| format!("SIP Server {} goes away, dead: {dead}", id.0));
        // An instance of a proxy knows nothing that could be forgotten.
        if dead && self.proxy.is_none() {
            self.control(id, Control::Restart)?;
        }
        let now = self.now;
        let server = self.server_mut(id);
        server.wire.cut(true);
        server.health.broke(now);
        (server.health.away, server.health.dead) = (true, dead);
        if dead {
            self.desktops_leave(id)?;
        }
        Ok(())
    }

    /// Nothing reaches one end of a wire until then.
    pub(super) fn one_way(&mut self, id: ServerId, at: Place, until: Instant) {
        let now = self.now;
        self.note(|| format!("nothing reaches {at:?} by the wire of SIP Server {}", id.0));
        let server = self.server_mut(id);
        server.wire.stop(at, until);
        server.health.broke(now);
    }

    /// A SIP Server stands still, as one does whose disk or whose database does: the datagrams in its queue wait for it.
    pub(super) fn hangs(&mut self, id: ServerId, until: Instant) {
        let now = self.now;
        self.note(|| format!("SIP Server {} stands still for {:?}", id.0, until - now));
        let health = &mut self.server_mut(id).health;
        health.broke(now);
        health.hangs_until = Some(until);
        self.oracle.standstills.begins(now, None);
        self.queue.at(until, Event::GoesOn { server: id });
    }

    /// A SIP Server that stood still goes on with what is in its queue.
    pub(super) fn goes_on(&mut self, id: ServerId) {
        self.note(|| format!("SIP Server {} goes on", id.0));
        let now = self.now;
        let health = &mut self.server_mut(id).health;
        health.broke(now);
        health.hangs_until = None;
    }

    /// A SIP Server that was away is there again, and takes calls.
    pub(super) fn comes_back(&mut self, id: ServerId) -> Step {
        let now = self.now;
        // Behind a proxy that goes and comes back nobody can tell what its SIP Server has forgotten.
        let (probed, awake) = (
            self.site.probes() && self.proxy.is_none(),
            self.stalled_until,
        );
        let server = self.server_mut(id);
        if !server.health.away {
            return Ok(());
        }
        server.wire.cut(false);
        let health = &mut server.health;
        let noticed = probed && !health.deaf && now >= health.since.max(awake) + NOTICED;
        health.forgot &= !noticed;
        health.broke(now);
        (health.away, health.dead) = (false, false);
        self.note(|| format!("SIP Server {} is back", id.0));
        self.control(id, Control::RefuseCalls(None))
    }

    /// Until when an event waits for a SIP Server that stands still.
    pub(super) fn waits_for_server(&self, event: &Event) -> Option<Instant> {
        let host = match event {
            Event::Arrive {
                server,
                at: Place::Server,
                ..
            } => *server,
            Event::Octets {
                stream,
                at: Place::Server,
                ..
            }
            | Event::StreamLost {
                stream,
                at: Place::Server,
            }
            | Event::StreamRefused {
                stream,
                by: Place::Server,
            } => self.host_of(*stream)?,
            _ => return None,
        };
        let health = &self.server(host).health;
        health.hangs_until.filter(|_| !health.dead)
    }

    pub(super) fn server_hears(
        &mut self,
        id: ServerId,
        source: tserver::Source,
        bytes: Vec<u8>,
    ) -> Step {
        if self.server(id).health.dead {
            return Ok(());
        }
        let given_back = self.oracle.gives_back(&bytes);
        let before = given_back.as_ref().and_then(|(dn, _)| self.holder(id, dn));
        let (source, bytes) = match &self.proxy {
            Some(_) => match self.passed_on(id, Place::Server, &bytes) {
                Some(bytes) => (tserver::Source::udp(self.server(id).address), bytes),
                None => return Ok(()),
            },
            None => (source, bytes),
        };
        self.server_handles(id, tserver::Input::Received { source, bytes })?;
        let (Some((dn, call_id)), Some(before)) = (given_back, before) else {
            return Ok(());
        };
        let switched_over = self.server(id).health.switched_over;
        let repeated = switched_over.is_some_and(|at| self.now < at + PATIENCE);
        // A REGISTER of a former registration may have been late; the one that runs last speaks for both.
        let stale = before != call_id && !self.oracle.runs_last(id, &dn, &call_id);
        if stale && self.holder(id, &dn).is_none() && !repeated {
            return Err(format!(
                "a stale Expires: 0 of {call_id} killed the binding of {dn} by {before}"
            ));
        }
        Ok(())
    }

    pub(super) fn server_handles(&mut self, id: ServerId, input: tserver::Input) -> Step {
        let now = self.now;
        let id = self.behind(id);
        self.machines[id.0].handle(now, input);
        while let Some(output) = self.machines[id.0].poll_output() {
            match output {
                tserver::Output::Transmit(transmit) => self.server_sends(id, transmit),
                tserver::Output::Event(event) => self.note(|| format!("     {:?}", event.kind)),
                tserver::Output::Media(media) => self.oracle.customer_media(media),
                tserver::Output::Bridge(port) => self.oracle.bridge_media(port),
                tserver::Output::Trunk(call) => self.forward(id, call),
            }
        }
        Ok(())
    }

    /// A message of SIP Server, by way of an instance of its proxy where it has one.
    fn server_sends(&mut self, id: ServerId, transmit: tserver::Transmit) {
        if self.proxy.is_none() {
            self.note_message(id, "<-", &transmit.bytes);
            let stands_still = self.is_asleep(id);
            self.oracle
                .server_sends(self.now, &transmit.bytes, stands_still);
            return match self.streams {
                Some(_) => self.server_streams(id, transmit),
                None => self.send(id, Place::Gateway, transmit.bytes),
            };
        }
        let Some(host) = self.instance_for(&transmit) else {
            return;
        };
        if let Some(bytes) = self.passed_on(host, Place::Gateway, &transmit.bytes) {
            self.note_message(host, "<-", &bytes);
            self.oracle.server_sends(self.now, &bytes, false);
            match self.streams {
                Some(_) => self.proxy_streams(host, bytes),
                None => self.send(host, Place::Gateway, bytes),
            }
        }
    }

    /// Puts a datagram on the wire between talkbridge and a SIP Server.
    pub(super) fn send(&mut self, server: ServerId, to: Place, bytes: Vec<u8>) {
        self.report.datagrams += 1;
        self.digest(&bytes);
        self.attacker.overhear(to, &bytes);
        let now = self.now;
        let copies = self.server_mut(server).wire.carry(now, to, &bytes);
        self.capture(server, to, &bytes, &copies);
        for delay in copies {
            let bytes = bytes.clone();
            let event = Event::Arrive {
                server,
                at: to,
                bytes,
            };
            self.queue.at(now + delay, event);
        }
    }

    /// Keeps a datagram as a probe beside talkbridge sees it.
    pub(super) fn capture(
        &mut self,
        server: ServerId,
        to: Place,
        bytes: &[u8],
        copies: &[Duration],
    ) {
        if !self.record {
            return;
        }
        let now = self.now.saturating_duration_since(self.born);
        let address = self.server(server).address;
        let (from, to, arrivals) = match to {
            Place::Gateway => (address, site::GATEWAY, copies),
            Place::Server => (site::GATEWAY, address, &[Duration::ZERO][..]),
        };
        let comment = match copies.len() {
            0 => "lost on the way",
            1 => "",
            _ => "arrives twice",
        };
        let lost = [Duration::ZERO];
        let arrivals = if copies.is_empty() { &lost } else { arrivals };
        for delay in arrivals {
            self.captured.push(Captured {
                at: now + *delay,
                from,
                to,
                bytes: bytes.to_vec(),
                comment,
            });
        }
    }
}
