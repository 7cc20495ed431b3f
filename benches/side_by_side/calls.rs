//! How many system calls a process makes meanwhile: counted by perf, or by strace where perf may not.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::process::signal;

/// What counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counter {
    /// The tracepoint of every call (perf-stat(1)); costs the process little.
    Perf,
    /// Every call is stopped at (strace(1)).
    Strace,
}

impl Counter {
    /// What there is on this machine and may be used.
    pub fn find() -> Option<Counter> {
        let works = |program: &str, words: &[&str]| {
            let run = Command::new(program).args(words).stdin(Stdio::null()).output();
            run.is_ok_and(|output| output.status.success())
        };
        if works("perf", &["stat", "-e", "raw_syscalls:sys_enter", "true"]) {
            return Some(Counter::Perf);
        }
        works("strace", &["-c", "true"]).then_some(Counter::Strace)
    }
}

/// A count under way.
#[derive(Debug)]
pub struct Counting {
    counter: Counter,
    child: Child,
    output: PathBuf,
}

impl Counting {
    /// Begins to count the calls of these processes.
    pub fn begin(counter: Counter, pids: &[u32], dir: &Path) -> io::Result<Counting> {
        let output = dir.join("calls");
        let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let file = output.display().to_string();
        let mut command = match counter {
            Counter::Perf => {
                let mut command = Command::new("perf");
                // It counts while cat runs, which we end; cat answers when it has begun.
                command.args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-o", &file, "-p", &list, "cat"]);
                command
            }
            Counter::Strace => {
                let mut command = Command::new("strace");
                command.args(["-q", "-f", "-c", "-o", &file, "-p", &list]);
                command
            }
        };
        let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut counting = Counting { counter, child: streams.spawn()?, output };
        counting.wait_until_begun(pids)?;
        Ok(counting)
    }

    fn wait_until_begun(&mut self, pids: &[u32]) -> io::Result<()> {
        if self.counter == Counter::Perf {
            let (input, output) = (self.child.stdin.as_mut(), self.child.stdout.as_mut());
            input.expect("it is a pipe").write_all(b"?")?;
            return output.expect("it is a pipe").read_exact(&mut [0]);
        }
        let is_traced = |pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            !status.contains("TracerPid:\t0\n")
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        while !pids.iter().all(is_traced) {
            if Instant::now() > deadline {
                return Err(io::Error::other("strace does not begin"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends the count: how many calls there were.
    pub fn end(mut self) -> io::Result<u64> {
        match self.counter {
            Counter::Perf => drop(self.child.stdin.take()),
            Counter::Strace => signal(self.child.id(), "INT"),
        }
        self.child.wait()?;
        let text = fs::read_to_string(&self.output)?;
        let count = match self.counter {
            Counter::Perf => text.lines().find_map(|line| line.split(',').next()?.parse().ok()),
            Counter::Strace => {
                let total = text.lines().find(|line| line.ends_with(" total"));
                total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok())
            }
        };
        count.ok_or_else(|| io::Error::other(format!("no count in: {}", text.trim())))
    }
}
