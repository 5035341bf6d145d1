//! RTP packets (RFC 3550), as much as a telephone needs.

/// The fixed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Marker bit.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in samples.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// A packet as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload without padding.
    pub payload: &'a [u8],
}

impl Header {
    /// A packet with this header.
    #[must_use]
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12 + payload.len());
        bytes.push(0x80);
        bytes.push(u8::from(self.marker) << 7 | (self.payload_type & 0x7f));
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }
}

impl<'a> Packet<'a> {
    /// Reads a datagram; `None` if it is no RTP.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let first = *bytes.first()?;
        if first >> 6 != 2 {
            return None;
        }
        let second = *bytes.get(1)?;
        let header = Header {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?),
            timestamp: u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?),
            ssrc: u32::from_be_bytes(bytes.get(8..12)?.try_into().ok()?),
        };
        let mut start = 12 + usize::from(first & 0x0f) * 4;
        if first & 0x10 != 0 {
            let words = bytes.get(start + 2..start + 4)?;
            start += 4 + usize::from(u16::from_be_bytes(words.try_into().ok()?)) * 4;
        }
        let mut payload = bytes.get(start..)?;
        if first & 0x20 != 0 {
            let padding = usize::from(*payload.last()?);
            payload = payload.get(..payload.len().checked_sub(padding)?)?;
        }
        Some(Self { header, payload })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HEADER: Header = Header {
        marker: true,
        payload_type: 101,
        sequence: 0xfffe,
        timestamp: 0xdead_beef,
        ssrc: 7,
    };

    #[test]
    fn a_packet_reads_as_written() {
        let bytes = HEADER.packet(&[1, 2, 3]);
        let packet = Packet::read(&bytes).unwrap();
        assert_eq!((packet.header, packet.payload), (HEADER, &[1, 2, 3][..]));
    }

    #[test]
    fn extensions_contributors_and_padding_are_skipped() {
        let mut bytes = HEADER.packet(&[]);
        bytes[0] = 0x80 | 0x20 | 0x10 | 1;
        bytes.extend_from_slice(&[9, 9, 9, 9]); // contributor
        bytes.extend_from_slice(&[0xbe, 0xde, 0, 1, 5, 5, 5, 5]); // extension
        bytes.extend_from_slice(&[42, 0, 0, 3]); // payload and padding
        assert_eq!(Packet::read(&bytes).unwrap().payload, [42]);
    }

    #[test]
    fn what_is_no_rtp_is_refused() {
        let whole = HEADER.packet(&[1]);
        for length in 0..12 {
            assert!(Packet::read(&whole[..length]).is_none());
        }
        assert!(Packet::read(&[0x00; 20]).is_none());
        let mut lying = whole.clone();
        lying[0] |= 0x20;
        lying[12] = 200;
        assert!(Packet::read(&lying).is_none());
        lying[0] = 0x9f;
        assert!(Packet::read(&lying).is_none());
    }
}
