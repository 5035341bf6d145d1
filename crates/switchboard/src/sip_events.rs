//! What the SIP user agent reports, handed to the noun it concerns.

use std::net::SocketAddr;
use std::time::Instant;

use sip::StatusCode;
use sip::ua::{DialogId, Event, Outcome, Reason, TransactionId};
use sip::wire::{Method, Request};

use crate::Switchboard;
use crate::call::{Call, End, Phase};
use crate::ending::reason_text;
use crate::failure::Cause;
use crate::ids::CallId;
use crate::io::{Fact, Output};
use crate::talk::event_package;

impl Switchboard {
    pub(crate) fn on_sip_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Invite {
                dialog,
                request,
                peer,
            } => self.on_invite(now, dialog, &request, peer.remote),
            Event::InviteRefused { invite } => self.on_invite_refused(now, &invite),
            Event::Cancelled { dialog, reason } => {
                self.remote_end(now, dialog, Cause::RemoteCancel, reason.as_ref());
            }
            Event::Bye {
                dialog,
                reason,
                answer_owed,
            } => self.on_bye(now, dialog, reason.as_ref(), answer_owed),
            Event::Ack {
                dialog,
                to_offer,
                sdp,
            } => {
                if let Some(id) = self.call_of(dialog) {
                    self.on_ack(now, id, to_offer, sdp.as_deref());
                }
            }
            Event::AckMissing { dialog } => self.on_missing(now, dialog, Cause::AckMissing),
            Event::PrackMissing { dialog } => self.on_missing(now, dialog, Cause::PrackMissing),
            Event::Reinvite {
                dialog,
                transaction,
                request,
            }
            | Event::Update {
                dialog,
                transaction,
                request,
            }
            | Event::Request {
                dialog,
                transaction,
                request,
            } => {
                if let Some(id) = self.call_or_481(now, dialog, transaction) {
                    self.on_dialog_request(now, id, transaction, &request);
                }
            }
            // A re-INVITE is answered in the turn in which it comes, so none is left to be cancelled.
            Event::ReinviteCancelled { .. } => {}
            Event::OutOfDialog {
                transaction,
                request,
                peer,
            } => self.on_out_of_dialog(now, transaction, &request, peer.remote),
            Event::Outcome { dialog, outcome } => self.on_outcome(now, dialog, outcome),
            Event::SessionExpired { dialog } => {
                self.remote_end(now, dialog, Cause::DialogLost, None);
            }
            Event::Terminated { dialog } => self.on_terminated(now, dialog),
            Event::Registration { dn, site, status } => {
                self.on_registration(now, &dn, site, status);
            }
            Event::Probed { server, transport } => self.on_probed(now, transport, server),
            Event::Peers { hosts } => self.emit(Output::SipPeers(hosts)),
            Event::Refused { reason, peer } => self.fact(Fact::SipRefused { reason, peer }),
        }
    }

    fn on_bye(
        &mut self,
        now: Instant,
        dialog: DialogId,
        reason: Option<&Reason>,
        answer_owed: bool,
    ) {
        if let Some(id) = self.call_of(dialog) {
            let cause = self.cause_of_bye(now, id);
            self.remote_end(now, dialog, cause, reason);
        }
        if answer_owed {
            self.answer_bye(now, dialog);
        }
    }

    /// What the caller owed us never came.
    fn on_missing(&mut self, now: Instant, dialog: DialogId, cause: Cause) {
        if let Some(id) = self.call_of(dialog) {
            self.end_call(now, id, End::from(cause));
        }
    }

    /// What came of a call, a re-INVITE or another request of ours. Whoever asked for a call by REFER hears of it too.
    fn on_outcome(&mut self, now: Instant, dialog: DialogId, outcome: Outcome) {
        match outcome {
            Outcome::Progress {
                status,
                fork,
                sdp,
                headers,
                ..
            } => {
                if let Some(id) = self.call_of(dialog) {
                    self.learn_call_uuid(id, &headers);
                    self.on_progress(now, id, fork, sdp);
                    self.tell_referrer(now, id, status);
                }
            }
            Outcome::Answered { fork, sdp, headers } => {
                if let Some(id) = self.call_of(dialog) {
                    self.learn_call_uuid(id, &headers);
                    self.inherit_recordings(id);
                    self.on_dial_answered(now, id, fork.as_ref(), sdp);
                    if self.calls.get(&id).is_some_and(Call::is_up) {
                        self.tell_referrer(now, id, StatusCode::OK);
                    }
                }
            }
            Outcome::Failed {
                status,
                reason,
                headers,
            } => {
                if let Some(id) = self.call_of(dialog)
                    && !self.try_other_server(now, id, dialog, status, &headers)
                {
                    self.on_dial_failed(now, id, status, reason.as_ref());
                    self.tell_referrer(now, id, status.unwrap_or(StatusCode::REQUEST_TIMEOUT));
                }
            }
            Outcome::ReinviteAnswered { sdp } => {
                if let Some(id) = self.call_of(dialog) {
                    self.on_reinvite_answered(now, id, sdp.as_deref());
                }
            }
            Outcome::Refreshed { sdp } => {
                if let Some(id) = self.call_of(dialog) {
                    self.on_refreshed(now, id, sdp);
                }
            }
            Outcome::ReinviteFailed { status } => self.on_reinvite_refused(now, dialog, status),
            Outcome::Response {
                transaction,
                response,
            } => {
                let reason = response.headers.reason().ok().flatten();
                let answer = (response.status, reason_text(reason.as_ref()));
                self.on_request_answered(now, dialog, transaction, Some(answer));
            }
            Outcome::RequestFailed { transaction } => {
                self.on_request_answered(now, dialog, transaction, None);
            }
        }
    }

    fn on_reinvite_refused(&mut self, now: Instant, dialog: DialogId, status: Option<StatusCode>) {
        match status {
            // No dialog is left at the other side, or nobody: the user agent has sent BYE.
            None
            | Some(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT) => {
                self.remote_end(now, dialog, Cause::DialogLost, None)
            }
            Some(status) => {
                if let Some(id) = self.call_of(dialog) {
                    self.on_reinvite_failed(now, id, status);
                }
            }
        }
    }

    /// A request of ours in a dialog is answered, or not: a digit by INFO, or a REFER.
    fn on_request_answered(
        &mut self,
        now: Instant,
        dialog: DialogId,
        transaction: TransactionId,
        answer: Option<(StatusCode, Option<String>)>,
    ) {
        self.on_notify_answered(now, transaction, answer.as_ref().map(|(status, _)| *status));
        if let Some(id) = self.call_of(dialog) {
            let status = answer.as_ref().map(|(status, _)| *status);
            self.on_info_answered(now, id, transaction, status);
            self.on_refer_answered(now, id, transaction, answer);
            if status == Some(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST)
                && self.is_dialog_gone(id)
            {
                self.on_remote_end(now, id, End::from(Cause::DialogLost));
            }
        }
    }

    /// The user agent ends the dialog of an answered call, whose peer does not know it any more.
    pub(crate) fn is_dialog_gone(&self, id: CallId) -> bool {
        let call = self.calls.get(&id);
        let answered = |call: &&Call| matches!(call.phase, Phase::AwaitingAck | Phase::Up { .. });
        call.filter(answered)
            .is_some_and(|call| self.ua.replaceable(call.dialog).is_none())
    }

    pub(crate) fn call_of(&self, dialog: DialogId) -> Option<CallId> {
        self.dialogs.get(&dialog).copied()
    }

    fn call_or_481(
        &mut self,
        now: Instant,
        dialog: DialogId,
        transaction: TransactionId,
    ) -> Option<CallId> {
        let call = self.call_of(dialog);
        if call.is_none() {
            self.reply(
                now,
                transaction,
                StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
                &[],
            );
        }
        call
    }

    fn remote_end(
        &mut self,
        now: Instant,
        dialog: DialogId,
        cause: Cause,
        reason: Option<&Reason>,
    ) {
        let Some(id) = self.call_of(dialog) else {
            return;
        };
        let end = End {
            cause,
            sip_status: status_in(reason)
                .filter(|_| cause != Cause::RemoteCancel)
                .or(cause.outcome().sip),
            reason: reason_text(reason),
        };
        self.on_remote_end(now, id, end);
    }

    /// Requests that belong to no dialog. OPTIONS is SIP Server's question whether we live; the rest is refused politely.
    fn on_out_of_dialog(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        request: &Request,
        server: SocketAddr,
    ) {
        match request.method {
            Method::Options => self.on_options(now, transaction, request),
            Method::Message => self.on_message(now, transaction, request, None),
            Method::Notify => match event_package(request).as_deref() {
                Some("message-summary") => self.on_message_summary(now, transaction, request),
                // A talk or hold without a dialog would answer a call for whoever asks.
                Some("talk" | "hold" | "dtmf" | "telephone-event" | "beep") => {
                    let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
                    self.reply(now, transaction, status, &[]);
                }
                _ => self.refuse_event(now, transaction),
            },
            Method::Subscribe => self.refuse_event(now, transaction),
            Method::Refer => {
                let site = self.sites.site_of(server);
                self.on_refer(now, transaction, request, (None, site));
            }
            _ => self.reply(now, transaction, StatusCode::METHOD_NOT_ALLOWED, &[]),
        }
    }
}

/// The status that a `Reason` names; the causes of other protocols are no statuses (RFC 3326 section 2).
fn status_in(reason: Option<&Reason>) -> Option<u16> {
    reason.filter(|reason| reason.is_sip())?.cause
}
