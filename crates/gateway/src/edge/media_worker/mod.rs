//! A media worker: one plain thread with its own poll loop, one UDP port for all its browsers, connections of those that have no UDP,
//! and a pair of RTP and RTCP ports for each call.
//!
//! The worker moves bytes and reads the clock; what it does with them is decided by [`media::patchbay::Patchbay`]. Commands come
//! in through a queue that loses none of them, facts go out through a function. On the path of a packet there is no lock, no queue and no task.
#![allow(
    clippy::disallowed_methods,
    reason = "this edge is the shell of a pure machine: here the clock is read that the machine is told"
)]

mod event_loop;
mod lines;
mod load;
mod poll;
mod processor;
mod shared;
mod sockets;
#[cfg(test)]
mod tests;
mod translate;
mod waiting;

pub use self::lines::Newcomer;
pub use self::translate::codec;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use media::browser_leg::{Identity, Settings};
use media::codec::Codec;
use media::counters::Counters;
use media::patchbay::{Config, Patchbay};
use rand::TryRng;
use switchboard::{MediaCommand, MediaEvent, WorkerId};
use tokio::sync::oneshot;

use crate::calendar;
use crate::edge::taps::TapSink;

use self::event_loop::{EventLoop, WAKE};
use self::lines::Lines;
use self::load::LoadMeter;
use self::poll::{Poll, Waker};
use self::shared::Shared;
use self::sockets::Sockets;
use self::waiting::Waiting;

/// Browsers' connections that may wait for a worker.
const NEWCOMERS_MAX: usize = 256;

/// A connection, and how it is given back by a worker that has no leg of that name.
type Adoption = (Newcomer, oneshot::Sender<Newcomer>);

/// What a worker is told at birth.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// UDP address of the WebRTC port.
    pub browser_listen: SocketAddr,
    /// Addresses that browsers are told to send to; never empty.
    pub browser_advertise: Vec<IpAddr>,
    /// Codecs offered to browsers, in order; a browser sends the first.
    pub browser_codecs: Vec<Codec>,
    /// The TCP port at which browsers may connect, at the same addresses.
    pub browser_tcp_port: Option<u16>,
    /// How many such connections there are, over all workers.
    pub browser_connections: Arc<AtomicU64>,
    /// Address of the RTP and RTCP ports.
    pub sip_address: IpAddr,
    /// Where samples of calls go that somebody listens to.
    pub taps: TapSink,
}

/// Where a worker's facts go. Called from the worker's thread, so it must not block.
pub type Tell = Box<dyn Fn(MediaEvent) + Send>;

/// A worker that runs; it ends, and tells its browsers so, when this is dropped.
#[derive(Debug)]
pub struct MediaWorker {
    shared: Arc<Shared>,
    commands: WorkerSender,
    browser_address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

/// Speaks to a worker.
#[derive(Clone, Debug)]
pub struct WorkerSender {
    commands: Arc<Waiting>,
    newcomers: SyncSender<Adoption>,
    waker: Arc<Waker>,
    shared: Arc<Shared>,
}

/// What a worker is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The worker has ended.
    #[error("the media worker is gone")]
    Gone,
    /// The command waits. The worker is so far behind that others were given up: digits, more than it takes at once for a call.
    #[error("{0} commands with digits were given up, as the media worker is behind")]
    GivenUp(usize),
}

impl NotTaken {
    /// How many commands that were.
    #[must_use]
    pub const fn commands(self) -> usize {
        match self {
            Self::Gone => 1,
            Self::GivenUp(commands) => commands,
        }
    }
}

impl WorkerSender {
    /// Hands a command over, however many wait.
    ///
    /// # Errors
    /// What the worker is not told for it.
    pub fn send(&self, command: MediaCommand) -> Result<(), NotTaken> {
        if self.shared.ended.load(Ordering::Acquire) {
            return Err(NotTaken::Gone);
        }
        let given_up = self.commands.push(command);
        self.call()?;
        if given_up > 0 {
            return Err(NotTaken::GivenUp(given_up));
        }
        Ok(())
    }

    /// Commands come in bunches: whoever is awake already is not woken for each.
    fn call(&self) -> Result<(), NotTaken> {
        if self.shared.called.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.waker.wake().map_err(|_| NotTaken::Gone)
    }

    /// Offers a browser's connection to the worker. It comes back where the worker has no leg of that name; `None` when it was taken, or
    /// is gone with a worker that takes nothing.
    pub async fn adopt(&self, newcomer: Newcomer) -> Option<Newcomer> {
        let (back, given_back) = oneshot::channel();
        self.newcomers.try_send((newcomer, back)).ok()?;
        self.call().ok()?;
        given_back.await.ok()
    }
}

impl MediaWorker {
    /// A way to speak to the worker.
    #[must_use]
    pub fn sender(&self) -> WorkerSender {
        self.commands.clone()
    }

    /// Reads what the worker has counted, at any time and from any thread.
    #[must_use]
    pub fn counters(&self) -> Box<dyn Fn() -> Counters + Send + Sync> {
        let shared = Arc::clone(&self.shared);
        Box::new(move || shared.read())
    }

    /// Reads how many commands wait for the worker, at any time and from any thread.
    #[must_use]
    pub fn waiting(&self) -> Box<dyn Fn() -> usize + Send + Sync> {
        let commands = Arc::clone(&self.commands.commands);
        Box::new(move || commands.len())
    }

    /// The WebRTC port as it was bound.
    #[must_use]
    pub const fn browser_address(&self) -> SocketAddr {
        self.browser_address
    }

    /// The worker's thread runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for MediaWorker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        let woken = self.commands.waker.wake();
        if let Some(thread) = self.thread.take()
            && woken.is_ok()
            && thread.join().is_err()
        {
            tracing::error!("a media worker panicked");
        }
    }
}

/// Binds the WebRTC port and starts the thread.
///
/// # Errors
/// When the port cannot be bound, or the operating system refuses something else a worker needs.
pub fn start(config: WorkerConfig, index: usize, tell: Tell) -> io::Result<MediaWorker> {
    start_with(config, index, tell, EventLoop::run)
}

/// The same; the thread is what runs the loop.
fn start_with(
    config: WorkerConfig,
    index: usize,
    tell: Tell,
    run: impl FnOnce(EventLoop) + Send + 'static,
) -> io::Result<MediaWorker> {
    let poll = Poll::new()?;
    let waker = Arc::new(poll.waker(WAKE)?);
    let sockets = Sockets::bind(
        poll.registry(),
        config.browser_listen,
        config.sip_address,
        Lines::new(Arc::clone(&config.browser_connections)),
        config.taps.clone(),
    )?;
    let browser_address = sockets.browser_address()?;
    let patchbay = Patchbay::new(
        Instant::now(),
        patchbay_config(&config, browser_address.port())?,
    );
    let commands = Arc::new(Waiting::default());
    let (newcomers, arrivals) = sync_channel(NEWCOMERS_MAX);
    let shared = Arc::new(Shared::default());
    let inboxes = (Arc::clone(&commands), arrivals);
    let load = LoadMeter::new(Instant::now(), WorkerId(index));
    let reports = (tell, load);
    let event_loop = EventLoop::new(
        poll,
        sockets,
        patchbay,
        inboxes,
        Arc::clone(&shared),
        reports,
    );
    let thread = std::thread::Builder::new()
        .name(format!("media-{index}"))
        .spawn(move || run(event_loop))?;
    let commands = WorkerSender {
        commands,
        newcomers,
        waker,
        shared: Arc::clone(&shared),
    };
    Ok(MediaWorker {
        shared,
        commands,
        browser_address,
        thread: Some(thread),
    })
}

fn patchbay_config(config: &WorkerConfig, port: u16) -> io::Result<Config> {
    let identity = Identity::generate().map_err(io::Error::other)?;
    let at = |port: u16| -> Vec<SocketAddr> {
        let advertised = config.browser_advertise.iter();
        advertised.map(|ip| SocketAddr::new(*ip, port)).collect()
    };
    let candidates = at(port);
    if candidates.is_empty() || config.browser_codecs.is_empty() {
        let message = "a media worker needs an address and a codec for its browsers";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut seed = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut seed)
        .map_err(io::Error::other)?;
    let legs = Settings {
        identity,
        candidates,
        tcp_candidates: config.browser_tcp_port.map(at).unwrap_or_default(),
        codecs: config.browser_codecs.clone(),
    };
    Ok(Config {
        legs,
        unix: calendar::since_epoch(),
        seed,
    })
}
