//! Rows that no seed reaches, and why.

use super::reasons::{NEVER_HERE, reason};
use super::tables::CALL;
use super::{Row, TRANSACTIONS};

/// Why no seed can reach a row; `None` where some seed does.
#[must_use]
pub fn unreachable(row: &Row) -> Option<&'static str> {
    let (machine, state, input) = row;
    if let Some(why) = reason(NEVER_HERE, row) {
        return Some(why);
    }
    if machine == CALL {
        return unreachable_call(state, input);
    }
    let (over_stream, bare) = match state.strip_prefix("stream, ") {
        Some(bare) => (true, bare),
        None => (false, state.as_str()),
    };
    if bare == "Terminated" {
        return Some("a terminated transaction is removed in the turn in which it ends");
    }
    if input.starts_with("Timer") && !has_effect(row) {
        return Some("the timer does not run in this state");
    }
    let over_streams = OVER_STREAMS.iter().filter(|_| over_stream);
    // A connection that is lost again fails what waits in any state.
    let over_both = UNREACHABLE_TRANSACTIONS.iter();
    let over_both = over_both.filter(|(_, _, i, _)| !over_stream || *i != ["TransportError"]);
    let named = over_streams.chain(over_both).find(|(m, s, i, _)| {
        machine == m && (s.is_empty() || s.contains(&bare)) && i.contains(&input.as_str())
    });
    named.map(|(.., why)| *why)
}

/// Whether a row of a transaction table does anything.
fn has_effect((machine, state, input): &Row) -> bool {
    let table = TRANSACTIONS.iter().find(|(name, _)| name == machine);
    let mut lines = table.map_or("", |(_, table)| *table).lines();
    let head = match state.strip_prefix("stream, ") {
        Some(_) => state.clone(),
        None => format!("datagram, {state}"),
    };
    lines.by_ref().find(|line| *line == head);
    let row = lines
        .take_while(|line| line.starts_with("    "))
        .find(|line| line.split_whitespace().next() == Some(input));
    row.is_some_and(|line| line.split_whitespace().nth(1) != Some("-"))
}

/// The same over streams only.
const OVER_STREAMS: [(&str, &[&str], &[&str], &str); 6] = [
    (
        "server_invite",
        &["Proceeding", "Accepted", "Confirmed", "Terminated"],
        &["Timer(G)"],
        "nothing but a refusal is repeated on a stream",
    ),
    (
        "client",
        &["Completed"],
        &["Final", "Provisional", "TransportError"],
        "on a stream the state ends in the instant in which it begins",
    ),
    (
        "client_invite",
        &["Completed"],
        &["Failure", "Provisional", "Success", "TransportError"],
        "on a stream the state ends in the instant in which it begins",
    ),
    (
        "server_invite",
        &["Confirmed"],
        &["TransportError"],
        "what was acknowledged is not said again",
    ),
    (
        "client_invite",
        &["Accepted", "Abandoned", "Withdrawn"],
        &["TransportError"],
        "the loss of a connection fails what waits for its final response",
    ),
    (
        "server_invite",
        &[],
        &["TransportError"],
        "the loss of a connection fails no response: it goes by another one",
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
        &["awaiting the ACK"],
        &["port taken"],
        "nobody answers before the port is open",
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
        "what can be acknowledged is the refusal that another copy of the INVITE got while a table was full, and that has no description",
    ),
    (
        &["awaiting the ACK"],
        &["PRACK"],
        "only the INVITE without a description waits like this, which SIP Server sends for a TMakeCall, and it supports no 100rel there",
    ),
    (
        &["awaiting the ACK"],
        &["2xx INVITE", "4xx INVITE"],
        "the ACK of the answer comes before what needs a confirmed dialog",
    ),
];

fn unreachable_call(phase: &str, input: &str) -> Option<&'static str> {
    let named = UNREACHABLE_CALLS
        .iter()
        .find(|(phases, inputs, _)| phases.contains(&phase) && inputs.contains(&input));
    named.map(|(.., why)| *why)
}
