//! The page's one task: WebSocket, UDP socket, microphone and the peer connection between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::way::{self, Way};
use super::{Begin, Command, PageOptions, PageState, Peer, PeerEvent, Restarts};
use crate::opus::{OpusEar, OpusMouth};
use crate::tone::{FRAME, Sine, linear, linear_from_alaw};
use crate::{Result, scale};

/// WebSocket close code of a connection that ended without one (RFC 6455 section 7.4.1).
const TORN_DOWN: u16 = 1006;

pub(super) struct Session {
    options: PageOptions,
    state: Arc<Mutex<PageState>>,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    media: Way,
    peer: Option<Peer>,
    restarts: Restarts,
    waiting: BTreeMap<String, oneshot::Sender<Value>>,
    heard_at: Instant,
    voice: Voice,
    /// When a scale begins that was asked for.
    scale_at: Option<Begin>,
    opus: OpusEar,
}

/// What its microphone hears.
struct Voice {
    tone: Sine,
    /// How much of the sentence was said.
    said: usize,
    /// The packet of a scale that comes next.
    step: Option<usize>,
    opus: OpusMouth,
}

impl Voice {
    fn new(tone_hz: u32) -> Result<Self> {
        Ok(Self {
            tone: Sine::new(tone_hz),
            said: 0,
            step: None,
            opus: OpusMouth::new()?,
        })
    }

    /// Its next 20 ms, where it says anything else than a tone.
    fn frame(&mut self, sentence: bool) -> Option<[u8; FRAME]> {
        if let Some(step) = self.step {
            self.step = Some(step + 1).filter(|next| *next < scale::STEPS);
            return Some(scale::frame(step));
        }
        if !sentence {
            return None;
        }
        let mut frame = [0xff; FRAME];
        let whole = SENTENCE.len() - SENTENCE.len() % FRAME;
        frame.copy_from_slice(&SENTENCE[self.said..self.said + FRAME]);
        self.said = (self.said + FRAME) % whole;
        Some(frame)
    }
}

/// What a microphone says that says a sentence, as mu-law.
static SENTENCE: &[u8] = include_bytes!("../../../crates/sim/assets/customer.ulaw");

impl Session {
    pub(super) async fn open(options: &PageOptions, state: Arc<Mutex<PageState>>) -> Result<Self> {
        let media = Way::open(options).await?;
        state.lock().expect("no panic while held").media_at = Some(media.local());
        let (mut socket, _) = connect_async(format!("ws://{}/agent/v1", options.gateway)).await?;
        let mut hello = json!({
            "type": "hello",
            "id": "hello",
            "token": options.token,
            "client": {"name": "interop-tests", "version": env!("CARGO_PKG_VERSION")},
        });
        if let Some(resume) = &options.resume {
            hello["resume"] = json!(resume);
        }
        socket.send(Message::text(hello.to_string())).await?;
        Ok(Self {
            options: options.clone(),
            state,
            socket,
            media,
            peer: None,
            restarts: Restarts::Taken,
            waiting: BTreeMap::new(),
            heard_at: Instant::now(),
            voice: Voice::new(options.tone_hz)?,
            scale_at: None,
            opus: OpusEar::new()?,
        })
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut microphone = tokio::time::interval(Duration::from_millis(20));
        microphone.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut buffer = vec![0; 2048];
        loop {
            self.drain_peer().await;
            let wake = self.peer.as_mut().and_then(Peer::poll_timeout);
            let wake = wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
            tokio::select! {
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let kind = self.told(&text).await;
                        if kind == "remote_control" && self.scale_at == Some(Begin::AtTalk) {
                            self.begin_scale(&mut microphone);
                        }
                    }
                    Some(Ok(Message::Close(frame))) => {
                        let code = frame.map_or(1005, |frame| u16::from(frame.code));
                        self.state().closed = Some(code);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => {
                        self.state().closed.get_or_insert(TORN_DOWN);
                        return;
                    }
                },
                Ok((size, from)) = self.media.receive(&mut buffer) => {
                    self.received(from, &buffer[..size]);
                }
                command = inbox.recv() => match command {
                    Some(Command::Request(request, reply)) => {
                        if let (Some(id), Some(reply)) = (request["id"].as_str(), reply) {
                            self.waiting.insert(id.to_owned(), reply);
                        }
                        self.say(&request).await;
                    }
                    Some(Command::Press(event)) => {
                        if let Some(peer) = &mut self.peer {
                            peer.press(event);
                        }
                    }
                    Some(Command::Scale(begin)) => {
                        {
                            let mut state = self.state();
                            state.scale_said = 0;
                            state.scale_before_talking = None;
                        }
                        self.scale_at = Some(begin);
                        if begin == Begin::Now {
                            self.begin_scale(&mut microphone);
                        }
                    }
                    Some(Command::Restarts(restarts)) => self.restarts = restarts,
                    Some(Command::Repeat(done)) => drop(done.send(self.media.repeat().await)),
                    Some(Command::Vanish) | None => return,
                },
                _ = microphone.tick() => self.tick(),
                () = tokio::time::sleep_until(wake.into()) => {
                    if let Some(peer) = &mut self.peer {
                        peer.handle_timeout(Instant::now());
                    }
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, PageState> {
        self.state.lock().expect("no panic while held")
    }

    fn received(&mut self, from: SocketAddr, datagram: &[u8]) {
        if let Some(payload_type) = way::rtp(datagram) {
            self.state().payload_types.insert(payload_type);
        }
        if let Some(peer) = &mut self.peer {
            peer.receive(Instant::now(), from, datagram);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.speak(now);
        // A stream that has stopped is silence, not the last thing heard.
        if now.duration_since(self.heard_at) > Duration::from_millis(100) {
            self.state().ear.clear();
        }
    }

    fn speak(&mut self, now: Instant) {
        let Some(peer) = &mut self.peer else { return };
        let scale = self.voice.step.is_some();
        let frame = self.voice.frame(self.options.sentence);
        if peer.opus().is_some() {
            let frame = frame.unwrap_or_else(|| self.voice.tone.frame());
            let packet = self.voice.opus.encode(&frame.map(linear));
            peer.say_opus(now, &packet.expect("Opus codes 20 ms"));
        } else if let Some(frame) = frame {
            peer.say(now, &frame);
        } else {
            peer.speak(now, true);
        }
        self.state().scale_said += usize::from(scale);
    }

    /// What the microphone hears now is said when it has heard 20 ms of it.
    fn begin_scale(&mut self, microphone: &mut Interval) {
        self.scale_at = None;
        self.voice.step = Some(0);
        microphone.reset();
    }

    async fn say(&mut self, message: &Value) {
        // When the socket is gone the reading side says so.
        drop(self.socket.send(Message::text(message.to_string())).await);
    }

    /// Takes a message; its type.
    async fn told(&mut self, text: &str) -> String {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            panic!("the gateway sent no JSON: {text}");
        };
        match message["type"].as_str() {
            Some("media_offer") => self.offered(&message).await,
            Some("welcome") => {
                for call in message["calls"].as_array().into_iter().flatten() {
                    self.call(call);
                }
            }
            Some("call") => {
                let call = &message["call"];
                let known = self.call(call);
                if self.options.answer && call["state"] == "ringing" && !known {
                    self.say(&json!({"type": "answer", "call": call["id"]}))
                        .await;
                }
            }
            Some("ok" | "error") => {
                let waiting = message["id"]
                    .as_str()
                    .and_then(|id| self.waiting.remove(id));
                if let Some(waiting) = waiting {
                    drop(waiting.send(message.clone()));
                }
            }
            _ => {}
        }
        let kind = message["type"].as_str().unwrap_or_default().to_owned();
        self.state().messages.push(message);
        kind
    }

    /// Keeps the latest picture of a call; whether it was known.
    fn call(&self, call: &Value) -> bool {
        let mut state = self.state();
        if call["state"] == "talking" {
            let said = state.scale_said;
            state.scale_before_talking.get_or_insert(said);
        }
        if let Some(known) = state
            .calls
            .iter_mut()
            .find(|known| known["id"] == call["id"])
        {
            *known = call.clone();
            return true;
        }
        state.calls.push(call.clone());
        false
    }

    async fn offered(&mut self, message: &Value) {
        let now = Instant::now();
        let offer = message["sdp"].as_str().unwrap_or_default();
        let restart = message["restart"].as_bool().unwrap_or(false);
        let fresh = self.peer.is_none() || !restart;
        if fresh {
            let local = self.media.local();
            let peer = match (self.options.opus, self.options.active) {
                (true, _) => Peer::with_opus(now, local),
                (false, true) => Peer::active(now, local, self.options.tone_hz),
                (false, false) => Peer::new(now, local, self.options.tone_hz),
            };
            self.peer = Some(peer.expect("the page's own stack starts"));
        }
        let Some(peer) = &mut self.peer else { return };
        let answer = match self.restarts {
            Restarts::Unheard if !fresh => return,
            Restarts::Answered if !fresh => peer.pretends(),
            _ => peer.answer(now, offer),
        };
        match answer {
            Ok(sdp) => {
                let sdp = match self.options.misnamed {
                    true => misnamed(&sdp),
                    false => sdp,
                };
                self.state().answer.clone_from(&sdp);
                self.say(&json!({"type": "media_answer", "sdp": sdp})).await;
            }
            Err(error) => panic!("the page's stack refuses the offer: {error}\n{offer}"),
        }
    }

    async fn drain_peer(&mut self) {
        while let Some(event) = self.peer.as_mut().and_then(Peer::poll) {
            match event {
                PeerEvent::Transmit(to, datagram) => {
                    // A full socket buffer loses a datagram, as any network may.
                    drop(self.media.send(&datagram, to).await);
                }
                PeerEvent::State(word) => self.state().media = word,
                PeerEvent::Rtp {
                    payload_type,
                    timestamp,
                    payload,
                } => self.play(payload_type, timestamp, &payload),
            }
        }
    }

    fn play(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) {
        let now = Instant::now();
        let opus = self.peer.as_ref().and_then(Peer::opus);
        let mut state = self.state.lock().expect("no panic while held");
        match payload_type {
            other if Some(other) == opus => state.ear.hear(self.opus.decode(payload)),
            0 => state.ear.hear(payload.iter().map(|octet| linear(*octet))),
            8 => state
                .ear
                .hear(payload.iter().map(|octet| linear_from_alaw(*octet))),
            101 if payload.len() >= 4 && payload[1] & 0x80 != 0 => {
                state.key_ended(timestamp, payload[0]);
            }
            _ => return,
        }
        state.packets += u64::from(payload_type != 101);
        self.heard_at = now;
    }
}

/// The same answer with another certificate: the first digit of its fingerprint (RFC 8122 section 5) is another.
fn misnamed(sdp: &str) -> String {
    let (before, fingerprint) = sdp
        .split_once("fingerprint:sha-256 ")
        .expect("a fingerprint");
    let other = if fingerprint.starts_with('A') {
        'B'
    } else {
        'A'
    };
    format!("{before}fingerprint:sha-256 {other}{}", &fingerprint[1..])
}
