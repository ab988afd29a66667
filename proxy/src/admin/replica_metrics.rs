//! Metrics of replicas, read from the scaler's status at scrape time. A replica's series disappear
//! when it has gone.

use std::sync::Arc;

use tailback_scaler::{
    replica::{Replica, health::Standing, usage::Usage},
    status::StatusStore,
};

use crate::{admission::balance::BlockCounts, models::Model, telemetry::metrics::Exposition};

/// How many replicas of a model have series of their own. The others are summed up.
const NAMED: usize = 64;
/// The `replica` label of that sum.
const OTHER: &str = "other";

/// Writes the families of the replicas of `models`.
pub(super) fn render(text: &mut Exposition, models: &[&Model], status_store: &StatusStore) {
    traffic(text, models, status_store);
    usage(text, models, status_store);
}

/// The counts of one replica, or of several together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Signals {
    requests: u64,
    failures: u64,
    ejections: u64,
    in_flight: u64,
    /// Prompt blocks that it is known to have; `None`: not known.
    prefix_blocks: Option<u64>,
    /// The number of replicas in each [`Standing`].
    standings: [u32; Standing::ALL.len()],
}

impl Signals {
    fn add(&mut self, replica: &Replica, blocks: Option<&BlockCounts>) {
        let health = replica.health();
        let counts = health.counts();
        self.requests += counts.taken;
        self.failures += counts.failures;
        self.ejections += health.ejections();
        self.in_flight += u64::from(replica.in_flight());
        if let Some(blocks) = blocks {
            *self.prefix_blocks.get_or_insert_default() += blocks.of(replica.id());
        }
        self.standings[health.standing().0 as usize] += 1;
    }
}

/// The labels `replica` and `endpoint`. Replicas of a static server share the first one.
type Identity = (String, String);

/// Groups values by replica: the first [`NAMED`] replicas of a model, and the rest together.
/// Replicas with the same identity, such as a static endpoint that came back while it drained, are
/// one.
fn grouped<'a, T: Default>(
    replicas: impl Iterator<Item = &'a Arc<Replica>>,
    identity: fn(&Replica) -> (&str, &str),
    add: impl Fn(&mut T, &Replica),
) -> Vec<(Identity, T)> {
    let mut named: Vec<(Identity, T)> = Vec::new();
    let mut other: Option<T> = None;
    for replica in replicas {
        let (name, endpoint) = identity(replica);
        let is_known = |known: &Identity| known.0 == name && known.1 == endpoint;
        let known = named.iter_mut().find(|(identity, _)| is_known(identity));
        if let Some((_, sum)) = known {
            add(sum, replica);
        } else if named.len() < NAMED {
            let mut sum = T::default();
            add(&mut sum, replica);
            named.push(((name.to_owned(), endpoint.to_owned()), sum));
        } else {
            add(other.get_or_insert_default(), replica);
        }
    }
    named.extend(other.map(|sum| ((OTHER.to_owned(), String::new()), sum)));
    named
}

fn signals<'a>(
    replicas: impl Iterator<Item = &'a Arc<Replica>>,
    blocks: Option<&BlockCounts>,
) -> Vec<(Identity, Signals)> {
    let add = |sum: &mut Signals, replica: &Replica| sum.add(replica, blocks);
    grouped(
        replicas,
        |replica| (replica.name(), replica.authority()),
        add,
    )
}

/// The traffic of ready and draining replicas.
fn traffic(text: &mut Exposition, models: &[&Model], status_store: &StatusStore) {
    let of = |model: &Model| {
        let blocks = model
            .prefix_table
            .as_ref()
            .map(|table| table.block_counts());
        let read = status_store.read(model.name(), |status| {
            let leaving = status.leaving.iter().map(|moving| &moving.replica);
            signals(status.ready.iter().chain(leaving), blocks.as_ref())
        });
        read.unwrap_or_default()
    };
    let models: Vec<_> = models
        .iter()
        .map(|model| (model.name(), of(model)))
        .collect();
    write(text, &models);
}

fn write(text: &mut Exposition, models: &[(&str, Vec<(Identity, Signals)>)]) {
    let mut of_signals = |name, kind, help, value: fn(&Signals) -> Option<u64>| {
        let mut family = text.family(name, kind, help);
        for (model, replicas) in models {
            for ((replica, endpoint), signals) in replicas {
                let labels = [
                    ("model", *model),
                    ("replica", replica),
                    ("endpoint", endpoint),
                ];
                if let Some(value) = value(signals) {
                    family.sample(&labels, value as f64);
                }
            }
        }
    };
    of_signals(
        "tailback_replica_requests_total",
        "counter",
        "Requests that a replica was given.",
        |signals| Some(signals.requests),
    );
    of_signals(
        "tailback_replica_failures_total",
        "counter",
        "Those of them that failed by the replica's fault.",
        |signals| Some(signals.failures),
    );
    of_signals(
        "tailback_replica_ejections_total",
        "counter",
        "How often a replica was ejected.",
        |signals| Some(signals.ejections),
    );
    of_signals(
        "tailback_replica_in_flight",
        "gauge",
        "Requests in flight at a replica.",
        |signals| Some(signals.in_flight),
    );
    of_signals(
        "tailback_replica_prefix_blocks",
        "gauge",
        "Blocks of prompts that a replica is known to have had, where load balancing is by prefix.",
        |signals| signals.prefix_blocks,
    );
    let mut health = text.family(
        "tailback_replica_health",
        "gauge",
        "1 for the present health of a replica; for those that have no series of their own, their number.",
    );
    for (model, replicas) in models {
        for ((replica, endpoint), signals) in replicas {
            for (standing, count) in Standing::ALL.iter().zip(signals.standings) {
                let labels = [
                    ("model", *model),
                    ("replica", replica),
                    ("endpoint", endpoint),
                    ("health", standing.label()),
                ];
                if count > 0 {
                    health.sample(&labels, f64::from(count));
                }
            }
        }
    }
}

/// A sum of resources.
#[derive(Debug, Default)]
struct UsageSum {
    cpu_seconds: f64,
    memory: u64,
    processes: u64,
}

impl UsageSum {
    fn add(&mut self, usage: Usage) {
        self.cpu_seconds += usage.cpu.as_secs_f64();
        self.memory += usage.memory;
        self.processes += u64::from(usage.processes);
    }
}

/// The resources that those of the replicas use which run on this host.
fn used<'a>(replicas: impl Iterator<Item = &'a Arc<Replica>>) -> Vec<(Identity, UsageSum)> {
    let known = replicas.filter(|replica| replica.usage().last().is_some());
    // The name alone identifies a process, which may have no address yet.
    let add = |sum: &mut UsageSum, replica: &Replica| {
        if let Some(usage) = replica.usage().last() {
            sum.add(usage);
        }
    };
    grouped(known, |replica| (replica.name(), ""), add)
}

/// The resources that replicas on this host use, including starting and draining ones.
fn usage(text: &mut Exposition, models: &[&Model], status_store: &StatusStore) {
    let of = |model: &Model| {
        let read = status_store.read(model.name(), |status| {
            let moving = status.coming.iter().chain(&status.leaving);
            used(
                status
                    .ready
                    .iter()
                    .chain(moving.map(|moving| &moving.replica)),
            )
        });
        read.unwrap_or_default()
    };
    let models: Vec<_> = models
        .iter()
        .map(|model| (model.name(), of(model)))
        .collect();
    write_usage(text, &models);
}

fn write_usage(text: &mut Exposition, models: &[(&str, Vec<(Identity, UsageSum)>)]) {
    let mut of_usage = |name, kind, help, value: fn(&UsageSum) -> f64| {
        let mut family = text.family(name, kind, help);
        for (model, replicas) in models {
            for ((replica, _), sum) in replicas {
                family.sample(&[("model", *model), ("replica", replica)], value(sum));
            }
        }
    };
    of_usage(
        "tailback_replica_cpu_seconds_total",
        "counter",
        "CPU time of a replica's processes on this host.",
        |sum| sum.cpu_seconds,
    );
    of_usage(
        "tailback_replica_memory_bytes",
        "gauge",
        "Memory of a replica's processes on this host.",
        |sum| sum.memory as f64,
    );
    of_usage(
        "tailback_replica_processes",
        "gauge",
        "Processes of a replica on this host.",
        |sum| sum.processes as f64,
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tailback_scaler::{
        clock::Nanos,
        replica::{ReplicaId, health::Failure},
    };

    use super::*;

    fn replicas(count: usize) -> Vec<Arc<Replica>> {
        let replica = |i| {
            let replica = Replica::new(format!("m-{i}"), "h:1", None);
            assert!(replica.try_take());
            Arc::new(replica)
        };
        (0..count).map(replica).collect()
    }

    fn rendered(replicas: &[Arc<Replica>]) -> String {
        let mut text = Exposition::default();
        write(&mut text, &[("m", signals(replicas.iter(), None))]);
        text.into_string()
    }

    #[test]
    fn a_replica_has_a_series_of_each_family_and_one_of_its_health() {
        let replicas = replicas(1);
        let health = replicas[0].health();
        health.failed(Failure::Reset, Nanos(1));
        health.count_ejection();
        health.set_standing(Standing::BackingOff, Nanos(1));
        let text = rendered(&replicas);
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            r#"tailback_replica_requests_total{model="m",replica="m-0",endpoint="h:1"} 1"#,
            r#"tailback_replica_failures_total{model="m",replica="m-0",endpoint="h:1"} 1"#,
            r#"tailback_replica_ejections_total{model="m",replica="m-0",endpoint="h:1"} 1"#,
            r#"tailback_replica_in_flight{model="m",replica="m-0",endpoint="h:1"} 1"#,
            r#"tailback_replica_health{model="m",replica="m-0",endpoint="h:1",health="backing_off"} 1"#,
        ];
        assert_eq!(samples, expected);
    }

    #[test]
    fn replicas_beyond_the_named_ones_are_summed() {
        let replicas = replicas(NAMED + 3);
        replicas[NAMED + 1]
            .health()
            .set_standing(Standing::Ejected, Nanos(1));
        let text = rendered(&replicas);
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(
            samples.count(),
            5 * (NAMED + 1) + 1,
            "two healths of the others"
        );
        for sample in [
            r#"tailback_replica_in_flight{model="m",replica="m-63",endpoint="h:1"} 1"#,
            r#"tailback_replica_in_flight{model="m",replica="other",endpoint=""} 3"#,
            r#"tailback_replica_health{model="m",replica="other",endpoint="",health="healthy"} 2"#,
            r#"tailback_replica_health{model="m",replica="other",endpoint="",health="ejected"} 1"#,
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample}\n{text}");
        }
        assert!(!rendered(&replicas[..NAMED]).contains(OTHER));
    }

    #[test]
    fn the_known_blocks_of_replicas_are_a_series_where_they_are_known() {
        use crate::admission::balance::PrefixTable;
        let replicas = replicas(NAMED + 2);
        let table = PrefixTable::new(1024);
        let insert = |n: u64, replica: ReplicaId| table.insert(n << 40 | n, replica, Nanos(1));
        insert(1, replicas[0].id());
        insert(2, replicas[0].id());
        insert(3, replicas[NAMED].id());
        let mut text = Exposition::default();
        let signals = signals(replicas.iter(), Some(&table.block_counts()));
        write(&mut text, &[("m", signals)]);
        let text = text.into_string();
        for sample in [
            r#"tailback_replica_prefix_blocks{model="m",replica="m-0",endpoint="h:1"} 2"#,
            r#"tailback_replica_prefix_blocks{model="m",replica="m-1",endpoint="h:1"} 0"#,
            r#"tailback_replica_prefix_blocks{model="m",replica="other",endpoint=""} 1"#,
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample}\n{text}");
        }
        assert!(!rendered(&replicas).contains("prefix_blocks{"));
    }

    #[test]
    fn what_replicas_beyond_the_named_ones_use_is_summed() {
        let replicas = replicas(NAMED + 3);
        for replica in &replicas[1..] {
            replica.usage().set(Usage {
                cpu: Duration::from_millis(1500),
                memory: 1000,
                processes: 2,
            });
        }
        let mut text = Exposition::default();
        write_usage(&mut text, &[("m", used(replicas.iter()))]);
        let text = text.into_string();
        for sample in [
            r#"tailback_replica_memory_bytes{model="m",replica="m-64"} 1000"#,
            r#"tailback_replica_cpu_seconds_total{model="m",replica="other"} 3"#,
            r#"tailback_replica_memory_bytes{model="m",replica="other"} 2000"#,
            r#"tailback_replica_processes{model="m",replica="other"} 4"#,
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample}\n{text}");
        }
        assert!(!text.contains(r#"replica="m-0""#), "it is not known");
    }

    #[test]
    fn endpoints_of_one_name_are_told_apart() {
        let at = |endpoint| Arc::new(Replica::new("m", endpoint, None));
        let text = rendered(&[at("h:1"), at("h:2")]);
        for endpoint in ["h:1", "h:2"] {
            let labels = format!(r#"{{model="m",replica="m",endpoint="{endpoint}"}} 0"#);
            assert!(text.contains(&labels), "{text}");
        }
    }

    #[test]
    fn replicas_of_one_name_and_endpoint_are_one_series() {
        let both: Vec<_> = replicas(1).into_iter().chain(replicas(1)).collect();
        let text = rendered(&both);
        let in_flight = text
            .lines()
            .filter(|l| l.starts_with("tailback_replica_in_flight"));
        let expected = r#"tailback_replica_in_flight{model="m",replica="m-0",endpoint="h:1"} 2"#;
        assert_eq!(in_flight.collect::<Vec<_>>(), [expected]);
    }
}
