//! Bookkeeping of dialogs: filing, finding, waking and ending them.

use std::time::Instant;

use super::event::{DialogId, Event, TransactionId};
use super::tables::Hop;
use super::{ALLOW_EVENTS, UserAgent, Wake, limits};
use crate::dialog::{AcceptedDue, Dialog, DialogKey, Stage};
use crate::session_timer;
use crate::{CallId, HeaderName, Headers, Response, StatusCode, Tag};

impl UserAgent {
    /// Files a dialog under its key.
    pub(super) fn file_dialog(&mut self, dialog: Dialog) -> DialogId {
        let id = dialog.id;
        let key = dialog.key.clone();
        self.dialogs.insert(id, dialog);
        self.file_key(id, key);
        id
    }

    /// Files a dialog under one more key.
    pub(super) fn file_key(&mut self, id: DialogId, key: DialogKey) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        if dialog.filed.len() < limits::FORKS_MAX && !dialog.filed.contains(&key) {
            dialog.filed.push(key.clone());
            self.dialog_keys.entry(key).or_insert(id);
        }
    }

    /// The dialog of a request: by Call-ID, our tag and the peer's, or, while the peer of our call
    /// has not shown its tag, by Call-ID and our tag.
    pub(super) fn find_dialog(
        &self,
        call_id: CallId,
        local: Tag,
        remote: Option<Tag>,
    ) -> Option<DialogId> {
        let mut key = DialogKey {
            call_id,
            local,
            remote,
        };
        if let Some(id) = self.dialog_keys.get(&key) {
            return Some(*id);
        }
        key.remote = None;
        self.dialog_keys.get(&key).copied()
    }

    /// Agrees on the next time at which the dialog acts by itself.
    pub(super) fn settle_dialog(&mut self, id: DialogId) {
        let at = self.dialogs.get(&id).and_then(Dialog::next_timeout);
        self.agenda.set(&Wake::Dialog(id), at);
    }

    /// Takes a dialog out of the index.
    pub(super) fn unfile(&mut self, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        for key in std::mem::take(&mut dialog.filed) {
            if self.dialog_keys.get(&key) == Some(&id) {
                self.dialog_keys.remove(&key);
            }
        }
    }

    /// The end of a dialog; the handle is dead afterwards.
    pub(super) fn finish(&mut self, id: DialogId) {
        self.agenda.set(&Wake::Dialog(id), None);
        let owed = self
            .dialogs
            .get_mut(&id)
            .and_then(|dialog| dialog.owed_ack.take());
        if let Some(owed) = owed {
            // A 2xx is acknowledged whatever comes after it, or it would be taken for a fork.
            self.send_ack(id, &owed, None);
        }
        self.unfile(id);
        let Some(dialog) = self.dialogs.remove(&id) else {
            return;
        };
        if let Some(opened_by) = &dialog.opened_by {
            let transaction = self.merge_keys.get(opened_by);
            if transaction.is_some_and(|id| !self.servers.contains_key(id)) {
                self.merge_keys.remove(opened_by);
            }
        }
        if dialog.visible {
            self.emit(Event::Terminated { dialog: id });
        }
        self.settle_peers(&dialog.hosts());
    }

    pub(super) fn on_dialog_timer(&mut self, now: Instant, id: DialogId) {
        self.repeat_accepted(now, id);
        self.repeat_provisional(now, id);
        self.repeat_reliable(now, id);
        self.give_cancelled_up(now, id);
        self.watch_session(now, id);
        self.send_bye_when_due(now, id);
        self.next_reinvite(now, id);
        self.settle_dialog(id);
    }

    /// Repeats 2xx that wait for their ACK, and gives those up that waited 64*T1.
    pub(super) fn repeat_accepted(&mut self, now: Instant, id: DialogId) {
        let timers = self.config.timers;
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        let mut repeated: Vec<(Hop, Vec<u8>)> = Vec::new();
        let before = dialog.accepted.len();
        dialog.accepted.retain_mut(|accepted| {
            match accepted.due(now, &timers) {
                Some(AcceptedDue::GiveUp) => return false,
                Some(AcceptedDue::Resend) => {
                    repeated.push((accepted.hop, accepted.bytes.clone()));
                }
                None => {}
            }
            true
        });
        let gave_up = dialog.accepted.len() < before;
        let ending = dialog.stage == Stage::Ending;
        for (hop, bytes) in repeated {
            self.transmit(&hop, bytes);
        }
        if gave_up && ending {
            self.send_bye_when_due(now, id);
        } else if gave_up {
            self.emit(Event::AckMissing { dialog: id });
        }
    }

    fn repeat_provisional(&mut self, now: Instant, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        let due = dialog.provisional.as_mut().and_then(|last| last.due(now));
        let (Some(status), Some(transaction)) = (due, dialog.invite_in) else {
            return;
        };
        self.send_provisional(now, id, transaction, status);
    }

    fn watch_session(&mut self, now: Instant, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        if dialog.stage != Stage::Confirmed {
            dialog.session = None;
            return;
        }
        let Some(session) = dialog.session.as_mut() else {
            return;
        };
        match session.due(now) {
            Some(session_timer::Due::Refresh) => self.refresh_session(now, id),
            Some(session_timer::Due::End) => self.expire_session(now, id),
            None => {}
        }
    }

    /// Contact, and what we understand, for messages that open or change a dialog.
    pub(super) fn describe(&self, headers: &mut Headers, dialog: &Dialog) {
        if let Some(contact) = self.contact(dialog) {
            headers.push(HeaderName::CONTACT, contact);
        }
        headers.push(HeaderName::ALLOW, self.allow);
        headers.push(HeaderName::ALLOW_EVENTS, ALLOW_EVENTS);
        headers.push(HeaderName::SUPPORTED, super::SUPPORTED);
    }

    /// `<sip:DN@host:port>`: SIP Server sends in-dialog requests to it, user part and all.
    pub(super) fn contact(&self, dialog: &Dialog) -> Option<Vec<u8>> {
        let transport = dialog.peer.transport;
        let own = self.config.address(transport)?;
        let mut value = b"<sip:".to_vec();
        if !dialog.dn.is_empty() {
            value.extend_from_slice(&dialog.dn);
            value.push(b'@');
        }
        value.extend_from_slice(format!("{own}{}>", transport.contact_param()).as_bytes());
        Some(value)
    }

    /// `Server` of a response.
    pub(super) fn sign(&self, response: &mut Response) {
        if !self.config.user_agent.is_empty() {
            response
                .headers
                .push(HeaderName::SERVER, self.config.user_agent.as_str());
        }
    }

    /// `User-Agent` of a request.
    pub(super) fn sign_request(&self, headers: &mut Headers) {
        if !self.config.user_agent.is_empty() {
            headers.push(HeaderName::USER_AGENT, self.config.user_agent.as_str());
        }
    }

    /// Answers the peer's INVITE that still waits, as a dialog that ends owes it (RFC 3261 section
    /// 15.1.2).
    pub(super) fn terminate_pending_invite(&mut self, now: Instant, id: DialogId) {
        let pending = self
            .dialogs
            .get_mut(&id)
            .and_then(|dialog| dialog.invite_in.take());
        if let Some(transaction) = pending {
            self.send_status(now, transaction, StatusCode::REQUEST_TERMINATED, &[]);
        }
    }

    /// Sends a response without body.
    pub(super) fn send_status(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        status: StatusCode,
        headers: &[(HeaderName, Vec<u8>)],
    ) {
        let Some(server) = self.servers.get(&transaction) else {
            return;
        };
        let mut response = Response::for_request(&server.request, status);
        for (name, value) in headers {
            response.headers.push(name.clone(), value.clone());
        }
        self.sign(&mut response);
        self.send_response(now, transaction, &response);
    }
}
