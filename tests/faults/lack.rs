//! The system has not what a connection needs (memory, buffers, ports), or forbids it: nobody is to blame.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::support::client::{End, read_to_end};
use crate::support::pen::Pen;
use crate::support::preload::library;
use crate::support::proc;
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, answer_at_the_end};
use crate::support::wait;

/// As errno(3) has them, on Linux.
const LACKS: [(i32, &str); 4] = [(1, "EPERM"), (12, "ENOMEM"), (99, "EADDRNOTAVAIL"), (105, "ENOBUFS")];

/// How long each lasts.
const TIME: Duration = Duration::from_millis(1_500);

/// What a pen lacks, which this test says.
struct Lack(fs::File);

impl Lack {
    fn start(directory: &Scratch, library: &str, options: &[&str], servers: &[impl ToString]) -> (Pen, Lack) {
        let path = directory.file("lack");
        fs::write(&path, [0; 8]).unwrap();
        let variable = format!("LACK={}", path.display());
        let pen = Pen::start_under(&["env", library, &variable], Ipv4Addr::LOCALHOST.into(), options, servers);
        (pen, Lack(OpenOptions::new().write(true).open(path).unwrap()))
    }

    /// From now on connect and accept fail with these numbers; 0 lets them be.
    fn set(&self, connect: i32, accept: i32) {
        let bytes = [connect.to_ne_bytes(), accept.to_ne_bytes()].concat();
        assert_eq!(self.0.write_at(&bytes, 0).unwrap(), 8);
    }
}

/// Clients come while something lacks, wait, and are served within a second of relief by servers that are not blamed;
/// nobody spins meanwhile.
fn clients_wait_while(name: &str, [of_connect, of_accept]: [bool; 2]) {
    let directory = Scratch::new();
    let Some(library) = library(&directory, "lack", name) else { return };
    let servers = [Server::start(answer_at_the_end), Server::start(answer_at_the_end)];
    let options = [&Pen::control_options()[..], &["-r", "-b", "60", "-t", "10"]].concat();
    let (pen, lack) = Lack::start(&directory, &library, &options, &servers.each_ref().map(Server::address));
    for (number, text) in LACKS {
        lack.set(if of_connect { number } else { 0 }, if of_accept { number } else { 0 });
        let clients: Vec<_> = (0..10).map(|_| pen.connect()).collect();
        for (mut client, which) in clients.iter().zip(0..) {
            write!(client, "{text} {which}").unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let served = servers.each_ref().map(Server::served);
        let before = proc::cpu(pen.pid());
        wait::within(TIME, || None::<()>);
        let spent = proc::cpu(pen.pid()) - before;
        assert!(spent <= TIME / 50, "{text}: {spent:?}");
        assert_eq!(servers.each_ref().map(Server::served), served, "{text}");
        lack.set(0, 0);
        let relieved = Instant::now();
        for (client, which) in clients.iter().zip(0..) {
            assert_eq!(read_to_end(client), (format!("{text} {which}").into_bytes(), End::Finished));
        }
        assert!(relieved.elapsed() < Duration::from_secs(1), "{text}: {:?}", relieved.elapsed());
        // Each server has half of them: none was blamed.
        assert_eq!(servers.each_ref().map(Server::served), served.map(|served| served + 5), "{text}");
    }
    assert!(!pen.obey("servers").contains("blacklist"), "{}", pen.obey("servers"));
}

#[test]
fn clients_wait_while_pen_may_not_connect_and_no_server_is_blamed() {
    clients_wait_while("clients_wait_while_pen_may_not_connect_and_no_server_is_blamed", [true, false]);
}

#[test]
fn clients_wait_in_the_queue_while_pen_cannot_accept() {
    clients_wait_while("clients_wait_in_the_queue_while_pen_cannot_accept", [false, true]);
}
