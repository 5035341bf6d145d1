//! Causes of refusal.

use crate::limits;

/// Why bytes are no session description. `line` counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// No line at all.
    #[error("the description is empty")]
    Empty,
    /// More than [`limits::MAX_BYTES`].
    #[error("the description is longer than {} bytes", limits::MAX_BYTES)]
    TooLong,
    /// More than [`limits::MAX_LINES`].
    #[error("the description has more than {} lines", limits::MAX_LINES)]
    TooManyLines,
    /// More than [`limits::MAX_MEDIA`].
    #[error("line {line}: more than {} media descriptions", limits::MAX_MEDIA)]
    TooManyMedia {
        /// Where it stands.
        line: usize,
    },
    /// More than [`limits::MAX_LINE_BYTES`].
    #[error("line {line}: longer than {} bytes", limits::MAX_LINE_BYTES)]
    LineTooLong {
        /// Where it stands.
        line: usize,
    },
    /// More than [`limits::MAX_FORMATS`].
    #[error("line {line}: more than {} formats", limits::MAX_FORMATS)]
    TooManyFormats {
        /// Where it stands.
        line: usize,
    },
    /// Does not begin with `v=0` (RFC 8866 section 5.1).
    #[error("the description does not begin with v=0")]
    Version,
    /// NUL, or a carriage return that ends no line (RFC 8866 section 9, `byte-string`).
    #[error("line {line}: an octet that no line may hold")]
    Octet {
        /// Where it stands.
        line: usize,
    },
    /// Not of the form `<letter>=<value>`.
    #[error("line {line}: not of the form <letter>=<value>")]
    Shape {
        /// Where it stands.
        line: usize,
    },
    /// `m=` without a media type, port, protocol or format, or with a port above 65535.
    #[error("line {line}: not a media description")]
    Media {
        /// Where it stands.
        line: usize,
    },
    /// A format of an RTP profile that is no number from 0 to 127 (RFC 3550 section 5.1).
    #[error("line {line}: not a payload type")]
    PayloadType {
        /// Where it stands.
        line: usize,
    },
}

/// Why an offer or an answer of the peer cannot be used. To an INVITE the answer is 488 (RFC 3261
/// section 13.3.1.3), to a body that does not parse 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// Not a session description.
    #[error("not a session description: {0}")]
    Parse(#[from] ParseError),
    /// No `m=audio` line.
    #[error("no audio is described")]
    NoAudio,
    /// Audio is there, but only by a profile that is not `RTP/AVP` or `RTP/SAVP`, with or without feedback.
    #[error("audio is described for a profile that is not ours only")]
    UnsupportedProfile,
    /// `RTP/SAVP` where SRTP is off.
    #[error("SRTP where it is off")]
    SrtpOff,
    /// No codec that both sides have. Telephone events alone are no codec.
    #[error("no audio codec in common")]
    NoCommonCodec,
    /// Plain RTP where SRTP is required.
    #[error("plain RTP where SRTP is required")]
    SrtpRequired,
    /// `RTP/SAVP` without a key that we can use (RFC 4568).
    #[error("SRTP without a crypto suite in common")]
    NoCommonSuite,
    /// An answer that takes up none of the keys that we offered, or several (RFC 4568 section 7.1.3).
    #[error("the answer takes up no key of the offer")]
    ForeignKey,
    /// No `c=` line for the audio.
    #[error("no connection address for the audio")]
    NoAddress,
    /// The `c=` line holds a host name or something else that is no IP address.
    #[error("the connection address is not an IP address")]
    UnusableAddress,
    /// Multicast or broadcast.
    #[error("the connection address is not unicast")]
    NotUnicast,
    /// IPv6 towards an IPv4 socket of ours, or the reverse.
    #[error("the connection address is of the other IP version")]
    AddressFamily,
    /// An answer came although no offer of ours is open.
    #[error("an answer without an open offer")]
    NoOffer,
}
