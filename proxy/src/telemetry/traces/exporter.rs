//! The exporting thread.

use std::{
    future::Future,
    io,
    time::{Duration, Instant},
};

use metrics::Counter;
use opentelemetry::InstrumentationScope;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
use opentelemetry_sdk::trace::SpanData;
use tailback_config::Traces;
use tokio::runtime::{Builder, Runtime};

use super::{RequestTrace, collector::Collector, decisions::DecisionSpans, spans::spans};
use crate::telemetry::{
    build_info,
    polled_queue::{Exporter, QueueReceiver},
    wall_clock::WallClock,
};

/// How often the queue is polled.
const POLL: Duration = Duration::from_millis(100);

/// Makes spans, and exports them.
#[derive(Debug)]
pub(super) struct TraceExporter {
    runtime: Runtime,
    collector: Collector,
    scope: InstrumentationScope,
    /// Most spans in one export.
    batch: usize,
    /// The longest time that a span waits.
    delay: Duration,
    timeout: Duration,
    endpoint: String,
    decisions: DecisionSpans,
    waiting: Vec<SpanData>,
    /// When the first waiting span was made.
    since: Option<Instant>,
    lost: Lost,
    /// Whether the last export failed.
    fails: bool,
    /// Whether the collector has rejected spans.
    rejects: bool,
}

/// Counters of spans that were lost.
#[derive(Debug)]
pub(super) struct Lost {
    /// The collector could not be reached, or refused the whole export.
    pub not_exported: Counter,
    /// The collector took the other spans of the export.
    pub rejected: Counter,
}

impl Exporter for TraceExporter {
    type Record = RequestTrace;
    const THREAD: &'static str = "traces";

    fn run(mut self, traces: &QueueReceiver<RequestTrace>) {
        loop {
            let is_last = traces.is_closing();
            let clock = WallClock::read();
            for trace in traces.try_iter() {
                self.since.get_or_insert_with(Instant::now);
                self.waiting.extend(spans(&trace, &self.scope, clock));
                if self.waiting.len() >= self.batch {
                    self.export();
                }
            }
            let decisions = self.decisions.spans(&self.scope);
            if !decisions.is_empty() {
                self.since.get_or_insert_with(Instant::now);
                self.waiting.extend(decisions);
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
            // An asynchronous sleep, so that the connection to the collector is served meanwhile,
            // and its end is noticed before the next export.
            let pause = POLL.min(self.delay);
            self.runtime
                .block_on(async { tokio::time::sleep(pause).await });
        }
    }
}

impl TraceExporter {
    pub(super) fn new(traces: &Traces, decisions: DecisionSpans, lost: Lost) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let collector = {
            let _inside = runtime.enter();
            Collector::new(traces)?
        };
        let scope = InstrumentationScope::builder("tailback");
        Ok(Self {
            runtime,
            collector,
            scope: scope.with_version(build_info::VERSION).build(),
            batch: traces.batch,
            delay: traces.delay,
            timeout: traces.timeout,
            endpoint: traces.endpoint.clone(),
            decisions,
            waiting: Vec::new(),
            since: None,
            lost,
            fails: false,
            rejects: false,
        })
    }

    /// Exports the waiting spans.
    fn export(&mut self) {
        self.since = None;
        while !self.waiting.is_empty() {
            let rest = self.waiting.split_off(self.waiting.len().min(self.batch));
            let batch = std::mem::replace(&mut self.waiting, rest);
            let count = batch.len() as u64;
            let exported = self
                .runtime
                .block_on(within(self.timeout, self.collector.export(batch)));
            let failed = std::mem::replace(&mut self.fails, exported.is_err());
            match exported {
                Ok(rejected) => {
                    if failed {
                        tracing::info!(collector = %self.endpoint, "traces are exported again");
                    }
                    if let Some(rejected) = rejected {
                        self.rejected(&rejected);
                    }
                }
                Err(error) => {
                    self.lost.not_exported.increment(count);
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

    /// The collector has taken an export, except for some of its spans.
    fn rejected(&mut self, rejected: &ExportTracePartialSuccess) {
        let count = u64::try_from(rejected.rejected_spans).unwrap_or_default();
        self.lost.rejected.increment(count);
        if !std::mem::replace(&mut self.rejects, true) {
            tracing::warn!(
                collector = %self.endpoint, spans = count, why = rejected.error_message,
                "the collector rejects spans; further ones are counted by tailback_traces_dropped_total alone"
            );
        }
    }
}

async fn within<T>(
    timeout: Duration,
    export: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match tokio::time::timeout(timeout, export).await {
        Ok(exported) => exported,
        Err(_) => Err(format!("no answer within {} s", timeout.as_secs_f64())),
    }
}
