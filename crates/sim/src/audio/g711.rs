//! ITU-T G.711 in both laws, between bytes and 16-bit samples.

/// Static RTP payload type of mu-law (RFC 3551).
pub const PCMU: u8 = 0;
/// Static RTP payload type of A-law (RFC 3551).
pub const PCMA: u8 = 8;

const BIAS: i32 = 0x84;
const CLIP: i32 = 32_635;

/// A sample as a mu-law byte.
#[must_use]
pub fn ulaw_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    // The bias keeps bit 7 or a higher one set.
    let exponent = (magnitude >> 7).ilog2();
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent as u8) << 4 | mantissa as u8)
}

/// A mu-law byte as a sample.
#[must_use]
pub fn ulaw_decode(byte: u8) -> i16 {
    let byte = !byte;
    let exponent = (byte >> 4) & 0x07;
    let mantissa = i32::from(byte & 0x0f);
    let magnitude = (((mantissa << 3) + BIAS) << exponent) - BIAS;
    let value = if byte & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    };
    value as i16
}

/// A sample as an A-law byte.
#[must_use]
pub fn alaw_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    let magnitude = if sample < 0 {
        !i32::from(sample)
    } else {
        i32::from(sample)
    } >> 4;
    let byte = if magnitude < 16 {
        magnitude
    } else {
        let exponent = (magnitude >> 3).ilog2();
        ((exponent as i32) << 4) | ((magnitude >> (exponent - 1)) & 0x0f)
    };
    (byte as u8 | sign) ^ 0x55
}

/// An A-law byte as a sample.
#[must_use]
pub fn alaw_decode(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let exponent = (byte >> 4) & 0x07;
    let mantissa = i32::from(byte & 0x0f);
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    let value = if byte & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    };
    value as i16
}

/// Decodes by payload type; `None` for any other codec.
#[must_use]
pub fn decode(payload_type: u8, payload: &[u8]) -> Option<Vec<i16>> {
    let law = match payload_type {
        PCMU => ulaw_decode,
        PCMA => alaw_decode,
        _ => return None,
    };
    Some(payload.iter().map(|&byte| law(byte)).collect())
}

/// Encodes by payload type; anything but A-law is mu-law.
#[must_use]
pub fn encode(payload_type: u8, samples: &[i16]) -> Vec<u8> {
    let law = if payload_type == PCMA {
        alaw_encode
    } else {
        ulaw_encode
    };
    samples.iter().map(|&sample| law(sample)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_of_the_tables() {
        assert_eq!(ulaw_encode(0), 0xff);
        assert_eq!(ulaw_decode(0x00), -32_124);
        assert_eq!(ulaw_decode(0x80), 32_124);
        assert_eq!(alaw_encode(0), 0xd5);
        assert_eq!(alaw_decode(0xd5), 8);
        assert_eq!(alaw_decode(0xaa), 32_256);
        assert_eq!(alaw_decode(0x2a), -32_256);
    }

    #[test]
    fn every_byte_survives_decoding_and_encoding() {
        for byte in 0..=255_u8 {
            // mu-law has two zeros; the negative one becomes the positive one.
            if byte != 0x7f {
                assert_eq!(ulaw_encode(ulaw_decode(byte)), byte);
            }
            assert_eq!(alaw_encode(alaw_decode(byte)), byte);
        }
    }

    #[test]
    fn the_error_stays_below_a_step() {
        for sample in (-32_000..32_000).step_by(37) {
            let sample = sample as i16;
            let limit = (i32::from(sample).abs() / 16).max(16);
            let ulaw = i32::from(ulaw_decode(ulaw_encode(sample))) - i32::from(sample);
            let alaw = i32::from(alaw_decode(alaw_encode(sample))) - i32::from(sample);
            assert!(ulaw.abs() <= limit, "{sample}: {ulaw}");
            assert!(alaw.abs() <= limit, "{sample}: {alaw}");
        }
    }
}
