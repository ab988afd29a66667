//! KEDA's external scaler: KEDA, and the HPA it makes, scale by the exact lag.
//!
//! KEDA decides between none and one (`IsActive`, or `StreamIsActive` for a
//! trigger of type `external-push`, which is told within [`LOOK`] of a request
//! that is held), and an HPA between one and many, by `GetMetrics`. Each value
//! is read from the ledger as it is asked for.

mod activity;
mod message;
mod trigger;

use std::{
    future::{Ready, ready},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, stream};
use http::{Request, Response};
use hyper::body::Incoming;
use tailback_scaler::status::StatusStore;
use tokio::time::{sleep, timeout};
use tonic::{
    Status,
    body::Body,
    server::{Grpc, ServerStreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

pub(super) use self::message::SERVICE;
use self::{
    activity::Activity,
    message::{
        GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse,
        ScaledObjectRef,
    },
    trigger::{Metric, Trigger},
};
use crate::downstream::DataPlane;

/// A model is looked at so often while someone waits to be told of its first
/// request: two counters are read.
const LOOK: Duration = Duration::from_millis(20);
/// The same while it is in use.
const LOOK_AT_USED: Duration = Duration::from_secs(1);
/// A request's message must arrive in this.
const MESSAGE: Duration = Duration::from_secs(10);
/// Bytes of a message.
const LARGEST: usize = 64 * 1024;

/// The service.
pub(super) struct Keda {
    plane: Arc<DataPlane>,
    status_store: StatusStore,
    activity: Activity,
}

impl Keda {
    pub(super) fn new(plane: Arc<DataPlane>, status_store: StatusStore) -> Self {
        Self {
            plane,
            status_store,
            activity: Activity::default(),
        }
    }

    /// Answers a call of [`SERVICE`]'s `method`.
    pub(super) async fn call(
        self: Arc<Self>,
        method: &str,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let answer = async {
            match method {
                "IsActive" => unary(request, |asked| self.is_active(&asked)).await,
                "StreamIsActive" => {
                    let service = Streaming(self.clone());
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
        Trigger::read(asked, &self.plane.tables.current())
    }

    fn is_active(&self, asked: &ScaledObjectRef) -> Result<IsActiveResponse, Status> {
        let trigger = self.trigger(asked)?;
        let model = &trigger.model;
        let reading = trigger.reading(&self.status_store);
        let inactive = model.config.scaling.inactive.value;
        let used = self.activity.is_active(model.name(), &reading, inactive);
        let result = match trigger.metric {
            Metric::Lag => used,
            // A request that the policy has not seen yet counts too.
            Metric::Replicas => reading.in_flight() > 0 || trigger.wanted(&self.status_store) > 0,
        };
        Ok(IsActiveResponse { result })
    }

    fn metric_spec(&self, asked: &ScaledObjectRef) -> Result<GetMetricSpecResponse, Status> {
        let metric_specs = vec![self.trigger(asked)?.spec()];
        Ok(GetMetricSpecResponse { metric_specs })
    }

    fn metrics(&self, asked: GetMetricsRequest) -> Result<GetMetricsResponse, Status> {
        let who = asked.scaled_object_ref.unwrap_or_default();
        let value = self
            .trigger(&who)?
            .value(&asked.metric_name, &self.status_store)?;
        Ok(GetMetricsResponse {
            metric_values: vec![value],
        })
    }

    /// Waits until the answer is another one than `said`. `None`: it waits no
    /// longer, as the last answer was an error.
    async fn changed(self: Arc<Self>, asked: ScaledObjectRef, said: Said) -> Option<Told> {
        loop {
            let told = self.is_active(&asked);
            match (&told, said) {
                (_, Said::Error) => return None,
                (Err(_), _) => return Some((told, (self, asked, Said::Error))),
                (Ok(now), said) if said != Said::Active(now.result) => {
                    let said = Said::Active(now.result);
                    return Some((told, (self, asked, said)));
                }
                (Ok(now), _) => {
                    sleep(if now.result { LOOK_AT_USED } else { LOOK }).await;
                }
            }
        }
    }
}

/// What a stream said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Active(bool),
    Error,
}

/// An answer, and what the next one is made of.
type Told = (
    Result<IsActiveResponse, Status>,
    (Arc<Keda>, ScaledObjectRef, Said),
);

fn grpc<Req, Res>() -> Grpc<ProstCodec<Res, Req>>
where
    Req: prost::Message + Default + 'static,
    Res: prost::Message + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(LARGEST)
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

/// A method that answers at once.
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

/// `StreamIsActive`: the answer now, and whenever it changes.
struct Streaming(Arc<Keda>);

impl ServerStreamingService<ScaledObjectRef> for Streaming {
    type Response = IsActiveResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<IsActiveResponse, Status>> + Send>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<ScaledObjectRef>) -> Self::Future {
        let start = (self.0.clone(), request.into_inner(), Said::Nothing);
        let answers = stream::unfold(start, |(keda, asked, said)| keda.changed(asked, said));
        ready(Ok(tonic::Response::new(Box::pin(answers))))
    }
}
