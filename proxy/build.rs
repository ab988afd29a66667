//! Tells the program what it is built for and with.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let var = |name: &str| env::var(name).unwrap_or_else(|_| "unknown".into());
    // …/target/[triple/]PROFILE/build/tailback-hash/out
    let out = var("OUT_DIR");
    let profile = Path::new(&out).ancestors().nth(3).and_then(Path::file_name);
    let profile = profile.map_or_else(
        || var("PROFILE"),
        |name| name.to_string_lossy().into_owned(),
    );
    let profile = if profile == "debug" { "dev" } else { &profile };
    let rustc = Command::new(var("RUSTC")).arg("--version").output();
    let rustc = rustc.map_or_else(
        |_| "unknown".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    );
    println!("cargo:rustc-env=TAILBACK_BUILD_TARGET={}", var("TARGET"));
    println!("cargo:rustc-env=TAILBACK_BUILD_PROFILE={profile}");
    println!("cargo:rustc-env=TAILBACK_BUILD_RUSTC={rustc}");
}
