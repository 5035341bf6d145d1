//! The receiving end of a decoded path: packets in as the network brings them, samples out as a clock of ours asks for them.
//!
//! Between the two stand a queue ([`queue`]), one line of time for all sources ([`timeline`]), a measure of how late packets are
//! ([`delay`]), and the decoder. What to play is decided when it is asked for and not before, so a packet is late only when its
//! samples were needed. How sound is treated: `docs/audio.md`.

mod delay;
mod filling;
mod pcm;
mod queue;
mod report;
mod scaling;
mod timeline;

use std::time::Instant;

use crate::codec::{Codec, Decoder, NoCoder, Rate};
use crate::conceal::Concealer;
use crate::limits::{PLAYOUT_PACKETS_MAX, PLAYOUT_WAITING_MS_MAX, RTP_PAYLOAD_MAX};
use crate::stream::Incoming;

use delay::Delays;
use pcm::Pcm;
use queue::{Place, Queue};
pub use report::PlayoutReport;
use report::Tally;
use scaling::Waits;
use timeline::{Head, Placed, Timeline};

/// Turns of the decoding loop in one frame: each plays or drops a packet, or fills samples.
const TURNS_MAX: usize = 2 * PLAYOUT_PACKETS_MAX;

/// A packet of speech, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// Its sequence number.
    pub sequence: u16,
    /// Its timestamp, in ticks of the codec's RTP clock.
    pub timestamp: u32,
    /// Its marker bit. Not believed: peers set it on every packet, or on none.
    pub marker: bool,
    /// What the codec made.
    pub payload: &'a [u8],
}

impl<'a> Arrival<'a> {
    /// A packet of that header.
    #[must_use]
    pub const fn of(header: Incoming, payload: &'a [u8]) -> Self {
        Self {
            ssrc: header.ssrc,
            sequence: header.sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            payload,
        }
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It waits for its time.
    Taken,
    /// It waits for its time, and older ones had to go for it: too many waited.
    Full,
    /// Its number waits, or was played.
    Duplicate,
    /// Its time was over.
    Late,
    /// Its number is far from those of its source. The next one in its row is believed.
    Stray,
    /// The codec makes nothing of it.
    Undecodable,
}

/// What a frame is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// What was said, as far as it came.
    Speech,
    /// At least in part a guess at what was lost.
    Concealed,
    /// Nobody says anything.
    Silence,
}

/// What the last sample is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sounding {
    Speech,
    /// A guess of so many samples, of which the time line knows nothing yet.
    Guess {
        samples: usize,
    },
    Nothing,
}

/// A decoder, and the number of its codec in the order in which they were set.
#[derive(Debug)]
struct Coder {
    id: u32,
    codec: Codec,
    decoder: Decoder,
}

/// Jitter buffer, decoder and concealment of one direction.
#[derive(Debug)]
pub struct Playout {
    rate: Rate,
    /// Decodes what is played.
    coder: Coder,
    /// Decodes what comes in; `None` when it is the same.
    next_coder: Option<Coder>,
    queue: Queue,
    timeline: Timeline,
    delays: Delays,
    pcm: Pcm,
    concealer: Concealer,
    sounding: Sounding,
    /// The position that is decoded next.
    cursor: i64,
    /// The number that is decoded next.
    number: i64,
    /// Bit n: number `number - 1 - n` was played.
    played: u64,
    stretch: u32,
    /// Samples of the packet played last.
    packet_len: usize,
    /// Samples that were guessed before silence was taken for the end of a spurt.
    given_up_after: usize,
    /// The concealer is in the middle of a guess.
    concealing: bool,
    /// What comes next does not follow what was before, and has to be blended in.
    seam: bool,
    /// Samples ahead that are guessed.
    guessed_ahead: usize,
    waits: Waits,
    /// How often lately a packet told, or could have told, what the lost one before it said.
    repetitions: f32,
    /// The last packet of these.
    noted: i64,
    tally: Tally,
    /// When time began.
    origin: Option<Instant>,
}

impl Playout {
    /// The receiving end for this codec. Its samples come at [`Playout::rate`].
    ///
    /// # Errors
    /// When the codec's library has no memory for a decoder.
    pub fn new(codec: Codec, rate: Rate) -> Result<Self, NoCoder> {
        let decoder = Decoder::new(codec, rate)?;
        let rate = decoder.rate();
        let coder = Coder {
            id: 0,
            codec,
            decoder,
        };
        Ok(Self {
            rate,
            coder,
            next_coder: None,
            queue: Queue::default(),
            timeline: Timeline::new(codec, rate),
            delays: Delays::new(),
            pcm: Pcm::new(rate),
            concealer: Concealer::new(rate),
            sounding: Sounding::Nothing,
            cursor: 0,
            number: 0,
            played: 0,
            stretch: 0,
            packet_len: rate.frame_len(),
            given_up_after: 0,
            concealing: false,
            seam: false,
            guessed_ahead: 0,
            waits: Waits::new(),
            repetitions: 0.0,
            noted: 0,
            tally: Tally::default(),
            origin: None,
        })
    }

    /// The rate of its samples: the one asked for, or 8 kHz where the codec has no other.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a packet of speech.
    pub fn insert(&mut self, now: Instant, packet: Arrival<'_>) -> Inserted {
        let now_us = self.micros(now);
        let coder = self.next_coder.as_ref().unwrap_or(&self.coder);
        let (codec, samples) = (coder.id, coder.decoder.samples_of(packet.payload));
        let short = packet.payload.len() <= RTP_PAYLOAD_MAX;
        let Some(samples) = samples.filter(|_| short) else {
            self.tally.undecodable += 1;
            return Inserted::Undecodable;
        };
        let head = Head {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            timed: true,
        };
        let Some(placed) = self.place(head, now_us) else {
            self.tally.discarded += 1;
            return Inserted::Stray;
        };
        if self.was_played(placed.number) {
            self.tally.duplicates += 1;
            return Inserted::Duplicate;
        }
        let delay_us = now_us - self.timeline.micros(placed.position);
        let length_ms = samples / self.rate.per_ms();
        if placed.number < self.number {
            self.delays.record(delay_us, length_ms);
            self.tally.late += 1;
            return Inserted::Late;
        }
        let full = self.queue.is_full();
        if full {
            self.shed_head();
        }
        let place = at_place(placed, samples, codec, now_us);
        if !self.queue.insert(place, packet.payload) {
            self.tally.duplicates += 1;
            return Inserted::Duplicate;
        }
        self.delays.record(delay_us, length_ms);
        if self.shed() || full {
            Inserted::Full
        } else {
            Inserted::Taken
        }
    }

    /// Takes note of a packet of the stream without speech, such as a telephone event or comfort noise: its number is not lost, and the
    /// time until the next speech passes in silence.
    pub fn pause(&mut self, now: Instant, ssrc: u32, sequence: u16, timestamp: u32) {
        let now_us = self.micros(now);
        let head = Head {
            ssrc,
            sequence,
            timestamp,
            timed: false,
        };
        let codec = self.next_coder.as_ref().unwrap_or(&self.coder).id;
        let Some(placed) = self.place(head, now_us) else {
            return;
        };
        if placed.number < self.number {
            return;
        }
        if self.queue.is_full() {
            self.shed_head();
        }
        let place = at_place(placed, 0, codec, now_us);
        self.queue.insert(place, &[]);
    }

    /// Plays the next samples; to be called once for each frame of [`FRAME_MS`](crate::codec::FRAME_MS), early or late.
    pub fn pull(&mut self, now: Instant, frame: &mut [i16]) -> Pulled {
        let now_us = self.micros(now);
        let mut silent = true;
        for _ in 0..TURNS_MAX {
            let missing = frame.len().saturating_sub(self.pcm.ahead_len());
            silent &= self.pcm.ahead_len() == 0 || self.sounding == Sounding::Nothing;
            if missing == 0 {
                break;
            }
            self.turn(now_us, missing.min(self.rate.frame_len()));
        }
        silent &= self.sounding == Sounding::Nothing;
        if self.sounding == Sounding::Speech && self.guessed_ahead == 0 {
            self.adapt(now_us, frame.len());
        }
        let count = self.pcm.play(frame);
        self.waits.played(self.pcm.ahead_len());
        if let Some(rest) = frame.get_mut(count..) {
            rest.fill(0);
        }
        let guessed = self.guessed_ahead > 0;
        self.guessed_ahead = self.guessed_ahead.saturating_sub(count);
        match (guessed, silent) {
            (true, _) => Pulled::Concealed,
            (false, true) => Pulled::Silence,
            (false, false) => {
                self.concealer.listen(&frame[..count]);
                Pulled::Speech
            }
        }
    }

    /// Hold, another peer: what waits is forgotten, what sounds fades, and the next packet begins anew.
    pub fn interrupt(&mut self) {
        self.queue.clear();
        if let Some(next) = self.next_coder.take() {
            self.coder = next;
        } else if let Ok(decoder) = Decoder::new(self.coder.codec, self.rate) {
            // Without memory for it the old one goes on, and the first packet sounds a little of the former peer.
            self.coder.decoder = decoder;
        }
        self.timeline.restart(self.coder.codec);
        self.pcm.truncate(0);
        self.guessed_ahead = 0;
        self.fall_silent();
        self.seam = true;
    }

    /// From the next packet on the stream is of this codec; what waits is still decoded by its own.
    ///
    /// # Errors
    /// When the codec's library has no memory for a decoder, or the codec has not this path's rate. Everything stays as it was.
    pub fn set_codec(&mut self, codec: Codec) -> Result<(), NoCoder> {
        let newest = self.next_coder.as_ref().unwrap_or(&self.coder);
        if newest.codec == codec {
            return Ok(());
        }
        let id = newest.id + 1;
        let decoder = Decoder::new(codec, self.rate)?;
        if decoder.rate() != self.rate {
            return Err(NoCoder);
        }
        if let Some(former) = self.next_coder.take() {
            self.tally.discarded += self.queue.drop_older_than(former.id);
            self.coder = former;
        }
        self.next_coder = Some(Coder { id, codec, decoder });
        self.timeline.restart(codec);
        Ok(())
    }

    /// What was measured so far.
    #[must_use]
    pub fn measured(&self) -> PlayoutReport {
        let spread = self.target_us().zip(self.delays.fastest_us());
        self.tally
            .report(self.rate, spread.map(|(target, fastest)| target - fastest))
    }

    fn micros(&mut self, now: Instant) -> i64 {
        let origin = *self.origin.get_or_insert(now);
        i64::try_from(now.saturating_duration_since(origin).as_micros()).unwrap_or(i64::MAX / 4)
    }

    fn place(&mut self, head: Head, now_us: i64) -> Option<Placed> {
        let end = self
            .queue
            .end()
            .map_or(self.cursor, |end| end.max(self.cursor));
        self.timeline.place(head, now_us, end, &self.delays)
    }

    fn was_played(&self, number: i64) -> bool {
        let back = self.number - 1 - number;
        (0..64).contains(&back) && self.played & (1 << back) != 0
    }

    /// Goes on to the number behind this one.
    fn pass(&mut self, number: i64, played: bool) {
        let steps = number + 1 - self.number;
        self.played = u32::try_from(steps)
            .ok()
            .and_then(|steps| self.played.checked_shl(steps))
            .unwrap_or(0)
            | u64::from(played);
        self.number = number + 1;
    }

    /// Drops the oldest packet that waits.
    fn shed_head(&mut self) {
        if let Some(place) = self.queue.drop_head() {
            self.tally.discarded += 1;
            self.pass(place.number, false);
            self.cursor = self.cursor.max(place.end());
            self.seam = true;
        }
    }

    /// Drops the oldest packets while more waits than two people can bear.
    fn shed(&mut self) -> bool {
        let most = (PLAYOUT_WAITING_MS_MAX * self.rate.per_ms()) as i64;
        let mut dropped = false;
        while let (Some(end), Some(first)) = (self.queue.end(), self.queue.first_speech())
            && end - first.position > most
        {
            self.shed_head();
            dropped = true;
        }
        dropped
    }
}

fn at_place(placed: Placed, samples: usize, codec: u32, arrived_us: i64) -> Place {
    Place {
        number: placed.number,
        position: placed.position,
        samples,
        stretch: placed.stretch,
        codec,
        arrived_us,
    }
}

#[cfg(test)]
mod tests;
