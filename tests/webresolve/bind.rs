//! BIND's name server on a free port of loopback, with zones of the test's.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;

use crate::support::process::Process;
use crate::support::report;
use crate::support::scratch::Scratch;
use crate::support::wait;

/// A running named; it ends with the test.
pub struct Bind {
    process: Process,
    /// Where it listens.
    pub at: SocketAddr,
}

/// What begins each zone: it is kept for 77 seconds that something is not there.
const HEAD: &str = "$TTL 3600\n@ SOA ns.test. root.test. 1 3600 900 604800 77\n@ NS ns.test.\n";

impl Bind {
    /// Starts it for the test `name` with these zones, of a name and lines of a zone file; `options` are further ones
    /// of named.conf. Where there is none it says so and returns `None`.
    #[track_caller]
    pub fn start(name: &str, directory: &Scratch, zones: &[(&str, String)], options: &str) -> Option<Bind> {
        if !report::is_installed("named") {
            report::not_tested_here(name, "not installed: named");
            return None;
        }
        // The port may be taken between the look and the use; then the next one is as good.
        for _ in 0..5 {
            let at = free_port();
            let mut process = begin(directory, at, zones, options);
            let ready = wait::until("named is up or has ended", || {
                let said = process.stderr();
                let is_up = said.contains(" running\n");
                (is_up || process.has_ended()).then_some(is_up)
            });
            if ready && is_served(at, &process) {
                return Some(Bind { process, at });
            }
        }
        panic!("named does not start");
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.stderr()
    }
}

fn is_served(at: SocketAddr, process: &Process) -> bool {
    let said = process.stderr();
    !said.contains("address in use") && process.listens_on().contains(&at)
}

/// A port of loopback that is free for datagrams and connections.
fn free_port() -> SocketAddr {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let at = listener.local_addr().expect("a bound socket has an address");
        if UdpSocket::bind(at).is_ok() {
            return at;
        }
    }
}

fn begin(directory: &Scratch, at: SocketAddr, zones: &[(&str, String)], options: &str) -> Process {
    let home = directory.path().display();
    let mut conf = format!(
        "options {{ directory \"{home}\"; listen-on port {} {{ {}; }}; listen-on-v6 {{ none; }}; recursion no; \
         pid-file none; session-keyfile none; empty-zones-enable no; minimal-responses yes; check-names primary ignore; \
         dnssec-validation no; {options} }};\ncontrols {{ }};\n",
        at.port(),
        at.ip()
    );
    for (zone, lines) in zones {
        directory.write(&format!("{zone}.zone"), &format!("{HEAD}{lines}"));
        conf += &format!("zone \"{zone}\" {{ type primary; file \"{zone}.zone\"; check-names ignore; }};\n");
    }
    directory.write("named.conf", &conf);
    let mut command = Command::new("named");
    // In the foreground, one thread, and what it says on standard error.
    command.args(["-g", "-n", "1", "-c"]).arg(directory.file("named.conf")).current_dir(directory.path());
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    Process::start(command, directory, "named")
}
