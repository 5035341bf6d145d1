//! Which of several hosts a request within a dialog goes to, and the next one where it fails (RFC 3263 section 4.3).
//!
//! Only where the next hop is a name: what an address names has no other. A name within a dialog is not resolved; it stands for the hosts of the
//! site that the host heard last is of. That is how a SIP Proxy in front of SIP Server works: its instances have one name, which stays
//! in the dialog, and any of them takes the next request.

use std::net::SocketAddr;
use std::time::Instant;

use super::UserAgent;
use super::config::SiteHost;
use super::event::TransactionId;
use super::tables::{Hop, Owner};
use crate::dialog::Dialog;
use crate::{HeaderName, Response, StatusCode};

impl UserAgent {
    /// The hosts of each site in order of preference, from now on.
    pub fn set_sites(&mut self, sites: Vec<Vec<SiteHost>>) {
        self.sites = sites;
    }

    /// Where the next request of a dialog goes. Behind a name a host that is known not to answer is passed over.
    pub(super) fn next_hop(&self, call: &Dialog) -> Hop {
        let hop = call.hop(|ip| self.peers.hears(ip));
        if !call.goes_by_name() {
            return hop;
        }
        let site = self.site_of(&hop);
        let silent = site.iter().any(|host| is_at(host, &hop) && !host.answers);
        let other = silent.then(|| self.other_host(&hop, &[])).flatten();
        other.unwrap_or(hop)
    }

    /// Asks the next host in place of the one that did not take the request of `transaction`: the same request in a new transaction. `None` when there is
    /// no other, or the request is not of the kind.
    pub(super) fn ask_next_host(
        &mut self,
        now: Instant,
        transaction: TransactionId,
    ) -> Option<TransactionId> {
        let client = self.clients.get(&transaction)?;
        let owner = client.owner.clone();
        if matches!(owner, Owner::Invite(_)) {
            return None;
        }
        let id = owner.dialog()?;
        if !self.dialogs.get(&id)?.goes_by_name() {
            return None;
        }
        let mut tried = client.tried.clone();
        tried.push(client.hop.to);
        let next = self.other_host(&client.hop, &tried)?;
        let mut request = client.request.clone();
        request.headers.remove(&HeaderName::VIA);
        let answered = client.answered;
        let again = self.start_client(now, request, next, owner)?;
        if let Some(client) = self.clients.get_mut(&again) {
            client.answered = answered;
            client.tried = tried;
        }
        if let Some(call) = self.dialogs.get_mut(&id) {
            call.peer = next;
            if let Some((open, _)) = &mut call.invite_out
                && *open == transaction
            {
                *open = again;
            }
        }
        Some(again)
    }

    /// 503 is the host's own word that it serves nobody: a proxy hands none on (RFC 3261 section 16.7).
    pub(super) fn is_passed_on(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        response: &Response,
    ) -> bool {
        response.status == StatusCode::SERVICE_UNAVAILABLE
            && self.ask_next_host(now, transaction).is_some()
    }

    /// The first host beside this one that answers and is not among those.
    fn other_host(&self, than: &Hop, tried: &[SocketAddr]) -> Option<Hop> {
        let site = self.site_of(than).iter();
        let mut others = site.filter(|host| {
            let was_tried = tried.iter().any(|tried| tried.ip() == host.address.ip());
            host.answers && host.transport == than.transport && !is_at(host, than) && !was_tried
        });
        others.next().map(|host| Hop {
            transport: host.transport,
            to: host.address,
            connection: None,
        })
    }

    fn site_of(&self, hop: &Hop) -> &[SiteHost] {
        let mut sites = self.sites.iter();
        let site = sites.find(|site| site.iter().any(|host| is_at(host, hop)));
        site.map_or(&[], Vec::as_slice)
    }
}

/// By its address alone: a host may speak from another port than it listens at.
fn is_at(host: &SiteHost, hop: &Hop) -> bool {
    host.address.ip().to_canonical() == hop.to.ip().to_canonical()
}
