//! What the tests share: the built `tailback` binary as a process, upstreams
//! that behave as told, and a client that speaks HTTP/1.1 byte by byte.
//!
//! Everything blocks and waits for conditions, never for time.

pub mod http;
pub mod load;
pub mod process;
pub mod upstream;

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a condition may take, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not within [`PATIENCE`]; says `what` was waited for.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
