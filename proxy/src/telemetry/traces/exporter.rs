//! The thread that exports.

use std::{
    future::Future,
    io,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    time::{Duration, Instant},
};

use metrics::Counter;
use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tailback_config::Traces;
use tokio::runtime::{Builder, Runtime};

use super::{RequestTrace, collector, spans::spans};
use crate::telemetry::{build_info, wall_clock::WallClock};

/// How often the queue is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Makes spans, and exports them.
#[derive(Debug)]
pub(super) struct Exporter {
    runtime: Runtime,
    exporter: SpanExporter,
    scope: InstrumentationScope,
    /// Most spans of an export.
    batch: usize,
    /// Longest time until an export.
    delay: Duration,
    timeout: Duration,
    endpoint: String,
    waiting: Vec<SpanData>,
    /// Since when spans wait.
    since: Option<Instant>,
    lost: Counter,
    /// Whether the last export failed.
    fails: bool,
}

impl Exporter {
    pub(super) fn new(traces: &Traces, lost: Counter) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let exporter = {
            let _inside = runtime.enter();
            collector::exporter(traces)?
        };
        let scope = InstrumentationScope::builder("tailback");
        Ok(Self {
            runtime,
            exporter,
            scope: scope.with_version(build_info::VERSION).build(),
            batch: traces.batch,
            delay: traces.delay,
            timeout: traces.timeout,
            endpoint: traces.endpoint.clone(),
            waiting: Vec::new(),
            since: None,
            lost,
            fails: false,
        })
    }

    /// Exports what comes from `queue` until `closing` is set and the queue is empty.
    pub(super) fn run(mut self, queue: &Receiver<Box<RequestTrace>>, closing: &AtomicBool) {
        loop {
            // Before the queue is read: what was put in before it was set is still exported.
            let is_last = closing.load(Ordering::Acquire);
            let clock = WallClock::read();
            while let Ok(trace) = queue.try_recv() {
                self.since.get_or_insert_with(Instant::now);
                self.waiting.extend(spans(&trace, &self.scope, clock));
                if self.waiting.len() >= self.batch {
                    self.export();
                }
            }
            let is_due = self
                .since
                .is_some_and(|since| since.elapsed() >= self.delay);
            if is_due || is_last {
                self.export();
            }
            if is_last {
                return;
            }
            // Not the thread's own sleep: the connection to the collector is served meanwhile, so
            // that its end is seen before the next export.
            let pause = POLL.min(self.delay);
            self.runtime
                .block_on(async { tokio::time::sleep(pause).await });
        }
    }

    /// Exports what waits.
    fn export(&mut self) {
        self.since = None;
        while !self.waiting.is_empty() {
            let rest = self.waiting.split_off(self.waiting.len().min(self.batch));
            let batch = std::mem::replace(&mut self.waiting, rest);
            let count = batch.len() as u64;
            let exported = self
                .runtime
                .block_on(within(self.timeout, self.exporter.export(batch)));
            let failed = std::mem::replace(&mut self.fails, exported.is_err());
            match exported {
                Ok(()) if failed => {
                    tracing::info!(collector = %self.endpoint, "traces are exported again");
                }
                Ok(()) => {}
                Err(error) => {
                    self.lost.increment(count);
                    if !failed {
                        tracing::warn!(
                            collector = %self.endpoint, %error,
                            "cannot export traces: they are dropped until the collector takes them"
                        );
                    }
                }
            }
        }
    }
}

async fn within<E: std::fmt::Display>(
    timeout: Duration,
    export: impl Future<Output = Result<(), E>>,
) -> Result<(), String> {
    match tokio::time::timeout(timeout, export).await {
        Ok(exported) => exported.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", timeout.as_secs_f64())),
    }
}
