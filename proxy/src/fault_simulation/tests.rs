//! The simulations that run with the unit tests.

use std::{
    collections::BTreeMap,
    ops::Range,
    panic,
    process::Command,
    sync::{Mutex, PoisonError},
};

use super::{run::run, world::Shown};
use crate::simulation::clock;

/// The variable with the seeds to run: one, or `first..end`.
const SEEDS: &str = "FAULT_SEEDS";
/// The variable that is set in the process that runs the simulation.
const SIMULATES: &str = "FAULT_SIMULATION";

/// Messages of panics on any thread.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Returns whether this process must run the simulation. Otherwise a child process has run it: the
/// simulated clock applies to the whole process, which other tests share.
fn simulates(test: &str) -> bool {
    if std::env::var_os(SIMULATES).is_some() {
        clock::install();
        panic::set_hook(Box::new(|panic| {
            let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
            panics.push(panic.to_string());
        }));
        return true;
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([&format!("{module}::{test}"), "--exact", "--nocapture"])
        .env(SIMULATES, "1")
        .output()
        .unwrap();
    let said = [child.stdout, child.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    println!("{}{}", said[0], said[1]);
    assert!(child.status.success(), "see above");
    assert!(said[0].contains("1 passed"), "the test has another name");
    false
}

fn seeds(otherwise: Range<u64>) -> Range<u64> {
    let Ok(seeds) = std::env::var(SEEDS) else {
        return otherwise;
    };
    let number = |text: &str| {
        text.parse::<u64>()
            .unwrap_or_else(|_| panic!("{SEEDS}: found {seeds:?}, expected a seed or first..end"))
    };
    match seeds.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&seeds)..number(&seeds) + 1,
    }
}

/// Runs `seed`. A panic is a violation, too.
fn checked(seed: u64) -> Shown {
    let mut shown = run(seed);
    let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    shown.violations.append(&mut panics);
    shown
}

#[test]
fn whatever_breaks_counts_agree_permits_come_back_and_callers_are_answered_or_closed() {
    if !simulates(
        "whatever_breaks_counts_agree_permits_come_back_and_callers_are_answered_or_closed",
    ) {
        return;
    }
    let seeds = seeds(0..100);
    let is_one = seeds.end - seeds.start == 1;
    let (mut tally, mut failed) = (BTreeMap::new(), Vec::new());
    for seed in seeds.clone() {
        let shown = checked(seed);
        if is_one || !shown.violations.is_empty() && failed.is_empty() {
            println!("seed {seed}:\n{}", shown.events.join("\n"));
        }
        for violation in &shown.violations {
            println!("{SEEDS}={seed} shows: {violation}");
        }
        if !shown.violations.is_empty() {
            failed.push(seed);
        }
        for (what, times) in shown.tally {
            *tally.entry(what).or_insert(0) += times;
        }
    }
    println!("seeds {seeds:?}, by how requests ended: {tally:#?}");
    assert!(failed.is_empty(), "seeds {failed:?}");
    // A simulation without faults would show nothing.
    if seeds.end - seeds.start >= 100 {
        for end in [
            "Answered(200)",
            "Answered(408)",
            "Answered(502)",
            "Answered(503)",
            "Answered(504)",
            "Broken(200)",
            "Closed",
            "Left",
            "refused",
            "run again",
        ] {
            assert!(tally.get(end).is_some_and(|times| *times > 0), "{end}");
        }
    }
}

#[test]
fn a_seed_shows_the_same_each_time() {
    if !simulates("a_seed_shows_the_same_each_time") {
        return;
    }
    for seed in seeds(1_000..1_015) {
        let (one, other) = (checked(seed).events, checked(seed).events);
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one, other, "seed {seed}");
        }
        assert_eq!(one.len(), other.len(), "seed {seed}");
    }
}
