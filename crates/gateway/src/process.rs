//! What the operating system allows this process, compared with what the configuration may need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::limits::{DESCRIPTORS_MAX, RECORDINGS_ENDED_MAX};

/// Descriptors that are open whatever happens: log, listeners, timers, polls, files being read.
const DESCRIPTORS_BASE: usize = 64;

/// How many descriptors the configured limits may need at most.
#[must_use]
pub fn descriptors_needed(config: &Config) -> usize {
    let limits = &config.limits;
    let calls = limits.calls.min(config.media.ports.pairs());
    // A file of each call, and those that wait for their end.
    let recordings = config.recording.folder.as_ref();
    let recordings = recordings.map_or(0, |_| calls + RECORDINGS_ENDED_MAX);
    let by_tcp = config.webrtc.tcp_listen.map_or(0, |_| limits.web_sockets);
    // Two sockets a call, one a page and perhaps one for its media, one a SIP stream, and the spare HTTP connections of both listeners.
    DESCRIPTORS_BASE
        + 2 * calls
        + recordings
        + limits.web_sockets
        + by_tcp
        + crate::limits::HTTP_CONNECTIONS_SPARE
        + crate::limits::ADMIN_CONNECTIONS_MAX
        + limits.sip_connections
}

/// How many descriptors the gateway could get: the soft limit is raised up to the hard one. `None` is "no limit".
#[must_use]
pub fn descriptors_allowed() -> Option<usize> {
    let maximum = getrlimit(Resource::Nofile).maximum?;
    Some(usize::try_from(maximum).unwrap_or(usize::MAX))
}

/// Raises the soft limit of descriptors as far as allowed: the count is an estimate, and a descriptor that is missing costs a call. Says so in the log when it is not enough.
pub fn provide_descriptors(config: &Config) {
    let needed = u64::try_from(descriptors_needed(config)).unwrap_or(u64::MAX);
    let granted = raise_descriptor_limit(needed);
    if granted.is_some_and(|granted| granted < needed) {
        tracing::warn!(
            needed,
            granted,
            "too few file descriptors for the configured limits; raise LimitNOFILE or lower [limits] calls and web_sockets"
        );
    }
}

/// The limit after trying; `None` is "no limit".
fn raise_descriptor_limit(needed: u64) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current?;
    let wanted = wanted(needed, maximum);
    if current >= wanted {
        return Some(current);
    }
    match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(wanted),
            maximum,
        },
    ) {
        Ok(()) => Some(wanted),
        Err(_) => Some(current),
    }
}

/// All that the system allows, up to what nobody needs; more only where it is needed.
fn wanted(needed: u64, maximum: Option<u64>) -> u64 {
    let most = DESCRIPTORS_MAX.max(needed);
    maximum.map_or(most, |maximum| most.min(maximum))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Calls are bounded by the limit or by the ports, whichever is less.
    #[test]
    fn descriptors_follow_the_tighter_bound() {
        let text = include_str!("../../../conf/talkbridge.minimal.toml");
        let mut config = crate::config::parse("minimal".as_ref(), text, &|_| None)
            .unwrap()
            .config;
        let by_limit = descriptors_needed(&config);
        config.limits.calls = 1;
        assert_eq!(by_limit - descriptors_needed(&config), 2 * 1999);
        config.limits.calls = 2000;
        config.media.ports = "16384-16387".parse().unwrap();
        assert_eq!(by_limit - descriptors_needed(&config), 2 * 1998);
        let unrecorded = descriptors_needed(&config);
        config.recording.folder = Some("recordings".into());
        let recorded = descriptors_needed(&config);
        assert_eq!(recorded - unrecorded, 2 + RECORDINGS_ENDED_MAX);
    }

    #[test]
    fn what_the_system_allows_is_taken() {
        assert_eq!(wanted(20_000, Some(65_536)), 65_536);
        assert_eq!(wanted(20_000, Some(4_096)), 4_096);
        assert_eq!(wanted(20_000, Some(1 << 30)), DESCRIPTORS_MAX);
        assert_eq!(wanted(20_000, None), DESCRIPTORS_MAX);
        assert_eq!(wanted(DESCRIPTORS_MAX + 1, None), DESCRIPTORS_MAX + 1);
    }
}
