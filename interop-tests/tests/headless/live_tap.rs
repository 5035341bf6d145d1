//! Consumers that listen to a call while it is spoken, at the real binary.

use std::time::Duration;

use futures_util::StreamExt;
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::tone::Ear;
use interop_tests::wait::DEADLINE;
use interop_tests::{Gateway, Page, Site, TserverSim};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const TOKEN: &str = "a token of the tests";

/// A consumer: both ears, and everything it was told.
#[derive(Debug)]
pub(super) struct Consumer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(super) ears: [Ear; 2],
    told: Vec<Value>,
    frames: usize,
    octets: usize,
}

impl Consumer {
    /// Connects with this token; the HTTP status where that is refused.
    pub(super) async fn connect(gateway: &Gateway, path: &str, token: &str) -> Result<Self, u16> {
        let address = format!("ws://{}{path}", gateway.admin());
        let mut request = address.into_client_request().expect("an address");
        let bearer = format!("Bearer {token}").parse().expect("a header");
        request.headers_mut().insert("authorization", bearer);
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self {
                socket,
                ears: [Ear::default(), Ear::default()],
                told: Vec::new(),
                frames: 0,
                octets: 0,
            }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Listens until `enough`, or to the end; whether it was enough.
    pub(super) async fn until(&mut self, enough: impl Fn(&Self) -> bool) -> bool {
        let listen = async {
            while !enough(self) {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        self.told.push(serde_json::from_str(&text).expect("JSON"));
                    }
                    Some(Ok(Message::Binary(octets))) => self.hear(&octets),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
                    Some(Ok(_)) => {}
                }
            }
            true
        };
        tokio::time::timeout(DEADLINE, listen)
            .await
            .unwrap_or_else(|_| panic!("the consumer was told {:?}", self.told))
    }

    fn hear(&mut self, octets: &[u8]) {
        self.frames += 1;
        self.octets = octets.len();
        for (channel, ear) in self.ears.iter_mut().enumerate() {
            let samples = octets.chunks_exact(4);
            ear.hear(
                samples.map(|both| i16::from_le_bytes([both[2 * channel], both[2 * channel + 1]])),
            );
        }
    }

    fn last_state(&self) -> Option<&str> {
        self.told.last().and_then(|told| told["state"].as_str())
    }
}

/// The caller in one ear, the agent in the other, silence on hold, a mark at each change, and a word at the end.
#[tokio::test]
async fn a_consumer_hears_both_and_is_told_what_happens() {
    let site = Site::new();
    let sim = TserverSim::start(&site).await;
    let gateway = Gateway::start(&site).await;
    let page = Page::sign_in(&gateway, "1002").await;
    let call = sim.customer_calls("0301234567", "1002").await;
    let ringing = page.call_in("ringing").await;
    let path = format!(
        "/api/v1/calls/{}/tap?rate_hz=8000",
        ringing["id"].as_str().unwrap_or_default()
    );
    let early = Consumer::connect(&gateway, &path, "").await;
    assert_eq!(early.err(), Some(409), "nobody has answered");
    sim.operate(&call, "Answer").await;
    page.call_in("talking").await;
    let wrong = path.replace("8000", "11025");
    assert_eq!(
        Consumer::connect(&gateway, &wrong, "").await.err(),
        Some(400)
    );

    let mut consumer = Consumer::connect(&gateway, &path, "")
        .await
        .expect("a place");
    let both = |c: &Consumer| c.ears[0].hears(CUSTOMER_HZ) && c.ears[1].hears(PAGE_HZ);
    assert!(consumer.until(both).await);
    let start = &consumer.told[0];
    assert_eq!(
        (&start["type"], &start["rate_hz"]),
        (&json!("start"), &json!(8_000))
    );
    assert_eq!(
        (&start["dn"], &start["call_uuid"]),
        (&json!("1002"), &json!(call))
    );
    assert_eq!(consumer.octets, 640, "20 ms of two channels of 16 bits");

    sim.operate(&call, "Hold").await;
    assert!(consumer.until(|c| c.last_state() == Some("held")).await);
    assert_eq!(
        consumer.told.last().map(|told| &told["held_by"]),
        Some(&json!("talk_control"))
    );
    assert!(consumer.until(|c| c.ears.iter().all(Ear::silent)).await);
    sim.sees("1002", &call, "Held").await;
    sim.operate(&call, "Retrieve").await;
    assert!(consumer.until(both).await);
    let frames = consumer.frames;
    sim.sees("1002", &call, "Established").await;
    sim.operate(&call, "Hangup").await;
    assert!(!consumer.until(|_| false).await, "the connection ends");
    assert_eq!(consumer.told.last(), Some(&json!({"type": "stop"})));
    assert!(consumer.frames >= frames);
    let at = |told: &Value| told["at_ms"].as_u64();
    let marks: Vec<u64> = consumer.told.iter().filter_map(at).collect();
    assert!(marks.is_sorted() && marks.len() >= 2, "{:?}", consumer.told);
    gateway.metric_is("talkbridge_live_taps", "", 0.0).await;
}

/// Who has no token hears nothing; and a consumer that goes, or does not read, costs the call nothing.
#[tokio::test]
async fn listening_takes_the_token_and_harms_no_call() {
    let site = Site::new();
    let sim = TserverSim::start(&site).await;
    let gateway =
        Gateway::start_with(&site, |config| config["admin"]["token"] = json!(TOKEN)).await;
    let page = Page::sign_in(&gateway, "1002").await;
    let call = sim.customer_calls("0301234567", "1002").await;
    page.call_in("ringing").await;
    sim.operate(&call, "Answer").await;
    page.hears(CUSTOMER_HZ).await;
    let id = page.call()["id"].as_str().unwrap_or_default().to_owned();
    let path = format!("/api/v1/calls/{id}/tap");
    for token in ["", "another token, just as long"] {
        assert_eq!(
            Consumer::connect(&gateway, &path, token).await.err(),
            Some(401)
        );
    }
    let unknown = "/api/v1/calls/c1/tap";
    assert_eq!(
        Consumer::connect(&gateway, unknown, TOKEN).await.err(),
        Some(404)
    );
    let mut places = Vec::new();
    for _ in 0..3 {
        places.push(
            Consumer::connect(&gateway, &path, TOKEN)
                .await
                .expect("a place"),
        );
    }
    assert_eq!(
        Consumer::connect(&gateway, &path, TOKEN).await.err(),
        Some(429)
    );
    let mut last = places.pop().expect("three");
    assert!(last.until(|c| c.frames > 5).await);
    assert_eq!(last.octets, 1_280, "16 kHz unless said");
    drop(places);
    // Their places are free as soon as their ends are noticed.
    let again = async {
        while Consumer::connect(&gateway, &path, TOKEN).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let free = tokio::time::timeout(Duration::from_secs(10), again).await;
    assert!(free.is_ok(), "a place is free");
    sim.customer_hears(&call, PAGE_HZ).await;
    page.hears(CUSTOMER_HZ).await;
}
