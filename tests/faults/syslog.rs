//! The system's logger has gone, or does not read.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::alone::is_alone;
use crate::support::client::connect;
use crate::support::pen::program;
use crate::support::process::{Process, is_alive, listeners, send};
use crate::support::scratch::Scratch;
use crate::support::servers::{Refusing, Server, echo};
use crate::support::wait;
use crate::transfer::assert_echoes;

/// Puts a directory in the place of `/dev`, with what std needs.
fn own_dev(directory: &Scratch) {
    fs::create_dir(directory.file("dev")).unwrap();
    let script = r#"mknod -m 666 "$0/null" c 1 3 && mount --bind "$0" /dev"#;
    let status = Command::new("sh").args(["-c", script]).arg(directory.file("dev")).status().unwrap();
    assert!(status.success(), "no /dev of its own");
}

fn logger() -> UnixDatagram {
    let _ = fs::remove_file("/dev/log");
    let logger = UnixDatagram::bind("/dev/log").unwrap();
    logger.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    logger
}

/// A pen in the background, ended when dropped.
struct Daemon(u32, SocketAddr);

impl Daemon {
    fn start(directory: &Scratch, servers: &[SocketAddr]) -> Daemon {
        let mut command = Command::new(program());
        command.current_dir(directory.path()).args(["-d", "-d", "-r", "-b", "0", "-p", "pen.pid", "127.0.0.1:0"]);
        command.args(servers.iter().map(ToString::to_string));
        let ended = Process::start(command, directory, "parent").wait();
        assert!(ended.status.success(), "{ended:?}");
        let pid = directory.read("pen.pid").trim().parse().unwrap();
        Daemon(pid, listeners(pid)[0])
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        send(self.0, "KILL");
        wait::until_true("it ends", || !is_alive(self.0));
    }
}

#[test]
fn a_logger_that_goes_away_or_does_not_read_ends_and_holds_up_nothing() {
    let name = "syslog::a_logger_that_goes_away_or_does_not_read_ends_and_holds_up_nothing";
    if !is_alone(name, &["mount", "mknod"]) {
        return;
    }
    let directory = Scratch::new();
    own_dev(&directory);
    let first = logger();
    let (server, dead) = (Server::start(echo), Refusing::new());
    let pen = Daemon::start(&directory, &[dead.address(), server.address()]);
    // It does not read: far more is said than it can hold.
    let client = connect(pen.1);
    (0..3_000).for_each(|_| assert_echoes(&client));
    // It has gone.
    drop(first);
    (0..300).for_each(|_| assert_echoes(&client));
    assert_echoes(&connect(pen.1));
    // It is back, and hears again what is said from now on.
    let second = logger();
    let mut message = [0; 2048];
    wait::until_true("it hears", || {
        assert_echoes(&client);
        let count = second.recv(&mut message).expect("pen says something");
        message[..count].starts_with(b"<15>")
    });
    assert!(is_alive(pen.0));
    let _ = Command::new("umount").args(["--lazy", "/dev"]).status();
}
