//! How SIP connections are kept alive: by the operating system, and by pings where the other side answers them.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::timed_stream::TimedStream;
use crate::limits::{
    SIP_PONG_WITHIN, TCP_KEEP_ALIVE_INTERVAL, TCP_KEEP_ALIVE_TRIES, tcp_acknowledged_within,
};

/// `[sip.keep_alive]` of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    /// Silence after which the operating system asks the other end; `None` for never.
    pub tcp: Option<Duration>,
    /// Time between two pings of line ends; `None` for none.
    pub ping: Option<Duration>,
    /// How long the answer to a ping may take.
    pub pong_within: Duration,
    /// How long what was sent may stay without acknowledgement.
    pub acknowledged_within: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            tcp: None,
            ping: None,
            pong_within: SIP_PONG_WITHIN,
            acknowledged_within: tcp_acknowledged_within(sip::timer::Timers::default().patience()),
        }
    }
}

impl KeepAlive {
    /// Sets a fresh connection up. A system that knows no such option leaves it as it is: the connection works all the same.
    pub(super) fn prepare(self, stream: TcpStream) -> TimedStream {
        let _ = stream.set_nodelay(true);
        if let Some(idle) = self.tcp {
            let keep_alive = TcpKeepalive::new()
                .with_time(idle)
                .with_interval(TCP_KEEP_ALIVE_INTERVAL)
                .with_retries(TCP_KEEP_ALIVE_TRIES);
            if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&keep_alive) {
                tracing::debug!(%error, "sip: no TCP keep-alive");
            }
        }
        TimedStream::new(stream, self.acknowledged_within)
    }
}

/// The pings of one connection (RFC 5626 section 3.5.1): two line ends, answered by one.
#[derive(Debug)]
pub(super) struct Ping {
    every: Option<Duration>,
    pong_within: Duration,
    next: Instant,
    /// A ping waits for its answer.
    asked: bool,
}

impl Ping {
    pub(super) fn new(keep_alive: KeepAlive, now: Instant) -> Self {
        Self {
            every: keep_alive.ping,
            pong_within: keep_alive.pong_within,
            next: now + keep_alive.ping.unwrap_or_default(),
            asked: false,
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.every.is_some()
    }

    /// When [`Ping::send`] wants to be called.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    /// Whatever comes shows that the other end lives (RFC 5626 section 4.4.1 asks for no more).
    pub(super) fn heard(&mut self, now: Instant) {
        self.asked = false;
        self.next = now + self.every.unwrap_or_default();
    }

    /// Its time has come: `true` to ping, `false` when the last ping stayed without answer.
    pub(super) fn send(&mut self, now: Instant) -> bool {
        self.next = now + self.pong_within;
        !std::mem::replace(&mut self.asked, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever T1 is, a request that nobody acknowledges has time left for another connection.
    #[test]
    fn a_connection_is_given_up_before_its_requests() {
        let seconds = Duration::from_secs;
        for (patience, within) in [
            (seconds(32), seconds(27)),
            (seconds(64), seconds(59)),
            (Duration::from_millis(6_400), Duration::from_millis(3_200)),
            (Duration::from_millis(64), seconds(1)),
        ] {
            assert_eq!(tcp_acknowledged_within(patience), within);
        }
        assert_eq!(KeepAlive::default().acknowledged_within, seconds(27));
    }

    #[test]
    fn a_ping_without_answer_ends_the_connection() {
        let begin = Instant::now();
        let keep_alive = KeepAlive {
            ping: Some(Duration::from_secs(60)),
            ..KeepAlive::default()
        };
        let mut ping = Ping::new(keep_alive, begin);
        let first = begin + Duration::from_secs(60);
        assert_eq!(ping.next(), first);
        assert!(ping.send(first));
        assert_eq!(ping.next(), first + SIP_PONG_WITHIN);
        let pong = first + Duration::from_secs(1);
        ping.heard(pong);
        let second = pong + Duration::from_secs(60);
        assert_eq!(ping.next(), second);
        assert!(ping.send(second));
        assert!(!ping.send(second + SIP_PONG_WITHIN));
    }
}
