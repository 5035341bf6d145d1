//! Types of the administration interface: `/api/v1/...`, `/readyz`, server-sent events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BrowserStats, CallDirection, CallState, CallView, DirectionQuality, ErrorCode, HeardBadly,
    HeldBy, MediaFailure, MediaState, MicrophoneView, RecordAction, RecordingState,
    RegistrationView, RemoteEvent,
};

/// An agent: `GET /api/v1/agents`, `/api/v1/agents/{dn}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentStatus {
    /// The DN.
    pub dn: String,
    /// The name in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A page of this agent is there, or away within the grace time.
    pub signed_in: bool,
    /// The page is away; the session is kept for the grace time.
    #[serde(default)]
    pub away: bool,
    /// The registration at SIP Server.
    pub registration: RegistrationView,
    /// The media connection to the browser; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaState>,
    /// Why the last one failed, until another is up; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_failure: Option<MediaFailure>,
    /// The microphone is muted, as far as the page said.
    #[serde(default)]
    pub muted: bool,
    /// The microphone, as the page said last; `null` while it has said nothing.
    #[serde(default)]
    pub microphone: Option<MicrophoneView>,
    /// Calls that are up.
    pub calls: Vec<CallView>,
}

/// A call: `GET /api/v1/calls`, `/api/v1/calls/{id}`. Ended calls are kept for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallRecord {
    /// The agent's DN.
    pub dn: String,
    /// The call as the page sees it.
    #[serde(flatten)]
    pub call: CallView,
    /// How the audio of the SIP side is secured: the crypto suite of SRTP, `none` for plain RTP, `null` while none is agreed.
    #[serde(default)]
    pub srtp: Option<String>,
    /// The last measurement, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<CallQuality>,
    /// The last `report` of the browser's own statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser_stats: Option<serde_json::Value>,
}

/// Quality of a call, each direction apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallQuality {
    /// What the agent hears.
    pub to_agent: DirectionQuality,
    /// What the caller hears.
    pub to_caller: DirectionQuality,
    /// What the browser itself says, where its page has told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<Box<BrowserStats>>,
}

/// One server-sent event of `GET /api/v1/events`; `event.type` is also the name of the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventRecord {
    /// Counts up by one; a gap means that events were lost. `Last-Event-ID` takes it.
    pub seq: u64,
    /// When it happened, in ms since the epoch.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A page signed in.
    SignedIn {
        /// The DN.
        dn: String,
        /// It came back to a session that was kept.
        resumed: bool,
        /// It took the DN over from another page.
        replaced: bool,
    },
    /// The page's connection is lost; the session is kept for the grace time.
    PageAway {
        /// The DN.
        dn: String,
    },
    /// The session is over.
    SignedOut {
        /// The DN.
        dn: String,
        /// `bye`, `grace_over`, `removed` or `shutdown`.
        cause: String,
    },
    /// A registration changed.
    Registration {
        /// The DN.
        dn: String,
        /// What it is now.
        registration: RegistrationView,
    },
    /// The media connection of an agent changed; absent state: it is closed.
    Media {
        /// The DN.
        dn: String,
        /// What it is now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<MediaState>,
        /// Why, where the state is `failed`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<MediaFailure>,
    },
    /// A call came, changed or ended.
    Call {
        /// The DN.
        dn: String,
        /// The whole picture.
        call: CallView,
    },
    /// SIP Server asked for something inside a call.
    RemoteControl {
        /// The DN.
        dn: String,
        /// The call.
        call: String,
        /// What was asked for.
        event: RemoteEvent,
        /// What came of it, as in the metric `talk_total`.
        result: String,
    },
    /// The other party has pressed a key.
    DtmfReceived {
        /// The DN.
        dn: String,
        /// The call.
        call: String,
        /// `0`-`9`, `*`, `#` or `A`-`D`.
        digit: String,
    },
    /// A call has turned bad for somebody who hears it, or is well again: both are false then.
    HeardBadly {
        /// The DN.
        dn: String,
        /// The call.
        call: String,
        /// For whom.
        #[serde(flatten)]
        badly: HeardBadly,
    },
    /// The last measurement of a call.
    Quality {
        /// The DN.
        dn: String,
        /// The call.
        call: String,
        /// The measurement.
        #[serde(flatten)]
        quality: CallQuality,
    },
    /// New calls are refused from now on.
    Draining {
        /// Calls that are still up.
        calls: usize,
    },
    /// A media worker has too much to do, and calls of its agents are refused, or it takes calls again.
    Overload {
        /// Which one, counted from 0.
        worker: usize,
        /// Calls are refused.
        overloaded: bool,
    },
    /// The configuration was read again.
    Reloaded {
        /// DNs that are new.
        added: usize,
        /// DNs that are gone.
        removed: usize,
    },
    /// The reader was too slow, or came back too late: events are missing before the next one.
    Missed {
        /// How many; `null` where nobody knows, because the gateway was started anew.
        events: Option<u64>,
    },
}

/// A refusal of the administration interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiError {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

/// `GET /readyz`: whether a load balancer should send agents here. Status 200 or 503.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadyReport {
    /// All checks passed.
    pub ready: bool,
    /// What was looked at.
    pub checks: Vec<ReadyCheck>,
}

/// One check of [`ReadyReport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadyCheck {
    /// What was looked at.
    pub name: String,
    /// It is as it should be.
    pub ok: bool,
    /// What was found, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// `POST /api/v1/drain`: where draining stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrainStatus {
    /// New calls are refused.
    pub draining: bool,
    /// Calls that are still up.
    pub calls: usize,
    /// Pages that are signed in.
    pub pages: usize,
}

/// Body of `POST /api/v1/agents/{dn}/dial`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DialRequest {
    /// See [`crate::dial_number`] for what is allowed.
    pub number: String,
}

/// Body of `POST /api/v1/calls/{id}/dtmf`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DtmfRequest {
    /// `0-9`, `*`, `#`, `A-D`.
    pub digits: String,
}

/// Body of `POST /api/v1/calls/{id}/transfer`: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransferRequest {
    /// A number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Another call of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_call: Option<String>,
}

/// Body of `POST /api/v1/calls/{id}/record`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordRequest {
    /// What to do.
    pub action: RecordAction,
}

/// What stands behind the `?` of `GET /api/v1/calls/{id}/tap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TapQuery {
    /// Samples per second of each direction: 8000 or 16000 (unless said).
    #[serde(default)]
    pub rate_hz: Option<u32>,
}

/// What a live consumer is told between the samples: the text messages of `GET /api/v1/calls/{id}/tap`. `at_ms` counts from its first sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TapMessage {
    /// Samples follow: 16 bits, little-endian, by turns of the caller and of the agent, 20 ms a message.
    Start {
        /// The call.
        call: String,
        /// `X-Genesys-CallUUID`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call_uuid: Option<String>,
        /// The agent's DN.
        dn: String,
        /// Who called.
        direction: CallDirection,
        /// Where the call stands.
        state: CallState,
        /// Samples per second of each direction.
        rate_hz: u32,
    },
    /// Something happened to the call here.
    Mark {
        /// Where, in ms from the first sample.
        at_ms: u64,
        /// Where the call stands now.
        state: CallState,
        /// Who holds it, while it is held.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held_by: Option<HeldBy>,
        /// What becomes of its recording.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recording: Option<RecordingState>,
        /// The call is paused, whether it is recorded or not: the samples are silence.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        paused: bool,
    },
    /// The consumer was too slow: samples are missing here.
    Dropped {
        /// Where, in ms from the first sample.
        at_ms: u64,
        /// How many ms.
        ms: u64,
    },
    /// The call is over; the connection closes.
    Stop,
}

/// Reply to a command that was taken: status 202.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// The new call, after `dial`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}
