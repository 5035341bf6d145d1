//! The numbers of talkbridge's requests (RFC 3261 sections 8.1.1.5 and 12.2.1.1): CSeq rises in each dialog, and whatever has a number that was used is that
//! request once more, or its ACK or CANCEL.

use std::collections::BTreeMap;
use std::time::Instant;

use super::servers::ServerId;
use super::{PATIENCE, wire};

/// Call-ID, talkbridge's tag and the other side's; before there is one the last is empty.
type Dialog = (String, String, String);

/// What talkbridge has sent in each dialog, for as long as the run lasts: some hundreds of numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    dialogs: BTreeMap<Dialog, BTreeMap<u32, Sent>>,
    /// The hosts are instances of one proxy: what one of them does not take goes to another in a new transaction (RFC 3263 section 4.3).
    proxied: bool,
    /// Nothing says how long a request waits for a connection.
    by_stream: bool,
}

/// One request.
#[derive(Debug)]
struct Sent {
    method: String,
    at: Instant,
    /// The transactions in which it was asked, and of which host.
    ways: Vec<(String, ServerId)>,
}

/// What a request is to its dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// It has a number that none had before it.
    New,
    /// It was sent before.
    Repeated,
}

impl Numbers {
    pub(super) const fn new(proxied: bool, by_stream: bool) -> Self {
        Self {
            dialogs: BTreeMap::new(),
            proxied,
            by_stream,
        }
    }

    /// Takes in a request of talkbridge.
    pub(super) fn sends(
        &mut self,
        now: Instant,
        to: ServerId,
        text: &str,
        method: &str,
    ) -> Result<Number, String> {
        let (Some((cseq, named)), Some(branch), Some(dialog)) =
            (wire::cseq(text), wire::branch(text), dialog(text))
        else {
            return Err(format!("a request without dialog:\n{text}"));
        };
        if named != method {
            return Err(format!("{method} is numbered as {named}"));
        }
        // The one that opened the dialog, or several: each branch of a fork has a tag of its own.
        let opening = (dialog.0.clone(), dialog.1.clone(), String::new());
        let keys = [dialog, opening];
        if matches!(method, "ACK" | "CANCEL") {
            return self.follows(&keys, cseq, method, branch);
        }
        let used = keys.iter().find(|key| self.sent(key, cseq).is_some());
        let Some(sent) = used.and_then(|key| self.dialogs.get_mut(key)?.get_mut(&cseq)) else {
            let [dialog, _] = &keys;
            let known = keys.iter().filter_map(|key| self.dialogs.get(key));
            let last = known.filter_map(|sent| sent.keys().next_back()).max();
            let last = last.copied().unwrap_or(0);
            if cseq <= last {
                return Err(format!("CSeq {cseq} after {last} in {}", dialog.0));
            }
            let sent = Sent {
                method: method.to_owned(),
                at: now,
                ways: vec![(branch.to_owned(), to)],
            };
            let dialog = self.dialogs.entry(dialog.clone()).or_default();
            dialog.insert(cseq, sent);
            return Ok(Number::New);
        };
        if sent.method != method {
            return Err(format!("CSeq {cseq} is {method} and {}", sent.method));
        }
        if !sent.went_by(branch) {
            let elsewhere = sent.ways.iter().all(|(_, host)| *host != to);
            if !self.proxied || !elsewhere {
                return Err(format!("CSeq {cseq} twice in {}", keys[0].0));
            }
            sent.at = now;
            sent.ways.push((branch.to_owned(), to));
        } else if now > sent.at + PATIENCE && !self.by_stream {
            let waited = now.saturating_duration_since(sent.at);
            return Err(format!("{method} {cseq} is repeated after {waited:?}"));
        }
        Ok(Number::Repeated)
    }

    /// ACK and CANCEL have the number of an INVITE, and CANCEL its branch. A 2xx has an ACK with a branch of its own (RFC 3261 section 13.2.2.4).
    fn follows(
        &self,
        keys: &[Dialog; 2],
        cseq: u32,
        method: &str,
        branch: &str,
    ) -> Result<Number, String> {
        let mut same = keys.iter().filter_map(|key| self.sent(key, cseq));
        let invite = same.find(|sent| sent.method == "INVITE");
        match invite.filter(|sent| method == "ACK" || sent.went_by(branch)) {
            Some(_) => Ok(Number::Repeated),
            None => Err(format!("{method} {cseq} of no INVITE in {}", keys[0].0)),
        }
    }

    fn sent(&self, dialog: &Dialog, cseq: u32) -> Option<&Sent> {
        self.dialogs.get(dialog)?.get(&cseq)
    }
}

impl Sent {
    fn went_by(&self, branch: &str) -> bool {
        self.ways.iter().any(|(known, _)| known == branch)
    }
}

fn dialog(text: &str) -> Option<Dialog> {
    let call_id = wire::header(text, "Call-ID")?.to_owned();
    let theirs = wire::tag(text, "To").unwrap_or_default();
    Some((
        call_id,
        wire::tag(text, "From")?.to_owned(),
        theirs.to_owned(),
    ))
}
