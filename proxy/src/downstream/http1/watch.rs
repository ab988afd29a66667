//! What is watched beside the requests of a connection: its deadline, draining, and memory.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use crate::{
    downstream::{Downstream, drain::Drain, shedding::Shedding},
    exchange::{Phase, StreamState, Watchdog},
    status::Outcome,
};

/// What all requests of a connection share.
pub(super) struct Watch {
    pub state: Rc<StreamState>,
    pub watchdog: Watchdog,
    pub drain: Drain,
}

/// What must happen to a connection now.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Due {
    /// It must be closed.
    End,
    /// The handler must notice that the deadline has passed, and answer with an error.
    Answer,
}

impl Watch {
    /// If draining has begun, the connection takes no further request.
    pub(super) fn notice_drain<H>(&mut self, downstream: &Downstream<H>, cx: &mut Context<'_>) {
        let connection = self.state.connection();
        if (self.drain).begins(cx, &downstream.lifecycle, connection) {
            self.state.deadline.linger();
        }
    }

    /// Ready when a deadline has passed, or memory is short. Must be called at the end of each
    /// poll.
    pub(super) fn poll_due<H>(
        &mut self,
        downstream: &Downstream<H>,
        cx: &mut Context<'_>,
    ) -> Poll<Due> {
        let state = &self.state;
        let connection = state.connection();
        match Shedding::of(connection, &downstream.settings.overload) {
            Shedding::Nothing => {}
            Shedding::Cut => {
                connection.undelivered(Outcome::CallerSlow);
                return Poll::Ready(Due::End);
            }
            Shedding::Close => return Poll::Ready(Due::End),
        }
        if state.deadline.is_expired() {
            // The handler should have answered, and has not.
            return Poll::Ready(Due::End);
        }
        state
            .poll_expired(&mut self.watchdog, cx)
            .map(|()| match state.phase() {
                // There is no request to answer, or it is too late to answer it.
                Phase::Idle | Phase::Head => Due::End,
                Phase::FirstByte | Phase::Streaming => {
                    connection.undelivered(state.blame());
                    Due::End
                }
                Phase::Held | Phase::Body | Phase::Response => Due::Answer,
            })
    }
}
