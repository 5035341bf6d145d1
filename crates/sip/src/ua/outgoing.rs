//! Calls of ours: INVITE, its responses, CANCEL, and answers that come more than once.

use std::time::Instant;

use super::config::{OutgoingInvite, Source};
use super::event::{DialogId, Event, TransactionId};
use super::tables::{Hop, Owner};
use super::{UserAgent, limits};
use crate::dialog::{
    Cancel, Dialog, DialogKey, OwedAck, Reinvite, Reinvites, Role, RouteSet, Stage,
};
use crate::ids::MAGIC_COOKIE;
use crate::session_timer::{Session, Terms};
use crate::wire::Refresher;
use crate::{Branch, HeaderName, Headers, Method, Request, Response, StatusCode, Uri, body};

impl UserAgent {
    /// Calls. The outcome comes as [`Event::Progress`], [`Event::Answered`] or [`Event::Failed`].
    pub fn invite(&mut self, now: Instant, call: OutgoingInvite) -> DialogId {
        let id = DialogId(self.next_id());
        let started = self.start_call(now, id, call);
        if started.is_none() {
            self.emit(Event::Failed {
                dialog: id,
                status: None,
                reason: None,
                headers: Vec::new(),
            });
            match self.dialogs.contains_key(&id) {
                true => self.finish(id),
                false => self.emit(Event::Terminated { dialog: id }),
            }
        }
        self.settle_dialog(id);
        id
    }

    fn start_call(&mut self, now: Instant, id: DialogId, call: OutgoingInvite) -> Option<()> {
        if self.dialogs.len() >= self.capacity.dialogs {
            return None;
        }
        let own = self.config.address(call.transport)?;
        // The domain of the registration is the one by which SIP Server knows the DN.
        let from = match self.registrations.get(&call.dn) {
            Some(registration) => registration.aor().clone(),
            None => {
                let (host, port) = (call.target.host()?, call.target.port());
                Uri::sip(Some(call.dn.as_bytes()), host, port).ok()?
            }
        };
        let tag = self.ids.tag();
        let key = DialogKey {
            call_id: self.ids.call_id(&own.ip().into()),
            local: tag.clone(),
            remote: None,
        };
        let peer = Hop {
            transport: call.transport,
            to: call.to,
            connection: None,
        };
        let dialog = Dialog {
            id,
            role: Role::Caller,
            stage: Stage::Early,
            visible: true,
            dn: from.user().unwrap_or_default().to_vec(),
            account: call.dn,
            key,
            filed: Vec::new(),
            local: format!("<{from}>;tag={tag}").into_bytes(),
            remote: format!("<{}>", call.target).into_bytes(),
            local_cseq: 0,
            remote_cseq: None,
            route_set: RouteSet::default(),
            remote_target: call.target.for_request_line(),
            peer,
            peer_allows_update: false,
            invite_in: None,
            update_in: None,
            accepted: Vec::new(),
            invite_out: None,
            owed_ack: None,
            reinvites: Reinvites::default(),
            provisional: None,
            cancel: Cancel::No,
            bye_reason: None,
            bye_sent: false,
            session: None,
            last_sdp: call.sdp.clone(),
            update_out: None,
        };
        self.file_dialog(dialog);
        let dialog = self.dialogs.get_mut(&id)?;
        let mut request = dialog.request(Method::Invite);
        let dialog = self.dialogs.get(&id)?;
        self.describe(&mut request.headers, dialog);
        self.sign_request(&mut request.headers);
        for (name, value) in call.headers {
            request.headers.push(name, value);
        }
        if let Some(sdp) = &call.sdp {
            request.set_body("application/sdp", sdp.clone());
        }
        let transaction = self.start_client(now, request, peer, Owner::Invite(id))?;
        let dialog = self.dialogs.get_mut(&id)?;
        dialog.invite_out = Some((transaction, Reinvite::new(call.sdp, false)));
        Some(())
    }

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

    fn send_cancel_when_due(&mut self, now: Instant, id: DialogId) {
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

    /// A response to the INVITE that opens a dialog.
    pub(super) fn on_invite_response(
        &mut self,
        now: Instant,
        id: DialogId,
        transaction: TransactionId,
        source: &Source,
        response: Response,
    ) {
        let status = response.status;
        if status.is_success() {
            return self.on_call_answered(now, id, transaction, &response);
        }
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        if call.stage != Stage::Early {
            return;
        }
        if status.is_provisional() {
            if status > StatusCode::TRYING {
                self.on_early_dialog(id, &response);
                let sdp = body::sdp(&response.headers, &response.body).map(<[u8]>::to_vec);
                let reason = response.headers.reason().ok().flatten();
                self.emit(Event::Progress {
                    dialog: id,
                    status,
                    sdp,
                    reason,
                });
            }
            self.send_cancel_when_due(now, id);
            return self.settle_dialog(id);
        }
        let again = match call.cancel {
            Cancel::No => self.answer_challenge(now, transaction, source, &response),
            Cancel::Wanted | Cancel::Sent(_) => None,
        };
        if let Some(again) = again {
            if let Some(call) = self.dialogs.get_mut(&id) {
                let made_of = call.invite_out.take().map(|(_, made_of)| made_of);
                call.invite_out = made_of.map(|made_of| (again, made_of));
            }
            return;
        }
        self.fail_call(id, Some(&response));
    }

    /// The early dialog of a provisional response: the peer may already send requests in it.
    fn on_early_dialog(&mut self, id: DialogId, response: &Response) {
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        let Ok(to) = response.headers.to() else {
            return;
        };
        let Some(tag) = to.tag() else { return };
        call.adopt(response);
        let key = DialogKey {
            remote: Some(tag),
            ..call.key.clone()
        };
        self.file_key(id, key);
    }

    fn on_call_answered(
        &mut self,
        now: Instant,
        id: DialogId,
        transaction: TransactionId,
        response: &Response,
    ) {
        let tag = response.headers.to().ok().and_then(|to| to.tag());
        if self.repeat_ack(transaction, tag.as_ref()) {
            return;
        }
        let early = self
            .dialogs
            .get(&id)
            .is_some_and(|call| call.stage == Stage::Early);
        if !early {
            let owed = self
                .dialogs
                .get(&id)
                .and_then(|call| call.owed_ack.as_ref());
            if owed.is_none_or(|owed| owed.remote != tag) {
                self.end_fork(now, transaction, response);
            }
            return;
        }
        let key = self.dialogs.get(&id).map(|call| DialogKey {
            remote: tag.clone(),
            ..call.key.clone()
        });
        let Some(key) = key else { return };
        self.file_key(id, key.clone());
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        let offered = call
            .invite_out
            .take()
            .is_some_and(|(_, made_of)| made_of.sdp.is_some());
        call.adopt(response);
        // From now on only this one tag is the peer's.
        let given_up: Vec<DialogKey> = call.filed.iter().filter(|k| **k != key).cloned().collect();
        call.filed.retain(|filed| *filed == key);
        call.key = key;
        call.stage = Stage::Confirmed;
        call.session = Terms::of_response(&response.headers)
            .map(|terms| Session::start(now, terms.interval_s, terms.refresher == Refresher::Uac));
        let cancelled = call.cancel != Cancel::No;
        call.cancel = Cancel::No;
        let cseq = call.local_cseq_of(&response.headers);
        for key in given_up {
            if self.dialog_keys.get(&key) == Some(&id) {
                self.dialog_keys.remove(&key);
            }
        }
        let sdp = body::sdp(&response.headers, &response.body).map(<[u8]>::to_vec);
        let owed = OwedAck {
            transaction,
            cseq,
            remote: tag,
        };
        if cancelled {
            self.send_ack(id, &owed, None);
            return self.bye(now, id, None);
        }
        self.acknowledge_or_wait(id, owed, offered || sdp.is_none());
        self.emit(Event::Answered { dialog: id, sdp });
        self.next_reinvite(now, id);
        self.settle_dialog(id);
    }

    /// Acknowledges a 2xx at once, or leaves that to the application when it owes an answer.
    pub(super) fn acknowledge_or_wait(&mut self, id: DialogId, owed: OwedAck, at_once: bool) {
        if at_once {
            self.send_ack(id, &owed, None);
        } else if let Some(call) = self.dialogs.get_mut(&id) {
            call.owed_ack = Some(owed);
        }
    }

    /// The answer to the offer of a 2xx, when the call or re-INVITE had none itself.
    pub fn ack_with(&mut self, now: Instant, dialog: DialogId, sdp: Vec<u8>) {
        let Some(call) = self.dialogs.get_mut(&dialog) else {
            return;
        };
        let Some(owed) = call.owed_ack.take() else {
            return;
        };
        call.last_sdp = Some(sdp.clone());
        self.send_ack(dialog, &owed, Some(sdp));
        self.next_reinvite(now, dialog);
        self.settle_dialog(dialog);
    }

    /// The ACK of a 2xx: a request of its own, outside of any transaction, that the transaction of
    /// the INVITE repeats for each repeated 2xx (RFC 3261 section 13.2.2.4).
    pub(super) fn send_ack(&mut self, id: DialogId, owed: &OwedAck, sdp: Option<Vec<u8>>) {
        let Some(call) = self.dialogs.get(&id) else {
            return;
        };
        let hop = call.hop(|ip| self.config.is_allowed(ip));
        let mut ack = call.numbered_request(Method::Ack, owed.cseq);
        if let Some(invite) = self.clients.get(&owed.transaction) {
            // Section 22.1: the ACK carries the credentials of its INVITE.
            ack.headers.copy_from(&invite.request.headers, |name| {
                [HeaderName::AUTHORIZATION, HeaderName::PROXY_AUTHORIZATION].contains(name)
            });
        }
        let branch = self.ids.branch();
        let Some(via) = self.via(&hop, branch) else {
            return;
        };
        ack.headers.push_front(HeaderName::VIA, via);
        self.sign_request(&mut ack.headers);
        if let Some(sdp) = sdp {
            ack.set_body("application/sdp", sdp);
        }
        let bytes = ack.to_bytes();
        if let Some(invite) = self.clients.get_mut(&owed.transaction) {
            invite.acks.push((owed.remote.clone(), hop, bytes.clone()));
        }
        self.transmit(&hop, bytes);
    }

    /// Sends the ACK of a repeated 2xx again; whether there was one.
    pub(super) fn repeat_ack(
        &mut self,
        transaction: TransactionId,
        tag: Option<&crate::Tag>,
    ) -> bool {
        let Some(invite) = self.clients.get(&transaction) else {
            return false;
        };
        let known = invite.acks.iter().find(|(to, ..)| to.as_ref() == tag);
        let Some((_, hop, bytes)) = known.cloned() else {
            return false;
        };
        self.transmit(&hop, bytes);
        true
    }

    /// A second answer, from another branch of a forked call: acknowledged and ended (RFC 3261
    /// section 13.2.2.4).
    fn end_fork(&mut self, now: Instant, transaction: TransactionId, response: &Response) {
        let id = DialogId(self.next_id());
        let Some(invite) = self.clients.get(&transaction) else {
            return;
        };
        if invite.acks.len() >= limits::FORKS_MAX {
            return;
        }
        let Some(dialog) = forked_dialog(id, &invite.request, invite.hop, response) else {
            return;
        };
        let owed = OwedAck {
            transaction,
            cseq: dialog.local_cseq,
            remote: dialog.key.remote.clone(),
        };
        self.file_dialog(dialog);
        self.send_ack(id, &owed, None);
        self.bye(now, id, None);
    }

    /// Tells that a call of ours failed, and ends it.
    pub(super) fn fail_call(&mut self, id: DialogId, response: Option<&Response>) {
        let headers = response.map(told_headers).unwrap_or_default();
        self.emit(Event::Failed {
            dialog: id,
            status: response.map(|response| response.status),
            reason: response.and_then(|response| response.headers.reason().ok().flatten()),
            headers,
        });
        self.finish(id);
    }
}

impl Dialog {
    /// What a response to our INVITE says about the other end (RFC 3261 section 12.1.2).
    pub(crate) fn adopt(&mut self, response: &Response) {
        if let Some(to) = response.headers.get(&HeaderName::TO) {
            self.remote = to.to_vec();
        }
        self.route_set = RouteSet::from_response(&response.headers);
        self.refresh_target(&response.headers);
    }

    /// The number that an ACK repeats.
    pub(crate) fn local_cseq_of(&self, headers: &Headers) -> u32 {
        headers.cseq().map_or(self.local_cseq, |cseq| cseq.number)
    }
}

/// What of a failure the application may want: all but what only ties messages together.
fn told_headers(response: &Response) -> Vec<(HeaderName, Vec<u8>)> {
    let told = [
        HeaderName::CONTACT,
        HeaderName::RETRY_AFTER,
        HeaderName::WARNING,
        HeaderName::REASON,
        HeaderName::ERROR_INFO,
        HeaderName::UNSUPPORTED,
        HeaderName::MIN_SE,
        HeaderName::X_GENESYS_CALL_UUID,
    ];
    let lines = response
        .headers
        .iter()
        .filter(|(name, _)| told.contains(name));
    lines
        .map(|(name, value)| (name.clone(), value.to_vec()))
        .collect()
}

/// The CANCEL of an INVITE (RFC 3261 section 9.1).
fn cancel_request(invite: &Request) -> Option<Request> {
    let via = invite.headers.get(&HeaderName::VIA)?;
    debug_assert!(
        invite
            .headers
            .top_via()
            .is_ok_and(|via| via.branch.as_ref().is_some_and(Branch::is_rfc3261)),
        "our branches begin with {}",
        MAGIC_COOKIE.escape_ascii()
    );
    let mut cancel = Request::new(Method::Cancel, invite.uri.clone());
    cancel.headers.push(HeaderName::VIA, via);
    cancel.headers.push(HeaderName::MAX_FORWARDS, "70");
    for name in [
        HeaderName::ROUTE,
        HeaderName::FROM,
        HeaderName::TO,
        HeaderName::CALL_ID,
    ] {
        cancel
            .headers
            .copy_from(&invite.headers, |line| *line == name);
    }
    let number = invite.headers.cseq().ok()?.number;
    cancel
        .headers
        .push(HeaderName::CSEQ, format!("{number} CANCEL"));
    Some(cancel)
}

/// The dialog of a forked answer: confirmed at birth and without a handle.
fn forked_dialog(id: DialogId, invite: &Request, peer: Hop, response: &Response) -> Option<Dialog> {
    let from = invite.headers.from().ok()?;
    let mut dialog = Dialog {
        id,
        role: Role::Caller,
        stage: Stage::Confirmed,
        visible: false,
        dn: from.uri.user().unwrap_or_default().to_vec(),
        account: String::new(),
        key: DialogKey {
            call_id: invite.headers.call_id().ok()?,
            local: from.tag()?,
            remote: response.headers.to().ok()?.tag(),
        },
        filed: Vec::new(),
        local: invite.headers.get(&HeaderName::FROM)?.to_vec(),
        remote: Vec::new(),
        local_cseq: invite.headers.cseq().ok()?.number,
        remote_cseq: None,
        route_set: RouteSet::default(),
        remote_target: invite.uri.clone(),
        peer,
        peer_allows_update: false,
        invite_in: None,
        update_in: None,
        accepted: Vec::new(),
        invite_out: None,
        owed_ack: None,
        reinvites: Reinvites::default(),
        provisional: None,
        cancel: Cancel::No,
        bye_reason: None,
        bye_sent: false,
        session: None,
        last_sdp: None,
        update_out: None,
    };
    dialog.adopt(response);
    Some(dialog)
}
