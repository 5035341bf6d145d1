//! Registrations: when each of them sends, and what its answers lead to.

use std::time::{Duration, Instant};

use super::challenge::of_dn;
use super::config::{ConnectionId, RegisterDn, SiteId, Source};
use super::event::{Event, RegistrationState, RegistrationStatus, TransactionId};
use super::tables::{Hop, Owner, RegistrationKey};
use super::{UserAgent, Wake};
use crate::Response;
use crate::registration::{Lane, Next, Registration, RegistrationFault};

impl UserAgent {
    /// Registers a DN at a site and keeps it registered. Its turn comes at the configured rate.
    /// Ordering the same again changes nothing; another server, domain or password replaces the
    /// registration without `Expires: 0`, which would remove the new binding.
    pub fn register(&mut self, now: Instant, order: RegisterDn) {
        let key = RegistrationKey {
            dn: order.dn.clone(),
            site: order.site,
        };
        if self
            .registrations
            .get(&key)
            .is_some_and(|running| running.is_for(&order))
        {
            return;
        }
        if self
            .registrations
            .get_mut(&key)
            .is_some_and(|leaving| leaving.stay(&order))
        {
            return;
        }
        let server = order.server;
        let replaced = self.forget_registration(&key);
        let room = replaced || self.registrations.len() < self.capacity.registrations;
        let own = self.config.address(order.transport).filter(|_| room);
        let policy = self.config.registration;
        let former = self
            .former_series
            .remove(&(key.clone(), order.domain.clone()));
        let registration =
            own.and_then(|own| Registration::new(order, own, &policy, former, &mut self.ids));
        let Some(registration) = registration else {
            let fault = RegistrationFault::Impossible;
            let status = RegistrationStatus {
                state: RegistrationState::Failed,
                sip_status: None,
                reason: fault.words(&key.dn, server, None),
                fault: Some(fault),
                server,
                expires_s: None,
                note: None,
            };
            return self.tell_registration(&key, status);
        };
        let status = registration.status().clone();
        self.registrations.insert(key.clone(), registration);
        self.tell_registration(&key, status);
        self.queue_registration(now, key, Lane::Start);
    }

    /// Gives a DN back at every site, each as [`Self::unregister_at`].
    pub fn unregister(&mut self, now: Instant, dn: &str) {
        let sites: Vec<SiteId> = of_dn(&self.registrations, dn)
            .map(|(key, _)| key.site)
            .collect();
        for site in sites {
            self.unregister_at(now, dn, site);
        }
    }

    /// Gives a DN back with `Expires: 0`, when the last 200 that listed our Contact still holds;
    /// else only forgets it, since another endpoint may hold it now.
    pub fn unregister_at(&mut self, now: Instant, dn: &str, site: SiteId) {
        let key = RegistrationKey {
            dn: dn.to_owned(),
            site,
        };
        let Some(registration) = self.registrations.get_mut(&key) else {
            return;
        };
        let bound = registration.leave(now);
        if registration.is_in_flight() {
            // The answer decides whether there is anything to give back.
            return;
        }
        let status = registration.status().clone();
        self.pacer.remove(&key);
        self.agenda.set(&Wake::Registration(key.clone()), None);
        if bound {
            self.send_register(now, &key, true);
        } else {
            self.forget_registration(&key);
            self.tell_registration(&key, status);
        }
    }

    /// Forgets a DN at a site without a word to SIP Server: another node has taken it over.
    pub fn abandon(&mut self, dn: &str, site: SiteId) {
        self.forget_registration(&RegistrationKey {
            dn: dn.to_owned(),
            site,
        });
    }

    /// Registers again before the time, when its turn has come, unless SIP Server has listed us at or
    /// after `since`: it may have lost what it had before. A REGISTER that is on its way or in the
    /// queue is enough.
    pub fn refresh(&mut self, now: Instant, dn: &str, site: SiteId, since: Instant) {
        let key = RegistrationKey {
            dn: dn.to_owned(),
            site,
        };
        let running = self.registrations.get(&key);
        if running.is_some_and(|running| running.is_older_than(since)) {
            self.queue_registration(now, key, Lane::Start);
        }
    }

    /// How a DN stands at a site; `None` when it is not to be registered there.
    #[must_use]
    pub fn registration(&self, dn: &str, site: SiteId) -> Option<RegistrationStatus> {
        of_dn(&self.registrations, dn)
            .find(|(key, _)| key.site == site)
            .map(|(_, registration)| registration.status().clone())
    }

    /// Whether SIP Server lists a DN at one site at least.
    #[must_use]
    pub fn is_registered(&self, dn: &str) -> bool {
        of_dn(&self.registrations, dn)
            .any(|(_, at)| at.status().state == RegistrationState::Registered)
    }

    fn tell_registration(&mut self, key: &RegistrationKey, status: RegistrationStatus) {
        self.emit(Event::Registration {
            dn: key.dn.clone(),
            site: key.site,
            status,
        });
    }

    fn forget_registration(&mut self, key: &RegistrationKey) -> bool {
        let Some(forgotten) = self.registrations.remove(key) else {
            return false;
        };
        if let Some(transaction) = forgotten.in_flight() {
            // Its repetitions would undo what comes after it.
            self.drop_client(transaction);
        }
        self.pacer.remove(key);
        self.agenda.set(&Wake::Registration(key.clone()), None);
        if self.former_series.len() >= 2 * self.capacity.registrations {
            self.former_series.clear();
        }
        let domain = forgotten.order().domain.clone();
        self.former_series
            .insert((key.clone(), domain), forgotten.into_series());
        true
    }

    fn queue_registration(&mut self, now: Instant, key: RegistrationKey, lane: Lane) {
        if let Some(registration) = self.registrations.get_mut(&key) {
            registration.begin();
        }
        self.agenda.set(&Wake::Registration(key.clone()), None);
        self.pacer.push(key, lane);
        self.start_registrations(now);
    }

    /// Starts the registrations whose turn has come.
    pub(super) fn start_registrations(&mut self, now: Instant) {
        while let Some(key) = self.pacer.pop(now) {
            self.send_register(now, &key, false);
        }
        self.agenda.set(&Wake::Pace, self.pacer.next_timeout(now));
    }

    /// A refresh and a new try wait for their turn, the refresh first: its binding runs out.
    pub(super) fn on_registration_timer(&mut self, now: Instant, key: RegistrationKey) {
        let Some(registration) = self.registrations.get(&key) else {
            return;
        };
        let lane = match registration.status().state {
            RegistrationState::Registered => Lane::Refresh,
            _ => Lane::Start,
        };
        self.queue_registration(now, key, lane);
    }

    fn send_register(&mut self, now: Instant, key: &RegistrationKey, new_chain: bool) {
        let Some(registration) = self.registrations.get_mut(key) else {
            return;
        };
        if new_chain {
            registration.begin();
        }
        let request = registration.request(&self.config.user_agent);
        let order = registration.order();
        let hop = Hop {
            transport: order.transport,
            to: order.server,
            connection: registration.connection(),
        };
        let owner = Owner::Register(key.clone());
        let transaction = self.start_client(now, request, hop, owner);
        match (transaction, self.registrations.get_mut(key)) {
            (Some(transaction), Some(registration)) => registration.sent(now, transaction),
            _ => self.apply_silence(now, key, false),
        }
    }

    pub(super) fn on_register_response(
        &mut self,
        now: Instant,
        key: &RegistrationKey,
        transaction: TransactionId,
        source: &Source,
        response: &Response,
    ) {
        if response.status.is_provisional() || !self.is_current(key, transaction) {
            return;
        }
        let policy = self.config.registration;
        let Some(registration) = self.registrations.get_mut(key) else {
            return;
        };
        let order = registration.order();
        let server = (order.transport, order.server);
        let before = registration.status().clone();
        registration.came_by(source);
        let next = registration.on_response(now, response, &policy, &mut self.ids);
        let after = registration.status().clone();
        self.note_answer(now, server);
        if response.status.is_success() {
            self.note_welcome(now, server);
        }
        self.follow(now, key, next, &before, after);
    }

    pub(super) fn on_register_silence(
        &mut self,
        now: Instant,
        key: &RegistrationKey,
        transaction: TransactionId,
        sent: bool,
    ) {
        if self.is_current(key, transaction) {
            self.apply_silence(now, key, sent);
        }
    }

    fn apply_silence(&mut self, now: Instant, key: &RegistrationKey, sent: bool) {
        let policy = self.config.registration;
        let Some(registration) = self.registrations.get_mut(key) else {
            return;
        };
        let before = registration.status().clone();
        let next = registration.on_silence(now, sent, &policy, &mut self.ids);
        let after = registration.status().clone();
        self.follow(now, key, next, &before, after);
    }

    fn follow(
        &mut self,
        now: Instant,
        key: &RegistrationKey,
        next: Next,
        before: &RegistrationStatus,
        after: RegistrationStatus,
    ) {
        // Silence is told each time: it is for the application to try another server.
        let silent = after.state == RegistrationState::Failed && after.sip_status.is_none();
        if (*before != after || silent) && next != Next::Again {
            self.tell_registration(key, after);
        }
        match next {
            Next::Again => self.send_register(now, key, false),
            Next::Start => self.queue_registration(now, key.clone(), Lane::Start),
            Next::Wait(at) => self.agenda.set(&Wake::Registration(key.clone()), Some(at)),
            Next::Over => {
                self.forget_registration(key);
            }
        }
    }

    /// Whether the answer is for the registration that runs now, and not for one it replaced.
    fn is_current(&self, key: &RegistrationKey, transaction: TransactionId) -> bool {
        let running = self
            .registrations
            .get(key)
            .and_then(Registration::in_flight);
        running == Some(transaction)
    }

    /// Those whose connection it was register again soon, spread by chance: a server that closes each
    /// connection after its answer makes no storm.
    pub(super) fn on_registrar_connection_lost(&mut self, now: Instant, connection: ConnectionId) {
        let spread = Duration::from_secs(u64::from(self.config.registration.retry_s));
        for (key, registration) in &mut self.registrations {
            if registration.on_connection_lost(connection) {
                let at = now + self.ids.jitter(Duration::ZERO..=spread);
                self.agenda.set(&Wake::Registration(key.clone()), Some(at));
            }
        }
    }
}
