//! `generate completions|manual FOLDER`, `generate page FILE`: see the library.

use std::{env, fs, io, path::Path, process::ExitCode};

use tailback_packaging::{completions, manual, page};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["completions", folder] => completions(Path::new(folder)),
        ["manual", folder] => manual(Path::new(folder)),
        ["page", file] => fs::write(file, page()),
        _ => Err(io::Error::other(
            "expected `completions FOLDER`, `manual FOLDER` or `page FILE`",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {error}");
            ExitCode::FAILURE
        }
    }
}
