//! INVITEs that reach talkbridge: each gets one final answer, in bounded time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{PATIENCE, wire};

/// A transaction as the wire shows it: Call-ID, branch, CSeq.
pub(super) type Transaction = (String, String, u32);

/// How long a call may ring at talkbridge (`limits.rs` of the switchboard), and then 64*T1 for a reliable provisional response that nobody acknowledges.
const RINGS: Duration = Duration::from_secs(300 + 32);

/// A change of a session is asked of nobody: it is answered in the turn in which it comes.
const CHANGES: Duration = Duration::ZERO;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Invites {
    all: BTreeMap<Transaction, Invite>,
    /// By when those have to be answered that are not.
    open: BTreeMap<Transaction, Instant>,
}

#[derive(Debug)]
struct Invite {
    /// The final statuses that it was given.
    finals: BTreeSet<u16>,
    /// When it was given the first of them.
    answered_at: Option<Instant>,
    /// It allows reliable provisional responses only (RFC 3262 section 3).
    reliable: bool,
}

impl Invites {
    pub(super) fn arrives(&mut self, now: Instant, key: Transaction, text: &str) {
        let patience = if wire::tag(text, "To").is_none() {
            RINGS
        } else {
            CHANGES
        };
        self.all.entry(key).or_insert_with_key(|key| {
            self.open.insert(key.clone(), now + patience);
            let reliable = wire::header(text, "Require");
            Invite {
                finals: BTreeSet::new(),
                answered_at: None,
                reliable: reliable.is_some_and(|tags| tags.contains("100rel")),
            }
        });
    }

    /// talkbridge's machine stands still: what it owes is owed so much later.
    pub(super) fn stand_still(&mut self, pause: Duration) {
        for due in self.open.values_mut() {
            *due += pause;
        }
    }

    /// Provisional responses are reliable where that is required, and only there.
    pub(super) fn progress(&self, key: &Transaction, text: &str) -> Result<(), String> {
        let reliable = wire::header(text, "RSeq").is_some();
        let wanted = self.all.get(key).is_some_and(|invite| invite.reliable);
        if reliable == wanted {
            return Ok(());
        }
        Err(format!(
            "INVITE {key:?} got a provisional response, reliable: {reliable}"
        ))
    }

    /// A final answer may be repeated, but never changed while it is remembered: the last repetition of an INVITE leaves half a second before that ends. Which
    /// statuses it has been given.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        key: &Transaction,
        status: u16,
    ) -> Result<&BTreeSet<u16>, String> {
        let invite = self.all.get_mut(key).ok_or("an answer to no INVITE")?;
        self.open.remove(key);
        if now >= *invite.answered_at.get_or_insert(now) + PATIENCE {
            invite.finals.clear();
            invite.answered_at = Some(now);
        }
        invite.finals.insert(status);
        Ok(&invite.finals)
    }

    /// None waits for longer than it may.
    pub(super) fn in_time(&self, now: Instant) -> Result<(), String> {
        let late = self.open.iter().find(|(_, due)| **due < now);
        late.map_or(Ok(()), |(key, due)| {
            let late = now.saturating_duration_since(*due);
            Err(format!(
                "INVITE {key:?} has no final answer, {late:?} too late"
            ))
        })
    }

    /// At the end of the day all of them were answered.
    pub(super) fn all_answered(&self) -> Result<(), String> {
        self.open.keys().next().map_or(Ok(()), |key| {
            Err(format!("INVITE {key:?} never got a final answer"))
        })
    }
}
