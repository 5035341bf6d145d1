//! Prints the whole (state, input) matrix of a transaction machine, for the snapshot tests.

use std::fmt::{Debug, Write as _};
use std::time::Instant;

use super::Action;
use crate::timer::{Timer, TimerTable};

/// A machine that can be put into each of its states.
pub(crate) trait Machine: Sized {
    type State: Copy + Debug + PartialEq + 'static;
    type Input: Copy + Debug;
    const STATES: &'static [Self::State];

    fn inputs() -> Vec<Self::Input>;
    fn in_state(now: Instant, reliable: bool, state: Self::State) -> Self;
    fn step(&mut self, now: Instant, input: Self::Input) -> &'static [Action];
    fn state_now(&self) -> Self::State;
    fn running(&self) -> &TimerTable;
}

/// One line for each (transport, state, input): next state, actions, timers that run afterwards.
pub(crate) fn print<M: Machine>() -> String {
    #[allow(clippy::disallowed_methods)]
    let now = Instant::now();
    let mut out = String::new();
    for reliable in [false, true] {
        let transport = if reliable { "stream" } else { "datagram" };
        for state in M::STATES {
            writeln!(out, "{transport}, {state:?}").expect("writing to a String cannot fail");
            for input in M::inputs() {
                let mut machine = M::in_state(now, reliable, *state);
                assert_eq!(
                    machine.state_now(),
                    *state,
                    "the path must lead to the state"
                );
                let before = timers(now, machine.running());
                let actions = machine.step(now, input);
                let after = timers(now, machine.running());
                let next = machine.state_now();
                let line = if next == *state && actions.is_empty() && before == after {
                    "-".to_owned()
                } else {
                    format!("{next:?} {actions:?} {after}")
                        .trim_end()
                        .to_owned()
                };
                let input = format!("{input:?}");
                writeln!(out, "    {input:<16} {line}").expect("writing to a String cannot fail");
            }
        }
    }
    out
}

fn timers(now: Instant, table: &TimerTable) -> String {
    let running: Vec<String> = Timer::ALL
        .into_iter()
        .filter_map(|timer| Some(format!("{timer:?}+{:?}", table.get(timer)? - now)))
        .collect();
    running.join(" ")
}
