//! Reads the proxy's state from its admin address.

use std::fmt;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::Result;

/// The model's counts.
pub struct Model {
    pub arrived: u64,
    pub in_flight: u64,
    pub held: u64,
    pub desired: u64,
    pub ready: usize,
}

/// A scale decision.
#[derive(PartialEq)]
pub struct Decision(Value);

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = self.0["reasons"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let why: Vec<_> = reasons.iter().filter_map(Value::as_str).collect();
        write!(
            f,
            "{} → {}: {}",
            self.0["from"],
            self.0["to"],
            why.join("; ")
        )
    }
}

/// The state of the only model.
pub async fn model(admin: &str) -> Result<Model> {
    let answer = get(admin, "/models").await?;
    let model = &answer["models"][0];
    let count = |value: &Value| value.as_u64().ok_or("an unexpected answer of /models");
    Ok(Model {
        arrived: count(&model["arrived"])?,
        in_flight: count(&model["inFlight"])?,
        held: count(&model["held"])?,
        desired: count(&model["replicas"]["desired"])?,
        ready: model["replicas"]["ready"].as_array().map_or(0, Vec::len),
    })
}

/// The last decision, if there is one.
pub async fn newest_decision(admin: &str) -> Result<Option<Decision>> {
    let answer = get(admin, "/decisions").await?;
    Ok(answer["decisions"].get(0).cloned().map(Decision))
}

async fn get(address: &str, path: &str) -> Result<Value> {
    let io = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, driver) = hyper::client::conn::http1::handshake(io).await?;
    tokio::spawn(driver);
    let request = Request::get(path)
        .header("host", address)
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    Ok(serde_json::from_slice(
        &response.into_body().collect().await?.to_bytes(),
    )?)
}
