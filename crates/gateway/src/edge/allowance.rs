//! How much a connection may say before it is known who speaks: what nobody vouches for must not fill the memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Any number of octets.
const UNBOUNDED: usize = usize::MAX;

/// How many further octets a connection may bring, among the extensions of each of its requests. As many as it likes, until somebody sets a bound.
#[derive(Debug, Clone)]
pub struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    pub(super) fn unbounded() -> Self {
        Self(Arc::new(AtomicUsize::new(UNBOUNDED)))
    }

    /// So many from now on. More end the connection for its reader, by `QuotaExceeded`.
    pub fn bound(&self, octets: usize) {
        self.0.store(octets, Ordering::Relaxed);
    }

    /// As many as it likes again.
    pub fn lift(&self) {
        self.0.store(UNBOUNDED, Ordering::Relaxed);
    }

    /// Takes what has come; whether that was allowed.
    fn take(&self, octets: usize) -> bool {
        // Whoever reads waits for nobody who could change it meanwhile.
        match self.0.load(Ordering::Relaxed) {
            UNBOUNDED => true,
            left => {
                self.0.store(left.saturating_sub(octets), Ordering::Relaxed);
                octets <= left
            }
        }
    }
}

/// A connection that keeps to its allowance.
#[derive(Debug)]
pub(super) struct Allowed<S> {
    stream: S,
    allowance: Allowance,
}

impl<S> Allowed<S> {
    pub(super) const fn new(stream: S, allowance: Allowance) -> Self {
        Self { stream, allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Allowed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let came = buffer.filled().len() - before;
        Poll::Ready(match this.allowance.take(came) {
            true => Ok(()),
            false => Err(io::ErrorKind::QuotaExceeded.into()),
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Allowed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, octets)
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
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, octets)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
