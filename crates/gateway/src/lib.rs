//! The shell: sockets, files, tasks; it moves bytes and decides nothing.
//!
//! One thread turns the control loop ([`control_loop`]) and reads the SIP sockets beside it; media workers are plain
//! threads; pages are served by a small tokio runtime, administrators by another. Everything that decides is in `switchboard`.

pub mod assemble;
pub mod calendar;
pub mod certificate;
pub mod cli;
pub mod config;
pub mod control_loop;
pub mod control_thread;
pub mod doctor;
mod doors;
pub mod edge;
pub mod facts;
pub mod kept;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod pace;
pub mod process;
pub mod put_away;
pub mod redact;
pub mod reload;
pub mod requests;
pub mod run;
pub mod shutdown;
pub mod tls;
pub mod token;
pub mod web;
