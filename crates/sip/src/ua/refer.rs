//! What REFER needs of the dialogs: naming one of them to somebody else, and finding the one that a `Replaces` names.

use super::UserAgent;
use super::event::DialogId;
use crate::dialog::Stage;
use crate::wire::Replaces;
use crate::{Uri, wire};

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
}
