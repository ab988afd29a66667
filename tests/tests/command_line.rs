//! The command line: options that override variables, and the output of `tailback`.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tailback_tests::{http::call, process::tailback, upstream::Upstream};
use tempfile::TempDir;

fn manifest(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

/// Whether it ended well, and what it printed.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let output = tailback()
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// `tailback serve`, its first four lines, and its end when it is dropped.
struct Served {
    child: Child,
    lines: Vec<String>,
}

impl Served {
    fn start(file: &PathBuf, options: &[&str]) -> Self {
        let mut child = tailback()
            .arg("serve")
            .arg(file)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let lines = stdout.lines().take(4).map(Result::unwrap).collect();
        Self { child, lines }
    }

    fn url(&self, name: &str) -> &str {
        let line = self.lines.iter().find(|line| line.trim().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name} in {:?}", self.lines));
        let word = |word: &&str| word.starts_with("http://");
        line.split_whitespace().find(word).unwrap()
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.url(name)
            .strip_prefix("http://")
            .unwrap()
            .parse()
            .unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

#[test]
fn options_set_what_variables_set_and_win() {
    let (_folder, file) = manifest(&Upstream::start().manifest(&["m"]));
    let file = file.to_str().unwrap();
    let variables = [("TAILBACK_HOLD_QUEUE", "7"), ("TAILBACK_WORKERS", "3")];
    let (fine, text) = run(&["config", file, "--hold-queue", "8"], &variables);
    assert!(fine, "{text}");
    let line = |name: &str| {
        let line = text.lines().find(|line| line.trim().starts_with(name));
        let words: Vec<_> = line.unwrap_or_default().split_whitespace().collect();
        words.join(" ")
    };
    assert_eq!(line("hold.queue"), "hold.queue 8 option --hold-queue");
    assert_eq!(line("workers"), "workers 3 environment TAILBACK_WORKERS");
    let (fine, text) = run(&["check", file, "--workers", "none"], &variables);
    assert!(!fine);
    assert!(
        text.contains("option --workers: found \"none\", expected"),
        "{text}"
    );
    let (fine, text) = run(&["check", file, "--wrokers", "2"], &variables);
    assert!(!fine && text.contains("'--workers'"), "{text}");
}

#[test]
fn what_is_skipped_is_listed_and_what_is_not_read_is_refused() {
    let pipeline =
        "---\n{ apiVersion: mlops.seldon.io/v1alpha1, kind: Pipeline, metadata: { name: p } }\n";
    let text = Upstream::start().manifest(&["m"]) + pipeline;
    let (_folder, file) = manifest(&text);
    let file = file.to_str().unwrap();
    let (fine, said) = run(&["check", file, "--skip-other-kinds=true"], &[]);
    assert!(fine && said.contains("1 Pipeline"), "{said}");
    assert!(said.contains("(Pipeline p), line"), "{said}");
    let (fine, said) = run(&["check", file], &[]);
    assert!(!fine && said.contains("--skip-other-kinds=true"), "{said}");
}

#[test]
fn addresses_are_taken_as_people_write_them() {
    let (_folder, file) = manifest(&Upstream::start().manifest(&["m"]));
    let served = Served::start(&file, &["--listen", "localhost:0", "--admin=0"]);
    let (listen, admin) = (served.address("requests"), served.address("admin"));
    assert!(listen.ip().is_loopback() && admin.ip().is_loopback());
    assert_eq!(call(admin, "GET", "/healthz", b"").unwrap().status, 200);
    let port = format!(":{}", admin.port());
    assert!(run(&["health", "--admin", &port], &[]).0);
    // Somebody else's port is told by both names that set it.
    let port = listen.port().to_string();
    let options = [
        "serve",
        file.to_str().unwrap(),
        "--port",
        &port,
        "--admin",
        "0",
    ];
    let (fine, text) = run(&options, &[]);
    assert!(
        !fine && text.contains("--listen or TAILBACK_LISTEN"),
        "{text}"
    );
    // Whose address is refused by its own name.
    let (fine, text) = run(
        &["check", file.to_str().unwrap()],
        &[("TAILBACK_LISTEN", "here")],
    );
    assert!(
        !fine && text.contains("environment TAILBACK_LISTEN: found \"here\""),
        "{text}"
    );
}

#[test]
fn the_hint_at_the_start_is_answered_and_wakes_no_model() {
    let kinds = [
        ("/v2/health/ready", "POST", "/v2/repository/index"),
        ("/health", "GET", "/v1/models"),
    ];
    for (ready, method, path) in kinds {
        let (_folder, file) = manifest(&format!(
            r#"
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: s }}
spec: {{ process: {{ command: [sample-server, --port, "{{port}}"], ready: {ready} }} }}
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: smollm2 }}
spec: {{ server: s, minReplicas: 0, maxReplicas: 1 }}
"#
        ));
        let served = Served::start(&file, &["--listen", "0", "--admin", "0"]);
        let hint = served.lines.last().unwrap();
        assert!(
            hint.ends_with(path) && hint.contains(served.url("requests")),
            "{hint}"
        );
        assert_eq!(hint.contains("-X POST"), method == "POST", "{hint}");
        let answer = call(served.address("requests"), method, path, b"").unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("smollm2"), "{}", answer.text());
        let model = call(served.address("admin"), "GET", "/models/smollm2", b"").unwrap();
        let model: serde_json::Value = serde_json::from_str(&model.text()).unwrap();
        assert_eq!(model["arrived"], 0);
        assert_eq!(model["replicas"]["desired"], 0);
    }
}

#[test]
fn version_says_how_the_program_was_built_and_so_does_a_metric() {
    let version = format!("tailback {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["version"], &[]), (true, version.clone()));
    let (fine, text) = run(&["version", "--verbose"], &[]);
    assert!(fine && text.starts_with(&version), "{text}");
    for word in ["commit", "target", "profile", "rustc 1."] {
        assert!(text.contains(word), "{word} in {text}");
    }
    let (_folder, file) = manifest(&Upstream::start().manifest(&["m"]));
    let served = Served::start(&file, &["--listen", "0", "--admin", "0"]);
    let metrics = call(served.address("admin"), "GET", "/metrics", b"").unwrap();
    let text = metrics.text();
    let line = text
        .lines()
        .find(|line| line.starts_with("tailback_build_info{"));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    assert!(
        line.contains(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))),
        "{line}"
    );
    assert!(line.ends_with(" 1"), "{line}");
}

#[test]
fn help_names_the_variable_beside_each_option() {
    let (_, help) = run(&["serve", "--help"], &[]);
    let text = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "--listen <ADDRESS> Address and port of the data plane [env: TAILBACK_LISTEN] [default: 127.0.0.1:9000]",
        "[env: SELDON_MODEL_INFERENCE_LAG_THRESHOLD] [default: 30]",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("--admin-token"), "a secret is no option");
}
