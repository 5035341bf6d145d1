//! Facts become log lines, metrics and events here, and nowhere else.
//!
//! Every line of a call carries `call`, `call_uuid` and `dn`. Callers' numbers are personal data: DEBUG only.

mod events;
mod lines;
mod readiness;
mod told;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::{ErrorCode, MediaFailure, ReadyReport};
use sip::ua::{RefusedReason, RegistrationFault, RegistrationState, SiteId};
use switchboard::{BrowserState, Fact, Switchboard};

use self::events::{event, sign_out};
use self::lines::{
    log_browser, log_browser_failed, log_call, log_call_refused, log_overload, log_registration,
    log_sip_server, log_sip_servers, log_unreadable_digits,
};
use self::readiness::Readiness;
use self::told::Told;
use crate::calendar;
use crate::edge::cdr::RecordSink;
use crate::edge::rate::{Rate, RatedLines};
use crate::edge::sparing::Sparing;
use crate::limits::{
    REFUSED_CALLS_BURST, REFUSED_CALLS_PER_S, REFUSED_LINES_BURST, REFUSED_LINES_PER_S,
};
use crate::metrics::Metrics;
use crate::requests::Subscription;

/// Turns facts into what operators see.
#[derive(Debug)]
pub struct Observer {
    metrics: Arc<Metrics>,
    told: Told,
    readiness: Readiness,
    refused_lines: RatedLines,
    refused_calls: RatedLines,
    sign_in_lines: Sparing,
    digit_lines: Sparing,
    records: Option<RecordSink>,
}

impl Observer {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, now: Instant) -> Self {
        Self {
            metrics,
            told: Told::after(calendar::since_epoch_ms()),
            readiness: Readiness::default(),
            refused_lines: RatedLines::new(Rate::new(
                REFUSED_LINES_PER_S,
                REFUSED_LINES_BURST,
                now.into(),
            )),
            refused_calls: RatedLines::new(Rate::new(
                REFUSED_CALLS_PER_S,
                REFUSED_CALLS_BURST,
                now.into(),
            )),
            sign_in_lines: Sparing::default(),
            digit_lines: Sparing::default(),
            records: None,
        }
    }

    /// One fact. `lag` is how long ago the message came in that caused it: within one turn of the loop the machine's time stands
    /// still, and the true latency of a 180 or a 200 is what the shell adds. `switchboard` is as the turn left it.
    pub fn observe(&mut self, now: Instant, lag: Duration, fact: Fact, switchboard: &Switchboard) {
        let fact = with_lag(fact, lag);
        self.log(now, &fact);
        self.count(now, &fact, switchboard);
        if let Some(event) = event(&fact, switchboard) {
            self.told.publish(switchboard.time_of_day_ms(now), event);
        }
        match fact {
            Fact::EndRecord { record } => self.record(record),
            // Whoever sends INVITEs in a loop must not fill the disk, so line and record share one rate. Each is counted.
            Fact::CallRefused {
                call,
                number,
                cause,
                sip_status,
                record,
            } => match self.refused_calls.line(now.into()) {
                Some(unsaid) => {
                    let reason = record.end.reason.as_deref();
                    log_call_refused(&call, &number, (cause, sip_status, reason), unsaid);
                    self.record(record);
                }
                None => self.leave_out(),
            },
            _ => {}
        }
    }

    fn record(&self, record: Box<control::EndRecord>) {
        if let Some(records) = &self.records {
            records.write(record);
        }
    }

    fn leave_out(&self) {
        if let Some(records) = &self.records {
            records.left_out();
        }
    }

    /// Records of calls go there from now on.
    #[must_use]
    pub fn recording_to(mut self, records: Option<RecordSink>) -> Self {
        self.records = records;
        self
    }

    /// Begins a subscription after the event numbered `after`.
    #[must_use]
    pub fn subscribe(&self, after: Option<u64>) -> Subscription {
        self.told.subscribe(after)
    }

    /// Whether a load balancer should send agents here. `listening` says that every SIP socket is read.
    #[must_use]
    pub fn ready(&self, listening: bool, switchboard: &Switchboard) -> ReadyReport {
        let answered = |server| switchboard.last_answer(server);
        self.readiness
            .report(listening, &switchboard.gauges(), answered)
    }

    /// The names of a site's SIP Servers were looked up. `any` says that at least one server is known.
    pub fn looked_up(&mut self, site: SiteId, any: bool, problems: Vec<String>) {
        self.readiness.looked_up(site, any, problems);
    }

    /// These sites have names among their SIP Servers, and none of them was looked up yet.
    #[must_use]
    pub fn awaiting(mut self, sites: &[SiteId]) -> Self {
        for site in sites {
            let not_yet = vec!["names of SIP Servers not looked up yet".to_owned()];
            self.readiness.looked_up(*site, false, not_yet);
        }
        self
    }

    fn count(&mut self, now: Instant, fact: &Fact, switchboard: &Switchboard) {
        let metrics = &self.metrics;
        match fact {
            Fact::Registration { status, .. } => {
                let failed = status.state == RegistrationState::Failed;
                if let Some(fault) = status.fault.filter(|_| failed) {
                    metrics.registration_failure(fault);
                }
                let code = status.sip_status.map(sip::StatusCode::as_u16);
                match status.state {
                    RegistrationState::Registered | RegistrationState::Failed => {
                        metrics.registration(code);
                        self.readiness.heard(now, status.server, code.is_some());
                    }
                    RegistrationState::Registering | RegistrationState::Unregistered => {}
                }
            }
            Fact::SignInRefused { code, .. } => metrics.sign_in_refused(*code),
            Fact::NoSipServer { .. } => metrics.registration_failure(RegistrationFault::NoServer),
            Fact::BrowserLeg {
                state: Some(BrowserState::Connected { ice, dtls }),
                ..
            } => {
                metrics.connected(*ice, *dtls);
            }
            Fact::BrowserLegFailed { failure, .. } => metrics.leg_failed(*failure),
            Fact::BrowserRefused { .. } => metrics.leg_failed(MediaFailure::Refused),
            // How long a callee takes to ring says nothing about us.
            Fact::CallRinging {
                outbound: false,
                after,
                ..
            } => metrics.ringing(*after),
            Fact::RemoteControl { result, .. } => metrics.talk(*result),
            Fact::CallAnswered { talk_to_ok, .. } => metrics.answered(*talk_to_ok),
            Fact::Audible {
                direction,
                after_talk,
                ..
            } => metrics.audible(*direction, *after_talk),
            Fact::OneWayAudio {
                direction,
                missing: Some(missing),
                ..
            } => metrics.one_way_audio(*direction, *missing),
            Fact::TransferEnded { kind, result, .. } => metrics.transfer(*kind, *result),
            Fact::CallEnded { cause, .. } | Fact::CallRefused { cause, .. } => {
                metrics.ended(*cause);
            }
            Fact::EndRecord { record } => metrics.call_recorded(record),
            Fact::SipServers { .. } => self.readiness.keep_only(switchboard.sip_servers()),
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
            Fact::SignInRefused { dn, code } => self.log_sign_in_refused(now, dn, *code),
            Fact::PageAway { dn } => tracing::info!(dn, "page lost, session kept"),
            Fact::SignedOut { dn, cause } => {
                tracing::info!(dn, cause = sign_out(*cause), "agent signed out");
            }
            Fact::Registration { dn, site, status } => {
                log_registration(dn, site.as_deref(), status);
            }
            Fact::NoSipServer { dn, site, reason } => {
                let fault = RegistrationFault::NoServer.as_str();
                tracing::warn!(dn, site, fault, reason, "not registered");
            }
            Fact::SipServer { site, server, up } => log_sip_server(site.as_deref(), *server, *up),
            Fact::SipServers {
                site,
                servers,
                elsewhere,
            } => {
                log_sip_servers(site.as_deref(), servers, elsewhere);
            }
            Fact::BrowserLeg { dn, state } => log_browser(dn, *state),
            Fact::BrowserLegFailed { dn, call, failure } => {
                log_browser_failed(dn, call.as_ref(), *failure);
            }
            Fact::BrowserRefused { dn, reason } => {
                tracing::warn!(dn, reason, "browser's media answer refused");
            }
            Fact::SipRefused { reason, peer } => self.log_refused(now, *reason, *peer),
            Fact::ClockJumped { was_ms, is_ms } => {
                tracing::warn!(was_ms, is_ms, "the clock of this host has jumped");
            }
            Fact::Draining { calls } => tracing::info!(calls, "draining: new calls are refused"),
            Fact::Overload {
                worker,
                overloaded,
                silent,
                load,
            } => log_overload(*worker, (*overloaded, *silent), *load),
            Fact::PortTaken { address, port } => {
                tracing::warn!(%address, port, "a media port is taken by another program");
            }
            Fact::Reloaded { added, removed } => {
                tracing::info!(added, removed, "agents read again")
            }
            Fact::DigitsUnreadable { .. } => self.log_unreadable_digits(now, fact),
            _ => log_call(fact),
        }
    }

    /// Where one key cannot be read none can: an agent who presses a card number is one line.
    fn log_unreadable_digits(&self, now: Instant, fact: &Fact) {
        if let Some(unsaid) = self.digit_lines.line(now.into()) {
            log_unreadable_digits(fact, unsaid);
        }
    }

    /// Pages that are refused come back every few seconds, all of them.
    fn log_sign_in_refused(&self, now: Instant, dn: &str, code: ErrorCode) {
        let Some(unsaid) = self.sign_in_lines.line(now.into()) else {
            return;
        };
        let reason = code.as_str();
        if code == ErrorCode::Overload {
            tracing::warn!(
                dn,
                reason,
                unsaid,
                "sign-in refused: the media workers have too much to do"
            );
        } else {
            tracing::info!(dn, reason, unsaid, "sign-in refused");
        }
    }

    /// Strangers must not fill the disk: a few lines a second, and how many were left out.
    fn log_refused(&mut self, now: Instant, reason: RefusedReason, peer: SocketAddr) {
        let Some(unsaid) = self.refused_lines.line(now.into()) else {
            return;
        };
        let reason_text = reason.as_str();
        match reason {
            RefusedReason::Source | RefusedReason::ResponseSource | RefusedReason::Challenge => {
                tracing::warn!(%peer, reason = reason_text, unsaid, "sip message refused");
            }
            _ => tracing::info!(%peer, reason = reason_text, unsaid, "sip message refused"),
        }
    }
}

/// Adds the shell's own share to the durations that end with a message of ours.
fn with_lag(mut fact: Fact, lag: Duration) -> Fact {
    match &mut fact {
        Fact::CallRinging {
            outbound: false,
            after,
            ..
        } => *after += lag,
        Fact::CallAnswered {
            talk_to_ok: Some(after),
            ..
        } => *after += lag,
        _ => {}
    }
    fact
}
