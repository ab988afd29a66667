//! Checks that the reference is complete, by the binary's own output where possible.

use std::{collections::BTreeSet, fs, path::Path};

use tailback_tests::{
    process::{Tailback, tailback},
    python,
    python::root,
    upstream::Upstream,
};

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

const NATIVE: &str = "tailback.dev/v1alpha1";
const SELDON: &str = "mlops.seldon.io/v1alpha1";

/// Each map of a manifest: the heading of manifests.md that its fields stand below, the document's version
/// and kind, and its `spec`, in which `ZZZ` stands for a field that nothing is called.
const MAPS: &[(&str, &str, &str, &str)] = &[
    ("Server", NATIVE, "Server", "{ ZZZ }"),
    (
        "Load balancing",
        NATIVE,
        "Server",
        "{ loadBalancing: { strategy: prefix, ZZZ } }",
    ),
    (
        "Load balancing",
        NATIVE,
        "Server",
        "{ loadBalancing: { strategy: session, ZZZ } }",
    ),
    (
        "outlierDetection",
        NATIVE,
        "Server",
        "{ outlierDetection: { ZZZ } }",
    ),
    ("healthCheck", NATIVE, "Server", "{ healthCheck: { ZZZ } }"),
    (
        "Readiness",
        NATIVE,
        "Server",
        "{ healthCheck: { probe: { ZZZ } } }",
    ),
    ("slowStart", NATIVE, "Server", "{ slowStart: { ZZZ } }"),
    (
        "multiModel",
        NATIVE,
        "Server",
        "{ multiModel: { ZZZ }, process: { command: [x, \"{port}\"] } }",
    ),
    (
        "multiModel",
        NATIVE,
        "Server",
        "{ multiModel: { repository: { ZZZ } }, process: { command: [x, \"{port}\"] } }",
    ),
    ("process", NATIVE, "Server", "{ process: { ZZZ } }"),
    (
        "Readiness",
        NATIVE,
        "Server",
        "{ process: { ready: { ZZZ } } }",
    ),
    (
        "Warm-up",
        NATIVE,
        "Server",
        "{ process: { warmUp: [{ ZZZ }] } }",
    ),
    (
        "process",
        NATIVE,
        "Server",
        "{ process: { limits: { ZZZ } } }",
    ),
    ("static", NATIVE, "Server", "{ static: { ZZZ } }"),
    (
        "static",
        NATIVE,
        "Server",
        "{ static: { endpoints: [{ ZZZ }] } }",
    ),
    ("static", NATIVE, "Server", "{ static: { tls: { ZZZ } } }"),
    ("kubernetes", NATIVE, "Server", "{ kubernetes: { ZZZ } }"),
    (
        "kubernetes",
        NATIVE,
        "Server",
        "{ kubernetes: { service: { ZZZ } } }",
    ),
    (
        "kubernetes",
        NATIVE,
        "Server",
        "{ kubernetes: { tls: { ZZZ } } }",
    ),
    ("webhook", NATIVE, "Server", "{ webhook: { ZZZ } }"),
    (
        "webhook",
        NATIVE,
        "Server",
        "{ webhook: { scale: { ZZZ } } }",
    ),
    (
        "webhook",
        NATIVE,
        "Server",
        "{ webhook: { state: { ZZZ } } }",
    ),
    ("seldon", NATIVE, "Server", "{ seldon: { ZZZ } }"),
    ("Model", NATIVE, "Model", "{ ZZZ }"),
    ("scaling and hold", NATIVE, "Model", "{ scaling: { ZZZ } }"),
    (
        "scaling and hold",
        NATIVE,
        "Model",
        "{ scaling: { scaleUpLimit: { ZZZ } } }",
    ),
    ("scaling and hold", NATIVE, "Model", "{ hold: { ZZZ } }"),
    (
        "scaling and hold",
        NATIVE,
        "Model",
        "{ hold: { classes: { ZZZ } } }",
    ),
    (
        "scaling and hold",
        NATIVE,
        "Model",
        "{ hold: { fairBy: { ZZZ } } }",
    ),
    ("scaling and hold", NATIVE, "Model", "{ timeouts: { ZZZ } }"),
    ("retry", NATIVE, "Model", "{ retry: { ZZZ } }"),
    (
        "retry",
        NATIVE,
        "Model",
        "{ retry: { on: [reset], budget: { ZZZ } } }",
    ),
    ("ApiKey", NATIVE, "ApiKey", "{ ZZZ }"),
    ("Host", NATIVE, "Host", "{ ZZZ }"),
    ("Host", NATIVE, "Host", "{ devices: [{ ZZZ }] }"),
    ("Servers of Seldon", SELDON, "Server", "{ ZZZ }"),
    // "The fields of a Server but its counts", and what they are follows from the example.
    ("Server", NATIVE, "ServerConfig", "{ ZZZ }"),
];

/// What stands between backquotes below `heading`, up to the next one, word by word:
/// `kubernetes.service.port` documents `port` of `service`.
fn documented<'a>(page: &'a str, heading: &str) -> BTreeSet<&'a str> {
    let is_heading = |line: &str| line.trim_start_matches('#') == format!(" {heading}");
    let below = page
        .lines()
        .skip_while(|line| !(line.starts_with('#') && is_heading(line)))
        .skip(1)
        .take_while(|line| !line.starts_with("## ") && !line.starts_with("###"));
    below
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .flat_map(|code| code.split(['.', ' ', ':', ',', '{', '}']))
        .collect()
}

/// What Tailback says of a document that is wrong: an API key is in a file of its own.
fn refusal(kind: &str, document: &str) -> String {
    let output = if kind == "ApiKey" {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys.yaml");
        fs::write(&file, document).expect("a file");
        let mut command = tailback();
        command.args(["keys", "list"]);
        command.env("TAILBACK_API_KEYS_FILE", &file);
        command.output().expect("it runs")
    } else {
        check(document)
    };
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_field_of_a_manifest_is_in_the_reference_below_the_heading_of_its_map() {
    let page = page("manifests.md");
    let mut wrong = Vec::new();
    for (heading, version, kind, spec) in MAPS {
        let documented = documented(&page, heading);
        let spec = spec.replace("ZZZ", "zzzzzzzzzz: 1");
        let said = refusal(
            kind,
            &format!(
                "apiVersion: {version}\nkind: {kind}\nmetadata: {{ name: x }}\nspec: {spec}\n"
            ),
        );
        let known = said.split("known here: ").nth(1);
        let Some(known) = known.and_then(|rest| rest.lines().next()) else {
            wrong.push(format!("{kind} {spec}: no list of fields in: {said}"));
            continue;
        };
        for field in known.split(", ") {
            if !documented.contains(field) {
                wrong.push(format!(
                    "{kind} {spec}: {field} is not below {heading:?} of manifests.md"
                ));
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
