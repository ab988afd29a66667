//! What downstream asks of whoever answers requests.

use std::{future::Future, rc::Rc, task::Context};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

use super::Tunnel;
use crate::exchange::{
    StreamState,
    body::{BodyError, Received},
};

/// Answers requests. One for all workers; it is known at compile time, so that
/// a request pays for no indirection.
pub trait Handler: Send + Sync + 'static {
    /// The bodies of its answers.
    type Body: ResponseStream;

    /// A connection was accepted on this worker thread.
    fn accepted(&self) {}

    /// Answers one request.
    fn handle(
        &self,
        state: &Rc<StreamState>,
        request: Request<Received>,
    ) -> impl Future<Output = Response<Self::Body>>;
}

/// The body of an answer.
pub trait ResponseStream: Body<Data = Bytes, Error = BodyError> + Unpin + 'static {
    /// Lets what the answer comes by make progress, for the request's body as well,
    /// while nobody asks for more of the answer. `cx` is woken when there can be more.
    fn drive(&mut self, cx: &mut Context<'_>);

    /// The last byte has been handed over to the connection.
    fn complete(&mut self);

    /// What the caller's connection becomes once the answer is out, if its status
    /// is 101.
    fn take_tunnel(&mut self) -> Option<Tunnel>;
}
