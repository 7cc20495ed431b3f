//! The faults of the soak: servers that die, stop and come back, signals, commands, a log that is moved away.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::conversation::pause;
use super::server::{Addresses, LISTENS, UNEXPECTED};
use super::tally::{Tally, add};
use super::traffic::Random;
use crate::support::pen::Pen;
use crate::support::process::{Process, send};
use crate::support::scratch::Scratch;
use crate::support::servers::Refusing;
use crate::support::wait;

/// A server of the soak, which can be killed and started again at its addresses.
pub struct Server {
    number: u8,
    /// They keep the addresses while no process has them.
    _places: [Refusing; 3],
    addresses: Addresses,
    process: Process,
    starts: u32,
}

impl Server {
    pub fn start(number: u8, directory: &Scratch) -> Server {
        let places = [Refusing::new(), Refusing::new(), Refusing::new()];
        // Sockets that are not bound to an address speak to loopback from 127.0.0.1: nobody else has a port of this one.
        let datagrams =
            UdpSocket::bind((Ipv4Addr::new(127, 0, 2, 1 + number), 0)).and_then(|socket| socket.local_addr());
        let [talk, web, files] = [0, 1, 2].map(|which: usize| places[which].address());
        let addresses = Addresses { talk, web, files, datagrams: datagrams.expect("an address of this machine") };
        let process = start(number, addresses, directory, 0);
        Server { number, _places: places, addresses, process, starts: 0 }
    }

    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    fn kill(&mut self, tally: &Tally) {
        tally.kill(self.number);
        self.process.stop("KILL");
        self.report(tally);
    }

    fn start_again(&mut self, directory: &Scratch) {
        self.starts += 1;
        self.process = start(self.number, self.addresses, directory, self.starts);
    }

    /// What it saw that must never happen.
    pub fn report(&self, tally: &Tally) {
        for line in self.process.stdout().lines().filter_map(|line| line.strip_prefix(UNEXPECTED)) {
            tally.unexpected(line.to_string());
        }
    }
}

fn start(number: u8, addresses: Addresses, directory: &Scratch, time: u32) -> Process {
    let mut command = Command::new(std::env::current_exe().expect("this program has a file"));
    command.arg("--serve").arg(number.to_string()).args(addresses.words());
    let process = Process::start(command, directory, &format!("server{number}.{time}"));
    // It says so itself: to look it up takes long when there are tens of thousands of connections that have ended. And
    // it may be long until it has its turn, on a machine where everybody else comes before it.
    let listens = wait::within(START_TIME, || process.stdout().starts_with(LISTENS).then_some(()));
    let state = || std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap_or_default();
    assert!(listens.is_some(), "server {number} does not listen: {}\n{}", process.stderr(), state());
    process
}

/// How long a server may take to start.
const START_TIME: Duration = Duration::from_secs(120);

/// Commands that change nothing that matters here.
const COMMANDS: [&str; 8] =
    ["servers", "recent 10", "server 0 weight 3", "blacklist 1", "control", "client_acl", "conn_max", "nonsense"];

/// Ends the soak when this thread ends before its time: without faults the rest would show nothing.
struct Over<'a>(&'a Tally);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

/// Makes trouble until the soak is over; then everything is as it was at the beginning.
pub fn run(pen: &Pen, servers: &mut [Server], directory: &Scratch, tally: &Tally, mut random: Random) {
    let _over = Over(tally);
    while !tally.is_over() {
        pause(random.millis(50, 1_000));
        let which = random.below(servers.len() as u64) as usize;
        match random.below(10) {
            0 | 1 => {
                servers[which].kill(tally);
                pause(random.millis(10, 2_000));
                servers[which].start_again(directory);
            }
            2 | 3 => {
                tally.fault("server stopped for a while");
                stop_for_a_while(servers[which].process.pid(), &mut random, 3_000);
            }
            4 => {
                tally.fault("pen stopped for a while");
                stop_for_a_while(pen.pid(), &mut random, 500);
            }
            5 => {
                tally.fault("USR1");
                send(pen.pid(), "USR1");
            }
            6 => {
                tally.fault("log moved away, and HUP");
                let log = pen.directory().file("pen.log");
                let _ = std::fs::rename(&log, pen.directory().file("pen.log.old"));
                send(pen.pid(), "HUP");
            }
            7 => {
                tally.fault("silent control client");
                let silent = UnixStream::connect(pen.directory().file("control"));
                pause(random.millis(10, 500));
                drop(silent);
            }
            _ => {
                let command = COMMANDS[random.below(COMMANDS.len() as u64) as usize];
                let ended = pen.penctl(&[command]);
                let is_mistake = command == "nonsense";
                if ended.status.success() == is_mistake {
                    tally.unexpected(format!("penctl {command}: {ended:?}"));
                }
                add(&tally.commands, 1);
            }
        }
    }
}

fn stop_for_a_while(pid: u32, random: &mut Random, most: u64) {
    send(pid, "STOP");
    pause(random.millis(10, most));
    send(pid, "CONT");
}
