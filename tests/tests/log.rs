//! The log, and log readers that do not read.

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader},
    os::unix::fs::OpenOptionsExt,
    sync::atomic::AtomicU32,
};

use nix::{
    fcntl::OFlag,
    sys::{signal::Signal, stat::Mode},
    unistd::mkfifo,
};
use tailback_tests::{eventually, load::under_load, process::Tailback};

/// Any inference.
const BODY: &[u8] = include_bytes!("../../examples/infer.json");

/// A replica that prints more than any pipe holds, for as long as it runs.
const TALKS: &str = "\
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: s }
spec:
  process:
    command: [sh, -c, 'yes a line of the replica & exec sample-server --port $PORT --model m']
    env: { PORT: '{port}' }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: m }
spec: { server: s, minReplicas: 1 }
";

#[test]
fn a_standard_error_that_nobody_reads_stops_neither_requests_nor_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("stderr");
    mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe");
    let unread = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("the pipe");
    let script = format!("exec \"$0\" \"$@\" 2>{}", pipe.display());
    let mut proxy = Tailback::start_under(&["sh", "-c", &script], TALKS);
    eventually("a replica", || proxy.ready("m") == 1);
    let load = under_load(proxy.address, "m", BODY, &AtomicU32::new(4), || {
        eventually("lines that are dropped", || {
            proxy.metric("tailback_log_dropped_total") > 1000.0
        });
    });
    assert_eq!(load.failed, 0);
    assert!(load.answered > 0);
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.wait().success());

    let read = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(&pipe)
        .expect("the pipe");
    drop(unread);
    let mut lines = BufReader::new(read).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("a line of the replica")));
}
