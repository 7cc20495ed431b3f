//! The event loop where datagrams are carried, in the simulated network of `tests/sim/datagrams`, where the fuzzer's
//! bytes are the random numbers.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/sim/mod.rs"]
#[allow(dead_code, reason = "the simulation's own tests use the rest")]
mod sim;

fuzz_target!(|bytes: &[u8]| sim::datagrams::judge_bytes(bytes));
