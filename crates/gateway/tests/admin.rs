//! What the administrators' listener answers, and to whom.
#![allow(clippy::unwrap_used, missing_docs)]

use std::net::SocketAddr;
use std::sync::Arc;

use control::admin::Event;
use control::{EventRecord, ReadyReport};
use gateway::control_loop::Beat;
use gateway::edge::admin::{Desk, router};
use gateway::edge::serve::{Bounds, serve};
use gateway::metrics::{Metrics, Sources};
use gateway::requests::{Asker, Request, Subscription};
use serde_json::{Value, json};
use switchboard::{AdminCommand, AdminRefusal, AdminReply, CallId, Gauges};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};

/// The listener with a control loop that answers from a script.
struct Office {
    address: SocketAddr,
}

impl Office {
    async fn open(token: Option<&str>) -> Self {
        let (queue, requests) = mpsc::channel(16);
        tokio::spawn(play(requests));
        let metrics = Arc::new(Metrics::new(Sources::default()));
        let desk = Desk::new(
            Asker::new(queue),
            metrics,
            Arc::new(Beat::new()),
            token.map(Into::into),
            Arc::default(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounds = Bounds {
            connections: 100,
            per_source: 100,
        };
        tokio::spawn(serve(
            listener,
            None,
            router(Arc::new(desk)),
            bounds,
            Arc::default(),
        ));
        Self { address }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
        let host = format!("Host: {}", self.address);
        let mut lines = vec![
            format!("{method} {path} HTTP/1.1"),
            "Connection: close".to_owned(),
        ];
        if !headers.iter().any(|line| line.starts_with("Host:")) {
            lines.push(host);
        }
        lines.extend(headers.iter().map(|line| (*line).to_owned()));
        lines.push(format!("Content-Length: {}", body.len()));
        let request = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, &[], "").await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = self.ask("POST", path, &[], &body.to_string()).await;
        (status, serde_json::from_str(&text).unwrap())
    }
}

/// Knows one call, `c1`, that is talking; DN 1002 is signed in.
async fn play(mut requests: mpsc::Receiver<Request>) {
    let (events, _) = broadcast::channel(16);
    while let Some(request) = requests.recv().await {
        match request {
            Request::Command(command, reply) => drop(reply.send(obey(&command))),
            Request::Agents(reply) => drop(reply.send(Vec::new())),
            Request::Agent(_, reply) => drop(reply.send(None)),
            Request::Calls(reply) => drop(reply.send(Vec::new())),
            Request::Call(_, reply) => drop(reply.send(None)),
            Request::Gauges(reply) => {
                let gauges = Gauges {
                    dns_registered: 7,
                    dns_missing: 2,
                    ..Gauges::default()
                };
                drop(reply.send((gauges, 3)));
            }
            Request::Ready(reply) => {
                drop(reply.send(ReadyReport {
                    ready: false,
                    checks: Vec::new(),
                }));
            }
            Request::Events(after, reply) => {
                let event = Event::PageAway {
                    dn: "1002".to_owned(),
                };
                let record = Arc::new(EventRecord {
                    seq: after.unwrap_or(0) + 1,
                    at_ms: 5,
                    event,
                });
                let backlog = vec![record];
                drop(reply.send(Subscription {
                    missed: after.map(|_| Event::Missed { events: Some(7) }),
                    backlog,
                    live: events.subscribe(),
                }));
            }
            Request::Drain(reply) => {
                drop(reply.send(control::DrainStatus {
                    draining: true,
                    calls: 1,
                    pages: 1,
                }));
            }
            Request::SipServers(_)
            | Request::Reload(_)
            | Request::CloseTap(_)
            | Request::Reloaded(_)
            | Request::Shutdown => {}
        }
    }
}

fn obey(command: &AdminCommand) -> Result<AdminReply, AdminRefusal> {
    match command {
        AdminCommand::Hold(CallId(1)) => Ok(AdminReply::Accepted),
        AdminCommand::Answer(CallId(1)) => Err(AdminRefusal::WrongState),
        AdminCommand::Dtmf(CallId(1), digits) if digits == "12#" => Ok(AdminReply::Accepted),
        AdminCommand::Dial { dn, number } if dn == "1002" && number == "+4922112345" => {
            Ok(AdminReply::Dialing(CallId(10)))
        }
        AdminCommand::Dial { .. } => Err(AdminRefusal::UnknownDn),
        _ => Err(AdminRefusal::UnknownCall),
    }
}

#[tokio::test]
async fn health_needs_no_token_and_everything_else_does() {
    let office = Office::open(Some("an administrator")).await;
    assert_eq!(office.get("/livez").await.0, 200);
    assert_eq!(
        office.get("/readyz").await,
        (503, r#"{"ready":false,"checks":[]}"#.to_owned())
    );
    let paths = [
        "/metrics",
        "/api/v1/agents",
        "/api/v1/agents/1002",
        "/api/v1/calls",
        "/api/v1/calls/c1",
        "/api/v1/events",
    ];
    for path in paths {
        assert_eq!(office.get(path).await.0, 401, "{path}");
        for wrong in [
            "Bearer an administrato",
            "Bearer an administrator ",
            "Basic an administrator",
            "an administrator",
        ] {
            let header = format!("Authorization: {wrong}x");
            assert_eq!(
                office.ask("GET", path, &[&header], "").await.0,
                401,
                "{wrong}"
            );
        }
    }
    for path in [
        "/api/v1/drain",
        "/api/v1/calls/c1/hold",
        "/api/v1/agents/1002/dial",
    ] {
        assert_eq!(office.ask("POST", path, &[], "{}").await.0, 401, "{path}");
    }
    let token = "Authorization: Bearer an administrator";
    assert_eq!(
        office.ask("GET", "/api/v1/agents", &[token], "").await,
        (200, "[]".to_owned())
    );
    // From anywhere, by any name: the token is the proof.
    let named = "Host: gw.example.com";
    assert_eq!(
        office
            .ask("GET", "/api/v1/agents", &[token, named], "")
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn foreign_pages_cannot_use_an_administrators_browser() {
    let office = Office::open(None).await;
    let evil = ["Origin: https://evil.net"];
    assert_eq!(office.ask("POST", "/api/v1/drain", &evil, "").await.0, 403);
    assert_eq!(
        office.ask("GET", "/metrics", &["Origin: null"], "").await.0,
        403
    );
    // A name of somebody else's that was made to point to loopback.
    assert_eq!(
        office
            .ask("GET", "/metrics", &["Host: evil.net"], "")
            .await
            .0,
        403
    );
    assert_eq!(
        office
            .ask("GET", "/metrics", &["Host: 127.0.0.1.evil.net:80"], "")
            .await
            .0,
        403
    );
    assert_eq!(
        office
            .ask("GET", "/metrics", &["Host: localhost:9090"], "")
            .await
            .0,
        200
    );
    let (status, metrics) = office
        .ask("GET", "/metrics", &["Host: [::1]:9090"], "")
        .await;
    assert_eq!(status, 200);
    for refused in [
        r#"talkbridge_admin_refused_total{reason="origin"} 2"#,
        r#"talkbridge_admin_refused_total{reason="host"} 2"#,
    ] {
        assert!(metrics.contains(refused), "{metrics}");
    }
}

#[tokio::test]
async fn verbs_reach_the_switchboard_and_refusals_have_their_status() {
    let office = Office::open(None).await;
    assert_eq!(
        office.post("/api/v1/calls/c1/hold", &json!({})).await,
        (202, json!({}))
    );
    let dial = json!({"number": "+49 221 12345"});
    assert_eq!(
        office.post("/api/v1/agents/1002/dial", &dial).await,
        (202, json!({"call": "ca"}))
    );
    let cases = [
        ("/api/v1/calls/c1/answer", json!({}), 409, "wrong_state"),
        ("/api/v1/calls/c2/hold", json!({}), 404, "unknown_call"),
        (
            "/api/v1/calls/nonsense/hold",
            json!({}),
            404,
            "unknown_call",
        ),
        (
            "/api/v1/calls/c1/dtmf",
            json!({"digits": "12x"}),
            400,
            "bad_number",
        ),
        ("/api/v1/calls/c1/dtmf", json!({}), 400, "bad_field"),
        ("/api/v1/agents/1003/dial", dial, 404, "unknown_dn"),
        (
            "/api/v1/agents/1002/dial",
            json!({"number": "1\r\nX: y"}),
            400,
            "bad_number",
        ),
        (
            "/api/v1/calls/c1/transfer",
            json!({"to": "1\r\nX: y"}),
            400,
            "bad_number",
        ),
        (
            "/api/v1/calls/c1/transfer",
            json!({"to": "1", "to_call": "c2"}),
            400,
            "bad_field",
        ),
        (
            "/api/v1/calls/c1/transfer",
            json!({"to_call": "nonsense"}),
            404,
            "unknown_call",
        ),
        ("/api/v1/calls/c1/sing", json!({}), 404, "not_supported"),
    ];
    for (path, body, status, code) in cases {
        let (found, error) = office.post(path, &body).await;
        assert_eq!(
            (found, &error["code"]),
            (status, &json!(code)),
            "{path}: {error}"
        );
    }
    assert_eq!(
        office
            .post("/api/v1/calls/c1/dtmf", &json!({"digits": "12#"}))
            .await
            .0,
        202
    );
    let drain = json!({"draining": true, "calls": 1, "pages": 1});
    assert_eq!(office.post("/api/v1/drain", &json!({})).await, (200, drain));
}

#[tokio::test]
async fn metrics_show_the_switchboards_numbers() {
    let office = Office::open(None).await;
    let (status, text) = office.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("\ntalkbridge_dns_registered 7\n"), "{text}");
    assert!(text.contains("\ntalkbridge_dns_missing 2\n"), "{text}");
    assert!(text.contains("\ntalkbridge_sip_connections 3\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn events_are_told_from_where_the_reader_left_off() {
    let office = Office::open(None).await;
    let mut stream = TcpStream::connect(office.address).await.unwrap();
    let head = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\nLast-Event-ID: 41\r\n\r\n",
        office.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut heard = String::new();
    while !heard.contains("page_away") {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.unwrap();
        assert!(length > 0, "{heard}");
        heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    assert!(heard.contains("text/event-stream"), "{heard}");
    let missed = heard.find("event: missed").expect("it is said");
    assert!(heard.contains(r#"{"type":"missed","events":7}"#), "{heard}");
    let next = heard.find("id: 42").expect("the next one");
    assert!(
        missed < next && heard.contains("event: page_away"),
        "{heard}"
    );
}
