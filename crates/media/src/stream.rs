//! One outgoing RTP stream, fed by one source after another.
//!
//! A browser keeps one connection for a whole shift, and many calls are patched to it; a call hears an agent before and
//! after hold. To the receiver each side is one stream all the same: one SSRC, sequence numbers that rise by one, and
//! timestamps that follow the clock. This is where that is made true.
//!
//! Two rules stand above the rest. A sequence number is used **once**: SRTP derives its key stream from it, and two
//! payloads under one number would give both away. And a gap in the source stays a gap, so that the receiver can see
//! (and report) the loss.

use std::time::Instant;

use crate::row::{Place, Row};

/// Ticks of the RTP clock of G.711, G.722 and telephone-event per millisecond.
pub const TICKS_PER_MS: u32 = 8;

/// Milliseconds between two packets.
const PACKET_MS: u32 = 20;

/// Audio of our own that comes this many packets later than what was sent before begins where the clock stands; below that it follows
/// seamlessly, because timers and networks are late by some packets now and then.
const IDLE_PACKETS: u32 = 3;

/// A source that goes on this much before the end of audio of our own has not come late: its clock stood still meanwhile, or was set back.
const SET_BACK_MS: u32 = 1_000;

/// A packet of the source, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// Its sequence number.
    pub sequence: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// Its marker bit.
    pub marker: bool,
}

/// What the packet becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Extended sequence number; the low 16 bits go on the wire, SRTP needs the rest.
    pub sequence: u64,
    /// Timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
}

/// The source that feeds the stream at present.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// Highest sequence number seen, extended.
    highest: i64,
    /// The timestamp of that packet.
    timestamp: u32,
    /// What is added to an extended sequence number of the source.
    sequence_offset: i64,
    /// What is added to a timestamp of the source.
    timestamp_offset: u32,
    /// Nothing below this number belongs to this source.
    first: u64,
    row: Row,
}

impl Source {
    /// With a packet of this number.
    const fn up_to(self, extended: i64, timestamp: u32) -> Self {
        if extended <= self.highest {
            return self;
        }
        Self {
            highest: extended,
            timestamp,
            ..self
        }
    }
}

/// An outgoing stream.
#[derive(Clone, Debug)]
pub struct OutgoingStream {
    ssrc: u32,
    /// The clock of the codec that is sent at present.
    ticks_per_ms: u32,
    next: u64,
    /// The first number.
    began_at: u64,
    /// Bit n: number `next - 1 - n` was used.
    used: u64,
    /// Newest timestamp sent, and when its packet was.
    newest: Option<(u32, Instant)>,
    first_timestamp: u32,
    source: Option<Source>,
    /// Audio of our own has been sent up to this timestamp: the source's packets before it come too late.
    covered_to: Option<u32>,
    /// What follows begins a talk-spurt: audio of our own kept still.
    still: bool,
    packets: u64,
    octets: u64,
}

impl OutgoingStream {
    /// A stream that starts at the given numbers. The first sequence number stays below 2^16, where an SRTP receiver
    /// takes the roll-over counter for 0.
    #[must_use]
    pub fn new(ssrc: u32, first_sequence: u16, first_timestamp: u32) -> Self {
        Self {
            ssrc,
            ticks_per_ms: TICKS_PER_MS,
            next: u64::from(first_sequence),
            began_at: u64::from(first_sequence),
            used: 0,
            newest: None,
            first_timestamp,
            source: None,
            covered_to: None,
            still: false,
            packets: 0,
            octets: 0,
        }
    }

    /// The stream's synchronisation source.
    #[must_use]
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Ticks of the present codec's clock in a millisecond; never 0.
    #[must_use]
    pub const fn ticks_per_ms(&self) -> u32 {
        self.ticks_per_ms
    }

    /// Packets and payload octets sent so far, as in a sender report.
    #[must_use]
    pub const fn sent(&self) -> (u64, u64) {
        (self.packets, self.octets)
    }

    /// The number that the next packet has at least, extended.
    #[must_use]
    pub const fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Numbers that no packet had: those of the source's that never came here, and so are lost to whoever hears us.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        (self.next - self.began_at).saturating_sub(self.packets)
    }

    /// The timestamp that belongs to `now`; `None` before the first packet.
    #[must_use]
    pub fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let (timestamp, at) = self.newest?;
        Some(timestamp.wrapping_add(self.ticks(now.saturating_duration_since(at))))
    }

    /// From here on the stream runs by the clock of another codec: what follows begins a talk-spurt, as far behind what was sent before as
    /// the clocks on the wall say, in the new ticks (RFC 7160 section 4.1).
    pub fn set_clock(&mut self, ticks_per_ms: u32) {
        if self.ticks_per_ms != ticks_per_ms {
            self.ticks_per_ms = ticks_per_ms;
            self.source = None;
            self.covered_to = None;
        }
    }

    const fn packet_ticks(&self) -> u32 {
        PACKET_MS * self.ticks_per_ms
    }

    /// Ticks of the RTP clock in a span of time, modulo 2^32 as timestamps are.
    fn ticks(&self, span: std::time::Duration) -> u32 {
        (span.as_micros() * u128::from(self.ticks_per_ms) / 1_000) as u32
    }

    /// The source was interrupted (hold, another call, another codec): the next packet begins a talk-spurt.
    pub fn interrupt(&mut self) {
        self.source = None;
    }

    /// Numbers a packet of the source; `None` when it must not be sent: a repetition, or too late.
    pub fn stamp(&mut self, now: Instant, packet: Incoming, octets: usize) -> Option<Stamp> {
        self.number(now, packet, octets, false)
    }

    /// The same for a telephone event. It keeps the timestamp of its beginning, so that audio of our own which began behind that does not make it too late.
    pub fn stamp_event(&mut self, now: Instant, packet: Incoming, octets: usize) -> Option<Stamp> {
        self.number(now, packet, octets, true)
    }

    fn number(
        &mut self,
        now: Instant,
        packet: Incoming,
        octets: usize,
        is_event: bool,
    ) -> Option<Stamp> {
        let (source, extended, begins) = match self.place(packet) {
            Place::Here((source, extended)) if !self.is_set_back(packet, source, extended) => {
                (source, extended, false)
            }
            Place::Here(_) | Place::Anew => self.begin(now, packet),
            Place::FarBehind => return None,
        };
        let timestamp = packet.timestamp.wrapping_add(source.timestamp_offset);
        if !is_event && self.is_covered(timestamp) {
            self.skip(packet);
            return None;
        }
        let sequence = u64::try_from(extended.checked_add(source.sequence_offset)?).ok()?;
        if sequence < source.first || !self.claim(sequence) {
            return None;
        }
        self.source = Some(source.up_to(extended, packet.timestamp));
        self.count(now, timestamp, octets);
        Some(Stamp {
            sequence,
            timestamp,
            marker: begins || packet.marker,
        })
    }

    /// Takes note of a packet of the source that is not forwarded, without leaving a gap for it.
    pub fn skip(&mut self, packet: Incoming) {
        let next = self.next;
        if let Place::Here((source, extended)) = self.place(packet)
            && extended > source.highest
            && let Ok(next) = i64::try_from(next)
        {
            let sequence_offset = next - 1 - extended;
            self.source = Some(Source {
                sequence_offset,
                ..source.up_to(extended, packet.timestamp)
            });
        }
    }

    /// Whether audio of our own is already heard at this time. The first packet behind it ends the matter.
    fn is_covered(&mut self, timestamp: u32) -> bool {
        let behind = |end: u32| timestamp.wrapping_sub(end) as i32 >= 0;
        self.covered_to.take_if(|end| behind(*end));
        self.covered_to.is_some()
    }

    /// Whether the source goes on so long before the end of audio of our own that nothing of it would be heard until then. What is repeated with the timestamp of
    /// its beginning, an event, does not go on.
    fn is_set_back(&self, packet: Incoming, source: Source, extended: i64) -> bool {
        let steps_on = packet.timestamp.wrapping_sub(source.timestamp) as i32 > 0;
        let timestamp = packet.timestamp.wrapping_add(source.timestamp_offset);
        let most = (SET_BACK_MS * self.ticks_per_ms) as i32;
        let far = |end: u32| end.wrapping_sub(timestamp) as i32 > most;
        extended > source.highest && steps_on && self.covered_to.is_some_and(far)
    }

    /// Numbers a packet of audio of our own, which takes the place of the source's: it begins where what was sent before ends, and
    /// packets in a row join without a seam.
    pub fn insert_audio(&mut self, now: Instant, octets: usize) -> Stamp {
        self.insert_audio_of(now, PACKET_MS, octets)
    }

    /// The same for a packet of so many milliseconds.
    pub fn insert_audio_of(&mut self, now: Instant, ms: u32, octets: usize) -> Stamp {
        let (timestamp, marker) = match (self.newest, self.timestamp_at(now)) {
            (Some((newest, _)), Some(clock)) => {
                let ahead = |end: &u32| end.wrapping_sub(newest) as i32 > 0;
                let next = self
                    .covered_to
                    .filter(ahead)
                    .unwrap_or_else(|| newest.wrapping_add(self.packet_ticks()));
                let idle_ticks = IDLE_PACKETS * self.packet_ticks();
                let idle = clock.wrapping_sub(next) as i32 > idle_ticks as i32;
                (if idle { clock } else { next }, idle)
            }
            _ => (self.first_timestamp, true),
        };
        let marker = std::mem::take(&mut self.still) || marker;
        let sequence = self.insert(now, timestamp, octets);
        self.covered_to = Some(timestamp.wrapping_add(ms * self.ticks_per_ms));
        Stamp {
            sequence,
            timestamp,
            marker,
        }
    }

    /// What was sent lasts until this timestamp: audio of our own begins there.
    pub fn cover(&mut self, end: u32) {
        let later = |covered: &u32| covered.wrapping_sub(end) as i32 > 0;
        self.covered_to = Some(self.covered_to.filter(later).unwrap_or(end));
    }

    /// Audio of our own lasts so many milliseconds more of which nothing is sent, because nobody speaks: what follows begins so much later, and a
    /// talk-spurt (RFC 3551 section 4.1).
    pub fn keep_still(&mut self, ms: u32) {
        if let Some(end) = &mut self.covered_to {
            *end = end.wrapping_add(ms * self.ticks_per_ms);
            self.still = true;
        }
    }

    /// Numbers a packet of our own (a telephone event) between those of the source.
    pub fn insert(&mut self, now: Instant, timestamp: u32, octets: usize) -> u64 {
        let sequence = self.next;
        self.claim(sequence);
        if let Some(source) = &mut self.source {
            source.sequence_offset += 1;
        }
        self.count(now, timestamp, octets);
        sequence
    }

    /// The timestamp for an event of our own that starts now.
    #[must_use]
    pub fn event_timestamp(&self, now: Instant) -> u32 {
        self.timestamp_at(now).unwrap_or(self.first_timestamp)
    }

    /// Where the packet belongs: to the present source, and at which extended number.
    fn place(&mut self, packet: Incoming) -> Place<(Source, i64)> {
        let own = |source: &&mut Source| source.ssrc == packet.ssrc;
        let Some(source) = self.source.as_mut().filter(own) else {
            return Place::Anew;
        };
        // The low 16 bits are what goes over the wire, so the cut is meant.
        let place = source.row.place(source.highest as u16, packet.sequence);
        place.map(|step| (*source, source.highest + i64::from(step)))
    }

    /// Begins a source: its first packet follows the last one sent, in number and by the clock, and is not heard before audio of our own has ended.
    fn begin(&self, now: Instant, packet: Incoming) -> (Source, i64, bool) {
        let extended = i64::from(packet.sequence);
        let timestamp = match self.newest {
            None => self.first_timestamp,
            Some((newest, at)) => {
                let passed = now.saturating_duration_since(at);
                let passed = self.ticks(passed).max(self.packet_ticks());
                let by_the_clock = newest.wrapping_add(passed);
                let ahead = |end: &u32| end.wrapping_sub(by_the_clock) as i32 > 0;
                self.covered_to.filter(ahead).unwrap_or(by_the_clock)
            }
        };
        let source = Source {
            ssrc: packet.ssrc,
            highest: extended,
            timestamp: packet.timestamp,
            sequence_offset: i64::try_from(self.next).unwrap_or(i64::MAX) - extended,
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp),
            first: self.next,
            row: Row::default(),
        };
        (source, extended, true)
    }

    /// Marks a number as used; `false` when it was, or is too old to know.
    fn claim(&mut self, sequence: u64) -> bool {
        if sequence >= self.next {
            let ahead = sequence - self.next + 1;
            self.used = if ahead >= 64 { 0 } else { self.used << ahead };
            self.used |= 1;
            self.next = sequence + 1;
            return true;
        }
        let behind = self.next - 1 - sequence;
        if behind >= 64 || self.used & (1 << behind) != 0 {
            return false;
        }
        self.used |= 1 << behind;
        true
    }

    fn count(&mut self, now: Instant, timestamp: u32, octets: usize) {
        self.packets += 1;
        self.octets += octets as u64;
        // What is repeated with the timestamp of its beginning, an event, was new when it began.
        let newer = self
            .newest
            .is_none_or(|(newest, _)| timestamp.wrapping_sub(newest) as i32 > 0);
        if newer {
            self.newest = Some((timestamp, now));
        }
    }
}

#[cfg(test)]
mod tests;
