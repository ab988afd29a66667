//! The messages of Seldon Core 2's scheduler that Tailback needs, with the fields that it needs
//! (SeldonIO/seldon-core, `apis/mlops/agent/agent.proto` and
//! `apis/mlops/scheduler/scheduler.proto`). Names and numbers are the protocol.

/// The method by which agents ask the scheduler for one replica more or less.
pub(super) const TRIGGER: &str = "/seldon.mlops.agent.AgentService/ModelScalingTrigger";
/// The method by which clients read a model's status.
pub(super) const STATUS: &str = "/seldon.mlops.scheduler.Scheduler/ModelStatus";

/// Asks for one replica more or less.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelScalingTriggerMessage {
    #[prost(string, tag = "1")]
    pub server_name: String,
    #[prost(uint32, tag = "2")]
    pub replica_idx: u32,
    #[prost(string, tag = "3")]
    pub model_name: String,
    #[prost(uint32, tag = "4")]
    pub model_version: u32,
    #[prost(enumeration = "Trigger", tag = "5")]
    pub trigger: i32,
    /// Ignored by the scheduler, which always moves by one.
    #[prost(uint32, tag = "6")]
    pub amount: u32,
}

/// The direction of a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Trigger {
    ScaleUp = 0,
    ScaleDown = 1,
}

/// Confirms that the trigger arrived, but not whether it took effect.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ModelScalingTriggerResponse {}

/// Asks for the status of one model.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelStatusRequest {
    #[prost(string, tag = "1")]
    pub subscriber_name: String,
    #[prost(message, optional, tag = "2")]
    pub model: Option<ModelReference>,
}

/// A model's name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelReference {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// A model's status. The last of its versions is the latest.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelStatusResponse {
    #[prost(string, tag = "1")]
    pub model_name: String,
    #[prost(message, repeated, tag = "2")]
    pub versions: Vec<ModelVersionStatus>,
    #[prost(bool, tag = "3")]
    pub deleted: bool,
}

/// The status of one version of a model.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelVersionStatus {
    #[prost(uint32, tag = "2")]
    pub version: u32,
    #[prost(string, tag = "3")]
    pub server_name: String,
    #[prost(message, optional, tag = "6")]
    pub state: Option<ModelStatus>,
    #[prost(message, optional, tag = "7")]
    pub model_defn: Option<Model>,
}

/// The state of one version.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelStatus {
    #[prost(enumeration = "ModelState", tag = "1")]
    pub state: i32,
    #[prost(string, tag = "2")]
    pub reason: String,
    #[prost(uint32, tag = "3")]
    pub available_replicas: u32,
    #[prost(message, optional, tag = "5")]
    pub last_change_timestamp: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// The states that Tailback tells apart; prost keeps others as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum ModelState {
    Unknown = 0,
    Progressing = 1,
    Available = 2,
    Failed = 3,
    ScheduleFailed = 7,
}

/// A model as it was requested.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Model {
    #[prost(message, optional, tag = "3")]
    pub deployment_spec: Option<DeploymentSpec>,
}

/// The requested replicas and their bounds.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct DeploymentSpec {
    #[prost(uint32, tag = "1")]
    pub replicas: u32,
    #[prost(uint32, tag = "2")]
    pub min_replicas: u32,
    #[prost(uint32, tag = "3")]
    pub max_replicas: u32,
}
