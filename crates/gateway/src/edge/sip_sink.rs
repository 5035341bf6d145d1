//! The one way from the SIP sockets into the control loop: bounded, and counted when it overflows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sip::ua::{ConnectionId, Source, Transport};
use tokio::sync::mpsc;

use super::sip_peers::SipPeers;
use crate::limits::SIP_QUEUE_STRANGERS_DIVISOR;

/// What the SIP sockets tell the control loop.
#[derive(Debug)]
pub enum SipEvent {
    /// One whole message.
    Message {
        /// Where it came from.
        source: Source,
        /// Its octets.
        bytes: Vec<u8>,
        /// When it was taken from its socket: what we are quick or slow by is counted from here.
        received: Instant,
    },
    /// A peer connected.
    Opened {
        /// The new connection.
        connection: ConnectionId,
        /// TCP or TLS.
        transport: Transport,
        /// Who connected.
        remote: SocketAddr,
        /// Takes what is to be sent.
        outbox: mpsc::Sender<Vec<u8>>,
    },
    /// A connection is gone, behind everything that came on it.
    Lost {
        /// The connection.
        connection: ConnectionId,
        /// TCP or TLS.
        transport: Transport,
        /// Who was at its other end.
        remote: SocketAddr,
    },
    /// A connection of ours did not come up, or what was queued for it never left.
    Failed {
        /// The connection that was to be.
        connection: ConnectionId,
        /// TCP or TLS.
        transport: Transport,
        /// Where it was to go.
        to: SocketAddr,
    },
}

/// The sending end, cloned into every socket's task.
#[derive(Debug, Clone)]
pub struct SipSink {
    queue: mpsc::Sender<SipEvent>,
    dropped: Arc<AtomicU64>,
    /// The hosts of SIP Servers; whoever else there is shares a part of the queue.
    servers: Arc<SipPeers>,
}

impl SipSink {
    /// A queue of `capacity` events; `dropped` counts the messages that found it full.
    #[must_use]
    pub fn new(capacity: usize, dropped: Arc<AtomicU64>) -> (Self, mpsc::Receiver<SipEvent>) {
        let (queue, events) = mpsc::channel(capacity);
        let servers = Arc::default();
        let sink = Self {
            queue,
            dropped,
            servers,
        };
        (sink, events)
    }

    /// Keeps most of the queue for datagrams of these hosts.
    #[must_use]
    pub fn keeping_room_for(mut self, servers: Arc<SipPeers>) -> Self {
        self.servers = servers;
        self
    }

    /// Queues a datagram, or drops and counts it: its sender repeats it. Whether it found room.
    pub fn offer(&self, event: SipEvent) -> bool {
        let taken = self.has_room_for(&event) && self.queue.try_send(event).is_ok();
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn has_room_for(&self, event: &SipEvent) -> bool {
        let (free, all) = (self.queue.capacity(), self.queue.max_capacity());
        !self.is_strangers(event) || all - free < all.div_ceil(SIP_QUEUE_STRANGERS_DIVISOR)
    }

    /// Somebody who is no SIP Server begins something. The end of a connection is told whoever had it.
    fn is_strangers(&self, event: &SipEvent) -> bool {
        match event {
            SipEvent::Message { source, .. } => !self.servers.holds(source.remote.ip()),
            SipEvent::Opened { remote, .. } => !self.servers.holds(remote.ip()),
            SipEvent::Lost { .. } | SipEvent::Failed { .. } => false,
        }
    }

    /// Queues an event of a stream, which waits meanwhile. `false` when the control loop is gone, or when a stranger's event finds no room: whoever waits is
    /// served before every datagram, so that strangers who wait would keep SIP Server's out.
    pub async fn push(&self, event: SipEvent) -> bool {
        if self.is_strangers(&event) {
            return self.offer(event);
        }
        self.queue.send(event).await.is_ok()
    }

    /// Whether the control loop is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn datagram(from: [u8; 4]) -> SipEvent {
        SipEvent::Message {
            source: Source {
                transport: Transport::Udp,
                remote: (from, 5060).into(),
                connection: None,
            },
            bytes: Vec::new(),
            received: tokio::time::Instant::now().into_std(),
        }
    }

    /// A flood of strangers fills a part of the queue only: the answer to our REGISTER still finds a place.
    #[test]
    fn strangers_leave_room_for_sip_server() {
        let dropped = Arc::new(AtomicU64::new(0));
        let server = [192, 0, 2, 81];
        let (sink, mut events) = SipSink::new(40, Arc::clone(&dropped));
        let sink = sink.keeping_room_for(Arc::new(SipPeers::new([server.into()])));
        for _ in 0..100 {
            sink.offer(datagram([203, 0, 113, 66]));
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 90);
        for _ in 0..31 {
            sink.offer(datagram(server));
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 91);
        assert!(events.try_recv().is_ok());
        sink.offer(datagram([203, 0, 113, 66]));
        assert_eq!(dropped.load(Ordering::Relaxed), 92);
    }

    /// Strangers on streams who wait for room would be served before every datagram of SIP Server: they do not wait, and SIP Server on its stream does.
    #[tokio::test]
    async fn strangers_on_streams_do_not_wait() {
        let server = [192, 0, 2, 81];
        let (sink, mut events) = SipSink::new(8, Arc::default());
        let sink = sink.keeping_room_for(Arc::new(SipPeers::new([server.into()])));
        for _ in 0..2 {
            assert!(sink.push(datagram([203, 0, 113, 66])).await);
        }
        assert!(!sink.push(datagram([203, 0, 113, 66])).await);
        for _ in 0..6 {
            assert!(sink.offer(datagram(server)));
        }
        assert_eq!(
            sink.push(datagram([203, 0, 113, 66])).now_or_never(),
            Some(false)
        );
        assert_eq!(sink.push(datagram(server)).now_or_never(), None);
        assert!(events.recv().await.is_some());
        assert!(
            sink.offer(datagram(server)),
            "the place that is free is for whoever comes"
        );
    }
}
