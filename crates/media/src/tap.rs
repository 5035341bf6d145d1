//! What is said in a call, both directions apart, as samples by one clock: for recordings, and for whoever listens in.
//!
//! A tap has a playout of its own for each direction and changes nothing of what the call itself does with its packets: a relayed call stays one, octet for
//! octet. What was said at the same time stands at the same place, as far as two jitter buffers allow: each delays its side by what its network needs, some
//! tens of milliseconds at most. Where nobody speaks, or the call is held, there is silence.

use std::time::{Duration, Instant};

use crate::codec::{Codec, FRAME, FRAME_LEN_MAX, Rate};
use crate::ids::TapId;
use crate::playout::{Arrival, Playout};
use crate::upsample::Upsampler;

/// A clock that was stopped for longer than this goes on from now; the time between is silence to whoever counts frames.
const BEHIND_MAX: Duration = Duration::from_millis(400);

/// What a tap is to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapSettings {
    /// Samples per second of each direction.
    pub rate: Rate,
    /// Both parties are told by a beep at the beginning, and again after each such time.
    pub beep: Option<Duration>,
    /// It begins paused.
    pub paused: bool,
}

/// 20 ms of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapFrame<'a> {
    /// Whose.
    pub tap: TapId,
    /// Its number, counted from 0 at the beginning: a gap is time that nobody has counted.
    pub number: u64,
    /// Samples, by turns of the caller (left) and of the agent (right).
    pub samples: &'a [i16],
}

/// Octets of a frame's samples at the highest rate.
pub const TAP_FRAME_MAX: usize = 2 * FRAME_LEN_MAX;

/// One direction.
#[derive(Debug, Default)]
struct Side {
    heard: Option<(Codec, Playout)>,
    upsampler: Upsampler,
}

/// One listener of a call.
#[derive(Debug)]
pub struct Tap {
    id: TapId,
    settings: TapSettings,
    sides: [Side; 2],
    began: Instant,
    number: u64,
    paused: bool,
    /// The first frame behind the last pause.
    heard_from: u64,
    beep_at: Option<Instant>,
    beeped: bool,
}

impl Tap {
    /// Begins to listen.
    #[must_use]
    pub fn new(now: Instant, id: TapId, settings: TapSettings) -> Self {
        Self {
            id,
            settings,
            sides: [Side::default(), Side::default()],
            began: now,
            number: 0,
            paused: settings.paused,
            heard_from: 0,
            beep_at: settings.beep.map(|_| now),
            beeped: false,
        }
    }

    /// Whose it is.
    #[must_use]
    pub const fn id(&self) -> TapId {
        self.id
    }

    /// While it is paused both directions are silent; time goes on.
    pub fn pause(&mut self, paused: bool) {
        if self.paused && !paused {
            // What waits to be played was said during the pause, and so was what fades now and the frame that is not over yet.
            self.interrupt(Way::ToAgent);
            self.interrupt(Way::ToCaller);
            self.heard_from = self.number + 1;
        }
        self.paused = paused;
    }

    /// A packet of speech goes this way.
    pub fn insert(&mut self, now: Instant, way: Way, codec: Codec, packet: Arrival<'_>) {
        let side = &mut self.sides[way as usize];
        if let Some((present, playout)) = &mut side.heard
            && *present != codec
        {
            // Another rate needs another playout; without memory for one this side is silent.
            if playout.set_codec(codec).is_ok() {
                *present = codec;
            } else {
                side.heard = None;
            }
        }
        if side.heard.is_none()
            && let Ok(playout) = Playout::new(codec, self.settings.rate)
        {
            side.heard = Some((codec, playout));
        }
        if let Some((_, playout)) = &mut side.heard {
            playout.insert(now, packet);
        }
    }

    /// A packet without speech goes this way.
    pub fn silence(
        &mut self,
        now: Instant,
        way: Way,
        (ssrc, sequence, timestamp): (u32, u16, u32),
    ) {
        if let Some((_, playout)) = &mut self.sides[way as usize].heard {
            playout.pause(now, ssrc, sequence, timestamp);
        }
    }

    /// This way is closed: what still waits is not heard by anybody.
    pub fn interrupt(&mut self, way: Way) {
        if let Some((_, playout)) = &mut self.sides[way as usize].heard {
            playout.interrupt();
        }
    }

    /// When the next frame is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.due(self.number + 1)
    }

    /// A frame is whole when its 20 ms are over.
    fn due(&self, number: u64) -> Instant {
        let micros = FRAME.as_micros() as u64;
        self.began + Duration::from_micros(number.saturating_mul(micros))
    }

    /// Both parties are to hear a beep now.
    pub fn poll_beep(&mut self, now: Instant) -> bool {
        let (Some(at), Some(every)) = (self.beep_at, self.settings.beep) else {
            return false;
        };
        // What begins in a pause is told of when somebody is heard.
        if at > now || (self.paused && !self.beeped) {
            return false;
        }
        self.beep_at = Some(now + every);
        self.beeped |= !self.paused;
        !self.paused
    }

    /// Writes the next frame that is due; call until `None`.
    pub fn poll<'o>(
        &mut self,
        now: Instant,
        out: &'o mut [i16; TAP_FRAME_MAX],
    ) -> Option<TapFrame<'o>> {
        if self.poll_timeout() > now {
            return None;
        }
        if now.saturating_duration_since(self.poll_timeout()) > BEHIND_MAX {
            let whole = now.saturating_duration_since(self.began).as_micros() / FRAME.as_micros();
            self.number = u64::try_from(whole).unwrap_or(u64::MAX).saturating_sub(1);
        }
        let number = self.number;
        self.number += 1;
        let rate = self.settings.rate;
        let samples = &mut out[..2 * rate.frame_len()];
        for (channel, side) in self.sides.iter_mut().enumerate() {
            let mut voice = [0; FRAME_LEN_MAX];
            let voice = &mut voice[..rate.frame_len()];
            side.pull(now, rate, voice);
            if self.paused || number < self.heard_from {
                voice.fill(0);
            }
            for (to, sample) in samples.iter_mut().skip(channel).step_by(2).zip(&*voice) {
                *to = *sample;
            }
        }
        Some(TapFrame {
            tap: self.id,
            number,
            samples,
        })
    }
}

/// A direction of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The caller speaks.
    ToAgent = 0,
    /// The agent speaks.
    ToCaller = 1,
}

impl Side {
    fn pull(&mut self, now: Instant, rate: Rate, out: &mut [i16]) {
        let Some((_, playout)) = &mut self.heard else {
            return out.fill(0);
        };
        if playout.rate() == rate {
            playout.pull(now, out);
            return;
        }
        // G.711 has 8 kHz, whatever is asked for.
        let mut narrow = [0; Rate::Narrow.frame_len()];
        playout.pull(now, &mut narrow);
        self.upsampler.double(&narrow, out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;
    use crate::g711::Law;

    const CALLER: Codec = Codec::G711(Law::A);

    struct Speaker {
        codec: Codec,
        number: u16,
    }

    impl Speaker {
        /// 20 ms of silence, or of a tone as loud as there is.
        fn speak(&mut self, now: Instant, tap: &mut Tap, way: Way, loud: bool) {
            let silence = match self.codec {
                Codec::G711(law) => law.silence(),
                _ => 0,
            };
            let mut payload = [silence; 160];
            if loud {
                payload
                    .iter_mut()
                    .step_by(2)
                    .for_each(|octet| *octet = 0x2a);
            }
            let packet = Arrival {
                ssrc: 7,
                sequence: self.number,
                timestamp: u32::from(self.number) * 160,
                marker: false,
                payload: &payload,
            };
            self.number += 1;
            tap.insert(now, way, self.codec, packet);
        }
    }

    /// Where each channel is loud first, in milliseconds.
    fn first_loud(samples: &[i16], rate: Rate) -> [Option<usize>; 2] {
        [0, 1].map(|channel| {
            let mut voice = samples.iter().skip(channel).step_by(2);
            voice
                .position(|sample| sample.unsigned_abs() > 3_000)
                .map(|at| at / rate.per_ms())
        })
    }

    fn listen(tap: &mut Tap, now: Instant, all: &mut Vec<i16>) {
        let mut out = [0; TAP_FRAME_MAX];
        while let Some(frame) = tap.poll(now, &mut out) {
            let position = frame.number as usize * frame.samples.len();
            all.resize(position, 0);
            all.extend_from_slice(frame.samples);
        }
    }

    fn settings(rate: Rate, beep: Option<Duration>) -> TapSettings {
        TapSettings {
            rate,
            beep,
            paused: false,
        }
    }

    /// Two people who clap at the same moment are heard at the same moment in the recording, at both rates.
    #[test]
    fn both_directions_are_aligned() {
        for rate in [Rate::Narrow, Rate::Wide] {
            let start = Instant::now();
            let mut tap = Tap::new(start, TapId(1), settings(rate, None));
            let mut caller = Speaker {
                codec: CALLER,
                number: 9,
            };
            let law = Law::Mu;
            let mut agent = Speaker {
                codec: Codec::G711(law),
                number: 900,
            };
            let mut all = Vec::new();
            for step in 0..200_u64 {
                let now = start + Duration::from_millis(20 * step + 7);
                let clap = (100..105).contains(&step);
                caller.speak(now, &mut tap, Way::ToAgent, clap);
                // The agent's network is 11 ms slower.
                let later = now + Duration::from_millis(11);
                agent.speak(later, &mut tap, Way::ToCaller, clap);
                listen(&mut tap, later, &mut all);
            }
            let length_ms = all.len() / 2 / rate.per_ms();
            assert!(length_ms.abs_diff(4_000) <= 40, "{length_ms}");
            let [left, right] = first_loud(&all, rate).map(Option::unwrap);
            assert!(left.abs_diff(2_007) <= 60, "{left}");
            assert!(left.abs_diff(right) <= 20, "{left} {right}");
        }
    }

    /// A card number that is spoken while the recording is paused is not in it, and what follows stands where it was said.
    #[test]
    fn a_pause_is_silence_and_keeps_time() {
        let start = Instant::now();
        let rate = Rate::Narrow;
        let mut tap = Tap::new(start, TapId(1), settings(rate, None));
        let mut caller = Speaker {
            codec: CALLER,
            number: 0,
        };
        let mut all = Vec::new();
        for step in 0..150_u64 {
            let now = start + Duration::from_millis(20 * step);
            tap.pause((50..100).contains(&step));
            caller.speak(now, &mut tap, Way::ToAgent, step >= 50);
            listen(&mut tap, now, &mut all);
        }
        let [left, right] = first_loud(&all, rate);
        assert!(left.unwrap().abs_diff(2_000) <= 40, "{left:?}");
        assert_eq!(right, None);
    }

    /// The last digit of a card number is spoken as the agent resumes: what waits to be played is not in the recording either.
    #[test]
    fn nothing_of_a_pause_comes_behind_it() {
        let start = Instant::now();
        let rate = Rate::Narrow;
        let mut tap = Tap::new(start, TapId(1), settings(rate, None));
        let mut caller = Speaker {
            codec: CALLER,
            number: 0,
        };
        let mut all = Vec::new();
        for step in 0..150_u64 {
            let now = start + Duration::from_millis(20 * step);
            let paused = (50..100).contains(&step);
            tap.pause(paused);
            caller.speak(now, &mut tap, Way::ToAgent, paused);
            listen(&mut tap, now, &mut all);
        }
        assert_eq!(first_loud(&all, rate), [None, None]);
        assert_eq!(all.len() / 2 / rate.frame_len(), 149);
    }

    /// A machine that stood still for two seconds has a gap of two seconds, not a recording that is two seconds short.
    #[test]
    fn a_clock_that_stood_still_leaves_a_gap() {
        let start = Instant::now();
        let mut tap = Tap::new(start, TapId(1), settings(Rate::Wide, None));
        let mut out = [0; TAP_FRAME_MAX];
        let mut numbers = Vec::new();
        for ms in [20, 40, 2_040, 2_060] {
            let now = start + Duration::from_millis(ms);
            while let Some(frame) = tap.poll(now, &mut out) {
                numbers.push(frame.number);
            }
        }
        assert_eq!(numbers, [0, 1, 101, 102]);
    }

    /// The beep is heard at the beginning and again in time, and not while the recording is paused.
    #[test]
    fn the_beep_comes_again() {
        let start = Instant::now();
        let beep = Some(Duration::from_secs(15));
        let mut tap = Tap::new(start, TapId(1), settings(Rate::Narrow, beep));
        let mut beeps = Vec::new();
        for s in 0..60 {
            tap.pause((25..40).contains(&s));
            if tap.poll_beep(start + Duration::from_secs(s)) {
                beeps.push(s);
            }
        }
        assert_eq!(beeps, [0, 15, 45]);
    }

    /// A recording that begins while a card number is said has nothing of it, and neither party hears a beep before the pause is over; then both do.
    #[test]
    fn a_recording_that_begins_in_a_pause_is_silent_and_unannounced() {
        let start = Instant::now();
        let rate = Rate::Narrow;
        let settings = TapSettings {
            paused: true,
            ..settings(rate, Some(Duration::from_secs(60)))
        };
        let mut tap = Tap::new(start, TapId(1), settings);
        let mut caller = Speaker {
            codec: CALLER,
            number: 0,
        };
        let (mut all, mut beeps) = (Vec::new(), Vec::new());
        for step in 0..150_u64 {
            let now = start + Duration::from_millis(20 * step);
            if step == 100 {
                tap.pause(false);
            }
            caller.speak(now, &mut tap, Way::ToAgent, step < 100);
            if tap.poll_beep(now) {
                beeps.push(step);
            }
            listen(&mut tap, now, &mut all);
        }
        assert_eq!(first_loud(&all, rate), [None, None]);
        assert_eq!(beeps, [100]);
    }
}
