//! Is a talkbridge running with this configuration, and is it well?

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use control::ReadyReport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::finding::{Area, Finding};
use crate::config::Config;

/// How long a gateway on this machine may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The longest answer that is read.
const ANSWER_OCTETS_MAX: u64 = 64 * 1024;

/// Whether one answers at the administrators' listener, and what it says of itself.
pub(super) async fn examine(config: &Config) -> (bool, Vec<Finding>) {
    let listen = config.admin.listen;
    let Ok(Some(report)) = timeout(ANSWER_WITHIN, ask(reachable(listen))).await else {
        return (false, Vec::new());
    };
    let mut findings = vec![Finding::ok(
        Area::Configuration,
        format!("talkbridge is running: it answers at [admin] listen {listen}"),
    )];
    for check in report.checks.iter().filter(|check| !check.ok) {
        let detail = check.detail.as_deref().unwrap_or("not ready");
        findings.push(Finding::warn(
            Area::Configuration,
            format!(
                "the running talkbridge is not ready: {}: {detail}",
                check.name
            ),
            "its log says more",
        ));
    }
    (true, findings)
}

/// An address to connect to, of one to listen on.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port());
    }
    listen
}

/// `None` when nobody answers, or somebody who is no talkbridge.
async fn ask(at: SocketAddr) -> Option<ReadyReport> {
    let mut stream = TcpStream::connect(at).await.ok()?;
    let request = format!("GET /readyz HTTP/1.0\r\nHost: {at}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let mut bounded = stream.take(ANSWER_OCTETS_MAX);
    bounded.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.").then_some(())?;
    serde_json::from_str(body).ok()
}
