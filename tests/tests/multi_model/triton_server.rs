//! Triton itself, where it comes as a package: three models of which two fit.

use std::{
    fmt::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tailback_tests::{
    eventually_within,
    process::Tailback,
    python::{root, run, script, triton_python},
};

use super::{infer, loaded, replicas};

/// Three models and one that has no files, on one replica that has room for two.
fn manifests(python: &Path, models: &str) -> String {
    let (python, server) = (
        python.display(),
        root().join("tests/python/triton_server.py"),
    );
    let server = server.display();
    let mut text = format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: triton }}
spec:
  memory: 2Mi
  multiModel: {{ overcommitPercentage: 100 }}
  process:
    command: ['{python}', '{server}', serve, '{models}', '{{port}}', '{{grpcPort}}']
    ready: /v2/health/ready
"
    );
    for k in 1..=4 {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: m-{k} }}
spec: {{ server: triton, memory: 1Mi }}
"
        );
    }
    text
}

#[test]
fn three_models_of_which_two_fit_are_answered_by_triton_itself() {
    let Some(python) = triton_python() else {
        eprintln!(
            "Triton does not come as a package for this system, or first: scripts/setup tests"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().to_str().unwrap();
    let mut make = Command::new(&python);
    make.arg(root().join("tests/python/triton_server.py"));
    make.args(["make", models, "3"]).stdin(Stdio::null());
    run(make);
    let proxy = Tailback::start(&manifests(&python, models), &[]);
    let patience = Duration::from_secs(120);
    eventually_within(patience, "two models", || {
        replicas(&proxy).iter().any(|own| loaded(own).len() == 2)
    });
    let address = proxy.address.to_string();
    run(script("many_models.py", &["call", &address, "3", "5", "3"]));
    let counted = |name: &str| proxy.metric(&format!("{name}{{server=\"triton\"}}"));
    assert!(
        counted("seldon_cache_evict_count") >= 1.0,
        "{}",
        proxy.log()
    );
    let answer = infer(&proxy, "m-4");
    assert_eq!(answer.status, 503, "{}", answer.text());
    let said = "failed to load 'm-4', failed to poll from model repository";
    assert!(answer.text().contains(said), "{}", answer.text());
}
