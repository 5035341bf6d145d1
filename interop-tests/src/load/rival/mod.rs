//! Other people's programs that join a telephone and a page when an application tells them to.
//!
//! Each stands between the same pages and telephones as talkbridge, set up as well as its own
//! documentation says for calls of this kind.
//!
//! | file | is |
//! |---|---|
//! | `rtpengine`, `ng` | rtpengine in user space, and its control protocol |
//! | `janus`, `janus_api` | Janus with its NoSIP plugin, and its API over a WebSocket |

mod janus;
mod janus_api;
mod ng;
mod rtpengine;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::oneshot;

use super::field::Orders;
use super::sip_text::Dialog;
use super::subject::Kind;
use super::{CALLS_PER_S, Case, Map, dn};
use crate::Result;

pub(super) use janus::Janus;
pub(super) use rtpengine::Rtpengine;

/// From the answer to a page that is connected.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// What a rival does for a call.
pub(super) trait Rival {
    /// Joins the caller and the page of a session, as a gateway has it done that is called: plain RTP
    /// is offered, WebRTC answers. Yields what fires when the page is connected.
    async fn bridge(&mut self, session: usize, field: &Orders) -> Result<oneshot::Receiver<()>>;
}

/// As many as talkbridge has media workers, of which 0 is its own default.
fn media_threads(workers: u16) -> usize {
    match usize::from(workers) {
        0 => available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1)),
        workers => workers,
    }
}

/// Brings the calls of some sessions up, at the pace of all.
pub(super) async fn connect(
    rival: &mut impl Rival,
    sessions: Range<usize>,
    field: &Orders,
) -> Result<()> {
    let mut connections = Vec::new();
    for session in sessions {
        let began = tokio::time::Instant::now();
        connections.push(rival.bridge(session, field).await?);
        tokio::time::sleep_until(began + Duration::from_secs(1) / CALLS_PER_S).await;
    }
    for connection in connections {
        tokio::time::timeout(CONNECT_MAX, connection)
            .await
            .map_err(|_| format!("a page is not connected after {CONNECT_MAX:?}"))??;
    }
    Ok(())
}

/// The rivals that have no turns, and why: not wanted, not made for it, or not installed.
pub fn absent(case: Case, alone: bool) -> BTreeMap<Kind, String> {
    let absence = |kind| match (kind, case) {
        _ if alone => Some("not asked for"),
        (Kind::Janus, Case::Transcode) => Some("it hands audio on as it is and transcodes none"),
        _ => installed(kind.name()).is_none().then_some("not installed"),
    };
    Kind::RIVALS
        .into_iter()
        .filter_map(|kind| Some((kind, absence(kind)?.to_owned())))
        .collect()
}

/// Where a program is installed, if it is.
fn installed(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The call of a session as SIP Server begins it, and what its caller offers.
fn call(map: &Map, session: usize) -> Result<(Dialog, String)> {
    let nowhere = SocketAddr::new(map.caller_host(), 5060);
    let dialog = Dialog {
        session,
        dn: dn(session),
        us: nowhere,
        them: nowhere,
        caller: map.caller(session),
        their_tag: None,
    };
    let invite = dialog.invite();
    let (_, offer) = invite
        .split_once("\r\n\r\n")
        .ok_or("an INVITE has a body")?;
    let offer = offer.to_owned();
    Ok((dialog, offer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_absent_is_told_why() {
        let alone = absent(Case::Relay, true);
        assert_eq!(alone.len(), Kind::RIVALS.len());
        assert_eq!(alone[&Kind::Rtpengine], "not asked for");
        let transcoding = absent(Case::Transcode, false);
        assert!(transcoding[&Kind::Janus].contains("transcodes none"));
        assert_eq!(installed("a program that nobody has"), None);
    }
}
