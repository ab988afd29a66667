//! `tailback simulate` as a new user runs it: with files, with standard input, and with mistakes.

mod fleet;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Output, Stdio},
};

use tailback_tests::process::tailback;
use tempfile::TempDir;

const TRACE: &str = "timestamp,service_seconds\n0,1\n0.5,1\n1,1\n60,2\n";
const LOG: &str = r#"{"timestamp":"2026-03-01T09:30:00.000001Z","model":"a","status":"200","service_seconds":0.5}
{"timestamp":"2026-03-01T09:30:01.000001Z","model":"b","status":"200","service_seconds":0.5}
{"timestamp":"2026-03-01T09:30:02.000001Z","model":"a","status":"503","service_seconds":0.0}
"#;
const MANIFESTS: &str = "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: { name: s }\n\
    spec: { concurrency: 2, maxReplicas: 5, process: { command: [x, '{port}'] } }\n---\n\
    apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: { name: a }\n\
    spec: { server: s, minReplicas: 0, hold: { seconds: 10 }, scaling: { lagThreshold: 7 } }\n";

/// Runs it in `folder`, with `input`.
fn simulate(folder: &Path, arguments: &str, input: &[u8]) -> Output {
    let mut child = tailback()
        .arg("simulate")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env_remove("TAILBACK_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    // It may not want it.
    let _ = child.stdin.take().expect("stdin").write_all(input);
    child.wait_with_output().expect("it ends")
}

fn simulated(folder: &Path, arguments: &str, input: &[u8]) -> String {
    let output = simulate(folder, arguments, input);
    assert!(output.status.success(), "{arguments}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("t.csv", TRACE), ("a.log", LOG), ("m.yaml", MANIFESTS)] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

#[test]
fn csv_log_gzip_and_standard_input_are_all_read() {
    let folder = folder();
    let path = folder.path();
    let expected = simulated(path, "t.csv --policy lag,static", b"");
    assert!(expected.contains("\nRequests: 4 in 60 s."), "{expected}");
    assert_eq!(
        simulated(path, "- --policy lag,static", TRACE.as_bytes()),
        expected
    );
    let gzip = gzip(TRACE.as_bytes());
    assert_eq!(simulated(path, "- --policy lag,static", &gzip), expected);
    // Whatever it is called.
    fs::write(path.join("t.data"), gzip).expect("a file");
    assert_eq!(simulated(path, "t.data --policy lag,static", b""), expected);
    let log = simulated(path, "a.log --model a --policy lag", b"");
    assert!(log.contains("\nRequests: 1 in 0 s."), "{log}");
    assert!(
        log.contains("\nLeft out: 1 requests that no replica served"),
        "{log}"
    );
}

/// By the program that everybody has.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip");
    child
        .stdin
        .take()
        .expect("stdin")
        .write_all(bytes)
        .expect("it reads");
    child.wait_with_output().expect("it ends").stdout
}

#[test]
fn manifests_say_what_the_model_is_like_and_options_come_first() {
    let folder = folder();
    let path = folder.path();
    let text = simulated(path, "a.log --manifests m.yaml --policy lag", b"");
    let settings = "Settings: model a: concurrency 2, threshold 7, 0 to 5 replicas, start-up 30 s, \
                    wait 1 s, unused 600 s, stable 60 s, seed 1.";
    assert!(text.contains(settings), "{text}");
    assert!(
        text.contains(
            "Waited longer than hold.seconds, 10 s, after which serve refuses them: lag 1."
        ),
        "{text}"
    );
    let text = simulated(
        path,
        "t.csv --manifests . --min 1 --threshold 1 --policy lag",
        b"",
    );
    assert!(text.contains("threshold 1, 1 to 5 replicas"), "{text}");
    let output = tailback()
        .args([
            "simulate",
            "t.csv",
            "--manifests",
            "m.yaml",
            "--policy",
            "lag",
        ])
        .current_dir(path)
        .env("TAILBACK_SCALING_STABILITY_SECONDS", "5")
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("stable 5 s"), "{output:?}");
}

#[test]
fn pictures_are_drawn_as_svg_and_png() {
    let folder = folder();
    let path = folder.path();
    simulated(path, "t.csv --plot out.svg", b"");
    let svg = fs::read_to_string(path.join("out.svg")).expect("a picture");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    simulated(path, "t.csv --plot out.png --policy lag", b"");
    let png = fs::read(path.join("out.png")).expect("a picture");
    assert!(png.starts_with(b"\x89PNG"));
}

#[test]
fn a_picture_that_cannot_be_written_costs_no_result() {
    let folder = folder();
    let output = simulate(
        folder.path(),
        "t.csv --policy lag --plot nowhere/a.svg",
        b"",
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "tailback: --plot: nowhere/a.svg: No such file or directory (os error 2)\n"
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("\nlag ") && text.contains("Settings: "),
        "{text}"
    );
}

#[test]
fn trace_may_call_the_model_otherwise() {
    let folder = folder();
    let path = folder.path();
    for (name, requests) in [("b", 1), ("*", 2)] {
        let arguments = format!("a.log --manifests m.yaml --trace-model {name} --policy lag");
        let text = simulated(path, &arguments, b"");
        assert!(
            text.contains(&format!("\nRequests: {requests} in ")),
            "{text}"
        );
        assert!(text.contains("Settings: model a: concurrency 2"), "{text}");
    }
}

#[test]
fn a_trace_without_models_is_the_manifests_model_s() {
    let folder = folder();
    let arguments = "t.csv --manifests m.yaml --model a --policy lag";
    let text = simulated(folder.path(), arguments, b"");
    assert!(text.contains("\nRequests: 4 in 60 s."), "{text}");
    let arguments = "t.csv --trace-model * --policy lag";
    let text = simulated(folder.path(), arguments, b"");
    assert!(text.contains("\nRequests: 4 in 60 s."), "{text}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("empty"), "").expect("a file");
    let nameless = r#"{"timestamp":1,"service_seconds":2}"#;
    fs::write(path.join("nameless.log"), nameless).expect("a file");
    fs::write(
        path.join("wrong.csv"),
        "timestamp,service_seconds\n1,1\n2,-1\n",
    )
    .expect("a file");
    for (arguments, expected) in [
        (
            "nowhere.csv",
            "tailback: nowhere.csv: No such file or directory (os error 2)\n",
        ),
        (
            ".",
            "tailback: .: cannot read it: Is a directory (os error 21)\n",
        ),
        ("empty", "tailback: empty: the trace has no request\n"),
        (
            "wrong.csv",
            "tailback: wrong.csv: line 3: service_seconds: found \"-1\", expected seconds, 0 to 1000000\n",
        ),
        (
            "m.yaml",
            "tailback: m.yaml: line 1: found \"apiVersion: tailback.dev/v1alpha1\", expected a column named timestamp, or counts per minute in columns named 1, 2, 3, …\n",
        ),
        (
            "a.log",
            "tailback: a.log: the trace has requests of several models; choose one by --model, or all by --trace-model '*': a (2), b (1)\n",
        ),
        (
            "a.log --manifests m.yaml --trace-model c",
            "tailback: a.log: the trace has no request of model \"c\", but of a (2), b (1); choose one by --trace-model\n",
        ),
        (
            "t.csv --model a",
            "tailback: --model: t.csv: found \"timestamp,service_seconds\", expected a column named model, \
             which names the model of each request; without the option, all requests are taken\n",
        ),
        (
            "nameless.log --manifests m.yaml --model a --trace-model b",
            "tailback: --trace-model: nameless.log: found no line with a model, expected a field named model, \
             which names the model of each request; without the option, all requests are taken\n",
        ),
        (
            "t.csv --min 5 --max 4",
            "tailback: --min, --max: found a minimum of 5 replicas, expected at most the maximum, 4\n",
        ),
        (
            "t.csv --manifests nowhere.yaml",
            "tailback: nowhere.yaml: cannot be read: No such file or directory (os error 2)\n1 error\n",
        ),
        (
            "t.csv --manifests m.yaml --model b",
            "tailback: --model: found \"b\", expected a model of the manifests: a\n",
        ),
        (
            "t.csv --rate 0",
            "tailback: --rate: found 0, which leaves no request\n",
        ),
    ] {
        let output = simulate(path, arguments, b"");
        assert_eq!(output.status.code(), Some(1), "{arguments}: {output:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            expected,
            "{arguments}"
        );
        assert!(output.stdout.is_empty(), "{arguments}");
    }
    for arguments in [
        "t.csv --plot a.pdf",
        "t.csv --policy x",
        "t.csv --start-up soon",
        "t.csv --start-up -1",
        "t.csv --rate -1",
    ] {
        let output = simulate(path, arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(": found \""), "{error}");
    }
}

/// The rows of a comparison of load-balancing strategies: name, cached share, mean seconds.
fn strategies(text: &str) -> Vec<(String, f64, f64)> {
    let rows = text.lines().skip(1).take_while(|line| !line.is_empty());
    rows.map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |i: usize| words[i].parse().expect("a number");
        (words[0].to_owned(), number(1), number(3))
    })
    .collect()
}

#[test]
fn prefix_affinity_is_near_an_oracle_of_the_caches_and_far_better_than_least_request() {
    let folder = folder();
    for seed in [1, 2, 3] {
        let command = format!(
            "load-balancing --chats 1500 --seed {seed} --strategy leastRequest,prefix-per-worker,kubeai,prefix,oracle"
        );
        let text = simulated(folder.path(), &command, b"");
        assert_eq!(
            simulated(folder.path(), &command, b""),
            text,
            "the same again"
        );
        let rows = strategies(&text);
        let [least, split, kubeai, prefix, oracle] = &rows[..] else {
            panic!("{text}")
        };
        assert!(prefix.1 >= 0.95 * oracle.1, "{text}");
        assert!(prefix.2 <= 1.05 * oracle.2 + 0.005, "{text}");
        assert!(prefix.2 <= 0.65 * least.2, "{text}");
        assert!(prefix.1 > split.1 && prefix.1 > kubeai.1, "{text}");
    }
}

#[test]
fn prompts_with_block_hashes_are_read_and_mistakes_have_their_line() {
    let folder = folder();
    let path = folder.path();
    let line = |at: u64| {
        format!(
            "{{\"timestamp\":{at},\"input_length\":1024,\"output_length\":5,\"hash_ids\":[1,2]}}\n"
        )
    };
    let trace = [line(9000), line(0), line(4500)].concat();
    let text = simulated(path, "load-balancing - --strategy prefix", trace.as_bytes());
    assert_eq!(strategies(&text)[0].1, 66.6, "{text}");
    assert!(text.contains("\nRequests: 3 of standard input."), "{text}");
    assert_eq!(
        simulated(
            path,
            "load-balancing - --strategy prefix",
            &gzip(trace.as_bytes())
        ),
        text
    );
    for (input, expected) in [
        ("", "found no request, expected some"),
        (
            "{\"timestamp\":1}",
            "line 1: found missing field `input_length`",
        ),
        ("x", "line 1: found expected value"),
    ] {
        let output = simulate(path, "load-balancing -", input.as_bytes());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && error.contains(expected),
            "{error}"
        );
    }
    for (arguments, expected) in [
        ("load-balancing", "<PROMPTS>"),
        (
            "load-balancing nothing.jsonl",
            "nothing.jsonl: No such file",
        ),
        (
            "load-balancing - --strategy fastest",
            "expected one of powerOfTwo",
        ),
        ("load-balancing - --replicas 0", "0 is not in 1..=10000"),
        ("load-balancing - --chats 3", "cannot be used with"),
    ] {
        let output = simulate(path, arguments, b"");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn costs_and_the_names_of_what_was_read_are_told() {
    let folder = folder();
    let text = simulated(folder.path(), "t.csv --policy static --price 3.6", b"");
    let seconds: f64 = {
        let line = text.lines().find(|line| line.starts_with("static"));
        let words: Vec<_> = line.expect("its line").split_whitespace().collect();
        // After the name, a share in two words, and three waits in two words each.
        words[9].parse().expect("replica-seconds")
    };
    let cost = format!("static {:.2}.", seconds / 1000.0);
    assert!(
        text.contains(&format!("Costs, at 3.6 for a replica and hour: {cost}")),
        "{text}"
    );
    assert!(
        text.contains("Read: seconds of service from service_seconds, timestamp."),
        "{text}"
    );
    let none = simulated(folder.path(), "t.csv --policy static", b"");
    assert!(!none.contains("Costs"), "{none}");
}
