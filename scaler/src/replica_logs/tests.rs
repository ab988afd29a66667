//! Tests of which lines are kept, in which order, and for how long.

use super::*;

fn texts(logs: &ReplicaLogs, model: &str, query: LogQuery<'_>) -> Vec<String> {
    let lines = logs.lines(model, query);
    lines
        .iter()
        .map(|line| format!("{} {}", line.replica, line.line.text))
        .collect()
}

#[test]
fn lines_of_several_replicas_come_in_the_order_in_which_they_were_printed() {
    let logs = ReplicaLogs::default();
    let (a, b) = (logs.writer("m", "m-0"), logs.writer("m", "m-1"));
    let other = logs.writer("n", "n-0");
    a.push(OutputStream::Stdout, "one");
    b.push(OutputStream::Stderr, "two");
    other.push(OutputStream::Stdout, "of another model");
    a.push(OutputStream::Stdout, "three");
    let all = texts(&logs, "m", LogQuery::default());
    assert_eq!(all, ["m-0 one", "m-1 two", "m-0 three"]);
    let query = LogQuery {
        tail: Some(2),
        ..LogQuery::default()
    };
    assert_eq!(texts(&logs, "m", query), all[1..]);
    let query = LogQuery {
        replica: Some("m-0"),
        after: 1,
        tail: None,
    };
    assert_eq!(texts(&logs, "m", query), all[2..]);
    assert_eq!(*logs.last().borrow(), 4);
    assert!(!logs.has("x") && logs.lines("x", LogQuery::default()).is_empty());
}

#[test]
fn what_is_kept_of_a_replica_is_bounded_in_lines_and_bytes() {
    let logs = ReplicaLogs::default();
    let writer = logs.writer("m", "m-0");
    for number in 0..LINES + 5 {
        writer.push(OutputStream::Stdout, &number.to_string());
    }
    let lines = logs.lines("m", LogQuery::default());
    assert_eq!((lines.len(), &*lines[0].line.text), (LINES, "5"));
    for _ in 0..100 {
        writer.push(OutputStream::Stdout, &"x".repeat(8 * 1024));
    }
    let lines = logs.lines("m", LogQuery::default());
    assert_eq!(lines.len(), BYTES / (8 * 1024));
}

#[test]
fn the_last_replicas_that_ended_are_kept_and_those_that_run_always() {
    let logs = ReplicaLogs::default();
    let runs = logs.writer("m", "runs");
    for number in 0..10 {
        let writer = logs.writer("m", &format!("m-{number}"));
        writer.push(OutputStream::Stderr, "no memory");
        writer.end();
    }
    let expected = ["runs", "m-5", "m-6", "m-7", "m-8", "m-9"];
    assert_eq!(logs.replicas("m"), expected);
    for model in 0..ENDED {
        logs.writer(&format!("n{model}"), "n-0").end();
    }
    assert_eq!(logs.replicas("m"), ["runs"]);
    assert!(logs.has("n0"));
    runs.end();
    assert!(logs.has("m") && !logs.has("n0"));
}

#[test]
fn the_lines_of_any_number_of_replicas_fit_into_one_message() {
    let logs = ReplicaLogs::default();
    for number in 0..100 {
        let writer = logs.writer("m", &format!("m-{number}"));
        // JSON writes this character as six.
        let text = "\u{1}".repeat(BYTES / 40);
        (0..40).for_each(|_| writer.push(OutputStream::Stdout, &text));
        writer.push(OutputStream::Stdout, "last");
    }
    let passed = serde_json::to_string(&logs.of_model("m")).unwrap();
    assert!(passed.len() < 60 * 1024 * 1024, "{}", passed.len());
    let after = ReplicaLogs::default();
    after.restore("m", serde_json::from_str(&passed).unwrap());
    let lines = after.lines("m", LogQuery::default());
    let last = lines.iter().filter(|line| line.line.text == "last");
    assert_eq!((last.count(), after.replicas("m").len()), (100, 100));
}

#[test]
fn what_one_process_has_kept_goes_on_in_the_next() {
    let before = ReplicaLogs::default();
    before.writer("m", "m-0").end();
    let writer = before.writer("m", "m-1");
    writer.push(OutputStream::Stdout, "before");
    let passed = serde_json::to_string(&before.of_model("m")).unwrap();
    let after = ReplicaLogs::default();
    after.restore("m", serde_json::from_str(&passed).unwrap());
    after.writer("m", "m-1").push(OutputStream::Stdout, "after");
    assert_eq!(after.replicas("m"), ["m-0", "m-1"]);
    let lines = after.lines("m", LogQuery::default());
    let numbers: Vec<_> = lines.iter().map(|line| line.line.number).collect();
    assert_eq!(numbers, [2, 3]);
    // A replica with a reused name is another replica.
    assert_eq!(after.writer("m", "m-0").replica, "m-0");
    assert_eq!(after.replicas("m"), ["m-1", "m-0"]);
}
