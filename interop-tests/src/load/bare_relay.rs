//! The floor: a relay that does nothing but receive and send, with the sockets of a gateway's worker.
//! All pages share one port, every call has one of its own.
//!
//! What this costs, the kernel costs; and what a machine needs for it tells how its other figures
//! compare with those of another machine.

use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use super::Map;
use crate::Result;

/// Where the pages send.
pub const PAGES_PORT: u16 = 40_000;

const FIRST_CALL_PORT: u16 = 16_384;

/// Datagrams of one socket before the others get their turn, as in the media worker.
const BURST_MAX: usize = 128;

/// The port of a call.
pub fn call_port(session: usize) -> u16 {
    FIRST_CALL_PORT + u16::try_from(session).expect("sessions are limited to SESSIONS_MAX")
}

/// Relays until the process is ended.
///
/// # Errors
/// When a port is taken, or the system cannot wait for sockets.
pub fn run(at: IpAddr, map: &Map, sessions: usize) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut pages = UdpSocket::bind(SocketAddr::new(at, PAGES_PORT))?;
    poll.registry()
        .register(&mut pages, Token(sessions), Interest::READABLE)?;
    let mut calls = Vec::new();
    for session in 0..sessions {
        let mut call = UdpSocket::bind(SocketAddr::new(at, call_port(session)))?;
        poll.registry()
            .register(&mut call, Token(session), Interest::READABLE)?;
        calls.push(call);
    }
    let mut events = Events::with_capacity(1024);
    let mut buffer = [0; 2048];
    let mut unread = Vec::new();
    loop {
        let wait = (!unread.is_empty()).then_some(std::time::Duration::ZERO);
        poll.poll(&mut events, wait)?;
        let late = std::mem::take(&mut unread);
        for token in late
            .into_iter()
            .chain(events.iter().map(|event| event.token().0))
        {
            if !relay(token, &pages, &calls, map, &mut buffer) {
                unread.push(token);
            }
        }
    }
}

/// Moves what one socket has; `false` when it may have more.
fn relay(
    token: usize,
    pages: &UdpSocket,
    calls: &[UdpSocket],
    map: &Map,
    buffer: &mut [u8],
) -> bool {
    for _ in 0..BURST_MAX {
        let socket = calls.get(token).unwrap_or(pages);
        let Ok((len, from)) = socket.recv_from(buffer) else {
            return true;
        };
        let datagram = &buffer[..len];
        // What the kernel does not take is lost, and the ends count it.
        if calls.get(token).is_some() {
            drop(pages.send_to(datagram, map.page(token)));
        } else if let Some(session) = Map::session(from.port())
            && let Some(call) = calls.get(session)
        {
            drop(call.send_to(datagram, map.caller(session)));
        }
    }
    false
}
