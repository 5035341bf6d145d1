//! Rows that no seed reaches, or few, and why.

use super::reasons::{NEVER_HERE, RARE_HERE, reason};
use super::tables::CALL;
use super::{Row, TRANSACTIONS};

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
        let named = named
            .map(|(.., why)| *why)
            .or_else(|| reason(RARE_HERE, row));
        named.map_or(Expected::Always, Expected::Rare)
    };
    unreachable(row).map_or_else(rare, Expected::Never)
}

fn unreachable(row: &Row) -> Option<&'static str> {
    let (machine, state, input) = row;
    if let Some(why) = reason(NEVER_HERE, row) {
        return Some(why);
    }
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
const RARE: [(&str, &[&str], &[&str], &str); 21] = [
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
        &["dialling", "dialling, ringing"],
        &["2xx CANCEL", "2xx BYE", "4xx BYE"],
        "a call is tried at another SIP Server, and the first one is told, late, that nobody waits there",
    ),
    (
        CALL,
        ANSWERED,
        &["2xx CANCEL"],
        "the same, and the other SIP Server's callee has answered",
    ),
    (
        CALL,
        &["awaiting the ACK", "dialling, ringing", "ending"],
        &["port taken"],
        "talkbridge stands still, and the next datagram comes before what the media worker says",
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
        &["Abandoned", "Withdrawn"],
        &["Success"],
        "a SIP Server that stood still answers at once, or before our late CANCEL",
    ),
    (
        "client_invite",
        &["Withdrawn"],
        &["Timer(M)"],
        "a SIP Server that stood still dies after its first word",
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
        &[
            "Proceeding",
            "Completed",
            "Accepted",
            "Abandoned",
            "Withdrawn",
        ],
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
const UNREACHABLE_CALLS: [(&[&str], &[&str], &str); 10] = [
    (
        ANSWERED,
        &["port taken"],
        "nobody answers before the port is open, and a call that we dial is answered later than a media worker says so",
    ),
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
        &["ringing", "waiting for the browser", "awaiting the ACK"],
        &["2xx CANCEL"],
        "a CANCEL of ours leaves in the turn in which the call begins to end",
    ),
    (
        &["dialling", "dialling, ringing"],
        &["CANCEL", "ACK with SDP"],
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
];

fn unreachable_call(phase: &str, input: &str) -> Option<&'static str> {
    let named = UNREACHABLE_CALLS
        .iter()
        .find(|(phases, inputs, _)| phases.contains(&phase) && inputs.contains(&input));
    named.map(|(.., why)| *why)
}
