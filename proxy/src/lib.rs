//! The data plane of Tailback and its `tailback` binary.
//!
//! A request's way can be read top to bottom in [`pipeline`]. The modules are
//! floors: each imports only from floors below its own (a test in `tests/layout`
//! keeps circles of files out). From the top:
//!
//! | floor | what it does | imports |
//! |---|---|---|
//! | [`cli`] | the commands | `server`, [`simulate`], [`health`], [`log`], `admin_client` |
//! | [`server`] | the process: listeners, workers, signals, drain, reload | all below |
//! | [`admin`] | pages, `/metrics`, KEDA | `models`, `downstream` (its [`Lifecycle`](downstream::Lifecycle)), `protocol`, `telemetry`, `net` |
//! | [`pipeline`] | one request's way: locate, count in, admit, forward, complete; it is downstream's [`Handler`](downstream::Handler) | all below |
//! | [`models`] | what is served, and each worker's view of it | `upstream`, `admission`, `exchange`, `protocol`, `telemetry` |
//! | [`downstream`] | HTTP/1.1, HTTP/2 and tunnels towards callers; given its handler | `exchange`, `protocol`, `telemetry`, `status`, `net` |
//! | [`upstream`] | connections to replicas, and permits to use them | `admission`, `exchange`, `protocol`, `telemetry`, `http1_client`, `net` |
//! | [`exchange`] | what one request is: phases and deadlines, bodies, accounts | `api_keys`, `protocol`, `telemetry`, `http1_client`, `limits`, `status`, `net` |
//! | [`protocol`] | the inference protocols, pure: where the model is named, local replies, errors | `limits`, `status` |
//! | [`api_keys`] | who sends a request, and whether it is one too many | `telemetry`, `status` |
//! | [`telemetry`] | metrics, access log | `status` |
//! | [`admission`] | which replica, or the queue of held requests | – |
//! | [`http1_client`] | HTTP/1.1 towards replicas: heads, bodies, one connection; knows no replica | – |
//! | [`overload`] | how short memory is, and what is shed then | – |
//! | [`limits`], [`status`], `net` | time limits as plain values; how requests end, in words; bytes of connections | – |
//!
//! `exchange` stands on `telemetry`, not the other way round: a request that ends
//! writes itself into the metrics and the access log, wherever that happens. They
//! know a request only by its outcome, status and times.

pub mod admin;
mod admin_client;
pub mod admission;
pub mod api_keys;
pub mod cli;
pub mod downstream;
pub mod exchange;
pub mod health;
pub mod http1_client;
pub mod limits;
pub mod log;
pub mod models;
mod net;
pub mod overload;
pub mod pipeline;
pub mod protocol;
pub mod server;
pub mod simulate;
pub mod status;
pub mod telemetry;
pub mod upstream;
