//! What passed on the wire in a recorded run, and how Wireshark reads it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// One datagram as a probe beside talkbridge saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// When it left talkbridge, reached it, or was lost on the way to it, since the beginning.
    pub at: Duration,
    /// Its sender.
    pub from: SocketAddr,
    /// Its receiver.
    pub to: SocketAddr,
    /// Its payload.
    pub bytes: Vec<u8>,
    /// What the network did to it; empty when nothing.
    pub comment: &'static str,
}

/// Microseconds since 1970 at which every run begins.
const EPOCH_US: u64 = super::site::EPOCH_MS * 1_000;

/// `LINKTYPE_RAW`: packets begin with their IP header.
const LINKTYPE_RAW: u16 = 101;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const OPTION_COMMENT: u16 = 1;
const IP_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;

/// A capture file in the pcapng format (draft-ietf-opsawg-pcapng), in the order of time. What the network did to a datagram is
/// its packet comment.
#[must_use]
pub fn pcapng(captured: &[Captured]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut header = Vec::new();
    header.extend(0x1a2b_3c4d_u32.to_le_bytes());
    header.extend(1_u16.to_le_bytes());
    header.extend(0_u16.to_le_bytes());
    // The length of the section is not told.
    header.extend(u64::MAX.to_le_bytes());
    block(&mut file, SECTION_HEADER, &header);
    let mut interface = Vec::new();
    interface.extend(LINKTYPE_RAW.to_le_bytes());
    interface.extend([0; 6]);
    block(&mut file, INTERFACE_DESCRIPTION, &interface);
    let mut in_order: Vec<&Captured> = captured.iter().collect();
    in_order.sort_by_key(|captured| captured.at);
    for captured in in_order {
        block(&mut file, ENHANCED_PACKET, &enhanced_packet(captured));
    }
    file
}

/// A block: type, length, body, and the length once more so that readers can go backwards.
fn block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX);
    file.extend(kind.to_le_bytes());
    file.extend(length.to_le_bytes());
    file.extend(body);
    file.extend(length.to_le_bytes());
}

fn enhanced_packet(captured: &Captured) -> Vec<u8> {
    let packet = ip_packet(captured);
    let elapsed = u64::try_from(captured.at.as_micros()).unwrap_or(u64::MAX);
    let at = EPOCH_US.saturating_add(elapsed);
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    let mut body = Vec::new();
    body.extend(0_u32.to_le_bytes());
    // The upper half comes first.
    body.extend(((at >> 32) as u32).to_le_bytes());
    body.extend((at as u32).to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(&packet);
    pad(&mut body);
    if !captured.comment.is_empty() {
        let length = u16::try_from(captured.comment.len()).unwrap_or(u16::MAX);
        body.extend(OPTION_COMMENT.to_le_bytes());
        body.extend(length.to_le_bytes());
        body.extend(captured.comment.as_bytes());
        pad(&mut body);
        body.extend([0; 4]);
    }
    body
}

/// Blocks and options end on 32 bits.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The datagram with its IPv4 and UDP headers; no host of the world has another kind of address.
fn ip_packet(captured: &Captured) -> Vec<u8> {
    let total = IP_HEADER_BYTES + UDP_HEADER_BYTES + captured.bytes.len();
    let mut packet = vec![0x45, 0];
    packet.extend(length(total));
    packet.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    packet.extend(address(captured.from).octets());
    packet.extend(address(captured.to).octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(captured.from.port().to_be_bytes());
    packet.extend(captured.to.port().to_be_bytes());
    packet.extend(length(total - IP_HEADER_BYTES));
    // RFC 768: zero says that no checksum was made.
    packet.extend([0, 0]);
    packet.extend(&captured.bytes);
    packet
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

const fn address(socket: SocketAddr) -> Ipv4Addr {
    match socket {
        SocketAddr::V4(v4) => *v4.ip(),
        SocketAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// The Internet checksum (RFC 1071) over whole 16-bit words.
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2);
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(comment: &'static str) -> Captured {
        Captured {
            at: Duration::from_millis(1_500),
            from: SocketAddr::from(([192, 0, 2, 81], 5060)),
            to: SocketAddr::from(([192, 0, 2, 10], 5060)),
            bytes: b"OPTIONS".to_vec(),
            comment,
        }
    }

    /// The header sums up to its own complement, and every block says its length at both ends.
    #[test]
    fn blocks_and_headers_are_consistent() {
        let packet = ip_packet(&captured(""));
        assert_eq!(checksum(&packet[..IP_HEADER_BYTES]), 0);
        assert_eq!(packet.len(), 35);
        let file = pcapng(&[captured("lost"), captured("")]);
        let mut at = 0;
        let mut kinds = Vec::new();
        while at < file.len() {
            let word = |at: usize| {
                let bytes: [u8; 4] = file[at..at + 4].try_into().expect("four octets");
                u32::from_le_bytes(bytes)
            };
            let length = word(at + 4) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(word(at + length - 4) as usize, length);
            kinds.push(word(at));
            at += length;
        }
        assert_eq!(
            kinds,
            [
                SECTION_HEADER,
                INTERFACE_DESCRIPTION,
                ENHANCED_PACKET,
                ENHANCED_PACKET
            ]
        );
    }
}
