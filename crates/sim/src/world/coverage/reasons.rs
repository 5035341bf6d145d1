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
        &[],
        &["port taken"],
        "only a call that is answered is handed on by the page, and its port is open",
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
            "preferred, away",
            "in reserve, well",
            "in reserve, away",
        ],
        &["it has answered long enough", "the first DN is welcome"],
        "the first DN goes to a preferred server that is back",
    ),
    (
        SERVER,
        &["in use, well"],
        &["it has answered long enough"],
        "only a preferred server has to last before anybody goes there",
    ),
    (
        SERVER,
        &["preferred, well", "in reserve, well", "in reserve, away"],
        &["the first DN is not welcome"],
        "the first DN goes to a preferred server that is back",
    ),
];

/// Rows that take a coincidence.
pub(super) const RARE_HERE: &[Entry] = &[
    (
        REGISTRATION,
        &["refreshes"],
        &["it is wanted again"],
        "an agent who has signed out is back while a refresh is under way",
    ),
    (
        SERVER,
        &["in use, well"],
        &["the first DN is welcome"],
        "whoever asked first is answered after the server has come to be used",
    ),
    (
        SERVER,
        &["in use, away"],
        &["the first DN is not welcome"],
        "whoever asked first gives up after the server has come to be used and is lost again",
    ),
    (
        CALL,
        &["dialling", "dialling, ringing"],
        &["REFER", "INVITE in its place"],
        "what belongs to the answered dialog overtakes its answer",
    ),
    (
        CALL,
        &["dialling"],
        BESIDE,
        "what needs a dialog overtakes the first response",
    ),
    (
        CALL,
        &["awaiting the ACK"],
        &["PRACK", "REFER", "INVITE in its place"],
        "the ACK is overtaken, or the PRACK is late",
    ),
    (
        CALL,
        &["ending"],
        ENDING_COINCIDENCES,
        "SIP Server sends it while the call is being ended",
    ),
    (
        CALL,
        &["waiting for the browser"],
        BESIDE,
        "SIP Server says it while a page is away that the call waits for",
    ),
    (
        CALL,
        &["waiting for the browser"],
        &["page dial", "PRACK"],
        "an agent acts on a call that was answered for her before her leg is back",
    ),
    (
        CALL,
        &["talking", "held by NOTIFY"],
        HANDING_ON,
        "a hold or retrieval crosses what is said of the transfer",
    ),
    (
        TRANSFER,
        &[],
        SELDOM_IN_TRANSFERS,
        "a transfer is under way for a second or two, and this happens then",
    ),
    (
        TRANSFER,
        &["under way"],
        SELDOM_UNDER_WAY,
        "from the first news of the target to the second there are milliseconds",
    ),
    (
        TRANSFER,
        &["under way, ringing"],
        SELDOM_RINGING,
        "the target rings for a second, and this happens then",
    ),
    (
        TRANSFER,
        &["done"],
        SELDOM_DONE,
        "SIP Server's BYE follows at once",
    ),
    (
        PAGE,
        &["away, without media", "away, with media"],
        &["leg failed", "leg connected", "leg disconnected", "sign in"],
        "the page is away for seconds",
    ),
    (
        REGISTRATION,
        &["waits for its turn"],
        &["it is wanted no more", "it is wanted again"],
        "the DNs of a small site wait for milliseconds",
    ),
    (
        REGISTRATION,
        &[
            "refreshes",
            "asks, is to go",
            "gives back",
            "gives back, is to stay",
        ],
        &[
            "403, 404",
            "423",
            "503",
            "no way there",
            "it is wanted again",
        ],
        "a REGISTER is on its way for milliseconds, unless it is lost",
    ),
    (
        SERVER,
        &[
            "in use, doubted",
            "preferred, doubted",
            "in reserve, doubted",
        ],
        &[],
        "a SIP Server is lost before it has answered for the first time",
    ),
    (
        SERVER,
        &[
            "preferred, away",
            "preferred, back, to be trusted",
            "preferred, well",
        ],
        &["a REGISTER is answered", "a REGISTER is not answered"],
        "a REGISTER was on its way when its DN went elsewhere",
    ),
    (
        SERVER,
        &["in reserve, away", "in reserve, well"],
        &["a REGISTER is answered", "a REGISTER is not answered"],
        "a REGISTER was on its way when its DN went elsewhere",
    ),
    (
        SERVER,
        &[
            "in use, well",
            "preferred, away",
            "preferred, back, to be trusted",
        ],
        &["the first DN is not welcome"],
        "the other server dies, or this one again, while the first DN looks",
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

/// What is said in the dialog of a call and moves nothing.
const BESIDE: &[&str] = &["UPDATE", "OPTIONS", "MESSAGE", "NOTIFY of another event"];

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

const ENDING_COINCIDENCES: &[&str] = &[
    "2xx REFER",
    "4xx REFER",
    "NOTIFY refer, 1xx",
    "NOTIFY refer, 2xx",
    "NOTIFY refer, 4xx",
    "NOTIFY of another event",
    "UPDATE",
    "OPTIONS",
    "MESSAGE",
    "PRACK",
    "REFER",
    "INVITE in its place",
];

/// What seldom meets a call that is being handed on.
const SELDOM_IN_TRANSFERS: &[&str] = &[
    "1xx INVITE",
    "2xx CANCEL",
    "CANCEL",
    "NOTIFY beep",
    "NOTIFY of another event",
    "NOTIFY refer, 4xx",
    "INFO",
    "UPDATE",
    "OPTIONS",
    "MESSAGE",
    "PRACK",
    "REFER",
    "INVITE in its place",
    "page reject",
    "page dtmf",
];

const SELDOM_UNDER_WAY: &[&str] = &[
    "2xx BYE",
    "4xx BYE",
    "4xx INVITE",
    "4xx REFER",
    "ACK",
    "ACK with SDP",
    "NOTIFY dtmf",
    "NOTIFY hold",
    "NOTIFY talk",
    "leg failed",
    "leg connected",
    "leg disconnected",
    "page answer",
    "page bye",
    "page dial",
    "page hangup",
    "page hold",
    "page retrieve",
    "page transfer",
    "re-INVITE",
    "re-INVITE with SDP",
];

const SELDOM_RINGING: &[&str] = &[
    "2xx BYE",
    "4xx BYE",
    "4xx INVITE",
    "4xx REFER",
    "NOTIFY dtmf",
    "page bye",
    "page dial",
    "page hangup",
    "page hold",
    "page transfer",
];

const SELDOM_DONE: &[&str] = &[
    "4xx INVITE",
    "4xx REFER",
    "NOTIFY dtmf",
    "NOTIFY hold",
    "page hangup",
    "page hold",
    "page retrieve",
    "page transfer",
];
