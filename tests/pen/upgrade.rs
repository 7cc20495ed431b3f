//! Upgrade in place: USR2 lets a new process take over, and no client notices.
//!
//! `UPGRADE_CONNECTIONS=100000` makes the load as long as that; the default is 20,000.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{End, ask, connect, connect_from, read_to_end};
use crate::support::pen::{Pen, program};
use crate::support::proc::descriptors;
use crate::support::process::{Process, is_alive, listeners, send};
use crate::support::report::{is_installed, is_root, not_tested_here};
use crate::support::scratch::Scratch;
use crate::support::servers::{After, Server, echo, greet};
use crate::support::wait;
use crate::support::web::{Connection, get};

/// A pen that runs from a copy of the program, with a pid file and a control socket, and those
/// that took over from it, which are killed when this is dropped.
struct Line {
    pen: Pen,
    /// Process numbers, the newest last.
    pids: Vec<u32>,
}

impl Line {
    #[track_caller]
    fn start(options: &[&str], servers: &[impl ToString]) -> Line {
        let user: &[&str] = if is_root() && !options.contains(&"-u") { &["-u", "root"] } else { &[] };
        let common = ["-p", "{dir}/pen.pid", "-C", "{dir}/control"];
        // The directory belongs to the user that pen becomes, who makes and removes files in it.
        let script = r#"cp "$0" {dir}/pen && chmod 755 {dir}/pen && { [ "$(id -u)" != 0 ] || chown nobody {dir}; }
                        exec {dir}/pen "$@""#;
        let options = [user, &common, options].concat();
        let mut pen = Pen::start_under(&["sh", "-c", script], Ipv4Addr::LOCALHOST.into(), &options, servers);
        let pid = pen.process().pid();
        let line = Line { pen, pids: vec![pid] };
        wait::until_true("the pid file is there", || line.pid_file() == pid.to_string());
        line
    }

    fn pid_file(&self) -> String {
        self.pen.directory().read("pen.pid")
    }

    /// The process that listens.
    fn pid(&self) -> u32 {
        *self.pids.last().expect("the first one at least")
    }

    fn count_said(&self, text: &str) -> usize {
        self.pen.stderr().matches(text).count()
    }

    /// Asks for an upgrade and waits until it is done.
    #[track_caller]
    fn upgrade(&mut self) {
        let before = self.count_said("has taken over");
        let old = self.pid();
        send(old, "USR2");
        wait::until_true("the new one takes over", || self.count_said("has taken over") > before);
        let new = self.pid_file().parse().expect("the pid file has a number");
        assert_ne!(new, old, "{}", self.pen.stderr());
        self.pids.push(new);
        assert_eq!(self.pen.obey("pid"), format!("{new}\n"));
    }

    /// Asks for an upgrade that must come to nothing, for a reason that is said.
    #[track_caller]
    fn fail(&self, why: &str) {
        let before = self.count_said(why);
        send(self.pid(), "USR2");
        wait::until_true(&format!("it says {why:?}"), || self.count_said(why) > before);
        assert_eq!(self.pid_file(), self.pid().to_string());
        assert_eq!(self.pen.obey("pid"), format!("{}\n", self.pid()));
        assert_eq!(ask(&self.pen.connect(), b"there?"), "there?");
    }

    /// Puts another program in the place of pen.
    fn replace_program(&self, script: &str) {
        let new = self.pen.directory().write("new", &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.pen.directory().file("pen")).unwrap();
    }

    /// Puts pen itself there again.
    fn restore_program(&self) {
        let new = self.pen.directory().file("new");
        // By another process: a file that is open for writing in any process cannot be run.
        assert!(Command::new("cp").arg(program()).arg(&new).status().unwrap().success());
        fs::rename(new, self.pen.directory().file("pen")).unwrap();
    }

    #[track_caller]
    fn wait_for_end_of_old_ones(&self) {
        for old in &self.pids[..self.pids.len() - 1] {
            wait::until_true(&format!("{old} leaves"), || !is_alive(*old));
        }
    }

    /// Ends the newest by TERM: nothing must be left.
    #[track_caller]
    fn stop(&self) {
        send(self.pid(), "TERM");
        wait::until_true("it ends", || !is_alive(self.pid()));
        let left = |name| self.pen.directory().file(name).exists();
        assert!(!left("pen.pid"), "the pid file is left");
        assert!(!left("control"), "the control socket is left");
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for pid in &self.pids {
            if is_alive(*pid) {
                send(*pid, "KILL");
            }
        }
    }
}

/// A server for many short connections, one after another in one thread: answers four bytes with
/// the same four, and ends first, so that no ports are used up by clients.
fn quick_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut number = [0; 4];
            if stream.read_exact(&mut number).is_ok() {
                let _ = stream.write_all(&number);
            }
        }
    });
    address
}

fn one_short_connection(address: SocketAddr, number: usize) -> io::Result<()> {
    let bytes = (number as u32).to_be_bytes();
    let mut stream = TcpStream::connect_timeout(&address, wait::PATIENCE)?;
    stream.set_read_timeout(Some(wait::PATIENCE))?;
    stream.write_all(&bytes)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer == bytes { Ok(()) } else { Err(io::Error::other(format!("{bytes:?} was answered by {answer:?}"))) }
}

#[test]
fn under_load_no_connection_is_refused_reset_or_lost() {
    const THREADS: usize = 6;
    /// More than ten times what it takes on a slow machine.
    const TIME: Duration = Duration::from_secs(300);
    let total = std::env::var("UPGRADE_CONNECTIONS").map_or(20_000, |text| text.parse().expect("a number"));
    let mut line = Line::start(&[], &[quick_server()]);
    let address = line.pen.address();
    let (begun, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let end = Instant::now() + TIME;
    let clients: Vec<_> = (0..THREADS)
        .map(|_| {
            let (begun, done) = (Arc::clone(&begun), Arc::clone(&done));
            thread::spawn(move || {
                let mut failed = Vec::new();
                loop {
                    let number = begun.fetch_add(1, Ordering::SeqCst);
                    if number >= total || Instant::now() > end {
                        return failed;
                    }
                    if let Err(error) = one_short_connection(address, number) {
                        failed.push(format!("{number}: {error}"));
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for upgrades in 1..=4 {
        let share = total * upgrades / 6;
        wait::within(TIME, || (done.load(Ordering::SeqCst) >= share).then_some(()));
        line.upgrade();
    }
    let before_the_end = done.load(Ordering::SeqCst);
    let failed: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let done = done.load(Ordering::SeqCst);
    assert_eq!((done, failed.len()), (total, 0), "{:?}", &failed[..failed.len().min(10)]);
    assert!(before_the_end < done, "the load was over before the upgrades");
    line.wait_for_end_of_old_ones();
    line.stop();
}

#[test]
fn a_transfer_that_runs_over_it_arrives_whole() {
    const SIZE: usize = 48 << 20;
    const PIECE: usize = 1 << 20;
    let piece: Vec<u8> = (0..PIECE).map(|n| (n * 31 % 251) as u8).collect();
    let sent = piece.clone();
    let server = Server::start(move |mut stream| {
        for _ in 0..SIZE / PIECE {
            if stream.write_all(&sent).is_err() {
                break;
            }
        }
        After::Close
    });
    let mut line = Line::start(&[], &[server.address()]);
    let mut client = line.pen.connect();
    let mut got = vec![0; PIECE];
    client.read_exact(&mut got).unwrap();
    assert!(got == piece);
    line.upgrade();
    assert!(is_alive(line.pids[0]), "the old one has a connection");
    assert_eq!([0, 1].map(|at| listeners(line.pids[at]).contains(&line.pen.address())), [false, true]);
    // Others are served by the new one meanwhile.
    let mut other = line.pen.connect();
    other.read_exact(&mut got).unwrap();
    drop(other);
    for _ in 1..SIZE / PIECE {
        client.read_exact(&mut got).unwrap();
        assert!(got == piece);
    }
    assert_eq!(read_to_end(&client), (Vec::new(), End::Finished));
    drop(client);
    assert_eq!(line.pen.process().wait().status.code(), Some(0));
    line.stop();
}

#[test]
fn clients_keep_their_servers() {
    let servers: Vec<Server> = ["0", "1", "2"].map(|name| Server::start(greet(name))).into();
    let addresses: Vec<SocketAddr> = servers.iter().map(Server::address).collect();
    let mut line = Line::start(&[], &addresses);
    let server_of = |line: &Line, client: u8| ask(&line.pen.connect_from(Ipv4Addr::new(127, 0, 1, client)), b"");
    let before: Vec<String> = (1..=8).map(|client| server_of(&line, client)).collect();
    assert_eq!(before[..4], ["0", "1", "2", "0"]);
    for connects in 2..=3 {
        line.upgrade();
        // In another order: by turns each would get another one.
        for client in (1..=8).rev() {
            assert_eq!(server_of(&line, client), before[usize::from(client) - 1], "client {client}");
        }
        let recent = line.pen.obey("recent");
        let row = recent.lines().find(|row| row.contains("127.0.1.5 ")).unwrap_or_else(|| panic!("{recent}"));
        let words: Vec<&str> = row.split_whitespace().collect();
        let place = words.iter().position(|word| *word == "connects").unwrap_or_else(|| panic!("{row}"));
        assert_eq!(words[place + 1], connects.to_string(), "{row}");
    }
    line.wait_for_end_of_old_ones();
    line.stop();
}

#[test]
fn a_new_process_that_cannot_start_leaves_the_old_one_serving() {
    if !is_installed("bash") {
        let name = "a_new_process_that_cannot_start_leaves_the_old_one_serving";
        return not_tested_here(name, "bash is not installed, and other shells do not write to descriptor 10");
    }
    let server = Server::start(echo);
    let directory = Scratch::new();
    let config = directory.write("pen.cfg", "blacklist 3\n");
    let mut line = Line::start(&["-F", &config.display().to_string()], &[server.address()]);
    let prefix = "upgrade failed, this process goes on: the new one";

    line.replace_program("echo it is broken >&2; exit 1");
    line.fail(&format!("{prefix}: it ended with status 1\n"));
    assert!(line.pen.stderr().contains("it is broken\n"));

    let program = line.pen.directory().file("pen");
    fs::remove_file(&program).unwrap();
    line.fail(&format!("no upgrade: cannot start {}: no such file or directory\n", program.display()));

    line.restore_program();
    directory.write("pen.cfg", "blacklist 4\n\nblacklist x\n");
    line.fail(&format!("{prefix}: it ended with status 78\n"));
    let wrong = format!("pen: {}:3: blacklist", config.display());
    assert!(line.pen.stderr().contains(&wrong), "{}", line.pen.stderr());

    // It says nothing wrong and takes what it got, but is no pen.
    line.replace_program("exec bash -c 'set -- $PEN_SUCCESSOR; echo hello >&$2; exec sleep 60'");
    line.fail(&format!("{prefix}: it answered something else than that it is ready\n"));

    // After all that an upgrade works, and what is in the file by now counts.
    directory.write("pen.cfg", "blacklist 5\n");
    line.restore_program();
    line.upgrade();
    assert_eq!(line.pen.obey("blacklist"), "5\n");
    line.wait_for_end_of_old_ones();
    line.stop();
}

#[test]
fn a_new_process_that_is_never_ready_is_given_up() {
    let server = Server::start(echo);
    let line = Line::start(&[], &[server.address()]);
    line.replace_program("echo $$ >child.new; mv child.new child; exec sleep 600");
    let begin = Instant::now();
    send(line.pid(), "USR2");
    wait::until_true("it runs", || !line.pen.directory().read("child").is_empty());
    let child: u32 = line.pen.directory().read("child").trim().parse().unwrap();
    // Until then all goes on, and a second one is refused.
    line.fail("no upgrade: an upgrade is under way");
    let refused = line.pen.penctl(&["listen", "127.0.0.1:0"]);
    assert!(refused.stderr.contains("an upgrade is under way") || refused.stdout.contains("an upgrade is under way"));
    let text = "upgrade failed, this process goes on: the new one: it was not ready after 15 s";
    wait::until_true("it is given up", || line.count_said(text) > 0);
    assert!(begin.elapsed() >= Duration::from_secs(14), "{:?}", begin.elapsed());
    assert!(!is_alive(child));
    assert_eq!(ask(&line.pen.connect(), b"there?"), "there?");
    line.stop();
}

#[test]
fn term_in_the_middle_of_it_ends_both() {
    let line = Line::start(&[], &[] as &[&str]);
    line.replace_program("echo $$ >child.new; mv child.new child; exec sleep 600");
    send(line.pid(), "USR2");
    wait::until_true("it runs", || !line.pen.directory().read("child").is_empty());
    let child: u32 = line.pen.directory().read("child").trim().parse().unwrap();
    line.stop();
    assert!(!is_alive(child));
}

/// What a server does that answers four bytes with the same four, however long they take to come.
fn four_bytes(mut stream: &TcpStream) -> After {
    let mut number = [0; 4];
    if stream.read_exact(&mut number).is_ok() {
        let _ = stream.write_all(&number);
    }
    After::Close
}

/// Clients that connect as fast as they can until they are refused, each for one short conversation. Who got in was
/// served; a connection in the very moment when the queue is closed may be reset. Gives back how many were served, and
/// what went wrong otherwise.
fn clients_until_refused(address: SocketAddr) -> Vec<thread::JoinHandle<(usize, Vec<String>)>> {
    let end = Instant::now() + Duration::from_secs(60);
    let one = move || {
        let (mut served, mut failed) = (0, Vec::new());
        while Instant::now() < end {
            match one_short_connection(address, served) {
                Ok(()) => served += 1,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return (served, failed),
                Err(error) => failed.push(error.to_string()),
            }
        }
        failed.push(String::from("it was never refused"));
        (served, failed)
    };
    (0..4).map(|_| thread::spawn(one)).collect()
}

#[test]
fn an_old_process_that_is_drained_after_it_leaves_the_new_one_alone() {
    let server = Server::start(four_bytes);
    let mut line = Line::start(&["-O", "drain 1"], &[server.address()]);
    let kept = line.pen.connect();
    (&kept).write_all(b"ab").unwrap();
    let address = line.pen.address();
    let is_over = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || {
                let (mut served, mut failed) = (0, Vec::new());
                while is_over.load(Ordering::SeqCst) == 0 {
                    match one_short_connection(address, served) {
                        Ok(()) => served += 1,
                        Err(error) => failed.push(error.to_string()),
                    }
                }
                (served, failed)
            })
        })
        .collect();
    line.upgrade();
    let (old, new) = (line.pids[0], line.pids[1]);
    assert!(is_alive(old), "the old one has a connection");
    send(old, "QUIT");
    let ended = line.pen.process().wait();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(read_to_end(&kept), (Vec::new(), End::Finished), "its time was over");
    assert!(ended.stderr.contains("1 connections have not finished in time, and are closed"), "{ended:?}");
    // All that is common to both is still there, and the new one serves.
    assert!(is_alive(new));
    assert_eq!(line.pid_file(), new.to_string());
    assert_eq!(line.pen.obey("pid"), format!("{new}\n"));
    is_over.store(1, Ordering::SeqCst);
    for client in clients {
        let (served, failed) = client.join().unwrap();
        assert!(served > 0 && failed.is_empty(), "{served} were served, {failed:?}");
    }
    line.stop();
}

#[test]
fn under_load_a_drain_refuses_an_upgrade_and_everybody_who_got_in_is_served() {
    let server = Server::start(four_bytes);
    let mut line = Line::start(&[], &[server.address()]);
    let kept = line.pen.connect();
    (&kept).write_all(b"ab").unwrap();
    let clients = clients_until_refused(line.pen.address());
    send(line.pid(), "QUIT");
    line.pen.process().wait_for_stderr("nobody is let in any more");
    send(line.pid(), "USR2");
    line.pen.process().wait_for_stderr("no upgrade: nobody is let in any more\n");
    for client in clients {
        let (_, failed) = client.join().unwrap();
        assert!(failed.len() <= 1, "more than one of a client's connections met the end of the queue: {failed:?}");
    }
    assert!(!line.pen.process().has_ended(), "one connection is left");
    assert_eq!(ask(&kept, b"cd"), "abcd");
    assert_eq!(line.pen.process().wait().status.code(), Some(0));
}

#[test]
fn a_drain_in_the_middle_of_it_ends_the_new_process_and_frees_the_port_at_once() {
    let server = Server::start(four_bytes);
    let mut line = Line::start(&[], &[server.address()]);
    let kept = line.pen.connect();
    (&kept).write_all(b"ab").unwrap();
    line.replace_program("echo $$ >child.new; mv child.new child; exec sleep 600");
    let clients = clients_until_refused(line.pen.address());
    send(line.pid(), "USR2");
    wait::until_true("it runs", || !line.pen.directory().read("child").is_empty());
    let child: u32 = line.pen.directory().read("child").trim().parse().unwrap();
    let begin = Instant::now();
    send(line.pid(), "QUIT");
    line.pen.process().wait_for_stderr("upgrade: given up, because this process is to end\n");
    wait::until_true("the new one is ended", || !is_alive(child));
    assert!(begin.elapsed() < Duration::from_secs(10), "only because it was not ready in time");
    line.pen.process().wait_for_stderr("nobody is let in any more");
    // Were the socket still open somewhere, nobody could bind to it, and clients would wait in its queue for ever.
    TcpListener::bind(line.pen.address()).expect("the port is free");
    for client in clients {
        let (_, failed) = client.join().unwrap();
        assert!(failed.len() <= 1, "more than one of a client's connections met the end of the queue: {failed:?}");
    }
    assert_eq!(ask(&kept, b"cd"), "abcd");
    assert_eq!(line.pen.process().wait().status.code(), Some(0));
    assert!(!line.pen.directory().file("pen.pid").exists(), "the pid file is left");
}

#[test]
fn five_in_a_row_leave_one_process_and_no_descriptor() {
    let server = Server::start(echo);
    let mut line = Line::start(&["-l", "pen.log"], &[server.address()]);
    /// How many descriptors are open when all connections are over.
    #[track_caller]
    fn held(line: &Line) -> usize {
        assert_eq!(ask(&line.pen.connect(), b"there?"), "there?");
        let (mut last, mut times) = (0, 0);
        wait::until("the number of descriptors settles", || {
            let count = descriptors(line.pid());
            times = if std::mem::replace(&mut last, count) == count { times + 1 } else { 0 };
            (times > 20).then_some(count)
        })
    }
    let first = held(&line);
    for _ in 0..5 {
        line.upgrade();
        line.wait_for_end_of_old_ones();
        assert_eq!(held(&line), first, "of process {}", line.pid());
    }
    assert_eq!(line.pids.iter().filter(|pid| is_alive(**pid)).count(), 1);
    assert_eq!(line.pen.process().wait().status.code(), Some(0));
    line.stop();
}

#[test]
fn as_another_user_it_stays_that_user() {
    if !is_root() {
        return not_tested_here("as_another_user_it_stays_that_user", "only root can become another user");
    }
    let server = Server::start(echo);
    let mut line = Line::start(&["-u", "nobody", "-l", "pen.log"], &[server.address()]);
    let owner = fs::metadata(line.pen.directory().path()).unwrap();
    assert_ne!(owner.uid(), 0, "the test shows nothing");
    for _ in 0..2 {
        line.upgrade();
        let about = fs::metadata(format!("/proc/{}", line.pid())).unwrap();
        assert_eq!(about.uid(), owner.uid());
        assert_eq!(ask(&line.pen.connect(), b"there?"), "there?");
    }
    line.wait_for_end_of_old_ones();
    line.stop();
}

#[test]
fn in_a_jail_it_is_refused() {
    if !is_root() {
        return not_tested_here("in_a_jail_it_is_refused", "only root can make a jail");
    }
    let jail = Scratch::new();
    chown(jail.path(), Some(0), None).unwrap();
    let server = Server::start(echo);
    let mut pen = Pen::start(&["-j", &jail.path().display().to_string()], &[server.address()]);
    pen.process().signal("USR2");
    pen.process().wait_for_stderr("no upgrade: from within a jail (-j) the program cannot be reached\n");
    assert_eq!(ask(&pen.connect(), b"there?"), "there?");
    assert_eq!(pen.stop().status.code(), Some(0));
}

#[test]
fn it_works_in_the_background_and_by_a_unix_socket() {
    let server = Server::start(greet("here\n"));
    let directory = Scratch::new();
    let mut command = Command::new(program());
    command.current_dir(directory.path()).args(["-p", "pen.pid", "./socket"]).arg(server.address().to_string());
    let started = Process::start(command, &directory, "parent").wait();
    let first = directory.read("pen.pid");
    assert_ne!(first, "", "{started:?}");
    let mut pid: u32 = first.parse().unwrap();
    let mut pids = vec![pid];
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..2 {
            send(pid, "USR2");
            wait::until_true("the old one leaves", || !is_alive(pid));
            assert_ne!(directory.read("pen.pid"), "", "the pid file is gone");
            pid = directory.read("pen.pid").parse().unwrap();
            assert!(!pids.contains(&pid));
            pids.push(pid);
            for fd in 0..=2 {
                let link = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
                assert_eq!(link.display().to_string(), "/dev/null");
            }
            let mut answer = String::new();
            let mut client = std::os::unix::net::UnixStream::connect(directory.file("socket")).unwrap();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "here\n");
        }
        send(pid, "TERM");
        wait::until_true("it ends", || !is_alive(pid));
        assert!(!directory.file("pen.pid").exists() && !directory.file("socket").exists());
    }));
    for pid in pids.into_iter().filter(|pid| is_alive(*pid)) {
        send(pid, "KILL");
    }
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn another_listening_address_in_the_file_counts_after_it() {
    let server = Server::start(greet("here\n"));
    let directory = Scratch::new();
    let text = |socket: &str| {
        format!("listen {}/{socket}\nserver 0 address {}\n", directory.path().display(), {
            let address = server.address();
            format!("{} port {}", address.ip(), address.port())
        })
    };
    let config = directory.write("pen.cfg", &text("one"));
    let mut command = Command::new(program());
    command.current_dir(directory.path()).args(["-f", "-p", "pen.pid", "-F"]).arg(&config);
    let mut pen = Process::start(command, &directory, "pen");
    wait::until_true("it runs", || !directory.read("pen.pid").is_empty());
    directory.write("pen.cfg", &text("two"));
    pen.signal("USR2");
    pen.wait_for_stderr("has taken over");
    let new: u32 = directory.read("pen.pid").parse().unwrap();
    let answer = std::os::unix::net::UnixStream::connect(directory.file("two")).map(|mut client| {
        let mut answer = String::new();
        client.read_to_string(&mut answer).map(|_| answer)
    });
    wait::until_true("the old one leaves", || pen.has_ended());
    let old_socket = directory.file("one").exists();
    send(new, "TERM");
    wait::until_true("it ends", || !is_alive(new));
    assert_eq!(answer.unwrap().unwrap(), "here\n");
    assert!(!old_socket, "the old socket is left");
    assert!(!directory.file("two").exists());
}

#[test]
fn all_listeners_are_handed_over_and_each_with_its_clients() {
    let servers: [Server; 3] = std::array::from_fn(|number| Server::start(greet(&number.to_string())));
    let server = |number: usize| {
        let at = servers[number].address();
        format!("server {} address {} port {}", number - 1, at.ip(), at.port())
    };
    let (first, second) = (server(1), server(2));
    let options = ["-O", "listener other 127.0.0.1:0 [::1]:0 {dir}/other", "-O", &first, "-O", &second];
    let mut line = Line::start(&options, &[servers[0].address()]);
    let addresses: Vec<String> = line.pen.obey("on other listen").split_whitespace().map(String::from).collect();
    let at: SocketAddr = addresses[0].parse().unwrap();
    let served = |from: u8| read_to_end(&connect_from([127, 0, 0, from].into(), at)).0;
    let before: Vec<Vec<u8>> = (1..9).map(served).collect();
    assert!(before.contains(&b"1".to_vec()) && before.contains(&b"2".to_vec()), "{before:?}");
    line.upgrade();
    let ports = line.pen.obey("on other listen");
    assert_eq!(ports.split_whitespace().collect::<Vec<_>>(), addresses, "the same sockets");
    for (number, answer) in before.iter().enumerate().rev() {
        assert_eq!(&served(number as u8 + 1), answer, "client {number} keeps its server");
    }
    assert_eq!(read_to_end(&connect(addresses[1].parse().unwrap())).1, End::Finished);
    assert_eq!(read_to_end(&line.pen.connect()).0, b"0");
    assert!(line.pen.directory().file("other").exists(), "the file of the socket is the new one's");
    line.wait_for_end_of_old_ones();
    assert!(line.pen.directory().file("other").exists());
    line.stop();
    assert!(!line.pen.directory().file("other").exists());
}

#[test]
fn datagrams_go_to_the_new_process_and_clients_keep_their_servers() {
    use crate::support::datagrams;
    let servers = [datagrams::Responder::named("0"), datagrams::Responder::named("1")];
    let mut line = Line::start(&["-U"], &servers.each_ref().map(datagrams::Responder::address));
    let address = line.pen.address();
    let clients: Vec<_> = (1..=6).map(|last| datagrams::client_from(Ipv4Addr::new(127, 0, 4, last), address)).collect();
    let all = || clients.iter().map(|client| datagrams::ask(client, "x")).collect::<Vec<String>>();
    let before = all();
    assert!(before.contains(&String::from("0:x")) && before.contains(&String::from("1:x")));
    for _ in 0..2 {
        let old = line.pid();
        line.upgrade();
        assert_eq!(all(), before, "the client table has gone over");
        wait::until_true("the old one leaves", || !is_alive(old));
    }
}

#[test]
fn the_status_port_is_handed_over() {
    let server = Server::start(greet("one"));
    let mut line = Line::start(&["-S", "0"], &[server.address()]);
    let at: SocketAddr = line.pen.obey("status_listen").trim_end().parse().unwrap();
    let pid = || -> serde_json::Value { serde_json::from_str(&get(at, "/status.json").body).unwrap() };
    assert_eq!(pid()["pid"], line.pid());
    let mut idle = Connection::open(at);
    wait::until_true("it is there", || pid()["viewers"] == 2);
    line.upgrade();
    assert_eq!(pid()["pid"], line.pid(), "the same socket, and another process");
    idle.expect_end();
    assert_eq!(line.pen.obey("status_listen"), format!("{at}\n"));
    line.wait_for_end_of_old_ones();
    assert_eq!(get(at, "/health").code, 200);
    line.stop();
}
