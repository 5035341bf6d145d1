//! What the switchboard tells operators: the closed set of facts, and the values in them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use control::HeardBadly;
use sip::ua::RefusedReason;

use crate::failure::Cause;
use crate::ids::{CallId, WorkerId};
use crate::io::{BrowserState, MediaDirection, MediaReport, MissingAudio};
use crate::overload::WorkerLoad;

/// Names a call in facts: what every log line of a call carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRef {
    /// The call.
    pub call: CallId,
    /// `X-Genesys-CallUUID`, the key that the desktop, SIP Server and we share.
    pub call_uuid: Option<String>,
    /// The agent's DN.
    pub dn: String,
}

/// Something an operator may want to see. One place in the shell turns these into logs, metrics and events.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A page that a valid token names the DN of was not signed in.
    SignInRefused {
        /// The DN.
        dn: String,
        /// Why.
        code: control::ErrorCode,
    },
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
        /// Why.
        cause: SignOutCause,
    },
    /// A registration changed.
    Registration {
        /// The DN.
        dn: String,
        /// At which site; `None` where there is only one.
        site: Option<String>,
        /// State, SIP status and reason.
        status: sip::ua::RegistrationStatus,
    },
    /// The clock of the host has jumped: it was set, or the machine slept.
    ClockJumped {
        /// What it would say now, milliseconds since the epoch.
        was_ms: u64,
        /// What it says.
        is_ms: u64,
    },
    /// A SIP Server no longer answers, or answers again.
    SipServer {
        /// Of which site; `None` where there is only one.
        site: Option<String>,
        /// The server.
        server: SocketAddr,
        /// It answers.
        up: bool,
    },
    /// A site has other SIP Servers than before.
    SipServers {
        /// Which site; `None` where there is only one.
        site: Option<String>,
        /// All of them, in order of preference.
        servers: Vec<SocketAddr>,
        /// Those that were named and are not used, since another site has them.
        elsewhere: Vec<SocketAddr>,
    },
    /// A DN that is to be registered cannot be: nobody knows the SIP Servers of the site.
    NoSipServer {
        /// The DN.
        dn: String,
        /// The site; `None` where there is only one.
        site: Option<String>,
        /// Why, in the words of an administrator.
        reason: String,
    },
    /// The warm leg of an agent changed. A failure is a fact of its own.
    BrowserLeg {
        /// The DN.
        dn: String,
        /// The leg's state; `None` when there is none any more.
        state: Option<BrowserState>,
    },
    /// A leg of an agent failed, or the browser closed it.
    BrowserLegFailed {
        /// The DN.
        dn: String,
        /// The call that it carried, if any.
        call: Option<CallRef>,
        /// Why.
        failure: control::MediaFailure,
    },
    /// The page's answer to our offer could not be used.
    BrowserRefused {
        /// The DN.
        dn: String,
        /// What was wrong.
        reason: String,
    },
    /// A call came in, or the agent dials.
    CallOffered {
        /// The call.
        call: CallRef,
        /// `true` for a call by the agent's own INVITE.
        outbound: bool,
        /// The other party: personal data, DEBUG only.
        number: String,
    },
    /// 180 was sent (inbound) or received (outbound).
    CallRinging {
        /// The call.
        call: CallRef,
        /// `true` for a call by the agent's own INVITE.
        outbound: bool,
        /// From the INVITE.
        after: Duration,
    },
    /// The picture of a call has changed, for whoever watches.
    CallShown {
        /// The call.
        call: CallRef,
        /// The picture.
        view: Box<control::CallView>,
    },
    /// A NOTIFY `talk` or `hold` in a dialog of ours.
    RemoteControl {
        /// The call.
        call: CallRef,
        /// What was asked for.
        event: control::RemoteEvent,
        /// What it did.
        result: TalkResult,
    },
    /// 200 with our SDP left, or the callee answered.
    CallAnswered {
        /// The call.
        call: CallRef,
        /// Who answered.
        by: control::AnsweredBy,
        /// From NOTIFY talk to the 200 of the INVITE, when talk answered.
        talk_to_ok: Option<Duration>,
    },
    /// The first packet went this way.
    Audible {
        /// The call.
        call: CallRef,
        /// Which way.
        direction: MediaDirection,
        /// From NOTIFY talk, when talk answered.
        after_talk: Option<Duration>,
    },
    /// One direction is silent while the other is not, or is heard again.
    OneWayAudio {
        /// The call.
        call: CallRef,
        /// Which way nothing is heard.
        direction: MediaDirection,
        /// Why, most likely; `None`: it is heard again.
        missing: Option<MissingAudio>,
    },
    /// A call that is up has turned bad for somebody who hears it, or is well again. Seldom: a few times a minute at most.
    HeardBadly {
        /// The call.
        call: CallRef,
        /// For whom; for nobody where it is well again.
        badly: HeardBadly,
    },
    /// The other party pressed a key: the key itself is personal data (a card number), for subscribers only.
    DigitReceived {
        /// The call.
        call: CallRef,
        /// `0-9*#A-D`.
        digit: char,
    },
    /// SIP Server asked for digits in a form that nothing here reads. What the request held is nobody's business: it may be a card number.
    DigitsUnreadable {
        /// The call.
        call: CallRef,
        /// `NOTIFY` or `INFO`.
        method: String,
        /// The package of its Event header, without parameters.
        event: Option<String>,
        /// Type and subtype of its body, without parameters.
        content_type: Option<String>,
        /// Octets of its body.
        body_bytes: usize,
    },
    /// The agent's call goes on at another SIP Server.
    CallMoved {
        /// The call.
        call: CallRef,
        /// The server it goes to now.
        server: SocketAddr,
        /// What the former one said; `None` where it said nothing.
        status: Option<u16>,
    },
    /// The call is held.
    CallHeld {
        /// The call.
        call: CallRef,
        /// By whom.
        by: control::HeldBy,
    },
    /// The call is no longer held.
    CallRetrieved {
        /// The call.
        call: CallRef,
    },
    /// A transfer came to its end, good or bad.
    TransferEnded {
        /// The call that was to be transferred.
        call: CallRef,
        /// How it was asked for.
        kind: TransferKind,
        /// What came of it.
        result: TransferResult,
        /// The status that a failed one came to.
        sip_status: Option<u16>,
    },
    /// An INVITE was refused at once: it is counted and recorded like a call, and was never one.
    CallRefused {
        /// What would have been the call.
        call: CallRef,
        /// The other party: personal data, DEBUG only.
        number: String,
        /// Why.
        cause: Cause,
        /// SIP status that went out.
        sip_status: u16,
        /// Its record.
        record: Box<control::EndRecord>,
    },
    /// The call is over.
    CallEnded {
        /// The call.
        call: CallRef,
        /// Why.
        cause: Cause,
        /// SIP status that went out or came in.
        sip_status: Option<u16>,
        /// From the INVITE to the end.
        duration: Duration,
        /// How long it was answered.
        talked: Option<Duration>,
    },
    /// The media of a call was measured for the last time.
    CallMedia {
        /// The call.
        call: CallRef,
        /// The measurements.
        report: Box<MediaReport>,
    },
    /// Something became of a recording.
    Recording {
        /// The call.
        call: CallRef,
        /// What.
        event: RecordingFact,
    },
    /// The record of a call that is over; exactly one each, after [`Fact::CallEnded`]. That of a refused one is in [`Fact::CallRefused`].
    EndRecord {
        /// The record.
        record: Box<control::EndRecord>,
    },
    /// A SIP message was refused before it reached a call.
    SipRefused {
        /// Why.
        reason: RefusedReason,
        /// Who sent it.
        peer: SocketAddr,
    },
    /// New calls are refused from now on.
    Draining {
        /// Calls that are still up.
        calls: usize,
    },
    /// A media worker gets no further calls, or gets calls again.
    Overload {
        /// Which one.
        worker: WorkerId,
        /// It gets no further calls.
        overloaded: bool,
        /// It says nothing any more: it hangs.
        silent: bool,
        /// What it said last.
        load: WorkerLoad,
    },
    /// A media port could not be bound; another is tried.
    PortTaken {
        /// The address it was to be bound at.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// The agents were read again.
    Reloaded {
        /// DNs that are new.
        added: usize,
        /// DNs that are gone.
        removed: usize,
    },
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignOutCause {
    /// The page said `bye`.
    Bye,
    /// The page did not come back within the grace time.
    GraceOver,
    /// The DN left the configuration.
    Removed,
    /// The gateway shuts down.
    Shutdown,
}

/// How a transfer was asked for (metric label of `transfers_total`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransferKind {
    /// By the agent, to a number.
    Blind,
    /// By the agent, to the other party of another call.
    Attended,
    /// By SIP Server, which asked us to call somebody.
    Referred,
}

/// What came of a transfer (metric label of `transfers_total`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransferResult {
    /// The target has the call.
    Done,
    /// It was refused, or the target did not take the call.
    Failed,
    /// The call ended first.
    Abandoned,
}

/// What a NOTIFY `talk` or `hold` did (metric label of `talk_total`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TalkResult {
    /// It answered a ringing call.
    Answered,
    /// It waits for the browser leg to answer.
    Waiting,
    /// It retrieved a held call.
    Retrieved,
    /// It held a call.
    Held,
    /// Nothing was to be done: repeated, or the state is there already.
    NoOp,
    /// It could not be obeyed: the browser is gone.
    Failed,
}

/// What became of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordingFact {
    /// It begins.
    Started,
    /// Nothing is heard in it for a while.
    Paused,
    /// Both are heard in it again.
    Resumed,
    /// It is over.
    Stopped,
    /// Its file could not be written.
    Failed,
}
