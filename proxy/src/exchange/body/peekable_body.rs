//! A request's body whose beginning can be read before it is forwarded.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{BodyError, BufferReservation, LookError, Received, pieces::Pieces};
use crate::message::Trailers;
use crate::protocol::peek::{BodyScanner, Rewriter, Scan};

/// A body, and the part of it that was read ahead.
#[derive(Debug)]
pub struct PeekableBody {
    rest: Received,
    /// `None` for the many bodies that are neither read ahead nor kept, so that they stay small.
    look_ahead: Option<Box<LookAhead>>,
}

#[derive(Debug, Default)]
struct LookAhead {
    /// Pieces that were read ahead and are not forwarded yet.
    read: Pieces,
    trailers: Option<Trailers>,
    sent: Sent,
    /// Checks that the rest of the body keeps the rules on which routing by its beginning relied.
    watch: Option<BodyScanner>,
    /// The rest of a piece that the scanner has begun to check.
    unseen: Option<Bytes>,
    /// Rewrites the model's name in the whole body.
    rewriting: Option<Rewriting>,
}

/// A body that is rewritten while it is forwarded.
#[derive(Debug)]
struct Rewriting {
    rewriter: Rewriter,
    /// Rewritten pieces that were sent before and must be sent again.
    again: Pieces,
    /// Whether the original body has ended, with these trailers.
    ended: bool,
    trailers: Option<Trailers>,
}

/// Pieces that were forwarded, kept for a retry.
#[derive(Debug, Default)]
enum Sent {
    /// Not kept, or not completely.
    #[default]
    Lost,
    /// All of them, and the number of bytes that may still be added.
    Kept(Pieces, usize),
}

impl PeekableBody {
    /// A body of which nothing was read ahead.
    #[must_use]
    pub fn new(rest: Received) -> Self {
        Self {
            rest,
            look_ahead: None,
        }
    }

    fn look_ahead(&mut self) -> &mut LookAhead {
        self.look_ahead.get_or_insert_default()
    }

    /// Keeps forwarded pieces from here on, up to `limit` bytes.
    pub fn keep(&mut self, limit: usize) {
        self.look_ahead().sent = Sent::Kept(Pieces::default(), limit);
    }

    /// Whether everything forwarded since [`keep`](Self::keep) is kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        let look_ahead = self.look_ahead.as_ref();
        look_ahead.is_some_and(|look_ahead| matches!(look_ahead.sent, Sent::Kept(..)))
    }

    /// The body as it was when [`keep`](Self::keep) was called. `None`: it was not kept
    /// completely.
    #[must_use]
    pub fn rewound(mut self) -> Option<Self> {
        let look_ahead = self.look_ahead.as_mut()?;
        let Sent::Kept(pieces, _) = std::mem::take(&mut look_ahead.sent) else {
            return None;
        };
        match &mut look_ahead.rewriting {
            Some(rewriting) => rewriting.again.prepend(pieces),
            None => look_ahead.read.prepend(pieces),
        }
        Some(self)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let rewriting = |body: &Self| {
            body.look_ahead
                .as_ref()
                .is_some_and(|a| a.rewriting.is_some())
        };
        match rewriting(self) {
            true => self.poll_rewritten(cx),
            false => self.poll_original(cx),
        }
    }

    /// The next frame of the rewritten body.
    fn poll_rewritten(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let look_ahead = self.look_ahead.as_mut();
            let Some(rewriting) = look_ahead.and_then(|look_ahead| look_ahead.rewriting.as_mut())
            else {
                return Poll::Ready(None);
            };
            if let Some(piece) = rewriting.again.pop() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let piece = match rewriting.ended {
                true => rewriting.rewriter.finish(),
                false => rewriting.rewriter.pull(),
            };
            match piece {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Err(fault) => return Poll::Ready(Some(Err(BodyError::Unfit(fault)))),
                Ok(None) if rewriting.ended => {
                    let trailers = rewriting.trailers.take();
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Ok(None) => {}
            }
            let frame = ready!(self.poll_original(cx)?);
            let look_ahead = self.look_ahead.as_mut();
            let Some(rewriting) = look_ahead.and_then(|look_ahead| look_ahead.rewriting.as_mut())
            else {
                return Poll::Ready(None);
            };
            match frame.map(Frame::into_data) {
                Some(Ok(piece)) => rewriting.rewriter.push(piece),
                Some(Err(frame)) => {
                    rewriting.trailers = frame.into_trailers().ok();
                    rewriting.ended = true;
                }
                None => rewriting.ended = true,
            }
        }
    }

    /// The next frame of the original body.
    fn poll_original(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(look_ahead) = &mut self.look_ahead {
            if let Some(piece) = look_ahead.read.pop() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if let Some(trailers) = look_ahead.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        }
        poll_rest(&mut self.rest, self.look_ahead.as_deref_mut(), cx)
    }

    /// Checks the unread part of the body by `scanner`.
    pub fn watch(&mut self, scanner: BodyScanner) {
        self.look_ahead().watch = Some(scanner);
    }

    /// Forwards the whole body as rewritten by `rewriter`.
    pub fn rewrite(&mut self, rewriter: Rewriter) {
        self.look_ahead().rewriting = Some(Rewriting {
            rewriter,
            again: Pieces::default(),
            ended: false,
            trailers: None,
        });
    }

    /// Reads one more piece ahead. It stays part of the body. `None`: the body has ended. If
    /// reading has to wait, `reservation` must cover the buffered bytes.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn look_further(
        &mut self,
        reservation: &mut BufferReservation<'_>,
    ) -> Result<Option<Bytes>, LookError> {
        let look_ahead = self.look_ahead.get_or_insert_default();
        loop {
            if look_ahead.trailers.is_some() {
                return Ok(None);
            }
            let frame =
                poll_fn(
                    |cx| match poll_rest(&mut self.rest, Some(&mut **look_ahead), cx) {
                        Poll::Pending => match reservation.cover(look_ahead.read.bytes()) {
                            Ok(()) => Poll::Pending,
                            Err(shortage) => Poll::Ready(Err(shortage.into())),
                        },
                        polled => polled.map(|frame| frame.transpose().map_err(LookError::Body)),
                    },
                );
            let Some(frame) = frame.await? else {
                return Ok(None);
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    look_ahead.read.push(data.clone());
                    return Ok(Some(data));
                }
                Err(frame) => look_ahead.trailers = frame.into_trailers().ok(),
            }
        }
    }

    /// The whole body, if it consists of a single piece, as with most small requests. Otherwise the
    /// piece stays part of the body.
    ///
    /// # Errors
    /// If the body fails.
    pub async fn only_piece(&mut self) -> Result<Option<Bytes>, LookError> {
        if self.look_ahead.is_some() {
            return Ok(None);
        }
        let frame = poll_fn(|cx| Pin::new(&mut self.rest).poll_frame(cx)).await;
        let frame = frame.transpose().map_err(LookError::Body)?;
        let Some(Ok(data)) = frame.map(Frame::into_data) else {
            return Ok(None);
        };
        if self.rest.is_end_stream() {
            return Ok(Some(data));
        }
        if !data.is_empty() {
            self.look_ahead().read.push(data);
        }
        Ok(None)
    }

    /// Whether the whole body has arrived.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.rest.is_end_stream()
    }

    /// Takes out what was read ahead.
    #[must_use]
    pub fn take_read(&mut self) -> Bytes {
        let look_ahead = self.look_ahead.as_mut();
        look_ahead.map_or_else(Bytes::new, |look_ahead| {
            std::mem::take(&mut look_ahead.read).concat()
        })
    }

    /// A copy of the first `most` bytes that were read ahead and not forwarded yet.
    #[must_use]
    pub fn start(&self, most: usize) -> Bytes {
        let look_ahead = self.look_ahead.as_ref();
        look_ahead.map_or_else(Bytes::new, |look_ahead| look_ahead.read.start(most))
    }

    /// Bytes read ahead and not forwarded yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.look_ahead
            .as_ref()
            .map_or(0, |look_ahead| look_ahead.buffered())
    }

    /// Lets `change` edit the pieces that were read ahead, in order.
    pub fn edit<T>(&mut self, change: impl FnOnce(&mut VecDeque<Bytes>) -> T) -> T {
        self.look_ahead().read.edit(change)
    }
}

/// The next frame, checked by the scanner if there is one. A body that breaks the rules fails
/// here, so that no replica gets the rest.
fn poll_rest(
    rest: &mut Received,
    look_ahead: Option<&mut LookAhead>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    let Some(look_ahead) = look_ahead else {
        return Pin::new(rest).poll_frame(cx);
    };
    let Some(scanner) = &mut look_ahead.watch else {
        return Pin::new(rest).poll_frame(cx);
    };
    let (scan, frame) = match look_ahead.unseen.take() {
        Some(piece) => (scanner.go_on(), Some(Frame::data(piece))),
        None => {
            let frame = ready!(Pin::new(&mut *rest).poll_frame(cx)?);
            let scan = match frame.as_ref().and_then(Frame::data_ref) {
                Some(piece) => scanner.feed(piece),
                None => Ok(Scan::Hungry),
            };
            (scan, frame)
        }
    };
    let seen = scan.and_then(|scan| {
        if scanner.is_busy() {
            return Ok(Scan::Busy);
        }
        if frame.is_none() || rest.is_end_stream() {
            scanner.end()?;
        }
        Ok(scan)
    });
    match seen {
        Err(fault) => Poll::Ready(Some(Err(BodyError::Unfit(fault)))),
        Ok(Scan::Busy) => {
            // Lets other tasks run before the scanner continues.
            look_ahead.unseen = frame.and_then(|frame| frame.into_data().ok());
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Ok(_) => Poll::Ready(frame.map(Ok)),
    }
}

impl LookAhead {
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
        let rewritten = |rewriting: &Rewriting| {
            rewriting.again.is_empty()
                && rewriting.rewriter.is_done()
                && rewriting.trailers.is_none()
        };
        self.read.is_empty()
            && self.trailers.is_none()
            && self.unseen.is_none()
            && self.rewriting.as_ref().is_none_or(rewritten)
    }

    /// Bytes read ahead and not forwarded yet.
    fn buffered(&self) -> usize {
        self.read.bytes() + self.rewriting.as_ref().map_or(0, |r| r.again.bytes())
    }
}

impl Body for PeekableBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = this.poll_next(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(look_ahead)) = (&polled, &mut this.look_ahead) {
            look_ahead.passed_on(frame);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.look_ahead
            .as_ref()
            .is_none_or(|look_ahead| look_ahead.is_empty())
            && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let look_ahead = self.look_ahead.as_ref();
        if look_ahead.is_some_and(|look_ahead| look_ahead.rewriting.is_some())
            && !self.is_end_stream()
        {
            return SizeHint::default();
        }
        let mut hint = self.rest.size_hint();
        let unseen = look_ahead.and_then(|look_ahead| look_ahead.unseen.as_ref());
        let read = (self.buffered() + unseen.map_or(0, Bytes::len)) as u64;
        if read > 0 {
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(read));
            }
            hint.set_lower(hint.lower().saturating_add(read));
        }
        hint
    }
}
