//! A TCP connection to SIP Server on which what was sent is acknowledged in its time, or the connection is given up (`TCP_USER_TIMEOUT`, RFC 5482).
//!
//! The operating system is told so while something may be on its way, and no longer: on a connection that is silent it would take the same time for the
//! most that the other end's silence may last, and end a healthy one at the first question (keep-alive probe) that is lost.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::TCP_UNACKNOWLEDGED_MARGIN;

/// The connection.
#[derive(Debug)]
pub(super) struct TimedStream {
    stream: TcpStream,
    within: Duration,
    /// Until when something that was sent may be on its way. What is not acknowledged by then has ended the connection.
    under_way: Option<Pin<Box<Sleep>>>,
}

impl TimedStream {
    /// Nothing has been sent yet.
    pub(super) const fn new(stream: TcpStream, within: Duration) -> Self {
        Self {
            stream,
            within,
            under_way: None,
        }
    }

    #[allow(clippy::disallowed_methods)] // The shell reads the clock.
    fn sends(&mut self) {
        let until = Instant::now() + self.within + TCP_UNACKNOWLEDGED_MARGIN;
        if let Some(sleep) = &mut self.under_way {
            sleep.as_mut().reset(until);
            return;
        }
        self.give_up_after(self.within);
        self.under_way = Some(Box::pin(sleep_until(until)));
    }

    /// Polled with every read, as somebody always waits for one.
    fn rests(&mut self, context: &mut Context<'_>) {
        let Some(sleep) = &mut self.under_way else {
            return;
        };
        if sleep.as_mut().poll(context).is_ready() {
            self.under_way = None;
            self.give_up_after(Duration::ZERO);
        }
    }

    /// Zero is the system's own time. A system that knows no such option leaves the connection as it is: it works all the same.
    fn give_up_after(&self, time: Duration) {
        let set = SockRef::from(&self.stream).set_tcp_user_timeout(Some(time));
        if let Err(error) = set {
            tracing::debug!(%error, "sip: the system decides how long it repeats");
        }
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.rests(context);
        Pin::new(&mut this.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = ready!(Pin::new(&mut this.stream).poll_write(context, octets));
        this.sends();
        Poll::Ready(sent)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, octets));
        this.sends();
        Poll::Ready(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A firewall that has forgotten the connection while a request was on its way: given up before the request is. When nothing is on its way the other end
    /// is asked as often as it may be: one lost question ended a quiet connection.
    #[tokio::test]
    async fn only_what_is_under_way_has_a_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, accepted) = tokio::join!(stream, listener.accept());
        let (mut other_end, _) = accepted.unwrap();
        let within = Duration::from_millis(1);
        let mut stream = TimedStream::new(stream.unwrap(), within);
        let time = |stream: &TimedStream| {
            SockRef::from(&stream.stream)
                .tcp_user_timeout()
                .unwrap()
                .filter(|time| !time.is_zero())
        };
        assert_eq!(time(&stream), None);
        for _ in 0..2 {
            stream.write_all(b"x").await.unwrap();
            assert_eq!(time(&stream), Some(within));
            let mut octet = [0];
            other_end.read_exact(&mut octet).await.unwrap();
            // Somebody waits for an octet; none comes until the time has passed.
            let patience = tokio::time::sleep(Duration::from_secs(20));
            tokio::pin!(patience);
            while time(&stream).is_some() {
                let look = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut octet));
                tokio::select! {
                    read = look => assert!(read.is_err(), "nothing was said"),
                    () = &mut patience => panic!("the time of what was acknowledged goes on"),
                }
            }
        }
    }
}
