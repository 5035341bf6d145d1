//! A look at a DTLS handshake before the engine sees it.
//!
//! What no browser says is dropped: a ClientHello that cannot lead to a handshake (the published one offers the NULL cipher only), and fragments that would keep
//! the engine waiting for the rest of them. Which ClientHello is the browser's the cookie tells ([`super::cookie`]). Behind it anybody who can forge the
//! browser's address could still put in a message before the browser has said its own; the signs of that are seen here, [`Signs`]: the handshake then
//! gets [`crate::limits::SPOILED_HANDSHAKE_MAX`] to end well, and a new offer follows.

use crate::limits::HANDSHAKE_MESSAGE_MAX;

/// Content type of an alert record, and the level of alerts that end a connection.
const ALERT: u8 = 21;
const FATAL: u8 = 2;
/// Content type of a handshake record.
const HANDSHAKE: u8 = 22;
/// Message type of a ClientHello.
const CLIENT_HELLO: u8 = 1;
/// Octets of a DTLS record header.
const RECORD_HEADER_LEN: usize = 13;
/// Octets of a DTLS handshake header.
const HANDSHAKE_HEADER_LEN: usize = 12;

/// Octets of the version and of the random, with which a ClientHello begins.
const VERSION_LEN: usize = 2;
pub(super) const RANDOM_LEN: usize = 32;

/// Cipher suites that the engine can agree to: ECDHE-ECDSA with AES-GCM or ChaCha20 at 1.2, and those of 1.3.
const SUITES: [u16; 6] = [0xc02b, 0xc02c, 0xcca9, 0x1301, 0x1302, 0x1303];

/// `false` for a whole ClientHello that offers nothing the engine could agree to, and for fragments that nobody sends who has a message to say: the engine
/// would wait for the rest of it, in the place of the browser's own. Everything else is the engine's to judge.
pub(super) fn may_lead_anywhere(datagram: &[u8]) -> bool {
    let leads = match suites(datagram) {
        Some(mut suites) => suites.any(|suite| SUITES.contains(&suite)),
        None => true,
    };
    leads && each_fragment(datagram, |fragment| fragment.may_be_of_a_message())
}

/// What the head of a handshake message, or of a fragment of one, says (RFC 6347 section 4.2.2).
#[derive(Clone, Copy, Debug)]
struct Fragment {
    kind: u8,
    length: u32,
    number: u16,
    begins: u32,
    len: u32,
}

impl Fragment {
    fn of(head: &[u8; HANDSHAKE_HEADER_LEN]) -> Self {
        let three = |at: usize| u32::from_be_bytes([0, head[at], head[at + 1], head[at + 2]]);
        Self {
            kind: head[0],
            length: three(1),
            number: u16::from_be_bytes([head[4], head[5]]),
            begins: three(6),
            len: three(9),
        }
    }

    const fn may_be_of_a_message(self) -> bool {
        self.length <= HANDSHAKE_MESSAGE_MAX
            && self.begins + self.len <= self.length
            && (self.len > 0 || self.length == 0)
    }
}

/// Looks at each handshake message in the clear, until one is not as wanted; whether all were.
fn each_fragment(datagram: &[u8], mut is_wanted: impl FnMut(Fragment) -> bool) -> bool {
    let mut records = datagram;
    while let Some((head, rest)) = records.split_first_chunk::<RECORD_HEADER_LEN>() {
        let len = usize::from(u16::from_be_bytes([head[11], head[12]]));
        let Some((mut messages, next)) = rest.split_at_checked(len) else {
            return true;
        };
        records = next;
        if head[0] != HANDSHAKE || head[3..5] != [0, 0] {
            continue;
        }
        while let Some((head, body)) = messages.split_first_chunk() {
            let fragment = Fragment::of(head);
            if !is_wanted(fragment) {
                return false;
            }
            // What is shorter than it says is the last one.
            messages = body.get(fragment.len as usize..).unwrap_or_default();
        }
    }
    true
}

/// What tells that a handshake is spoiled, or may be: two who say different things, or word that the other end has given up. Anybody who can forge the
/// browser's address can give such signs, so they end nothing by themselves.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// Type and length of the first message of each number: a browser says two before its certificate and three behind it.
    messages: [Option<(u8, u32)>; 8],
}

impl Signs {
    /// Whether this datagram, from a checked address and before the handshake's end, is one.
    pub(super) fn seen_in(&mut self, datagram: &[u8]) -> bool {
        is_fatal_alert(datagram) || !self.agrees_with_those_before(datagram)
    }

    /// Whoever repeats a message says the same one again: two of one number are of two senders.
    fn agrees_with_those_before(&mut self, datagram: &[u8]) -> bool {
        each_fragment(datagram, |fragment| {
            let said = (fragment.kind, fragment.length);
            let first = self.messages.get_mut(usize::from(fragment.number));
            first.is_none_or(|first| *first.get_or_insert(said) == said)
        })
    }
}

/// An alert in the clear: one of a connection that is up would be encrypted.
fn is_fatal_alert(datagram: &[u8]) -> bool {
    datagram.first() == Some(&ALERT)
        && datagram.get(3..5) == Some(&[0, 0])
        && datagram.get(RECORD_HEADER_LEN) == Some(&FATAL)
}

/// The head of a ClientHello; its first fragment has it in any case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hello<'a> {
    /// The number of the message.
    pub(super) number: u16,
    pub(super) random: [u8; RANDOM_LEN],
    /// Empty in one that has none.
    pub(super) cookie: &'a [u8],
}

impl<'a> Hello<'a> {
    /// `None` where the datagram does not begin with a ClientHello as far as its cookie.
    pub(super) fn first_of(datagram: &'a [u8]) -> Option<Self> {
        let message = client_hello(datagram)?;
        let number = u16::from_be_bytes([*message.get(4)?, *message.get(5)?]);
        let rest = message.get(HANDSHAKE_HEADER_LEN + VERSION_LEN..)?;
        let (random, rest) = rest.split_first_chunk()?;
        // Session id and cookie, each behind an octet with its length.
        let rest = rest.get(1 + usize::from(*rest.first()?)..)?;
        let (len, rest) = rest.split_first()?;
        Some(Self {
            number,
            random: *random,
            cookie: rest.get(..usize::from(*len))?,
        })
    }
}

/// A ClientHello from its handshake header on, or the first fragment of one.
fn client_hello(datagram: &[u8]) -> Option<&[u8]> {
    let epoch = datagram.get(3..5)?;
    if datagram[0] != HANDSHAKE || epoch != [0, 0] {
        return None;
    }
    let message = datagram.get(RECORD_HEADER_LEN..)?;
    let first = *message.first()? == CLIENT_HELLO && *message.get(6..9)? == [0, 0, 0];
    first.then_some(message)
}

fn suites(datagram: &[u8]) -> Option<impl Iterator<Item = u16>> {
    let message = client_hello(datagram)?;
    let (length, fragment) = (message.get(1..4)?, message.get(9..12)?);
    if length != fragment {
        return None;
    }
    // Version and random, then session id and cookie, each with a length octet.
    let body = message.get(HANDSHAKE_HEADER_LEN + VERSION_LEN + RANDOM_LEN..)?;
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
        bytes[12] = (bytes.len() - RECORD_HEADER_LEN) as u8;
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

    /// The browser repeats its ClientHello, and that is no sign; one of another length is, and so is an alert that is not encrypted.
    #[test]
    fn signs_of_a_spoiled_handshake() {
        let mut signs = Signs::default();
        let first = hello(&[0xc0, 0x2b]);
        let mut fragment = first.clone();
        fragment[13 + 9 + 2] = 40;
        let mut other = first.clone();
        other[13 + 3] = 61;
        let alert =
            |epoch: u8, level: u8| [21, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 9, 0, 2, level, 40];
        for (datagram, sign) in [
            (&first[..], false),
            (&first, false),
            (&fragment, false),
            (&alert(1, 2), false),
            (&alert(0, 1), false),
            (&other, true),
            (&alert(0, 2), true),
            (&first[..30], false),
        ] {
            assert_eq!(signs.seen_in(datagram), sign, "{datagram:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(tail in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut bytes = hello(&[]);
            bytes.truncate(60);
            bytes.extend(tail);
            let _ = may_lead_anywhere(&bytes);
            let _ = may_lead_anywhere(&bytes[..bytes.len() / 3]);
            let _ = Signs::default().seen_in(&bytes);
            let _ = Hello::first_of(&bytes);
        }
    }
}
