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

use crate::limits::{SEQUENCE_DROPOUT_MAX, SEQUENCE_MISORDER_MAX};

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
        let placed = self.place(packet);
        let goes_on = placed.filter(|placed| !self.is_set_back(packet, placed));
        let (source, extended, begins) = match goes_on {
            Some((source, extended)) => (source, extended, false),
            None => self.begin(now, packet),
        };
        let timestamp = packet.timestamp.wrapping_add(source.timestamp_offset);
        if self.is_covered(timestamp) {
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
        if let Some((source, extended)) = self.place(packet)
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
    fn is_set_back(&self, packet: Incoming, (source, extended): &(Source, i64)) -> bool {
        let steps_on = packet.timestamp.wrapping_sub(source.timestamp) as i32 > 0;
        let timestamp = packet.timestamp.wrapping_add(source.timestamp_offset);
        let most = (SET_BACK_MS * self.ticks_per_ms) as i32;
        let far = |end: u32| end.wrapping_sub(timestamp) as i32 > most;
        *extended > source.highest && steps_on && self.covered_to.is_some_and(far)
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

    /// Where the packet lies in the present source; `None` when it begins another one.
    fn place(&self, packet: Incoming) -> Option<(Source, i64)> {
        let source = self.source.filter(|source| source.ssrc == packet.ssrc)?;
        // The low 16 bits are what goes over the wire, so the cut is meant.
        let step = i32::from(packet.sequence.wrapping_sub(source.highest as u16) as i16);
        if !(-SEQUENCE_MISORDER_MAX..=SEQUENCE_DROPOUT_MAX).contains(&step) {
            return None;
        }
        Some((source, source.highest + i64::from(step)))
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Incoming {
        Incoming {
            ssrc,
            sequence,
            timestamp,
            marker: false,
        }
    }

    #[test]
    fn a_new_source_follows_the_last_packet_by_the_clock() {
        let now = Instant::now();
        let mut stream = OutgoingStream::new(9, 5_000, 1_000);
        let first = stream.stamp(now, packet(1, 65_535, 70), 160).unwrap();
        assert_eq!(
            first,
            Stamp {
                sequence: 5_000,
                timestamp: 1_000,
                marker: true
            }
        );
        let second = stream.stamp(now, packet(1, 0, 230), 160).unwrap();
        assert_eq!(
            second,
            Stamp {
                sequence: 5_001,
                timestamp: 1_160,
                marker: false
            }
        );
        // Another call a second later: next number, a second further, talk-spurt.
        stream.interrupt();
        let later = now + Duration::from_secs(1);
        let third = stream
            .stamp(later, packet(2, 77, 3_000_000_000), 160)
            .unwrap();
        assert_eq!(
            third,
            Stamp {
                sequence: 5_002,
                timestamp: 9_160,
                marker: true
            }
        );
        assert_eq!(stream.sent(), (3, 480));
    }

    #[test]
    fn loss_stays_visible_and_lateness_is_in_its_place() {
        let now = Instant::now();
        let mut stream = OutgoingStream::new(9, 100, 0);
        let number = |stream: &mut OutgoingStream, sequence: u16| {
            let timestamp = u32::from(sequence) * 160;
            stream
                .stamp(now, packet(1, sequence, timestamp), 160)
                .map(|stamp| stamp.sequence)
        };
        assert_eq!(number(&mut stream, 10), Some(100));
        assert_eq!(number(&mut stream, 13), Some(103));
        assert_eq!(number(&mut stream, 11), Some(101));
        assert_eq!(
            number(&mut stream, 11),
            None,
            "a repetition would repeat a key stream"
        );
        assert_eq!(
            number(&mut stream, 9),
            None,
            "nothing lies before the first packet"
        );
    }

    #[test]
    fn a_skipped_packet_leaves_no_gap() {
        let now = Instant::now();
        let mut stream = OutgoingStream::new(9, 100, 0);
        stream.stamp(now, packet(1, 10, 0), 160).unwrap();
        stream.skip(packet(1, 11, 160));
        stream.skip(packet(1, 12, 320));
        let next = stream.stamp(now, packet(1, 13, 480), 160).unwrap();
        assert_eq!((next.sequence, next.timestamp), (101, 480));
    }

    #[test]
    fn our_own_packets_lie_between() {
        let now = Instant::now();
        let mut stream = OutgoingStream::new(9, 100, 0);
        stream.stamp(now, packet(1, 10, 0), 160).unwrap();
        assert_eq!(stream.insert(now, 160, 4), 101);
        assert_eq!(stream.insert(now, 160, 4), 102);
        stream.skip(packet(1, 11, 160));
        assert_eq!(
            stream.stamp(now, packet(1, 12, 320), 160).unwrap().sequence,
            103
        );
    }

    /// A beep takes the place of speech: to the ear behind it the stream has no seam, no gap and no packet too many.
    #[test]
    fn audio_of_our_own_takes_the_place_of_the_source() {
        let now = Instant::now();
        let at = |ms: u64| now + Duration::from_millis(ms);
        let mut stream = OutgoingStream::new(9, 100, 0);
        let mut sent = Vec::new();
        let speak = |stream: &mut OutgoingStream, turn: u16, sounding: bool| {
            let speech = packet(1, turn, u32::from(turn) * 160);
            if sounding {
                stream.skip(speech);
                return None;
            }
            stream.stamp(at(u64::from(turn) * 20), speech, 160)
        };
        for turn in 0..12_u16 {
            let sounding = (3..8).contains(&turn);
            sent.extend(speak(&mut stream, turn, sounding));
            // Our frames come 5 ms after speech of their time would: from the third turn on.
            if (2..8).contains(&turn) {
                sent.push(stream.insert_audio(at(u64::from(turn) * 20 + 5), 160));
            }
        }
        let numbers: Vec<(u64, u32)> = sent
            .iter()
            .map(|stamp| (stamp.sequence, stamp.timestamp))
            .collect();
        let seamless: Vec<(u64, u32)> = (0..12).map(|n| (100 + n, n as u32 * 160)).collect();
        assert_eq!(numbers, seamless);
        assert!(sent.iter().skip(1).all(|stamp| !stamp.marker));
    }

    /// Nobody speaks, and has not for a second: a notice is heard now, not in the past.
    #[test]
    fn audio_of_our_own_after_silence_follows_the_clock() {
        let now = Instant::now();
        let mut stream = OutgoingStream::new(9, 100, 0);
        stream.stamp(now, packet(1, 10, 0), 160).unwrap();
        let later = now + Duration::from_secs(1);
        let first = stream.insert_audio(later, 160);
        assert_eq!(
            (first.sequence, first.timestamp, first.marker),
            (101, 8_000, true)
        );
        let second = stream.insert_audio(later + Duration::from_millis(20), 160);
        assert_eq!((second.timestamp, second.marker), (8_160, false));
    }

    /// From G.711 to Opus and back within one stream: time goes on, counted in the ticks of the codec that speaks.
    #[test]
    fn another_clock_begins_a_talk_spurt() {
        let now = Instant::now();
        let mut stream = OutgoingStream::new(9, 100, 0);
        stream.stamp(now, packet(1, 10, 0), 160).unwrap();
        stream.set_clock(48);
        let later = now + Duration::from_millis(20);
        let opus = stream.stamp(later, packet(1, 11, 960), 60).unwrap();
        assert_eq!(
            (opus.sequence, opus.timestamp, opus.marker),
            (101, 960, true)
        );
        let own = stream.insert_audio(later + Duration::from_millis(20), 60);
        assert_eq!(
            (own.sequence, own.timestamp, own.marker),
            (102, 1_920, false)
        );
        stream.set_clock(8);
        let last = later + Duration::from_millis(40);
        let back = stream.stamp(last, packet(1, 90, 7), 160).unwrap();
        assert_eq!(
            (back.sequence, back.timestamp, back.marker),
            (103, 2_080, true)
        );
    }

    #[test]
    fn a_jump_begins_anew() {
        let now = Instant::now();
        let mut stream = OutgoingStream::new(9, 100, 0);
        stream.stamp(now, packet(1, 10, 0), 160).unwrap();
        let jumped = stream.stamp(now, packet(1, 9_000, 1_600_000), 160).unwrap();
        assert_eq!(
            jumped,
            Stamp {
                sequence: 101,
                timestamp: 160,
                marker: true
            }
        );
    }

    proptest! {
        /// Whatever the sources do, no number leaves twice, and the stream never runs ahead by more than a drop-out.
        #[test]
        fn no_number_is_used_twice(
            packets in proptest::collection::vec((0_u32..3, any::<u16>(), any::<u32>(), 0_u8..8), 1..300)
        ) {
            let now = Instant::now();
            let mut stream = OutgoingStream::new(9, 3_000, 0);
            let mut seen = std::collections::BTreeSet::new();
            for (ssrc, sequence, timestamp, what) in packets {
                // Most steps are small, as they are on the wire.
                let near = packet(ssrc, sequence % 40, timestamp);
                let number = match what {
                    0 => { stream.interrupt(); None }
                    1 => Some(stream.insert(now, timestamp, 4)),
                    2 => { stream.skip(near); None }
                    3 => stream.stamp(now, packet(ssrc, sequence, timestamp), 1).map(|s| s.sequence),
                    _ => stream.stamp(now, near, 1).map(|s| s.sequence),
                };
                if let Some(number) = number {
                    prop_assert!(seen.insert(number), "{number} twice");
                    prop_assert!(number >= 3_000);
                }
            }
        }
    }
}
