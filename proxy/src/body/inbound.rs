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
    rest: Received,
    /// For those that are looked into, or kept: most are neither, and stay small.
    aside: Option<Box<Aside>>,
}

#[derive(Debug, Default)]
struct Aside {
    /// Read, in order, and not passed on yet.
    read: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    sent: Sent,
}

/// What has been passed on, to be sent once more if it has to be.
#[derive(Debug, Default)]
enum Sent {
    /// Nothing is kept.
    #[default]
    Lost,
    /// All of it, and how many more bytes may be.
    Kept(Vec<Bytes>, usize),
}

impl Inbound {
    /// A body nobody has looked into.
    #[must_use]
    pub fn new(rest: Received) -> Self {
        Self { rest, aside: None }
    }

    fn aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    /// From here on, keeps what is passed on, up to `limit` bytes.
    pub fn keep(&mut self, limit: usize) {
        self.aside().sent = Sent::Kept(Vec::new(), limit);
    }

    /// The body as it was when [`keep`](Self::keep) was called, if it was kept.
    #[must_use]
    pub fn rewound(mut self) -> Option<Self> {
        let aside = self.aside.as_mut()?;
        let Sent::Kept(pieces, _) = std::mem::take(&mut aside.sent) else {
            return None;
        };
        for piece in pieces.into_iter().rev() {
            aside.read.push_front(piece);
        }
        Some(self)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(aside) = &mut self.aside {
            if let Some(piece) = aside.read.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if let Some(trailers) = aside.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    /// Reads one more piece, which stays part of the body; `None` at its end.
    ///
    /// # Errors
    /// If the body breaks off.
    pub async fn look_further(&mut self) -> Result<Option<&Bytes>, BodyError> {
        let aside = self.aside.get_or_insert_default();
        loop {
            if aside.trailers.is_some() {
                return Ok(None);
            }
            let frame = poll_fn(|cx| Pin::new(&mut self.rest).poll_frame(cx)).await;
            let Some(frame) = frame.transpose()? else {
                return Ok(None);
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    aside.read.push_back(data);
                    return Ok(aside.read.back());
                }
                Err(frame) => aside.trailers = frame.into_trailers().ok(),
            }
        }
    }

    /// Bytes that have been read and not passed on.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let read = self.aside.as_ref().map(|aside| aside.read.iter());
        read.into_iter().flatten().map(Bytes::len).sum()
    }

    /// What has been read so far, in order.
    #[must_use]
    pub fn read_so_far(&mut self) -> &mut VecDeque<Bytes> {
        &mut self.aside().read
    }
}

impl Aside {
    fn passed_on(&mut self, frame: &Frame<Bytes>) {
        self.sent = match (std::mem::take(&mut self.sent), frame.data_ref()) {
            (Sent::Kept(mut pieces, room), Some(piece)) if piece.len() <= room => {
                pieces.push(piece.clone());
                Sent::Kept(pieces, room - piece.len())
            }
            _ => Sent::Lost,
        };
    }

    fn is_empty(&self) -> bool {
        self.read.is_empty() && self.trailers.is_none()
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
        let polled = this.poll_next(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(aside)) = (&polled, &mut this.aside) {
            aside.passed_on(frame);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.aside.as_ref().is_none_or(|aside| aside.is_empty()) && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.rest.size_hint();
        let read = self.buffered() as u64;
        if read > 0 {
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(read));
            }
            hint.set_lower(hint.lower().saturating_add(read));
        }
        hint
    }
}
