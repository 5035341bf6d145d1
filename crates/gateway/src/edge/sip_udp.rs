//! SIP over datagrams.
#![allow(clippy::disallowed_methods)] // The shell reads the clock: a message is stamped as it comes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use sip::ua::{Source, Transport};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

use super::canonical;
use super::sip_sink::{SipEvent, SipSink};
use crate::limits::{SIP_DATAGRAM_OCTETS_MAX, SIP_RECEIVE_BUFFER_OCTETS};

/// Binds a SIP port.
///
/// # Errors
///
/// As the operating system says: most often the port is taken.
pub fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // The system may grant less; a burst then costs repetitions, not calls.
    let _ = socket.set_recv_buffer_size(SIP_RECEIVE_BUFFER_OCTETS);
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Hands every datagram to the control loop, until that is gone.
pub async fn receive(socket: Arc<UdpSocket>, sink: SipSink) {
    let mut buffer = vec![0; SIP_DATAGRAM_OCTETS_MAX];
    while !sink.is_closed() {
        let (length, remote) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An ICMP error of an earlier datagram: its transaction finds out by its own timer.
            Err(error) => {
                tracing::debug!(%error, "sip socket");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let bytes = &buffer[..length];
        if is_keep_alive(bytes) {
            continue;
        }
        let remote = canonical(remote);
        let source = Source {
            transport: Transport::Udp,
            remote,
            connection: None,
        };
        sink.offer(SipEvent::Message {
            source,
            bytes: bytes.to_vec(),
            received: Instant::now(),
        });
    }
}

/// Sends a datagram, or says why it cannot leave. A send buffer that is full counts as sent and lost: SIP repeats. The runtime believes it to be full from
/// the first time on until the loop rests, which may be a thousand datagrams later: so the socket itself is asked.
///
/// # Errors
///
/// When the network refuses: no route, no permission, too large.
pub fn send(socket: &UdpSocket, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    match socket.try_send_to(bytes, to) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            match SockRef::from(socket).send_to(bytes, &to.into()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                sent => sent.map(|_| ()),
            }
        }
        // The answer to an earlier datagram, not to this one: send again.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            socket.try_send_to(bytes, to).map(|_| ())
        }
        sent => sent.map(|_| ()),
    }
}

/// Blank lines and zero octets keep address translations open (RFC 5626 section 3.5); no message is that short.
fn is_keep_alive(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::Interest;

    use super::*;

    /// One datagram finds the send buffer full; those behind it in the same turn leave as soon as there is room, whatever the runtime believes.
    #[tokio::test]
    async fn a_buffer_that_was_full_once_loses_no_more() {
        let ours = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let theirs = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = theirs.local_addr().unwrap();
        ours.writable().await.unwrap();
        let full = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        ours.try_io(Interest::WRITABLE, full).unwrap_err();
        let believed = ours.try_send_to(b"BYE", to).unwrap_err();
        assert_eq!(believed.kind(), io::ErrorKind::WouldBlock);
        send(&ours, to, b"BYE").unwrap();
        let mut buffer = [0; 8];
        let heard = theirs.recv_from(&mut buffer);
        let heard = tokio::time::timeout(std::time::Duration::from_secs(10), heard).await;
        assert_eq!(heard.unwrap().unwrap().0, 3);
    }
}
