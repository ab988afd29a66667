//! The exporters of the process: started before it serves, closed when it has served.

use anyhow::{Context, Result};
use tailback_config::Process;
use tailback_scaler::status::StatusStore;

use super::{
    access_log::{AccessLog, RunningAccessLog},
    traces::{RunningTraces, Tracer},
};

/// Those that the process has.
#[derive(Debug)]
pub struct Exporters {
    access_log: Option<RunningAccessLog>,
    traces: Option<RunningTraces>,
}

impl Exporters {
    /// Starts what `process` asks for. Decisions in `status` that traced requests lead to are traced
    /// as well.
    ///
    /// # Errors
    /// If one cannot be started: which, and by which variable it was asked for.
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

    /// The handle to log requests through, if they are logged.
    #[must_use]
    pub fn access_log(&self) -> Option<AccessLog> {
        self.access_log.as_ref().map(RunningAccessLog::log)
    }

    /// The handle to trace requests through, if they are traced.
    #[must_use]
    pub fn tracer(&self) -> Option<Tracer> {
        self.traces.as_ref().map(RunningTraces::tracer)
    }

    /// Makes those that write to a file open it again, after log rotation has moved it away.
    pub fn reopen(&self) {
        if let Some(log) = &self.access_log {
            log.reopen();
        }
    }

    /// Lets each take away what it has been given so far, for as long as it may take.
    pub fn close(self) {
        if let Some(log) = self.access_log {
            log.close();
        }
        if let Some(traces) = self.traces {
            traces.close();
        }
    }
}
