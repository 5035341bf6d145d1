//! Notices: short tones that one party hears over the other's speech.
//!
//! Where speech is decoded they are mixed with its frames, and where packets of G.711 are handed over, into those. Where packets of Opus or G.722 are, a
//! notice takes their place; and where none come, it sounds alone.

use std::time::{Duration, Instant};

use super::{Bridge, BrowserEnd, TO_AGENT, TO_CALLER};
use crate::browser_leg::BrowserFormats;
use crate::codec::{Codec, Rate};
use crate::g711::Law;
use crate::insertion::{FRAME_LEN, Insertion};
use crate::stream::{Stamp, TICKS_PER_MS};
use crate::telephone_event::GAP;
use crate::tone::Tone;

/// The beep: frequency and level of the tone that warns of recording (ITU-T P.311 has no rule; 1400 Hz is what networks use), loud enough to
/// be heard over speech and not louder.
const BEEP_HZ: f64 = 1_400.0;
const BEEP_DBM0: f64 = -12.0;

/// How long a beep lasts.
const BEEP: Duration = Duration::from_millis(200);

/// So long after the speaker's last packet a notice sounds alone; these packets carry it until then.
const ALONE_AFTER: Duration = Duration::from_millis(60);

/// The laws of G.711 between which a packet is handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Laws {
    pub(super) from: Law,
    pub(super) to: Law,
}

impl Laws {
    /// `None` of any other codec.
    pub(super) const fn between(from: Codec, to: Codec) -> Option<Self> {
        match (from, to) {
            (Codec::G711(from), Codec::G711(to)) => Some(Self { from, to }),
            _ => None,
        }
    }
}

/// A frame of a notice for the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The browser's payload type.
    pub payload_type: u8,
    /// Its numbers.
    pub stamp: Stamp,
    /// 20 ms of audio.
    pub payload: [u8; FRAME_LEN],
}

/// The notices of one direction.
#[derive(Debug, Default)]
pub(super) struct Notices {
    pub(super) sounds: Insertion,
    /// When the last packet was handed over beside which no notice sounds alone.
    met_at: Option<Instant>,
}

impl Notices {
    /// Queues a beep, behind so much silence.
    fn beep(&mut self, now: Instant, lead: Option<Duration>) {
        if let Some(lead) = lead.filter(|_| !self.sounds.is_sounding()) {
            self.sounds.push(now, None, lead);
        }
        // One that finds the queue full is one beep among hundreds.
        self.sounds
            .push(now, Some(Tone::notice(BEEP_HZ, BEEP_DBM0)), BEEP);
        if let Some(at) = self.met_at {
            self.sounds.defer(at + ALONE_AFTER);
        }
    }

    /// For a moment no notice sounds alone.
    pub(super) fn wait(&mut self, now: Instant) {
        self.sounds.defer(now + ALONE_AFTER);
    }

    /// A packet is handed over that can carry a notice, or that one would be in the way of; whether one sounds.
    pub(super) fn meet(&mut self, now: Instant) -> bool {
        self.met_at = Some(now);
        self.wait(now);
        self.sounds.is_sounding()
    }

    /// Writes the next of what sounds over a payload that is handed over.
    pub(super) fn over(&mut self, now: Instant, laws: Laws, speech: &[u8], out: &mut [u8]) {
        let parts = speech.chunks(FRAME_LEN).zip(out.chunks_mut(FRAME_LEN));
        for (part, out) in parts {
            let mut samples = [0; FRAME_LEN];
            let samples = &mut samples[..part.len()];
            for (sample, octet) in samples.iter_mut().zip(part) {
                *sample = laws.from.decode(*octet);
            }
            self.sounds.mix(now, Rate::Narrow, samples);
            for (octet, sample) in out.iter_mut().zip(&*samples) {
                *octet = laws.to.encode(*sample);
            }
        }
        self.wait(now);
    }
}

impl Bridge {
    /// Plays a short tone to the agent.
    pub fn beep(&mut self, now: Instant) {
        let notices = &mut self.notices[TO_AGENT];
        notices.beep(now, None);
        notices.sounds.push(now, None, GAP);
    }

    /// Tells both parties that somebody listens.
    pub(super) fn beep_to_both(&mut self, now: Instant) {
        self.beep(now);
        let Some(plan) = self.plan else { return };
        let lead = self.lead_in(plan.format.codec);
        self.notices[TO_CALLER].beep(now, lead);
    }

    /// A packet of the agent's is handed over, of G.711 or a key: a notice sounds over the one, and waits for the other. `out` is its payload as it leaves.
    pub(super) fn over_agent(
        &mut self,
        now: Instant,
        laws: Option<Laws>,
        said: &[u8],
        out: &mut [u8],
    ) {
        let notices = &mut self.notices[TO_CALLER];
        if notices.meet(now)
            && let Some(laws) = laws
        {
            notices.over(now, laws, said, out);
            // What began to sound alone and is no whole packet yet is over.
            self.keys_packer = None;
        }
    }

    /// What is sent of a packet of the caller's that is handed over: with a notice over it, while one sounds. `None` leaves it as it is.
    pub(super) fn over(
        &mut self,
        now: Instant,
        laws: Laws,
        timestamp: u32,
        speech: &[u8],
    ) -> Option<Vec<u8>> {
        self.last_heard.note(now, laws.from, timestamp, speech);
        let notices = &mut self.notices[TO_AGENT];
        if !notices.meet(now) {
            return None;
        }
        let mut mixed = vec![0; speech.len()];
        notices.over(now, laws, speech, &mut mixed);
        Some(mixed)
    }

    /// The law of a notice that sounds alone: that of the caller's speech before it and behind it, since a browser that is sent another payload type drops
    /// what it has not played yet.
    fn law_of_notices(&self, formats: Option<BrowserFormats>) -> Law {
        let of_speech = || {
            let (target, _) = formats?.target(self.plan?.format.codec)?;
            match target {
                Codec::G711(law) => Some(law),
                _ => None,
            }
        };
        let is_spoken = formats.is_some_and(|formats| formats.mu.is_some());
        let spoken = if is_spoken { Law::Mu } else { Law::A };
        self.law_sent.or_else(of_speech).unwrap_or(spoken)
    }

    /// The next frame of a notice that is due; call until `None`. It passes unheard where the agent may hear nothing.
    pub fn poll_notice(
        &mut self,
        now: Instant,
        mut browser: Option<BrowserEnd<'_>>,
    ) -> Option<Notice> {
        if self.transcoders[TO_AGENT].is_some() {
            return None;
        }
        let hears = self.plan.is_some_and(|plan| plan.to_agent);
        loop {
            let formats = browser.as_ref().map(|end| end.formats);
            let law = self.law_of_notices(formats);
            let payload = self.notices[TO_AGENT].sounds.poll(now, law)?;
            let payload_type = formats.and_then(|formats| formats.of(Codec::G711(law)));
            let end = browser.as_mut().filter(|_| hears).zip(payload_type);
            if let Some((end, payload_type)) = end {
                end.stream.set_clock(TICKS_PER_MS);
                self.sent_to_agent += 1;
                return Some(Notice {
                    payload_type,
                    stamp: end.stream.insert_audio(now, payload.len()),
                    payload,
                });
            }
        }
    }
}
