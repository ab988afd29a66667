//! KEDA's external scaler: lets KEDA, and the HPA that it creates, scale by the exact lag.
//!
//! KEDA decides between zero and one replica (`IsActive`, or `StreamIsActive` for a trigger of type
//! `external-push`, to which the [`monitor`] pushes). The HPA decides between one and many, by
//! `GetMetrics`. Each value is read from the ledger when it is asked for.
//!
//! KEDA keeps one connection per address, with a stream on it for each `ScaledObject`: there may be
//! thousands. A stream is a small task that sleeps until its model changes. [`STREAMS`] bounds
//! them; further streams are refused with an error instead of left waiting, so that KEDA can log
//! why.

mod activity;
mod message;
mod monitor;
mod trigger;

use std::{
    future::{Ready, ready},
    marker::PhantomData,
    mem,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, stream};
use http::{Request, Response};
use hyper::body::Incoming;
use tailback_scaler::status::StatusStore;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};
use tonic::{
    Status,
    body::Body,
    codec::{BufferSettings, Codec},
    server::{Grpc, ServerStreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

pub(super) use self::message::SERVICE;
use self::{
    message::{
        GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse,
        ScaledObjectRef,
    },
    monitor::Monitor,
    trigger::Trigger,
};
use crate::models::SharedRoutes;

/// Most `StreamIsActive` streams at once, on all connections.
pub(super) const STREAMS: usize = 20_000;
/// How long a request's message may take to arrive.
const MESSAGE: Duration = Duration::from_secs(10);
/// Most bytes of a message.
const LARGEST: usize = 64 * 1024;
/// Initial bytes of a call's buffer: enough for any answer. tonic's default of 8 KiB would be kept
/// for as long as a stream lives.
const BUFFER: usize = 128;

/// The external scaler service.
pub(super) struct Keda {
    routes: Arc<SharedRoutes>,
    status_store: StatusStore,
    monitor: Monitor,
    streams: Arc<Semaphore>,
}

impl Keda {
    pub(super) fn new(routes: Arc<SharedRoutes>, status_store: StatusStore) -> Self {
        Self {
            monitor: Monitor::new(routes.clone(), status_store.clone()),
            streams: Arc::new(Semaphore::new(STREAMS)),
            routes,
            status_store,
        }
    }

    /// Pushes changes to the streams, for as long as it is polled.
    pub(super) async fn push(&self) {
        self.monitor.run().await;
    }

    /// Answers a call to `method` of [`SERVICE`].
    pub(super) async fn call(
        self: Arc<Self>,
        method: &str,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let answer = async {
            match method {
                "IsActive" => unary(request, |asked| self.is_active(&asked)).await,
                "StreamIsActive" => {
                    let Ok(permit) = self.streams.clone().try_acquire_owned() else {
                        return Status::resource_exhausted(format!(
                            "the limit of {STREAMS} StreamIsActive streams is reached"
                        ))
                        .into_http();
                    };
                    let service = Streaming(self.clone(), Some(permit));
                    grpc().server_streaming(service, request).await
                }
                "GetMetricSpec" => unary(request, |asked| self.metric_spec(&asked)).await,
                "GetMetrics" => unary(request, |asked| self.metrics(asked)).await,
                _ => Status::unimplemented(format!("there is no method {method}")).into_http(),
            }
        };
        timeout(MESSAGE, answer).await.unwrap_or_else(|_| {
            let seconds = MESSAGE.as_secs();
            Status::deadline_exceeded(format!("no message within {seconds} s")).into_http()
        })
    }

    fn trigger(&self, asked: &ScaledObjectRef) -> Result<Trigger, Status> {
        Trigger::read(asked, &self.routes.current())
    }

    fn is_active(&self, asked: &ScaledObjectRef) -> Result<IsActiveResponse, Status> {
        let result = self.monitor.is_active(self.trigger(asked)?);
        Ok(IsActiveResponse { result })
    }

    fn metric_spec(&self, asked: &ScaledObjectRef) -> Result<GetMetricSpecResponse, Status> {
        let metric_specs = vec![self.trigger(asked)?.spec()];
        Ok(GetMetricSpecResponse { metric_specs })
    }

    fn metrics(&self, asked: GetMetricsRequest) -> Result<GetMetricsResponse, Status> {
        let object = asked.scaled_object_ref.unwrap_or_default();
        let value = self
            .trigger(&object)?
            .value(&asked.metric_name, &self.status_store)?;
        Ok(GetMetricsResponse {
            metric_values: vec![value],
        })
    }
}

/// The state of one `StreamIsActive` stream.
struct Push {
    keda: Arc<Keda>,
    asked: ScaledObjectRef,
    state: State,
    _permit: Option<OwnedSemaphorePermit>,
}

/// What a stream does next.
enum State {
    /// Looks up its model.
    Unknown,
    /// Waits until the answer differs from the last one.
    Said(watch::Receiver<bool>),
    /// Ends: the last answer was an error.
    Over,
}

impl Push {
    /// Waits for the next answer. `None` ends the stream.
    async fn next(mut self) -> Option<(Result<IsActiveResponse, Status>, Self)> {
        loop {
            let mut receiver = match mem::replace(&mut self.state, State::Over) {
                State::Over => return None,
                State::Unknown => match self.keda.trigger(&self.asked) {
                    Ok(trigger) => self.keda.monitor.subscribe(trigger),
                    Err(status) => return Some((Err(status), self)),
                },
                State::Said(mut receiver) => {
                    if receiver.changed().await.is_err() {
                        // The sender is gone: the model was removed, or removed and added again.
                        self.state = State::Unknown;
                        continue;
                    }
                    receiver
                }
            };
            let result = *receiver.borrow_and_update();
            self.state = State::Said(receiver);
            return Some((Ok(IsActiveResponse { result }), self));
        }
    }
}

fn grpc<Req, Res>() -> Grpc<Small<Res, Req>>
where
    Req: prost::Message + Default + 'static,
    Res: prost::Message + 'static,
{
    Grpc::new(Small(PhantomData)).max_decoding_message_size(LARGEST)
}

/// tonic's protobuf codec with small buffers.
struct Small<T, U>(PhantomData<(T, U)>);

impl<T, U> Codec for Small<T, U>
where
    T: prost::Message + 'static,
    U: prost::Message + Default + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER, LARGEST))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER, LARGEST))
    }
}

async fn unary<Req, Res>(
    request: Request<Incoming>,
    answer: impl FnMut(Req) -> Result<Res, Status>,
) -> Response<Body>
where
    Req: prost::Message + Default + 'static,
    Res: prost::Message + 'static,
{
    grpc().unary(Unary(answer), request).await
}

/// A unary method whose answer is ready at once.
struct Unary<F>(F);

impl<Req, Res, F> UnaryService<Req> for Unary<F>
where
    F: FnMut(Req) -> Result<Res, Status>,
{
    type Response = Res;
    type Future = Ready<Result<tonic::Response<Res>, Status>>;

    fn call(&mut self, request: tonic::Request<Req>) -> Self::Future {
        ready((self.0)(request.into_inner()).map(tonic::Response::new))
    }
}

/// `StreamIsActive`: sends the answer now, and again whenever it changes.
struct Streaming(Arc<Keda>, Option<OwnedSemaphorePermit>);

impl ServerStreamingService<ScaledObjectRef> for Streaming {
    type Response = IsActiveResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<IsActiveResponse, Status>> + Send>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<ScaledObjectRef>) -> Self::Future {
        let start = Push {
            keda: self.0.clone(),
            asked: request.into_inner(),
            state: State::Unknown,
            // tonic calls it once.
            _permit: self.1.take(),
        };
        ready(Ok(tonic::Response::new(Box::pin(stream::unfold(
            start,
            Push::next,
        )))))
    }
}
