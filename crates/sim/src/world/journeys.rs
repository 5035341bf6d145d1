//! Which SIP Servers a call has been at, and what follows from that for its end.

use std::collections::BTreeMap;

use control::RegistrationState;
use switchboard::{CallId, Cause, Fact};

use super::servers::{NOTICED, ServerId};
use super::site::Layout;
use super::{Step, World};

/// The way of each call that talkbridge has told of.
#[derive(Debug, Default)]
pub(super) struct Journeys(BTreeMap<CallId, Journey>);

#[derive(Debug, Default)]
struct Journey {
    /// The last one has the call.
    servers: Vec<ServerId>,
    /// The callee's phone rang: from then on a refusal is the callee's.
    rang: bool,
    /// talkbridge stood still while it was up, or came.
    disturbed: bool,
}

impl Journeys {
    /// talkbridge stands still.
    pub(super) fn stand_still(&mut self) {
        for journey in self.0.values_mut() {
            journey.disturbed = true;
        }
    }

    /// talkbridge stood still while the INVITE of this call came.
    pub(super) fn disturb(&mut self, call: CallId) {
        self.0.entry(call).or_default().disturbed = true;
    }
}

impl World {
    /// A call begins at a SIP Server, or is tried at another one.
    pub(super) fn call_is_at(&mut self, call: CallId, server: ServerId) -> Step {
        let journey = self.journeys.0.entry(call).or_default();
        let first = journey.servers.is_empty();
        journey.servers.push(server);
        self.note(|| format!("     call {call} is at SIP Server {}", server.0));
        let dialled = self.board.call(call);
        let outbound = dialled.filter(|record| {
            record.call.direction == control::CallDirection::Outbound
                && self.site.layout == Layout::Continuity
        });
        let Some(record) = outbound.filter(|_| first && server != ServerId(0)) else {
            return Ok(());
        };
        let preferred = self.server(ServerId(0));
        if self.site.is_asked_to_call(&record.dn) {
            return Ok(());
        }
        if preferred.is_spotless()
            && self.holder(ServerId(0), &record.dn).is_some()
            && self.is_awake()
        {
            return Err(format!(
                "call {call} left by SIP Server {}, not by the preferred one",
                server.0
            ));
        }
        Ok(())
    }

    /// talkbridge has not stood still so lately that it may not know yet that the preferred site answers.
    fn is_awake(&self) -> bool {
        self.stalled_until == self.born || self.stalled_until + NOTICED < self.now
    }

    /// What a fact says of the way of a call.
    pub(super) fn follow(&mut self, fact: &Fact) -> Step {
        match fact {
            Fact::EndRecord { record } => self.record_is_of_one_clock(record),
            Fact::CallRefused {
                call,
                cause,
                sip_status,
                record,
                ..
            } => {
                self.record_is_of_one_clock(record)?;
                self.ended_with_reason(call.call, *cause)?;
                self.went_elsewhere(call.call, &call.dn, *cause, Some(*sip_status))
            }
            Fact::CallRinging { call, .. } => {
                if let Some(journey) = self.journeys.0.get_mut(&call.call) {
                    journey.rang = true;
                }
                Ok(())
            }
            Fact::CallEnded {
                call,
                cause,
                sip_status,
                ..
            } => {
                self.ended_with_reason(call.call, *cause)?;
                self.went_elsewhere(call.call, &call.dn, *cause, *sip_status)
            }
            _ => Ok(()),
        }
    }

    /// Where SIP Server and the wire to it never were but perfect, no call ends because its signalling failed: whatever becomes of another
    /// site.
    fn ended_with_reason(&self, call: CallId, cause: Cause) -> Step {
        // Not a missing ACK: in flow 1 SIP Server withholds it for as long as we wait for it, and gives the call up at the same instant.
        let failed = matches!(
            cause,
            Cause::DialogLost | Cause::PrackMissing | Cause::NoResponse
        );
        let journey = self.journeys.0.get(&call);
        let journey = journey.filter(|journey| failed && !journey.disturbed);
        let server = journey.and_then(|journey| journey.servers.last());
        let Some(server) = server.filter(|_| !self.site.has_small_tables()) else {
            return Ok(());
        };
        if self.is_spotless(*server) {
            return Err(format!(
                "call {call} at SIP Server {}, which was always well, ended by {cause:?}",
                server.0
            ));
        }
        Ok(())
    }

    /// A call that a site refuses because it shuts down is tried at another one that has the DN.
    fn went_elsewhere(&self, call: CallId, dn: &str, cause: Cause, status: Option<u16>) -> Step {
        let Some(journey) = self.journeys.0.get(&call).filter(|journey| !journey.rang) else {
            return Ok(());
        };
        let last = journey.servers.last().map(|last| self.server(*last));
        let shut = last.is_some_and(|last| last.health.refuses_calls);
        if cause != Cause::RemoteRejected || !matches!(status, Some(302 | 603)) || !shut {
            return Ok(());
        }
        let registered = self.board.agent(dn).map(|agent| agent.registration.sites);
        let registered = registered.unwrap_or_default();
        for server in &self.servers {
            let known = registered.get(server.id.0);
            let known = known.is_some_and(|site| site.state == RegistrationState::Registered);
            if known && server.health.serves() && !journey.servers.contains(&server.id) {
                return Err(format!(
                    "call {call} was refused with {status:?} and not tried at SIP Server {}",
                    server.id.0
                ));
            }
        }
        Ok(())
    }
}
