//! Enforces a minimum rate at which clients read responses. hyper has no such limit.
//!
//! Without it, a client that stops reading, or reads a few bytes at a time, could hold its connection and the buffers
//! of its response indefinitely (CWE-400). hyper limits the time to receive a request head, and nothing after it.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes per second that a client must read while a write of a response is pending.
const MINIMUM_RATE: u32 = 1024;
/// How far a client may fall behind [`MINIMUM_RATE`] before its connection is closed.
const ALLOWANCE: Duration = Duration::from_secs(30);
/// A stream whose writes fail with [`ErrorKind::TimedOut`] once the client reads too slowly.
///
/// Only time with a pending write counts. Idle connections, and the time in which the server computes a response, are
/// not limited here.
#[derive(Debug)]
pub(crate) struct MinimumRate<I> {
    inner: I,
    /// How far the client was behind [`MINIMUM_RATE`] when the last write completed.
    behind: Duration,
    /// When the pending write began, and a timer for when the client will be [`ALLOWANCE`] behind.
    pending_write: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<I> MinimumRate<I> {
    pub(crate) fn new(inner: I) -> Self {
        Self { inner, behind: Duration::ZERO, pending_write: None }
    }

    /// Updates `behind` with the result of a write. Fails once the client is [`ALLOWANCE`] behind.
    fn account(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                let waited = self.pending_write.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
                let credit = Duration::from_secs(bytes as u64) / MINIMUM_RATE;
                self.behind = (self.behind + waited).saturating_sub(credit);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let left = ALLOWANCE.saturating_sub(self.behind);
                let (_, deadline) = self.pending_write.get_or_insert_with(|| {
                    let now = Instant::now();
                    (now, Box::pin(sleep_until(now + left)))
                });
                ready!(deadline.as_mut().poll(context));
                tracing::debug!("connection closed: the client reads too slowly");
                Poll::Ready(Err(ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for MinimumRate<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.account(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = Pin::new(&mut self.inner);
        // Most responses consist of a head only. Writing it as one buffer is faster than as a list of one buffer.
        let written = match slices {
            [one] => inner.poll_write(context, one),
            _ => inner.poll_write_vectored(context, slices),
        };
        self.account(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for MinimumRate<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    /// Writes continuously to a client that reads `bytes` at the interval `every`. Returns how long the connection
    /// lasted, at most an hour.
    async fn connection_lifetime(bytes: usize, every: Duration) -> Duration {
        let (ours, mut theirs) = duplex(64);
        let mut stream = MinimumRate::new(ours);
        let client = tokio::spawn(async move {
            let mut buffer = vec![0; bytes];
            loop {
                tokio::time::sleep(every).await;
                if theirs.read_exact(&mut buffer).await.is_err() {
                    return;
                }
            }
        });
        let began = Instant::now();
        let hour = tokio::time::timeout(Duration::from_secs(3_600), async {
            while stream.write_all(&[0; 64]).await.is_ok() {}
        });
        let _ = hour.await;
        client.abort();
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_too_slowly_loses_its_connection_within_a_minute() {
        let seconds =
            async |bytes, every| connection_lifetime(bytes, Duration::from_secs(every)).await.as_secs();
        assert_eq!(seconds(64, 3_600).await, 30, "reads nothing");
        assert!((30..=31).contains(&seconds(64, 5).await), "reads 13 bytes a second");
        assert!((35..=60).contains(&seconds(512, 1).await), "reads at half of the minimum rate");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_at_the_minimum_rate_keeps_its_connection() {
        assert_eq!(connection_lifetime(1024, Duration::from_secs(1)).await.as_secs(), 3_600);
        assert_eq!(connection_lifetime(20 * 1024, Duration::from_secs(20)).await.as_secs(), 3_600);
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_a_pending_write_does_not_count() {
        let (ours, mut theirs): (DuplexStream, _) = duplex(64);
        let mut stream = MinimumRate::new(ours);
        for _ in 0..100 {
            stream.write_all(&[0; 64]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
            let mut buffer = [0; 64];
            theirs.read_exact(&mut buffer).await.unwrap();
        }
        // The client falls 29 s behind, which is less than the allowance, and then reads on.
        let slow_client = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(29)).await;
            let mut buffer = [0; 32];
            theirs.read_exact(&mut buffer).await.unwrap();
            theirs
        });
        stream.write_all(&[0; 96]).await.unwrap();
        drop(slow_client);
    }
}
