//! What is to happen later. Entries are never removed early: each is checked when it comes due.

use std::collections::BTreeMap;
use std::time::Instant;

use super::call::CallKey;
use super::leg::{LegKey, Waiter};
use super::refer::Wanted;
use super::referred::ReferralKey;
use super::transaction::{ClientKey, ServerKey};

/// An appointment.
#[derive(Debug, Clone)]
pub(super) enum Timer {
    /// Repeat a request (RFC 3261 Timers A and E).
    ClientResend(ClientKey),
    /// The request has failed (Timers B and F), or its remains may go (Timer D).
    ClientEnd(ClientKey),
    /// Only 100 came for an INVITE.
    Trying(ClientKey),
    /// Repeat a final answer to INVITE until its ACK (Timer G, section 13.3.1.4).
    ServerResend(ServerKey),
    /// The server transaction is over (Timers H, J and L).
    ServerEnd(ServerKey),
    /// A binding expires, unless it was renewed under a higher number.
    BindingExpires { dn: String, generation: u64 },
    /// Out-of-service check of a DN.
    OosCheck { dn: String },
    /// Acknowledge the destination's answer.
    Ack(LegKey),
    /// The offerless re-INVITE after it.
    Resync(LegKey),
    /// A re-INVITE that met 491 is sent again; those behind it have waited.
    Again(LegKey),
    /// The model customer has made up his answer to an endpoint's offer.
    CustomerAnswer { waiter: Waiter, offer: String },
    /// The called customer does what he is configured to do.
    CustomerActs(CallKey),
    /// The called customer has rung for as long as anybody may.
    CustomerGivesUp(CallKey),
    /// The greeting of an agent is over.
    GreetingOver(CallKey),
    /// No-answer supervision of a ringing destination.
    NoAnswer(LegKey),
    /// 64*T1 after the originator's 200 in flow 1.
    Withheld(LegKey),
    /// A reliable provisional response of ours waits for its PRACK.
    Unacknowledged(LegKey),
    /// A REFER of ours whose outcome was never told.
    ReferralOver(ReferralKey),
    /// An endpoint that was asked to move ought to have done it; a dialog that was replaced ought to be over.
    MoveOver(LegKey),
    /// A transfer that an endpoint has asked for goes on.
    Transfer(Wanted),
    /// The session timer of a dialog has something to do, unless it was started again under a higher number.
    Session(LegKey, u64),
}

/// Appointments in the order of time, then of making.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<(Instant, u64), Timer>,
    made: u64,
}

impl Agenda {
    pub(super) fn at(&mut self, when: Instant, timer: Timer) {
        self.made += 1;
        self.entries.insert((when, self.made), timer);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.keys().next().map(|(when, _)| *when)
    }

    pub(super) fn due(&mut self, now: Instant) -> Option<Timer> {
        let entry = self.entries.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Forgets what belonged to transactions; what a backup knows of as well stays.
    pub(super) fn keep_standing(&mut self) {
        self.entries.retain(|_, timer| {
            matches!(
                timer,
                Timer::BindingExpires { .. } | Timer::OosCheck { .. } | Timer::Session(..)
            )
        });
    }

    /// Whether the session of this number is still waited for.
    pub(super) fn awaits_session(&self, session: u64) -> bool {
        let is_it =
            |timer: &Timer| matches!(timer, Timer::Session(_, number) if *number == session);
        self.entries.values().any(is_it)
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
