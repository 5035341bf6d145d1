//! Ending a dialog from our side.

use std::time::{Duration, Instant};

use super::UserAgent;
use super::event::DialogId;
use super::limits::BYE_AWAITED_T1S;
use super::tables::Owner;
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

    pub(super) fn send_bye_when_due(&mut self, now: Instant, id: DialogId) {
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        let too_soon = call.lost.is_some_and(|until| until > now) || call.answer_is_unconfirmed();
        if call.stage != Stage::Ending || call.bye_sent || too_soon {
            return;
        }
        call.bye_sent = true;
        let reason = call.bye_reason.take();
        let mut request = call.request(Method::Bye);
        if let Some(reason) = reason {
            request.headers.push(HeaderName::REASON, reason.to_bytes());
        }
        self.sign_request(&mut request.headers);
        let Some(call) = self.dialogs.get(&id) else {
            return;
        };
        let hop = call.hop(|ip| self.peers.hears(ip));
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
        if let Some(call) = self.dialogs.get_mut(&id) {
            call.lost.get_or_insert(now + wait);
        }
        self.bye(now, id, None);
    }
}
