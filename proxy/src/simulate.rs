//! `tailback simulate`: policies on a trace, on a virtual clock.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, value_parser};
use tailback_scaler::simulate::{
    Comparison, Conditions, Contender, Setup, StartUp, Trace,
    read::{self, ServiceModel},
};

/// More replicas than any trace should need, and few enough for the memory.
const MOST_REPLICAS: i64 = 100_000;

/// What is simulated, and how.
#[derive(Debug, Args)]
pub struct Simulation {
    /// A CSV file of requests, or - for standard input
    ///
    /// Its first line names the columns: timestamp (seconds, or a time such as
    /// 2023-11-16T18:17:03Z), and service_seconds, or context_tokens and
    /// generated_tokens; optionally model and status.
    trace: PathBuf,
    /// Policies to compare: lag, lag-step, knative, hpa, keda, kubeai, ray, static
    ///
    /// lag and lag-step are the code that runs live. The others follow the
    /// published rules of those projects; static is the smallest fixed pool in
    /// which 99 of 100 requests wait no longer than --slo-wait.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        default_value = "lag,lag-step,knative,hpa,kubeai,ray,static"
    )]
    policy: Vec<Contender>,
    /// Only the requests of this model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Seconds of service from token counts: fixed, per context token, per generated token
    #[arg(long, value_name = "A,B,C", default_value = "0.05,0.0001,0.02")]
    service: ServiceModel,
    /// How many times as many requests
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = number(0.0, 10_000.0))]
    rate: f64,
    /// Each request later by up to this many seconds, at random
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = number(0.0, 86_400.0))]
    jitter: f64,
    /// Requests that a replica takes at once
    #[arg(long, value_name = "N", default_value = "8", value_parser = value_parser!(u32).range(1..))]
    concurrency: u32,
    /// Lag that a replica may carry [default: the concurrency]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    threshold: Option<u32>,
    /// From asking for a replica until it takes requests
    ///
    /// Seconds; or shares of all starts with seconds (0:10,0.5:23,1:80);
    /// gpu-cluster: as measured in a public one; or never.
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    start_up: StartUp,
    /// Fewest replicas, and how many there are at the beginning
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(0..=MOST_REPLICAS))]
    min: u32,
    /// Most replicas
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u32).range(1..=MOST_REPLICAS))]
    max: u32,
    /// Seconds that a request should wait at most for a replica
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = number(0.0, 1e6))]
    slo_wait: f64,
    /// Of everything random: the same seed, the same outcome
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
}

/// The table of the comparison.
///
/// # Errors
/// A sentence that says what is wrong with the trace, and where.
pub fn simulate(simulation: &Simulation) -> Result<Comparison, String> {
    if simulation.min > simulation.max {
        let (min, max) = (simulation.min, simulation.max);
        return Err(format!("--min: found {min}, expected at most --max, {max}"));
    }
    let jitter = Duration::from_secs_f64(simulation.jitter);
    let trace = simulation
        .read()?
        .times(simulation.rate, jitter, simulation.seed);
    Ok(Comparison::run(
        &trace,
        &simulation.policy,
        &simulation.setup(),
    ))
}

impl Simulation {
    fn read(&self) -> Result<Trace, String> {
        let options = read::Options {
            service: self.service,
            model: self.model.clone(),
        };
        let (name, text): (_, Box<dyn BufRead>) = if self.trace.as_os_str() == "-" {
            ("standard input".to_owned(), Box::new(io::stdin().lock()))
        } else {
            let name = self.trace.display().to_string();
            if name.ends_with(".gz") {
                return Err(format!(
                    "{name}: found a compressed file, expected CSV: zcat {name} | tailback simulate -"
                ));
            }
            let file = File::open(&self.trace).map_err(|error| format!("{name}: {error}"))?;
            (name, Box::new(BufReader::new(file)))
        };
        read::read(text, &options)
            .map(|r| r.trace)
            .map_err(|error| format!("{name}: {error}"))
    }

    fn setup(&self) -> Setup {
        let conditions = Conditions {
            concurrency: Some(self.concurrency),
            start_up: self.start_up.clone(),
            initial: self.min,
            capacity: self.max,
            seed: self.seed,
            timeline: None,
        };
        Setup {
            slo_wait: Duration::from_secs_f64(self.slo_wait),
            ..Setup::new(conditions, self.threshold, self.min, self.max)
        }
    }
}

/// Reads a number from `least` to `most`.
fn number(least: f64, most: f64) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| {
        let number = text.parse().ok();
        number
            .filter(|n| (least..=most).contains(n))
            .ok_or_else(|| format!("found {text:?}, expected a number from {least} to {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_within_their_range() {
        let read = number(0.0, 10.0);
        assert_eq!(read("2.5"), Ok(2.5));
        for wrong in ["", "-1", "11", "nan", "x"] {
            let error = read(wrong).unwrap_err();
            assert!(error.ends_with("expected a number from 0 to 10"), "{error}");
        }
    }
}
