//! A row of tones, each as long as a packet: whoever hears it can say which packets are missing, came twice, or were cut, whenever they came.

use std::f64::consts::TAU;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::Interval;

use crate::tone::{FRAME, RATE_HZ, linear, ulaw};

/// Packets of 20 ms.
pub const STEPS: usize = 20;

/// The tone of the first packet, and by how much each is above the one before: whole turns in a packet, so that none begins with a jump.
const LOWEST_HZ: usize = 500;
const APART_HZ: usize = 100;

/// Of the energy of a packet's length, what its tone has when it is there; where a tenth of the packet is missing, it has less.
const WHOLE: f64 = 0.8;

/// The same where a playout may have made it shorter by a period (docs/audio.md#the-receiving-end).
const MOSTLY: f64 = 0.5;

/// An ear looks this often, in samples.
const LOOK_EVERY: usize = 8;

const fn hz(step: usize) -> usize {
    LOWEST_HZ + step * APART_HZ
}

/// One packet of the row, as mu-law.
pub fn frame(step: usize) -> [u8; FRAME] {
    std::array::from_fn(|at| {
        let phase = TAU * (hz(step) * at) as f64 / f64::from(RATE_HZ);
        ulaw((phase.sin() * 10_000.0) as i16)
    })
}

/// The same as samples.
pub fn samples(step: usize) -> [i16; FRAME] {
    frame(step).map(linear)
}

/// The packets that are heard whole, in the order in which they are, each as often as it is.
pub fn heard(samples: &[i16]) -> Vec<usize> {
    heard_with(samples, WHOLE)
}

/// The same behind a playout, which makes speech shorter and longer by a period as it needs: how long one sounds says nothing there.
pub fn heard_decoded(samples: &[i16]) -> Vec<usize> {
    let mut heard = heard_with(samples, MOSTLY);
    heard.dedup();
    heard
}

fn heard_with(samples: &[i16], least: f64) -> Vec<usize> {
    let mut heard = Vec::new();
    // The tone that sounds, since when, and when it was heard last.
    let mut sounding: Option<(usize, usize, usize)> = None;
    let looks = samples.windows(FRAME).enumerate().step_by(LOOK_EVERY);
    for (at, window) in looks {
        let now = (0..STEPS).find(|step| share(window, hz(*step)) > least);
        match (&mut sounding, now) {
            (Some((step, _, last)), Some(now)) if *step == now => *last = at,
            (_, Some(now)) => heard.extend(counted(sounding.replace((now, at, at)))),
            (_, None) => heard.extend(counted(sounding.take())),
        }
    }
    heard.extend(counted(sounding));
    heard
}

/// A tone that sounds for twice its length is a packet that came twice.
fn counted(sounded: Option<(usize, usize, usize)>) -> impl Iterator<Item = usize> {
    let times = sounded.map(|(step, since, last)| (step, 1 + (last - since + FRAME / 2) / FRAME));
    times
        .into_iter()
        .flat_map(|(step, times)| std::iter::repeat_n(step, times))
}

/// A telephone that speaks packet by packet, to an address that it was told by other means than the description.
#[derive(Debug)]
pub struct Telephone {
    socket: UdpSocket,
    to: SocketAddr,
    pace: Interval,
    sequence: u16,
}

impl Telephone {
    /// At a free port of `host`.
    ///
    /// # Panics
    /// When there is none.
    pub async fn at(host: IpAddr, to: SocketAddr) -> Self {
        let socket = UdpSocket::bind((host, 0)).await;
        Self {
            socket: socket.expect("a free port"),
            to,
            pace: tokio::time::interval(Duration::from_millis(20)),
            sequence: 0,
        }
    }

    /// Its RTP address.
    ///
    /// # Panics
    /// When the system has lost it.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("it is bound")
    }

    /// The next packet leaves at once, and the others behind it.
    pub fn begins(&mut self) {
        self.pace.reset_immediately();
    }

    /// Waits until it is time for the next packet.
    pub async fn waits(&mut self) {
        self.pace.tick().await;
    }

    /// Says 20 ms that are lost on their way.
    pub fn says_in_vain(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Says 20 ms.
    pub async fn says(&mut self, frame: &[u8; FRAME]) {
        let mut packet = vec![0x80, 0];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((u32::from(self.sequence) * FRAME as u32).to_be_bytes());
        packet.extend(0x7e1e_0001_u32.to_be_bytes());
        packet.extend(frame);
        self.sequence = self.sequence.wrapping_add(1);
        // A port that is closed by now answers with an ICMP error.
        drop(self.socket.send_to(&packet, self.to).await);
    }
}

/// The part of a window's energy that lies at `hz`, 0 to 1; of silence nothing does.
fn share(window: &[i16], hz: usize) -> f64 {
    let turn = TAU * hz as f64 / f64::from(RATE_HZ);
    let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
    for (at, sample) in window.iter().enumerate() {
        let sample = f64::from(*sample);
        re += sample * (turn * at as f64).cos();
        im += sample * (turn * at as f64).sin();
        energy += sample * sample;
    }
    // A hundredth of what is said, or it is no tone but what is left of one.
    if energy < 1e6 * FRAME as f64 / 4.0 {
        return 0.0;
    }
    2.0 * (re * re + im * im) / (window.len() as f64 * energy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opus::{OpusEar, OpusMouth};

    fn said(steps: impl IntoIterator<Item = usize>) -> Vec<i16> {
        steps.into_iter().flat_map(samples).collect()
    }

    #[test]
    fn what_is_missing_or_came_twice_is_heard() {
        assert_eq!(heard(&said(0..STEPS)), (0..STEPS).collect::<Vec<_>>());
        assert_eq!(heard(&said([3, 4, 4, 6])), [3, 4, 4, 6]);
        assert_eq!(heard(&said([7, 7, 7])), [7, 7, 7]);
        let mut cut = said(0..4);
        cut.drain(0..FRAME / 4);
        assert_eq!(heard(&cut), [1, 2, 3], "the first one is cut");
        assert!(heard(&[0; 10 * FRAME]).is_empty());
    }

    /// A coder spoils no step, wherever the packets begin.
    #[test]
    fn opus_keeps_every_step() {
        for shift in [0, 37, 80, 111] {
            let silence = vec![0; 10 * FRAME - shift];
            let row = silence.iter().copied().chain(said(0..STEPS));
            let row: Vec<i16> = row.chain([0; 4 * FRAME]).collect();
            let mut mouth = OpusMouth::new().expect("memory");
            let mut ear = OpusEar::new().expect("memory");
            let coded = row.chunks_exact(FRAME).flat_map(|frame| {
                let frame = frame.try_into().expect("a whole frame");
                ear.decode(&mouth.encode(frame).expect("20 ms"))
            });
            let coded: Vec<i16> = coded.collect();
            assert_eq!(heard(&coded), (0..STEPS).collect::<Vec<_>>(), "{shift}");
        }
    }
}
