//! Several pens on one port.

use std::process::Command;

use crate::support::client::read_to_end;
use crate::support::pen::{self, Pen};
use crate::support::process::Process;
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, greet};
use crate::support::wait;

#[test]
fn pens_that_say_so_share_a_port_and_with_a_hash_agree_on_servers() {
    let servers = ["a", "b", "c"].map(|name| Server::start(greet(name)));
    let addresses = [0, 1, 2].map(|at: usize| servers[at].address().to_string());
    let first = Pen::start(&["-d", "-h", "-o", "reuseport"], &addresses);
    let directory = Scratch::new();
    let start = |options: &[&str]| {
        let mut command = Command::new(pen::program());
        command.arg("-f").args(options).arg(first.address().to_string()).args(&addresses);
        Process::start(command, &directory, "second")
    };
    let ended = start(&["-h"]).wait();
    assert!(ended.stderr.contains("address already in use"), "one that does not say so: {ended:?}");
    let second = start(&["-d", "-h", "-o", "reuseport"]);
    wait::until_true("the second pen listens", || second.listens_on().contains(&first.address()));
    for source in 1..9 {
        let mut got: Vec<Vec<u8>> = Vec::new();
        // Which pen a connection comes to is the kernel's choice, by its port.
        for _ in 0..10 {
            got.push(read_to_end(&first.connect_from([127, 0, 0, source])).0);
        }
        got.dedup();
        assert_eq!(got.len(), 1, "127.0.0.{source} had one server: {got:?}");
    }
    let served = |words: &str| words.matches("accepted").count();
    let both = || served(&first.stderr()) + served(&second.stderr()) == 80;
    wait::until_true("all clients are told of", both);
    let shares = (served(&first.stderr()), served(&second.stderr()));
    assert!(shares.0 >= 10 && shares.1 >= 10, "both had a share: {shares:?}");
}
