//! A demonstration: Tailback under a load that rises, stays and falls, with a live table of its
//! observations and decisions. `make demo` runs it.
//!
//! It starts `tailback serve examples/simple.yaml` with short times, so that
//! scaling up and down fits into two minutes, and sends real inferences.

mod admin;
mod load;

use std::{
    error::Error,
    io::{BufRead, BufReader},
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use admin::{Decision, Model};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The load's shape: the number of callers at each second, with linear changes in between.
const SHAPE: &[(u64, u32)] = &[(5, 2), (35, 40), (60, 40), (80, 1), (83, 0), (112, 0)];

/// Short times; all other settings are the defaults.
const SETTINGS: &[(&str, &str)] = &[
    ("SELDON_MODEL_INFERENCE_LAG_THRESHOLD", "8"),
    ("SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD", "20"),
    ("SELDON_SCALING_STATS_PERIOD_SECONDS", "2"),
    ("TAILBACK_SCALING_STABILITY_SECONDS", "6"),
    ("TAILBACK_LISTEN", "127.0.0.1:0"),
    ("TAILBACK_ADMIN", "127.0.0.1:0"),
    ("TAILBACK_LOG", "error"),
    ("TAILBACK_LOG_FORMAT", "text"),
];

fn main() -> ExitCode {
    let program = std::env::args().nth(1).unwrap_or_else(|| "tailback".into());
    match demo(&program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo(program: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut proxy = Proxy::start(program)?;
    println!(
        "One replica takes 8 requests at once, 20 ms each, and may carry a lag of 8; 4 replicas at most."
    );
    println!(
        "{:>4}  {:>7}  {:>8}  {:>9}  {:>4}  {:>7}  {:>5}  last decision",
        "time", "callers", "arrived", "in-flight", "held", "desired", "ready"
    );
    let failures = runtime.block_on(show(&proxy))?;
    proxy.stop()?;
    println!("Done: {failures} requests failed.");
    if failures > 0 {
        Err("requests failed".into())
    } else {
        Ok(())
    }
}

/// Applies the load and prints one row each second. Returns how many requests failed.
async fn show(proxy: &Proxy) -> Result<u64> {
    let load = load::Load::start(&proxy.requests);
    let start = Instant::now();
    let mut known: Option<Decision> = None;
    let end = SHAPE.last().map_or(0, |&(second, _)| second);
    for second in 0..=end {
        load.set_callers(callers_at(second));
        tokio::time::sleep(Duration::from_secs(second + 1).saturating_sub(start.elapsed())).await;
        let model: Model = admin::model(&proxy.admin).await?;
        let newest = admin::newest_decision(&proxy.admin).await?;
        // A decision is printed only once.
        let said = match &newest {
            Some(decision) if newest != known => decision.to_string(),
            _ => String::new(),
        };
        println!(
            "{second:>3}s  {:>7}  {:>8}  {:>9}  {:>4}  {:>7}  {:>5}  {said}",
            callers_at(second),
            model.arrived,
            model.in_flight,
            model.held,
            model.desired,
            model.ready
        );
        known = newest;
    }
    Ok(load.failures())
}

/// The number of callers at a second, interpolated.
fn callers_at(second: u64) -> u32 {
    let mut from = (0, 0);
    for &to in SHAPE {
        if second <= to.0 {
            let part = (second - from.0) as f64 / (to.0 - from.0).max(1) as f64;
            return (f64::from(from.1) + part * (f64::from(to.1) - f64::from(from.1))).round()
                as u32;
        }
        from = to;
    }
    from.1
}

/// The running proxy. Dropping it stops the proxy.
struct Proxy {
    process: Child,
    requests: String,
    admin: String,
}

impl Proxy {
    fn start(program: &str) -> Result<Self> {
        let mut process = Command::new(program)
            .args(["serve", "examples/simple.yaml"])
            .envs(SETTINGS.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start {program}: {e}"))?;
        let output = process.stdout.take().ok_or("no output")?;
        let (mut requests, mut admin) = (None, None);
        for line in BufReader::new(output).lines() {
            let line = line?;
            let mut words = line.split_whitespace();
            match (
                words.next(),
                words.next().and_then(|url| url.strip_prefix("http://")),
            ) {
                (Some("requests"), Some(address)) => requests = Some(address.to_owned()),
                (Some("admin"), Some(address)) => admin = Some(address.to_owned()),
                _ => {}
            }
            if let (Some(requests), Some(admin)) = (&requests, &admin) {
                return Ok(Self {
                    requests: requests.clone(),
                    admin: admin.clone(),
                    process,
                });
            }
        }
        let status = process.wait()?;
        Err(format!("{program} ended early: {status}").into())
    }

    fn stop(&mut self) -> Result<()> {
        // SIGTERM: it drains, and stops its replicas.
        Command::new("kill")
            .arg(self.process.id().to_string())
            .status()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
    }
}
