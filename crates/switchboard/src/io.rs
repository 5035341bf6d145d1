//! What goes into the switchboard and what comes out: two closed sets, and the values in them.
//!
//! Nothing here names a socket or a task. The shell turns datagrams and WebSocket messages into [`Input`] and
//! carries each [`Output`] to the edge it names.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use control::{CloseCode, GatewayMessage, PageRequest};
use sip::ua::{ConnectionId, SiteId, Source, Transmit, Transport};

use crate::config::{AgentConfig, CodecPolicy, Server};
use crate::ids::{AdminId, BrowserLegId, CallId, PageId, TapId, WorkerId};
use crate::overload::WorkerLoad;

pub use crate::fact::{
    CallRef, Fact, RecordingFact, SignOutCause, TalkResult, TransferKind, TransferResult,
};
pub use crate::order::{AdminCommand, AdminRefusal, AdminReply, TransferTo};
pub use crate::recording::RecordingCommand;

/// Everything that can happen to the switchboard.
#[derive(Debug)]
pub enum Input {
    /// One whole SIP message: a datagram, or a frame of a stream.
    Sip {
        /// Where it came from.
        source: Source,
        /// Its octets.
        bytes: Vec<u8>,
    },
    /// A stream connection is gone; whatever came on it has been told.
    SipConnectionLost {
        /// The connection.
        connection: ConnectionId,
        /// TCP or TLS.
        transport: Transport,
        /// Its other end: messages for this address that named no connection went by it.
        peer: SocketAddr,
    },
    /// The socket refused a message (unreachable, connection refused), or no connection came up.
    SipTransmitFailed {
        /// Transport of the message.
        transport: Transport,
        /// Its destination.
        to: SocketAddr,
    },
    /// A page whose token the shell has verified wants to be the agent of `dn`. The shell looks away from nothing but the token's end.
    SignIn {
        /// The page.
        page: PageId,
        /// The DN that the token names.
        dn: String,
        /// The token's time is over: it brings the page back to a session that is there, and begins none.
        token_expired: bool,
        /// The `id` of the `hello`, echoed in its reply.
        request_id: Option<String>,
        /// The resume secret of an earlier `welcome`.
        resume: Option<String>,
        /// The page says that its peer connection outlived the lost socket.
        media_kept: bool,
    },
    /// A signed-in page says something.
    Page {
        /// The page.
        page: PageId,
        /// What it says; a `hello` here is a second one and refused.
        request: PageRequest,
    },
    /// The page's connection is gone, for whatever reason.
    PageClosed {
        /// The page.
        page: PageId,
    },
    /// A fact from a media worker.
    Media(MediaEvent),
    /// A command of the administration interface.
    Admin {
        /// Names the reply.
        request: AdminId,
        /// What to do.
        command: AdminCommand,
    },
    /// The SIP Servers of a site from now on: a name has been resolved, or means others than before. What is empty changes nothing: no
    /// working server is given up for it.
    SipServers {
        /// The site, counted from 0 in the order of the configuration.
        site: SiteId,
        /// The whole list, in order of preference.
        servers: Vec<Server>,
        /// What could not be looked up, and why. It matters while no server of the site is known.
        problem: Option<String>,
    },
    /// A consumer that listened is gone.
    TapLeft {
        /// Which.
        tap: TapId,
    },
    /// Nothing more becomes of the file of a recording. Said once of each, after [`crate::RecordingCommand::Open`] at the earliest.
    RecordingSettled {
        /// Whose samples it was for.
        tap: TapId,
        /// It could not be written to its end, or not be made.
        failed: bool,
    },
    /// The list of agents was read again.
    Reload {
        /// The whole new list.
        agents: Vec<AgentConfig>,
    },
    /// The time of day has jumped ([`crate::Switchboard::is_clock_off`]) to so many milliseconds since the epoch.
    Clock(u64),
    /// Take no new calls; those that are up go on.
    Drain,
    /// End everything now: calls are ended, DNs unregistered.
    Shutdown,
    /// The time named by `poll_timeout` has come.
    Timeout,
}

/// Everything the switchboard can ask the shell to do.
#[derive(Debug)]
pub enum Output {
    /// Send a SIP message.
    Sip(Transmit),
    /// Say something to a page.
    Page {
        /// The page.
        page: PageId,
        /// What to say.
        message: GatewayMessage,
    },
    /// Close a page's connection, after what was said before.
    ClosePage {
        /// The page.
        page: PageId,
        /// Why.
        code: CloseCode,
    },
    /// Tell a media worker.
    Media {
        /// Which one.
        worker: WorkerId,
        /// What to do.
        command: MediaCommand,
    },
    /// Tell the writer of recordings.
    Recording(RecordingCommand),
    /// The reply to an [`Input::Admin`]; exactly one each.
    Admin {
        /// The request.
        request: AdminId,
        /// What came of it.
        result: Result<AdminReply, AdminRefusal>,
    },
    /// The hosts that may speak SIP to us from now on, so that the sockets keep room for them.
    SipPeers(Vec<IpAddr>),
    /// Something an operator may want to see: logs, metrics and events come from it.
    Fact(Fact),
}

/// What a media worker is told. A command for a leg or a call that is gone is ignored.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaCommand {
    /// Create the warm leg and offer it, or with `restart` offer an ICE restart on the living leg.
    OfferBrowser {
        /// The leg; new unless `restart`.
        leg: BrowserLegId,
        /// ICE restart of a leg that exists.
        restart: bool,
        /// What the browser is to speak.
        policy: CodecPolicy,
    },
    /// The page's answer to the last offer.
    AnswerBrowser {
        /// The leg.
        leg: BrowserLegId,
        /// The answer.
        sdp: String,
    },
    /// A trickled candidate of the page; `None` ends them.
    CandidateBrowser {
        /// The leg.
        leg: BrowserLegId,
        /// The candidate line.
        candidate: Option<String>,
    },
    /// Drop the leg and everything patched to it.
    CloseBrowser {
        /// The leg.
        leg: BrowserLegId,
    },
    /// Bind the RTP port (even) and the RTCP port above it for a call.
    OpenPort {
        /// The call.
        call: CallId,
        /// The RTP port.
        port: u16,
    },
    /// The whole picture of a call's media; replaces the former one.
    Plan(MediaPlan),
    /// Send these digits (`0-9*#A-D`) to the SIP side, after those already queued: as RFC 4733 events where they were agreed, else as
    /// sound.
    SendDigits {
        /// The call.
        call: CallId,
        /// The digits.
        digits: String,
        /// How long each sounds, within the worker's bounds; `None` is the usual.
        tone: Option<Duration>,
    },
    /// Play a short tone to the agent.
    Beep {
        /// The call.
        call: CallId,
    },
    /// Let the writer of files have both directions of a call, from now on.
    OpenTap {
        /// The call.
        call: CallId,
        /// Names what the samples are for.
        tap: TapId,
        /// Samples per second of each direction, 8000 or 16000.
        rate_hz: u32,
        /// Tell both parties by a beep now and at these intervals.
        beep: Option<Duration>,
        /// It begins with silence, as if it had been paused before.
        paused: bool,
    },
    /// Let a tap have silence for a while.
    PauseTap {
        /// The call.
        call: CallId,
        /// Which.
        tap: TapId,
        /// From now on, or no longer.
        paused: bool,
    },
    /// End a tap; [`MediaEvent::TapClosed`] follows.
    CloseTap {
        /// The call.
        call: CallId,
        /// Which.
        tap: TapId,
    },
    /// Close the call's ports; [`MediaEvent::CallClosed`] follows, after which no tap of it has more.
    CloseCall {
        /// The call.
        call: CallId,
    },
}

/// Which ends a call's media has and which way it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaPlan {
    /// The call.
    pub call: CallId,
    /// The SIP side.
    pub sip: SipMedia,
    /// The browser leg the call is patched to; `None` parks it: nothing goes either way.
    pub browser: Option<BrowserLegId>,
    /// Media from the SIP side reaches the agent.
    pub to_agent: bool,
    /// Media from the agent reaches the SIP side.
    pub to_caller: bool,
}

/// The SIP side of a call as the last offer and answer left it.
#[derive(Clone, Debug, PartialEq)]
pub struct SipMedia {
    /// Where media is sent and the only address it is taken from; `None` while the peer gave none (0.0.0.0, port 0).
    pub remote: Option<SocketAddr>,
    /// Where RTCP is sent and taken from.
    pub remote_rtcp: Option<SocketAddr>,
    /// The codec on the wire.
    pub codec: sdp::Codec,
    /// Its payload type in what is sent.
    pub payload_type: u8,
    /// telephone-event, when it was negotiated, with its payload type in what is sent.
    pub telephone_event: Option<sdp::TelephoneEvent>,
    /// Payload types in what comes in, which may be others ([`sdp::Agreed::ours`]).
    pub ours: sdp::Numbers,
    /// Keys of both ways; `None`: plain RTP.
    pub srtp: Option<Box<sdp::AgreedSrtp>>,
    /// The peer wants to be told how its audio sounds here (RFC 3611).
    pub voip_metrics: bool,
    /// The peer prefers that Opus sends nothing while nobody speaks (RFC 7587 section 6.1).
    pub dtx: bool,
    /// Packet time the peer asked for, in milliseconds.
    pub ptime_ms: Option<u16>,
    /// The longest packet that it takes, in milliseconds.
    pub maxptime_ms: Option<u16>,
}

/// A fact that a media worker reports.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaEvent {
    /// The offer that [`MediaCommand::OfferBrowser`] asked for.
    BrowserOffer {
        /// The leg.
        leg: BrowserLegId,
        /// The offer.
        sdp: String,
        /// It restarts ICE on the page's connection instead of starting a new one.
        restart: bool,
    },
    /// The state of a browser leg changed.
    BrowserState {
        /// The leg.
        leg: BrowserLegId,
        /// Its state now.
        state: BrowserState,
    },
    /// The page's answer could not be used; the leg is gone.
    BrowserRefused {
        /// The leg.
        leg: BrowserLegId,
        /// What was wrong with it, for the log and the page.
        reason: String,
    },
    /// Both ports of the call are bound.
    PortOpened {
        /// The call.
        call: CallId,
        /// The RTP port.
        port: u16,
    },
    /// The pair could not be bound.
    PortFailed {
        /// The call.
        call: CallId,
        /// The RTP port.
        port: u16,
        /// Somebody else has a port of it; else the system gives no socket, and none for another port.
        taken: bool,
    },
    /// One direction has been silent for some seconds while the other was not, or is heard again.
    OneWay {
        /// The call.
        call: CallId,
        /// Which way nothing is heard.
        direction: MediaDirection,
        /// Why, most likely; `None`: it is heard again.
        missing: Option<MissingAudio>,
    },
    /// The first packet since the plan last opened this direction.
    FirstPacket {
        /// The call.
        call: CallId,
        /// Which way.
        direction: MediaDirection,
    },
    /// A digit came from the SIP side as an RFC 4733 event.
    Digit {
        /// The call.
        call: CallId,
        /// `0-9*#A-D`.
        digit: char,
    },
    /// What was measured since the call began; sent every 5 s.
    Quality {
        /// The call.
        call: CallId,
        /// The measurements.
        report: Box<MediaReport>,
    },
    /// How a worker fared in the second behind it.
    Load {
        /// Which one.
        worker: WorkerId,
        /// How busy and how late it was.
        load: WorkerLoad,
    },
    /// No more samples come of this tap.
    TapClosed {
        /// Which.
        tap: TapId,
    },
    /// The call's ports are closed.
    CallClosed {
        /// The call.
        call: CallId,
        /// The last measurements.
        report: Box<MediaReport>,
    },
    /// The page sent its last datagram on purpose (DTLS `close_notify`), or the leg was dropped.
    BrowserClosed {
        /// The leg.
        leg: BrowserLegId,
    },
}

/// State of a browser leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrowserState {
    /// The answer is in; ICE and DTLS are under way.
    Connecting,
    /// ICE and DTLS are up; media can flow.
    Connected {
        /// From the offer's answer to ICE connected.
        ice: Option<Duration>,
        /// From ICE connected to DTLS finished.
        dtls: Option<Duration>,
    },
    /// Consent is lost; it may come back by itself.
    Disconnected,
    /// It will not come back, and why.
    Failed(control::MediaFailure),
}

impl BrowserState {
    /// As pages and administrators are told it.
    #[must_use]
    pub const fn shown(self) -> control::MediaState {
        match self {
            Self::Connecting => control::MediaState::Connecting,
            Self::Connected { .. } => control::MediaState::Connected,
            Self::Disconnected => control::MediaState::Disconnected,
            Self::Failed(_) => control::MediaState::Failed,
        }
    }
}

/// Direction of media, named for who hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaDirection {
    /// From the SIP side to the agent's browser.
    ToAgent,
    /// From the agent's browser to the SIP side.
    ToCaller,
}

/// The likely reason why one direction is silent while the other is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MissingAudio {
    /// Packets come, but not from the address in SIP Server's session description.
    OtherAddress,
    /// Packets come, but they are not secured with the key in the session description.
    OtherKey,
    /// Packets come, in a format that was not agreed.
    OtherFormat,
    /// Nothing comes at all.
    Nothing,
}

/// Measurements of one call's media, each direction apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaReport {
    /// What came from the SIP side.
    pub to_agent: DirectionReport,
    /// What came from the browser.
    pub to_caller: DirectionReport,
}

/// Measurements of one direction; `None` is "not measured".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DirectionReport {
    /// Packets received and accepted.
    pub packets: u64,
    /// Octets of their payloads.
    pub octets: u64,
    /// Packets that never came; one that came twice makes up for none.
    pub lost: Option<u64>,
    /// Interarrival jitter (RFC 3550 A.8) in milliseconds.
    pub jitter_ms: Option<f64>,
    /// Round-trip time by RTCP, in milliseconds, of the leg that the packets came over.
    pub rtt_ms: Option<f64>,
    /// Packets that came too late to be heard.
    pub late: Option<u64>,
    /// Packets that came again.
    pub duplicates: Option<u64>,
    /// Packets that never came, of those that were to be handed over.
    pub relay_lost: Option<u64>,
    /// Speech that was guessed because it was lost or late, in milliseconds; only where it is decoded here.
    pub concealed_ms: Option<f64>,
    /// The share that this is of what was decoded here, 0 to 1.
    pub concealed: Option<f64>,
    /// How long packets wait for their turn, in milliseconds; only while they are decoded here.
    pub playout_ms: Option<f64>,
    /// From mouth to ear as far as it is known, in milliseconds: half the round trips of both legs, the playout here and one packet.
    pub one_way_ms: Option<f64>,
    /// Transmission rating R of the E-model (ITU-T G.107) from the one-way delay and `scored_loss`, 0 to 93.2.
    pub r: Option<f64>,
    /// Mean opinion score of that rating, 1 to 4.5.
    pub mos: Option<f64>,
    /// The share of packets that never reached the receiver, 0 to 1, by its own RTCP.
    pub far_loss: Option<f64>,
    /// What the score took for the share that was lost, 0 to 1: what did not come over the near leg as it was said (guessed where it was decoded here, lost where it
    /// was handed over) and `far_loss`, or the former alone where the receiver says nothing.
    pub scored_loss: Option<f64>,
    /// How much longer than by chance losses were, as the score took it; only where they are decoded here, and some were.
    pub burst_ratio: Option<f64>,
    /// Which way packets took.
    pub path: Option<control::MediaPath>,
    /// The codec that came last, and the one in which it went on.
    pub codecs: Option<(sdp::Codec, sdp::Codec)>,
    /// Packets that went on to the other leg, our own among them.
    pub sent: u64,
    /// Octets of their payloads; not counted towards the browser.
    pub sent_octets: Option<u64>,
    /// How many of those never reached their receiver, by its RTCP.
    pub far_lost: Option<u64>,
    /// Of how many that is: what the receiver of the present told of.
    pub far_lost_of: Option<u64>,
    /// Interarrival jitter at their receiver, by its RTCP, in milliseconds.
    pub far_jitter_ms: Option<f64>,
    /// How it sounds to their receiver, in its own words (RFC 3611).
    pub far_voip: Option<Box<control::VoipMetrics>>,
}

impl DirectionReport {
    /// Packets received and accepted, each once.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        self.packets.saturating_sub(self.duplicates.unwrap_or(0))
    }

    /// The same as pages and administrators are told.
    #[must_use]
    pub fn quality(&self) -> control::DirectionQuality {
        let loss = self.lost.and_then(|lost| {
            let expected = lost.saturating_add(self.distinct());
            // Fractions of a call's packets; the counters are far below 2^52.
            #[allow(clippy::cast_precision_loss)]
            (expected > 0).then(|| lost as f64 / expected as f64)
        });
        control::DirectionQuality {
            packets: Some(self.packets),
            lost: self.lost,
            loss,
            far_loss: self.far_loss,
            late: self.late,
            duplicates: self.duplicates,
            jitter_ms: self.jitter_ms,
            rtt_ms: self.rtt_ms,
            concealed_ms: self.concealed_ms,
            playout_ms: self.playout_ms,
            one_way_ms: self.one_way_ms,
            r: self.r,
            mos: self.mos,
        }
    }
}
