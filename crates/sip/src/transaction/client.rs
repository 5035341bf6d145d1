//! The non-INVITE client transaction: RFC 3261 section 17.1.2.

use std::time::{Duration, Instant};

use super::Action;
use crate::timer::{Timer, TimerTable, Timers};

//                                   |Request from TU
//                                   |send request
//               Timer E             V
//               send request  +-----------+
//                   +---------|           |-------------------+
//                   |         |  Trying   |  Timer F          |
//                   +-------->|           |  or Transport Err.|
//                             +-----------+  inform TU        |
//                200-699         |  |                         |
//                resp. to TU     |  |1xx                      |
//                +---------------+  |resp. to TU              |
//                |                  |                         |
//                |   Timer E        V       Timer F           |
//                |   send req +-----------+ or Transport Err. |
//                |  +---------|           | inform TU         |
//                |  |         |Proceeding |------------------>|
//                |  +-------->|           |-----+             |
//                |            +-----------+     |1xx          |
//                |              |      ^        |resp to TU   |
//                | 200-699      |      +--------+             |
//                | resp. to TU  |                             |
//                |              V                             |
//                |            +-----------+                   |
//                |            | Completed |                   |
//                +----------->|           |                   |
//                             +-----------+                   |
//                                 | Timer K                   |
//                                 V                           |
//                             +-----------+                   |
//                             | Terminated|<------------------+
//                             +-----------+

/// Where the transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// 100-199 came.
    Provisional,
    /// 200-699 came.
    Final,
    /// A timer of ours is due.
    Timer(Timer),
    /// The request could not be handed to the network.
    TransportError,
}

/// The machine. The layer above holds the bytes it sends.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    state: State,
    reliable: bool,
    timing: Timers,
    resend_interval: Duration,
    timers: TimerTable,
}

impl Client {
    /// A transaction whose request has just been sent.
    pub(crate) fn new(now: Instant, timing: Timers, reliable: bool) -> Self {
        let mut timers = TimerTable::default();
        if !reliable {
            timers.start(Timer::E, now + timing.t1);
        }
        timers.start(Timer::F, now + timing.patience());
        Self {
            state: State::Trying,
            reliable,
            timing,
            resend_interval: timing.t1,
            timers,
        }
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) -> &'static [Action] {
        use Input as I;
        use State as S;
        #[cfg(feature = "coverage")]
        crate::coverage::note("client", self.reliable, self.state, input);
        match (self.state, input) {
            (S::Trying, I::Timer(Timer::E)) => {
                self.resend_interval = self.timing.next_interval(self.resend_interval);
                self.timers.start(Timer::E, now + self.resend_interval);
                &[Action::Send]
            }
            (S::Proceeding, I::Timer(Timer::E)) => {
                // A peer that said 100 is alive: ask again every T2 only.
                self.timers.start(Timer::E, now + self.timing.t2);
                &[Action::Send]
            }
            (S::Trying | S::Proceeding, I::Timer(Timer::F)) => self.terminate(&[Action::TimedOut]),
            (S::Trying | S::Proceeding, I::TransportError) => {
                self.terminate(&[Action::TransportFailed])
            }
            (S::Trying | S::Proceeding, I::Provisional) => {
                self.state = S::Proceeding;
                &[Action::Deliver]
            }
            (S::Trying | S::Proceeding, I::Final) => {
                self.timers.clear();
                let linger = if self.reliable {
                    Duration::ZERO
                } else {
                    self.timing.t4
                };
                self.timers.start(Timer::K, now + linger);
                self.state = S::Completed;
                &[Action::Deliver]
            }
            (S::Completed, I::Timer(Timer::K)) => self.terminate(&[]),
            // Repeated final responses are absorbed for as long as Timer K runs.
            (S::Trying | S::Proceeding, I::Timer(_)) | (S::Completed | S::Terminated, _) => &[],
        }
    }

    /// See [`super::ClientMachine::repeat`].
    pub(crate) fn repeat(&mut self, now: Instant) {
        if matches!(self.state, State::Trying | State::Proceeding) {
            self.resend_interval = self.timing.t2;
            self.timers.start(Timer::E, now + self.resend_interval);
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn timers(&self) -> &TimerTable {
        &self.timers
    }

    pub(crate) fn timers_mut(&mut self) -> &mut TimerTable {
        &mut self.timers
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    fn terminate(&mut self, actions: &'static [Action]) -> &'static [Action] {
        self.timers.clear();
        self.state = State::Terminated;
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::matrix::{self, Machine};

    impl Machine for Client {
        type State = State;
        type Input = Input;
        const STATES: &'static [State] = &[
            State::Trying,
            State::Proceeding,
            State::Completed,
            State::Terminated,
        ];

        fn inputs() -> Vec<Input> {
            let events = [Input::Provisional, Input::Final, Input::TransportError];
            events
                .into_iter()
                .chain(Timer::ALL.map(Input::Timer))
                .collect()
        }

        fn in_state(now: Instant, reliable: bool, state: State) -> Self {
            let mut machine = Self::new(now, Timers::default(), reliable);
            let path: &[Input] = match state {
                State::Trying => &[],
                State::Proceeding => &[Input::Provisional],
                State::Completed => &[Input::Final],
                State::Terminated => &[Input::Timer(Timer::F)],
            };
            for input in path {
                machine.handle(now, *input);
            }
            machine
        }

        fn step(&mut self, now: Instant, input: Input) -> &'static [Action] {
            self.handle(now, input)
        }

        fn state_now(&self) -> State {
            self.state()
        }

        fn running(&self) -> &TimerTable {
            self.timers()
        }
    }

    #[test]
    fn the_whole_matrix() {
        insta::assert_snapshot!(matrix::print::<Client>());
    }
}
