//! Consumers that listen to a call while it is spoken, at the real binary.

use std::time::Duration;

use futures_util::StreamExt;
use interop_tests::attack::SipPeer;
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::load::vitals::resident_kib;
use interop_tests::tone::Ear;
use interop_tests::wait::DEADLINE;
use interop_tests::{Desk, Gateway, Page, Site, TserverSim, eventually_async};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async};

const TOKEN: &str = "a token of the tests";

/// A consumer: both ears, and everything it was told.
#[derive(Debug)]
pub(super) struct Consumer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(super) ears: [Ear; 2],
    told: Vec<Value>,
    /// Milliseconds of samples that had come before each of those.
    told_at_ms: Vec<u64>,
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
            Ok((socket, _)) => Ok(Self::on(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects without a token, and takes only so many octets that it has not read.
    async fn connect_with_room_for(octets: u32, gateway: &Gateway, path: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let set = socket.set_recv_buffer_size(octets);
        set.expect("a size that the kernel knows");
        let stream = socket.connect(gateway.admin()).await.expect("it listens");
        let address = format!("ws://{}{path}", gateway.admin());
        let connected = client_async(address, MaybeTlsStream::Plain(stream)).await;
        let (socket, _) = connected.expect("a place");
        Self::on(socket)
    }

    fn on(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        Self {
            socket,
            ears: [Ear::default(), Ear::default()],
            told: Vec::new(),
            told_at_ms: Vec::new(),
            frames: 0,
            octets: 0,
        }
    }

    /// Listens until `enough`, or to the end; whether it was enough.
    pub(super) async fn until(&mut self, enough: impl Fn(&Self) -> bool) -> bool {
        let listen = async {
            while !enough(self) {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        self.told.push(serde_json::from_str(&text).expect("JSON"));
                        self.told_at_ms.push(20 * self.frames as u64);
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
        // An ear hears 8,000 samples a second: of 16,000 every other one, which is good enough for tones below 2 kHz.
        let step = octets.len() / 640;
        for (channel, ear) in self.ears.iter_mut().enumerate() {
            let samples = octets.chunks_exact(4).step_by(step.max(1));
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

    // A card number is kept from whoever listens, also where nothing is recorded.
    let record = path.replace("tap?rate_hz=8000", "record");
    let asked = |action: &str| json!({ "action": action });
    assert_eq!(gateway.post(&record, &asked("pause")).await.status, 202);
    assert!(consumer.until(|c| c.ears.iter().all(Ear::silent)).await);
    assert_eq!(gateway.post(&record, &asked("resume")).await.status, 202);
    assert!(consumer.until(both).await);

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
    let both = |c: &Consumer| c.ears[0].hears(CUSTOMER_HZ) && c.ears[1].hears(PAGE_HZ);
    assert!(last.until(both).await);
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

/// A consumer that stops reading costs the call nothing, and the gateway two seconds of memory. When it reads again it knows how much it has missed and
/// where in that the call was held. One that reads no more is let go.
#[tokio::test]
async fn a_consumer_that_does_not_read_is_told_what_it_missed() {
    const DROPPED: &str = "talkbridge_live_tap_dropped_frames_total";
    const ROOM: u32 = 16 * 1_024;
    let mut desk = Desk::start().await;
    let pid = desk.gateway.process().pid().expect("it runs");
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.talks("1002", desk.customer.address()).await;
    desk.both_hear().await;
    let id = desk.page.call()["id"].clone();
    let path = format!(
        "/api/v1/calls/{}/tap?rate_hz=8000",
        id.as_str().unwrap_or_default()
    );
    let mut slow = Consumer::connect_with_room_for(ROOM, &desk.gateway, &path).await;
    assert!(slow.until(|c| c.frames > 5).await);
    let gone = Consumer::connect_with_room_for(ROOM, &desk.gateway, &path).await;
    let before_kib = resident_kib(pid).expect("it runs");

    let dropped_more = async |frames: f64| {
        let until = desk.gateway.metric(DROPPED, "").await + frames;
        eventually_async("frames are dropped", || async {
            (desk.gateway.metric(DROPPED, "").await >= until).then_some(())
        })
        .await;
    };
    // Of both consumers: a second.
    dropped_more(100.0).await;
    desk.both_hear().await;
    let hold = call.request("NOTIFY", "Event: hold\n", "");
    assert_eq!(server.asks(&hold).await, 200);
    desk.page.call_in("held").await;
    // More than may wait: what was said around the hold has been dropped.
    dropped_more(240.0).await;
    let talk = call.request("NOTIFY", "Event: talk\n", "");
    assert_eq!(server.asks(&talk).await, 200);
    desk.both_hear().await;
    let grown_kib = resident_kib(pid)
        .expect("it runs")
        .saturating_sub(before_kib);
    assert!(grown_kib < 8 * 1_024, "{grown_kib} KiB");

    let retrieved = |c: &Consumer| c.told.len() > 1 && c.last_state() == Some("talking");
    assert!(slow.until(retrieved).await);
    let hears = |c: &Consumer| c.ears[0].hears(CUSTOMER_HZ) && c.ears[1].hears(PAGE_HZ);
    assert!(slow.until(hears).await);
    let (mut missed_ms, mut held_ms, mut talks_ms) = (0, None, None);
    for (told, heard_ms) in slow.told[1..].iter().zip(&slow.told_at_ms[1..]) {
        let at_ms = told["at_ms"].as_u64();
        assert_eq!(at_ms, Some(heard_ms + missed_ms), "{:?}", slow.told);
        missed_ms += told["ms"].as_u64().unwrap_or(0);
        match told["state"].as_str() {
            Some("held") => held_ms = at_ms,
            Some("talking") if held_ms.is_some() => talks_ms = at_ms,
            _ => {}
        }
    }
    let held_for_ms = talks_ms.zip(held_ms).map(|(talks, held)| talks - held);
    assert!(held_for_ms >= Some(2_000), "{:?}", slow.told);
    assert!(missed_ms >= 3_000, "{:?}", slow.told);

    desk.gateway
        .metric_is("talkbridge_live_taps", "", 1.0)
        .await;
    drop(gone);
    desk.both_hear().await;
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    assert!(!slow.until(|_| false).await, "the connection ends");
    assert_eq!(slow.told.last(), Some(&json!({"type": "stop"})));
    desk.ended("remote_hangup").await;
}
