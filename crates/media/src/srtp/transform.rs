//! Encryption and tags of one direction's packets.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::EncryptingKey;
use aws_lc_rs::{constant_time, hmac};

use super::derive::{Label, apply, counter_mode, derive};
use super::{MasterKey, Refused, Suite};
use crate::limits::DATAGRAM_MAX;

/// Octets of the HMAC's key (RFC 3711 section 5.2).
const TAG_KEY_LEN: usize = 20;

/// Octets of GCM's tag.
const GCM_TAG_LEN: usize = 16;

/// RTP or RTCP: each has session keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rtp,
    Rtcp,
}

/// Session keys.
pub(super) struct Transform {
    cipher: Cipher,
    salt: [u8; 14],
    tag_len: usize,
}

enum Cipher {
    Counter(Box<CounterMode>),
    Gcm(LessSafeKey),
}

struct CounterMode {
    key: EncryptingKey,
    tag: hmac::Key,
}

/// Where the parts of a packet are: its head stays readable, its body is encrypted, and the tail is the roll-over counter or the SRTCP index,
/// which is authenticated with it.
pub(super) struct Frame {
    /// What it is.
    pub(super) kind: Kind,
    /// Octets that stay readable.
    pub(super) head: usize,
    /// The source.
    pub(super) ssrc: u32,
    /// Roll-over counter and sequence number, or the index of SRTCP.
    pub(super) index: u64,
    /// The four octets that are authenticated behind the packet.
    pub(super) tail: [u8; 4],
    /// The body is encrypted; an SRTCP packet may say that it is not.
    pub(super) encrypted: bool,
}

impl Transform {
    pub(super) fn new(master: &MasterKey, kind: Kind) -> Self {
        let suite = master.suite();
        let (cipher, tag, salt) = match kind {
            Kind::Rtp => (Label::RtpCipher, Label::RtpTag, Label::RtpSalt),
            Kind::Rtcp => (Label::RtcpCipher, Label::RtcpTag, Label::RtcpSalt),
        };
        let wide: [u8; 32] = derive(master, cipher);
        let key = &wide[..suite.key_len()];
        let mut salt: [u8; 14] = derive(master, salt);
        salt[suite.salt_len()..].fill(0);
        let cipher = if suite.is_aead() {
            gcm(suite, key)
        } else {
            let tag: [u8; TAG_KEY_LEN] = derive(master, tag);
            Cipher::Counter(Box::new(CounterMode {
                key: counter_mode(key),
                tag: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &tag),
            }))
        };
        let tag_len = match kind {
            Kind::Rtp => suite.rtp_tag_len(),
            Kind::Rtcp => suite.rtcp_tag_len(),
        };
        Self {
            cipher,
            salt,
            tag_len,
        }
    }

    /// Session keys that a test vector gives.
    #[cfg(test)]
    pub(super) fn gcm_of(suite: Suite, key: &[u8], salt: &[u8; 12]) -> Self {
        let mut wide = [0; 14];
        wide[..12].copy_from_slice(salt);
        Self {
            cipher: gcm(suite, key),
            salt: wide,
            tag_len: GCM_TAG_LEN,
        }
    }

    pub(super) const fn tag_len(&self) -> usize {
        self.tag_len
    }

    /// Whether the tag belongs to the cipher's text, so that what else is added stands behind it.
    pub(super) const fn is_aead(&self) -> bool {
        matches!(self.cipher, Cipher::Gcm(_))
    }

    /// Encrypts a packet in place and returns its tag, of which [`Self::tag_len`] octets count. `None` when the packet has no whole head.
    pub(super) fn seal(&self, packet: &mut [u8], frame: &Frame) -> Option<[u8; 20]> {
        let mut out = [0; 20];
        let (head, body) = packet.split_at_mut_checked(frame.head)?;
        match &self.cipher {
            Cipher::Counter(mode) => {
                apply(&mode.key, self.counter_iv(frame), body);
                out.copy_from_slice(sign(&mode.tag, packet, frame.tail).as_ref());
            }
            Cipher::Gcm(key) => {
                let tag = with_associated(head, frame, |aad| {
                    key.seal_in_place_separate_tag(self.nonce(frame), Aad::from(aad), body)
                })?;
                out[..GCM_TAG_LEN].copy_from_slice(tag.ok()?.as_ref());
            }
        }
        Some(out)
    }

    /// Checks the tag and decrypts in place. A packet that does not pass is unchanged.
    pub(super) fn open(&self, packet: &mut [u8], tag: &[u8], frame: &Frame) -> Result<(), Refused> {
        match &self.cipher {
            Cipher::Counter(mode) => {
                let expected = sign(&mode.tag, packet, frame.tail);
                let expected = expected.as_ref().get(..tag.len()).ok_or(Refused::Tag)?;
                constant_time::verify_slices_are_equal(expected, tag).map_err(|_| Refused::Tag)?;
                let body = packet.get_mut(frame.head..).ok_or(Refused::Malformed)?;
                if frame.encrypted {
                    apply(&mode.key, self.counter_iv(frame), body);
                }
                Ok(())
            }
            Cipher::Gcm(key) => self.open_gcm(key, packet, tag, frame),
        }
    }

    fn open_gcm(
        &self,
        key: &LessSafeKey,
        packet: &mut [u8],
        tag: &[u8],
        frame: &Frame,
    ) -> Result<(), Refused> {
        let head = if frame.encrypted {
            frame.head
        } else {
            packet.len()
        };
        let (head, body) = packet
            .split_at_mut_checked(head)
            .ok_or(Refused::Malformed)?;
        // Elsewhere first: what fails in place is wiped, and another key may fit.
        let mut text = [0; DATAGRAM_MAX];
        let text = text.get_mut(..body.len()).ok_or(Refused::Malformed)?;
        with_associated(head, frame, |aad| {
            key.open_separate_gather(self.nonce(frame), Aad::from(aad), body, tag, text)
        })
        .ok_or(Refused::Malformed)?
        .map_err(|_| Refused::Tag)?;
        body.copy_from_slice(text);
        Ok(())
    }

    /// RFC 3711 section 4.1.1.
    fn counter_iv(&self, frame: &Frame) -> [u8; 16] {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &frame.ssrc.to_be_bytes());
        xor(&mut iv[8..14], &frame.index.to_be_bytes()[2..]);
        iv
    }

    /// RFC 7714 sections 8.1 and 9.1: SSRC and index, mixed with the salt.
    fn nonce(&self, frame: &Frame) -> Nonce {
        let mut iv = [0; 12];
        iv.copy_from_slice(&self.salt[..12]);
        xor(&mut iv[2..6], &frame.ssrc.to_be_bytes());
        xor(&mut iv[6..12], &frame.index.to_be_bytes()[2..]);
        Nonce::assume_unique_for_key(iv)
    }
}

fn gcm(suite: Suite, key: &[u8]) -> Cipher {
    let algorithm = if suite == Suite::AeadAes256Gcm {
        &AES_256_GCM
    } else {
        &AES_128_GCM
    };
    let key = UnboundKey::new(algorithm, key).expect("a suite's key has AES's length");
    Cipher::Gcm(LessSafeKey::new(key))
}

fn sign(key: &hmac::Key, packet: &[u8], tail: [u8; 4]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(packet);
    context.update(&tail);
    context.sign()
}

/// What GCM authenticates beside the body: the head of RTP (RFC 7714 section 8.2), whose roll-over counter is part of the nonce; of RTCP the
/// index as well (section 9.2).
fn with_associated<R>(head: &[u8], frame: &Frame, use_it: impl FnOnce(&[u8]) -> R) -> Option<R> {
    match frame.kind {
        Kind::Rtp => Some(use_it(head)),
        Kind::Rtcp => {
            let mut all = [0; DATAGRAM_MAX];
            let len = head.len() + frame.tail.len();
            let (front, back) = all.get_mut(..len)?.split_at_mut(head.len());
            front.copy_from_slice(head);
            back.copy_from_slice(&frame.tail);
            Some(use_it(all.get(..len)?))
        }
    }
}

fn xor(into: &mut [u8], with: &[u8]) {
    for (into, with) in into.iter_mut().zip(with) {
        *into ^= with;
    }
}
