//! Janus's API: JSON over a WebSocket, here that of a Unix socket.
//!
//! One session holds all calls, as an application server keeps it; a call is a handle of the NoSIP plugin.

use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::Result;

/// From a request to what comes of it; also from its start until it listens, while it makes a certificate.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Between two looks whether it listens.
const PERIOD: Duration = Duration::from_millis(20);

const PLUGIN: &str = "janus.plugin.nosip";

/// A client with a session of its own.
pub(super) struct Api {
    socket: WebSocketStream<UnixStream>,
    session: u64,
    transactions: u64,
}

/// A call in the NoSIP plugin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handle(u64);

impl Api {
    /// A client of the Janus that listens, or will soon, at `path`.
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let connecting = async {
            loop {
                match UnixStream::connect(path).await {
                    Ok(stream) => return stream,
                    Err(_) => tokio::time::sleep(PERIOD).await,
                }
            }
        };
        let stream = tokio::time::timeout(ANSWER_MAX, connecting)
            .await
            .map_err(|_| format!("Janus does not listen after {ANSWER_MAX:?}"))?;
        let mut request = "ws://janus/".into_client_request()?;
        let protocol = HeaderValue::from_static("janus-protocol");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let (socket, _) = client_async(request, stream).await?;
        let mut api = Self {
            socket,
            session: 0,
            transactions: 0,
        };
        api.session = id(&api.request(json!({"janus": "create"})).await?)?;
        Ok(api)
    }

    /// A call, with nothing known of it yet.
    pub(super) async fn attach(&mut self) -> Result<Handle> {
        let attach = json!({"janus": "attach", "session_id": self.session, "plugin": PLUGIN});
        Ok(Handle(id(&self.request(attach).await?)?))
    }

    /// Gives a call the caller's offer. Yields the offer for the page.
    pub(super) async fn process(&mut self, call: Handle, offer: &str) -> Result<String> {
        let process = json!({
            "janus": "message",
            "session_id": self.session,
            "handle_id": call.0,
            "body": {"request": "process", "type": "offer", "sdp": offer},
        });
        let event = self.request(process).await?;
        text(&event, "/jsep/sdp")
    }

    /// Gives a call the page's answer, candidates included. Yields the answer for the caller.
    pub(super) async fn generate(&mut self, call: Handle, answer: &str) -> Result<String> {
        let generate = json!({
            "janus": "message",
            "session_id": self.session,
            "handle_id": call.0,
            "body": {"request": "generate"},
            "jsep": {"type": "answer", "sdp": answer, "trickle": false},
        });
        let event = self.request(generate).await?;
        text(&event, "/plugindata/data/result/sdp")
    }

    /// Sends a request and yields what comes of it: its success, or the event of the plugin that an
    /// acknowledgement only promises.
    async fn request(&mut self, mut request: Value) -> Result<Value> {
        self.transactions += 1;
        let transaction = self.transactions.to_string();
        request["transaction"] = json!(transaction);
        let outcome = async {
            self.socket.send(Message::text(request.to_string())).await?;
            // What Janus tells of other calls meanwhile (connected, media come) is of no interest: the pages know it.
            while let Some(message) = self.socket.next().await {
                let Message::Text(text) = message? else {
                    continue;
                };
                let told: Value = serde_json::from_str(&text)?;
                if told["transaction"] == *transaction && told["janus"] != "ack" {
                    return Ok(told);
                }
            }
            Err("Janus has closed its WebSocket".into())
        };
        let outcome: Result<Value> = tokio::time::timeout(ANSWER_MAX, outcome)
            .await
            .map_err(|_| format!("Janus says nothing for {ANSWER_MAX:?} to {request}"))?;
        let told = outcome?;
        match told["janus"].as_str() {
            Some("success" | "event") => Ok(told),
            _ => Err(format!("Janus refuses {request}: {told}").into()),
        }
    }
}

/// The number of what was made.
fn id(success: &Value) -> Result<u64> {
    success["data"]["id"]
        .as_u64()
        .ok_or_else(|| format!("no id in {success}").into())
}

/// A string in an event; where the plugin could not do what was asked, there is an error in its place.
fn text(event: &Value, pointer: &str) -> Result<String> {
    let text = event.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| format!("no {pointer} in {event}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_and_an_error_is_shown() {
        let event = json!({"janus": "event", "plugindata": {"data": {"result": {"sdp": "v=0"}}}});
        let pointer = "/plugindata/data/result/sdp";
        assert_eq!(text(&event, pointer).unwrap(), "v=0");
        let error = json!({"plugindata": {"data": {"error_code": 445, "error": "Missing SDP"}}});
        let shown = text(&error, pointer).unwrap_err().to_string();
        assert!(shown.contains("Missing SDP"), "{shown}");
        assert_eq!(id(&json!({"data": {"id": 7}})).unwrap(), 7);
        assert!(id(&json!({})).is_err());
    }
}
