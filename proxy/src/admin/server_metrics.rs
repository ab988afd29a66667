//! Metrics of multi-model servers, with Seldon's names where Seldon has them. Series disappear
//! with their server or replica.

use tailback_scaler::server_status::{ServerReplicaStatus, ServerStatus};

use crate::telemetry::metrics::Exposition;

/// Writes the families of `servers`; nothing if there is no multi-model server.
pub(super) fn render(text: &mut Exposition, servers: &[ServerStatus]) {
    if servers.is_empty() {
        return;
    }
    let mut count = |name, help, value: fn(&ServerStatus) -> u64| {
        let mut family = text.family(name, "counter", help);
        for server in servers {
            family.sample(&[("server", &server.name)], value(server) as f64);
        }
    };
    count(
        "seldon_cache_evict_count",
        "Models that gave their room to another.",
        |server| server.counts.evictions,
    );
    count(
        "seldon_cache_miss_count",
        "Loads for requests that were held.",
        |server| server.counts.misses,
    );
    calls(text, servers);
    replicas(text, servers);
    let mut family = text.family(
        "seldon_evicted_model_memory_bytes_gauge",
        "gauge",
        "Memory of replicas that models want and that are loaded nowhere.",
    );
    for server in servers {
        let placed: u64 = server.replicas.iter().map(|own| own.used_bytes).sum();
        let evicted = server.wanted_bytes.saturating_sub(placed);
        family.sample(&[("server", &server.name)], evicted as f64);
    }
    let mut family = text.family(
        "tailback_server_replicas",
        "gauge",
        "Replicas of a multi-model server by state; desired: asked for.",
    );
    for server in servers {
        let ready = u32::try_from(server.replicas.len()).unwrap_or(u32::MAX);
        let states = [
            ("desired", server.desired),
            ("ready", Some(ready)),
            ("starting", Some(server.starting)),
        ];
        for (state, count) in states {
            let labels = [("server", &*server.name), ("state", state)];
            count.inspect(|count| family.sample(&labels, f64::from(*count)));
        }
    }
}

/// Loads and unloads by their result.
fn calls(text: &mut Exposition, servers: &[ServerStatus]) {
    let mut family = text.family(
        "seldon_load_model_counter",
        "counter",
        "Loads of models, by how they ended.",
    );
    for server in servers {
        let outcomes = [
            ("ok", server.counts.loads),
            ("failed", server.counts.failed_loads),
        ];
        for (outcome, count) in outcomes {
            let labels = [("server", &*server.name), ("outcome", outcome)];
            family.sample(&labels, count as f64);
        }
    }
    let mut family = text.family(
        "seldon_unload_model_counter",
        "counter",
        "Unloads of models, by how they ended.",
    );
    for server in servers {
        let counts = &server.counts;
        for (outcome, count) in [("ok", counts.unloads), ("failed", counts.failed_unloads)] {
            let labels = [("server", &*server.name), ("outcome", outcome)];
            family.sample(&labels, count as f64);
        }
    }
}

/// The memory and models of each replica of each server.
fn replicas(text: &mut Exposition, servers: &[ServerStatus]) {
    let mut gauge = |name, help, value: fn(&ServerStatus, &ServerReplicaStatus) -> Option<f64>| {
        let mut family = text.family(name, "gauge", help);
        for server in servers {
            for replica in &server.replicas {
                let labels = [("server", &*server.name), ("server_replica", &replica.name)];
                value(server, replica).inspect(|value| family.sample(&labels, *value));
            }
        }
    };
    gauge(
        "seldon_loaded_model_gauge",
        "Models that are loaded in a replica.",
        |_, replica| {
            let loaded = replica.models.iter().filter(|own| own.state == "loaded");
            Some(loaded.count() as f64)
        },
    );
    gauge(
        "seldon_loaded_model_memory_bytes_gauge",
        "Memory that a replica's models take, those on their way in or out included.",
        |_, replica| Some(replica.used_bytes as f64),
    );
    gauge(
        "seldon_server_replica_memory_capacity_bytes_gauge",
        "Memory that a replica has for models; none where it is not set.",
        |_, replica| replica.memory_bytes.map(|bytes| bytes as f64),
    );
    gauge(
        "seldon_server_replica_memory_capacity_overcommit_bytes_gauge",
        "Memory that models may need beyond that, by over-commit.",
        |server, replica| {
            let share = f64::from(server.overcommit_percentage) / 100.0;
            replica.memory_bytes.map(|bytes| bytes as f64 * share)
        },
    );
}
