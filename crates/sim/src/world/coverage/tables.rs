//! The tables of what everybody can see: calls, transfers, sessions of pages; and of two machines that note their rows themselves, the
//! registration of a DN and the SIP Servers of a site.

pub(super) const CALL: &str = "call";
pub(super) const TRANSFER: &str = "transfer";
pub(super) const PAGE: &str = "page";
pub(super) const REGISTRATION: &str = "registration";
pub(super) const SERVER: &str = "SIP Server";

/// Machine, states, inputs.
pub(super) const TABLES: [(&str, &[&str], &[&str]); 5] = [
    (CALL, PHASES, INPUTS),
    (TRANSFER, TRANSFERS, INPUTS),
    (PAGE, SESSIONS, PAGE_INPUTS),
    (REGISTRATION, REGISTRATIONS, REGISTRATION_INPUTS),
    (SERVER, SERVERS, SERVER_INPUTS),
];

/// Phases of a call, as everybody is shown them.
const PHASES: &[&str] = &[
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
const INPUTS: &[&str] = &[
    "NOTIFY talk",
    "NOTIFY hold",
    "NOTIFY dtmf",
    "NOTIFY beep",
    "NOTIFY refer, 1xx",
    "NOTIFY refer, 2xx",
    "NOTIFY refer, 4xx",
    "NOTIFY of another event",
    "INFO",
    "UPDATE",
    "OPTIONS",
    "MESSAGE",
    "PRACK",
    "REFER",
    "INVITE in its place",
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
    "2xx REFER",
    "4xx REFER",
    "page answer",
    "page reject",
    "page hangup",
    "page hold",
    "page retrieve",
    "page dtmf",
    "page transfer",
    "page dial",
    "page bye",
    "page gone",
    "port taken",
    "leg connected",
    "leg disconnected",
    "leg failed",
    "time",
];

/// How far a transfer is that the page has asked for; whatever happens to a call may happen to one that is handed on.
const TRANSFERS: &[&str] = &["asking", "under way", "under way, ringing", "done"];

/// The session of an agent's page, and its browser leg.
const SESSIONS: &[&str] = &[
    "nobody",
    "here, without media",
    "here, with media",
    "away, without media",
    "away, with media",
];

/// What can happen to a session.
const PAGE_INPUTS: &[&str] = &[
    "sign in",
    "resume",
    "resume, media kept",
    "gone",
    "bye",
    "media answer",
    "media restart",
    "mute",
    "dial",
    "leg connected",
    "leg disconnected",
    "leg failed",
    "messages wait",
    "a text comes",
    "a call comes",
    "time",
];

/// The registration of a DN at a site.
const REGISTRATIONS: &[&str] = &[
    "waits for its turn",
    "asks",
    "registered",
    "refreshes",
    "refused",
    "asks, is to go",
    "gives back",
    "gives back, is to stay",
    "is to go",
];

/// What can happen to a registration.
const REGISTRATION_INPUTS: &[&str] = &[
    "its time comes",
    "it is wanted no more",
    "it is wanted again",
    "200",
    "200 without us",
    "401",
    "403, 404",
    "423",
    "503",
    "silence",
    "no way there",
];

/// A SIP Server of a site: its place in the list, and what is known of it.
const SERVERS: &[&str] = &[
    "in use, well",
    "in use, doubted",
    "in use, away",
    "in use, back, to be trusted",
    "preferred, well",
    "preferred, doubted",
    "preferred, away",
    "preferred, back, to be trusted",
    "in reserve, well",
    "in reserve, doubted",
    "in reserve, away",
    "in reserve, back, to be trusted",
];

/// What can happen to a SIP Server, as its site learns of it.
const SERVER_INPUTS: &[&str] = &[
    "a REGISTER is answered",
    "a REGISTER is not answered",
    "a probe is answered",
    "a probe is not answered",
    "it has answered long enough",
    "the first DN is welcome",
    "the first DN is not welcome",
];
