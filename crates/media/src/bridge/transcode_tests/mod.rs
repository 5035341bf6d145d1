//! Calls whose ends speak different codecs.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use super::*;
use crate::browser_leg::Preference;
use crate::codec::{Decoder, Encoder, FRAME, OpusTuning, PACKET_LEN_MAX, Rate};
use crate::g711::Law;
use crate::tone::{Tone, level_db, share_of, sharpest_bend};

const MU: Codec = Codec::G711(Law::Mu);

const FORMATS: BrowserFormats = BrowserFormats {
    mu: Some(0),
    a: Some(8),
    g722: Some(9),
    opus: Some(111),
    dtx: false,
    telephone_event: Some(126),
    preference: Preference::Opus,
};

/// What the SIP side may speak, and its payload type there.
const SIP_SIDES: [(Codec, u8); 4] = [
    (MU, 0),
    (Codec::G711(Law::A), 8),
    (Codec::G722, 9),
    (Codec::Opus, 120),
];

fn peer() -> SocketAddr {
    "192.0.2.82:20000".parse().unwrap()
}

/// A call in virtual time: what both ends were sent, decoded.
struct Call {
    now: Instant,
    bridge: Bridge,
    formats: BrowserFormats,
    sip: Codec,
    leg: OutgoingStream,
    caller: Voice,
    agent: Voice,
    ear: Listener,
    far: Listener,
    firsts: (usize, usize),
    ear_sent: Vec<Sent>,
    far_sent: Vec<Sent>,
    sip_numbers: Vec<(u16, u32)>,
    sip_sent_at: Vec<Instant>,
}

/// A sentence of a customer, again and again.
fn phrase() -> impl Iterator<Item = i16> {
    let octets = include_bytes!("../../../../sim/assets/customer.ulaw");
    octets.iter().map(|octet| Law::Mu.decode(*octet)).cycle()
}

/// A voice without end, whose curve is smooth: seven harmonics of a pitch that wanders.
fn voice() -> impl Iterator<Item = i16> {
    let mut turn = 0.0_f64;
    (0_u32..).map(move |n| {
        let seconds = f64::from(n) / 8_000.0;
        turn += (130.0 + 25.0 * (seconds * 3.0).sin()) / 8_000.0;
        let sine = |k: u32| {
            let k = f64::from(k);
            (std::f64::consts::TAU * turn * k + k * k).sin() / k
        };
        ((1..=7).map(sine).sum::<f64>() * 5_000.0) as i16
    })
}

/// A packet of audio as it left.
struct Sent {
    at: Instant,
    stamp: Stamp,
    payload: Vec<u8>,
}

/// Somebody who says a tone, or speaks.
struct Voice {
    codec: Codec,
    encoder: Encoder,
    /// What his packets say.
    said: Listener,
    tone: Tone,
    speech: Option<Box<dyn Iterator<Item = i16>>>,
    sequence: u16,
    timestamp: u32,
}

impl Voice {
    fn new(codec: Codec, hz: f64) -> Self {
        Self {
            codec,
            encoder: Encoder::new(codec, Rate::Narrow, OpusTuning::default()).unwrap(),
            said: Listener::new(codec),
            tone: Tone::single(hz, 0.25),
            speech: None,
            sequence: 7,
            timestamp: 1_000,
        }
    }

    fn frame(&mut self) -> (Incoming, Vec<u8>) {
        let mut samples = [0; 160];
        match &mut self.speech {
            Some(speech) => {
                for (sample, said) in samples.iter_mut().zip(speech) {
                    *sample = said;
                }
            }
            None => self.tone.fill_linear(Rate::Narrow, &mut samples),
        }
        let mut payload = [0; 640];
        let len = self.encoder.encode(&samples, &mut payload).unwrap();
        self.said.hear(&payload[..len]);
        let incoming = Incoming {
            ssrc: 5,
            sequence: self.sequence,
            timestamp: self.timestamp,
            marker: false,
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(20 * self.codec.ticks_per_ms());
        (incoming, payload[..len].to_vec())
    }
}

/// Somebody who hears everything that is sent to him.
struct Listener {
    decoder: Decoder,
    heard: Vec<i16>,
}

impl Listener {
    fn new(codec: Codec) -> Self {
        Self {
            decoder: Decoder::new(codec, Rate::Narrow).unwrap(),
            heard: Vec::new(),
        }
    }

    fn hear(&mut self, payload: &[u8]) {
        let mut out = [0; PACKET_LEN_MAX];
        let samples = self.decoder.decode(payload, &mut out).unwrap();
        self.heard.extend_from_slice(&out[..samples]);
    }
}

impl Call {
    fn new(sip: Codec, payload_type: u8, browser: Codec, formats: BrowserFormats) -> Self {
        let plan = BridgePlan {
            remote: Some(peer()),
            remote_rtcp: None,
            format: SipFormat {
                codec: sip,
                payload_type,
                ours: None,
                packet_ms: 20,
                dtx: false,
                telephone_event: Some(101),
                event_ticks_per_ms: 8,
            },
            to_agent: true,
            to_caller: true,
            voip_metrics: false,
        };
        let mut bridge = Bridge::new(OutgoingStream::new(1, 2_100, 0));
        bridge.set_plan(plan, Patch::Another);
        let (sent_to_agent, _) = formats.target(sip).unwrap();
        Self {
            now: Instant::now(),
            bridge,
            formats,
            sip,
            leg: OutgoingStream::new(2, 2_100, 0),
            caller: Voice::new(sip, 440.0),
            agent: Voice::new(browser, 660.0),
            ear: Listener::new(sent_to_agent),
            far: Listener::new(sip),
            firsts: (0, 0),
            ear_sent: Vec::new(),
            far_sent: Vec::new(),
            sip_numbers: Vec::new(),
            sip_sent_at: Vec::new(),
        }
    }

    /// What a call's place in the patch bay does for a plan: the browser's stream begins anew where its end changes.
    fn plans(&mut self, plan: BridgePlan, patch: Patch) {
        self.bridge.set_plan(plan, patch);
        if patch != Patch::Same {
            self.leg.interrupt();
        }
    }

    /// Both directions are closed for so many turns, in which both sides speak on.
    fn is_held(&mut self, turns: usize) {
        let plan = *self.bridge.plan().unwrap();
        let held = BridgePlan {
            to_agent: false,
            to_caller: false,
            ..plan
        };
        self.plans(held, Patch::Paused);
        for _ in 0..turns {
            self.turn(true, true);
        }
        self.plans(plan, Patch::Paused);
    }

    /// 20 ms: whoever speaks says a frame, the clock runs in steps of 5 ms.
    fn turn(&mut self, caller_speaks: bool, agent_speaks: bool) {
        if caller_speaks {
            self.caller_says();
        }
        if agent_speaks {
            self.agent_says();
        }
        for _ in 0..4 {
            self.drain();
            self.now += FRAME / 4;
        }
    }

    fn caller_says(&mut self) {
        let (incoming, payload) = self.caller.frame();
        let fields = Fields {
            marker: false,
            payload_type: self.bridge.plan().unwrap().format.payload_type,
            sequence: incoming.sequence,
            timestamp: incoming.timestamp,
            ssrc: 77,
        };
        let mut datagram = vec![0; 12 + payload.len()];
        packet::write(&mut datagram, &fields, &payload, None).unwrap();
        let end = BrowserEnd {
            formats: self.formats,
            stream: &mut self.leg,
        };
        let heard = self
            .bridge
            .from_sip(self.now, peer(), &datagram, Some(end))
            .unwrap();
        match heard.forward {
            Ok(forward) => {
                let payload = &datagram[forward.payload];
                assert!(forward.map.is_none());
                self.ear_sent.push(Sent {
                    at: self.now,
                    stamp: forward.stamp,
                    payload: payload.to_vec(),
                });
                self.ear.hear(payload);
            }
            // Behind what was decoded the first packet that is handed over may come too late.
            Err(dropped) => assert!(matches!(
                dropped,
                Dropped::Decoded | Dropped::Closed | Dropped::Late
            )),
        }
    }

    fn agent_says(&mut self) {
        let (incoming, payload) = self.agent.frame();
        let packet = FromBrowser {
            incoming,
            payload_type: self.formats.of(self.agent.codec).unwrap(),
            payload: &payload,
        };
        let mut out = [0; PACKET_MAX];
        match self
            .bridge
            .from_browser(self.now, packet, self.formats, &mut out)
        {
            Ok(sent) => self.far_hears(&out[..sent.len]),
            Err(dropped) => assert!(matches!(
                dropped,
                Dropped::Decoded | Dropped::Replaced | Dropped::Closed
            )),
        }
    }

    fn far_hears(&mut self, packet: &[u8]) {
        let header = Header::parse(packet).unwrap();
        let payload = &packet[header.payload.clone()];
        self.far_sent.push(Sent {
            at: self.now,
            stamp: Stamp {
                sequence: header.sequence.into(),
                timestamp: header.timestamp,
                marker: header.marker,
            },
            payload: payload.to_vec(),
        });
        self.far.hear(payload);
    }

    fn drain(&mut self) {
        let mut speech = [0; SPEECH_MAX];
        loop {
            let end = BrowserEnd {
                formats: self.formats,
                stream: &mut self.leg,
            };
            let Some(frame) = self.bridge.poll_ear(self.now, Some(end), &mut speech) else {
                break;
            };
            self.firsts.0 += usize::from(frame.first);
            let payload = &speech[..frame.len];
            self.ear_sent.push(Sent {
                at: self.now,
                stamp: frame.stamp,
                payload: payload.to_vec(),
            });
            self.ear.hear(payload);
        }
        let mut out = [0; PACKET_MAX];
        loop {
            let digit = self.bridge.poll_digit(self.now, &mut out);
            let Some(sent) = digit.or_else(|| self.bridge.poll_mouth(self.now, &mut out)) else {
                break;
            };
            assert_eq!(sent.to, peer());
            let header = Header::parse(&out[..sent.len]).unwrap();
            self.sip_numbers.push((header.sequence, header.timestamp));
            self.sip_sent_at.push(self.now);
            if header.payload_type != 101 {
                self.firsts.1 += usize::from(sent.first);
                self.far_hears(&out[..sent.len]);
            }
        }
    }
}

/// The share of a tone in the second half of what was heard, when codecs and buffers have settled.
fn share(hz: f64, heard: &[i16]) -> f64 {
    share_of(hz, &heard[heard.len() / 2..]).unwrap_or(0.0)
}

mod opus;
mod stories;
mod waveform;
