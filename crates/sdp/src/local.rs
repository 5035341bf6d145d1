//! Our own end of the audio.

use std::net::IpAddr;

use crate::Codec;

/// Where and how we receive audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMedia {
    /// The address that goes into `c=` and `o=`: the one the peer can reach.
    pub address: IpAddr,
    /// RTP port; RTCP is the next one.
    pub port: u16,
    /// Codecs in the order of preference of our offers. An empty list is taken as PCMU, which every peer has.
    pub codecs: Vec<Codec>,
    /// Whether telephone events (RFC 4733) are offered and accepted.
    pub telephone_event: bool,
}

impl LocalMedia {
    /// The codecs, never none.
    pub(crate) fn codecs(&self) -> &[Codec] {
        if self.codecs.is_empty() {
            &[Codec::Pcmu]
        } else {
            &self.codecs
        }
    }
}
