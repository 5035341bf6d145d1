//! Attackers: hosts that speak SIP by hand, and know how to lie.
//!
//! [`SipPeer`] is a host with a socket, [`Dialog`] the words of one call as the peer sees it. Each attack of `cargo xtask attack` is a function here that
//! runs for as long as it is told to, and panics when talkbridge does not hold; the tests run each of them for a moment.

mod besieged;
mod dialog;
mod flood;
pub mod forged;
pub mod lossy;
mod peer;
pub mod protos;
mod registrar;
mod scarce;
pub mod sieges;
mod stalled;
mod streams;
pub mod torture;

pub use besieged::Besieged;
pub use dialog::{Dialog, crlf, description};
pub use flood::Flood;
pub use peer::SipPeer;
pub use registrar::{Asked, Registry, answer, challenge, registry};
pub use sieges::Siege;
