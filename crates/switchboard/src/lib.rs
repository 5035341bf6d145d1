//! The heart: agents, calls, talk and hold, policy; inputs in, outputs out.
//!
//! One machine, [`Switchboard`], owns every agent and every call of the gateway. It is told the time, takes its randomness from a
//! seed given at birth, and never sees a socket: [`Input`] goes in by [`Switchboard::handle`], [`Output`] comes out of
//! [`Switchboard::poll_output`]. It does not know RTP either: it emits a [`MediaPlan`], and only facts climb back.

mod admin;
mod agent;
mod answer;
mod call;
mod config;
mod details;
mod dial;
mod digits;
mod dtmf_body;
mod end_record;
mod ending;
mod fact;
mod failure;
mod farewell;
#[doc(hidden)]
pub mod fuzz;
mod gauges;
mod headers;
mod hearing;
mod hold;
mod identity;
mod ids;
mod incoming;
mod io;
mod legs;
mod limits;
mod media_plan;
mod order;
mod outside;
mod overload;
mod page;
mod ports;
mod recording;
mod redirect;
mod referral;
mod registration;
mod session;
mod sip_events;
mod sites;
mod switchboard;
mod takeover;
mod talk;
mod transfer;
mod turn;
mod wall_clock;

pub use config::{
    AgentConfig, AutoAnswer, CodecPolicy, Config, DtmfFallback, Failback, FailoverPolicy,
    HeaderPolicy, MediaConfig, MessagePolicy, OptionsPolicy, OverloadPolicy, Policy,
    RecordingPolicy, ReferPolicy, RegisterPolicy, Server, SiteConfig, SrtpConfig, TurnConfig,
};
pub use failure::{Cause, Fault, Outcome};
pub use gauges::Gauges;
pub use ids::{AdminId, BrowserLegId, CallId, PageId, TapId, WorkerId};
pub use io::*;
pub use overload::{WorkerGauge, WorkerLoad};
pub use switchboard::Switchboard;
pub use wall_clock::WallClock;
