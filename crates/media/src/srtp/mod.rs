//! SRTP and SRTCP (RFC 3711) of both sides, with the suites of SDES and of DTLS-SRTP: AES in counter mode with HMAC-SHA1 (RFC 3711, RFC 6188) and AES-GCM
//! (RFC 7714).
//!
//! Framing, indices and replay windows are here; AES, GCM and HMAC are aws-lc's. A packet is changed in place, and nothing is allocated for
//! one. What does not pass has changed nothing: no index, no window, no stream.

mod context;
mod derive;
mod index;
mod key;
mod suite;
#[cfg(test)]
mod tests;
mod transform;

pub use context::{Receiver, Sender};
pub use key::{Keys, MasterKey, Mki};
pub use suite::Suite;

/// Octets that SRTP adds to a packet at most.
pub const RTP_OVERHEAD: usize = 16;

/// Octets that SRTCP adds to a packet at most: the tag, and the index behind it.
pub const RTCP_OVERHEAD: usize = 16 + 4;

/// Why a packet was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too short for what it has to hold, or no RTP.
    #[error("not a secured packet")]
    Malformed,
    /// Seen before, or too old to tell.
    #[error("a replay")]
    Replay,
    /// The tag, or the key's identifier, is another one.
    #[error("the tag does not fit")]
    Tag,
}
