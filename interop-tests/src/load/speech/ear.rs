//! Finds marks in what is heard, and how long they were on their way.

use std::collections::VecDeque;
use std::time::Duration;

use crate::tone::{FRAME, RATE_HZ};

use super::{MARK_SAMPLES, OpusEar, decode_ulaw, template};

/// A mark that has not come by then is lost: nobody talks with such a delay. The next one comes a second after it.
const GIVEN_UP_AFTER_NS: u64 = 500_000_000;

/// How like itself a mark must be: coders and concealment leave more of it, speech has less.
const ALIKE: f64 = 0.6;

/// What has become of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::load) struct Heard {
    /// When it was sent.
    pub(in crate::load) sent_ns: u64,
    /// How long it took: from the packet that it was sent in to the packet that it is heard in, and the difference of its places in them.
    /// `None`: it was not heard.
    pub(in crate::load) took: Option<Duration>,
}

/// One end that listens.
pub(in crate::load) struct Ear {
    opus: Option<OpusEar>,
    template: Vec<f32>,
    /// Samples by which the coders of this way shift a mark, whoever is in the middle.
    shift: usize,
    /// Packets of the last second: when they came, and what they say.
    packets: VecDeque<(u64, Vec<i16>)>,
    /// Marks that are on their way.
    awaited: VecDeque<u64>,
}

impl Ear {
    /// An ear for PCMU, or for Opus.
    pub(in crate::load) fn new(opus: Option<OpusEar>, shift: usize) -> Self {
        Self {
            opus,
            template: template(),
            shift,
            packets: VecDeque::new(),
            awaited: VecDeque::new(),
        }
    }

    /// The other end sends a packet with which a mark begins.
    pub(in crate::load) fn sent(&mut self, now_ns: u64) {
        self.awaited.push_back(now_ns);
    }

    /// A packet has come. Yields what became of the oldest mark, once it is time to look for it.
    pub(in crate::load) fn hear(&mut self, now_ns: u64, payload: &[u8]) -> Option<Heard> {
        let samples = match &mut self.opus {
            Some(decoder) => decoder.decode(payload),
            None => decode_ulaw(payload),
        };
        self.packets.push_back((now_ns, samples));
        let sent_ns = *self.awaited.front()?;
        if now_ns < sent_ns + GIVEN_UP_AFTER_NS {
            return None;
        }
        self.awaited.pop_front();
        // What came before it was sent has nothing of it.
        while self.packets.front().is_some_and(|(at, _)| *at < sent_ns) {
            self.packets.pop_front();
        }
        let took = self.look(sent_ns);
        Some(Heard { sent_ns, took })
    }

    fn look(&self, sent_ns: u64) -> Option<Duration> {
        let heard: Vec<i16> = self
            .packets
            .iter()
            .flat_map(|(_, samples)| samples.iter().copied())
            .collect();
        let mut offset = find(&heard, &self.template)?;
        let mut packets = self.packets.iter();
        let came_ns = loop {
            let (at, samples) = packets.next()?;
            if offset < samples.len() {
                break *at;
            }
            offset -= samples.len();
        };
        let on_the_way = i128::from(came_ns) - i128::from(sent_ns);
        let sample_ns = i128::from(1_000_000_000 / RATE_HZ);
        let within = (offset as i128 - self.shift as i128) * sample_ns;
        u64::try_from(on_the_way + within)
            .ok()
            .map(Duration::from_nanos)
    }
}

/// Where the mark begins in some samples, if it is there. The template has length 1, so the likeness is the product over the loudness.
pub(super) fn find(samples: &[i16], template: &[f32]) -> Option<usize> {
    let samples: Vec<f32> = samples.iter().map(|sample| f32::from(*sample)).collect();
    let last = samples.len().checked_sub(template.len())?;
    // Some hiss that happens to look like it is none.
    let loud = (FRAME * MARK_SAMPLES) as f64;
    let square = |at: usize| f64::from(samples[at]) * f64::from(samples[at]);
    let mut energy: f64 = (0..template.len()).map(square).sum();
    let (mut best, mut place) = (0.0_f64, 0);
    for at in 0..=last {
        if energy > loud {
            let alike = product(&samples[at..], template) / energy.sqrt();
            if alike > best {
                (best, place) = (alike, at);
            }
        }
        if at < last {
            energy += square(at + template.len()) - square(at);
        }
    }
    (best >= ALIKE).then_some(place)
}

/// In lanes, as the processor has them: it is computed some thousand times for each mark, and the load must not be late for it.
fn product(samples: &[f32], template: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0_f32; LANES];
    for (samples, mark) in samples
        .chunks_exact(LANES)
        .zip(template.chunks_exact(LANES))
    {
        for ((lane, sample), mark) in lanes.iter_mut().zip(samples).zip(mark) {
            *lane += sample * mark;
        }
    }
    f64::from(lanes.iter().sum::<f32>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::speech::Speech;

    const PACKET_NS: u64 = 20_000_000;

    /// What was sent comes 30 ms later, a packet is lost, and the marks are where they were.
    #[test]
    fn a_mark_takes_as_long_as_its_packet() {
        let speech = Speech::new().unwrap();
        for opus in [false, true] {
            let decoder = opus.then(|| OpusEar::new().unwrap());
            let shift = if opus { speech.opus_shift() } else { 0 };
            let mut ear = Ear::new(decoder, shift);
            let mut found = Vec::new();
            for turn in 0..200 {
                let at_ns = turn * PACKET_NS;
                if Speech::is_marked(0, turn) {
                    ear.sent(at_ns);
                }
                let payload = if opus {
                    speech.page(0, turn)
                } else {
                    &speech.caller(0, turn)[..]
                };
                if turn % 50 != 30 {
                    found.extend(ear.hear(at_ns + 30_000_000, payload));
                }
            }
            assert_eq!(found.len(), 4, "{found:?}");
            // The first one of Opus meets a decoder that has heard nothing yet.
            for mark in &found[1..] {
                let took = mark.took.expect("the mark was heard");
                let off_us = took.as_micros().abs_diff(30_000);
                assert!(off_us <= 500, "{took:?}");
            }
        }
    }

    #[test]
    fn a_mark_that_does_not_come_is_lost() {
        let mut ear = Ear::new(None, 0);
        ear.sent(0);
        let silence = [0xff; FRAME];
        let found: Vec<Heard> = (0..40)
            .filter_map(|turn| ear.hear(turn * PACKET_NS, &silence))
            .collect();
        let lost = Heard {
            sent_ns: 0,
            took: None,
        };
        assert_eq!(found, [lost]);
    }
}
