//! `sample-server`: a small model server that speaks the Open Inference Protocol v2 over REST.
//!
//! It serves one model, or with `--multi-model` any number of the same, Triton's classic `simple`: the sum and the difference of two INT32
//! tensors. The arithmetic costs nothing, so how long an inference takes, how many run at once
//! and how long the start takes are options: a real server whose speed is known, to try Tailback
//! on and to test it with.
//!
//! `listen.rs` takes connections and drains them, `server.rs` answers requests, `infer.rs` reads
//! and answers inferences, `protocol.rs` has the JSON, `simple.rs` the model.

mod infer;
mod io;
mod listen;
mod protocol;
mod reply;
mod repository;
mod route;
mod server;
mod simple;

use std::fmt;
use std::io::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::repository::Repository;
use crate::server::{Models, Server, ServiceTime};

/// Serves Triton's `simple` model over the Open Inference Protocol v2 (REST).
///
/// Inputs INPUT0 and INPUT1, outputs OUTPUT0 (their sum) and OUTPUT1 (their difference), all INT32
/// of shape 1×16. SIGTERM or Ctrl-C: no new connections, requests under way are finished, exit 0.
#[derive(Debug, Parser)]
#[command(name = "sample-server", version)]
struct Options {
    /// Address or host name to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,

    /// Port to listen on; 0 takes a free one, which the start line names.
    #[arg(long, default_value_t = 8080)]
    port: u16,

    /// Name the model is served under.
    #[arg(long, value_name = "NAME", default_value = "simple", value_parser = model_name)]
    model: String,

    /// How long an inference takes, in milliseconds, all of it asleep; 2.5 is fine, but the timer is
    /// one of whole milliseconds and adds one or two.
    #[arg(long, value_name = "MS", default_value = "0", value_parser = milliseconds)]
    service_time_ms: Duration,

    /// Spread of the service time: 0.2 draws it evenly from 80 % to 120 % of --service-time-ms.
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0, value_parser = fraction)]
    jitter: f64,

    /// How many inferences run at once; further ones wait in a queue. Unlimited if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,

    /// How long loading the model takes, in milliseconds: until then the server is live but not
    /// ready, and inferences get 503.
    #[arg(long, value_name = "MS", default_value = "0", value_parser = milliseconds)]
    start_up_ms: Duration,

    /// Serves no model until it is loaded by POST /v2/repository/models/{name}/load, and then any
    /// number of them, all the same but for the name.
    #[arg(long, conflicts_with = "model")]
    multi_model: bool,

    /// How long each such load takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value = "0", value_parser = milliseconds, requires = "multi_model")]
    load_ms: Duration,

    /// How many models can be loaded at once; further loads are refused. Unlimited if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), requires = "multi_model")]
    capacity: Option<u32>,

    /// Loads of models whose names begin like this are refused.
    #[arg(long, value_name = "START", requires = "multi_model")]
    broken: Option<String>,

    /// Unloads of models whose names begin like this fail.
    #[arg(long, value_name = "START", requires = "multi_model")]
    stuck: Option<String>,
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        write!(f, "service time {} ms", ms(self.service_time_ms))?;
        if self.jitter > 0.0 {
            write!(f, " ± {} %", self.jitter * 100.0)?;
        }
        match self.concurrency {
            Some(limit) => write!(f, ", concurrency {limit}")?,
            None => write!(f, ", concurrency unlimited")?,
        }
        write!(f, ", start-up {} ms", ms(self.start_up_ms))
    }
}

// One thread: the server mostly sleeps, and a machine that tries out several replicas has better
// uses for its cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("sample-server: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), String> {
    // The handlers come before the listener: a signal that follows the start line must not kill.
    let no_signals = |error: Error| format!("cannot handle signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;

    let Options { host, port, .. } = &options;
    let listener = TcpListener::bind((host.as_str(), *port))
        .await
        .map_err(|error| format!("cannot listen on {host}:{port}: {error}"))?;
    let address = listener
        .local_addr()
        .map_err(|error| format!("cannot tell the address of {host}:{port}: {error}"))?;
    let what = match options.multi_model {
        true => "many models".to_owned(),
        false => format!("model {}", options.model),
    };
    eprintln!("sample-server: {what} on http://{address} ({options})");
    let models = match options.multi_model {
        true => Models::Many(Repository::new(
            options.load_ms,
            options.capacity,
            options.broken,
            options.stuck,
        )),
        false => Models::One(options.model),
    };

    let server = Arc::new(Server::new(
        models,
        ServiceTime {
            mean: options.service_time_ms,
            jitter: options.jitter,
        },
        options.concurrency,
        options.start_up_ms,
    ));
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    listen::serve(listener, server, stop).await;
    Ok(())
}

/// Any name that can be written in a path, percent-encoded.
fn model_name(text: &str) -> Result<String, String> {
    if !text.is_empty() && !text.contains(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err("expected a name without control characters".to_owned())
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    const HOUR: f64 = 3_600_000.0;
    match text.parse::<f64>() {
        Ok(ms) if (0.0..=HOUR).contains(&ms) => Ok(Duration::from_secs_f64(ms / 1e3)),
        _ => Err("expected milliseconds from 0 to 3600000".to_owned()),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err("expected a fraction from 0 to 1".to_owned()),
    }
}
