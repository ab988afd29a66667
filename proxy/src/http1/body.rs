//! The body of a received message: shared between the connection that reads it and its consumer.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    task::Poll,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::decoder::Malformed;

/// Why a body is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum Http1BodyError {
    /// Its framing is malformed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The connection broke.
    #[error("the connection broke within the body: {0}")]
    Io(#[from] io::Error),
    /// The request could not be sent completely.
    #[error("the request was not sent to its end")]
    Request,
}

/// The next frame of a body, read by the connection and not yet taken by the consumer. It holds at
/// most one frame, so that a body which is not consumed stays with its sender.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    frame: RefCell<Option<Result<Frame<Bytes>, Http1BodyError>>>,
    /// Whether the frame is the last one.
    ended: Cell<bool>,
    /// Bytes of the body that follow the frame, if known.
    left: Cell<Option<u64>>,
    /// Whether the consumer has asked for more than was available.
    is_asked: Cell<bool>,
}

impl FrameBuffer {
    /// Prepares for the next message's body, with `left` bytes if known.
    pub(super) fn renew(&self, left: Option<u64>) {
        self.frame.replace(None);
        self.ended.set(false);
        self.left.set(left);
        self.is_asked.set(false);
    }

    fn is_free(&self) -> bool {
        self.frame.borrow().is_none()
    }

    /// Whether the consumer waits for a frame.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.get()
    }

    /// Makes a frame available. `left`: bytes of the body that follow it.
    pub(super) fn put(&self, frame: Frame<Bytes>, left: Option<u64>) {
        self.frame.replace(Some(Ok(frame)));
        self.left.set(left);
        self.is_asked.set(false);
    }

    /// Marks the body as complete.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.is_asked.set(false);
    }

    /// Ends the body with an error before it is complete.
    pub(super) fn fail(&self, error: Http1BodyError) {
        self.frame.replace(Some(Err(error)));
        self.end();
    }
}

/// The body of a message. It is read by driving its connection: if no frame is available, reading
/// is pending, and the connection wakes the task that drives it.
#[derive(Debug)]
pub struct Http1Body(pub(super) Rc<FrameBuffer>);

impl Http1Body {
    /// The next frame. Pending if the connection must be driven first.
    pub fn take_frame(&mut self) -> Poll<Option<Result<Frame<Bytes>, Http1BodyError>>> {
        match self.0.frame.take() {
            Some(frame) => Poll::Ready(Some(frame)),
            None if self.0.ended.get() => Poll::Ready(None),
            None => {
                self.0.is_asked.set(true);
                Poll::Pending
            }
        }
    }

    /// Whether the whole body has been taken.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.0.ended.get() && self.0.is_free()
    }

    /// The size of the rest of the body, as far as it is known.
    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        if self.is_end() {
            return SizeHint::with_exact(0);
        }
        let frame = self.0.frame.borrow();
        let here = match &*frame {
            None => 0,
            Some(Ok(frame)) if frame.is_data() => {
                frame.data_ref().map_or(0, |data| data.len() as u64)
            }
            // A consumer that takes the body for empty would never see the error or the trailers.
            Some(_) => return SizeHint::default(),
        };
        let left = self
            .0
            .left
            .get()
            .or_else(|| self.0.ended.get().then_some(0));
        left.map_or_else(SizeHint::default, |left| SizeHint::with_exact(left + here))
    }
}
