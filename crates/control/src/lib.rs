//! What the outside may say: the agent protocol, administration types, error codes.
//!
//! [`PageRequest`] comes from a page over the WebSocket and is read by [`decode`], which checks everything
//! that a type cannot: lengths, digits, numbers. [`GatewayMessage`] goes back, written by [`encode`]. The types of
//! the administration interface are in [`admin`]. The protocol in words: `docs/agent-protocol.md`; as a JSON
//! schema: [`schema`].
//!
//! Fields and variants are documented where they need more than their name; their meaning on the wire is in
//! `docs/agent-protocol.md`.

pub mod admin;
mod browser_stats;
mod call;
mod codes;
mod decode;
mod details;
mod end_record;
mod fuzz;
mod gateway;
pub mod limits;
mod media_failure;
mod microphone;
mod number;
mod page;
mod schema;
mod secret;

pub use admin::{AgentStatus, ApiError, CallRecord, DrainStatus, EventRecord, ReadyReport};
pub use browser_stats::{BrowserCounts, BrowserReceived, BrowserSent, BrowserSpan, BrowserStats};
pub use call::{
    AnsweredBy, AudioDirection, AudioMissing, CallDirection, CallEnd, CallState, CallView, EndedBy,
    HeldBy, MissingReason, RecordAction, RecordingState, Remote, TransferState, TransferView,
};
pub use codes::{CloseCode, ErrorCode};
pub use decode::{Cause as DecodeCause, DecodeError, decode};
pub use details::{CallDetails, DivertedFrom, Ring, UserToUser, UserToUserEncoding};
pub use end_record::{
    EndDirection, EndMedia, EndReceived, EndRecord, EndRecording, EndScore, EndSent, MediaPath,
    VoipMetrics,
};
pub use fuzz::fuzz;
pub use gateway::{
    AdmissionReason, AgentView, DirectionQuality, GatewayMessage, HeardBadly, IceServer,
    MediaState, MessageWaiting, RegistrationState, RegistrationView, RemoteEvent, SiteRegistration,
    Welcome, encode,
};
pub use media_failure::MediaFailure;
pub use microphone::{MicrophoneState, MicrophoneView};
pub use number::{NumberError, check_digits, dial_number};
pub use page::{Client, PageMessage, PageRequest};
pub use schema::schema;
pub use secret::Secret;
