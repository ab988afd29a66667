//! The access log as a user has it: written by a real `serve`, rotated, read
//! back by `simulate`.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Command, Output, Stdio},
    sync::atomic::AtomicU32,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use tailback_tests::{
    eventually, http,
    load::under_load,
    process::{Tailback, tailback},
    upstream::{Upstream, static_manifest},
};

const BODY: &[u8] = b"{}";
const PATH: &str = "/v2/models/m/infer?secret=1";

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn simulate(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = tailback()
        .arg("simulate")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    // It may have seen enough.
    let _ = child.stdin.take().expect("stdin").write_all(input);
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
