//! Our requests within a dialog: re-INVITE, UPDATE and others, BYE, and what comes of them.

use std::time::Instant;

use super::UserAgent;
use super::config::Source;
use super::event::{DialogId, Event, TransactionId};
use super::tables::Owner;
use crate::dialog::{OwedAck, Reinvite, Role, Stage};
use crate::session_timer::{Session, Terms};
use crate::wire::Refresher;
use crate::{HeaderName, Headers, Method, Reason, Response, StatusCode, body};

impl UserAgent {
    /// Changes the session; with `None` the other side makes the offer. Waits behind any INVITE
    /// transaction of the dialog, and is tried again after 491.
    pub fn reinvite(&mut self, now: Instant, dialog: DialogId, sdp: Option<Vec<u8>>) {
        let Some(call) = self.dialogs.get_mut(&dialog) else {
            return;
        };
        let taken =
            call.stage == Stage::Confirmed && call.reinvites.push(Reinvite::new(sdp, false));
        if !taken {
            return self.emit(Event::ReinviteFailed {
                dialog,
                status: None,
            });
        }
        self.next_reinvite(now, dialog);
        self.settle_dialog(dialog);
    }

    /// Sends the next re-INVITE when its turn has come.
    pub(super) fn next_reinvite(&mut self, now: Instant, id: DialogId) {
        loop {
            let Some(call) = self.dialogs.get_mut(&id) else {
                return;
            };
            call.reinvites.watch(now);
            if !call.may_invite() {
                return;
            }
            let Some(next) = call.reinvites.pop(now) else {
                return;
            };
            if next.is_stale() {
                self.tell_reinvite_failed(id, &next, Some(StatusCode::REQUEST_PENDING));
            } else if self.send_reinvite(now, id, next.clone()).is_none() {
                self.tell_reinvite_failed(id, &next, None);
            }
        }
    }

    fn send_reinvite(&mut self, now: Instant, id: DialogId, reinvite: Reinvite) -> Option<()> {
        let call = self.dialogs.get_mut(&id)?;
        let mut request = call.request(Method::Invite);
        let call = self.dialogs.get(&id)?;
        self.describe(&mut request.headers, call);
        keep_session(&mut request.headers, call.session.as_ref());
        self.sign_request(&mut request.headers);
        if let Some(sdp) = &reinvite.sdp {
            request.set_body("application/sdp", sdp.clone());
        }
        let hop = call.hop(|ip| self.config.is_allowed(ip));
        let transaction = self.start_client(now, request, hop, Owner::Reinvite(id))?;
        let call = self.dialogs.get_mut(&id)?;
        call.invite_out = Some((transaction, reinvite));
        Some(())
    }

    /// A refresh that fails is not told: the session timer itself watches over the call.
    fn tell_reinvite_failed(
        &mut self,
        id: DialogId,
        reinvite: &Reinvite,
        status: Option<StatusCode>,
    ) {
        if !reinvite.refresh {
            self.emit(Event::ReinviteFailed { dialog: id, status });
        }
    }

    fn on_reinvite_response(
        &mut self,
        now: Instant,
        id: DialogId,
        transaction: TransactionId,
        source: &Source,
        response: &Response,
    ) {
        let status = response.status;
        if status.is_provisional() {
            return;
        }
        let tag = response.headers.to().ok().and_then(|to| to.tag());
        if status.is_success() && self.repeat_ack(transaction, tag.as_ref()) {
            return;
        }
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        let Some((_, reinvite)) = call.invite_out.take_if(|(t, _)| *t == transaction) else {
            return;
        };
        let owns_call_id = call.owns_call_id();
        if status.is_success() {
            let owed = OwedAck {
                transaction,
                cseq: call.local_cseq_of(&response.headers),
                remote: tag,
            };
            self.on_reinvite_accepted(now, id, &reinvite, owed, response);
        } else if call.stage == Stage::Ending {
            return;
        } else if status == StatusCode::REQUEST_PENDING {
            let back_off = call
                .reinvites
                .back_off(now, reinvite, owns_call_id, &mut self.ids);
            if let Err(reinvite) = back_off {
                self.tell_reinvite_failed(id, &reinvite, Some(status));
            }
        } else if let Some(again) = self.answer_challenge(now, transaction, source, response) {
            if let Some(call) = self.dialogs.get_mut(&id) {
                call.invite_out = Some((again, reinvite));
            }
        } else {
            self.tell_reinvite_failed(id, &reinvite, Some(status));
            self.end_if_dead(now, id, Some(status));
        }
        self.next_reinvite(now, id);
        self.settle_dialog(id);
    }

    fn on_reinvite_accepted(
        &mut self,
        now: Instant,
        id: DialogId,
        reinvite: &Reinvite,
        owed: OwedAck,
        response: &Response,
    ) {
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        call.refresh_target(&response.headers);
        call.session = Terms::of_response(&response.headers)
            .map(|terms| Session::start(now, terms.interval_s, terms.refresher == Refresher::Uac));
        if reinvite.sdp.is_some() {
            call.last_sdp.clone_from(&reinvite.sdp);
        }
        let ending = call.stage == Stage::Ending;
        let sdp = body::sdp(&response.headers, &response.body).map(<[u8]>::to_vec);
        let at_once = ending || reinvite.sdp.is_some() || sdp.is_none();
        self.acknowledge_or_wait(id, owed, at_once);
        if !ending && !reinvite.refresh {
            self.emit(Event::ReinviteAnswered { dialog: id, sdp });
        }
    }

    /// The peer does not know the dialog any more, or does not answer: it is over (RFC 3261
    /// section 12.2.1.2).
    fn end_if_dead(&mut self, now: Instant, id: DialogId, status: Option<StatusCode>) {
        match status {
            Some(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST) => self.finish(id),
            Some(StatusCode::REQUEST_TIMEOUT) | None => self.bye(now, id, None),
            Some(_) => {}
        }
    }

    /// Sends INFO, NOTIFY, REFER, UPDATE, MESSAGE ... in a dialog. The outcome comes as
    /// [`Event::Response`] or [`Event::RequestFailed`] with the returned handle. INVITE, ACK, BYE
    /// and CANCEL have calls of their own and fail here.
    pub fn request(
        &mut self,
        now: Instant,
        dialog: DialogId,
        method: Method,
        headers: &[(HeaderName, Vec<u8>)],
        body: Option<(&str, Vec<u8>)>,
    ) -> TransactionId {
        let handle = TransactionId(self.next_id());
        if self
            .start_request(now, dialog, handle, method, headers, body)
            .is_none()
        {
            self.emit(Event::RequestFailed {
                dialog,
                transaction: handle,
            });
        }
        handle
    }

    fn start_request(
        &mut self,
        now: Instant,
        id: DialogId,
        handle: TransactionId,
        method: Method,
        headers: &[(HeaderName, Vec<u8>)],
        body: Option<(&str, Vec<u8>)>,
    ) -> Option<TransactionId> {
        let own = matches!(
            method,
            Method::Invite | Method::Ack | Method::Bye | Method::Cancel
        );
        let call = self.dialogs.get_mut(&id)?;
        // The caller of an early dialog does not know the callee's tag yet.
        let nameless = call.remote_target_is_unknown();
        if own || nameless || call.stage == Stage::Ending {
            return None;
        }
        let describes = matches!(method, Method::Update);
        let offers = describes && body.is_some();
        let needs_contact = matches!(method, Method::Notify | Method::Refer | Method::Subscribe);
        let mut request = call.request(method);
        let call = self.dialogs.get(&id)?;
        if describes {
            self.describe(&mut request.headers, call);
            keep_session(&mut request.headers, call.session.as_ref());
        } else if needs_contact {
            request
                .headers
                .push(HeaderName::CONTACT, self.contact(call)?);
        }
        self.sign_request(&mut request.headers);
        for (name, value) in headers {
            request.headers.push(name.clone(), value.clone());
        }
        if let Some((content_type, body)) = body {
            request.set_body(content_type, body);
        }
        let hop = call.hop(|ip| self.config.is_allowed(ip));
        let transaction = self.start_client(now, request, hop, Owner::Request(id, handle))?;
        if let Some(call) = self.dialogs.get_mut(&id).filter(|_| offers) {
            call.update_out = Some(handle);
        }
        Some(transaction)
    }

    /// An offer of ours in an UPDATE is answered, refused or lost.
    fn close_update(&mut self, id: DialogId, handle: TransactionId) {
        if let Some(call) = self.dialogs.get_mut(&id) {
            call.update_out.take_if(|open| *open == handle);
        }
    }

    /// Keeps the session alive: by UPDATE without a body, which changes nothing, else by a
    /// re-INVITE with the last description (RFC 4028 section 7.4).
    pub(super) fn refresh_session(&mut self, now: Instant, id: DialogId) {
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        if !call.peer_allows_update {
            if let Some(sdp) = call.last_sdp.clone() {
                call.reinvites.push(Reinvite::new(Some(sdp), true));
            }
            return self.next_reinvite(now, id);
        }
        let mut request = call.request(Method::Update);
        let Some(call) = self.dialogs.get(&id) else {
            return;
        };
        self.describe(&mut request.headers, call);
        keep_session(&mut request.headers, call.session.as_ref());
        self.sign_request(&mut request.headers);
        let hop = call.hop(|ip| self.config.is_allowed(ip));
        self.start_client(now, request, hop, Owner::Refresh(id));
    }

    /// Ends a dialog. A call of ours that is not answered is cancelled, one of theirs refused with
    /// 480. A callee waits for the ACK of its 2xx, or 64*T1, before BYE (RFC 3261 section 15).
    pub fn bye(&mut self, now: Instant, dialog: DialogId, reason: Option<Reason>) {
        let Some(call) = self.dialogs.get_mut(&dialog) else {
            return;
        };
        match (call.stage, call.role) {
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
        if call.stage != Stage::Ending || call.bye_sent || call.answer_is_unconfirmed() {
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
        let hop = call.hop(|ip| self.config.is_allowed(ip));
        if self
            .start_client(now, request, hop, Owner::Bye(id))
            .is_none()
        {
            self.finish(id);
        }
    }

    /// A response for whoever owns its request.
    pub(super) fn deliver(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        source: &Source,
        response: Response,
    ) {
        let Some(client) = self.clients.get(&transaction) else {
            return;
        };
        let owner = client.owner.clone();
        match owner {
            Owner::Invite(id) => self.on_invite_response(now, id, transaction, source, response),
            Owner::Reinvite(id) => {
                self.on_reinvite_response(now, id, transaction, source, &response);
            }
            Owner::Register(dn) => {
                self.on_register_response(now, &dn, transaction, source, &response)
            }
            Owner::Cancel => {}
            Owner::Bye(_) | Owner::Request(..) | Owner::Refresh(_)
                if response.status.is_provisional() => {}
            Owner::Bye(_) | Owner::Request(..) | Owner::Refresh(_)
                if self
                    .answer_challenge(now, transaction, source, &response)
                    .is_some() => {}
            Owner::Bye(id) => self.finish(id),
            Owner::Request(id, handle) => self.on_request_answered(now, id, handle, response),
            Owner::Refresh(id) => self.on_refreshed(now, id, &response),
        }
    }

    fn on_request_answered(
        &mut self,
        now: Instant,
        id: DialogId,
        handle: TransactionId,
        response: Response,
    ) {
        if !self.dialogs.contains_key(&id) {
            return;
        }
        self.close_update(id, handle);
        let status = response.status;
        let updates = response
            .headers
            .cseq()
            .is_ok_and(|cseq| cseq.method == Method::Update);
        if updates && status.is_success() {
            self.on_refreshed(now, id, &response);
        }
        self.emit(Event::Response {
            dialog: id,
            transaction: handle,
            response: Box::new(response),
        });
        // Only 481 says that the dialog is gone; a request that fails otherwise fails alone.
        if status == StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST {
            self.end_if_dead(now, id, Some(status));
        }
    }

    fn on_refreshed(&mut self, now: Instant, id: DialogId, response: &Response) {
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        if response.status.is_success() {
            call.refresh_target(&response.headers);
            call.session = Terms::of_response(&response.headers).map(|terms| {
                Session::start(now, terms.interval_s, terms.refresher == Refresher::Uac)
            });
            self.settle_dialog(id);
        } else {
            self.end_if_dead(now, id, Some(response.status));
        }
    }

    /// No final response came.
    pub(super) fn on_no_response(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        owner: Owner,
        sent: bool,
    ) {
        let id = match &owner {
            Owner::Register(dn) => return self.on_register_silence(now, dn, transaction, sent),
            other => other.dialog(),
        };
        let Some(id) = id.filter(|id| self.dialogs.contains_key(id)) else {
            return;
        };
        match owner {
            Owner::Invite(_) => self.fail_call(id, None),
            Owner::Reinvite(_) => {
                let call = self.dialogs.get_mut(&id);
                let failed =
                    call.and_then(|call| call.invite_out.take_if(|(id, _)| *id == transaction));
                if let Some((_, reinvite)) = failed {
                    self.tell_reinvite_failed(id, &reinvite, None);
                }
                self.end_if_dead(now, id, None);
            }
            Owner::Bye(_) => self.finish(id),
            Owner::Request(_, handle) => {
                self.close_update(id, handle);
                self.emit(Event::RequestFailed {
                    dialog: id,
                    transaction: handle,
                });
            }
            Owner::Refresh(_) | Owner::Cancel | Owner::Register(_) => {}
        }
    }
}

/// Within a running session timer each of our INVITEs and UPDATEs says that it goes on.
fn keep_session(headers: &mut Headers, session: Option<&Session>) {
    headers.push(HeaderName::SUPPORTED, "timer");
    if let Some(session) = session {
        headers.push(HeaderName::SESSION_EXPIRES, session.terms().header());
    }
}
