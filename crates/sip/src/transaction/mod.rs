//! Transactions: the four machines of RFC 3261 section 17, each in a file, and how a message finds
//! its own.
//!
//! The machines know states and timers only. What they want done they say as [`Action`]s; the user
//! agent holds the octets, the addresses and the owners.

pub(crate) mod client;
pub(crate) mod client_invite;
mod key;
#[cfg(test)]
mod matrix;
pub(crate) mod server;
pub(crate) mod server_invite;

use std::time::Instant;

pub(crate) use client::Client;
pub(crate) use client_invite::ClientInvite;
pub(crate) use key::{ClientKey, MergeKey, ServerKey};
pub(crate) use server::Server;
pub(crate) use server_invite::ServerInvite;

use crate::StatusCode;
use crate::timer::{Timer, TimerTable};

/// What a machine wants done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send the request, or the last response, (again).
    Send,
    /// Acknowledge the failure response that has just come.
    SendAck,
    /// Give the message that has just come to the user of the transaction.
    Deliver,
    /// Tell the user of the transaction that the other side did not answer in time.
    TimedOut,
    /// Tell the user of the transaction that the network refused the message.
    TransportFailed,
}

/// A client transaction of either kind.
#[derive(Debug, Clone)]
pub(crate) enum ClientMachine {
    Invite(ClientInvite),
    Other(Client),
}

impl ClientMachine {
    pub(crate) fn on_response(&mut self, now: Instant, status: StatusCode) -> &'static [Action] {
        match self {
            Self::Invite(machine) => {
                let input = if status.is_provisional() {
                    client_invite::Input::Provisional
                } else if status.is_success() {
                    client_invite::Input::Success
                } else {
                    client_invite::Input::Failure
                };
                machine.handle(now, input)
            }
            Self::Other(machine) if status.is_provisional() => {
                machine.handle(now, client::Input::Provisional)
            }
            Self::Other(machine) => machine.handle(now, client::Input::Final),
        }
    }

    pub(crate) fn on_transport_error(&mut self, now: Instant) -> &'static [Action] {
        match self {
            Self::Invite(machine) => machine.handle(now, client_invite::Input::TransportError),
            Self::Other(machine) => machine.handle(now, client::Input::TransportError),
        }
    }

    /// The stream that it would go by does not come up: until it is answered or its time is over it is repeated, as over UDP, each time on a
    /// connection that is tried anew.
    pub(crate) fn repeat(&mut self, now: Instant) {
        match self {
            Self::Invite(machine) => machine.repeat(now),
            Self::Other(machine) => machine.repeat(now),
        }
    }

    pub(crate) fn on_timer(&mut self, now: Instant, timer: Timer) -> &'static [Action] {
        match self {
            Self::Invite(machine) => machine.handle(now, client_invite::Input::Timer(timer)),
            Self::Other(machine) => machine.handle(now, client::Input::Timer(timer)),
        }
    }

    /// Bounds the wait for the final response to an INVITE that got a provisional one.
    pub(crate) fn expect_final_by(&mut self, at: Instant) {
        if let Self::Invite(machine) = self {
            machine.expect_final_by(at);
        }
    }

    /// Nobody waits for the final response to an INVITE any more.
    pub(crate) fn abandon(&mut self, now: Instant) {
        if let Self::Invite(machine) = self {
            machine.abandon(now);
        }
    }

    /// Whether an INVITE was given up without a final response.
    pub(crate) fn is_abandoned(&self) -> bool {
        matches!(self, Self::Invite(machine) if matches!(
            machine.state(),
            client_invite::State::Abandoned | client_invite::State::Withdrawn
        ))
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.timers().next_timeout(),
            Self::Other(machine) => machine.timers().next_timeout(),
        }
    }

    /// Takes a timer that is due; it has to be given to [`Self::on_timer`].
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        self.timers_mut().expire(now)
    }

    fn timers_mut(&mut self) -> &mut TimerTable {
        match self {
            Self::Invite(machine) => machine.timers_mut(),
            Self::Other(machine) => machine.timers_mut(),
        }
    }

    pub(crate) fn is_terminated(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_terminated(),
            Self::Other(machine) => machine.is_terminated(),
        }
    }

    /// Whether the request waits for any response at all.
    pub(crate) fn is_unanswered(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.state() == client_invite::State::Calling,
            Self::Other(machine) => machine.state() == client::State::Trying,
        }
    }

    /// Whether the final response is still to come.
    pub(crate) fn is_pending(&self) -> bool {
        match self {
            Self::Invite(machine) => matches!(
                machine.state(),
                client_invite::State::Calling | client_invite::State::Proceeding
            ),
            Self::Other(machine) => {
                matches!(
                    machine.state(),
                    client::State::Trying | client::State::Proceeding
                )
            }
        }
    }
}

/// A server transaction of either kind.
#[derive(Debug, Clone)]
pub(crate) enum ServerMachine {
    Invite(ServerInvite),
    Other(Server),
}

impl ServerMachine {
    /// The request came again.
    pub(crate) fn on_request(&mut self, now: Instant) -> &'static [Action] {
        match self {
            Self::Invite(machine) => machine.handle(now, server_invite::Input::Invite),
            Self::Other(machine) => machine.handle(now, server::Input::Request),
        }
    }

    /// An ACK with the branch of the request came.
    pub(crate) fn on_ack(&mut self, now: Instant) -> &'static [Action] {
        match self {
            Self::Invite(machine) => machine.handle(now, server_invite::Input::Ack),
            Self::Other(_) => &[],
        }
    }

    /// A response could not be sent.
    pub(crate) fn on_transport_error(&mut self, now: Instant) -> &'static [Action] {
        match self {
            Self::Invite(machine) => machine.handle(now, server_invite::Input::TransportError),
            Self::Other(machine) => machine.handle(now, server::Input::TransportError),
        }
    }

    /// The user of the transaction responds.
    pub(crate) fn send(&mut self, now: Instant, status: StatusCode) -> &'static [Action] {
        match self {
            Self::Invite(machine) => {
                let input = if status.is_provisional() {
                    server_invite::Input::SendProvisional
                } else if status.is_success() {
                    server_invite::Input::SendSuccess
                } else {
                    server_invite::Input::SendFailure
                };
                machine.handle(now, input)
            }
            Self::Other(machine) if status.is_provisional() => {
                machine.handle(now, server::Input::SendProvisional)
            }
            Self::Other(machine) => machine.handle(now, server::Input::SendFinal),
        }
    }

    pub(crate) fn on_timer(&mut self, now: Instant, timer: Timer) -> &'static [Action] {
        match self {
            Self::Invite(machine) => machine.handle(now, server_invite::Input::Timer(timer)),
            Self::Other(machine) => machine.handle(now, server::Input::Timer(timer)),
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.timers().next_timeout(),
            Self::Other(machine) => machine.timers().next_timeout(),
        }
    }

    /// Takes a timer that is due; it has to be given to [`Self::on_timer`].
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        self.timers_mut().expire(now)
    }

    fn timers_mut(&mut self) -> &mut TimerTable {
        match self {
            Self::Invite(machine) => machine.timers_mut(),
            Self::Other(machine) => machine.timers_mut(),
        }
    }

    pub(crate) fn is_terminated(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_terminated(),
            Self::Other(machine) => machine.is_terminated(),
        }
    }

    /// No connection comes up for what answers an INVITE: see [`ServerInvite::repeat`].
    pub(crate) fn repeat(&mut self, now: Instant) {
        if let Self::Invite(machine) = self {
            machine.repeat(now);
        }
    }

    /// Whether the peer of an INVITE has shown no sign yet that it has the last response.
    pub(crate) fn awaits_ack(&self) -> bool {
        matches!(self, Self::Invite(machine) if matches!(
            machine.state(),
            server_invite::State::Proceeding | server_invite::State::Completed
        ))
    }

    /// Whether no final response has been sent yet.
    pub(crate) fn is_unanswered(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.state() == server_invite::State::Proceeding,
            Self::Other(machine) => {
                matches!(
                    machine.state(),
                    server::State::Trying | server::State::Proceeding
                )
            }
        }
    }
}
