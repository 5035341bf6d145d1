//! The running process: sign-in, reload, drain and end, with a SIP Server of two sockets' size on the other side.
// Real processes need real deadlines.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

const SOON: Duration = Duration::from_secs(20);
/// Of Linux: a write that finds no room fails.
const O_NONBLOCK: i32 = 0o4000;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A gateway with one agent, and the socket of its SIP Server.
struct Site {
    child: Child,
    dir: tempfile::TempDir,
    server: UdpSocket,
    gateway: SocketAddr,
    http: SocketAddr,
    admin: SocketAddr,
    config: String,
}

fn free_udp() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn free_tcp() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

impl Site {
    fn open(limits: &str) -> Self {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(SOON)).unwrap();
        let (gateway, rtc, http, admin) = (free_udp(), free_udp(), free_tcp(), free_tcp());
        let config = format!(
            r#"
[sip]
listen = ["udp:{gateway}"]
advertise = "127.0.0.1"
servers = ["{}"]
[webrtc]
listen = "{rtc}"
[media]
address = "127.0.0.1"
ports = "28000-28099"
workers = 1
[http]
listen = "{http}"
[admin]
listen = "{admin}"
[auth]
token_keys = [{{ alg = "HS256", secret = "{SECRET}" }}]
[limits]
{limits}
[log]
level = "trace"
[[agents]]
dn = "1002"
password = "wonderland"
"#,
            server.local_addr().unwrap()
        );
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("site.toml"), &config).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_talkbridge"))
            .args(["run", "--config"])
            .arg(dir.path().join("site.toml"))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let site = Self {
            child,
            dir,
            server,
            gateway,
            http,
            admin,
            config,
        };
        site.until("ready", || site.get("/readyz").starts_with("HTTP/1.1 200"));
        site
    }

    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + SOON;
        while !holds() {
            assert!(Instant::now() < deadline, "not {what}:\n{}", self.log());
            std::thread::yield_now();
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap()
    }

    /// The whole answer of the administrators' listener; empty while nobody listens.
    fn get(&self, path: &str) -> String {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ))
    }

    fn post(&self, path: &str, body: &str) -> String {
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn ask(&self, request: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(self.admin) {
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read_to_string(&mut answer);
        }
        answer
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The next request of this method; others and repetitions are passed over.
    fn request(&self, method: &str) -> String {
        let deadline = Instant::now() + SOON;
        let mut buffer = [0; 65_535];
        loop {
            let length = self
                .server
                .recv(&mut buffer)
                .unwrap_or_else(|_| panic!("no {method}:\n{}", self.log()));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.starts_with(method) {
                return message;
            }
            assert!(Instant::now() < deadline, "no {method}");
        }
    }

    /// Answers a request with its own headers, as SIP Server does.
    fn answer(&self, request: &str, status: &str, more: &str) {
        let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
        let mut response = format!("SIP/2.0 {status}\r\n");
        for line in request
            .lines()
            .filter(|line| copied.contains(&line.split(':').next().unwrap()))
        {
            let tag = if line.starts_with("To:") && !line.contains("tag=") {
                ";tag=srv"
            } else {
                ""
            };
            write!(response, "{line}{tag}\r\n").unwrap();
        }
        write!(response, "{more}Content-Length: 0\r\n\r\n").unwrap();
        self.server
            .send_to(response.as_bytes(), self.gateway)
            .unwrap();
    }

    /// Takes registrations until one of them says `expires`, and grants each.
    fn register(&self, expires: &str) -> String {
        let request = self.request("REGISTER");
        let contact = header(&request, "Contact").to_owned();
        let granted = header(&request, "Expires").to_owned();
        self.answer(
            &request,
            "200 OK",
            &format!("Contact: {contact};expires={granted}\r\n"),
        );
        if granted == expires {
            request
        } else {
            self.register(expires)
        }
    }

    fn invite(&self, call: &str) {
        let own = self.server.local_addr().unwrap();
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 29000 RTP/AVP 0\r\n";
        let message = format!(
            "INVITE sip:1002@{} SIP/2.0\r\nFrom: sip:+4922112345@127.0.0.1;tag=a\r\nTo: sip:1002@127.0.0.1\r\nCall-ID: {call}\r\n\
             CSeq: 1 INVITE\r\nContent-Length: {}\r\nContent-Type: application/sdp\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK-{call}\r\n\
             Contact: <sip:127.0.0.1:{}>\r\nX-Genesys-CallUUID: 00UUID0{call}\r\nMax-Forwards: 70\r\n\r\n{sdp}",
            self.gateway,
            sdp.len(),
            own.port(),
        );
        self.server
            .send_to(message.as_bytes(), self.gateway)
            .unwrap();
    }

    fn sign_in(&self) -> Page {
        self.sign_in_with(&self.token())
    }

    fn sign_in_with(&self, token: &str) -> Page {
        let url = format!("ws://{}/agent/v1", self.http);
        let stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let (socket, _) = tungstenite::client(url, MaybeTlsStream::Plain(stream)).unwrap();
        let mut page = Page { socket };
        page.say(&json!({"type": "hello", "id": "1", "token": token}));
        page
    }

    fn token(&self) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_talkbridge"))
            .args(["token", "--dn", "1002", "--config"])
            .arg(self.file("site.toml"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "still there:\n{}", self.log());
            std::thread::yield_now();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let line = message
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {message}"))
}

struct Page {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
}

impl Page {
    fn say(&mut self, message: &Value) {
        self.socket
            .send(Message::text(message.to_string()))
            .unwrap();
    }

    /// The next message of this type; others are passed over.
    fn hear(&mut self, kind: &str) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["type"] == kind {
                    return message;
                }
            }
        }
    }

    fn close_code(&mut self) -> u16 {
        loop {
            if let Message::Close(Some(frame)) = self.socket.read().unwrap() {
                return frame.code.into();
            }
        }
    }
}

#[test]
fn a_sign_in_registers_and_the_end_unregisters() {
    let mut site = Site::open("");
    let mut page = site.sign_in();
    let request = site.register("1800");
    assert!(
        header(&request, "Contact").contains(&format!("<sip:1002@{}", site.gateway)),
        "{request}"
    );
    let welcome = page.hear("welcome");
    assert_eq!(welcome["agent"]["dn"], "1002");
    site.until("registered", || {
        site.get("/api/v1/agents/1002")
            .contains("\"state\":\"registered\"")
    });
    assert!(
        site.get("/metrics")
            .contains("talkbridge_register_total{code=\"200\"} 1")
    );

    site.signal(Signal::TERM);
    let farewell = site.register("0");
    assert_eq!(header(&farewell, "Call-ID"), header(&request, "Call-ID"));
    assert_eq!(site.exit_code(), Some(0));
    assert_eq!(page.close_code(), 1001);

    let log = site.log();
    let resume = welcome["resume"].as_str().unwrap();
    for secret in ["wonderland", SECRET, resume] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert!(
        log.contains("agent signed in") && log.contains("registered"),
        "{log}"
    );
}

#[test]
fn a_call_rings_and_a_draining_gateway_takes_no_other() {
    let mut site = Site::open("drain_s = 3600");
    let mut page = site.sign_in();
    site.register("1800");
    page.hear("welcome");
    site.invite("one");
    let ringing = site.request("SIP/2.0 180");
    assert!(ringing.contains("Allow-Events: talk, hold"), "{ringing}");
    let call = page.hear("call")["call"].clone();
    assert_eq!(call["call_uuid"], "00UUID0one");
    assert_eq!(call["remote"]["number"], "+4922112345");

    site.signal(Signal::TERM);
    site.until("draining", || {
        site.get("/readyz").starts_with("HTTP/1.1 503")
    });
    site.invite("two");
    site.request("SIP/2.0 503");
    // A drain may take an hour: the file of records is rotated meanwhile, and tokens are changed.
    site.signal(Signal::HUP);
    site.until("read again", || {
        site.log().contains("configuration read again")
    });
    // The first one rings on: only a second signal ends it before its time.
    assert!(site.get("/api/v1/calls").contains("00UUID0one"));
    site.signal(Signal::INT);
    assert_eq!(site.exit_code(), Some(1));
    let log = site.log();
    for words in ["call offered", "call ringing"] {
        let line = log.lines().find(|line| line.contains(words));
        let line = line.unwrap_or_else(|| panic!("{words}: {log}"));
        assert!(
            line.contains("call_uuid=\"00UUID0") && line.contains("dn=1002"),
            "{line}"
        );
    }
}

/// The disk of the call records hangs: the operator who cannot wait for it says so once more, and the process ends.
#[test]
fn a_disk_that_hangs_keeps_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("cdr");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut disk = OpenOptions::new();
    let mut disk = disk
        .read(true)
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(&pipe)
        .unwrap();
    while disk.write(&[b'\n'; 4096]).is_ok() {}
    let mut site = Site::open(&format!("[cdr]\nfile = {pipe:?}"));
    site.invite("one");
    site.request("SIP/2.0 480");
    site.signal(Signal::TERM);
    site.until("ended but for the disk", || {
        site.log().contains("gateway::shutdown: ended")
    });
    site.signal(Signal::TERM);
    assert_eq!(site.exit_code(), Some(1));
    let log = site.log();
    assert!(log.contains("ended at once by a second signal"), "{log}");
}

/// A wallboard comes back after the gateway was started anew: it is told first that it cannot know what it missed, and then what is kept of this run.
#[test]
fn a_subscriber_of_an_earlier_run_is_told_so() {
    let site = Site::open("");
    let mut page = site.sign_in();
    page.hear("welcome");
    let mut stream = TcpStream::connect(site.admin).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let request = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 1024\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut heard = String::new();
    while !heard.contains("signed_in") {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "{heard}");
        heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    let missed = heard.find(r#""events":null"#).expect("it is said");
    assert!(missed < heard.find("signed_in").unwrap(), "{heard}");
}

/// Whoever guesses tokens is found by the address in the log; the token is not in it.
#[test]
fn a_bad_token_is_logged_with_its_sender() {
    let site = Site::open("");
    let guess = site.token().replace('.', ".x");
    assert_eq!(site.sign_in_with(&guess).close_code(), 4403);
    let said = || {
        let log = site.log();
        let mut lines = log.lines().map(str::to_owned);
        lines.find(|line| line.contains("bad token"))
    };
    site.until("said", || said().is_some());
    let line = said().unwrap();
    assert!(line.contains("remote=127.0.0.1:"), "{line}");
    assert!(!site.log().contains(&guess));
    // Whoever goes on guessing does not fill the disk.
    for _ in 0..20 {
        assert_eq!(site.sign_in_with(&guess).close_code(), 4403);
    }
    let log = site.log();
    let lines = log.lines().filter(|line| line.contains("bad token"));
    assert!(lines.count() <= 2, "{log}");
}

/// Agents behind a proxy, a page of a portal that was forgotten, one dashboard too many: each hears a bare refusal, and the log says who it was and which key is meant.
#[test]
fn whoever_finds_no_place_is_named_with_the_key() {
    let site = Site::open("http_connections_per_source = 2");
    let head = |address: SocketAddr, request: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        let _ = stream.write_all(request.as_bytes());
        let mut head = vec![0; 12];
        let whole = stream.read_exact(&mut head).is_ok();
        let head = String::from_utf8(head).unwrap();
        (stream, if whole { head } else { String::new() })
    };
    let page = "GET /agent HTTP/1.1\r\nHost: desk\r\n\r\n";
    let inside = [head(site.http, page), head(site.http, page)];
    assert!(inside.iter().all(|(_, head)| head == "HTTP/1.1 200"));
    assert_eq!(head(site.http, page).1, "");
    drop(inside);
    let foreign = "GET /agent/v1 HTTP/1.1\r\nHost: desk:8443\r\nOrigin: https://portal.example.com\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    site.until("refused", || head(site.http, foreign).1 == "HTTP/1.1 403");
    let events = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut heads: Vec<_> = (0..17).map(|_| head(site.admin, events)).collect();
    assert_eq!(heads.pop().unwrap().1, "HTTP/1.1 429");
    assert!(heads.iter().all(|(_, head)| head == "HTTP/1.1 200"));
    for parts in [
        ["a connection is refused", "http_connections_per_source"],
        [
            "a page of a foreign origin",
            "origin=\"https://portal.example.com\" host=\"desk:8443\"",
        ],
        ["a subscriber of the events is refused", "remote=127.0.0.1:"],
    ] {
        let is_said = |line: &str| parts.iter().all(|part| line.contains(part));
        site.until(parts[0], || site.log().lines().any(is_said));
    }
}

/// A call that was hung up from the administrators' interface: the log says which, whose it was and from where, and who tried without being let in.
#[test]
fn an_administrators_command_is_logged_with_its_call_and_its_sender() {
    let site = Site::open("");
    let mut page = site.sign_in();
    page.hear("welcome");
    site.invite("one");
    let call = page.hear("call")["call"]["id"].clone();
    let path = format!("/api/v1/calls/{}/hangup", call.as_str().unwrap());
    assert!(site.post(&path, "").starts_with("HTTP/1.1 202"));
    site.ask("GET /metrics HTTP/1.1\r\nHost: evil.net\r\nConnection: close\r\n\r\n");
    site.until("said", || {
        site.log().contains("administrator's request refused")
    });
    let log = site.log();
    let line = |what: &str| {
        log.lines()
            .find(|line| line.contains(what))
            .unwrap_or_default()
    };
    let command = line("administrator's command");
    for part in ["hangup", "00UUID0one", "dn=\"1002\"", "remote=127.0.0.1:"] {
        assert!(command.contains(part), "{part}: {command}");
    }
    let refused = line("administrator's request refused");
    for part in ["WARN", "reason=\"host\"", "remote=127.0.0.1:"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
}

/// Whom an administrator dials, and the digits of somebody's card, are nobody's business but the call's.
#[test]
fn an_administrators_command_leaves_no_digits_in_the_log() {
    let site = Site::open("");
    let mut page = site.sign_in();
    page.hear("welcome");
    let dialled = site.post("/api/v1/agents/1002/dial", r#"{"number":"+4915155512"}"#);
    // This page never answers the media offer.
    assert!(dialled.contains("media_not_ready"), "{dialled}");
    site.post(
        "/api/v1/calls/c731b1e5400002/dtmf",
        r#"{"digits":"4111777"}"#,
    );
    site.until("said", || site.log().contains("verb=\"dtmf\""));
    // The site logs at TRACE, where numbers may be; what an operator has is INFO.
    let log = site.log();
    for line in log.lines().filter(|line| line.contains(" INFO ")) {
        let tells = line.contains("5155512") || line.contains("4111777");
        assert!(!tells, "{line}");
    }
}

#[test]
fn a_reload_brings_agents_and_a_bad_file_changes_nothing() {
    let site = Site::open("");
    let more = format!("{}\n[[agents]]\ndn = \"1003\"\n", site.config);
    std::fs::write(site.file("site.toml"), &more).unwrap();
    site.signal(Signal::HUP);
    site.until("reloaded", || {
        site.get("/api/v1/agents/1003").starts_with("HTTP/1.1 200")
    });

    std::fs::write(site.file("site.toml"), more.replace("[sip]", "[sipp]")).unwrap();
    site.signal(Signal::HUP);
    let failed = "talkbridge_config_reload_total{result=\"failed\"} 1";
    site.until("refused", || site.get("/metrics").contains(failed));
    let why = "site.toml:2: unknown field `sipp`";
    site.until("said", || site.log().contains(why));
    assert!(site.get("/api/v1/agents/1003").starts_with("HTTP/1.1 200"));

    std::fs::write(
        site.file("site.toml"),
        site.config.replace("28099", "28199"),
    )
    .unwrap();
    site.signal(Signal::HUP);
    site.until("gone", || {
        site.get("/api/v1/agents/1003").starts_with("HTTP/1.1 404")
    });
    site.until("told", || {
        site.log()
            .contains("these sections change with a restart only")
    });
    assert!(
        site.log().contains("sections=\"[media]\""),
        "{}",
        site.log()
    );
}

#[test]
fn a_stranger_hears_nothing_and_is_counted() {
    let site = Site::open("");
    let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
    stranger
        .send_to(b"OPTIONS sip:1002@127.0.0.1 SIP/2.0\r\n\r\n", site.gateway)
        .unwrap();
    let counted = "talkbridge_sip_refused_total{reason=\"source\"} 1";
    site.until("counted", || site.get("/metrics").contains(counted));
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.recv(&mut [0; 100]).is_err());
}
