//! Observability of the proxy and of finished requests: metrics, the access log, traces, the
//! version.

pub mod access_log;
pub mod build_info;
mod exporters;
pub mod metrics;
mod polled_queue;
pub mod traces;
mod wall_clock;

pub use self::exporters::Exporters;
