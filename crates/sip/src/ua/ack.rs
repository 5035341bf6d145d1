//! The ACK of a 2xx to our INVITE, and answers that come more than once.

use std::time::Instant;

use super::cancel::about_invite;
use super::event::{DialogId, TransactionId};
use super::tables::Hop;
use super::{UserAgent, limits};
use crate::dialog::{Birth, Dialog, DialogKey, OwedAck, Role, RouteSet, Stage};
use crate::{HeaderName, Method, Request, Response};

/// More than anybody's PRACKs in one early dialog: a gap in `CSeq` harms nobody (RFC 3261 section 12.2.2).
const FORK_CSEQ_GAP: u32 = 1_000;

impl UserAgent {
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

    /// Acknowledges a 2xx at once, or leaves that to the application when it owes an answer.
    pub(super) fn acknowledge_or_wait(&mut self, id: DialogId, owed: OwedAck, at_once: bool) {
        if at_once {
            self.send_ack(id, &owed, None);
        } else if let Some(call) = self.dialogs.get_mut(&id) {
            call.owed_ack = Some(owed);
        }
    }

    /// The ACK of a 2xx: a request of its own, outside of any transaction, that the transaction of
    /// the INVITE repeats for each repeated 2xx (RFC 3261 section 13.2.2.4).
    pub(super) fn send_ack(&mut self, id: DialogId, owed: &OwedAck, sdp: Option<Vec<u8>>) {
        let Some(call) = self.dialogs.get(&id) else {
            return;
        };
        let hop = self.next_hop(call);
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
        self.transmit_ack(owed.transaction, owed.remote.clone(), hop, ack.to_bytes());
    }

    /// The 2xx of a re-INVITE comes when the peer's BYE has ended the call: the peer would repeat it for 64*T1 (RFC 3261 section 13.2.2.4). The ACK
    /// goes the way of its INVITE, as the dialog that knew a better one is gone.
    pub(super) fn acknowledge_late(&mut self, transaction: TransactionId, tag: Option<crate::Tag>) {
        let Some(invite) = self.clients.get(&transaction) else {
            return;
        };
        let hop = invite.hop;
        let Some(mut ack) = about_invite(&invite.request, Method::Ack) else {
            return;
        };
        let branch = self.ids.branch();
        let Some(via) = self.via(&hop, branch) else {
            return;
        };
        ack.headers.push_front(HeaderName::VIA, via);
        self.sign_request(&mut ack.headers);
        self.transmit_ack(transaction, tag, hop, ack.to_bytes());
    }

    /// Sends the ACK of a 2xx, and keeps it for when that comes again.
    fn transmit_ack(
        &mut self,
        transaction: TransactionId,
        tag: Option<crate::Tag>,
        hop: Hop,
        bytes: Vec<u8>,
    ) {
        if let Some(invite) = self.clients.get_mut(&transaction) {
            invite.acks.push((tag, hop, bytes.clone()));
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
    pub(super) fn end_fork(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        response: &Response,
    ) {
        let id = DialogId(self.next_id());
        let Some(invite) = self.clients.get(&transaction) else {
            return;
        };
        if invite.acks.len() >= limits::FORKS_MAX {
            return;
        }
        let used = invite.owner.dialog().and_then(|id| self.dialogs.get(&id));
        let used = used.map(|call| call.local_cseq);
        let Some(mut dialog) = forked_dialog(id, &invite.request, invite.hop, response) else {
            return;
        };
        let cseq = dialog.local_cseq;
        // PRACKs to this branch may have used the next numbers; the call that counted them may be over.
        dialog.local_cseq = used.unwrap_or(cseq.saturating_add(FORK_CSEQ_GAP));
        let owed = OwedAck {
            transaction,
            cseq,
            remote: dialog.key.remote.clone(),
        };
        self.file_dialog(dialog);
        self.send_ack(id, &owed, None);
        self.bye(now, id, None);
    }
}

/// The dialog of a forked answer: confirmed at birth and without a handle.
fn forked_dialog(id: DialogId, invite: &Request, peer: Hop, response: &Response) -> Option<Dialog> {
    let from = invite.headers.from().ok()?;
    let mut dialog = Dialog::new(Birth {
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
        local: invite.headers.get(&HeaderName::FROM)?.to_vec(),
        remote: Vec::new(),
        local_cseq: invite.headers.cseq().ok()?.number,
        remote_cseq: None,
        route_set: RouteSet::default(),
        remote_target: invite.uri.clone(),
        peer,
    });
    dialog.adopt(response);
    Some(dialog)
}
