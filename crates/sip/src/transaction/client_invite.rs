//! The INVITE client transaction: RFC 3261 section 17.1.1 as corrected by RFC 6026 section 8.4.
//!
//! Where the RFCs end it unanswered, this one outlives its user for as long again ([`State::Abandoned`]): the peer may have stood still with
//! the INVITE in its queue, and what it says when it goes on has to be cancelled, or acknowledged and ended, or it rings for nobody.

use std::time::{Duration, Instant};

use super::Action;
use crate::timer::{Timer, TimerTable, Timers};

// RFC 6026, figure 5. In place of "Terminated" after Timer B or an error of the transport comes Abandoned, from there Withdrawn by a 1xx,
// Accepted by a 2xx, Completed by 300-699, and Terminated by Timer M.
//
//                                     |INVITE from TU
//                   Timer A fires     |INVITE sent      Timer B fires
//                   Reset A,          V                 or Transport Err.
//                   INVITE sent +-----------+           inform TU
//                     +---------|           |--------------------------+
//                     |         |  Calling  |                          |
//                     +-------->|           |-----------+              |
//    300-699                    +-----------+ 2xx       |              |
//    ACK sent                      |  |       2xx to TU |              |
//    resp. to TU                   |  |1xx              |              |
//    +-----------------------------+  |1xx to TU        |              |
//    |                                |                 |              |
//    |                1xx             V                 |              |
//    |                1xx to TU +-----------+           |              |
//    |                +---------|           |           |              |
//    |                |         |Proceeding |           |              |
//    |                +-------->|           |           |              |
//    |                          +-----------+ 2xx       |              |
//    |         300-699             |    |     2xx to TU |              |
//    |         ACK sent,  +--------+    +---------------+              |
//    |         resp. to TU|                             |              |
//    |                    V                             V              |
//    |              +-----------+                   +----------+       |
//    +------------->|           |Transport Err.     |          |       |
//                   | Completed |Inform TU          | Accepted |       |
//                +--|           |-------+           |          |-+     |
//        300-699 |  +-----------+       |           +----------+ |     |
//        ACK sent|    ^  |              |               |  ^     |     |
//                |    |  |              |               |  |     |     |
//                +----+  |              |               |  +-----+     |
//                        |Timer D fires |  Timer M fires|    2xx       |
//                        |-             |             - |    2xx to TU |
//                        +--------+     |   +-----------+              |
//                                 V     V   V                          |
//                               +------------+                         |
//                               | Terminated |<------------------------+
//                               +------------+

/// Where the transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    /// Its user was told that nobody answered; the peer may do so after all.
    Abandoned,
    /// It has, provisionally, and was told by CANCEL that nobody waits.
    Withdrawn,
    Terminated,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// 100-199 came.
    Provisional,
    /// 200-299 came.
    Success,
    /// 300-699 came.
    Failure,
    /// A timer of ours is due.
    Timer(Timer),
    /// The request could not be handed to the network.
    TransportError,
}

/// The machine. The layer above holds the bytes it sends.
#[derive(Debug, Clone)]
pub(crate) struct ClientInvite {
    state: State,
    reliable: bool,
    timing: Timers,
    resend_interval: Duration,
    timers: TimerTable,
}

impl ClientInvite {
    /// A transaction whose INVITE has just been sent.
    pub(crate) fn new(now: Instant, timing: Timers, reliable: bool) -> Self {
        let mut timers = TimerTable::default();
        if !reliable {
            timers.start(Timer::A, now + timing.t1);
        }
        timers.start(Timer::B, now + timing.patience());
        Self {
            state: State::Calling,
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
        crate::coverage::note("client_invite", self.reliable, self.state, input);
        match (self.state, input) {
            (S::Calling, I::Timer(Timer::A)) => {
                // Timer A doubles without T2: section 17.1.1.2.
                self.resend_interval = self.resend_interval.saturating_mul(2);
                self.timers.start(Timer::A, now + self.resend_interval);
                &[Action::Send]
            }
            // In Proceeding it runs only where `expect_final_by` started it.
            (S::Calling | S::Proceeding, I::Timer(Timer::B)) => {
                self.linger(now, S::Abandoned);
                &[Action::TimedOut]
            }
            // The copies before the one that was refused may have arrived.
            (S::Calling, I::TransportError) => {
                self.linger(now, S::Abandoned);
                &[Action::TransportFailed]
            }
            (S::Completed, I::TransportError) => self.terminate(&[Action::TransportFailed]),
            (S::Calling | S::Proceeding, I::Provisional) => {
                self.timers.clear();
                self.state = S::Proceeding;
                &[Action::Deliver]
            }
            // Once: a peer that goes on saying that it rings keeps nothing alive here (section 9.1).
            (S::Abandoned, I::Provisional) => {
                self.linger(now, S::Withdrawn);
                &[Action::Deliver]
            }
            (S::Calling | S::Proceeding | S::Abandoned | S::Withdrawn, I::Success) => {
                self.linger(now, S::Accepted);
                &[Action::Deliver]
            }
            (S::Calling | S::Proceeding, I::Failure) => {
                self.complete(now);
                &[Action::SendAck, Action::Deliver]
            }
            (S::Abandoned | S::Withdrawn, I::Failure) => {
                self.complete(now);
                &[Action::SendAck]
            }
            (S::Completed, I::Failure) => &[Action::SendAck],
            (S::Completed, I::Timer(Timer::D))
            | (S::Accepted | S::Abandoned | S::Withdrawn, I::Timer(Timer::M)) => {
                self.terminate(&[])
            }
            (S::Accepted, I::Success) => &[Action::Deliver],
            // After the final response of one kind the other kind is stray, and a provisional
            // response is late; timers of other states no longer run; RFC 6026 lets the accepted
            // transaction survive a transport error, and Proceeding has nothing in flight.
            (
                S::Proceeding | S::Accepted | S::Abandoned | S::Withdrawn,
                I::TransportError | I::Timer(_),
            )
            | (S::Calling | S::Completed, I::Timer(_))
            | (S::Completed, I::Provisional | I::Success)
            | (S::Accepted, I::Provisional | I::Failure)
            | (S::Withdrawn, I::Provisional)
            | (S::Terminated, _) => &[],
        }
    }

    /// The user of a transaction that waits for its final response waits no more.
    pub(crate) fn abandon(&mut self, now: Instant) {
        if matches!(self.state, State::Calling | State::Proceeding) {
            self.linger(now, State::Abandoned);
        }
    }

    /// Timer M bounds what only waits for responses that may still come.
    fn linger(&mut self, now: Instant, state: State) {
        self.timers.clear();
        self.timers.start(Timer::M, now + self.timing.patience());
        self.state = state;
    }

    fn complete(&mut self, now: Instant) {
        let repeated = if self.reliable {
            Duration::ZERO
        } else {
            self.timing.patience()
        };
        self.timers.clear();
        self.timers.start(Timer::D, now + repeated);
        self.state = State::Completed;
    }

    /// Bounds the wait in Proceeding until the next provisional response, which section 17.1.1 leaves open.
    pub(crate) fn expect_final_by(&mut self, at: Instant) {
        if self.state == State::Proceeding {
            self.timers.start(Timer::B, at);
        }
    }

    /// See [`super::ClientMachine::repeat`].
    pub(crate) fn repeat(&mut self, now: Instant) {
        if self.state == State::Calling {
            self.resend_interval = self.timing.t2;
            self.timers.start(Timer::A, now + self.resend_interval);
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

    impl Machine for ClientInvite {
        type State = State;
        type Input = Input;
        const STATES: &'static [State] = &[
            State::Calling,
            State::Proceeding,
            State::Completed,
            State::Accepted,
            State::Abandoned,
            State::Withdrawn,
            State::Terminated,
        ];

        fn inputs() -> Vec<Input> {
            let events = [
                Input::Provisional,
                Input::Success,
                Input::Failure,
                Input::TransportError,
            ];
            events
                .into_iter()
                .chain(Timer::ALL.map(Input::Timer))
                .collect()
        }

        fn in_state(now: Instant, reliable: bool, state: State) -> Self {
            let mut machine = Self::new(now, Timers::default(), reliable);
            let path: &[Input] = match state {
                State::Calling => &[],
                State::Proceeding => &[Input::Provisional],
                State::Completed => &[Input::Failure],
                State::Accepted => &[Input::Success],
                State::Abandoned => &[Input::Timer(Timer::B)],
                State::Withdrawn => &[Input::Timer(Timer::B), Input::Provisional],
                State::Terminated => &[Input::Timer(Timer::B), Input::Timer(Timer::M)],
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
        insta::assert_snapshot!(matrix::print::<ClientInvite>());
    }
}
