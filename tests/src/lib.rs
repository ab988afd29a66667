//! What the tests share: the built `tailback` binary as a process, upstreams with scripted
//! behaviour, and HTTP clients with control of each byte or frame.
//!
//! Everything blocks and waits for conditions, never for time.

pub mod api;
mod build;
pub mod cluster;
pub mod collector;
pub mod corpus;
pub mod http;
pub mod http2;
pub mod kubernetes;
pub mod llm_upstream;
pub mod load;
pub mod memory_group;
pub mod process;
pub mod prometheus;
pub mod python;
pub mod relay;
pub mod sample;
pub mod second_parser;
pub mod seldon;
pub mod soak;
pub mod upstream;
pub mod upstream_http2;

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a condition may take, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
///
/// # Panics If it does not hold within [`PATIENCE`]. The message has `what`.
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, condition);
}

/// As [`eventually`], with another time limit.
///
/// # Panics If the condition does not hold within `patience`. The message has `what`.
pub fn eventually_within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < patience, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// As [`eventually`], for async tests: other tasks go on meanwhile.
///
/// # Panics
/// If the condition does not hold within [`PATIENCE`].
pub async fn eventually_async(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
