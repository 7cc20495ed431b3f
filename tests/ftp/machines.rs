//! Three machines, as network namespaces: clients, servers, and pen between them. Nobody forwards packets.

use std::process::Command;
use std::time::Duration;

use crate::support::process::{Ended, Process, listeners, send};
use crate::support::report;
use crate::support::scratch::Scratch;
use crate::support::wait;

/// The addresses of the server, which only pen can reach.
pub const SERVER_ADDRESSES: [&str; 2] = ["10.77.2.2", "fd77:2::2"];

/// The roles of the machines, and what begins the names of their namespaces.
const ROLES: [&str; 3] = ["client", "pen", "server"];
const PREFIX: &str = "penftp";

/// The machines, up as long as this exists, and a directory in which everything runs.
pub struct Machines {
    name: String,
    pub scratch: Scratch,
}

impl Machines {
    /// Brings them up for the test `name`. Where that cannot be it says so.
    #[track_caller]
    pub fn up(name: &str) -> Option<Machines> {
        if !report::is_root() || !report::is_installed("ip") {
            report::not_tested_here(name, "network namespaces need root and ip(8)");
            return None;
        }
        remove_left();
        let scratch = Scratch::new();
        let number = scratch.path().extension().unwrap_or_default().to_string_lossy().into_owned();
        let machines = Machines { name: format!("{PREFIX}.{}.{number}", std::process::id()), scratch };
        match machines.make() {
            Ok(()) => Some(machines),
            Err(why) => {
                report::not_tested_here(name, &why);
                None
            }
        }
    }

    fn make(&self) -> Result<(), String> {
        let [client, pen, server] = ROLES.map(|role| self.namespace(role));
        for namespace in [&client, &pen, &server] {
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        for (net, other) in [(1, &client), (2, &server)] {
            ip(&format!("-n {pen} link add net{net} type veth peer name eth0 netns {other}"))?;
            for (namespace, device, host) in [(&pen, format!("net{net}"), 1), (other, String::from("eth0"), 2)] {
                ip(&format!("-n {namespace} address add 10.77.{net}.{host}/24 dev {device}"))?;
                ip(&format!("-n {namespace} address add fd77:{net}::{host}/64 dev {device} nodad"))?;
                ip(&format!("-n {namespace} link set {device} up"))?;
            }
        }
        Ok(())
    }

    fn namespace(&self, role: &str) -> String {
        format!("{}.{role}", self.name)
    }

    /// A command on a machine.
    pub fn command(&self, role: &str, words: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(role)]).args(words).current_dir(self.scratch.path());
        command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C").env("HOME", self.scratch.path());
        command
    }

    /// Starts a long-running command on a machine; its output goes to `NAME.out` and `NAME.err`.
    #[track_caller]
    pub fn start(&self, role: &str, name: &str, words: &[&str]) -> Process {
        Process::start(self.command(role, words), &self.scratch, name)
    }

    /// Runs a shell command line on a machine to its end.
    #[track_caller]
    pub fn run(&self, role: &str, line: &str) -> Ended {
        self.run_for(6 * wait::PATIENCE, role, line)
    }

    /// The same, where it takes so long at most.
    #[track_caller]
    pub fn run_for(&self, time: Duration, role: &str, line: &str) -> Ended {
        let output = Scratch::new();
        let mut process = Process::start(self.command(role, &["sh", "-c", line]), &output, "run");
        assert!(wait::within(time, || process.has_ended().then_some(())).is_some(), "{line}: takes more than {time:?}");
        process.wait()
    }

    /// Waits until somebody on the machine listens on the TCP port.
    #[track_caller]
    pub fn wait_until_listening(&self, role: &str, port: u16) {
        let is_open = || {
            let pids = processes(&self.namespace(role));
            pids.into_iter().any(|pid| listeners(pid).iter().any(|address| address.port() == port))
        };
        wait::until_true(&format!("port {port} of {role} is open"), is_open);
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["pen.err", "server.err", "server.out"] {
                let text = self.scratch.read(name);
                let last: Vec<&str> = text.lines().skip(text.lines().count().saturating_sub(50)).collect();
                eprintln!("--- {name}\n{}", last.join("\n"));
            }
        }
        ROLES.iter().for_each(|role| remove(&self.namespace(role)));
    }
}

/// Removes what runs that were killed have left.
fn remove_left() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        let mut parts = name.split('.');
        let is_ours = parts.next() == Some(PREFIX);
        let pid = parts.next().and_then(|pid| pid.parse::<u32>().ok());
        if is_ours && pid.is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&name);
        }
    }
}

fn remove(namespace: &str) {
    for signal in ["TERM", "KILL"] {
        processes(namespace).into_iter().for_each(|pid| send(pid, signal));
        if wait::within(Duration::from_secs(3), || processes(namespace).is_empty().then_some(())).is_some() {
            break;
        }
    }
    let _ = ip(&format!("netns delete {namespace}"));
}

fn processes(namespace: &str) -> Vec<u32> {
    let output = Command::new("ip").args(["netns", "pids", namespace]).output();
    let pids = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output().map_err(|e| format!("ip {words}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
    if output.status.success() { Ok(()) } else { Err(format!("ip {words}: {said}")) }
}
