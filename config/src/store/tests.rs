//! Reloads.

use std::fs;

use super::*;

const GOOD: &str = "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: { name: up }\n\
    spec: { static: { endpoints: ['http://a'] } }\n---\n\
    apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: { name: m }\n";

#[test]
fn a_bad_reload_keeps_what_was_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, GOOD).unwrap();
    let store = Store::open(&[folder.path().to_owned()], Env::default()).unwrap();
    let before = store.current();
    fs::write(&file, "kind: Nonsense\n").unwrap();
    assert!(store.reload().is_err());
    assert!(Arc::ptr_eq(&before, &store.current()));
    fs::remove_file(&file).unwrap();
    assert!(store.reload().is_err());
    assert!(Arc::ptr_eq(&before, &store.current()));
}

#[test]
fn a_reload_says_what_is_different() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), GOOD).unwrap();
    let store = Store::open(&[folder.path().to_owned()], Env::default()).unwrap();
    fs::write(
        folder.path().join("b.yml"),
        "apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: { name: n }\n",
    )
    .unwrap();
    let changed = |notes: &[&str]| Reloaded {
        changed: true,
        notes: notes.iter().map(|note| (*note).to_owned()).collect(),
    };
    assert_eq!(store.reload().unwrap(), changed(&["model n: added"]));
    fs::remove_file(folder.path().join("b.yml")).unwrap();
    assert_eq!(store.reload().unwrap(), changed(&["model n: removed"]));
    fs::write(
        folder.path().join("a.yaml"),
        GOOD.replace("http://a", "http://b"),
    )
    .unwrap();
    assert_eq!(
        store.reload().unwrap(),
        changed(&["server up: changed", "model m: changed"])
    );
}

#[test]
fn a_comment_changes_nothing_but_the_lines() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, GOOD).unwrap();
    let store = Store::open(std::slice::from_ref(&file), Env::default()).unwrap();
    fs::write(&file, format!("# a comment\n{GOOD}")).unwrap();
    assert_eq!(
        store.reload().unwrap(),
        Reloaded {
            changed: false,
            notes: Vec::new()
        }
    );
    assert_eq!(store.current().servers["up"].place.line, 2);
}
