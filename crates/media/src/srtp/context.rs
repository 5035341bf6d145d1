//! The two directions of a secured call.

use super::index::{Window, estimate};
use super::transform::{Frame, Kind, Transform};
use super::{MasterKey, Mki, Refused};
use crate::limits::SRTP_STREAMS_MAX;
use crate::packet;

/// Octets of an RTCP packet that stay readable: the first header, and who sends.
const RTCP_HEAD: usize = 8;

/// Octets of the index behind an SRTCP packet.
const INDEX_LEN: usize = 4;

/// The bit beside the index that says that the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// The highest index of SRTP: 2^48 packets of one key (RFC 3711 section 9.2).
const RTP_INDEX_MAX: u64 = (1 << 48) - 1;

/// The parts of an RTP packet that can be read without a key.
struct Clear {
    head: usize,
    sequence: u16,
    ssrc: u32,
}

impl Clear {
    fn of(octets: &[u8]) -> Option<Self> {
        let head = packet::body_start(octets).ok()?;
        Some(Self {
            head,
            sequence: u16::from_be_bytes(octets.get(2..4)?.try_into().ok()?),
            ssrc: u32::from_be_bytes(octets.get(8..12)?.try_into().ok()?),
        })
    }

    fn frame(&self, index: u64) -> Frame {
        // A roll-over counter has 32 bits.
        let counter = (index >> 16) as u32;
        Frame {
            kind: Kind::Rtp,
            head: self.head,
            ssrc: self.ssrc,
            index,
            tail: counter.to_be_bytes(),
            encrypted: true,
        }
    }
}

fn rtcp_frame(ssrc: u32, word: u32) -> Frame {
    Frame {
        kind: Kind::Rtcp,
        head: RTCP_HEAD,
        ssrc,
        index: u64::from(word & !ENCRYPTED),
        tail: word.to_be_bytes(),
        encrypted: word & ENCRYPTED != 0,
    }
}

/// Secures what we send under one master key.
pub struct Sender {
    rtp: Transform,
    rtcp: Transform,
    /// The stream that is sent, and its highest index.
    stream: Option<(u32, u64)>,
    rtcp_index: u32,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl Sender {
    /// A sender whose roll-over counter is 0. A stream that was sent under this key by another one must not come here: its indices would repeat.
    #[must_use]
    pub fn new(key: &MasterKey) -> Self {
        Self {
            rtp: Transform::new(key, Kind::Rtp),
            rtcp: Transform::new(key, Kind::Rtcp),
            stream: None,
            rtcp_index: 0,
        }
    }

    /// The sequence number of the stream has turned: only who was there then can read it.
    #[must_use]
    pub fn has_turned(&self) -> bool {
        self.stream.is_some_and(|(_, highest)| highest >> 16 > 0)
    }

    /// Secures the RTP packet in the first `len` octets in place; returns its octets then. `None` when it is no RTP packet, there is no room
    /// for the tag, or the key is used up.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let clear = Clear::of(buffer.get(..len)?)?;
        let highest = self.stream.filter(|(ssrc, _)| *ssrc == clear.ssrc);
        let highest = highest.map(|(_, highest)| highest);
        let index = estimate(highest, clear.sequence);
        if index > RTP_INDEX_MAX {
            return None;
        }
        let tag_len = self.rtp.tag_len();
        let (packet, room) = buffer.split_at_mut_checked(len)?;
        let room = room.get_mut(..tag_len)?;
        let tag = self.rtp.seal(packet, &clear.frame(index))?;
        room.copy_from_slice(&tag[..tag_len]);
        self.stream = Some((clear.ssrc, highest.unwrap_or(index).max(index)));
        Some(len + tag_len)
    }

    /// The same for a compound of RTCP.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let ssrc = rtcp_ssrc(buffer.get(..len)?)?;
        let index = self
            .rtcp_index
            .checked_add(1)
            .filter(|index| index & ENCRYPTED == 0)?;
        let frame = rtcp_frame(ssrc, index | ENCRYPTED);
        let tag_len = self.rtcp.tag_len();
        let (packet, room) = buffer.split_at_mut_checked(len)?;
        let room = room.get_mut(..tag_len + INDEX_LEN)?;
        // HMAC's tag stands last (RFC 3711 section 3.4), GCM's is the end of the text (RFC 7714 section 9.2).
        let (index_at, tag_at) = if self.rtcp.is_aead() {
            (tag_len, 0)
        } else {
            (0, INDEX_LEN)
        };
        let tag = self.rtcp.seal(packet, &frame)?;
        room[index_at..][..INDEX_LEN].copy_from_slice(&frame.tail);
        room[tag_at..][..tag_len].copy_from_slice(&tag[..tag_len]);
        self.rtcp_index = index;
        Some(len + tag_len + INDEX_LEN)
    }
}

/// Opens what a peer sends under one master key.
pub struct Receiver {
    rtp: Transform,
    rtcp: Transform,
    mki: Option<Mki>,
    rtp_streams: Streams,
    rtcp_streams: Streams,
    /// Where streams stood under the key before this one.
    former: Streams,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl Receiver {
    /// A receiver that knows no stream yet.
    #[must_use]
    pub fn new(key: &MasterKey, mki: Option<Mki>) -> Self {
        Self {
            rtp: Transform::new(key, Kind::Rtp),
            rtcp: Transform::new(key, Kind::Rtcp),
            mki,
            rtp_streams: Streams::default(),
            rtcp_streams: Streams::default(),
            former: Streams::default(),
        }
    }

    /// The key before this one was `former`'s. Some begin the roll-over counter anew with a new key, and some go on with it as RFC 3711 section
    /// 3.3.1 says.
    pub fn follow(&mut self, former: &Self) {
        self.former.clone_from(&former.rtp_streams);
    }

    /// Opens an RTP packet in place; returns its octets then.
    ///
    /// # Errors
    /// When it does not pass: then neither it nor anything else has changed.
    pub fn unprotect_rtp(&mut self, datagram: &mut [u8]) -> Result<usize, Refused> {
        let clear = Clear::of(datagram).ok_or(Refused::Malformed)?;
        let known = self.rtp_streams.find(clear.ssrc).copied();
        let index = estimate(known.map(|window| window.highest), clear.sequence);
        let opened = self.open_as(datagram, &clear, known, index);
        let before = self.former.find(clear.ssrc).filter(|_| known.is_none());
        match (opened, before) {
            (Err(Refused::Tag), Some(before)) => {
                let other = estimate(Some(before.highest), clear.sequence);
                self.open_as(datagram, &clear, None, other)
            }
            (opened, _) => opened,
        }
    }

    fn open_as(
        &mut self,
        datagram: &mut [u8],
        clear: &Clear,
        known: Option<Window>,
        index: u64,
    ) -> Result<usize, Refused> {
        if index > RTP_INDEX_MAX {
            return Err(Refused::Tag);
        }
        known.map_or(Ok(()), |window| window.check(index))?;
        let (packet, end) = self.split(datagram, self.rtp.tag_len(), 0)?;
        let len = packet.len();
        self.rtp.open(packet, end.tag, &clear.frame(index))?;
        self.rtp_streams.note(clear.ssrc, index);
        Ok(len)
    }

    /// The same for a compound of RTCP.
    ///
    /// # Errors
    /// When it does not pass: then neither it nor anything else has changed.
    pub fn unprotect_rtcp(&mut self, datagram: &mut [u8]) -> Result<usize, Refused> {
        let ssrc = rtcp_ssrc(datagram).ok_or(Refused::Malformed)?;
        let (packet, end) = self.split(datagram, self.rtcp.tag_len(), INDEX_LEN)?;
        let word = end.index.try_into().map_err(|_| Refused::Malformed)?;
        let frame = rtcp_frame(ssrc, u32::from_be_bytes(word));
        if let Some(window) = self.rtcp_streams.find(ssrc) {
            window.check(frame.index)?;
        }
        if packet.len() < RTCP_HEAD {
            return Err(Refused::Malformed);
        }
        let len = packet.len();
        self.rtcp.open(packet, end.tag, &frame)?;
        self.rtcp_streams.note(ssrc, frame.index);
        Ok(len)
    }

    /// Cuts a datagram into the packet and what stands behind it.
    fn split<'d>(
        &self,
        datagram: &'d mut [u8],
        tag_len: usize,
        index_len: usize,
    ) -> Result<(&'d mut [u8], End<'d>), Refused> {
        let mki_len = self.mki.map_or(0, Mki::len);
        let len = datagram
            .len()
            .checked_sub(tag_len + index_len + mki_len)
            .ok_or(Refused::Malformed)?;
        let (packet, end) = datagram.split_at_mut(len);
        let end = &*end;
        // RFC 3711 sections 3.1 and 3.4: index, identifier, tag. GCM's tag comes first (RFC 7714 section 8.2, 9.2).
        let (tag, index, mki) = if self.rtp.is_aead() {
            let (tag, rest) = end.split_at(tag_len);
            let (index, mki) = rest.split_at(index_len);
            (tag, index, mki)
        } else {
            let (index, rest) = end.split_at(index_len);
            let (mki, tag) = rest.split_at(mki_len);
            (tag, index, mki)
        };
        if self.mki.is_some_and(|known| !known.is(mki)) {
            return Err(Refused::Tag);
        }
        Ok((packet, End { tag, index }))
    }
}

/// What stands behind a packet.
struct End<'d> {
    tag: &'d [u8],
    index: &'d [u8],
}

fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(
        packet.get(4..RTCP_HEAD)?.try_into().ok()?,
    ))
}

/// The streams of a peer: each SSRC has a roll-over counter and a window of its own, and keeps them when another one speaks in between.
#[derive(Clone, Debug, Default)]
struct Streams {
    /// The latest one last.
    known: Vec<(u32, Window)>,
}

impl Streams {
    fn find(&self, ssrc: u32) -> Option<&Window> {
        let found = self.known.iter().rev().find(|(known, _)| *known == ssrc);
        found.map(|(_, window)| window)
    }

    /// A packet has passed. Only the owner of the key gets here, so a stranger can crowd nobody out.
    fn note(&mut self, ssrc: u32, index: u64) {
        let at = self.known.iter().rposition(|(known, _)| *known == ssrc);
        let Some(at) = at else {
            if self.known.len() >= SRTP_STREAMS_MAX {
                self.known.remove(0);
            }
            self.known.push((ssrc, Window::new(index)));
            return;
        };
        self.known[at].1.note(index);
        if at + 1 != self.known.len() {
            self.known[at..].rotate_left(1);
        }
    }
}
