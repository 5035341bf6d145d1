//! Base 64 (RFC 4648 section 4), as much of it as keys need.

use std::fmt::Write as _;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Fills `out` exactly. `None` when the text stands for more octets or fewer, or holds something else. Padding may be left out, as some do.
pub(crate) fn decode(text: &[u8], out: &mut [u8]) -> Option<()> {
    let end = text.iter().rposition(|byte| *byte != b'=')? + 1;
    let (text, padding) = text.split_at_checked(end)?;
    if padding.len() > 2 || text.len() != (out.len() * 8).div_ceil(6) {
        return None;
    }
    let mut octets = out.iter_mut();
    let (mut bits, mut held) = (0_u32, 0);
    for symbol in text {
        let value = ALPHABET.iter().position(|known| known == symbol)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            // The low octet of what is above.
            *octets.next()? = (bits >> held) as u8;
        }
    }
    octets.next().is_none().then_some(())
}

/// Appends the text of `octets`.
pub(crate) fn encode(octets: &[u8], out: &mut String) {
    for chunk in octets.chunks(3) {
        let word = chunk.iter().enumerate().fold(0_u32, |word, (at, octet)| {
            word | u32::from(*octet) << (16 - 8 * at)
        });
        for at in 0..4 {
            let symbol = if at <= chunk.len() {
                char::from(ALPHABET[(word >> (18 - 6 * at) & 63) as usize])
            } else {
                '='
            };
            out.write_char(symbol).expect("a string takes every text");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 section 10.
    #[test]
    fn vectors() {
        for (plain, text) in [
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut encoded = String::new();
            encode(plain.as_bytes(), &mut encoded);
            assert_eq!(encoded, text);
            for text in [text, text.trim_end_matches('=')] {
                let mut out = vec![0; plain.len()];
                assert_eq!(decode(text.as_bytes(), &mut out), Some(()));
                assert_eq!(out, plain.as_bytes());
            }
            assert_eq!(decode(text.as_bytes(), &mut vec![0; plain.len() + 1]), None);
            assert_eq!(decode(text.as_bytes(), &mut vec![0; plain.len() - 1]), None);
        }
        for broken in ["", "=", "Zg===", "Z g=", "Zm8-", "Zm\u{e9}"] {
            assert_eq!(decode(broken.as_bytes(), &mut [0; 2]), None, "{broken}");
        }
    }
}
