//! The page of conformance, and whether clients get what it says. `make conformance` writes it, with
//! more clients than are installed for the tests.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use serde_json::Value;
use tailback_tests::{
    process,
    python::{root, run},
};

fn page() -> PathBuf {
    root().join("docs/reference/conformance.md")
}

fn runner() -> Command {
    let mut command = Command::new("python3");
    command.arg(root().join("tests/conformance/run.py"));
    command
}

/// Tries every feature with these clients, and holds what comes of it against the page.
fn tried(clients: &str) {
    let program = process::program("sample-server").and_then(|_| process::program("tailback"));
    let mut command = runner();
    command
        .arg(program.unwrap_or_else(|missing| panic!("{missing}")))
        .arg("--check")
        .arg(page())
        .args(["--clients", clients]);
    run(command);
}

#[test]
fn openai_python_gets_what_the_page_says() {
    tried("openai-3");
}

#[test]
fn openai_node_gets_what_the_page_says() {
    tried("openai-node");
}

#[test]
fn anthropic_and_ollama_get_what_the_page_says() {
    tried("anthropic,ollama");
}

#[test]
fn tritonclient_gets_what_the_page_says() {
    tried("triton-http,triton-grpc");
}

#[test]
fn curl_gets_what_the_page_says() {
    tried("curl-1.0,curl-1.1");
}

#[test]
fn http_by_hand_gets_what_the_page_says() {
    tried("http1,http2");
}

#[test]
fn browser_gets_what_the_page_says() {
    tried("browser");
}

/// The tables below `heading`, a row each, its cells.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, below) = page
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading}"));
    let below = below.split("\n## ").next().unwrap_or_default();
    let rows = below
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    rows.map(|row| {
        let cells = row.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

#[test]
fn the_page_has_every_client_and_every_feature_and_a_reason_where_one_is_due() {
    let output = runner().arg("--list").output().expect("python3");
    assert!(output.status.success(), "{output:?}");
    let listed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let listed = |what: &str| -> BTreeSet<String> {
        let names = listed[what].as_array().expect("a list").iter();
        names.map(|n| n.as_str().expect("a name").into()).collect()
    };
    let (clients, features) = (listed("clients"), listed("features"));
    assert!(clients.len() >= 17 && features.len() >= 26);
    let page = fs::read_to_string(page()).expect("a page");
    let mut found = BTreeSet::new();
    let mut head: Vec<String> = Vec::new();
    for row in rows(&page, "Results") {
        if row[0] == "feature" {
            head = row;
            continue;
        }
        for (client, state) in head.iter().zip(&row).skip(1) {
            let reasons = match state.as_str() {
                "ok" => None,
                "**fails**" => Some("What fails"),
                "–" => Some("What does not apply"),
                other => panic!("{client}, {}: {other}", row[0]),
            };
            let with_reason = |reason: &Vec<String>| {
                let clients = reason[1].split(", ");
                reason[0] == row[0]
                    && clients.into_iter().any(|name| name == client)
                    && !reason[2].is_empty()
            };
            if let Some(heading) = reasons {
                let count = rows(&page, heading)
                    .iter()
                    .filter(|r| with_reason(r))
                    .count();
                assert_eq!(count, 1, "{client}, {}: reasons below {heading}", row[0]);
            }
            assert!(found.insert((client.clone(), row[0].clone())), "twice");
        }
    }
    for client in &clients {
        for feature in &features {
            let cell = (client.clone(), feature.clone());
            assert!(found.contains(&cell), "{client} lacks {feature}");
        }
    }
    assert_eq!(found.len(), clients.len() * features.len());
}
