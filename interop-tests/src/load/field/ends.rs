//! The two ends of a session.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::UdpSocket;
use tokio::sync::oneshot;

use crate::page::{Peer, PeerEvent};
use crate::tone::FRAME;

const RTP_HEADER: usize = 12;

/// An RTP stream of a telephone: what it writes in front of each payload.
#[derive(Debug)]
pub(super) struct Stream {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Stream {
    pub(super) const fn new(ssrc: u32) -> Self {
        // Above 2047, below which some ICE stacks have taken a packet for STUN.
        Self {
            ssrc,
            sequence: 3_000,
            timestamp: 0,
        }
    }

    /// The next packet, PCMU.
    fn packet(&mut self, payload: &[u8; FRAME]) -> [u8; RTP_HEADER + FRAME] {
        let mut packet = [0; RTP_HEADER + FRAME];
        packet[0] = 0x80;
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        packet[RTP_HEADER..].copy_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        packet
    }
}

/// The payload of a PCMU packet; `None` for RTCP and everything else.
pub(super) fn payload(packet: &[u8]) -> Option<&[u8]> {
    let (head, payload) = packet.split_at_checked(RTP_HEADER)?;
    (head[0] == 0x80 && head[1] & 0x7f == 0).then_some(payload)
}

/// The SSRC of the plain endpoint at `at`: distinct per port.
pub(in crate::load) fn ssrc(at: SocketAddr) -> u32 {
    0x6000_0000 | u32::from(at.port())
}

/// A plain RTP endpoint.
pub(super) struct Plain {
    pub(super) socket: UdpSocket,
    pub(super) to: Option<SocketAddr>,
    stream: Stream,
}

impl Plain {
    pub(super) fn bind(at: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(at)?;
        Ok(Self {
            socket,
            to: None,
            stream: Stream::new(ssrc(at)),
        })
    }

    /// Sends 20 ms, if it knows where to; whether it did.
    pub(super) fn send(&mut self, payload: &[u8; FRAME]) -> bool {
        let Some(to) = self.to else { return false };
        let packet = self.stream.packet(payload);
        // A datagram that the kernel refuses is lost, and counted as such.
        drop(self.socket.send_to(&packet, to));
        true
    }
}

/// An agent's page: a browser, or beside the bare relay a plain endpoint.
pub(super) struct Page {
    pub(super) plain: Plain,
    pub(super) peer: Option<Peer>,
    connected: Option<oneshot::Sender<()>>,
}

impl Page {
    pub(super) fn bind(at: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            plain: Plain::bind(at)?,
            peer: None,
            connected: None,
        })
    }

    /// Answers an offer with a new peer connection.
    pub(super) fn offered(
        &mut self,
        now: Instant,
        offer: &str,
        opus: bool,
        connected: oneshot::Sender<()>,
    ) -> crate::Result<String> {
        let local = self.plain.socket.local_addr()?;
        let mut peer = if opus {
            Peer::with_opus(now, local)?
        } else {
            Peer::new(now, local, 0)?
        };
        let answer = peer.answer(now, offer)?;
        self.peer = Some(peer);
        self.connected = Some(connected);
        Ok(answer)
    }

    /// Sends 20 ms of Opus, if the page is connected; whether it did.
    pub(super) fn send_opus(&mut self, now: Instant, packet: &[u8]) -> bool {
        let Some(peer) = self.peer.as_mut().filter(|peer| peer.connected()) else {
            return false;
        };
        peer.say_opus(now, packet);
        true
    }

    /// Sends 20 ms, if the page is connected; whether it did.
    pub(super) fn send(&mut self, now: Instant, payload: &[u8; FRAME]) -> bool {
        let Some(peer) = &mut self.peer else {
            return self.plain.send(payload);
        };
        if !peer.connected() {
            return false;
        }
        peer.say(now, payload);
        true
    }

    /// Hands over a datagram.
    pub(super) fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if let Some(peer) = &mut self.peer {
            peer.receive(now, from, datagram);
        }
    }

    /// Lets the peer connection do what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        if let Some(peer) = &mut self.peer
            && peer.poll_timeout().is_some_and(|at| at <= now)
        {
            peer.handle_timeout(now);
        }
    }

    /// Carries out what the peer connection has to say; every payload it has heard goes to `heard`.
    pub(super) fn drain(&mut self, mut heard: impl FnMut(&[u8])) {
        let Some(peer) = &mut self.peer else { return };
        let speaks = peer.opus().unwrap_or(0);
        while let Some(event) = peer.poll() {
            match event {
                PeerEvent::Transmit(to, datagram) => {
                    drop(self.plain.socket.send_to(&datagram, to));
                }
                PeerEvent::State(word) => {
                    if word == "connected"
                        && let Some(connected) = self.connected.take()
                    {
                        // Nobody may wait for it any more.
                        let _ = connected.send(());
                    }
                }
                PeerEvent::Rtp {
                    payload_type,
                    payload,
                    ..
                } if payload_type == speaks => heard(&payload),
                PeerEvent::Rtp { .. } => {}
            }
        }
    }
}
