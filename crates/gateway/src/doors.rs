//! The listeners of pages, administrators and browsers, and the runtimes that serve them. Administrators have a thread of their own: what pages and strangers do
//! at their listener keeps no `/livez` waiting, whose silence has the gateway restarted.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustls::ServerConfig;
use socket2::SockRef;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::config;
use crate::edge::admin::{self, Desk};
use crate::edge::agent_ws::Front;
use crate::edge::media_worker::MediaWorker;
use crate::edge::serve::{Bounds, serve};
use crate::edge::{http, ice_tcp};
use crate::limits::{
    ADMIN_ACKNOWLEDGED_WITHIN, ADMIN_CONNECTIONS_MAX, ADMIN_UNSENT_OCTETS_MAX,
    HTTP_CONNECTIONS_SPARE,
};
use crate::run::RunError;

/// What is bound, and not yet served.
pub(crate) struct Doors {
    pub(crate) agents: TcpListener,
    pub(crate) admin: TcpListener,
    /// For browsers whose network lets no UDP out.
    pub(crate) browsers: Option<TcpListener>,
    pub(crate) agents_tls: Option<Arc<ServerConfig>>,
    pub(crate) front: Arc<Front>,
    pub(crate) desk: Arc<Desk>,
    /// Counts connections that found no place: agents', administrators', browsers'.
    pub(crate) refused: [Arc<AtomicU64>; 3],
    /// Of the agents' listener, and of the browsers'.
    pub(crate) bounds: Bounds,
}

/// Bounds of the agents' listener, and of the browsers'.
pub(crate) fn bounds(limits: &config::Limits) -> Bounds {
    Bounds {
        connections: limits.web_sockets.saturating_add(HTTP_CONNECTIONS_SPARE),
        per_source: limits.http_connections_per_source,
    }
}

/// What serves the doors.
pub(crate) fn runtime() -> Result<Runtime, RunError> {
    Builder::new_multi_thread()
        // With two, what wakes one wakes the other to look for more: a seventh of the processor time of a call.
        .worker_threads(1)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(|error| RunError::Start {
            what: "runtime",
            error,
        })
}

fn administrators() -> Result<Runtime, RunError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Start {
            what: "administrators' runtime",
            error,
        })
}

impl Doors {
    /// Serves them from now on, pages and browsers within the runtime that it is called in.
    pub(crate) fn open(self, media: &[MediaWorker]) -> Result<(), RunError> {
        let [agents_refused, admin_refused, browsers_refused] = self.refused;
        let admin_bounds = Bounds {
            connections: ADMIN_CONNECTIONS_MAX,
            per_source: ADMIN_CONNECTIONS_MAX,
        };
        let agents = tokio_listener("http.listen", self.agents)?;
        wait_here(&self.admin);
        let pages = http::router(self.front);
        let metrics = Arc::clone(&self.desk.metrics);
        metrics.counts_tasks_of(Handle::current());
        let desk = admin::router(self.desk);
        tokio::spawn(serve(
            agents,
            self.agents_tls,
            pages,
            self.bounds,
            agents_refused,
        ));
        let administrators = administrators()?;
        metrics.counts_tasks_of(administrators.handle().clone());
        let admin = {
            let _within = administrators.enter();
            tokio_listener("admin.listen", self.admin)?
        };
        let served = serve(admin, None, desk, admin_bounds, admin_refused);
        std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || administrators.block_on(served))
            .map_err(|error| RunError::Start {
                what: "administrators' thread",
                error,
            })?;
        if let Some(listener) = self.browsers {
            let listener = tokio_listener("webrtc.tcp_listen", listener)?;
            let workers = media.iter().map(MediaWorker::sender).collect();
            let served = ice_tcp::serve(listener, workers, self.bounds, browsers_refused);
            tokio::spawn(served);
        }
        Ok(())
    }
}

fn tokio_listener(
    what: &'static str,
    listener: TcpListener,
) -> Result<tokio::net::TcpListener, RunError> {
    tokio::net::TcpListener::from_std(listener).map_err(|error| RunError::Start { what, error })
}

/// Who does not read, or has vanished, loses its connection; and what a live consumer does not read waits in its queue, where the oldest goes and is counted, not in the system, which would keep a minute of it.
/// Connections inherit it from their listener.
fn wait_here(listener: &TcpListener) {
    let socket = SockRef::from(listener);
    let set = socket
        .set_tcp_notsent_lowat(ADMIN_UNSENT_OCTETS_MAX)
        .and_then(|()| socket.set_tcp_user_timeout(Some(ADMIN_ACKNOWLEDGED_WITHIN)));
    if let Err(error) = set {
        tracing::debug!(%error, "admin: the system decides how much waits in it, and for how long");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A dashboard whose host has lost its power keeps nobody else from the events: the connection ends, which inherits its time.
    #[test]
    fn an_administrator_who_has_vanished_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        wait_here(&listener);
        let _dashboard = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let time = SockRef::from(&accepted).tcp_user_timeout().unwrap();
        assert_eq!(time, Some(ADMIN_ACKNOWLEDGED_WITHIN));
    }
}
