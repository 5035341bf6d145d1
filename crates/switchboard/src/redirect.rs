//! Another SIP Server for a call that the first one does not take: it shuts down, is full, or says nothing.
//!
//! A redirection is a hint which of the *configured* servers to try, never an address to call: whoever could make us call elsewhere could
//! listen (`docs/dialling.md#other-servers`).

use std::time::Instant;

use sip::ua::DialogId;
use sip::wire::{HeaderName, Headers};
use sip::{Host, StatusCode, Uri};

use crate::Switchboard;
use crate::call::Phase;
use crate::config::Server;
use crate::dial::Dialled;
use crate::ids::CallId;
use crate::io::Fact;

/// Header lines of a response.
type Lines = [(HeaderName, Vec<u8>)];

impl Switchboard {
    /// Makes the agent's call again at another SIP Server, where its failure allows that and one is left. Whether it did.
    pub(crate) fn try_other_server(
        &mut self,
        now: Instant,
        id: CallId,
        former: DialogId,
        status: Option<StatusCode>,
        headers: &Lines,
    ) -> bool {
        let Some(server) = self.other_server(id, status, headers) else {
            return false;
        };
        let srtp = self.srtp_policy(server.address);
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        // Another site may want another thing of SRTP.
        call.negotiation.set_srtp_policy(srtp);
        let sdp = call.negotiation.offer(sdp::Direction::SendRecv);
        let Phase::Dialing { tried, headers, .. } = &mut call.phase else {
            return false;
        };
        tried.push(server.address);
        let headers = headers.clone();
        let (reference, number) = (call.reference(), call.remote.number.clone());
        let again = Dialled {
            dn: &reference.dn,
            number: &number,
            headers: &headers,
        };
        let Some(dialog) = self.place(now, &again, &server, sdp) else {
            return false;
        };
        self.dialogs.remove(&former);
        self.dialogs.insert(dialog, id);
        let site = self.sites.site_of(server.address);
        if let Some(call) = self.calls.get_mut(&id) {
            (call.dialog, call.site) = (dialog, site);
        }
        self.fact(Fact::CallMoved {
            call: reference,
            server: server.address,
            status: status.map(StatusCode::as_u16),
        });
        true
    }

    /// The server of the next try: one that holds the DN's registration, at another site, before one of the rest.
    fn other_server(
        &self,
        id: CallId,
        status: Option<StatusCode>,
        headers: &Lines,
    ) -> Option<Server> {
        let call = self.calls.get(&id)?;
        let Phase::Dialing {
            ringing,
            early: None,
            tried,
            ..
        } = &call.phase
        else {
            return None;
        };
        if *ringing {
            // Who refuses now is the callee, not the site.
            return None;
        }
        let holding = self.outgoing_servers(&call.dn);
        let rest = self.sip_servers().map(|(server, _)| server);
        let untried = |server: &&Server| !tried.contains(&server.address);
        let servers: Vec<&Server> = holding.iter().chain(rest).filter(untried).collect();
        match status {
            // RFC 3261 section 8.1.3.4, for our own servers only: the one that is named, else another site that holds the DN.
            Some(status) if status.is_redirection() => {
                let named = contacts(headers);
                let is_named = |server: &&&Server| named.iter().any(|host| is_at(server, host));
                let holds = |server: &&&Server| holding.contains(*server);
                let fitting = servers.iter().find(is_named);
                fitting.or_else(|| servers.iter().find(holds)).copied()
            }
            // A site that shuts down (603), or cannot serve (RFC 3263 section 4.3).
            Some(status) if !matches!(status.as_u16(), 408 | 503 | 504 | 603) => None,
            _ => servers.first().copied(),
        }
        .cloned()
    }
}

/// The hosts that the Contacts of a redirection name.
fn contacts(headers: &Lines) -> Vec<Host> {
    let mut told = Headers::new();
    for (name, value) in headers {
        told.push(name.clone(), value.clone());
    }
    // Malformed ones name nobody.
    let contacts = told.contacts().unwrap_or_default();
    let hosts = contacts.iter().filter_map(|contact| contact.uri.host());
    hosts.cloned().collect()
}

/// Whether the host is the server's address, or the name that its DNs have there. No name is looked up for a redirection.
fn is_at(server: &Server, host: &Host) -> bool {
    if let Some(ip) = host.ip() {
        return ip == server.address.ip();
    }
    let named = Uri::parse(format!("sip:{}", server.domain).as_bytes());
    named.is_ok_and(|named| named.host() == Some(host))
}
