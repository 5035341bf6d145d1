//! TLS handshakes that stop in the middle of the client's first message.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::besieged::Besieged;
use super::streams::{Tls, connect};
use crate::{Site, eventually_async};

/// Connections that the configuration has room for.
const PLACES: usize = 50;

/// More than there are places, all from SIP Server's own address.
const STALLED: usize = 200;

/// Longer than a handshake may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Refusals of connections for which there is no place.
const REFUSED: &str = "talkbridge_sip_connections_refused_total";

/// As long as it is told to: hellos that stop halfway take every place that there is. The others are refused, the call that is up is heard and driven, an
/// agent signs in, each place is free again in its time, and the next whole handshake is served.
///
/// # Panics
/// When that is not so.
pub(super) async fn half_hellos(length: Duration) -> String {
    let mut tls = None;
    let mut besieged = Besieged::start_at(Site::new(), |site, config| {
        tls = Some(Tls::listen(site, config));
        config["limits"] = json!({"sip_connections": PLACES});
    })
    .await;
    let tls = tls.expect("it was configured above");
    let from = besieged.desk.site.sip_server();
    let until = Instant::now() + length;
    let (mut stalled, mut agent) = (0, None);
    loop {
        let open = stall(&tls, from).await;
        assert!(open.len() > PLACES, "{} connections", open.len());
        stalled += open.len();
        let gateway = &besieged.desk.gateway;
        eventually_async("some find no place", || async {
            (gateway.metric(REFUSED, "").await >= 1.0).then_some(())
        })
        .await;
        besieged.is_heard().await;
        besieged.is_driven().await;
        if agent.is_none() {
            agent = Some(besieged.admits_another_agent().await);
        }
        let closed = tokio::time::timeout(PATIENCE, all_closed(open)).await;
        assert!(closed.is_ok(), "handshakes that have stopped stay open");
        assert_eq!(tls.asks(from, "half hellos").await, *b"SIP/2.0 200");
        if Instant::now() >= until {
            break;
        }
    }
    let grown = besieged.has_grown_at_most(64);
    besieged.is_heard().await;
    drop(agent);
    besieged.ends().await;
    format!("{stalled} handshakes for {PLACES} places; grown by {grown} MiB")
}

/// Connects as often as it can, and sends the first half of a hello on each.
async fn stall(tls: &Tls, from: IpAddr) -> Vec<TcpStream> {
    let mut client = ClientConnection::new(Arc::clone(tls.client()), tls.gateway().ip().into())
        .expect("the configuration is whole");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a buffer takes it");
    let mut open = Vec::new();
    for _ in 0..STALLED {
        let Ok(mut stream) = connect(from, tls.gateway()).await else {
            continue;
        };
        // Who has no place is closed before it has said anything.
        drop(stream.write_all(&hello[..hello.len() / 2]).await);
        open.push(stream);
    }
    open
}

/// Reads each to its end: nobody is told anything.
async fn all_closed(open: Vec<TcpStream>) {
    for mut stream in open {
        let mut answer = Vec::new();
        // A place that was refused may end in a reset.
        drop(stream.read_to_end(&mut answer).await);
        assert_eq!(answer, b"", "half a hello has no answer");
    }
}
