//! The model that a request's body names: reads as much of the body as that takes.

use crate::{
    exchange::{
        Phase, StreamState,
        body::{BufferReservation, PeekableBody},
    },
    protocol::{
        ProxyError,
        peek::{Fault, Found, Progress, Scanner},
    },
};

/// The model that `body` names within its first `limit` bytes. The rest of it is
/// watched for another.
///
/// # Errors
/// If it names none there, does not come, or there is no room for it in `reservation`.
pub(super) async fn read_model(
    mut scanner: Scanner,
    body: &mut PeekableBody,
    limit: usize,
    reservation: &mut BufferReservation<'_>,
    state: &StreamState,
) -> Result<Found, ProxyError> {
    let mut read = 0;
    loop {
        state.enter(Phase::Body);
        state.body_awaited.set(true);
        let piece = body.look_further(reservation).await;
        state.body_awaited.set(false);
        let Some(piece) = piece? else {
            return Err(ProxyError::Unnamed(scanner.at_end()));
        };
        let before = read;
        let looked_at = piece.len().min(limit - read);
        read += looked_at;
        match scanner.feed(&piece[..looked_at]) {
            Progress::Found(found) => {
                return match scanner.go_on(&piece, looked_at, before, &found) {
                    Progress::Not(fault) => Err(ProxyError::Unnamed(fault)),
                    _ => {
                        body.watch(scanner);
                        Ok(found)
                    }
                };
            }
            Progress::Not(fault) => return Err(ProxyError::Unnamed(fault)),
            Progress::More if read == limit => {
                return Err(ProxyError::Unnamed(Fault::TooFar(limit)));
            }
            Progress::More => {}
        }
    }
}
