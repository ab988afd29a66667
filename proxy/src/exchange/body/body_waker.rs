//! The waker of a connection whose requests hyper reads.
//!
//! Whenever a piece of a request's body is taken, hyper's body channel wakes the task that reads the
//! connection, so that it sends the next piece. Here that is the task that has just taken it. After
//! the last piece there is nothing to send, and the wake-up would cost each request with a body one
//! more look at the whole connection.

use std::{
    cell::Cell,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;

/// What becomes of wake-ups by this thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WakeUps {
    PassedOn,
    /// None has come so far.
    KeptBack,
    /// Some have come.
    Owed,
}

thread_local! {
    static WAKE_UPS: Cell<WakeUps> = const { Cell::new(WakeUps::PassedOn) };
}

/// Wakes a connection's task, unless [`poll_frame`] keeps that back.
struct BodyWaker(Waker);

impl Wake for BodyWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match WAKE_UPS.get() {
            WakeUps::PassedOn => self.0.wake_by_ref(),
            WakeUps::KeptBack => WAKE_UPS.set(WakeUps::Owed),
            WakeUps::Owed => {}
        }
    }
}

/// A waker for the task of `task`, with which hyper's connection is polled.
#[must_use]
pub fn body_waker(task: &Waker) -> Waker {
    Waker::from(Arc::new(BodyWaker(task.clone())))
}

/// Polls a body that hyper reads in the task of `cx`. Wakes that task only if there is more of the
/// body to read.
pub(super) fn poll_frame(
    body: &mut Incoming,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    // Nothing but this body's channel is woken by it.
    let kept_back = KeptBack::new();
    let frame = Pin::new(&mut *body).poll_frame(cx);
    if kept_back.end() && !body.is_end_stream() {
        cx.waker().wake_by_ref();
    }
    frame
}

/// Keeps wake-ups by this thread back as long as it lives.
struct KeptBack;

impl KeptBack {
    fn new() -> Self {
        WAKE_UPS.set(WakeUps::KeptBack);
        Self
    }

    /// Keeps them back no longer. Returns whether there were any.
    fn end(self) -> bool {
        WAKE_UPS.get() == WakeUps::Owed
    }
}

impl Drop for KeptBack {
    fn drop(&mut self) {
        WAKE_UPS.set(WakeUps::PassedOn);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::{Future, pending, poll_fn},
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use http::{Request, Response};
    use http_body_util::Empty;
    use hyper::{server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls a connection once on which a request with this part of its body has come: the service
    /// takes all that there is. Returns how often the connection's task was woken.
    async fn wake_ups(length: usize, came: &str) -> usize {
        let (near, mut far) = tokio::io::duplex(4096);
        let head = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{came}");
        far.write_all(head.as_bytes()).await.unwrap();
        let service = service_fn(|request: Request<Incoming>| async move {
            let mut body = request.into_body();
            while poll_fn(|cx| poll_frame(&mut body, cx)).await.is_some() {}
            pending::<()>().await;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(near), service);
        let count = Arc::new(Count::default());
        let own = body_waker(&Waker::from(count.clone()));
        let polled = pin!(connection).poll(&mut Context::from_waker(&own));
        assert!(polled.is_pending());
        count.0.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn the_task_is_woken_for_more_of_a_body_and_not_after_its_end() {
        assert_eq!(wake_ups(4, "body").await, 0);
        assert_eq!(wake_ups(8, "body").await, 1);
    }
}
