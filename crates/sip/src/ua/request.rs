//! Our other requests within a dialog.

use std::time::Instant;

use super::UserAgent;
use super::event::{DialogId, Outcome, TransactionId};
use super::refresh::keep_session;
use super::tables::Owner;
use crate::dialog::Stage;
use crate::{HeaderName, Method, Response, StatusCode};

impl UserAgent {
    /// Sends INFO, NOTIFY, REFER, UPDATE, MESSAGE ... in a dialog. The outcome comes as
    /// [`Outcome::Response`] or [`Outcome::RequestFailed`] with the returned handle. INVITE, ACK, BYE
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
            self.tell(
                dialog,
                Outcome::RequestFailed {
                    transaction: handle,
                },
            );
        }
        handle
    }

    /// The CSeq of the last request that we sent in a dialog.
    #[must_use]
    pub fn last_cseq(&self, dialog: DialogId) -> Option<u32> {
        self.dialogs.get(&dialog).map(|call| call.local_cseq)
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
            keep_session(&mut request.headers, call);
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
        let hop = self.next_hop(call);
        let transaction = self.start_client(now, request, hop, Owner::Request(id, handle))?;
        if let Some(call) = self.dialogs.get_mut(&id).filter(|_| offers) {
            call.update_out = Some(handle);
        }
        Some(transaction)
    }

    /// An offer of ours in an UPDATE is answered, refused or lost.
    pub(super) fn close_update(&mut self, id: DialogId, handle: TransactionId) {
        if let Some(call) = self.dialogs.get_mut(&id) {
            call.update_out.take_if(|open| *open == handle);
        }
    }

    pub(super) fn on_request_answered(
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
            self.on_update_accepted(now, id, &response);
        }
        self.tell(
            id,
            Outcome::Response {
                transaction: handle,
                response: Box::new(response),
            },
        );
        // Only 481 says that the dialog is gone; a request that fails otherwise fails alone.
        if status == StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST {
            self.end_if_dead(now, id, Some(status));
        }
    }
}
