//! The edges: one file for each way in and out.

use std::net::SocketAddr;

pub mod admin;
pub mod agent_ws;
pub mod allowance;
mod arrivals;
pub mod cdr;
pub mod dns;
pub mod http;
pub mod ice_tcp;
pub mod keep_alive;
mod live_tap;
pub mod media_worker;
pub mod origin;
pub mod rate;
pub mod recording;
pub mod serve;
pub mod sip_admission;
pub mod sip_peers;
mod sip_reading;
pub mod sip_sink;
pub mod sip_stream;
pub mod sip_udp;
pub mod sparing;
pub mod taps;
mod timed_stream;

/// An IPv4 peer is one wherever it came in: a socket bound to `::` shows it as a mapped address, and nobody writes it so.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
