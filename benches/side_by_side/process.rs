//! Processes that the comparison starts: where they run, when they are ready, what they cost, and their end.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A child of ours, which ends with this.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where its words go.
    pub words: PathBuf,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Times that it went to sleep, and so woke up.
    pub sleeps: u64,
    /// Bytes resident, with shared pages divided among those who share them.
    pub pss: u64,
    /// Bytes resident that are in no file.
    pub anonymous: u64,
    /// Bytes resident.
    pub rss: u64,
    pub threads: u64,
}

impl Process {
    /// Starts a command on these processors (as taskset writes them). Its words go to a file.
    pub fn start(command: &[String], cpus: &str, words: PathBuf) -> io::Result<Process> {
        let file = fs::File::create(&words)?;
        let child = Command::new("taskset")
            .args(["-c", cpus])
            .args(command)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        Ok(Process { child, words })
    }

    /// Its number; taskset is replaced by the command, so that it is the command's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until somebody accepts connections at this address.
    pub fn wait_for(&mut self, at: SocketAddr) -> io::Result<()> {
        self.wait_until(|| TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok())
    }

    /// Waits until it has said this.
    pub fn wait_for_word(&mut self, word: &str) -> io::Result<()> {
        let words = self.words.clone();
        self.wait_until(|| fs::read_to_string(&words).is_ok_and(|said| said.contains(word)))
    }

    fn wait_until(&mut self, is_so: impl Fn() -> bool) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_so() {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it ended with {status}: {}", self.said())));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("it is not ready after 10 s: {}", self.said())));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// The end of its words.
    pub fn said(&self) -> String {
        let said = fs::read(&self.words).unwrap_or_default();
        String::from_utf8_lossy(&said[said.len().saturating_sub(600)..]).trim().replace('\n', "; ")
    }

    /// It and all that it has started.
    pub fn family(&self) -> Vec<u32> {
        let mut pids = vec![self.pid()];
        let mut at = 0;
        while let Some(pid) = pids.get(at) {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            pids.extend(children.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
            at += 1;
        }
        pids
    }

    /// Nanoseconds that the whole family has spent on a processor.
    pub fn cpu(&self) -> u64 {
        self.family().into_iter().map(cpu).sum()
    }

    /// Waits until it does nothing any more, for a second at the most: what one piece of work leaves over is not
    /// counted for the next.
    pub fn settle(&self) {
        for _ in 0..50 {
            let before = self.cpu();
            std::thread::sleep(Duration::from_millis(20));
            if self.cpu() - before < 100_000 {
                return;
            }
        }
    }

    /// What the whole family has used.
    pub fn usage(&self) -> Usage {
        self.family().into_iter().map(usage).fold(Usage::default(), |sum, one| Usage {
            sleeps: sum.sleeps + one.sleeps,
            pss: sum.pss + one.pss,
            anonymous: sum.anonymous + one.anonymous,
            rss: sum.rss + one.rss,
            threads: sum.threads + one.threads,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A master that is killed cannot end its workers, so each is ended by its own number.
        for pid in self.family().into_iter().skip(1) {
            signal(pid, "KILL");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process of ours.
pub fn signal(pid: u32, name: &str) {
    let script = r#"kill -s "$0" "$1""#;
    let _ = Command::new("sh").args(["-c", script, name, &pid.to_string()]).stderr(Stdio::null()).status();
}

fn tasks(pid: u32) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().map(|task| task.path())
}

/// The time in nanoseconds, counted at each switch; `stat` has only ticks.
fn cpu(pid: u32) -> u64 {
    let time = |task: PathBuf| -> Option<u64> {
        fs::read_to_string(task.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
    };
    tasks(pid).filter_map(time).sum()
}

fn usage(pid: u32) -> Usage {
    let mut usage = Usage::default();
    for task in tasks(pid) {
        usage.threads += 1;
        usage.sleeps += field(&task.join("status"), "voluntary_ctxt_switches:");
    }
    let rollup = PathBuf::from(format!("/proc/{pid}/smaps_rollup"));
    usage.pss = 1024 * field(&rollup, "Pss:");
    usage.anonymous = 1024 * field(&rollup, "Anonymous:");
    usage.rss = 1024 * field(&rollup, "Rss:");
    usage
}

/// The number after a word at the beginning of a line.
fn field(path: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
