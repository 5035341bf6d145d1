//! What talkbridge holds stays within its limits, after every step.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use switchboard::CallId;

use super::site::Layout;
use super::wire::{self, Kind};
use super::{PATIENCE, Step, World};

/// T4: how long one is kept that was answered.
const LINGERS: Duration = Duration::from_secs(5);

/// Transactions of talkbridge that leave although the table is full: one at a time for each registration, dialog and SIP Server, as its `limits.rs` says.
#[derive(Debug, Default)]
pub(super) struct Beyond {
    /// By branch and method, until when each may be held.
    until: BTreeMap<(String, String), Instant>,
}

impl Beyond {
    pub(super) fn gateway_sends(&mut self, now: Instant, text: &str) {
        let Some(Kind::Request { method }) = wire::kind(text) else {
            return;
        };
        if matches!(method, "REGISTER" | "BYE" | "CANCEL" | "OPTIONS")
            && let Some(branch) = wire::branch(text)
        {
            let key = (branch.to_owned(), method.to_owned());
            self.until.entry(key).or_insert(now + PATIENCE);
        }
    }

    pub(super) fn gateway_receives(&mut self, now: Instant, text: &str) {
        let (Some(Kind::Response { status: 200.. }), Some((_, method)), Some(branch)) =
            (wire::kind(text), wire::cseq(text), wire::branch(text))
        else {
            return;
        };
        let key = (branch.to_owned(), method.to_owned());
        if let Some(until) = self.until.get_mut(&key) {
            *until = (now + LINGERS).min(*until);
        }
    }

    /// How many of them there are at most, and how many of them end a dialog.
    fn held(&mut self, now: Instant) -> (usize, usize) {
        self.until.retain(|_, until| now <= *until);
        let byes = self.until.keys().filter(|(_, method)| method == "BYE");
        (self.until.len(), byes.count())
    }
}

impl World {
    /// No table holds more than it may. `began` are the calls that were offered in this turn, and how many others each may be in place of.
    pub(super) fn limits_hold(&mut self, began: &[(CallId, usize)]) -> Step {
        let (policy, capacity) = (self.site.policy(), self.site.sip_capacity());
        let (beyond, byes) = self.oracle.beyond.held(self.now);
        let sip = self.board.sip_counts();
        let dns = self.site.dns();
        let sites = match self.site.layout {
            Layout::Continuity => self.servers.len(),
            Layout::Alone | Layout::Pair(_) | Layout::Proxied => 1,
        };
        let gauges = self.board.gauges();
        let table = |name: &str| {
            let mut tables = gauges.tables.iter();
            tables
                .find(|(known, _)| *known == name)
                .map_or(0, |(_, count)| *count)
        };
        let limits = [
            (
                "transactions",
                sip.transactions,
                capacity.transactions + beyond,
            ),
            // A second answer to one INVITE has a dialog until its BYE is answered.
            ("dialogs", sip.dialogs, capacity.dialogs + byes),
            ("registrations", sip.registrations, dns.len() * sites),
            ("outputs", sip.queued_outputs, 0),
            ("calls", table("calls"), policy.calls),
            ("dialogs of calls", table("dialogs"), policy.calls),
            ("referrals", table("referrals"), policy.calls),
            ("ports", gauges.ports_in_use, table("calls")),
            ("pages", gauges.pages, self.browsers.known()),
            ("sessions", table("sessions"), dns.len()),
            // One that is lost, and one in its place.
            ("legs", table("legs"), 2 * dns.len()),
        ];
        if let Some((what, count, limit)) = limits.iter().find(|(_, count, limit)| count > limit) {
            return Err(format!(
                "talkbridge has {count} {what}, and {limit} is the limit"
            ));
        }
        for (call, instead) in began {
            let agent = self.dns.get(call).and_then(|dn| self.board.agent(dn));
            let calls = agent.map(|agent| agent.calls).unwrap_or_default();
            // One that was refused is none of hers.
            let taken = calls.iter().any(|own| own.id == call.to_string());
            if taken && calls.len() > policy.calls_per_agent + instead {
                let count = calls.len();
                return Err(format!(
                    "{call} is the call {count} of its agent, in place of {instead}"
                ));
            }
        }
        Ok(())
    }
}
