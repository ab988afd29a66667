//! The variables of OpenTelemetry's specification.

use super::{NONE, Variable, process};

pub(crate) const OPENTELEMETRY: &[Variable] = &[
    process(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        NONE,
        "URL of the collector to which traces of requests are sent, such as `http://localhost:4317`; if it is not set, there are none",
    ),
    process(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        NONE,
        "the same for traces alone; by HTTP with its path, such as `http://localhost:4318/v1/traces`",
    ),
    process(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "grpc",
        "how the collector is spoken to: `grpc` or `http/protobuf`",
    ),
    process(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        NONE,
        "the same for traces alone",
    ),
    process(
        "OTEL_EXPORTER_OTLP_HEADERS",
        NONE,
        "header fields of each export, `key1=value1,key2=value2` with percent-encoded values",
    ),
    process(
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        NONE,
        "the same for traces alone",
    ),
    process(
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        NONE,
        "PEM file of the authorities that may have signed the collector's certificate; if it is not set, those that the system trusts",
    ),
    process(
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        NONE,
        "the same for traces alone",
    ),
    process(
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "10000",
        "milliseconds that an export may take",
    ),
    process(
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        NONE,
        "the same for traces alone",
    ),
    process(
        "OTEL_SERVICE_NAME",
        NONE,
        "`service.name` of traces; else the one in `OTEL_RESOURCE_ATTRIBUTES`, else `tailback`",
    ),
    process(
        "OTEL_RESOURCE_ATTRIBUTES",
        NONE,
        "further attributes of the resource in traces, `key1=value1,key2=value2`",
    ),
    process(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "which requests are traced: `always_on`, `always_off`, `traceidratio`, or one of them after `parentbased_`, where callers decide that have decided already",
    ),
    process(
        "OTEL_TRACES_SAMPLER_ARG",
        "1",
        "the share of `traceidratio`, 0 to 1",
    ),
    process(
        "OTEL_TRACES_EXPORTER",
        "otlp",
        "`otlp`, or `none`: no traces",
    ),
    process("OTEL_SDK_DISABLED", "false", "`true`: no traces"),
    process(
        "OTEL_BSP_SCHEDULE_DELAY",
        "5000",
        "milliseconds until the spans of a request that has ended are exported, at most",
    ),
    process(
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "2048",
        "traced requests that may wait for their export; further ones are dropped and counted",
    ),
    process(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "512",
        "spans of an export, at most",
    ),
];

/// Concatenates both tables.
pub(super) const fn joined<const N: usize>(
    first: &[Variable],
    second: &[Variable],
) -> [Variable; N] {
    let mut all = [first[0]; N];
    let mut i = 0;
    while i < N {
        all[i] = match i < first.len() {
            true => first[i],
            false => second[i - first.len()],
        };
        i += 1;
    }
    all
}
