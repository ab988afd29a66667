//! Response bodies that hold a permit while they are being sent.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::{task::JoinHandle, time::sleep};
use tonic::{Status, body::Body};

use super::{
    connections::{AnswerPermit, Closer},
    page_budget::PageBytes,
};

/// Bytes that are handed over at once. A large page in one piece would leave its body at once, and
/// count no longer while it waits in the connection's buffer for its reader.
const PIECE: usize = 16 * 1024;
/// The connection is closed if no more bytes of an answer are taken for this long (at most twice
/// as long). The kernel's limit does not notice an HTTP/2 client that acknowledges all segments
/// but opens no flow-control window.
const UNREAD: Duration = Duration::from_secs(30);

/// A body that holds its permit until its last byte is in the connection's buffer.
pub(super) struct Permitted {
    body: Body,
    /// The rest of its last frame.
    rest: Bytes,
    /// The memory of its only frame, until that is taken; `None`: it is no page.
    unsent: Option<PageBytes>,
    taken: Arc<Taken>,
    _permit: AnswerPermit,
    _watch: AbortOnDrop,
}

/// How a body is being read.
#[derive(Default)]
struct Taken {
    /// How often it was polled.
    times: AtomicU64,
    /// Whether the body has nothing to send at present.
    is_waiting: AtomicBool,
}

/// Aborts its task when dropped.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Permitted {
    /// `close` closes the connection if the body is not read.
    pub(super) fn new(
        body: Body,
        permit: AnswerPermit,
        close: Closer,
        unsent: Option<PageBytes>,
    ) -> Self {
        let taken = Arc::<Taken>::default();
        let watched = taken.clone();
        let watch = tokio::spawn(async move {
            watched.until_unread(UNREAD).await;
            close.close();
        });
        Self {
            body,
            rest: Bytes::new(),
            unsent,
            taken,
            _permit: permit,
            _watch: AbortOnDrop(watch),
        }
    }
}

impl Taken {
    /// Returns once there were bytes to send for the time `limit` and the body was not polled.
    async fn until_unread(&self, limit: Duration) {
        let mut before = None;
        loop {
            let times = self.times.load(Ordering::Relaxed);
            if before == Some(times) && !self.is_waiting.load(Ordering::Relaxed) {
                return;
            }
            before = Some(times);
            sleep(limit).await;
        }
    }
}

impl hyper::body::Body for Permitted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.taken.times.fetch_add(1, Ordering::Relaxed);
        if self.rest.is_empty() {
            let polled = Pin::new(&mut self.body).poll_frame(context);
            let is_waiting = polled.is_pending();
            self.taken.is_waiting.store(is_waiting, Ordering::Relaxed);
            match polled {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        self.rest = match self.unsent.take() {
                            Some(unsent) => unsent.kept_for(data),
                            None => data,
                        }
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return other,
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut size) = (self.rest.len() as u64, self.body.size_hint());
        if let Some(upper) = size.upper() {
            size.set_upper(upper + rest);
        }
        size.set_lower(size.lower() + rest);
        size
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_unread_when_there_is_more_and_nobody_asks_for_it() {
        let taken = Arc::<Taken>::default();
        let mut unread = Box::pin(taken.until_unread(LIMIT));
        for _ in 0..5 {
            assert!(unread.as_mut().now_or_never().is_none());
            tokio::time::advance(LIMIT).await;
            taken.times.fetch_add(1, Ordering::Relaxed);
        }
        // A stream without news may be silent for long.
        taken.is_waiting.store(true, Ordering::Relaxed);
        for _ in 0..5 {
            assert!(unread.as_mut().now_or_never().is_none());
            tokio::time::advance(LIMIT).await;
        }
        taken.is_waiting.store(false, Ordering::Relaxed);
        let start = tokio::time::Instant::now();
        unread.await;
        assert!(start.elapsed() <= 2 * LIMIT);
    }
}
