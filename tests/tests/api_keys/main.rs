//! API keys: who may ask, for what, how often; the file that has them; and that no replica, log or
//! page ever sees one.

mod answers;
mod keys_file;
mod other_models;

use std::{fs, path::PathBuf};

use serde_json::Value;
use tailback_tests::{
    eventually, http,
    http::Client,
    process::{Tailback, tailback},
    upstream::Upstream,
};
use tempfile::TempDir;

/// A file of keys, as `tailback keys` makes it.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        keys.write("");
        keys
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("keys.yaml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    /// Runs `tailback keys`. Returns what it printed, or what went wrong.
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = tailback()
            .arg("keys")
            .args(arguments)
            .env("TAILBACK_API_KEYS_FILE", self.path())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        match output.status.success() {
            true => Ok(text(output.stdout).trim().to_owned()),
            false => Err(text(output.stderr)),
        }
    }

    /// Adds a key, which is returned.
    fn add(&self, name: &str, more: &[&str]) -> String {
        let arguments = [&["add", name], more].concat();
        self.run(&arguments).unwrap()
    }

    fn serve(&self, manifest: &str, variables: &[(&str, &str)]) -> Tailback {
        let path = self.path();
        let mut all = vec![("TAILBACK_API_KEYS_FILE", path.to_str().unwrap())];
        all.extend(variables);
        Tailback::start(manifest, &all)
    }
}

fn call(proxy: &Tailback, key: &str, method: &str, path: &str, body: &[u8]) -> http::Response {
    let bearer = format!("Bearer {key}");
    let mut client = Client::connect(proxy.address).unwrap();
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    client.call(method, path, &headers, body).unwrap()
}

fn status(proxy: &Tailback, key: &str, path: &str) -> u16 {
    call(proxy, key, "GET", path, b"").status
}

/// A gRPC message that has the name of a model and nothing else.
fn message(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    let head = [0, 0, 0, 0, length + 2, 0x0a, length];
    [&head, name.as_bytes()].concat()
}

fn json(response: &http::Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn replicas_see_no_key_but_their_own_and_no_log_has_one() {
    let (upstream, keys) = (Upstream::start(), Keys::new());
    let key = keys.add("alice", &[]);
    let log = keys.0.path().join("access.log");
    let manifest = upstream.manifest(&["m"]);
    let proxy = keys.serve(
        &manifest,
        &[
            ("TAILBACK_ACCESS_LOG", log.to_str().unwrap()),
            ("UPSTREAM_KEY", "sk-upstream"),
            ("TAILBACK_LOG", "debug"),
        ],
    );
    let send = |proxy: &Tailback| {
        let mut client = Client::connect(proxy.address).unwrap();
        let bearer = format!("Bearer {key}");
        let both = [
            ("authorization", bearer.as_str()),
            ("x-api-key", key.as_str()),
        ];
        assert_eq!(
            client
                .call("GET", "/v2/models/m/ok", &both, b"")
                .unwrap()
                .status,
            200
        );
        upstream.heads().pop().unwrap().to_lowercase()
    };
    let head = send(&proxy);
    assert!(
        !head.contains("authorization") && !head.contains("x-api-key") && !head.contains(&key),
        "{head}"
    );
    let replaced = manifest.replacen("spec: {", "spec: { upstreamKey: '${UPSTREAM_KEY}',", 1);
    proxy.rewrite(&replaced);
    eventually("the replica's own key", || {
        send(&proxy).contains("authorization: bearer sk-upstream\r\n")
    });
    assert_eq!(call(&proxy, &key, "GET", "/v1/models", b"").status, 200);
    let heads = upstream.heads().join("\n").to_lowercase();
    let asked = heads
        .split("\n\n")
        .find(|head| head.starts_with("get /v1/models"));
    assert!(
        asked.is_some_and(|head| head.contains("bearer sk-upstream")),
        "{heads}"
    );
    eventually("lines of the access log", || {
        fs::read_to_string(&log).unwrap().lines().count() >= 2
    });
    let lines = fs::read_to_string(&log).unwrap();
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(line["key"], "alice");
    for text in [lines, proxy.log(), proxy.metrics(), heads, keys.text()] {
        assert!(!text.contains(&key), "{text}");
    }

    // Without keys, the caller's header goes to the replica, unless the server has a key.
    let open = Tailback::start(&manifest, &[]);
    assert!(send(&open).contains(&key));
    let open = Tailback::start(&replaced, &[("UPSTREAM_KEY", "sk-upstream")]);
    let head = send(&open);
    assert!(
        head.contains("bearer sk-upstream") && !head.contains(&key),
        "{head}"
    );
}
