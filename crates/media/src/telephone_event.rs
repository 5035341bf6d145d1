//! DTMF as RTP telephone events (RFC 4733).
//!
//! The receiver is keyed on the timestamp alone: Chromium sends events that consist of three end packets, each with the
//! marker bit and none at the start, so neither marker nor a first packet can be relied upon. The sender is driven by
//! the time it is told and keeps exact steps however late it is called.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::{DIGITS_QUEUED_MAX, KEY_INTERVAL_MIN, KEYS_EARLY_MAX, TONE_MAX, TONE_MIN};
use crate::stream::TICKS_PER_MS;

/// Octets of an event payload.
pub const PAYLOAD_LEN: usize = 4;

/// How long a digit sounds unless something else is asked for: what telephones send, and twice what a receiver must hear (Q.24: 40 ms).
pub const TONE: Duration = Duration::from_millis(100);

/// Silence between two digits (Q.24 asks for 40 ms).
pub const GAP: Duration = Duration::from_millis(60);

/// Between two packets of one event.
const STEP: Duration = Duration::from_millis(20);

/// The last packet of an event is sent three times (RFC 4733 section 2.5.1.4).
const END_PACKETS: u8 = 3;

/// An event may not last longer than one duration field; it then goes on as a new segment (RFC 4733 section 2.5.1.3).
const SEGMENT_TICKS: u16 = 0xffff;

/// A loudness of -10 dBm0, in the middle of what receivers take.
const VOLUME: u8 = 10;

/// The event code of a digit (RFC 4733 section 3.2); `None` for what is no digit.
#[must_use]
pub fn code_of(digit: char) -> Option<u8> {
    match digit {
        '0'..='9' => digit.to_digit(10).and_then(|code| u8::try_from(code).ok()),
        '*' => Some(10),
        '#' => Some(11),
        'A'..='D' => Some(12 + (digit as u8 - b'A')),
        _ => None,
    }
}

/// The digit of an event code; `None` for codes that are no digit (flash, tones).
#[must_use]
pub fn digit_of(code: u8) -> Option<char> {
    match code {
        0..=9 => Some(char::from(b'0' + code)),
        10 => Some('*'),
        11 => Some('#'),
        12..=15 => Some(char::from(b'A' + code - 12)),
        _ => None,
    }
}

/// An event payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Event code.
    pub code: u8,
    /// Last packet of the event.
    pub end: bool,
    /// Loudness in -dBm0, 0-63.
    pub volume: u8,
    /// Duration so far, in ticks of the stream's clock.
    pub duration: u16,
}

impl Event {
    /// Reads a payload; `None` when it is shorter than an event.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [code, flags, high, low] = *payload.first_chunk::<PAYLOAD_LEN>()?;
        let duration = u16::from_be_bytes([high, low]);
        Some(Self {
            code,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration,
        })
    }

    /// The payload.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; PAYLOAD_LEN] {
        let [high, low] = self.duration.to_be_bytes();
        [
            self.code,
            (self.volume & 0x3f) | if self.end { 0x80 } else { 0 },
            high,
            low,
        ]
    }
}

/// Turns event packets into digits, each once.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    ssrc: u32,
    timestamp: u32,
    code: u8,
    duration: u16,
}

impl Receiver {
    /// Takes a packet; returns the digit when it is the first of its event, whichever part of the event it is.
    pub fn receive(&mut self, ssrc: u32, timestamp: u32, payload: &[u8]) -> Option<char> {
        let event = Event::parse(payload)?;
        let digit = digit_of(event.code)?;
        if let Some(last) = &mut self.last
            && last.ssrc == ssrc
        {
            let ahead = timestamp.wrapping_sub(last.timestamp) as i32;
            let continued = last.duration == SEGMENT_TICKS
                && ahead == i32::from(SEGMENT_TICKS)
                && last.code == event.code;
            if continued {
                last.timestamp = timestamp;
                last.duration = event.duration;
                return None;
            }
            if ahead == 0 {
                last.duration = last.duration.max(event.duration);
                return None;
            }
            // A late packet of an event that was reported before.
            if ahead < 0 && ahead > -(8_000 * 5) {
                return None;
            }
        }
        self.last = Some(Last {
            ssrc,
            timestamp,
            code: event.code,
            duration: event.duration,
        });
        Some(digit)
    }
}

/// Tells the keys that somebody presses from those that only a flood of packets has.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyPace {
    /// When the keys that were taken so far would all have been pressed, one after the other.
    pressed_until: Option<Instant>,
}

impl KeyPace {
    /// Whether one more key is taken.
    pub fn take(&mut self, now: Instant) -> bool {
        let from = self.pressed_until.map_or(now, |until| until.max(now));
        let is_taken = from < now + KEYS_EARLY_MAX;
        if is_taken {
            self.pressed_until = Some(from + KEY_INTERVAL_MIN);
        }
        is_taken
    }
}

/// A packet to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its payload.
    pub event: Event,
    /// First packet of the event: marker bit, and the event's timestamp is taken from the stream at this moment.
    pub first: bool,
    /// Ticks from the start of the event to the start of its present segment: added to the event's timestamp.
    pub segment: u32,
}

/// Sends digits one after the other.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The clock of the events that were agreed.
    ticks_per_ms: u32,
    queue: VecDeque<Waiting>,
    current: Option<Current>,
    /// The next digit may start then.
    free_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    code: u8,
    /// Milliseconds it shall last.
    total_ms: u32,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    code: u8,
    next_at: Instant,
    total: u32,
    /// Ticks since its start, and those of its segments that are closed.
    elapsed: u32,
    segment: u32,
    ends: u8,
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            ticks_per_ms: TICKS_PER_MS,
            queue: VecDeque::new(),
            current: None,
            free_at: None,
        }
    }
}

impl Current {
    /// The packet that says how long the event has lasted by now.
    fn packet(&self, first: bool) -> Outgoing {
        // A segment is closed before its duration outgrows the field.
        let duration = u16::try_from(self.elapsed - self.segment).unwrap_or(SEGMENT_TICKS);
        Outgoing {
            event: Event {
                code: self.code,
                end: self.ends > 0,
                volume: VOLUME,
                duration,
            },
            first,
            segment: self.segment,
        }
    }
}

impl Sender {
    /// Events are counted in these ticks from the next digit on.
    pub const fn set_clock(&mut self, ticks_per_ms: u32) {
        self.ticks_per_ms = ticks_per_ms;
    }

    /// Ticks between two packets of one event.
    const fn step_ticks(&self) -> u32 {
        STEP.as_millis() as u32 * self.ticks_per_ms
    }

    /// Queues digits that last `tone` each, within bounds; returns how many were not taken, because they are no digits or too many
    /// wait.
    pub fn push(&mut self, now: Instant, digits: &str, tone: Duration) -> usize {
        let mut refused = 0;
        let total_ms = tone.clamp(TONE_MIN, TONE_MAX).as_millis() as u32;
        for digit in digits.chars() {
            match code_of(digit) {
                Some(code) if self.queue.len() < DIGITS_QUEUED_MAX => {
                    self.queue.push_back(Waiting { code, total_ms });
                }
                _ => refused += 1,
            }
        }
        if self.free_at.is_none_or(|at| at < now) && self.current.is_none() {
            self.free_at = Some(now);
        }
        refused
    }

    /// An event is under way: audio pauses.
    #[must_use]
    pub const fn is_sounding(&self) -> bool {
        self.current.is_some()
    }

    /// When the next packet is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.current {
            Some(current) => Some(current.next_at),
            None if self.queue.is_empty() => None,
            None => self.free_at,
        }
    }

    /// The next packet that is due; call until `None`.
    pub fn poll(&mut self, now: Instant) -> Option<Outgoing> {
        if self.poll_timeout()? > now {
            return None;
        }
        let Some(mut current) = self.current else {
            let Waiting { code, total_ms } = self.queue.pop_front()?;
            let total = total_ms * self.ticks_per_ms;
            let current = Current {
                code,
                next_at: self.free_at.unwrap_or(now) + STEP,
                total,
                elapsed: self.step_ticks().min(total),
                segment: 0,
                ends: 0,
            };
            self.current = Some(current);
            return Some(current.packet(true));
        };
        let elapsed = (current.elapsed + self.step_ticks()).min(current.total);
        if elapsed - current.segment > u32::from(SEGMENT_TICKS) {
            let mut closing = current.packet(false);
            closing.event.duration = SEGMENT_TICKS;
            // The step itself follows at once, in the next segment.
            current.segment += u32::from(SEGMENT_TICKS);
            self.current = Some(current);
            return Some(closing);
        }
        current.elapsed = elapsed;
        current.ends += u8::from(elapsed == current.total);
        let packet = current.packet(false);
        if current.ends == END_PACKETS {
            self.current = None;
            // The tone ends one step after the first end packet, and so one step before the last repetition.
            let overhang = STEP * u32::from(END_PACKETS - 2);
            self.free_at = Some(current.next_at + GAP.saturating_sub(overhang));
        } else {
            current.next_at += STEP;
            self.current = Some(current);
        }
        Some(packet)
    }

    /// Forgets what waits and what sounds.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.current = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_digit_has_its_code() {
        for (code, digit) in "0123456789*#ABCD".chars().enumerate() {
            assert_eq!(code_of(digit), Some(code as u8));
            assert_eq!(digit_of(code as u8), Some(digit));
        }
        assert_eq!((code_of('x'), digit_of(16)), (None, None));
    }

    fn packet(code: u8, end: bool, duration: u16) -> [u8; 4] {
        Event {
            code,
            end,
            volume: 10,
            duration,
        }
        .to_bytes()
    }

    #[test]
    fn a_digit_is_heard_once() {
        let mut receiver = Receiver::default();
        let mut heard = String::new();
        for (timestamp, end, duration) in [
            (100, false, 160),
            (100, false, 320),
            (100, true, 800),
            (100, true, 800),
            (100, true, 800),
            (1_700, false, 160),
            // Late, from the event before.
            (100, true, 800),
            (1_700, true, 800),
        ] {
            heard.extend(receiver.receive(1, timestamp, &packet(5, end, duration)));
        }
        assert_eq!(heard, "55");
    }

    /// Chromium with Opus first and 8000 Hz events: three end packets, no start.
    #[test]
    fn an_event_of_end_packets_only_is_heard() {
        let mut receiver = Receiver::default();
        let heard: Vec<_> = (0..3)
            .filter_map(|_| receiver.receive(1, 9, &packet(11, true, 0x03c0)))
            .collect();
        assert_eq!(heard, ['#']);
    }

    #[test]
    fn a_long_key_is_one_digit() {
        let mut receiver = Receiver::default();
        assert_eq!(receiver.receive(1, 0, &packet(1, false, 0xffff)), Some('1'));
        assert_eq!(receiver.receive(1, 0xffff, &packet(1, false, 160)), None);
        assert_eq!(receiver.receive(1, 0xffff, &packet(1, true, 320)), None);
        assert_eq!(
            receiver.receive(1, 0xffff + 2_000, &packet(1, true, 320)),
            Some('1')
        );
    }

    /// A dialler at its fastest, for as long as it likes, and what a network held back for a second: no key of theirs is lost. A flood is, but for what a
    /// dialler could have sent.
    #[test]
    fn keys_are_taken_as_fast_as_they_can_be_told_apart() {
        let start = Instant::now();
        let mut pace = KeyPace::default();
        assert!((0..1_000).all(|n| pace.take(start + Duration::from_millis(80) * n)));
        let mut pace = KeyPace::default();
        assert!((0..25).all(|_| pace.take(start)));
        let flood = |pace: &mut KeyPace, from: Instant| {
            let at = |n| from + Duration::from_millis(1) * n;
            (0..1_000).filter(|n| pace.take(at(*n))).count()
        };
        assert_eq!(flood(&mut pace, start), 25);
        let later = start + Duration::from_secs(60);
        assert_eq!(flood(&mut pace, later), 50);
    }

    #[test]
    fn short_payloads_and_other_events_are_nothing() {
        let mut receiver = Receiver::default();
        assert_eq!(receiver.receive(1, 0, &[1, 2, 3]), None);
        assert_eq!(receiver.receive(1, 0, &packet(16, true, 160)), None);
    }

    #[test]
    fn the_sender_keeps_exact_steps() {
        let now = Instant::now();
        let mut sender = Sender::default();
        assert_eq!(sender.push(now, "1x2", TONE), 1);
        let mut sent = Vec::new();
        // Called late, every 33 ms: the schedule does not drift.
        for turn in 0..20 {
            let at = now + Duration::from_millis(33 * turn);
            while let Some(out) = sender.poll(at) {
                sent.push((out.first, out.event.code, out.event.duration, out.event.end));
            }
        }
        let one = |code| {
            [
                (true, code, 160, false),
                (false, code, 320, false),
                (false, code, 480, false),
                (false, code, 640, false),
                (false, code, 800, true),
                (false, code, 800, true),
                (false, code, 800, true),
            ]
        };
        assert_eq!(sent, [one(1), one(2)].concat());
        assert_eq!(sender.poll_timeout(), None);
    }

    /// A desktop that asks for a digit of nine seconds gets one digit of nine seconds, which is more than the field can say.
    #[test]
    fn a_long_digit_goes_on_in_a_new_segment() {
        let now = Instant::now();
        let mut sender = Sender::default();
        let mut receiver = Receiver::default();
        sender.push(now, "7", Duration::from_secs(9));
        let (mut sent, mut heard) = (Vec::new(), String::new());
        while let Some(at) = sender.poll_timeout() {
            while let Some(out) = sender.poll(at) {
                heard.extend(receiver.receive(1, out.segment, &out.event.to_bytes()));
                sent.push((at.duration_since(now).as_millis(), out));
            }
        }
        assert_eq!(heard, "7");
        let turn = sent.iter().position(|(_, out)| out.segment > 0).unwrap();
        let said = |index: usize| {
            let (ms, out) = sent[index];
            (
                ms,
                out.first,
                out.segment,
                out.event.duration,
                out.event.end,
            )
        };
        // 8180 ms are 65440 ticks; the field ends in the middle of the next 160.
        assert_eq!(said(turn - 2), (8_160, false, 0, 65_440, false));
        assert_eq!(said(turn - 1), (8_180, false, 0, 0xffff, false));
        assert_eq!(said(turn), (8_180, false, 0xffff, 65, false));
        let last = sent.len() - 1;
        assert_eq!(said(last), (9_020, false, 0xffff, 6_465, true));
        assert_eq!(sent.iter().filter(|(_, out)| out.event.end).count(), 3);
    }

    #[test]
    fn a_digit_lasts_as_long_as_asked_within_bounds() {
        for (asked_ms, ticks) in [(0, 320), (160, 1_280), (3_600_000, 80_000)] {
            let now = Instant::now();
            let mut sender = Sender::default();
            sender.push(now, "1", Duration::from_millis(asked_ms));
            let mut total = 0;
            while let Some(at) = sender.poll_timeout() {
                while let Some(out) = sender.poll(at) {
                    total = out.segment + u32::from(out.event.duration);
                }
            }
            assert_eq!(total, ticks, "{asked_ms} ms");
        }
    }

    #[test]
    fn the_gap_between_two_digits() {
        let now = Instant::now();
        let mut sender = Sender::default();
        sender.push(now, "12", TONE);
        let mut starts = Vec::new();
        for ms in 0..400 {
            let at = now + Duration::from_millis(ms);
            while let Some(out) = sender.poll(at) {
                if out.first {
                    starts.push(ms);
                }
            }
        }
        assert_eq!(starts, [0, 160], "100 ms of tone, 60 ms of silence");
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut sender = Sender::default();
        assert_eq!(
            sender.push(Instant::now(), &"1".repeat(DIGITS_QUEUED_MAX + 3), TONE),
            3
        );
    }

    proptest! {
        /// What is sent is heard.
        #[test]
        fn sender_and_receiver_agree(digits in "[0-9*#A-D]{0,20}") {
            let mut now = Instant::now();
            let start = now;
            let mut sender = Sender::default();
            let mut receiver = Receiver::default();
            sender.push(now, &digits, TONE);
            let mut heard = String::new();
            let mut timestamp = 0;
            while let Some(at) = sender.poll_timeout() {
                now = at;
                while let Some(out) = sender.poll(now) {
                    if out.first {
                        timestamp = now.duration_since(start).as_millis() as u32 * 8;
                    }
                    heard.extend(receiver.receive(1, timestamp, &out.event.to_bytes()));
                }
            }
            prop_assert_eq!(heard, digits);
        }
    }
}
