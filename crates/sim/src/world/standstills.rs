//! Which transactions were under way while somebody stood still. What is said again after their life is taken for a request of its own, and rightly; so
//! they may be answered twice. Everything that begins later may not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::wire::{self, Kind};

/// 64*T1, for which a request is said again, and the longest way of what is overtaken.
const LIFE: Duration = Duration::from_secs(36);

/// The transactions of SIP Server, by branch.
#[derive(Debug, Default)]
pub(super) struct Standstills {
    /// When each of them began that may still be under way.
    begun: BTreeMap<String, Instant>,
    /// Those that were under way when somebody stood still.
    excused: BTreeSet<String>,
    /// talkbridge stands still until then: what is sent to it meanwhile waits.
    until: Option<Instant>,
}

impl Standstills {
    /// A message leaves a SIP Server, which may stand still itself: the administrator makes it say something all the same.
    pub(super) fn server_sends(&mut self, now: Instant, text: &str, stands_still: bool) {
        let (Some(Kind::Request { .. }), Some(branch)) = (wire::kind(text), wire::branch(text))
        else {
            return;
        };
        if stands_still || self.until.is_some_and(|until| now <= until) {
            self.excused.insert(branch.to_owned());
        } else if !self.begun.contains_key(branch) {
            self.begun.retain(|_, at| now <= *at + LIFE);
            self.begun.insert(branch.to_owned(), now);
        }
    }

    /// Somebody stands still, until then where it is talkbridge.
    pub(super) fn begins(&mut self, now: Instant, until: Option<Instant>) {
        let begun = std::mem::take(&mut self.begun).into_iter();
        let open = begun.filter(|(_, at)| now <= *at + LIFE);
        self.excused.extend(open.map(|(branch, _)| branch));
        self.until = self.until.max(until);
    }

    /// A repetition of this request may count as a request of its own.
    pub(super) fn excuses(&self, branch: &str) -> bool {
        self.excused.contains(branch)
    }
}
