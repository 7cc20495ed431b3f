//! Libraries in C that come between the program under test and the system.

use std::path::Path;
use std::process::Command;

use super::report::{is_installed, not_tested_here};
use super::scratch::Scratch;

/// Makes the library of `tests/faults/SOURCE.c` and returns what env(1) wants to hear; none if there is no C compiler,
/// after saying so for the test of that name.
pub fn library(directory: &Scratch, source: &str, name: &str) -> Option<String> {
    if !is_installed("cc") {
        not_tested_here(name, "it needs a library in C, and there is no cc");
        return None;
    }
    let path = directory.file(&format!("{source}.so"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/faults/{source}.c"));
    let status = Command::new("cc").args(["-shared", "-fPIC", "-O", "-o"]).arg(&path).arg(file).status();
    assert!(status.expect("there is a cc").success());
    Some(format!("LD_PRELOAD={}", path.display()))
}
