//! A probe by gRPC: `grpc.health.v1.Health/Check` (grpc/grpc, `doc/health-checking.md`).

use http::{Uri, uri::PathAndQuery};
use tonic::{Code, Request, Status, client::Grpc, transport::Endpoint};
use tonic_prost::ProstCodec;

use super::{NotReady, connect};
use crate::replica::Address;

const CHECK: &str = "/grpc.health.v1.Health/Check";

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub status: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
pub(super) enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

/// Asks the server at `address` for the health of `service`; of the whole server if that is empty.
pub(super) async fn check(address: Address<'_>, service: &str) -> Result<(), NotReady> {
    let Address { authority, name } = address;
    // The HTTP/2 client does not distinguish a failed connection from a failed call.
    drop(connect(authority).await?);
    let answer = async {
        let failed = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(failed)?;
        let name = format!("http://{name}").parse::<Uri>();
        let name = name.map_err(|error| Status::unavailable(error.to_string()))?;
        let endpoint = endpoint.origin(name);
        let mut grpc = Grpc::new(endpoint.connect().await.map_err(failed)?);
        grpc.ready().await.map_err(failed)?;
        let request = Request::new(HealthCheckRequest {
            service: service.to_owned(),
        });
        let codec = ProstCodec::<_, HealthCheckResponse>::default();
        let path = PathAndQuery::from_static(CHECK);
        grpc.unary(request, path, codec).await
    };
    let why = match answer.await {
        Ok(answer) => match answer.into_inner().status() {
            ServingStatus::Serving => return Ok(()),
            ServingStatus::NotServing => "answered NOT_SERVING".to_owned(),
            ServingStatus::ServiceUnknown => "does not know the service".to_owned(),
            ServingStatus::Unknown => "answered UNKNOWN".to_owned(),
        },
        Err(status) => match status.code() {
            Code::NotFound => "does not know the service".to_owned(),
            Code::Unimplemented => {
                "is not implemented there; set ready to another kind of probe".to_owned()
            }
            code => format!("got no answer: {code}: {}", status.message()),
        },
    };
    let of = match service {
        "" => String::new(),
        service => format!(" of {service}"),
    };
    Err(NotReady::Answer(format!("gRPC health{of} {why}")))
}
