//! Facts as log lines.

use std::net::SocketAddr;
use std::time::Duration;

use crate::metrics::{direction_label, missing_label, talk_label, transfer_kind, transfer_result};
use control::{HeardBadly, MediaFailure, RemoteEvent};
use sip::ua::{RegistrationFault, RegistrationState, RegistrationStatus};
use switchboard::{
    BrowserState, CallRef, Cause, Fact, Fault, MediaDirection, MissingAudio, RecordingFact,
    TalkResult, WorkerId, WorkerLoad,
};

/// A line about a call, with what every such line carries.
macro_rules! call_line {
    ($level:ident, $call:expr, $($rest:tt)*) => {
        tracing::$level!(
            call = %$call.call,
            call_uuid = $call.call_uuid.as_deref().unwrap_or("-"),
            dn = %$call.dn,
            $($rest)*
        )
    };
}

pub(super) fn log_registration(dn: &str, site: Option<&str>, status: &RegistrationStatus) {
    let code = status.sip_status.map_or(0, sip::StatusCode::as_u16);
    let server = status.server;
    match status.state {
        RegistrationState::Registered => {
            let (expires_s, note) = (status.expires_s, status.note.as_deref());
            tracing::info!(dn, site, %server, expires_s, note, "registered");
        }
        RegistrationState::Failed => {
            let (fault, reason) = (status.fault.map(RegistrationFault::as_str), &status.reason);
            tracing::warn!(dn, site, %server, sip_status = code, fault, reason, "not registered");
        }
        RegistrationState::Registering => tracing::debug!(dn, site, %server, "registering"),
        RegistrationState::Unregistered => tracing::info!(dn, site, %server, "unregistered"),
    }
}

pub(super) fn log_sip_server(site: Option<&str>, server: SocketAddr, up: bool) {
    if up {
        tracing::info!(site, %server, "SIP Server answers again");
    } else {
        tracing::warn!(site, %server, "SIP Server does not answer");
    }
}

pub(super) fn log_sip_servers(
    site: Option<&str>,
    servers: &[SocketAddr],
    elsewhere: &[SocketAddr],
) {
    let list = |all: &[SocketAddr]| {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        all.join(" ")
    };
    tracing::info!(site, servers = list(servers), "SIP Servers of this site");
    if !elsewhere.is_empty() {
        let servers = list(elsewhere);
        tracing::warn!(
            site,
            servers,
            "left out here, since another site has the same SIP Servers"
        );
    }
}

pub(super) fn log_browser(dn: &str, state: Option<BrowserState>) {
    match state {
        Some(BrowserState::Connecting) => tracing::debug!(dn, "browser media connecting"),
        Some(BrowserState::Connected { ice, dtls }) => tracing::info!(
            dn,
            ice_ms = ice.map(milliseconds),
            dtls_ms = dtls.map(milliseconds),
            "browser media connected"
        ),
        Some(BrowserState::Disconnected) => tracing::warn!(dn, "browser media disconnected"),
        Some(BrowserState::Failed(_)) => {}
        None => tracing::debug!(dn, "browser media closed"),
    }
}

/// Pages are loaded anew and left open all day: that need not wake anybody.
pub(super) fn log_browser_failed(dn: &str, call: Option<&CallRef>, failure: MediaFailure) {
    let (cause, reason) = (failure.as_str(), failure.text());
    let usual = matches!(failure, MediaFailure::Closed | MediaFailure::Unanswered);
    match (call, usual) {
        (Some(call), true) => call_line!(info, call, cause, reason, "browser media failed"),
        (Some(call), false) => call_line!(warn, call, cause, reason, "browser media failed"),
        (None, true) => tracing::info!(dn, cause, reason, "browser media failed"),
        (None, false) => tracing::warn!(dn, cause, reason, "browser media failed"),
    }
}

/// A worker opens and shuts within seconds at the soonest, so these lines need no rate.
pub(super) fn log_overload(worker: WorkerId, (overloaded, silent): (bool, bool), load: WorkerLoad) {
    let WorkerLoad {
        busy_percent,
        late_percent,
        quota_percent,
    } = load;
    let worker = worker.0;
    if silent {
        tracing::error!(
            worker,
            busy_percent,
            late_percent,
            quota_percent,
            "a media worker says nothing any more: it hangs, nobody on it is heard, and its agents get no further calls"
        );
    } else if overloaded {
        tracing::warn!(
            worker,
            busy_percent,
            late_percent,
            quota_percent,
            "a media worker has too much to do: its agents get no further calls"
        );
    } else {
        tracing::info!(
            worker,
            busy_percent,
            late_percent,
            quota_percent,
            "a media worker takes calls again"
        );
    }
}

/// The story of a call: INFO, and WARN where somebody should look.
pub(super) fn log_call(fact: &Fact) {
    match fact {
        Fact::CallOffered {
            call,
            outbound,
            number,
        } => {
            let direction = if *outbound { "outbound" } else { "inbound" };
            call_line!(info, call, direction, "call offered");
            call_line!(debug, call, number, "other party");
        }
        Fact::CallRinging { call, after, .. } => {
            call_line!(info, call, after_ms = milliseconds(*after), "call ringing");
        }
        Fact::RemoteControl {
            call,
            event,
            result,
        } => log_remote_control(call, *event, *result),
        Fact::CallAnswered {
            call,
            by,
            talk_to_ok,
        } => {
            let talk_to_ok_ms = talk_to_ok.map(milliseconds);
            call_line!(info, call, by = ?by, talk_to_ok_ms, "call answered");
        }
        Fact::Audible {
            call,
            direction,
            after_talk,
        } => {
            let after_talk_ms = after_talk.map(milliseconds);
            let direction = direction_label(*direction);
            call_line!(info, call, direction, after_talk_ms, "first packet");
        }
        Fact::OneWayAudio {
            call,
            direction,
            missing,
        } => log_one_way(call, *direction, *missing),
        Fact::HeardBadly { call, badly } => log_heard(call, *badly),
        Fact::CallMoved {
            call,
            server,
            status,
        } => {
            call_line!(info, call, server = %server, status = ?status, "call goes to another sip server")
        }
        Fact::CallHeld { call, by } => call_line!(info, call, by = ?by, "call held"),
        Fact::CallRetrieved { call } => call_line!(info, call, "call retrieved"),
        Fact::TransferEnded {
            call,
            kind,
            result,
            sip_status,
        } => {
            let (kind, result) = (transfer_kind(*kind), transfer_result(*result));
            call_line!(info, call, kind, result, sip_status, "transfer ended");
        }
        Fact::CallEnded {
            call,
            cause,
            sip_status,
            duration,
            talked,
        } => log_end(call, *cause, *sip_status, *duration, *talked),
        Fact::Recording { call, event } => log_recording(call, *event),
        Fact::CallMedia { call, report } => log_media(call, report),
        _ => {}
    }
}

fn log_remote_control(call: &CallRef, event: RemoteEvent, result: TalkResult) {
    let (event, label) = (event.as_str(), talk_label(result));
    match result {
        TalkResult::Failed => {
            call_line!(warn, call, event, result = label, "remote control failed");
        }
        _ => call_line!(info, call, event, result = label, "remote control obeyed"),
    }
}

/// `unsaid` calls before this one were refused without a line.
pub(super) fn log_call_refused(
    call: &CallRef,
    number: &str,
    (cause, sip_status, reason): (Cause, u16, Option<&str>),
    unsaid: u64,
) {
    let row = cause.outcome();
    let cause = row.cause;
    if row.fault == Fault::Normal {
        call_line!(info, call, cause, sip_status, unsaid, "call refused");
    } else {
        call_line!(
            warn,
            call,
            cause,
            sip_status,
            reason,
            unsaid,
            "call refused"
        );
    }
    call_line!(debug, call, number, "other party");
}

fn log_one_way(call: &CallRef, direction: MediaDirection, missing: Option<MissingAudio>) {
    let direction = direction_label(direction);
    match missing.map(missing_label) {
        Some(reason) => call_line!(warn, call, direction, reason, "audio is missing one way"),
        None => call_line!(info, call, direction, "audio flows both ways again"),
    }
}

fn log_heard(call: &CallRef, badly: HeardBadly) {
    let HeardBadly {
        to_agent,
        to_caller,
    } = badly;
    if badly.by_anybody() {
        call_line!(info, call, to_agent, to_caller, "call heard badly");
    } else {
        call_line!(info, call, "call heard well again");
    }
}

/// A file that could not be written is told by its writer as well, with the reason.
fn log_recording(call: &CallRef, event: RecordingFact) {
    match event {
        RecordingFact::Failed => call_line!(warn, call, "recording given up"),
        RecordingFact::Started => call_line!(info, call, "recording begins"),
        RecordingFact::Paused => call_line!(info, call, "recording paused"),
        RecordingFact::Resumed => call_line!(info, call, "recording resumed"),
        RecordingFact::Stopped => call_line!(info, call, "recording ends"),
    }
}

fn log_media(call: &CallRef, report: &switchboard::MediaReport) {
    let (agent, caller) = (&report.to_agent, &report.to_caller);
    call_line!(
        info,
        call,
        to_agent_packets = agent.packets,
        to_agent_lost = agent.lost,
        to_agent_jitter_ms = agent.jitter_ms.map(thousandths),
        to_caller_packets = caller.packets,
        to_caller_lost = caller.lost,
        to_caller_jitter_ms = caller.jitter_ms.map(thousandths),
        "call media"
    );
}

fn log_end(
    call: &CallRef,
    cause: Cause,
    sip_status: Option<u16>,
    duration: Duration,
    talked: Option<Duration>,
) {
    let (duration_ms, talked_ms) = (milliseconds(duration), talked.map(milliseconds));
    let row = cause.outcome();
    let cause = row.cause;
    if row.fault == Fault::Normal {
        call_line!(
            info,
            call,
            cause,
            sip_status,
            duration_ms,
            talked_ms,
            "call ended"
        );
    } else {
        call_line!(
            warn,
            call,
            cause,
            sip_status,
            duration_ms,
            talked_ms,
            "call ended"
        );
    }
}

/// The form of the request, and nothing of what it held.
pub(super) fn log_unreadable_digits(fact: &Fact, unsaid: u64) {
    if let Fact::DigitsUnreadable {
        call,
        method,
        event,
        content_type,
        body_bytes,
    } = fact
    {
        call_line!(
            warn,
            call,
            method,
            event,
            content_type,
            body_bytes,
            unsaid,
            "digits in a form that is not known, refused (415)"
        );
    }
}

fn milliseconds(duration: Duration) -> f64 {
    thousandths(duration.as_secs_f64() * 1e3)
}

fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
