//! `make soak`: the built proxy under mixed load for minutes, while replicas crash, models sleep and
//! manifests change. Run as `soak replica PORT`, it is one of the replicas.

use std::{process::ExitCode, time::Duration};

use tailback_tests::soak;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["replica", port, _mark] => soak::replica::serve(port),
        [seconds] => run(seconds, fastrand::u64(..)),
        [seconds, seed] => match seed.parse() {
            Ok(seed) => run(seconds, seed),
            Err(_) => usage(),
        },
        _ => usage(),
    }
}

fn run(seconds: &str, seed: u64) -> ExitCode {
    let Ok(seconds) = seconds.parse() else {
        return usage();
    };
    println!("soak: {seconds} s with seed {seed}");
    let report = soak::run(Duration::from_secs(seconds), seed);
    println!("{report}");
    if report.faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: soak SECONDS [SEED]");
    ExitCode::from(2)
}
