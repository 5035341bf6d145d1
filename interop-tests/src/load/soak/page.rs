//! An agent's page, as long as the soak lets it live.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::load::dn;
use crate::load::field::Orders;
use crate::{Gateway, Result};

/// What a page waits for comes by then, or not at all.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How the page and the gateway name a call. Messages of one that is long over may still be unread when the next is up.
pub(super) struct CallId(Value);

/// A page with its WebSocket. Dropped, it is gone without a word.
pub(super) struct Page {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: usize,
    field: Orders,
    resume: Option<String>,
    /// The media connection as the gateway sees it.
    connected: bool,
    registered: bool,
}

impl Page {
    /// Connects and says hello, no more.
    pub(super) async fn hello(
        gateway: SocketAddr,
        session: usize,
        field: &Orders,
        resume: Option<&str>,
    ) -> Result<Self> {
        let (socket, _) = connect_async(format!("ws://{gateway}/agent/v1")).await?;
        let mut page = Self {
            socket,
            session,
            field: field.clone(),
            resume: None,
            connected: false,
            registered: false,
        };
        let mut hello = json!({
            "type": "hello",
            "token": Gateway::token(&dn(session)),
            "client": {"name": "soak", "version": env!("CARGO_PKG_VERSION")},
        });
        if let Some(resume) = resume {
            hello["resume"] = json!(resume);
        }
        page.say(hello).await?;
        Ok(page)
    }

    /// The same until it can take calls.
    pub(super) async fn sign_in(
        gateway: SocketAddr,
        session: usize,
        field: &Orders,
        resume: Option<&str>,
    ) -> Result<Self> {
        let mut page = Self::hello(gateway, session, field, resume).await?;
        page.until("signed in", |page, _| page.connected && page.registered)
            .await?;
        Ok(page)
    }

    /// What brings the next page back to this one's session.
    pub(super) fn resume(&self) -> Option<String> {
        self.resume.clone()
    }

    /// Says something.
    pub(super) async fn say(&mut self, message: Value) -> Result<()> {
        Ok(self.socket.send(Message::text(message.to_string())).await?)
    }

    /// The agent hangs up once she talks.
    pub(super) async fn hang_up(&mut self, call: &CallId) -> Result<()> {
        self.call(call, "talking").await?;
        self.say(json!({"type": "hangup", "call": call.0})).await
    }

    /// Waits for a message of this type.
    pub(super) async fn hears(&mut self, kind: &str) -> Result<()> {
        let is = |_: &Self, message: &Value| message["type"] == kind;
        self.until(kind, is).await.map(drop)
    }

    /// Waits for the next call that rings here. Each is asked for: one that was not would pass for the next.
    pub(super) async fn rings(&mut self) -> Result<CallId> {
        let is = |_: &Self, message: &Value| {
            message["type"] == "call" && message["call"]["state"] == "ringing"
        };
        let message = self.until("ringing", is).await?;
        Ok(CallId(message["call"]["id"].clone()))
    }

    /// Waits until this call is in a state.
    pub(super) async fn call(&mut self, call: &CallId, state: &str) -> Result<()> {
        let is = |_: &Self, message: &Value| {
            let said = &message["call"];
            message["type"] == "call" && said["id"] == call.0 && said["state"] == state
        };
        self.until(state, is).await.map(drop)
    }

    /// Signs out as it should be done.
    pub(super) async fn bye(mut self) -> Result<()> {
        self.say(json!({"type": "bye"})).await?;
        // The gateway closes.
        let deadline = Instant::now() + WAIT_MAX;
        while let Ok(Some(Ok(_))) = timeout_at(deadline, self.socket.next()).await {}
        Ok(())
    }

    /// Does nothing for a while but what a page does by itself.
    pub(super) async fn rest(&mut self, duration: Duration) -> Result<()> {
        let deadline = Instant::now() + duration;
        while let Ok(message) = timeout_at(deadline, self.socket.next()).await {
            self.take(message.ok_or("the WebSocket is closed")??)
                .await?;
        }
        Ok(())
    }

    async fn until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&Self, &Value) -> bool,
    ) -> Result<Value> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let message = timeout_at(deadline, self.socket.next()).await;
            let message = message.map_err(|_| format!("the page is not {what}"))?;
            let message = message.ok_or_else(|| format!("closed before {what}"))??;
            let value = self.take(message).await?;
            if holds(self, &value) {
                return Ok(value);
            }
        }
    }

    /// What a page does about a message by itself.
    async fn take(&mut self, message: Message) -> Result<Value> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(frame) => return Err(format!("turned away: {frame:?}").into()),
            _ => return Ok(Value::Null),
        };
        let message: Value = serde_json::from_str(&text)?;
        match message["type"].as_str() {
            Some("welcome") => {
                self.resume = message["resume"].as_str().map(str::to_owned);
                self.registered = message["registration"]["state"] == "registered";
            }
            Some("registration") => self.registered = message["state"] == "registered",
            Some("media_state") => self.connected = message["state"] == "connected",
            Some("media_offer") => {
                let offer = message["sdp"].as_str().unwrap_or_default().to_owned();
                let (answer, _) = self.field.offer(self.session, offer).await?;
                self.say(json!({"type": "media_answer", "sdp": answer}))
                    .await?;
            }
            _ => {}
        }
        Ok(message)
    }
}
