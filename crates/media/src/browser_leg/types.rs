//! The words in which a leg is spoken to and speaks.

use std::net::SocketAddr;
use std::time::Duration;

use str0m::net::DatagramSend;
use thiserror::Error;

use super::guard::SdpRefusal;
use crate::packet::Header;

/// What carries datagrams between a browser and us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// UDP, as they are.
    Udp,
    /// TCP, each behind its length ([`crate::framing`]).
    Tcp,
}

/// Where a browser is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// By what.
    pub carrier: Carrier,
    /// Its address, as we see it.
    pub address: SocketAddr,
}

impl Endpoint {
    /// The browser's end of a connection that it has opened.
    #[must_use]
    pub const fn tcp(address: SocketAddr) -> Self {
        Self {
            carrier: Carrier::Tcp,
            address,
        }
    }
}

/// By UDP, as nearly always.
impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self {
            carrier: Carrier::Udp,
            address,
        }
    }
}

/// How a leg comes into being and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegKind {
    /// Offered at sign-in, stays for the session.
    Warm,
    /// Belongs to one call; fails unless it is connected within this time of its birth.
    PerCall {
        /// The time it has.
        ready_within: Duration,
    },
}

/// State of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegState {
    /// Nothing is negotiated.
    New,
    /// Our offer is out.
    Offered,
    /// ICE and DTLS are under way.
    Connecting,
    /// Media can flow.
    Connected,
    /// Consent is lost, and may come back.
    Disconnected,
    /// Ended on purpose, by either side.
    Closed,
    /// Ended otherwise.
    Failed(Failure),
}

impl LegState {
    /// ICE and DTLS are up; the browser may be out of reach for a while.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Connected | Self::Disconnected)
    }

    /// The leg is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Failed(_))
    }
}

/// Why a leg failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// The browser did not answer the offer within its time.
    #[error("the offer was not answered")]
    Unanswered,
    /// ICE found no path within its time.
    #[error("ICE found no path")]
    NoPath,
    /// ICE was up, but DTLS did not come to an end.
    #[error("the DTLS handshake did not finish")]
    Handshake,
    /// The same behind a sign that somebody else has a hand in it, or that the browser has given up.
    #[error("the DTLS handshake was disturbed")]
    Disturbed,
    /// The certificate of the handshake is not the one of the description.
    #[error("the certificate is not the one that the description names")]
    Certificate,
    /// Consent was lost and did not come back.
    #[error("consent was lost")]
    Consent,
    /// The session description was refused.
    #[error("the session description was refused")]
    Description,
    /// The engine gave up: a broken handshake.
    #[error("the WebRTC engine gave up")]
    Engine,
    /// The browser changed its address more often than a browser can.
    #[error("too many address changes")]
    AddressChanges,
}

/// Why a request to a leg was not obeyed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LegError {
    /// The leg's state does not allow it; the leg is as it was.
    #[error("the state of the leg does not allow it")]
    State,
    /// The description is refused, and the leg has failed.
    #[error(transparent)]
    Refused(#[from] SdpRefusal),
    /// The engine refuses the description, and the leg has failed.
    #[error("{0}")]
    Engine(String),
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The engine took it.
    Taken,
    /// DTLS that came early; it is kept until its address is checked.
    Kept,
    /// It changed nothing.
    Refused(Refusal),
}

/// Why a datagram changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The leg is over.
    Over,
    /// It is none of STUN, DTLS, RTP.
    Malformed,
    /// STUN that is not signed with our password, or by another than the browser we negotiated with.
    BadIntegrity,
    /// DTLS from an address without an authenticated check or of somebody who has not shown that he hears us, or a ClientHello that leads nowhere.
    UnvalidatedDtls,
    /// RTP from an address without an authenticated check.
    UnknownSource,
    /// SRTP that did not pass: wrong tag, or a replay.
    Srtp,
}

/// What a secured datagram of the browser was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Speech or a key; the datagram is opened, and the payload lies where the header says.
    Media(Header),
    /// RTCP. What it says comes with [`LegOutput::Reported`].
    Report,
    /// The handshake has not come to its end, so nobody can open it.
    TooEarly,
}

/// A packet to the browser.
#[derive(Clone, Copy, Debug)]
pub struct SendPacket<'a> {
    /// One of the negotiated payload types.
    pub payload_type: u8,
    /// Extended sequence number; each is used once.
    pub sequence: u64,
    /// Timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Payload.
    pub payload: &'a [u8],
    /// Conversion of the law.
    pub map: Option<&'static [u8; 256]>,
}

/// What a leg has to say.
#[derive(Debug)]
pub enum LegOutput {
    /// Send this from the WebRTC port, or on the connection.
    Transmit {
        /// To whom.
        to: Endpoint,
        /// The datagram.
        datagram: DatagramSend,
    },
    /// An authenticated check from this address was answered: datagrams from it are this leg's.
    Reachable(Endpoint),
    /// What the browser reports of what we send (RTCP).
    Reported {
        /// The share of our packets it lost lately, in percent.
        loss_percent: Option<u8>,
        /// Round-trip time.
        round_trip: Option<Duration>,
        /// What it counts.
        counts: Counts,
    },
    /// The state changed.
    State(LegState),
}

/// What a browser counts of our stream since it began to listen (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Packets that it lost.
    pub lost: u64,
    /// The highest number that came, extended.
    pub highest: u32,
    /// Interarrival jitter now, in ticks.
    pub jitter_ticks: u32,
}

/// How long it took to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectTimes {
    /// From the exchange of descriptions to ICE connected.
    pub ice: Option<Duration>,
    /// From ICE connected to DTLS finished.
    pub dtls: Option<Duration>,
}
