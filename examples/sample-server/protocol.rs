//! The JSON of the Open Inference Protocol v2, as far as this server speaks it.
//!
//! Field names are the specification's. Fields it allows and this model has no use for are
//! skipped; parameters that ask for something this server cannot do are kept, to refuse them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A header of the binary tensor data extension: how many bytes of the body are JSON. The tensors
/// follow them, in the order in which the JSON names them.
pub const JSON_LENGTH_HEADER: &str = "inference-header-content-length";

/// Body of `POST /v2/models/{name}/infer`.
#[derive(Debug, Deserialize)]
pub struct InferRequest {
    pub id: Option<String>,
    #[serde(default)]
    pub parameters: Parameters,
    pub inputs: Vec<InputTensor>,
    /// Which outputs to answer with; all of them if there are none here.
    #[serde(default)]
    pub outputs: Vec<RequestedOutput>,
}

/// A tensor that came with a request: its values are in `data` or in the binary part of the body.
#[derive(Debug, Deserialize)]
pub struct InputTensor {
    pub name: String,
    pub datatype: String,
    pub shape: Vec<i64>,
    #[serde(default)]
    pub parameters: Parameters,
    pub data: Option<Value>,
}

/// An output the client asks for.
#[derive(Debug, Deserialize)]
pub struct RequestedOutput {
    pub name: String,
    #[serde(default)]
    pub parameters: Parameters,
}

/// The parameters of the protocol's extensions, wherever each may stand.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    /// Of an input: its bytes in the binary part of the body.
    pub binary_data_size: Option<usize>,
    /// Of an output: answer it in binary.
    pub binary_data: Option<bool>,
    /// Of a request: answer in binary all outputs that don't say otherwise.
    pub binary_data_output: Option<bool>,
    /// Classification extension: not supported.
    pub classification: Option<Value>,
    /// Shared memory extension: not supported.
    pub shared_memory_region: Option<Value>,
}

/// Body of a successful inference.
#[derive(Debug, Serialize)]
pub struct InferResponse<'a> {
    pub model_name: &'a str,
    pub model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    pub outputs: Vec<OutputTensor<'a>>,
}

/// A tensor that goes out.
#[derive(Debug, Serialize)]
pub struct OutputTensor<'a> {
    pub name: &'a str,
    pub datatype: &'a str,
    pub shape: [usize; 2],
    #[serde(flatten)]
    pub values: Values<'a>,
}

/// Where an output's values are: here, or after the JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Values<'a> {
    Data(&'a [i32]),
    Parameters { binary_data_size: usize },
}

/// Body of `GET /v2`.
#[derive(Debug, Serialize)]
pub struct ServerMetadata {
    pub name: &'static str,
    pub version: &'static str,
    pub extensions: &'static [&'static str],
}

/// Body of `GET /v2/models/{name}`.
#[derive(Debug, Serialize)]
pub struct ModelMetadata<'a> {
    pub name: &'a str,
    pub versions: [&'a str; 1],
    pub platform: &'a str,
    pub inputs: [TensorMetadata; 2],
    pub outputs: [TensorMetadata; 2],
}

/// What a tensor of the model looks like.
#[derive(Debug, Serialize)]
pub struct TensorMetadata {
    pub name: &'static str,
    pub datatype: &'static str,
    pub shape: [usize; 2],
}

/// Body of `GET /v2/health/live`.
#[derive(Debug, Serialize)]
pub struct Live {
    pub live: bool,
}

/// Body of `GET /v2/health/ready`, and with a name of `GET /v2/models/{name}/ready`.
#[derive(Debug, Serialize)]
pub struct Ready<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    pub ready: bool,
}

/// An entry of the body of `POST /v2/repository/index`.
#[derive(Debug, Serialize)]
pub struct IndexEntry<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub state: &'a str,
    pub reason: &'a str,
}

/// Body of every refusal.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    pub error: &'a str,
}
