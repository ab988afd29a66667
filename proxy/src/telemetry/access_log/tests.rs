use std::{fs, thread};

use http::StatusCode;
use metrics::Counter;
use serde_json::Value;

use super::*;
use crate::status::{GrpcCode, MethodType};

fn at(millis: u64) -> Nanos {
    Nanos(millis * 1_000_000)
}

fn finish(log: AccessLog, path: &str) {
    let mut entry = AccessLogEntry::new(log, path);
    entry.arrive("m", at(1000));
    entry.give(&Replica::new("m-0", "127.0.0.1:1", None), at(1250));
    entry.sent(10);
    entry.sent(5);
    entry.finish(
        at(2000),
        Outcome::Success,
        ResponseStatus::Http(StatusCode::OK),
    );
}

fn lines(path: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn an_entry_becomes_a_line_with_its_times_and_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let running = RunningAccessLog::start(&Target::File(file.clone())).unwrap();
    finish(running.log(), "/v2/models/m/infer");
    let mut held = AccessLogEntry::new(running.log(), "/a\"b\n");
    held.arrive("m", at(500));
    held.finish(
        at(1500),
        Outcome::HeldTooLong,
        ResponseStatus::Grpc(GrpcCode::Unavailable),
    );
    let mut left = AccessLogEntry::new(running.log(), "/");
    left.arrive("m", at(500));
    left.finish(
        at(501),
        Outcome::CallerGone,
        ResponseStatus::Nothing(MethodType::Rest),
    );
    running.close();

    let [served, held, left] = &lines(&file)[..] else {
        panic!("three lines");
    };
    let mut served = served.as_object().unwrap().clone();
    let timestamp = served.remove("timestamp").unwrap();
    let timestamp = timestamp.as_str().unwrap();
    assert!(
        timestamp.len() == 27 && timestamp.ends_with('Z'),
        "{timestamp}"
    );
    let expected = serde_json::json!({
        "model": "m", "method_type": "rest", "path": "/v2/models/m/infer", "status": "200",
        "outcome": "success", "held_seconds": 0.25, "service_seconds": 0.75, "total_seconds": 1.0,
        "replica": "m-0 (127.0.0.1:1)", "retries": 0, "bytes_out": 15
    });
    assert_eq!(Value::Object(served), expected);
    assert_eq!(held["path"], "/a\"b\n");
    assert_eq!(
        (&held["status"], &held["held_seconds"]),
        (&Value::from("Unavailable"), &Value::from(1.0))
    );
    assert_eq!(
        (&held["service_seconds"], &held["replica"]),
        (&Value::from(0.0), &Value::Null)
    );
    assert_eq!(left["status"], "499");
}

#[test]
fn entries_that_do_not_fit_are_dropped_without_a_wait() {
    // The receiver is kept, but nothing reads from it.
    let (sender, receiver) = queue(2, Counter::noop());
    for _ in 0..5 {
        finish(AccessLog(sender), "/");
    }
    assert_eq!(receiver.try_iter().count(), 2);
}

#[test]
fn a_moved_file_is_closed_and_a_new_one_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (file, moved) = (folder.path().join("a"), folder.path().join("a.1"));
    let running = RunningAccessLog::start(&Target::File(file.clone())).unwrap();
    finish(running.log(), "/1");
    while fs::metadata(&file).unwrap().len() == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    fs::rename(&file, &moved).unwrap();
    running.reopen();
    finish(running.log(), "/2");
    running.close();
    assert_eq!(lines(&moved)[0]["path"], "/1");
    assert_eq!(lines(&file)[0]["path"], "/2");
}

#[test]
fn longest_path_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a");
    let running = RunningAccessLog::start(&Target::File(file.clone())).unwrap();
    finish(running.log(), &"é".repeat(LONGEST_PATH));
    running.close();
    let path = lines(&file)[0]["path"].as_str().unwrap().to_owned();
    assert!(path.len() <= LONGEST_PATH + 3 && path.starts_with("éé"));
}
