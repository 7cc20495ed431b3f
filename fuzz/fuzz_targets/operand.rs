#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/operand.rs"]
mod operand;

fuzz_target!(|bytes: &[u8]| operand::check(bytes));
