//! A look at a DTLS ClientHello before the engine sees it.
//!
//! The engine's server answers the first ClientHello that comes and then waits for its sender. An attacker who forges the
//! browser's address could send one that leads nowhere (the published one offers the NULL cipher only). No browser
//! does, so a ClientHello that cannot lead to a handshake is dropped here. One that could is not told apart: whoever can forge
//! the address *and* races a good ClientHello can still cost that leg its handshake; [`crate::limits::HANDSHAKE_MAX`] ends it
//! then, and a new offer follows.

/// Content type of a handshake record.
const HANDSHAKE: u8 = 22;
/// Message type of a ClientHello.
const CLIENT_HELLO: u8 = 1;
/// Octets of a DTLS record header.
const RECORD_HEADER_LEN: usize = 13;
/// Octets of a DTLS handshake header.
const HANDSHAKE_HEADER_LEN: usize = 12;

/// Cipher suites that the engine can agree to: ECDHE-ECDSA with AES-GCM or ChaCha20 at 1.2, and those of 1.3.
const SUITES: [u16; 6] = [0xc02b, 0xc02c, 0xcca9, 0x1301, 0x1302, 0x1303];

/// `false` for a whole ClientHello that offers nothing the engine could agree to. Everything else (other messages,
/// fragments) is the engine's to judge.
pub(super) fn may_lead_anywhere(datagram: &[u8]) -> bool {
    match suites(datagram) {
        Some(mut suites) => suites.any(|suite| SUITES.contains(&suite)),
        None => true,
    }
}

fn suites(datagram: &[u8]) -> Option<impl Iterator<Item = u16>> {
    let epoch = datagram.get(3..5)?;
    if datagram[0] != HANDSHAKE || epoch != [0, 0] {
        return None;
    }
    let message = datagram.get(RECORD_HEADER_LEN..)?;
    if *message.first()? != CLIENT_HELLO {
        return None;
    }
    let (length, offset, fragment) = (message.get(1..4)?, message.get(6..9)?, message.get(9..12)?);
    if offset != [0, 0, 0] || length != fragment {
        return None;
    }
    // Version and random, then session id and cookie, each with a length octet.
    let body = message.get(HANDSHAKE_HEADER_LEN + 2 + 32..)?;
    let body = body.get(1 + usize::from(*body.first()?)..)?;
    let body = body.get(1 + usize::from(*body.first()?)..)?;
    let len = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
    let suites = body.get(2..2 + len)?;
    Some(
        suites
            .chunks_exact(2)
            .map(|suite| u16::from_be_bytes([suite[0], suite[1]])),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello(suites: &[u8]) -> Vec<u8> {
        let mut bytes = vec![22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([1, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 60, 0xfe, 0xfd]);
        bytes.extend([9; 32]);
        bytes.extend([0, 0, 0, suites.len() as u8]);
        bytes.extend(suites);
        bytes
    }

    #[test]
    fn a_dead_end_is_seen() {
        assert!(!may_lead_anywhere(&hello(&[0, 0])));
        assert!(!may_lead_anywhere(&hello(&[])));
        assert!(may_lead_anywhere(&hello(&[0, 0, 0xc0, 0x2b])));
        // A fragment, another message, another epoch: not ours to judge.
        let mut fragment = hello(&[0, 0]);
        fragment[13 + 9 + 2] = 30;
        assert!(may_lead_anywhere(&fragment));
        let mut finished = hello(&[0, 0]);
        finished[13] = 20;
        assert!(may_lead_anywhere(&finished));
        let mut encrypted = hello(&[0, 0]);
        encrypted[4] = 1;
        assert!(may_lead_anywhere(&encrypted));
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(tail in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut bytes = hello(&[]);
            bytes.truncate(60);
            bytes.extend(tail);
            let _ = may_lead_anywhere(&bytes);
            let _ = may_lead_anywhere(&bytes[..bytes.len() / 3]);
        }
    }
}
