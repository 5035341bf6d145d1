//! Connections that come in at a listener, whatever is spoken on them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::canonical;
use super::sparing::Sparing;

/// The pause after a connection that could not be taken: out of descriptors, the next try at once would spin.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener that never gives up.
#[derive(Debug)]
pub(super) struct Arrivals {
    listener: TcpListener,
    /// What is spoken, as log lines name it.
    what: &'static str,
    lines: Sparing,
}

impl Arrivals {
    pub(super) fn new(listener: TcpListener, what: &'static str) -> Self {
        Self {
            listener,
            what,
            lines: Sparing::default(),
        }
    }

    /// The next connection and whose it is; `None` after one that could not be taken, and a pause.
    pub(super) async fn next(&self) -> Option<(TcpStream, SocketAddr)> {
        match self.listener.accept().await {
            Ok((stream, remote)) => Some((stream, canonical(remote))),
            Err(error) => {
                if let Some(unsaid) = self.lines.line(Instant::now()) {
                    tracing::warn!(%error, unsaid, "{}: no connection can be accepted", self.what);
                }
                tokio::time::sleep(PAUSE).await;
                None
            }
        }
    }
}
