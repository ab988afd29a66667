//! Sends a response: its header, and then its body as it becomes available.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Version, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::Full;
use tokio::io::AsyncWrite;

use super::response::{Asked, write_head};
use crate::{
    http1::{encoding::Encoding, outbox::Outbox},
    message::{Response, ResponseParts},
};

/// The output of a connection to a caller.
#[derive(Debug, Default)]
pub(super) struct ResponseWriter {
    outbox: Outbox,
    /// Whether the layers below may have buffered some of what was written.
    needs_flush: bool,
    sending: Sending,
}

#[derive(Debug, Default)]
enum Sending {
    /// No response has begun.
    #[default]
    Nothing,
    Body(Encoding),
    /// The whole response is in the outbox, or in a buffer below.
    Flush,
}

/// Why a response was not sent completely.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError<E> {
    /// The connection broke.
    #[error(transparent)]
    Io(io::Error),
    /// The body failed.
    #[error(transparent)]
    Body(E),
    /// The length of the body is not the announced one.
    #[error("the response's body is not as long as announced")]
    Length,
}

impl ResponseWriter {
    /// Adds an interim response, unless the response has begun.
    pub(super) fn interim(&mut self, head: &[u8]) {
        if matches!(self.sending, Sending::Nothing) {
            self.outbox.head().extend_from_slice(head);
            self.needs_flush = true;
        }
    }

    /// Writes interim responses, as far as possible. Errors are ignored here, because the response
    /// will meet them too.
    pub(super) fn flush_interim<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) {
        if self.needs_flush && matches!(self.sending, Sending::Nothing) {
            let _ = self.poll_flush(io, cx);
        }
    }

    /// Begins a response. Returns whether the connection may serve another request afterwards.
    pub(super) fn begin<B: Body>(
        &mut self,
        head: &ResponseParts,
        body: &B,
        asked: Asked,
        keep_alive: bool,
    ) -> bool {
        let begun = write_head(head, body, asked, keep_alive, self.outbox.head());
        self.needs_flush = true;
        self.sending = begun.encoding.map_or(Sending::Flush, Sending::Body);
        begun.keep_alive
    }

    /// Whether more of the response's body is to be sent.
    pub(super) fn has_body(&self) -> bool {
        matches!(self.sending, Sending::Body(_))
    }

    /// Writes a whole response with the body `json`, after which the connection closes.
    pub(super) fn reject(&mut self, status: StatusCode, json: &Bytes) {
        let mut response = Response::new(());
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        let asked = Asked::new(Version::HTTP_11, &Method::GET, false);
        let body = Full::new(json.clone());
        self.begin(&response.into_parts().0, &body, asked, false);
        self.outbox.head().extend_from_slice(json);
        self.sending = Sending::Flush;
    }

    /// Sends the response. `body` becomes `None` once all of it was taken. Ready when everything
    /// was sent.
    ///
    /// # Errors
    /// [`DeliveryError`]; nothing more can be sent afterwards.
    pub(super) fn poll_send<W: AsyncWrite + Unpin, B: Body<Data = Bytes> + Unpin>(
        &mut self,
        io: &mut W,
        body: &mut Option<B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), DeliveryError<B::Error>>> {
        loop {
            let gathered = self.gather(body, cx);
            let has_more = self.needs_flush || !self.outbox.is_empty();
            // Flushes even without new bytes: a body may wait for the flush before it fails.
            match self.poll_flush(io, cx) {
                Poll::Ready(flushed) => flushed.map_err(DeliveryError::Io)?,
                Poll::Pending if gathered.is_ok() => return Poll::Pending,
                Poll::Pending => {}
            }
            gathered?;
            if body.is_none() {
                self.sending = Sending::Nothing;
                return Poll::Ready(Ok(()));
            }
            if !has_more {
                return Poll::Pending;
            }
        }
    }

    /// Moves available frames of the body into the outbox, as far as it has room.
    fn gather<B: Body<Data = Bytes> + Unpin>(
        &mut self,
        body: &mut Option<B>,
        cx: &mut Context<'_>,
    ) -> Result<(), DeliveryError<B::Error>> {
        while let (Some(source), Sending::Body(encoding)) = (&mut *body, &mut self.sending)
            && self.outbox.takes_more()
        {
            let framed = match Pin::new(&mut *source).poll_frame(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Some(Err(error))) => return Err(DeliveryError::Body(error)),
                Poll::Ready(Some(Ok(frame))) => match self.outbox.frame(frame, encoding) {
                    Some(false) if source.is_end_stream() => {
                        self.outbox.end(encoding).map(|()| true)
                    }
                    framed => framed,
                },
                Poll::Ready(None) => self.outbox.end(encoding).map(|()| true),
            };
            if framed.ok_or(DeliveryError::Length)? {
                self.sending = Sending::Flush;
                *body = None;
            }
        }
        Ok(())
    }

    /// Writes everything, through all layers.
    pub(super) fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.outbox.poll_write(io, cx))?;
        ready!(Pin::new(io).poll_flush(cx))?;
        self.needs_flush = false;
        Poll::Ready(Ok(()))
    }
}
