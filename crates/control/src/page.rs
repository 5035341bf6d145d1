//! What a page says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{MicrophoneView, RecordAction, Secret};

/// A message of a page, with the `id` that its reply carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PageRequest {
    /// Chosen by the page; the `ok` or `error` that answers has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The message.
    #[serde(flatten)]
    pub message: PageMessage,
}

/// What a page says. Fields that are not known are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PageMessage {
    /// The first message: who is there.
    Hello {
        /// A token that names the DN.
        token: Secret,
        /// The resume secret of an earlier `welcome`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume: Option<Secret>,
        /// What program this is, for the log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<Client>,
        /// The page's peer connection outlived the lost socket, so the gateway needs not offer a new one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        media_kept: bool,
    },
    /// The answer to `media_offer`.
    MediaAnswer {
        /// A session description.
        sdp: String,
        /// The number of the offer. An answer to one that another has taken the place of counts for nothing; without it this one is taken for the
        /// answer to the last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offer: Option<u64>,
    },
    /// A trickled ICE candidate.
    MediaCandidate {
        /// The candidate line; `null` ends them.
        candidate: Option<String>,
        /// Which media line it belongs to, by tag.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sdp_mid: Option<String>,
        /// Which media line it belongs to, by index.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sdp_mline_index: Option<u16>,
    },
    /// The network changed: please offer with an ICE restart.
    MediaRestart,
    /// Answer a ringing call.
    Answer {
        /// Which.
        call: String,
    },
    /// Refuse a ringing call.
    Reject {
        /// Which.
        call: String,
    },
    /// End a call.
    Hangup {
        /// Which.
        call: String,
    },
    /// Put a call on hold.
    Hold {
        /// Which.
        call: String,
    },
    /// Take a call off hold.
    Retrieve {
        /// Which.
        call: String,
    },
    /// Call a number.
    Dial {
        /// See [`crate::dial_number`] for what is allowed.
        number: String,
    },
    /// Send digits into a call.
    Dtmf {
        /// Which.
        call: String,
        /// `0-9`, `*`, `#`, `A-D`.
        digits: String,
    },
    /// Transfer a call to a number, or join it with another call. Exactly one of the two is given.
    Transfer {
        /// Which.
        call: String,
        /// A number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// Another call of the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to_call: Option<String>,
    },
    /// Begin, end, pause or resume the recording of a call.
    Record {
        /// Which.
        call: String,
        /// What to do.
        action: RecordAction,
    },
    /// The microphone was muted or unmuted; told so that every observer knows.
    Mute {
        /// What it is now.
        muted: bool,
    },
    /// The microphone was opened, lost, or muted outside of the page; told so that every observer knows.
    Microphone(MicrophoneView),
    /// The browser's own view of quality.
    Stats {
        /// What the browser measured; kept as it is.
        report: serde_json::Value,
    },
    /// Sign out.
    Bye,
}

impl PageMessage {
    /// Every `type` that a page may send, in the order of `docs/agent-protocol.md`.
    pub const TYPES: [&'static str; 17] = [
        "hello",
        "media_answer",
        "media_candidate",
        "media_restart",
        "answer",
        "reject",
        "hangup",
        "hold",
        "retrieve",
        "dial",
        "dtmf",
        "transfer",
        "record",
        "mute",
        "microphone",
        "stats",
        "bye",
    ];
}

/// What program speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}
