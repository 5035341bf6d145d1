//! Which rows of the state tables a run reached: phases of a call against everything that can happen to it, and the transaction machines.
//!
//! A row that no seed reaches is named with the reason ([`unreachable`]); for one that few seeds reach a seed is kept ([`kept`]). `cargo xtask
//! sim` fails on any other.

mod reasons;
mod sessions;
mod tables;
mod unreachable;

use std::collections::{BTreeMap, BTreeSet};

use control::{
    CallDirection, CallState, CallView, HeldBy, PageMessage, TransferState, TransferView,
};
use switchboard::{BrowserState, CallId, MediaEvent};

use super::wire::{self, Kind};

pub(super) use sessions::{page_says, shown};
use tables::{CALL, PAGE, TRANSFER};
pub use unreachable::unreachable;

/// A row of a table: machine, state, input.
pub type Row = (String, String, String);

/// The tables of the transaction machines; their snapshots say which rows there are.
const TRANSACTIONS: [(&str, &str); 4] = [
    (
        "client",
        include_str!(
            "../../../../sip/src/transaction/snapshots/sip__transaction__client__tests__the_whole_matrix.snap"
        ),
    ),
    (
        "client_invite",
        include_str!(
            "../../../../sip/src/transaction/snapshots/sip__transaction__client_invite__tests__the_whole_matrix.snap"
        ),
    ),
    (
        "server",
        include_str!(
            "../../../../sip/src/transaction/snapshots/sip__transaction__server__tests__the_whole_matrix.snap"
        ),
    ),
    (
        "server_invite",
        include_str!(
            "../../../../sip/src/transaction/snapshots/sip__transaction__server_invite__tests__the_whole_matrix.snap"
        ),
    ),
];

/// What a run reached.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// The calls that came in a dialog, by Call-ID: most had one only.
    calls: BTreeMap<String, Vec<CallId>>,
    rows: BTreeSet<(&'static str, &'static str, &'static str)>,
}

impl Coverage {
    /// The dialog of this message is this call's. An INVITE that is repeated after the life of its transaction is another call to a machine
    /// that stood still: the one that had the dialog first keeps it, and is returned.
    pub(super) fn learn(&mut self, bytes: &[u8], call: CallId) -> Option<CallId> {
        let text = String::from_utf8_lossy(bytes);
        let call_id = wire::header(&text, "Call-ID")?;
        let calls = self.calls.entry(call_id.to_owned()).or_default();
        let first = calls.first().copied().filter(|first| *first != call);
        if first.is_some() || calls.is_empty() {
            calls.push(call);
        }
        first
    }

    /// Whether a call came in the dialog with this Call-ID; `None` where that was never seen.
    pub(super) fn is_of_dialog(&self, call_id: &str, call: &str) -> Option<bool> {
        let mut all = self.calls.get(call_id)?.iter();
        Some(all.any(|id| id.to_string() == call))
    }

    /// An INVITE outside of any dialog, and no repetition.
    pub(super) fn is_new_dialog(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(b"INVITE ") && sip_input(bytes).is_none() && self.call_of(bytes).is_none()
    }

    /// The call that a message is about: the first that came in its dialog.
    pub(super) fn call_of(&self, bytes: &[u8]) -> Option<CallId> {
        let text = String::from_utf8_lossy(bytes);
        self.call_of_dialog(wire::header(&text, "Call-ID")?)
    }

    /// The call that a request of SIP Server is about: the last that came in its dialog. What answers ours is for the first, which has asked.
    pub(super) fn last_call_of(&self, bytes: &[u8]) -> Option<CallId> {
        let text = String::from_utf8_lossy(bytes);
        let calls = self.calls.get(wire::header(&text, "Call-ID")?)?;
        match wire::kind(&text)? {
            wire::Kind::Request { .. } => calls.last().copied(),
            wire::Kind::Response { .. } => calls.first().copied(),
        }
    }

    /// The first call of a dialog, by its Call-ID.
    pub(super) fn call_of_dialog(&self, call_id: &str) -> Option<CallId> {
        self.calls.get(call_id)?.first().copied()
    }

    /// The call that an INVITE is to take the place of.
    pub(super) fn replaced(&self, bytes: &[u8]) -> Option<CallId> {
        let text = String::from_utf8_lossy(bytes);
        let replaces = wire::header(&text, "Replaces").filter(|_| text.starts_with("INVITE "))?;
        self.call_of_dialog(replaces.split(';').next()?)
    }

    /// Something happens to a call that everybody is shown like this.
    pub(super) fn note(&mut self, view: &CallView, input: Option<&'static str>) {
        if let (Some(phase), Some(input)) = (phase(view), input) {
            self.rows.insert((CALL, phase, input));
        }
        let transfer = view.transfer.as_ref().and_then(transfer);
        if let (Some(stage), Some(input)) = (transfer, input) {
            self.rows.insert((TRANSFER, stage, input));
        }
    }

    /// Something happens to a page's session.
    pub(super) fn note_page(&mut self, state: &'static str, input: &'static str) {
        self.rows.insert((PAGE, state, input));
    }

    /// All rows that were reached, those of the transaction machines with them.
    pub(super) fn rows(&self) -> BTreeSet<Row> {
        let seen = self
            .rows
            .iter()
            .map(|row| (row.0.to_owned(), row.1.to_owned(), row.2.to_owned()));
        #[cfg(feature = "coverage")]
        let machines = sip::coverage::take();
        #[cfg(not(feature = "coverage"))]
        let machines: BTreeSet<(&str, String, String)> = BTreeSet::new();
        let machines = machines
            .into_iter()
            .map(|(machine, state, input)| (machine.to_owned(), state, input));
        seen.chain(machines).collect()
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

/// How far a transfer is that the page has asked for.
const fn transfer(view: &TransferView) -> Option<&'static str> {
    Some(match view.state {
        TransferState::Asking => "asking",
        TransferState::Trying => "under way",
        TransferState::Ringing => "under way, ringing",
        TransferState::Done => "done",
        TransferState::Failed => return None,
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
                ("REFER", 200..300) => "2xx REFER",
                ("REFER", 300..) => "4xx REFER",
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
            "refer" => news(&text),
            _ => "NOTIFY of another event",
        },
        "UPDATE" => "UPDATE",
        "OPTIONS" => "OPTIONS",
        "MESSAGE" => "MESSAGE",
        "PRACK" => "PRACK",
        "REFER" => "REFER",
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

/// What a message outside of any call is to the page of its DN.
pub(super) fn outside(text: &str) -> Option<&'static str> {
    let Kind::Request { method } = wire::kind(text)? else {
        return None;
    };
    let outside = wire::tag(text, "To").is_none();
    Some(match method {
        "INVITE" if outside => "a call comes",
        "MESSAGE" if outside => "a text comes",
        "NOTIFY" if wire::header(text, "Event") == Some("message-summary") => "messages wait",
        _ => return None,
    })
}

/// NOTIFY of a REFER of ours: how the target answers (RFC 3515 section 2.4.5).
fn news(text: &str) -> &'static str {
    let (_, sipfrag) = text.split_once("\r\n\r\n").unwrap_or_default();
    match sipfrag.split(' ').nth(1).and_then(|code| code.parse().ok()) {
        Some(100..200) => "NOTIFY refer, 1xx",
        Some(200..300) => "NOTIFY refer, 2xx",
        _ => "NOTIFY refer, 4xx",
    }
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
            BrowserState::Failed(_) => Some("leg failed"),
            BrowserState::Connecting => None,
        },
        _ => None,
    }
}

/// For each row that few seeds reach, a seed that reaches it, where one is known: what `cargo xtask sim --rare` has written.
#[must_use]
pub fn kept() -> Vec<(Row, Option<u64>)> {
    let lines = include_str!("seeds.txt").lines();
    let parsed = lines.filter_map(|line| {
        let mut words = line.split(" | ").map(str::to_owned);
        let row = (words.next()?, words.next()?, words.next()?);
        Some((row, words.next()?.parse().ok()))
    });
    parsed.collect()
}

/// Every row of every table.
#[must_use]
pub fn all() -> BTreeSet<Row> {
    let mut rows = BTreeSet::new();
    for (machine, states, inputs) in tables::TABLES {
        for state in states {
            for input in inputs {
                let row = (machine.to_owned(), (*state).to_owned(), (*input).to_owned());
                rows.insert(row);
            }
        }
    }
    for (machine, table) in TRANSACTIONS {
        let mut state = "";
        for line in table.lines() {
            if let Some(name) = line.strip_prefix("datagram, ") {
                state = name;
            } else if line.starts_with("stream, ") {
                if machine == "server" {
                    // It is the same machine over both.
                    break;
                }
                state = line;
            } else if let Some(input) = line.strip_prefix("    ").filter(|_| !state.is_empty()) {
                let input = input.split_whitespace().next().unwrap_or_default();
                rows.insert((machine.to_owned(), state.to_owned(), input.to_owned()));
            }
        }
    }
    rows
}
