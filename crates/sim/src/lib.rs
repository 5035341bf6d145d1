//! The world in virtual time, and the simulated Genesys SIP Server.
//!
//! Everything here is told the time and draws its randomness from a seed, so a run can be repeated
//! byte for byte. [`tserver`] is the model of SIP Server; it shares no code with the stack that it
//! tests. [`audio`] is what the model customer speaks and hears.

pub mod audio;
pub mod tserver;
pub mod world;
