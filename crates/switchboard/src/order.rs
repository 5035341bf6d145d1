//! Orders of administrators, and what becomes of them.

use crate::ids::{CallId, TapId};

/// Commands of the administration interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminCommand {
    /// Answer a ringing call.
    Answer(CallId),
    /// Hang a call up (or reject a ringing one).
    Hangup(CallId),
    /// Hold a call.
    Hold(CallId),
    /// Retrieve a call.
    Retrieve(CallId),
    /// Send digits.
    Dtmf(CallId, String),
    /// Hand a call to somebody else.
    Transfer(CallId, TransferTo),
    /// Begin, end, pause or resume the recording of a call.
    Record(CallId, control::RecordAction),
    /// Let a consumer listen to a call. It has chosen a name that no recording has; [`crate::RecordingCommand::Close`] says when no more comes.
    Tap {
        /// The call.
        call: CallId,
        /// The consumer.
        tap: TapId,
        /// Samples per second of each direction, 8000 or 16000.
        rate_hz: u32,
    },
    /// Dial a number from a DN.
    Dial {
        /// The DN.
        dn: String,
        /// The number.
        number: String,
    },
}

/// Whom a call is handed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferTo {
    /// A number at SIP Server.
    Number(String),
    /// The other party of another call of the same agent.
    Call(CallId),
}

/// Reply to an [`AdminCommand`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminReply {
    /// Done, or under way.
    Accepted,
    /// A call was started.
    Dialing(CallId),
}

/// Why an [`AdminCommand`] was refused; the shell maps it to an HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminRefusal {
    /// The DN is not registered.
    #[error("the dn is not registered at SIP Server")]
    NotRegistered,
    /// The agent's browser has no media connection.
    #[error("the browser's media connection is not up")]
    MediaNotReady,
    /// No such call.
    #[error("no such call")]
    UnknownCall,
    /// No such DN.
    #[error("no such dn")]
    UnknownDn,
    /// The agent is not signed in.
    #[error("the agent of this dn is not signed in")]
    NotSignedIn,
    /// The call's state does not allow it.
    #[error("the call's state does not allow it")]
    WrongState,
    /// The call is being transferred to somebody else already.
    #[error("the call is being transferred already")]
    Transferring,
    /// The call that another one is to be joined with is not answered, is the same, or is being transferred.
    #[error(
        "the two calls cannot be joined: both must be answered, and neither under way to somebody else"
    )]
    NotJoinable,
    /// Nothing is recorded here.
    #[error("no folder for recordings is configured")]
    NoRecording,
    /// Not by a page.
    #[error("recordings are not begun and ended by pages here")]
    NotAllowed,
    /// As many listen to the call as may.
    #[error("as many listen to the call as may")]
    TooMany,
    /// The gateway is draining.
    #[error("the gateway is draining")]
    Draining,
    /// The agent has as many calls as it may have.
    #[error("the agent has as many calls as it may have")]
    Busy,
    /// The number or the digits cannot be dialled.
    #[error("expected digits, or a number that can be dialled")]
    BadNumber,
    /// The other side takes no digits.
    #[error("the other side takes no digits")]
    NoDigits,
    /// No RTP port is free.
    #[error("no media port is free")]
    NoPort,
    /// The media worker of the agent has more to do than it can.
    #[error("the gateway has more to do than it can: try again in a moment")]
    Overload,
    /// There are as many SIP dialogs or transactions as there may be.
    #[error("the gateway has as many SIP calls as it may have")]
    NoRoom,
}
