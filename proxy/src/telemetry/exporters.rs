//! The exporters of the process: started before it serves, closed after it has served.

use anyhow::{Context, Result};
use tailback_config::Process;
use tailback_scaler::status::StatusStore;

use super::{
    access_log::{AccessLog, RunningAccessLog},
    traces::{RunningTraces, Tracer},
};

/// The exporters that are on.
#[derive(Debug)]
pub struct Exporters {
    access_log: Option<RunningAccessLog>,
    traces: Option<RunningTraces>,
}

impl Exporters {
    /// Starts the exporters that `process` asks for. Scale decisions in `status` to which traced
    /// requests have led are traced, too.
    ///
    /// # Errors
    /// If an exporter cannot be started: which one, and the variable that asked for it.
    pub fn start(process: &Process, status: &StatusStore) -> Result<Self> {
        let access_log = process.access_log.as_ref().map(|target| {
            RunningAccessLog::start(target).with_context(|| {
                format!("environment TAILBACK_ACCESS_LOG: cannot write to {target}")
            })
        });
        let traces = process.traces.as_ref().map(|traces| {
            RunningTraces::start(traces, status.clone()).with_context(|| {
                format!("environment OTEL_EXPORTER_OTLP_ENDPOINT: cannot export traces to {traces}")
            })
        });
        Ok(Self {
            access_log: access_log.transpose()?,
            traces: traces.transpose()?,
        })
    }

    /// The handle for logging requests, if the access log is on.
    #[must_use]
    pub fn access_log(&self) -> Option<AccessLog> {
        self.access_log.as_ref().map(RunningAccessLog::log)
    }

    /// The handle for tracing requests, if tracing is on.
    #[must_use]
    pub fn tracer(&self) -> Option<Tracer> {
        self.traces.as_ref().map(RunningTraces::tracer)
    }

    /// Makes exporters that write to a file open it again, after log rotation has moved it away.
    pub fn reopen(&self) {
        if let Some(log) = &self.access_log {
            log.reopen();
        }
    }

    /// Lets each exporter finish its queue, within its time limit.
    pub fn close(self) {
        if let Some(log) = self.access_log {
            log.close();
        }
        if let Some(traces) = self.traces {
            traces.close();
        }
    }
}
