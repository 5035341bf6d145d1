//! Agents sign in over the agent WebSocket, as the page's own code does.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::dn;
use super::field::Orders;
use crate::{Gateway, Result};

/// Agents that sign in at the same time: each handshake is work on both sides, and a queue of them
/// would run into the deadlines of the first.
const AT_ONCE: usize = 16;

/// From the WebSocket to a warm leg and a registered DN.
const SIGN_IN_MAX: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Signed-in agents; each keeps its WebSocket read. They are gone on drop.
#[derive(Debug, Default)]
pub struct Agents {
    keepers: Vec<JoinHandle<()>>,
}

impl Agents {
    /// Signs the agents of some sessions in.
    ///
    /// # Errors
    /// When one of them is not registered and connected in time.
    pub async fn sign_in(
        &mut self,
        gateway: SocketAddr,
        sessions: Range<usize>,
        field: &Orders,
    ) -> Result<()> {
        let mut running = JoinSet::new();
        let mut waiting = sessions;
        loop {
            while running.len() < AT_ONCE
                && let Some(session) = waiting.next()
            {
                let field = field.clone();
                running.spawn(async move {
                    let signing_in = sign_in(gateway, session, field);
                    let signed_in = tokio::time::timeout(SIGN_IN_MAX, signing_in).await;
                    signed_in.unwrap_or_else(|_| {
                        Err(
                            format!("agent {session} is not signed in after {SIGN_IN_MAX:?}")
                                .into(),
                        )
                    })
                });
            }
            let Some(done) = running.join_next().await else {
                return Ok(());
            };
            self.keepers.push(tokio::spawn(keep(done??)));
        }
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        for keeper in &self.keepers {
            keeper.abort();
        }
    }
}

/// Whether the gateway has turned an agent away because it has too much to do: close code 4429.
pub(super) fn is_refused(error: &(dyn std::error::Error + Send + Sync)) -> bool {
    error.to_string().contains("Library(4429)")
}

/// Returns when the leg is warm in the eyes of both sides and the DN is registered.
async fn sign_in(gateway: SocketAddr, session: usize, field: Orders) -> Result<Socket> {
    let (mut socket, _) = connect_async(format!("ws://{gateway}/agent/v1")).await?;
    let hello = json!({
        "type": "hello",
        "token": Gateway::token(&dn(session)),
        "client": {"name": "load", "version": env!("CARGO_PKG_VERSION")},
    });
    socket.send(Message::text(hello.to_string())).await?;
    let (mut registered, mut connected, mut connection) = (false, false, None);
    while !(registered && connected) {
        let message = match socket.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str::<Value>(&text)?,
            Some(Ok(Message::Close(frame))) => {
                return Err(format!("agent {session} is turned away: {frame:?}").into());
            }
            Some(other) => {
                other?;
                continue;
            }
            None => return Err(format!("agent {session} lost its WebSocket").into()),
        };
        match message["type"].as_str() {
            Some("media_offer") => {
                let offer = message["sdp"].as_str().unwrap_or_default().to_owned();
                let (answer, waits) = field.offer(session, offer).await?;
                connection = Some(waits);
                let answer = json!({"type": "media_answer", "sdp": answer});
                socket.send(Message::text(answer.to_string())).await?;
            }
            Some("media_state") => connected = message["state"] == "connected",
            Some("registration") => registered = message["state"] == "registered",
            Some("welcome") => registered = message["registration"]["state"] == "registered",
            _ => {}
        }
    }
    connection.ok_or("connected without an offer")?.await?;
    Ok(socket)
}

/// Reads what the gateway says and answers its pings, until the socket is closed.
async fn keep(mut socket: Socket) {
    while let Some(Ok(_)) = socket.next().await {}
}
