//! Asks the allocator to give back to the system what it keeps for the next buffers. Without it, memory
//! that was freed stays with the process for some ten seconds.

use std::{ffi::CStr, ptr};

/// Of all arenas (`MALLCTL_ARENAS_ALL` is 4096), the pages that are not in use.
const PURGE_ALL: &CStr = c"arena.4096.purge";
/// Of this thread, the pieces that it keeps.
const FLUSH_THREAD: &CStr = c"thread.tcache.flush";

/// Gives back what all arenas have unused.
pub(super) fn purge() {
    order(PURGE_ALL);
}

/// Gives what this thread has unused back to the arenas.
pub(super) fn flush_thread() {
    order(FLUSH_THREAD);
}

/// Best effort: where another allocator is in use, jemalloc has nothing to give back.
fn order(name: &CStr) {
    // SAFETY: `mallctl` reads `name` up to its zero. Both orders take and return nothing, which the
    // null pointers and the length 0 say (`man jemalloc`, "MALLCTL NAMESPACE").
    let _ = unsafe {
        tikv_jemalloc_sys::mallctl(
            name.as_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            0,
        )
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn orders_are_harmless_at_any_time() {
        for _ in 0..3 {
            super::flush_thread();
            super::purge();
        }
    }
}
