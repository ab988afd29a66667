//! The command line.

mod decisions;
mod figures;
mod keys;
mod logs;
mod model_view;
mod settings;
mod status;
mod text_table;
mod top;
mod upgrade;

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};
use tailback_config::{Config, Env, Errors, LogFormat, describe, load};
use tailback_scaler::orchestrator::process::supervisor;
use tracing::Level;

use self::{
    decisions::Decisions,
    keys::Keys,
    logs::Logs,
    settings::{AdminAddress, Settings},
    status::Status,
    top::Top,
};
use crate::{
    health, log, server,
    simulate::{self, Simulation},
    telemetry::build_info,
};

/// An inference proxy that counts the requests in flight of each model, and scales the model's
/// replicas by that count.
///
/// Models and the servers that run them are written in manifests
/// (Kubernetes-style YAML; Seldon Core 2 Model documents load unchanged).
/// Options set the rest, or the environment variables that --help names beside them, listed in
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
    /// Requests go to 127.0.0.1:9000 (--listen), /metrics, /models and /decisions
    /// are on 127.0.0.1:9006 (--admin). SIGTERM and SIGINT drain and end; SIGHUP,
    /// or a change of a file, reloads the manifests; SIGUSR2 upgrades.
    #[command(
        after_help = "Example:\n  tailback serve examples/\n  curl http://127.0.0.1:9000/v1/models"
    )]
    Serve(Manifests),
    /// Validate manifests and settings
    ///
    /// Prints how many models and servers there are, or every error with its
    /// place. Exits with status 1 if there are errors. Ports, programs and the
    /// files that settings name are checked by serve only, so that manifests for
    /// another machine can be checked here.
    Check(Manifests),
    /// Print every setting with its value and where it comes from
    ///
    /// Validates as check does.
    Config(Manifests),
    /// Ask a running tailback on this host whether it is alive
    ///
    /// Exits with status 0 if /healthz of the admin address answers 200: for
    /// container health checks.
    Health {
        #[command(flatten)]
        admin: AdminAddress,
    },
    /// Let a new process of the program take over from the running one
    ///
    /// The running tailback on this host starts its program again, which may be
    /// another version by now, with the same options and environment. The new
    /// process reads the manifests, and takes over the listening sockets and the
    /// replicas; no request fails, and no replica is restarted. The old process
    /// finishes the requests that it has, and ends. If the new one cannot take
    /// over, the old one goes on: this command says why, and exits with status 1.
    Upgrade {
        #[command(flatten)]
        admin: AdminAddress,
    },
    /// Watch the models in this terminal
    ///
    /// Shows each model's state, requests in flight (lag) and held, rate, latency
    /// and replicas as they change, and, of the model that is chosen, why the count
    /// is what it is, the last two minutes and the last decisions. Read from the
    /// admin address, also of another host, as tailback logs.
    Top(Top),
    /// Show the models, or one of them with its replicas
    ///
    /// State, requests in flight (lag) and held, replicas, and why the count is
    /// what it is. Read from the admin address, also of another host, as tailback
    /// logs.
    #[command(
        after_help = "Examples:\n  tailback status\n  tailback status my-model\n  \
            tailback status --json --admin gpu1.example.org:9006"
    )]
    Status(Status),
    /// Show the last scale decisions, each with its reasons
    ///
    /// Up to 256, the newest last. Read from the admin address, also of another
    /// host, as tailback logs.
    Decisions(Decisions),
    /// Show what the replicas of a model have printed
    ///
    /// Of replicas that run as processes of a running tailback, standard output
    /// and error: up to the last 1,000 lines of each, and those of the last ones
    /// that have ended. Read from the admin address, also of another host: with
    /// its address as --admin and its token in TAILBACK_ADMIN_TOKEN.
    #[command(after_help = "Examples:\n  tailback logs my-model --tail 20\n  \
            TAILBACK_ADMIN_TOKEN=… tailback logs my-model --follow --admin gpu1.example.org:9006")]
    Logs(Logs),
    /// Add, list and revoke API keys
    ///
    /// Where TAILBACK_API_KEYS_FILE names a file of keys, tailback serve takes
    /// requests that have one of them, and no others. The file has hashes of the
    /// keys, and never a key.
    #[command(subcommand)]
    Keys(Keys),
    /// Print the version
    Version {
        /// Also print the commit, target, profile and compiler it was built with
        #[arg(long, short)]
        verbose: bool,
    },
    /// Try scaling policies on recorded traffic, on a virtual clock
    ///
    /// Serves the requests of a trace with as many simulated replicas as each
    /// policy says, and prints the results: the share of requests that
    /// waited no longer than they should, how long they waited, what the
    /// replicas cost, and how often and how far the policy scaled. Nothing is
    /// started; the same input and seed give the same table.
    #[command(
        // Otherwise clap reports -1 as an unknown option instead of as out of range.
        allow_negative_numbers = true,
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        disable_help_subcommand = true,
        after_help = "Examples:\n  tailback simulate access.log --manifests manifests/ --model my-model --plot out.svg\n  \
            tailback simulate trace.csv.gz --rate 10 --jitter 2 --concurrency 8 --start-up 120"
    )]
    Simulate(Box<Simulation>),
}

/// The manifests to load, and the settings that apply to them.
#[derive(Debug, clap::Args)]
struct Manifests {
    /// Manifest files, or folders of them (*.yaml, *.yml)
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// The whole command line, from which manual pages and completions are generated.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the subcommand given on the command line.
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
        Command::Serve(Manifests { paths, settings }) => {
            let env = settings.env();
            match server::serve(&paths, env.clone()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => end_of_log(&env, &format!("{error:#}")),
            }
        }
        Command::Check(manifests) => match read(manifests) {
            Ok(config) => print(&summary(&config)),
            Err(errors) => fail(&errors.to_string()),
        },
        Command::Config(manifests) => match read(manifests) {
            Ok(config) => print(&describe(&config)),
            Err(errors) => fail(&errors.to_string()),
        },
        Command::Health { admin } => end(health::check(&admin.env())),
        Command::Upgrade { admin } => end_with(upgrade::upgrade(&admin.env())),
        Command::Top(asked) => end(top::show(asked)),
        Command::Status(asked) => end_with(status::show(asked)),
        Command::Decisions(asked) => end_with(decisions::show(asked)),
        Command::Logs(asked) => end(logs::show(&asked)),
        Command::Keys(asked) => end_with(keys::run(asked)),
        Command::Version { verbose: true } => print(&build_info::describe()),
        Command::Version { verbose: false } => {
            print(&format!("tailback {}\n", build_info::VERSION))
        }
        Command::Simulate(simulation) => end(simulate::run(&simulation, &mut io::stdout())),
    }
}

fn read(Manifests { paths, settings }: Manifests) -> Result<Config, Errors> {
    let config = load(&paths, &settings.env())?;
    if !config.skipped.is_empty() {
        eprintln!("{}", config.skipped);
        for place in config.skipped.iter() {
            eprintln!("  {place}");
        }
    }
    Ok(config)
}

/// The line that `check` prints when there are no errors.
fn summary(config: &Config) -> String {
    let count = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    format!(
        "{} on {}, no errors (tailback config prints the settings)\n",
        count(config.models.len(), "model"),
        count(config.servers.len(), "server")
    )
}

fn end(done: Result<(), String>) -> ExitCode {
    end_with(done.map(|()| String::new()))
}

fn end_with(text: Result<String, String>) -> ExitCode {
    match text {
        Ok(text) => print(&text),
        Err(error) => fail(&error),
    }
}

fn print(text: &str) -> ExitCode {
    // A reader such as `head` may have closed the pipe.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Reports why `serve` ended in the log's format. The log itself may not have started yet.
fn end_of_log(env: &Env, error: &str) -> ExitCode {
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

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
