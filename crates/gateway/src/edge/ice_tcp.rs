//! The port at which browsers connect whose network lets no UDP out (ICE over TCP, RFC 6544). A connection says by its first check whose leg it
//! is for, and goes to the worker that has it; one that says nothing, or nothing of use, is closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use media::framing::Deframer;
use media::stun::{BindingRequest, DatagramKind};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::arrivals::Arrivals;
use super::media_worker::{Newcomer, WorkerSender};
use super::serve::{Bounds, Guest, Guests};
use crate::limits::{ICE_TCP_FIRST_CHECK_MAX, ICE_TCP_FIRST_CHECK_WITHIN};

/// Serves `listener` for ever.
pub async fn serve(
    listener: TcpListener,
    workers: Vec<WorkerSender>,
    bounds: Bounds,
    refused: Arc<AtomicU64>,
) {
    let workers: Arc<[WorkerSender]> = workers.into();
    let guests = Guests::new(bounds);
    let arrivals = Arrivals::new(listener, "webrtc");
    loop {
        let Some((stream, remote)) = arrivals.next().await else {
            continue;
        };
        let Some(guest) = guests.let_in("webrtc", remote) else {
            refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let (workers, refused) = (Arc::clone(&workers), Arc::clone(&refused));
        tokio::spawn(async move {
            if !introduce(stream, remote, &workers, guest).await {
                refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%remote, "webrtc: a connection of nobody's browser is closed");
            }
        });
    }
}

/// Finds the worker of a connection. Whether one has taken it.
async fn introduce(
    mut stream: TcpStream,
    peer: SocketAddr,
    workers: &[WorkerSender],
    guest: Guest,
) -> bool {
    // A packet of 20 ms must not wait for the next.
    let _ = stream.set_nodelay(true);
    let first = timeout(ICE_TCP_FIRST_CHECK_WITHIN, first_check(&mut stream)).await;
    let Ok(Some((ufrag, heard))) = first else {
        return false;
    };
    let Ok(stream) = stream.into_std() else {
        return false;
    };
    let mut newcomer = Newcomer {
        stream,
        peer,
        ufrag,
        heard,
        guest,
    };
    for worker in workers {
        match worker.adopt(newcomer).await {
            Some(given_back) => newcomer = given_back,
            None => return true,
        }
    }
    false
}

/// Reads the first frame, which must be a check that names a leg. The user fragment, and everything that was read.
async fn first_check(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut heard, mut deframer) = (Vec::new(), Deframer::default());
    let mut octets = [0; ICE_TCP_FIRST_CHECK_MAX];
    loop {
        let room = octets.len().checked_sub(heard.len())?;
        let length = stream.read(&mut octets[..room]).await.ok()?;
        if length == 0 {
            return None;
        }
        heard.extend_from_slice(&octets[..length]);
        deframer.push(&octets[..length]);
        if let Some(datagram) = deframer.next_frame().ok()? {
            if DatagramKind::of(datagram) != DatagramKind::Stun {
                return None;
            }
            let ufrag = BindingRequest::glance(datagram)?.local_ufrag.to_owned();
            return Some((ufrag, heard));
        }
    }
}
