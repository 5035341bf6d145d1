//! The WebRTC engine as this gateway wants it: what is switched on, and above all what is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert};
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, Mid};
use str0m::rtp::Extension;
use str0m::{Candidate, Rtc};
use thiserror::Error;

use crate::g711::Law;

/// Payload type under which telephone-event is offered.
const TELEPHONE_EVENT_OFFERED: u8 = 101;

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
        let provider = str0m::crypto::from_feature_flags();
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
    /// Laws in order of preference: a browser sends the first.
    pub laws: Vec<Law>,
}

/// The payload types that a browser agreed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrowserFormats {
    /// mu-law.
    pub mu: Option<u8>,
    /// A-law.
    pub a: Option<u8>,
    /// telephone-event/8000.
    pub telephone_event: Option<u8>,
}

impl BrowserFormats {
    /// The payload type of a law.
    #[must_use]
    pub const fn of(&self, law: Law) -> Option<u8> {
        match law {
            Law::Mu => self.mu,
            Law::A => self.a,
        }
    }

    /// The law of a payload type.
    #[must_use]
    pub fn law(&self, payload_type: u8) -> Option<Law> {
        if self.mu == Some(payload_type) {
            Some(Law::Mu)
        } else if self.a == Some(payload_type) {
            Some(Law::A)
        } else {
            None
        }
    }

    pub(super) fn contains(&self, payload_type: u8) -> bool {
        [self.mu, self.a, self.telephone_event].contains(&Some(payload_type))
    }

    /// What was negotiated for a media section.
    pub(super) fn negotiated(rtc: &Rtc, mid: Mid) -> Self {
        let mut formats = Self::default();
        let Some(media) = rtc.media(mid) else {
            return formats;
        };
        for params in rtc.codec_config().params() {
            if !media.remote_pts().contains(&params.pt()) {
                continue;
            }
            let slot = match params.spec().codec {
                Codec::PCMU => &mut formats.mu,
                Codec::PCMA => &mut formats.a,
                Codec::Tele => &mut formats.telephone_event,
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
pub(super) fn build(now: Instant, settings: &Settings) -> Rtc {
    let mut config = Rtc::builder()
        .set_crypto_provider(Arc::clone(&settings.identity.provider))
        .set_dtls_cert(settings.identity.certificate.clone())
        .set_rtp_mode(true)
        .set_ice_lite(true)
        .set_stats_interval(None)
        .clear_codecs()
        .clear_extension_map()
        .set_extension(1, Extension::AudioLevel)
        .set_extension(4, Extension::RtpMid);
    for law in &settings.laws {
        config = match law {
            Law::Mu => config.enable_pcmu(true, false),
            Law::A => config.enable_pcma(true, false),
        };
    }
    config.codec_config().add_config(
        TELEPHONE_EVENT_OFFERED.into(),
        None,
        Codec::Tele,
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
    rtc
}
