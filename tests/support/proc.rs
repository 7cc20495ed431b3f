//! What Linux tells of a process under `/proc`: memory, descriptors, processor time.

use std::fs;
use std::process::Command;
use std::time::Duration;

/// Resident memory in KiB.
#[track_caller]
pub fn resident(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// Resident memory that is no file's, in KiB: what the process has written to.
#[track_caller]
pub fn resident_own(pid: u32) -> u64 {
    status(pid, "RssAnon:")
}

/// The most resident memory so far, in KiB.
#[track_caller]
pub fn most_resident(pid: u32) -> u64 {
    status(pid, "VmHWM:")
}

/// How many threads it has.
#[track_caller]
pub fn threads(pid: u32) -> u64 {
    status(pid, "Threads:")
}

/// How often it went to sleep and was woken up.
#[track_caller]
pub fn switches(pid: u32) -> u64 {
    status(pid, "voluntary_ctxt_switches:")
}

/// The number in the line of `/proc/PID/status` that begins with `name`.
#[track_caller]
fn status(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux writes this line");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("it has a number")
}

/// How many descriptors are open, beside the one timer that pen opens when it waits often and closes when it need not wake up.
#[track_caller]
pub fn descriptors(pid: u32) -> usize {
    let (timers, all) = timers_and_all(pid);
    assert!(timers <= 1, "{timers} timers");
    all - timers
}

/// How many timers are open (timerfd_create(2)).
#[track_caller]
pub fn timers(pid: u32) -> usize {
    timers_and_all(pid).0
}

#[track_caller]
fn timers_and_all(pid: u32) -> (usize, usize) {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there");
    let (mut timers, mut all) = (0, 0);
    for entry in entries {
        all += 1;
        // What was closed meanwhile has no target any more.
        let target = entry.and_then(|entry| fs::read_link(entry.path())).unwrap_or_default();
        timers += usize::from(target.to_string_lossy() == "anon_inode:[timerfd]");
    }
    (timers, all)
}

/// The processor time that it has used, user and system.
#[track_caller]
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    // Fields are counted behind the program's name, which may hold anything: utime and stime of proc(5).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
    // A tick of /proc is 10 ms on every platform of Linux.
    Duration::from_millis(10 * ticks)
}

/// The limit of open files, soft.
#[track_caller]
pub fn descriptor_limit(pid: u32) -> u64 {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("the process is there");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("Linux writes this line");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("it has a number")
}

/// The size of the address space in bytes.
#[track_caller]
pub fn address_space(pid: u32) -> u64 {
    status(pid, "VmSize:") * 1024
}

/// Sets the limit of open files of a process; `limit` as prlimit(1) has it: `soft:` or `soft:hard`.
/// False if that is not allowed, or there is no prlimit.
pub fn limit_descriptors(pid: u32, limit: &str) -> bool {
    set_limit(pid, &format!("--nofile={limit}"))
}

/// The same with the size of the address space in bytes.
pub fn limit_address_space(pid: u32, limit: &str) -> bool {
    set_limit(pid, &format!("--as={limit}"))
}

fn set_limit(pid: u32, limit: &str) -> bool {
    let mut command = Command::new("prlimit");
    command.args([&format!("--pid={pid}"), limit]);
    command.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
}
