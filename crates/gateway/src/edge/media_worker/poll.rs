//! Which sockets of a worker have something to read.
//!
//! The epoll of Linux as it is. Datagram sockets are watched by level: whoever has read one packet of a call needs not ask for a second that
//! is hardly ever there, which would be every third system call of a relayed packet. What is left is told again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

/// What a socket is called here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(pub(super) u64);

/// Tells a worker's thread that there is something for it besides datagrams.
#[derive(Debug)]
pub(super) struct Waker(OwnedFd);

impl Waker {
    /// Wakes the thread, or keeps it from falling asleep.
    pub(super) fn wake(&self) -> io::Result<()> {
        // The counter is read by nobody: it would take five hundred thousand years to fill it.
        rustix::io::write(&self.0, &1_u64.to_ne_bytes())?;
        Ok(())
    }
}

/// Where sockets are registered. A socket that is closed is forgotten by itself.
#[derive(Clone, Debug)]
pub(super) struct Registry(Arc<OwnedFd>);

impl Registry {
    /// Tells as long as there is something to read.
    pub(super) fn watch(&self, socket: impl AsFd, token: Token) -> io::Result<()> {
        self.add(socket, token, EventFlags::IN)
    }

    /// Tells once when there is more to read, or more may be written, than before.
    pub(super) fn watch_changes(&self, socket: impl AsFd, token: Token) -> io::Result<()> {
        let both = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP;
        self.add(socket, token, both | EventFlags::ET)
    }

    fn add(&self, socket: impl AsFd, token: Token, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(
            &*self.0,
            socket,
            EventData::new_u64(token.0),
            flags,
        )?)
    }
}

/// Who is ready. It stays with the thread that waits.
pub(super) struct Events(Vec<Event>);

impl Events {
    /// Room for as many as are taken in a turn.
    pub(super) fn with_capacity(max: usize) -> Self {
        Self(Vec::with_capacity(max))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Token> {
        // The event is packed: its data is copied out.
        self.0.iter().map(|event| Token({ event.data }.u64()))
    }
}

/// Waits.
#[derive(Debug)]
pub(super) struct Poll {
    registry: Registry,
}

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self {
            registry: Registry(Arc::new(epoll)),
        })
    }

    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A waker, told as `token`.
    pub(super) fn waker(&self, token: Token) -> io::Result<Waker> {
        let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        self.registry
            .add(&counter, token, EventFlags::IN | EventFlags::ET)?;
        Ok(Waker(counter))
    }

    /// Waits until a socket has something to read, and no longer than this; `None`: for as long as it takes.
    pub(super) fn wait(&self, events: &mut Events, longest: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        let longest = longest.map(|span| Timespec {
            tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: span.subsec_nanos().into(),
        });
        let room = spare_capacity(&mut events.0);
        epoll::wait(&*self.registry.0, room, longest.as_ref())?;
        Ok(())
    }
}
