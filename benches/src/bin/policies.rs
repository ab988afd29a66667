//! Compares scaling policies on many traces: is another autoscaler's policy better than `lag` in
//! both punctuality and cost?
//!
//! It runs every shape of demand and every given trace at start-up times of 5, 30 and 120 s,
//! concurrency 1, 8 and 64, and each of the rates. The conditions are those of `tailback
//! simulate`: one replica at the beginning, a threshold equal to the concurrency, and requests
//! that should wait at most 1 s. It prints one line for each case, and then the cases in which
//! another policy has both more requests in time and fewer replica-seconds.
//!
//! ```text
//! policies [--rates 1,10,50] [--functions COUNTS.csv] [--sensitivity | --lag NAME=VALUE,…] [TRACE.csv …]
//! ```
//! `--sensitivity` instead prints the results of `lag` with each of its constants halved and
//! doubled. `--lag` changes constants.
//!
//! `COUNTS.csv` is the Azure Functions trace of 2019, with one line for each function and day:
//! `func_idx,hash8,day,m1,…,m1440`. The first day is used, with 0.5 s for each request.

use std::{
    env, fmt,
    fs::{File, read_to_string},
    io::BufReader,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use tailback_scaler::{
    policy::{Policy, Tuning},
    simulate::{
        Comparison, Conditions, Contender, Setup, SimulationResult, StartUp, Trace, read,
        shapes::{self, Shape},
    },
};

const SEED: u64 = 1;
const SLO_WAIT: Duration = Duration::from_secs(1);
const START_UPS: [u64; 3] = [5, 30, 120];
const CONCURRENCIES: [u32; 3] = [1, 8, 64];
/// The time over which copies of a request are spread.
const JITTER: Duration = Duration::from_secs(2);
/// Largest number of requests of a case: more would take long and add little.
const MOST_REQUESTS: f64 = 2e6;
/// Smaller differences do not count as better: in the share of requests, and in the share of
/// cost.
const NOTICEABLE: (f64, f64) = (5e-4, 5e-3);

const FIELD: [Contender; 6] = [
    Contender::Live(Policy::LagStep),
    Contender::Knative,
    Contender::Hpa,
    Contender::Keda,
    Contender::KubeAi,
    Contender::Ray,
];

fn main() -> ExitCode {
    match run(env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("policies: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut words: impl Iterator<Item = String>) -> Result<(), String> {
    let mut rates = vec![1.0, 10.0, 50.0];
    let mut sensitivity = false;
    let mut tuning = Tuning::default();
    let mut traces: Vec<(String, Trace)> = Vec::new();
    for shape in Shape::ALL {
        traces.push((shape.to_string(), shape.trace(SEED)));
    }
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rates" => rates = numbers(&words.next().unwrap_or_default())?,
            "--sensitivity" => sensitivity = true,
            "--lag" => change(&mut tuning, &words.next().unwrap_or_default())?,
            "--functions" => traces.extend(functions(&words.next().unwrap_or_default())?),
            path => {
                let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
                let trace = read::read(BufReader::new(file), &read::ReadOptions::default());
                let trace = trace.map_err(|error| format!("{path}: {error}"))?;
                let name = path.rsplit('/').next().unwrap_or(path);
                let name = name.trim_end_matches(".gz").trim_end_matches(".csv");
                traces.push((name.to_owned(), trace.trace));
            }
        }
    }
    let cases = cases(traces, &rates);
    if sensitivity {
        print_sensitivity(&cases);
        return Ok(());
    }
    let mut score = Score::default();
    println!("{}", heading());
    for case in &cases {
        let mut contenders = vec![Contender::Live(Policy::Lag)];
        contenders.extend(FIELD);
        let found = case.compare(&contenders, &tuning);
        let anyway = late_anyway(&case.trace, case.start_up, case.concurrency);
        score.add(&case.to_string(), &found, anyway);
    }
    score.print();
    Ok(())
}

/// A trace and its conditions.
struct Case {
    name: String,
    trace: Arc<Trace>,
    rate: f64,
    start_up: u64,
    concurrency: u32,
}

fn cases(traces: Vec<(String, Trace)>, rates: &[f64]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, trace) in traces {
        for &rate in rates {
            if trace.requests().len() as f64 * rate > MOST_REQUESTS {
                continue;
            }
            let trace = Arc::new(match rate {
                1.0 => trace.clone(),
                rate => trace.times(rate, JITTER, SEED),
            });
            for start_up in START_UPS {
                for concurrency in CONCURRENCIES {
                    cases.push(Case {
                        name: name.clone(),
                        trace: trace.clone(),
                        rate,
                        start_up,
                        concurrency,
                    });
                }
            }
        }
    }
    cases
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            rate,
            start_up,
            concurrency,
            ..
        } = self;
        write!(f, "{name} ×{rate} {start_up} s {concurrency}")
    }
}

impl Case {
    fn compare(&self, contenders: &[Contender], tuning: &Tuning) -> Comparison {
        let conditions = Conditions {
            concurrency: Some(self.concurrency),
            start_up: StartUp::Constant(Duration::from_secs(self.start_up)),
            seed: SEED,
            ..Conditions::default()
        };
        let setup = Setup {
            slo_wait: SLO_WAIT,
            tuning: *tuning,
            ..Setup::new(conditions, None, 1, 100_000)
        };
        Comparison::run(&self.trace, contenders, &setup)
    }
}

/// The share of requests that is late with any scaler: one replica until the replicas asked for
/// at the first request are ready, and any number after that.
fn late_anyway(trace: &Trace, start_up: u64, concurrency: u32) -> f64 {
    let requests = trace.requests();
    let Some(first) = requests.first() else {
        return 0.0;
    };
    let ready = first.at + Duration::from_secs(start_up);
    let mut free = vec![first.at; concurrency as usize];
    let mut late = 0;
    for request in requests.iter().take_while(|request| request.at < ready) {
        let Some(slot) = free.iter_mut().min() else {
            break;
        };
        let begins = request.at.max(*slot).min(ready);
        late += usize::from(begins.since(request.at) > SLO_WAIT);
        *slot = begins + request.service;
    }
    late as f64 / requests.len() as f64
}

// === the constants of `lag` ===

/// Reads `NAME=VALUE,…` and changes these constants.
fn change(tuning: &mut Tuning, text: &str) -> Result<(), String> {
    for one in text.split(',') {
        let found = one.split_once('=').and_then(|(name, value)| {
            let (_, constant) = Tuning::CONSTANTS.iter().find(|(n, _)| *n == name.trim())?;
            Some((constant, value.trim().parse().ok()?))
        });
        let Some((constant, value)) = found else {
            let names = Tuning::CONSTANTS.map(|(name, _)| name).join(", ");
            return Err(format!(
                "--lag: found {one:?}, expected NAME=NUMBER, NAME one of {names}"
            ));
        };
        *constant(tuning) = value;
    }
    Ok(())
}

/// Means over `cases`: percent of late requests, and cost as a multiple of the bound.
fn fares(cases: &[Case], tuning: &Tuning) -> (f64, f64) {
    let (mut late, mut cost) = (0.0, 0.0);
    for case in cases {
        let found = case.compare(&[Contender::Live(Policy::Lag)], tuning);
        for lag in &found.outcomes {
            late += 1.0 - lag.attainment(SLO_WAIT);
            cost += (lag.replica_seconds / found.needed.max(f64::MIN_POSITIVE)).ln();
        }
    }
    let count = cases.len().max(1) as f64;
    (100.0 * late / count, (cost / count).exp())
}

/// Prints a table in Markdown.
fn print_sensitivity(cases: &[Case]) {
    let cell = |(late, cost): (f64, f64)| format!("{late:.2} %, {cost:.2}×");
    let default = cell(fares(cases, &Tuning::default()));
    println!("{} cases; as it is: {default}\n", cases.len());
    println!("| constant | is | half | double |\n|---|---|---|---|");
    for (name, constant) in Tuning::CONSTANTS {
        let fares_times = |factor: f64| {
            let mut tuning = Tuning::default();
            *constant(&mut tuning) *= factor;
            cell(fares(cases, &tuning))
        };
        let is = *constant(&mut Tuning::default());
        println!(
            "| `{name}` | {is} | {} | {} |",
            fares_times(0.5),
            fares_times(2.0)
        );
    }
}

// === the score ===

#[derive(Default)]
struct Score {
    cases: usize,
    /// Cases with a policy that is better in both.
    worse: Vec<(String, String)>,
    /// The number of cases in which `lag` costs no more than Knative; in how many of them at most
    /// half as many requests are late; and in how many no scaler could achieve that.
    no_dearer: usize,
    half_late: usize,
    nobody: usize,
    /// Sums, for the means.
    missed: f64,
    cost: f64,
}

impl Score {
    fn add(&mut self, case: &str, found: &Comparison, anyway: f64) {
        let cell = |outcome: &SimulationResult| {
            (
                outcome.attainment(SLO_WAIT),
                outcome.replica_seconds / found.needed.max(f64::MIN_POSITIVE),
            )
        };
        let [lag, field @ ..] = found.outcomes.as_slice() else {
            return;
        };
        let (punctual, cost) = cell(lag);
        let mut line = format!("{case:<32} {:>7.2} {cost:>6.2}", 100.0 * punctual);
        for other in field {
            let (others, others_cost) = cell(other);
            let better =
                others > punctual + NOTICEABLE.0 && others_cost < cost * (1.0 - NOTICEABLE.1);
            let mark = if better { '!' } else { ' ' };
            line += &format!(" |{mark}{:>6.2} {others_cost:>6.2}", 100.0 * others);
            if better {
                self.worse.push((case.to_owned(), other.name.clone()));
            }
            if other.name == "knative" && cost <= others_cost {
                self.no_dearer += 1;
                let half = (1.0 - others) / 2.0;
                self.half_late += usize::from(1.0 - punctual <= half);
                self.nobody += usize::from(anyway > half);
            }
        }
        println!("{line}");
        self.cases += 1;
        self.missed += 1.0 - punctual;
        self.cost += cost.ln();
    }

    fn print(&self) {
        let count = self.cases.max(1) as f64;
        println!(
            "\n{} cases; on average {:.2} % late, at {:.2}× (geometric mean)",
            self.cases,
            100.0 * self.missed / count,
            (self.cost / count).exp()
        );
        println!(
            "no dearer than knative in {}, in {} of them at most half as many late; in {} nobody could do that",
            self.no_dearer, self.half_late, self.nobody
        );
        println!(
            "a rule is both more punctual and cheaper in {}:",
            self.worse.len()
        );
        for contender in FIELD {
            let name = contender.as_str();
            let cases: Vec<_> = self.worse.iter().filter(|(_, by)| by == name).collect();
            println!("  {name}: {}", cases.len());
            for (case, _) in cases {
                println!("    {case}");
            }
        }
    }
}

fn heading() -> String {
    let mut line = format!(
        "{:<32} {:>14}",
        "trace, start-up, concurrency", "lag: % and ×"
    );
    for contender in FIELD {
        line += &format!(" | {:>13}", contender.as_str());
    }
    line
}

// === traces ===

/// The first day of each function.
fn functions(path: &str) -> Result<Vec<(String, Trace)>, String> {
    let text = read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let mut traces = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let wrong = |what| format!("{path}: line {}: expected {what}", number + 1);
        let [function, _, day, counts @ ..] = fields.as_slice() else {
            return Err(wrong("func_idx,hash8,day,m1,…"));
        };
        if *day != "1" {
            continue;
        }
        let count = |text: &&str| match text.trim() {
            "" => Some(0),
            text => text.parse().ok(),
        };
        let counts: Option<Vec<u32>> = counts.iter().map(count).collect();
        let counts = counts.ok_or_else(|| wrong("a count of calls for each minute"))?;
        let trace = shapes::spread(&counts, Duration::from_secs(60), 0.5, SEED);
        traces.push((format!("function {function}"), trace));
    }
    Ok(traces)
}

fn numbers(text: &str) -> Result<Vec<f64>, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    let positive = numbers.filter(|all| all.iter().all(|n: &f64| n.is_finite() && *n > 0.0));
    positive.ok_or_else(|| format!("--rates: found {text:?}, expected numbers such as 1,10,50"))
}
