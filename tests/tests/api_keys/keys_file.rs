//! The file of keys: how it is changed, read again and refused.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use tailback_tests::{eventually, process::tailback, upstream::Upstream};

use super::{Keys, status};

#[test]
fn keys_come_and_go_while_requests_are_served_and_a_wrong_file_changes_nothing() {
    let (upstream, keys) = (Upstream::start(), Keys::new());
    let stays = keys.add("stays", &[]);
    let proxy = keys.serve(&upstream.manifest(&["m"]), &[]);
    let path = "/v2/models/m/ok";
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let done = &done;
        let (proxy, stays) = (&proxy, &stays);
        let load = scope.spawn(move || {
            let mut served = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(status(proxy, stays, path), 200);
                served += 1;
            }
            served
        });
        for _ in 0..3 {
            let comes = keys.add("comes", &[]);
            eventually("the new key", || status(proxy, &comes, path) == 200);
            keys.run(&["revoke", "comes"]).unwrap();
            eventually("its end", || status(proxy, &comes, path) == 401);
        }
        done.store(true, Ordering::Relaxed);
        assert!(load.join().unwrap() > 0);
    });
    proxy.logs("added=\"comes\"");
    let good = keys.text();
    keys.write(&good.replace("sha256", "sha265"));
    eventually("the complaint", || {
        proxy.log().contains("did you mean sha256?")
    });
    proxy.logs("the keys in force stay");
    assert_eq!(status(&proxy, &stays, path), 200);
    let successful = "tailback_api_keys_last_reload_successful";
    assert!(proxy.metric(successful).abs() < 0.1);
    // The manifests are wrong as well: keys go all the same.
    proxy.rewrite("nonsense");
    eventually("the other complaint", || {
        proxy.log().contains("the old one stays in force")
    });
    keys.write("");
    eventually("the end of all keys", || {
        status(&proxy, &stays, path) == 401
    });
    assert!((proxy.metric(successful) - 1.0).abs() < 0.1);
}

#[test]
fn a_wrong_file_at_the_start_is_named_with_what_is_wrong() {
    let (upstream, keys) = (Upstream::start(), Keys::new());
    let manifest = keys.0.path().join("m.yaml");
    fs::write(&manifest, upstream.manifest(&["m"])).unwrap();
    let start = |path: &Path| {
        let output = tailback()
            .arg("serve")
            .arg(&manifest)
            .envs([
                ("TAILBACK_LISTEN", "127.0.0.1:0"),
                ("TAILBACK_ADMIN", "127.0.0.1:0"),
            ])
            .arg("--api-keys-file")
            .arg(path)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    keys.write("kind: Model\n");
    let said = start(&keys.path());
    assert!(
        said.contains("TAILBACK_API_KEYS_FILE") && said.contains("keys.yaml: document 1"),
        "{said}"
    );
    assert!(
        said.contains("kind: found \"Model\", expected ApiKey"),
        "{said}"
    );
    let said = start(&keys.0.path().join("none.yaml"));
    assert!(said.contains("none.yaml: cannot be read"), "{said}");
}

#[test]
fn the_command_makes_lists_and_revokes_keys_and_says_what_is_wrong() {
    let keys = Keys::new();
    fs::remove_file(keys.path()).unwrap();
    let key = keys.add(
        "alice",
        &[
            "--model",
            "llama-*",
            "--expires",
            "2020-01-31",
            "--class",
            "batch",
            "--concurrency",
            "3",
        ],
    );
    assert!(key.starts_with("tb-") && key.len() == 67, "{key}");
    assert_eq!(fs::metadata(keys.path()).unwrap().mode() & 0o777, 0o600);
    keys.write(&format!(
        "# Ask Bob before you change this.\n{}",
        keys.text()
    ));
    keys.add("bob", &[]);
    let listed = keys.run(&["list"]).unwrap();
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| {
            line.split("  ")
                .filter(|cell| !cell.is_empty())
                .map(str::trim)
                .collect()
        })
        .collect();
    assert_eq!(
        rows[1],
        [
            "alice",
            "llama-*",
            "batch",
            "-",
            "3",
            "2020-01-31T00:00:00Z (expired)"
        ]
    );
    assert_eq!(rows[2], ["bob", "*", "-", "-", "-", "never"]);
    assert!(keys.text().starts_with("# Ask Bob") && !keys.text().contains(&key));
    for (arguments, part) in [
        (&["add", "bob"][..], "the ApiKey bob (document 2, line"),
        (&["add", "No Name"], "cannot be the name of a key"),
        (&["add", "c", "--expires", "soon"], "such as 2027-01-31"),
        (&["add", "c", "--class", "A B"], "spec.class: found \"A B\""),
        (
            &["add", "c", "--model", "a*b"],
            "its beginning and * at the end",
        ),
        (&["revoke", "carol"], "has no API key \"carol\""),
    ] {
        let said = keys.run(arguments).unwrap_err();
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    keys.run(&["revoke", "bob"]).unwrap();
    assert_eq!(keys.run(&["list"]).unwrap().lines().count(), 2);
    let none = tailback().args(["keys", "list"]).output().unwrap();
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(
        said.contains("--api-keys-file, or the environment variable TAILBACK_API_KEYS_FILE"),
        "{said}"
    );
}
