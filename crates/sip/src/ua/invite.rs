//! Calls of ours: INVITE and what comes back.

use std::time::Instant;

use super::UserAgent;
use super::challenge::registered_at;
use super::config::{OutgoingInvite, Source};
use super::event::{DialogId, Event, Outcome, TransactionId};
use super::tables::{Hop, Owner};
use crate::dialog::{Birth, Cancel, Dialog, DialogKey, OwedAck, Reinvite, Role, RouteSet, Stage};
use crate::session_timer::{Session, Terms};
use crate::wire::Refresher;
use crate::{HeaderName, Headers, Method, Response, StatusCode, Uri, body};

impl UserAgent {
    /// Calls. The outcome comes as [`Outcome::Progress`], [`Outcome::Answered`] or [`Outcome::Failed`].
    pub fn invite(&mut self, now: Instant, call: OutgoingInvite) -> DialogId {
        let id = DialogId(self.next_id());
        let started = self.start_call(now, id, call);
        if started.is_none() {
            self.tell(
                id,
                Outcome::Failed {
                    status: None,
                    reason: None,
                    headers: Vec::new(),
                },
            );
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
        let from = match registered_at(&self.registrations, &call.dn, call.to) {
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
        let mut dialog = Dialog::new(Birth {
            id,
            role: Role::Caller,
            stage: Stage::Early,
            visible: true,
            dn: from.user().unwrap_or_default().to_vec(),
            account: call.dn,
            key,
            local: format!("<{from}>;tag={tag}").into_bytes(),
            remote: format!("<{}>", call.target).into_bytes(),
            local_cseq: 0,
            remote_cseq: None,
            route_set: RouteSet::default(),
            remote_target: call.target.for_request_line(),
            peer,
        });
        dialog.last_sdp.clone_from(&call.sdp);
        dialog.credentials = call.credentials.map(|credentials| (call.to, credentials));
        self.file_dialog(dialog);
        let dialog = self.dialogs.get_mut(&id)?;
        let mut request = dialog.request(Method::Invite);
        let dialog = self.dialogs.get(&id)?;
        self.describe(&mut request.headers, dialog);
        // An offer in a provisional response would have to be answered in PRACK: so only where the offer is ours.
        if call.sdp.is_some() {
            let supported = super::SUPPORTED_RELIABLE;
            request.headers.set(HeaderName::SUPPORTED, supported);
        }
        self.ask_for_session(&mut request.headers, dialog);
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
        if self.abandoned.contains(&transaction) {
            return self.withdraw(now, transaction);
        }
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        if call.stage != Stage::Early {
            return;
        }
        if status.is_provisional() {
            if status > StatusCode::TRYING {
                self.on_progress(now, id, &response);
            }
            self.send_cancel_when_due(now, id);
            return self.settle_dialog(id);
        }
        let again = match call.cancel {
            Cancel::No if status == StatusCode::SESSION_INTERVAL_TOO_SMALL => {
                self.lengthen_session(now, transaction, &response)
            }
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
    pub(super) fn on_early_dialog(&mut self, id: DialogId, response: &Response) {
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
        let tag = response.headers.to_tag();
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
        self.unfile(id);
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        let offered = call
            .invite_out
            .take()
            .is_some_and(|(_, made_of)| made_of.sdp.is_some());
        call.adopt(response);
        // From now on only this one tag is the peer's.
        call.key.remote.clone_from(&tag);
        let key = call.key.clone();
        call.stage = Stage::Confirmed;
        call.session = Terms::of_response(&response.headers)
            .map(|terms| Session::start(now, terms.interval_s, terms.refresher == Refresher::Uac));
        let cancelled = call.cancel != Cancel::No;
        call.cancel = Cancel::No;
        let cseq = call.local_cseq_of(&response.headers);
        self.file_key(id, key);
        let sdp = body::sdp(&response.headers, &response.body).map(<[u8]>::to_vec);
        let owed = OwedAck {
            transaction,
            cseq,
            remote: tag.clone(),
        };
        if cancelled {
            self.send_ack(id, &owed, None);
            return self.bye(now, id, None);
        }
        self.acknowledge_or_wait(id, owed, offered || sdp.is_none());
        self.tell(
            id,
            Outcome::Answered {
                fork: tag,
                sdp,
                headers: Box::new(response.headers.clone()),
            },
        );
        self.next_reinvite(now, id);
        self.settle_dialog(id);
    }

    /// Tells that a call of ours failed, and ends it.
    pub(super) fn fail_call(&mut self, id: DialogId, response: Option<&Response>) {
        let headers = response.map(told_headers).unwrap_or_default();
        self.tell(
            id,
            Outcome::Failed {
                status: response.map(|response| response.status),
                reason: response.and_then(|response| response.headers.reason().ok().flatten()),
                headers,
            },
        );
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
