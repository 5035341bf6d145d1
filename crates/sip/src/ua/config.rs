//! What a user agent is given: its addresses, its policy, and the orders that carry many fields.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::digest::Credentials;
use crate::timer::Timers;
use crate::{HeaderName, Uri};

/// How SIP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams, repeated by the transactions.
    Udp,
    /// A stream.
    Tcp,
    /// A stream over TLS.
    Tls,
}

impl Transport {
    /// Whether the network repeats lost octets itself, so that timers A, E and G stay off.
    #[must_use]
    pub fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// The name in Via.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// The port that a URI or Via without one means (RFC 3261 section 19.1.2).
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }

    pub(crate) fn from_param(value: &[u8]) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls]
            .into_iter()
            .find(|transport| transport.as_str().as_bytes().eq_ignore_ascii_case(value))
    }

    /// What follows `host:port` in our Contact; UDP is what a URI without the parameter means.
    pub(crate) fn contact_param(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Tcp => ";transport=tcp",
            Self::Tls => ";transport=tls",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stream connection; the shell chooses the number and never uses it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Where a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// How it travelled.
    pub transport: Transport,
    /// The address it left from.
    pub remote: SocketAddr,
    /// The stream it came on; `None` for datagrams.
    pub connection: Option<ConnectionId>,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// How it travels.
    pub transport: Transport,
    /// Where it goes when there is no open `connection`.
    pub to: SocketAddr,
    /// The stream to use while it is open.
    pub connection: Option<ConnectionId>,
    /// The whole message.
    pub bytes: Vec<u8>,
}

/// What a stranger's request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refusal {
    /// Nothing: the port looks closed.
    #[default]
    Silent,
    /// `403 Forbidden`, which helps to find a mistake in the list of servers.
    Forbidden,
}

/// How DNs are registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationPolicy {
    /// Life of a registration that is asked for, seconds.
    pub expires_s: u32,
    /// REGISTER requests a second, over all DNs and sites; an answer to a challenge follows at once.
    pub start_rate_per_s: u32,
    /// Wait after the first failure, seconds; it doubles with each further one.
    pub retry_s: u32,
    /// Longest wait between two tries, seconds.
    pub retry_max_s: u32,
}

impl Default for RegistrationPolicy {
    fn default() -> Self {
        Self {
            expires_s: 600,
            start_rate_per_s: 50,
            retry_s: 10,
            retry_max_s: 300,
        }
    }
}

/// Everything a user agent knows from birth.
#[derive(Debug, Clone)]
pub struct UaConfig {
    /// The addresses that Via and Contact name, one for each transport in use.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// The hosts that may speak SIP to us: the SIP Servers, until [`super::UserAgent::set_allowed`] names others. An empty list admits
    /// nobody.
    pub allowed: Vec<IpAddr>,
    /// What all others get.
    pub refusal: Refusal,
    /// `User-Agent` of requests, `Server` of responses; none when empty.
    pub user_agent: String,
    /// Base values of all timers.
    pub timers: Timers,
    /// How DNs are registered.
    pub registration: RegistrationPolicy,
    /// The session interval that we ask for (RFC 4028), seconds, at least [`crate::session_timer::MIN_SE_S`]; none when `None`.
    pub session_expires_s: Option<u32>,
    /// The realm of the SIP Servers, where REGISTER is not challenged and so does not tell it: a challenge to a call is answered in
    /// this realm too.
    pub realm: Option<String>,
}

impl UaConfig {
    /// The address that we name to a peer reached by `transport`.
    pub(crate) fn address(&self, transport: Transport) -> Option<SocketAddr> {
        let same = self.listen.iter().find(|(own, _)| *own == transport);
        same.or(self.listen.first()).map(|(_, address)| *address)
    }
}

/// A call of ours.
#[derive(Debug, Clone)]
pub struct OutgoingInvite {
    /// The DN that calls: user of From and Contact.
    pub dn: String,
    /// Request-URI and To. The host of From is its host.
    pub target: Uri,
    /// The SIP Server that takes the call.
    pub to: SocketAddr,
    /// How it is reached.
    pub transport: Transport,
    /// The offer; `None` leaves it to the other side.
    pub sdp: Option<Vec<u8>>,
    /// Further header lines.
    pub headers: Vec<(HeaderName, Vec<u8>)>,
    /// Answer to a challenge, see the rule at [`super::UserAgent`].
    pub credentials: Option<Credentials>,
}

/// One of several SIP Servers, or pairs of them, that each hold a registration of a DN at the same
/// time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SiteId(pub u16);

/// One of the hosts that a site's name stands for: a SIP Server, or an instance of its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteHost {
    /// How it is reached.
    pub transport: Transport,
    /// Where it listens.
    pub address: SocketAddr,
    /// It answers, as far as is known.
    pub answers: bool,
}

/// A DN to keep registered.
#[derive(Debug, Clone)]
pub struct RegisterDn {
    /// The DN: user of From, To and Contact.
    pub dn: String,
    /// Where; a DN has one registration a site, with a Call-ID of its own.
    pub site: SiteId,
    /// The SIP Server's address.
    pub server: SocketAddr,
    /// How it is reached.
    pub transport: Transport,
    /// `host[:port]` of the address of record, as SIP Server shall use it in To.
    pub domain: String,
    /// Answer to a challenge; without them a challenge is a failure.
    pub credentials: Option<Credentials>,
}
