//! The model that a request's body names: reads as much of the body as that takes.

use std::{future::poll_fn, rc::Rc};

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

/// Bytes of a body that may be read without a reservation, as long as they do
/// not have to be waited for: that of most requests comes at once.
const AT_ONCE: usize = 64 * 1024;

/// A request's body, as it is looked into for the model.
pub(super) struct BodyReader<'a, 'b> {
    pub body: &'a mut PeekableBody,
    /// Covers what is read of the body.
    pub reservation: &'a mut BufferReservation<'b>,
    pub state: &'a Rc<StreamState>,
}

impl BodyReader<'_, '_> {
    /// The model that the body names. The rest of it is watched for another model.
    ///
    /// # Errors
    /// If it names none, does not come, or there is no room for it in the reservation.
    pub(super) async fn read(&mut self, mut scanner: BodyScanner) -> Result<Found, ProxyError> {
        let Self {
            body,
            reservation,
            state,
        } = self;
        loop {
            state.enter(Phase::Body);
            state.body.set(RequestBodyState::Awaited);
            let piece = body.look_further(reservation).await;
            state.body.set(RequestBodyState::Unread);
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
            if kept > AT_ONCE && !reservation.cover(kept) {
                return Err(too_far(LookError::NoRoom, body, reservation));
            }
            state.passed(piece.len());
            poll_fn(|cx| state.poll_turn(cx)).await;
        }
    }
}

/// There is no room, maybe not even for this one alone.
fn too_far(
    error: LookError,
    body: &PeekableBody,
    reservation: &BufferReservation<'_>,
) -> ProxyError {
    match error {
        LookError::NoRoom if body.buffered() > reservation.most() => {
            ProxyError::Unnamed(Fault::TooFar(reservation.most()))
        }
        error => error.into(),
    }
}
