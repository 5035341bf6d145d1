//! Which rows of the state tables a run reached: phases of a call against everything that can happen to it, and the transaction machines.
//!
//! A row that no seed reaches, or few, is named with the reason ([`expected`]); `cargo xtask sim` fails on any other.

use std::collections::{BTreeMap, BTreeSet};

use control::{CallDirection, CallState, CallView, HeldBy, PageMessage};
use switchboard::{BrowserState, CallId, MediaEvent};

use super::wire::{self, Kind};

/// A row of a table: machine, state, input.
pub type Row = (String, String, String);

/// The machine of calls, by the name that its rows have.
const CALL: &str = "call";

/// Phases of a call, as everybody is shown them.
const PHASES: [&str; 10] = [
    "ringing",
    "waiting for the browser",
    "awaiting the ACK",
    "dialling",
    "dialling, ringing",
    "talking",
    "held by the page",
    "held by NOTIFY",
    "held by the peer",
    "ending",
];

/// What can happen to a call.
const INPUTS: [&str; 31] = [
    "NOTIFY talk",
    "NOTIFY hold",
    "NOTIFY dtmf",
    "NOTIFY beep",
    "INFO",
    "CANCEL",
    "BYE",
    "ACK",
    "ACK with SDP",
    "re-INVITE",
    "re-INVITE with SDP",
    "1xx INVITE",
    "2xx INVITE",
    "4xx INVITE",
    "2xx BYE",
    "2xx CANCEL",
    "4xx BYE",
    "page answer",
    "page reject",
    "page hangup",
    "page hold",
    "page retrieve",
    "page dtmf",
    "page transfer",
    "page bye",
    "page gone",
    "port taken",
    "leg connected",
    "leg disconnected",
    "leg failed",
    "time",
];

/// The tables of the transaction machines; their snapshots say which rows there are.
const TRANSACTIONS: [(&str, &str); 4] = [
    (
        "client",
        include_str!(
            "../../../sip/src/transaction/snapshots/sip__transaction__client__tests__the_whole_matrix.snap"
        ),
    ),
    (
        "client_invite",
        include_str!(
            "../../../sip/src/transaction/snapshots/sip__transaction__client_invite__tests__the_whole_matrix.snap"
        ),
    ),
    (
        "server",
        include_str!(
            "../../../sip/src/transaction/snapshots/sip__transaction__server__tests__the_whole_matrix.snap"
        ),
    ),
    (
        "server_invite",
        include_str!(
            "../../../sip/src/transaction/snapshots/sip__transaction__server_invite__tests__the_whole_matrix.snap"
        ),
    ),
];

/// What a run reached.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// The call of a dialog, by Call-ID.
    calls: BTreeMap<String, CallId>,
    pub(super) rows: BTreeSet<(&'static str, &'static str)>,
}

impl Coverage {
    /// The dialog of this message is this call's. An INVITE that is repeated after the life of its transaction is another call to a machine
    /// that stood still: the one that had the dialog first keeps it, and is returned.
    pub(super) fn learn(&mut self, bytes: &[u8], call: CallId) -> Option<CallId> {
        let text = String::from_utf8_lossy(bytes);
        let call_id = wire::header(&text, "Call-ID")?;
        let first = *self.calls.entry(call_id.to_owned()).or_insert(call);
        (first != call).then_some(first)
    }

    /// An INVITE outside of any dialog, and no repetition.
    pub(super) fn is_new_dialog(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(b"INVITE ") && sip_input(bytes).is_none() && self.call_of(bytes).is_none()
    }

    /// The call that a message is about.
    pub(super) fn call_of(&self, bytes: &[u8]) -> Option<CallId> {
        let text = String::from_utf8_lossy(bytes);
        self.call_of_dialog(wire::header(&text, "Call-ID")?)
    }

    /// The call of a dialog, by its Call-ID.
    pub(super) fn call_of_dialog(&self, call_id: &str) -> Option<CallId> {
        self.calls.get(call_id).copied()
    }

    /// Something happens to a call that everybody is shown like this.
    pub(super) fn note(&mut self, view: &CallView, input: Option<&'static str>) {
        if let (Some(phase), Some(input)) = (phase(view), input) {
            self.rows.insert((phase, input));
        }
    }

    /// All rows that were reached, those of the transaction machines with them.
    pub(super) fn rows(&self) -> BTreeSet<Row> {
        let calls = self
            .rows
            .iter()
            .map(|(phase, input)| (CALL.to_owned(), (*phase).to_owned(), (*input).to_owned()));
        #[cfg(feature = "coverage")]
        let transactions = sip::coverage::take();
        #[cfg(not(feature = "coverage"))]
        let transactions: BTreeSet<(&str, String, String)> = BTreeSet::new();
        let transactions = transactions
            .into_iter()
            .map(|(machine, state, input)| (machine.to_owned(), state, input));
        calls.chain(transactions).collect()
    }
}

/// `None` for a call that has ended: it is no call any more.
fn phase(view: &CallView) -> Option<&'static str> {
    Some(match (view.state, view.held_by) {
        (CallState::Offered, _) => "dialling",
        (CallState::Ringing, _) if view.direction == CallDirection::Outbound => "dialling, ringing",
        (CallState::Ringing, _) => "ringing",
        (CallState::Answering, _) if view.answered_by.is_none() => "waiting for the browser",
        (CallState::Answering, _) => "awaiting the ACK",
        (CallState::Talking, _) => "talking",
        (CallState::Held, Some(HeldBy::Agent)) => "held by the page",
        (CallState::Held, Some(HeldBy::TalkControl)) => "held by NOTIFY",
        (CallState::Held, _) => "held by the peer",
        (CallState::Ending, _) => "ending",
        (CallState::Ended, _) => return None,
    })
}

/// What a SIP message is to the call.
pub(super) fn sip_input(bytes: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(bytes);
    let with_sdp = text.contains("\r\nm=audio");
    let method = match wire::kind(&text)? {
        Kind::Response { status } => {
            let (_, method) = wire::cseq(&text)?;
            return Some(match (method, status) {
                ("INVITE", 101..200) => "1xx INVITE",
                ("INVITE", 200..300) => "2xx INVITE",
                ("INVITE", 300..) => "4xx INVITE",
                ("BYE", 200..300) => "2xx BYE",
                ("BYE", 300..) => "4xx BYE",
                ("CANCEL", 200..300) => "2xx CANCEL",
                _ => return None,
            });
        }
        Kind::Request { method } => method,
    };
    Some(match method {
        "NOTIFY" => match wire::header(&text, "Event")?.split(';').next()? {
            "talk" => "NOTIFY talk",
            "hold" => "NOTIFY hold",
            "dtmf" => "NOTIFY dtmf",
            "beep" => "NOTIFY beep",
            _ => return None,
        },
        "INFO" => "INFO",
        "CANCEL" => "CANCEL",
        "BYE" => "BYE",
        "ACK" if with_sdp => "ACK with SDP",
        "ACK" => "ACK",
        "INVITE" if wire::tag(&text, "To").is_none() => return None,
        "INVITE" if with_sdp => "re-INVITE with SDP",
        "INVITE" => "re-INVITE",
        _ => return None,
    })
}

/// What a page says to a call, and which.
pub(super) fn page_input(message: &PageMessage) -> Option<(&'static str, &str)> {
    Some(match message {
        PageMessage::Answer { call } => ("page answer", call),
        PageMessage::Reject { call } => ("page reject", call),
        PageMessage::Hangup { call } => ("page hangup", call),
        PageMessage::Hold { call } => ("page hold", call),
        PageMessage::Retrieve { call } => ("page retrieve", call),
        PageMessage::Dtmf { call, .. } => ("page dtmf", call),
        PageMessage::Transfer { call, .. } => ("page transfer", call),
        _ => return None,
    })
}

/// What a media worker's report on a browser leg is to the calls of its agent.
pub(super) const fn leg_input(event: &MediaEvent) -> Option<&'static str> {
    match event {
        MediaEvent::BrowserState { state, .. } => match state {
            BrowserState::Connected { .. } => Some("leg connected"),
            BrowserState::Disconnected => Some("leg disconnected"),
            BrowserState::Failed => Some("leg failed"),
            BrowserState::Connecting => None,
        },
        _ => None,
    }
}

/// Every row of every table.
#[must_use]
pub fn all() -> BTreeSet<Row> {
    let mut rows = BTreeSet::new();
    for phase in PHASES {
        for input in INPUTS {
            rows.insert((CALL.to_owned(), phase.to_owned(), input.to_owned()));
        }
    }
    for (machine, table) in TRANSACTIONS {
        let mut state = "";
        for line in table.lines() {
            if let Some(name) = line.strip_prefix("datagram, ") {
                state = name;
            } else if line.starts_with("stream, ") {
                break;
            } else if let Some(input) = line.strip_prefix("    ").filter(|_| !state.is_empty()) {
                let input = input.split_whitespace().next().unwrap_or_default();
                rows.insert((machine.to_owned(), state.to_owned(), input.to_owned()));
            }
        }
    }
    rows
}

/// What is expected of a row in two thousand seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Some seed reaches it.
    Always,
    /// It takes a coincidence that few seeds have, for this reason.
    Rare(&'static str),
    /// It cannot be reached, for this reason.
    Never(&'static str),
}

/// What is expected of a row.
#[must_use]
pub fn expected(row: &Row) -> Expected {
    let rare = || {
        let (machine, state, input) = row;
        let named = RARE.iter().find(|(m, s, i, _)| {
            machine == m && s.contains(&state.as_str()) && i.contains(&input.as_str())
        });
        named.map_or(Expected::Always, |(.., why)| Expected::Rare(why))
    };
    unreachable(row).map_or_else(rare, Expected::Never)
}

fn unreachable(row: &Row) -> Option<&'static str> {
    let (machine, state, input) = row;
    if machine == CALL {
        return unreachable_call(state, input);
    }
    if state == "Terminated" {
        return Some("a terminated transaction is removed in the turn in which it ends");
    }
    if input.starts_with("Timer") && !has_effect(row) {
        return Some("the timer does not run in this state");
    }
    let named = UNREACHABLE_TRANSACTIONS.iter().find(|(m, s, i, _)| {
        machine == m && (s.is_empty() || s.contains(&state.as_str())) && i.contains(&input.as_str())
    });
    named.map(|(.., why)| *why)
}

/// Whether a row of a transaction table does anything.
fn has_effect((machine, state, input): &Row) -> bool {
    let table = TRANSACTIONS.iter().find(|(name, _)| name == machine);
    let mut lines = table.map_or("", |(_, table)| *table).lines();
    let head = format!("datagram, {state}");
    lines.by_ref().find(|line| *line == head);
    let row = lines
        .take_while(|line| line.starts_with("    "))
        .find(|line| line.split_whitespace().next() == Some(input));
    row.is_some_and(|line| line.split_whitespace().nth(1) != Some("-"))
}

/// Rows that take a coincidence, and which.
const RARE: [(&str, &[&str], &[&str], &str); 16] = [
    (
        CALL,
        &["dialling"],
        &[
            "page bye",
            "page reject",
            "page transfer",
            "page dtmf",
            "page hangup",
            "page hold",
            "page retrieve",
            "leg failed",
        ],
        "it happens between the agent's own click and the first answer",
    ),
    (
        CALL,
        &["dialling, ringing"],
        &["page reject", "page transfer"],
        "an agent clicks what her page does not offer for a call that she dials",
    ),
    (
        CALL,
        &["waiting for the browser"],
        &["page reject", "page bye", "page dtmf", "page transfer"],
        "an agent acts on a call that was answered for her before her leg is back",
    ),
    (
        CALL,
        &["dialling", "dialling, ringing"],
        ANSWERED_ONLY,
        "what SIP Server sends in the answered dialog overtakes its answer",
    ),
    (
        CALL,
        &["dialling", "dialling, ringing"],
        &["ACK", "NOTIFY talk"],
        "what belongs to the answered dialog overtakes its answer, or to a re-INVITE that did",
    ),
    (
        CALL,
        &["ringing"],
        &["ACK"],
        "a full table refused the INVITE, and there was room for its repetition before the ACK of the refusal came",
    ),
    (
        CALL,
        &["awaiting the ACK"],
        &["INFO", "NOTIFY beep", "NOTIFY dtmf", "NOTIFY hold"],
        "the ACK is overtaken by what needs a confirmed dialog",
    ),
    (
        CALL,
        &[
            "talking",
            "held by the page",
            "held by NOTIFY",
            "held by the peer",
        ],
        &["1xx INVITE"],
        "a provisional response is overtaken by the answer",
    ),
    (
        CALL,
        &["ending"],
        &["NOTIFY beep", "INFO", "CANCEL"],
        "SIP Server sends it while the agent hangs up",
    ),
    (
        CALL,
        &["held by the page", "held by NOTIFY"],
        &["CANCEL"],
        "a CANCEL crosses the answer, and the agent holds before it comes",
    ),
    (
        CALL,
        ANSWERED,
        &["2xx BYE", "4xx BYE"],
        "SIP Server knows the dialog no more when it gets a NOTIFY or an INFO, and its own BYE is waited for in vain",
    ),
    (
        "client",
        &["Proceeding"],
        &["Timer(F)"],
        "a SIP Server that answers 100 to everything dies right after it",
    ),
    (
        "client_invite",
        &["Accepted"],
        &["Provisional"],
        "a provisional response is overtaken by the answer",
    ),
    (
        "client_invite",
        &["Completed"],
        &["Success"],
        "the two servers of a pair answer the repetitions of one INVITE differently",
    ),
    (
        "client_invite",
        &["Accepted"],
        &["Failure"],
        "the two servers of a pair answer the repetitions of one INVITE differently",
    ),
    (
        "server_invite",
        &["Proceeding", "Accepted"],
        &["Ack"],
        "a full table refused the INVITE, and there was room for its repetition before the ACK of the refusal came",
    ),
];

/// Inputs of transaction machines that stay out of reach in these states (none named: in every state), and why.
const UNREACHABLE_TRANSACTIONS: [(&str, &[&str], &[&str], &str); 8] = [
    (
        "client",
        &["Proceeding", "Completed"],
        &["TransportError"],
        "the socket's refusal fails what waits for its first response",
    ),
    (
        "client_invite",
        &["Proceeding", "Completed", "Accepted"],
        &["TransportError"],
        "the socket's refusal fails what waits for its first response",
    ),
    (
        "client_invite",
        &["Proceeding"],
        &["Timer(B)"],
        "an INVITE of ours that is cancelled gets its 487, or 481 to the CANCEL, before the timer is due",
    ),
    (
        "server",
        &["Trying", "Proceeding"],
        &["TransportError"],
        "requests but INVITE are answered in the turn in which they come",
    ),
    (
        "server",
        &[],
        &["SendProvisional", "Timer(F)"],
        "requests but INVITE are answered in the turn in which they come",
    ),
    (
        "server",
        &["Trying", "Proceeding"],
        &["Request"],
        "requests but INVITE are answered in the turn in which they come",
    ),
    (
        "server",
        &["Proceeding", "Completed"],
        &["SendFinal"],
        "requests but INVITE are answered once, without a provisional response",
    ),
    (
        "server_invite",
        &["Completed", "Confirmed", "Accepted"],
        &["SendProvisional", "SendSuccess", "SendFailure"],
        "an INVITE is answered once; the user agent itself repeats a 2xx",
    ),
];

/// A call that was answered and is not over.
const ANSWERED: &[&str] = &[
    "talking",
    "held by the page",
    "held by NOTIFY",
    "held by the peer",
];

/// Every phase but those in which the call is ours and not answered.
const NOT_DIALLED: &[&str] = &[
    "ringing",
    "waiting for the browser",
    "awaiting the ACK",
    "talking",
    "held by the page",
    "held by NOTIFY",
    "held by the peer",
];

/// What SIP Server sends in answered dialogs.
const ANSWERED_ONLY: &[&str] = &[
    "re-INVITE",
    "re-INVITE with SDP",
    "NOTIFY beep",
    "NOTIFY dtmf",
    "NOTIFY hold",
    "INFO",
    "BYE",
];

/// Inputs of a call that stay out of reach in these phases (none named: in every phase), and why.
const UNREACHABLE_CALLS: [(&[&str], &[&str], &str); 11] = [
    (
        &["ringing", "waiting for the browser", "awaiting the ACK"],
        &["1xx INVITE"],
        "no INVITE of ours goes out before the answer",
    ),
    (
        &["ringing", "waiting for the browser"],
        &["2xx INVITE", "4xx INVITE"],
        "no re-INVITE of ours goes out before the answer",
    ),
    (
        &["ringing", "waiting for the browser", "awaiting the ACK"],
        &["2xx BYE", "4xx BYE"],
        "a BYE of ours leaves in the turn in which the call begins to end",
    ),
    (
        NOT_DIALLED,
        &["2xx CANCEL"],
        "a CANCEL of ours leaves in the turn in which the call begins to end",
    ),
    (
        &["dialling", "dialling, ringing"],
        &["2xx CANCEL", "2xx BYE", "4xx BYE", "CANCEL", "ACK with SDP"],
        "they belong to an INVITE of the other side, or to the end of the call",
    ),
    (
        &["ringing", "waiting for the browser"],
        ANSWERED_ONLY,
        "SIP Server sends them in answered dialogs only",
    ),
    (
        &["ringing", "waiting for the browser"],
        &["ACK with SDP"],
        "nothing is there to be acknowledged",
    ),
    (
        &["waiting for the browser"],
        &["ACK"],
        "nothing is there to be acknowledged",
    ),
    (
        &["awaiting the ACK"],
        &["re-INVITE", "2xx INVITE", "4xx INVITE"],
        "the ACK of the answer comes before what needs a confirmed dialog",
    ),
    (
        &["awaiting the ACK", "dialling, ringing", "ending"],
        &["port taken"],
        "a media worker says so before the next datagram comes",
    ),
    (
        ANSWERED,
        &["port taken"],
        "nobody answers before the port is open, and a call that we dial is answered later than a media worker says so",
    ),
];

fn unreachable_call(phase: &str, input: &str) -> Option<&'static str> {
    let named = UNREACHABLE_CALLS
        .iter()
        .find(|(phases, inputs, _)| phases.contains(&phase) && inputs.contains(&input));
    named.map(|(.., why)| *why)
}
