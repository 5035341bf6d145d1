//! Where each side of a dialog wants its requests (RFC 3261 section 12.2): the last Contact that SIP Server gave.

use std::collections::{BTreeMap, BTreeSet};

use super::wire::{self, Kind};

/// Call-ID, and the tag of SIP Server's side: an INVITE that it takes for two has two dialogs.
type DialogKey = (String, String);

/// The remote target of each dialog, as the wire shows it.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// Dialogs in which it is certain.
    known: BTreeMap<DialogKey, String>,
    /// Contacts of requests that talkbridge has not accepted, by branch, and whether it is the one that opens the dialog.
    /// `None` is one that it has: a repetition says nothing new.
    asked: BTreeMap<String, Option<(String, bool)>>,
    /// Requests of talkbridge that were answered, by branch, and in which dialog.
    answered: BTreeSet<(String, DialogKey)>,
}

impl Targets {
    /// A message of SIP Server.
    pub(super) fn received(&mut self, text: &str) {
        let (Some(uri), Some((_, method))) = (contact(text), wire::cseq(text)) else {
            return;
        };
        match wire::kind(text) {
            Some(Kind::Request {
                method: "INVITE" | "UPDATE",
            }) => {
                if let Some(branch) = wire::branch(text) {
                    let opens = wire::tag(text, "To").is_none();
                    let asked = (uri.to_owned(), opens);
                    self.asked.entry(branch.to_owned()).or_insert(Some(asked));
                }
            }
            Some(Kind::Response { status: 200..300 }) if matches!(method, "INVITE" | "UPDATE") => {
                let branch = wire::branch(text).unwrap_or_default();
                let Some(dialog) = dialog(text, "To") else {
                    return;
                };
                if self.answered.insert((branch.to_owned(), dialog.clone())) {
                    self.known.insert(dialog, uri.to_owned());
                }
            }
            _ => {}
        }
    }

    /// A response of talkbridge.
    pub(super) fn answers(&mut self, text: &str, status: u16) {
        // Whoever is refused because a table is full asks again, and may be accepted then.
        if !(200..300).contains(&status) {
            return;
        }
        let branch = wire::branch(text).unwrap_or_default();
        let asked = self.asked.get_mut(branch).and_then(Option::take);
        let (Some((uri, opens)), Some(dialog)) = (asked, dialog(text, "From")) else {
            return;
        };
        // Before the answer the dialog may have moved already.
        if !(opens && self.known.contains_key(&dialog)) {
            self.known.insert(dialog, uri);
        }
    }

    /// A request of talkbridge that is no repetition: it goes where the dialog is.
    pub(super) fn asks(&self, text: &str) -> Result<(), String> {
        let (Some((_, method)), Some(dialog)) = (wire::cseq(text), dialog(text, "To")) else {
            return Ok(());
        };
        // PRACK goes to where the response came from that it acknowledges.
        if method == "PRACK" {
            return Ok(());
        }
        let uri = text.split(' ').nth(1).unwrap_or_default();
        match self.known.get(&dialog) {
            Some(target) if target != uri => {
                Err(format!("{method} to {uri}, and the dialog is at {target}"))
            }
            _ => Ok(()),
        }
    }
}

fn dialog(text: &str, theirs: &str) -> Option<DialogKey> {
    let call_id = wire::header(text, "Call-ID")?;
    Some((call_id.to_owned(), wire::tag(text, theirs)?.to_owned()))
}

fn contact(text: &str) -> Option<&str> {
    let (_, after) = wire::header(text, "Contact")?.split_once('<')?;
    after.split_once('>').map(|(uri, _)| uri)
}
