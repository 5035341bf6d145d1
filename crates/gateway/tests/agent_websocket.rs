//! What a page may do on its connection before the switchboard hears of it: origin, token, sizes, rates, silence.
// Tokens are judged by the calendar.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use control::{CloseCode, GatewayMessage, PageMessage};
use futures_util::{SinkExt, StreamExt};
use gateway::config::{Auth, TokenAlgorithm, TokenKey};
use gateway::edge::agent_ws::{Front, FrontCounters, Outbox, PageEvent};
use gateway::edge::http;
use gateway::edge::origin::OriginRule;
use gateway::edge::serve::{Bounds, serve};
use gateway::edge::sparing::Sparing;
use gateway::token::{TokenKeys, issue};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const SOON: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The listener, with the test in the place of the control loop.
struct House {
    address: SocketAddr,
    front: Arc<Front>,
    pages: mpsc::Receiver<PageEvent>,
}

fn key() -> TokenKey {
    TokenKey {
        alg: TokenAlgorithm::Hs256,
        kid: None,
        secret: Some(SECRET.into()),
        secret_file: None,
        public_key_file: None,
        issuer: None,
        audience: None,
    }
}

fn token(dn: &str) -> String {
    let now_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    issue(&key(), &SECRET.into(), dn, 60, now_s).unwrap()
}

impl House {
    async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    async fn open_with(change: impl FnOnce(&mut Front)) -> Self {
        let (door, pages) = mpsc::channel(16);
        let keys = TokenKeys::new(&Auth {
            token_keys: vec![key()],
        })
        .unwrap();
        let mut front = Front {
            door,
            keys: RwLock::new(Arc::new(keys)),
            origins: OriginRule {
                allowed: Vec::new(),
                allow_missing: true,
            },
            web_sockets_max: 10,
            messages_per_s: 50,
            counters: FrontCounters::default(),
            token_lines: Sparing::default(),
            origin_lines: Sparing::default(),
            last_page: AtomicU64::new(0),
        };
        change(&mut front);
        let front = Arc::new(front);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounds = Bounds {
            connections: 100,
            per_source: 100,
        };
        let router = http::router(Arc::clone(&front));
        tokio::spawn(serve(listener, None, router, bounds, Arc::default()));
        Self {
            address,
            front,
            pages,
        }
    }

    async fn connect(&self) -> Socket {
        let url = format!("ws://{}/agent/v1", self.address);
        connect_async(url).await.unwrap().0
    }

    async fn next(&mut self) -> PageEvent {
        timeout(SOON, self.pages.recv())
            .await
            .expect("in time")
            .expect("the front lives")
    }

    /// A page that has said hello; the test holds what the control loop would.
    async fn sign_in(&mut self) -> (Socket, Outbox) {
        let mut socket = self.connect().await;
        say(
            &mut socket,
            &json!({"type": "hello", "token": token("1002")}),
        )
        .await;
        match self.next().await {
            PageEvent::SignIn { outbox, .. } => (socket, outbox),
            other => panic!("expected a sign-in, found {other:?}"),
        }
    }
}

async fn say(socket: &mut Socket, message: &Value) {
    socket
        .send(Message::text(message.to_string()))
        .await
        .unwrap();
}

async fn hear(socket: &mut Socket) -> Option<Value> {
    loop {
        match timeout(SOON, socket.next()).await.expect("in time")? {
            Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            _ => return None,
        }
    }
}

/// The code with which the gateway closes, skipping what it says before.
async fn close_code(socket: &mut Socket) -> u16 {
    loop {
        match timeout(SOON, socket.next()).await.expect("in time") {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("expected a close frame, found {other:?}"),
        }
    }
}

async fn upgrade_status(address: SocketAddr, origin: Option<&str>) -> u16 {
    let mut request = format!("ws://{address}/agent/v1")
        .into_client_request()
        .unwrap();
    if let Some(origin) = origin {
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((_, response)) => response.status().as_u16(),
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_foreign_page_is_refused_before_the_upgrade() {
    let house = House::open().await;
    let own = format!("http://{}", house.address);
    assert_eq!(upgrade_status(house.address, Some(&own)).await, 101);
    assert_eq!(upgrade_status(house.address, None).await, 101);
    for foreign in [
        "https://evil.net",
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1.evil.net",
    ] {
        assert_eq!(
            upgrade_status(house.address, Some(foreign)).await,
            403,
            "{foreign}"
        );
    }
    assert_eq!(
        house.front.counters.origin_refused.load(Ordering::Relaxed),
        4
    );
    let strict = House::open_with(|front| front.origins.allow_missing = false).await;
    assert_eq!(upgrade_status(strict.address, None).await, 403);
}

#[tokio::test]
async fn a_good_hello_reaches_the_switchboard_with_the_dn_of_its_token() {
    let mut house = House::open().await;
    let mut socket = house.connect().await;
    let hello =
        json!({"type": "hello", "id": "1", "token": token("1002"), "resume": "again", "future": 1});
    say(&mut socket, &hello).await;
    let PageEvent::SignIn {
        page,
        dn,
        request_id,
        resume,
        outbox,
        ..
    } = house.next().await
    else {
        panic!("expected a sign-in");
    };
    assert_eq!(
        (dn.as_str(), request_id.as_deref(), resume.as_deref()),
        ("1002", Some("1"), Some("again"))
    );
    assert!(outbox.say(GatewayMessage::Ok { id: request_id }));
    assert_eq!(
        hear(&mut socket).await,
        Some(json!({"type": "ok", "id": "1"}))
    );
    say(
        &mut socket,
        &json!({"type": "dial", "id": "2", "number": "+49 221 1234"}),
    )
    .await;
    let PageEvent::Request {
        page: same,
        request,
    } = house.next().await
    else {
        panic!("expected a request");
    };
    assert_eq!(same, page);
    assert!(
        matches!(request.message, PageMessage::Dial { .. }),
        "{request:?}"
    );
    drop(socket);
    assert!(matches!(house.next().await, PageEvent::Closed { page: gone } if gone == page));
}

/// Whether a token that is over still brings a page back is decided where the session is; a page that has none to come back to is refused at the door.
#[tokio::test]
async fn an_expired_token_is_passed_on_with_a_session_to_come_back_to() {
    let mut house = House::open().await;
    let expired = issue(&key(), &SECRET.into(), "1002", 1, 1_000_000).unwrap();
    // A page that is let go says so.
    let mut kept = Vec::new();
    for (token, over) in [(expired, true), (token("1002"), false)] {
        let mut socket = house.connect().await;
        let hello = json!({"type": "hello", "token": token, "resume": "again"});
        say(&mut socket, &hello).await;
        let PageEvent::SignIn {
            dn,
            token_expired,
            outbox,
            ..
        } = house.next().await
        else {
            panic!("expected a sign-in");
        };
        assert_eq!((dn.as_str(), token_expired), ("1002", over));
        kept.push((socket, outbox));
    }
}

#[tokio::test]
async fn tokens_that_are_not_good_close_with_4403() {
    let house = House::open().await;
    let expired = issue(&key(), &SECRET.into(), "1002", 1, 1_000_000).unwrap();
    let unsigned =
        "eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.eyJzdWIiOiIxMDAyIiwiZXhwIjo5OTk5OTk5OTk5fQ.";
    let foreign = issue(
        &key(),
        &"another secret, as long as ours.".into(),
        "1002",
        60,
        9_999_999_999,
    )
    .unwrap();
    for bad in [expired.as_str(), unsigned, foreign.as_str(), "", "token"] {
        let mut socket = house.connect().await;
        say(
            &mut socket,
            &json!({"type": "hello", "id": "1", "token": bad}),
        )
        .await;
        let error = hear(&mut socket).await.expect("an error first");
        assert_eq!(
            (&error["code"], &error["id"]),
            (&json!("not_allowed"), &json!("1")),
            "{error}"
        );
        assert_eq!(close_code(&mut socket).await, 4403, "{bad}");
    }
}

#[tokio::test]
async fn whoever_does_not_say_hello_first_is_closed_with_4401() {
    let house = House::open().await;
    let mut socket = house.connect().await;
    say(&mut socket, &json!({"type": "answer", "call": "c1"})).await;
    assert_eq!(hear(&mut socket).await.unwrap()["code"], "not_signed_in");
    assert_eq!(close_code(&mut socket).await, 4401);
}

#[tokio::test]
async fn whoever_says_nothing_is_closed_with_4408() {
    let house = House::open().await;
    let mut socket = house.connect().await;
    assert_eq!(close_code(&mut socket).await, 4408);
}

#[tokio::test]
async fn nonsense_is_answered_and_binary_closes_with_4400() {
    let mut house = House::open().await;
    let (mut socket, _outbox) = house.sign_in().await;
    say(&mut socket, &json!({"type": "sing", "id": "7"})).await;
    let error = hear(&mut socket).await.unwrap();
    assert_eq!(
        (&error["code"], &error["id"]),
        (&json!("unknown_type"), &json!("7"))
    );
    say(
        &mut socket,
        &json!({"type": "dtmf", "id": "8", "call": "c1", "digits": "12x"}),
    )
    .await;
    assert_eq!(hear(&mut socket).await.unwrap()["id"], "8");
    socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 4400);
    let (mut socket, _outbox) = loop {
        // The first page's end comes in between.
        let mut socket = house.connect().await;
        say(
            &mut socket,
            &json!({"type": "hello", "token": token("1002")}),
        )
        .await;
        if let PageEvent::Closed { .. } = house.next().await
            && let PageEvent::SignIn { outbox, .. } = house.next().await
        {
            break (socket, outbox);
        }
    };
    socket.send(Message::text("{not json")).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 4400);
}

#[tokio::test]
async fn a_message_that_is_too_large_closes_with_4413() {
    let mut house = House::open().await;
    let (mut socket, _outbox) = house.sign_in().await;
    let _ = socket.send(Message::text("x".repeat(64 * 1024 + 1))).await;
    assert_eq!(close_code(&mut socket).await, 4413);
}

/// Whoever has not said who it is must not fill the memory: a good token of the longest kind is heard, and a message that is longer is not read.
#[tokio::test]
async fn little_is_heard_before_hello() {
    let house = House::open().await;
    let mut socket = house.connect().await;
    let hello = json!({"type": "hello", "token": "x".repeat(8 * 1024)});
    say(&mut socket, &hello).await;
    let token_is_bad = 4403;
    assert_eq!(close_code(&mut socket).await, token_is_bad);
    let mut socket = house.connect().await;
    let _ = socket.send(Message::text("x".repeat(20 * 1024))).await;
    assert_eq!(close_code(&mut socket).await, 4413);
}

#[tokio::test]
async fn a_flood_closes_with_4429_pings_included() {
    for flood in [
        Message::text(r#"{"type":"media_restart"}"#),
        Message::Ping(Vec::new().into()),
    ] {
        let mut house = House::open_with(|front| front.messages_per_s = 1).await;
        let (socket, _outbox) = house.sign_in().await;
        let (mut tell, mut listen) = socket.split();
        for _ in 0..50 {
            // The other end may be gone before the last one.
            let _ = tell.send(flood.clone()).await;
        }
        let code = loop {
            match timeout(SOON, listen.next()).await.expect("in time") {
                Some(Ok(Message::Close(Some(frame)))) => break u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("expected a close frame, found {other:?}"),
            }
        };
        assert_eq!(code, 4429);
    }
}

#[tokio::test]
async fn a_page_that_the_control_loop_lets_go_of_is_closed_with_4408() {
    let mut house = House::open().await;
    let (mut socket, outbox) = house.sign_in().await;
    drop(outbox);
    assert_eq!(close_code(&mut socket).await, 4408);
}

#[tokio::test]
async fn the_control_loops_code_is_the_pages() {
    let mut house = House::open().await;
    let (mut socket, outbox) = house.sign_in().await;
    assert!(outbox.say(GatewayMessage::Replaced));
    outbox.close(CloseCode::Replaced);
    assert_eq!(hear(&mut socket).await, Some(json!({"type": "replaced"})));
    assert_eq!(close_code(&mut socket).await, 4409);
}

/// A page that does not read, as that of a laptop about to sleep, has no room for `replaced`: its code says so all the same, or it would come back and
/// take the DN away from the page that the agent works at.
#[tokio::test]
async fn a_page_that_is_replaced_with_its_queue_full_hears_4409() {
    for (last, code) in [
        (GatewayMessage::Replaced, 4409),
        (GatewayMessage::Ok { id: None }, 4408),
    ] {
        let mut house = House::open().await;
        let (mut socket, outbox) = house.sign_in().await;
        // Nothing else runs until the first await: the page's task reads none of them.
        while outbox.say(last.clone()) {}
        assert_eq!(close_code(&mut socket).await, code);
    }
}

#[tokio::test]
async fn one_page_too_many_is_closed_with_4429() {
    let mut house = House::open_with(|front| front.web_sockets_max = 1).await;
    let (_first, _outbox) = house.sign_in().await;
    let mut second = house.connect().await;
    assert_eq!(close_code(&mut second).await, 4429);
}

#[tokio::test]
async fn pages_come_with_a_policy_and_without_surprises() {
    let house = House::open().await;
    let (head, body) = get(house.address, "/agent").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body.contains("<!doctype html>") || body.contains("<!DOCTYPE html>"));
    for line in [
        "content-type: text/html",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "frame-ancestors 'none'",
    ] {
        assert!(head.to_lowercase().contains(line), "{line} in {head}");
    }
    assert!(!head.contains("unsafe-inline"));
    let (head, _) = get(house.address, "/sdk/talkbridge.js").await;
    assert!(head.contains("text/javascript"), "{head}");
    let (head, _) = get(house.address, "/agent/../../Cargo.toml").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

async fn get(address: SocketAddr, path: &str) -> (String, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}
