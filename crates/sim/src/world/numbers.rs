//! The numbers of talkbridge's requests (RFC 3261 sections 8.1.1.5 and 12.2.1.1): CSeq rises in each dialog, and whatever has a number that was used is that
//! request once more, or its ACK or CANCEL.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::servers::ServerId;
use super::wire;

/// 64*T1: a request is repeated for as long.
const REPEATED: Duration = Duration::from_secs(32);

/// Call-ID, talkbridge's tag and the other side's; before there is one the last is empty.
type Dialog = (String, String, String);

/// What talkbridge has sent in each dialog, for as long as the run lasts: some hundreds of numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    dialogs: BTreeMap<Dialog, BTreeMap<u32, Sent>>,
    /// The hosts are instances of one proxy: what one of them does not take goes to another in a new transaction (RFC 3263 section 4.3).
    proxied: bool,
    /// Nothing says how long a request waits for a connection.
    over_tcp: bool,
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
    pub(super) const fn new(proxied: bool, over_tcp: bool) -> Self {
        Self {
            dialogs: BTreeMap::new(),
            proxied,
            over_tcp,
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
        let known = [&dialog, &opening].map(|key| self.dialogs.get(key));
        let mut same = known.iter().flatten().filter_map(|sent| sent.get(&cseq));
        if matches!(method, "ACK" | "CANCEL") {
            let of = same.find(|sent| sent.method == "INVITE");
            // A 2xx has an ACK with a branch of its own (RFC 3261 section 13.2.2.4).
            let fits = |sent: &Sent| method == "ACK" || sent.went_by(branch);
            return match of {
                Some(sent) if fits(sent) => Ok(Number::Repeated),
                _ => Err(format!("{method} {cseq} of no INVITE in {}", dialog.0)),
            };
        }
        let last = known
            .iter()
            .flatten()
            .filter_map(|sent| sent.keys().next_back());
        let last = last.max().copied().unwrap_or(0);
        if same.next().is_none() {
            if cseq <= last {
                return Err(format!("CSeq {cseq} after {last} in {}", dialog.0));
            }
            let sent = Sent {
                method: method.to_owned(),
                at: now,
                ways: vec![(branch.to_owned(), to)],
            };
            self.dialogs.entry(dialog).or_default().insert(cseq, sent);
            return Ok(Number::New);
        }
        let sent = [&dialog, &opening]
            .into_iter()
            .find(|key| {
                self.dialogs
                    .get(*key)
                    .is_some_and(|it| it.contains_key(&cseq))
            })
            .and_then(|key| self.dialogs.get_mut(key)?.get_mut(&cseq))
            .expect("it was found above");
        if sent.method != method {
            return Err(format!("CSeq {cseq} is {method} and {}", sent.method));
        }
        if !sent.went_by(branch) {
            let elsewhere = sent.ways.iter().all(|(_, host)| *host != to);
            if !self.proxied || !elsewhere {
                return Err(format!("CSeq {cseq} twice in {}", dialog.0));
            }
            sent.at = now;
            sent.ways.push((branch.to_owned(), to));
        } else if now > sent.at + REPEATED && !self.over_tcp {
            let waited = now.saturating_duration_since(sent.at);
            return Err(format!("{method} {cseq} is repeated after {waited:?}"));
        }
        Ok(Number::Repeated)
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
