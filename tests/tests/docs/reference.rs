//! Checks that the reference is complete, by the binary's own output where possible.

use std::{collections::BTreeSet, fs, path::Path};

use tailback_tests::{process::Tailback, python, python::root, upstream::Upstream};

use crate::{check, report};

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs/reference").join(name)).expect("a page")
}

/// Names such as `tailback_model_lag` in the sources of these crates: what is recorded, described
/// or rendered.
fn metrics_in_sources() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["proxy/src", "scaler/src"] {
        collect(&root().join(folder), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for word in text.split('"').skip(1).step_by(2) {
            let ours = word.starts_with("tailback_") || word.starts_with("seldon_");
            let is_name = word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if ours && is_name && !word.ends_with('_') {
                found.insert(word.to_owned());
            }
        }
    }
}

#[test]
fn every_metric_is_in_the_reference_and_every_metric_there_exists() {
    let (page, known) = (page("metrics.md"), metrics_in_sources());
    let mut wrong = Vec::new();
    let upstream = Upstream::start();
    let exported = Tailback::start(&upstream.manifest(&["m"]), &[]).metrics();
    let exported = exported.lines().filter_map(|l| l.strip_prefix("# TYPE "));
    let exported: BTreeSet<_> = exported
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect();
    assert!(exported.len() > 20, "{exported:?}");
    for metric in exported {
        if !page.contains(&format!("`{metric}")) {
            wrong.push(format!("{metric} is exported and not in metrics.md"));
        }
    }
    for word in page.split('`').skip(1).step_by(2) {
        let name = word.split('{').next().unwrap_or_default();
        let ours = name.starts_with("tailback_") || name.starts_with("seldon_");
        if ours && !known.contains(name) {
            wrong.push(format!("{name} is in metrics.md and not in the sources"));
        }
    }
    report(&wrong);
}

/// A map of a manifest with a field that nothing is called, and what is before it.
const MAPS: &[(&str, &str)] = &[
    ("Server", "spec: { zzzzzzzzzz: 1 }"),
    ("Server", "spec: { process: { zzzzzzzzzz: 1 } }"),
    ("Server", "spec: { process: { ready: { zzzzzzzzzz: 1 } } }"),
    (
        "Server",
        "spec: { process: { warmUp: [{ zzzzzzzzzz: 1 }] } }",
    ),
    ("Server", "spec: { process: { limits: { zzzzzzzzzz: 1 } } }"),
    ("Server", "spec: { static: { zzzzzzzzzz: 1 } }"),
    ("Server", "spec: { static: { tls: { zzzzzzzzzz: 1 } } }"),
    ("Server", "spec: { kubernetes: { zzzzzzzzzz: 1 } }"),
    (
        "Server",
        "spec: { kubernetes: { service: { zzzzzzzzzz: 1 } } }",
    ),
    ("Server", "spec: { webhook: { zzzzzzzzzz: 1 } }"),
    ("Server", "spec: { webhook: { scale: { zzzzzzzzzz: 1 } } }"),
    ("Server", "spec: { webhook: { state: { zzzzzzzzzz: 1 } } }"),
    ("Server", "spec: { seldon: { zzzzzzzzzz: 1 } }"),
    ("Server", "spec: { hold: { zzzzzzzzzz: 1 } }"),
    ("Server", "spec: { scaling: { zzzzzzzzzz: 1 } }"),
    ("Model", "spec: { zzzzzzzzzz: 1 }"),
];

#[test]
fn every_field_of_a_manifest_is_in_the_reference() {
    let page = page("manifests.md");
    // `kubernetes.service.port` documents `port` of `service`.
    let documented: BTreeSet<_> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .flat_map(|code| code.split(['.', ' ', ':', ',', '{', '}']))
        .collect();
    let mut wrong = Vec::new();
    for (kind, spec) in MAPS {
        let manifest = format!(
            "apiVersion: tailback.dev/v1alpha1\nkind: {kind}\nmetadata: {{ name: x }}\n{spec}\n"
        );
        let output = check(&manifest);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let known = said.split("known here: ").nth(1);
        let Some(known) = known.and_then(|rest| rest.lines().next()) else {
            wrong.push(format!("{spec}: no list of fields in: {said}"));
            continue;
        };
        for field in known.split(", ") {
            if !documented.contains(field) {
                wrong.push(format!("{spec}: {field} is not in manifests.md"));
            }
        }
    }
    report(&wrong);
}

#[test]
fn the_admin_api_answers_as_its_description_says() {
    let upstream = Upstream::start();
    let token = [("TAILBACK_ADMIN_TOKEN", "0123456789abcdef")];
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &token);
    let admin = proxy.admin.to_string();
    python::run(python::deploy_script("admin_api.py", &[&admin]));
}

#[test]
fn the_admin_api_survives_what_its_description_allows_and_what_it_does_not() {
    let token = ("TAILBACK_ADMIN_TOKEN", "0123456789abcdef");
    let proxy = Tailback::start(&Upstream::start().manifest(&["m"]), &[token]);
    let folder = tempfile::tempdir().unwrap();
    let mut schemathesis = python::schemathesis();
    schemathesis
        .current_dir(folder.path())
        .args(["--no-color", "run"])
        .arg(python::root().join("docs/reference/openapi.yaml"))
        .arg(format!("--url=http://{}", proxy.admin))
        // Whose answers do not end.
        .arg("--exclude-path-regex=^/(events|ledgers)$")
        .args(["--max-examples=30", "--generation-deterministic"])
        .arg("--request-timeout=30");
    python::run(schemathesis);
}
