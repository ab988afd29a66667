//! The soak test: mixed load on a proxy with process replicas, while replicas crash, leave
//! children behind, hang, are scaled to zero and back, manifests change, callers disconnect and new
//! processes take over from the proxy. At the
//! end, only requests of crashed replicas may be lost, counts must be exact, no process may be
//! left, and memory must be flat.

pub mod replica;

use std::{
    fmt,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    http::{Client, Response, request},
    process::{Tailback, processes_with, program, servers_of},
};

/// A model that is left alone: each of its requests must be answered.
const STEADY: &str = "steady";
/// A model that is scaled to zero whenever it is unused: each of its requests must be answered
/// too.
const SLEEPY: &str = "sleepy";
/// A model whose replicas crash: the requests in flight there may be lost.
const FRAGILE: &str = "fragile";
/// Largest number of requests at a replica of [`FRAGILE`].
const CONCURRENCY: u64 = 8;
/// How long everything may take to settle at the end.
const REST: Duration = Duration::from_secs(60);

/// The result.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests answered, events streams and tunnels included.
    pub answered: u64,
    /// Requests that a crash may explain.
    pub crashed: u64,
    /// Number of replicas that were made to crash.
    pub crashes: u64,
    /// Number of changes of the manifests.
    pub reloads: u64,
    /// Number of upgrades: a new process took over from the running one.
    pub upgrades: u64,
    /// Number of replicas that were stopped for a moment.
    pub hangs: u64,
    /// Number of children that replicas left behind.
    pub leaks: u64,
    /// Resident memory after the first quarter and at the end, in bytes.
    pub memory: (u64, u64),
    /// What should not have been; empty: all is well.
    pub faults: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1024 * 1024;
        writeln!(
            f,
            "{} answered, {} lost to {} crashes; {} reloads, {} upgrades, {} hangs, {} children left behind; memory {} MiB, at the end {} MiB",
            self.answered,
            self.crashed,
            self.crashes,
            self.reloads,
            self.upgrades,
            self.hangs,
            self.leaks,
            self.memory.0 / MIB,
            self.memory.1 / MIB,
        )?;
        for fault in &self.faults {
            writeln!(f, "FAULT: {fault}")?;
        }
        write!(f, "{} faults", self.faults.len())
    }
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    crashed: AtomicU64,
    crashes: AtomicU64,
    reloads: AtomicU64,
    upgrades: AtomicU64,
    hangs: AtomicU64,
    leaks: AtomicU64,
    faults: std::sync::Mutex<Vec<String>>,
}

impl Counts {
    fn fault(&self, what: String) {
        let mut faults = self.faults.lock().expect("faults");
        if faults.len() < 20 {
            faults.push(what);
        }
    }
}

fn manifests(program: &str, mark: &str, revision: u64) -> String {
    let api = "apiVersion: tailback.dev/v1alpha1";
    let server = |name: &str, more: &str| {
        format!(
            "{api}\nkind: Server\nmetadata: {{ name: {name} }}\nspec:\n  concurrency: {CONCURRENCY}\n{more}  process:\n    \
             command: [{program}, replica, '{{port}}', {mark}-{name}]\n    ready: /ready\n---\n"
        )
    };
    let model = |name: &str, spec: &str| {
        format!(
            "{api}\nkind: Model\nmetadata: {{ name: {name} }}\nspec: {{ server: {name}, {spec} }}\n---\n"
        )
    };
    // What a reload changes: a bound, a threshold, and every other time the command, which replaces replicas.
    let most = 2 + revision % 3;
    let rolled = format!("{mark}-{}", revision / 2 % 2);
    [
        server(STEADY, "").replace(mark, &rolled),
        model(STEADY, &format!("minReplicas: 1, maxReplicas: {most}, scaling: {{ inactiveSeconds: 3, stabilitySeconds: 2 }}")),
        server(SLEEPY, ""),
        model(SLEEPY, "minReplicas: 0, maxReplicas: 2, scaling: { inactiveSeconds: 1, stabilitySeconds: 1 }"),
        server(FRAGILE, ""),
        model(FRAGILE, "replicas: 2"),
    ]
    .concat()
}

/// Runs it for `time`. Everything random follows from `seed`.
///
/// # Panics
/// If the proxy does not start or its pages cannot be read.
#[must_use]
pub fn run(time: Duration, seed: u64) -> Report {
    let program = program("soak").unwrap_or_else(|missing| panic!("{missing}"));
    let program = program.to_string_lossy();
    let mark = format!("soak-{seed:016x}");
    let mut proxy = Tailback::start(
        &manifests(&program, &mark, 0),
        &[("TAILBACK_LOG", "warn,replica=off")],
    );
    let counts = Counts::default();
    let over = AtomicBool::new(false);
    let mut early = 0;
    thread::scope(|scope| {
        let mut callers = 0;
        for (model, kind, number) in [
            (STEADY, Kind::Infer, 6),
            (STEADY, Kind::Stream, 3),
            (STEADY, Kind::Tunnel, 2),
            (STEADY, Kind::Leave, 1),
            (SLEEPY, Kind::Infer, 1),
            (FRAGILE, Kind::Infer, 4),
            (FRAGILE, Kind::Stream, 1),
        ] {
            for _ in 0..number {
                callers += 1;
                let caller = Caller {
                    address: proxy.address,
                    counts: &counts,
                    model,
                    kind,
                    rng: Rng::with_seed(seed.wrapping_add(callers)),
                };
                let over = &over;
                scope.spawn(move || caller.run(over));
            }
        }
        let mut rng = Rng::with_seed(seed);
        let start = Instant::now();
        while start.elapsed() < time {
            thread::sleep(Duration::from_millis(rng.u64(500..2500)));
            if early == 0 && start.elapsed() > time / 4 {
                early = proxy.resident();
            }
            disturb(&mut proxy, &counts, &mut rng, &program, &mark);
        }
        over.store(true, Ordering::Relaxed);
    });
    settle(&mut proxy, &counts, early, &mark)
}

/// One of the things that happen to a proxy.
fn disturb(proxy: &mut Tailback, counts: &Counts, rng: &mut Rng, program: &str, mark: &str) {
    let ask = |what: &str| {
        let path = format!("/v2/models/{FRAGILE}/{what}");
        Client::connect(proxy.address).and_then(|mut c| c.call("POST", &path, &[], b"{}"))
    };
    match rng.u32(..10) {
        0..3 => {
            let revision = counts.reloads.fetch_add(1, Ordering::Relaxed) + 1;
            proxy.rewrite(&manifests(program, mark, revision));
        }
        3..5 => {
            // Counted before: what it takes along may be missed at once.
            counts.crashes.fetch_add(1, Ordering::Relaxed);
            let _ = ask("crash");
        }
        5 if ask("leak").is_ok_and(|answer| answer.status == 200) => {
            counts.leaks.fetch_add(1, Ordering::Relaxed);
        }
        6 => match proxy.upgrade() {
            Ok(_) => drop(counts.upgrades.fetch_add(1, Ordering::Relaxed)),
            Err(why) => counts.fault(format!("an upgrade failed: {why}")),
        },
        7 if hang(mark, rng) => {
            counts.hangs.fetch_add(1, Ordering::Relaxed);
        }
        _ => {}
    }
}

/// Stops a replica of [`FRAGILE`] for a moment: its requests take longer, and none is lost.
fn hang(mark: &str, rng: &mut Rng) -> bool {
    let all = servers_of(&format!("{mark}-{FRAGILE}"));
    let Some(&pid) = rng.choice(&all) else {
        return false;
    };
    let signal = |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
    let stopped = signal(Signal::SIGSTOP).is_ok();
    thread::sleep(Duration::from_millis(rng.u64(100..800)));
    // It may have been replaced meanwhile.
    let _ = signal(Signal::SIGCONT);
    stopped
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Infer,
    Stream,
    Tunnel,
    /// Sends a request and leaves before its answer.
    Leave,
}

struct Caller<'a> {
    address: SocketAddr,
    counts: &'a Counts,
    model: &'static str,
    kind: Kind,
    rng: Rng,
}

impl Caller<'_> {
    fn run(mut self, over: &AtomicBool) {
        let mut connection = None;
        while !over.load(Ordering::Relaxed) {
            // A model that is never unused never sleeps.
            let pause = match self.model {
                SLEEPY => self.rng.u64(0..5000),
                _ => self.rng.u64(0..30),
            };
            thread::sleep(Duration::from_millis(pause));
            match self.call(&mut connection) {
                Ok(()) => {
                    self.counts.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) if self.model == FRAGILE => {
                    connection = None;
                    self.counts.crashed.fetch_add(1, Ordering::Relaxed);
                }
                Err(what) => {
                    connection = None;
                    self.counts
                        .fault(format!("{} {:?}: {what}", self.model, self.kind));
                }
            }
        }
    }

    /// One request, on the connection there is if it can be used again.
    fn call(&mut self, connection: &mut Option<Client>) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let path = |what: &str| format!("/v2/models/{}/{what}", self.model);
        let client = match connection {
            Some(client) => client,
            None => connection.insert(Client::connect(self.address).map_err(text)?),
        };
        match self.kind {
            Kind::Infer => {
                let answer = client.call("POST", &path("infer"), &[], b"{}");
                let answer = answer.map_err(text)?;
                forget_if_closed(connection, &answer);
                let fine = answer.status == 200 && answer.body == b"ok";
                fine.then_some(())
                    .ok_or_else(|| format!("{} {}", answer.status, answer.text()))
            }
            Kind::Stream => {
                let answer = client.call("GET", &path("stream"), &[], b"");
                let answer = answer.map_err(text)?;
                forget_if_closed(connection, &answer);
                let events = answer.text().matches("data: x\n\n").count();
                (answer.status == 200 && events == replica::EVENTS)
                    .then_some(())
                    .ok_or_else(|| format!("{} with {events} events", answer.status))
            }
            Kind::Tunnel => {
                let fields = [("connection", "upgrade"), ("upgrade", "echo")];
                let mut client = connection.take().ok_or("no connection")?;
                client
                    .send(request("GET", &path("echo"), &fields, b""))
                    .map_err(text)?;
                let head = client.receive_head().map_err(text)?;
                if head.status != 101 {
                    return Err(format!("{} in place of 101", head.status));
                }
                for _ in 0..self.rng.usize(1..20) {
                    client.send(b"hello").map_err(text)?;
                    let back = client.receive_exact(5).map_err(text)?;
                    if back != b"hello" {
                        return Err(format!("another echo: {back:?}"));
                    }
                    thread::sleep(Duration::from_millis(self.rng.u64(..50)));
                }
                Ok(())
            }
            Kind::Leave => {
                let mut client = connection.take().ok_or("no connection")?;
                let what = if self.rng.bool() { "infer" } else { "stream" };
                client
                    .send(request("GET", &path(what), &[], b""))
                    .map_err(text)?;
                thread::sleep(Duration::from_millis(self.rng.u64(..200)));
                Ok(())
            }
        }
    }
}

/// The next request needs another connection, where an answer says that it is the last.
fn forget_if_closed(connection: &mut Option<Client>, answer: &Response) {
    if answer.header("connection") == Some("close") {
        *connection = None;
    }
}

/// Waits until all is at rest, stops the proxy, and looks at what is left.
fn settle(proxy: &mut Tailback, counts: &Counts, early: u64, mark: &str) -> Report {
    let models = [STEADY, SLEEPY, FRAGILE];
    let number = |state: &Value, field: &str| state[field].as_u64().unwrap_or(u64::MAX);
    let start = Instant::now();
    let at_rest = |proxy: &Tailback| {
        models
            .iter()
            .all(|m| number(&proxy.model(m), "inFlight") == 0)
    };
    while !at_rest(proxy) && start.elapsed() < REST {
        thread::sleep(Duration::from_millis(20));
    }
    for model in models {
        let state = proxy.model(model);
        let (arrived, completed) = (number(&state, "arrived"), number(&state, "completed"));
        if arrived != completed || number(&state, "held") != 0 {
            counts.fault(format!("{model} is not at rest: {state}"));
        }
    }
    let late = proxy.resident();
    // A quarter of the time is over when the first figure is taken: what comes then is growth.
    if early > 0 && late > early + early / 4 + 16 * 1024 * 1024 {
        counts.fault(format!("memory grew from {early} to {late} bytes"));
    }
    proxy.signal(Signal::SIGTERM);
    let status = proxy.wait();
    if !status.success() {
        counts.fault(format!("the proxy ended with {status}"));
    }
    let start = Instant::now();
    let mut left = processes_with(mark);
    while !left.is_empty() && start.elapsed() < REST {
        thread::sleep(Duration::from_millis(20));
        left = processes_with(mark);
    }
    if !left.is_empty() {
        counts.fault(format!("processes are left: {left:?}"));
        for pid in left {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (crashed, crashes) = (read(&counts.crashed), read(&counts.crashes));
    if crashed > crashes * CONCURRENCY {
        counts.fault(format!("{crashed} requests were lost to {crashes} crashes"));
    }
    Report {
        answered: read(&counts.answered),
        crashed,
        crashes,
        reloads: read(&counts.reloads),
        upgrades: read(&counts.upgrades),
        hangs: read(&counts.hangs),
        leaks: read(&counts.leaks),
        memory: (early, late),
        faults: counts.faults.lock().expect("faults").clone(),
    }
}
