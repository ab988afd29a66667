//! A new process takes over from the running one, under load: no request fails, and no replica
//! is restarted.

mod failures;
mod grpc;
mod multi_model;
mod owners;
mod service_manager;

use std::{
    env,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use http::Method;
use nix::sys::signal::Signal;
use tailback_tests::{
    eventually, eventually_within,
    http::{Client, request},
    http2,
    process::{Tailback, processes_with, program, unique},
};

/// `UPGRADES=50` of the environment makes it 50.
fn upgrades() -> usize {
    let wanted = env::var("UPGRADES").ok().and_then(|n| n.parse().ok());
    wanted.unwrap_or(5)
}

/// A model whose replicas answer `infer`, `stream` (half a second) and `echo` (a tunnel).
fn manifests(model: &str, more: &str) -> String {
    let program = program("soak").unwrap_or_else(|missing| panic!("{missing}"));
    format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: server }}
spec:
  process:
    command: [{}, replica, '{{port}}', {model}]
    ready: /ready
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {model} }}
spec:
  server: server
  {more}
",
        program.display()
    )
}

/// The processes of a model's replicas.
fn replicas(model: &str) -> Vec<i32> {
    let mut replicas = processes_with(&format!("replica {model}"));
    replicas.extend(processes_with(model));
    let supervisors = processes_with("__supervise");
    replicas.retain(|pid| !supervisors.contains(pid));
    replicas.sort_unstable();
    replicas.dedup();
    replicas
}

/// A tunnel to a replica of `model` that has been used.
fn tunnel(address: SocketAddr, model: &str) -> Client {
    let mut client = Client::connect(address).unwrap();
    let fields = [("connection", "upgrade"), ("upgrade", "echo")];
    let path = format!("/v2/models/{model}/echo");
    client.send(request("GET", &path, &fields, b"")).unwrap();
    assert_eq!(client.receive_head().unwrap().status, 101);
    echo(&mut client);
    client
}

fn echo(tunnel: &mut Client) {
    tunnel.send(b"hello").unwrap();
    assert_eq!(tunnel.receive_exact(5).unwrap(), b"hello");
}

/// Callers and what became of their requests.
struct Load {
    address: SocketAddr,
    model: String,
    answered: AtomicU64,
    failures: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Load {
    fn failed(&self, what: String) {
        self.failures.lock().unwrap().push(what);
    }

    fn path(&self, what: &str) -> String {
        format!("/v2/models/{}/{what}", self.model)
    }

    /// Requests of HTTP/1.1, one after the other, on connections that are kept.
    fn http1(&self, what: &str) {
        let mut connection = None;
        while !self.over.load(Ordering::Relaxed) {
            let client = connection.get_or_insert_with(|| Client::connect(self.address).unwrap());
            match client.call("GET", &self.path(what), &[], b"") {
                Ok(answer) if answer.status == 200 => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    if answer.header("connection") == Some("close") {
                        connection = None;
                    }
                }
                other => {
                    connection = None;
                    self.failed(format!("{what}: {other:?}"));
                }
            }
        }
    }

    /// Tunnels, one after the other.
    fn tunnels(&self) {
        while !self.over.load(Ordering::Relaxed) {
            let mut tunnel = tunnel(self.address, &self.model);
            for _ in 0..10 {
                echo(&mut tunnel);
                thread::sleep(Duration::from_millis(20));
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Streams of HTTP/2, on a connection that is kept until its end is announced.
    fn http2(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut connection = http2::Client::connect(self.address).await.unwrap();
            while !self.over.load(Ordering::Relaxed) {
                let opened = connection
                    .open(Method::GET, &self.path("stream"), &[], true)
                    .await;
                // Not even sent: the connection takes no more streams.
                let Ok((response, _)) = opened else {
                    connection = http2::Client::connect(self.address).await.unwrap();
                    continue;
                };
                match http2::receive(response).await {
                    Ok(answer) if answer.status == 200 => {
                        self.answered.fetch_add(1, Ordering::Relaxed);
                    }
                    // Not processed, as the other end says (RFC 9113, 8.7).
                    Err(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM) => {}
                    other => self.failed(format!("HTTP/2: {other:?}")),
                }
            }
        });
    }
}

#[test]
fn upgrades_under_load_lose_no_request_and_restart_no_replica() {
    let model = unique();
    let mut proxy = Tailback::start(&manifests(&model, "replicas: 2"), &[]);
    eventually("the replicas", || proxy.ready(&model) == 2);
    let before = replicas(&model);
    assert_eq!(before.len(), 2);
    let load = Load {
        address: proxy.address,
        model: model.clone(),
        answered: AtomicU64::new(0),
        failures: Mutex::default(),
        over: AtomicBool::new(false),
    };
    let mut long = tunnel(proxy.address, &model);
    let mut took = Vec::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| load.http1("infer"));
        }
        for _ in 0..2 {
            scope.spawn(|| load.http1("stream"));
            scope.spawn(|| load.http2());
            scope.spawn(|| load.tunnels());
        }
        for number in 1..=upgrades() {
            let pid = proxy.pid();
            let start = Instant::now();
            let said = proxy
                .upgrade()
                .unwrap_or_else(|why| panic!("upgrade {number}: {why}"));
            took.push(start.elapsed());
            assert!(said.contains("took over"), "{said}");
            assert_ne!(proxy.pid(), pid);
            // So that each process has accepted connections before the next takes over.
            let answered = load.answered.load(Ordering::Relaxed);
            eventually("requests at the new process", || {
                load.answered.load(Ordering::Relaxed) > answered + 20
            });
            echo(&mut long);
        }
        load.over.store(true, Ordering::Relaxed);
    });
    assert_eq!(*load.failures.lock().unwrap(), Vec::<String>::new());
    assert_eq!(replicas(&model), before);
    // The first process is there for the tunnel that it has.
    assert!(proxy.has_predecessors());
    echo(&mut long);
    assert_eq!(proxy.model(&model)["inFlight"], 0, "of its own");
    drop(long);
    eventually_within(Duration::from_secs(40), "the old processes' end", || {
        !proxy.has_predecessors()
    });
    took.sort_unstable();
    println!(
        "{} upgrades, {} requests answered, 0 failed; an upgrade took {:?}, at most {:?}",
        took.len(),
        load.answered.load(Ordering::Relaxed),
        took[took.len() / 2],
        took[took.len() - 1],
    );
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.wait().success());
    eventually("the replicas' end", || replicas(&model).is_empty());
}
