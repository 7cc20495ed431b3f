//! pen as a service: what it tells whoever supervises it, and the files in `contrib`.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::client::read_to_end;
use crate::support::pen::Pen;
use crate::support::process::{self, Process};
use crate::support::report::{is_installed, not_tested_here};
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, greet};
use crate::support::wait;

/// Plays systemd's part: a socket where it is told.
fn supervisor(scratch: &Scratch) -> (UnixDatagram, String) {
    let path = scratch.file("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    (socket, format!("NOTIFY_SOCKET={}", path.display()))
}

#[track_caller]
fn told(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 1000];
    let count = socket.recv(&mut buffer).expect("it is told something");
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

fn ready(pid: u32) -> String {
    format!("READY=1\nMAINPID={pid}\nSTATUS=serving")
}

#[test]
fn a_supervisor_is_told_when_pen_serves_which_process_it_is_and_when_it_ends() {
    let scratch = Scratch::new();
    let (socket, variable) = supervisor(&scratch);
    let server = Server::start(greet("hello"));
    let mut pen =
        Pen::start_under(&["env", &variable], Ipv4Addr::LOCALHOST.into(), &["-p", "{dir}/pid"], &[server.address()]);
    assert_eq!(told(&socket), ready(pen.pid()));
    assert_eq!(read_to_end(&pen.connect()).0, b"hello");
    // An upgrade is no end, and its successor says who it is.
    pen.process().signal("USR2");
    let text = told(&socket);
    let number: u32 = text.lines().find_map(|line| line.strip_prefix("MAINPID=")).unwrap().parse().unwrap();
    assert_ne!(number, pen.pid());
    assert_eq!(text, ready(number));
    wait::until_true("the old one has gone", || pen.process().has_ended());
    assert_eq!(read_to_end(&pen.connect()).0, b"hello");
    process::send(number, "TERM");
    assert_eq!(told(&socket), "STOPPING=1");
    wait::until_true("the new one has gone", || !process::is_alive(number));
}

fn contrib(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(path)
}

#[test]
fn scripts_for_packages_are_scripts() {
    for path in ["openwrt/pen.init", "openrc/pen.initd", "bsd/pen.freebsd", "bsd/pen.openbsd", "keepalived/pen-vrrp"] {
        let mut command = Command::new("sh");
        command.arg("-n").arg(contrib(path));
        let ended = Process::run(command);
        assert!(ended.status.success(), "{path}: {ended:?}");
    }
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    if !is_installed("systemd-analyze") {
        return not_tested_here("contrib/systemd with systemd-analyze verify", "not installed: systemd-analyze");
    }
    let scratch = Scratch::new();
    // It looks for the programs, which are not installed here.
    let service = fs::read_to_string(contrib("systemd/pen.service")).unwrap().replace("/usr/sbin/pen", "/bin/true");
    fs::write(scratch.file("pen.service"), service).unwrap();
    fs::copy(contrib("systemd/pen.socket"), scratch.file("pen.socket")).unwrap();
    for unit in ["pen.service", "pen.socket"] {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no"]).arg(scratch.file(unit));
        let ended = Process::run(command);
        let about_pen: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("pen.s")).collect();
        assert!(ended.status.success() && about_pen.is_empty(), "{unit}: {ended:?}");
    }
}

#[test]
fn the_configuration_that_is_shipped_is_in_order() {
    let ended = crate::support::pen::run(&["-n", "-F", &contrib("systemd/pen.conf").display().to_string()]);
    assert!(ended.status.success(), "{ended:?}");
}
