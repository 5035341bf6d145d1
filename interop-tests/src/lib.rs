//! The real binary against SIPp, a real browser and other people's stacks.
//!
//! Nothing here shares code with the gateway: the page speaks the agent protocol as JSON, its peer
//! connection is another WebRTC stack, the SIP side is SIPp, and tones are made and heard by
//! the few lines of [`tone`]. What both sides got wrong in the same way would show nowhere else.
//!
//! * [`Site`]: addresses of its own for every test, so that all can run side by side
//! * [`Gateway`], [`TserverSim`], [`Sipp`]: the processes under test and around it
//! * [`Page`]: an agent's page without a browser; [`Browser`]: one in Chromium or Firefox
//! * [`attack`]: hosts that lie, for the tests and behind `cargo xtask attack`
//! * [`load`]: many agents with a call each, behind `cargo xtask bench`
//! * [`Kamailio`], [`Baresip`], [`Coturn`]: other people's programs, as the distribution has them; [`Pki`]: certificates for them
//! * [`Lan`]: hosts of their own on one wire, where loopback cannot show it; [`HostClock`]: a host whose clock is wrong, or jumps; [`ControlGroup`]: a container with little of a core
//! * [`Customer`], [`Registrar`]: the far end of the media, and a registrar that always says yes
#![expect(
    clippy::disallowed_methods,
    reason = "tests of real processes live in real time; every wait has a condition and a deadline"
)]

pub mod attack;
pub mod baresip;
pub mod browser;
pub mod cable;
pub mod clock;
pub mod control_group;
pub mod coturn;
pub mod customer;
pub mod demo;
pub mod desk;
pub mod digest;
pub mod disk;
pub mod dns;
pub mod gateway;
pub mod http;
pub mod kamailio;
pub mod lan;
pub mod load;
pub mod opus;
pub mod page;
pub mod pki;
pub mod process;
pub mod recordings;
pub mod registrar;
pub mod rtcp;
pub mod scale;
pub mod sipp;
pub mod site;
pub mod tone;
pub mod tserver;
pub mod turn;
pub mod wait;

pub use baresip::Baresip;
pub use browser::{Browser, Engine, World};
pub use cable::Cable;
pub use clock::HostClock;
pub use control_group::ControlGroup;
pub use coturn::Coturn;
pub use customer::Customer;
pub use demo::demo_check;
pub use desk::Desk;
pub use disk::Disk;
pub use dns::Dns;
pub use gateway::Gateway;
pub use kamailio::Kamailio;
pub use lan::{Host, Lan, on_hosts};
pub use page::Page;
pub use pki::Pki;
pub use registrar::Registrar;
pub use sipp::{Sipp, SippOptions};
pub use site::Site;
pub use tserver::TserverSim;
pub use turn::TurnClient;
pub use wait::{eventually, eventually_async, eventually_some};

/// What the harness returns: a failed test prints it, nothing else looks inside.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
