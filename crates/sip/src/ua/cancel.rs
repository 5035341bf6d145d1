//! Giving a call of ours up (RFC 3261 section 9.1).

use std::time::Instant;

use super::event::{DialogId, TransactionId};
use super::tables::Owner;
use super::{UserAgent, limits};
use crate::dialog::{Cancel, Role, Stage};
use crate::{HeaderName, Method, Request};

impl UserAgent {
    /// Gives a call up: CANCEL goes out once a provisional response has come. An answer that
    /// crosses it is acknowledged and ended by BYE.
    pub fn cancel(&mut self, now: Instant, dialog: DialogId) {
        let Some(call) = self.dialogs.get_mut(&dialog) else {
            return;
        };
        if call.role != Role::Caller || call.stage != Stage::Early || call.cancel != Cancel::No {
            return;
        }
        call.cancel = Cancel::Wanted;
        self.send_cancel_when_due(now, dialog);
        self.settle_dialog(dialog);
    }

    pub(super) fn send_cancel_when_due(&mut self, now: Instant, id: DialogId) {
        let patience = self.config.timers.patience();
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        if call.cancel != Cancel::Wanted {
            return;
        }
        let invite = call
            .invite_out
            .as_ref()
            .and_then(|(id, _)| self.clients.get(id));
        let Some(invite) = invite.filter(|invite| !invite.machine.is_unanswered()) else {
            return;
        };
        call.cancel = Cancel::Sent(now + patience);
        let Some(request) = cancel_request(&invite.request) else {
            return;
        };
        let hop = invite.hop;
        self.start_cancel(now, request, hop);
    }

    /// No final response to a cancelled INVITE within 64*T1 (RFC 3261 section 9.1).
    pub(super) fn give_cancelled_up(&mut self, now: Instant, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        let Cancel::Sent(until) = dialog.cancel else {
            return;
        };
        if until > now {
            return;
        }
        if let Some((transaction, _)) = dialog.invite_out.take()
            && let Some(client) = self.clients.get_mut(&transaction)
        {
            client.machine.abandon(now);
            self.keep_abandoned(transaction);
            self.settle_client(transaction);
        }
        self.fail_call(id, None);
    }

    /// An INVITE was given up without a final response. One that opens a call waits for what may still come of it; within a dialog the BYE that
    /// follows ends that as well.
    pub(super) fn keep_abandoned(&mut self, transaction: TransactionId) {
        let Some(client) = self.clients.get(&transaction) else {
            return;
        };
        if !client.machine.is_abandoned() {
            return;
        }
        let room = self.capacity.transactions / limits::ABANDONED_ONE_IN;
        if matches!(client.owner, Owner::Invite(_)) && self.abandoned.len() < room {
            self.abandoned.insert(transaction);
        } else {
            self.drop_client(transaction);
        }
    }

    /// A provisional response to an INVITE that was given up: a SIP Server that had stood still goes on, and is about to ring somebody.
    pub(super) fn withdraw(&mut self, now: Instant, transaction: TransactionId) {
        let Some(invite) = self.clients.get(&transaction) else {
            return;
        };
        let hop = invite.hop;
        if let Some(request) = cancel_request(&invite.request) {
            self.start_cancel(now, request, hop);
        }
    }
}

/// The CANCEL of an INVITE (RFC 3261 section 9.1).
fn cancel_request(invite: &Request) -> Option<Request> {
    let via = invite.headers.get(&HeaderName::VIA)?;
    let mut cancel = about_invite(invite, Method::Cancel)?;
    cancel.headers.push_front(HeaderName::VIA, via);
    Some(cancel)
}

/// A request by the way of an INVITE and with its number.
pub(super) fn about_invite(invite: &Request, method: Method) -> Option<Request> {
    let cseq = format!("{} {method}", invite.headers.cseq().ok()?.number);
    let mut request = Request::new(method, invite.uri.clone());
    request.headers.push(HeaderName::MAX_FORWARDS, "70");
    for name in [
        HeaderName::ROUTE,
        HeaderName::FROM,
        HeaderName::TO,
        HeaderName::CALL_ID,
    ] {
        request
            .headers
            .copy_from(&invite.headers, |line| *line == name);
    }
    request.headers.push(HeaderName::CSEQ, cseq);
    Some(request)
}
