//! What a packet of the load carries: who sent it, and when.
//!
//! G.711 is relayed octet by octet, so the payload arrives as it was sent and the difference between
//! two readings of one clock is the whole way through the program in the middle, kernel and load
//! tool included.

use crate::tone::FRAME;

const MAGIC: [u8; 4] = *b"LOAD";

/// The end that sent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The agent's page.
    Page,
    /// The caller's telephone.
    Caller,
}

/// Origin and time of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The session it belongs to: it may be heard in no other.
    pub session: u32,
    /// Who sent it.
    pub sender: Sender,
    /// When, in nanoseconds since the run began.
    pub at_ns: u64,
}

impl Stamp {
    /// The stamp as 20 ms of payload.
    pub fn payload(&self) -> [u8; FRAME] {
        let mut payload = [0xff; FRAME];
        payload[..4].copy_from_slice(&MAGIC);
        payload[4..8].copy_from_slice(&self.session.to_be_bytes());
        payload[8] = match self.sender {
            Sender::Page => 1,
            Sender::Caller => 2,
        };
        payload[9..17].copy_from_slice(&self.at_ns.to_be_bytes());
        payload
    }

    /// Reads a payload; `None` when it is not the load's.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let rest = payload.strip_prefix(&MAGIC)?;
        let (session, rest) = rest.split_first_chunk()?;
        let (sender, rest) = rest.split_first()?;
        let (at_ns, _) = rest.split_first_chunk()?;
        Some(Self {
            session: u32::from_be_bytes(*session),
            sender: match sender {
                1 => Sender::Page,
                2 => Sender::Caller,
                _ => return None,
            },
            at_ns: u64::from_be_bytes(*at_ns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let stamp = Stamp {
            session: 7,
            sender: Sender::Caller,
            at_ns: 1_234_567_890_123,
        };
        assert_eq!(Stamp::read(&stamp.payload()), Some(stamp));
        assert_eq!(Stamp::read(&[0xff; FRAME]), None);
        assert_eq!(Stamp::read(b"LOAD"), None);
        let mut unknown = stamp.payload();
        unknown[8] = 3;
        assert_eq!(Stamp::read(&unknown), None);
    }
}
