//! A model of Genesys SIP Server as an agent endpoint sees it, without sockets and without a clock.
//!
//! It registers DNs, calls them, and turns T-Library requests into the SIP that a live SIP Server was
//! seen to send: `NOTIFY Event: talk` inside the dialog, the offerless re-INVITE after the answer, the
//! withheld ACK of a TMakeCall. Its messages come from templates in the traced form; what it receives
//! is read with `rsip`. `docs/tserver-sim.md` says which behaviour rests on which evidence.
//!
//! [`TServer::handle`] is the only way in, [`TServer::poll_output`] is drained after it, and
//! [`TServer::poll_timeout`] says when to come back.

mod agenda;
mod answers;
mod aside;
mod bridge;
mod call;
mod config;
mod connect;
mod consult;
mod control;
mod dialog;
mod digest;
mod forks;
mod framing;
mod ids;
mod incoming;
mod io;
mod leg;
pub mod limits;
mod machine;
mod moved;
mod offers;
mod read;
mod refer;
mod referred;
mod register;
mod release;
mod reliable;
mod requests;
mod route;
mod sdp;
mod service;
mod session;
mod text;
mod transaction;
mod transfer;
mod trunk;
mod view;
mod write;

pub use aside::{Aside, Remark};
pub use config::{
    Alert, Config, CtiControl, CustomerAnswer, CustomerConfig, Delays, DnConfig, DrForward,
    MakeCallFlow, RegistrarConfig, SessionConfig, Timers, TransferBy,
};
pub use framing::next_frame;
pub use io::{
    CallUuid, ConnectionId, Control, CustomerMedia, DropWhat, Event, EventKind, Input, Output,
    PartyState, RegisterMode, Request, RequestError, Source, Transmit, Transport,
};
pub use machine::TServer;
pub use read::Unreadable;
pub use trunk::TrunkCall;
pub use view::{CallKind, CallView, Counts, LegState, LegView, PartyView, RegistrationView};
