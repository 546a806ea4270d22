use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Longest time for the client to close its side, once ours is closed.
const LINGER: Duration = Duration::from_secs(2);

/// A stream that, when it is shut down, reads on and throws away what comes until
/// the client has closed its side as well.
///
/// A socket that is closed with bytes unread tells the client so by a reset,
/// and a client that was still sending a body then finds the reset instead of
/// the answer that told it why (RFC 9112, section 9.6).
pub(super) struct Lingering<S> {
    stream: S,
    /// Bytes to throw away at most.
    left: usize,
    is_shut: bool,
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    pub(super) fn new(stream: S, most: usize) -> Self {
        Self { stream, left: most, is_shut: false, until: None }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, left, is_shut, until } = &mut *self;
        let until = until.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !*is_shut {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            *is_shut = true;
        }
        let mut scrap = [0; 8 << 10];
        while *left > 0 {
            let mut scrap = ReadBuf::new(&mut scrap);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut scrap))?;
            let read = scrap.filled().len();
            *left = if read == 0 { 0 } else { left.saturating_sub(read) };
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}
