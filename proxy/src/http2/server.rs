//! HTTP/2 towards callers.

use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    driver::Driver,
    error::Http2Error,
    handles::{Handle, ReceiveStream, SendStream},
    session::{Http2Limits, Role},
};
use crate::message::Request;

/// A caller's connection. It runs in one task, with all of its streams.
#[derive(Debug)]
pub struct Http2Server<T>(Driver<T>);

impl<T: AsyncRead + AsyncWrite + Unpin> Http2Server<T> {
    /// Speaks HTTP/2 on `io`, which begins with the client's preface.
    #[must_use]
    pub fn new(io: T, limits: Http2Limits) -> Self {
        Self(Driver::new(io, Role::Server, limits))
    }

    /// The connection's task begins to work. To be called at the beginning of each poll of it.
    pub fn begin(&mut self, cx: &Context<'_>) {
        self.0.begin(cx);
    }

    /// The next request, and the stream of its response. `None`: the connection has ended, and is to
    /// be [closed](Self::poll_close).
    pub fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Request<ReceiveStream>, SendStream)>> {
        loop {
            let next = self.0.session.borrow_mut().accept();
            if let Some((key, request)) = next {
                let handle = Handle::new(self.0.session.clone(), key);
                let respond = SendStream(handle.another());
                let request = request.map(|()| ReceiveStream(handle));
                return Poll::Ready(Some((request, respond)));
            }
            {
                let session = self.0.session.borrow();
                if session.ended.is_some() || session.is_over() {
                    return Poll::Ready(None);
                }
            }
            ready!(self.0.poll_read(cx));
        }
    }

    /// Writes what the streams have sent. To be called at the end of each poll of the connection's
    /// task.
    ///
    /// # Errors
    /// If the connection broke.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Http2Error>> {
        self.0.poll_write(cx)
    }

    /// Writes what is left, and closes the connection.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_close(cx)
    }

    /// Ends the connection in an orderly way: requests that the caller has sent meanwhile are still
    /// accepted.
    pub fn go_away(&mut self) {
        self.0.session.borrow_mut().go_away();
    }

    /// The connection's receive window is to have at least `bytes`.
    pub fn enlarge_window(&mut self, bytes: u32) {
        self.0.session.borrow_mut().enlarge_window(bytes);
    }

    /// Sends a PING with the next write.
    pub fn ping(&mut self) {
        self.0.session.borrow_mut().ping();
    }

    /// Frees memory that an idle connection does not need.
    pub fn rest(&mut self) {
        self.0.session.borrow_mut().rest();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::poll;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::http2::{frame, session::tests::LIMITS};

    async fn say(caller: &mut DuplexStream, kind: u8, flags: u8, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, kind, flags, 0, &[payload]);
        caller.write_all(&bytes).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_went_away_reads_until_its_caller_closes_it() {
        let (mut caller, io) = duplex(1000);
        let mut server = Http2Server::new(io, LIMITS);
        caller.write_all(frame::PREFACE).await.unwrap();
        say(&mut caller, frame::SETTINGS, 0, &[]).await;
        assert!(poll!(poll_fn(|cx| server.poll_accept(cx))).is_pending());
        server.go_away();
        say(&mut caller, frame::PING, frame::ACK, b"tailback").await;
        assert!(poll_fn(|cx| server.poll_accept(cx)).await.is_none());

        assert!(poll!(poll_fn(|cx| server.poll_close(cx))).is_pending());
        let mut said = Vec::new();
        caller.read_to_end(&mut said).await.unwrap();
        // Those of the last answer, which it has only now read.
        say(&mut caller, frame::WINDOW_UPDATE, 0, &[0, 0, 0, 1]).await;
        assert!(poll!(poll_fn(|cx| server.poll_close(cx))).is_pending());
        drop(caller);
        poll_fn(|cx| server.poll_close(cx)).await;
    }
}
