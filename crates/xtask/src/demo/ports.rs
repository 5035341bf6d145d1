//! The addresses of the demo: the usual ones, or free ones when those are taken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// RTP ports of the demo: a few calls, each a pair.
const RTP_PORTS: u16 = 40;

/// Where the search for free RTP ports begins and ends: below the range from which the system gives.
const RTP_SEARCH: std::ops::Range<u16> = 16_384..32_000;

/// Every address that the two programs listen on.
#[derive(Debug)]
pub(super) struct Addresses {
    /// The simulated SIP Server, UDP and TCP.
    pub(super) server_sip: SocketAddr,
    /// Its desk.
    pub(super) desk: SocketAddr,
    /// talkbridge towards SIP Server.
    pub(super) gateway_sip: SocketAddr,
    /// The agent's page. Plain HTTP is a secure context on the loopback address only.
    pub(super) page: SocketAddr,
    /// The administration interface.
    pub(super) admin: SocketAddr,
    /// WebRTC. Firefox sends nothing to a loopback address, so this is one of the machine's own if it has any.
    pub(super) webrtc: SocketAddr,
    /// First of [`RTP_PORTS`] ports towards SIP Server.
    pub(super) rtp_first: u16,
}

impl Addresses {
    /// Finds an address for everything.
    pub(super) fn choose() -> io::Result<Self> {
        Ok(Self {
            server_sip: free(LOOPBACK, 5060)?,
            desk: free(LOOPBACK, 8090)?,
            gateway_sip: free(LOOPBACK, 5070)?,
            page: free(LOOPBACK, 8080)?,
            admin: free(LOOPBACK, 9090)?,
            webrtc: free(own_address(), 40_000)?,
            rtp_first: free_range()?,
        })
    }

    /// The last RTP port.
    pub(super) fn rtp_last(&self) -> u16 {
        self.rtp_first + RTP_PORTS - 1
    }
}

/// The preferred port if TCP and UDP can have it, else one that the system knows to be free.
fn free(ip: IpAddr, preferred: u16) -> io::Result<SocketAddr> {
    let wanted = SocketAddr::new(ip, preferred);
    if is_free(wanted) {
        return Ok(wanted);
    }
    loop {
        let found = TcpListener::bind(SocketAddr::new(ip, 0))?.local_addr()?;
        if is_free(found) {
            return Ok(found);
        }
    }
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

/// The beginning of a run of UDP ports of which none is taken.
fn free_range() -> io::Result<u16> {
    RTP_SEARCH
        .step_by(usize::from(RTP_PORTS))
        .find(|first| {
            (*first..first + RTP_PORTS).all(|port| UdpSocket::bind((LOOPBACK, port)).is_ok())
        })
        .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no run of UDP ports is free"))
}

/// The address from which this machine would reach others; loopback when it reaches nobody. Nothing is sent.
fn own_address() -> IpAddr {
    let route = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // An address of the documentation range: only the choice of the route matters.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    route().map_or(LOOPBACK, |address: SocketAddr| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced() {
        let taken = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let preferred = taken.local_addr().unwrap();
        let chosen = free(LOOPBACK, preferred.port()).unwrap();
        assert_ne!(chosen, preferred);
        assert!(is_free(chosen));
    }
}
