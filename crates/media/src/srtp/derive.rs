//! Session keys out of a master key (RFC 3711 section 4.3, with AES-256 by RFC 6188 section 3 and for GCM by RFC 7714 section 11).

use aws_lc_rs::cipher::{
    AES_128, AES_256, Algorithm, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

use super::MasterKey;

/// What a derived key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    RtpCipher = 0,
    RtpTag = 1,
    RtpSalt = 2,
    RtcpCipher = 3,
    RtcpTag = 4,
    RtcpSalt = 5,
}

/// AES of the width that the key has.
const fn algorithm(key: &[u8]) -> &'static Algorithm {
    if key.len() == 32 { &AES_256 } else { &AES_128 }
}

/// AES in counter mode with this key, of 16 or 32 octets.
pub(super) fn counter_mode(key: &[u8]) -> EncryptingKey {
    let key = UnboundCipherKey::new(algorithm(key), key).expect("a suite's key has AES's length");
    EncryptingKey::ctr(key).expect("AES has a counter mode")
}

/// Encrypts, or decrypts, in place.
pub(super) fn apply(key: &EncryptingKey, iv: [u8; 16], octets: &mut [u8]) {
    key.less_safe_encrypt(octets, EncryptionContext::Iv128(FixedLength::from(iv)))
        .expect("counter mode takes every length");
}

/// The session key for `label`; the key derivation rate is 0, so there is one for the life of the master key.
pub(super) fn derive<const N: usize>(master: &MasterKey, label: Label) -> [u8; N] {
    let mut iv = [0; 16];
    let salt = master.salt();
    iv[..salt.len()].copy_from_slice(salt);
    // The label stands above the 48 bits of the index, which is 0, and these above the 16 of the counter.
    iv[7] ^= label as u8;
    let mut out = [0; N];
    apply(&counter_mode(master.key()), iv, &mut out);
    out
}
