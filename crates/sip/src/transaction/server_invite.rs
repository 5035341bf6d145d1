//! The INVITE server transaction: RFC 3261 section 17.2.1 as corrected by RFC 6026 section 8.7.

use std::time::{Duration, Instant};

use super::Action;
use crate::timer::{Timer, TimerTable, Timers};

//                                      |INVITE
//                                      |pass INV to TU
//                   INVITE             V send 100
//                   send response+------------+
//                       +--------|            |--------+ 101-199 from TU
//                       |        |            |        | send response
//                       +------->|            |<-------+
//                                | Proceeding |
//                                |            |--------+ Transport Err.
//                                |            |        | Inform TU
//                                |            |<-------+
//                                +------------+
//                   300-699 from TU |    |2xx from TU
//                   send response   |    |send response
//                    +--------------+    +------------+
//                    |                                |
//   INVITE           V          Timer G fires         |
//   send response +-----------+ send response         |
//        +--------|           |--------+              |
//        |        |           |        |              |
//        +------->| Completed |<-------+      INVITE  |  Transport Err.
//                 |           |               -       |  Inform TU
//        +--------|           |----+          +-----+ |  +---+
//        |        +-----------+    | ACK      |     | v  |   v
//        |          ^   |          | -        |  +------------+
//        |          |   |          |          |  |            |---+ ACK
//        +----------+   |          |          |  |  Accepted  |   | to TU
//        Transport Err. |          |          |  |            |<--+
//        Inform TU      |          V          |  +------------+
//                       |      +-----------+  |   |  ^     |
//                       |      |           |  |   |  |     |
//                       |      | Confirmed |  +---+  |     |
//                       |      |           |         +-----+
//                       |      +-----------+        2xx from TU
//        Timer H fires  |          |                send response
//        inform TU      |          | Timer I fires
//                       |          | -
//                       |          V           Timer L fires
//                       |      +------------+   -
//                       +----->|            |<-----+
//                              | Terminated |
//                              +------------+

/// Where the transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Terminated,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The INVITE came again.
    Invite,
    /// An ACK with the branch of the INVITE came.
    Ack,
    /// The user of the transaction sends 100-199.
    SendProvisional,
    /// The user of the transaction sends 200-299.
    SendSuccess,
    /// The user of the transaction sends 300-699.
    SendFailure,
    /// A timer of ours is due.
    Timer(Timer),
    /// The response could not be handed to the network.
    TransportError,
}

/// The machine. The layer above holds the last response; 2xx are repeated by the dialog.
#[derive(Debug, Clone)]
pub(crate) struct ServerInvite {
    state: State,
    reliable: bool,
    timing: Timers,
    resend_interval: Duration,
    timers: TimerTable,
}

impl ServerInvite {
    /// A transaction whose INVITE has just come.
    pub(crate) fn new(timing: Timers, reliable: bool) -> Self {
        Self {
            state: State::Proceeding,
            reliable,
            timing,
            resend_interval: timing.t1,
            timers: TimerTable::default(),
        }
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) -> &'static [Action] {
        use Input as I;
        use State as S;
        #[cfg(feature = "coverage")]
        crate::coverage::note("server_invite", self.reliable, self.state, input);
        match (self.state, input) {
            (S::Proceeding, I::SendProvisional) => &[Action::Send],
            // The layer has sent nothing yet only within the very turn in which the INVITE came.
            (S::Proceeding | S::Completed, I::Invite) => &[Action::Send],
            (S::Proceeding, I::SendSuccess) => {
                self.timers.start(Timer::L, now + self.timing.patience());
                self.state = S::Accepted;
                &[Action::Send]
            }
            (S::Proceeding, I::SendFailure) => {
                if !self.reliable {
                    self.timers.start(Timer::G, now + self.timing.t1);
                }
                self.timers.start(Timer::H, now + self.timing.patience());
                self.state = S::Completed;
                &[Action::Send]
            }
            (S::Completed, I::Timer(Timer::G)) => {
                self.resend_interval = self.timing.next_interval(self.resend_interval);
                self.timers.start(Timer::G, now + self.resend_interval);
                &[Action::Send]
            }
            (S::Completed, I::Ack) => {
                self.timers.clear();
                // RFC 3261 has no time here on a stream. But SIP Server says again on another connection what it has no answer to, and that may come behind
                // the CANCEL and its end: it is none more call.
                let linger = if self.reliable {
                    self.timing.patience()
                } else {
                    self.timing.t4
                };
                self.timers.start(Timer::I, now + linger);
                self.state = S::Confirmed;
                &[]
            }
            (S::Completed, I::Timer(Timer::H)) => self.terminate(&[Action::TimedOut]),
            (S::Confirmed, I::Timer(Timer::I)) | (S::Accepted, I::Timer(Timer::L)) => {
                self.terminate(&[])
            }
            (S::Accepted, I::Ack) => &[Action::Deliver],
            (S::Accepted, I::SendSuccess) => &[Action::Send],
            (S::Proceeding | S::Completed | S::Accepted, I::TransportError) => {
                &[Action::TransportFailed]
            }
            // An ACK before any final response is stray; INVITE and ACK are absorbed once the
            // exchange is over; a second final response is a fault of the caller, not sent.
            (S::Proceeding, I::Ack | I::Timer(_))
            | (S::Completed, I::SendProvisional | I::SendSuccess | I::SendFailure | I::Timer(_))
            | (S::Accepted, I::Invite | I::SendProvisional | I::SendFailure | I::Timer(_))
            | (S::Confirmed | S::Terminated, _) => &[],
        }
    }

    /// The stream that a refusal would go by does not come up: it is repeated, each time on a connection that is tried anew.
    pub(crate) fn repeat(&mut self, now: Instant) {
        if self.state == State::Completed {
            self.resend_interval = self.timing.t2;
            self.timers.start(Timer::G, now + self.resend_interval);
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

    impl Machine for ServerInvite {
        type State = State;
        type Input = Input;
        const STATES: &'static [State] = &[
            State::Proceeding,
            State::Completed,
            State::Confirmed,
            State::Accepted,
            State::Terminated,
        ];

        fn inputs() -> Vec<Input> {
            let events = [
                Input::Invite,
                Input::Ack,
                Input::SendProvisional,
                Input::SendSuccess,
                Input::SendFailure,
                Input::TransportError,
            ];
            events
                .into_iter()
                .chain(Timer::ALL.map(Input::Timer))
                .collect()
        }

        fn in_state(now: Instant, reliable: bool, state: State) -> Self {
            let mut machine = Self::new(Timers::default(), reliable);
            let path: &[Input] = match state {
                State::Proceeding => &[],
                State::Completed => &[Input::SendFailure],
                State::Confirmed => &[Input::SendFailure, Input::Ack],
                State::Accepted => &[Input::SendSuccess],
                State::Terminated => &[Input::SendFailure, Input::Timer(Timer::H)],
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
        insta::assert_snapshot!(matrix::print::<ServerInvite>());
    }
}
