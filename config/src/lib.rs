//! Tailback's configuration: reads manifests and environment into one validated, immutable
//! [`Config`], and makes a new one whenever the files change.
//!
//! - [`load()`] reads everything once. [`Store`] keeps the current snapshot and reloads it.
//!   [`watch()`] calls back when the files change.
//! - A manifest is a Kubernetes-style YAML document, such as a `Server` or a `Model`;
//!   `docs/reference/manifests.md` describes every field, `docs/reference/environment.md` every variable.
//! - All errors are collected, never only the first, and each names file, document, line, field,
//!   what was found and what is expected.

// In tests, a panic is a failure.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod api_key;
mod api_keys_file;
pub mod cgroup;
mod cluster;
mod config;
mod cors;
mod describe;
mod endpoint;
mod env;
mod environment;
mod error;
mod files;
mod health;
mod hold_classes;
mod host;
mod kubernetes;
mod listed;
mod load;
mod load_balancing;
mod manifest;
mod memory_max;
mod model;
mod multi_model;
mod name;
mod number;
mod nvidia;
mod origin;
mod overrides;
mod policy;
mod process;
mod process_spec;
mod resolve;
mod retry;
mod seldon;
mod server;
mod server_as_model;
mod server_replicas;
mod skipped;
mod store;
mod suggest;
mod template;
mod traces;
mod variables;
mod watch;
mod webhook;
mod yaml;

pub use api_key::{ApiKey, NamePattern, Sha256};
pub use api_keys_file::ApiKeysFile;
pub use cluster::{ClusterKind, ClusterObject};
pub use config::Config;
pub use cors::Cors;
pub use describe::describe;
pub use endpoint::{Endpoint, UpstreamTls};
pub use env::Env;
pub use environment::address::{EXPECTED as EXPECTED_ADDRESS, parse as parse_address};
pub use error::{Error, Errors, FieldLocation};
pub use health::{HealthCheck, OutlierDetection, SlowStart};
pub use hold_classes::{FairBy, HoldClasses};
pub use host::{Device, Host, HostRoom};
pub use kubernetes::{KubernetesSpec, Service, ServicePort, WorkloadSource};
pub use load::{load, load_text};
pub use load_balancing::{LoadBalancing, LoadFactor, PrefixAffinity, SessionAffinity, SessionKey};
pub use memory_max::{MemoryLimit, MemoryMax};
pub use model::{Hold, Model, Replicas, RequestTimeouts, ResponseModel, Scaling};
pub use multi_model::{ModelRepository, MultiModelSpec, Placement, RepositoryApi, ServerReplicas};
pub use name::path_segment;
pub use origin::{ObjectLocation, Origin, Setting};
pub use overrides::{Overrides, TimeoutOverrides};
pub use policy::{Policy, RateLimit};
pub use process::{
    AccessLog, ClusterModels, HalfClose, Limits, ListenerTls, LogFormat, Peers, Process, Routing,
    Timeouts, TlsVersion, Token,
};
pub use process_spec::{
    Filling, GrpcProbe, HttpProbe, LinePattern, Listener, ProcessSpec, Readiness, STOP_SIGNALS,
    Strategy, WarmUp,
};
pub use retry::{Retry, RetryBudget, RetryCause};
pub use seldon::SeldonSpec;
pub use server::{HostHeader, Kind, Protocol, Replication, Server, StaticSpec};
pub use server_as_model::server_as_model;
pub use skipped::Skipped;
pub use store::{Reloaded, Store};
pub use template::Template;
pub use traces::{OtlpProtocol, Sampler, Traces};
pub use variables::{Scope, VARIABLES, Variable};
pub use watch::{Watch, watch};
pub use webhook::{CallBody, CallTarget, Json, ScaleCall, StateCall, WebhookSpec};
