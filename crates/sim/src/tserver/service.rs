//! Whom SIP Server lets calls come to: agents who are ready, at endpoints that are in service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::call::CallKey;
use super::io::RequestError;
use super::leg::LegKey;
use super::machine::TServer;

/// What a restart forgets of the DNs.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// DNs whose agents are not ready.
    not_ready: BTreeSet<String>,
    /// DNs that are out of service, and until when.
    rests: BTreeMap<String, Instant>,
}

impl TServer {
    /// TAgentSetReady, TAgentSetNotReady.
    pub(super) fn agent_ready(&mut self, dn: String, on: bool) {
        if on {
            self.service.not_ready.remove(&dn);
        } else {
            self.service.not_ready.insert(dn);
        }
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

    /// Whether calls go to the endpoint of a DN, which is registered.
    pub(super) fn is_in_service(&self, now: Instant, dn: &str) -> bool {
        self.service.rests.get(dn).is_none_or(|until| *until <= now)
    }
}
