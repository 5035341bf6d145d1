//! The record of a call that is over: one JSON line in the file that `[cdr]` names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AnsweredBy, BrowserStats, CallDirection, CallEnd, Remote, TransferView};

/// What a call was: who, when, how it ended, and how it sounded. `null` is "not so" or "not measured", never zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndRecord {
    /// Version of this form: fields are added without a new one.
    pub version: u32,
    /// The call id, as in logs and in the agent protocol.
    pub call: String,
    /// `X-Genesys-CallUUID`.
    pub call_uuid: Option<String>,
    /// The agent's DN.
    pub dn: String,
    /// Who called.
    pub direction: CallDirection,
    /// The other party; only where `[cdr] numbers` asks for it.
    pub remote: Option<Remote>,
    /// When the call came into being, in ms since the epoch.
    pub created_ms: u64,
    /// When it was answered.
    pub answered_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: u64,
    /// From its beginning to the answer, or to the end where nobody answered, in ms.
    pub ring_ms: u64,
    /// From the answer to the end, in ms; holds are in it.
    pub talk_ms: Option<u64>,
    /// How long of that it was on hold, by whomever, in ms.
    pub held_ms: Option<u64>,
    /// What answered it.
    pub answered_by: Option<AnsweredBy>,
    /// How it ended.
    pub end: CallEnd,
    /// The transfer that was asked for last; its number only where `[cdr] numbers` asks for it.
    pub transfer: Option<TransferView>,
    /// Its recordings, in their order.
    #[serde(default)]
    pub recordings: Vec<EndRecording>,
    /// How the audio of the SIP side was secured at last: the crypto suite of SRTP, `none` for plain RTP, `null` where none was agreed.
    #[serde(default)]
    pub srtp: Option<String>,
    /// How it sounded; `null` where there was no media.
    pub media: Option<EndMedia>,
}

/// A recording of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndRecording {
    /// The file's name in the folder of recordings.
    pub file: String,
    /// When it began, in ms since the epoch.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// How long of that it was paused, and holds silence, in ms.
    pub paused_ms: u64,
    /// The file could not be written to its end; `None` where the disk had not said so in time.
    pub failed: Option<bool>,
}

impl EndRecord {
    /// The present version.
    pub const VERSION: u32 = 1;
}

/// How a call sounded, each direction apart, and each with its two legs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndMedia {
    /// What the agent heard: from the SIP leg to the browser's.
    pub to_agent: EndDirection,
    /// What the caller heard: from the browser's leg to the SIP one.
    pub to_caller: EndDirection,
    /// The browser's own view, where its page told it.
    pub browser: Option<BrowserStats>,
}

/// One direction of a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndDirection {
    /// Which way speech took.
    pub path: Option<MediaPath>,
    /// The leg that it came over.
    pub received: EndReceived,
    /// Speech that was guessed because it was lost or late, in ms; only where the gateway decodes.
    pub concealed_ms: Option<f64>,
    /// The share of speech that this is, from 0 to 1.
    pub concealed: Option<f64>,
    /// How long packets waited for their turn, in ms; only where the gateway decodes.
    pub playout_ms: Option<f64>,
    /// The leg that it left over.
    pub sent: EndSent,
    /// The verdict of the E-model and what it was made of.
    pub score: Option<EndScore>,
}

/// Which way speech took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaPath {
    /// Handed over as it came.
    Relay,
    /// Decoded and encoded again.
    Transcode,
    /// Some so, some so: an end changed its codec in mid-call.
    Both,
}

/// What came over a leg.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndReceived {
    /// The codec that came last: `pcmu`, `pcma`, `g722` or `opus`.
    pub codec: Option<String>,
    /// Packets that came.
    pub packets: u64,
    /// Packets that never came; one that came twice makes up for none.
    pub lost: Option<u64>,
    /// Packets that came too late to be heard.
    pub late: Option<u64>,
    /// Packets that came again.
    pub duplicates: Option<u64>,
    /// Interarrival jitter at the end (RFC 3550 appendix A.8) in ms.
    pub jitter_ms: Option<f64>,
    /// Round trip of this leg by RTCP in ms.
    pub rtt_ms: Option<f64>,
}

/// What left over a leg.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndSent {
    /// The codec that left last.
    pub codec: Option<String>,
    /// Packets that left, tones and keys of ours among them.
    pub packets: u64,
    /// Packets that its receiver never got, by its RTCP.
    pub lost: Option<u64>,
    /// Of how many that is: those of which its receiver told. Where another one came in mid-call, that is the last one.
    #[serde(default)]
    pub lost_of: Option<u64>,
    /// Interarrival jitter at its receiver, by its RTCP, in ms.
    pub jitter_ms: Option<f64>,
    /// How it sounded to its receiver, in the receiver's own words (RTCP XR, RFC 3611 section 4.7).
    #[serde(default)]
    pub voip: Option<Box<VoipMetrics>>,
}

/// The VoIP metrics block of RTCP extended reports (RFC 3611 section 4.7).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VoipMetrics {
    /// Share of packets that never came, 0 to 1.
    pub loss: f64,
    /// Share of packets that came too late to be heard, 0 to 1.
    pub discard: f64,
    /// Share of packets lost or too late within bursts, 0 to 1.
    pub burst_density: f64,
    /// The same between bursts.
    pub gap_density: f64,
    /// Mean length of bursts in ms.
    pub burst_ms: f64,
    /// Mean length of gaps in ms.
    pub gap_ms: f64,
    /// Round trip between the two ends of RTP in ms.
    pub rtt_ms: Option<f64>,
    /// What the far end itself adds, in ms.
    pub end_system_ms: Option<f64>,
    /// Level of speech in dBm.
    pub signal_dbm: Option<i8>,
    /// Level of noise in dBm.
    pub noise_dbm: Option<i8>,
    /// Residual echo return loss in dB.
    pub echo_loss_db: Option<u8>,
    /// Transmission rating.
    pub r: Option<u8>,
    /// Opinion score of listening.
    pub mos_lq: Option<f64>,
    /// Opinion score of a conversation.
    pub mos_cq: Option<f64>,
    /// The present delay of its jitter buffer in ms.
    pub jitter_buffer_ms: f64,
}

/// The E-model (ITU-T G.107).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndScore {
    /// Transmission rating, 0 to 93.2.
    pub r: f64,
    /// Mean opinion score, 1 to 4.5.
    pub mos: f64,
    /// Input: from mouth to ear as far as the gateway knows, in ms.
    pub one_way_ms: f64,
    /// Input: the share of speech that was not heard as it was said, 0 to 1: lost on either leg, or on the one that it came over where
    /// `far_loss` is `null`.
    pub loss: f64,
    /// What of it the leg that it left over lost, by the RTCP of its receiver; `null` where that sends none.
    #[serde(default)]
    pub far_loss: Option<f64>,
    /// Input: how much longer than by chance losses were (1 is chance); `null` counts as chance, and so does what the far leg lost.
    pub burst_ratio: Option<f64>,
}
