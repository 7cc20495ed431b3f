//! The one place that says what could not be tested on this machine.

use std::io::{self, Write};

/// Reports that the test `name` could not run, and why: a line `not tested here: NAME: REASON` on the real
/// standard error, which the test harness does not capture.  `tests/all` takes each such line for one test that was
/// skipped, not passed: call it once in a test, and return.
///
/// Where everything must be there (`CI=true` and root), it fails instead.
#[track_caller]
pub fn not_tested_here(name: &str, reason: &str) {
    let everything_must_run = std::env::var_os("CI").is_some_and(|ci| ci == "true") && is_root();
    assert!(!everything_must_run, "cannot test {name} here, and under CI it must run: {reason}");
    // One write, so that lines of tests that run side by side do not mix.
    let line = format!("not tested here: {name}: {reason}\n");
    io::stderr().write_all(line.as_bytes()).expect("standard error can be written");
}

/// Whether this process may do anything.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Whether a program of this name is on `PATH`, or where the system's daemons are.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(program).is_file())
}
