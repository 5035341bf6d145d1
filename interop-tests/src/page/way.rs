//! The way that a page's media takes: UDP, or a TCP connection where its network lets no UDP out.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::PageOptions;
use crate::Result;

/// Packets of RTP that are kept, to be sent again: three seconds of speech, and less than the buffer of a socket holds.
const KEPT: usize = 150;

/// Where datagrams leave, and come from.
pub(super) struct Way {
    link: Link,
    /// The latest RTP that left, and where to.
    kept: VecDeque<(Vec<u8>, SocketAddr)>,
}

enum Link {
    Udp(UdpSocket),
    Tcp(Framed),
}

/// A connection to the gateway's port for browsers without UDP (RFC 6544), with datagrams in frames (RFC 4571). The page's stack speaks UDP only, and is
/// told that what comes by this connection comes from where it has sent something to: the gateway sees a browser that has no UDP.
struct Framed {
    stream: TcpStream,
    local: SocketAddr,
    heard: BytesMut,
    to: Option<SocketAddr>,
}

impl Way {
    pub(super) async fn open(options: &PageOptions) -> Result<Self> {
        let local = (options.local, options.port);
        let link = match options.by_tcp {
            None => Link::Udp(UdpSocket::bind(local).await?),
            Some(gateway) => Link::Tcp(Framed::connect(gateway, local).await?),
        };
        let kept = VecDeque::new();
        Ok(Self { link, kept })
    }

    pub(super) fn local(&self) -> SocketAddr {
        match &self.link {
            Link::Udp(socket) => socket.local_addr().expect("a bound socket has an address"),
            Link::Tcp(framed) => framed.local,
        }
    }

    /// The next datagram and where it comes from. Nothing is lost when this is given up.
    pub(super) async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &mut self.link {
            Link::Udp(socket) => socket.recv_from(buffer).await,
            Link::Tcp(framed) => framed.receive(buffer).await,
        }
    }

    pub(super) async fn send(&mut self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        if rtp(datagram).is_some() {
            self.kept.truncate(KEPT - 1);
            self.kept.push_front((datagram.to_vec(), to));
        }
        self.put(datagram, to).await
    }

    /// Sends what is kept again, the oldest first; how many packets.
    pub(super) async fn repeat(&mut self) -> usize {
        let kept = self.kept.clone();
        for (datagram, to) in kept.iter().rev() {
            // A full socket buffer loses a datagram, as any network may.
            drop(self.put(datagram, *to).await);
        }
        kept.len()
    }

    async fn put(&mut self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        match &mut self.link {
            Link::Udp(socket) => socket.send_to(datagram, to).await.map(drop),
            Link::Tcp(framed) => framed.send(datagram, to).await,
        }
    }
}

/// The payload type of a datagram that is RTP (RFC 7983, RFC 5761 section 4).
pub(super) fn rtp(datagram: &[u8]) -> Option<u8> {
    let [0x80..=0xbf, second, ..] = datagram else {
        return None;
    };
    Some(second & 0x7f).filter(|payload_type| !(64..96).contains(payload_type))
}

impl Framed {
    async fn connect(gateway: SocketAddr, local: (IpAddr, u16)) -> Result<Self> {
        let socket = match gateway {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.bind(local.into())?;
        let stream = socket.connect(gateway).await?;
        Ok(Self {
            local: stream.local_addr()?,
            stream,
            heard: BytesMut::new(),
            to: None,
        })
    }

    async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            if let (Some(length), Some(from)) = (self.heard.get(..2), self.to) {
                let size = usize::from(u16::from_be_bytes([length[0], length[1]]));
                if let Some(datagram) = self.heard.get(2..2 + size) {
                    buffer[..size].copy_from_slice(datagram);
                    self.heard.advance(2 + size);
                    return Ok((size, from));
                }
            }
            if self.stream.read_buf(&mut self.heard).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn send(&mut self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.to = Some(to);
        let length = u16::try_from(datagram.len()).expect("shorter than a datagram");
        let frame = [&length.to_be_bytes()[..], datagram].concat();
        self.stream.write_all(&frame).await
    }
}
