//! RTP without sockets: packets, statistics, telephone events, relay, the browser leg.
//!
//! Everything here is a synchronous machine that is told the time. The smallest parts are plain views and tables
//! ([`packet`], [`rtcp`], [`g711`]); [`bridge::Bridge`] joins the two sides of one call; [`browser_leg::BrowserLeg`] is one WebRTC
//! connection; [`patchbay::Patchbay`] is everything one media worker knows: legs, calls, and who is patched to whom.
//!
//! What is random here on purpose and not seeded: ICE credentials and DTLS keys come from `str0m` and its cryptography
//! provider, because a predictable key is no key. Everything that a test may want to replay (SSRC, first sequence
//! number, RTCP intervals) comes from the seed given at birth.
#![forbid(unsafe_code)]

pub mod bridge;
pub mod browser_leg;
pub mod bursts;
pub mod codec;
pub mod conceal;
pub mod counters;
pub mod emodel;
pub mod framing;
mod fuzz;
pub mod g711;
mod hash;
pub mod ids;
pub mod insertion;
pub mod limits;
pub mod mixer;
pub mod packet;
pub mod patchbay;
mod pitch;
pub mod playout;
mod row;
pub mod rtcp;
pub mod srtp;
pub mod stats;
pub mod stream;
pub mod stun;
pub mod tap;
pub mod telephone_event;
pub mod tone;
mod upsample;
pub mod wheel;
pub mod xr;

pub use fuzz::fuzz;
