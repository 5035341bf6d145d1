//! A world of one switchboard: a scripted SIP Server, pages and media workers, in virtual time.
//!
//! SIP Server speaks in the form of its traces; what talkbridge says is read and kept with its time.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

mod pages;
mod sip_server;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use control::{CloseCode, GatewayMessage, PageMessage};
use sip::ua::{Refusal, RegistrationPolicy, Timers, Transport, UaConfig};
use sip::{Message, Request, Response};
use switchboard::{
    AdminRefusal, AdminReply, AgentConfig, AutoAnswer, BrowserLegId, BrowserState, CallId,
    CodecPolicy, Config, Fact, Input, MediaCommand, MediaConfig, MediaEvent, MediaPlan, Output,
    Policy, RecordingCommand, RegisterPolicy, Server, SiteConfig, SrtpConfig, Switchboard,
    WallClock,
};

/// SIP Server's address.
pub const SIP_SERVER: &str = "192.0.2.81:5060";
/// An offer as a Genesys softphone makes it.
pub const OFFER: &str = "v=0\r\no=Genesys 1769469826 1 IN IP4 192.0.2.81\r\ns=GSept-9.0.022.05\r\n\
c=IN IP4 192.0.2.82\r\nt=0 0\r\nm=audio 8006 RTP/AVP 0 8 9 102 103 104 18 120 101\r\n\
a=rtpmap:0 pcmu/8000\r\na=rtpmap:8 pcma/8000\r\na=rtpmap:9 g722/8000\r\na=rtpmap:102 iLBC/8000\r\n\
a=rtpmap:103 iSAC/16000\r\na=rtpmap:104 iSAC/32000\r\na=rtpmap:18 g729/8000\r\n\
a=fmtp:18 annexb=yes\r\na=rtpmap:120 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-15\r\n";
/// An answer of the same.
pub const ANSWER: &str = "v=0\r\no=Genesys 1769469826 2 IN IP4 192.0.2.81\r\ns=GSept-9.0.022.05\r\n\
c=IN IP4 192.0.2.82\r\nt=0 0\r\nm=audio 8006 RTP/AVP 0 101\r\na=rtpmap:0 pcmu/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";
/// SIP Server's black hole.
pub const BLACK_HOLE: &str = "v=0\r\no=Genesys 1770020797 1 IN IP4 0.0.0.0\r\ns=3pcc Make Call\r\n\
c=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 10000 RTP/AVP 101 8 0 4 18 3\r\n\
a=rtpmap:101 telephone-event/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:4 G723/8000\r\na=rtpmap:18 G729/8000\r\na=rtpmap:3 GSM/8000\r\n";
const UUID: &str = "TTL7J9EM750GP936CFL0EOACN8000001";

/// Something talkbridge sent to SIP Server.
#[derive(Debug)]
pub struct Sent {
    pub at: Instant,
    pub to: SocketAddr,
    pub message: Message,
    pub text: String,
}

/// A REGISTER that a SIP Server accepted.
#[derive(Clone, Debug)]
pub struct Binding {
    pub at: Instant,
    pub server: IpAddr,
    pub dn: String,
    /// 0 takes the binding back.
    pub expires_s: u32,
    pub call_id: String,
}

/// One dialog as SIP Server keeps it.
#[derive(Clone, Debug)]
pub struct Dialog {
    pub call_id: String,
    pub dn: String,
    pub from_tag: String,
    pub cseq: u32,
    pub invite_branch: String,
}

/// Everything around the switchboard.
pub struct World {
    pub born: Instant,
    pub now: Instant,
    pub board: Switchboard,
    pub sent: Vec<Sent>,
    pub pages: BTreeMap<u64, Vec<GatewayMessage>>,
    pub closed: BTreeMap<u64, CloseCode>,
    pub media: Vec<MediaCommand>,
    pub facts: Vec<Fact>,
    /// What the writer of recordings was told.
    pub recordings: Vec<RecordingCommand>,
    /// The hosts that may speak SIP, once they were told.
    pub heard: Vec<IpAddr>,
    /// SIP Server takes registrations.
    pub registers: bool,
    /// What became of orders of administrators.
    pub admin: Vec<Result<AdminReply, AdminRefusal>>,
    /// Browsers answer offers and connect at once.
    pub media_connects: bool,
    /// Ports that are taken by somebody else.
    pub ports_taken: usize,
    pub legs: Vec<BrowserLegId>,
    /// SIP Servers that do not answer.
    pub silent: BTreeSet<IpAddr>,
    /// SIP Servers that answer OPTIONS and refuse every REGISTER like this.
    pub refusing: BTreeMap<IpAddr, &'static str>,
    /// SIP Servers that answer no OPTIONS.
    pub deaf_to_options: BTreeSet<IpAddr>,
    /// DNs whose REGISTERs are lost on the way.
    pub unheard: BTreeSet<String>,
    /// One in so many of the datagrams between us and a registrar is lost, either way; none if zero.
    pub loss_one_in: u64,
    /// Drawn from, so that the same are lost each time.
    pub(crate) chance: u64,
    /// REGISTERs that were accepted, by Call-ID and CSeq: a repetition is none of its own.
    pub(crate) accepted: BTreeSet<(String, String)>,
    /// What SIP Servers accepted, oldest first.
    pub bindings: Vec<Binding>,
    next_page: u64,
    branches: u32,
    calls: u32,
}

/// A site of these servers, by UDP.
pub fn site(name: Option<&str>, servers: &[&str]) -> SiteConfig {
    let server = |ip: &&str| Server {
        transport: Transport::Udp,
        address: format!("{ip}:5060").parse().unwrap(),
        domain: (*ip).to_owned(),
    };
    SiteConfig {
        name: name.map(str::to_owned),
        servers: servers.iter().map(server).collect(),
    }
}

pub fn config(dns: &[&str]) -> Config {
    Config {
        sip: UaConfig {
            listen: vec![(Transport::Udp, "192.0.2.10:5060".parse().unwrap())],
            allowed: vec!["192.0.2.81".parse().unwrap()],
            refusal: Refusal::Silent,
            user_agent: "talkbridge".into(),
            timers: Timers::default(),
            registration: RegistrationPolicy::default(),
            session_expires_s: Some(1800),
            realm: None,
        },
        sites: vec![site(None, &["192.0.2.81"])],
        media: MediaConfig {
            address: "192.0.2.10".parse().unwrap(),
            ports: 16_384..=16_483,
            srtp: SrtpConfig::default(),
            codecs: vec![sdp::Codec::Pcmu, sdp::Codec::Pcma],
            workers: 2,
            quarantine: Duration::from_secs(5),
        },
        ice_servers: vec![],
        turn: None,
        agents: dns
            .iter()
            .map(|dn| AgentConfig {
                dn: (*dn).into(),
                name: Some(format!("Agent {dn}")),
                password: None,
                register: RegisterPolicy::OnSignIn,
                auto_answer: AutoAnswer::Headers,
                codec_policy: CodecPolicy::default(),
            })
            .collect(),
        policy: Policy::default(),
    }
}

impl World {
    pub fn new(dns: &[&str]) -> Self {
        Self::with_config(config(dns))
    }

    pub fn with_config(config: Config) -> Self {
        Self::with_deaf_servers(config, BTreeSet::new())
    }

    /// With SIP Servers that answer no OPTIONS from the start.
    pub fn with_deaf_servers(config: Config, deaf_to_options: BTreeSet<IpAddr>) -> Self {
        let now = Instant::now();
        let clock = WallClock {
            at: now,
            epoch_ms: 1_700_000_000_000,
        };
        let board = Switchboard::new(now, config, clock, [7; 32]);
        let mut world = Self {
            born: now,
            now,
            board,
            sent: vec![],
            pages: BTreeMap::new(),
            closed: BTreeMap::new(),
            media: vec![],
            facts: vec![],
            recordings: vec![],
            heard: vec![],
            registers: true,
            admin: vec![],
            media_connects: true,
            ports_taken: 0,
            legs: vec![],
            silent: BTreeSet::new(),
            refusing: BTreeMap::new(),
            deaf_to_options,
            unheard: BTreeSet::new(),
            loss_one_in: 0,
            chance: 1,
            accepted: BTreeSet::new(),
            bindings: vec![],
            next_page: 0,
            branches: 0,
            calls: 0,
        };
        world.drain();
        world
    }

    /// One agent, signed in, registered, media connected.
    pub fn with_agent(dn: &str) -> (Self, u64) {
        let mut world = Self::new(&[dn]);
        let page = world.sign_in(dn, None);
        (world, page)
    }

    pub fn input(&mut self, input: Input) {
        self.board.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.board.poll_output() {
            match output {
                Output::Sip(transmit) => {
                    let text = String::from_utf8_lossy(&transmit.bytes).into_owned();
                    let message = Message::parse(&transmit.bytes)
                        .unwrap_or_else(|error| panic!("talkbridge sent {error:?}:\n{text}"));
                    let asked = match &message {
                        Message::Request(request) => {
                            matches!(request.method, sip::Method::Register | sip::Method::Options)
                                .then(|| request.clone())
                        }
                        Message::Response(_) => None,
                    };
                    let to = transmit.to;
                    self.sent.push(Sent {
                        at: self.now,
                        to,
                        message,
                        text,
                    });
                    if let Some(asked) = asked.filter(|_| self.registers) {
                        self.registrar(to, &asked);
                    }
                }
                Output::Page { page, message } => {
                    let closed = self.closed.contains_key(&page.0);
                    assert!(!closed, "{message:?} to a page that is closed");
                    self.on_page(page.0, message);
                }
                Output::ClosePage { page, code } => {
                    self.closed.insert(page.0, code);
                }
                Output::Media { command, .. } => self.worker(command),
                Output::Admin { result, .. } => self.admin.push(result),
                Output::SipPeers(hosts) => self.heard = hosts,
                Output::Recording(command) => self.recordings.push(command),
                Output::Fact(fact) => self.facts.push(fact),
            }
        }
    }

    fn worker(&mut self, command: MediaCommand) {
        self.media.push(command.clone());
        if let MediaCommand::Plan(plan) = &command {
            // The last plan of each other call, also between two commands of one turn: an agent hears one of them.
            let others = self.media.iter().rev().filter_map(|earlier| match earlier {
                MediaCommand::Plan(other) if other.call != plan.call => Some(other),
                _ => None,
            });
            let mut seen = std::collections::BTreeSet::new();
            for other in others.filter(|other| seen.insert(other.call)) {
                let closed = self.is_media_closed(other.call);
                let both = other.browser.is_some() && other.browser == plan.browser;
                assert!(
                    closed || !both,
                    "two calls are heard: {other:?} and {plan:?}"
                );
            }
        }
        match command {
            MediaCommand::OfferBrowser { leg, restart, .. } => {
                self.legs.push(leg);
                let sdp = format!("offer of leg {}", leg.0);
                self.input(Input::Media(MediaEvent::BrowserOffer { leg, sdp, restart }));
            }
            MediaCommand::AnswerBrowser { leg, .. } => self.connect(leg),
            MediaCommand::OpenPort { call, port } => {
                let event = if self.ports_taken > 0 {
                    self.ports_taken -= 1;
                    MediaEvent::PortFailed {
                        call,
                        port,
                        taken: true,
                    }
                } else {
                    MediaEvent::PortOpened { call, port }
                };
                self.input(Input::Media(event));
            }
            _ => {}
        }
    }

    fn on_page(&mut self, page: u64, message: GatewayMessage) {
        let offered = matches!(message, GatewayMessage::MediaOffer { .. });
        self.pages
            .get_mut(&page)
            .expect("a page that exists")
            .push(message);
        if offered && self.media_connects {
            self.say(
                page,
                PageMessage::MediaAnswer {
                    sdp: "answer".into(),
                    offer: None,
                },
            );
        }
    }

    /// The browser of the agent has closed its media, and does not connect by itself again.
    pub fn media_goes(&mut self) {
        let leg = *self.legs.last().expect("a leg");
        self.media_connects = false;
        self.input(Input::Media(MediaEvent::BrowserClosed { leg }));
    }

    /// The browser of this leg is connected.
    pub fn connect(&mut self, leg: BrowserLegId) {
        for state in [
            BrowserState::Connecting,
            BrowserState::Connected {
                ice: None,
                dtls: None,
            },
        ] {
            self.input(Input::Media(MediaEvent::BrowserState { leg, state }));
        }
    }

    // ----- time -----

    /// Lets time pass, stopping at each timer on the way.
    pub fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.board.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
        }
        self.now = end;
        self.input(Input::Timeout);
    }

    // ----- looking back -----

    pub fn responses(&self, dialog: &Dialog, cseq: u32, method: &str) -> Vec<&Response> {
        let wanted = format!("{cseq} {method}");
        self.sent
            .iter()
            .filter_map(|sent| match &sent.message {
                Message::Response(response) => Some(response),
                Message::Request(_) => None,
            })
            .filter(|response| {
                text(response.headers.get(&sip::HeaderName::CALL_ID)) == dialog.call_id
            })
            .filter(|response| text(response.headers.get(&sip::HeaderName::CSEQ)) == wanted)
            .collect()
    }

    pub fn statuses(&self, dialog: &Dialog, cseq: u32, method: &str) -> Vec<u16> {
        self.responses(dialog, cseq, method)
            .iter()
            .map(|response| response.status.as_u16())
            .collect()
    }

    /// Requests that talkbridge sent in this dialog, or in any with `None`.
    pub fn requests(&self, method: &str) -> Vec<Request> {
        self.sent
            .iter()
            .filter_map(|sent| match &sent.message {
                Message::Request(request) if request.method.as_str() == method => {
                    Some(request.clone())
                }
                _ => None,
            })
            .collect()
    }

    /// talkbridge's tag in a dialog, whoever began it.
    pub fn our_tag(&self, dialog: &Dialog) -> String {
        self.sent
            .iter()
            .map(|sent| match &sent.message {
                Message::Response(response) => (&response.headers, sip::HeaderName::TO),
                Message::Request(request) => (&request.headers, sip::HeaderName::FROM),
            })
            .filter(|(headers, _)| text(headers.get(&sip::HeaderName::CALL_ID)) == dialog.call_id)
            .find_map(|(headers, ours)| {
                let ours = text(headers.get(&ours));
                ours.split_once("tag=").map(|(_, tag)| tag.to_owned())
            })
            .unwrap_or_default()
    }

    /// The body of the last 2xx to an INVITE of this dialog.
    pub fn our_sdp(&self, dialog: &Dialog, cseq: u32) -> String {
        let responses = self.responses(dialog, cseq, "INVITE");
        let ok = responses
            .iter()
            .rev()
            .find(|response| response.status.as_u16() == 200);
        String::from_utf8_lossy(&ok.expect("a 200").body).into_owned()
    }

    pub fn plan(&self) -> MediaPlan {
        self.media
            .iter()
            .rev()
            .find_map(|command| match command {
                MediaCommand::Plan(plan) => Some(plan.clone()),
                _ => None,
            })
            .expect("a media plan")
    }

    pub fn is_media_closed(&self, call: CallId) -> bool {
        self.media.contains(&MediaCommand::CloseCall { call })
    }

    pub fn causes(&self) -> Vec<&'static str> {
        self.facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::CallEnded { cause, .. } | Fact::CallRefused { cause, .. } => {
                    Some(cause.outcome().cause)
                }
                _ => None,
            })
            .collect()
    }

    /// An answered call: INVITE, talk, ACK.
    pub fn talking(&mut self, dn: &str) -> Dialog {
        let mut dialog = self.invite(dn, Some(OFFER));
        self.notify(&mut dialog, "talk");
        self.ack(&dialog, 1, None);
        dialog
    }

    /// Answers talkbridge's last re-INVITE.
    pub fn answer_reinvite(&mut self, direction: &str) -> String {
        let invite = self.requests("INVITE").pop().expect("a re-INVITE");
        let sdp = format!("{ANSWER}a={direction}\r\n");
        self.respond(&invite, "200 OK", Some(&sdp));
        String::from_utf8_lossy(&invite.body).into_owned()
    }

    /// Nothing is left over when everybody is gone.
    pub fn assert_quiet(&mut self) {
        self.advance(Duration::from_secs(70));
        let gauges = self.board.gauges();
        assert_eq!(gauges.ports_in_use, 0, "ports are left in use");
        assert!(
            gauges.calls.iter().all(|(_, count)| *count == 0),
            "calls are left"
        );
        assert!(self.board.is_quiet(), "dialogs or transactions are left");
    }
}

/// The user part of an address.
pub fn user(address: &str) -> String {
    let user = address.split_once("sip:").map(|(_, rest)| rest);
    let user = user.and_then(|rest| rest.split_once('@'));
    user.map_or_else(String::new, |(user, _)| user.to_owned())
}

pub fn text(value: Option<&[u8]>) -> String {
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}
