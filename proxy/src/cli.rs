//! The command line.

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use tailback_config::{Env, LogFormat, describe, load};
use tailback_scaler::orchestrator::process::supervisor;
use tracing::Level;

use crate::{
    health, log, server,
    simulate::{self, Simulation},
};

/// An inference proxy that counts, inline, what every model owes its callers,
/// and scales their replicas by it.
///
/// Models and the servers that run them are written in manifests
/// (Kubernetes-style YAML; Seldon Core 2 Model documents load unchanged).
/// Environment variables set the rest: SELDON_… and TAILBACK_…, listed in
/// docs/reference/environment.md.
#[derive(Debug, Parser)]
#[command(name = "tailback", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the models of these manifests
    ///
    /// Requests go to 127.0.0.1:9000 (TAILBACK_LISTEN), /metrics, /models and
    /// /decisions are on 127.0.0.1:9006 (TAILBACK_ADMIN). SIGTERM and SIGINT
    /// drain and end; SIGHUP, or a change of a file, reloads the manifests.
    #[command(
        after_help = "Example:\n  tailback serve examples/\n  curl http://127.0.0.1:9000/v2/models/tfsimple"
    )]
    Serve {
        /// Manifest files, or folders of them (*.yaml, *.yml)
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Ask a running tailback on this host whether it is alive
    ///
    /// Exits with status 0 if /healthz of TAILBACK_ADMIN answers 200: for
    /// container health checks.
    Health,
    /// Validate manifests and the environment
    ///
    /// Prints every model's effective settings and where each comes from, or
    /// every error with its place. Exits with status 1 if there are errors. Ports,
    /// programs, and the files that variables name are looked at by serve alone,
    /// so that what is for another machine can be checked here.
    Check {
        /// Manifest files, or folders of them (*.yaml, *.yml)
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Try scaling policies on recorded traffic, on a virtual clock
    ///
    /// Serves the requests of a trace with as many simulated replicas as each
    /// policy says, and prints what it made of them: the share of requests that
    /// waited no longer than they should, how long they waited, what the
    /// replicas cost, and how often and how far the policy scaled. Nothing is
    /// started; the same input and seed give the same table.
    #[command(
        // So that -1 is told the range, and is no unknown option.
        allow_negative_numbers = true,
        after_help = "Examples:\n  tailback simulate access.log --manifests manifests/ --model my-model --plot out.svg\n  \
            tailback simulate trace.csv.gz --rate 10 --jitter 2 --concurrency 8 --start-up 120"
    )]
    Simulate(Box<Simulation>),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    if words
        .next()
        .is_some_and(|word| word == supervisor::ARGUMENT)
    {
        return supervisor::main(words.collect::<Vec<OsString>>());
    }
    match Cli::parse().command {
        Command::Serve { paths } => match server::serve(&paths) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => end_of_log(&format!("{error:#}")),
        },
        Command::Health => match health::check(&Env::from_process()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Command::Check { paths } => match check(&paths) {
            Ok(settings) => {
                // Whoever reads it may have seen enough.
                let _ = write!(io::stdout(), "{settings}");
                ExitCode::SUCCESS
            }
            Err(errors) => fail(&errors),
        },
        Command::Simulate(simulation) => match simulate::simulate(&simulation) {
            Ok(report) => {
                let _ = write!(io::stdout(), "{report}");
                // Last, so that a picture that cannot be written costs no result.
                match simulation.draw(&report) {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => fail(&error),
                }
            }
            Err(error) => fail(&error),
        },
    }
}

/// All settings for people, or all that is wrong with manifests and variables.
fn check(paths: &[PathBuf]) -> Result<String, String> {
    let config = load(paths, &Env::from_process()).map_err(|errors| errors.to_string())?;
    Ok(describe(&config))
}

/// Why `serve` ends, in the form of its log, which may not have begun.
fn end_of_log(error: &str) -> ExitCode {
    let env = Env::from_process();
    let format = env.get(LogFormat::VARIABLE).map(str::trim);
    match format.and_then(LogFormat::parse) {
        Some(LogFormat::Json) => {
            eprintln!("{}", log::json_line(Level::ERROR, error, &()));
            ExitCode::FAILURE
        }
        Some(LogFormat::Text) | None => fail(error),
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("tailback: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
