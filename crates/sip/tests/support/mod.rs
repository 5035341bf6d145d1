//! One user agent in virtual time, with SIP Server played from byte strings in the form of its
//! traces: bare addr-specs, From before Via, tags and branches as GUIDs.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

pub mod registering;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip::ua::{
    ConnectionId, DialogId, Event, OutgoingInvite, Output, Refusal, RegistrationPolicy, Source,
    Timers, Transmit, Transport, UaConfig, UserAgent,
};
use sip::{HeaderName, Message, Request, Response, Uri};

pub const SIP_SERVER: &str = "192.0.2.81:5060";
pub const STRANGER: &str = "203.0.113.66:5060";
pub const OURS: &str = "192.0.2.10:5060";

pub const OFFER: &str = "v=0\no=Genesys 1769469826 1 IN IP4 192.0.2.81\ns=GSept-9.0.022.05\n\
    c=IN IP4 192.0.2.81\nt=0 0\nm=audio 8006 RTP/AVP 0 8 101\na=rtpmap:101 telephone-event/8000\n";
pub const BLACK_HOLE: &str = "v=0\no=Genesys 1770020797 1 IN IP4 0.0.0.0\ns=3pcc Make Call\n\
    c=IN IP4 0.0.0.0\nt=0 0\nm=audio 10000 RTP/AVP 101 8 0\n";
pub const OUR_SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\n\
    t=0 0\r\nm=audio 16384 RTP/AVP 0\r\n";

/// A message that left, and when.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Duration,
    pub transmit: Transmit,
    pub message: Message,
}

impl Sent {
    /// `INVITE`, or `180 INVITE` for a response.
    pub fn label(&self) -> String {
        match &self.message {
            Message::Request(request) => request.method.to_string(),
            Message::Response(response) => {
                format!(
                    "{} {}",
                    response.status,
                    response.headers.cseq().unwrap().method
                )
            }
        }
    }

    pub fn header(&self, name: &HeaderName) -> Option<String> {
        let value = self.message.headers().get(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.transmit.bytes).into_owned()
    }

    pub fn request(&self) -> &Request {
        match &self.message {
            Message::Request(request) => request,
            Message::Response(_) => panic!("a request: {}", self.text()),
        }
    }

    pub fn response(&self) -> &Response {
        match &self.message {
            Message::Response(response) => response,
            Message::Request(_) => panic!("a response: {}", self.text()),
        }
    }

    pub fn to_tag(&self) -> String {
        self.message
            .headers()
            .to()
            .unwrap()
            .tag()
            .unwrap()
            .to_string()
    }
}

pub struct World {
    pub ua: UserAgent,
    pub start: Instant,
    pub now: Instant,
    /// The way messages of SIP Server come by.
    pub source: Source,
    sent: Vec<Sent>,
    events: Vec<Event>,
    branches: u32,
    /// Refusals echo the headers of broken requests and may be broken themselves.
    pub noisy: bool,
}

pub fn config() -> UaConfig {
    UaConfig {
        listen: vec![
            (Transport::Udp, OURS.parse().unwrap()),
            (Transport::Tcp, OURS.parse().unwrap()),
        ],
        allowed: vec!["192.0.2.81".parse().unwrap(), "192.0.2.82".parse().unwrap()],
        refusal: Refusal::Silent,
        user_agent: "talkbridge".to_owned(),
        timers: Timers::default(),
        registration: RegistrationPolicy::default(),
        session_expires_s: Some(1800),
        realm: None,
    }
}

pub fn udp(remote: &str) -> Source {
    Source {
        transport: Transport::Udp,
        remote: remote.parse().unwrap(),
        connection: None,
    }
}

pub fn tcp(remote: &str, connection: u64) -> Source {
    Source {
        transport: Transport::Tcp,
        remote: remote.parse().unwrap(),
        connection: Some(ConnectionId(connection)),
    }
}

/// Where the party that was dialled wants to be reached.
pub const CALLEE: &str = "Contact: <sip:2000@192.0.2.81:5060>\n";

/// An agent's call to 2000.
pub fn outgoing(sdp: Option<&[u8]>) -> OutgoingInvite {
    OutgoingInvite {
        dn: "1002".to_owned(),
        target: Uri::parse(b"sip:2000@192.0.2.81").unwrap(),
        to: server(),
        transport: Transport::Udp,
        sdp: sdp.map(<[u8]>::to_vec),
        headers: vec![(HeaderName::other("X-Trace"), b"7".to_vec())],
        credentials: None,
    }
}

/// She dials it.
pub fn dial(world: &mut World, sdp: Option<&[u8]>) -> (DialogId, Sent) {
    let dialog = world.act(|ua, now| ua.invite(now, outgoing(sdp)));
    (dialog, world.only("INVITE"))
}

pub fn server() -> SocketAddr {
    SIP_SERVER.parse().unwrap()
}

impl World {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: UaConfig) -> Self {
        let start = Instant::now();
        Self {
            ua: UserAgent::new(config, [7; 32]),
            start,
            now: start,
            source: udp(SIP_SERVER),
            sent: Vec::new(),
            events: Vec::new(),
            branches: 0,
            noisy: false,
        }
    }

    /// Does something to the user agent now, and takes what comes of it.
    pub fn act<T>(&mut self, act: impl FnOnce(&mut UserAgent, Instant) -> T) -> T {
        let result = act(&mut self.ua, self.now);
        self.drain();
        result
    }

    /// SIP Server sends this; lines end with LF here and CRLF on the wire.
    pub fn receive(&mut self, text: &str) {
        let source = self.source;
        self.receive_from(&source, text);
    }

    pub fn receive_from(&mut self, source: &Source, text: &str) {
        let bytes = text.replace('\n', "\r\n");
        self.ua.receive(self.now, source, bytes.as_bytes());
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.ua.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    let message = match Message::parse(&transmit.bytes) {
                        Ok(message) => message,
                        Err(_) if self.noisy && transmit.bytes.starts_with(b"SIP/2.0 ") => {
                            continue;
                        }
                        Err(error) => panic!("{error}: {}", transmit.bytes.escape_ascii()),
                    };
                    self.sent.push(Sent {
                        at: self.now - self.start,
                        transmit,
                        message,
                    });
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Lets time pass, from one timer to the next.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.ua.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.ua.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Lets time pass until such a message leaves; others that left before are forgotten.
    pub fn advance_until(&mut self, label: &str, within: Duration) -> Sent {
        let end = self.now + within;
        self.sent.clear();
        while let Some(at) = self.ua.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.ua.handle_timeout(self.now);
            self.drain();
            if let Some(found) = self.sent().into_iter().find(|sent| sent.label() == label) {
                return found;
            }
        }
        panic!("no {label} within {within:?}");
    }

    pub fn advance_s(&mut self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    pub fn advance_ms(&mut self, milliseconds: u64) {
        self.advance(Duration::from_millis(milliseconds));
    }

    /// What has left since the last call.
    pub fn sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    pub fn labels(&mut self) -> Vec<String> {
        self.sent().iter().map(Sent::label).collect()
    }

    /// The only message that has left since the last call.
    pub fn only(&mut self, label: &str) -> Sent {
        let sent = self.sent();
        let labels: Vec<String> = sent.iter().map(Sent::label).collect();
        assert_eq!(labels, [label]);
        sent.into_iter().next().unwrap()
    }

    /// What has been told since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The names of what has been told since the last call.
    pub fn told(&mut self) -> Vec<String> {
        self.events().iter().map(name).collect()
    }

    pub fn branch(&mut self) -> String {
        self.branches += 1;
        format!(
            "z9hG4bKF9D1A146-A651-43A6-8A12-32F3EB33637E-{}",
            self.branches
        )
    }

    /// Nothing is left of any call.
    pub fn assert_quiet(&mut self) {
        self.advance_s(70);
        assert!(self.ua.is_idle(), "{:?}", self.ua);
    }
}

/// The variant of an event, and for a refusal its reason.
pub fn name(event: &Event) -> String {
    match event {
        Event::Refused { reason, .. } => format!("Refused {reason:?}"),
        Event::Registration { status, .. } => format!("Registration {:?}", status.state),
        Event::Outcome { outcome, .. } => variant(outcome),
        other => variant(other),
    }
}

fn variant(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split([' ', '{']).next().unwrap().to_owned()
}

/// A call of SIP Server to DN 1002.
pub struct Call {
    pub dialog: DialogId,
    pub call_id: String,
    pub from: String,
    pub invite_branch: String,
    pub to_tag: String,
    pub cseq: u32,
}

fn with_body(head: &str, body: &str) -> String {
    let octets = body.replace('\n', "\r\n").len();
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\n"
    };
    format!("{head}Content-Length: {octets}\n{kind}\n{body}")
}

impl Call {
    /// INVITE in, 100 out, [`Event::Invite`] told.
    pub fn arrive(world: &mut World, sdp: &str) -> Self {
        let call_id = format!(
            "D6F9763C-E5D5-4C4B-97C3-C0725E0E2E17-{}@192.0.2.81",
            world.branches
        );
        let from =
            "sip:1003@192.0.2.81:5060;tag=88170A6B-45A8-43AE-9D3C-97CE63DC2C9C-256".to_owned();
        let branch = world.branch();
        world.receive(&invite(&call_id, &from, &branch, sdp));
        assert_eq!(world.labels(), ["100 INVITE"]);
        let events = world.events();
        let [Event::Invite { dialog, .. }] = events.as_slice() else {
            panic!("{events:?}")
        };
        Self {
            dialog: *dialog,
            call_id,
            from,
            invite_branch: branch,
            to_tag: String::new(),
            cseq: 1,
        }
    }

    /// The same, and 180 out.
    pub fn ringing(world: &mut World, sdp: &str) -> Self {
        let mut call = Self::arrive(world, sdp);
        let dialog = call.dialog;
        world.act(|ua, now| ua.ring(now, dialog));
        call.to_tag = world.only("180 INVITE").to_tag();
        call
    }

    /// The same, and 200 out.
    pub fn answered(world: &mut World, sdp: &str) -> Self {
        let call = Self::ringing(world, sdp);
        let dialog = call.dialog;
        world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
        world.only("200 INVITE");
        call
    }

    /// The same, and ACK in.
    pub fn up(world: &mut World) -> Self {
        let call = Self::answered(world, OFFER);
        call.ack(world, 1, "");
        assert_eq!(world.told(), ["Ack"]);
        call
    }

    /// A request of SIP Server in this dialog with the next CSeq; gives its text, to be repeated.
    pub fn request(&mut self, world: &mut World, method: &str, lines: &str, body: &str) -> String {
        self.cseq += 1;
        let text = self.request_text(world, self.cseq, method, lines, body);
        world.receive(&text);
        text
    }

    pub fn request_text(
        &self,
        world: &mut World,
        cseq: u32,
        method: &str,
        lines: &str,
        body: &str,
    ) -> String {
        let branch = world.branch();
        let via = world.source.transport.as_str();
        let head = format!(
            "{method} sip:1002@192.0.2.10:5060 SIP/2.0\nFrom: {from}\n\
             To: sip:1002@192.0.2.81:5060;tag={to}\nCall-ID: {id}\nCSeq: {cseq} {method}\n\
             Via: SIP/2.0/{via} 192.0.2.81:5060;branch={branch}\n\
             Contact: <sip:1003@192.0.2.81:5060>\n{lines}Max-Forwards: 70\n\
             X-Genesys-CallUUID: UIVB8J6JE91C53UIM3VI59VHQ4000015\n",
            from = self.from,
            to = self.to_tag,
            id = self.call_id,
        );
        with_body(&head, body)
    }

    pub fn talk(&mut self, world: &mut World) -> String {
        self.request(
            world,
            "NOTIFY",
            "Event: talk\nSubscription-State: active\n",
            "",
        )
    }

    pub fn ack(&self, world: &mut World, cseq: u32, body: &str) {
        let text = self.request_text(world, cseq, "ACK", "", body);
        world.receive(&text);
    }

    /// The ACK of a failure has the branch of its INVITE.
    pub fn ack_failure(&self, world: &mut World, to_tag: &str) {
        world.receive(&format!(
            "ACK sip:1002@192.0.2.10:5060 SIP/2.0\n\
             Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\nFrom: {from}\n\
             To: <sip:1002@192.0.2.81>;tag={to_tag}\nCall-ID: {id}\nCSeq: 1 ACK\n\
             Max-Forwards: 70\nContent-Length: 0\n\n",
            branch = self.invite_branch,
            from = self.from,
            id = self.call_id,
        ));
    }

    pub fn cancel(&self, world: &mut World) {
        world.receive(&format!(
            "CANCEL sip:1002@192.0.2.10:5060 SIP/2.0\nFrom: {from}\n\
             To: sip:1002@192.0.2.81:5060\nCall-ID: {id}\nCSeq: 1 CANCEL\nContent-Length: 0\n\
             Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\nMax-Forwards: 70\n\n",
            branch = self.invite_branch,
            from = self.from,
            id = self.call_id,
        ));
    }
}

/// SIP Server's INVITE, as in its traces; without `sdp` it is that of a call the agent makes.
pub fn invite(call_id: &str, from: &str, branch: &str, sdp: &str) -> String {
    let head = format!(
        "INVITE sip:1002@192.0.2.10:5060 SIP/2.0\nFrom: {from}\n\
         To: sip:1002@192.0.2.81:5060\nCall-ID: {call_id}\nCSeq: 1 INVITE\n\
         Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\nContact: <sip:1003@192.0.2.81:5060>\n\
         Allow: ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, REFER, UPDATE\n\
         Max-Forwards: 70\nX-Genesys-CallUUID: UIVB8J6JE91C53UIM3VI59VHQ4000015\n\
         Session-Expires: 1800;refresher=uac\nMin-SE: 90\nSupported: uui,100rel,timer\n"
    );
    with_body(&head, sdp)
}

/// A response of SIP Server to a request of ours, in the header order of the request.
pub fn reply(request: &Sent, status: &str, to_tag: &str, lines: &str, body: &str) -> String {
    let headers = request.message.headers();
    let mut text = format!("SIP/2.0 {status}\n");
    for (name, value) in headers.iter() {
        let value = String::from_utf8_lossy(value);
        if [
            HeaderName::VIA,
            HeaderName::FROM,
            HeaderName::CALL_ID,
            HeaderName::CSEQ,
        ]
        .contains(name)
        {
            text.push_str(&format!("{name}: {value}\n"));
        } else if *name == HeaderName::TO {
            let tagged = value.contains(";tag=") || to_tag.is_empty();
            let tag = if tagged {
                String::new()
            } else {
                format!(";tag={to_tag}")
            };
            text.push_str(&format!("To: {value}{tag}\n"));
        }
    }
    text.push_str(lines);
    with_body(&text, body)
}

/// When each of these messages left, in milliseconds after `from`.
pub fn instants_ms(sent: &[Sent], from: Duration) -> Vec<u128> {
    sent.iter()
        .map(|sent| (sent.at - from).as_millis())
        .collect()
}
