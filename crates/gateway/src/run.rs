//! Puts the process together: sockets first, so that what cannot be bound is said before anything is registered.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use rustls::sign::CertifiedKey;
use sip::ua::limits::Capacity;
use tokio::sync::mpsc;

use crate::calendar;
use crate::certificate::{self, Expiries, end_of};
use crate::config::{Config, ConfigError, SipTransport};
use crate::control_loop::{Beat, Inboxes, ToWorker};
use crate::control_thread::{self, ControlParts, SipListeners};
use crate::doors::{self, Doors};
use crate::edge::admin::Desk;
use crate::edge::agent_ws::{Front, FrontCounters, PageEvent};
use crate::edge::media_worker::{self, MediaWorker, WorkerConfig};
use crate::edge::origin::{OriginRule, as_browsers_write};
use crate::edge::recording::Settled;
use crate::edge::sip_peers::SipPeers;
use crate::edge::sip_sink::SipSink;
use crate::edge::sip_stream::{Admission, Shared};
use crate::edge::sparing::Sparing;
use crate::edge::{dns, sip_udp};
use crate::kept::Kept;
use crate::limits::{
    ADMIN_QUEUE_MAX, MEDIA_QUEUE_MAX, PAGES_QUEUE_MAX, SIP_QUEUE_MAX, SIP_STREAM_STRANGERS_DIVISOR,
};
use crate::logging::Logging;
use crate::metrics::{Metrics, Sources};
use crate::put_away::{Unended, put_away};
use crate::reload::Reloader;
use crate::requests::Asker;
use crate::tls::{self, Certificates, SipTls, SipTlsRead};
use crate::token::TokenKeys;
use crate::{assemble, process, shutdown};

/// Why the process does not run, or ended otherwise than asked.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A socket could not be bound.
    #[error("{what} {address}: {error}")]
    Bind {
        /// The key of the configuration.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        error: io::Error,
    },
    /// A certificate or a key cannot be used.
    #[error("{0}")]
    Certificate(String),
    /// A thread, a runtime or the log could not be started.
    #[error("{what}: {error}")]
    Start {
        /// What was started.
        what: &'static str,
        /// What the operating system says.
        error: io::Error,
    },
    /// The control loop ended by itself: a fault.
    #[error("the control loop ended by itself")]
    ControlLoop,
    /// A media worker ended by itself: a fault.
    #[error("a media worker ended by itself")]
    MediaWorker,
    /// A second signal came before the end was complete.
    #[error("ended at once by a second signal")]
    Impatient,
    /// Something did not end in its time.
    #[error("{0}")]
    Unended(Unended),
}

/// Certificates as they are on disk now.
#[derive(Debug)]
pub struct CertificatesRead {
    /// Of the agents' listener.
    pub http: Option<Arc<CertifiedKey>>,
    /// Of the SIP side.
    pub sip: Option<SipTlsRead>,
}

/// Reads every certificate that the configuration names.
///
/// # Errors
///
/// When one cannot be used.
pub fn read_certificates(config: &Config) -> Result<CertificatesRead, RunError> {
    let http = match (&config.http.certificate_file, &config.http.key_file) {
        (Some(certificate), Some(key)) => Some(tls::read(certificate, key)),
        _ => None,
    };
    let sip = config.sip.tls.as_ref().map(SipTlsRead::read);
    let http = http.transpose().map_err(RunError::Certificate)?;
    let sip = sip.transpose().map_err(RunError::Certificate)?;
    Ok(CertificatesRead { http, sip })
}

/// Tells `/metrics`, `/readyz` and the log when the certificates that come into use end.
pub fn note_expiries(read: &CertificatesRead, expiries: &Expiries) {
    let sip = read.sip.as_ref().map(|sip| &sip.own);
    for (own, end) in [(read.http.as_ref(), &expiries.agents), (sip, &expiries.sip)] {
        end.store(own.map_or(0, |own| end_of(own)), Ordering::Relaxed);
    }
    expiries.warn(calendar::since_epoch().as_secs());
}

/// Runs the gateway until a signal ends it.
///
/// # Errors
///
/// Why it could not begin, or did not end in order.
pub fn run(file: &Path, config: Config, warnings: &[ConfigError]) -> Result<(), RunError> {
    let logging =
        Logging::start(&config.log).map_err(|error| RunError::Start { what: "log", error })?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let result = Plant::build(file, config, &logging).and_then(|plant| plant.run(&logging));
    if let Err(error) = &result {
        tracing::error!(%error, "the gateway ends");
    }
    logging.flush();
    result
}

/// Everything that is bound and built, before it moves.
struct Plant {
    config: Config,
    doors: Doors,
    reloader: Reloader,
    control: ControlParts,
    media: Vec<MediaWorker>,
    kept: Kept,
}

impl Plant {
    fn build(file: &Path, config: Config, logging: &Logging) -> Result<Self, RunError> {
        process::provide_descriptors(&config);
        let certificates = read_certificates(&config)?;
        let sockets = Sockets::bind(&config)?;
        let mut sources = Sources {
            log_dropped: logging.dropped(),
            ..Sources::default()
        };
        let (queues, inboxes) = queues(&sources);
        let kept = Kept::open(&config, &sources, queues.settled)?;
        let media = start_media(&config, &queues.media_facts, &sources, &kept)?;
        count_media(&mut sources, &media);
        let front = front(&config, queues.door)?;
        sources.front = Some(Arc::clone(&front));
        let shared = sip_shared(&config, queues.sip_sink);
        sources.sip_connections_refused = Arc::clone(&shared.refused);
        let refused = sources.refused();
        note_expiries(&certificates, &sources.certificates);
        let expiries = Arc::clone(&sources.certificates);
        let metrics = Arc::new(Metrics::new(sources));
        let beat = Arc::new(Beat::new());
        let http_certificates = certificates.http.map(Certificates::new);
        let sip_tls = certificates.sip.map(SipTls::new);
        let control = ControlParts {
            switchboard: assemble::switchboard(&config, media.len()),
            sip_capacity: Capacity {
                transactions: config.limits.sip_transactions,
                ..Capacity::default()
            },
            named_sites: dns::sites_with_names(&config.sip),
            listeners: sockets.sip,
            shared,
            tls: sip_tls.clone(),
            workers: media.iter().map(to_worker).collect(),
            inboxes,
            metrics,
            records: kept.records(),
            taps: kept.taps(),
            beat,
            seed: control_thread::seed()?,
        };
        let doors = Doors {
            agents: sockets.agents,
            admin: sockets.admin,
            browsers: sockets.browsers,
            agents_tls: http_certificates.clone().map(tls::http_server),
            front: Arc::clone(&front),
            desk: desk(&config, &queues.asker, &control, &kept),
            refused,
            bounds: doors::bounds(&config.limits),
        };
        Ok(Self {
            doors,
            reloader: Reloader {
                file: file.to_owned(),
                running: config.clone(),
                asker: queues.asker,
                front,
                http: http_certificates,
                sip: sip_tls,
                expiries,
                records: kept.records(),
            },
            control,
            media,
            kept,
            config,
        })
    }

    fn run(self, logging: &Logging) -> Result<(), RunError> {
        let Self {
            config,
            doors,
            mut reloader,
            control,
            media,
            kept,
        } = self;
        let runtime = doors::runtime()?;
        let drain_s = config.limits.drain_s;
        let seed = dns::seed()?;
        let thread = control_thread::start(control)?;
        let result = runtime.block_on(async {
            let mut signals = shutdown::Signals::listen()?;
            doors.open(&media)?;
            announce(&config);
            look_names_up(&config, seed, &reloader.asker);
            tokio::spawn(certificate::watch(Arc::clone(&reloader.expiries)));
            let ended = shutdown::until_ended(
                &mut signals,
                &mut reloader,
                logging,
                drain_s,
                &media,
                thread,
            );
            let verdict = ended.await;
            // What waits for the disk is written before the process ends.
            let ending = put_away(media, kept);
            if matches!(verdict, Err(RunError::Impatient)) {
                return verdict;
            }
            let put_away = shutdown::put_away(&mut signals, ending).await;
            verdict.and(put_away)
        });
        if matches!(result, Err(RunError::Impatient)) {
            runtime.shutdown_background();
        } else {
            // Pages' tasks get a moment to say goodbye; whatever is left is dropped with the runtime.
            runtime.shutdown_timeout(crate::limits::PAGE_CLOSE_WITHIN);
        }
        result
    }
}

/// The listening sockets.
struct Sockets {
    sip: SipListeners,
    agents: TcpListener,
    admin: TcpListener,
    browsers: Option<TcpListener>,
}

impl Sockets {
    fn bind(config: &Config) -> Result<Self, RunError> {
        Ok(Self {
            sip: bind_sip(config)?,
            agents: bind_tcp("http.listen", config.http.listen)?,
            admin: bind_tcp("admin.listen", config.admin.listen)?,
            browsers: config
                .webrtc
                .tcp_listen
                .map(|address| bind_tcp("webrtc.tcp_listen", address))
                .transpose()?,
        })
    }
}

/// The sending ends of the control loop's queues.
struct Queues {
    sip_sink: SipSink,
    door: mpsc::Sender<PageEvent>,
    media_facts: mpsc::Sender<switchboard::MediaEvent>,
    asker: Asker,
    settled: mpsc::UnboundedSender<Settled>,
}

fn queues(sources: &Sources) -> (Queues, Inboxes) {
    let (sip_sink, sip) = SipSink::new(SIP_QUEUE_MAX, Arc::clone(&sources.sip_dropped));
    let (door, pages) = mpsc::channel(PAGES_QUEUE_MAX);
    let (media_facts, media) = mpsc::channel(MEDIA_QUEUE_MAX);
    let (queue, requests) = mpsc::channel(ADMIN_QUEUE_MAX);
    let (settled, recordings) = mpsc::unbounded_channel();
    let queues = Queues {
        sip_sink,
        door,
        media_facts,
        asker: Asker::new(queue),
        settled,
    };
    let inboxes = Inboxes {
        sip,
        pages,
        media,
        requests,
        recordings,
    };
    (queues, inboxes)
}

fn announce(config: &Config) {
    let http = if config.http.certificate_file.is_some() {
        "https"
    } else {
        "http"
    };
    let sip: Vec<String> = config.sip.listen.iter().map(ToString::to_string).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        sip = sip.join(" "),
        agents = format!("{http}://{}/agent", config.http.listen),
        admin = format!("http://{}", config.admin.listen),
        dns = config.agents.len(),
        "talkbridge runs"
    );
}

/// Where the names of SIP Servers are looked up, a task for each site.
fn look_names_up(config: &Config, seed: u64, asker: &Asker) {
    let sip = Arc::new(config.sip.clone());
    for site in dns::sites_with_names(&sip) {
        tokio::spawn(dns::watch(Arc::clone(&sip), site, seed, asker.clone()));
    }
}

fn bind_tcp(what: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error| RunError::Bind {
        what,
        address,
        error,
    })
}

fn bind_sip(config: &Config) -> Result<SipListeners, RunError> {
    let mut listeners = SipListeners::default();
    for listen in &config.sip.listen {
        let address = listen.address;
        match listen.transport {
            SipTransport::Udp => {
                let socket = sip_udp::bind(address).map_err(|error| RunError::Bind {
                    what: "sip.listen",
                    address,
                    error,
                })?;
                listeners.udp.push(socket);
            }
            SipTransport::Tcp => listeners.tcp.push(bind_tcp("sip.listen", address)?),
            SipTransport::Tls => listeners.tls.push(bind_tcp("sip.listen", address)?),
        }
    }
    Ok(listeners)
}

fn start_media(
    config: &Config,
    facts: &mpsc::Sender<switchboard::MediaEvent>,
    sources: &Sources,
    kept: &Kept,
) -> Result<Vec<MediaWorker>, RunError> {
    let rtc = &config.webrtc;
    let advertise = if rtc.advertise.is_empty() {
        vec![rtc.listen.ip()]
    } else {
        rtc.advertise.clone()
    };
    (0..assemble::workers(config))
        .map(|index| {
            let offset = u16::try_from(index).unwrap_or(u16::MAX);
            let port = rtc.listen.port().saturating_add(offset);
            let address = SocketAddr::new(rtc.listen.ip(), port);
            let (facts, dropped) = (facts.clone(), Arc::clone(&sources.media_events_dropped));
            let tell = move |fact| {
                if facts.try_send(fact).is_err() {
                    dropped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            };
            let settings = WorkerConfig {
                browser_listen: address,
                browser_advertise: advertise.clone(),
                browser_codecs: rtc
                    .codecs
                    .iter()
                    .copied()
                    .map(assemble::browser_codec)
                    .collect(),
                browser_tcp_port: rtc.tcp_listen.map(|listen| listen.port()),
                browser_connections: Arc::clone(&sources.browser_connections),
                sip_address: config.media.address,
                taps: kept.taps(),
            };
            media_worker::start(settings, index, Box::new(tell)).map_err(|error| RunError::Bind {
                what: "webrtc.listen",
                address,
                error,
            })
        })
        .collect()
}

fn count_media(sources: &mut Sources, workers: &[MediaWorker]) {
    sources.media = workers.iter().map(MediaWorker::counters).collect();
    sources.media_waiting = workers.iter().map(MediaWorker::waiting).collect();
}

fn to_worker(worker: &MediaWorker) -> ToWorker {
    let sender = worker.sender();
    Box::new(move |command| sender.send(command))
}

fn front(config: &Config, door: mpsc::Sender<PageEvent>) -> Result<Arc<Front>, RunError> {
    let keys = TokenKeys::new(&config.auth).map_err(RunError::Certificate)?;
    Ok(Arc::new(Front {
        door,
        keys: RwLock::new(Arc::new(keys)),
        origins: OriginRule {
            allowed: allowed(&config.http.allowed_origins),
            allow_missing: config.http.allow_missing_origin,
        },
        web_sockets_max: config.limits.web_sockets,
        messages_per_s: config.limits.messages_per_s,
        counters: FrontCounters::default(),
        token_lines: Sparing::default(),
        origin_lines: Sparing::default(),
        last_page: AtomicU64::new(0),
    }))
}

/// The entries in the form that they are compared with.
fn allowed(origins: &[String]) -> Vec<String> {
    let written = origins
        .iter()
        .map(|origin| as_browsers_write(origin).unwrap_or_else(|| origin.clone()));
    written.collect()
}

/// What the administrators' listener needs.
fn desk(config: &Config, asker: &Asker, control: &ControlParts, kept: &Kept) -> Arc<Desk> {
    Arc::new(Desk::new(
        asker.clone(),
        Arc::clone(&control.metrics),
        Arc::clone(&control.beat),
        config.admin.token.clone(),
        kept.live(),
    ))
}

/// With `refuse = "silent"` a stranger's connection is closed unheard; else some are taken to be answered 403.
fn sip_shared(config: &Config, sink: SipSink) -> Arc<Shared> {
    let servers = config.sip.written_addresses();
    let servers = Arc::new(SipPeers::new(servers.map(|server| server.ip())));
    let silent = config.sip.refuse == crate::config::Refuse::Silent;
    let connections = config.limits.sip_connections;
    let strangers_max = if silent {
        0
    } else {
        connections.div_ceil(SIP_STREAM_STRANGERS_DIVISOR)
    };
    let sink = sink.keeping_room_for(Arc::clone(&servers));
    let admission = Admission {
        servers,
        strangers_max,
    };
    Shared::new(sink, connections, admission, assemble::keep_alive(config))
}
