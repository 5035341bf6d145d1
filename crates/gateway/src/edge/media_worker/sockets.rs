//! The worker's sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Instant;

use crate::edge::canonical;
use crate::edge::taps::TapSink;
use media::ids::{CallId, PortId};
use media::patchbay::Wire;
use media::tap::TapFrame;
use slab::Slab;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::lines::{Lines, Newcomer};
use super::poll::{Registry, Token};

/// Receive buffer asked for on the WebRTC port: all browsers of a worker share it, and a turn of the loop that is late by 50 ms must
/// not lose a packet of a thousand of them. The kernel gives at most `net.core.rmem_max`.
const BROWSER_BUFFER_OCTETS: usize = 4 * 1_024 * 1_024;

/// Receive buffer asked for on a call's port: a second of audio, with the kernel's overhead for each packet.
const RTP_BUFFER_OCTETS: usize = 128 * 1_024;

/// The WebRTC port.
pub(super) const BROWSER: Token = Token(1);

/// Tokens of calls start here, two for each.
const FIRST_PORT: u64 = 2;

/// Tokens of browsers' connections start here: above those of any number of calls.
const FIRST_LINE: u64 = u64::MAX / 2;

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// The WebRTC port.
    Browser,
    /// The RTP port of a call.
    Rtp(usize),
    /// The RTCP port of a call.
    Rtcp(usize),
    /// The connection of a browser.
    Line(usize),
}

impl Port {
    pub(super) const fn of(token: Token) -> Self {
        if token.0 < FIRST_PORT {
            return Self::Browser;
        }
        if token.0 >= FIRST_LINE {
            return Self::Line((token.0 - FIRST_LINE) as usize);
        }
        let index = ((token.0 - FIRST_PORT) / 2) as usize;
        if token.0.is_multiple_of(2) {
            Self::Rtp(index)
        } else {
            Self::Rtcp(index)
        }
    }

    const fn token(self) -> Token {
        match self {
            Self::Browser => BROWSER,
            Self::Rtp(index) => Token(FIRST_PORT + index as u64 * 2),
            Self::Rtcp(index) => Token(FIRST_PORT + index as u64 * 2 + 1),
            Self::Line(index) => Token(FIRST_LINE + index as u64),
        }
    }
}

struct Pair {
    call: CallId,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    /// The turns of the loop in which each had its last look.
    looked: [u64; 2],
}

/// All sockets of a worker.
pub(super) struct Sockets {
    browser: UdpSocket,
    lines: Lines,
    pairs: Slab<Pair>,
    registry: Registry,
    sip_address: IpAddr,
    /// Datagrams that the kernel did not take since this was last asked.
    unsent: u64,
    /// Where samples of calls go that somebody listens to.
    taps: TapSink,
}

impl Sockets {
    pub(super) fn bind(
        registry: &Registry,
        browser: SocketAddr,
        sip_address: IpAddr,
        lines: Lines,
        taps: TapSink,
    ) -> io::Result<Self> {
        let registry = registry.clone();
        let browser = bind(browser, BROWSER_BUFFER_OCTETS)?;
        registry.watch(&browser, BROWSER)?;
        Ok(Self {
            browser,
            lines,
            pairs: Slab::new(),
            registry,
            sip_address,
            unsent: 0,
            taps,
        })
    }

    pub(super) fn browser_address(&self) -> io::Result<SocketAddr> {
        self.browser.local_addr()
    }

    /// Binds the pair of a call: RTP on `port`, RTCP above it.
    pub(super) fn open(&mut self, call: CallId, port: u16) -> io::Result<PortId> {
        let above = port.checked_add(1).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let rtp = bind(SocketAddr::new(self.sip_address, port), RTP_BUFFER_OCTETS)?;
        let rtcp = bind(SocketAddr::new(self.sip_address, above), RTP_BUFFER_OCTETS)?;
        let entry = self.pairs.vacant_entry();
        let index = entry.key();
        self.registry.watch(&rtp, Port::Rtp(index).token())?;
        self.registry.watch(&rtcp, Port::Rtcp(index).token())?;
        entry.insert(Pair {
            call,
            rtp,
            rtcp,
            looked: [0; 2],
        });
        Ok(PortId(index))
    }

    pub(super) fn close(&mut self, port: PortId) {
        // Whoever is closed is not watched any longer.
        drop(self.pairs.try_remove(port.0));
    }

    /// The call of a port; `None` when it was closed in this turn.
    pub(super) fn call(&self, index: usize) -> Option<CallId> {
        self.pairs.get(index).map(|pair| pair.call)
    }

    /// Notes that a call's port is looked at in this turn; whether it was in the one before, or in this one.
    pub(super) fn looks(&mut self, port: Port, turn: u64) -> bool {
        let (index, which) = match port {
            Port::Rtp(index) => (index, 0),
            Port::Rtcp(index) => (index, 1),
            Port::Browser | Port::Line(_) => return false,
        };
        let Some(pair) = self.pairs.get_mut(index) else {
            return false;
        };
        std::mem::replace(&mut pair.looked[which], turn) + 1 >= turn
    }

    /// Takes the connection of a browser over.
    pub(super) fn adopt(&mut self, now: Instant, newcomer: Newcomer) -> io::Result<Port> {
        let token = |index| Port::Line(index).token();
        let index = self.lines.adopt(now, newcomer, &self.registry, token)?;
        Ok(Port::Line(index))
    }

    /// The browsers' connections.
    pub(super) fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// Receives one datagram. `None` when there is none, or the port was closed in this turn.
    pub(super) fn receive(&mut self, port: Port, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let socket = match port {
            Port::Browser => &self.browser,
            Port::Rtp(index) => &self.pairs.get(index)?.rtp,
            Port::Rtcp(index) => &self.pairs.get(index)?.rtcp,
            Port::Line(index) => return self.lines.receive(index, buffer),
        };
        loop {
            match socket.recv_from(buffer) {
                Ok((len, source)) => return Some((len, canonical(source))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                // An ICMP error of an earlier datagram: it is reported once, the next receive goes on.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => return None,
            }
        }
    }

    /// Datagrams that the kernel did not take since the last time.
    pub(super) fn take_unsent(&mut self) -> u64 {
        std::mem::take(&mut self.unsent)
    }

    fn note(&mut self, sent: io::Result<usize>) {
        // A full buffer or an unreachable peer: media is not repeated, so the datagram is gone.
        self.unsent += u64::from(sent.is_err());
    }
}

impl Wire for Sockets {
    fn to_browser(&mut self, to: SocketAddr, datagram: &[u8]) {
        let sent = self.browser.send_to(datagram, to);
        self.note(sent);
    }

    fn to_browser_by_tcp(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.unsent += u64::from(!self.lines.send(to, datagram));
    }

    fn rtp(&mut self, port: PortId, to: SocketAddr, datagram: &[u8]) {
        if let Some(pair) = self.pairs.get(port.0) {
            let sent = pair.rtp.send_to(datagram, to);
            self.note(sent);
        }
    }

    fn tap(&mut self, frame: TapFrame<'_>) {
        self.taps.frame(&frame);
    }

    fn rtcp(&mut self, port: PortId, to: SocketAddr, datagram: &[u8]) {
        if let Some(pair) = self.pairs.get(port.0) {
            let sent = pair.rtcp.send_to(datagram, to);
            self.note(sent);
        }
    }
}

fn bind(address: SocketAddr, buffer_octets: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // The kernel caps the wish; a smaller buffer still works.
    let _ = socket.set_recv_buffer_size(buffer_octets);
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}
