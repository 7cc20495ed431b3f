//! pen in the background: who ends when, and what is left of the shell that started it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use crate::support::pen::program;
use crate::support::process::{Ended, Process, is_alive, listeners, send};
use crate::support::scratch::Scratch;
use crate::support::wait;

/// A pen in the background, found by its pid file, killed when dropped.
struct Daemon {
    pid: u32,
    directory: Scratch,
    /// How the process ended that was started.
    started: Ended,
}

impl Daemon {
    /// Starts `pen -p pen.pid OPTIONS 127.0.0.1:0`, and goes on when the shell would.
    #[track_caller]
    fn start(options: &[&str]) -> Daemon {
        let directory = Scratch::new();
        let mut command = Command::new(program());
        command.current_dir(directory.path()).args(["-p", "pen.pid"]).args(options).arg("127.0.0.1:0");
        let started = Process::start(command, &directory, "parent").wait();
        // No waiting: all must be there as soon as the shell goes on.
        let pid = directory.read("pen.pid");
        let pid = pid.parse().unwrap_or_else(|_| panic!("the pid file has {pid:?}; {started:?}"));
        Daemon { pid, directory, started }
    }

    fn address(&self) -> SocketAddr {
        *listeners(self.pid).first().expect("it listens as soon as the shell goes on")
    }

    fn link(&self, name: &str) -> String {
        fs::read_link(format!("/proc/{}/{name}", self.pid)).unwrap().display().to_string()
    }

    #[track_caller]
    fn stop(&self, signal: &str) {
        send(self.pid, signal);
        wait::until_true("it ends", || !is_alive(self.pid));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if is_alive(self.pid) {
            send(self.pid, "KILL");
        }
    }
}

// B27: in pen 0.34.1 the shell goes on before the port is bound.
#[test]
fn the_shell_goes_on_when_pen_listens() {
    for signal in ["TERM", "INT"] {
        let daemon = Daemon::start(&[]);
        assert_eq!(daemon.started.status.code(), Some(0));
        assert_eq!((daemon.started.stdout.as_str(), daemon.started.stderr.as_str()), ("", ""));
        drop(TcpStream::connect(daemon.address()).unwrap());
        daemon.stop(signal);
        assert!(!daemon.directory.file("pen.pid").exists(), "{signal}: the pid file is left");
    }
}

#[test]
fn it_lets_go_of_the_terminal_and_keeps_the_directory() {
    let daemon = Daemon::start(&["-l", "pen.log"]);
    let directory = fs::canonicalize(daemon.directory.path()).unwrap();
    assert_eq!(daemon.link("cwd"), directory.display().to_string());
    assert!(daemon.directory.file("pen.log").exists());
    for fd in 0..=2 {
        assert_eq!(daemon.link(&format!("fd/{fd}")), "/dev/null");
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid)).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(fields[3], daemon.pid.to_string(), "it leads a session of its own");
    daemon.stop("TERM");
}

// B9: pen 0.34.1 ends at HUP when the log cannot be opened.
#[test]
fn a_log_that_cannot_be_reopened_does_not_end_it() {
    let daemon = Daemon::start(&["-l", "pen.log"]);
    let log = daemon.directory.file("pen.log");
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    send(daemon.pid, "HUP");
    // USR1 is answered after HUP; a connection after that shows that the loop still turns.
    send(daemon.pid, "USR1");
    drop(TcpStream::connect(daemon.address()).unwrap());
    fs::remove_dir(&log).unwrap();
    send(daemon.pid, "HUP");
    wait::until_true("the log is there again", || log.is_file());
    daemon.stop("TERM");
}

#[test]
fn warnings_reach_the_shell() {
    let daemon = Daemon::start(&["-D", "-O", "blacklist"]);
    assert_eq!(daemon.started.stderr, "pen: option -D is obsolete and does nothing\n");
    assert_eq!(daemon.started.stdout, "30\n");
    daemon.stop("TERM");
}

#[test]
fn nothing_is_left_of_a_start_that_failed() {
    let directory = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new(program());
    command.current_dir(directory.path()).args(["-p", "pen.pid", "-l", "pen.log"]);
    command.arg(taken.local_addr().unwrap().to_string());
    let ended = Process::start(command, &directory, "parent").wait();
    assert_eq!(ended.status.code(), Some(1));
    assert!(!directory.file("pen.pid").exists() && !directory.file("pen.log").exists());
}
