//! Reads as much of a request's body as it takes to find the model that it names.

use std::{future::poll_fn, rc::Rc};

use bytes::Bytes;

use crate::{
    exchange::{
        Phase, RequestBodyState, StreamState,
        body::{BufferReservation, LookError, PeekableBody},
    },
    protocol::{
        ProxyError,
        peek::{BodyScanner, Fault, Found, Scan},
    },
};

/// Bytes of a body that may be buffered without a reservation if they arrive without a wait, as
/// for most requests.
const AT_ONCE: usize = 64 * 1024;

/// A request's body, to be scanned for the model's name.
pub(super) struct BodyReader<'a, 'b> {
    pub body: &'a mut PeekableBody,
    /// Covers the buffered part of the body.
    pub reservation: &'a mut BufferReservation<'b>,
    pub state: &'a Rc<StreamState>,
}

impl BodyReader<'_, '_> {
    /// The next piece of the body, which stays part of it; `None` at its end.
    ///
    /// # Errors
    /// [`LookError`].
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, LookError> {
        if self.state.phase() != Phase::Body {
            self.state.enter(Phase::Body);
        }
        self.state.await_body();
        let piece = self.body.look_further(self.reservation).await;
        self.state.body.set(RequestBodyState::Unread);
        if let Ok(Some(piece)) = &piece {
            self.state.body_came(piece.len());
        }
        piece
    }

    /// The model that the body names. The rest of the body is checked for a second name as it is
    /// forwarded.
    ///
    /// # Errors
    /// If the body names no model, does not arrive, or exceeds the buffer budget.
    pub(super) async fn read(&mut self, mut scanner: BodyScanner) -> Result<Found, ProxyError> {
        loop {
            let piece = self.next().await;
            let Self {
                body,
                reservation,
                state,
            } = self;
            let Some(piece) = piece.map_err(|error| too_far(error, body, reservation))? else {
                return scanner.finish().map_err(ProxyError::Unnamed);
            };
            let mut found = None;
            let mut scan = scanner.feed(&piece).map_err(ProxyError::Unnamed)?;
            loop {
                if let Scan::Found(name) = scan {
                    found = Some(name);
                }
                if !scanner.is_busy() {
                    break;
                }
                state.yield_turn().await;
                scan = scanner.go_on().map_err(ProxyError::Unnamed)?;
            }
            if let Some(found) = found {
                if body.has_ended() {
                    scanner.end().map_err(ProxyError::Unnamed)?;
                }
                body.watch(scanner);
                return Ok(found);
            }
            let kept = body.buffered() + scanner.memory();
            if kept > AT_ONCE
                && let Err(shortage) = reservation.cover(kept)
            {
                return Err(too_far(shortage.into(), body, reservation));
            }
            state.passed(piece.len());
            poll_fn(|cx| state.poll_turn(cx)).await;
        }
    }
}

/// The error for an exhausted budget: it depends on whether the body alone exceeds the budget.
fn too_far(
    error: LookError,
    body: &PeekableBody,
    reservation: &BufferReservation<'_>,
) -> ProxyError {
    match error {
        LookError::NoRoom(_) if body.buffered() > reservation.most() => {
            ProxyError::Unnamed(Fault::TooFar(reservation.most()))
        }
        error => error.into(),
    }
}
