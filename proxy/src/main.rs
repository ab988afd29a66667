//! The `tailback` command.

use std::process::ExitCode;

// Buffers and header maps come and go with each request. jemalloc hands out again
// what was freed last, and so is still in the cache: with hundreds of connections
// a request costs about a tenth less than with the C library's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How jemalloc is set up, in its own words (`man jemalloc`, "TUNING"). Connections that are served at
/// once take and free buffers of the same few sizes in turns: a thread keeps as many of them as busy
/// connections need, and looks less often for those that it no longer does. A thread of jemalloc's own
/// gives what is free back to the system also while the proxy has nothing to do.
type Tuning = &'static [u8; 86];

// SAFETY: jemalloc reads this symbol as a `const char *`: a pointer to bytes that end with a zero and
// are there as long as the process. No other code of ours, or of a crate, defines it.
#[unsafe(export_name = "_rjem_malloc_conf")]
static TUNING: Tuning =
    b"background_thread:true,tcache_ncached_max:4096-16384:512,tcache_gc_incr_bytes:8388608\0";

fn main() -> ExitCode {
    tailback::cli::main()
}
