//! The whole event loop in the simulated network of `tests/sim`, where the fuzzer's bytes are the random numbers: it
//! looks for a run that the simulation's judge objects to.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/sim/mod.rs"]
#[allow(dead_code, reason = "the simulation's own tests use the rest")]
mod sim;

fuzz_target!(|bytes: &[u8]| sim::run::judge_bytes(bytes));
