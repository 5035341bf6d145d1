//! What the operating system allows this process, compared with what the configuration may need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Descriptors that are open whatever happens: log, listeners, timers, polls, files being read.
const DESCRIPTORS_BASE: usize = 64;

/// How many descriptors the configured limits may need at most.
#[must_use]
pub fn descriptors_needed(config: &Config) -> usize {
    let limits = &config.limits;
    let calls = limits.calls.min(config.media.ports.pairs());
    let by_tcp = config.webrtc.tcp_listen.map_or(0, |_| limits.web_sockets);
    // Two sockets a call, one a page and perhaps one for its media, one a SIP stream, and the spare HTTP connections of both listeners.
    DESCRIPTORS_BASE
        + 2 * calls
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

/// Raises the soft limit of descriptors as far as needed and allowed. Says so in the log when it is not enough.
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
    if current >= needed {
        return Some(current);
    }
    let wanted = maximum.map_or(needed, |maximum| needed.min(maximum));
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
    }
}
