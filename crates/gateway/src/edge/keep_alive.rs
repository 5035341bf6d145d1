//! How SIP connections are kept alive: by the operating system, and by pings where the other side answers them.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::limits::{
    SIP_PONG_WITHIN, TCP_KEEP_ALIVE_INTERVAL, TCP_KEEP_ALIVE_TRIES, TCP_UNACKNOWLEDGED_MAX,
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
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            tcp: None,
            ping: None,
            pong_within: SIP_PONG_WITHIN,
        }
    }
}

impl KeepAlive {
    /// Sets a fresh connection up. A system that knows no such option leaves it as it is: the connection works all the same.
    pub(super) fn prepare(self, stream: &TcpStream) {
        let _ = stream.set_nodelay(true);
        let socket = SockRef::from(stream);
        if let Err(error) = socket.set_tcp_user_timeout(Some(TCP_UNACKNOWLEDGED_MAX)) {
            tracing::debug!(%error, "sip: the system decides how long it repeats");
        }
        if let Some(idle) = self.tcp {
            let keep_alive = TcpKeepalive::new()
                .with_time(idle)
                .with_interval(TCP_KEEP_ALIVE_INTERVAL)
                .with_retries(TCP_KEEP_ALIVE_TRIES);
            if let Err(error) = socket.set_tcp_keepalive(&keep_alive) {
                tracing::debug!(%error, "sip: no TCP keep-alive");
            }
        }
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
    #![allow(clippy::unwrap_used)]
    use tokio::net::TcpListener;

    use super::*;

    /// A firewall that has forgotten the connection while a request was on its way: given up before the request is, also where nobody is asked whether he lives.
    #[tokio::test]
    async fn what_is_not_acknowledged_ends_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        KeepAlive::default().prepare(&stream);
        let socket = SockRef::from(&stream);
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(TCP_UNACKNOWLEDGED_MAX)
        );
        assert!(TCP_UNACKNOWLEDGED_MAX < sip::timer::Timers::default().patience());
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
