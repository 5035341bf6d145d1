//! The hosts that may speak SIP to us, while their list changes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use super::event::Event;
use super::limits::FORMER_PEERS_EVERY;
use super::{UserAgent, Wake};
use crate::dialog::Dialog;

/// Whom we hear.
#[derive(Debug)]
pub(super) struct Peers {
    /// The SIP Servers.
    listed: Vec<IpAddr>,
    /// Those that were, for as long as they hold a dialog.
    leaving: Vec<IpAddr>,
}

impl Peers {
    pub(super) fn new(listed: &[IpAddr]) -> Self {
        Self {
            listed: canonical(listed),
            leaving: Vec::new(),
        }
    }

    /// Whether `host` may speak SIP to us. An IPv4 address inside IPv6 is the IPv4 address.
    pub(super) fn hears(&self, host: IpAddr) -> bool {
        let host = host.to_canonical();
        self.listed.contains(&host) || self.leaving.contains(&host)
    }

    fn heard(&self) -> Vec<IpAddr> {
        self.listed.iter().chain(&self.leaving).copied().collect()
    }
}

fn canonical(hosts: &[IpAddr]) -> Vec<IpAddr> {
    let mut hosts: Vec<IpAddr> = hosts.iter().map(IpAddr::to_canonical).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

impl UserAgent {
    /// The hosts that may speak SIP to us from now on. One that is no longer among them is heard until the last dialog with it is over, so
    /// that a call can end in order. [`Event::Peers`] tells each change.
    pub fn set_allowed(&mut self, now: Instant, hosts: &[IpAddr]) {
        let before = self.peers.heard();
        let listed = canonical(hosts);
        let former = before.iter().filter(|host| !listed.contains(host));
        self.peers = Peers {
            leaving: former.copied().collect(),
            listed,
        };
        self.forget_idle_peers();
        self.tell_peers(&before);
        self.watch_former_peers(now);
    }

    /// A dialog may leave a former host in the middle of its life as well, for another one of its site.
    pub(super) fn on_former_peers_due(&mut self, now: Instant) {
        self.let_idle_peers_go();
        self.watch_former_peers(now);
    }

    fn watch_former_peers(&mut self, now: Instant) {
        let at = (!self.peers.leaving.is_empty()).then(|| now + FORMER_PEERS_EVERY);
        self.agenda.set(&Wake::FormerPeers, at);
    }

    /// A dialog with these hosts is over, or a request of theirs in one: it may have been the last of a host that is no SIP Server any more.
    /// Only then is everything looked through.
    pub(super) fn settle_peers(&mut self, hosts: &[IpAddr]) {
        let leaving = |host: &IpAddr| self.peers.leaving.contains(&host.to_canonical());
        if !hosts.iter().any(leaving) {
            return;
        }
        self.let_idle_peers_go();
    }

    fn let_idle_peers_go(&mut self) {
        let before = self.peers.heard();
        self.forget_idle_peers();
        self.tell_peers(&before);
    }

    fn forget_idle_peers(&mut self) {
        if self.peers.leaving.is_empty() {
            return;
        }
        let of_dialogs = self.dialogs.values().flat_map(Dialog::hosts);
        // A BYE that ended the last dialog is repeated when our 200 is lost.
        let of_dialogs_lately = self
            .servers
            .values()
            .filter(|server| server.dialog.is_some());
        let asked = of_dialogs_lately.map(|server| server.hop.to.ip());
        let busy: BTreeSet<IpAddr> = of_dialogs
            .chain(asked)
            .map(|host| host.to_canonical())
            .collect();
        self.peers.leaving.retain(|host| busy.contains(host));
    }

    fn tell_peers(&mut self, before: &[IpAddr]) {
        let hosts = self.peers.heard();
        if hosts != before {
            self.emit(Event::Peers { hosts });
        }
    }
}
