//! Facts as events for subscribers.

use control::admin::{CallQuality, Event};
use control::{HeardBadly, MediaFailure, MediaState, RemoteEvent};
use switchboard::{
    BrowserState, CallRef, Fact, MediaReport, SignOutCause, Switchboard, TalkResult,
};

use crate::metrics::talk_label;

/// The event that tells a fact to subscribers, if it is one of theirs.
pub(super) fn event(fact: &Fact, switchboard: &Switchboard) -> Option<Event> {
    Some(match fact {
        Fact::SignedIn {
            dn,
            resumed,
            replaced,
        } => Event::SignedIn {
            dn: dn.clone(),
            resumed: *resumed,
            replaced: *replaced,
        },
        Fact::PageAway { dn } => Event::PageAway { dn: dn.clone() },
        Fact::SignedOut { dn, cause } => Event::SignedOut {
            dn: dn.clone(),
            cause: sign_out(*cause).to_owned(),
        },
        Fact::Registration { dn, .. } | Fact::NoSipServer { dn, .. } => Event::Registration {
            dn: dn.clone(),
            registration: switchboard.agent(dn)?.registration,
        },
        Fact::BrowserLeg { dn, state } => media(dn, state.map(BrowserState::shown), None),
        Fact::BrowserLegFailed { dn, failure, .. } => {
            media(dn, Some(MediaState::Failed), Some(*failure))
        }
        Fact::CallShown { call, view } => Event::Call {
            dn: call.dn.clone(),
            call: view.as_ref().clone(),
        },
        Fact::CallEnded { call, .. } => return call_event(call, switchboard),
        Fact::RemoteControl {
            call,
            event,
            result,
        } => remote_control(call, *event, *result),
        Fact::DigitReceived { call, digit } => Event::DtmfReceived {
            dn: call.dn.clone(),
            call: call.call.to_string(),
            digit: digit.to_string(),
        },
        Fact::HeardBadly { call, badly } => heard_badly(call, *badly),
        Fact::CallMedia { call, report } => quality(call, report),
        Fact::Draining { calls } => Event::Draining { calls: *calls },
        Fact::Overload { .. } => return overload(fact),
        Fact::Reloaded { added, removed } => Event::Reloaded {
            added: *added,
            removed: *removed,
        },
        Fact::CallOffered { .. }
        | Fact::CallRinging { .. }
        | Fact::CallMoved { .. }
        | Fact::CallAnswered { .. }
        | Fact::CallHeld { .. }
        | Fact::CallRetrieved { .. }
        | Fact::OneWayAudio { .. }
        | Fact::TransferEnded { .. }
        | Fact::Audible { .. }
        | Fact::EndRecord { .. }
        | Fact::CallRefused { .. }
        | Fact::SignInRefused { .. }
        | Fact::Recording { .. }
        | Fact::BrowserRefused { .. }
        | Fact::SipRefused { .. }
        | Fact::PortTaken { .. }
        | Fact::DigitsUnreadable { .. }
        | Fact::SipServer { .. }
        | Fact::ClockJumped { .. }
        | Fact::SipServers { .. } => return None,
    })
}

fn overload(fact: &Fact) -> Option<Event> {
    let Fact::Overload {
        worker, overloaded, ..
    } = fact
    else {
        return None;
    };
    Some(Event::Overload {
        worker: worker.0,
        overloaded: *overloaded,
    })
}

fn heard_badly(call: &CallRef, badly: HeardBadly) -> Event {
    Event::HeardBadly {
        dn: call.dn.clone(),
        call: call.call.to_string(),
        badly,
    }
}

/// The call as it is now.
fn call_event(call: &CallRef, switchboard: &Switchboard) -> Option<Event> {
    Some(Event::Call {
        dn: call.dn.clone(),
        call: switchboard.call_view(call.call)?,
    })
}

fn media(dn: &str, state: Option<MediaState>, cause: Option<MediaFailure>) -> Event {
    Event::Media {
        dn: dn.to_owned(),
        state,
        cause,
    }
}

fn remote_control(call: &CallRef, event: RemoteEvent, result: TalkResult) -> Event {
    Event::RemoteControl {
        dn: call.dn.clone(),
        call: call.call.to_string(),
        event,
        result: talk_label(result).to_owned(),
    }
}

fn quality(call: &CallRef, report: &MediaReport) -> Event {
    Event::Quality {
        dn: call.dn.clone(),
        call: call.call.to_string(),
        quality: call_quality(report),
    }
}

fn call_quality(report: &MediaReport) -> CallQuality {
    CallQuality {
        to_agent: report.to_agent.quality(),
        to_caller: report.to_caller.quality(),
        browser: None,
    }
}

/// The word for why a session is over.
pub(super) fn sign_out(cause: SignOutCause) -> &'static str {
    match cause {
        SignOutCause::Bye => "bye",
        SignOutCause::GraceOver => "grace_over",
        SignOutCause::Removed => "removed",
        SignOutCause::Shutdown => "shutdown",
    }
}
