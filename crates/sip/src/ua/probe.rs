//! Whether a SIP Server lives: asked by OPTIONS, and learned from every answer to a REGISTER.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::UserAgent;
use super::config::Transport;
use super::event::{Event, TransactionId};
use super::tables::{Hop, Owner};
use crate::registration::Registration;
use crate::{HeaderName, Method, Request, Uri};

/// A SIP Server as a probe knows it.
type Server = (Transport, SocketAddr);

/// What is known of the SIP Servers that were asked; as many entries as the application names.
#[derive(Debug, Default)]
pub(super) struct Probes {
    /// The probe on its way.
    asked: BTreeMap<Server, TransactionId>,
    /// When each last answered a REGISTER or a probe.
    answered: BTreeMap<Server, Instant>,
    /// When each last granted a REGISTER, or the end of one.
    welcomed: BTreeMap<Server, Instant>,
}

impl UserAgent {
    /// Asks a SIP Server whether it lives: OPTIONS outside of any dialog (RFC 3261 section 11).
    /// Whatever it answers, it lives: [`Event::Probed`]. Silence makes no event; the next probe
    /// takes the place of this one.
    pub fn probe(&mut self, now: Instant, transport: Transport, server: SocketAddr, domain: &str) {
        if let Some(former) = self.probes.asked.remove(&(transport, server)) {
            self.drop_client(former);
        }
        let Some(request) = self.probe_request(transport, domain) else {
            return;
        };
        let hop = Hop {
            transport,
            to: server,
            connection: None,
        };
        if let Some(id) = self.start_client(now, request, hop, Owner::Probe) {
            self.probes.asked.insert((transport, server), id);
        }
    }

    fn probe_request(&mut self, transport: Transport, domain: &str) -> Option<Request> {
        let own = self.config.address(transport)?;
        let uri = Uri::parse(format!("sip:{domain}").as_bytes()).ok()?;
        let tag = self.ids.tag();
        let call_id = self.ids.call_id(&own.ip().into());
        let mut request = Request::new(Method::Options, uri);
        let headers = &mut request.headers;
        headers.push(HeaderName::MAX_FORWARDS, "70");
        headers.push(HeaderName::FROM, format!("<sip:{own}>;tag={tag}"));
        headers.push(HeaderName::TO, format!("<sip:{domain}>"));
        headers.push(HeaderName::CALL_ID, call_id.as_bytes());
        headers.push(HeaderName::CSEQ, "1 OPTIONS");
        headers.push(HeaderName::ACCEPT, "application/sdp");
        if !self.config.user_agent.is_empty() {
            headers.push(HeaderName::USER_AGENT, self.config.user_agent.as_str());
        }
        Some(request)
    }

    pub(super) fn on_probe_answered(&mut self, now: Instant, transaction: TransactionId) {
        let Some(client) = self.clients.get(&transaction) else {
            return;
        };
        let asked = (client.hop.transport, client.hop.to);
        self.probes.asked.remove(&asked);
        self.note_answer(now, asked);
        let (transport, server) = asked;
        self.emit(Event::Probed { server, transport });
    }

    /// A SIP Server has answered a request of ours.
    pub(super) fn note_answer(&mut self, now: Instant, server: Server) {
        self.probes.answered.insert(server, now);
    }

    /// When the SIP Server last answered a REGISTER or a probe.
    #[must_use]
    pub fn last_answer(&self, transport: Transport, server: SocketAddr) -> Option<Instant> {
        self.probes.answered.get(&(transport, server)).copied()
    }

    pub(super) fn note_welcome(&mut self, now: Instant, server: Server) {
        self.probes.welcomed.insert(server, now);
    }

    /// When the SIP Server last granted a REGISTER: also one that changed nothing, of which there is no [`Event::Registration`].
    #[must_use]
    pub fn last_welcome(&self, transport: Transport, server: SocketAddr) -> Option<Instant> {
        self.probes.welcomed.get(&(transport, server)).copied()
    }

    /// Since when the oldest REGISTER to that SIP Server waits for its answer.
    #[must_use]
    pub fn waiting_since(&self, transport: Transport, server: SocketAddr) -> Option<Instant> {
        let there = self.registrations.values().filter(|registration| {
            let order = registration.order();
            order.server == server && order.transport == transport
        });
        there.filter_map(Registration::waiting_since).min()
    }

    /// Lets go of what is known of a SIP Server that is no longer one of ours.
    pub fn forget_server(&mut self, transport: Transport, server: SocketAddr) {
        self.probes.answered.remove(&(transport, server));
        self.probes.welcomed.remove(&(transport, server));
        if let Some(probe) = self.probes.asked.remove(&(transport, server)) {
            self.drop_client(probe);
        }
    }
}
