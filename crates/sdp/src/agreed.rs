//! What an offer and its answer come to.

use std::net::SocketAddr;

use crate::{AgreedSrtp, Codec, Direction};

/// How telephone events (RFC 4733) are sent and received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Their payload type.
    pub payload_type: u8,
    /// Their clock in Hz: the codec's, or 8000 where a peer has no other.
    pub clock_rate_hz: u32,
}

/// Payload types of the codec and of telephone events, as one side numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The codec's.
    pub codec: u8,
    /// That of telephone events, where there are any.
    pub telephone_event: Option<u8>,
}

/// The outcome of one exchange of offer and answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The codec that is spoken.
    pub codec: Codec,
    /// Its payload type in what we send, as the peer numbers it.
    pub payload_type: u8,
    /// Telephone events, when both sides have them; the number is the peer's too.
    pub telephone_event: Option<TelephoneEvent>,
    /// How we number both, and so what the peer sends. After an offer of ours that may differ from the peer's numbers (RFC 3264 section 6.1);
    /// an answer of ours takes them over.
    pub ours: Numbers,
    /// Where our RTP goes. `None` when it must go nowhere: `c=0.0.0.0` (RFC 3264 section 8.4), port 0, or
    /// our own description echoed back.
    pub remote: Option<SocketAddr>,
    /// Where our RTCP goes: `a=rtcp` (RFC 3605), else the port above RTP. `None` where `remote` is `None`.
    pub remote_rtcp: Option<SocketAddr>,
    /// How the audio is secured; `None`: it is not. What was agreed before stays while a description leads nowhere.
    pub srtp: Option<AgreedSrtp>,
    /// Ours: what we may send and receive.
    pub direction: Direction,
    /// The peer wants to be told how our audio sounds to it, and its to us, in the VoIP metrics of RTCP (RFC 3611 section 5).
    pub voip_metrics: bool,
    /// The peer prefers that nothing is sent while nobody speaks (`usedtx=1`, RFC 7587 section 6.1); only of Opus.
    pub dtx: bool,
    /// The packet time that the peer asks for, in ms.
    pub ptime_ms: Option<u16>,
    /// The longest packet that the peer takes, in ms.
    pub maxptime_ms: Option<u16>,
    /// The description is our own, with our address and port: SIP Server does that in the ACK before it
    /// ends a call that the other side refused. Nothing is sent then.
    pub echo: bool,
    /// The peer does not want to hear us: `sendonly`, `inactive`, `c=0.0.0.0` or port 0. An echo is no hold.
    pub held_by_remote: bool,
}
