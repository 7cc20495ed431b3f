//! What becomes of the packets to a port, in this test's own network.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::wait;

/// All fails that is sent to a port.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It vanishes.
    Blackhole,
    /// So many of a hundred packets vanish.
    Loss(u8),
    /// So many of a hundred datagrams vanish, of those from the port as well.
    #[cfg_attr(not(feature = "tools"), allow(dead_code, reason = "the log tools alone send datagrams"))]
    Datagrams(u8),
    /// It is answered with a reset.
    Reset,
    /// It is answered with "no route to host".
    Unreachable,
    /// The first packet of a handshake arrives, and nothing more.
    Silence,
}

impl Fault {
    /// Sets in for packets to these ports, in place of any fault that there was.
    #[track_caller]
    pub fn begin(self, ports: &[u16]) -> Active {
        let rules: Vec<String> = ports.iter().map(|port| self.rule(*port)).collect();
        nft(&format!("{TABLE}table inet sim {{ chain in {{ {HOOK}\n{}\n}}\n}}\n", rules.join("\n")));
        Active
    }

    fn rule(self, port: u16) -> String {
        let (which, what) = match self {
            Fault::Datagrams(percent) => {
                let some = format!("numgen random mod 100 < {percent} counter drop");
                return format!("udp dport {port} {some}\nudp sport {port} {some}");
            }
            Fault::Blackhole => (String::new(), "drop"),
            Fault::Loss(percent) => (format!("numgen random mod 100 < {percent}"), "drop"),
            Fault::Reset => (String::new(), "reject with tcp reset"),
            Fault::Unreachable => (String::new(), "reject with icmpx type host-unreachable"),
            Fault::Silence => (String::from("tcp flags & (syn|ack) == ack"), "drop"),
        };
        format!("tcp dport {port} {which} counter {what}")
    }
}

/// A fault that lasts as long as this: a server that is dropped under it would wait for its own last connection.
#[must_use]
pub struct Active;

impl Active {
    /// Waits until it has hit a packet.
    #[track_caller]
    pub fn wait_for_hit(&self) {
        wait::until_true("a packet is hit", || self.hits() > 0);
    }

    /// Ends it, and returns how many packets it has hit.
    #[track_caller]
    pub fn heal(self) -> u64 {
        self.hits()
    }

    #[track_caller]
    fn hits(&self) -> u64 {
        let output = Command::new("nft").args(["list", "table", "inet", "sim"]).output().expect("there is an nft");
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers = listed.split("counter packets ").skip(1);
        numbers.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok()).sum()
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        nft(TABLE);
    }
}

/// The table is there and empty; adding it first makes deleting it succeed.
const TABLE: &str = "add table inet sim\ndelete table inet sim\nadd table inet sim\n";
const HOOK: &str = "type filter hook input priority 0;";

#[track_caller]
fn nft(commands: &str) {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("there is an nft");
    child.stdin.take().expect("it is a pipe").write_all(commands.as_bytes()).expect("nft reads");
    let output = child.wait_with_output().expect("the child is ours");
    assert!(output.status.success(), "{commands}{}", String::from_utf8_lossy(&output.stderr));
}
