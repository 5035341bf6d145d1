//! An agent's page without a browser: the agent protocol as JSON over a WebSocket, and a peer
//! connection by a stack of its own.
//!
//! The microphone is always open and always speaks its tone, unlike a real page's: so silence on
//! hold is the gateway's doing or it is heard.

mod peer;
mod session;
mod way;

use std::collections::BTreeSet;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use peer::{Peer, PeerEvent};

use crate::process::show_on_failure;
use crate::tone::Ear;
use crate::wait::{eventually, eventually_some, lastingly};
use crate::{Gateway, Result};

/// What a page is told at birth.
#[derive(Debug, Clone)]
pub struct PageOptions {
    /// The gateway's agent listener.
    pub gateway: SocketAddr,
    /// Where the page's own UDP socket is bound.
    pub local: IpAddr,
    /// The token of `hello`.
    pub token: String,
    /// The resume secret of an earlier session.
    pub resume: Option<String>,
    /// What the microphone says; 0 is silence.
    pub tone_hz: u32,
    /// It says a sentence again and again instead, as a person does: a codec tells it from a tone.
    pub sentence: bool,
    /// Speak Opus, for a gateway that wants it.
    pub opus: bool,
    /// The port of that socket; 0 is any.
    pub port: u16,
    /// Its network lets no UDP out: everything goes to this port of the gateway by TCP.
    pub by_tcp: Option<SocketAddr>,
    /// Begin the DTLS handshake, as browsers do, instead of waiting for the gateway's.
    pub active: bool,
    /// Name another certificate in its answers than its own, as somebody in the middle would have it.
    pub misnamed: bool,
    /// Answer every call as soon as it rings, as an agent's click would.
    pub answer: bool,
}

/// What happened to a page so far.
#[derive(Debug, Default)]
pub struct PageState {
    /// Every message of the gateway, in order.
    pub messages: Vec<Value>,
    /// The latest picture of every call, in order of appearance.
    pub calls: Vec<Value>,
    /// Where its media comes from.
    pub media_at: Option<SocketAddr>,
    /// Its last answer to an offer.
    pub answer: String,
    /// The state of the peer connection in WebRTC's own words.
    pub media: String,
    /// What the loudspeaker plays.
    pub ear: Ear,
    /// Audio packets that arrived.
    pub packets: u64,
    /// Payload types of all RTP that reached its socket, also of what its stack does not take.
    pub payload_types: BTreeSet<u8>,
    /// Keys (RFC 4733) that arrived, each once.
    pub keys: Vec<u8>,
    /// The timestamp of the last of them: a key's packets share one.
    key_at: Option<u32>,
    /// Packets of a scale that have left since it was begun.
    pub scale_said: usize,
    /// How many of them had left when the page was told that the call talks; `None` until it is told so.
    pub scale_before_talking: Option<usize>,
    /// The close code, when the gateway closed the socket; 1006 when it was torn down.
    pub closed: Option<u16>,
}

impl PageState {
    /// The end of a key is sent three times and counts once (RFC 4733 section 2.5.1.4).
    fn key_ended(&mut self, timestamp: u32, event: u8) {
        if self.key_at != Some(timestamp) {
            self.key_at = Some(timestamp);
            self.keys.push(event);
        }
    }
}

/// What a page does with an ICE restart that it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restarts {
    /// It answers, and checks the new path.
    Taken,
    /// The offer does not reach it.
    Unheard,
    /// It answers, and goes on with the old path: no check of the new one ever comes.
    Answered,
}

/// When a page begins to speak a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At once.
    Now,
    /// When it is told that the desktop has answered (`remote_control`).
    AtTalk,
}

#[derive(Debug)]
enum Command {
    Request(Value, Option<oneshot::Sender<Value>>),
    Press(u8),
    Scale(Begin),
    Restarts(Restarts),
    Repeat(oneshot::Sender<usize>),
    Vanish,
}

/// A signed-in page. On drop its socket is torn down without a word, as when a laptop is closed.
#[derive(Debug)]
pub struct Page {
    options: PageOptions,
    state: Arc<Mutex<PageState>>,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

impl Page {
    /// Signs the agent of `dn` in and waits until the leg is warm and the DN is registered.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn sign_in(gateway: &Gateway, dn: &str) -> Self {
        let page = Self::start(gateway.page(dn))
            .await
            .expect("the page connects");
        page.ready().await;
        page
    }

    /// Waits until the leg is warm and the DN is registered.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn ready(&self) {
        eventually("the page is connected and registered", || {
            assert_eq!(self.state().closed, None, "{:#?}", self.state().messages);
            self.connected() && self.registration().as_deref() == Some("registered")
        })
        .await;
    }

    /// Connects and says hello; does not wait for anything else.
    ///
    /// # Errors
    /// When the gateway refuses the WebSocket.
    pub async fn start(options: PageOptions) -> Result<Self> {
        let state = Arc::new(Mutex::new(PageState::default()));
        let (commands, inbox) = mpsc::unbounded_channel();
        let session = session::Session::open(&options, Arc::clone(&state)).await?;
        Ok(Self {
            options,
            state,
            commands,
            task: tokio::spawn(session.run(inbox)),
        })
    }

    /// What it was told at birth.
    pub fn options(&self) -> &PageOptions {
        &self.options
    }

    /// What happened so far. Do not hold it across an `await`.
    ///
    /// # Panics
    /// When the page's task has panicked.
    pub fn state(&self) -> MutexGuard<'_, PageState> {
        self.state.lock().expect("the page's task lives")
    }

    /// Messages of one type, in order.
    pub fn messages(&self, kind: &str) -> Vec<Value> {
        let state = self.state();
        state
            .messages
            .iter()
            .filter(|message| message["type"] == kind)
            .cloned()
            .collect()
    }

    /// The latest state of the registration.
    pub fn registration(&self) -> Option<String> {
        let state = self.state();
        let latest =
            state
                .messages
                .iter()
                .rev()
                .find_map(|message| match message["type"].as_str() {
                    Some("registration") => Some(&message["state"]),
                    Some("welcome") => Some(&message["registration"]["state"]),
                    _ => None,
                })?;
        latest.as_str().map(str::to_owned)
    }

    /// Whether its own peer connection is up and the gateway says so too.
    pub fn connected(&self) -> bool {
        let state = self.state();
        let told = state
            .messages
            .iter()
            .rev()
            .find(|message| message["type"] == "media_state");
        state.media == "connected" && told.is_some_and(|told| told["state"] == "connected")
    }

    /// The latest picture of the newest call; `Null` when there was none.
    pub fn call(&self) -> Value {
        self.state().calls.last().cloned().unwrap_or(Value::Null)
    }

    /// Waits until the newest call is in `state`, and returns it.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn call_in(&self, state: &str) -> Value {
        eventually_some(
            &format!("a call of {:?} in state {state}", self.states()),
            || {
                let call = self.call();
                (call["state"] == state).then_some(call)
            },
        )
        .await
    }

    /// Waits until the call with this id is in `state`, and returns it.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn call_with_id_in(&self, id: &Value, state: &str) -> Value {
        eventually_some(&format!("call {id} in state {state}"), || {
            let page = self.state();
            let mut calls = page.calls.iter();
            let call = calls.find(|call| call["id"] == *id && call["state"] == state);
            call.cloned()
        })
        .await
    }

    /// Waits until the newest call misses audio in this direction for this reason.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn misses_audio(&self, direction: &str, reason: &str) {
        let missing = json!({"direction": direction, "reason": reason});
        eventually(&format!("it is shown that {missing} is missing"), || {
            self.call()["audio_missing"] == missing
        })
        .await;
    }

    /// The states that the newest call has gone through, repetitions left out.
    pub fn states(&self) -> Vec<String> {
        let id = self.call()["id"].clone();
        let mut states: Vec<String> = self
            .messages("call")
            .iter()
            .filter(|message| message["call"]["id"] == id)
            .filter_map(|message| message["call"]["state"].as_str().map(str::to_owned))
            .collect();
        states.dedup();
        states
    }

    /// `event` of every `remote_control`, in order.
    pub fn remote_control(&self) -> Vec<String> {
        self.messages("remote_control")
            .iter()
            .filter_map(|message| message["event"].as_str().map(str::to_owned))
            .collect()
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Panics
    /// When none comes.
    pub async fn request(&self, mut request: Value) -> Value {
        let (reply, answer) = oneshot::channel();
        if request.get("id").is_none() {
            request["id"] = json!(format!("r{}", self.state().messages.len()));
        }
        self.send(Command::Request(request.clone(), Some(reply)));
        tokio::time::timeout(crate::wait::DEADLINE, answer)
            .await
            .ok()
            .and_then(std::result::Result::ok)
            .unwrap_or_else(|| panic!("no reply to {request}"))
    }

    /// First-party control of the newest call (`answer`, `hold`, ...), which must be granted.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn control(&self, kind: &str) {
        let reply = self
            .request(json!({"type": kind, "call": self.call()["id"]}))
            .await;
        assert_eq!(reply["type"], "ok", "{kind}: {reply}");
    }

    /// Ends every call but the first that has not ended: what is left over of an attack. A call may end by itself meanwhile.
    ///
    /// # Panics
    /// When one of them stays.
    pub async fn hang_up_all_but_first(&self) {
        let others = || -> Vec<Value> {
            let alive = |call: &&Value| call["state"] != "ended" && call["state"] != "ending";
            let state = self.state();
            let calls = state.calls.iter().skip(1);
            calls.filter(alive).cloned().collect()
        };
        for call in others() {
            let kind = if call["state"] == "ringing" {
                "reject"
            } else {
                "hangup"
            };
            self.request(json!({"type": kind, "call": call["id"]}))
                .await;
        }
        eventually("the other calls have ended", || others().is_empty()).await;
    }

    /// Presses a key of the page's own dial pad in its RTP (RFC 4733).
    pub fn press(&self, event: u8) {
        self.send(Command::Press(event));
    }

    /// Speaks a [scale](crate::scale) and its tone behind it, in the place of its tone. As of a microphone, the packet of the first 20 ms leaves when they
    /// are over.
    pub fn says_scale(&self, begin: Begin) {
        self.send(Command::Scale(begin));
    }

    /// Answers the newest call by a click, and begins to speak a scale with it.
    pub fn answers_and_says_scale(&self) {
        let answer = json!({"type": "answer", "call": self.call()["id"]});
        self.says_scale(Begin::Now);
        self.send(Command::Request(answer, None));
    }

    /// Does so with ICE restarts from now on.
    pub fn treats(&self, restarts: Restarts) {
        self.send(Command::Restarts(restarts));
    }

    /// Sends its last seconds of RTP again, octet for octet, as somebody does who has kept what passed; how many packets these are.
    ///
    /// # Panics
    /// When the page is gone.
    pub async fn repeats(&self) -> usize {
        let (done, count) = oneshot::channel();
        self.send(Command::Repeat(done));
        count.await.expect("the page's task lives")
    }

    /// Asks for another connection, or for a restart of the one it has, and waits for nothing.
    pub fn asks_for_media(&self) {
        self.send(Command::Request(json!({"type": "media_restart"}), None));
    }

    /// Asks for an ICE restart, and waits until it is offered.
    ///
    /// # Panics
    /// When it is not.
    pub async fn restarts_media(&self) {
        let before = self.messages("media_offer").len();
        let reply = self.request(json!({"type": "media_restart"})).await;
        assert_eq!(reply["type"], "ok", "{reply}");
        eventually("a restart is offered", || {
            let offers = self.messages("media_offer");
            offers.len() > before && offers.last().is_some_and(|offer| offer["restart"] == true)
        })
        .await;
    }

    /// Waits until the loudspeaker plays a tone of `hz`.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn hears(&self, hz: u32) {
        eventually(&format!("the agent hears {hz} Hz"), || {
            self.state().ear.hears(hz)
        })
        .await;
    }

    /// Waits until the loudspeaker is silent.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn hears_nothing(&self) {
        lastingly("the agent hears nothing", || {
            ready(self.state().ear.silent())
        })
        .await;
    }

    /// Signs out (`bye`) and waits until the gateway has closed the socket.
    ///
    /// # Panics
    /// When it does not.
    pub async fn sign_out(self) {
        self.send(Command::Request(json!({"type": "bye"}), None));
        self.closed().await;
    }

    /// Waits until the socket is closed and returns the close code.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn closed(&self) -> u16 {
        eventually_some("the gateway closes the socket", || self.state().closed).await
    }

    /// Tears the socket and the peer connection down without a word, and returns the resume secret.
    pub async fn vanish(self) -> String {
        let welcome = self.messages("welcome");
        let resume = welcome
            .last()
            .and_then(|welcome| welcome["resume"].as_str());
        self.send(Command::Vanish);
        eventually("the page is gone", || self.task.is_finished()).await;
        resume.unwrap_or_default().to_owned()
    }

    fn send(&self, command: Command) {
        // The session has ended: what the test waits for next will say so.
        drop(self.commands.send(command));
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.task.abort();
        show_on_failure("page", || {
            let Ok(state) = self.state.lock() else {
                return "its task has panicked".to_owned();
            };
            let mut seen = format!(
                "media {}, {} packets, hears {:?}, closed {:?}\n",
                state.media, state.packets, state.ear, state.closed
            );
            for message in &state.messages {
                seen += &format!("{message}\n");
            }
            seen
        });
    }
}
