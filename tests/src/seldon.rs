//! The scheduler of Seldon Core 2 as its source has it (SeldonIO/seldon-core,
//! `scheduler/pkg/agent/server.go` and `scheduler/pkg/store`), for scaling one model: status and
//! triggers over gRPC.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tonic::{
    Status,
    body::Body,
    server::{ClientStreamingService, Grpc, ServerStreamingService},
};
use tonic_prost::ProstCodec;

/// How long after a change the scheduler does not scale down.
const COOLING_DOWN: Duration = Duration::from_secs(60);
const AVAILABLE: i32 = 2;
const PROGRESSING: i32 = 1;
const SCHEDULE_FAILED: i32 = 7;

/// The scheduler, with one model.
#[derive(Clone)]
pub struct Scheduler {
    /// Its address, for both status and triggers.
    pub address: SocketAddr,
    inner: Arc<Mutex<State>>,
}

/// Its state.
#[derive(Clone, Debug)]
pub struct State {
    /// The model's name.
    pub model: String,
    /// Its latest version.
    pub version: u32,
    /// Requested replicas.
    pub replicas: u32,
    /// Loaded replicas.
    pub available: u32,
    /// The lower bound.
    pub min: u32,
    /// The upper bound; 0: none.
    pub max: u32,
    /// How many replicas the server has: more replicas of the model are not scheduled.
    pub room: u32,
    /// Whether it is started with model autoscaling.
    pub enabled: bool,
    /// Whether requested replicas load at once.
    pub loads: bool,
    /// How many triggers to drop.
    pub lose: u32,
    /// When the model's state last changed.
    pub changed: SystemTime,
    /// All triggers that have arrived: whether up, and the version.
    pub triggers: Vec<(bool, u32)>,
}

impl State {
    /// A model with `replicas`, all of them available for a long time.
    #[must_use]
    pub fn of(model: &str, replicas: u32, min: u32, max: u32) -> Self {
        Self {
            model: model.into(),
            version: 1,
            replicas,
            available: replicas,
            min,
            max,
            room: u32::MAX,
            enabled: true,
            loads: true,
            lose: 0,
            changed: UNIX_EPOCH,
            triggers: Vec::new(),
        }
    }

    fn state(&self) -> i32 {
        match self.available {
            _ if self.replicas > self.room => SCHEDULE_FAILED,
            n if n == self.replicas || (self.min > 0 && n >= self.min) => AVAILABLE,
            _ => PROGRESSING,
        }
    }

    fn settle(&mut self) {
        let loaded = if self.loads {
            self.replicas
        } else {
            self.available
        };
        let available = loaded.min(self.replicas).min(self.room);
        if available != self.available {
            self.available = available;
            self.changed = SystemTime::now();
        }
    }

    /// As `applyModelScaling`: a trigger that does not apply is ignored.
    fn apply(&mut self, trigger: &Trigger) {
        self.triggers
            .push((trigger.trigger == 0, trigger.model_version));
        if self.lose > 0 {
            self.lose -= 1;
            return;
        }
        let cool = self.changed.elapsed().unwrap_or_default() > COOLING_DOWN;
        let then = match trigger.trigger {
            0 if self.state() == AVAILABLE => self.replicas + 1,
            1 if cool => self.replicas - 1,
            _ => return,
        };
        let scaled = self.min > 0 || self.max > 0;
        let within = then >= self.min.max(1) && (self.max == 0 || then <= self.max);
        if trigger.model_name == self.model
            && trigger.model_version == self.version
            && scaled
            && within
        {
            self.replicas = then;
            self.settle();
        }
    }

    fn tell(&self) -> StatusResponse {
        let since = self.changed.duration_since(UNIX_EPOCH).unwrap_or_default();
        StatusResponse {
            name: self.model.clone(),
            versions: vec![Version {
                version: self.version,
                server: "mlserver".into(),
                state: Some(ModelState {
                    state: self.state(),
                    reason: match self.state() {
                        SCHEDULE_FAILED => "no matching server had enough suitable replicas".into(),
                        _ => String::new(),
                    },
                    available: self.available,
                    changed: Some(Timestamp {
                        seconds: since.as_secs() as i64,
                    }),
                }),
                model: Some(Definition {
                    deployment: Some(Deployment {
                        replicas: self.replicas,
                        min: self.min,
                        max: self.max,
                    }),
                }),
            }],
        }
    }
}

impl Scheduler {
    /// Starts it on a free port; it ends with the test's runtime.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(state: State) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let scheduler = Self {
            address: listener.local_addr().expect("its address"),
            inner: Arc::new(Mutex::new(state)),
        };
        let served = scheduler.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let scheduler = served.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let scheduler = scheduler.clone();
                        async move { Ok::<_, Infallible>(scheduler.call(request).await) }
                    });
                    let _ = http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        scheduler
    }

    /// Its state, to read and to change.
    ///
    /// # Panics
    /// If a serving task did.
    pub fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.inner.lock().expect("the scheduler");
        state.settle();
        state
    }

    async fn call(self, request: Request<Incoming>) -> Response<Body> {
        match request.uri().path() {
            "/seldon.mlops.scheduler.Scheduler/ModelStatus" => {
                let codec = ProstCodec::<StatusResponse, StatusRequest>::default();
                Grpc::new(codec).server_streaming(Tell(self), request).await
            }
            "/seldon.mlops.agent.AgentService/ModelScalingTrigger" => {
                let codec = ProstCodec::<Nothing, Trigger>::default();
                Grpc::new(codec).client_streaming(Take(self), request).await
            }
            path => Status::unimplemented(path.to_owned()).into_http(),
        }
    }
}

struct Tell(Scheduler);

impl ServerStreamingService<StatusRequest> for Tell {
    type Response = StatusResponse;
    type ResponseStream = Pin<Box<Once>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<StatusRequest>) -> Self::Future {
        let state = self.0.state();
        let asked = request.into_inner().model.unwrap_or_default().name;
        if asked != state.model {
            let why = format!("Failed to find model {asked}");
            return ready(Err(Status::failed_precondition(why)));
        }
        let once = Once(Some(state.tell()));
        ready(Ok(tonic::Response::new(Box::pin(once))))
    }
}

/// A stream of one.
pub struct Once(Option<StatusResponse>);

impl tonic::codegen::tokio_stream::Stream for Once {
    type Item = Result<StatusResponse, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.take().map(Ok))
    }
}

struct Take(Scheduler);

impl ClientStreamingService<Trigger> for Take {
    type Response = Nothing;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Nothing>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<tonic::Streaming<Trigger>>) -> Self::Future {
        let scheduler = self.0.clone();
        Box::pin(async move {
            if !scheduler.state().enabled {
                return Err(Status::unimplemented("autoscaling models is disabled"));
            }
            let mut triggers = request.into_inner();
            while let Some(trigger) = triggers.message().await? {
                scheduler.state().apply(&trigger);
            }
            Ok(tonic::Response::new(Nothing {}))
        })
    }
}

// The messages are defined here a second time, so that a wrong field number in the product is
// noticed.

#[derive(Clone, PartialEq, Message)]
struct Trigger {
    #[prost(string, tag = "1")]
    server: String,
    #[prost(string, tag = "3")]
    model_name: String,
    #[prost(uint32, tag = "4")]
    model_version: u32,
    #[prost(int32, tag = "5")]
    trigger: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, PartialEq, Message)]
struct StatusRequest {
    #[prost(message, optional, tag = "2")]
    model: Option<Reference>,
}

#[derive(Clone, PartialEq, Message)]
struct Reference {
    #[prost(string, tag = "1")]
    name: String,
}

/// `ModelStatusResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct StatusResponse {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    versions: Vec<Version>,
}

#[derive(Clone, PartialEq, Message)]
struct Version {
    #[prost(uint32, tag = "2")]
    version: u32,
    #[prost(string, tag = "3")]
    server: String,
    #[prost(message, optional, tag = "6")]
    state: Option<ModelState>,
    #[prost(message, optional, tag = "7")]
    model: Option<Definition>,
}

#[derive(Clone, PartialEq, Message)]
struct ModelState {
    #[prost(int32, tag = "1")]
    state: i32,
    #[prost(string, tag = "2")]
    reason: String,
    #[prost(uint32, tag = "3")]
    available: u32,
    #[prost(message, optional, tag = "5")]
    changed: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Definition {
    #[prost(message, optional, tag = "3")]
    deployment: Option<Deployment>,
}

#[derive(Clone, PartialEq, Message)]
struct Deployment {
    #[prost(uint32, tag = "1")]
    replicas: u32,
    #[prost(uint32, tag = "2")]
    min: u32,
    #[prost(uint32, tag = "3")]
    max: u32,
}
