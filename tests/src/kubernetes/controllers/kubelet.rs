//! A node and its kubelet: runs pods or pretends to, and says so in their
//! status.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

use super::pod::{self, Readiness};
use crate::{
    kubernetes::{Shared, meta, registry::Deletion, store::Key},
    process,
};

/// The node all pods are on.
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
    /// A program for each pod, at an address of its own on the loopback
    /// interface and this port; ready when `GET /v2/health/ready` says so.
    Run {
        /// The port of all of them.
        port: u16,
        /// The command for a pod that is to listen there.
        program: Program,
    },
}

/// Makes the command for a pod.
pub type Program = Arc<dyn Fn(SocketAddr, &Value) -> Command + Send + Sync>;

impl fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByHand => "ByHand",
            Self::Pretend { .. } => "Pretend",
            Self::Run { .. } => "Run",
        })
    }
}

/// The programs that run, by their pod's uid.
#[derive(Debug, Default)]
pub struct Programs(Mutex<HashMap<String, Child>>);

impl Programs {
    /// Ends all of them.
    ///
    /// # Panics
    /// If another use of them did.
    pub fn kill_all(&self) {
        for (_, mut child) in self.0.lock().expect("programs").drain() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn start(&self, pod: &str, mut command: Command) {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = child.spawn().expect("the pod's program starts");
        self.0.lock().expect("programs").insert(pod.into(), child);
    }

    fn is_running(&self, pod: &str) -> bool {
        let mut programs = self.0.lock().expect("programs");
        programs
            .get_mut(pod)
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn signal(&self, pod: &str, signal: Signal) {
        if let Some(child) = self.0.lock().expect("programs").get(pod) {
            let _ = kill(Pid::from_raw(child.id() as i32), signal);
        }
    }

    fn forget(&self, pod: &str) {
        self.0.lock().expect("programs").remove(pod);
    }
}

/// What the kubelet knows of a pod.
#[derive(Clone, Copy, Debug)]
struct Place {
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

impl Kubelet {
    /// Runs `sample-server` with these arguments for each pod, at `port`.
    #[must_use]
    pub fn sample_servers(port: u16, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        Self::Run {
            port,
            program: Arc::new(move |address, _| {
                let mut command = process::sample_server();
                command.args(["--host", &address.ip().to_string()]);
                command.args(["--port", &address.port().to_string()]);
                command.args(&arguments);
                command
            }),
        }
    }

    pub(in crate::kubernetes) async fn run(self, shared: Arc<Shared>) {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": NODE } });
        let _ = shared.create(node);
        if matches!(self, Self::ByHand) {
            return;
        }
        let mut places = HashMap::new();
        let mut addresses = self.addresses();
        loop {
            self.look(&shared, &mut places, &mut addresses).await;
            time::sleep(TICK).await;
        }
    }

    /// A network of 250 addresses, another one for each test that needs real
    /// ones, so that tests that run at once do not meet.
    fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let network = match self {
            Self::Run { .. } => [127, fastrand::u8(16..=254), fastrand::u8(..)],
            _ => [10, 244, 0],
        };
        (1..=250)
            .cycle()
            .map(move |host| Ipv4Addr::new(network[0], network[1], network[2], host).into())
    }

    async fn look(
        &self,
        shared: &Shared,
        places: &mut HashMap<String, Place>,
        addresses: &mut impl Iterator<Item = IpAddr>,
    ) {
        let pods = super::all(shared, "pods");
        let is_there = |uid: &String| pods.iter().any(|(_, pod)| meta::get(pod, "uid") == uid);
        let gone: Vec<String> = places
            .keys()
            .filter(|uid| !is_there(uid))
            .cloned()
            .collect();
        for uid in gone {
            // Deleted without grace: its program gets none either.
            shared.programs.signal(&uid, Signal::SIGKILL);
            shared.programs.forget(&uid);
            places.remove(&uid);
        }
        for (key, pod) in &pods {
            let uid = meta::get(pod, "uid");
            let Some(place) = places.get_mut(uid) else {
                if let Some(address) = addresses.next().filter(|_| pod::is_active(pod)) {
                    self.start(shared, key, pod, address);
                    let stage = Stage::Starting {
                        since: Instant::now(),
                    };
                    places.insert(uid.into(), Place { address, stage });
                }
                continue;
            };
            self.go_on(shared, key, pod, place).await;
        }
    }

    fn start(&self, shared: &Shared, key: &Key, pod: &Value, address: IpAddr) {
        if pod["spec"]["nodeName"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
        {
            // The scheduler's part.
            let _ = shared.merge(
                "kube-scheduler",
                key,
                &json!({ "spec": { "nodeName": NODE } }),
            );
        }
        self.start_program(shared, pod, address);
        let status = pod::running(address, Readiness::NotReady);
        if matches!(self, Self::Run { .. }) {
            let _ = shared.merge("kubelet", key, &json!({ "status": status }));
        }
    }

    fn start_program(&self, shared: &Shared, pod: &Value, address: IpAddr) {
        if let Self::Run { port, program } = self {
            let command = program(SocketAddr::new(address, *port), pod);
            shared.programs.start(meta::get(pod, "uid"), command);
        }
    }

    async fn go_on(&self, shared: &Shared, key: &Key, pod: &Value, place: &mut Place) {
        let uid = meta::get(pod, "uid");
        if let Stage::Stopping { since } = place.stage {
            let grace = meta::number(pod, "/metadata/deletionGracePeriodSeconds").unwrap_or(0);
            let is_late = since.elapsed() >= Duration::from_secs(grace.max(0) as u64);
            if is_late {
                shared.programs.signal(uid, Signal::SIGKILL);
            }
            let is_over = match self {
                Self::Pretend { stop, .. } => is_late || since.elapsed() >= *stop,
                _ => !shared.programs.is_running(uid),
            };
            if is_over {
                let _ = shared.delete(key, &Deletion::now());
            }
            return;
        }
        if meta::is_terminating(pod) {
            place.stage = Stage::Stopping {
                since: Instant::now(),
            };
            shared.programs.signal(uid, Signal::SIGTERM);
            return;
        }
        if matches!(self, Self::Run { .. }) && !shared.programs.is_running(uid) {
            // A container that ended is started again.
            shared.programs.forget(uid);
            self.start_program(shared, pod, place.address);
        }
        let is_ready = match (self, place.stage) {
            (Self::Pretend { start, .. }, Stage::Starting { since }) => since.elapsed() >= *start,
            (Self::Run { port, .. }, _) => probe(SocketAddr::new(place.address, *port)).await,
            _ => return,
        };
        if is_ready {
            place.stage = Stage::Running;
        }
        if is_ready != meta::has_condition(pod, "Ready") {
            let readiness = if is_ready {
                Readiness::Ready
            } else {
                Readiness::NotReady
            };
            let status = pod::running(place.address, readiness);
            let _ = shared.merge("kubelet", key, &json!({ "status": status }));
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
