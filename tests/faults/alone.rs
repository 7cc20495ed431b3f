//! Runs a test in namespaces of its own, so that what it does to packets and mounts concerns nobody else.

use std::process::Command;

use crate::support::report::{is_installed, is_root, not_tested_here};

/// Set in the process that runs one test alone: the test's name.
const ALONE: &str = "PEN_FAULTS_ALONE";

/// True if this process is the one that is alone: then the test goes on.  Otherwise such a process runs this test, and
/// here there is nothing left to do; its failure is this test's failure.
///
/// `name` is the test's name as `--exact` takes it; it needs root, and the programs in `needs`.
#[track_caller]
pub fn is_alone(name: &str, needs: &[&str]) -> bool {
    if let Some(alone) = std::env::var_os(ALONE) {
        assert_eq!(alone.to_str(), Some(name), "the name that a test gives is its own");
        return true;
    }
    let missing: Vec<&str> =
        ["unshare", "ip"].iter().chain(needs).copied().filter(|program| !is_installed(program)).collect();
    if !is_root() {
        not_tested_here(name, "namespaces need root");
        return false;
    }
    if !missing.is_empty() {
        not_tested_here(name, &format!("not installed: {}", missing.join(" ")));
        return false;
    }
    let program = std::env::current_exe().expect("this program has a file");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "sh", "-c"])
        .arg(r#"ip link set lo up || exit 99; exec "$0" "$@""#)
        .arg(program)
        .args([name, "--exact", "--nocapture"])
        .env(ALONE, name)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("there is an unshare");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(99) || stderr.starts_with("unshare:") {
        not_tested_here(name, &format!("no namespaces here: {}", stderr.trim()));
        return false;
    }
    assert!(stdout.contains("running 1 test\n"), "no test has this name: {name}\n{stdout}{stderr}");
    assert!(output.status.success(), "{stdout}{stderr}");
    false
}
