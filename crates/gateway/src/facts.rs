//! Facts become log lines, metrics and events here, and nowhere else.
//!
//! Every line of a call carries `call`, `call_uuid` and `dn`. Callers' numbers are personal data: DEBUG only.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use control::admin::{CallQuality, Event, ReadyCheck};
use control::{DirectionQuality, EventRecord, MediaState, ReadyReport, RemoteEvent};
use sip::ua::{RefusedReason, RegistrationState, RegistrationStatus};
use switchboard::{
    BrowserState, CallRef, Cause, DirectionReport, Fact, Fault, MediaDirection, SignOutCause,
    Switchboard, TalkResult, WallClock,
};
use tokio::sync::broadcast;

use crate::edge::rate::Rate;
use crate::limits::{EVENT_QUEUE_MAX, EVENTS_KEPT_MAX, REFUSED_LINES_BURST, REFUSED_LINES_PER_S};
use crate::metrics::{Metrics, opinion};
use crate::requests::Subscription;

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

/// Turns facts into what operators see.
#[derive(Debug)]
pub struct Observer {
    metrics: Arc<Metrics>,
    clock: WallClock,
    events: broadcast::Sender<Arc<EventRecord>>,
    kept: VecDeque<Arc<EventRecord>>,
    last_event: u64,
    /// Whether each SIP Server answered the last time a REGISTER was sent there.
    reachable: BTreeMap<SocketAddr, bool>,
    refused_lines: Rate,
    unsaid_refusals: u64,
}

impl Observer {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, clock: WallClock) -> Self {
        let (events, _) = broadcast::channel(EVENT_QUEUE_MAX);
        Self {
            metrics,
            clock,
            events,
            kept: VecDeque::new(),
            last_event: 0,
            reachable: BTreeMap::new(),
            refused_lines: Rate::new(REFUSED_LINES_PER_S, REFUSED_LINES_BURST, clock.at.into()),
            unsaid_refusals: 0,
        }
    }

    /// One fact. `switchboard` is as it left the turn that caused it.
    pub fn observe(&mut self, now: Instant, fact: &Fact, switchboard: &Switchboard) {
        self.log(now, fact);
        self.count(fact);
        if let Some(event) = event(fact, switchboard) {
            self.publish(now, event);
        }
    }

    /// Begins a subscription after the event numbered `after`.
    #[must_use]
    pub fn subscribe(&self, after: Option<u64>) -> Subscription {
        let missed = |record: &&Arc<EventRecord>| after.is_some_and(|after| record.seq > after);
        let backlog = self.kept.iter().filter(missed).cloned().collect();
        Subscription {
            backlog,
            live: self.events.subscribe(),
        }
    }

    /// Whether a load balancer should send agents here.
    #[must_use]
    pub fn ready(&self, draining: bool) -> ReadyReport {
        let silent: Vec<String> = self
            .reachable
            .iter()
            .filter(|(_, reachable)| !**reachable)
            .map(|(server, _)| server.to_string())
            .collect();
        let all_silent = !self.reachable.is_empty() && silent.len() == self.reachable.len();
        let sip = ReadyCheck {
            name: "sip_socket".to_owned(),
            ok: true,
            detail: None,
        };
        let registrar = ReadyCheck {
            name: "registrar".to_owned(),
            ok: !all_silent,
            detail: (!silent.is_empty()).then(|| format!("no answer from {}", silent.join(", "))),
        };
        let drain = ReadyCheck {
            name: "not_draining".to_owned(),
            ok: !draining,
            detail: draining.then(|| "new calls are refused".to_owned()),
        };
        let checks = vec![sip, registrar, drain];
        ReadyReport {
            ready: checks.iter().all(|check| check.ok),
            checks,
        }
    }

    fn publish(&mut self, now: Instant, event: Event) {
        self.last_event += 1;
        let since = now.saturating_duration_since(self.clock.at).as_millis();
        let at_ms = self
            .clock
            .epoch_ms
            .saturating_add(u64::try_from(since).unwrap_or(u64::MAX));
        let record = Arc::new(EventRecord {
            seq: self.last_event,
            at_ms,
            event,
        });
        if self.kept.len() == EVENTS_KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::clone(&record));
        // An error says that nobody listens.
        let _ = self.events.send(record);
    }

    fn count(&mut self, fact: &Fact) {
        let metrics = &self.metrics;
        match fact {
            Fact::Registration { status, .. } => {
                let code = status.sip_status.map(sip::StatusCode::as_u16);
                match status.state {
                    RegistrationState::Registered | RegistrationState::Failed => {
                        metrics.registration(code);
                        self.reachable.insert(status.server, code.is_some());
                    }
                    RegistrationState::Registering | RegistrationState::Unregistered => {}
                }
            }
            Fact::BrowserLeg {
                state: Some(BrowserState::Connected { ice, dtls }),
                ..
            } => {
                metrics.connected(*ice, *dtls);
            }
            Fact::CallRinging { after, .. } => metrics.ringing(*after),
            Fact::Talk { result, .. } => metrics.talk(*result),
            Fact::CallAnswered { talk_to_ok, .. } => metrics.answered(*talk_to_ok),
            Fact::Audible {
                direction,
                after_talk,
                ..
            } => metrics.audible(*direction, *after_talk),
            Fact::CallEnded { cause, .. } => metrics.ended(*cause),
            Fact::CallMedia { report, .. } => metrics.call_media(report),
            Fact::SipRefused { reason, .. } => metrics.sip_refused(*reason),
            _ => {}
        }
    }

    fn log(&mut self, now: Instant, fact: &Fact) {
        match fact {
            Fact::SignedIn {
                dn,
                resumed,
                replaced,
            } => {
                tracing::info!(dn, resumed, replaced, "agent signed in");
            }
            Fact::PageAway { dn } => tracing::info!(dn, "page lost, session kept"),
            Fact::SignedOut { dn, cause } => {
                tracing::info!(dn, cause = sign_out(*cause), "agent signed out");
            }
            Fact::Registration { dn, status } => log_registration(dn, status),
            Fact::BrowserLeg { dn, state } => log_browser(dn, *state),
            Fact::BrowserRefused { dn, reason } => {
                tracing::warn!(dn, reason, "browser's media answer refused");
            }
            Fact::SipRefused { reason, peer } => self.log_refused(now, *reason, *peer),
            Fact::Draining { calls } => tracing::info!(calls, "draining: new calls are refused"),
            Fact::PortTaken { address, port } => {
                tracing::warn!(%address, port, "a media port is taken by another program");
            }
            Fact::Reloaded { added, removed } => {
                tracing::info!(added, removed, "agents read again")
            }
            _ => log_call(fact),
        }
    }

    /// Strangers must not fill the disk: a few lines a second, and how many were left out.
    fn log_refused(&mut self, now: Instant, reason: RefusedReason, peer: SocketAddr) {
        if !self.refused_lines.take(now.into()) {
            self.unsaid_refusals += 1;
            return;
        }
        let (unsaid, reason_text) = (std::mem::take(&mut self.unsaid_refusals), reason.as_str());
        match reason {
            RefusedReason::Source | RefusedReason::ResponseSource | RefusedReason::Challenge => {
                tracing::warn!(%peer, reason = reason_text, unsaid, "sip message refused");
            }
            _ => tracing::info!(%peer, reason = reason_text, unsaid, "sip message refused"),
        }
    }
}

fn log_registration(dn: &str, status: &RegistrationStatus) {
    let code = status.sip_status.map_or(0, sip::StatusCode::as_u16);
    let server = status.server;
    match status.state {
        RegistrationState::Registered => {
            let (expires_s, note) = (status.expires_s, status.note.as_deref());
            tracing::info!(dn, %server, expires_s, note, "registered");
        }
        RegistrationState::Failed => {
            tracing::warn!(dn, %server, sip_status = code, reason = status.reason, "not registered");
        }
        RegistrationState::Registering => tracing::debug!(dn, %server, "registering"),
        RegistrationState::Unregistered => tracing::info!(dn, %server, "unregistered"),
    }
}

fn log_browser(dn: &str, state: Option<BrowserState>) {
    match state {
        Some(BrowserState::Connecting) => tracing::debug!(dn, "browser media connecting"),
        Some(BrowserState::Connected { ice, dtls }) => tracing::info!(
            dn,
            ice_ms = ice.map(milliseconds),
            dtls_ms = dtls.map(milliseconds),
            "browser media connected"
        ),
        Some(BrowserState::Disconnected) => tracing::warn!(dn, "browser media disconnected"),
        Some(BrowserState::Failed) => tracing::warn!(dn, "browser media failed"),
        None => tracing::debug!(dn, "browser media closed"),
    }
}

/// The story of a call: INFO, and WARN where somebody should look.
fn log_call(fact: &Fact) {
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
        Fact::CallRinging { call, after } => {
            call_line!(info, call, after_ms = milliseconds(*after), "call ringing");
        }
        Fact::Talk { call, result } => match result {
            TalkResult::Failed => call_line!(warn, call, result = ?result, "remote control failed"),
            _ => call_line!(info, call, result = ?result, "remote control obeyed"),
        },
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
            let direction = match direction {
                MediaDirection::ToAgent => "to_agent",
                MediaDirection::ToCaller => "to_caller",
            };
            call_line!(info, call, direction, after_talk_ms, "first packet");
        }
        Fact::CallHeld { call, by } => call_line!(info, call, by = ?by, "call held"),
        Fact::CallRetrieved { call } => call_line!(info, call, "call retrieved"),
        Fact::CallEnded {
            call,
            cause,
            sip_status,
            duration,
            talked,
        } => {
            let (duration_ms, talked_ms) = (milliseconds(*duration), talked.map(milliseconds));
            let text = cause.outcome().cause;
            if is_fault(*cause) {
                call_line!(
                    warn,
                    call,
                    cause = text,
                    sip_status,
                    duration_ms,
                    talked_ms,
                    "call ended"
                );
            } else {
                call_line!(
                    info,
                    call,
                    cause = text,
                    sip_status,
                    duration_ms,
                    talked_ms,
                    "call ended"
                );
            }
        }
        Fact::CallMedia { call, report } => log_media(call, report),
        _ => {}
    }
}

fn log_media(call: &CallRef, report: &switchboard::MediaReport) {
    let (agent, caller) = (&report.to_agent, &report.to_caller);
    call_line!(
        info,
        call,
        to_agent_packets = agent.packets,
        to_agent_lost = agent.lost,
        to_agent_jitter_ms = agent.jitter_ms,
        to_caller_packets = caller.packets,
        to_caller_lost = caller.lost,
        to_caller_jitter_ms = caller.jitter_ms,
        "call media"
    );
}

fn is_fault(cause: Cause) -> bool {
    cause.outcome().fault != Fault::Normal
}

fn milliseconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn sign_out(cause: SignOutCause) -> &'static str {
    match cause {
        SignOutCause::Bye => "bye",
        SignOutCause::GraceOver => "grace_over",
        SignOutCause::Removed => "removed",
        SignOutCause::Shutdown => "shutdown",
    }
}

/// The event that tells a fact to subscribers, if it is one of theirs.
fn event(fact: &Fact, switchboard: &Switchboard) -> Option<Event> {
    let call_event = |call: &CallRef| {
        let record = switchboard.call(call.call)?;
        Some(Event::Call {
            dn: record.dn,
            call: record.call,
        })
    };
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
        Fact::Registration { dn, .. } => {
            let registration = switchboard.agent(dn)?.registration;
            Event::Registration {
                dn: dn.clone(),
                registration,
            }
        }
        Fact::BrowserLeg { dn, state } => Event::Media {
            dn: dn.clone(),
            state: state.map(media_state),
        },
        Fact::CallOffered { call, .. }
        | Fact::CallRinging { call, .. }
        | Fact::CallAnswered { call, .. }
        | Fact::CallHeld { call, .. }
        | Fact::CallRetrieved { call }
        | Fact::CallEnded { call, .. } => return call_event(call),
        Fact::Talk { call, result } => {
            let (asked, result) = remote_control(*result)?;
            let (dn, id) = (call.dn.clone(), call.call.to_string());
            Event::RemoteControl {
                dn,
                call: id,
                event: asked,
                result: result.to_owned(),
            }
        }
        Fact::CallMedia { call, report } => {
            let to_agent = quality(&report.to_agent);
            let quality = CallQuality {
                to_agent,
                to_caller: quality(&report.to_caller),
            };
            Event::Quality {
                dn: call.dn.clone(),
                call: call.call.to_string(),
                quality,
            }
        }
        Fact::Draining { calls } => Event::Draining { calls: *calls },
        Fact::Reloaded { added, removed } => Event::Reloaded {
            added: *added,
            removed: *removed,
        },
        Fact::Audible { .. }
        | Fact::BrowserRefused { .. }
        | Fact::SipRefused { .. }
        | Fact::PortTaken { .. } => return None,
    })
}

fn media_state(state: BrowserState) -> MediaState {
    match state {
        BrowserState::Connecting => MediaState::Connecting,
        BrowserState::Connected { .. } => MediaState::Connected,
        BrowserState::Disconnected => MediaState::Disconnected,
        BrowserState::Failed => MediaState::Failed,
    }
}

/// What was asked for and what came of it, where the result tells.
fn remote_control(result: TalkResult) -> Option<(RemoteEvent, &'static str)> {
    match result {
        TalkResult::Answered => Some((RemoteEvent::Talk, "answered")),
        TalkResult::Waiting => Some((RemoteEvent::Talk, "waiting")),
        TalkResult::Retrieved => Some((RemoteEvent::Talk, "retrieved")),
        TalkResult::Held => Some((RemoteEvent::Hold, "held")),
        TalkResult::NoOp | TalkResult::Failed => None,
    }
}

fn quality(report: &DirectionReport) -> DirectionQuality {
    // Exact up to 2^53 packets.
    #[allow(clippy::cast_precision_loss)]
    let loss = report.lost.and_then(|lost| {
        let expected = report.packets.saturating_add(lost);
        (expected > 0).then(|| lost as f64 / expected as f64)
    });
    DirectionQuality {
        loss,
        jitter_ms: report.jitter_ms,
        rtt_ms: report.rtt_ms,
        mos: opinion(report),
    }
}
