//! What the gateway says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BrowserStats, CallView, ErrorCode, MediaFailure, Remote, Secret};

/// What the gateway says to a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GatewayMessage {
    /// The page is signed in.
    Welcome(Welcome),
    /// The registration of the DN changed.
    Registration(RegistrationView),
    /// Other helpers for the page's peer connection than those of `welcome`: their credentials are good for longer.
    IceServers {
        /// All of them. A connection that is up goes on; the next one, and the next ICE restart, uses these.
        ice_servers: Vec<IceServer>,
    },
    /// The gateway offers its end of the media connection.
    MediaOffer {
        /// A session description: audio only, one media line.
        sdp: String,
        /// It restarts ICE on the connection that is there instead of beginning a new one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        restart: bool,
        /// Its number in the session, for the answer to repeat.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offer: Option<u64>,
    },
    /// ICE and DTLS of the media connection, as the gateway sees them.
    MediaState {
        /// The state now.
        state: MediaState,
        /// Why, where the state is `failed`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<MediaFailure>,
    },
    /// A call came, changed or ended.
    Call {
        /// The whole picture.
        call: CallView,
    },
    /// SIP Server asked for something within a call; what came of it the call says.
    RemoteControl {
        /// The call.
        call: String,
        /// What was asked for.
        event: RemoteEvent,
        /// The digits of `dtmf`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digits: Option<String>,
    },
    /// The other party has pressed a key.
    DtmfReceived {
        /// The call.
        call: String,
        /// `0`-`9`, `*`, `#` or `A`-`D`; each key once.
        digit: String,
    },
    /// Messages wait for the agent, or no longer.
    MessageWaiting(MessageWaiting),
    /// Somebody has sent a text, where the gateway is configured to show it.
    InstantMessage {
        /// The call it came in; absent outside of any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<String>,
        /// Who has sent it.
        from: Remote,
        /// Text to show, never markup. Lines end in LF.
        text: String,
    },
    /// How well the call is heard; every 5 s.
    Quality {
        /// The call.
        call: String,
        /// What the agent hears.
        to_agent: Box<DirectionQuality>,
        /// What the caller hears.
        to_caller: Box<DirectionQuality>,
        /// What the browser itself says, where its page has told it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        browser: Option<Box<BrowserStats>>,
        /// Who hears the call badly now; absent while both hear well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heard_badly: Option<HeardBadly>,
    },
    /// Calls are refused from now on, or taken again. A page that is told nothing can expect calls.
    Admission {
        /// Calls are taken.
        open: bool,
        /// Why they are not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<AdmissionReason>,
    },
    /// Another page took the DN over; the connection closes with 4409.
    Replaced,
    /// A request was done, or is under way.
    Ok {
        /// The `id` of the request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// A request was refused.
    Error {
        /// The `id` of the request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
    },
}

/// What a page learns when it has signed in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    /// Whose page this is.
    pub agent: AgentView,
    /// Names the session in logs. Not a secret.
    pub session: String,
    /// What `hello` must carry to come back to this session. A secret.
    pub resume: Secret,
    /// The registration now.
    pub registration: RegistrationView,
    /// Helpers for the page's peer connection; often none.
    pub ice_servers: Vec<IceServer>,
    /// What SIP Server said last about waiting messages; absent when it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_waiting: Option<MessageWaiting>,
    /// The page may begin and end recordings; it may pause in any case.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_record: bool,
    /// Calls that are up.
    pub calls: Vec<CallView>,
}

/// Messages that wait for the agent (RFC 3842).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageWaiting {
    /// There are some.
    pub waiting: bool,
    /// Voice messages that nobody has heard, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<u32>,
    /// Voice messages that were heard, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<u32>,
}

/// The agent of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentView {
    /// The DN.
    pub dn: String,
    /// The name in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The registration of a DN at SIP Server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationView {
    /// Where it stands.
    pub state: RegistrationState,
    /// The last final status of a REGISTER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// Why it failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The server, as `host` or `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Seconds for which the server granted the registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u32>,
    /// Where the DN is registered at several sites: each of them, in order of preference. The fields above are then those of the
    /// site that stands best.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<SiteRegistration>,
}

/// The registration of a DN at one of several sites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SiteRegistration {
    /// The site's name.
    pub site: String,
    /// Where it stands.
    pub state: RegistrationState,
    /// The last final status of a REGISTER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// Why it failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The server, as `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Seconds for which the server granted the registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u32>,
}

/// Where a registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationState {
    /// A REGISTER is under way or planned.
    Registering,
    /// Calls can come.
    Registered,
    /// The server refused or is silent; it is tried again.
    Failed,
    /// Not wanted.
    Unregistered,
}

/// State of the media connection between gateway and browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaState {
    /// Being set up.
    Connecting,
    /// Audio can flow.
    Connected,
    /// Lost; it may come back by itself.
    Disconnected,
    /// Lost for good; a new offer is needed.
    Failed,
}

/// Why calls are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdmissionReason {
    /// The gateway has more to do than it can, and those who talk come first.
    Overload,
}

/// What SIP Server can ask for inside a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemoteEvent {
    /// Answer, or take off hold.
    Talk,
    /// Put on hold.
    Hold,
    /// Send digits.
    Dtmf,
    /// Play a beep.
    Beep,
}

impl RemoteEvent {
    /// The word for it, as in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Talk => "talk",
            Self::Hold => "hold",
            Self::Dtmf => "dtmf",
            Self::Beep => "beep",
        }
    }
}

/// For whom a call sounds bad, in what was measured lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeardBadly {
    /// The agent hears badly.
    pub to_agent: bool,
    /// The other side hears badly.
    pub to_caller: bool,
}

impl HeardBadly {
    /// Whether anybody does.
    #[must_use]
    pub const fn by_anybody(self) -> bool {
        self.to_agent || self.to_caller
    }
}

/// Quality of one direction. `null` is "not measured", never "none".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DirectionQuality {
    /// Packets that came.
    pub packets: Option<u64>,
    /// Packets that never came.
    pub lost: Option<u64>,
    /// Their share, from 0 to 1.
    pub loss: Option<f64>,
    /// The share of what went on from here that never reached its receiver, from 0 to 1, by its own RTCP; `null` while it sends none.
    #[serde(default)]
    pub far_loss: Option<f64>,
    /// Packets that came too late to be heard.
    pub late: Option<u64>,
    /// Packets that came again.
    pub duplicates: Option<u64>,
    /// Interarrival jitter (RFC 3550 appendix A.8) in ms.
    pub jitter_ms: Option<f64>,
    /// Round-trip time in ms of the leg that the packets came over (RTCP).
    pub rtt_ms: Option<f64>,
    /// Speech that was guessed because it was lost or late, in ms; `null` where the gateway does not decode.
    pub concealed_ms: Option<f64>,
    /// How long packets wait in the gateway for their turn, in ms; `null` where it does not decode.
    pub playout_ms: Option<f64>,
    /// From mouth to ear as far as the gateway knows, in ms.
    pub one_way_ms: Option<f64>,
    /// Transmission rating of the E-model (ITU-T G.107), from 0 to 93.2, of both legs, or of the one that the packets came over where
    /// `far_loss` is `null`.
    pub r: Option<f64>,
    /// Mean opinion score of that rating, from 1 to 4.5.
    pub mos: Option<f64>,
}

/// A STUN or TURN server, in the shape of `RTCIceServer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IceServer {
    /// `stun:`, `turn:` and `turns:` URLs.
    pub urls: Vec<String>,
    /// User name for TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Password for TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Secret>,
}

/// The text of a message.
#[must_use]
pub fn encode(message: &GatewayMessage) -> String {
    serde_json::to_string(message).expect("no map with keys other than strings, no failing impl")
}
