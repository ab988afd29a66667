//! Replicas that break while they serve: who is hit, and for how long.

mod back_off;
mod ejection;
mod hang;
mod probes;
mod scaled_elsewhere;
mod slow_start;

use std::{
    net::SocketAddr,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tailback_tests::{
    eventually,
    http::{Client, Response},
    process::Tailback,
};

/// The 16 integers that the sample server infers from.
const INPUT: &[u8] = include_bytes!("../../../examples/infer.json");

/// A manifest of the model `m` on static endpoints, with these further fields of its server.
fn manifest(endpoints: &[SocketAddr], fields: &str) -> String {
    let endpoints: Vec<_> = endpoints
        .iter()
        .map(|at| format!("\"http://{at}\""))
        .collect();
    format!(
        "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: {{ name: up }}\n\
         spec: {{ {fields} static: {{ endpoints: [{}] }} }}\n---\n\
         apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ server: up }}\n",
        endpoints.join(", ")
    )
}

/// What became of a request.
#[derive(Debug)]
struct Sample {
    /// When it was sent, since the first one.
    at: Duration,
    took: Duration,
    response: Option<Response>,
}

/// Eight callers, each sending one request after the other, for as long as `go_on` says of what
/// has come until then.
fn call_until(proxy: &Tailback, mut go_on: impl FnMut(&[Sample]) -> bool) -> Vec<Sample> {
    let (samples, over) = (Mutex::new(Vec::new()), Mutex::new(false));
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::connect(proxy.address).expect("a connection");
                while !*over.lock().unwrap() {
                    let at = start.elapsed();
                    let response = client.call("POST", "/v2/models/m/infer", &[], INPUT).ok();
                    if response.is_none() {
                        client = Client::connect(proxy.address).expect("a connection");
                    }
                    let took = start.elapsed() - at;
                    samples.lock().unwrap().push(Sample { at, took, response });
                }
            });
        }
        while go_on(&samples.lock().unwrap()) && start.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(20));
        }
        *over.lock().unwrap() = true;
    });
    samples.into_inner().unwrap()
}

/// The share of requests, sent after the first second, that were not answered with 200.
fn failed_share(samples: &[Sample]) -> f64 {
    let late: Vec<_> = samples
        .iter()
        .filter(|sample| sample.at.as_secs() >= 1)
        .collect();
    let failed = late.iter().filter(|sample| sample.status() != 200).count();
    failed as f64 / late.len() as f64
}

impl Sample {
    fn status(&self) -> u16 {
        self.response.as_ref().map_or(0, |response| response.status)
    }
}

/// The entry of the replica at `address` on `/models`.
fn replica(proxy: &Tailback, address: SocketAddr) -> Value {
    let endpoint = address.to_string();
    let mut found = None;
    eventually("the replica to be listed", || {
        let ready = proxy.model("m")["replicas"]["ready"].clone();
        let mut all = ready.as_array().expect("a list").iter();
        found = all
            .find(|replica| replica["endpoint"] == *endpoint)
            .cloned();
        found.is_some()
    });
    found.expect("it is listed")
}

/// How many lines of the log have all these words.
fn logged(proxy: &Tailback, words: &[&str]) -> usize {
    let log = proxy.log();
    let fits = |line: &&str| words.iter().all(|word| line.contains(word));
    log.lines().filter(fits).count()
}
