//! Ending a dialog: our BYE, and the peer's.

use std::time::{Duration, Instant};

use super::UserAgent;
use super::event::{DialogId, Event};
use super::limits::BYE_AWAITED_T1S;
use super::tables::Owner;
use super::transactions::Incoming;
use crate::dialog::{Role, Stage};
use crate::{HeaderName, Method, Reason, StatusCode};

impl UserAgent {
    /// Ends a dialog. A call of ours that is not answered is cancelled, one of theirs refused with
    /// 480. A callee waits for the ACK of its 2xx, or 64*T1, before BYE (RFC 3261 section 15).
    pub fn bye(&mut self, now: Instant, dialog: DialogId, reason: Option<Reason>) {
        let Some(call) = self.dialogs.get_mut(&dialog) else {
            return;
        };
        match (call.stage, call.role) {
            // A subscription ends without a BYE, which is for sessions.
            _ if call.is_subscription => self.finish(dialog),
            (Stage::Ending, _) => {}
            (Stage::Early, Role::Caller) => self.cancel(now, dialog),
            (Stage::Early, Role::Callee) => {
                self.reject(now, dialog, StatusCode::TEMPORARILY_UNAVAILABLE, &[]);
            }
            (Stage::Confirmed, _) => {
                call.stage = Stage::Ending;
                call.bye_reason = reason;
                call.session = None;
                let owed = call.owed_ack.take();
                if let Some(owed) = owed {
                    self.send_ack(dialog, &owed, None);
                }
                self.terminate_pending_invite(now, dialog);
                self.send_bye_when_due(now, dialog);
                self.settle_dialog(dialog);
            }
        }
    }

    /// Header lines for the BYE of this dialog, or for the answer to the peer's. They take the place of those before.
    pub fn set_bye_headers(&mut self, dialog: DialogId, headers: Vec<(HeaderName, Vec<u8>)>) {
        if let Some(call) = self.dialogs.get_mut(&dialog) {
            call.bye_headers = headers;
        }
    }

    /// The peer's BYE in an established dialog, or in one that we were about to end.
    pub(super) fn on_bye(&mut self, now: Instant, id: DialogId, incoming: Incoming) {
        let reason = incoming.request.headers.reason().ok().flatten();
        let transaction = self.start_server(now, incoming, Some(id));
        let leaves = self.leaves_byes;
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        // After the application's own BYE the other one tells it nothing new. Where the peer had forgotten the dialog it tells why.
        let known = call.stage == Stage::Ending && call.lost.is_none();
        let again = call.bye_in.is_some();
        let answer_owed = leaves && !known && call.stage != Stage::Early;
        if answer_owed {
            call.stage = Stage::Ending;
            call.lost = None;
            call.session = None;
            call.bye_in = Some(transaction);
        } else {
            let headers = call.bye_headers.clone();
            self.send_status(now, transaction, StatusCode::OK, &headers);
        }
        self.terminate_pending_invite(now, id);
        if !known {
            self.emit(Event::Bye {
                dialog: id,
                reason,
                answer_owed,
            });
        }
        // One that comes again, as another transaction, ends nothing before the first one is answered.
        if !answer_owed && !again {
            self.finish(id);
        }
    }

    /// Answers the BYE that [`Event::Bye`] left to the application: 200, and the dialog is over. Without one nothing happens.
    pub fn answer_bye(&mut self, now: Instant, dialog: DialogId) {
        let Some(call) = self.dialogs.get_mut(&dialog) else {
            return;
        };
        let Some(transaction) = call.bye_in.take() else {
            return;
        };
        let headers = std::mem::take(&mut call.bye_headers);
        self.send_status(now, transaction, StatusCode::OK, &headers);
        self.finish(dialog);
    }

    pub(super) fn send_bye_when_due(&mut self, now: Instant, id: DialogId) {
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        let too_soon = call.lost.is_some_and(|until| until > now)
            || call.answer_is_unconfirmed()
            || call.bye_in.is_some();
        if call.stage != Stage::Ending || call.bye_sent || too_soon {
            return;
        }
        call.bye_sent = true;
        let reason = call.bye_reason.take();
        let mut request = call.request(Method::Bye);
        if let Some(reason) = reason {
            request.headers.push(HeaderName::REASON, reason.to_bytes());
        }
        for (name, value) in &call.bye_headers {
            request.headers.push(name.clone(), value.clone());
        }
        self.sign_request(&mut request.headers);
        let Some(call) = self.dialogs.get(&id) else {
            return;
        };
        let hop = self.next_hop(call);
        if self
            .start_client(now, request, hop, Owner::Bye(id))
            .is_none()
        {
            self.finish(id);
        }
    }

    /// The peer does not know the dialog any more, or does not answer: it is over, and ending it means BYE (RFC 3261
    /// section 12.2.1.2). A 481 may be about a moment rather than the dialog, when a request overtook the ACK before it;
    /// without the BYE the peer would keep a call that nobody has. Mostly it is the peer that has hung up and its BYE that was
    /// overtaken or lost: that one is worth waiting for, as it says why.
    pub(super) fn end_if_dead(&mut self, now: Instant, id: DialogId, status: Option<StatusCode>) {
        let wait = match status {
            Some(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT) => {
                self.config.timers.t1 * BYE_AWAITED_T1S
            }
            None => Duration::ZERO,
            Some(_) => return,
        };
        // A call that is not answered yet gets no BYE: it is cancelled, or refused.
        if let Some(call) = self.dialogs.get_mut(&id)
            && call.stage != Stage::Early
        {
            call.lost.get_or_insert(now + wait);
        }
        self.bye(now, id, None);
    }
}
