//! Metrics of the machine whose devices models share. A series goes with its model or device.

use tailback_scaler::server_status::{DeviceStatus, HostCounts, HostStatus};

use crate::telemetry::metrics::Exposition;

/// A value of a label, and what is counted under it.
type Counted = (&'static str, fn(&HostCounts) -> u64);

/// Writes the families of `host`.
pub(super) fn render(text: &mut Exposition, host: &HostStatus) {
    let mut by = |name, help, label: &str, values: [Counted; 2]| {
        let mut family = text.family(name, "counter", help);
        for own in &host.models {
            for (value, count) in values {
                let labels = [("host", &*host.name), ("model", &own.model), (label, value)];
                family.sample(&labels, count(&own.counts) as f64);
            }
        }
    };
    by(
        "tailback_host_loads_total",
        "Starts of a model's replicas on the host, by how they ended.",
        "outcome",
        [
            ("ok", |counts| counts.loads),
            ("failed", |counts| counts.failed_loads),
        ],
    );
    by(
        "tailback_host_swaps_total",
        "in: starts for requests that were held; out: replicas that gave their room to another model.",
        "direction",
        [
            ("in", |counts| counts.swaps_in),
            ("out", |counts| counts.swaps_out),
        ],
    );
    let mut family = text.family(
        "tailback_host_load_seconds_total",
        "counter",
        "Seconds that the starts which went well took.",
    );
    for own in &host.models {
        let labels = [("host", &*host.name), ("model", &*own.model)];
        family.sample(&labels, own.counts.load_seconds);
    }
    let mut of_device = |name, help, value: fn(&DeviceStatus) -> Option<u64>| {
        let mut family = text.family(name, "gauge", help);
        for device in &host.devices {
            let labels = [("host", &*host.name), ("device", &*device.name)];
            value(device).inspect(|bytes| family.sample(&labels, *bytes as f64));
        }
    };
    of_device(
        "tailback_host_memory_bytes",
        "Memory that a device, or the host itself, has for models.",
        |device| device.memory_bytes,
    );
    of_device(
        "tailback_host_used_bytes",
        "Memory that the models on it take, those on their way in or out included.",
        |device| Some(device.used_bytes),
    );
}
