//! Several proxies of one cluster, and a test's methods to control them.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::{Value, json};
use tailback_tests::{
    cluster::{BODY, Cluster, NAMESPACE, manifests},
    eventually,
    http::Client,
    process::Tailback,
};

const TOKEN: &str = "0123456789abcdef";
const SLICES: &str = "endpointslices.discovery.k8s.io";

/// Proxies of one cluster, listed in the slices of their Service.
pub struct Several {
    pub proxies: Vec<Tailback>,
    pub cluster: Cluster,
}

impl Several {
    /// Starts this number of proxies, and waits until they know each other and have a leader.
    pub fn start(cluster: Cluster, count: usize, model: &str) -> Self {
        let mut several = Self {
            proxies: Vec::new(),
            cluster,
        };
        for _ in 0..count {
            several.add(model);
        }
        several.settle();
        several
    }

    pub fn add(&mut self, model: &str) {
        let variables = [
            ("TAILBACK_KUBE_PEERS", "tailback-admin"),
            ("TAILBACK_ADMIN_TOKEN", TOKEN),
        ];
        let proxy = self.cluster.serve_with(&manifests(model), &variables);
        self.list(proxy.admin);
        self.proxies.push(proxy);
    }

    pub fn list(&self, admin: SocketAddr) {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name(admin), "namespace": NAMESPACE,
                "labels": { "kubernetes.io/service-name": "tailback-admin" },
            },
            "addressType": "IPv4",
            "ports": [{ "name": "admin", "port": admin.port(), "protocol": "TCP" }],
            "endpoints": [{ "addresses": [admin.ip().to_string()], "conditions": { "ready": true } }],
        });
        self.cluster.double.apply(slice).expect("a slice");
    }

    pub fn unlist(&self, admin: SocketAddr) {
        let deleted = self.cluster.double.delete(SLICES, NAMESPACE, &name(admin));
        deleted.expect("a slice");
    }

    /// Waits until all are connected with each other, one leads, and all know the replicas.
    pub fn settle(&self) {
        let others = self.proxies.len() as f64 - 1.0;
        eventually("all to be connected", || {
            let connected = |p: &Tailback| p.metric("tailback_peers");
            self.proxies.iter().all(|p| connected(p) == others)
        });
        eventually("one leader", || self.leaders().len() == 1);
        eventually("the count", || {
            let reason = |p: &Tailback| p.model("m")["replicas"]["reason"].clone();
            self.proxies
                .iter()
                .all(|p| reason(p) != "waiting for the orchestrator to report what runs")
        });
    }

    /// The indices of those that lead.
    pub fn leaders(&self) -> Vec<usize> {
        let leads = |index: &usize| self.proxies[*index].metric("tailback_leader") == 1.0;
        (0..self.proxies.len()).filter(leads).collect()
    }

    pub fn follower(&self) -> usize {
        let leader = self.leaders()[0];
        (0..self.proxies.len())
            .find(|&index| index != leader)
            .expect("another")
    }

    /// A sum over all proxies, as one of them shows it.
    pub fn all(&self, index: usize) -> Value {
        self.proxies[index].model("m")["allProxies"].clone()
    }
}

/// The counts that a proxy tells the others, as of its scaler's last look at its ledgers.
pub fn published(proxy: &Tailback) -> Value {
    let mut stream = TcpStream::connect(proxy.admin).expect("a connection");
    stream
        .write_all(b"GET /ledgers HTTP/1.1\r\nhost: x\r\n\r\n")
        .expect("a request");
    // Between the lines are a head, and the lengths of chunks.
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .find(Value::is_object)
        .expect("a first line")["models"]["m"]
        .clone()
}

/// Asks a proxy for what needs the token. Returns the status.
pub fn order(proxy: &Tailback, method: &str, path: &str, body: &str) -> u16 {
    let bearer = format!("Bearer {TOKEN}");
    let mut admin = Client::connect(proxy.admin).expect("a connection");
    let headers = [("authorization", &*bearer)];
    let answer = admin.call(method, path, &headers, body.as_bytes());
    answer.expect("an answer").status
}

/// How many peers a proxy cannot reach.
pub fn lost(proxy: &Tailback) -> usize {
    let page = proxy.page("/models");
    let peers = page["proxies"]["peers"].as_array().expect("a list");
    peers
        .iter()
        .filter(|peer| !peer["lostSeconds"].is_null())
        .count()
}

fn name(admin: SocketAddr) -> String {
    format!("tailback-admin-{}", admin.port())
}

/// Sends an inference and does not wait for its answer.
pub fn send(proxy: &Tailback) -> Client {
    let mut client = Client::connect(proxy.address).expect("a connection");
    let head = format!(
        "POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        BODY.len()
    );
    client
        .send([head.as_bytes(), BODY].concat())
        .expect("a request");
    client
}
