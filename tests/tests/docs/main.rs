//! Checks the documentation against itself and against the built binary: links work, manifests
//! are valid, commands run, and the reference is complete.
//!
//! How blocks are marked, behind the opening fence:
//!
//! | | |
//! |---|---|
//! | `yaml` | manifests of Tailback's kinds: `tailback check` takes them. Other kinds are left alone |
//! | `yaml fragment` | a part of a manifest, or one that is meant to be wrong: not checked |
//! | `yaml file=NAME`, `python file=NAME` | written to NAME in the page's folder as well, before what comes after it runs |
//! | `sh run` | runs here, in the page's own folder, in the page's order; it must end well |
//! | `sh run background` | runs here until the page ends |
//! | `sh no-run` | does not run here: it needs a cluster, a GPU or the Internet |
//!
//! Where blocks run, 127.0.0.1:9000 and :9006 are free ports of the test's own.

mod page;
mod reference;
mod shell;

use std::{
    fs,
    path::{Component, Path, PathBuf},
    process::Output,
};

use tailback_tests::{process::tailback, python::root};

use self::page::{Block, Page, pages};

/// Kinds that `tailback check` reads.
const OURS: [&str; 2] = ["apiVersion: tailback.dev/", "apiVersion: mlops.seldon.io/"];

/// Fails with all of what is wrong, if anything is.
fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// `a/../b` as `b`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let (root, pages) = (root(), pages(&root()));
    let mut wrong = Vec::new();
    for page in &pages {
        for link in &page.links {
            if link.target.contains("://") || link.target.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = link.target.split_once('#').unwrap_or((&link.target, ""));
            let target = match file {
                "" => page.path.clone(),
                file => plain(&page.path.parent().expect("a folder").join(file)),
            };
            let found = pages.iter().find(|other| other.path == target);
            let heading = |page: &Page| page.anchors.iter().any(|a| a == fragment);
            let good = match found {
                Some(other) => fragment.is_empty() || heading(other),
                None => fragment.is_empty() && root.join(&target).exists(),
            };
            if !good {
                let (page, line) = (page.path.display(), link.line);
                wrong.push(format!("{page}:{line}: {} leads nowhere", link.target));
            }
        }
    }
    report(&wrong);
}

#[test]
fn the_table_of_contents_has_every_page_once() {
    let pages = pages(&root());
    let summary = pages.iter().find(|page| page.path.ends_with("SUMMARY.md"));
    let listed = &summary.expect("docs/SUMMARY.md").links;
    let mut wrong = Vec::new();
    for page in &pages {
        let Ok(path) = page.path.strip_prefix("docs") else {
            continue;
        };
        let times = listed.iter().filter(|link| Path::new(&link.target) == path);
        let expected = usize::from(path != Path::new("SUMMARY.md"));
        let times = times.count();
        if times != expected {
            wrong.push(format!("SUMMARY.md lists {} {times} times", path.display()));
        }
    }
    report(&wrong);
}

#[test]
fn every_block_says_what_it_is_and_whether_it_runs() {
    let mut wrong = Vec::new();
    for page in pages(&root()) {
        for block in &page.blocks {
            let place = format!("{}:{}", page.path.display(), block.line);
            match block.info.first().map(String::as_str) {
                None => wrong.push(format!("{place}: the block has no language")),
                Some("sh") if block.is("run") == block.is("no-run") => {
                    wrong.push(format!("{place}: expected `sh run` or `sh no-run`"));
                }
                Some("yaml") if !is_manifest(block) && !block.is("fragment") => {
                    wrong.push(format!("{place}: no kind in it; expected `yaml fragment`"));
                }
                Some(_) => {}
            }
        }
    }
    report(&wrong);
}

fn is_manifest(block: &Block) -> bool {
    block.text.lines().any(|line| line.starts_with("kind:"))
}

#[test]
fn every_manifest_of_the_documentation_is_taken() {
    let mut wrong = Vec::new();
    for page in pages(&root()) {
        for block in &page.blocks {
            let ours = OURS.iter().any(|version| block.text.contains(version));
            if !block.is("yaml") || !ours || block.is("fragment") {
                continue;
            }
            let output = check(&block.text);
            if !output.status.success() {
                let (page, line) = (page.path.display(), block.line);
                let said = String::from_utf8_lossy(&output.stderr);
                wrong.push(format!("{page}:{line}: {said}"));
            }
        }
    }
    report(&wrong);
}

/// Has `tailback check` read `manifests`, completed by what they refer to: a
/// page explains a Server without a Model, or a Model without its Server.
pub fn check(manifests: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = manifests.to_owned();
    let has = |kind: &str| manifests.lines().any(|line| line.trim_end() == kind);
    if !has("kind: Model") {
        let server = value(manifests, "name").unwrap_or_default();
        text += &format!(
            "\n---\napiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ server: {server} }}\n"
        );
    }
    if !has("kind: Server") {
        let server = value(manifests, "server").unwrap_or_else(|| "s".into());
        let words = value(manifests, "requirements").unwrap_or_default();
        text += &format!(
            "\n---\napiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: {{ name: {server} }}\n\
             spec: {{ capabilities: [{words}], process: {{ command: [x, \"{{port}}\"] }} }}\n"
        );
    }
    fs::write(folder.path().join("manifests.yaml"), &text).expect("a file");
    let mut command = tailback();
    // A secret that a manifest names must be set.
    for rest in manifests.split("${").skip(1) {
        if let Some((name, _)) = rest.split_once('}') {
            command.env(name, "secret");
        }
    }
    command
        .arg("check")
        .arg(folder.path())
        .output()
        .expect("it runs")
}

/// The first value of the field `name`, in either form of YAML.
fn value(manifests: &str, name: &str) -> Option<String> {
    let start = manifests.find(&format!("{name}: "))? + name.len() + 2;
    let rest = manifests[start..].trim_start_matches('[');
    let end = rest.find(['\n', '}', ']', '#']).unwrap_or(rest.len());
    let inline = rest[..end].trim();
    Some(match inline.split_once(", ") {
        Some((first, rest)) if rest.contains(':') => first.to_owned(),
        _ => inline.to_owned(),
    })
}
