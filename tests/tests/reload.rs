//! Manifests that change while they are served.

use std::{fs, os::unix::fs::symlink, path::Path};

use tailback_tests::{
    eventually,
    http::call,
    process::Tailback,
    upstream::{Upstream, static_manifest},
};

/// What the kubelet does with a mounted ConfigMap that has changed: a new folder, a
/// link that is swapped, and the old folder is removed.
fn swap(mount: &Path, version: usize, manifest: &str) {
    let (name, before) = (format!("..{version}"), format!("..{}", version - 1));
    fs::create_dir(mount.join(&name)).unwrap();
    fs::write(mount.join(&name).join("models.yaml"), manifest).unwrap();
    symlink(&name, mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    if version > 1 {
        fs::remove_dir_all(mount.join(before)).unwrap();
    } else {
        symlink("..data/models.yaml", mount.join("models.yaml")).unwrap();
    }
}

#[test]
fn the_swap_of_a_mounted_configmap_is_a_reload_and_no_warning() {
    let (upstream, mount) = (Upstream::start(), tempfile::tempdir().unwrap());
    let manifest =
        |version: usize| static_manifest("up", upstream.address, &[&format!("m{version}")]);
    swap(mount.path(), 1, &manifest(1));
    let proxy = Tailback::start_path(mount.path().to_owned(), &[]);
    for version in 2..5 {
        swap(mount.path(), version, &manifest(version));
        let path = format!("/v2/models/m{version}/ok");
        eventually("the new manifest is in force", || {
            call(proxy.address, "GET", &path, b"").is_ok_and(|answer| answer.status == 200)
        });
    }
    let log = proxy.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}
