//! The session timer at work (RFC 4028): asking for it, keeping the session alive, ending one whose peer is gone.

use std::time::Instant;

use super::UserAgent;
use super::event::{DialogId, Event, TransactionId};
use super::limits::{SESSION_RAISES_MAX, SESSION_REFRESH_RETRY};
use super::tables::{Answered, Owner};
use crate::dialog::{Dialog, Reinvite, Stage};
use crate::session_timer::{Session, Terms};
use crate::wire::Refresher;
use crate::{HeaderName, Headers, Method, Reason, Response, StatusCode};

impl UserAgent {
    /// Asks for a session timer in an INVITE that opens a dialog. Who refreshes is left to the other side, as section 7.1
    /// recommends.
    pub(super) fn ask_for_session(&self, headers: &mut Headers, dialog: &Dialog) {
        if let Some(interval_s) = self.config.session_expires_s {
            let floor_s = dialog.session_floor_s;
            let interval_s = interval_s.max(floor_s);
            headers.push(HeaderName::SESSION_EXPIRES, interval_s.to_string());
            headers.push(HeaderName::MIN_SE, floor_s.to_string());
        }
    }

    /// Sends a request again with the longer interval that a 422 asks for (section 7.3), and gives the transaction of the new
    /// one. `None` when the response is no 422, or asks for what cannot be granted.
    pub(super) fn lengthen_session(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        response: &Response,
    ) -> Option<TransactionId> {
        if response.status != StatusCode::SESSION_INTERVAL_TOO_SMALL {
            return None;
        }
        let least_s = response.headers.min_se().ok().flatten()?;
        let client = self.clients.get(&transaction)?;
        let (hop, id) = (client.hop, client.owner.dialog()?);
        let mut request = client.request.clone();
        let terms = Terms::raised(&request.headers, least_s)?;
        let dialog = self.dialogs.get_mut(&id)?;
        if dialog.session_raises >= SESSION_RAISES_MAX {
            return None;
        }
        dialog.session_raises += 1;
        dialog.session_floor_s = least_s;
        dialog.local_cseq = dialog.local_cseq.saturating_add(1);
        let cseq = format!("{} {}", dialog.local_cseq, request.method);
        let headers = &mut request.headers;
        // An answer to a challenge is good for one request; the next one may be challenged again.
        headers.remove(&HeaderName::AUTHORIZATION);
        headers.remove(&HeaderName::PROXY_AUTHORIZATION);
        headers.set(HeaderName::CSEQ, cseq);
        headers.set(HeaderName::MIN_SE, least_s.to_string());
        headers.set(HeaderName::SESSION_EXPIRES, terms);
        let again = self.send_again(now, transaction, request, hop)?;
        if let Some(client) = self.clients.get_mut(&again) {
            client.answered = Answered::default();
        }
        Some(again)
    }

    /// Keeps the session alive: by UPDATE without a body, which changes nothing, else by a re-INVITE with the last description
    /// (section 7.4).
    pub(super) fn refresh_session(&mut self, now: Instant, id: DialogId) {
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        if !call.peer_allows_update {
            let sdp = call.last_sdp.clone();
            if !call.reinvites.push(Reinvite::new(sdp, true)) {
                // A change of the session waits already, and is a refresh itself.
                self.refresh_later(now, id);
            }
            return self.next_reinvite(now, id);
        }
        let mut request = call.request(Method::Update);
        let Some(call) = self.dialogs.get(&id) else {
            return;
        };
        self.describe(&mut request.headers, call);
        keep_session(&mut request.headers, call);
        self.sign_request(&mut request.headers);
        let hop = self.next_hop(call);
        if self
            .start_client(now, request, hop, Owner::Refresh(id))
            .is_none()
        {
            self.refresh_later(now, id);
        }
    }

    /// The final response to an UPDATE of ours that only refreshes.
    pub(super) fn on_refreshed(
        &mut self,
        now: Instant,
        id: DialogId,
        transaction: TransactionId,
        response: &Response,
    ) {
        let not_spoken = [
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::NOT_IMPLEMENTED,
            StatusCode::BAD_EXTENSION,
        ];
        if response.status.is_success() {
            self.on_update_accepted(now, id, response);
        } else if self.lengthen_session(now, transaction, response).is_some() {
        } else if not_spoken.contains(&response.status) {
            if let Some(call) = self.dialogs.get_mut(&id) {
                call.peer_allows_update = false;
            }
            self.refresh_session(now, id);
        } else {
            self.on_refresh_failed(now, id, Some(response.status));
        }
    }

    /// A 2xx to an UPDATE of ours starts the session timer anew, or ends it when it names none.
    pub(super) fn on_update_accepted(&mut self, now: Instant, id: DialogId, response: &Response) {
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        call.refresh_target(&response.headers);
        call.session = Terms::of_response(&response.headers)
            .map(|terms| Session::start(now, terms.interval_s, terms.refresher == Refresher::Uac));
        self.settle_dialog(id);
    }

    /// A refresh failed. A peer that does not know the dialog, or says nothing, has gone (section 10); one that is only busy is
    /// asked again while the session lasts.
    pub(super) fn on_refresh_failed(
        &mut self,
        now: Instant,
        id: DialogId,
        status: Option<StatusCode>,
    ) {
        match status {
            None
            | Some(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT) => {
                self.expire_session(now, id);
            }
            Some(_) => self.refresh_later(now, id),
        }
    }

    fn refresh_later(&mut self, now: Instant, id: DialogId) {
        if let Some(session) = self
            .dialogs
            .get_mut(&id)
            .and_then(|call| call.session.as_mut())
        {
            session.refresh_at(now + SESSION_REFRESH_RETRY);
        }
        self.settle_dialog(id);
    }

    /// The session has ended without anybody's word: the application is told, and the peer gets BYE.
    pub(super) fn expire_session(&mut self, now: Instant, id: DialogId) {
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        call.session = None;
        if call.stage != Stage::Confirmed {
            return;
        }
        self.emit(Event::SessionExpired { dialog: id });
        self.bye(now, id, Some(Reason::sip(408, "Session expired")));
    }
}

/// Within a running session timer each of our re-INVITEs and UPDATEs says that it goes on.
pub(super) fn keep_session(headers: &mut Headers, dialog: &Dialog) {
    if let Some(session) = &dialog.session {
        let floor_s = dialog.session_floor_s;
        let terms = session.terms(floor_s);
        headers.push(HeaderName::SESSION_EXPIRES, terms.header());
        headers.push(HeaderName::MIN_SE, floor_s.to_string());
    }
}
