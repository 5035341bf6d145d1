//! The thread of the control loop and of the SIP sockets: one runtime of its own, so that signalling waits for nobody.

use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::TryRng;
use rand::rngs::SysRng;
use sip::ua::limits::Capacity;
use sip::ua::{SiteId, Transport};
use switchboard::{Switchboard, WallClock};
use tokio::sync::oneshot;

use crate::calendar;
use crate::control_loop::{Beat, Commands, ControlLoop, Inboxes, SipPort, ToWorker};
use crate::edge::cdr::RecordSink;
use crate::edge::sip_stream::{self, Shared, Streams};
use crate::edge::sip_udp;
use crate::edge::sparing::Sparing;
use crate::edge::taps::TapSink;
use crate::facts::Observer;
use crate::metrics::Metrics;
use crate::pace::Rests;
use crate::run::RunError;
use crate::tls::SipTls;

/// Events that are found together, or the loop does not rest for them: from 8 on a rest costs nothing and from 20 on it keeps
/// answers even, while from 6 on it cost a fifth.
const EVENTS_TOGETHER: u32 = 8;

/// From one turn of a loop that rests to the next: little beside what an answer takes on its way.
const APART: Duration = Duration::from_millis(1);

/// The SIP sockets, bound and not yet read.
#[derive(Debug, Default)]
pub struct SipListeners {
    /// Datagrams.
    pub udp: Vec<UdpSocket>,
    /// Streams without encryption.
    pub tcp: Vec<TcpListener>,
    /// Streams inside TLS.
    pub tls: Vec<TcpListener>,
}

/// What the thread takes over.
pub struct ControlParts {
    /// What the switchboard is told at birth.
    pub switchboard: switchboard::Config,
    /// What SIP peers may make it hold.
    pub sip_capacity: Capacity,
    /// The sites whose SIP Servers have to be looked up.
    pub named_sites: Vec<SiteId>,
    /// The SIP sockets.
    pub listeners: SipListeners,
    /// What the SIP streams share.
    pub shared: Arc<Shared>,
    /// TLS of the SIP side, where it is configured.
    pub tls: Option<Arc<SipTls>>,
    /// The ways to the media workers.
    pub workers: Vec<ToWorker>,
    /// The loop's queues.
    pub inboxes: Inboxes,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where records of calls go.
    pub records: Option<RecordSink>,
    /// Those who listen to calls.
    pub taps: TapSink,
    /// The loop's beat.
    pub beat: Arc<Beat>,
    /// Randomness of the switchboard.
    pub seed: [u8; 32],
}

/// Randomness of the operating system for the machine's generator.
///
/// # Errors
///
/// When the operating system has none: then nothing may start.
pub fn seed() -> Result<[u8; 32], RunError> {
    let mut seed = [0; 32];
    SysRng
        .try_fill_bytes(&mut seed)
        .map_err(|error| RunError::Start {
            what: "random numbers",
            error: io::Error::other(error.to_string()),
        })?;
    Ok(seed)
}

/// Starts the thread. The receiver hears when the loop ended in order, and is closed without a word when it did not.
///
/// # Errors
///
/// When the thread or its runtime cannot be started.
pub fn start(parts: ControlParts) -> Result<oneshot::Receiver<()>, RunError> {
    let rests = Arc::new(Rests::new(EVENTS_TOGETHER, APART));
    let (parking, unparking) = (Arc::clone(&rests), Arc::clone(&rests));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || parking.parks())
        .on_thread_unpark(move || unparking.unparks())
        .build()
        .map_err(|error| RunError::Start {
            what: "control runtime",
            error,
        })?;
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            let result = runtime.block_on(live(parts, rests));
            match result {
                // Nobody to hear it: the process is ending anyway.
                Ok(()) => drop(ended.send(())),
                Err(error) => tracing::error!(%error, "sip sockets"),
            }
        })
        .map_err(|error| RunError::Start {
            what: "control thread",
            error,
        })?;
    Ok(end)
}

async fn live(parts: ControlParts, rests: Arc<Rests>) -> io::Result<()> {
    let ControlParts {
        listeners,
        shared,
        tls,
        workers,
        inboxes,
        metrics,
        beat,
        ..
    } = parts;
    let mut udp = Vec::new();
    let mut tasks = Vec::new();
    for socket in listeners.udp {
        let socket = Arc::new(tokio::net::UdpSocket::from_std(socket)?);
        let receive = sip_udp::receive(Arc::clone(&socket), shared.sink.clone());
        tasks.push(tokio::spawn(receive));
        udp.push(SipPort::new(socket)?);
    }
    let of = |transport, listeners: &[std::net::TcpListener]| {
        let addresses = listeners.iter().flat_map(std::net::TcpListener::local_addr);
        let sources = addresses.map(|address| (transport, address.ip()));
        sources.collect::<Vec<_>>()
    };
    let mut sources = of(Transport::Tcp, &listeners.tcp);
    sources.extend(of(Transport::Tls, &listeners.tls));
    for listener in listeners.tcp {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tasks.push(tokio::spawn(sip_stream::accept(
            listener,
            None,
            Arc::clone(&shared),
        )));
    }
    for listener in listeners.tls {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let accept = sip_stream::accept(listener, tls.clone(), Arc::clone(&shared));
        tasks.push(tokio::spawn(accept));
    }
    let clock = clock();
    let now = clock.at;
    let control = ControlLoop {
        switchboard: Switchboard::new(now, parts.switchboard, clock, parts.seed)
            .with_sip_capacity(parts.sip_capacity),
        udp,
        listeners: tasks,
        streams: Streams::new(shared, tls).leaving_from(sources),
        workers,
        taps: parts.taps,
        observer: Observer::new(Arc::clone(&metrics), now)
            .awaiting(&parts.named_sites)
            .recording_to(parts.records),
        metrics,
        beat,
        pages: HashMap::new(),
        commands: Commands::default(),
        unsent_lines: Sparing::default(),
        rests,
        arrived: now,
    };
    control.run(inboxes).await;
    Ok(())
}

/// Ties the monotonic clock to the calendar.
#[allow(clippy::disallowed_methods)] // The shell reads the clocks and tells them to the machine.
fn clock() -> WallClock {
    WallClock {
        at: Instant::now(),
        epoch_ms: calendar::since_epoch_ms(),
    }
}
