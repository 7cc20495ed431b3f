//! What pen asks of the kernel, seen by strace: little, and nothing when there is nothing to do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::client::{End, ask, read_to_end};
use crate::support::pen::Pen;
use crate::support::proc;
use crate::support::process::{Process, listeners};
use crate::support::report::{is_installed, not_tested_here};
use crate::support::servers::{After, Refusing, Server, echo, hold};
use crate::support::wait;
use crate::support::web::Connection;

/// Starts pen under strace, which writes these calls of it into the file `calls`; `None`, and a report, if that is
/// not possible here.
fn traced(test: &str, calls: &str, options: &[&str], servers: &[impl ToString]) -> Option<Pen> {
    if !is_installed("strace") {
        not_tested_here(test, "there is no strace");
        return None;
    }
    // In some containers nobody may trace.
    let mut trial = Command::new("strace");
    trial.args(["-o", "/dev/null", "true"]);
    if !Process::run(trial).status.success() {
        not_tested_here(test, "strace may not trace");
        return None;
    }
    // -D: the tracer is the child, so that the process is pen.  -f follows a resolver if there is one.
    let by = ["strace", "-D", "-f", "-qq", "-o", "{dir}/calls", "-e", calls];
    Some(Pen::start_under(&by, [127, 0, 0, 1].into(), options, servers))
}

fn count(pen: &Pen, what: &str) -> usize {
    pen.directory().read("calls").matches(what).count()
}

/// An echo through an open connection, after which all that led to it is in strace's file.
#[track_caller]
fn ping(mut client: &TcpStream) {
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

#[test]
fn a_pair_costs_two_registrations_and_no_modification() {
    let name = "a_pair_costs_two_registrations_and_no_modification";
    let server = Server::start(echo);
    let Some(pen) = traced(name, "trace=epoll_ctl,timerfd_create", &["-r"], &[server.address()]) else { return };
    // It stays, so that its socket is not used again.
    let first = pen.connect();
    ping(&first);
    // The timer that many waits have is no pair's.
    let registrations = || count(&pen, "EPOLL_CTL_ADD") - count(&pen, "timerfd_create");
    let before = registrations();
    for turn in 1..=20_usize {
        // Enough in both directions at once that both flows are stuck at times.
        let client = pen.connect();
        let mut writer = client.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            writer.write_all(&vec![b'x'; 2_000_000]).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        wait::until_true("the pair is registered", || registrations() >= before + 2 * turn);
        let (bytes, end) = read_to_end(&client);
        assert_eq!((bytes.len(), end), (2_000_000, End::Finished));
        writing.join().unwrap();
    }
    // What comes after those pairs is in the file only after what they did.
    let last = pen.connect();
    ping(&last);
    wait::until_true("the last one is registered", || registrations() >= before + 42);
    assert_eq!(registrations(), before + 42);
    assert_eq!(count(&pen, "EPOLL_CTL_MOD"), 0);
    assert_eq!(count(&pen, "EPOLL_CTL_DEL"), 0);
}

#[test]
fn a_chunk_costs_a_wait_a_read_and_a_write() {
    let name = "a_chunk_costs_a_wait_a_read_and_a_write";
    let server = Server::start(echo);
    let calls =
        "trace=epoll_wait,epoll_pwait,read,recvfrom,recvmsg,write,sendto,sendmsg,epoll_ctl,ioctl,poll,getsockopt";
    let Some(pen) = traced(name, calls, &[], &[server.address()]) else { return };
    let client = pen.connect();
    for _ in 0..20 {
        ping(&client);
    }
    let lines = |pen: &Pen| pen.directory().read("calls").lines().count();
    wait::until_true("it waits", || settled(&pen));
    let before = lines(&pen);
    for _ in 0..100 {
        ping(&client);
    }
    wait::until_true("it waits again", || settled(&pen));
    // Each way: a wait, a read, a write.
    let each = (lines(&pen) - before) as f64 / 200.0;
    assert!(each <= 3.3, "{each} calls for each chunk");
}

#[test]
fn many_waits_have_one_timer_which_is_closed_when_all_have_gone() {
    let name = "many_waits_have_one_timer_which_is_closed_when_all_have_gone";
    let server = Server::start(echo);
    // A connect is waited for that long, and its pair has a timer until then.
    let options = ["-r", "-t", "3"];
    let calls = "trace=epoll_wait,epoll_pwait,timerfd_create,timerfd_settime,close";
    let Some(pen) = traced(name, calls, &options, &[server.address()]) else { return };
    let client = pen.connect();
    ping(&client);
    wait::until_true("it waits", || settled(&pen));
    let at_first = proc::descriptors(pen.pid());
    assert_eq!(count(&pen, "timerfd_"), 0, "for a few waits there is none");
    wait::until_true("the timer is set", || {
        (0..50).for_each(|_| ping(&client));
        count(&pen, "timerfd_settime") > 0
    });
    wait::until_true("all before is written down", || settled(&pen));
    let before = pen.directory().read("calls").len();
    for _ in 0..20 {
        ping(&client);
    }
    wait::until_true("it waits again", || settled(&pen));
    let calls = pen.directory().read("calls");
    let (with, without) = waits(&calls[before..]);
    // Two for each ping; the first is written in part before, and the last is not over.
    assert!(with == 0 && without >= 38, "{with} with a timeout, {without} without: {}", &calls[before..]);
    drop(client);
    let open = || (proc::timers(pen.pid()), proc::descriptors(pen.pid()));
    wait::until_true("it is closed with all else", || open() == (0, at_first - 2));
    assert_eq!(count(&pen, "timerfd_create"), 1);
}

/// How many waits that may sleep have a timeout, and how many have none.
fn waits(calls: &str) -> (usize, usize) {
    let timeouts = calls.lines().filter(|line| line.contains("epoll_")).filter_map(|line| {
        let (_, rest) = line.rsplit_once("], ")?;
        rest.split([',', ')']).nth(1)?.trim().parse::<i64>().ok()
    });
    let timeouts: Vec<i64> = timeouts.filter(|timeout| *timeout != 0).collect();
    let without = timeouts.iter().filter(|timeout| **timeout < 0).count();
    (timeouts.len() - without, without)
}

/// How often pen lets more come while so many clients ask at once, again and again; and its waits.
fn naps(test: &str, options: &[&str], clients: usize) -> Option<(usize, usize)> {
    let server = Server::start(echo);
    let pen = traced(test, "trace=nanosleep,clock_nanosleep,epoll_wait,epoll_pwait", options, &[server.address()])?;
    let clients: Vec<TcpStream> = (0..clients).map(|_| pen.connect()).collect();
    // Twenty at a time, or several turns would have so many events that nothing more is waited for.
    for some in clients.chunks(20).cycle().take(60) {
        some.iter().for_each(|mut client| client.write_all(b"x").unwrap());
        some.iter().for_each(|mut client| client.read_exact(&mut [0]).unwrap());
    }
    wait::until_true("it waits", || settled(&pen));
    Some((count(&pen, "nanosleep("), count(&pen, "epoll_")))
}

#[test]
fn more_of_a_crowd_is_let_come_unless_that_is_switched_off_and_few_do_not_wait() {
    let name = "more_of_a_crowd_is_let_come_unless_that_is_switched_off_and_few_do_not_wait";
    let Some((naps_of_crowd, waits)) = naps(name, &[], 60) else { return };
    assert!(naps_of_crowd > 0, "of {waits}");
    let Some((naps_of_few, waits)) = naps(name, &[], 16) else { return };
    assert_eq!(naps_of_few, 0, "of {waits}");
    let Some((naps_without, waits)) = naps(name, &["-O", "coalesce 0"], 60) else { return };
    assert_eq!(naps_without, 0, "of {waits}");
}

/// Calls of setsockopt for each of some short exchanges.
fn options_of_a_pair(test: &str, options: &[&str]) -> Option<f64> {
    let server = Server::start(echo);
    let pen = traced(test, "trace=setsockopt", &[&["-r"], options].concat(), &[server.address()])?;
    // They stay, so that each needs a new socket.
    let open = || {
        let client = pen.connect();
        ping(&client);
        client
    };
    let mut clients = vec![open()];
    wait::until_true("it waits", || settled(&pen));
    let before = count(&pen, "setsockopt");
    clients.extend((0..20).map(|_| open()));
    wait::until_true("it waits again", || settled(&pen));
    Some((count(&pen, "setsockopt") - before) as f64 / 20.0)
}

#[test]
fn a_short_connection_costs_a_call_for_each_thing_that_must_be_done() {
    let name = "a_short_connection_costs_a_call_for_each_thing_that_must_be_done";
    let server = Server::start(|mut stream| {
        let mut request = [0; 64];
        if stream.read_exact(&mut request).is_ok() {
            // Whoever went meanwhile does not want it.
            let _ = stream.write_all(&[b'x'; 1024]);
        }
        After::Close
    });
    let Some(pen) = traced(name, "trace=all", &["-r"], &[server.address()]) else { return };
    let short = || {
        let client = pen.connect();
        (&client).write_all(&[b'x'; 64]).unwrap();
        assert_eq!(read_to_end(&client).0.len(), 1024);
    };
    // What the start needed is let go twice: at rest before anybody comes, or else when the first and the second have left.
    short();
    short();
    wait::until_true("it waits", || settled(&pen));
    let before = pen.directory().read("calls").len();
    for _ in 0..50 {
        short();
    }
    wait::until_true("it waits again", || settled(&pen));
    let calls = pen.directory().read("calls");
    let each = |call: &str| calls[before..].matches(&format!(" {call}(")).count() as f64 / 50.0;
    // The socket towards the server is that of the connection before: looked at, and connected anew.
    for call in ["accept4", "ioctl", "close"] {
        assert_eq!(each(call), 1.0, "{call}");
    }
    // Beside the one timer of many waits.
    assert_eq!(each("epoll_ctl") - each("timerfd_create"), 1.0);
    // With 32 bits there is a call for those who name nobody.
    assert_eq!([each("connect"), each("sendto") + each("send"), each("shutdown")], [2.0; 3]);
    assert_eq!([each("socket"), each("setsockopt")], [0.0; 2]);
    assert_eq!([each("mmap"), each("munmap"), each("brk")], [0.0; 3], "what one needed is there for the next");
    // The end of the server comes with its bytes or after them.
    assert!((3.0..=4.0).contains(&each("recvfrom")), "{}", each("recvfrom"));
    // Where both are known at once, the end leaves with the answer: it is told at once.
    let lines: Vec<&str> = calls[before..].lines().collect();
    let last: Vec<usize> = (0..lines.len()).filter(|line| lines[*line].contains("MSG_MORE")).collect();
    assert!(!last.is_empty(), "{}", &calls[before..]);
    assert!(last.iter().all(|line| lines[line + 1].contains(" shutdown(")), "{}", &calls[before..]);
    let all = lines.len() as f64 / 50.0;
    // The rest is waits: at least five, and those in which strace divides what belongs together.
    assert!(all <= 21.0, "{all} calls");
}

#[test]
fn probes_of_silent_peers_cost_nothing_for_a_client_and_nothing_for_a_server_that_is_soon_done() {
    let name = "probes_of_silent_peers_cost_nothing_for_a_client_and_nothing_for_a_server_that_is_soon_done";
    // Urgent data in line, then the probes. What is left to the system has time: here, some seconds.
    let table: [(&[&str], f64); 3] = [(&["-O", "no keepalive"], 1.0), (&[], 1.0), (&["-O", "keepalive 60 10 5"], 5.0)];
    for (options, expected) in table {
        let Some(each) = options_of_a_pair(name, options) else { return };
        assert_eq!(each, expected, "{options:?}");
    }
}

/// Bytes of one answer, more than the kernels hold.
const BULK: usize = 24_000_000;

/// Reads one answer that was held up, and tells how often bytes of it were moved without being read.
fn moves(pen: &Pen, mut client: &TcpStream) -> usize {
    wait::until_true("all before is written down", || settled(pen));
    let before = count(pen, "splice(");
    client.write_all(b"x").unwrap();
    wait::until_true("nobody takes more", || client.peek(&mut [0]).is_ok() && settled(pen));
    client.read_exact(&mut vec![0; BULK]).unwrap();
    wait::until_true("the calls are written down", || settled(pen));
    count(pen, "splice(") - before
}

#[test]
fn bulk_is_moved_unread_again_when_the_last_who_looks_at_it_has_gone_and_always_for_others() {
    let name = "bulk_is_moved_unread_again_when_the_last_who_looks_at_it_has_gone_and_always_for_others";
    let server = Server::start(|mut stream| {
        while stream.read_exact(&mut [0]).is_ok() {
            // Whoever went meanwhile does not want it.
            let _ = stream.write_all(&vec![b'x'; BULK]);
        }
        After::Close
    });
    let options = [&["-r"][..], &Pen::control_options()].concat();
    let Some(pen) = traced(name, "trace=splice,sendto", &options, &[server.address()]) else { return };
    let (held, client) = (pen.connect(), pen.connect());
    wait::until_true("both are connected", || server.open() == 2);
    assert!(moves(&pen, &client) > 0, "nobody looks");
    let capture = pen.directory().file("all.pcapng").display().to_string();
    pen.obey(&format!("capture {capture}"));
    assert_eq!(moves(&pen, &client), 0, "a capture");
    pen.obey("no capture");
    assert!(moves(&pen, &client) > 0, "the capture is over");
    let mut tracing = UnixStream::connect(pen.directory().file("control")).unwrap();
    tracing.write_all(b"trace\n").unwrap();
    tracing.read_exact(&mut [0]).unwrap();
    assert_eq!(moves(&pen, &client), 0, "somebody traces");
    drop(tracing);
    pen.obey("pid");
    assert!(moves(&pen, &client) > 0, "nobody traces any more");
    pen.obey("fault connection 0 delay 1");
    assert!(moves(&pen, &client) > 0, "a fault of another connection");
    assert_eq!(moves(&pen, &held), 0, "a fault");
    pen.obey("no fault connection 0");
    assert!(moves(&pen, &held) > 0, "the fault is over");
}

/// True if nothing was traced for a while.
fn settled(pen: &Pen) -> bool {
    let size = || pen.directory().read("calls").len();
    let before = size();
    wait::within(Duration::from_millis(100), || (size() != before).then_some(())).is_none()
}

#[test]
fn pen_sleeps_when_nothing_happens() {
    let name = "pen_sleeps_when_nothing_happens";
    let (dead, server, silent) = (Refusing::new(), Server::start(echo), Server::start(hold));
    // A blacklisted server, an idle time-out far away, an idle pair, a half-closed pair, somebody who looks: none is a reason to wake up.
    let options = ["-r", "-O", "idle_timeout 600", "-l", "pen.log", "-t", "1", "-S", "0"];
    let servers = [dead.address(), server.address(), silent.address()];
    let Some(pen) = traced(name, "trace=all", &options, &servers) else { return };
    let idle = pen.connect();
    ping(&idle);
    let mut half = pen.connect();
    half.write_all(b"nobody reads this").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    wait::until_true("the silent server has it", || silent.open() == 1);
    assert_eq!(ask(&pen.connect(), b"one that is over"), "one that is over");
    // The clients of both listeners are probed at once, those who look too; a server is when its connection has lasted for the
    // time of a connect.
    wait::until_true("both servers are probed", || count(&pen, "SO_KEEPALIVE") == 2 + 2);
    let status = listeners(pen.pid()).into_iter().find(|at| *at != pen.address()).expect("the status port");
    let mut viewer = Connection::open(status);
    viewer.send(b"GET /status.json HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(viewer.answer(false).code, 200);
    wait::until_true("it sleeps", || settled(&pen));
    let size = || pen.directory().read("calls").len();
    let before = size();
    let woken = wait::within(Duration::from_secs(1), || (size() != before).then_some(()));
    let calls = pen.directory().read("calls");
    assert!(woken.is_none(), "{}", &calls[before..]);
    ping(&idle);
    assert_eq!(proc::threads(pen.pid()), 1);
}

#[test]
fn fifty_idle_connections_do_not_cost_the_processor() {
    let server = Server::start(echo);
    let pen = Pen::start(&[], &[server.address()]);
    let clients: Vec<TcpStream> = (0..50).map(|_| pen.connect()).collect();
    clients.iter().for_each(ping);
    let (start, before) = (Instant::now(), proc::cpu(pen.pid()));
    wait::within(Duration::from_secs(1), || (proc::cpu(pen.pid()) - before > Duration::from_millis(50)).then_some(()));
    assert!(proc::cpu(pen.pid()) - before <= Duration::from_millis(50), "within {:?}", start.elapsed());
    assert_eq!(proc::threads(pen.pid()), 1);
}
