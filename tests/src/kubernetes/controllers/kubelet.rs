//! A node's kubelet: runs pods or pretends to, and says so in their status.
//!
//! It works on the pods of the double, and, through a [`Pods`] of a real client,
//! on those of a real cluster that has no kubelet for them.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

use super::{
    pod::{self, Readiness},
    programs::Programs,
};
use crate::{
    kubernetes::{Shared, meta, registry::Deletion, store::Key},
    process,
};

/// The node all pods of the double are on.
pub const NODE: &str = "double-node";

/// How pods come to run.
#[derive(Clone)]
pub enum Kubelet {
    /// They don't, unless the test says so: `Double::run_pod` and `end_pod`.
    ByHand,
    /// Nothing runs; pods are ready and gone after these times. Their addresses
    /// are ones nobody has.
    Pretend {
        /// From the pod's creation until it is ready.
        start: Duration,
        /// From its deletion until it is gone.
        stop: Duration,
    },
    /// A program for each pod, at an address of its own and this port; ready
    /// when `GET /v2/health/ready` says so.
    Run {
        /// The port of all of them.
        port: u16,
        /// Whence the addresses are; they come round again.
        addresses: Vec<IpAddr>,
        /// The command for a pod that is to listen there.
        program: Program,
    },
}

/// Makes the command for a pod.
pub type Program = Arc<dyn Fn(SocketAddr, &Value) -> Command + Send + Sync>;

/// The pods that a kubelet looks after. What fails is tried again when it looks
/// the next time.
pub trait Pods: Send + Sync {
    /// All of them.
    fn list(&self) -> impl Future<Output = Vec<Value>> + Send;
    /// Gives one its node, as the scheduler does.
    fn bind(&self, pod: &Value) -> impl Future<Output = ()> + Send;
    /// Writes the status of one.
    fn report(&self, pod: &Value, status: Value) -> impl Future<Output = ()> + Send;
    /// Lets one that has ended be gone.
    fn remove(&self, pod: &Value) -> impl Future<Output = ()> + Send;
}

/// The state of a pod, as the kubelet knows it.
#[derive(Clone, Copy, Debug)]
struct PodState {
    address: IpAddr,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Starting { since: Instant },
    Running,
    Stopping { since: Instant },
}

/// How often it looks.
const TICK: Duration = Duration::from_millis(20);

// === impl Kubelet ===

impl fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByHand => "ByHand",
            Self::Pretend { .. } => "Pretend",
            Self::Run { .. } => "Run",
        })
    }
}

impl Kubelet {
    /// Runs `sample-server` with these arguments for each pod, at `port` of
    /// addresses in a network of the loopback interface that no other test has.
    #[must_use]
    pub fn sample_servers(port: u16, arguments: &[&str]) -> Self {
        let (a, b) = (fastrand::u8(16..=254), fastrand::u8(..));
        let addresses = (1..=250).map(|host| Ipv4Addr::new(127, a, b, host).into());
        Self::sample_servers_at(addresses.collect(), port, arguments)
    }

    /// The same at these addresses.
    #[must_use]
    pub fn sample_servers_at(addresses: Vec<IpAddr>, port: u16, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        Self::Run {
            port,
            addresses,
            program: Arc::new(move |address, _| {
                let mut command = process::sample_server();
                command.args(["--host", &address.ip().to_string()]);
                command.args(["--port", &address.port().to_string()]);
                command.args(&arguments);
                command
            }),
        }
    }

    /// Looks after `pods` until it is dropped.
    pub async fn run(self, pods: impl Pods, programs: Arc<Programs>) {
        if matches!(self, Self::ByHand) {
            return;
        }
        let addresses = match &self {
            Self::Run { addresses, .. } => addresses.clone(),
            _ => (1..=250)
                .map(|host| Ipv4Addr::new(10, 244, 0, host).into())
                .collect(),
        };
        let mut node = Node {
            kubelet: self,
            pods,
            programs,
            addresses,
            states: HashMap::new(),
        };
        loop {
            node.look().await;
            time::sleep(TICK).await;
        }
    }
}

// === a kubelet at work ===

struct Node<P> {
    kubelet: Kubelet,
    pods: P,
    programs: Arc<Programs>,
    addresses: Vec<IpAddr>,
    states: HashMap<String, PodState>,
}

impl<P: Pods> Node<P> {
    async fn look(&mut self) {
        let pods = self.pods.list().await;
        let programs = &self.programs;
        self.states.retain(|uid, _| {
            let is_there = pods.iter().any(|pod| meta::get(pod, "uid") == uid);
            if !is_there {
                // Deleted without grace: its program gets none either.
                programs.end(uid);
            }
            is_there
        });
        for pod in &pods {
            let uid = meta::get(pod, "uid");
            match self.states.get(uid).copied() {
                Some(state) => {
                    if let Some(stage) = self.go_on(pod, state).await {
                        self.states.insert(uid.into(), PodState { stage, ..state });
                    }
                }
                None if meta::is_terminating(pod) => self.pods.remove(pod).await,
                None if pod::is_active(pod) => self.start(pod).await,
                None => {}
            }
        }
    }

    async fn start(&mut self, pod: &Value) {
        let is_free = |address: &&IpAddr| !self.states.values().any(|p| p.address == **address);
        let Some(&address) = self.addresses.iter().find(is_free) else {
            return;
        };
        if pod["spec"]["nodeName"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
        {
            self.pods.bind(pod).await;
        }
        self.start_program(pod, address);
        let stage = Stage::Starting {
            since: Instant::now(),
        };
        let uid = meta::get(pod, "uid");
        self.states.insert(uid.into(), PodState { address, stage });
        if matches!(self.kubelet, Kubelet::Run { .. }) {
            let status = pod::running(address, Readiness::NotReady);
            self.pods.report(pod, status).await;
        }
    }

    fn start_program(&self, pod: &Value, address: IpAddr) {
        if let Kubelet::Run { port, program, .. } = &self.kubelet {
            let command = program(SocketAddr::new(address, *port), pod);
            self.programs.start(meta::get(pod, "uid"), command);
        }
    }

    /// The stage after this one, if it is another.
    async fn go_on(&self, pod: &Value, state: PodState) -> Option<Stage> {
        let uid = meta::get(pod, "uid");
        if let Stage::Stopping { since } = state.stage {
            self.stop(pod, since).await;
            return None;
        }
        if meta::is_terminating(pod) {
            self.programs.signal(uid, Signal::SIGTERM);
            return Some(Stage::Stopping {
                since: Instant::now(),
            });
        }
        let is_ready = match (&self.kubelet, state.stage) {
            (Kubelet::Pretend { start, .. }, Stage::Starting { since }) => {
                since.elapsed() >= *start
            }
            (Kubelet::Run { port, .. }, _) => {
                if !self.programs.is_running(uid) {
                    // A container that ended is started again.
                    self.programs.end(uid);
                    self.start_program(pod, state.address);
                }
                probe(SocketAddr::new(state.address, *port)).await
            }
            _ => return None,
        };
        if is_ready != meta::has_condition(pod, "Ready") {
            let readiness = if is_ready {
                Readiness::Ready
            } else {
                Readiness::NotReady
            };
            self.pods
                .report(pod, pod::running(state.address, readiness))
                .await;
        }
        is_ready.then_some(Stage::Running)
    }

    async fn stop(&self, pod: &Value, since: Instant) {
        let uid = meta::get(pod, "uid");
        let grace = meta::number(pod, "/metadata/deletionGracePeriodSeconds").unwrap_or(0);
        let is_late = since.elapsed() >= Duration::from_secs(grace.max(0) as u64);
        if is_late {
            self.programs.end(uid);
        }
        let is_over = match self.kubelet {
            Kubelet::Pretend { stop, .. } => is_late || since.elapsed() >= stop,
            _ => !self.programs.is_running(uid),
        };
        if is_over {
            self.pods.remove(pod).await;
        }
    }
}

/// A readiness probe.
async fn probe(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = "GET /v2/health/ready HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        std::io::Result::Ok(head.ends_with(b" 200"))
    };
    matches!(
        time::timeout(Duration::from_secs(1), ask).await,
        Ok(Ok(true))
    )
}

// === the double's own pods ===

impl Pods for Arc<Shared> {
    async fn list(&self) -> Vec<Value> {
        // Those of other nodes are other kubelets'.
        let is_ours =
            |pod: &Value| matches!(pod["spec"]["nodeName"].as_str(), None | Some("" | NODE));
        let pods = super::all(self, "pods").into_iter();
        pods.filter(|(_, pod)| is_ours(pod))
            .map(|(_, pod)| Value::clone(&pod))
            .collect()
    }

    async fn bind(&self, pod: &Value) {
        let patch = json!({ "spec": { "nodeName": NODE } });
        let _ = self.merge("kube-scheduler", &key(pod), &patch);
    }

    async fn report(&self, pod: &Value, status: Value) {
        let _ = self.merge("kubelet", &key(pod), &json!({ "status": status }));
    }

    async fn remove(&self, pod: &Value) {
        let _ = self.delete(&key(pod), &Deletion::now());
    }
}

fn key(pod: &Value) -> Key {
    Key::new("pods", meta::get(pod, "namespace"), meta::name(pod))
}
