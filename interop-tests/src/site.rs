//! A site of its own for every test: the hosts of a deployment as loopback addresses.
//!
//! Linux routes the whole of 127.0.0.0/8 to the loopback interface, so each test takes a /24 of it
//! and every party in it listens on its well-known port. No port has to be guessed free, and a
//! packet's source address tells who sent it, as it does beside a real SIP Server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// The port that is held on the guard address for as long as a site is in use.
const GUARD_PORT: u16 = 9;

/// Sites in this process, so that each starts its search elsewhere.
static SITES: AtomicU32 = AtomicU32::new(0);

/// The addresses of one test. Freed on drop.
#[derive(Debug)]
pub struct Site {
    net: [u8; 3],
    _guard: Option<UdpSocket>,
}

impl Site {
    /// Takes a /24 that no other test on this machine uses.
    ///
    /// # Panics
    /// When 60,000 sites are in use.
    pub fn new() -> Self {
        let start = std::process::id()
            .wrapping_mul(2_654_435_761)
            .wrapping_add(SITES.fetch_add(1, Ordering::Relaxed).wrapping_mul(7919));
        for step in 0..60_000_u32 {
            let at = start.wrapping_add(step);
            // Never 127.0/16, where everybody else's tests and services listen.
            let (b, c) = ((1 + (at >> 24) % 255) as u8, (at >> 16) as u8 ^ at as u8);
            if let Ok(guard) = UdpSocket::bind((Ipv4Addr::new(127, b, c, 254), GUARD_PORT)) {
                return Self {
                    net: [127, b, c],
                    _guard: Some(guard),
                };
            }
        }
        panic!("no free loopback network");
    }

    /// The addresses of a network namespace of the test's own, where nobody else is: those of RFC 5737.
    pub fn alone() -> Self {
        Self {
            net: [192, 0, 2],
            _guard: None,
        }
    }

    fn host(&self, last: u8) -> IpAddr {
        let [a, b, c] = self.net;
        IpAddr::V4(Ipv4Addr::new(a, b, c, last))
    }

    /// Those of talkbridge, the customer and the browsers: all of the site but SIP Server.
    pub fn our_side(&self) -> [IpAddr; 3] {
        [self.gateway(), self.media(), self.browsers()]
    }

    /// The same, and SIP Server.
    pub fn with_sip_server(&self) -> Vec<IpAddr> {
        let mut all = self.our_side().to_vec();
        all.push(self.sip_server());
        all
    }

    /// Where administrators connect: loopback, as it is unless they have a token.
    pub fn admin(&self) -> SocketAddr {
        let gateway = self.gateway();
        let host = match gateway.is_loopback() {
            true => gateway,
            false => Ipv4Addr::LOCALHOST.into(),
        };
        SocketAddr::new(host, 9090)
    }

    /// talkbridge: SIP 5060, agents' HTTP 8080, admin 9090, WebRTC 40000, RTP 16384 and up.
    pub fn gateway(&self) -> IpAddr {
        self.host(1)
    }

    /// SIP Server: where the DNs register and where calls come from.
    pub fn sip_server(&self) -> IpAddr {
        self.host(2)
    }

    /// The other host of a SIP Server pair, where a test has one.
    pub fn second_server(&self) -> IpAddr {
        self.host(4)
    }

    /// The host where the customer's media ends.
    pub fn media(&self) -> IpAddr {
        self.host(3)
    }

    /// A proxy or registrar of other people's making.
    pub fn proxy(&self) -> IpAddr {
        self.host(4)
    }

    /// A telephone of other people's making.
    pub fn telephone(&self) -> IpAddr {
        self.host(5)
    }

    /// The agents' browsers.
    pub fn browsers(&self) -> IpAddr {
        self.host(30)
    }

    /// A host that is no party to anything.
    pub fn stranger(&self) -> IpAddr {
        self.host(66)
    }

    /// Further hosts that are no party to anything, up to 100 of them.
    pub fn crowd(&self, nth: u8) -> IpAddr {
        self.host(100 + nth % 100)
    }

    /// The gateway's SIP port.
    pub fn gateway_sip(&self) -> SocketAddr {
        SocketAddr::new(self.gateway(), 5060)
    }

    /// SIP Server's port, to which the gateway registers.
    pub fn server_sip(&self) -> SocketAddr {
        SocketAddr::new(self.sip_server(), 5060)
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}
