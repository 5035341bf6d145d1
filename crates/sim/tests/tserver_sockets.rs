//! The program itself: sockets, HTTP, and customers that can be heard.

#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)]

mod bench;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bench::{answer, field, register};
use serde_json::{Value, json};
use sim::audio::{Speech, Voice};

/// Nothing here takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

struct Program {
    child: Child,
    sip: SocketAddr,
    http: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(extra: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tserver-sim"))
            .args(["--listen", "udp:127.0.0.1:0", "--listen", "tcp:127.0.0.1:0"])
            .args(["--http", "127.0.0.1:0", "--dn", "1002"])
            .args(extra)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let address = |key: &str| ready[key].as_str().unwrap().trim_start_matches("http://");
        Self {
            sip: address("sip_udp").parse().unwrap(),
            http: address("http").parse().unwrap(),
            child,
        }
    }

    fn http(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = body.map(Value::to_string).unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.http("GET", path, None);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, text) = self.http("POST", path, Some(body));
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> String {
    let mut buffer = [0; 65_536];
    let (length, _) = socket.recv_from(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

/// The next message that begins like this; repetitions of others pass by.
fn expect(socket: &UdpSocket, start: &str) -> String {
    loop {
        let text = receive(socket);
        if text.starts_with(start) {
            return text;
        }
    }
}

fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    )
}

#[test]
fn both_ends_hear_each_other() {
    let program = Program::start(&[]);
    let (sip, rtp) = (socket(), socket());
    sip.connect(program.sip).unwrap();
    let at = sip.local_addr().unwrap().to_string();
    let send = |text: &str| sip.send(text.as_bytes()).map(|_| ()).unwrap();
    send(&register("1002", &at, "r", 600));
    expect(&sip, "SIP/2.0 200 ");
    assert_eq!(
        program.get("/sim/registrations")["registrations"][0]["dn"],
        "1002"
    );

    let call = program.post("/sim/calls", &json!({"to": "1002", "tone_hz": 440}));
    let id = call["id"].as_str().unwrap().to_owned();
    let invite = expect(&sip, "INVITE ");
    assert_eq!(field(&invite, "X-Genesys-CallUUID"), id);
    send(&answer(&at, &invite, "180 Ringing", None));
    let operation = |name: &str| {
        let path = format!("/api/v2/me/calls/{id}");
        program.post(&path, &json!({ "operationName": name }))
    };
    while program.get("/api/v2/me/calls?dn=1002")["calls"][0]["state"] != "Ringing" {}
    assert_eq!(operation("Answer")["statusCode"], 0);
    let notify = expect(&sip, "NOTIFY ");
    let description = sdp(rtp.local_addr().unwrap().port());
    send(&answer(&at, &notify, "200 OK", None));
    send(&answer(&at, &invite, "200 OK", Some(&description)));
    expect(&sip, "ACK ");
    let again = expect(&sip, "INVITE ");
    send(&answer(&at, &again, "200 OK", Some(&description)));
    expect(&sip, "ACK ");

    let mut agent = Voice::new(Speech::Tone { hz: 660 }, &[], 7);
    let mut buffer = [0; 2048];
    for _ in 0..60 {
        // The customer's packets, one each 20 ms, set the pace.
        let (length, customer) = rtp.recv_from(&mut buffer).unwrap();
        agent.hear(&buffer[..length], Some(101));
        rtp.send_to(&agent.speak(8), customer).unwrap();
    }
    let near = |value: &Value, hz: u64| value.as_u64().is_some_and(|v| v.abs_diff(hz) <= 2);
    let heard = agent.heard();
    assert!(near(&json!(heard.hz), 440), "{heard:?}");
    let report = program.get(&format!("/sim/calls/{id}"));
    assert!(near(&report["heard_hz"], 660), "{report}");
    assert!(report["packets"].as_u64().unwrap() >= 50);
    assert_eq!(report["parties"][1]["state"], "Established");

    operation("Hangup");
    let bye = expect(&sip, "BYE ");
    send(&answer(&at, &bye, "200 OK", None));
    assert_eq!(program.get(&format!("/sim/calls/{id}"))["ended"], true);
    let trace = program.get("/sim/trace?contains=Event:%20talk");
    assert_eq!(trace["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn a_tcp_endpoint_is_called_over_its_connection_and_called_back_after_it_broke() {
    let program = Program::start(&["--seed", "1"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let mut stream = TcpStream::connect(program.sip).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let text = register("1002", &at, "r", 600)
        .replace("SIP/2.0/UDP", "SIP/2.0/TCP")
        .replace(
            &format!("{at}>\r\nExpires"),
            &format!("{at};transport=tcp>\r\nExpires"),
        );
    stream.write_all(text.as_bytes()).unwrap();
    assert!(read_message(&mut stream).starts_with("SIP/2.0 200 "));
    let call = program.post("/sim/calls", &json!({"to": "1002"}));
    let invite = read_message(&mut stream);
    assert!(invite.starts_with(&format!("INVITE sip:1002@{at};transport=tcp ")));
    assert!(field(&invite, "Via").starts_with("SIP/2.0/TCP "));
    assert!(field(&invite, "Contact").ends_with(";transport=tcp>"));
    let busy = answer(&at, &invite, "486 Busy Here", None);
    stream.write_all(busy.as_bytes()).unwrap();
    assert!(read_message(&mut stream).starts_with("ACK "));
    let id = call["id"].as_str().unwrap();
    assert_eq!(program.get(&format!("/sim/calls/{id}"))["ended"], true);
    drop(stream);
    // SIP Server opens a connection to the registered contact.
    let called = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        read_message(&mut stream)
    });
    // Until the loss is noticed a call may still go to the dead connection.
    while !called.is_finished() {
        let (status, _) = program.http("POST", "/sim/calls", Some(&json!({"to": "1002"})));
        assert!(status == 200 || status == 500);
        program.post("/sim/faults", &json!({}));
    }
    assert!(called.join().unwrap().starts_with("INVITE sip:1002@"));
}

fn read_message(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let mut body = vec![0; field(&head, "Content-Length").parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

#[test]
fn events_arrive_and_errors_are_told_in_the_desktops_words() {
    let program = Program::start(&[]);
    let mut events = TcpStream::connect(program.http).unwrap();
    events.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(events, "GET /api/v2/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut events = BufReader::new(events).lines();
    while !events.next().unwrap().unwrap().is_empty() {}
    let sip = socket();
    sip.connect(program.sip).unwrap();
    let at = sip.local_addr().unwrap().to_string();
    sip.send(register("1002", &at, "r", 600).as_bytes())
        .unwrap();
    let mut next = || loop {
        let line = events.next().unwrap().unwrap();
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str::<Value>(data).unwrap();
        }
    };
    let device = next();
    assert_eq!(device["messageType"], "DeviceStateChangeMessage");
    assert_eq!(device["devices"][0]["deviceState"], "Active");
    program.post("/sim/calls", &json!({"to": "1002", "from": "0301234567"}));
    let invite = expect(&sip, "INVITE ");
    sip.send(answer(&at, &invite, "180 Ringing", None).as_bytes())
        .unwrap();
    let ringing = next();
    assert_eq!(ringing["notificationType"], "StatusChange");
    assert_eq!(ringing["phoneNumber"], "1002");
    let call = &ringing["call"];
    assert_eq!(call["state"], "Ringing");
    assert_eq!(call["capabilities"], json!(["Answer"]));
    assert_eq!(call["participants"][0]["phoneNumber"], "0301234567");
    assert_eq!(call["callUuid"], field(&invite, "X-Genesys-CallUUID"));

    let (status, body) = program.http("POST", "/sim/calls", Some(&json!({"to": "5001"})));
    assert_eq!(status, 404, "{body}");
    let path = format!("/api/v2/me/calls/{}", call["id"].as_str().unwrap());
    for (operation, expected) in [("Hold", 409), ("Sing", 400), ("SendDtmf", 400)] {
        let (status, _) = program.http("POST", &path, Some(&json!({"operationName": operation})));
        assert_eq!(status, expected, "{operation}");
    }
    let (status, body) = program.http(
        "POST",
        "/api/v2/me/devices/1999/calls",
        Some(&json!({"operationName": "Dial", "destination": {"phoneNumber": "1"}})),
    );
    assert_eq!(status, 404, "{body}");
    let (status, page) = program.http("GET", "/desk", None);
    assert!(status == 200 && page.contains("id=\"customer-calls\""));
}
