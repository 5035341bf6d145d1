//! Accepts HTTP connections, plain or TLS, within bounds: in all, for one source, and in time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::ready;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::allowance::{Allowance, Allowed};
use super::arrivals::Arrivals;
use super::sparing::Sparing;
use crate::limits::{
    HTTP_BUFFER_OCTETS_MAX, HTTP_CONNECTION_WITHIN, HTTP_HANDSHAKES_MAX, HTTP_HEAD_WITHIN,
    HTTP_NETWORK_HOSTS, HTTP_NETWORK_LEAVES_DIVISOR,
};

/// The address of the peer, among the extensions of each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(
    /// Its address and port.
    pub SocketAddr,
);

/// A place among the connections, among the extensions of each request: whoever outlives the HTTP part of a connection, as a
/// WebSocket does, keeps it.
#[derive(Clone)]
pub struct Seat {
    _guest: Arc<Guest>,
}

/// Bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time from one address.
    pub per_source: usize,
}

impl Bounds {
    /// Connections at a time from one IPv6 network of 64 bits. Whoever has an address of it has 2^64 of them (RFC 6177); so has a whole campus, whose agents are
    /// all in it. Many hosts' worth of places, and never all there are.
    const fn per_network(self) -> usize {
        let hosts = self.per_source.saturating_mul(HTTP_NETWORK_HOSTS);
        let most = self.connections - self.connections / HTTP_NETWORK_LEAVES_DIVISOR;
        if hosts < most { hosts } else { most }
    }
}

/// Why a connection finds no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// There are as many as there may be.
    #[error("too many connections; see [limits] web_sockets")]
    All,
    /// Its address has as many as one may have.
    #[error(
        "too many connections of one address, as those behind a proxy are; see [limits] http_connections_per_source"
    )]
    Source,
    /// So has its IPv6 network.
    #[error(
        "too many connections of one IPv6 network of 64 bits; see [limits] http_connections_per_source and web_sockets"
    )]
    Network,
}

/// Serves `router` on `listener` for ever.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    bounds: Bounds,
    refused: Arc<AtomicU64>,
) {
    let turns = Arc::new(Semaphore::new(HTTP_HANDSHAKES_MAX));
    let tls = tls.map(|config| Tls { config, turns });
    let guests = Guests::new(bounds);
    let arrivals = Arrivals::new(listener, "http");
    loop {
        let Some((stream, remote)) = arrivals.next().await else {
            continue;
        };
        let Some(guest) = guests.let_in("http", remote) else {
            refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        tokio::spawn(accepted(stream, remote, tls.clone(), router.clone(), guest));
    }
}

/// How handshakes are made.
#[derive(Clone)]
struct Tls {
    config: Arc<ServerConfig>,
    /// Whoever makes the costly step of a handshake has one.
    turns: Arc<Semaphore>,
}

impl Tls {
    /// The handshake costs a signature as soon as the peer's hello is whole: its first, or the second one where the first has no key that we take
    /// (RFC 8446 section 4.1.4). Between some of these everybody else has a turn: a flood of handshakes keeps no page waiting. Nothing is kept while the peer is
    /// waited for, so that one which says nothing keeps nobody out.
    async fn accept<S>(self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let turn = self.turn().await?;
        let mut handshake = pin!(hello.into_stream(self.config.clone()));
        give_back(turn);
        let mut next_turn = pin!(self.turn());
        poll_fn(|context| {
            let turn = ready!(next_turn.as_mut().poll(context))?;
            next_turn.set(self.turn());
            let step = handshake.as_mut().poll(context);
            give_back(turn);
            step
        })
        .await
    }

    async fn turn(&self) -> io::Result<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        turn.map_err(io::Error::other)
    }
}

/// A turn is over when everybody has had one who waits now.
fn give_back(turn: OwnedSemaphorePermit) {
    tokio::spawn(async move {
        tokio::task::yield_now().await;
        drop(turn);
    });
}

async fn accepted(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<Tls>,
    router: Router,
    guest: Guest,
) {
    let _ = stream.set_nodelay(true);
    let seat = Seat {
        _guest: Arc::new(guest),
    };
    let within = HTTP_CONNECTION_WITHIN;
    match tls {
        None => connection(stream, remote, router, seat, within).await,
        Some(tls) => match timeout(HTTP_HEAD_WITHIN, tls.accept(stream)).await {
            Ok(Ok(stream)) => connection(stream, remote, router, seat, within).await,
            Ok(Err(error)) => tracing::debug!(%remote, %error, "http: TLS handshake failed"),
            Err(_) => tracing::debug!(%remote, "http: TLS handshake took too long"),
        },
    }
}

/// Serves requests until the peer ends it, or for `within`; what is under way then has as long again. Whoever asks and does not read would keep its place for
/// ever. What becomes a WebSocket is no HTTP any more, and a stream of events lasts.
async fn connection<S>(stream: S, remote: SocketAddr, router: Router, seat: Seat, within: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let lasts = Arc::new(AtomicBool::new(false));
    let found = Arc::clone(&lasts);
    let allowance = Allowance::unbounded();
    let stream = Allowed::new(stream, allowance.clone());
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(remote));
        request.extensions_mut().insert(seat.clone());
        request.extensions_mut().insert(allowance.clone());
        let answer = router.call(request.map(Body::new));
        let lasts = Arc::clone(&found);
        async move {
            let answer = answer.await?;
            lasts.fetch_or(is_event_stream(&answer), Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_HEAD_WITHIN)
        .max_headers(64)
        .max_buf_size(HTTP_BUFFER_OCTETS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut served = pin!(served);
    let mut ended = timeout(within, served.as_mut()).await;
    if ended.is_err() {
        if lasts.load(Ordering::Relaxed) {
            ended = Ok(served.await);
        } else {
            served.as_mut().graceful_shutdown();
            ended = timeout(within, served).await;
        }
    }
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%remote, %error, "http: connection ended"),
        Err(_) => tracing::debug!(%remote, "http: a peer that does not read"),
    }
}

fn is_event_stream(answer: &Response<Body>) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Who is connected, by address and by network.
#[derive(Debug)]
pub(super) struct Guests {
    bounds: Bounds,
    counted: Mutex<Counted>,
    lines: Sparing,
}

#[derive(Debug, Default)]
struct Counted {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
    by_network: HashMap<IpAddr, usize>,
}

/// One connection; dropping it makes room for the next.
#[derive(Debug)]
pub struct Guest {
    guests: Arc<Guests>,
    source: IpAddr,
}

impl Guests {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            counted: Mutex::default(),
            lines: Sparing::default(),
        })
    }

    /// A place at `listener`, or a line in the log that says why there is none: agents behind one address hear nothing else of it.
    pub(super) fn let_in(
        self: &Arc<Self>,
        listener: &'static str,
        remote: SocketAddr,
    ) -> Option<Guest> {
        match self.enter(remote.ip()) {
            Ok(guest) => Some(guest),
            Err(why) => {
                if let Some(unsaid) = self.lines.line(Instant::now()) {
                    tracing::warn!(listener, %remote, %why, unsaid, "a connection is refused");
                }
                None
            }
        }
    }

    fn enter(self: &Arc<Self>, source: IpAddr) -> Result<Guest, Full> {
        let mut counted = self.lock();
        let Counted {
            all,
            by_source,
            by_network,
        } = &mut *counted;
        let network = network_of(source);
        let of = |counts: &HashMap<IpAddr, usize>, whose| counts.get(&whose).copied().unwrap_or(0);
        if *all >= self.bounds.connections {
            return Err(Full::All);
        }
        if of(by_source, source) >= self.bounds.per_source {
            return Err(Full::Source);
        }
        if network.is_some_and(|network| of(by_network, network) >= self.bounds.per_network()) {
            return Err(Full::Network);
        }
        *all += 1;
        *by_source.entry(source).or_default() += 1;
        if let Some(network) = network {
            *by_network.entry(network).or_default() += 1;
        }
        Ok(Guest {
            guests: Arc::clone(self),
            source,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The IPv6 network of 64 bits; IPv4 has none that says as much.
fn network_of(source: IpAddr) -> Option<IpAddr> {
    match source {
        IpAddr::V6(source) => Some(Ipv6Addr::from_bits(source.to_bits() >> 64 << 64).into()),
        IpAddr::V4(_) => None,
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counted = self.guests.lock();
        counted.all -= 1;
        leave(&mut counted.by_source, self.source);
        if let Some(network) = network_of(self.source) {
            leave(&mut counted.by_network, network);
        }
    }
}

fn leave(counts: &mut HashMap<IpAddr, usize>, whose: IpAddr) {
    if let Entry::Occupied(mut count) = counts.entry(whose) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

#[cfg(test)]
mod tests;
