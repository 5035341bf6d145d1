//! Registrations: when each of them sends, and what its answers lead to.

use std::time::Instant;

use super::config::{ConnectionId, RegisterDn, Source};
use super::event::{Event, RegistrationState, RegistrationStatus, TransactionId};
use super::tables::{Hop, Owner};
use super::{UserAgent, Wake};
use crate::Response;
use crate::registration::{Next, Registration};

impl UserAgent {
    /// Registers a DN and keeps it registered. Its turn comes at the configured rate. Ordering the
    /// same again changes nothing; another server, domain or password replaces the registration
    /// without `Expires: 0`, which would remove the new binding.
    pub fn register(&mut self, now: Instant, order: RegisterDn) {
        let dn = order.dn.clone();
        if self
            .registrations
            .get(&dn)
            .is_some_and(|running| running.is_for(&order))
        {
            return;
        }
        if self
            .registrations
            .get_mut(&dn)
            .is_some_and(|leaving| leaving.stay(&order))
        {
            return;
        }
        let server = order.server;
        let replaced = self.forget_registration(&dn);
        let room = replaced || self.registrations.len() < self.capacity.registrations;
        let own = self.config.address(order.transport).filter(|_| room);
        let policy = self.config.registration;
        let registration =
            own.and_then(|own| Registration::new(order, own, &policy, &mut self.ids));
        let Some(registration) = registration else {
            let reason = "the DN and the domain of its SIP Server make no SIP address, or there \
                          are too many registrations";
            let status = RegistrationStatus {
                state: RegistrationState::Failed,
                sip_status: None,
                reason: reason.to_owned(),
                server,
                expires_s: None,
                note: None,
            };
            return self.emit(Event::Registration { dn, status });
        };
        let status = registration.status().clone();
        self.registrations.insert(dn.clone(), registration);
        self.emit(Event::Registration {
            dn: dn.clone(),
            status,
        });
        self.queue_registration(now, dn);
    }

    /// Gives a DN back with `Expires: 0`, when the last 200 that listed our Contact still holds;
    /// else only forgets it, since another endpoint may hold it now.
    pub fn unregister(&mut self, now: Instant, dn: &str) {
        let Some(registration) = self.registrations.get_mut(dn) else {
            return;
        };
        let bound = registration.leave(now);
        if registration.is_in_flight() {
            // The answer decides whether there is anything to give back.
            return;
        }
        let status = registration.status().clone();
        self.pacer.remove(dn);
        self.agenda.set(&Wake::Registration(dn.to_owned()), None);
        if bound {
            self.send_register(now, dn, true);
        } else {
            self.forget_registration(dn);
            self.emit(Event::Registration {
                dn: dn.to_owned(),
                status,
            });
        }
    }

    /// Forgets a DN without a word to SIP Server: another node has taken it over.
    pub fn abandon(&mut self, _now: Instant, dn: &str) {
        self.forget_registration(dn);
    }

    /// How a DN stands; `None` when it is not to be registered.
    #[must_use]
    pub fn registration(&self, dn: &str) -> Option<RegistrationStatus> {
        self.registrations
            .get(dn)
            .map(|registration| registration.status().clone())
    }

    fn forget_registration(&mut self, dn: &str) -> bool {
        let Some(forgotten) = self.registrations.remove(dn) else {
            return false;
        };
        if let Some(transaction) = forgotten.in_flight() {
            // Its repetitions would undo what comes after it.
            self.drop_client(transaction);
        }
        self.pacer.remove(dn);
        self.agenda.set(&Wake::Registration(dn.to_owned()), None);
        true
    }

    fn queue_registration(&mut self, now: Instant, dn: String) {
        if let Some(registration) = self.registrations.get_mut(&dn) {
            registration.begin();
        }
        self.pacer.push(dn);
        self.agenda.set(&Wake::Pace, self.pacer.next_timeout(now));
        self.start_registrations(now);
    }

    /// Starts the registrations whose turn has come.
    pub(super) fn start_registrations(&mut self, now: Instant) {
        while let Some(dn) = self.pacer.pop(now) {
            self.send_register(now, &dn, false);
        }
        self.agenda.set(&Wake::Pace, self.pacer.next_timeout(now));
    }

    /// A refresh goes out at once, as it is spread by its jitter; a new try waits its turn.
    pub(super) fn on_registration_timer(&mut self, now: Instant, dn: &str) {
        let Some(registration) = self.registrations.get(dn) else {
            return;
        };
        if registration.status().state == RegistrationState::Registered {
            self.send_register(now, dn, true);
        } else {
            self.queue_registration(now, dn.to_owned());
        }
    }

    fn send_register(&mut self, now: Instant, dn: &str, new_chain: bool) {
        let Some(registration) = self.registrations.get_mut(dn) else {
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
        let owner = Owner::Register(dn.to_owned());
        let transaction = self.start_client(now, request, hop, owner);
        match (transaction, self.registrations.get_mut(dn)) {
            (Some(transaction), Some(registration)) => registration.sent(transaction),
            _ => self.apply_silence(now, dn, false),
        }
    }

    pub(super) fn on_register_response(
        &mut self,
        now: Instant,
        dn: &str,
        transaction: TransactionId,
        source: &Source,
        response: &Response,
    ) {
        if response.status.is_provisional() || !self.is_current(dn, transaction) {
            return;
        }
        let policy = self.config.registration;
        let Some(registration) = self.registrations.get_mut(dn) else {
            return;
        };
        let before = registration.status().clone();
        registration.came_by(source);
        let next = registration.on_response(now, response, &policy, &mut self.ids);
        let after = registration.status().clone();
        self.follow(now, dn, next, &before, after);
    }

    pub(super) fn on_register_silence(
        &mut self,
        now: Instant,
        dn: &str,
        transaction: TransactionId,
        sent: bool,
    ) {
        if self.is_current(dn, transaction) {
            self.apply_silence(now, dn, sent);
        }
    }

    fn apply_silence(&mut self, now: Instant, dn: &str, sent: bool) {
        let policy = self.config.registration;
        let Some(registration) = self.registrations.get_mut(dn) else {
            return;
        };
        let before = registration.status().clone();
        let next = registration.on_silence(now, sent, &policy, &mut self.ids);
        let after = registration.status().clone();
        self.follow(now, dn, next, &before, after);
    }

    fn follow(
        &mut self,
        now: Instant,
        dn: &str,
        next: Next,
        before: &RegistrationStatus,
        after: RegistrationStatus,
    ) {
        // Silence is told each time: it is for the application to try another server.
        let silent = after.state == RegistrationState::Failed && after.sip_status.is_none();
        if (*before != after || silent) && next != Next::Again {
            self.emit(Event::Registration {
                dn: dn.to_owned(),
                status: after,
            });
        }
        match next {
            Next::Again => self.send_register(now, dn, false),
            Next::Start => self.queue_registration(now, dn.to_owned()),
            Next::Wait(at) => self
                .agenda
                .set(&Wake::Registration(dn.to_owned()), Some(at)),
            Next::Over => {
                self.forget_registration(dn);
            }
        }
    }

    /// Whether the answer is for the registration that runs now, and not for one it replaced.
    fn is_current(&self, dn: &str, transaction: TransactionId) -> bool {
        let running = self.registrations.get(dn).and_then(Registration::in_flight);
        running == Some(transaction)
    }

    pub(super) fn on_registrar_connection_lost(&mut self, now: Instant, connection: ConnectionId) {
        let policy = self.config.registration;
        for (dn, registration) in &mut self.registrations {
            if let Some(at) =
                registration.on_connection_lost(now, connection, &policy, &mut self.ids)
            {
                self.agenda.set(&Wake::Registration(dn.clone()), Some(at));
            }
        }
    }
}
