//! The receiving end of a decoded path, in virtual time: what an agent hears behind networks as they are.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod alignment;
mod drift;
mod guesses;
mod line;
mod network;
mod quality;
mod stoi;
mod stories;
mod waveform;
