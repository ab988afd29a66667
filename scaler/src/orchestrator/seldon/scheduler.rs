//! A client of Seldon's scheduler: reads a model's status, and asks for one replica more or less.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream;
use http::uri::PathAndQuery;
use tokio::time::timeout;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{
    message::{
        ModelReference, ModelScalingTriggerMessage, ModelScalingTriggerResponse, ModelState,
        ModelStatusRequest, ModelStatusResponse, ModelVersionStatus, STATUS, TRIGGER, Timestamp,
        Trigger,
    },
    relay::ObservedModel,
};

const CONNECT: Duration = Duration::from_secs(5);
/// Time limit of one call.
const ANSWER: Duration = Duration::from_secs(10);
/// Our name in the scheduler's log.
const OURSELVES: &str = "tailback";

/// The scheduler of one server. Connects at the first call, and again after a failure.
#[derive(Clone)]
pub(super) struct Scheduler {
    status: Channel,
    agent: Channel,
}

impl Scheduler {
    /// A client of the services at `status` and `agent`, each `host:port`.
    ///
    /// # Errors
    /// A sentence, if one of them is not an address.
    pub(super) fn new(status: &str, agent: &str) -> Result<Self, String> {
        let channel = |address: &str| {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))
                .map_err(|e| format!("{address}: {e}"))?;
            Ok::<_, String>(endpoint.connect_timeout(CONNECT).connect_lazy())
        };
        Ok(Self {
            status: channel(status)?,
            agent: channel(agent)?,
        })
    }

    /// Reads the status of `model`.
    ///
    /// # Errors
    /// A sentence: the call failed, or Seldon does not have the model.
    pub(super) async fn look(&self, model: &str) -> Result<ObservedModel, String> {
        let question = ModelStatusRequest {
            subscriber_name: OURSELVES.into(),
            model: Some(ModelReference { name: model.into() }),
        };
        let mut grpc = Grpc::new(self.status.clone());
        let answer = async {
            ready(&mut grpc).await?;
            let codec = ProstCodec::<ModelStatusRequest, ModelStatusResponse>::default();
            let path = PathAndQuery::from_static(STATUS);
            let stream = grpc.server_streaming(Request::new(question), path, codec);
            stream.await?.into_inner().message().await
        };
        let answer = within(answer).await.map_err(|status| match status.code() {
            // The scheduler's code for a model that it does not know.
            Code::FailedPrecondition => {
                format!(
                    "Seldon does not have the model: {}; create a Seldon Model of this name",
                    status.message()
                )
            }
            _ => format!(
                "cannot read the model's status from Seldon's scheduler: {}",
                status_text(&status)
            ),
        })?;
        let answer = answer.filter(|answer| !answer.deleted);
        let version = answer.and_then(|answer| answer.versions.into_iter().last());
        let version = version.ok_or(
            "Seldon does not have the model, or is deleting it: create a Seldon Model of this name",
        )?;
        Ok(observed(version, SystemTime::now()))
    }

    /// Asks for one replica more or less of the version in `seen`.
    ///
    /// Each trigger has a stream of its own. The scheduler confirms the stream's end, which shows
    /// that the trigger arrived, but not whether it took effect.
    pub(super) async fn trigger(
        &self,
        model: &str,
        seen: &ObservedModel,
        trigger: Trigger,
    ) -> Result<(), Status> {
        let message = ModelScalingTriggerMessage {
            server_name: seen.server.clone(),
            replica_idx: 0,
            model_name: model.into(),
            model_version: seen.version,
            trigger: trigger.into(),
            amount: 1,
        };
        let mut grpc = Grpc::new(self.agent.clone());
        let answer = async {
            ready(&mut grpc).await?;
            let codec = ProstCodec::<_, ModelScalingTriggerResponse>::default();
            let messages = Request::new(stream::iter([message]));
            let path = PathAndQuery::from_static(TRIGGER);
            grpc.client_streaming(messages, path, codec).await
        };
        within(answer).await.map(drop)
    }
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    let ready = grpc.ready().await;
    ready.map_err(|e| Status::unavailable(e.to_string()))
}

async fn within<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    timeout(ANSWER, answer).await.unwrap_or_else(|_| {
        Err(Status::deadline_exceeded(format!(
            "no response within {} s",
            ANSWER.as_secs()
        )))
    })
}

/// A gRPC status on one line: code and message.
pub(super) fn status_text(status: &Status) -> String {
    format!("{}: {}", status.code(), status.message())
}

fn observed(version: ModelVersionStatus, now: SystemTime) -> ObservedModel {
    let state = version.state.unwrap_or_default();
    let spec = version
        .model_defn
        .and_then(|model| model.deployment_spec)
        .unwrap_or_default();
    let fails = matches!(
        state.state(),
        ModelState::Failed | ModelState::ScheduleFailed
    );
    ObservedModel {
        version: version.version,
        server: version.server_name,
        replicas: spec.replicas,
        available: state.available_replicas,
        is_available: state.state() == ModelState::Available,
        unchanged: state
            .last_change_timestamp
            .map_or(Duration::ZERO, |at| since(at, now)),
        min: spec.min_replicas,
        max: spec.max_replicas,
        failure: fails.then(|| format!("Seldon: {}", state.reason)),
    }
}

fn since(at: Timestamp, now: SystemTime) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(at.seconds).unwrap_or(0));
    let then = UNIX_EPOCH.checked_add(seconds);
    then.and_then(|then| now.duration_since(then).ok())
        .unwrap_or_default()
}
