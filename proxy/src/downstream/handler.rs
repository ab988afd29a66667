//! The interface between `downstream` and the pipeline that answers requests.

use std::{future::Future, rc::Rc, task::Context};

use bytes::Bytes;
use http_body::Body;

use super::Tunnel;
use crate::{
    exchange::{
        StreamState,
        body::{BodyError, Received},
    },
    message::{Request, Response},
};

/// Answers requests. One instance serves all workers. It is a type parameter, so that requests pay
/// no dynamic dispatch.
pub trait Handler: Send + Sync + 'static {
    /// The type of response bodies.
    type Body: ResponseStream;

    /// Called when a connection was accepted on this worker thread.
    fn accepted(&self) {}

    /// Answers one request.
    fn handle(
        &self,
        state: &Rc<StreamState>,
        request: Request<Received>,
    ) -> impl Future<Output = Response<Self::Body>>;
}

/// The body of a response.
pub trait ResponseStream: Body<Data = Bytes, Error = BodyError> + Unpin + 'static {
    /// Makes progress on the exchange, including the request's body, while nobody polls for more of
    /// the response. `cx` is woken when more is possible.
    fn drive(&mut self, cx: &mut Context<'_>);

    /// Called when the last byte has been handed over to the connection, also if that is the last one of
    /// the head. It may be called more than once.
    fn complete(&mut self);

    /// For a response with status 101: what the caller's connection becomes once it has been sent.
    fn take_tunnel(&mut self) -> Option<Tunnel>;
}
