//! What REFER needs of the dialogs: naming one of them to somebody else, finding the one that a `Replaces` names, and the
//! subscription that a REFER outside of any call opens.

use super::UserAgent;
use super::event::{DialogId, TransactionId};
use super::incoming::callee_dialog;
use crate::dialog::{DialogKey, Role, Stage};
use crate::wire::Replaces;
use crate::{Uri, wire};

/// The dialog that a `Replaces` names, as far as it decides what becomes of the INVITE that carries it (RFC 3891 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// Answered, and neither side has ended it.
    Confirmed(DialogId),
    /// Our own call that is not answered yet.
    Calling(DialogId),
    /// The peer's call that is not answered yet: it cannot be replaced.
    Ringing(DialogId),
    /// We have ended it.
    Ended,
}

impl UserAgent {
    /// What a `Refer-To` holds that shall join somebody with the peer of this answered dialog: the peer's Contact, and the dialog
    /// as that peer knows it (RFC 3891 section 3: `to-tag` is the tag of whoever is asked to give the dialog up). `None` unless the
    /// dialog is answered.
    #[must_use]
    pub fn replaceable(&self, dialog: DialogId) -> Option<(Uri, Replaces)> {
        let call = self.dialogs.get(&dialog)?;
        if call.stage != Stage::Confirmed {
            return None;
        }
        let replaces = wire::Replaces {
            call_id: call.key.call_id.clone(),
            to_tag: call.key.remote.clone()?,
            from_tag: call.key.local.clone(),
            early_only: false,
        };
        Some((call.remote_target.for_request_line(), replaces))
    }

    /// The dialog of a call that the peer names as we know it: `to-tag` is ours.
    #[must_use]
    pub fn replaced(&self, replaces: &Replaces) -> Option<Replaced> {
        let key = DialogKey {
            call_id: replaces.call_id.clone(),
            local: replaces.to_tag.clone(),
            remote: Some(replaces.from_tag.clone()),
        };
        let id = *self.dialog_keys.get(&key)?;
        let call = self.dialogs.get(&id)?;
        if call.is_subscription {
            return None;
        }
        Some(match (call.stage, call.role) {
            (Stage::Ending, _) => Replaced::Ended,
            (Stage::Confirmed, _) => Replaced::Confirmed(id),
            (Stage::Early, Role::Caller) => Replaced::Calling(id),
            (Stage::Early, Role::Callee) => Replaced::Ringing(id),
        })
    }

    /// Makes a REFER outside of any dialog open one by the 2xx that is to follow, for the NOTIFYs about its outcome (RFC 3515
    /// section 2.4.4). `None` where there is no room for it, or the REFER has no usable Contact.
    pub fn subscribe_referrer(&mut self, transaction: TransactionId) -> Option<DialogId> {
        if self.dialogs.len() >= self.capacity.dialogs {
            return None;
        }
        let id = DialogId(self.next_id());
        let server = self.servers.get_mut(&transaction)?;
        let tag = server.request.headers.to_tag()?;
        let mut dialog = callee_dialog(id, &server.request, server.hop, tag)?;
        dialog.stage = Stage::Confirmed;
        dialog.is_subscription = true;
        dialog.opened_by.clone_from(&server.merge);
        server.dialog = Some(id);
        Some(self.file_dialog(dialog))
    }

    /// The last NOTIFY of a subscription is answered: nothing is left of it.
    pub fn end_subscription(&mut self, dialog: DialogId) {
        if self
            .dialogs
            .get(&dialog)
            .is_some_and(|call| call.is_subscription)
        {
            self.finish(dialog);
        }
    }
}
