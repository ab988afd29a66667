//! The version of this program, and how it was built.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, or `unknown` if the build did not set `TAILBACK_COMMIT`.
pub const COMMIT: &str = match option_env!("TAILBACK_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
/// The target triple it was built for.
pub const TARGET: &str = env!("TAILBACK_BUILD_TARGET");
/// The cargo profile it was built with.
pub const PROFILE: &str = env!("TAILBACK_BUILD_PROFILE");
/// The version of the compiler.
pub const RUSTC: &str = env!("TAILBACK_BUILD_RUSTC");

/// Records them as labels of the gauge `tailback_build_info`, which is always 1.
pub fn record() {
    metrics::describe_gauge!("tailback_build_info", "Always 1; its labels say what runs.");
    metrics::gauge!("tailback_build_info",
        "version" => VERSION, "commit" => COMMIT, "target" => TARGET, "profile" => PROFILE,
        "rustc" => RUSTC)
    .set(1.0);
}

/// One line for each, as `tailback version --verbose` prints them.
#[must_use]
pub fn describe() -> String {
    format!(
        "tailback {VERSION}\n\
         commit    {COMMIT}\n\
         target    {TARGET}\n\
         profile   {PROFILE}\n\
         compiler  {RUSTC}\n"
    )
}
