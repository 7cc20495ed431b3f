//! Nothing is left behind, and a lack of something is survived without spinning.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{End, ask, read_to_end, reset};
use crate::support::pen::Pen;
use crate::support::proc::{self, cpu, descriptors, limit_descriptors, resident, resident_own};
use crate::support::report::not_tested_here;
use crate::support::servers::{After, Blackhole, Refusing, Server, echo};
use crate::support::wait;

/// How much memory of its own may vary from one round of connections to the next, in KiB: a few pages of the allocator.
/// One connection that is not given back costs at least 200 bytes, so ten thousand would be 2,000 KiB.
const MARGIN: u64 = 256;

/// A pen that can do nothing uses less than two hundredths of a processor; one that spins uses all of it.
const IDLE: Duration = Duration::from_millis(20);
const A_WHILE: Duration = Duration::from_secs(1);

/// Watches pen for a while in which it has nothing to do.
#[track_caller]
fn assert_sleeps(pen: &Pen, when: &str) {
    let used = || {
        let before = cpu(pen.pid());
        wait::within(A_WHILE, || (cpu(pen.pid()) - before > IDLE).then_some(()));
        cpu(pen.pid()) - before
    };
    // What it was busy with may not be quite over.
    let (first, second) = (used(), used());
    assert!(first.min(second) <= IDLE, "{when}: {first:?} and {second:?} of processor time within {A_WHILE:?}");
}

/// A socket of the last connection may be kept for the next one.
#[track_caller]
fn wait_for_descriptors(pen: &Pen, wanted: usize) {
    wait::until_true("all descriptors are given back", || (wanted..=wanted + 1).contains(&descriptors(pen.pid())));
}

/// One connection of each sort: who ends first, and how.
fn one_of_each_sort(pen: &Pen, turn: usize) {
    let mut client = pen.connect();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    match turn % 4 {
        // The client ends, the server follows.
        0 | 1 => drop(client),
        2 => reset(client),
        // The server ends at that, and the client waits for it.
        _ => {
            client.write_all(b"q").unwrap();
            assert_eq!(read_to_end(&client), (Vec::new(), End::Finished));
        }
    }
}

/// Echoes byte by byte up to a `q`, all in one thread: ten thousand threads would take longer than the test itself.
fn quick_server() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = listener.try_clone().unwrap();
    thread::spawn(move || {
        for stream in accepting.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut byte = [0];
            while let Ok(1) = stream.read(&mut byte) {
                if byte[0] == b'q' || stream.write_all(&byte).is_err() {
                    break;
                }
            }
        }
    });
    (listener, address)
}

#[test]
fn ten_thousand_connections_one_after_another_leave_nothing() {
    let (_server, address) = quick_server();
    let pen = Pen::start(&["-c", "10"], &[address]);
    let idle = descriptors(pen.pid());
    let round = |times: usize| {
        (0..times).for_each(|turn| one_of_each_sort(&pen, turn));
        wait_for_descriptors(&pen, idle);
        resident_own(pen.pid())
    };
    let start = round(1_000);
    let end = round(9_000);
    assert!(end <= start + MARGIN, "{start} KiB after 1,000 connections, {end} KiB after 10,000");
    assert_sleeps(&pen, "afterwards");
}

/// Opens so many connections at once, sends a number through each both ways, and closes them all.
fn all_at_once(pen: &Pen, listener: &TcpListener, count: u32, seen: impl FnOnce()) {
    let (sender, accepted) = mpsc::channel();
    let accepting = listener.try_clone().unwrap();
    let serving = thread::spawn(move || {
        let mut streams = Vec::new();
        for _ in 0..count {
            let (mut stream, _) = accepting.accept().unwrap();
            let mut number = [0; 4];
            stream.read_exact(&mut number).unwrap();
            stream.write_all(&number).unwrap();
            streams.push(stream);
        }
        sender.send(streams).unwrap();
    });
    let mut clients: Vec<TcpStream> = Vec::new();
    for number in 0..count {
        let mut client = pen.connect();
        client.write_all(&number.to_be_bytes()).unwrap();
        clients.push(client);
    }
    for (number, client) in (0..count).zip(&mut clients) {
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap_or_else(|e| panic!("connection {number}: {e}"));
        assert_eq!(u32::from_be_bytes(answer), number);
    }
    let servers = accepted.recv_timeout(wait::PATIENCE).expect("all have arrived");
    serving.join().unwrap();
    seen();
    // Half of them are ended by the client and half by the server, all at the same time.
    for (index, (client, server)) in clients.into_iter().zip(servers).enumerate() {
        let (first, second) = if index % 2 == 0 { (client, server) } else { (server, client) };
        drop(first);
        drop(second);
    }
}

// B5: pen 0.34.1 writes past the end of a list when many connections die in one turn.
#[test]
fn b05_five_thousand_connections_at_once_leave_nothing() {
    const COUNT: u32 = 5_000;
    let name = "b05_five_thousand_connections_at_once_leave_nothing";
    // Two descriptors of each pair's are the test's own; the other tests need some too.
    if !limit_descriptors(std::process::id(), "16000:") {
        return not_tested_here(name, "the limit of open files cannot be raised to 16,000");
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let pen = Pen::start(&["-x", "5000", "-q", "5000", "-c", "10"], &[listener.local_addr().unwrap()]);
    if pen.stderr().contains("connections fit into the limit") {
        return not_tested_here(name, "pen cannot have 10,000 open files");
    }
    let idle = descriptors(pen.pid());
    let mut after = Vec::new();
    // The first round gives the heap its shape, which may be larger or smaller than the one that it keeps.
    for _ in 0..3 {
        all_at_once(&pen, &listener, COUNT, || {
            assert_eq!(descriptors(pen.pid()), idle + 2 * COUNT as usize);
            // Nothing but the table itself: an idle connection has no buffer.
            let busy = resident(pen.pid());
            assert!(busy < 12_000, "{busy} KiB with {COUNT} connections");
        });
        wait_for_descriptors(&pen, idle);
        after.push(resident_own(pen.pid()));
    }
    assert!(after[2] <= after[1] + MARGIN, "after each round, in KiB: {after:?}");
    assert_sleeps(&pen, "afterwards");
}

// B6: pen 0.34.1 ends or spins, depending on which of its two sockets cannot be made.
#[test]
fn b06_out_of_descriptors_is_survived_without_spinning_and_service_returns() {
    let name = "b06_out_of_descriptors_is_survived_without_spinning_and_service_returns";
    let server = Server::start(echo);
    // With an odd number the client's socket is the one that cannot be had, with an even one the server's, or vice versa.
    for more in [8, 9] {
        let pen = Pen::start(&["-t", "20"], &[server.address()]);
        let idle = descriptors(pen.pid());
        // The lowest number that cannot be opened: the limit is of numbers, not of how many there are.
        if !limit_descriptors(pen.pid(), &format!("{}:", idle + more)) {
            return not_tested_here(name, "there is no prlimit, or it is not allowed");
        }
        let mut clients: Vec<TcpStream> = (0..20).map(|_| pen.connect()).collect();
        clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
        wait::until_true("it runs out", || descriptors(pen.pid()) >= idle + more - 1);
        assert_sleeps(&pen, "out of descriptors");
        // Those who have theirs are served.
        clients[0].read_exact(&mut [0]).unwrap();
        // The others as these go: nobody is turned away.
        for mut client in clients.drain(1..) {
            client.read_exact(&mut [0]).unwrap_or_else(|e| panic!("{more} more: {e}"));
        }
        // And with more descriptors at once.
        let mut clients: Vec<TcpStream> = (0..20).map(|_| pen.connect()).collect();
        clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
        assert!(limit_descriptors(pen.pid(), &format!("{}:", idle + 200)));
        for client in &mut clients {
            client.read_exact(&mut [0]).unwrap_or_else(|e| panic!("{more} more, after the relief: {e}"));
        }
        drop(clients);
        let said = pen.stderr();
        assert!(!said.contains("blacklisted"), "it is not the server's fault: {said}");
        // Once while clients wait, and once more for those that came later.
        assert!(said.lines().count() <= 2, "{said}");
    }
}

#[test]
fn a_flood_of_clients_that_hang_up_at_once_holds_nobody_up_and_leaves_nothing() {
    const CLIENTS: usize = 4_000;
    let server = Server::start(echo);
    let pen = Pen::start(&[], &[server.address()]);
    let idle = descriptors(pen.pid());
    let mut kept = pen.connect();
    thread::scope(|scope| {
        let flood: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for number in 0..CLIENTS / 4 {
                        let client = pen.connect();
                        // By a reset, which may come before pen has accepted, or by an end.
                        if number % 2 == 0 { reset(client) } else { drop(client) }
                    }
                })
            })
            .collect();
        let mut slowest = Duration::ZERO;
        while flood.iter().any(|thread| !thread.is_finished()) {
            let begin = Instant::now();
            kept.write_all(b"x").unwrap();
            kept.read_exact(&mut [0]).unwrap();
            slowest = slowest.max(begin.elapsed());
        }
        assert!(slowest < Duration::from_secs(2), "a byte took {slowest:?}");
    });
    assert_eq!(ask(&pen.connect(), b"afterwards"), "afterwards");
    assert_eq!(ask(&kept, b"still"), "still");
    drop(kept);
    wait_for_descriptors(&pen, idle);
    assert_sleeps(&pen, "after the flood");
    assert!(!pen.stderr().contains("blacklisted"), "{}", pen.stderr());
}

#[test]
fn clients_beyond_the_limit_of_connections_wait_and_are_all_served() {
    let server = Server::start(echo);
    let pen = Pen::start(&["-x", "10"], &[server.address()]);
    let idle = descriptors(pen.pid());
    let mut clients: Vec<TcpStream> = (0..60).map(|_| pen.connect()).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
    for client in &mut clients[..10] {
        client.read_exact(&mut [0]).unwrap();
    }
    assert_sleeps(&pen, "full");
    assert_eq!(server.served(), 10);
    assert_eq!(descriptors(pen.pid()), idle + 20);
    clients.drain(..10);
    for mut client in clients {
        client.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(server.served(), 60);
    wait_for_descriptors(&pen, idle);
}

// B7: with a hundred connects under way pen 0.34.1 keeps a processor busy until they time out.
#[test]
fn b07_more_pending_connects_than_allowed_do_not_spin() {
    let silent = Blackhole::new();
    let pen = Pen::start(&["-t", "3"], &[silent.address()]);
    let idle = descriptors(pen.pid());
    let clients: Vec<TcpStream> = (0..150).map(|_| pen.connect()).collect();
    wait::until_true("a hundred are under way", || descriptors(pen.pid()) == idle + 200);
    assert_sleeps(&pen, "with 100 connects under way");
    assert_eq!(descriptors(pen.pid()), idle + 200, "and no more");
    for client in &clients {
        assert_eq!(read_to_end(client), (Vec::new(), End::Finished));
    }
    drop(clients);
    wait_for_descriptors(&pen, idle);
}

// B8: pen 0.34.1 begins its walk through the servers again and again, with 75,000 messages a second.
#[test]
fn b08_all_servers_dead_and_no_blacklist_time_is_one_walk_for_each_client() {
    let dead = [Refusing::new(), Refusing::new()];
    // -P is where pen 0.34.1 has this fault; it means nothing to ours.
    let pen = Pen::start(&["-P", "-b", "0"], &[dead[0].address(), dead[1].address()]);
    let idle = descriptors(pen.pid());
    for _ in 0..20 {
        assert_eq!(read_to_end(&pen.connect()), (Vec::new(), End::Finished));
    }
    assert_sleeps(&pen, "with all servers dead");
    wait_for_descriptors(&pen, idle);
    let lines = pen.stderr().lines().count();
    assert!(lines <= 40, "{lines} lines for 20 clients and 2 servers");
}

#[test]
fn a_silent_crowd_of_half_open_pairs_is_given_back_when_it_goes() {
    // A server that ends at once while its clients stay, and clients that end while their server stays.
    let ends = Server::start(|_| After::Close);
    let stays = Server::start(|_| After::Keep);
    let pen = Pen::start(&["-r"], &[ends.address(), stays.address()]);
    let idle = descriptors(pen.pid());
    for _ in 0..2 {
        let clients: Vec<TcpStream> = (0..60).map(|_| pen.connect()).collect();
        for client in &clients {
            client.shutdown(std::net::Shutdown::Write).unwrap();
        }
        assert_sleeps(&pen, "half of the pairs are half-open");
        clients.into_iter().for_each(reset);
        wait_for_descriptors(&pen, idle);
    }
    assert_eq!(proc::threads(pen.pid()), 1);
    let alive = Server::start(echo);
    let pen = Pen::start(&[], &[alive.address()]);
    assert_eq!(ask(&pen.connect(), b"still here"), "still here");
}
