//! The whole event loop against a simulated network, driven by a seed.
//!
//! `SEED=17 cargo test --test sim random` runs one seed again, with its trace if it fails;
//! `SEEDS=5000` runs that many.

#[path = "sim/mod.rs"]
mod sim;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use sim::choices::Choices;
use sim::plan::Plan;
use sim::run;

/// Seeds of an ordinary run.
const SEEDS: u64 = 300;

/// One third of the seeds have no faults.
fn world_of(seed: u64, traced: bool) -> run::Shared {
    let mut choices = Choices::seed(seed);
    let plan = Plan::random(&mut choices, !seed.is_multiple_of(3));
    run::world(plan, choices, traced)
}

/// Runs a seed; one that fails is run again for its trace.
fn judge_seed(seed: u64) {
    let Err(failure) = catch_unwind(|| run::judge(&world_of(seed, false), || world_of(seed, false))) else { return };
    let world = world_of(seed, true);
    let again = catch_unwind(AssertUnwindSafe(|| run::judge(&world, || world_of(seed, false))));
    println!("{}", world.borrow().trace());
    println!("seed {seed} fails; SEED={seed} cargo test --test sim runs it again");
    resume_unwind(again.err().unwrap_or(failure));
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text}")))
}

#[test]
fn random_runs_end_well() {
    if let Some(seed) = number("SEED") {
        return judge_seed(seed);
    }
    for seed in 0..number("SEEDS").unwrap_or(SEEDS) {
        judge_seed(seed);
    }
}

#[test]
fn what_the_fuzzer_found_ends_well() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/sim");
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{directory} is empty");
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let Err(failure) = catch_unwind(|| run::judge_bytes(&bytes)) else { continue };
        let world = run::world_of_bytes(&bytes, true);
        let _ = catch_unwind(AssertUnwindSafe(|| run::run(&world)));
        println!("{}\n{} fails", world.borrow().trace(), path.display());
        resume_unwind(failure);
    }
}

#[test]
fn what_the_fuzzer_found_of_datagrams_ends_well() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/sim_datagrams");
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{directory} is empty");
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let world = |traced| sim::datagrams::world_of_bytes(&bytes, traced);
        sim::datagrams::judge(&path.display().to_string(), world);
    }
}
