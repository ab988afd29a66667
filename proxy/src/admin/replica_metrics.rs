//! Metrics of replicas, read from the scaler's status at scrape time. A series goes with its
//! replica.

use std::sync::Arc;

use tailback_scaler::{
    replica::{Replica, health::Standing, usage::Usage},
    status::StatusStore,
};

use crate::telemetry::metrics::Exposition;

/// How many replicas of a model have series of their own. The series of the rest are sums.
const NAMED: usize = 64;
/// What the rest is called.
const OTHER: &str = "other";

/// Writes the families of the replicas of `models`, which are named.
pub(super) fn render(text: &mut Exposition, models: &[&str], status_store: &StatusStore) {
    traffic(text, models, status_store);
    usage(text, models, status_store);
}

/// What requests left on one replica, or on several together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Signals {
    requests: u64,
    failures: u64,
    ejections: u64,
    in_flight: u64,
    /// How many replicas stand so, by [`Standing`].
    standings: [u32; Standing::ALL.len()],
}

impl Signals {
    fn add(&mut self, replica: &Replica) {
        let health = replica.health();
        let counts = health.counts();
        self.requests += counts.taken;
        self.failures += counts.failures;
        self.ejections += health.ejections();
        self.in_flight += u64::from(replica.in_flight());
        self.standings[health.standing().0 as usize] += 1;
    }
}

/// The name and the endpoint of a replica: those of a static server have its name in common.
type Identity = (String, String);

/// The signals of a model's replicas: of the first [`NAMED`] each, of the rest together. Replicas
/// of one identity, such as a static endpoint that came back while it drains, are one.
fn signals<'a>(replicas: impl Iterator<Item = &'a Arc<Replica>>) -> Vec<(Identity, Signals)> {
    let mut named: Vec<(Identity, Signals)> = Vec::new();
    let mut other: Option<Signals> = None;
    for replica in replicas {
        let is_known =
            |(name, endpoint): &Identity| name == replica.name() && endpoint == replica.authority();
        let known = named.iter_mut().find(|(identity, _)| is_known(identity));
        if let Some((_, signals)) = known {
            signals.add(replica);
        } else if named.len() < NAMED {
            let mut signals = Signals::default();
            signals.add(replica);
            let identity = (replica.name().to_owned(), replica.authority().to_owned());
            named.push((identity, signals));
        } else {
            other.get_or_insert_default().add(replica);
        }
    }
    named.extend(other.map(|signals| ((OTHER.to_owned(), String::new()), signals)));
    named
}

/// What the replicas that are ready, or drain, did with their requests.
fn traffic(text: &mut Exposition, models: &[&str], status_store: &StatusStore) {
    let of = |model: &str| {
        let read = status_store.read(model, |status| {
            let leaving = status.leaving.iter().map(|moving| &moving.replica);
            signals(status.ready.iter().chain(leaving))
        });
        read.unwrap_or_default()
    };
    let models: Vec<_> = models.iter().map(|model| (*model, of(model))).collect();
    write(text, &models);
}

fn write(text: &mut Exposition, models: &[(&str, Vec<(Identity, Signals)>)]) {
    let mut of_signals = |name, kind, help, value: fn(&Signals) -> u64| {
        let mut family = text.family(name, kind, help);
        for (model, replicas) in models {
            for ((replica, endpoint), signals) in replicas {
                let labels = [
                    ("model", *model),
                    ("replica", replica),
                    ("endpoint", endpoint),
                ];
                family.sample(&labels, value(signals) as f64);
            }
        }
    };
    of_signals(
        "tailback_replica_requests_total",
        "counter",
        "Requests that a replica was given.",
        |signals| signals.requests,
    );
    of_signals(
        "tailback_replica_failures_total",
        "counter",
        "Those of them that failed by the replica's fault.",
        |signals| signals.failures,
    );
    of_signals(
        "tailback_replica_ejections_total",
        "counter",
        "How often a replica was ejected.",
        |signals| signals.ejections,
    );
    of_signals(
        "tailback_replica_in_flight",
        "gauge",
        "Requests in flight at a replica.",
        |signals| signals.in_flight,
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

/// What replicas on this host use. A series goes with its replica.
fn usage(text: &mut Exposition, models: &[&str], status_store: &StatusStore) {
    let mut replicas = Vec::new();
    for &model in models {
        status_store.read(model, |status| {
            let moving = status.coming.iter().chain(&status.leaving);
            let moving = moving.map(|moving| &moving.replica);
            for replica in status.ready.iter().chain(moving) {
                if let Some(usage) = replica.usage().last() {
                    replicas.push((model, replica.clone(), usage));
                }
            }
        });
    }
    let mut of_usage = |name, kind, help, value: fn(&Usage) -> f64| {
        let mut family = text.family(name, kind, help);
        for (model, replica, usage) in &replicas {
            let labels = [("model", *model), ("replica", replica.name())];
            family.sample(&labels, value(usage));
        }
    };
    of_usage(
        "tailback_replica_cpu_seconds_total",
        "counter",
        "CPU time of a replica's processes on this host.",
        |usage| usage.cpu.as_secs_f64(),
    );
    of_usage(
        "tailback_replica_memory_bytes",
        "gauge",
        "Memory of a replica's processes on this host.",
        |usage| usage.memory as f64,
    );
    of_usage(
        "tailback_replica_processes",
        "gauge",
        "Processes of a replica on this host.",
        |usage| f64::from(usage.processes),
    );
}

#[cfg(test)]
mod tests {
    use tailback_scaler::{clock::Nanos, replica::health::Failure};

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
        write(&mut text, &[("m", signals(replicas.iter()))]);
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
