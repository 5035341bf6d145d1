//! Which of several hosts a request within a dialog goes to, and the next one where it fails (RFC 3263 section 4.3).
//!
//! Only where the next hop is a name: what an address names has no other. A name within a dialog is not resolved; it stands for the hosts of the
//! site that the host heard last is of. That is how a SIP Proxy in front of SIP Server works: its instances have one name, which stays
//! in the dialog, and any of them takes the next request.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::UserAgent;
use super::config::{SiteHost, Source};
use super::event::TransactionId;
use super::tables::{Hop, Owner};
use crate::dialog::{Dialog, Stage};
use crate::{Response, StatusCode};

/// The hosts of a site.
#[derive(Debug, Default)]
pub(super) struct Site {
    /// In order of preference.
    hosts: Vec<SiteHost>,
    /// Those that were among them, for as long as they are heard. Their names have been withdrawn: they take no requests.
    former: Vec<IpAddr>,
}

impl Site {
    fn lists(&self, hop: &Hop) -> bool {
        self.hosts.iter().any(|host| is_at(host, hop))
    }

    fn answers(&self, hop: &Hop) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.any(|host| is_at(host, hop) && host.answers)
    }
}

impl UserAgent {
    /// The hosts of each site in order of preference, from now on. Sites keep their places.
    pub fn set_sites(&mut self, sites: Vec<Vec<SiteHost>>) {
        let mut before = std::mem::take(&mut self.sites).into_iter();
        for hosts in sites {
            let Site { hosts: was, former } = before.next().unwrap_or_default();
            let was = was.iter().map(|host| host.address.ip().to_canonical());
            let is_former = |ip: &IpAddr| {
                let listed = |host: &SiteHost| host.address.ip().to_canonical() == *ip;
                self.peers.hears(*ip) && !hosts.iter().any(listed)
            };
            let mut former: Vec<IpAddr> = former.into_iter().chain(was).filter(is_former).collect();
            former.sort_unstable();
            former.dedup();
            self.sites.push(Site { hosts, former });
        }
    }

    /// Where the next request of a dialog goes. Behind a name a host that is known not to answer is passed over.
    pub(super) fn next_hop(&self, call: &Dialog) -> Hop {
        let hop = call.hop(|ip| self.peers.hears(ip));
        if !call.goes_by_name() {
            return hop;
        }
        let silent = self.site_of(&hop).filter(|site| !site.answers(&hop));
        let other = silent.and_then(|_| self.other_host(&hop, &[]));
        other.unwrap_or(hop)
    }

    /// The host that a request may be asked of in place of the one that did not take it. `None` when there is no other, or the request is not of
    /// the kind; once the call is being ended only BYE is.
    pub(super) fn next_host(&self, transaction: TransactionId) -> Option<Hop> {
        let client = self.clients.get(&transaction)?;
        let call = self.dialogs.get(&client.owner.dialog()?)?;
        let begins = matches!(client.owner, Owner::Invite(_));
        let late = call.stage == Stage::Ending && !matches!(client.owner, Owner::Bye(_));
        if begins || late || !call.goes_by_name() {
            return None;
        }
        self.other_host(&client.hop, &client.tried)
    }

    /// Asks the next host in place of the one that did not take the request of `transaction`: the same request in a new transaction, which knows
    /// that the one before may have read it.
    pub(super) fn ask_next_host(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        may_be_read: bool,
    ) -> Option<TransactionId> {
        let next = self.next_host(transaction)?;
        let client = self.clients.get(&transaction)?;
        let (id, asked) = (client.owner.dialog()?, client.hop.to);
        let request = client.request.clone();
        let again = self.send_again(now, transaction, request, next)?;
        if let Some(client) = self.clients.get_mut(&again) {
            client.tried.push(asked);
            client.may_be_read |= may_be_read;
        }
        if let Some(call) = self.dialogs.get_mut(&id)
            && let Some((open, _)) = &mut call.invite_out
            && *open == transaction
        {
            *open = again;
        }
        Some(again)
    }

    /// The host that was asked in another one's place has answered: the dialog's requests go there from now on.
    pub(super) fn stay_at_next_host(&mut self, transaction: TransactionId) {
        let Some(client) = self.clients.get(&transaction) else {
            return;
        };
        let moved = !client.tried.is_empty();
        let hop = client.hop;
        let call = client.owner.dialog().filter(|_| moved);
        if let Some(call) = call.and_then(|id| self.dialogs.get_mut(&id)) {
            call.peer = hop;
        }
    }

    /// 503 is the host's own word that it serves nobody: a proxy hands none on (RFC 3261 section 16.7).
    pub(super) fn is_passed_on(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        source: &Source,
        response: &Response,
    ) -> bool {
        if response.status != StatusCode::SERVICE_UNAVAILABLE {
            return false;
        }
        let Some(again) = self.ask_next_host(now, transaction, false) else {
            return false;
        };
        if let Some(client) = self.clients.get_mut(&again) {
            client.refused_before = Some(Box::new((*source, response.clone())));
        }
        true
    }

    /// The first host beside this one that answers and is not among those.
    fn other_host(&self, than: &Hop, tried: &[SocketAddr]) -> Option<Hop> {
        let site = self.site_of(than)?;
        let mut others = site.hosts.iter().filter(|host| {
            let was_tried = tried.iter().any(|tried| tried.ip() == host.address.ip());
            host.answers && host.transport == than.transport && !is_at(host, than) && !was_tried
        });
        others.next().map(|host| Hop {
            transport: host.transport,
            to: host.address,
            connection: None,
        })
    }

    /// Whether one registrar stands behind both, as far as is configured: the hosts of a site have one between them.
    pub(super) fn are_of_one_site(&self, one: SocketAddr, other: SocketAddr) -> bool {
        let lists = |site: &Site, address: SocketAddr| {
            let mut hosts = site.hosts.iter();
            hosts.any(|host| host.address == address)
        };
        let mut sites = self.sites.iter();
        sites.any(|site| lists(site, one) && lists(site, other))
    }

    fn site_of(&self, hop: &Hop) -> Option<&Site> {
        let ip = hop.to.ip().to_canonical();
        let mut sites = self.sites.iter();
        let present = sites.clone().find(|site| site.lists(hop));
        present.or_else(|| sites.find(|site| site.former.contains(&ip)))
    }
}

/// By its address alone: a host may speak from another port than it listens at.
fn is_at(host: &SiteHost, hop: &Hop) -> bool {
    host.address.ip().to_canonical() == hop.to.ip().to_canonical()
}
