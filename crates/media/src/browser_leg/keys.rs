//! The keys of SRTP, as the DTLS handshake leaves them (RFC 5764 section 4.2).
//!
//! The engine's provider of DTLS stands behind this one. What it exports is kept for the leg and withheld from the engine: packets of speech are
//! secured by [`crate::srtp`], and since the engine has no key, there is one place that counts indices under it.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, KeyingMaterial,
    ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{CryptoError, CryptoProvider, from_feature_flags};

use crate::srtp::{Keys, MasterKey, Suite};

/// Where the keys of one leg will lie.
pub(super) type Slot = Arc<OnceLock<Keys>>;

thread_local! {
    /// The slot of the connection made last. The provider's interface has no other way out.
    static LATEST: RefCell<Slot> = RefCell::default();
}

/// The engine's cryptography, with DTLS that gives its keys to us.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        dtls_provider: &Exporting,
        ..from_feature_flags()
    }
}

/// Makes an engine, and returns it with the slot of the connection that it makes at birth.
pub(super) fn with_slot<R>(make: impl FnOnce() -> R) -> (R, Slot) {
    let made = make();
    (made, LATEST.with(|latest| latest.take()))
}

#[derive(Debug)]
struct Exporting;

impl DtlsProvider for Exporting {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let provider = from_feature_flags().dtls_provider;
        let slot = Slot::default();
        LATEST.with(|latest| latest.replace(Arc::clone(&slot)));
        Ok(Box::new(Connection {
            inner: provider.new_dtls(cert, now, version, mtu)?,
            born: now,
            slot,
        }))
    }
}

struct Connection {
    inner: Box<dyn DtlsInstance>,
    born: Instant,
    slot: Slot,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl DtlsInstance for Connection {
    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.inner.poll_output(buf) {
            DtlsOutput::KeyingMaterial(material, profile) => {
                let active = self.inner.is_active();
                if let Some(keys) = keys(&material, profile, active) {
                    // A connection exports once; were it to export again, the first keys would stay those of both ends.
                    let _ = self.slot.set(keys);
                }
                // A time that is over makes the engine ask again at once: there is more to come.
                DtlsOutput::Timeout(self.born)
            }
            output => output,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}

/// Cuts the exported octets: the client's key, the server's, the client's salt, the server's. `None` for a profile that we have no suite for.
fn keys(material: &KeyingMaterial, profile: SrtpProfile, client: bool) -> Option<Keys> {
    let suite = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Suite::Aes128CmSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
        _ => return None,
    };
    let octets: &[u8] = material.as_ref();
    let (keys, salts) = octets.split_at_checked(2 * suite.key_len())?;
    let part = |of_client: bool| {
        let half = usize::from(!of_client);
        let key = keys.chunks_exact(suite.key_len()).nth(half)?;
        let salt = salts.chunks_exact(suite.salt_len()).nth(half)?;
        MasterKey::new(suite, &[key, salt].concat())
    };
    Some(Keys {
        send: part(client)?,
        receive: part(!client)?,
        receive_mki: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The order of RFC 5764 section 4.2, for both ends.
    #[test]
    fn each_end_sends_with_what_the_other_receives_with() {
        let octets: Vec<u8> = (0..60).collect();
        let material = KeyingMaterial::new(&octets);
        let profile = SrtpProfile::AES128_CM_SHA1_80;
        let client = keys(&material, profile, true).unwrap();
        let server = keys(&material, profile, false).unwrap();
        assert_eq!(
            (&client.send, &client.receive),
            (&server.receive, &server.send)
        );
        let of_client: Vec<u8> = (0..16).chain(32..46).collect();
        let expected = MasterKey::new(Suite::Aes128CmSha1_80, &of_client).unwrap();
        assert_eq!(client.send, expected);
        let short = KeyingMaterial::new(&octets[..59]);
        assert!(keys(&short, profile, true).is_none());
    }
}
