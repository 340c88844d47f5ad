//! A minimum rate for clients that read a response, which hyper does not have.
//!
//! A client that stops reading, or reads a few bytes now and then, would keep its connection and the buffers of its
//! response for as long as it likes (CWE-400). hyper limits how long a request head may take, and nothing after it.

use axum_server::accept::{Accept, DefaultAcceptor, NoDelayAcceptor};
use futures::future::{MapOk, TryFutureExt};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes a second that a client has to read while there is more of a response to write.
const MINIMUM_RATE: u32 = 1024;
/// How far a client may fall behind that rate before its connection is closed.
const ALLOWANCE: Duration = Duration::from_secs(30);
/// Bytes of a response that the kernel holds before they are sent. Without a limit it takes megabytes, which the server
/// would count as read.
const UNSENT_BYTES: u32 = 16 * 1024;

/// Prepares a TCP connection: no delay between the pieces of a response (RFC 9293, 3.7.4), and the minimum rate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TcpAcceptor;

impl<S> Accept<TcpStream, S> for TcpAcceptor {
    type Stream = MinimumRate<TcpStream>;
    type Service = S;
    type Future = MapOk<
        <NoDelayAcceptor as Accept<TcpStream, S>>::Future,
        fn((TcpStream, S)) -> (MinimumRate<TcpStream>, S),
    >;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        if let Err(error) = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES) {
            tracing::debug!(%error, "TCP_NOTSENT_LOWAT");
        }
        NoDelayAcceptor.accept(stream, service).map_ok(limited)
    }
}

/// Applies the minimum rate to a connection of any other kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AnyAcceptor;

impl<I, S> Accept<I, S> for AnyAcceptor {
    type Stream = MinimumRate<I>;
    type Service = S;
    type Future = MapOk<<DefaultAcceptor as Accept<I, S>>::Future, fn((I, S)) -> (MinimumRate<I>, S)>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        DefaultAcceptor.accept(stream, service).map_ok(limited)
    }
}

fn limited<I, S>((stream, service): (I, S)) -> (MinimumRate<I>, S) {
    (MinimumRate::new(stream), service)
}

/// A stream whose writes fail with [`ErrorKind::TimedOut`] once the other end reads too slowly.
///
/// Only the time counts in which a write waits: a connection without a response, and a response that the server
/// computes, may take as long as they like.
#[derive(Debug)]
pub(crate) struct MinimumRate<I> {
    inner: I,
    /// How far the client was behind [`MINIMUM_RATE`] when it last read.
    behind: Duration,
    /// Since when a write waits, and when the client will be [`ALLOWANCE`] behind.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<I> MinimumRate<I> {
    fn new(inner: I) -> Self {
        Self { inner, behind: Duration::ZERO, waiting: None }
    }

    /// Accounts for what a write came to.
    fn account(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                let waited = self.waiting.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
                let worth = Duration::from_secs(bytes as u64) / MINIMUM_RATE;
                self.behind = (self.behind + waited).saturating_sub(worth);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let left = ALLOWANCE.saturating_sub(self.behind);
                let (_, late) = self.waiting.get_or_insert_with(|| {
                    let now = Instant::now();
                    (now, Box::pin(sleep_until(now + left)))
                });
                ready!(late.as_mut().poll(context));
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
        // Most responses are a head alone, which is written in less time as one buffer than as a list of one.
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

    /// Writes without end to a client that reads so many bytes each time; how long that went on.
    async fn lasted(bytes: usize, every: Duration) -> Duration {
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
        let seconds = async |bytes, every| lasted(bytes, Duration::from_secs(every)).await.as_secs();
        assert_eq!(seconds(64, 3_600).await, 30, "one that reads nothing");
        assert!((30..=31).contains(&seconds(64, 5).await), "13 bytes a second");
        assert!((35..=60).contains(&seconds(512, 1).await), "half of the rate");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_at_the_minimum_rate_keeps_its_connection() {
        assert_eq!(lasted(1024, Duration::from_secs(1)).await.as_secs(), 3_600);
        assert_eq!(lasted(20 * 1024, Duration::from_secs(20)).await.as_secs(), 3_600);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_there_is_nothing_to_write_does_not_count() {
        let (ours, mut theirs): (DuplexStream, _) = duplex(64);
        let mut stream = MinimumRate::new(ours);
        for _ in 0..100 {
            stream.write_all(&[0; 64]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
            let mut buffer = [0; 64];
            theirs.read_exact(&mut buffer).await.unwrap();
        }
        // Behind by 29 s, and then in time again.
        let late = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(29)).await;
            let mut buffer = [0; 32];
            theirs.read_exact(&mut buffer).await.unwrap();
            theirs
        });
        stream.write_all(&[0; 96]).await.unwrap();
        drop(late);
    }
}
