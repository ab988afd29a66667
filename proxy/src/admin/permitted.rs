//! Bodies that count among those that may be sent at once.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tonic::{Status, body::Body};

use super::connections::Permit;

/// Bytes that are handed over at once. A large page in one piece would leave its body at once, and
/// count no longer while it waits in the connection's buffer for its reader.
const PIECE: usize = 16 * 1024;

/// A body that holds its permit until the last of it is in the connection's buffer.
pub(super) struct Permitted {
    body: Body,
    /// What is left of its last frame.
    rest: Bytes,
    _permit: Permit,
}

impl Permitted {
    pub(super) fn new(body: Body, permit: Permit) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            _permit: permit,
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
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
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
