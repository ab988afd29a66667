//! The `tailback` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    tailback::cli::main()
}
