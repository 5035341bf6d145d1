//! The same for what moves no call, for transfers, sessions, registrations and SIP Servers.

use super::Row;
use super::tables::{CALL, PAGE, REGISTRATION, SERVER, TRANSFER};

/// Machine, states and inputs (none named: all of them), and the reason.
type Entry = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

/// The reason of the first entry that a row belongs to.
pub(super) fn reason(entries: &[Entry], (machine, state, input): &Row) -> Option<&'static str> {
    let holds = |words: &[&str], word: &String| words.is_empty() || words.contains(&word.as_str());
    let found = entries.iter().find(|(m, states, inputs, _)| {
        machine == m && holds(states, state) && holds(inputs, input)
    });
    found.map(|(.., why)| *why)
}

/// Rows that cannot be reached.
pub(super) const NEVER_HERE: &[Entry] = &[
    (
        CALL,
        UNANSWERED,
        HANDING_ON,
        "only a call that is answered is handed on by the page",
    ),
    (
        CALL,
        &["ringing", "waiting for the browser"],
        &["REFER", "INVITE in its place"],
        "SIP Server moves calls that are up",
    ),
    (
        CALL,
        &["dialling", "dialling, ringing"],
        &["PRACK"],
        "it acknowledges a provisional response of ours, and here they are SIP Server's",
    ),
    (
        TRANSFER,
        &["under way", "under way, ringing"],
        &["CANCEL"],
        "SIP Server takes no REFER of a call that it has cancelled",
    ),
    (
        PAGE,
        &["nobody", "away, without media", "away, with media"],
        SAID_BY_A_PAGE,
        "nobody is there to say it",
    ),
    (
        PAGE,
        &["nobody"],
        &["leg connected", "leg disconnected", "leg failed"],
        "the leg goes with the session",
    ),
    (
        REGISTRATION,
        &["waits for its turn", "registered", "refused", "is to go"],
        ANSWERS,
        "no REGISTER is on its way",
    ),
    (
        REGISTRATION,
        &[
            "asks",
            "refreshes",
            "asks, is to go",
            "gives back",
            "gives back, is to stay",
        ],
        &["its time comes"],
        "a REGISTER is on its way: its answer says when the next one is due",
    ),
    (
        REGISTRATION,
        &[],
        &["200 without us"],
        "the model of SIP Server has one binding for a DN, and answers with that of the REGISTER",
    ),
    (
        REGISTRATION,
        &["gives back", "gives back, is to stay"],
        &["423"],
        "zero is not too short",
    ),
    (
        REGISTRATION,
        &["refreshes"],
        &["423"],
        "SIP Server has granted this expiry before",
    ),
    (
        REGISTRATION,
        &["asks, is to go", "gives back", "is to go"],
        &["it is wanted no more"],
        "that is known",
    ),
    (
        REGISTRATION,
        &["is to go"],
        &["it is wanted again"],
        "it lasts for the turn in which the 200 comes",
    ),
    (
        SERVER,
        &[
            "in use, back, to be trusted",
            "in reserve, back, to be trusted",
        ],
        &[],
        "only a preferred server has to last before anybody goes there",
    ),
    (
        SERVER,
        &[
            "in use, away",
            "preferred, well",
            "preferred, doubted",
            "preferred, away",
            "in reserve, well",
            "in reserve, doubted",
            "in reserve, away",
        ],
        &["it has answered long enough", "the first DN is welcome"],
        "the first DN goes to a preferred server that is back",
    ),
    (
        SERVER,
        &["preferred, well", "preferred, doubted"],
        &["a REGISTER is answered", "a REGISTER is not answered"],
        "it was lost, and whoever waited there has gone elsewhere before it is well again; what those hear who sign out counts for nothing",
    ),
    (
        SERVER,
        &["in use, well", "in use, doubted"],
        &["it has answered long enough"],
        "only a preferred server has to last before anybody goes there",
    ),
    (
        SERVER,
        &[
            "preferred, well",
            "preferred, doubted",
            "in reserve, well",
            "in reserve, doubted",
            "in reserve, away",
        ],
        &["the first DN is not welcome"],
        "the first DN goes to a preferred server that is back",
    ),
];

/// A call that nobody has answered for good.
const UNANSWERED: &[&str] = &[
    "ringing",
    "waiting for the browser",
    "awaiting the ACK",
    "dialling",
    "dialling, ringing",
];

/// What is said of a REFER of ours.
const HANDING_ON: &[&str] = &[
    "2xx REFER",
    "4xx REFER",
    "NOTIFY refer, 1xx",
    "NOTIFY refer, 2xx",
    "NOTIFY refer, 4xx",
];

/// What a page says that is there.
const SAID_BY_A_PAGE: &[&str] = &[
    "bye",
    "dial",
    "gone",
    "media answer",
    "media restart",
    "mute",
];

/// What follows a REGISTER.
const ANSWERS: &[&str] = &[
    "200",
    "200 without us",
    "401",
    "403, 404",
    "423",
    "503",
    "silence",
    "no way there",
];
