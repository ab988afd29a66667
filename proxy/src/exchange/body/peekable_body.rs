//! A request's body that may have been looked into before it goes on.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{BodyError, BufferReservation, LookError, Received, pieces::Pieces};
use crate::protocol::peek::{BodyScanner, Rewriter, Scan};

/// What has been read of a body and is yet to be sent on, and the rest of it.
#[derive(Debug)]
pub struct PeekableBody {
    rest: Received,
    /// For those that are looked into, or kept: most are neither, and stay small.
    look_ahead: Option<Box<LookAhead>>,
}

#[derive(Debug, Default)]
struct LookAhead {
    /// Read, and not passed on yet.
    read: Pieces,
    trailers: Option<HeaderMap>,
    sent: Sent,
    /// Looks for what must not follow what has been read.
    watch: Option<BodyScanner>,
    /// A piece that it has not looked at to its end.
    unseen: Option<Bytes>,
    /// Puts another name into all of it.
    rewriting: Option<Rewriting>,
}

/// A body that is changed as it goes on.
#[derive(Debug)]
struct Rewriting {
    rewriter: Rewriter,
    /// Changed, passed on, and to be passed on once more.
    again: Pieces,
    /// The body that goes in has ended; with these.
    ended: bool,
    trailers: Option<HeaderMap>,
}

/// What has been passed on, to be sent once more if it has to be.
#[derive(Debug, Default)]
enum Sent {
    /// Nothing is kept.
    #[default]
    Lost,
    /// All of it, and how many more bytes may be.
    Kept(Pieces, usize),
}

impl PeekableBody {
    /// A body nobody has looked into.
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

    /// From here on, keeps what is passed on, up to `limit` bytes.
    pub fn keep(&mut self, limit: usize) {
        self.look_ahead().sent = Sent::Kept(Pieces::default(), limit);
    }

    /// Whether all that was passed on since [`keep`](Self::keep) was called is kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        let look_ahead = self.look_ahead.as_ref();
        look_ahead.is_some_and(|look_ahead| matches!(look_ahead.sent, Sent::Kept(..)))
    }

    /// The body as it was when [`keep`](Self::keep) was called, if it was kept.
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

    /// The next frame of the changed body.
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

    /// The next frame as it came.
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

    /// What is yet to be read must be as `scanner` allows.
    pub fn watch(&mut self, scanner: BodyScanner) {
        self.look_ahead().watch = Some(scanner);
    }

    /// All of it goes on as `rewriter` makes it.
    pub fn rewrite(&mut self, rewriter: Rewriter) {
        self.look_ahead().rewriting = Some(Rewriting {
            rewriter,
            again: Pieces::default(),
            ended: false,
            trailers: None,
        });
    }

    /// Reads one more piece, which stays part of the body; `None` at its end.
    /// While it has to be waited for, `reservation` covers what is in memory.
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
                        Poll::Pending if !reservation.cover(look_ahead.read.bytes()) => {
                            Poll::Ready(Err(LookError::NoRoom))
                        }
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

    /// The body, if it is its first piece: that of most small ones comes with
    /// the head, and is passed on as it is. Else the piece stays reservation of the body.
    ///
    /// # Errors
    /// If the body breaks off.
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

    /// Whether all of it has been read.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.rest.is_end_stream()
    }

    /// Takes out what has been read.
    #[must_use]
    pub fn take_read(&mut self) -> Bytes {
        let look_ahead = self.look_ahead.as_mut();
        look_ahead.map_or_else(Bytes::new, |look_ahead| {
            std::mem::take(&mut look_ahead.read).concat()
        })
    }

    /// Bytes that have been read and not passed on.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.look_ahead
            .as_ref()
            .map_or(0, |look_ahead| look_ahead.buffered())
    }

    /// Changes what has been read so far, piece by piece in order.
    pub fn edit<T>(&mut self, change: impl FnOnce(&mut VecDeque<Bytes>) -> T) -> T {
        self.look_ahead().read.edit(change)
    }
}

/// The next frame of a body that may be watched. One that is not as it must be
/// ends there: no replica gets the rest.
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
            // Others have their turn first.
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

    /// Bytes that have been read and not passed on.
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
