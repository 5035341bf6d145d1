//! The end of what is handed over to the browser.
//!
//! Where speech is decoded, what the agent hears fades before a hold. Packets that are handed over just end, and it is the browser's affair what it makes of that: Firefox
//! makes a jump of one hold in ten. So the last of them is followed by two of our own: the sound goes on for a moment, fades, and is silent before the browser
//! runs out of packets.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::notices::Notice;
use super::{Bridge, BrowserEnd};
use crate::codec::{Codec, Rate};
use crate::conceal::Concealer;
use crate::g711::Law;
use crate::insertion::FRAME_LEN;
use crate::stream::TICKS_PER_MS;

/// How much is remembered, in samples: what a guess looks at.
const REMEMBERED: usize = 50 * Rate::Narrow.per_ms();

/// A caller who has said nothing for so long behind the end of his last packet has been silent in the ear for a while: nothing is left to fade.
const FRESH_MAX: Duration = Duration::from_millis(40);

/// Packets that fade, in milliseconds: the lengths that are negotiated.
const LENGTHS_MS: RangeInclusive<usize> = 10..=60;

/// Packets of a fade.
const FADE_PACKETS: usize = 2;

/// What was handed over last.
#[derive(Debug)]
pub(super) struct LastHeard {
    octets: [u8; REMEMBERED],
    law: Law,
    /// When the last packet is over, here and by the timestamps of what is sent; `None` after one of no usual length.
    ended: Option<(Instant, u32)>,
}

impl Default for LastHeard {
    fn default() -> Self {
        Self {
            octets: [Law::Mu.silence(); REMEMBERED],
            law: Law::Mu,
            ended: None,
        }
    }
}

impl LastHeard {
    /// A packet was handed over.
    pub(super) fn note(&mut self, now: Instant, law: Law, timestamp: u32, payload: &[u8]) {
        let ms = payload.len() / Rate::Narrow.per_ms();
        self.ended = LENGTHS_MS.contains(&ms).then(|| {
            let end = timestamp.wrapping_add(payload.len() as u32);
            (now + Duration::from_millis(ms as u64), end)
        });
        if self.ended.is_none() {
            return;
        }
        if law != self.law {
            *self = Self {
                octets: [law.silence(); REMEMBERED],
                law,
                ended: self.ended,
            };
        }
        let end = &payload[payload.len().saturating_sub(REMEMBERED)..];
        self.octets.copy_within(end.len().., 0);
        self.octets[REMEMBERED - end.len()..].copy_from_slice(end);
    }

    /// How it goes on, and from which timestamp; once.
    fn fade(&mut self, now: Instant) -> Option<(u32, [[i16; FRAME_LEN]; FADE_PACKETS])> {
        let (at, end) = self.ended.take()?;
        if now.saturating_duration_since(at) > FRESH_MAX {
            return None;
        }
        let heard = self.octets.map(|octet| self.law.decode(octet));
        let mut guess = Concealer::new(Rate::Narrow);
        guess.begin(&heard);
        guess.hush();
        let mut frames = [[0; FRAME_LEN]; FADE_PACKETS];
        frames.iter_mut().for_each(|frame| guess.fill(frame));
        Some((end, frames))
    }
}

impl Bridge {
    /// What the browser is sent when it hears no more of a caller whose packets were handed over to it: the last of the sound, and silence. `None` where nothing was
    /// heard a moment ago, or a clock of ours decodes it.
    pub fn fade(
        &mut self,
        now: Instant,
        browser: BrowserEnd<'_>,
    ) -> Option<[Notice; FADE_PACKETS]> {
        let law = self.law_sent?;
        let payload_type = browser.formats.of(Codec::G711(law))?;
        let (end, frames) = self.last_heard.fade(now)?;
        browser.stream.set_clock(TICKS_PER_MS);
        browser.stream.cover(end);
        Some(frames.map(|frame| {
            self.sent_to_agent += 1;
            Notice {
                payload_type,
                stamp: browser.stream.insert_audio(now, FRAME_LEN),
                payload: frame.map(|sample| law.encode(sample)),
            }
        }))
    }
}
