//! pen in the background: who ends when, and what is left of the shell that started it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::support::pen::program;
use crate::support::process::{Ended, Process, is_alive, listeners, send};
use crate::support::report::{is_root, not_tested_here};
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
fn what_it_says_goes_to_syslog() {
    if !is_root() {
        return not_tested_here("what_it_says_goes_to_syslog", "only root can give pen a /dev of its own");
    }
    let directory = Scratch::new();
    fs::create_dir(directory.file("dev")).unwrap();
    let logger = UnixDatagram::bind(directory.file("dev/log")).unwrap();
    logger.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let script = r#"
        mknod -m 666 "$0/dev/null" c 1 3 && mount --bind "$0/dev" /dev || exit 99
        exec "$@""#;
    let mut command = Command::new("unshare");
    command.current_dir(directory.path()).args(["--mount", "sh", "-c", script]).arg(directory.path());
    command.arg(program()).args(["-p", "pen.pid", "-d", "-u", "root", "-C", "./control", "127.0.0.1:0", "127.0.0.1:9"]);
    let started = Process::start(command, &directory, "parent").wait();
    if started.status.code() == Some(99) {
        return not_tested_here("what_it_says_goes_to_syslog", &format!("no /dev of its own: {}", started.stderr));
    }
    assert_eq!((started.status.code(), started.stderr.as_str()), (Some(0), ""));
    let pid = directory.read("pen.pid").parse().unwrap();
    let daemon = Daemon { pid, directory, started };
    let address = daemon.address();
    let said = || {
        let mut bytes = [0; 2048];
        let count = logger.recv(&mut bytes).expect("pen says something");
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    // Facility user, severity debug; a time such as `Nov 22 17:39:50`; the ident.
    let first = said();
    assert!(first.starts_with("<15>"), "{first}");
    let text = format!(" pen: pen {} listens on {address}", env!("CARGO_PKG_VERSION"));
    assert_eq!(&first[19..], text, "{first}");
    assert!(said().ends_with(" pen: server 0 is 127.0.0.1 port 9"));
    send(pid, "USR1");
    let statistics = said();
    assert!(statistics.contains(" pen: Time 20"), "{statistics}");
    daemon.stop("TERM");
    assert!(!daemon.directory.file("control").exists(), "the control socket is left");
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

// The jail has nothing but a directory for the pid file, and so no /dev/null.
#[test]
fn it_goes_to_the_background_from_within_a_jail() {
    if !is_root() {
        return not_tested_here("it_goes_to_the_background_from_within_a_jail", "only root can chroot");
    }
    let jail = Scratch::new();
    let path = jail.path().display().to_string();
    let mut command = Command::new(program());
    command.args(["-j", &path, "-p", "pen.pid", "127.0.0.1:0"]);
    let started = Process::start(command, &jail, "parent").wait();
    assert_eq!((started.status.code(), started.stderr.as_str()), (Some(0), ""));
    let pid: u32 = jail.read("pen.pid").parse().unwrap();
    for fd in 0..=2 {
        assert_eq!(fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap().display().to_string(), "/dev/null");
    }
    send(pid, "TERM");
    wait::until_true("it ends", || !is_alive(pid));
}
