//! A message's body, between the connection that reads it and whoever asks for it.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    task::Poll,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::decoder::Malformed;

/// A body broke off.
#[derive(Debug, thiserror::Error)]
pub enum Http1BodyError {
    /// It is not framed as it says.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Its connection broke.
    #[error("the connection broke within the body: {0}")]
    Io(#[from] io::Error),
    /// The request could not be sent to its end.
    #[error("the request was not sent to its end")]
    Request,
}

/// What the connection has read and nobody has taken: one frame at most, so that a body that nobody
/// asks for stays with whoever sends it.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    frame: RefCell<Option<Result<Frame<Bytes>, Http1BodyError>>>,
    /// Nothing comes after the frame.
    ended: Cell<bool>,
    /// Bytes that come after the frame, if that is known.
    left: Cell<Option<u64>>,
    /// Whether somebody has asked for more than there was.
    is_asked: Cell<bool>,
}

impl FrameBuffer {
    /// For a body that is still to come.
    pub(super) fn renew(&self, left: Option<u64>) {
        self.frame.replace(None);
        self.ended.set(false);
        self.left.set(left);
        self.is_asked.set(false);
    }

    fn is_free(&self) -> bool {
        self.frame.borrow().is_none()
    }

    /// Whether somebody has asked for more than there was, and there is no more yet.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.get()
    }

    /// `left`: bytes that come after it.
    pub(super) fn put(&self, frame: Frame<Bytes>, left: Option<u64>) {
        self.frame.replace(Some(Ok(frame)));
        self.left.set(left);
        self.is_asked.set(false);
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.is_asked.set(false);
    }

    /// Nothing more comes, though it should.
    pub(super) fn fail(&self, error: Http1BodyError) {
        self.frame.replace(Some(Err(error)));
        self.end();
    }
}

/// The body of a message. It is read by driving its connection: a frame that has not come is
/// pending, and the connection wakes whoever drives it.
#[derive(Debug)]
pub struct Http1Body(pub(super) Rc<FrameBuffer>);

impl Http1Body {
    /// The next frame; pending if the connection must be driven first.
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

    /// Whether all has been taken.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.0.ended.get() && self.0.is_free()
    }

    /// How much there still is, as far as that is known.
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
            // Whoever took it for empty would never ask for the error, or the trailers.
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
