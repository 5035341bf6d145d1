//! Codes of refusal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a request was refused; `code` of `error` and of the administration interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// Not a JSON object with a `type`.
    BadMessage,
    /// The gateway does not know this `type`.
    UnknownType,
    /// A field is missing, of the wrong kind, too long or holds what it must not.
    BadField,
    /// `hello` did not come first; in the administration interface: the agent is not signed in.
    NotSignedIn,
    /// A second `hello`.
    AlreadySignedIn,
    /// The token is not accepted, or not for this.
    NotAllowed,
    /// No such DN in the configuration.
    UnknownDn,
    /// No such call, or none of this agent.
    UnknownCall,
    /// The call's state does not allow it.
    WrongState,
    /// The agent has as many calls as it may have.
    Busy,
    /// The number or the digits cannot be dialled.
    BadNumber,
    /// The DN is not registered, so nothing can be dialled.
    NotRegistered,
    /// The browser's media connection is not up.
    MediaNotReady,
    /// The media answer or candidate cannot be used.
    BadMedia,
    /// No media port is free, or another limit of the gateway is reached.
    Overload,
    /// The gateway takes no new calls.
    Draining,
    /// Too many requests.
    TooMany,
    /// This gateway cannot do that.
    NotSupported,
    /// A fault of the gateway.
    Internal,
}

impl ErrorCode {
    /// All of them, in the order of `docs/agent-protocol.md`.
    pub const ALL: [Self; 19] = [
        Self::BadMessage,
        Self::UnknownType,
        Self::BadField,
        Self::NotSignedIn,
        Self::AlreadySignedIn,
        Self::NotAllowed,
        Self::UnknownDn,
        Self::UnknownCall,
        Self::WrongState,
        Self::Busy,
        Self::BadNumber,
        Self::NotRegistered,
        Self::MediaNotReady,
        Self::BadMedia,
        Self::Overload,
        Self::Draining,
        Self::TooMany,
        Self::NotSupported,
        Self::Internal,
    ];

    /// The code on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadMessage => "bad_message",
            Self::UnknownType => "unknown_type",
            Self::BadField => "bad_field",
            Self::NotSignedIn => "not_signed_in",
            Self::AlreadySignedIn => "already_signed_in",
            Self::NotAllowed => "not_allowed",
            Self::UnknownDn => "unknown_dn",
            Self::UnknownCall => "unknown_call",
            Self::WrongState => "wrong_state",
            Self::Busy => "busy",
            Self::BadNumber => "bad_number",
            Self::NotRegistered => "not_registered",
            Self::MediaNotReady => "media_not_ready",
            Self::BadMedia => "bad_media",
            Self::Overload => "overload",
            Self::Draining => "draining",
            Self::TooMany => "too_many",
            Self::NotSupported => "not_supported",
            Self::Internal => "internal",
        }
    }
}

/// Why the gateway closes a page's connection (RFC 6455 section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: after `bye`.
    Normal,
    /// 1001: the gateway goes down; come back with `resume`.
    GoingAway,
    /// 4400: not a JSON text message.
    BadMessage,
    /// 4401: something else than `hello` came first.
    NotSignedIn,
    /// 4403: the token is not accepted, or its DN is not configured.
    NotAllowed,
    /// 4408: the page does not read what it is sent, or said no `hello` in time; come back.
    TooSlow,
    /// 4409: another page took the DN over. Coming back would start a fight.
    Replaced,
    /// 4413: a message above [`crate::limits::MAX_MESSAGE_BYTES`].
    TooLarge,
    /// 4429: too many messages, or too many connections.
    TooMany,
}

impl CloseCode {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Normal,
        Self::GoingAway,
        Self::BadMessage,
        Self::NotSignedIn,
        Self::NotAllowed,
        Self::TooSlow,
        Self::Replaced,
        Self::TooLarge,
        Self::TooMany,
    ];

    /// The number in the close frame.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::BadMessage => 4400,
            Self::NotSignedIn => 4401,
            Self::NotAllowed => 4403,
            Self::TooSlow => 4408,
            Self::Replaced => 4409,
            Self::TooLarge => 4413,
            Self::TooMany => 4429,
        }
    }

    /// The text in the close frame; below 123 bytes (RFC 6455 section 5.5).
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "signed out",
            Self::GoingAway => "the gateway goes down",
            Self::BadMessage => "bad message",
            Self::NotSignedIn => "not signed in",
            Self::NotAllowed => "not allowed",
            Self::TooSlow => "too slow",
            Self::Replaced => "replaced by another page",
            Self::TooLarge => "message too large",
            Self::TooMany => "too many",
        }
    }
}
