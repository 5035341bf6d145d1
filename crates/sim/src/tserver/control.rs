//! Faults and modes on demand, and the out-of-service check.

use std::time::Instant;

use super::agenda::Timer;
use super::call::{CallKey, Party};
use super::io::{Control, DropWhat, PartyState};
use super::leg::{Destination, InvitePurpose, LegKey};
use super::machine::TServer;
use super::read::{Incoming, Start};
use super::register::Registrar;
use super::service::Service;
use super::transaction::{ClientKey, Purpose};
use super::view::LegState;
use super::write::Frame;

/// What is to be swallowed.
#[derive(Debug, Default)]
pub(super) struct Drops(Vec<(String, DropWhat, u32)>);

impl Drops {
    /// Is this message one of them? Then there is one less to come.
    pub(super) fn takes(&mut self, message: &Incoming) -> bool {
        let (method, what) = match &message.start {
            Start::Request { method, .. } => (method.as_str(), DropWhat::Requests),
            Start::Response { .. } => (message.cseq_method.as_str(), DropWhat::Responses),
        };
        let hit = self
            .0
            .iter_mut()
            .find(|(m, w, left)| m == method && *w == what && *left > 0);
        if let Some((_, _, left)) = hit {
            *left -= 1;
            return true;
        }
        false
    }
}

impl TServer {
    pub(super) fn control(&mut self, now: Instant, control: Control) {
        match control {
            Control::RegisterMode(mode) => self.register_mode = mode,
            Control::SetDn {
                dn,
                cti_control,
                make_call_flow,
            } => {
                if let Some(settings) = self.config.dns.get_mut(&dn) {
                    settings.cti_control = cti_control.unwrap_or(settings.cti_control);
                    settings.make_call_flow = make_call_flow.unwrap_or(settings.make_call_flow);
                }
            }
            Control::DropReceived {
                method,
                what,
                count,
            } => {
                self.drops
                    .0
                    .retain(|(m, w, _)| !(*m == method && *w == what));
                self.drops.0.push((method, what, count));
            }
            Control::RefuseCalls(status) => self.refuse_calls = status,
            Control::Restart => self.restart(now),
            Control::Switchover => self.switchover(now),
            Control::AgentLogin { dn, on } => self.agent_login(dn, on),
            Control::AgentReady { dn, on } => self.agent_ready(dn, on),
            Control::ExpireNonces => self.registrar.expire_nonces(),
            Control::Options { dn } => self.send_options(now, &dn),
            Control::Remark { dn, remark } => self.remark(now, &dn, &remark),
        }
    }

    /// Nothing is said to anybody: that is what makes a restart hard.
    fn restart(&mut self, now: Instant) {
        let keys: Vec<_> = self.calls.keys().copied().collect();
        for key in keys {
            self.forget_call(key);
        }
        self.legs.clear();
        self.dialogs.clear();
        self.clients.clear();
        self.servers.clear();
        self.referrals.clear();
        self.moves.clear();
        self.agenda.clear();
        self.registrar = Registrar::default();
        self.service = Service::default();
        for (dn, settings) in &self.config.dns {
            if let Some(period) = settings.oos_check {
                self.agenda
                    .at(now + period, Timer::OosCheck { dn: dn.clone() });
            }
        }
    }

    /// What the backup was told by its primary is what goes on (hot standby): bindings, and dialogs that were confirmed.
    fn switchover(&mut self, now: Instant) {
        for leg in self.legs.values_mut() {
            // A call of the endpoint's own is told to the backup when it is answered; the ACK finds its dialog there.
            if !leg.ours && leg.state == LegState::Answered {
                leg.state = LegState::Confirmed;
            }
        }
        let unfinished: Vec<CallKey> = self
            .calls
            .values()
            .filter(|call| {
                let answered = |party: &Party| {
                    matches!(party.state, PartyState::Established | PartyState::Held)
                        && party.leg().is_none_or(|leg| {
                            self.legs
                                .get(&leg)
                                .is_some_and(|leg| leg.state == LegState::Confirmed)
                        })
                };
                call.parties.len() < 2 || !call.parties.iter().all(answered)
            })
            .map(|call| call.key)
            .collect();
        let returned: Vec<LegKey> = unfinished
            .iter()
            .filter_map(|consult| self.recall_dialog(now, *consult))
            .collect();
        for key in unfinished {
            self.forget_call(key);
        }
        self.clients.clear();
        self.servers.clear();
        self.referrals.clear();
        self.moves.clear();
        self.agenda.keep_standing();
        // Whoever has left a call before it acknowledged it is in none any more.
        let left = self.legs.values().filter(|leg| leg.bye_after_ack.is_some());
        let left: Vec<LegKey> = left.map(|leg| leg.key).collect();
        for leg in self.legs.values_mut() {
            leg.inviting = None;
            leg.unacknowledged = None;
            leg.invited = None;
            leg.awaiting_ack = None;
            leg.bye_after_ack = None;
            leg.offered = None;
            leg.queue.clear();
            leg.backing_off = false;
        }
        let calls = &self.calls;
        let gone: Vec<LegKey> = self
            .legs
            .values()
            .filter(|leg| !leg.alive() || !calls.contains_key(&leg.call))
            .map(|leg| leg.key)
            .chain(left)
            .collect();
        for leg in gone {
            self.remove_leg(now, leg);
        }
        self.take_over_refreshes(now);
        self.holds_go_on();
        self.connect_again(now);
        // A dialog that a consultation had borrowed waits for its main call; its endpoint may have been connected to somebody already.
        for leg in returned {
            self.reinvite(now, leg, InvitePurpose::Hold);
        }
        self.tell_again(now);
    }

    /// Nobody is told: not the endpoints, not the desktops.
    fn forget_call(&mut self, key: CallKey) {
        let count = self.calls.get(&key).map_or(0, |call| call.parties.len());
        for index in 0..count {
            self.release_bridge(key, index);
            self.media(key, index, true);
        }
        if let Some(call) = self.calls.remove(&key) {
            self.uuids.remove(&call.uuid);
        }
    }

    pub(super) fn oos_check(&mut self, now: Instant, dn: String) {
        let Some(period) = self.config.dns.get(&dn).and_then(|dn| dn.oos_check) else {
            return;
        };
        self.send_options(now, &dn);
        self.later(now, period, Timer::OosCheck { dn });
    }

    /// Where a request to a registered endpoint goes that belongs to no call, and what it says of itself.
    pub(super) fn outside_of_calls(&mut self, dn: &str) -> Option<(Destination, Frame)> {
        let binding = self.registrar.binding(dn)?;
        let (destination, routes) = self.way_to(binding);
        let uri = super::text::uri_of(&binding.contact).to_owned();
        let to = binding.aor.clone();
        let server = self.config.advertise;
        let frame = Frame {
            uri,
            from: format!("sip:{server};tag={}", self.ids.tag()),
            to,
            call_id: self.ids.call_id(&server.ip().to_string()),
            transport: destination.transport,
            routes,
            sent_by: server.to_string(),
            contact: format!("<sip:{server}>"),
            call_uuid: String::new(),
            session: String::new(),
            reliable: false,
            replaces: String::new(),
            alert: None,
        };
        Some((destination, frame))
    }

    fn send_options(&mut self, now: Instant, dn: &str) {
        let Some((destination, frame)) = self.outside_of_calls(dn) else {
            return;
        };
        let branch = self.ids.branch();
        let bytes = frame.options(1, &branch);
        let key = ClientKey {
            branch,
            method: "OPTIONS",
        };
        self.start_client(now, key, destination, (frame, 1), bytes, Purpose::Options);
    }
}
