//! `tailback simulate fleet`: several models that share room, on recorded traffic.

mod blocks;
mod plot;
mod report;

use std::{collections::BTreeMap, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use tailback_config::{Config, Env, load};
use tailback_scaler::{
    clock::Nanos,
    simulate::{
        fleet::{self, FleetSetup, FleetTrace, Placer},
        read::{self, ServiceModel},
    },
};

use self::plot::FleetDrawing;
pub use self::report::FleetReport;
use super::{
    MOST_REQUESTS, input, number,
    plot::{PictureFile, slice},
};

/// The duration of a load, if none is given.
const USUAL_LOAD: Duration = Duration::from_secs(30);
/// Longest load, in seconds.
const LONGEST_LOAD: f64 = 1e6;

/// The options of `tailback simulate fleet`.
#[derive(Debug, Args)]
pub struct FleetSimulation {
    /// Recorded requests that name their models, or - for standard input; compressed by gzip or not
    ///
    /// As for tailback simulate: the access log of tailback serve, or
    /// comma-separated values or JSON lines with a field model.
    trace: PathBuf,
    /// The manifests that say what room there is and what models need, as for serve
    ///
    /// Files or folders; may be given several times. Simulated are models of
    /// process servers that take room on the Host, and models of servers with
    /// multiModel.
    #[arg(long, value_name = "PATH", required = true)]
    manifests: Vec<PathBuf>,
    /// How long loads take: seconds, or MODEL=seconds; several with commas
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "SECONDS",
        default_value = "30"
    )]
    load_seconds: Vec<LoadSeconds>,
    /// Who decides which model has the room: placement, lru, room-for-all
    ///
    /// placement is the code that runs live. lru gives the room of the least
    /// recently used model to the one that is asked for, at once. room-for-all
    /// has room for all models, and shows what sharing costs.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        default_value = "placement,lru,room-for-all"
    )]
    policy: Vec<Placer>,
    /// Draw which models are where, and how many requests are held: out.svg, out.png, or out.html to
    /// point at
    #[arg(long, value_name = "FILE")]
    plot: Option<PictureFile>,
    /// Seconds of service from token counts: fixed, per context token, per generated token
    #[arg(long, value_name = "A,B,C", default_value = "0.05,0.0001,0.02")]
    service: ServiceModel,
    /// Multiply the number of requests by this factor
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = number(0.0, 10_000.0))]
    rate: f64,
    /// Delay each request by a random time of up to this many seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = number(0.0, 86_400.0))]
    jitter: f64,
    /// Seed of all random numbers: the same seed gives the same result
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
}

/// How long loads take: of one model, or of all models without a time of their own.
#[derive(Clone, Debug, PartialEq)]
struct LoadSeconds {
    model: Option<String>,
    time: Duration,
}

impl FromStr for LoadSeconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (model, seconds) = match text.rsplit_once('=') {
            Some((model, seconds)) => (Some(model), seconds),
            None => (None, text),
        };
        let seconds = number(0.0, LONGEST_LOAD)(seconds.trim())?;
        Ok(Self {
            model: model.map(|name| name.trim().to_owned()),
            time: Duration::from_secs_f64(seconds),
        })
    }
}

/// Runs the simulation.
///
/// # Errors
/// A sentence that says what is wrong with the trace, the manifests or the options, and where.
pub fn simulate(simulation: &FleetSimulation) -> Result<FleetReport, String> {
    let config = load(&simulation.manifests, &Env::from_process());
    let config = config.map_err(|errors| errors.to_string())?;
    let loads = simulation.loads(&config)?;
    let mut given = simulation.load_seconds.iter().rev();
    let usual = given.find(|load| load.model.is_none());
    let usual = usual.map_or(USUAL_LOAD, |load| load.time);
    let mut setup = FleetSetup::of(&config, |model| loads.get(model).copied().unwrap_or(usual));
    if setup.models.is_empty() {
        return Err(
            "--manifests: found no models that share room, expected some of a server with multiModel, or some with \
             memory of process servers beside a Host"
                .to_owned(),
        );
    }
    let (name, mut trace) = simulation.read()?;
    let requests = trace.requests.len() as f64 * simulation.rate;
    if !(1.0..=MOST_REQUESTS).contains(&requests) {
        return Err(format!(
            "--rate: found {}, which makes {requests:.0} requests, expected 1 to {MOST_REQUESTS:.0}",
            simulation.rate
        ));
    }
    let jitter = Duration::from_secs_f64(simulation.jitter);
    trace.multiply(simulation.rate, jitter, simulation.seed);
    let others = assign(&mut trace, &config, &setup);
    if trace.requests.is_empty() {
        return Err(format!(
            "{name}: found requests of {others} alone, expected some of {}",
            names(&setup)
        ));
    }
    if simulation.plot.is_some() {
        let end = trace.requests.iter().map(|own| own.at + own.service).max();
        setup.timeline = end.map(|end| slice(end.since(Nanos(0))));
    }
    let run = |placer: &Placer| fleet::simulate(&trace.requests, &setup, *placer);
    Ok(FleetReport {
        results: simulation.policy.iter().map(run).collect(),
        requests: trace.requests.len(),
        not_served: trace.not_served,
        cut_off: trace.cut_off,
        source: name,
        others,
        setup,
    })
}

/// Sets each request's index of its model in the setup, and drops requests of other models.
/// Returns the names of those models.
fn assign(trace: &mut FleetTrace, config: &Config, setup: &FleetSetup) -> String {
    let index = |name: &String| {
        let called =
            |model: &tailback_config::Model| model.name == *name || model.aliases.contains(name);
        let model = config.models.values().find(|model| called(model))?;
        let mut all = setup.models.iter();
        all.position(|own| *own.need.name == *model.name)
    };
    let indexes: Vec<_> = trace.models.iter().map(index).collect();
    trace
        .requests
        .retain_mut(|request| match indexes[request.model] {
            Some(index) => {
                request.model = index;
                true
            }
            None => false,
        });
    let unknown = trace.models.iter().zip(&indexes);
    let unknown: Vec<_> = unknown
        .filter(|(_, index)| index.is_none())
        .map(|(name, _)| name.replace(char::is_control, "?"))
        .collect();
    unknown.join(", ")
}

fn names(setup: &FleetSetup) -> String {
    let names: Vec<_> = setup.models.iter().map(|own| &*own.need.name).collect();
    names.join(", ")
}

impl FleetSimulation {
    /// Draws the picture, if one is asked for.
    ///
    /// # Errors
    /// A sentence, if it cannot be written.
    pub(super) fn draw(&self, report: &FleetReport) -> Result<(), String> {
        let picture = self.plot.as_ref();
        picture.map_or(Ok(()), |picture| picture.draw(&FleetDrawing::of(report)))
    }

    /// The given load times by model. Each model must be in the manifests.
    fn loads(&self, config: &Config) -> Result<BTreeMap<&str, Duration>, String> {
        let mut loads = BTreeMap::new();
        for load in &self.load_seconds {
            let Some(name) = &load.model else { continue };
            if !config.models.contains_key(name) {
                let all: Vec<_> = config.models.keys().map(String::as_str).collect();
                return Err(format!(
                    "--load-seconds: found {name:?}, expected a model of the manifests: {}",
                    all.join(", ")
                ));
            }
            loads.insert(name.as_str(), load.time);
        }
        Ok(loads)
    }

    /// The requests, and the name of their file.
    fn read(&self) -> Result<(String, FleetTrace), String> {
        let (name, input) = input(&self.trace)?;
        let trace = read::read_fleet(input, self.service);
        let trace = trace.map_err(|error| format!("{name}: {error}"))?;
        Ok((name, trace))
    }
}
