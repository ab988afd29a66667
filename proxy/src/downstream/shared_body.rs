//! A response body on HTTP/1.1. hyper owns it; the connection keeps a second handle, to drive it
//! while hyper does not poll it.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::handler::ResponseStream;
use crate::exchange::body::BodyError;

/// The body of the response being sent, if any. There is at most one at a time.
pub(super) struct BodySlot<B>(Rc<RefCell<Option<B>>>);

/// hyper's handle. Dropping it drops the body.
pub(super) struct SharedBody<B>(Rc<RefCell<Option<B>>>);

impl<B: ResponseStream> BodySlot<B> {
    pub(super) fn new() -> Self {
        Self(Rc::new(RefCell::new(None)))
    }

    /// Stores the body of the next response.
    pub(super) fn share(&self, body: B) -> SharedBody<B> {
        let mut slot = self.0.borrow_mut();
        debug_assert!(slot.is_none(), "hyper sends one answer after the other");
        *slot = Some(body);
        drop(slot);
        SharedBody(self.0.clone())
    }

    /// See [`ResponseStream::drive`].
    pub(super) fn drive(&self, cx: &mut Context<'_>) {
        if let Some(body) = &mut *self.0.borrow_mut() {
            body.drive(cx);
        }
    }
}

impl<B: ResponseStream> Body for SharedBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self.0.borrow_mut() {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.borrow().as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.0.borrow();
        body.as_ref()
            .map_or_else(|| SizeHint::with_exact(0), B::size_hint)
    }
}

impl<B> Drop for SharedBody<B> {
    fn drop(&mut self) {
        // Taken out of the cell first: the body's own drop may access the cell.
        let body = self.0.take();
        drop(body);
    }
}
