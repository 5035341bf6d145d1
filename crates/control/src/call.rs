//! A call as pages and administrators see it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CallDetails;

/// The whole picture of a call. It is sent again at each change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallView {
    /// Opaque, given by the gateway, never used twice.
    pub id: String,
    /// `X-Genesys-CallUUID`: the key that the desktop and SIP Server know the call by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_uuid: Option<String>,
    /// Who called.
    pub direction: CallDirection,
    /// Where it stands.
    pub state: CallState,
    /// The other party.
    pub remote: Remote,
    /// The other side can be heard before it answers: its ring-back tone, an announcement. Where it cannot, the page makes the
    /// ring-back tone itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub early_media: bool,
    /// What the call said about itself beside that. Every picture of a call shares it.
    #[serde(flatten)]
    pub details: Arc<CallDetails>,
    /// Who holds it, while it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<HeldBy>,
    /// What answered it, once it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<AnsweredBy>,
    /// When it came into being, in ms since the epoch.
    pub created_ms: u64,
    /// When it was answered, in ms since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub talking_ms: Option<u64>,
    /// The transfer that the agent has asked for, as far as it has come; it stays until the call ends or another one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferView>,
    /// Which way nothing is heard although both sides are connected, as long as that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_missing: Option<AudioMissing>,
    /// What becomes of its recording; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingState>,
    /// Somebody listens live.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listened: bool,
    /// What is said is neither recorded nor heard by whoever listens live, until it is resumed; also where there is nobody any more who would.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// How it ended; present in the state `ended` and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<CallEnd>,
}

/// One-way audio: nothing has come one way for at least 5 s while the other way flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AudioMissing {
    /// Which way.
    pub direction: AudioDirection,
    /// Why, most likely.
    pub reason: MissingReason,
}

/// A direction of audio, named for who should hear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AudioDirection {
    /// The agent.
    ToAgent,
    /// The other party.
    ToCaller,
}

/// Why nothing is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingReason {
    /// Packets come, but not from the address that SIP Server named.
    OtherAddress,
    /// Packets come, but not encrypted with the key that was agreed.
    OtherKey,
    /// Packets come, in a format that was not agreed.
    OtherFormat,
    /// Nothing comes at all: a firewall, or a microphone that gives nothing.
    Nothing,
}

/// What is done with the recording of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordAction {
    /// Begin one.
    Start,
    /// End it.
    Stop,
    /// Let there be silence in it (a card number is spoken).
    Pause,
    /// End the silence.
    Resume,
}

/// What becomes of the recording of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// Both directions are recorded.
    Recording,
    /// Silence is recorded.
    Paused,
    /// The file could not be written; nothing is recorded any more.
    Failed,
}

/// Who called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallDirection {
    /// SIP Server's INVITE. A call that the agent dials on the desktop is one too.
    Inbound,
    /// An INVITE of our own, after `dial`.
    Outbound,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// It is there, nothing rings yet.
    Offered,
    /// It rings, here or at the other side.
    Ringing,
    /// It is being answered.
    Answering,
    /// Both sides can be heard.
    Talking,
    /// It is on hold; `held_by` says by whom.
    Held,
    /// It is being ended.
    Ending,
    /// It is over; the last message about this call.
    Ended,
}

impl CallState {
    /// All of them, in the order of a call's life.
    pub const ALL: [Self; 7] = [
        Self::Offered,
        Self::Ringing,
        Self::Answering,
        Self::Talking,
        Self::Held,
        Self::Ending,
        Self::Ended,
    ];

    /// The name on the wire and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Ringing => "ringing",
            Self::Answering => "answering",
            Self::Talking => "talking",
            Self::Held => "held",
            Self::Ending => "ending",
            Self::Ended => "ended",
        }
    }
}

/// The other party.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Remote {
    /// Number or user name.
    pub number: String,
    /// Display name, as the other side wrote it: text to show, never markup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The other party does not want to be known (`Privacy`, RFC 3323); what stands in `number` is what it let through.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privacy: bool,
}

/// A transfer of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransferView {
    /// How far it has come.
    pub state: TransferState,
    /// The number that the call is handed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The other call of the agent that it is joined with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_call: Option<String>,
    /// The status that a failed transfer came to, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// Why it failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far a transfer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// The call is put on hold, and SIP Server is asked.
    Asking,
    /// SIP Server has agreed and calls the target.
    Trying,
    /// The target rings.
    Ringing,
    /// The target has taken the call; the agent's part of it ends.
    Done,
    /// The agent keeps the call; `sip_status` and `reason` say why.
    Failed,
}

/// Who holds a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeldBy {
    /// The page's own `hold`, or an administrator's.
    Agent,
    /// SIP Server by `NOTIFY Event: hold`: the Hold button of the desktop.
    TalkControl,
    /// The other side, by its session description.
    Remote,
}

/// What answered a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// SIP Server by `NOTIFY Event: talk`: the Answer button of the desktop.
    Talk,
    /// The page's own `answer`, or an administrator's.
    Agent,
    /// A header of the INVITE, or the agent's configuration.
    Auto,
}

/// Whose doing the end was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The other party or SIP Server.
    Remote,
    /// The agent.
    Agent,
    /// The gateway.
    Gateway,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallEnd {
    /// Whose doing it was.
    pub by: EndedBy,
    /// The final SIP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_status: Option<u16>,
    /// The text of the other side's `Reason` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A row of the failure table, `docs/talk-and-hold.md#how-calls-end`.
    pub cause: String,
}
