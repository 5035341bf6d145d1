//! The audio that a peer describes: which line is ours, where it goes, what it can speak.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::codec::{Encoding, decimal};
use crate::crypto::{CryptoLine, Keyring, SrtpPolicy};
use crate::error::NegotiationError;
use crate::limits;
use crate::{
    Codec, Direction, LocalMedia, MediaDescription, Numbers, SessionDescription, TelephoneEvent,
};

/// Clock of the telephone events that go with G.711 and G.722.
const NARROW_CLOCK_HZ: u32 = 8_000;

/// What a format of the peer means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Audio(Codec),
    TelephoneEvent { clock_rate_hz: u32 },
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) payload_type: u8,
    pub(crate) meaning: Meaning,
}

/// The codec both sides have, with the numbers of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) codec: Codec,
    pub(crate) payload_type: u8,
    pub(crate) telephone_event: Option<TelephoneEvent>,
}

impl Choice {
    pub(crate) fn numbers(self) -> Numbers {
        Numbers {
            codec: self.payload_type,
            telephone_event: self.telephone_event.map(|event| event.payload_type),
        }
    }
}

/// The profile of an audio line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    /// `SAVP`: it has keys.
    pub(crate) secured: bool,
    /// `AVPF`: reports may come sooner (RFC 4585). Ours do not, which it allows, so it differs by its name alone.
    pub(crate) feedback: bool,
}

impl Profile {
    pub(crate) const AVP: Self = Self {
        secured: false,
        feedback: false,
    };

    fn of(media: &MediaDescription) -> Option<Self> {
        let all = [(false, false), (false, true), (true, false), (true, true)];
        let mut all = all
            .map(|(secured, feedback)| Self { secured, feedback })
            .into_iter();
        all.find(|profile| {
            media
                .protocol
                .eq_ignore_ascii_case(profile.as_str().as_bytes())
        })
    }

    pub(crate) const fn with_keys(self, secured: bool) -> Self {
        Self { secured, ..self }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match (self.secured, self.feedback) {
            (false, false) => "RTP/AVP",
            (false, true) => "RTP/AVPF",
            (true, false) => "RTP/SAVP",
            (true, true) => "RTP/SAVPF",
        }
    }
}

/// The first usable audio line of a peer's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteAudio {
    /// Which `m=` line it is.
    pub(crate) index: usize,
    pub(crate) profile: Profile,
    /// Its keys, as far as we understand them.
    pub(crate) crypto: Vec<CryptoLine>,
    /// How many lines it has for keys, understood or not.
    pub(crate) crypto_lines: usize,
    /// `None`: port 0 and nothing in common, so there is nothing to choose from.
    pub(crate) choice: Option<Choice>,
    pub(crate) formats: Vec<Format>,
    /// Port 0.
    pub(crate) disabled: bool,
    /// As written, even when it must not be sent to. `None` for port 0.
    pub(crate) rtp: Option<SocketAddr>,
    pub(crate) rtcp: Option<SocketAddr>,
    pub(crate) direction: Direction,
    pub(crate) voip_metrics: bool,
    pub(crate) dtx: bool,
    pub(crate) ptime_ms: Option<u16>,
    pub(crate) maxptime_ms: Option<u16>,
}

impl RemoteAudio {
    /// Finds the line: the first secured audio that can be used, else the first plain one, else the first that is switched off by port 0.
    /// Who offers both wants one of them.
    pub(crate) fn find(
        description: &SessionDescription,
        local: &LocalMedia,
        keyring: &Keyring,
    ) -> Result<Self, NegotiationError> {
        let mut refusal = NegotiationError::NoAudio;
        let mut disabled = None;
        let mut plain = None;
        for (index, media) in description.media.iter().enumerate() {
            if !media.is_audio() {
                continue;
            }
            match Self::read(description, index, local, keyring) {
                Ok(audio) if audio.disabled => disabled = disabled.or(Some(audio)),
                Ok(audio) if !audio.crypto.is_empty() => return Ok(audio),
                Ok(audio) => plain = plain.or(Some(audio)),
                Err(cause) if refusal == NegotiationError::NoAudio => refusal = cause,
                Err(_) => {}
            }
        }
        plain.or(disabled).ok_or(refusal)
    }

    /// Reads the line at `index`.
    pub(crate) fn read(
        description: &SessionDescription,
        index: usize,
        local: &LocalMedia,
        keyring: &Keyring,
    ) -> Result<Self, NegotiationError> {
        let media = description
            .media
            .get(index)
            .filter(|media| media.is_audio())
            .ok_or(NegotiationError::NoAudio)?;
        let profile = Profile::of(media).ok_or(NegotiationError::UnsupportedProfile)?;
        if profile.secured && keyring.policy == SrtpPolicy::Off {
            return Err(NegotiationError::SrtpOff);
        }
        let (crypto, crypto_lines) = match keyring.policy {
            SrtpPolicy::Off => (Vec::new(), 0),
            SrtpPolicy::Optional | SrtpPolicy::Required => (
                keyring.usable(CryptoLine::all(media.attributes("crypto"))),
                media.attributes("crypto").count(),
            ),
        };
        let formats = formats(media);
        let choice = choose(&formats, local);
        let disabled = media.port == 0;
        let (rtp, rtcp) = if disabled {
            (None, None)
        } else {
            choice.ok_or(NegotiationError::NoCommonCodec)?;
            let address = address(description, media, local)?;
            let rtp = SocketAddr::new(address, media.port);
            (Some(rtp), rtcp(media, rtp))
        };
        let audio = Self {
            index,
            profile,
            crypto,
            crypto_lines,
            choice,
            formats,
            disabled,
            rtp,
            rtcp,
            direction: direction(description, media),
            voip_metrics: voip_metrics(description, media),
            dtx: choice.is_some_and(|choice| prefers_dtx(media, choice)),
            ptime_ms: packet_time(media, "ptime"),
            maxptime_ms: packet_time(media, "maxptime"),
        };
        audio.secured_as(keyring.policy, local)
    }

    /// Refuses what the policy does not take. A line that leads nowhere carries nothing that could be overheard: SIP Server parks a call by a plain
    /// description without an address.
    fn secured_as(self, policy: SrtpPolicy, local: &LocalMedia) -> Result<Self, NegotiationError> {
        if self.leads_nowhere(local) || !self.crypto.is_empty() {
            return Ok(self);
        }
        match policy {
            _ if self.profile.secured => Err(NegotiationError::NoCommonSuite),
            SrtpPolicy::Required => Err(NegotiationError::SrtpRequired),
            SrtpPolicy::Off | SrtpPolicy::Optional => Ok(self),
        }
    }

    /// Nothing is sent there and nothing comes from there.
    pub(crate) fn leads_nowhere(&self, local: &LocalMedia) -> bool {
        self.disabled || self.is_black_hole() || self.is_echo_of(local)
    }

    /// The address that means "nowhere": `c=0.0.0.0` or `c=::` (RFC 3264 section 8.4).
    pub(crate) fn is_black_hole(&self) -> bool {
        self.rtp.is_some_and(|rtp| rtp.ip().is_unspecified())
    }

    /// Our own address and port.
    pub(crate) fn is_echo_of(&self, local: &LocalMedia) -> bool {
        self.rtp == Some(SocketAddr::new(local.address, local.port))
    }
}

/// The formats with their meanings. `a=rtpmap` counts before the static table; an `a=rtpmap` that cannot be
/// read leaves its format foreign, which is no harm.
fn formats(media: &MediaDescription) -> Vec<Format> {
    let payload_types = media
        .formats
        .iter()
        .filter_map(|format| decimal::<u8>(format));
    payload_types
        .map(|payload_type| Format {
            payload_type,
            meaning: meaning(media, payload_type),
        })
        .collect()
}

fn meaning(media: &MediaDescription, payload_type: u8) -> Meaning {
    let mapped = media.attributes("rtpmap").find_map(|value| {
        let space = value.iter().position(|byte| *byte == b' ')?;
        let (number, encoding) = value.split_at_checked(space)?;
        (decimal(number) == Some(payload_type)).then_some(encoding)
    });
    let Some(encoding) = mapped else {
        return Codec::from_static(payload_type).map_or(Meaning::Foreign, Meaning::Audio);
    };
    match Encoding::parse(encoding) {
        Some(encoding) if encoding.is_telephone_event() => Meaning::TelephoneEvent {
            clock_rate_hz: encoding.clock_rate_hz,
        },
        Some(encoding) => Codec::from_encoding(&encoding).map_or(Meaning::Foreign, Meaning::Audio),
        None => Meaning::Foreign,
    }
}

/// The first codec in the peer's order that we have, and the telephone events that fit its clock
/// (RFC 4733 section 2.1: one clock for all that share a timestamp). Events that stand first are no codec.
fn choose(formats: &[Format], local: &LocalMedia) -> Option<Choice> {
    let (codec, payload_type) = formats.iter().find_map(|format| match format.meaning {
        Meaning::Audio(codec) if local.codecs().contains(&codec) => {
            Some((codec, format.payload_type))
        }
        _ => None,
    })?;
    let event = |clock: u32| {
        formats
            .iter()
            .find(|format| {
                format.meaning
                    == Meaning::TelephoneEvent {
                        clock_rate_hz: clock,
                    }
            })
            .map(|format| TelephoneEvent {
                payload_type: format.payload_type,
                clock_rate_hz: clock,
            })
    };
    // Opus peers that have events at 8000 only are common; theirs are better than none.
    let telephone_event = event(codec.clock_rate_hz()).or_else(|| event(NARROW_CLOCK_HZ));
    Some(Choice {
        codec,
        payload_type,
        telephone_event: telephone_event.filter(|_| local.telephone_event),
    })
}

/// Media level before session level (RFC 8866 section 5.7).
fn address(
    description: &SessionDescription,
    media: &MediaDescription,
    local: &LocalMedia,
) -> Result<IpAddr, NegotiationError> {
    let value = media
        .first(b'c')
        .or_else(|| description.first(b'c'))
        .ok_or(NegotiationError::NoAddress)?;
    let mut words = value
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let network = words.next();
    let _version = words.next();
    let address = words
        .next()
        .filter(|_| network.is_some_and(|network| network.eq_ignore_ascii_case(b"IN")))
        .and_then(ip_address)
        .ok_or(NegotiationError::UnusableAddress)?;
    if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(NegotiationError::NotUnicast);
    }
    // `::` and `0.0.0.0` mean the same, whatever version the socket has.
    if !address.is_unspecified() && address.is_ipv4() != local.address.is_ipv4() {
        return Err(NegotiationError::AddressFamily);
    }
    Ok(address)
}

/// An address without the time to live that may follow it; IPv4 in IPv6 is IPv4.
fn ip_address(text: &[u8]) -> Option<IpAddr> {
    let text = text.split(|byte| *byte == b'/').next()?;
    let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

/// `a=rtcp:<port> [IN <version> <address>]` (RFC 3605), else the next port. An attribute that cannot be
/// read, or names no unicast address of the same version, counts as absent.
fn rtcp(media: &MediaDescription, rtp: SocketAddr) -> Option<SocketAddr> {
    let stated = media.attribute("rtcp").and_then(|value| {
        let mut words = value
            .split(|byte| *byte == b' ')
            .filter(|word| !word.is_empty());
        let port = decimal::<u16>(words.next()?).filter(|port| *port != 0)?;
        let address = match words.nth(2) {
            Some(text) => ip_address(text)?,
            None => rtp.ip(),
        };
        let usable = address.is_ipv4() == rtp.is_ipv4()
            && !address.is_multicast()
            && !address.is_unspecified()
            && address != IpAddr::V4(Ipv4Addr::BROADCAST);
        usable.then_some(SocketAddr::new(address, port))
    });
    let next = || {
        let port = rtp.port().checked_add(1)?;
        Some(SocketAddr::new(rtp.ip(), port))
    };
    stated.or_else(next)
}

/// Whether nothing need be sent while nobody speaks: a preference of who receives Opus (RFC 7587 section 6.1).
fn prefers_dtx(media: &MediaDescription, choice: Choice) -> bool {
    let parameters = media.attributes("fmtp").find_map(|value| {
        let space = value.iter().position(|byte| *byte == b' ')?;
        let (number, parameters) = value.split_at_checked(space)?;
        (decimal(number) == Some(choice.payload_type)).then_some(parameters)
    });
    choice.codec == Codec::Opus
        && parameters.is_some_and(|parameters| {
            let mut each = parameters.split(|byte| *byte == b';');
            each.any(|one| one.trim_ascii() == b"usedtx=1")
        })
}

/// A packet time that makes sense.
fn packet_time(media: &MediaDescription, attribute: &str) -> Option<u16> {
    media
        .attribute(attribute)
        .and_then(|value| decimal(value.trim_ascii()))
        .filter(|ms| (1..=limits::MAX_PTIME_MS).contains(ms))
}

/// Whether reports with VoIP metrics are wanted: one of the formats of `a=rtcp-xr`, media level before session level (RFC 3611 section 5.1).
fn voip_metrics(description: &SessionDescription, media: &MediaDescription) -> bool {
    let formats = media
        .attribute("rtcp-xr")
        .or_else(|| description.attribute("rtcp-xr"));
    formats.is_some_and(|formats| {
        formats
            .split(|byte| *byte == b' ')
            .any(|format| format.eq_ignore_ascii_case(b"voip-metrics"))
    })
}

/// Media level before session level, `sendrecv` where nothing is said (RFC 8866 section 6.7). Blanks behind the word change nothing: a hold that
/// is overlooked lets the agent be heard by a caller who is believed to hear music.
fn direction(description: &SessionDescription, media: &MediaDescription) -> Direction {
    let stated = |lines: &[crate::Line]| {
        lines
            .iter()
            .filter(|line| line.kind == b'a')
            .find_map(|line| Direction::from_attribute(line.value.trim_ascii_end()))
    };
    stated(&media.lines)
        .or_else(|| stated(&description.lines))
        .unwrap_or_default()
}
