//! Which rows of the transaction machines' tables a thread has seen; only in builds with the feature `coverage`, for the simulation.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// Machine, state, input; states and inputs as the tables under `transaction/snapshots` print them, over datagrams without the word.
pub type Row = (&'static str, String, String);

thread_local! {
    static SEEN: RefCell<BTreeSet<Row>> = const { RefCell::new(BTreeSet::new()) };
}

pub(crate) fn note(machine: &'static str, stream: bool, state: impl Debug, input: impl Debug) {
    let over = if stream { "stream, " } else { "" };
    let row = (machine, format!("{over}{state:?}"), format!("{input:?}"));
    SEEN.with_borrow_mut(|seen| seen.insert(row));
}

/// The same of a machine whose states and inputs are told in words.
pub fn note_words(machine: &'static str, state: String, input: &str) {
    SEEN.with_borrow_mut(|seen| seen.insert((machine, state, input.to_owned())));
}

/// What this thread has seen since it was last asked.
#[must_use]
pub fn take() -> BTreeSet<Row> {
    SEEN.take()
}
