//! What becomes of load while memory is short: a proxy that may have little, and callers that make it
//! hold as much as they can.

use std::{
    io::{self, BufRead, BufReader, Lines, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};
use tailback_tests::{
    eventually_within,
    http::{self, Client, request},
    http2,
    memory_group::MemoryGroup,
    process::Tailback,
    upstream::{Upstream, never_ready_manifest, static_manifest},
};

const MIB: u64 = 1024 * 1024;
/// Callers of each kind, and how much they want.
const READ_NOTHING: usize = 1_000;
const IDLE: usize = 1_000;
const HTTP2: usize = 40;
const STREAMS: usize = 100;
const SLOW: usize = 200;
/// Until all of them have had their say, on a slow machine.
const ALL: Duration = Duration::from_secs(90);

/// Leaves the first core to the proxy, where there is another one for this process. Returns what runs a
/// command on the first core.
///
/// In a cluster, callers and replicas have machines of their own. Here, what they do would be measured
/// as the proxy's.
fn cores() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let ranges = line.into_iter().flat_map(|list| list.trim().split(','));
    let cores: Vec<usize> = ranges
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .flatten()
        .collect();
    let pid = std::process::id().to_string();
    if let Some((first, others @ [_, ..])) = cores.split_first() {
        let others: Vec<_> = others.iter().map(ToString::to_string).collect();
        if done("taskset", &["-a", "-c", "-p", &others.join(","), &pid]) {
            let first = first.to_string();
            let command = ["taskset", "-c", &first, "env", "TAILBACK_WORKERS=1"];
            return command.map(str::to_owned).to_vec();
        }
    }
    vec!["env".to_owned()]
}

/// Lets this thread, and those that it starts, run before all others of this process.
fn run_first() {
    let thread = nix::unistd::gettid().to_string();
    if !done("chrt", &["--fifo", "--pid", "1", &thread]) {
        eprintln!("light traffic waits for other callers: no real-time priority can be had here");
    }
}

fn done(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// What the process of light traffic says is behind this.
const LIGHT: &str = "light: ";

/// Light traffic, with a replica of its own. It is a process of its own: in this one it would wait for
/// locks, such as the allocator's, that other callers hold while they wait for a core.
struct Light {
    process: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Light {
    /// Starts the replica. Returns its address, too.
    fn start() -> (Self, SocketAddr) {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "light_traffic", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut light = Self {
            input: process.stdin.take(),
            output: output.lines(),
            process,
        };
        let replica = light.said().unwrap().parse().unwrap();
        (light, replica)
    }

    /// The next line that it says. `None`: there is none.
    fn said(&mut self) -> Option<String> {
        let mut lines = self.output.by_ref().map(Result::unwrap);
        lines.find_map(|line| Some(line.split_once(LIGHT)?.1.to_owned()))
    }

    /// Begins to send requests to the proxy.
    fn send_to(&mut self, proxy: SocketAddr) {
        writeln!(self.input.as_ref().unwrap(), "{proxy}").unwrap();
    }

    /// How long all requests took, sorted.
    fn end(mut self) -> Vec<Duration> {
        self.input = None;
        let mut took = Vec::new();
        while let Some(nanos) = self.said() {
            took.push(Duration::from_nanos(nanos.parse().unwrap()));
        }
        assert!(self.process.wait().unwrap().success());
        took.sort();
        took
    }
}

/// Sends one request after the other on a connection of its own. Returns how long each took.
fn send_light(proxy: SocketAddr, stop: &AtomicBool) -> Vec<Duration> {
    let mut client = Client::connect(proxy).unwrap();
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let answer = client.call("POST", "/v2/models/light/echo", &[], b"light");
        let answer = answer.expect("no request of light traffic is lost");
        assert_eq!((answer.status, answer.text()), (200, "light".to_owned()));
        took.push(start.elapsed());
        thread::sleep(Duration::from_millis(5));
    }
    took
}

#[test]
#[ignore = "it is the process of light traffic, which another test starts"]
fn light_traffic() {
    run_first();
    let replica = Upstream::start();
    println!("{LIGHT}{}", replica.address);
    let mut lines = io::stdin().lines().map(Result::unwrap);
    let proxy = lines.next().unwrap().parse().unwrap();
    let stop = AtomicBool::new(false);
    let took = thread::scope(|scope| {
        let callers = [(); 4].map(|()| scope.spawn(|| send_light(proxy, &stop)));
        assert_eq!(lines.next(), None);
        stop.store(true, Ordering::Relaxed);
        callers.map(|caller| caller.join().unwrap()).concat()
    });
    for took in took {
        println!("{LIGHT}{}", took.as_nanos());
    }
}

/// Connects, sends `bytes`, and leaves it at that. `None`: it was refused.
fn silent(address: SocketAddr, bytes: &[u8]) -> Option<TcpStream> {
    let mut caller = TcpStream::connect(address).ok()?;
    caller.write_all(bytes).ok()?;
    Some(caller)
}

/// Callers that ask for a MiB each and read nothing.
fn that_read_nothing(address: SocketAddr) -> Vec<TcpStream> {
    let ask = request("POST", "/v2/models/m/mebibyte", &[], b"x");
    let one = |_| {
        let caller = silent(address, &ask)?;
        setsockopt(&caller, RcvBuf, &4096).ok()?;
        Some(caller)
    };
    (0..READ_NOTHING).filter_map(one).collect()
}

/// Callers that had an answer and keep their connection.
fn that_idle(address: SocketAddr) -> Vec<Client> {
    let one = |_| {
        let mut client = Client::connect(address).ok()?;
        client.call("POST", "/v2/models/m/ok", &[], b"x").ok()?;
        Some(client)
    };
    (0..IDLE).filter_map(one).collect()
}

/// Callers that announce 60 KB and send a byte now and then, until `stop`.
fn that_are_slow(address: SocketAddr, stop: &AtomicBool) {
    let head = b"POST /v2/models/m/ok HTTP/1.1\r\nhost: t\r\ncontent-length: 60000\r\n\r\n";
    let mut callers: Vec<_> = (0..SLOW).filter_map(|_| silent(address, head)).collect();
    while !stop.load(Ordering::Relaxed) {
        for caller in &mut callers {
            let _ = caller.write(b"x");
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// HTTP/2 callers whose requests are held, with as much of their bodies as there are windows for.
async fn that_are_held(address: SocketAddr) -> impl Sized {
    let (mut clients, mut streams) = (Vec::new(), Vec::new());
    // One for all: what the proxy does is to be measured, and not what its callers do.
    let body_bytes = Bytes::from(vec![b'x'; 256 * 1024]);
    for _ in 0..HTTP2 {
        let Ok(tcp) = tokio::net::TcpStream::connect(address).await else {
            continue;
        };
        drop(tcp);
        let Ok(client) = http2::Client::connect(address).await else {
            continue;
        };
        for _ in 0..STREAMS {
            let opened = client.open(::http::Method::POST, "/v2/models/asleep/infer", &[], false);
            let Ok((answer, mut body)) = opened.await else {
                break;
            };
            let _ = body.send_data(body_bytes.clone(), false);
            streams.push((answer, body));
        }
        clients.push(client);
    }
    (clients, streams)
}

/// Whether the admin address says that the proxy is alive.
fn is_healthy(proxy: &Tailback) -> bool {
    http::call(proxy.admin, "GET", "/healthz", b"").is_ok_and(|answer| answer.status == 200)
}

fn shed(proxy: &Tailback, reason: &str) -> f64 {
    proxy.metric(&format!(
        "tailback_memory_shed_total{{reason=\"{reason}\"}}"
    ))
}

/// `make bench-overload` shows what it prints.
#[tokio::test(flavor = "multi_thread")]
async fn callers_that_make_it_hold_all_they_can_neither_kill_the_proxy_nor_stop_light_traffic() {
    let group = match MemoryGroup::new(256 * MIB) {
        Ok(group) => group,
        Err(why) => {
            eprintln!("skipped: no control group for memory can be made here: {why}");
            return;
        }
    };
    let first_core = cores();
    let upstream = Upstream::start();
    let (mut light, replica) = Light::start();
    let asleep = never_ready_manifest("asleep", ", hold: { queue: 10000 }");
    let of_light = static_manifest("light", replica, &["light"]);
    let manifests = format!("{}---\n{asleep}---\n{of_light}", upstream.manifest(&["m"]));
    let enter = group.enter();
    let first_core = first_core.iter().map(String::as_str);
    let wrapper: Vec<_> = first_core.chain(["sh", "-c", &enter, "sh"]).collect();
    let proxy = Tailback::start_under(&wrapper, &manifests);
    let limit = proxy.metric("tailback_memory_limit_bytes");
    assert_eq!(limit as u64, 224 * MIB, "7/8 of the group's");

    light.send_to(proxy.address);
    let alone = Instant::now();
    while alone.elapsed() < Duration::from_secs(1) {
        thread::sleep(Duration::from_millis(50));
    }
    let address = proxy.address;
    let stop = Arc::new(AtomicBool::new(false));
    let unread = thread::spawn(move || that_read_nothing(address));
    let idle = thread::spawn(move || that_idle(address));
    let slow = thread::spawn({
        let stop = stop.clone();
        move || that_are_slow(address, &stop)
    });
    let held = tokio::spawn(that_are_held(address));

    let (mut most, mut highest, mut looks) = (0.0_f64, 0.0_f64, 0);
    let start = Instant::now();
    while !(unread.is_finished() && idle.is_finished() && held.is_finished()) || looks < 40 {
        assert!(start.elapsed() < ALL, "all have had their say");
        assert!(is_healthy(&proxy), "the admin address answers");
        most = most.max(proxy.metric("tailback_memory_used_bytes"));
        highest = highest.max(proxy.metric("tailback_memory_level"));
        looks += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = light.end();
    let (unread, idle, held) = (
        unread.join().unwrap(),
        idle.join().unwrap(),
        held.await.unwrap(),
    );
    assert_eq!(group.kills(), 0);
    let per_mille = |share: usize| took[(took.len() - 1) * share / 1000];
    eprintln!(
        "{} requests of light traffic: median {:.1?}, p99 {:.1?}, longest {:.1?}; \
         at most {:.0} MiB of {:.0}, level {highest}",
        took.len(),
        per_mille(500),
        per_mille(990),
        per_mille(1000),
        most / MIB as f64,
        limit / MIB as f64,
    );
    for reason in [
        "idle_connection",
        "body",
        "held_request",
        "connection",
        "unread_answer",
    ] {
        eprintln!("shed {reason}: {}", shed(&proxy, reason));
    }
    stop.store(true, Ordering::Relaxed);
    drop((unread, idle, held));
    slow.join().unwrap();
    // What they held is given back, and new callers are served.
    eventually_within(ALL, "memory to be enough again", || {
        proxy.metric("tailback_memory_level") == 0.0
    });
    let answer = http::call(proxy.address, "POST", "/v2/models/m/echo", b"again").unwrap();
    assert_eq!((answer.status, answer.text()), (200, "again".to_owned()));
    drop(proxy);
    assert_eq!(group.kills(), 0);
}

/// Here the limit is set, and no control group is needed.
#[test]
fn a_proxy_without_memory_refuses_new_connections_and_its_admin_address_answers() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[
            ("TAILBACK_MEMORY_MAX", "64Mi"),
            ("TAILBACK_HOLD_MAX_BYTES", "268435456"),
        ],
    );
    proxy.logs("the limit of memory is 64Mi");
    let light = Client::connect(proxy.address);
    let mut light = light.unwrap();
    let call = |client: &mut Client| client.call("POST", "/v2/models/m/echo", &[], b"x");
    assert_eq!(call(&mut light).unwrap().status, 200);
    // Callers that read nothing fill it, until a new one is refused.
    let ask = request("POST", "/v2/models/m/mebibyte", &[], b"x");
    let mut callers = Vec::new();
    eventually_within(ALL, "a connection to be refused", || {
        for _ in 0..50 {
            if let Some(caller) = silent(proxy.address, &ask) {
                let _ = setsockopt(&caller, RcvBuf, &4096);
                callers.push(caller);
            }
        }
        // Else its connection would be idle for long, and go first.
        assert_eq!(call(&mut light).unwrap().status, 200);
        shed(&proxy, "connection") > 0.0
    });
    assert!(is_healthy(&proxy));
    assert_eq!(
        call(&mut light).unwrap().status,
        200,
        "what is there is served"
    );
    proxy.logs("memory is exhausted");
    eventually_within(ALL, "callers that read nothing to be closed", || {
        shed(&proxy, "unread_answer") > 0.0
    });
    // Callers that were refused are told why.
    for caller in &callers {
        caller.set_nonblocking(true).unwrap();
    }
    eventually_within(ALL, "an answer to a refused caller", || {
        callers.iter_mut().any(|caller| {
            let mut answer = [0; 512];
            let length = caller.read(&mut answer).unwrap_or(0);
            let answer = String::from_utf8_lossy(&answer[..length]);
            answer.starts_with("HTTP/1.1 503") && answer.contains("the memory of this proxy")
        })
    });
    drop(callers);
    eventually_within(ALL, "memory to be enough again", || {
        proxy.metric("tailback_memory_level") == 0.0
    });
    assert_eq!(
        call(&mut Client::connect(proxy.address).unwrap())
            .unwrap()
            .status,
        200
    );
}
