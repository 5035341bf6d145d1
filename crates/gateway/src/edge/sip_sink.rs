//! The one way from the SIP sockets into the control loop: bounded, and counted when it overflows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sip::ua::{ConnectionId, Source, Transport};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::sip_peers::SipPeers;
use crate::limits::{SIP_QUEUE_OCTETS_MAX, SIP_QUEUE_STRANGERS_DIVISOR};

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

/// An event that waits, with its room for octets.
#[derive(Debug)]
struct Queued {
    event: SipEvent,
    _room: OwnedSemaphorePermit,
}

/// The receiving end.
#[derive(Debug)]
pub struct SipEvents(mpsc::Receiver<Queued>);

impl SipEvents {
    /// The next event; `None` when every socket is gone. Safe to drop and call again.
    pub async fn recv(&mut self) -> Option<SipEvent> {
        self.0.recv().await.map(|queued| queued.event)
    }

    /// One that is there already.
    pub fn try_recv(&mut self) -> Option<SipEvent> {
        self.0.try_recv().ok().map(|queued| queued.event)
    }
}

/// The sending end, cloned into every socket's task.
#[derive(Debug, Clone)]
pub struct SipSink {
    queue: mpsc::Sender<Queued>,
    /// Octets for which there is room: a queue of the largest messages would be 256 MiB.
    room: Arc<Semaphore>,
    dropped: Arc<AtomicU64>,
    /// The hosts of SIP Servers; whoever else there is shares a part of the queue.
    servers: Arc<SipPeers>,
}

impl SipSink {
    /// A queue of `capacity` events; `dropped` counts the messages that found it full.
    #[must_use]
    pub fn new(capacity: usize, dropped: Arc<AtomicU64>) -> (Self, SipEvents) {
        let (queue, events) = mpsc::channel(capacity);
        let sink = Self {
            queue,
            room: Arc::new(Semaphore::new(SIP_QUEUE_OCTETS_MAX as usize)),
            dropped,
            servers: Arc::default(),
        };
        (sink, SipEvents(events))
    }

    /// Keeps most of the queue for datagrams of these hosts.
    #[must_use]
    pub fn keeping_room_for(mut self, servers: Arc<SipPeers>) -> Self {
        self.servers = servers;
        self
    }

    /// Queues a datagram, or drops and counts it: its sender repeats it. Whether it found room.
    pub fn offer(&self, event: SipEvent) -> bool {
        let room = self.room_for(&event);
        let queued = room.map(|_room| Queued { event, _room });
        let taken = queued.is_some_and(|queued| self.queue.try_send(queued).is_ok());
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn room_for(&self, event: &SipEvent) -> Option<OwnedSemaphorePermit> {
        if self.is_strangers(event) {
            let (free, all) = (self.queue.capacity(), self.queue.max_capacity());
            let (room, most) = (self.room.available_permits(), SIP_QUEUE_OCTETS_MAX as usize);
            let share = |all: usize| all.div_ceil(SIP_QUEUE_STRANGERS_DIVISOR);
            if all - free >= share(all) || most.saturating_sub(room) >= share(most) {
                return None;
            }
        }
        let room = Arc::clone(&self.room);
        room.try_acquire_many_owned(octets(event)).ok()
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
        let room = Arc::clone(&self.room);
        let Ok(_room) = room.acquire_many_owned(octets(&event)).await else {
            return false;
        };
        self.queue.send(Queued { event, _room }).await.is_ok()
    }

    /// Whether the control loop is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

/// What an event takes of the room.
fn octets(event: &SipEvent) -> u32 {
    match event {
        SipEvent::Message { bytes, .. } => u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        SipEvent::Opened { .. } | SipEvent::Lost { .. } | SipEvent::Failed { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn datagram(from: [u8; 4]) -> SipEvent {
        message(from, 0)
    }

    fn message(from: [u8; 4], octets: usize) -> SipEvent {
        SipEvent::Message {
            source: Source {
                transport: Transport::Udp,
                remote: (from, 5060).into(),
                connection: None,
            },
            bytes: vec![0; octets],
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
        assert!(events.try_recv().is_some());
        sink.offer(datagram([203, 0, 113, 66]));
        assert_eq!(dropped.load(Ordering::Relaxed), 92);
    }

    /// A queue of the largest messages there are would be as large as all else: it is bounded in octets, too, and strangers have their part of them.
    #[tokio::test]
    async fn the_queue_is_bounded_in_octets() {
        const LARGE: usize = 65_535;
        let (server, stranger) = ([192, 0, 2, 81], [203, 0, 113, 66]);
        let (sink, mut events) = SipSink::new(4096, Arc::default());
        let sink = sink.keeping_room_for(Arc::new(SipPeers::new([server.into()])));
        let offered = |from| {
            (0..4096)
                .filter(|_| sink.offer(message(from, LARGE)))
                .count()
        };
        let most = SIP_QUEUE_OCTETS_MAX as usize;
        let strangers = offered(stranger);
        assert!((strangers - 1) * LARGE < most / SIP_QUEUE_STRANGERS_DIVISOR);
        assert_eq!(strangers + offered(server), most / LARGE);
        assert!(sink.offer(message(server, 1)), "a small one has room");
        let waits = sink.push(message(server, LARGE));
        tokio::pin!(waits);
        assert_eq!(waits.as_mut().now_or_never(), None);
        for _ in 0..2 {
            assert!(events.recv().await.is_some());
        }
        assert!(waits.await, "what was taken leaves its room");
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
