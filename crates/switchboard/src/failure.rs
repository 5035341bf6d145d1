//! Why a call ended, and what each cause becomes on the wire, on the page and in the metrics.
//!
//! One table, printed by a snapshot test and shown in `docs/talk-and-hold.md#how-calls-end`.

use std::fmt;

use control::EndedBy;

/// Why a call ended. Every end goes through one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The other side sent BYE.
    RemoteHangup,
    /// The other side sent CANCEL before we answered.
    RemoteCancel,
    /// The other side refused the agent's call.
    RemoteRejected,
    /// The agent hung up.
    AgentHangup,
    /// The agent refused a ringing call.
    AgentReject,
    /// The agent gave a dialled call up before it was answered.
    AgentCancel,
    /// The agent handed the call to somebody else.
    Transferred,
    /// Another call took its place, as SIP Server asked.
    Replaced,
    /// The agent signed out with the call up.
    AgentSignOut,
    /// The page did not come back within the grace time.
    BrowserGone,
    /// The browser leg was not ready in time, or was lost and did not come back.
    BrowserMedia,
    /// The DN is not in the configuration.
    UnknownDn,
    /// Nobody is signed in on the DN.
    NotSignedIn,
    /// The agent has as many calls as it may have.
    Busy,
    /// The offer has no codec that is configured.
    NoCommonCodec,
    /// One side wants SRTP and the other does not, or they have no suite in common.
    SrtpMismatch,
    /// The session description cannot be read or used.
    BadSdp,
    /// The ACK of our offer came without an answer.
    NoSdpInAck,
    /// No ACK came for 64*T1.
    AckMissing,
    /// The caller wanted to acknowledge our ringing, and did not for 64*T1.
    PrackMissing,
    /// No answer came to the agent's call.
    NoResponse,
    /// Nobody answered, and the caller's CANCEL never came: a call must not ring for ever.
    NoAnswer,
    /// The call whose place another was to take is not known, is not that agent's, or only rings.
    ReplacesUnknown,
    /// The call whose place another was to take has been ended by us.
    ReplacesEnded,
    /// The call whose place another was to take, if it was not answered yet, is.
    ReplacesAnswered,
    /// Which call another was to take the place of cannot be read.
    ReplacesUnreadable,
    /// The INVITE cannot be processed: it, or its Contact, is not of the grammar.
    BadRequest,
    /// The INVITE insists (`Require`) on an extension that is not there.
    BadExtension,
    /// No port of the range could be bound.
    NoPort,
    /// The gateway is full.
    Overload,
    /// The tables of SIP transactions or dialogs are full.
    TablesFull,
    /// The gateway takes no new calls.
    Draining,
    /// The gateway is going down.
    Shutdown,
    /// The dialog ended without a BYE: its transport, its session timer or its transaction failed.
    DialogLost,
}

/// Whose doing an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody's: calls end.
    Normal,
    /// SIP Server or the party behind it.
    SipServer,
    /// The agent's browser or its network.
    Browser,
    /// We, or how we are configured.
    Gateway,
}

/// What a cause becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Final status of an INVITE that is not answered yet; `None` where we never answer one for this cause.
    pub sip: Option<u16>,
    /// `cause` of the agent protocol and label of `talkbridge_calls_ended_total`.
    pub cause: &'static str,
    /// `end.by` of the agent protocol.
    pub by: EndedBy,
    /// Whose doing.
    pub fault: Fault,
}

impl Cause {
    /// Every cause, in the order of the table.
    pub const ALL: [Self; 34] = [
        Self::RemoteHangup,
        Self::RemoteCancel,
        Self::RemoteRejected,
        Self::AgentHangup,
        Self::AgentReject,
        Self::AgentCancel,
        Self::Transferred,
        Self::Replaced,
        Self::AgentSignOut,
        Self::BrowserGone,
        Self::BrowserMedia,
        Self::UnknownDn,
        Self::NotSignedIn,
        Self::Busy,
        Self::NoCommonCodec,
        Self::SrtpMismatch,
        Self::BadSdp,
        Self::NoSdpInAck,
        Self::AckMissing,
        Self::PrackMissing,
        Self::NoResponse,
        Self::NoAnswer,
        Self::ReplacesUnknown,
        Self::ReplacesEnded,
        Self::ReplacesAnswered,
        Self::ReplacesUnreadable,
        Self::BadRequest,
        Self::BadExtension,
        Self::NoPort,
        Self::Overload,
        Self::TablesFull,
        Self::Draining,
        Self::Shutdown,
        Self::DialogLost,
    ];

    /// The one row of the failure table for this cause.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        use EndedBy::{Agent, Gateway, Remote};
        let (sip, cause, by, fault) = match self {
            Self::RemoteHangup => (None, "remote_hangup", Remote, Fault::Normal),
            Self::RemoteCancel => (Some(487), "remote_cancel", Remote, Fault::Normal),
            Self::RemoteRejected => (None, "remote_rejected", Remote, Fault::Normal),
            Self::AgentHangup => (None, "agent_hangup", Agent, Fault::Normal),
            Self::AgentReject => (Some(603), "agent_reject", Agent, Fault::Normal),
            Self::AgentCancel => (None, "agent_cancel", Agent, Fault::Normal),
            Self::Transferred => (None, "transferred", Agent, Fault::Normal),
            Self::Replaced => (None, "replaced", Remote, Fault::Normal),
            Self::AgentSignOut => (Some(480), "agent_sign_out", Agent, Fault::Normal),
            Self::BrowserGone => (Some(480), "browser_gone", Gateway, Fault::Browser),
            Self::BrowserMedia => (Some(480), "browser_media", Gateway, Fault::Browser),
            Self::UnknownDn => (Some(404), "unknown_dn", Gateway, Fault::Gateway),
            Self::NotSignedIn => (Some(480), "not_signed_in", Gateway, Fault::Normal),
            Self::Busy => (Some(486), "busy", Gateway, Fault::Normal),
            Self::NoCommonCodec => (Some(488), "no_common_codec", Gateway, Fault::SipServer),
            Self::SrtpMismatch => (Some(488), "srtp_mismatch", Gateway, Fault::SipServer),
            Self::BadSdp => (Some(488), "bad_sdp", Gateway, Fault::SipServer),
            Self::NoSdpInAck => (None, "no_sdp_in_ack", Gateway, Fault::SipServer),
            Self::AckMissing => (None, "ack_missing", Gateway, Fault::SipServer),
            Self::PrackMissing => (Some(504), "prack_missing", Gateway, Fault::SipServer),
            Self::NoResponse => (None, "no_response", Gateway, Fault::SipServer),
            Self::NoAnswer => (Some(480), "no_answer", Gateway, Fault::SipServer),
            Self::ReplacesUnknown => (Some(481), "replaces_unknown", Gateway, Fault::SipServer),
            Self::ReplacesEnded => (Some(603), "replaces_ended", Gateway, Fault::Normal),
            Self::ReplacesAnswered => (Some(486), "replaces_answered", Gateway, Fault::Normal),
            Self::ReplacesUnreadable => {
                (Some(400), "replaces_unreadable", Gateway, Fault::SipServer)
            }
            Self::BadRequest => (Some(400), "bad_request", Gateway, Fault::SipServer),
            Self::BadExtension => (Some(420), "bad_extension", Gateway, Fault::SipServer),
            Self::NoPort => (Some(503), "no_port", Gateway, Fault::Gateway),
            Self::Overload => (Some(503), "overload", Gateway, Fault::Gateway),
            Self::TablesFull => (Some(503), "tables_full", Gateway, Fault::Gateway),
            Self::Draining => (Some(503), "draining", Gateway, Fault::Normal),
            Self::Shutdown => (Some(503), "shutdown", Gateway, Fault::Normal),
            Self::DialogLost => (None, "dialog_lost", Gateway, Fault::SipServer),
        };
        Outcome {
            sip,
            cause,
            by,
            fault,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.outcome().cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table that the docs show.
    #[test]
    fn failure_table() {
        let mut table =
            String::from("| cause | SIP status | ended by | whose doing |\n|---|---|---|---|\n");
        for cause in Cause::ALL {
            let row = cause.outcome();
            let sip = row
                .sip
                .map_or_else(|| "-".to_owned(), |status| status.to_string());
            table += &format!(
                "| `{}` | {sip} | {:?} | {:?} |\n",
                row.cause, row.by, row.fault
            );
        }
        insta::assert_snapshot!(table);
        let docs = include_str!("../../../docs/talk-and-hold.md");
        for line in table.lines() {
            assert!(
                docs.contains(line),
                "docs/talk-and-hold.md lacks the row: {line}"
            );
        }
    }

    /// Two causes that share a name would be one number in the metrics.
    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = Cause::ALL
            .iter()
            .map(|cause| cause.outcome().cause)
            .collect();
        assert_eq!(names.len(), Cause::ALL.len());
    }
}
