//! Every end of a call goes through here: one `Ending` phase, one row of the failure table.

use std::time::Instant;

use control::GatewayMessage;
use sip::StatusCode;
use sip::ua::{DialogId, Reason};

use crate::Switchboard;
use crate::call::{End, Phase};
use crate::failure::Cause;
use crate::ids::CallId;
use crate::io::{Fact, MediaCommand, TalkResult};
use crate::limits::{ENDED_CALLS_KEPT, ENDING_MAX};

impl Switchboard {
    /// Ends a call from our side: a final status, a CANCEL or a BYE by its phase. Media stops at once.
    pub(crate) fn end_call(&mut self, now: Instant, id: CallId, end: End) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let dialog = call.dialog;
        let deadline = now + ENDING_MAX;
        let ending = Phase::Ending {
            cause: end.cause,
            sip_status: None,
            reason: end.reason.clone(),
            deadline,
        };
        let former = std::mem::replace(&mut call.phase, ending);
        match former {
            Phase::Ringing { .. } | Phase::Waiting { .. } => {
                let status = end
                    .cause
                    .outcome()
                    .sip
                    .and_then(StatusCode::new)
                    .unwrap_or(StatusCode::TEMPORARILY_UNAVAILABLE);
                self.note_status(id, status);
                self.ua.reject(now, dialog, status, &[]);
            }
            Phase::Dialing { .. } => self.ua.cancel(now, dialog),
            Phase::AwaitingAck | Phase::Up { .. } => {
                let reason = end.cause.outcome().sip.map(|status| Reason {
                    protocol: "SIP".into(),
                    cause: Some(status),
                    text: None,
                });
                self.send_bye(now, id, reason);
            }
            // It is ending already, for its first cause.
            former @ Phase::Ending { .. } => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.phase = former;
                }
                return;
            }
        }
        self.stop_media(id);
        self.show(id);
        self.arm_call(id);
    }

    fn note_status(&mut self, id: CallId, status: StatusCode) {
        if let Some(call) = self.calls.get_mut(&id)
            && let Phase::Ending { sip_status, .. } = &mut call.phase
        {
            *sip_status = Some(status.as_u16());
        }
    }

    /// The other side ended the call; SIP has been answered already, and the dialog's end follows.
    pub(crate) fn on_remote_end(&mut self, now: Instant, id: CallId, end: End) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if let Phase::Ending {
            cause: cause @ Cause::DialogLost,
            sip_status,
            reason,
            ..
        } = &mut call.phase
        {
            // The BYE that was lost has come after all.
            (*cause, *sip_status, *reason) = (end.cause, end.sip_status, end.reason);
        } else if !call.is_ending() {
            call.phase = Phase::Ending {
                cause: end.cause,
                sip_status: end.sip_status,
                reason: end.reason,
                deadline: now + ENDING_MAX,
            };
            self.stop_media(id);
            self.show(id);
            self.arm_call(id);
        }
    }

    /// The dialog is gone, and the call with it.
    pub(crate) fn on_terminated(&mut self, now: Instant, dialog: DialogId) {
        self.on_subscription_gone(dialog);
        let Some(id) = self.dialogs.remove(&dialog) else {
            return;
        };
        self.tell_referrer(now, id, StatusCode::REQUEST_TERMINATED);
        self.stop_media(id);
        let Some(mut call) = self.calls.remove(&id) else {
            return;
        };
        let end = match std::mem::replace(&mut call.phase, Phase::AwaitingAck) {
            Phase::Ending {
                cause,
                sip_status,
                reason,
                ..
            } => End {
                cause,
                sip_status,
                reason,
            },
            _ => End::from(Cause::DialogLost),
        };
        self.transfer_abandoned(&call);
        self.ports.release(now, call.port);
        if let Some(agent) = self.agents.get_mut(&call.dn) {
            agent.calls.retain(|other| *other != id);
        }
        let view = call.ended_view(&end);
        self.tell_agent(&call.dn, GatewayMessage::Call { call: view.clone() });
        self.fact(Fact::CallEnded {
            call: call.reference(),
            cause: end.cause,
            sip_status: end.sip_status,
            duration: now.saturating_duration_since(call.created),
            talked: call
                .talking
                .map(|(since, _)| now.saturating_duration_since(since)),
        });
        let dn = call.dn.clone();
        let record = control::CallRecord {
            call: view,
            ..call.record()
        };
        self.ended.push_back(record);
        self.record_end(now, call, &end);
        if self.ended.len() > ENDED_CALLS_KEPT {
            self.ended.pop_front();
        }
        self.leave_if_removed(now, &dn);
    }

    /// No packet of this call goes anywhere any more, and its ports are closed.
    fn stop_media(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id).filter(|call| !call.media_closed) else {
            return;
        };
        let dn = call.dn.clone();
        self.bequeath_recordings(id, &dn);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.media_closed = true;
        call.plan = None;
        let worker = call.worker;
        self.stop_recording(self.turn, id);
        self.tell_worker(worker, MediaCommand::CloseCall { call: id });
        self.update_media(&dn);
    }

    /// A call's own deadline has come.
    pub(crate) fn call_due(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        if call.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let dialog = call.dialog;
        match &call.phase {
            Phase::Ringing {
                auto_answer_at: None,
                ..
            }
            | Phase::Dialing { .. } => self.end_call(now, id, End::from(Cause::NoAnswer)),
            Phase::Ringing { .. } => {
                self.answer_call(now, id, control::AnsweredBy::Auto);
            }
            Phase::Waiting { by, .. } => {
                // The desktop's Answer has come to nothing.
                let by_talk = *by == control::AnsweredBy::Talk;
                let failed = by_talk.then(|| Fact::RemoteControl {
                    call: call.reference(),
                    event: control::RemoteEvent::Talk,
                    result: TalkResult::Failed,
                });
                let cause = match self
                    .agents
                    .get(&call.dn)
                    .and_then(crate::agent::Agent::page)
                {
                    Some(_) => Cause::BrowserMedia,
                    None => Cause::BrowserGone,
                };
                if let Some(failed) = failed {
                    self.fact(failed);
                }
                self.end_call(now, id, End::from(cause));
            }
            // The user agent ends every dialog in bounded time; should one be missed, the call does not outlive it.
            Phase::Ending { deadline, .. } if *deadline <= now => self.on_terminated(now, dialog),
            Phase::Ending { .. } => self.say_farewell(now, id),
            Phase::Up { .. } => {
                self.transfer_due(now, id);
                self.leave_replaced_call(now, id);
                self.hold_again(now, id);
            }
            Phase::AwaitingAck => {}
        }
    }
}

/// What a `Reason` header (RFC 3326) tells the agent: its text, else its cause.
pub(crate) fn reason_text(reason: Option<&Reason>) -> Option<String> {
    let reason = reason?;
    let text = reason.text.as_deref().map(crate::headers::shown);
    text.or_else(|| {
        reason
            .cause
            .map(|cause| format!("{} {cause}", reason.protocol))
    })
}
