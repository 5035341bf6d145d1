//! The keys of SRTP, as the DTLS handshake leaves them (RFC 5764 section 4.2).
//!
//! The engine's library of DTLS stands behind this provider. What it exports is kept for the leg and withheld from the engine: packets of speech are
//! secured by [`crate::srtp`], and since the engine has no key, there is one place that counts indices under it.
//!
//! The library binds the cookies of its servers to the random of a ClientHello; those of a leg are not ([`super::cookie`]). So it never asks for one here: when the
//! ClientHello with a good cookie comes it is first given one without, its question is thrown away, and then it is told that this cookie is the one it
//! made. From there on it is where it would be behind an exchange of its own.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use dimpl::crypto::HmacProvider;
use dimpl::{Dtls, HashAlgorithm};
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, KeyingMaterial,
    ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{CryptoError, CryptoProvider, from_feature_flags};

use super::cookie::Cookie;
use super::hello::Hello;
use crate::limits::DATAGRAM_MAX;
use crate::srtp::{Keys, MasterKey, Suite};

/// What a leg learns of its connection.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    /// Its keys, when the handshake is over.
    pub(super) keys: OnceLock<Keys>,
    /// We begin the handshake; known once descriptions are exchanged.
    pub(super) active: OnceLock<bool>,
}

/// Where it lies.
pub(super) type Slot = Arc<Learnt>;

thread_local! {
    /// The slot of the connection made last. The provider's interface has no other way out.
    static LATEST: RefCell<Slot> = RefCell::default();
    /// The cookie that is good while a datagram is looked at, where it is not for the library to say.
    static GOOD: Cell<Option<Cookie>> = const { Cell::new(None) };
}

/// HMAC for the library: as always, but for the one thing that it makes by HMAC-SHA256 alone, which is a cookie. Keys it derives by
/// [`hmac`](HmacProvider::hmac).
#[derive(Debug)]
struct GoodCookies;

impl HmacProvider for GoodCookies {
    fn hmac_sha256(&self, key: &[u8], data: &[u8]) -> Result<[u8; 32], dimpl::CryptoError> {
        GOOD.get()
            .map_or_else(|| dimpl_provider().hmac_provider.hmac_sha256(key, data), Ok)
    }

    fn hmac(
        &self,
        hash: HashAlgorithm,
        key: &[u8],
        data: &[u8],
        out: &mut [u8],
    ) -> Result<usize, dimpl::CryptoError> {
        dimpl_provider().hmac_provider.hmac(hash, key, data, out)
    }
}

/// A ClientHello without a cookie, of which the library reads the version and the compression before it asks for one: DTLS 1.2, a random of zeros, one suite, no
/// compression.
const BLANK_HELLO: [u8; 67] = {
    let mut hello = [0; 67];
    let mut at = 0;
    // Record and message, each with its length.
    let head = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 54];
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    hello[13] = 1;
    hello[16] = 42;
    hello[24] = 42;
    hello[25] = 0xfe;
    hello[26] = 0xfd;
    // No session and no cookie; one suite, one way to compress.
    hello[62] = 2;
    hello[63] = 0xc0;
    hello[64] = 0x2b;
    hello[65] = 1;
    hello
};

fn dimpl_provider() -> dimpl::crypto::CryptoProvider {
    dimpl::crypto::aws_lc_rs::default_provider()
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
        if version != DtlsVersion::Dtls12 {
            return Err(CryptoError::Other(format!("{version} is not offered")));
        }
        let provider = dimpl::crypto::CryptoProvider {
            hmac_provider: &GoodCookies,
            ..dimpl_provider()
        };
        let config = dimpl::Config::builder()
            .with_crypto_provider(provider)
            .use_server_cookie(true);
        let config = mtu.into_iter().fold(config, dimpl::ConfigBuilder::mtu);
        let config = config
            .build()
            .map_err(|error| CryptoError::Other(error.to_string()))?;
        let slot = Slot::default();
        LATEST.with(|latest| latest.replace(Arc::clone(&slot)));
        Ok(Box::new(Connection {
            inner: Dtls::new_12(Arc::new(config), cert.clone(), now),
            born: now,
            cookie: None,
            slot,
        }))
    }
}

struct Connection {
    inner: Dtls,
    born: Instant,
    /// The cookie of the ClientHello that was let through; it may come in parts.
    cookie: Option<Cookie>,
    slot: Slot,
}

impl Connection {
    /// The ClientHello that brought a good cookie: from now on the library has asked for it.
    fn has_asked(&mut self, cookie: Cookie) -> Result<(), DtlsImplError> {
        self.cookie = Some(cookie);
        self.inner.handle_packet(&BLANK_HELLO)?;
        let mut question = [0; DATAGRAM_MAX];
        while let DtlsOutput::Packet(_) = self.inner.poll_output(&mut question) {}
        Ok(())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl DtlsInstance for Connection {
    fn set_active(&mut self, active: bool) {
        // A role is chosen once.
        let _ = self.slot.active.set(active);
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        if self.cookie.is_none()
            && let Some(hello) = Hello::first_of(packet)
            && let Ok(cookie) = hello.cookie.try_into()
        {
            self.has_asked(cookie)?;
        }
        GOOD.set(self.cookie);
        let handled = self.inner.handle_packet(packet);
        GOOD.set(None);
        handled
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.inner.poll_output(buf) {
            DtlsOutput::KeyingMaterial(material, profile) => {
                let active = self.inner.is_active();
                if let Some(keys) = keys(&material, profile, active) {
                    // A connection exports once; were it to export again, the first keys would stay those of both ends.
                    let _ = self.slot.keys.set(keys);
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
