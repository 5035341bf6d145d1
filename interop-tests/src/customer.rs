//! The far end of the media: a telephone that speaks a tone and tells what it hears.

use std::collections::BTreeSet;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use audio_codec::g722::{Bitrate, G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::opus::{OpusEar, OpusMouth};
use crate::process::show_on_failure;
use crate::tone::{Ear, FRAME, Sine, alaw, linear, linear_from_alaw};
use crate::wait::{eventually, lastingly};
use crate::{Result, scale};

/// What the customer says.
pub const CUSTOMER_HZ: u32 = 440;

/// What an announcement says before a callee answers.
pub const ANNOUNCEMENT_HZ: u32 = 1_000;

/// The source of the first customer of a process; each has one of its own.
pub const FIRST_SSRC: u32 = 0xc057_0173;

static NEXT_SSRC: AtomicU32 = AtomicU32::new(FIRST_SSRC);

/// What a customer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722, a narrow voice in its wide band.
    G722,
    /// Opus under the payload type that the scenarios give it.
    Opus,
}

/// Payload types of codecs that are no G.711: the static one, and the one that the scenarios give.
const PCMU: u8 = 0;
const PCMA: u8 = 8;
const G722: u8 = 9;
const OPUS: u8 = 120;

/// That of comfort noise (RFC 3389 section 4), how loud the noise is, and after how many packets' time it is told again.
const COMFORT_NOISE: u8 = 13;
const NOISE_DBOV: u8 = 60;
const NOISE_EVERY: usize = 10;

/// Octets, and ticks, of a millisecond in G.711 and in G.722.
const OCTETS_PER_MS: usize = 8;

/// Decoders of other people, at the rate of the ear.
#[derive(Default)]
struct Wide {
    g722: Option<G722Decoder>,
    opus: Option<OpusEar>,
}

impl std::fmt::Debug for Wide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wide").finish_non_exhaustive()
    }
}

impl Wide {
    fn decode(&mut self, payload_type: u8, payload: &[u8], ear: &mut Ear) {
        if payload_type == OPUS {
            let fresh = || OpusEar::new().expect("memory for a decoder");
            ear.hear(self.opus.get_or_insert_with(fresh).decode(payload));
            return;
        }
        let mut samples = [0; 960];
        let narrow = || G722Decoder::with_options(Bitrate::Mode1_64000, false, true);
        let decoder = self.g722.get_or_insert_with(narrow);
        let count = decoder.decode_into(payload, &mut samples).unwrap_or(0);
        ear.hear(samples.iter().take(count).copied());
    }
}

/// What has reached a customer.
#[derive(Debug, Default)]
pub struct Heard {
    /// The last 100 ms.
    pub ear: Ear,
    /// Audio packets.
    pub packets: u64,
    /// Those of them that repeat the one before: Opus with in-band error correction (RFC 6716 section 2.1.7).
    pub repeating: u64,
    /// Sources of RTP, by address: one call has one.
    pub sources: BTreeSet<SocketAddr>,
    /// SSRCs: one call keeps one.
    pub ssrcs: BTreeSet<u32>,
    /// Payload types of audio, each once.
    pub codecs: BTreeSet<u8>,
    /// Ticks from one audio packet to the next in its row, each once.
    pub steps: BTreeSet<u32>,
    last: Option<(u16, u32)>,
    wide: Wide,
    /// Keys (RFC 4733), each once, with their payload type.
    pub keys_as: Vec<(u8, u8)>,
    /// The same without it.
    pub keys: Vec<u8>,
    /// What the packets of keys say of their length so far, in ticks, one after the other.
    pub key_ticks: Vec<u16>,
    key_at: Option<u32>,
    heard_at: Option<Instant>,
}

/// What a customer is to do next.
#[derive(Debug)]
enum Cue {
    Press(u8),
    Say(u32),
    Scale,
    Pause,
    Click,
    TurnLaw,
    Speak(Speech),
    Gather(usize),
}

/// Encoders of other people, and what of them is spoken.
struct Mouth {
    speaks: Speech,
    g722: G722Encoder,
    opus: OpusMouth,
}

impl Mouth {
    fn new() -> Result<Self> {
        Ok(Self {
            speaks: Speech::Pcmu,
            g722: G722Encoder::new(),
            opus: OpusMouth::new()?,
        })
    }

    /// The payload type, the payload and the ticks of 20 ms of mu-law.
    fn say(&mut self, frame: [u8; FRAME]) -> (u8, Vec<u8>, u32) {
        let samples = frame.map(linear);
        match self.speaks {
            Speech::Pcmu => (PCMU, frame.to_vec(), 160),
            Speech::Pcma => (PCMA, samples.map(alaw).to_vec(), 160),
            Speech::G722 => {
                // 16,000 samples a second.
                let wide: Vec<i16> = samples.iter().flat_map(|sample| [*sample; 2]).collect();
                let mut octets = vec![0; FRAME + 1];
                let count = self.g722.encode_into(&wide, &mut octets);
                octets.truncate(count.expect("there is room for 20 ms"));
                (G722, octets, 160)
            }
            Speech::Opus => {
                let packet = self.opus.encode(&samples);
                (OPUS, packet.expect("Opus codes 20 ms"), 960)
            }
        }
    }
}

/// An RTP endpoint. It speaks to whoever spoke to it first, as the gateway does from its first
/// packet on: so nobody has to carry the port of the SDP to it.
#[derive(Debug)]
pub struct Customer {
    address: SocketAddr,
    ssrc: u32,
    heard: Arc<Mutex<Heard>>,
    cues: mpsc::UnboundedSender<Cue>,
    task: JoinHandle<()>,
}

impl Customer {
    /// Starts one that speaks [`CUSTOMER_HZ`] from a free port of `host`.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(host: IpAddr) -> Self {
        Self::bind(host, CUSTOMER_HZ).await.expect("a free port")
    }

    /// Starts one that speaks [`ANNOUNCEMENT_HZ`] from a free port of `host`.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn announcement(host: IpAddr) -> Self {
        Self::bind(host, ANNOUNCEMENT_HZ)
            .await
            .expect("a free port")
    }

    async fn bind(host: IpAddr, tone_hz: u32) -> Result<Self> {
        let socket = UdpSocket::bind((host, 0)).await?;
        let address = socket.local_addr()?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (cues, told) = mpsc::unbounded_channel();
        let ssrc = NEXT_SSRC.fetch_add(1, Ordering::Relaxed);
        let microphone = Microphone::new(ssrc, tone_hz)?;
        let task = tokio::spawn(run(socket, Arc::clone(&heard), microphone, told));
        Ok(Self {
            address,
            ssrc,
            heard,
            cues,
            task,
        })
    }

    /// Its RTP address, for the SDP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The source that it sends as.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Presses these keys, one after the other: telephone events of 60 ms with three end packets (RFC 4733 section 2.5.1.4).
    pub fn press(&self, events: &[u8]) {
        for event in events {
            // Its task lives as long as it does.
            let _ = self.cues.send(Cue::Press(*event));
        }
    }

    /// Speaks another tone from its next packet on; 0 is silence, in as many packets.
    pub fn says(&self, hz: u32) {
        let _ = self.cues.send(Cue::Say(hz));
    }

    /// Speaks a [scale] and its tone behind it, after a pause too.
    pub fn says_scale(&self) {
        let _ = self.cues.send(Cue::Scale);
    }

    /// Says nothing until it speaks a scale: its line tells of the noise in the room (RFC 3389), and of nothing else.
    pub fn pauses(&self) {
        let _ = self.cues.send(Cue::Pause);
    }

    /// Turns one packet of its tone upside down: a click at either end of it, or at both.
    pub fn clicks(&self) {
        let _ = self.cues.send(Cue::Click);
    }

    /// Speaks the other law of G.711 from its next packet on: mu-law at first, then A-law.
    pub fn turns_law(&self) {
        let _ = self.cues.send(Cue::TurnLaw);
    }

    /// Speaks another codec from its next packet on; mu-law at first.
    pub fn speaks(&self, speech: Speech) {
        let _ = self.cues.send(Cue::Speak(speech));
    }

    /// Its packets of speech are so many milliseconds long from now on; 20 at first. Opus stays as it is.
    pub fn gathers(&self, ms: usize) {
        let _ = self.cues.send(Cue::Gather(ms * OCTETS_PER_MS));
    }

    /// What has reached it. Do not hold it across an `await`.
    ///
    /// # Panics
    /// When its task has panicked.
    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("the customer's task lives")
    }

    /// Waits until it hears a tone of `hz`.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn hears(&self, hz: u32) {
        eventually(&format!("the customer hears {hz} Hz"), || {
            self.heard().ear.hears(hz)
        })
        .await;
    }

    /// Waits until it hears nothing.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn hears_nothing(&self) {
        lastingly("the customer hears nothing", || {
            ready(self.heard().ear.silent())
        })
        .await;
    }
}

impl Drop for Customer {
    fn drop(&mut self) {
        self.task.abort();
        show_on_failure("customer", || match self.heard.lock() {
            Ok(heard) => format!("loudness {}, {heard:?}", heard.ear.rms()),
            Err(_) => "its task has panicked".to_owned(),
        });
    }
}

/// The packets of a key: end bit and duration.
const KEY: [(u8, u16); 5] = [(0, 160), (0, 320), (0x80, 480), (0x80, 480), (0x80, 480)];

async fn run(
    socket: UdpSocket,
    heard: Arc<Mutex<Heard>>,
    mut microphone: Microphone,
    mut told: mpsc::UnboundedReceiver<Cue>,
) {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let mut buffer = vec![0; 2048];
    let mut peer = None;
    loop {
        tokio::select! {
            Ok((size, from)) = socket.recv_from(&mut buffer) => {
                peer.get_or_insert(from);
                heard.lock().expect("no panic while held").packet(from, &buffer[..size]);
            }
            _ = pace.tick() => {
                heard.lock().expect("no panic while held").age();
                let Some(to) = peer else { continue };
                if microphone.key.is_empty() && let Ok(cue) = told.try_recv() {
                    microphone.cued(cue);
                }
                for packet in microphone.packets() {
                    // A port that is closed by now answers with an ICMP error.
                    drop(socket.send_to(&packet, to).await);
                }
            }
        }
    }
}

/// What a customer says, packet by packet.
struct Microphone {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    tone: Sine,
    mouth: Mouth,
    /// Octets of a packet, and what is to become one.
    length: usize,
    gathered: Vec<u8>,
    /// The packets of a key that are still to come, the next one last, and its timestamp.
    key: Vec<(u8, u8, u16)>,
    key_at: u32,
    /// What the next packet is turned upside down by.
    sign: u8,
    /// The packet of a scale that comes next.
    step: Option<usize>,
    /// How many packets nothing has been said for.
    pause: Option<usize>,
    /// The next packet is the first after a pause (RFC 3551 section 4.1).
    marker: bool,
}

impl Microphone {
    fn new(ssrc: u32, tone_hz: u32) -> Result<Self> {
        Ok(Self {
            ssrc,
            sequence: 1,
            timestamp: 0,
            tone: Sine::new(tone_hz),
            mouth: Mouth::new()?,
            length: FRAME,
            gathered: Vec::new(),
            key: Vec::new(),
            key_at: 0,
            sign: 0,
            step: None,
            pause: None,
            marker: false,
        })
    }

    fn cued(&mut self, cue: Cue) {
        match cue {
            Cue::Press(event) => {
                self.key_at = self.timestamp;
                let parts = KEY.iter().rev();
                self.key = parts
                    .map(|(end, duration)| (event, *end, *duration))
                    .collect();
            }
            Cue::Say(hz) => self.tone = Sine::new(hz),
            Cue::Scale => {
                self.step = Some(0);
                self.marker = self.pause.take().is_some();
            }
            Cue::Pause => self.pause = Some(0),
            Cue::Click => self.sign = 0x80,
            Cue::TurnLaw => {
                let is_mu = self.mouth.speaks == Speech::Pcmu;
                self.mouth.speaks = if is_mu { Speech::Pcma } else { Speech::Pcmu };
            }
            Cue::Speak(speech) => self.mouth.speaks = speech,
            Cue::Gather(length) => self.length = length,
        }
        self.gathered.clear();
    }

    /// The next 20 ms; nothing in most of a pause.
    fn packets(&mut self) -> Vec<Vec<u8>> {
        let at = self.timestamp;
        if let Some((event, end, duration)) = self.key.pop() {
            let [high, low] = u16::to_be_bytes(duration);
            self.timestamp = at.wrapping_add(160);
            return vec![self.rtp(101, self.key_at, &[event, end | 10, high, low])];
        }
        if let Some(nth) = self.pause {
            self.pause = Some(nth + 1);
            self.timestamp = at.wrapping_add(160);
            let told = nth.is_multiple_of(NOISE_EVERY);
            let told = told.then(|| self.rtp(COMFORT_NOISE, at, &[NOISE_DBOV]));
            return told.into_iter().collect();
        }
        let frame = match self.step {
            Some(step) => {
                self.step = Some(step + 1).filter(|next| *next < scale::STEPS);
                scale::frame(step)
            }
            None => self.tone.frame(),
        };
        let sign = std::mem::take(&mut self.sign);
        let (payload_type, payload, ticks) = self.mouth.say(frame.map(|octet| octet ^ sign));
        if self.mouth.speaks == Speech::Opus {
            return vec![self.speech(payload_type, &payload, ticks)];
        }
        self.gathered.extend(payload);
        let whole = self.gathered.len() - self.gathered.len() % self.length;
        let gathered: Vec<u8> = self.gathered.drain(..whole).collect();
        gathered
            .chunks(self.length)
            .map(|octets| self.speech(payload_type, octets, octets.len() as u32))
            .collect()
    }

    /// A packet of speech that is so many ticks long.
    fn speech(&mut self, payload_type: u8, payload: &[u8], ticks: u32) -> Vec<u8> {
        let marker = u8::from(std::mem::take(&mut self.marker)) << 7;
        let at = self.timestamp;
        self.timestamp = at.wrapping_add(ticks);
        self.rtp(payload_type | marker, at, payload)
    }

    fn rtp(&mut self, payload_type: u8, at: u32, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(at.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }
}

/// Whether a packet of one SILK frame has the one before it, too: its second bit behind the table of contents (RFC 6716 section 4.2.3).
fn repeats(opus: &[u8]) -> bool {
    matches!(opus, [head, first, ..] if head >> 3 < 12 && first & 0x40 != 0)
}

impl Heard {
    fn packet(&mut self, from: SocketAddr, packet: &[u8]) {
        let (Some(head), Some(payload)) = (packet.get(..12), packet.get(12..)) else {
            return;
        };
        self.sources.insert(from);
        self.ssrcs
            .insert(u32::from_be_bytes([head[8], head[9], head[10], head[11]]));
        let timestamp = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let payload_type = head[1] & 0x7f;
        match payload_type {
            0 => self.ear.hear(payload.iter().map(|octet| linear(*octet))),
            8 => self
                .ear
                .hear(payload.iter().map(|octet| linear_from_alaw(*octet))),
            96 | 101 => {
                if let [_, _, high, low, ..] = payload {
                    self.key_ticks.push(u16::from_be_bytes([*high, *low]));
                }
                // A key's packets share a timestamp; its end counts once (RFC 4733 section 2.5).
                if payload.len() >= 4 && payload[1] & 0x80 != 0 && self.key_at != Some(timestamp) {
                    self.key_at = Some(timestamp);
                    self.keys.push(payload[0]);
                    self.keys_as.push((payload_type, payload[0]));
                }
                return;
            }
            OPUS if repeats(payload) => {
                self.repeating += 1;
                self.wide.decode(payload_type, payload, &mut self.ear);
            }
            G722 | OPUS => self.wide.decode(payload_type, payload, &mut self.ear),
            _ => return,
        }
        let number = u16::from_be_bytes([head[2], head[3]]);
        if let Some((last, at)) = self.last.replace((number, timestamp))
            && number == last.wrapping_add(1)
        {
            self.steps.insert(timestamp.wrapping_sub(at));
        }
        self.codecs.insert(payload_type);
        self.packets += 1;
        self.heard_at = Some(Instant::now());
    }

    /// A stream that has stopped is silence, not the last thing heard.
    fn age(&mut self) {
        if self
            .heard_at
            .is_some_and(|at| at.elapsed() > Duration::from_millis(100))
        {
            self.ear.clear();
        }
    }
}
