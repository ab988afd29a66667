//! A new process that cannot take over leaves the old one as it was.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use nix::sys::signal::Signal;
use tailback_tests::{
    eventually,
    http::call,
    process::{Tailback, program, unique},
};

use super::{manifests, replicas};

/// Puts an executable file in place of the program.
fn put(file: &Path, content: &str) {
    fs::remove_file(file).unwrap();
    fs::write(file, content).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_cannot_take_over_leaves_the_old_process_serving() {
    let model = unique();
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("tailback");
    symlink(program("tailback").unwrap(), &link).unwrap();
    let good = manifests(&model, "replicas: 1");
    let mut proxy = Tailback::start_by(&link, &good, &[]);
    eventually("the replica", || proxy.ready(&model) == 1);
    let (pid, replica) = (proxy.pid(), replicas(&model));

    let fails = |proxy: &mut Tailback, says: &str| {
        let why = proxy.upgrade().unwrap_err();
        assert!(why.contains(says), "{why}\nexpected: {says}");
        assert!(why.contains("the running process goes on"), "{why}");
        let answer = call(
            proxy.address,
            "GET",
            &format!("/v2/models/{model}/infer"),
            b"",
        );
        assert_eq!(answer.unwrap().status, 200);
        assert_eq!(proxy.pid(), pid);
        assert_eq!(replicas(&model), replica);
        proxy.logs("the upgrade failed");
    };
    proxy.rewrite("kind: nonsense");
    fails(&mut proxy, "manifests.yaml");
    proxy.rewrite(&good);
    put(&link, "#!/bin/sh\necho broken >&2\nexit 3\n");
    fails(&mut proxy, "exit status: 3");
    put(&link, "no program");
    fails(&mut proxy, "cannot start");
    fs::remove_file(&link).unwrap();
    fs::write(&link, "").unwrap();
    fails(&mut proxy, "cannot start");
    // It says that it is ready, and ends when it should lead the replicas.
    put(
        &link,
        "#!/usr/bin/env python3
import os, socket, struct
s = socket.socket(fileno=os.dup(0))
s.recv(65536)
text = b'{\"ready\":{\"version\":\"9\"}}'
s.sendall(struct.pack('>II', len(text), 0) + text)
s.recv(65536)
os._exit(7)
",
    );
    fails(&mut proxy, "exit status: 7");

    fs::remove_file(&link).unwrap();
    symlink(program("tailback").unwrap(), &link).unwrap();
    proxy.upgrade().unwrap();
    assert_ne!(proxy.pid(), pid);
    assert_eq!(replicas(&model), replica);
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.wait().success());
    eventually("the replica's end", || replicas(&model).is_empty());
}

#[test]
fn signals_that_others_use_for_logs_and_shutdowns_are_not_fatal_or_drain() {
    let model = unique();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let variables = [("TAILBACK_ACCESS_LOG", log.to_str().unwrap())];
    let mut proxy = Tailback::start(&manifests(&model, "replicas: 1"), &variables);
    eventually("the replica", || proxy.ready(&model) == 1);
    fs::rename(&log, folder.path().join("old.log")).unwrap();
    proxy.signal(Signal::SIGUSR1);
    eventually("the log's file to be there again", || log.exists());
    proxy.signal(Signal::SIGQUIT);
    assert!(proxy.wait().success());
    proxy.logs("SIGQUIT: draining");
}
