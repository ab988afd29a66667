//! Builds the programs that tests run, so that `cargo test` works on a clean clone.

use std::{
    env,
    fs::{self, File},
    path::Path,
    process::Command,
    time::SystemTime,
};

use crate::python::root;

/// The folders and files that the programs are built from.
const SOURCES: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    "config",
    "scaler",
    "proxy",
    "examples",
];

/// Builds `tailback` and `sample-server` into `folder` (`target/debug`, say), unless they are
/// newer than their sources. One process builds while others wait for it.
///
/// # Errors If cargo fails.
pub fn programs(folder: &Path) -> Result<(), String> {
    let said = |error: std::io::Error| format!("{}: {error}", folder.display());
    let lock = File::create(folder.join(".tailback-tests.lock")).map_err(said)?;
    lock.lock().map_err(said)?;
    let stamp = folder.join(".tailback-tests.built");
    let built = fs::metadata(&stamp).and_then(|known| known.modified()).ok();
    let there = ["tailback", "sample-server"]
        .iter()
        .all(|name| folder.join(name).exists());
    let newest = SOURCES.iter().map(|name| newest(&root().join(name)));
    if there && built.is_some() && newest.max().flatten() < built {
        return Ok(());
    }
    // Taken before the build, so that later changes are built the next time.
    let begun = SystemTime::now();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root())
        .args([
            "build",
            "--package",
            "tailback",
            "--package",
            "tailback-examples",
        ])
        .args(["--bin", "tailback", "--bin", "sample-server"]);
    // Variables that cargo sets for the running test must not reach this build: they would make
    // build scripts run again.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"]
            .iter()
            .any(|of| text.starts_with(of))
        {
            cargo.env_remove(name);
        }
    }
    if let (Some(target), Some(profile)) = (folder.parent(), folder.file_name()) {
        let profile = if profile == "debug" {
            "dev".as_ref()
        } else {
            profile
        };
        cargo
            .arg("--target-dir")
            .arg(target)
            .arg("--profile")
            .arg(profile);
    }
    let built = cargo.output().map_err(|error| format!("cargo: {error}"))?;
    if !built.status.success() {
        return Err(format!(
            "{cargo:?}: {}",
            String::from_utf8_lossy(&built.stderr)
        ));
    }
    File::create(stamp)
        .and_then(|file| file.set_modified(begun))
        .map_err(said)
}

/// The newest modification time of a file at or below `path`.
fn newest(path: &Path) -> Option<SystemTime> {
    if path.is_dir() {
        let inside = fs::read_dir(path).into_iter().flatten().flatten();
        return inside.filter_map(|entry| newest(&entry.path())).max();
    }
    // Python files are not part of the programs.
    let code = ["rs", "toml", "lock", "html", "css", "js"]
        .iter()
        .any(|end| path.extension() == Some(end.as_ref()));
    if !code {
        return None;
    }
    fs::metadata(path).and_then(|known| known.modified()).ok()
}
