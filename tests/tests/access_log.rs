//! The access log of a real `serve`: what is written, rotation, and that no request waits for it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    sync::atomic::AtomicU32,
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tailback_tests::{
    eventually, http,
    load::under_load,
    process::{Tailback, tailback},
    upstream::{Upstream, never_ready_manifest},
};

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = |line| serde_json::from_str(line).expect("a line of JSON");
    text.lines().map(line).collect()
}

fn seconds(line: &Value, field: &str) -> f64 {
    line[field].as_f64().expect("seconds")
}

/// Seconds of the month of `2026-03-01T09:30:00.123456Z`.
fn of_month(time: &str) -> f64 {
    let number = |from: usize, to: usize| time[from..to].parse::<f64>().expect("a number");
    number(8, 10) * 86_400.0 + number(11, 13) * 3600.0 + number(14, 16) * 60.0 + number(17, 26)
}

/// One replica with a concurrency of 1.
fn single(upstream: &Upstream) -> String {
    let manifest = upstream.manifest(&["m"]);
    manifest.replacen("spec: {", "spec: { concurrency: 1,", 1)
}

#[test]
fn log_has_each_request_with_its_times_and_simulate_reads_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let upstream = Upstream::start();
    let manifest = single(&upstream);
    let mut proxy = Tailback::start(
        &manifest,
        &[("TAILBACK_ACCESS_LOG", log.to_str().expect("a path"))],
    );

    // Each takes a second, one after the other.
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                http::call(
                    proxy.address,
                    "POST",
                    "/v2/models/m/late?secret=/late",
                    b"{}",
                )
            });
        }
    });
    let load = under_load(proxy.address, "m", b"{}", &AtomicU32::new(8), || {
        eventually("some hundred answers", || {
            proxy.outcome("m", "success") > 500
        });
    });
    assert_eq!(load.failed, 0);
    let unknown = http::call(proxy.address, "GET", "/v2/models/unknown", b"");
    assert_eq!(unknown.expect("an answer").status, 404);
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.wait().success());

    let found = lines(&log);
    assert_eq!(
        found.len() as u64,
        load.answered + 3,
        "each once, and no other"
    );
    for line in &found {
        let (held, service) = (
            seconds(line, "held_seconds"),
            seconds(line, "service_seconds"),
        );
        let total = seconds(line, "total_seconds");
        assert!((held + service - total).abs() < 3e-6, "{line}");
        assert_eq!(
            (&line["model"], &line["status"]),
            (&"m".into(), &"200".into())
        );
        assert_eq!(
            (&line["outcome"], &line["method_type"]),
            (&"success".into(), &"rest".into())
        );
        assert!(line["replica"].is_string() && line["bytes_out"].as_u64() > Some(0));
    }
    // Eight callers and one slot: never more at once, by the log's own times.
    let mut changes: Vec<(f64, i32)> = Vec::new();
    for line in &found {
        let arrived = line["timestamp"].as_str().expect("a time");
        let arrived = of_month(arrived);
        changes.push((arrived, 1));
        changes.push((arrived + seconds(line, "total_seconds"), -1));
    }
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut inside, mut most) = (0, 0);
    for (_, change) in changes {
        inside += change;
        most = most.max(inside);
    }
    assert!((3..=9).contains(&most), "{most} at once");

    let mut late: Vec<_> = (found.iter())
        .filter(|line| line["path"] == "/v2/models/m/late")
        .collect();
    late.sort_by(|a, b| seconds(a, "held_seconds").total_cmp(&seconds(b, "held_seconds")));
    assert_eq!(late.len(), 3, "without the query");
    for (place, line) in late.iter().enumerate() {
        let held = seconds(line, "held_seconds");
        assert!((held - place as f64).abs() < 0.8, "{line}");
        assert!(
            (1.0..1.8).contains(&seconds(line, "service_seconds")),
            "{line}"
        );
    }

    let manifests = folder.path().join("m.yaml");
    fs::write(&manifests, manifest).expect("manifests");
    let output = tailback()
        .arg("simulate")
        .arg(&log)
        .arg("--manifests")
        .arg(&manifests)
        .args(["--policy", "lag"])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(
        text.contains(&format!("\nRequests: {} in ", found.len())),
        "{text}"
    );
    assert!(
        text.contains("Settings: model m: concurrency 1, threshold 30, 1 replicas, not scaled"),
        "{text}"
    );
}

#[test]
fn log_is_rotated_by_sighup_without_losing_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, old) = (folder.path().join("a"), folder.path().join("a.1"));
    let upstream = Upstream::start();
    let mut proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[("TAILBACK_ACCESS_LOG", log.to_str().expect("a path"))],
    );
    let load = under_load(proxy.address, "m", b"{}", &AtomicU32::new(4), || {
        eventually("lines", || !lines_so_far(&log).is_empty());
        fs::rename(&log, &old).expect("moved");
        proxy.signal(Signal::SIGHUP);
        eventually("lines in the new file", || !lines_so_far(&log).is_empty());
    });
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.wait().success());
    let all = lines(&log).len() + lines(&old).len();
    assert_eq!((all as u64, load.failed), (load.answered, 0));
}

fn lines_so_far(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_full_disk_is_logged_once_counted_and_stops_nothing() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[("TAILBACK_ACCESS_LOG", "/dev/full")],
    );
    let load = under_load(proxy.address, "m", b"{}", &AtomicU32::new(4), || {
        eventually("lines that are lost", || {
            proxy.metric("tailback_access_log_dropped_total") > 100.0
        });
    });
    assert_eq!(load.failed, 0);
    let said = proxy.log().matches("access log /dev/full: ").count();
    assert_eq!(said, 1, "{}", proxy.log());
}

#[test]
fn held_in_vain_is_logged_without_a_replica() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("a");
    let proxy = Tailback::start(
        &never_ready_manifest("m", ", hold: { seconds: 0.2 }"),
        &[("TAILBACK_ACCESS_LOG", log.to_str().expect("a path"))],
    );
    let answer = http::call(proxy.address, "GET", "/v2/models/m/ok", b"").expect("an answer");
    assert_eq!(answer.status, 503);
    eventually("its line", || lines_so_far(&log).ends_with('\n'));
    let line = &lines(&log)[0];
    assert_eq!(
        (&line["outcome"], &line["status"]),
        (&"held_too_long".into(), &"503".into())
    );
    assert!(line["replica"].is_null() && seconds(line, "held_seconds") >= 0.2);
    assert_eq!(seconds(line, "service_seconds"), 0.0);
}

#[test]
fn log_that_cannot_be_opened_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("m.yaml"),
        Upstream::start().manifest(&["m"]),
    )
    .expect("manifests");
    let output = tailback()
        .arg("serve")
        .arg(folder.path())
        .envs([
            ("TAILBACK_ACCESS_LOG", "/nowhere/a"),
            ("TAILBACK_LISTEN", "127.0.0.1:0"),
        ])
        .env("TAILBACK_ADMIN", "127.0.0.1:0")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "tailback: environment TAILBACK_ACCESS_LOG: cannot write to /nowhere/a: \
         No such file or directory (os error 2)\n"
    );
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn standard_output_has_lines_of_the_log_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Upstream::start();
    fs::write(folder.path().join("m.yaml"), upstream.manifest(&["m"])).expect("manifests");
    let child = tailback()
        .arg("serve")
        .arg(folder.path())
        .envs([
            ("TAILBACK_ACCESS_LOG", "-"),
            ("TAILBACK_LISTEN", "127.0.0.1:0"),
        ])
        .env("TAILBACK_ADMIN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut child = Killed(child);
    let stderr = BufReader::new(child.0.stderr.take().expect("stderr"));
    let mut said = stderr.lines().map_while(Result::ok);
    let address = said
        .find_map(|line| line.trim().strip_prefix("requests  http://")?.parse().ok())
        .expect("what is served is said on standard error");
    for _ in 0..3 {
        http::call(address, "GET", "/v2/models/m/ok", b"").expect("an answer");
    }
    kill(Pid::from_raw(child.0.id() as i32), Signal::SIGTERM).expect("it runs");
    let stdout = BufReader::new(child.0.stdout.take().expect("stdout"));
    let found: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(&line.expect("text")).expect("JSON"))
        .collect();
    assert_eq!(found.len(), 3);
}
