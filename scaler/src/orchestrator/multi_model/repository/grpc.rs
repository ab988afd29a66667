//! The repository API over gRPC: `RepositoryIndex`, `RepositoryModelLoad` and
//! `RepositoryModelUnload` of `inference.GRPCInferenceService`, with the fields that Tailback needs
//! (triton-inference-server/common, `protobuf/grpc_service.proto`; MLServer has the same).

use std::{error::Error as _, time::Duration};

use http::{Uri, uri::PathAndQuery};
use prost::Message;
use tokio::{net::TcpStream, time::timeout};
use tonic::{Code, Request, Status, client::Grpc, transport::Endpoint};
use tonic_prost::ProstCodec;

use super::{CallError, IndexEntry, LARGEST, NOT_READY, SHORT};
use crate::{orchestrator::error_chain::chain, replica::Address};

const INDEX: &str = "/inference.GRPCInferenceService/RepositoryIndex";
const LOAD: &str = "/inference.GRPCInferenceService/RepositoryModelLoad";
const UNLOAD: &str = "/inference.GRPCInferenceService/RepositoryModelUnload";
const READY: &str = "/inference.GRPCInferenceService/ModelReady";

/// Asks for the models of all repositories, in any state.
#[derive(Clone, PartialEq, prost::Message)]
struct RepositoryIndexRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct RepositoryIndexResponse {
    #[prost(message, repeated, tag = "1")]
    models: Vec<ModelIndex>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ModelIndex {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    state: String,
    #[prost(string, tag = "4")]
    reason: String,
}

/// Asks for a load or an unload: both messages have the name in the same field.
#[derive(Clone, PartialEq, prost::Message)]
struct RepositoryModelRequest {
    #[prost(string, tag = "2")]
    model_name: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct RepositoryModelResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct ModelReadyRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct ModelReadyResponse {
    #[prost(bool, tag = "1")]
    ready: bool,
}

/// Why a call failed.
enum GrpcFailure {
    /// The server has answered with this status.
    Answered(Status),
    /// The connection failed or broke, or no answer came in time.
    Silent(String),
}

pub(super) async fn load(
    address: Address<'_>,
    model: &str,
    limit: Duration,
) -> Result<(), CallError> {
    let _: RepositoryModelResponse = call(address, LOAD, of(model), limit)
        .await
        .map_err(|failure| judge("load", failure))?;
    let name = model.to_owned();
    match call(address, READY, ModelReadyRequest { name }, SHORT).await {
        Ok(ModelReadyResponse { ready: true }) => Ok(()),
        Ok(ModelReadyResponse { ready: false }) => Err(CallError::Failed(NOT_READY.into())),
        Err(failure) => Err(CallError::Failed(match failure {
            GrpcFailure::Answered(status) => format!("{NOT_READY} ({})", said(&status)),
            GrpcFailure::Silent(why) => why,
        })),
    }
}

pub(super) async fn unload(
    address: Address<'_>,
    model: &str,
    limit: Duration,
) -> Result<(), CallError> {
    let done = call::<_, RepositoryModelResponse>(address, UNLOAD, of(model), limit).await;
    match done {
        Ok(_) => Ok(()),
        Err(GrpcFailure::Answered(status)) if status.code() == Code::NotFound => Ok(()),
        Err(failure) => Err(judge("unload", failure)),
    }
}

pub(super) async fn index(address: Address<'_>) -> Result<Vec<IndexEntry>, CallError> {
    let answer: RepositoryIndexResponse = call(address, INDEX, RepositoryIndexRequest {}, SHORT)
        .await
        .map_err(|failure| judge("index", failure))?;
    let entry = |model: ModelIndex| IndexEntry {
        name: model.name,
        state: state(model.state),
        reason: model.reason,
    };
    Ok(answer.models.into_iter().map(entry).collect())
}

/// A state by its name in the extension. MLServer writes it as Python displays it: `State.READY`.
fn state(said: String) -> String {
    match said.strip_prefix("State.") {
        Some(state) => state.to_owned(),
        None => said,
    }
}

fn of(model: &str) -> RepositoryModelRequest {
    RepositoryModelRequest {
        model_name: model.to_owned(),
    }
}

/// One call on a connection of its own.
async fn call<Q, A>(
    address: Address<'_>,
    method: &'static str,
    request: Q,
    limit: Duration,
) -> Result<A, GrpcFailure>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let Address { authority, name } = address;
    let answer = async {
        // The HTTP/2 client's error does not tell whether connecting failed.
        let probe = TcpStream::connect(authority).await;
        drop(probe.map_err(|error| {
            GrpcFailure::Silent(format!("cannot connect to {authority}: {error}"))
        })?);
        let failed = |error: tonic::transport::Error| GrpcFailure::Silent(chain(&error));
        let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(failed)?;
        let name = format!("http://{name}").parse::<Uri>();
        let name = name.map_err(|error| GrpcFailure::Silent(error.to_string()))?;
        let channel = endpoint.origin(name).connect().await.map_err(failed)?;
        let mut grpc = Grpc::new(channel).max_decoding_message_size(LARGEST);
        grpc.ready().await.map_err(failed)?;
        let codec = ProstCodec::<Q, A>::default();
        let path = PathAndQuery::from_static(method);
        let answer = grpc.unary(Request::new(request), path, codec).await;
        answer.map(tonic::Response::into_inner).map_err(|status| {
            // A status that the client makes up for a broken connection has a source; one of the
            // server has none.
            match status.source() {
                Some(cause) => GrpcFailure::Silent(format!("no response: {}", chain(cause))),
                None => GrpcFailure::Answered(status),
            }
        })
    };
    match timeout(limit, answer).await {
        Ok(Err(GrpcFailure::Silent(why))) => Err(GrpcFailure::Silent(format!("{method}: {why}"))),
        Ok(result) => result,
        Err(_) => Err(GrpcFailure::Silent(format!(
            "{method}: no response within {} s",
            limit.as_secs_f64()
        ))),
    }
}

/// A status of the server counts as a refusal, unless it says that the server is unavailable at
/// present.
fn judge(what: &str, failure: GrpcFailure) -> CallError {
    let status = match failure {
        GrpcFailure::Silent(why) => return CallError::Failed(why),
        GrpcFailure::Answered(status) => status,
    };
    let message = format!("{what} answered {}", said(&status));
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Aborted
        | Code::DataLoss => CallError::Failed(message),
        _ => CallError::Refused(message),
    }
}

fn said(status: &Status) -> String {
    let name = format!("{:?}", status.code());
    match status.message() {
        "" => name,
        message => format!("{name}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::state;

    #[test]
    fn mlservers_states_are_those_of_the_extension() {
        for (said, expected) in [("State.READY", "READY"), ("READY", "READY"), ("", "")] {
            assert_eq!(state(said.to_owned()), expected);
        }
    }
}
