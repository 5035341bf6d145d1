//! Audio codecs and their names in `a=rtpmap` (RFC 3551, RFC 7587).

use std::fmt;
use std::str::FromStr;

/// An audio codec that talkbridge can carry on the SIP side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 mu-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
    /// G.722, payload type 9. Its RTP clock is 8000 although it samples at 16000 (RFC 3551 section 4.5.2).
    G722,
    /// Opus, a dynamic payload type, always `opus/48000/2` (RFC 7587 section 7).
    Opus,
}

/// A codec name that is none of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown codec; expected pcmu, pcma, g722 or opus")]
pub struct UnknownCodec;

impl Codec {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pcmu, Self::Pcma, Self::G722, Self::Opus];

    /// The encoding name as registered, for `a=rtpmap`.
    #[must_use]
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }

    /// RTP clock in Hz.
    #[must_use]
    pub const fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Opus => 48_000,
        }
    }

    /// The third part of `a=rtpmap`, where the codec demands one.
    pub(crate) const fn channels(self) -> Option<u8> {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => None,
            Self::Opus => Some(2),
        }
    }

    /// The payload type that RFC 3551 section 6 gives it for ever.
    #[must_use]
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::Opus => None,
        }
    }

    /// The codec behind a static payload type.
    pub(crate) const fn from_static(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            9 => Some(Self::G722),
            _ => None,
        }
    }

    /// Reads what follows the payload type in `a=rtpmap`. Names are compared without regard to case
    /// (RFC 4855 section 3): SIP Server's end points write `pcmu/8000`.
    pub(crate) fn from_encoding(encoding: &Encoding<'_>) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| {
            encoding
                .name
                .eq_ignore_ascii_case(codec.encoding_name().as_bytes())
                && encoding.clock_rate_hz == codec.clock_rate_hz()
                && encoding.channels.unwrap_or(1) == codec.channels().unwrap_or(1)
        })
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcmu => "pcmu",
            Self::Pcma => "pcma",
            Self::G722 => "g722",
            Self::Opus => "opus",
        })
    }
}

impl FromStr for Codec {
    type Err = UnknownCodec;

    /// Reads the name used in configuration, in any case.
    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.encoding_name().eq_ignore_ascii_case(name))
            .ok_or(UnknownCodec)
    }
}

/// `name/clock[/channels]` of an `a=rtpmap` (RFC 8866 section 6.6).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Encoding<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) clock_rate_hz: u32,
    pub(crate) channels: Option<u8>,
}

impl<'a> Encoding<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let mut parts = value.trim_ascii().split(|byte| *byte == b'/');
        let name = parts.next().filter(|name| !name.is_empty())?;
        let clock_rate_hz = decimal(parts.next()?)?;
        let channels = match parts.next() {
            Some(text) => Some(decimal(text)?),
            None => None,
        };
        Some(Self {
            name,
            clock_rate_hz,
            channels,
        })
    }

    /// Telephone events (RFC 4733 section 7.1.1), whatever their clock.
    pub(crate) fn is_telephone_event(&self) -> bool {
        self.name.eq_ignore_ascii_case(b"telephone-event")
    }
}

/// A number in plain digits, no sign, no space. Too large for `T` is `None`, never a wrap.
pub(crate) fn decimal<T: FromStr>(text: &[u8]) -> Option<T> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn codec(rtpmap: &str) -> Option<Codec> {
        Codec::from_encoding(&Encoding::parse(rtpmap.as_bytes())?)
    }

    #[test]
    fn names_are_read_in_any_case_and_only_with_their_own_clock() {
        assert_eq!(codec("pcmu/8000"), Some(Codec::Pcmu));
        assert_eq!(codec("PCMA/8000/1"), Some(Codec::Pcma));
        assert_eq!(codec("opus/48000/2"), Some(Codec::Opus));
        assert_eq!(codec("PCMU/16000"), None);
        assert_eq!(codec("PCMU/8000/2"), None);
        assert_eq!(codec("opus/48000"), None);
        assert_eq!(codec("PCMU/99999999999"), None);
        assert_eq!(codec("PCMU"), None);
    }

    #[test]
    fn configuration_names_round_trip() {
        for codec in Codec::ALL {
            assert_eq!(codec.to_string().parse::<Codec>().unwrap(), codec);
        }
        assert!("g729".parse::<Codec>().is_err());
    }
}
