//! The load-balancing HOWTO's machines with real servers on them, for one test at a time.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::pen;
use super::process::{Ended, Process};
use super::report;
use super::scratch::Scratch;
use super::wait;

mod daemons;
mod machines;

pub use daemons::FTP_FILE;
pub use machines::{CLIENTS, client_address};

/// The machines, up, and a directory in which everything runs.  Dropping it ends all processes on the machines and
/// removes everything; when the test is failing it prints what the servers logged.
pub struct Lab {
    // Dropped in this order: first the machines with their processes, then the files.
    _machines: machines::Machines,
    scratch: Scratch,
}

impl Lab {
    /// Brings the machines up for the test `name`.  Where that is not possible, or one of the programs in `needs` is
    /// missing, it says so and returns `None`.
    #[track_caller]
    pub fn up(name: &str, needs: &[&str]) -> Option<Lab> {
        let missing: Vec<&str> =
            ["ip"].iter().chain(needs).copied().filter(|program| !report::is_installed(program)).collect();
        if !report::is_root() {
            report::not_tested_here(name, "network namespaces need root");
            return None;
        }
        if !missing.is_empty() {
            report::not_tested_here(name, &format!("not installed: {}", missing.join(" ")));
            return None;
        }
        let scratch = Scratch::new();
        match machines::Machines::up(scratch.path()) {
            Ok(machines) => {
                let lab = Lab { _machines: machines, scratch };
                lab.put_pen_on_path();
                Some(lab)
            }
            Err(reason) => {
                report::not_tested_here(name, &reason);
                None
            }
        }
    }

    fn put_pen_on_path(&self) {
        let directory = self.scratch.file("bin");
        fs::create_dir(&directory).expect("the directory is ours");
        // A copy, not a link: so that no other pen on this machine is ever taken for it.
        fs::copy(pen::program(), directory.join("pen")).expect("the program under test is there");
        fs::copy(env!("CARGO_BIN_EXE_penctl"), directory.join("penctl")).expect("cargo has built it");
    }

    /// The directory in which every command runs.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// A command on a machine, with pen on its `PATH`.
    pub fn command(&self, machine: &str, words: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", machine])
            .args(words)
            .current_dir(self.scratch.path())
            .env("PATH", format!("{}:{path}:/usr/sbin:/sbin", self.scratch.file("bin").display()))
            .env("LC_ALL", "C");
        command
    }

    /// Runs a shell command line on a machine to its end.
    #[track_caller]
    pub fn run(&self, machine: &str, line: &str) -> Ended {
        Process::run(self.command(machine, &["sh", "-c", line]))
    }

    /// Runs a shell command line on a machine, which must succeed; its standard output.
    #[track_caller]
    pub fn output(&self, machine: &str, line: &str) -> String {
        let ended = self.run(machine, line);
        assert!(ended.status.success(), "{machine}# {line}\n{ended:?}");
        ended.stdout
    }

    /// Starts a long-running command on a machine; its output goes to `NAME.out` and `NAME.err`.
    #[track_caller]
    pub fn start(&self, machine: &str, name: &str, words: &[&str]) -> Process {
        Process::start(self.command(machine, words), &self.scratch, name)
    }

    /// Runs a command line of the HOWTO that puts pen into the background of lbhost: it must succeed, print nothing,
    /// and when it returns, pen must listen on this port.
    #[track_caller]
    pub fn pen_in_background(&self, line: &str, port: u16) -> u32 {
        let words = pen_words(line);
        let before = self.pens();
        let ended = Process::run(self.command("lbhost", &words));
        assert!(ended.status.success(), "{line}\n{ended:?}");
        // A resolver's child may be there too; the listener's owner is the one.
        let listens = |pid: &u32| super::process::listeners(*pid).iter().any(|address| address.port() == port);
        let new = || self.pens().into_iter().find(|pid| !before.contains(pid) && listens(pid));
        if pen::is_another() {
            return wait::until(&format!("{line}: listens on {port}"), new);
        }
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""), "{line}");
        new().unwrap_or_else(|| panic!("{line}: came back, and nobody listens on {port}"))
    }

    /// Starts a command line of the HOWTO with `-f` on lbhost, and waits until pen listens.
    #[track_caller]
    pub fn pen_in_foreground(&self, line: &str, port: u16) -> Process {
        let mut pen = self.start("lbhost", "pen", &pen_words(line));
        wait::until_true(&format!("{line}: listens on {port}"), || {
            assert!(!pen.has_ended(), "{line}: {:?}", pen.wait());
            pen.listens_on().iter().any(|address| address.port() == port)
        });
        pen
    }

    /// Ends a pen with TERM, as the HOWTO's readers would with `kill`, and waits until it is gone.
    #[track_caller]
    pub fn end_pen(&self, pid: u32) {
        super::process::send(pid, "TERM");
        wait::until_true("pen ends on TERM", || !super::process::is_alive(pid));
    }

    /// The processes of lbhost that are the program under test.
    pub fn pens(&self) -> Vec<u32> {
        let program = self.scratch.file("bin/pen");
        let is_pen = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path == program);
        machines::processes("lbhost").into_iter().filter(is_pen).collect()
    }

    /// Whether somebody on the machine listens on the TCP port.
    pub fn is_listening(&self, machine: &str, port: u16) -> bool {
        machines::processes(machine)
            .into_iter()
            .any(|pid| super::process::listeners(pid).iter().any(|address| address.port() == port))
    }

    /// Waits until somebody on the machine listens on the TCP port.
    #[track_caller]
    pub fn wait_until_listening(&self, machine: &str, port: u16) {
        wait::until_true(&format!("port {port} of {machine} is open"), || self.is_listening(machine, port));
    }

    /// Ends a server that [`Lab`] started, and waits until its port is closed.
    #[track_caller]
    pub fn end_server(&self, machine: &str, mut server: Process, port: u16) {
        server.stop("TERM");
        wait::until_true(&format!("port {port} of {machine} is closed"), || !self.is_listening(machine, port));
    }

    fn print_logs(&self, directory: &Path) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_log = path.extension().is_some_and(|extension| extension == "log");
            if path.is_dir() {
                self.print_logs(&path);
            } else if is_log && let Ok(bytes) = fs::read(&path) {
                let tail = &bytes[bytes.len().saturating_sub(2000)..];
                eprintln!("--- {}\n{}", path.display(), String::from_utf8_lossy(tail));
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs(self.scratch.path());
        }
    }
}

/// The words of a command line of the HOWTO, which quotes nothing.
fn pen_words(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words.first(), Some(&"pen"), "{line}");
    words
}
