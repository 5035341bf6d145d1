//! The non-INVITE server transaction: RFC 3261 section 17.2.2. Timer J is the same on streams as on UDP.

use std::time::Instant;

use super::Action;
use crate::timer::{Timer, TimerTable, Timers};

//                                  |Request received
//                                  |pass to TU
//                                  V
//                            +-----------+
//                            |           |
//                            | Trying    |-------------+
//                            |           |             |
//                            +-----------+             |200-699 from TU
//                                  |                   |send response
//                                  |1xx from TU        |
//                                  |send response      |
//                                  |                   |
//               Request            V      1xx from TU  |
//               send response+-----------+send response|
//                   +--------|           |--------+    |
//                   |        | Proceeding|        |    |
//                   +------->|           |<-------+    |
//            +<--------------|           |             |
//            |Trnsprt Err    +-----------+             |
//            |Inform TU            |                   |
//            |                     |200-699 from TU    |
//            |                     |send response      |
//            |  Request            V                   |
//            |  send response+-----------+             |
//            |      +--------|           |             |
//            |      |        | Completed |<------------+
//            |      +------->|           |
//            +<--------------|           |
//            |Trnsprt Err    +-----------+
//            |Inform TU            |
//            |                     |Timer J fires
//            |                     |-
//            |                     V
//            |               +-----------+
//            +-------------->| Terminated|
//                            +-----------+

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
    /// The request came again.
    Request,
    /// The user of the transaction sends 100-199.
    SendProvisional,
    /// The user of the transaction sends 200-699.
    SendFinal,
    /// A timer of ours is due.
    Timer(Timer),
    /// The response could not be handed to the network.
    TransportError,
}

/// The machine. The layer above holds the last response.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    state: State,
    timing: Timers,
    timers: TimerTable,
}

impl Server {
    /// A transaction whose request has just come.
    pub(crate) fn new(now: Instant, timing: Timers) -> Self {
        let mut timers = TimerTable::default();
        // The RFC waits for the user of the transaction for ever. The client's own Timer F has
        // ended by then and nobody listens any more, so the transaction is let go.
        timers.start(Timer::F, now + timing.patience());
        Self {
            state: State::Trying,
            timing,
            timers,
        }
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) -> &'static [Action] {
        use Input as I;
        use State as S;
        #[cfg(feature = "coverage")]
        crate::coverage::note("server", false, self.state, input);
        match (self.state, input) {
            (S::Trying | S::Proceeding, I::SendProvisional) => {
                self.state = S::Proceeding;
                &[Action::Send]
            }
            (S::Trying | S::Proceeding, I::SendFinal) => {
                self.timers.clear();
                // On a stream the RFC wants no wait at all. But a connection may go with the answer on it, and SIP Server then repeats its
                // request on the next one.
                self.timers.start(Timer::J, now + self.timing.patience());
                self.state = S::Completed;
                &[Action::Send]
            }
            (S::Proceeding | S::Completed, I::Request) => &[Action::Send],
            (S::Trying | S::Proceeding, I::Timer(Timer::F)) => self.terminate(&[Action::TimedOut]),
            // RFC 3261 section 17.2.4 ends it here. The request comes again, and would be a new one then, with a CSeq that is used.
            (S::Proceeding | S::Completed, I::TransportError) => &[Action::TransportFailed],
            (S::Completed, I::Timer(Timer::J)) => self.terminate(&[]),
            // A repetition before the first response is absorbed; so is everything the user of
            // the transaction sends after its final response.
            (S::Trying, I::Request | I::TransportError | I::Timer(_))
            | (S::Proceeding, I::Timer(_))
            | (S::Completed, I::SendProvisional | I::SendFinal | I::Timer(_))
            | (S::Terminated, _) => &[],
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

    impl Machine for Server {
        type State = State;
        type Input = Input;
        const STATES: &'static [State] = &[
            State::Trying,
            State::Proceeding,
            State::Completed,
            State::Terminated,
        ];

        fn inputs() -> Vec<Input> {
            let events = [
                Input::Request,
                Input::SendProvisional,
                Input::SendFinal,
                Input::TransportError,
            ];
            events
                .into_iter()
                .chain(Timer::ALL.map(Input::Timer))
                .collect()
        }

        fn in_state(now: Instant, _reliable: bool, state: State) -> Self {
            let mut machine = Self::new(now, Timers::default());
            let path: &[Input] = match state {
                State::Trying => &[],
                State::Proceeding => &[Input::SendProvisional],
                State::Completed => &[Input::SendFinal],
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
        insta::assert_snapshot!(matrix::print::<Server>());
    }
}
