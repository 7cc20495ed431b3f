//! Bytes arrive: whole, in order, and with the end that they had.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::support::client::{End, ask, bounded, connect, read_line, read_to_end, reset};
use crate::support::pattern::Pattern;
use crate::support::pen::{Pen, optimised_program, program};
use crate::support::proc;
use crate::support::process::Process;
use crate::support::report::{is_root, not_tested_here};
use crate::support::scratch::Scratch;
use crate::support::servers::{self, After, Blackhole, Refusing, Server, echo, greet};
use crate::support::wait;

/// The greatest piece of a transfer in these tests that does not fit into the kernel's buffers.
const LONG: usize = 3_000_000;

/// A server that reads to the client's end, then sends an answer of as many bytes as the request says, and closes at once.
fn answering(pattern: Arc<Pattern>) -> Server {
    Server::start(move |mut stream| {
        let mut request = String::new();
        if stream.read_to_string(&mut request).is_ok() {
            let length = request.parse().expect("a length");
            let _ = pattern.write(stream, length, |_| {});
        }
        After::Close
    })
}

// B2: with the engine that pen 0.34.1 takes by default, six short answers of ten vanish, and seven long ones are cut.
#[test]
fn b02_an_answer_to_a_client_that_has_ended_arrives_whole() {
    let pattern = Arc::new(Pattern::new(1));
    let server = answering(Arc::clone(&pattern));
    let pen = Pen::start(&["-r"], &[server.address()]);
    for (length, times) in [(5, 300), (100_000, 50), (LONG, 12)] {
        for time in 0..times {
            let mut client = pen.connect();
            write!(client, "{length}").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let arrived = pattern.check(&client, 65_536).unwrap_or_else(|e| panic!("{length}, time {time}: {e}"));
            assert_eq!(arrived, length, "time {time}");
        }
    }
}

// B2, the other way round: the server ends first, and the client's upload is still on its way.
#[test]
fn b02_an_upload_to_a_server_that_has_ended_arrives_whole() {
    let pattern = Arc::new(Pattern::new(2));
    let (sender, arrived) = mpsc::channel();
    let server = Server::start({
        let pattern = Arc::clone(&pattern);
        move |stream| {
            stream.shutdown(Shutdown::Write).expect("it is connected");
            sender.send(pattern.check(stream, 65_536)).expect("the test goes on");
            After::Close
        }
    });
    let pen = Pen::start(&["-r"], &[server.address()]);
    for (length, times) in [(5, 200), (LONG, 12)] {
        for time in 0..times {
            let client = pen.connect();
            assert_eq!(read_to_end(&client), (Vec::new(), End::Finished));
            pattern.write(&client, length, |_| {}).unwrap();
            drop(client);
            let count = arrived.recv_timeout(wait::PATIENCE).expect("the server sees the end");
            assert_eq!(count.unwrap(), length, "time {time}");
        }
    }
}

/// Writes in a thread of its own; the counter tells how far it has come.
fn write_aside(stream: &TcpStream, pattern: &Arc<Pattern>, total: usize) -> (Arc<AtomicUsize>, thread::JoinHandle<()>) {
    let (stream, pattern, count) = (stream.try_clone().unwrap(), Arc::clone(pattern), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&count);
    let writing = thread::spawn(move || {
        pattern.write(&stream, total, |sent| counter.store(sent, Ordering::SeqCst)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    (count, writing)
}

/// Waits until the counter has stood still for a while: everything between here and there is full.
#[track_caller]
fn wait_for_standstill(count: &AtomicUsize) {
    let mut last = (0, Instant::now());
    wait::until_true("the writer is held up", || {
        let now = count.load(Ordering::SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
        now > 0 && last.1.elapsed() > Duration::from_millis(150)
    });
}

#[test]
fn a_hundred_megabytes_each_way_at_once_arrive_though_both_readers_are_late() {
    // More than four sockets hold: each receives up to tcp_rmem's greatest, 32 MiB, and sends up to tcp_wmem's, 4 MiB.
    const TOTAL: usize = 100_000_000;
    let (pen, client, server) = Pen::start_with_both_ends(&[]);
    let of_the_pair = 2;
    let before = proc::descriptors(pen.pid()) - of_the_pair;
    let (up, down) = (Arc::new(Pattern::new(3)), Arc::new(Pattern::new(4)));
    let (sent_up, writing_up) = write_aside(&client, &up, TOTAL);
    let (sent_down, writing_down) = write_aside(&server, &down, TOTAL);
    wait_for_standstill(&sent_up);
    wait_for_standstill(&sent_down);
    assert!(sent_up.load(Ordering::SeqCst) < TOTAL && sent_down.load(Ordering::SeqCst) < TOTAL, "nobody was late");
    let reading = thread::spawn(move || up.check(&server, 1_500).unwrap());
    assert_eq!(down.check(&client, 5_000).unwrap(), TOTAL);
    assert_eq!(reading.join().unwrap(), TOTAL);
    writing_up.join().unwrap();
    writing_down.join().unwrap();
    // Not even a pipe is kept when nobody is there.
    drop(client);
    wait::until_true("all descriptors are given back", || proc::descriptors(pen.pid()) == before);
}

#[test]
fn a_gibibyte_to_a_slow_reader_is_identical_and_pen_stays_under_four_mebibytes() {
    const TOTAL: usize = 1 << 30;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A build that is not optimised is larger; it is only used if there is no other.
    let optimised = optimised_program().display().to_string();
    let by = ["sh", "-c", r#"shift; exec "$0" "$@""#, &optimised];
    let pen = Pen::start_under(&by, [127, 0, 0, 1].into(), &[], &[listener.local_addr().unwrap()]);
    // At its start it had all of its code in memory, too.
    let before = proc::most_resident(pen.pid());
    let client = pen.connect();
    let server = bounded(listener.accept().unwrap().0);
    // Full buffers make the kernel drop and send again, which can take longer than anything else here on a busy machine.
    client.set_read_timeout(Some(3 * wait::PATIENCE)).unwrap();
    server.set_write_timeout(Some(3 * wait::PATIENCE)).unwrap();
    let pattern = Arc::new(Pattern::new(5));
    let (sent, writing) = write_aside(&server, &pattern, TOTAL);
    wait_for_standstill(&sent);
    let full = sent.load(Ordering::SeqCst);
    assert!(full < TOTAL / 10, "{full} bytes went somewhere");
    // Pieces this small are read more slowly than they are sent, so pen is held up all the time.
    assert_eq!(pattern.check(&client, 16_384).unwrap(), TOTAL);
    writing.join().unwrap();
    let (most, now) = (proc::most_resident(pen.pid()), proc::resident(pen.pid()));
    assert!(most < before + 1024, "{most} KiB at the most, {now} KiB now, {before} KiB at the most before");
    // Most of this is the program itself, and the C library's; what is not optimised is larger.
    let is_optimised = optimised_program().parent().is_some_and(|parent| parent.ends_with("release"));
    assert!(most < 4096 || !is_optimised, "{most} KiB at the most, {now} KiB now");
}

#[test]
fn others_are_answered_while_bulk_is_carried() {
    let (pattern, small) = (Arc::new(Pattern::new(6)), Server::start(echo));
    let bulk = Server::start({
        let pattern = Arc::clone(&pattern);
        move |stream| {
            // For ever: until the client goes.
            let _ = pattern.write(stream, usize::MAX, |_| {});
            After::Close
        }
    });
    // The first four connections are bulk, the fifth is the small one.
    let servers = [&bulk, &bulk, &bulk, &bulk, &small].map(Server::address);
    let pen = Pen::start(&["-r"], &servers);
    let count = Arc::new(AtomicUsize::new(0));
    let sinks: Vec<TcpStream> = (0..4).map(|_| pen.connect()).collect();
    for sink in &sinks {
        let (mut sink, count) = (sink.try_clone().unwrap(), Arc::clone(&count));
        thread::spawn(move || {
            let mut room = vec![0; 65_536];
            while let Ok(1..) = sink.read(&mut room) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    wait::until_true("bulk is carried", || count.load(Ordering::SeqCst) > 100);
    let mut client = pen.connect();
    let mut times = Vec::new();
    let before = count.load(Ordering::SeqCst);
    for _ in 0..100 {
        let start = Instant::now();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        times.push(start.elapsed());
    }
    assert!(count.load(Ordering::SeqCst) > before, "no bulk was carried meanwhile");
    times.sort_unstable();
    // A turn carries at most 256 KiB of each direction of each pair, which takes a millisecond; the rest is
    // the machine, which has this test's own threads to run.
    assert!(times[50] < Duration::from_millis(100), "the median of 100: {:?}, the longest: {:?}", times[50], times[99]);
    for sink in sinks {
        sink.shutdown(Shutdown::Both).unwrap();
    }
}

// B15: pen 0.34.1 makes an orderly end of a reset, so a transfer that was cut looks complete.
#[test]
fn b15_a_reset_by_the_server_reaches_the_client_behind_all_that_was_sent_before() {
    for length in [0, 5, 100_000, LONG] {
        let (_pen, client, server) = Pen::start_with_both_ends(&[]);
        let pattern = Arc::new(Pattern::new(7));
        let reading = thread::spawn(move || read_to_end(&client));
        pattern.write(&server, length, |_| {}).unwrap();
        // A reset throws away what this end's own kernel has not sent; that is not pen's doing.
        wait::until_true("the server's kernel has sent all", || unsent(&server) == 0);
        reset(server);
        let (bytes, end) = reading.join().unwrap();
        assert_eq!((bytes.len(), end), (length, End::Reset));
        assert!(bytes == pattern.bytes(length), "{length}: a wrong byte");
    }
}

/// Bytes that a socket has not delivered yet.
fn unsent(stream: &TcpStream) -> usize {
    let (own, peer) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let hex = |at: SocketAddr| match at {
        SocketAddr::V4(at) => format!("{:08X}:{:04X}", u32::from_ne_bytes(at.ip().octets()), at.port()),
        SocketAddr::V6(_) => unreachable!("an IPv4 test"),
    };
    let wanted = format!("{} {} ", hex(own), hex(peer));
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let line = table.lines().find(|line| line.contains(&wanted)).unwrap_or_else(|| panic!("no {wanted}"));
    let queues = line.split_whitespace().nth(4).unwrap();
    usize::from_str_radix(queues.split(':').next().unwrap(), 16).unwrap()
}

#[test]
fn b15_a_reset_by_the_client_reaches_the_server() {
    for length in [0, 5, 100_000] {
        let (_pen, client, server) = Pen::start_with_both_ends(&[]);
        let pattern = Arc::new(Pattern::new(8));
        pattern.write(&client, length, |_| {}).unwrap();
        wait::until_true("the client's kernel has sent all", || unsent(&client) == 0);
        reset(client);
        let (bytes, end) = read_to_end(&server);
        assert_eq!((bytes.len(), end), (length, End::Reset));
    }
}

#[test]
fn a_reset_after_an_orderly_half_is_still_a_reset() {
    // The client has ended; then the server resets.
    let (_pen, client, server) = Pen::start_with_both_ends(&[]);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&server), (Vec::new(), End::Finished));
    reset(server);
    assert_eq!(read_to_end(&client), (Vec::new(), End::Reset));

    // The server has ended; then the client resets.
    let (_pen, client, server) = Pen::start_with_both_ends(&[]);
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&client), (Vec::new(), End::Finished));
    reset(client);
    assert_eq!(read_to_end(&server), (Vec::new(), End::Reset));
}

// B1: pen 0.34.1 closes the client of a server that refuses, and blacklists nobody.
#[test]
fn b01_a_client_whose_server_refuses_is_served_by_the_next_within_its_connection() {
    let dead = [Refusing::new(), Refusing::new()];
    let alive = Server::start(echo);
    let pen = Pen::start(&["-r"], &[dead[0].address(), dead[1].address(), alive.address()]);
    for _ in 0..5 {
        // The first bytes are there before pen knows that there is a server for them.
        assert_eq!(ask(&pen.connect(), b"the first bytes"), "the first bytes");
    }
    let said = pen.stderr();
    for server in 0..2 {
        let times = said.matches(&format!("server {server} (")).count();
        assert_eq!(times, 1, "it is said once that server {server} is blacklisted: {said}");
    }
    assert_eq!(said.matches("connection refused; blacklisted for 30 s").count(), 2, "{said}");
}

#[test]
fn b01_a_client_whose_server_is_silent_is_served_by_the_next_after_the_time_out() {
    let (silent, alive) = (Blackhole::new(), Server::start(echo));
    let pen = Pen::start(&["-r", "-t", "1"], &[silent.address(), alive.address()]);
    let start = Instant::now();
    assert_eq!(ask(&pen.connect(), b"the first bytes"), "the first bytes");
    let took = start.elapsed();
    assert!((Duration::from_millis(990)..Duration::from_secs(4)).contains(&took), "{took:?}");
    let start = Instant::now();
    assert_eq!(ask(&pen.connect(), b"more"), "more");
    assert!(start.elapsed() < Duration::from_millis(900), "it is blacklisted: nobody waits again");
}

#[test]
fn a_client_that_nobody_can_serve_sees_an_orderly_end_though_it_has_sent_something() {
    let dead = Refusing::new();
    let pen = Pen::start(&[], &[dead.address()]);
    for _ in 0..20 {
        let mut client = pen.connect();
        client.write_all(&[b'x'; 10_000]).unwrap();
        assert_eq!(read_to_end(&client), (Vec::new(), End::Finished));
    }
}

// Urgent data is a mark in the stream, at which a read stops without an edge that tells of the rest.
#[test]
fn an_urgent_byte_arrives_in_its_place_in_both_directions() {
    let (_pen, client, server) = Pen::start_with_both_ends(&[]);
    let mut expected = Vec::new();
    for turn in 0..200_u32 {
        let (from, to) = if turn % 2 == 0 { (&client, &server) } else { (&server, &client) };
        let text = format!("before {turn},!after {turn};");
        let (before, rest) = text.split_once('!').unwrap();
        (&mut &*from).write_all(before.as_bytes()).unwrap();
        assert_eq!(SockRef::from(from).send_out_of_band(b"!").unwrap(), 1);
        (&mut &*from).write_all(rest.as_bytes()).unwrap();
        expected.clear();
        expected.resize(text.len(), 0);
        (&mut &*to).read_exact(&mut expected).unwrap_or_else(|e| panic!("turn {turn}: {e}"));
        assert_eq!(String::from_utf8_lossy(&expected), text);
    }
}

/// What a test needs of a client's connection, over TCP or a Unix socket.
trait Duplex: Read + Write {
    fn end(&mut self);
}

impl Duplex for TcpStream {
    fn end(&mut self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

impl Duplex for UnixStream {
    fn end(&mut self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

/// Sends a megabyte to something that echoes, and expects it back.
#[track_caller]
fn exchange(mut client: impl Duplex + Send + 'static, mut reader: impl Read, what: &str) {
    let pattern = Arc::new(Pattern::new(9));
    let writing = thread::spawn({
        let pattern = Arc::clone(&pattern);
        move || {
            pattern.write(&mut client, 1_000_000, |_| {}).unwrap();
            client.end();
        }
    });
    assert_eq!(pattern.check(&mut reader, 65_536).unwrap(), 1_000_000, "{what}");
    writing.join().unwrap();
}

/// A Unix socket that echoes, for so many connections.
fn echo_at_path(directory: &Scratch, connections: usize) -> String {
    let path = directory.file("server").display().to_string();
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().take(connections) {
            let stream = stream.unwrap();
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    path
}

#[test]
fn ipv4_ipv6_and_unix_sockets_go_together_on_both_sides() {
    let directory = Scratch::new();
    let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let v4 = Server::start(echo);
    let v6 = has_ipv6.then(|| Server::start_at((Ipv6Addr::LOCALHOST, 0).into(), echo));
    let path = echo_at_path(&directory, 3);
    let mut servers = vec![v4.address().to_string(), path];
    servers.extend(v6.as_ref().map(|server| server.address().to_string()));
    for server in &servers {
        let mut listeners = vec![IpAddr::from([127, 0, 0, 1])];
        listeners.extend(has_ipv6.then_some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        for ip in listeners {
            let pen = Pen::start_at(ip, &[], &[server]);
            let client = pen.connect();
            exchange(client.try_clone().unwrap(), client, &format!("{ip} to {server}"));
        }
        let path = directory.file("listener");
        let mut command = Command::new(program());
        command.arg("-f").arg(&path).arg(server);
        let mut pen = Process::start(command, &directory, "pen");
        let client = wait::until("pen listens", || UnixStream::connect(&path).ok());
        client.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        exchange(client.try_clone().unwrap(), client, &format!("a path to {server}"));
        assert_eq!(pen.stop("TERM").status.code(), Some(0));
    }
    if !has_ipv6 {
        not_tested_here("ipv4_ipv6_and_unix_sockets_go_together_on_both_sides", "there is no address ::1");
    }
}

// B29: pen 0.34.1 takes the first address of a name and no other.
#[test]
fn b29_each_address_of_a_name_is_tried() {
    let name = "b29_each_address_of_a_name_is_tried";
    if !is_root() {
        return not_tested_here(name, "only root can give pen a hosts file of its own");
    }
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return not_tested_here(name, "there is no address ::1");
    }
    let directory = Scratch::new();
    let hosts = directory.write("hosts", "127.0.0.1 localhost\n127.0.0.1 many\n127.0.0.2 many\n::1 many\n");
    let script = r#"mount --bind "$0" "$(readlink -f /etc/hosts)" && exec "$@""#;
    let hosts = hosts.display().to_string();
    let by = ["unshare", "--mount", "sh", "-c", script, &hosts];
    for ip in ["127.0.0.1", "127.0.0.2", "::1"] {
        let server = Server::start_at((ip.parse::<IpAddr>().unwrap(), 0).into(), greet(ip));
        let operand = format!("many:{}", server.address().port());
        let pen = Pen::start_under(&by, [127, 0, 0, 1].into(), &[], &[operand]);
        for _ in 0..3 {
            assert_eq!(read_to_end(&pen.connect()), (ip.as_bytes().to_vec(), End::Finished));
        }
        // A server of which one address answers has not failed.
        assert_eq!(pen.stderr(), "");
    }
}

#[test]
fn many_clients_at_once_each_get_their_own_answer() {
    let server = Server::start(servers::answer_at_the_end);
    let pen = Pen::start(&[], &[server.address()]);
    let address = pen.address();
    let clients: Vec<_> = (0..8)
        .map(|client| {
            thread::spawn(move || {
                for turn in 0..40 {
                    let text = format!("client {client} turn {turn} ").repeat(1 + turn * 20);
                    assert_eq!(ask(&connect(address), text.as_bytes()), text);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn small_packets_are_not_held_back() {
    let (_pen, client, server) = Pen::start_with_both_ends(&[]);
    client.set_nodelay(true).unwrap();
    let start = Instant::now();
    // A request in two small segments, each carried on by itself: Nagle's algorithm would hold the second one back until
    // the first is acknowledged, and that takes 40 ms each time.
    for _ in 0..50 {
        (&client).write_all(b"hal").unwrap();
        (&server).read_exact(&mut [0; 3]).unwrap();
        (&client).write_all(b"f\n").unwrap();
        assert_eq!(read_line(&server), "f");
        (&server).write_all(b"ok\n").unwrap();
        assert_eq!(read_line(&client), "ok");
    }
    assert!(start.elapsed() < Duration::from_millis(1_000), "{:?}", start.elapsed());
}
