//! Whom SIP Server lets calls come to: agents who are ready, at endpoints that are in service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::call::CallKey;
use super::io::RequestError;
use super::leg::LegKey;
use super::machine::TServer;
use super::register::Binding;

/// What a restart forgets of the DNs.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// DNs at which an agent is logged in here.
    logged_in: BTreeSet<String>,
    /// DNs whose agents are not ready.
    not_ready: BTreeSet<String>,
    /// DNs that are out of service, and until when.
    rests: BTreeMap<String, Instant>,
}

impl TServer {
    /// A desktop logs its agent in at this site, or out.
    pub(super) fn agent_login(&mut self, dn: String, on: bool) {
        mark(&mut self.service.logged_in, dn, on);
    }

    pub(super) fn is_logged_in(&self, dn: &str) -> bool {
        self.service.logged_in.contains(dn)
    }

    /// TAgentSetReady, TAgentSetNotReady.
    pub(super) fn agent_ready(&mut self, dn: String, on: bool) {
        mark(&mut self.service.not_ready, dn, !on);
    }

    /// `reject-call-incall` and `reject-call-notready`: why a call is refused without asking the endpoint.
    pub(super) fn refuses_call(&self, dn: &str, except: CallKey) -> Option<RequestError> {
        let settings = self.config.dns.get(dn)?;
        let mut others = self.calls.values().filter(|call| call.key != except);
        if settings.reject_call_incall && others.any(|call| call.index_of_dn(dn).is_some()) {
            return Some(RequestError::Busy(dn.to_owned()));
        }
        let rejects = settings.reject_call_notready && self.service.not_ready.contains(dn);
        rejects.then(|| RequestError::NotReady(dn.to_owned()))
    }

    /// `recovery-timeout`: an INVITE that nobody answered, or that failed at the endpoint, takes the DN out of service for a while.
    pub(super) fn invite_failed(&mut self, now: Instant, leg: LegKey, status: u16) {
        let failed = status == 408 || (500..600).contains(&status);
        let rests = self.dn_of(leg).and_then(|dn| dn.recovery_timeout);
        if let (Some(rests), Some(entry), true) = (rests, self.legs.get(&leg), failed) {
            self.service.rests.insert(entry.dn.clone(), now + rests);
        }
    }

    /// Where calls to a DN go: its endpoint is registered, and in service.
    pub(super) fn reachable(&self, now: Instant, dn: &str) -> Result<&Binding, RequestError> {
        let binding = self.registrar.binding(dn);
        let binding = binding.ok_or_else(|| RequestError::NotRegistered(dn.to_owned()))?;
        let rests = self.service.rests.get(dn);
        if rests.is_some_and(|until| *until > now) {
            return Err(RequestError::OutOfService(dn.to_owned()));
        }
        Ok(binding)
    }
}

fn mark(dns: &mut BTreeSet<String>, dn: String, on: bool) {
    if on {
        dns.insert(dn);
    } else {
        dns.remove(&dn);
    }
}
