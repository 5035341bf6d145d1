//! One direction of a call: encoder, network, playout.

use std::time::{Duration, Instant};

use media::codec::{Codec, Encoder, OpusTuning, Rate};
use media::g711::Law;
use media::playout::{Arrival, Inserted, Playout, PlayoutReport, Pulled};

pub const PCMU: Codec = Codec::G711(Law::Mu);

/// When in each 20 ms our clock asks for a frame.
pub const PULL_PHASE_US: i64 = 11_000;

#[derive(Clone, Debug)]
pub struct Packet {
    pub ssrc: u32,
    pub number: u16,
    pub timestamp: u32,
    pub sent_us: i64,
    pub payload: Vec<u8>,
}

/// A customer who speaks, at 8 kHz.
pub fn phrase() -> Vec<i16> {
    include_bytes!("../../../sim/assets/customer.ulaw")
        .iter()
        .map(|octet| Law::Mu.decode(*octet))
        .collect()
}

/// The same at the rate of a path.
pub fn phrase_at(rate: Rate) -> Vec<i16> {
    let narrow = phrase();
    match rate {
        Rate::Narrow => narrow,
        Rate::Wide => {
            let next = narrow.iter().skip(1).chain([&0]);
            narrow
                .iter()
                .zip(next)
                .flat_map(|(one, two)| [*one, ((i32::from(*one) + i32::from(*two)) / 2) as i16])
                .collect()
        }
    }
}

/// A voice without end: seven harmonics of a pitch that wanders.
pub fn voice(rate: Rate, ms: usize) -> Vec<i16> {
    let mut turn = 0.0_f64;
    (0..ms * rate.per_ms())
        .map(|n| {
            let seconds = n as f64 / f64::from(rate.hz());
            let hz = 130.0 + 25.0 * (seconds * 3.0).sin();
            turn += hz / f64::from(rate.hz());
            let sum: f64 = (1..=7)
                .map(|k| {
                    (std::f64::consts::TAU * turn * f64::from(k) + f64::from(k * k)).sin()
                        / f64::from(k)
                })
                .sum();
            (sum * 5_000.0) as i16
        })
        .collect()
}

/// Speech in packets of so many milliseconds, with numbers and timestamps that wrap soon.
pub fn packets(
    codec: Codec,
    rate: Rate,
    speech: &[i16],
    ms: usize,
    loss_percent: u8,
) -> Vec<Packet> {
    packets_told(codec, rate, speech, ms, |_| loss_percent)
}

/// The same by an encoder that is told before each packet what share is lost.
pub fn packets_told(
    codec: Codec,
    rate: Rate,
    speech: &[i16],
    ms: usize,
    loss_percent: impl Fn(usize) -> u8,
) -> Vec<Packet> {
    packets_of(codec, rate, speech, ms * 1_000, loss_percent)
}

/// The same in packets of so many microseconds.
pub fn packets_of(
    codec: Codec,
    rate: Rate,
    speech: &[i16],
    us: usize,
    loss_percent: impl Fn(usize) -> u8,
) -> Vec<Packet> {
    let mut encoder = Encoder::new(codec, rate, OpusTuning::default()).unwrap();
    let mut payload = [0; 1_400];
    speech
        .chunks_exact(us * rate.per_ms() / 1_000)
        .enumerate()
        .map(|(n, samples)| {
            encoder.set_loss_percent(loss_percent(n));
            let octets = encoder.encode(samples, &mut payload).unwrap();
            let ticks = (n * us) as u32 * codec.ticks_per_ms() / 1_000;
            Packet {
                ssrc: 0xcafe,
                number: 65_500_u16.wrapping_add(n as u16),
                timestamp: 0_u32.wrapping_sub(100_000).wrapping_add(ticks),
                sent_us: (n * us) as i64,
                payload: payload[..octets].to_vec(),
            }
        })
        .collect()
}

/// What came out.
#[derive(Debug, Default)]
pub struct Heard {
    pub samples: Vec<i16>,
    pub frames: Vec<Pulled>,
    pub inserted: Vec<Inserted>,
    pub report: PlayoutReport,
}

impl Heard {
    pub fn count(&self, what: Pulled) -> usize {
        self.frames.iter().filter(|frame| **frame == what).count()
    }
}

/// A playout and its clock.
#[derive(Debug)]
pub struct Line {
    pub playout: Playout,
    start: Instant,
    /// Frames asked for.
    turn: i64,
    pub heard: Heard,
}

impl Line {
    pub fn new(codec: Codec, rate: Rate) -> Self {
        Self {
            playout: Playout::new(codec, rate).unwrap(),
            start: Instant::now(),
            turn: 0,
            heard: Heard::default(),
        }
    }

    pub fn at(&self, us: i64) -> Instant {
        self.start + Duration::from_micros(us as u64)
    }

    /// Frames that are due before this moment.
    pub fn run_to(&mut self, us: i64) {
        while self.turn * 20_000 + PULL_PHASE_US < us {
            let mut frame = vec![0; self.playout.rate().frame_len()];
            let at = self.at(self.turn * 20_000 + PULL_PHASE_US);
            self.heard.frames.push(self.playout.pull(at, &mut frame));
            self.heard.samples.extend(frame);
            self.turn += 1;
        }
    }

    pub fn bring(&mut self, us: i64, packet: &Packet) -> Inserted {
        self.run_to(us);
        let inserted = self.playout.insert(
            self.at(us),
            Arrival {
                ssrc: packet.ssrc,
                sequence: packet.number,
                timestamp: packet.timestamp,
                marker: false,
                payload: &packet.payload,
            },
        );
        self.heard.inserted.push(inserted);
        inserted
    }

    pub fn finish(mut self, us: i64) -> Heard {
        self.run_to(us);
        self.heard.report = self.playout.measured();
        self.heard
    }
}

/// Plays packets that arrive as told: microseconds, and index.
pub fn play(codec: Codec, rate: Rate, packets: &[Packet], arrivals: &[(i64, usize)]) -> Heard {
    let mut line = Line::new(codec, rate);
    for (at_us, index) in arrivals {
        line.bring(*at_us, &packets[*index]);
    }
    let end = arrivals.last().map_or(0, |(at_us, _)| *at_us);
    // What comes behind the last packet is no loss.
    let report = line.playout.measured();
    let mut heard = line.finish(end + 400_000);
    heard.report = report;
    heard
}
