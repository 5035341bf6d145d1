//! Events that were told to subscribers, numbered, and the last ones kept for those who come back.

use std::collections::VecDeque;
use std::sync::Arc;

use control::EventRecord;
use control::admin::Event;
use tokio::sync::broadcast;

use crate::limits::{EVENT_QUEUE_MAX, EVENTS_KEPT_MAX};
use crate::requests::Subscription;

/// What was told in this run.
#[derive(Debug)]
pub(super) struct Told {
    live: broadcast::Sender<Arc<EventRecord>>,
    kept: VecDeque<Arc<EventRecord>>,
    /// The number before the first one of this run.
    before: u64,
    last: u64,
}

impl Told {
    /// Nothing yet. Numbers begin after `before`, the time of the start in milliseconds since the epoch: so none of an earlier run comes again, as no run has a
    /// thousand events a second for all of its time.
    pub(super) fn after(before: u64) -> Self {
        let (live, _) = broadcast::channel(EVENT_QUEUE_MAX);
        Self {
            live,
            kept: VecDeque::new(),
            before,
            last: before,
        }
    }

    pub(super) fn publish(&mut self, at_ms: u64, event: Event) {
        self.last += 1;
        let record = Arc::new(EventRecord {
            seq: self.last,
            at_ms,
            event,
        });
        if self.kept.len() == EVENTS_KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::clone(&record));
        // An error says that nobody listens.
        let _ = self.live.send(record);
    }

    /// Begins a subscription after the event numbered `after`. Where that one is of another run everything that is kept is new to the subscriber.
    pub(super) fn subscribe(&self, after: Option<u64>) -> Subscription {
        let of_this_run = after.filter(|after| (self.before..=self.last).contains(after));
        let oldest = self.kept.front().map_or(self.last + 1, |record| record.seq);
        let events = of_this_run.map(|after| oldest.saturating_sub(after + 1));
        let is_missing = after.is_some() && events != Some(0);
        let backlog = self.kept.iter();
        let backlog = backlog.filter(|record| after.is_some() && of_this_run < Some(record.seq));
        Subscription {
            missed: is_missing.then_some(Event::Missed { events }),
            backlog: backlog.cloned().collect(),
            live: self.live.subscribe(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_700_000_000_000;

    fn told(events: u64) -> Told {
        let mut told = Told::after(START_MS);
        for removed in 0..events {
            let event = Event::Reloaded {
                added: 0,
                removed: usize::try_from(removed).unwrap_or_default(),
            };
            told.publish(5, event);
        }
        told
    }

    /// What a subscriber is told has gone, and the numbers that follow.
    fn heard(told: &Told, after: Option<u64>) -> (Option<Event>, Vec<u64>) {
        let Subscription {
            missed, backlog, ..
        } = told.subscribe(after);
        let numbers = backlog.iter().map(|record| record.seq - START_MS);
        (missed, numbers.collect())
    }

    /// Who was away for a moment has everything, and nothing twice.
    #[test]
    fn who_comes_back_in_time_misses_nothing() {
        let told = told(3);
        assert_eq!(heard(&told, Some(START_MS + 1)), (None, vec![2, 3]));
        assert_eq!(heard(&told, Some(START_MS + 3)), (None, vec![]));
        assert_eq!(heard(&told, None), (None, vec![]), "a first subscription");
    }

    /// Who was away for longer than events are kept is told how many are gone: a wallboard that counts calls begins anew.
    #[test]
    fn who_comes_back_too_late_is_told_what_is_gone() {
        let kept = EVENTS_KEPT_MAX as u64;
        let told = told(kept + 40);
        let (missed, numbers) = heard(&told, Some(START_MS + 1));
        assert_eq!(missed, Some(Event::Missed { events: Some(39) }));
        assert_eq!((numbers[0], numbers.len()), (41, EVENTS_KEPT_MAX));
        assert_eq!(heard(&told, Some(START_MS + 40)).0, None);
    }

    /// The gateway was started anew: numbers of the run before are none of this one, whichever is higher.
    #[test]
    fn who_comes_back_after_a_restart_is_told_so() {
        let told = told(2);
        for of_another_run in [START_MS - 60_000, START_MS + 900, 7] {
            let (missed, numbers) = heard(&told, Some(of_another_run));
            assert_eq!(missed, Some(Event::Missed { events: None }));
            assert_eq!(numbers, [1, 2]);
        }
    }
}
