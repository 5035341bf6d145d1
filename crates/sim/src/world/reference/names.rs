//! What SIP Server calls a call by: the CallUUID of the last message in its dialog that was taken. A merge by transfer or conference changes it.

use control::CallView;
use switchboard::CallId;

use super::Reference;
use super::known::Stage;
use crate::world::wire;

/// The CallUUID that a call should have.
#[derive(Debug, Default)]
pub(super) struct Name {
    /// Of the last message that was taken; `None` before SIP Server has named a call that was dialled.
    last: Option<String>,
    /// Of messages since that were refused, or came where nobody waits for them: it may have been read there, or not.
    perhaps: Vec<String>,
}

impl Reference {
    /// A message of a call names it, for certain or perhaps.
    pub(super) fn named(&mut self, id: CallId, text: &str, certain: bool) {
        let Some(uuid) = wire::header(text, "X-Genesys-CallUUID").map(str::to_owned) else {
            return;
        };
        let Some(known) = self.calls.get_mut(&id) else {
            return;
        };
        if certain {
            known.name = Name {
                last: Some(uuid),
                perhaps: Vec::new(),
            };
        } else if known.name.last.as_deref() != Some(&uuid) {
            known.name.perhaps.push(uuid);
        }
    }

    /// A response to an INVITE of ours: the one that it waits for names the call.
    pub(super) fn named_by_response(&mut self, id: CallId, cseq: u32, status: u16, text: &str) {
        let awaited = self.calls.get(&id).is_some_and(|known| {
            matches!(known.stage, Stage::Dialling { .. })
                && known.inviting == Some(cseq)
                && wire::header(text, "Call-ID") == Some(&known.dialog)
        });
        self.named(id, text, awaited && (101..300).contains(&status));
    }

    /// A call is shown under the name that SIP Server has for it.
    pub(super) fn compare_name(&self, id: CallId, view: &CallView) -> Result<(), String> {
        let known = self.calls.get(&id);
        let Some(known) = known.filter(|known| !known.given_up && !self.blind.contains(&known.dn))
        else {
            return Ok(());
        };
        let (name, shown) = (&known.name, &view.call_uuid);
        let perhaps = |shown: &String| name.perhaps.contains(shown);
        if *shown == name.last || shown.as_ref().is_some_and(perhaps) {
            return Ok(());
        }
        Err(format!(
            "call {id} should have the name {name:?}; it is shown as {view:?}"
        ))
    }
}
