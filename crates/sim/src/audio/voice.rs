//! The voice and the ear of one model customer.

use std::collections::VecDeque;

use super::g711;
use super::goertzel::{rms, tone_hz};
use super::rtp::{Header, Packet};

/// Samples a second.
pub const SAMPLE_RATE_HZ: u32 = 8000;
/// Samples in a packet: 20 ms.
pub const FRAME_SAMPLES: usize = 160;
/// How late the echo is.
const ECHO_DELAY_SAMPLES: usize = 8000;
/// The echo line never grows beyond this, however fast packets come.
const ECHO_LIMIT_SAMPLES: usize = 2 * ECHO_DELAY_SAMPLES;
/// What the ear remembers: the last 400 ms.
const EAR_SAMPLES: usize = 3200;
/// Ticks without a packet after which the ear hears silence; fewer are a late packet.
const LATE_TICKS: u32 = 3;
/// How much may wait for its time: 200 ms, as on a machine that stood still for so long. It is within what the ear remembers.
const EARLY_SAMPLES: usize = 1600;
/// Digits that are remembered.
const MAX_DIGITS: usize = 256;
/// Level of generated tones.
const TONE_AMPLITUDE: f64 = 8000.0;

/// What a customer says.
#[derive(Debug, Clone, PartialEq)]
pub enum Speech {
    /// A spoken phrase in a loop, and what he hears one second later.
    Phrase {
        /// Whether he echoes.
        echo: bool,
    },
    /// A sine.
    Tone {
        /// Its frequency.
        hz: u32,
    },
    /// Nothing: digital silence is sent.
    Silence,
}

/// What a customer has heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// RTP audio packets received.
    pub packets: u64,
    /// Packets with a payload type that was not agreed, or no RTP at all.
    pub foreign: u64,
    /// Packets that are missing between the first and the last by sequence number.
    pub lost: u64,
    /// Level of the last 400 ms, in units of a 16-bit sample.
    pub rms: f64,
    /// Dominant tone of the last 200 ms.
    pub hz: Option<u32>,
    /// RFC 4733 digits, in order.
    pub digits: String,
}

/// Voice and ear.
#[derive(Debug)]
pub struct Voice {
    speech: Speech,
    phrase: &'static [u8],
    /// Samples said so far.
    position: u64,
    header: Header,
    echo: VecDeque<i16>,
    ear: VecDeque<i16>,
    packets: u64,
    foreign: u64,
    first_sequence: Option<u16>,
    highest: u64,
    digits: String,
    last_event: Option<u32>,
    event_packets: u64,
    /// The last samples of the ear came before their time, so many.
    early: usize,
    /// Ticks without a packet.
    quiet_ticks: u32,
    /// So much at the end of the ear is the silence of those ticks.
    waited: usize,
    /// Timestamp of the packet that goes on where the last one ended.
    goes_on_at: Option<u32>,
}

impl Voice {
    /// A customer with a mu-law phrase. `seed` makes his SSRC and first numbers.
    #[must_use]
    pub fn new(speech: Speech, phrase: &'static [u8], seed: u64) -> Self {
        Self {
            speech,
            phrase,
            position: 0,
            header: Header {
                marker: true,
                payload_type: g711::PCMU,
                sequence: (seed >> 32) as u16,
                timestamp: (seed >> 16) as u32,
                ssrc: seed as u32,
            },
            echo: VecDeque::new(),
            ear: VecDeque::new(),
            packets: 0,
            foreign: 0,
            first_sequence: None,
            highest: 0,
            digits: String::new(),
            last_event: None,
            event_packets: 0,
            early: 0,
            quiet_ticks: 0,
            waited: 0,
            goes_on_at: None,
        }
    }

    /// Says something else from now on.
    pub fn say(&mut self, speech: Speech) {
        self.speech = speech;
    }

    /// The next 20 ms as an RTP packet of this payload type.
    pub fn speak(&mut self, payload_type: u8) -> Vec<u8> {
        let samples = self.frame();
        self.packet(payload_type, &samples)
    }

    /// What is said in the next 20 ms.
    pub fn frame(&mut self) -> [i16; FRAME_SAMPLES] {
        let mut samples: [i16; FRAME_SAMPLES] = [0; FRAME_SAMPLES];
        for (offset, sample) in samples.iter_mut().enumerate() {
            *sample = self.sample(self.position + offset as u64);
        }
        if self.speech == (Speech::Phrase { echo: true }) {
            self.mix_echo(&mut samples);
        }
        self.position += FRAME_SAMPLES as u64;
        samples
    }

    /// These 20 ms as the next RTP packet.
    pub fn packet(&mut self, payload_type: u8, samples: &[i16; FRAME_SAMPLES]) -> Vec<u8> {
        self.header.payload_type = payload_type;
        let packet = self.header.packet(&g711::encode(payload_type, samples));
        self.header.marker = false;
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(FRAME_SAMPLES as u32);
        packet
    }

    fn sample(&self, at: u64) -> i16 {
        match &self.speech {
            Speech::Phrase { .. } if self.phrase.is_empty() => 0,
            Speech::Phrase { .. } => {
                let index = (at % self.phrase.len() as u64) as usize;
                g711::ulaw_decode(self.phrase[index])
            }
            Speech::Tone { hz } => {
                let turns = f64::from(*hz) * at as f64 / f64::from(SAMPLE_RATE_HZ);
                ((std::f64::consts::TAU * turns).sin() * TONE_AMPLITUDE) as i16
            }
            Speech::Silence => 0,
        }
    }

    fn mix_echo(&mut self, samples: &mut [i16]) {
        if self.echo.len() < ECHO_DELAY_SAMPLES {
            return;
        }
        for sample in samples {
            let heard = self.echo.pop_front().unwrap_or(0);
            *sample = (*sample / 2).saturating_add(heard / 2);
        }
    }

    /// Takes a received datagram. `telephone_event` is the payload type agreed for digits.
    pub fn hear(&mut self, datagram: &[u8], telephone_event: Option<u8>) {
        let Some(packet) = Packet::read(datagram) else {
            self.foreign += 1;
            return;
        };
        self.count(packet.header.sequence);
        if Some(packet.header.payload_type) == telephone_event {
            self.event_packets += 1;
            self.digit(&packet);
            return;
        }
        let Some(samples) = g711::decode(packet.header.payload_type, packet.payload) else {
            self.foreign += 1;
            return;
        };
        self.packets += 1;
        let timestamp = packet.header.timestamp;
        if self.goes_on_at == Some(timestamp) {
            // It was late, and nobody has paused: with the silence in between no tone would be one.
            self.ear
                .truncate(self.ear.len().saturating_sub(self.waited));
        }
        self.waited = 0;
        self.goes_on_at = Some(timestamp.wrapping_add(samples.len() as u32));
        self.listen(&samples);
        self.echo.extend(&samples);
        let excess = self.echo.len().saturating_sub(ECHO_LIMIT_SAMPLES);
        self.echo.drain(..excess);
    }

    /// Hears 20 ms that came over no network.
    pub fn overhear(&mut self, samples: &[i16; FRAME_SAMPLES]) {
        self.packets += 1;
        self.listen(samples);
    }

    /// 20 ms have passed: what was heard in them. What came early waits for its time, so that a clock that was late and catches up hears all
    /// of what it has missed, in its order; who hears no more packets hears silence.
    pub fn tick(&mut self) -> [i16; FRAME_SAMPLES] {
        let mut heard = [0; FRAME_SAMPLES];
        if self.early >= FRAME_SAMPLES {
            let passed = self.ear.len().saturating_sub(self.early);
            for (to, from) in heard.iter_mut().zip(self.ear.iter().skip(passed)) {
                *to = *from;
            }
            self.early -= FRAME_SAMPLES;
            self.quiet_ticks = 0;
            return heard;
        }
        self.quiet_ticks = self.quiet_ticks.saturating_add(1);
        if self.quiet_ticks > LATE_TICKS {
            self.listen(&heard);
            self.early = 0;
            self.waited = EAR_SAMPLES.min(self.waited + FRAME_SAMPLES);
        }
        heard
    }

    fn listen(&mut self, samples: &[i16]) {
        self.ear.extend(samples);
        let excess = self.ear.len().saturating_sub(EAR_SAMPLES);
        self.ear.drain(..excess);
        self.early = EARLY_SAMPLES.min(self.early + samples.len());
    }

    /// Extends the sequence number (RFC 3550 appendix A.1, without its probation).
    fn count(&mut self, sequence: u16) {
        match self.first_sequence {
            None => self.first_sequence = Some(sequence),
            Some(first) => {
                let offset = u64::from(sequence.wrapping_sub(first));
                let cycle = self.highest & !0xffff;
                let candidate = cycle | offset;
                let next = if candidate + 0x8000 < self.highest {
                    candidate + 0x1_0000
                } else {
                    candidate
                };
                if next > self.highest && next - self.highest < 0x8000 {
                    self.highest = next;
                }
            }
        }
    }

    /// RFC 4733: one digit per timestamp, however often it is repeated.
    fn digit(&mut self, packet: &Packet<'_>) {
        let Some(&event) = packet.payload.first() else {
            return;
        };
        if self.last_event == Some(packet.header.timestamp) {
            return;
        }
        self.last_event = Some(packet.header.timestamp);
        let digit = b"0123456789*#ABCD".get(usize::from(event));
        if let Some(&digit) = digit.filter(|_| self.digits.len() < MAX_DIGITS) {
            self.digits.push(char::from(digit));
        }
    }

    /// What was heard up to now.
    #[must_use]
    pub fn heard(&self) -> Heard {
        let recent: Vec<i16> = self.ear.iter().copied().collect();
        let expected = self.first_sequence.map_or(0, |_| self.highest + 1);
        Heard {
            packets: self.packets,
            foreign: self.foreign,
            lost: expected.saturating_sub(self.received()),
            rms: rms(&recent),
            hz: tone_hz(&recent),
            digits: self.digits.clone(),
        }
    }

    fn received(&self) -> u64 {
        self.packets + self.foreign + self.event_packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets `to` hear what `from` says for `frames` packets.
    fn talk(from: &mut Voice, to: &mut Voice, frames: usize) {
        for _ in 0..frames {
            let packet = from.speak(g711::PCMA);
            to.hear(&packet, Some(101));
        }
    }

    fn event(sequence: u16, timestamp: u32, digit: u8) -> Vec<u8> {
        Header {
            marker: false,
            payload_type: 101,
            sequence,
            timestamp,
            ssrc: 1,
        }
        .packet(&[digit, 0x0a, 0, 160])
    }

    #[test]
    fn a_tone_is_heard_at_the_other_end() {
        let mut agent = Voice::new(Speech::Tone { hz: 660 }, &[], 1);
        let mut customer = Voice::new(Speech::Silence, &[], 2);
        talk(&mut agent, &mut customer, 50);
        let heard = customer.heard();
        assert_eq!((heard.packets, heard.lost, heard.foreign), (50, 0, 0));
        assert!(
            heard.hz.is_some_and(|hz| hz.abs_diff(660) <= 1),
            "{heard:?}"
        );
        agent.say(Speech::Silence);
        talk(&mut agent, &mut customer, 50);
        assert_eq!(customer.heard().hz, None);
        assert!(customer.heard().rms < 50.0);
    }

    #[test]
    fn who_hears_no_more_packets_hears_silence() {
        let mut agent = Voice::new(Speech::Tone { hz: 660 }, &[], 1);
        let mut customer = Voice::new(Speech::Silence, &[], 2);
        for _ in 0..50 {
            talk(&mut agent, &mut customer, 1);
            customer.tick();
        }
        for _ in 0..LATE_TICKS {
            customer.tick();
        }
        assert!(customer.heard().hz.is_some(), "a late packet is no silence");
        for _ in 0..25 {
            customer.tick();
        }
        let heard = customer.heard();
        assert_eq!((heard.hz, heard.rms < 1.0), (None, true));
    }

    /// A machine that is too busy for its clock takes ten packets at once, and ten ticks: the agent was heard all the time.
    #[test]
    fn a_clock_that_catches_up_hears_no_silence() {
        let mut agent = Voice::new(Speech::Tone { hz: 660 }, &[], 1);
        let mut customer = Voice::new(Speech::Silence, &[], 2);
        for _ in 0..5 {
            talk(&mut agent, &mut customer, 10);
            for _ in 0..10 {
                customer.tick();
                let heard = customer.heard();
                assert!(
                    heard.hz.is_some_and(|hz| hz.abs_diff(660) <= 1),
                    "{heard:?}"
                );
            }
        }
    }

    /// A machine that is busy delivers three packets at a time, and late: what comes is one tone, without holes of silence in it.
    #[test]
    fn a_late_packet_is_no_pause() {
        let mut agent = Voice::new(Speech::Tone { hz: 660 }, &[], 1);
        let mut customer = Voice::new(Speech::Silence, &[], 2);
        talk(&mut agent, &mut customer, 10);
        for _ in 0..10 {
            customer.tick();
        }
        for _ in 0..10 {
            for _ in 0..LATE_TICKS + 3 {
                customer.tick();
            }
            talk(&mut agent, &mut customer, 3);
            let heard = customer.heard();
            assert!(
                heard.hz.is_some_and(|hz| hz.abs_diff(660) <= 1),
                "{heard:?}"
            );
        }
    }

    /// Packets come two at a time, then none: a conference passes on each of them once, as it was said.
    #[test]
    fn what_came_unevenly_is_passed_on_in_its_order() {
        let mut agent = Voice::new(Speech::Tone { hz: 650 }, &[], 1);
        let mut port = Voice::new(Speech::Silence, &[], 2);
        let (mut said, mut passed_on) = (Vec::new(), Vec::new());
        for packets in [2, 0, 1, 3, 0, 0, 1, 1, 0] {
            for _ in 0..packets {
                let samples = agent.frame();
                port.hear(&agent.packet(g711::PCMU, &samples), None);
                said.extend(samples.map(|one| g711::ulaw_decode(g711::ulaw_encode(one))));
            }
            let heard = port.tick();
            if heard != [0; FRAME_SAMPLES] {
                passed_on.extend(heard);
            }
        }
        assert_eq!(passed_on, said);
    }

    #[test]
    fn the_echo_comes_after_one_second() {
        let mut agent = Voice::new(Speech::Tone { hz: 500 }, &[], 1);
        let mut customer = Voice::new(Speech::Phrase { echo: true }, &[0xff; 160], 2);
        let mut ear = Voice::new(Speech::Silence, &[], 3);
        for frame in 0..100 {
            let packet = agent.speak(g711::PCMU);
            customer.hear(&packet, None);
            ear.hear(&customer.speak(g711::PCMU), None);
            if frame == 48 {
                assert!(ear.heard().rms < 1.0, "before a second there is silence");
            }
        }
        assert!(ear.heard().hz.is_some_and(|hz| hz.abs_diff(500) <= 1));
    }

    #[test]
    fn digits_are_counted_once_and_losses_seen() {
        let mut customer = Voice::new(Speech::Silence, &[], 2);
        for (sequence, timestamp, digit) in [(65_535, 8, 5), (0, 8, 5), (1, 8, 5), (4, 900, 11)] {
            customer.hear(&event(sequence, timestamp, digit), Some(101));
        }
        let heard = customer.heard();
        assert_eq!((heard.digits.as_str(), heard.lost), ("5#", 2));
        customer.hear(&event(5, 9000, 1), None);
        customer.hear(b"no rtp", None);
        assert_eq!(customer.heard().foreign, 2);
    }
}
