//! What a frame is filled with: the packet whose turn it is, a guess at the one that is missing, or silence; and how its delay is brought to
//! what the network needs.

use super::queue::Place;
use super::scaling::{self, Change};
use super::{Playout, Sounding};
use crate::codec::{PACKET_LEN_MAX, Rate};
use crate::limits::PLAYOUT_TARGET_MS_MAX;

/// A timestamp that steps on by this much more than its packet lasts is a clock that is set, not a pause.
const GAP_IGNORED_MS: usize = 10;

/// How much later than the fastest packet could a spurt begins, at the least: the jitter of a network at rest and of our own clock.
const SLACK_US_MIN: i64 = 6_000;

/// Concealment of this length has become silence; what follows is begun like a spurt.
const CONCEALED_MS_MAX: usize = 60;

/// How much Opus guesses at a time.
const OPUS_STEP_MS: usize = 20;

/// Losses that the next packet tells of count for about ten seconds.
const REPETITIONS_FORGOTTEN: f32 = 0.998;

/// With more of them than one in a hundred packets it pays to wait for the next packet: a hundredth of loss costs more than 20 ms (ITU-T
/// G.107).
const REPETITIONS_WAITED_FOR: f32 = 4.0;

/// How long a spurt takes to its full level that begins in the middle of a wave, as one does whose first packets nobody was to hear.
const EASED_MS: usize = 5;

/// A spurt that stays below this (-40 dB of full scale) in its first half millisecond has no edge that can be heard, and is played as it is.
const EDGE: u16 = 330;

/// Lets a spurt that would begin with a click rise from silence.
fn ease(spurt: &mut [i16], rate: Rate) {
    let mut first = spurt.iter().take(rate.per_ms() / 2);
    if first.all(|sample| sample.unsigned_abs() < EDGE) {
        return;
    }
    let length = (EASED_MS * rate.per_ms()) as i32;
    for (sample, n) in spurt.iter_mut().zip(0..length) {
        // A part of a sample is one.
        *sample = (i32::from(*sample) * n / length) as i16;
    }
}

impl Playout {
    /// One step towards a full frame: plays or drops a packet, or fills up to `missing` samples.
    pub(super) fn turn(&mut self, now_us: i64, missing: usize) {
        let Some((head, _)) = self.queue.head() else {
            self.starve(missing);
            return;
        };
        let head = *head;
        if head.is_pause() {
            self.take_pause(head);
            return;
        }
        let continues = head.stretch == self.stretch;
        if self.sounding == Sounding::Nothing {
            if self.is_early(now_us, &head) {
                self.fill_silence(missing);
            } else {
                self.count_silence_that_was_loss(&head);
                self.play_head(now_us);
            }
            return;
        }
        self.seam |= !continues;
        let gap = usize::try_from(head.position - self.cursor).unwrap_or(0);
        let lost = if continues {
            head.number - self.number
        } else {
            0
        };
        let ignored = GAP_IGNORED_MS * self.rate.per_ms();
        if lost <= 0 {
            if gap > ignored && self.guessed() < gap {
                self.fall_silent();
            } else {
                self.play_head(now_us);
            }
            return;
        }
        self.note_repetition();
        let lost = usize::try_from(lost).unwrap_or(usize::MAX);
        let missed = gap.min(lost.saturating_mul(self.packet_len));
        let guessed = self.guessed();
        if guessed < missed {
            self.fill_gap(missed - guessed, missing);
        } else if gap > missed + ignored && guessed < gap {
            self.fall_silent();
        } else {
            self.play_head(now_us);
        }
    }

    /// Brings the delay nearer to what the network needs.
    pub(super) fn adapt(&mut self, now_us: i64, frame: usize) {
        let Some(target) = self.target_us() else {
            return;
        };
        match self.waits.advice(target, self.rate) {
            None => return,
            Some(Change::Shorten { most, hurry }) => {
                let wanted = frame + scaling::PERIOD_MS_MAX * self.rate.per_ms();
                if self.pcm.ahead_len() < wanted && self.follows_at_once() {
                    self.play_head(now_us);
                }
                let (_, ahead) = self.pcm.around();
                let most = most.min(ahead.len().saturating_sub(frame));
                let Some(by) = scaling::cut(ahead, most, hurry, self.rate) else {
                    return;
                };
                self.pcm.shorten(by);
                self.tally.compressed += by as u64;
            }
            Some(Change::Lengthen) => {
                let (so_far, ahead) = self.pcm.around();
                let Some(by) = scaling::stretch(so_far, ahead, self.rate) else {
                    return;
                };
                self.pcm.lengthen(by);
                self.tally.expanded += by as u64;
            }
        }
        self.waits.changed();
    }

    /// The delay at which nearly all packets are in time, as far as it is bearable.
    pub(super) fn target_us(&self) -> Option<i64> {
        let fastest = self.delays.fastest_us()?;
        let most = fastest + PLAYOUT_TARGET_MS_MAX * 1_000;
        let target = self.delays.target_us()?;
        // What a packet repeats is of use only when it is there before the lost one is missed.
        let packet_us = self.timeline.micros(self.packet_len as i64);
        let longer = if self.repetitions > REPETITIONS_WAITED_FOR {
            packet_us
        } else {
            0
        };
        Some((target + longer).min(most))
    }

    /// What waits goes on where the last packet ended.
    fn follows_at_once(&self) -> bool {
        self.queue.head().is_some_and(|(head, _)| {
            !head.is_pause()
                && head.stretch == self.stretch
                && head.number == self.number
                && head.position == self.cursor
                && !self.seam
        })
    }

    /// Silence has come to its end. What numbers are missing in it were speech, whose guess ended before it was known that more is lost.
    fn count_silence_that_was_loss(&mut self, head: &Place) {
        let guessed = std::mem::take(&mut self.given_up_after);
        let lost = usize::try_from(head.number - self.number).unwrap_or(0);
        let gap = usize::try_from(head.position - self.cursor).unwrap_or(0);
        if head.stretch == self.stretch && lost > 0 && gap > 0 {
            let missed = gap.min(lost.saturating_mul(self.packet_len));
            self.tally.concealed(missed.saturating_sub(guessed), false);
        }
    }

    /// The packet at the head stands behind a lost one; each is noted once.
    fn note_repetition(&mut self) {
        if let Some((head, payload)) = self.queue.head()
            && self.noted != head.number
            && self.coder.decoder.repeats(payload)
        {
            self.noted = head.number;
            self.repetitions += 1.0;
        }
    }

    /// Whether a spurt that begins with this packet should wait for those behind it, which may be slower.
    fn is_early(&self, now_us: i64, head: &Place) -> bool {
        let (Some(target), Some(fastest)) = (self.target_us(), self.delays.fastest_us()) else {
            return false;
        };
        // A packet that is no multiple of our frame leaves a frame to be finished by the next one.
        let frame = self.rate.frame_len();
        let unfinished = (frame - head.samples % frame) % frame;
        let due_us = target.max(fastest + SLACK_US_MIN) + self.timeline.micros(unfinished as i64);
        now_us - self.timeline.micros(head.position) < due_us
    }

    /// Something has come behind a guess that was begun because nothing did: what of it was not said at all counts for nothing.
    fn settle_guess(&mut self, head: &Place) {
        let guessed = self.tally.doubtful();
        if guessed == 0 {
            return;
        }
        let lost = usize::try_from(head.number - self.number).unwrap_or(0);
        let gap = usize::try_from(head.position - self.cursor).unwrap_or(0);
        let missed = gap.min(lost.saturating_mul(self.packet_len));
        let pause = if head.is_pause() && lost == 0 {
            usize::MAX
        } else {
            gap - missed
        };
        let ignored = GAP_IGNORED_MS * self.rate.per_ms();
        let counted = if head.stretch != self.stretch || pause <= ignored {
            guessed
        } else {
            guessed.saturating_sub(pause).max(guessed.min(missed))
        };
        self.tally.settle(counted);
    }

    const fn guessed(&self) -> usize {
        match self.sounding {
            Sounding::Guess { samples } => samples,
            Sounding::Speech | Sounding::Nothing => 0,
        }
    }

    /// Nothing waits.
    fn starve(&mut self, missing: usize) {
        if self.sounding == Sounding::Nothing {
            self.fill_silence(missing);
        } else {
            let first = self.sounding == Sounding::Speech;
            let filled = self.guess(missing);
            self.tally.doubt(filled, first);
            let samples = self.guessed();
            if samples >= CONCEALED_MS_MAX * self.rate.per_ms() {
                self.fall_silent();
            }
        }
    }

    /// A packet without speech stands at the head.
    fn take_pause(&mut self, head: Place) {
        self.settle_guess(&head);
        self.queue.drop_head();
        self.pass(head.number.max(self.number), false);
        let ignored = (GAP_IGNORED_MS * self.rate.per_ms()) as i64;
        let goes_on = self
            .queue
            .first_speech()
            .is_some_and(|next| next.position <= self.cursor + ignored);
        if !goes_on && self.sounding != Sounding::Nothing {
            self.fall_silent();
        }
        // Its number is no loss, and what is lost behind it is another one.
        self.given_up_after = 0;
    }

    /// Nothing more is said until the next packet.
    pub(super) fn fall_silent(&mut self) {
        if self.sounding == Sounding::Nothing {
            return;
        }
        self.given_up_after = self.guessed();
        self.sounding = Sounding::Nothing;
        if !self.concealing {
            self.concealer.begin(self.pcm.so_far());
        }
        self.concealing = false;
        self.concealer.hush();
    }

    fn fill_silence(&mut self, samples: usize) {
        let room = self.pcm.room(samples);
        self.concealer.fill(room);
        let filled = room.len();
        self.pcm.commit(filled);
    }

    /// Fills the place of packets that never came; `missed` samples of it are still open.
    fn fill_gap(&mut self, missed: usize, missing: usize) {
        if let Some((head, _)) = self.queue.head() {
            let head = *head;
            self.settle_guess(&head);
        }
        if let Some((head, payload)) = self.queue.head()
            && head.codec == self.coder.id
            && missed <= head.samples.max(self.packet_len)
        {
            let room = self.pcm.room(missed);
            if room.len() == missed && self.coder.decoder.recover(payload, room) {
                self.pcm.commit(missed);
                let samples = self.guessed() + missed;
                self.sounding = Sounding::Guess { samples };
                self.tally.recovered(missed);
                return;
            }
        }
        let first = self.sounding == Sounding::Speech;
        let filled = self.guess(missed.min(missing));
        self.tally.concealed(filled, first);
    }

    /// Guesses at least so many samples; how many it has become.
    fn guess(&mut self, missing: usize) -> usize {
        let step = OPUS_STEP_MS * self.rate.per_ms();
        let room = self.pcm.room(step.max(missing));
        let own = room
            .get_mut(..step)
            .is_some_and(|step| self.coder.decoder.conceal(step));
        if !own && !self.concealing {
            self.concealer.begin(self.pcm.so_far());
        }
        self.concealing = !own;
        let filled = if own {
            step
        } else {
            let room = self.pcm.room(missing);
            self.concealer.fill(room);
            room.len()
        };
        self.pcm.commit(filled);
        self.guessed_ahead = self.pcm.ahead_len();
        let samples = self.guessed() + filled;
        self.sounding = Sounding::Guess { samples };
        // A guess of the codec's own goes on into the next packet; ours has to be blended.
        self.seam |= !own;
        filled
    }

    /// Decodes the packet at the head.
    fn play_head(&mut self, now_us: i64) {
        let Some((head, _)) = self.queue.head() else {
            return;
        };
        let head = *head;
        self.settle_guess(&head);
        if let Some(next) = self.next_coder.take_if(|next| next.id == head.codec) {
            self.coder = next;
            self.seam = true;
        }
        let shifted = self.sounding == Sounding::Speech && head.position != self.cursor;
        let silent = self.sounding == Sounding::Nothing;
        let blended = self.seam || shifted || (silent && self.concealer.is_audible());
        if blended && !silent && !self.concealing {
            self.concealer.begin(self.pcm.so_far());
        }
        let ahead = self.pcm.ahead_len();
        let room = self.pcm.room(head.samples.min(PACKET_LEN_MAX));
        let payload = self.queue.head().map_or(&[][..], |(_, payload)| payload);
        let decoded = self.coder.decoder.decode(payload, room);
        self.queue.drop_head();
        let Some(samples) = decoded else {
            // It is as good as lost: its place is filled when what follows is asked for.
            self.tally.undecodable += 1;
            return;
        };
        self.pcm.commit(samples);
        if blended {
            self.concealer.blend(self.pcm.last_mut(samples));
        } else if silent {
            ease(self.pcm.last_mut(samples), self.rate);
        }
        let waited_us = now_us - head.arrived_us;
        let length_us = self.timeline.micros(ahead as i64);
        self.tally.played(samples, waited_us + length_us);
        if head.stretch != self.stretch {
            self.waits.forget();
        }
        let since_spoken_us = now_us - self.timeline.micros(head.position);
        self.waits.decoded(since_spoken_us, waited_us);
        self.pass(head.number.max(self.number), true);
        self.stretch = head.stretch;
        self.cursor = head.position + samples as i64;
        self.packet_len = samples;
        self.sounding = Sounding::Speech;
        self.concealing = false;
        self.seam = false;
        self.repetitions *= REPETITIONS_FORGOTTEN;
    }
}
