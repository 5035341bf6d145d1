//! RTP packets as views over octets (RFC 3550 section 5.1): nothing is copied, nothing is allocated, and every length that
//! the peer chose is checked before it is used.

use std::ops::Range;

use thiserror::Error;

/// Octets of the fixed header.
pub const HEADER_LEN: usize = 12;

/// Why octets are no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtpError {
    /// Shorter than the fixed header.
    #[error("shorter than an RTP header")]
    Short,
    /// The version is not 2.
    #[error("RTP version is not 2")]
    Version,
    /// The list of contributing sources reaches beyond the end.
    #[error("contributing sources reach beyond the packet")]
    Sources,
    /// The header extension reaches beyond the end.
    #[error("header extension reaches beyond the packet")]
    Extension,
    /// The padding count is 0 or larger than what it pads.
    #[error("padding is larger than the payload")]
    Padding,
}

/// The fields of a header that a relay needs, and where the payload lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Marker bit: for audio, the first packet after a silence.
    pub marker: bool,
    /// Payload type, 0-127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// The payload without padding.
    pub payload: Range<usize>,
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl Header {
    /// Reads the header of a packet.
    ///
    /// # Errors
    /// When the octets are no RTP packet of version 2, or a length in them reaches beyond their end.
    pub fn parse(packet: &[u8]) -> Result<Self, RtpError> {
        let (Some(&first), Some(&second), Some(sequence), Some(timestamp), Some(ssrc)) = (
            packet.first(),
            packet.get(1),
            be16(packet, 2),
            be32(packet, 4),
            be32(packet, 8),
        ) else {
            return Err(RtpError::Short);
        };
        let start = body_start(packet)?;
        let mut end = packet.len();
        if first & 0x20 != 0 {
            let padding = usize::from(*packet.last().ok_or(RtpError::Short)?);
            if padding == 0 || padding > end - start {
                return Err(RtpError::Padding);
            }
            end -= padding;
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence,
            timestamp,
            ssrc,
            payload: start..end,
        })
    }
}

/// Where the payload of a packet begins: behind the fixed header, contributing sources and extension. What the padding bit says is not looked
/// at: of a secured packet the padding is encrypted.
///
/// # Errors
/// As [`Header::parse`].
pub fn body_start(packet: &[u8]) -> Result<usize, RtpError> {
    let first = *packet.first().ok_or(RtpError::Short)?;
    if packet.len() < HEADER_LEN {
        return Err(RtpError::Short);
    }
    if first >> 6 != 2 {
        return Err(RtpError::Version);
    }
    let mut start = HEADER_LEN + usize::from(first & 0x0f) * 4;
    if start > packet.len() {
        return Err(RtpError::Sources);
    }
    if first & 0x10 != 0 {
        let words = be16(packet, start + 2).ok_or(RtpError::Extension)?;
        start += 4 + usize::from(words) * 4;
        if start > packet.len() {
            return Err(RtpError::Extension);
        }
    }
    Ok(start)
}

/// Writes a fixed header (no sources, no extension, no padding) and the payload, through `map`, into `out`. Returns
/// the octets written, or `None` when `out` is too small.
pub fn write(
    out: &mut [u8],
    fields: &Fields,
    payload: &[u8],
    map: Option<&[u8; 256]>,
) -> Option<usize> {
    let len = HEADER_LEN + payload.len();
    let packet = out.get_mut(..len)?;
    let (header, body) = packet.split_at_mut(HEADER_LEN);
    header[0] = 0x80;
    header[1] = (fields.payload_type & 0x7f) | if fields.marker { 0x80 } else { 0 };
    header[2..4].copy_from_slice(&fields.sequence.to_be_bytes());
    header[4..8].copy_from_slice(&fields.timestamp.to_be_bytes());
    header[8..12].copy_from_slice(&fields.ssrc.to_be_bytes());
    match map {
        None => body.copy_from_slice(payload),
        Some(table) => {
            for (to, from) in body.iter_mut().zip(payload) {
                *to = table[usize::from(*from)];
            }
        }
    }
    Some(len)
}

/// What goes into a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Marker bit.
    pub marker: bool,
    /// Payload type, 0-127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// Rewrites a parsed packet in place: the relay of two plain sides, which keeps contributing sources and extension.
/// Does nothing when the octets are shorter than a header.
pub fn rewrite(packet: &mut [u8], fields: &Fields) {
    let Some(header) = packet.get_mut(..HEADER_LEN) else {
        return;
    };
    header[1] = (fields.payload_type & 0x7f) | if fields.marker { 0x80 } else { 0 };
    header[2..4].copy_from_slice(&fields.sequence.to_be_bytes());
    header[4..8].copy_from_slice(&fields.timestamp.to_be_bytes());
    header[8..12].copy_from_slice(&fields.ssrc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const FIELDS: Fields = Fields {
        marker: true,
        payload_type: 8,
        sequence: 0xee3c,
        timestamp: 71_475_905,
        ssrc: 7,
    };

    fn packet(payload: &[u8]) -> Vec<u8> {
        let mut out = [0; 1_500];
        let len = write(&mut out, &FIELDS, payload, None).unwrap();
        out[..len].to_vec()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = packet(&[1, 2, 3]);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(
            (
                header.marker,
                header.payload_type,
                header.sequence,
                header.timestamp,
                header.ssrc
            ),
            (true, 8, 0xee3c, 71_475_905, 7)
        );
        assert_eq!(&bytes[header.payload], &[1, 2, 3]);
    }

    #[test]
    fn sources_extension_and_padding_are_skipped() {
        let mut bytes = vec![0x80 | 0x20 | 0x10 | 2, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([0; 8]);
        bytes.extend([0xbe, 0xde, 0, 1, 9, 9, 9, 9]);
        bytes.extend([0x55, 0x66, 0, 0, 3]);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(&bytes[header.payload], &[0x55, 0x66]);
    }

    #[test]
    fn lengths_beyond_the_end_are_refused() {
        assert_eq!(Header::parse(&[0x80; 11]), Err(RtpError::Short));
        let mut bytes = packet(&[]);
        bytes[0] = 0x40;
        assert_eq!(Header::parse(&bytes), Err(RtpError::Version));
        bytes[0] = 0x8f;
        assert_eq!(Header::parse(&bytes), Err(RtpError::Sources));
        bytes[0] = 0x90;
        assert_eq!(Header::parse(&bytes), Err(RtpError::Extension));
        bytes.extend([0, 0, 0xff, 0xff]);
        assert_eq!(Header::parse(&bytes), Err(RtpError::Extension));
        let mut padded = packet(&[1, 2, 3]);
        padded[0] |= 0x20;
        for count in [0, 4, 255] {
            *padded.last_mut().unwrap() = count;
            assert_eq!(Header::parse(&padded), Err(RtpError::Padding));
        }
    }

    #[test]
    fn rewriting_keeps_the_payload() {
        let mut bytes = packet(&[4, 5]);
        let other = Fields {
            marker: false,
            payload_type: 101,
            sequence: 1,
            timestamp: 2,
            ssrc: 3,
        };
        rewrite(&mut bytes, &other);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(
            (header.payload_type, header.sequence, header.ssrc),
            (101, 1, 3)
        );
        assert_eq!(&bytes[header.payload], &[4, 5]);
        rewrite(&mut [0; 3], &other);
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(header) = Header::parse(&bytes) {
                prop_assert!(bytes.get(header.payload).is_some());
            }
        }
    }
}
