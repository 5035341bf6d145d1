//! Checks for consent (RFC 7675), as Firefox makes them: a Binding request as any other, which nominates nothing.

use aws_lc_rs::hmac;
use media::stun::BindingRequest;

const USE_CANDIDATE: u16 = 0x0025;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const FINGERPRINT: u16 = 0x8028;
const HEADER_LEN: usize = 20;
/// An attribute's head.
const HEAD_LEN: usize = 4;
/// Of HMAC-SHA1.
const TAG_LEN: usize = 20;

/// The password in an offer (RFC 8839 section 5.4).
pub fn password(offer: &str) -> String {
    let line = offer
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-pwd:"));
    line.unwrap().to_owned()
}

/// The same check without a nomination; `None` when the datagram is none.
pub fn of(datagram: &[u8], password: &str) -> Option<Vec<u8>> {
    BindingRequest::glance(datagram)?;
    let mut out = datagram[..HEADER_LEN].to_vec();
    let mut rest = &datagram[HEADER_LEN..];
    while rest.len() >= HEAD_LEN {
        let name = u16::from_be_bytes([rest[0], rest[1]]);
        let len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let (attribute, behind) = rest.split_at(HEAD_LEN + len.next_multiple_of(4));
        if ![USE_CANDIDATE, MESSAGE_INTEGRITY, FINGERPRINT].contains(&name) {
            out.extend(attribute);
        }
        rest = behind;
    }
    // RFC 8489 section 14.5: the length counts what is signed, and the signature.
    set_len(&mut out, HEAD_LEN + TAG_LEN);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let tag = hmac::sign(&key, &out);
    append(&mut out, MESSAGE_INTEGRITY, tag.as_ref());
    // Section 14.7: the same with the fingerprint.
    set_len(&mut out, HEAD_LEN + 4);
    let fingerprint = crc32(&out) ^ 0x5354_554e;
    append(&mut out, FINGERPRINT, &fingerprint.to_be_bytes());
    Some(out)
}

fn set_len(message: &mut [u8], more: usize) {
    let len = u16::try_from(message.len() - HEADER_LEN + more).unwrap();
    message[2..4].copy_from_slice(&len.to_be_bytes());
}

fn append(message: &mut Vec<u8>, name: u16, value: &[u8]) {
    message.extend(name.to_be_bytes());
    message.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    message.extend(value);
}

/// ITU-T V.42.
fn crc32(bytes: &[u8]) -> u32 {
    let fold = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, fold)
}
