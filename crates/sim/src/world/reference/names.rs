//! What SIP Server calls a call by: the CallUUID of the last message in its dialog that was taken. A merge by transfer or conference changes it.

use std::collections::BTreeMap;

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
    /// The last reliable provisional response of each branch that rings, by its tag: what is not the next one is ignored (RFC 3262 section 4).
    progress: BTreeMap<String, u32>,
}

impl Name {
    /// Whether a response is read: it is final, not reliable, or the next one of its branch.
    fn reads(&mut self, text: &str) -> bool {
        let number = wire::header(text, "RSeq").and_then(|number| number.trim().parse().ok());
        let Some(number) = number else {
            return true;
        };
        let branch = wire::tag(text, "To").unwrap_or_default().to_owned();
        let next = |last: &u32| last.checked_add(1) == Some(number);
        let reads = self.progress.get(&branch).is_none_or(next);
        if reads {
            self.progress.insert(branch, number);
        }
        reads
    }
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
            known.name.last = Some(uuid);
            known.name.perhaps.clear();
        } else if known.name.last.as_deref() != Some(&uuid) {
            known.name.perhaps.push(uuid);
        }
    }

    /// A response to an INVITE of ours: the one that it waits for names the call.
    pub(super) fn named_by_response(&mut self, id: CallId, cseq: u32, status: u16, text: &str) {
        let awaited = self.calls.get_mut(&id).is_some_and(|known| {
            matches!(known.stage, Stage::Dialling { .. })
                && known.inviting == Some(cseq)
                && wire::header(text, "Call-ID") == Some(&known.dialog)
                && known.name.reads(text)
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
