//! The WebRTC engine as this gateway wants it: what is switched on, and above all what is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert};
use str0m::format::{Codec as Format, FormatParams};
use str0m::media::{Frequency, Mid};
use str0m::net::TcpType;
use str0m::rtp::Extension;
use str0m::{Candidate, Rtc};
use thiserror::Error;

use crate::codec::Codec;
use crate::g711::Law;

/// Payload type under which telephone-event is offered.
const TELEPHONE_EVENT_OFFERED: u8 = 101;

const MU: Codec = Codec::G711(Law::Mu);
const A: Codec = Codec::G711(Law::A);

/// Why a worker's identity could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the cryptography provider made no certificate")]
pub struct NoCertificate;

/// Certificate and cryptography of one worker, shared by its legs: making a key pair for each would cost more than all
/// the rest of a leg's birth.
#[derive(Clone)]
pub struct Identity {
    certificate: DtlsCert,
    provider: Arc<CryptoProvider>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// Makes a self-signed certificate; browsers trust it by the fingerprint in the offer.
    ///
    /// # Errors
    /// When the cryptography provider cannot make one.
    pub fn generate() -> Result<Self, NoCertificate> {
        let provider = super::keys::provider();
        let certificate = provider
            .dtls_provider
            .generate_certificate()
            .ok_or(NoCertificate)?;
        Ok(Self {
            certificate,
            provider: Arc::new(provider),
        })
    }
}

/// What all legs of a worker have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Certificate and cryptography.
    pub identity: Identity,
    /// Addresses put into offers; the first one stands for the socket.
    pub candidates: Vec<SocketAddr>,
    /// Addresses at which browsers may connect (ICE over TCP, RFC 6544); often none.
    pub tcp_candidates: Vec<SocketAddr>,
    /// Codecs in order of preference: a browser sends the first.
    pub codecs: Vec<Codec>,
}

/// What a browser is to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// The first of [`Settings::codecs`], and to be sent what the SIP side speaks wherever it has it: packets are handed over as they are.
    #[default]
    Relay,
    /// Opus both ways, which bears loss: packets are decoded and encoded again wherever the SIP side speaks something else.
    Opus,
}

/// The payload types that a browser agreed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrowserFormats {
    /// mu-law.
    pub mu: Option<u8>,
    /// A-law.
    pub a: Option<u8>,
    /// G.722.
    pub g722: Option<u8>,
    /// Opus.
    pub opus: Option<u8>,
    /// It prefers that Opus sends nothing while nobody speaks (`usedtx=1`, RFC 7587 section 6.1).
    pub dtx: bool,
    /// telephone-event/8000.
    pub telephone_event: Option<u8>,
    /// What it is to be sent.
    pub preference: Preference,
}

impl BrowserFormats {
    /// The payload type of a codec.
    #[must_use]
    pub const fn of(&self, codec: Codec) -> Option<u8> {
        match codec {
            Codec::G711(Law::Mu) => self.mu,
            Codec::G711(Law::A) => self.a,
            Codec::G722 => self.g722,
            Codec::Opus => self.opus,
        }
    }

    /// The codec of a payload type.
    #[must_use]
    pub fn codec(&self, payload_type: u8) -> Option<Codec> {
        Codec::ALL
            .into_iter()
            .find(|codec| self.of(*codec) == Some(payload_type))
    }

    /// What the browser is sent while the SIP side speaks `heard`: the same where it may be handed over, else what loses least.
    #[must_use]
    pub fn target(&self, heard: Codec) -> Option<(Codec, u8)> {
        let order: [Codec; 5] = match (self.preference, heard) {
            (Preference::Opus, _) => [Codec::Opus, heard, MU, A, Codec::G722],
            (Preference::Relay, Codec::G711(Law::Mu)) => [MU, A, Codec::Opus, Codec::G722, MU],
            (Preference::Relay, Codec::G711(Law::A)) => [A, MU, Codec::Opus, Codec::G722, A],
            (Preference::Relay, _) => [heard, Codec::Opus, Codec::G722, MU, A],
        };
        order
            .into_iter()
            .find_map(|codec| Some((codec, self.of(codec)?)))
    }

    /// No codec was agreed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        Codec::ALL.into_iter().all(|codec| self.of(codec).is_none())
    }

    pub(super) fn contains(&self, payload_type: u8) -> bool {
        self.telephone_event == Some(payload_type) || self.codec(payload_type).is_some()
    }

    /// What was negotiated for a media section; what is to be sent, and how, stays as it was.
    pub(super) fn negotiated(rtc: &Rtc, mid: Mid, before: Self) -> Self {
        let mut formats = Self {
            preference: before.preference,
            dtx: before.dtx,
            ..Self::default()
        };
        let Some(media) = rtc.media(mid) else {
            return formats;
        };
        for params in rtc.codec_config().params() {
            if !media.remote_pts().contains(&params.pt()) {
                continue;
            }
            let slot = match params.spec().codec {
                Format::PCMU => &mut formats.mu,
                Format::PCMA => &mut formats.a,
                Format::G722 => &mut formats.g722,
                Format::Opus => &mut formats.opus,
                Format::Tele => &mut formats.telephone_event,
                _ => continue,
            };
            slot.get_or_insert(*params.pt());
        }
        formats
    }
}

/// Builds an engine.
///
/// The extension map is cleared on purpose. With the transport-wide congestion control extension in it, the engine queues
/// an entry for every packet received; a G.711-only answer of Chromium takes the extension but not its feedback, so
/// nothing ever empties that queue (4 MB an hour for each browser).
///
/// Opus is offered with in-band error correction, which browsers then send as losses ask for it. telephone-event is offered at 8 kHz only,
/// for Opus too: Firefox answers no other, and Chromium would take two of them for one.
pub(super) fn build(now: Instant, settings: &Settings, preference: Preference) -> Rtc {
    let mut config = Rtc::builder()
        .set_crypto_provider(Arc::clone(&settings.identity.provider))
        .set_dtls_cert(settings.identity.certificate.clone())
        .set_rtp_mode(true)
        .set_ice_lite(true)
        .clear_codecs()
        .clear_extension_map()
        .set_extension(1, Extension::AudioLevel)
        .set_extension(4, Extension::RtpMid);
    let opus = (preference == Preference::Opus).then_some(Codec::Opus);
    let others = settings.codecs.iter().copied();
    for codec in opus
        .into_iter()
        .chain(others.filter(|codec| Some(*codec) != opus))
    {
        config = match codec {
            Codec::G711(Law::Mu) => config.enable_pcmu(true, false),
            Codec::G711(Law::A) => config.enable_pcma(true, false),
            Codec::G722 => config.enable_g722(true, false),
            Codec::Opus => config.enable_opus(true, false),
        };
    }
    config.codec_config().add_config(
        TELEPHONE_EVENT_OFFERED.into(),
        None,
        Format::Tele,
        Frequency::EIGHT_KHZ,
        None,
        FormatParams::default(),
    );
    let mut rtc = config.build(now);
    for address in &settings.candidates {
        if let Ok(candidate) = Candidate::host(*address, "udp") {
            rtc.add_local_candidate(candidate);
        }
    }
    for address in &settings.tcp_candidates {
        let candidate = Candidate::builder().tcp().host(*address);
        if let Ok(candidate) = candidate.tcptype(TcpType::Passive).build() {
            rtc.add_local_candidate(candidate);
        }
    }
    rtc
}
