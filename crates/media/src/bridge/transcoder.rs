//! One direction of a call whose ends speak different codecs: play out, mix, encode, by a clock of its own.

use std::time::{Duration, Instant};

use super::packer::{Packed, Packer, Target};
use crate::codec::{Codec, FRAME_LEN_MAX, NoCoder, Rate};
use crate::insertion::Insertion;
use crate::playout::{Arrival, Playout, PlayoutReport};

/// Octets of the largest frame that is encoded: G.722 has 160, Opus at the highest bit rate that is asked for far less than this.
pub const SPEECH_MAX: usize = 640;

/// A clock that was stopped for longer than this (the machine stood still) goes on from now, instead of playing what nobody waits for.
const BEHIND_MAX: Duration = Duration::from_millis(200);

/// From the first packet to the first frame: as long as the playout wants a first packet to wait, and no frame more.
const BEGIN: Duration = Duration::from_millis(8);

/// What becomes of speech while something of ours sounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Both are heard: a notice.
    Over,
    /// Speech pauses: a key in band, which speech could break.
    Instead,
}

/// What turns packets of one codec into packets of another.
#[derive(Debug)]
pub(super) struct Transcoder {
    from: Codec,
    rate: Rate,
    playout: Playout,
    packer: Packer,
    next_at: Instant,
}

impl Transcoder {
    /// Begins with the first packet; with the encoder of one that is gone, where that makes the same.
    pub(super) fn new(
        now: Instant,
        from: Codec,
        target: Target,
        former: Option<Packer>,
    ) -> Result<Box<Self>, NoCoder> {
        let rate = from.rate_between(target.codec);
        let former = former.and_then(|mut packer| packer.turns(target, rate).then_some(packer));
        let packer = match former {
            Some(packer) => packer,
            None => Packer::new(target, rate)?,
        };
        Ok(Box::new(Self {
            from,
            rate,
            playout: Playout::new(from, rate)?,
            packer,
            next_at: now + BEGIN,
        }))
    }

    /// Leads from this codec to that target from now on; what waits is still played, and nothing is heard of the change. `false` where that cannot be: between
    /// rates, and without memory.
    pub(super) fn turns(&mut self, from: Codec, target: Target) -> bool {
        let turns = self.packer.turns(target, self.rate);
        if turns && self.from == from {
            return true;
        }
        if from.rate_between(target.codec) != self.rate {
            return false;
        }
        if !turns {
            let Ok(packer) = Packer::new(target, self.rate) else {
                return false;
            };
            self.packer = packer;
        }
        let follows = self.playout.set_codec(from).is_ok();
        if follows {
            self.from = from;
        }
        follows
    }

    /// The codec that comes.
    pub(super) const fn from(&self) -> Codec {
        self.from
    }

    /// Ends it. What is left is its encoder, for the next one, where the far end's decoder goes on from what it heard last: G.722, whose two ends would be
    /// steps apart for a loud moment. Opus begins a stream anew at any packet, and would say the end of what was said before the pause.
    pub(super) fn retire(self) -> Option<Packer> {
        let mut packer = self.packer;
        packer.rest();
        Some(packer).filter(|packer| packer.codec() == Codec::G722)
    }

    /// The codec that leaves.
    pub(super) const fn to(&self) -> Codec {
        self.packer.codec()
    }

    /// Takes a packet.
    pub(super) fn insert(&mut self, now: Instant, packet: Arrival<'_>) {
        // What cannot be played is counted by the playout.
        self.playout.insert(now, packet);
    }

    /// Takes note of a packet without speech.
    pub(super) fn pause(&mut self, now: Instant, ssrc: u32, sequence: u16, timestamp: u32) {
        self.playout.pause(now, ssrc, sequence, timestamp);
    }

    /// How speech was played.
    pub(super) fn measured(&self) -> PlayoutReport {
        self.playout.measured()
    }

    /// What the far end loses, so that Opus can make good for it.
    pub(super) fn set_loss_percent(&mut self, percent: u8) {
        self.packer.set_loss_percent(percent);
    }

    /// When the next frame is due.
    pub(super) const fn poll_timeout(&self) -> Instant {
        self.next_at
    }

    /// The next frame that is due; call until `None`. What sounds is mixed with speech, or takes its place.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        (sounds, manner): (&mut Insertion, Manner),
        out: &mut [u8; SPEECH_MAX],
    ) -> Option<Packed> {
        if self.next_at > now {
            return None;
        }
        let behind = now.saturating_duration_since(self.next_at);
        self.next_at = if behind > BEHIND_MAX {
            now
        } else {
            self.next_at
        };
        let frame_len = self.packer.frame_ms() * self.rate.per_ms();
        self.next_at += self.rate.length_of(frame_len);
        let mut samples = [0; FRAME_LEN_MAX];
        let samples = &mut samples[..frame_len];
        self.playout.pull(now, samples);
        if manner == Manner::Instead && sounds.is_sounding() {
            samples.fill(0);
        }
        sounds.mix(now, self.rate, samples);
        Some(self.packer.push(samples, out))
    }
}
