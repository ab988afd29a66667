//! The `tailback` command.

use std::process::ExitCode;

// Buffers and header maps are allocated and freed with each request. jemalloc reuses the memory
// that was freed last, which is still in the processor's cache: with hundreds of connections, a
// request costs about a tenth less than with the C library's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc's settings, in its own syntax (`man jemalloc`, "TUNING"). Connections that are served
/// at the same time allocate and free buffers of the same few sizes: each thread caches as many of
/// them as busy connections need, and rarely checks for unused ones. A background thread of
/// jemalloc gives free memory back to the system, also while the proxy is idle.
type Tuning = &'static [u8; 86];

// SAFETY: jemalloc reads this symbol as a `const char *`: a pointer to bytes that end with a zero
// and live as long as the process. No other code of ours or of a crate defines it.
#[unsafe(export_name = "_rjem_malloc_conf")]
static TUNING: Tuning =
    b"background_thread:true,tcache_ncached_max:4096-16384:512,tcache_gc_incr_bytes:8388608\0";

fn main() -> ExitCode {
    tailback::cli::main()
}
