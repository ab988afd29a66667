//! The `tailback` command.

use std::process::ExitCode;

// Buffers and header maps come and go with each request: measurably cheaper
// than with the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tailback::cli::main()
}
