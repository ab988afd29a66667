//! A request's body that may have been looked into before it goes on.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{BodyError, Received};

/// What has been read of a body and is yet to be sent on, and the rest of it.
#[derive(Debug)]
pub struct Inbound {
    /// In order. Empty, and without memory of its own, unless it was looked into.
    read: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    rest: Received,
}

impl Inbound {
    /// A body nobody has looked into.
    #[must_use]
    pub fn new(rest: Received) -> Self {
        Self {
            read: VecDeque::new(),
            trailers: None,
            rest,
        }
    }

    /// Reads one more piece, which stays part of the body; `None` at its end.
    ///
    /// # Errors
    /// If the body breaks off.
    pub async fn look_further(&mut self) -> Result<Option<&Bytes>, BodyError> {
        loop {
            if self.trailers.is_some() {
                return Ok(None);
            }
            let frame = poll_fn(|cx| Pin::new(&mut self.rest).poll_frame(cx)).await;
            let Some(frame) = frame.transpose()? else {
                return Ok(None);
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.read.push_back(data);
                    return Ok(self.read.back());
                }
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
    }

    /// What has been read so far, in order.
    #[must_use]
    pub fn read_so_far(&mut self) -> &mut VecDeque<Bytes> {
        &mut self.read
    }

    /// The body, if nothing of it has been read.
    ///
    /// # Errors
    /// Gives itself back otherwise.
    pub fn into_unread(self) -> Result<Received, Self> {
        if self.read.is_empty() && self.trailers.is_none() {
            Ok(self.rest)
        } else {
            Err(self)
        }
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(piece) = this.read.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(trailers) = this.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut this.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.rest.size_hint();
        if !self.read.is_empty() {
            let read: u64 = self.read.iter().map(|piece| piece.len() as u64).sum();
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(read));
            }
            hint.set_lower(hint.lower().saturating_add(read));
        }
        hint
    }
}
