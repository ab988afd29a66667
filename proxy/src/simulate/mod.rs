//! `tailback simulate`: policies on recorded traffic, on a virtual clock.

pub mod fleet;
pub mod load_balancing;
mod plot;
mod report;
mod settings;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand, value_parser};
use tailback_scaler::simulate::{
    Comparison, Contender, StartUp,
    read::{self, ReadError, Recording, ServiceModel, Whose},
};

pub use self::report::Report;
use self::{plot::PictureFile, settings::Chosen};

/// Largest count of replicas: more than any trace should need, and few enough for the memory.
const MOST_REPLICAS: i64 = 100_000;
/// Largest number of simulated requests: each takes some 30 bytes in each simulation.
const MOST_REQUESTS: f64 = 100e6;

/// The options of `tailback simulate`.
#[derive(Debug, Args)]
pub struct Simulation {
    /// Recorded requests, or - for standard input; compressed by gzip or not
    ///
    /// The access log of tailback serve (TAILBACK_ACCESS_LOG); or
    /// comma-separated values, whose first line names the columns, or JSON
    /// lines: timestamp (seconds, or a time such as 2023-11-16T18:17:03Z), and
    /// service_seconds, service_milliseconds, or context_tokens and
    /// generated_tokens; optionally model and status. In any order.
    #[arg(required = true)]
    trace: Option<PathBuf>,
    /// What else than scaling policies is to be simulated.
    #[command(subcommand)]
    other: Option<Other>,
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
    /// Take the settings of these manifests, as serve would
    ///
    /// Files or folders; may be given several times. Concurrency, bounds,
    /// thresholds and the rest are the model's, with environment variables
    /// counting as for serve; options given here come before them.
    #[arg(long, value_name = "PATH")]
    manifests: Vec<PathBuf>,
    /// The model, where the trace or the manifests have several
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The model's name in the trace, if it differs; *: the requests of all models
    #[arg(long, value_name = "NAME")]
    trace_model: Option<String>,
    /// Draw a picture of the simulation: out.svg, out.png, or out.html to point at
    #[arg(long, value_name = "FILE")]
    plot: Option<PictureFile>,
    /// Seconds of service from token counts: fixed, per context token, per generated token
    #[arg(long, value_name = "A,B,C", default_value = "0.05,0.0001,0.02")]
    service: ServiceModel,
    /// What a replica costs in an hour, in any currency: adds what each policy costs
    #[arg(long, value_name = "PRICE", value_parser = number(0.0, 1e9))]
    price: Option<f64>,
    /// Multiply the number of requests by this factor
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = number(0.0, 10_000.0))]
    rate: f64,
    /// Delay each request by a random time of up to this many seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = number(0.0, 86_400.0))]
    jitter: f64,
    /// Requests that a replica takes at once [default: 8, or the manifests']
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
    /// Lag that a replica may carry [default: the concurrency, or the manifests']
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    threshold: Option<u32>,
    /// From asking for a replica until it takes requests
    ///
    /// Seconds; or shares of all starts with seconds (0:10,0.5:23,1:80);
    /// gpu-cluster: as measured in a public one; or never.
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    start_up: StartUp,
    /// Fewest replicas, and how many there are at the beginning [default: 1, or the manifests']
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(0..=MOST_REPLICAS))]
    min: Option<u32>,
    /// Most replicas [default: 1000, or the manifests']
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=MOST_REPLICAS))]
    max: Option<u32>,
    /// Seconds unused before scale-down [default: 600, or the manifests']
    #[arg(long, value_name = "SECONDS", value_parser = number(0.001, 1e9))]
    inactive: Option<f64>,
    /// Seconds the replicas must be unchanged before scale-down [default: 60, or the manifests']
    #[arg(long, value_name = "SECONDS", value_parser = number(0.0, 1e9))]
    stability: Option<f64>,
    /// Seconds that a request should wait at most for a replica [default: 1, or the manifests']
    ///
    /// The goal of the policy lag (targetWaitSeconds), and the limit by which requests are
    /// counted as in time.
    #[arg(long, value_name = "SECONDS", value_parser = number(0.0, 1e6))]
    slo_wait: Option<f64>,
    /// Seed of all random numbers: the same seed gives the same result
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
}

/// What else there is to simulate.
#[derive(Debug, Subcommand)]
enum Other {
    /// Try load-balancing strategies on recorded prompts, with a model of the replicas' caches
    ///
    /// Sends each request to the replica that a strategy chooses. A replica
    /// computes prompts one after the other, without the blocks at their
    /// beginning that it has in its cache, where the least recently used go.
    /// Prints the share of prompts' tokens that were cached and the time to the
    /// first token. Answers are generated beside that, at the same speed
    /// however many there are.
    #[command(
        after_help = "Examples:\n  tailback simulate load-balancing synthetic_trace.jsonl --replicas 8\n  \
            tailback simulate load-balancing --chats 1000 --strategy leastRequest,prefix,oracle"
    )]
    LoadBalancing(Box<load_balancing::CacheSimulation>),
    /// Try how several models share room: devices, or servers that host many models
    ///
    /// Loads models into the room that the manifests give, as recorded requests
    /// ask for them, and prints how long requests were held and how often
    /// models were loaded. Each model has as many replicas as it has at least,
    /// one if that is none; servers keep the count of their start, and unloading
    /// takes no time.
    #[command(
        after_help = "Examples:\n  tailback simulate fleet access.log --manifests manifests/ --load-seconds 20\n  \
            tailback simulate fleet access.log --manifests host.yaml --load-seconds 15,llama-70b=90 --rate 2\n  \
            tailback simulate fleet access.log --manifests host.yaml --plot fleet.html"
    )]
    Fleet(Box<fleet::FleetSimulation>),
}

/// Runs the requested simulation, and prints its results to `out`.
///
/// # Errors
/// A sentence that says what is wrong with the trace, the manifests or the options, and where.
pub fn run(simulation: &Simulation, out: &mut impl Write) -> Result<(), String> {
    // A failure to write is no error: the reader may have seen enough.
    let done = match &simulation.other {
        Some(Other::LoadBalancing(other)) => write!(out, "{}", load_balancing::simulate(other)?),
        Some(Other::Fleet(other)) => {
            let report = fleet::simulate(other)?;
            let _ = write!(out, "{report}");
            // Drawn last, so that an error of the picture does not suppress the results.
            return other.draw(&report);
        }
        None => return run_policies(simulation, out),
    };
    let _ = done;
    Ok(())
}

/// Runs the comparison of scaling policies.
fn run_policies(simulation: &Simulation, out: &mut impl Write) -> Result<(), String> {
    let report = simulate(simulation)?;
    let _ = write!(out, "{report}");
    // Drawn last, so that an error of the picture does not suppress the results.
    simulation.draw(&report)
}

/// Runs the simulation.
///
/// # Errors
/// A sentence that says what is wrong with the trace, the manifests or the
/// options, and where.
fn simulate(simulation: &Simulation) -> Result<Report, String> {
    let Chosen { mut setup, model } = simulation.choose()?;
    let name = model.as_ref().map(|model| &*model.name);
    let recording = simulation.read(simulation.whose(name))?;
    let requests = recording.trace.requests().len() as f64 * simulation.rate;
    if requests > MOST_REQUESTS {
        return Err(format!(
            "--rate: found {}, which makes {requests:.0} requests, expected at most {MOST_REQUESTS:.0}",
            simulation.rate
        ));
    }
    let jitter = Duration::from_secs_f64(simulation.jitter);
    let trace = recording
        .trace
        .times(simulation.rate, jitter, simulation.seed);
    if trace.requests().is_empty() {
        return Err(format!(
            "--rate: found {}, which leaves no request",
            simulation.rate
        ));
    }
    if simulation.plot.is_some() {
        setup.conditions.timeline = Some(plot::slice(trace.end()));
    }
    Ok(Report {
        comparison: Comparison::run(&trace, &simulation.policy, &setup),
        source: simulation.source(),
        fields: recording.fields,
        price: simulation.price,
        not_served: recording.not_served,
        cut_off: recording.cut_off,
        model,
        setup,
    })
}

impl Simulation {
    /// Draws the picture, if one was requested.
    ///
    /// # Errors
    /// A sentence, if it cannot be written.
    fn draw(&self, report: &Report) -> Result<(), String> {
        self.plot
            .as_ref()
            .map_or(Ok(()), |picture| picture.draw(report))
    }

    /// The trace's file, which is a required argument.
    fn trace(&self) -> &Path {
        self.trace.as_deref().unwrap_or(Path::new("-"))
    }

    /// Which requests of the trace to simulate. `name` is the model in the manifests; a trace of
    /// only that model need not name it.
    fn whose(&self, name: Option<&str>) -> Whose {
        let asked = |model: &String| match &**model {
            "*" => Whose::All,
            model => Whose::Model(model.to_owned()),
        };
        match (&self.trace_model, name, &self.model) {
            (Some(model), ..) | (None, None, Some(model)) => asked(model),
            (None, Some(name), _) => Whose::ModelIfNamed(name.to_owned()),
            (None, None, None) => Whose::OnlyOne,
        }
    }

    fn read(&self, whose: Whose) -> Result<Recording, String> {
        let options = read::ReadOptions {
            service: self.service,
            whose,
        };
        let (name, input) = input(self.trace())?;
        read::read(input, &options).map_err(|error| match error {
            ReadError::Nameless { .. } => {
                let option = self
                    .trace_model
                    .as_ref()
                    .map_or("--model", |_| "--trace-model");
                format!("{option}: {name}: {error}; without the option, all requests are taken")
            }
            error => format!("{name}: {error}"),
        })
    }

    /// The trace's name and how it is changed, for the report.
    fn source(&self) -> String {
        let trace = self.trace();
        let name = trace.file_name().unwrap_or(trace.as_os_str());
        let mut text = match name.to_string_lossy() {
            name if name == "-" => "standard input".to_owned(),
            // A file name may contain control characters.
            name => name.replace(char::is_control, "?"),
        };
        if self.rate != 1.0 {
            text += &format!(" ×{}", self.rate);
        }
        if self.jitter != 0.0 {
            text += &format!(", jitter {} s", self.jitter);
        }
        text
    }
}

/// Opens a file of requests, or standard input for `-`. Also returns its name.
fn input(path: &Path) -> Result<(String, Box<dyn BufRead>), String> {
    if path.as_os_str() == "-" {
        return Ok(("standard input".to_owned(), Box::new(io::stdin().lock())));
    }
    // A file name may contain control characters.
    let name = path.display().to_string().replace(char::is_control, "?");
    let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
    Ok((name, Box::new(BufReader::with_capacity(64 * 1024, file))))
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
