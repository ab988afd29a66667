//! KEDA's end of its external scaler protocol.

use std::{collections::HashMap, net::SocketAddr};

use http::uri::PathAndQuery;
use prost::Message;
use tailback_tests::PATIENCE;
use tonic::{Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

// As KEDA's externalscaler.proto has them, written here a second time: a wrong
// number in the product is not repeated.

#[derive(Clone, PartialEq, Message)]
pub struct ScaledObjectRef {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(map = "string, string", tag = "3")]
    pub scaler_metadata: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct IsActive {
    #[prost(bool, tag = "1")]
    pub result: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Specs {
    #[prost(message, repeated, tag = "1")]
    pub metric_specs: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, tag = "2")]
    pub whole: i64,
    #[prost(double, tag = "3")]
    pub value: f64,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetMetrics {
    #[prost(message, optional, tag = "1")]
    pub scaled_object_ref: Option<ScaledObjectRef>,
    #[prost(string, tag = "2")]
    pub metric_name: String,
}

/// A connection of KEDA's. Clones share it.
#[derive(Clone)]
pub struct Keda(Grpc<Channel>);

pub fn object(metadata: &[(&str, &str)]) -> ScaledObjectRef {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    ScaledObjectRef {
        name: "llama".into(),
        namespace: "models".into(),
        scaler_metadata: metadata.iter().map(own).collect(),
    }
}

fn path(method: &str) -> PathAndQuery {
    format!("/externalscaler.ExternalScaler/{method}")
        .parse()
        .unwrap()
}

impl Keda {
    pub async fn connect(admin: SocketAddr) -> Self {
        let channel = Channel::from_shared(format!("http://{admin}")).unwrap();
        Self(Grpc::new(channel.connect().await.unwrap()))
    }

    pub async fn ask<Q, A>(&mut self, method: &str, message: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.0.ready().await.unwrap();
        let codec = ProstCodec::<Q, A>::default();
        let answer = self
            .0
            .unary(tonic::Request::new(message), path(method), codec);
        Ok(answer.await?.into_inner())
    }

    pub async fn is_active(&mut self, of: &ScaledObjectRef) -> Result<bool, Status> {
        let answer: IsActive = self.ask("IsActive", of.clone()).await?;
        Ok(answer.result)
    }

    pub async fn value(&mut self, of: &ScaledObjectRef, name: &str) -> Result<Metric, Status> {
        let question = GetMetrics {
            scaled_object_ref: Some(of.clone()),
            metric_name: name.into(),
        };
        let answer: Specs = self.ask("GetMetrics", question).await?;
        Ok(answer.metric_specs[0].clone())
    }

    pub async fn stream(&mut self, of: &ScaledObjectRef) -> Streaming<IsActive> {
        self.try_stream(of).await.unwrap()
    }

    pub async fn try_stream(
        &mut self,
        of: &ScaledObjectRef,
    ) -> Result<Streaming<IsActive>, Status> {
        self.0.ready().await.unwrap();
        let codec = ProstCodec::<ScaledObjectRef, IsActive>::default();
        let message = tonic::Request::new(of.clone());
        let answer = self
            .0
            .server_streaming(message, path("StreamIsActive"), codec);
        Ok(answer.await?.into_inner())
    }
}

/// The next answer of a stream.
pub async fn next(stream: &mut Streaming<IsActive>) -> Result<Option<bool>, Status> {
    let next = tokio::time::timeout(PATIENCE, stream.message()).await;
    Ok(next
        .expect("an answer in time")?
        .map(|answer| answer.result))
}
