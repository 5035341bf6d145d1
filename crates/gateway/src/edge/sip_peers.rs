//! The hosts that may speak SIP to us, as the sockets see them: told by the control loop, read for each datagram and connection.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock};

/// The SIP Servers of this moment.
#[derive(Debug, Default)]
pub struct SipPeers {
    hosts: RwLock<Vec<IpAddr>>,
    names: RwLock<BTreeMap<SocketAddr, String>>,
}

impl SipPeers {
    /// Begins with these.
    #[must_use]
    pub fn new(hosts: impl IntoIterator<Item = IpAddr>) -> Self {
        let peers = Self::default();
        peers.set(hosts);
        peers
    }

    /// Only these from now on.
    pub fn set(&self, hosts: impl IntoIterator<Item = IpAddr>) {
        let hosts = hosts.into_iter().map(|host| host.to_canonical()).collect();
        *self.hosts.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// Whether `host` is a SIP Server. An IPv4 address inside IPv6 is the IPv4 address.
    #[must_use]
    pub fn holds(&self, host: IpAddr) -> bool {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        hosts.contains(&host.to_canonical())
    }

    /// These addresses were found under these names. Names of hosts that are no SIP Servers any more are forgotten.
    pub fn name(&self, names: BTreeMap<SocketAddr, String>) {
        let mut known = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        known.retain(|at, _| hosts.contains(&at.ip().to_canonical()));
        known.extend(names);
    }

    /// The name that a server's certificate must be for, where it was found by one.
    #[must_use]
    pub fn name_of(&self, server: SocketAddr) -> Option<String> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.get(&server).cloned()
    }
}
