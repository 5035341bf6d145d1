//! Faults and modes on demand, and the out-of-service check.

use std::time::Instant;

use super::agenda::Timer;
use super::io::{Control, DropWhat};
use super::machine::TServer;
use super::read::{Incoming, Start};
use super::register::Registrar;
use super::transaction::{ClientKey, Purpose};
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
            Control::ExpireNonces => self.registrar.expire_nonces(),
            Control::Options { dn } => self.send_options(now, &dn),
        }
    }

    /// Nothing is said to anybody: that is what makes a restart hard.
    fn restart(&mut self, now: Instant) {
        let keys: Vec<_> = self.calls.keys().copied().collect();
        for key in keys {
            for index in 0..2 {
                self.media(key, index, true);
            }
        }
        self.calls.clear();
        self.uuids.clear();
        self.legs.clear();
        self.dialogs.clear();
        self.clients.clear();
        self.servers.clear();
        self.agenda.clear();
        self.registrar = Registrar::default();
        for (dn, settings) in &self.config.dns {
            if let Some(period) = settings.oos_check {
                self.agenda
                    .at(now + period, Timer::OosCheck { dn: dn.clone() });
            }
        }
    }

    pub(super) fn oos_check(&mut self, now: Instant, dn: String) {
        let Some(period) = self.config.dns.get(&dn).and_then(|dn| dn.oos_check) else {
            return;
        };
        self.send_options(now, &dn);
        self.later(now, period, Timer::OosCheck { dn });
    }

    fn send_options(&mut self, now: Instant, dn: &str) {
        let Some(binding) = self.registrar.binding(dn) else {
            return;
        };
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
