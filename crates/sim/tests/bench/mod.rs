//! A machine, a virtual clock and scripted endpoints that speak in bytes.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::missing_panics_doc
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sim::tserver::{
    CallUuid, Config, Control, CustomerMedia, DnConfig, Event, EventKind, Input, Output, Request,
    RequestError, Source, TServer, Transmit, TrunkCall,
};

/// The registered endpoints of these stories.
pub const A: &str = "198.51.100.3:5060";
pub const B: &str = "198.51.100.54:5061";

/// The description of the traced Softphone, port 8000.
pub const OFFER: &str = "v=0\r\no=Genesys 1 1 IN IP4 198.51.100.3\r\ns=GSept-9.0.022.05\r\n\
    c=IN IP4 198.51.100.3\r\nt=0 0\r\nm=audio 8000 RTP/AVP 0 8 101\r\na=rtpmap:0 pcmu/8000\r\n\
    a=rtpmap:8 pcma/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";

/// Its answer.
pub const ANSWER: &str = "v=0\r\no=Genesys 1 1 IN IP4 198.51.100.3\r\ns=GSept-9.0.022.05\r\n\
    c=IN IP4 198.51.100.3\r\nt=0 0\r\nm=audio 8000 RTP/AVP 0 101\r\na=rtpmap:0 pcmu/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";

pub fn config() -> Config {
    let mut config = Config::new(addr("192.0.2.81:5060"))
        .with_dn("1002")
        .with_dn("1003");
    config.customer_media = vec![addr("192.0.2.90:20000"), addr("192.0.2.90:20002")];
    config
}

/// The same, with DN 1002 changed.
pub fn config_with(change: impl FnOnce(&mut DnConfig)) -> Config {
    let mut config = config();
    change(config.dns.get_mut("1002").unwrap());
    config
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub struct Bench {
    pub server: TServer,
    pub start: Instant,
    pub now: Instant,
    /// What was sent and not looked at yet, with the time in ms.
    pub sent: Vec<(u128, Transmit)>,
    pub events: Vec<Event>,
    pub media: Vec<CustomerMedia>,
    /// Ports of the Media Server.
    pub bridges: Vec<CustomerMedia>,
    /// Calls that the peer site is to take.
    pub trunk: Vec<TrunkCall>,
    branches: u32,
}

impl Bench {
    #[allow(clippy::disallowed_methods)]
    pub fn new(config: Config) -> Self {
        let now = Instant::now();
        Self {
            server: TServer::new(config, [42; 32], now),
            start: now,
            now,
            sent: Vec::new(),
            events: Vec::new(),
            media: Vec::new(),
            bridges: Vec::new(),
            trunk: Vec::new(),
            branches: 0,
        }
    }

    /// With DN 1002 at [`A`] and 1003 at [`B`].
    pub fn registered(config: Config) -> Self {
        let mut bench = Self::new(config);
        bench.register("1002", A, 1800);
        bench.register("1003", B, 1800);
        bench.sent.clear();
        bench.events.clear();
        bench
    }

    pub fn register(&mut self, dn: &str, at: &str, expires_s: u32) {
        let text = register(dn, at, &format!("reg-{dn}"), expires_s);
        self.put(at, &text);
    }

    pub fn put(&mut self, from: &str, text: &str) {
        let input = Input::Received {
            source: Source::udp(addr(from)),
            bytes: text.as_bytes().to_vec(),
        };
        self.input(input);
    }

    pub fn input(&mut self, input: Input) {
        self.server.handle(self.now, input);
        self.drain();
    }

    pub fn control(&mut self, control: Control) {
        self.input(Input::Control(control));
    }

    pub fn ask(&mut self, request: Request) -> CallUuid {
        let call = self.server.request(self.now, request).unwrap();
        self.drain();
        call
    }

    pub fn drain(&mut self) {
        let at = self.now.duration_since(self.start).as_millis();
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit(transmit) => self.sent.push((at, transmit)),
                Output::Event(event) => self.events.push(event),
                Output::Media(media) => self.media.push(media),
                Output::Bridge(port) => self.bridges.push(port),
                Output::Trunk(call) => self.trunk.push(call),
            }
        }
    }

    /// Lets time pass, stopping at every appointment.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(next) = self.server.poll_timeout().filter(|next| *next <= end) {
            self.now = next;
            self.input(Input::Tick);
        }
        self.now = end;
        self.input(Input::Tick);
    }

    /// Takes the oldest message that was sent.
    pub fn take(&mut self) -> String {
        assert!(!self.sent.is_empty(), "nothing was sent");
        let (_, transmit) = self.sent.remove(0);
        String::from_utf8(transmit.bytes).unwrap()
    }

    /// Takes the oldest message, which must begin like this.
    pub fn expect(&mut self, start: &str) -> String {
        let text = self.take();
        assert!(text.starts_with(start), "expected {start}, got\n{text}");
        text
    }

    pub fn nothing(&self) {
        let left: Vec<_> = self
            .sent
            .iter()
            .map(|(_, t)| String::from_utf8_lossy(&t.bytes).into_owned())
            .collect();
        assert!(left.is_empty(), "unexpected: {left:#?}");
    }

    pub fn kinds(&mut self) -> Vec<(String, EventKind)> {
        let events = std::mem::take(&mut self.events);
        events.into_iter().map(|e| (e.this_dn, e.kind)).collect()
    }

    /// Answers a request as an endpoint at `at`.
    pub fn answer(&mut self, at: &str, request: &str, status: &str, sdp: Option<&str>) {
        let text = answer(at, request, status, sdp);
        self.put(at, &text);
    }

    /// A request of the endpoint inside the dialog that `invite` of SIP Server began.
    pub fn in_dialog(
        &mut self,
        at: &str,
        invite: &str,
        method: &str,
        cseq: u32,
        sdp: Option<&str>,
    ) -> String {
        self.branches += 1;
        let body = sdp.unwrap_or_default();
        let kind = sdp.map_or("", |_| "Content-Type: application/sdp\r\n");
        let dn = user(&field(invite, "To"));
        let text = format!(
            "{method} sip:x@192.0.2.81:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKe{}\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:{dn}@{at}>\r\nMax-Forwards: 70\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.branches,
            with_tag(&field(invite, "To")),
            field(invite, "From"),
            field(invite, "Call-ID"),
            body.len()
        );
        self.put(at, &text);
        text
    }

    /// A customer calls 1002.
    pub fn customer_calls(&mut self) -> Result<CallUuid, RequestError> {
        let request = Request::CustomerCall {
            from: "0301234567".to_owned(),
            to: "1002".to_owned(),
        };
        let call = self.server.request(self.now, request);
        self.drain();
        call
    }

    /// The same, and its endpoint rings; gives call and INVITE.
    pub fn ringing(&mut self) -> (CallUuid, String) {
        let call = self.customer_calls().unwrap();
        let invite = self.expect("INVITE ");
        self.answer(A, &invite, "180 Ringing", None);
        (call, invite)
    }

    /// The same, answered by TAnswerCall, with the re-INVITE after it done.
    pub fn talking(&mut self) -> (CallUuid, String) {
        let (call, invite) = self.ringing();
        self.ask(Request::AnswerCall {
            dn: "1002".to_owned(),
            call: call.clone(),
        });
        let notify = self.expect("NOTIFY ");
        self.answer(A, &notify, "200 OK", None);
        self.answer(A, &invite, "200 OK", Some(ANSWER));
        self.pass(88);
        self.expect("ACK ");
        self.pass(12);
        let again = self.expect("INVITE ");
        self.answer(A, &again, "200 OK", Some(OFFER));
        self.pass(142);
        self.expect("ACK ");
        self.nothing();
        self.events.clear();
        (call, invite)
    }
}

pub fn register(dn: &str, at: &str, call_id: &str, expires_s: u32) -> String {
    format!(
        "REGISTER sip:192.0.2.81:5060 SIP/2.0\r\nFrom: <sip:{dn}@192.0.2.81:5060>;tag=f\r\n\
         To: <sip:{dn}@192.0.2.81:5060>\r\nCall-ID: {call_id}\r\nCSeq: 1 REGISTER\r\n\
         Content-Length: 0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{dn}{call_id}{expires_s}\r\n\
         Max-Forwards: 70\r\nContact: <sip:{dn}@{at}>\r\nExpires: {expires_s}\r\n\r\n"
    )
}

/// The answer of an endpoint to a request of SIP Server, in the form of the traced Softphone.
pub fn answer(at: &str, request: &str, status: &str, sdp: Option<&str>) -> String {
    let to = field(request, "To");
    let dn = user(&to);
    let body = sdp.unwrap_or_default();
    let kind = sdp.map_or("", |_| "Content-Type: application/sdp\r\n");
    format!(
        "SIP/2.0 {status}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {}\r\nVia: {}\r\n\
         Contact: <sip:{dn}@{at}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        field(request, "From"),
        with_tag(&to),
        field(request, "Call-ID"),
        field(request, "CSeq"),
        field(request, "Via"),
        body.len()
    )
}

fn with_tag(value: &str) -> String {
    if value.contains(";tag=") {
        value.to_owned()
    } else {
        format!("{value};tag=endpoint-{}", user(value))
    }
}

pub fn user(value: &str) -> String {
    let after = value.split("sip:").nth(1).unwrap();
    after.split('@').next().unwrap().to_owned()
}

/// The value of a header in a message.
pub fn field(message: &str, name: &str) -> String {
    let prefix = format!("{name}: ");
    message
        .split("\r\n")
        .find_map(|line| line.strip_prefix(&prefix))
        .unwrap_or_else(|| panic!("no {name} in\n{message}"))
        .to_owned()
}

pub fn has(message: &str, name: &str) -> bool {
    let head = message.split("\r\n\r\n").next().unwrap();
    let prefix = format!("{name}: ");
    head.split("\r\n").any(|line| line.starts_with(&prefix))
}

pub fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").unwrap().1
}

pub fn param(value: &str, name: &str) -> String {
    let prefix = format!("{name}=");
    value
        .split(';')
        .find_map(|part| part.strip_prefix(&prefix))
        .unwrap()
        .to_owned()
}
