//! Values to labels: every set is closed here, so that nothing a peer says can become a label.

use control::CloseCode;
use prometheus_client::encoding::EncodeLabelSet;
use switchboard::{MediaDirection, MissingAudio, TalkResult, TransferKind, TransferResult};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Code {
    pub(super) code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct State {
    pub(super) state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct CauseLabel {
    pub(super) cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ResultLabel {
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct KindResult {
    pub(super) kind: &'static str,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Reason {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Dir {
    pub(super) dir: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct DirReason {
    pub(super) dir: &'static str,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Leg {
    pub(super) leg: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct LegDir {
    pub(super) leg: &'static str,
    pub(super) dir: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Table {
    pub(super) table: &'static str,
}

/// Workers are as many as the configuration says.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Worker {
    pub(super) worker: usize,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Listener {
    pub(super) listener: &'static str,
}

/// The names of sites are the configuration's.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct SiteState {
    site: String,
    state: &'static str,
}

impl SiteState {
    pub(super) fn new(site: &str, state: &'static str) -> Self {
        let site = site.to_owned();
        Self { site, state }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Version {
    pub(super) version: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RegistrationFailure {
    pub(super) fault: &'static str,
}

/// The label of a registration's final SIP status.
pub(super) fn code_label(sip_status: Option<u16>) -> &'static str {
    match sip_status {
        None => "none",
        Some(200) => "200",
        Some(401) => "401",
        Some(403) => "403",
        Some(404) => "404",
        Some(407) => "407",
        Some(408) => "408",
        Some(423) => "423",
        Some(480) => "480",
        Some(500) => "500",
        Some(503) => "503",
        Some(603) => "603",
        Some(_) => "other",
    }
}

/// The label of what a NOTIFY did.
pub(crate) fn talk_label(result: TalkResult) -> &'static str {
    match result {
        TalkResult::Answered => "answered",
        TalkResult::Waiting => "waiting",
        TalkResult::Retrieved => "retrieved",
        TalkResult::Held => "held",
        TalkResult::NoOp => "no_op",
        TalkResult::Failed => "failed",
    }
}

/// The label of a direction of media, named for who hears it.
pub(crate) fn direction_label(direction: MediaDirection) -> &'static str {
    match direction {
        MediaDirection::ToAgent => "to_agent",
        MediaDirection::ToCaller => "to_caller",
    }
}

/// The label of why nothing is heard.
pub(crate) fn missing_label(missing: MissingAudio) -> &'static str {
    match missing {
        MissingAudio::OtherAddress => "other_address",
        MissingAudio::OtherKey => "other_key",
        MissingAudio::OtherFormat => "other_format",
        MissingAudio::Nothing => "nothing",
    }
}

/// The label of how a transfer was asked for.
pub(crate) fn transfer_kind(kind: TransferKind) -> &'static str {
    match kind {
        TransferKind::Blind => "blind",
        TransferKind::Attended => "attended",
        TransferKind::Referred => "referred",
    }
}

/// The label of what came of a transfer.
pub(crate) fn transfer_result(result: TransferResult) -> &'static str {
    match result {
        TransferResult::Done => "done",
        TransferResult::Failed => "failed",
        TransferResult::Abandoned => "abandoned",
    }
}

/// The label of a close code.
pub(super) fn close_label(code: CloseCode) -> &'static str {
    match code {
        CloseCode::Normal => "1000",
        CloseCode::GoingAway => "1001",
        CloseCode::BadMessage => "4400",
        CloseCode::NotSignedIn => "4401",
        CloseCode::NotAllowed => "4403",
        CloseCode::TooSlow => "4408",
        CloseCode::Replaced => "4409",
        CloseCode::TooLarge => "4413",
        CloseCode::TooMany => "4429",
    }
}
