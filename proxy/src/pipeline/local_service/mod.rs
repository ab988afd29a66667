//! The gRPC services that the proxy offers itself: health, and reflection.

mod health;

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use send_wrapper::SendWrapper;
use tonic::{Status, body::Body as Answer, codegen};
use tonic_health::pb::{FILE_DESCRIPTOR_SET as HEALTH, health_server::HealthServer};
use tonic_reflection::server::Builder;

use self::health::ServedHealth;
use super::Pipeline;
use crate::{
    api_keys::Caller,
    exchange::{
        StreamState,
        body::{BodyError, PeekableBody},
    },
    limits::RequestLimits,
    message::{Request, RequestParts, Response},
    models::Known,
    protocol::{api::Service, grpc::INFERENCE},
};

/// Most bytes of a request's message.
const LARGEST: usize = 64 * 1024;

/// The response of `service` to `caller`. `about` is the model that the metadata names.
pub(super) async fn answer(
    pipeline: &Pipeline,
    service: Service,
    about: Option<Known>,
    caller: &Caller,
    head: RequestParts,
    body: PeekableBody,
) -> Response<Answer> {
    let request = Request::from_parts(head, OneThread(SendWrapper::new(body)));
    match service {
        Service::Health => {
            let health = ServedHealth::new(pipeline, about.as_ref(), caller);
            let server = HealthServer::new(health).max_decoding_message_size(LARGEST);
            call(server, request).await
        }
        Service::Reflection => match services().build_v1() {
            Ok(server) => call(server.max_decoding_message_size(LARGEST), request).await,
            Err(_) => no_descriptors(),
        },
        Service::ReflectionAlpha => match services().build_v1alpha() {
            Ok(server) => call(server.max_decoding_message_size(LARGEST), request).await,
            Err(_) => no_descriptors(),
        },
    }
}

/// The time limits of a response of `service`.
pub(super) fn limits(service: Service, state: &StreamState) -> RequestLimits {
    let limits = state.deadline.limits();
    match service {
        // A watch sends nothing for as long as nothing changes.
        Service::Health => RequestLimits {
            stream_idle: Duration::MAX,
            ..limits
        },
        Service::Reflection | Service::ReflectionAlpha => limits,
    }
}

/// The services that reflection describes.
fn services() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(INFERENCE)
        .register_encoded_file_descriptor_set(HEALTH)
}

/// Not reachable: a test checks that the descriptors are well-formed.
fn no_descriptors() -> Response<Answer> {
    Status::internal("the descriptors of services cannot be read")
        .into_http()
        .into()
}

async fn call<S>(mut server: S, request: Request<OneThread>) -> Response<Answer>
where
    S: codegen::Service<
            http::Request<OneThread>,
            Response = http::Response<Answer>,
            Error = Infallible,
        >,
{
    match server.call(request.into()).await {
        Ok(response) => response.into(),
        Err(never) => match never {},
    }
}

/// A request's body for tonic's services, which require `Send`. It is never sent: each worker's
/// tasks stay on its thread.
struct OneThread(SendWrapper<PeekableBody>);

impl Body for OneThread {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut *self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_the_services_are_well_formed() {
        assert!(services().build_v1().is_ok());
        assert!(services().build_v1alpha().is_ok());
    }
}
