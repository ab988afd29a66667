//! How the sources of this workspace must be laid out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use tailback_layout::{Crate, Source, Visibility, circles, rust_files};

/// Where crates are, lowest first: one may depend on those of its own folder and of lower ones.
const FLOORS: [&str; 3] = ["config", "scaler", "proxy"];

/// Which heading of docs/architecture.md is above the table of a crate's floors: its modules, from the top.
const FLOORS_OF_MODULES: [(&str, &str); 2] = [
    ("## Floors of the data plane", "proxy"),
    ("## Floors of the scaler", "scaler"),
];

/// What has sources besides.
const BESIDE: [&str; 5] = ["benches", "examples", "fuzz", "packaging", "tests"];

/// Longer files hold more than one thing.
const MOST_LINES: usize = 400;

/// Names that a reader from Envoy, linkerd2-proxy or Knative would not guess, and what to say
/// instead: where, what kind, the name, the better one.
const NAMES: &[(&str, &str, &str, &str)] = &[
    ("proxy", "type", "Dialect", "ApiProtocol"),
    ("proxy", "module", "dialect", "protocol"),
    ("proxy", "type", "Own", "LocalReply"),
    ("proxy", "module", "own", "local_reply"),
    ("proxy", "type", "Told", "ResponseStatus"),
    ("proxy", "type", "Call", "StreamState"),
    ("proxy", "module", "call", "stream"),
    ("proxy", "type", "Outgoing", "UpstreamRequest"),
    ("proxy", "module", "outgoing", "upstream_request"),
    ("proxy", "type", "Inbound", "PeekableBody"),
    ("proxy", "module", "inbound", "peekable_body"),
    ("proxy", "type", "Aside", "look-ahead"),
    ("proxy", "type", "Pump", "BodyForwarder"),
    ("proxy", "module", "pump", "body_forwarder"),
    ("proxy", "type", "Room", "BufferBudget"),
    ("proxy", "module", "room", "buffer_budget"),
    ("proxy", "type", "Part", "BufferReservation"),
    ("proxy", "type", "Place", "Ticket"),
    ("proxy", "type", "Lane", "ConnectionPool"),
    ("proxy", "module", "lane", "connection_pool"),
    ("proxy", "type", "Lease", "PooledConnection"),
    ("proxy", "module", "lease", "pooled_connection"),
    ("proxy", "type", "Slot", "Permit"),
    ("proxy", "type", "Dial", "Connector"),
    ("proxy", "type", "DialError", "ConnectError"),
    ("proxy", "module", "dial", "connector"),
    ("proxy", "type", "Wire", "HttpVersion"),
    ("proxy", "function", "shun", "eject"),
    ("proxy", "module", "unsent", "notsent_lowat"),
    ("proxy", "module", "turns", "fair_share"),
    ("proxy", "module", "first", "detect"),
    ("proxy", "type", "CountingIo", "ReadTrackingIo"),
    ("proxy", "type", "Tables", "RouteTable"),
    ("proxy", "module", "table", "route_table"),
    ("tests", "module", "hostile2", "hostile_http2"),
    ("tests", "module", "upstream2", "upstream_http2"),
    ("scaler", "type", "Brain", "ModelScaler"),
    ("scaler", "module", "brain", "model_scaler"),
    ("scaler", "type", "Wish", "Recommendation"),
    ("scaler", "type", "Turn", "Evaluation"),
    ("scaler", "type", "Board", "StatusStore"),
    ("scaler", "module", "board", "status"),
    ("scaler", "type", "Tracked", "ModelController"),
    ("scaler", "module", "tracked", "model_controller"),
    ("scaler", "type", "Watched", "ModelHandle"),
    ("scaler", "type", "Mark", "Epoch"),
    ("scaler", "type", "Foreign", "ExternalChange"),
    ("scaler", "module", "foreign", "external_change"),
    ("scaler", "type", "Stance", "BackOff"),
    ("scaler", "type", "Switch", "Pause"),
    ("scaler", "module", "switch", "pause"),
    ("scaler", "module", "levels", "recurrence"),
    ("scaler", "module", "course", "recurrence"),
    ("scaler", "type", "Rise", "recurrence"),
    ("scaler", "type", "Spread", "recurrence"),
    ("scaler", "function", "suspicion", "max_idle"),
    ("scaler", "module", "company", "membership"),
    ("scaler", "type", "Company", "Membership"),
    ("scaler", "type", "Candidate", "LeaderElector"),
    ("scaler", "module", "candidate", "leader_elector"),
    ("scaler", "type", "Herald", "CountsPublisher"),
    ("scaler", "module", "herald", "counts_publisher"),
    ("scaler", "type", "Teller", "delta encoder"),
    ("scaler", "module", "keeper", "supervisor"),
    ("scaler", "module", "member", "instance"),
    ("scaler", "module", "refuse", "error mapping"),
    ("scaler", "module", "causes", "error chain"),
    ("scaler", "type", "Slot", "Permit, or what it is"),
    ("scaler", "module", "slot", "permit"),
    ("scaler", "type", "Own", "what it is"),
    ("scaler", "type", "Activity", "Pause, or what it is"),
    ("scaler", "type", "Call", "request"),
    ("scaler", "function", "heard", "connected, responded"),
    ("scaler", "function", "hear", "apply"),
    ("config", "type", "Part", "what it is a part of"),
    ("config", "function", "fixed", "static"),
    ("proxy", "type", "Keeper", "location"),
    ("proxy", "type", "Tracked", "history"),
    ("proxy", "type", "Watched", "handle"),
    ("proxy", "function", "refuse", "reject"),
    ("tests", "function", "told", "what it returns"),
];

/// Those of [`NAMES`] that still stand, by folder. It must only become shorter.
const STILL_NAMED: &[(&str, &str)] = &[];

/// Types of one name that several modules of a crate define for others, and why that is right.
const NAMED_ALIKE: &[(&str, &str, &str)] = &[
    ("scaler", "Bins", SAME_PART),
    ("scaler", "Command", SAME_PART),
    ("scaler", "Followed", SAME_PART),
    ("scaler", "Reconciler", SAME_PART),
    ("scaler", "ModelStatus", OF_SELDON),
    (
        "scaler",
        "Replica",
        "a plan is made of what may become replicas",
    ),
];
const SAME_PART: &str = "the same part of two orchestrators";
const OF_SELDON: &str = "Seldon's protocol has that name for its message";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file of Rust in these folders, and how it is called from the root.
fn files_in(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let folders = folders
        .iter()
        .map(|folder| rust_files(&root().join(folder)).unwrap());
    let named = |file: PathBuf| {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        (file, name)
    };
    folders.flatten().map(named).collect()
}

/// The folders of the workspace's crates in `folder`.
fn crates_in(folder: &str) -> Vec<PathBuf> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest
        .lines()
        .find_map(|line| line.strip_prefix("members = "));
    let members = members
        .expect("a line `members = […]`")
        .split('"')
        .skip(1)
        .step_by(2);
    let inside = members.filter(|member| Path::new(member).starts_with(folder));
    inside.map(|member| root().join(member)).collect()
}

/// The crates of this workspace that the crate in `folder` depends on, tests left out.
fn dependencies(folder: &Path) -> BTreeSet<String> {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]") && !section.contains("dev-") {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if name.starts_with("tailback") {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

fn package(folder: &Path) -> String {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let name = manifest
        .lines()
        .find_map(|line| line.strip_prefix("name = "));
    name.expect("a line `name = …`")
        .trim_matches('"')
        .to_owned()
}

#[test]
fn crates_depend_on_lower_ones_alone() {
    let mut allowed = BTreeSet::new();
    let mut wrong = Vec::new();
    for floor in FLOORS {
        let crates = crates_in(floor);
        assert!(!crates.is_empty(), "there is no crate in {floor}");
        allowed.extend(crates.iter().map(|folder| package(folder)));
        for folder in crates {
            for other in dependencies(&folder).difference(&allowed) {
                wrong.push(format!("{} depends on {other}", package(&folder)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_files_of_a_crate_import_each_other_in_a_circle() {
    let mut wrong = Vec::new();
    for folder in FLOORS.iter().chain(&BESIDE) {
        let roots = crates_in(folder)
            .into_iter()
            .map(|folder| folder.join("src/lib.rs"));
        for file in roots.filter(|file| file.exists()) {
            let edges = Crate::read(&file).unwrap().imports_with_tests();
            for circle in circles(&edges) {
                let named = |file: &Path| file.strip_prefix(root()).unwrap().display().to_string();
                wrong.push(format!("{folder}: a circle of {} files:", circle.len()));
                // All arrows of a large circle would hide the rest.
                for file in circle.iter().take(12) {
                    let others: Vec<_> = edges[file].intersection(&circle).collect();
                    let others: Vec<_> = others.into_iter().map(|file| named(file)).collect();
                    wrong.push(format!(
                        "    {} imports from {}",
                        named(file),
                        others.join(", ")
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_import_only_from_floors_below_as_the_architecture_page_lists_them() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let mut wrong = BTreeSet::new();
    for (heading, folder) in FLOORS_OF_MODULES {
        let section = page.split(heading).nth(1).expect(heading);
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let floors: Vec<Vec<&str>> = rows
            .map(|row| row.split('|').nth(1).unwrap_or_default())
            .map(|names| names.split('`').skip(1).step_by(2).collect())
            .collect();
        let sources = root().join(folder).join("src");
        let edges = Crate::read(&sources.join("lib.rs")).unwrap().imports();
        for (file, others) in &edges {
            let Some(module) = module_of(&sources, file) else {
                continue;
            };
            let Some(floor) = floors
                .iter()
                .position(|names| names.contains(&module.as_str()))
            else {
                wrong.insert(format!("{folder}: {module} is on no floor of {heading:?}"));
                continue;
            };
            for other in others {
                let Some(of) = module_of(&sources, other) else {
                    continue;
                };
                let below = floors.iter().skip(floor).flatten().any(|name| *name == of);
                if !below {
                    let name = file.strip_prefix(root()).unwrap().display();
                    wrong.insert(format!(
                        "{folder}: {module} imports from {of} above it: {name}"
                    ));
                }
            }
        }
    }
    let wrong: Vec<String> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The module directly below the crate's root that `file` is in: `None` for the root.
fn module_of(sources: &Path, file: &Path) -> Option<String> {
    let first = file.strip_prefix(sources).unwrap().iter().next().unwrap();
    let name = Path::new(first).file_stem().unwrap().to_str().unwrap();
    (name != "lib").then(|| name.to_owned())
}

#[test]
fn no_source_file_is_longer_than_400_lines() {
    let folders: Vec<&str> = FLOORS.into_iter().chain(BESIDE).collect();
    let mut wrong = Vec::new();
    for (file, name) in files_in(&folders) {
        let lines = fs::read_to_string(file).unwrap().lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{name} has {lines} lines"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn types_modules_and_functions_have_the_names_of_the_field() {
    let mut wrong = Vec::new();
    for folder in ["config", "proxy", "scaler", "tests"] {
        for (file, name) in files_in(&[folder]) {
            for found in Source::read(&file).unwrap().definitions() {
                let better = NAMES.iter().find(|(of, kind, old, _)| {
                    (*of, *kind, *old) == (folder, found.kind, found.name.as_str())
                });
                let Some((_, kind, old, better)) = better else {
                    continue;
                };
                if !STILL_NAMED.contains(&(folder, old)) {
                    wrong.push(format!(
                        "{name}:{}: the {kind} {old} should be {better} or a better term of the field",
                        found.line
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn types_that_other_modules_see_have_names_of_their_own() {
    let mut wrong = Vec::new();
    for folder in FLOORS {
        let found = Crate::read(&root().join(folder).join("src/lib.rs")).unwrap();
        let mut places: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (file, definition) in found.definitions() {
            if definition.kind == "type" && definition.visibility == Visibility::Shared {
                let file = file.strip_prefix(root()).unwrap().display();
                let place = format!("{file}:{}", definition.line);
                places.entry(&definition.name).or_default().insert(place);
            }
        }
        places.retain(|_, places| places.len() > 1);
        for (of, name, why) in NAMED_ALIKE.iter().filter(|(of, ..)| *of == folder) {
            if places.remove(name).is_none() {
                wrong.push(format!("{of}: {name} is there once: not {why:?}"));
            }
        }
        for (name, places) in places {
            let places: Vec<_> = places.into_iter().collect();
            wrong.push(format!("{name} is: {}", places.join(", ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
