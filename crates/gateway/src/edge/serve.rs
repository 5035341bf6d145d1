//! Accepts HTTP connections, plain or TLS, within bounds: in all, for one source, and in time.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::arrivals::Arrivals;
use crate::limits::HTTP_HEAD_WITHIN;

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

/// Serves `router` on `listener` for ever.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    bounds: Bounds,
    refused: Arc<AtomicU64>,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let guests = Guests::new(bounds);
    let arrivals = Arrivals::new(listener, "http");
    loop {
        let Some((stream, remote)) = arrivals.next().await else {
            continue;
        };
        let Some(guest) = guests.enter(remote.ip()) else {
            refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        tokio::spawn(accepted(
            stream,
            remote,
            acceptor.clone(),
            router.clone(),
            guest,
        ));
    }
}

async fn accepted(
    stream: TcpStream,
    remote: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    guest: Guest,
) {
    let _ = stream.set_nodelay(true);
    let seat = Seat {
        _guest: Arc::new(guest),
    };
    match acceptor {
        None => connection(stream, remote, router, seat).await,
        Some(acceptor) => match timeout(HTTP_HEAD_WITHIN, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => connection(stream, remote, router, seat).await,
            Ok(Err(error)) => tracing::debug!(%remote, %error, "http: TLS handshake failed"),
            Err(_) => tracing::debug!(%remote, "http: TLS handshake took too long"),
        },
    }
}

async fn connection<S>(stream: S, remote: SocketAddr, router: Router, seat: Seat)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(remote));
        request.extensions_mut().insert(seat.clone());
        router.call(request.map(Body::new))
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_HEAD_WITHIN)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%remote, %error, "http: connection ended");
    }
}

/// Who is connected, by address.
#[derive(Debug)]
pub(super) struct Guests {
    bounds: Bounds,
    by_source: Mutex<(usize, HashMap<IpAddr, usize>)>,
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
            by_source: Mutex::default(),
        })
    }

    pub(super) fn enter(self: &Arc<Self>, source: IpAddr) -> Option<Guest> {
        let mut counted = self
            .by_source
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (all, by_source) = &mut *counted;
        let of_source = by_source.get(&source).copied().unwrap_or(0);
        if *all >= self.bounds.connections || of_source >= self.bounds.per_source {
            return None;
        }
        *all += 1;
        by_source.insert(source, of_source + 1);
        Some(Guest {
            guests: Arc::clone(self),
            source,
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counted = self
            .guests
            .by_source
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (all, by_source) = &mut *counted;
        *all -= 1;
        if let Some(of_source) = by_source.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_take_every_place() {
        let bounds = Bounds {
            connections: 3,
            per_source: 2,
        };
        let guests = Guests::new(bounds);
        let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = guests.enter(a);
        let second = guests.enter(a);
        assert!(first.is_some() && second.is_some());
        assert!(guests.enter(a).is_none());
        let third = guests.enter(b);
        assert!(third.is_some());
        drop(first);
        let again = guests.enter(a);
        assert!(again.is_some());
        assert!(guests.enter(b).is_none());
        drop((second, third, again));
        assert_eq!(
            guests.by_source.lock().map(|g| (g.0, g.1.len())).ok(),
            Some((0, 0))
        );
    }
}
