//! Collects what a task writes during one poll, and sends it in one piece at the end. h2 would
//! write each larger frame by itself and flush after each, which costs more than all other work for
//! a small request.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes buffered until the end of a poll. What exceeds that is sent earlier.
const ROOM: usize = 32 * 1024;

/// A handle on a corked connection. Bytes are sent only by [`run`](Self::run), so whatever writes
/// to the handle must run inside it.
#[derive(Debug)]
pub(crate) struct Cork<T>(Rc<RefCell<Corked<T>>>);

#[derive(Debug)]
struct Corked<T> {
    io: T,
    /// Written during this poll. Freed between polls.
    kept: Vec<u8>,
    /// How many bytes of `kept` were sent.
    sent: usize,
    /// Whether, during this poll, the socket did not take all: the writer has more to write.
    stalled: bool,
}

// === impl Cork ===

impl<T> Clone for Cork<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: AsyncWrite + Unpin> Cork<T> {
    pub(crate) fn new(io: T) -> Self {
        Self(Rc::new(RefCell::new(Corked {
            io,
            kept: Vec::new(),
            sent: 0,
            stalled: false,
        })))
    }

    /// Runs `work`; at the end of each poll, sends what it has written.
    ///
    /// # Errors
    /// If the connection breaks while `work` is not finished.
    pub(crate) async fn run<F: Future>(&self, work: F) -> io::Result<F::Output> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.0.borrow_mut().stalled = false;
            let polled = work.as_mut().poll(cx);
            let sent = self.0.borrow_mut().poll_end(cx);
            match (polled, sent) {
                (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
                (polled, _) => polled.map(Ok),
            }
        })
        .await
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Cork<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Cork<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(ROOM)];
        let mut corked = self.0.borrow_mut();
        if corked.kept.len() + bytes.len() > ROOM {
            let sent = corked.poll_send(cx);
            corked.stalled |= sent.is_pending();
            ready!(sent)?;
        }
        corked.keep(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Does nothing: the flush happens at the end of the poll.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut corked = self.0.borrow_mut();
        ready!(corked.poll_flush(cx))?;
        Pin::new(&mut corked.io).poll_shutdown(cx)
    }
}

// === impl Corked ===

impl<T: AsyncWrite + Unpin> Corked<T> {
    fn keep(&mut self, bytes: &[u8]) {
        if self.kept.capacity() == 0 {
            self.kept.reserve(ROOM);
        }
        self.kept.extend_from_slice(bytes);
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.kept.len() {
            let left = &self.kept[self.sent..];
            match ready!(Pin::new(&mut self.io).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        (self.kept, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Sends what is buffered at the end of a poll. Flushes only if the writer was not stalled.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.stalled {
            return self.poll_flush(cx);
        }
        ready!(self.poll_send(cx))?;
        // The buffer has room again: poll the writer once more.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn writes_go_out_together_at_the_end_of_the_poll() {
        let (near, mut far) = duplex(ROOM);
        let cork = Cork::new(near);
        let mut io = cork.clone();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut turn = pin!(cork.run(async {
            for piece in ["one ", "two ", "three"] {
                io.write_all(piece.as_bytes()).await.unwrap();
                io.flush().await.unwrap();
            }
            assert_eq!(cork.0.borrow().kept, b"one two three");
            std::future::pending::<()>().await;
        }));
        assert!(turn.as_mut().poll(cx).is_pending());
        assert_eq!(cork.0.borrow().kept.capacity(), 0);
        let mut got = [0; 16];
        let length = far.read(&mut got).await.unwrap();
        assert_eq!(&got[..length], b"one two three");
    }

    #[tokio::test]
    async fn writes_beyond_the_buffer_wait_for_the_reader_and_arrive_complete() {
        let (near, mut far) = duplex(1000);
        let cork = Cork::new(near);
        let mut io = cork.clone();
        let sent: Vec<u8> = (0..5 * ROOM).map(|i| (i % 251) as u8).collect();
        let write = cork.run(async {
            for piece in sent.chunks(ROOM / 3) {
                io.write_all(piece).await.unwrap();
            }
            io.shutdown().await.unwrap();
        });
        let mut got = Vec::new();
        let (written, read) = tokio::join!(write, far.read_to_end(&mut got));
        written.unwrap();
        read.unwrap();
        assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    }

    #[tokio::test]
    async fn broken_connection_ends_the_work() {
        let (near, far) = duplex(1000);
        drop(far);
        let cork = Cork::new(near);
        let mut io = cork.clone();
        let work = cork.run(async {
            io.write_all(b"lost").await.unwrap();
            std::future::pending::<()>().await;
        });
        assert_eq!(work.await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
