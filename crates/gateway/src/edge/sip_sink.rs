//! The one way from the SIP sockets into the control loop: bounded, and counted when it overflows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sip::ua::{ConnectionId, Source, Transport};
use tokio::sync::mpsc;

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
    /// A connection is gone.
    Lost(ConnectionId),
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
}

impl SipSink {
    /// A queue of `capacity` events; `dropped` counts the messages that found it full.
    #[must_use]
    pub fn new(capacity: usize, dropped: Arc<AtomicU64>) -> (Self, mpsc::Receiver<SipEvent>) {
        let (queue, events) = mpsc::channel(capacity);
        (Self { queue, dropped }, events)
    }

    /// Queues a datagram, or drops and counts it: its sender repeats it.
    pub fn offer(&self, event: SipEvent) {
        if self.queue.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Queues an event of a stream, which waits meanwhile. `false` when the control loop is gone.
    pub async fn push(&self, event: SipEvent) -> bool {
        self.queue.send(event).await.is_ok()
    }

    /// Whether the control loop is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}
