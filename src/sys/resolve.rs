//! Host names to addresses, in a child process, because getaddrinfo(3) blocks.
//!
//! The child is forked when the first name is asked for (or at [`Resolver::start`]), answers one
//! question after another over a socket pair, and ends with pen. When it dies, what it was asked
//! counts as not answered, and the next question starts another one.

use std::collections::VecDeque;
use std::ffi::CString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::process::{self, Child, Fork, Identity};
use super::signal;
use crate::net::NoAddress;

/// What a name turned out to be: at least one address, or why there is none.
pub type Answer = Result<Vec<IpAddr>, NoAddress>;

/// How many questions may be with the child; more would fill the socket if names are slow.
const ASKED_AT_ONCE: usize = 64;
/// The most addresses of one name.
const ADDRESSES_MAX: usize = 32;
/// Longest answer in bytes, with room to spare; longer ones are not from our child.
const ANSWER_MAX: usize = 4096;

/// Asks for names without blocking.
#[derive(Debug, Default)]
pub struct Resolver {
    identity: Option<Identity>,
    child: Option<Running>,
    /// Not yet sent to the child.
    waiting: VecDeque<(usize, String)>,
    /// Sent to the child, and not answered.
    asked: Vec<usize>,
    answers: Vec<(usize, Answer)>,
    /// The socket is new to the event loop.
    unwatched: bool,
}

#[derive(Debug)]
struct Running {
    /// Dropping it ends the child.
    _process: Child,
    socket: UnixStream,
    input: Vec<u8>,
}

impl Resolver {
    /// A resolver whose child runs as `identity`, if there is one, and as pen does otherwise.
    pub fn new(identity: Option<Identity>) -> Resolver {
        Resolver { identity, ..Resolver::default() }
    }

    /// Forks the child now if it is not there. A child from before chroot(2) still sees the files
    /// of the system (resolv.conf(5), hosts(5)), one from after it those of the jail.
    pub fn start(&mut self) -> io::Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        match process::fork()? {
            Fork::Child => {
                drop(ours);
                serve(theirs, self.identity.as_ref())
            }
            Fork::Parent(process) => {
                self.child = Some(Running { _process: process, socket: ours, input: Vec::new() });
                self.unwatched = true;
                Ok(())
            }
        }
    }

    /// Asks for the addresses of a host; the answer comes with `request`.
    pub fn ask(&mut self, request: usize, name: &str) {
        self.waiting.push_back((request, String::from(name)));
        self.send();
    }

    /// The child's socket, once after each start of a child: to be watched for reading,
    /// edge-triggered or not. It is closed, and so no longer watched, when the child ends.
    pub fn unwatched(&mut self) -> Option<BorrowedFd<'_>> {
        let running = self.child.as_ref()?;
        std::mem::take(&mut self.unwatched).then(|| running.socket.as_fd())
    }

    /// The child's socket, if there is a child.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.child.as_ref().map(|running| running.socket.as_fd())
    }

    /// True if there are answers that no event will announce: the child could not be started.
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// The answers that are there, each with the number of its question.
    pub fn read_answers(&mut self) -> Vec<(usize, Answer)> {
        if let Some(running) = &mut self.child {
            let alive = running.read();
            self.take_lines();
            if !alive {
                self.child = None;
                self.give_up();
            }
        }
        self.send();
        std::mem::take(&mut self.answers)
    }

    /// Sends as many questions as the child may have.
    fn send(&mut self) {
        while self.asked.len() < ASKED_AT_ONCE {
            let Some((request, name)) = self.waiting.pop_front() else { return };
            self.asked.push(request);
            // The name is a word without control characters, or it would not be a name.
            let line = format!("{request} {name}\n");
            let sent = self.start().is_ok()
                && self.child.as_mut().is_some_and(|running| running.socket.write_all(line.as_bytes()).is_ok());
            if !sent {
                self.child = None;
                self.give_up();
            }
        }
    }

    /// What the child was asked will not be answered any more.
    fn give_up(&mut self) {
        let asked = self.asked.drain(..);
        self.answers.extend(asked.map(|request| (request, Err(NoAddress::NoAnswer))));
    }

    fn take_lines(&mut self) {
        let Some(running) = &mut self.child else { return };
        while let Some(end) = memchr::memchr(b'\n', &running.input) {
            let line: Vec<u8> = running.input.drain(..=end).collect();
            let Some((request, answer)) = read_answer(&String::from_utf8_lossy(&line)) else { continue };
            if let Some(at) = self.asked.iter().position(|asked| *asked == request) {
                self.asked.swap_remove(at);
                self.answers.push((request, answer));
            }
        }
    }
}

impl Running {
    /// Reads until there is nothing more; false if the child is gone.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => self.input.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
            if self.input.len() > ASKED_AT_ONCE * ANSWER_MAX {
                return false;
            }
        }
    }
}

/// An answer as the child writes it: `7 192.0.2.1 2001:db8::1`, `7 no-such-name` or `7 no-answer`.
pub fn write_answer(request: usize, answer: &Answer) -> String {
    match answer {
        Ok(addresses) => {
            let words: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            format!("{request} {}\n", words.join(" "))
        }
        Err(NoAddress::NoSuchName) => format!("{request} no-such-name\n"),
        Err(NoAddress::NoAnswer) => format!("{request} no-answer\n"),
    }
}

/// Reads such a line: the number of the question, and the answer. Nothing if it is none.
pub fn read_answer(line: &str) -> Option<(usize, Answer)> {
    let mut words = line.split_whitespace();
    let request = words.next()?.parse().ok()?;
    let words: Vec<&str> = words.collect();
    let answer = match words[..] {
        ["no-such-name"] => Err(NoAddress::NoSuchName),
        [] | ["no-answer"] => Err(NoAddress::NoAnswer),
        _ => Ok(words.iter().map(|word| word.parse()).collect::<Result<_, _>>().ok()?),
    };
    Some((request, answer))
}

/// The child's life: one question after another until pen closes the socket.
fn serve(socket: UnixStream, identity: Option<&Identity>) -> ! {
    signal::default_actions();
    // What is meant for pen, and sent to its process group, must not end the child.
    let _ = signal::ignore(libc::SIGHUP);
    let _ = signal::ignore(libc::SIGUSR1);
    let _ = signal::ignore(libc::SIGUSR2);
    process::close_all_but(&socket);
    if identity.is_some_and(|identity| identity.assume().is_err()) {
        process::exit_child(1);
    }
    process::end_with_parent();
    let Ok(questions) = socket.try_clone() else { process::exit_child(1) };
    answer_all(BufReader::new(questions), socket);
    process::exit_child(0)
}

fn answer_all(questions: impl BufRead, mut answers: impl Write) {
    for line in questions.lines() {
        let Ok(line) = line else { return };
        let Some((request, name)) = line.split_once(' ') else { return };
        let Ok(request) = request.parse() else { return };
        if answers.write_all(write_answer(request, &look_up(name)).as_bytes()).is_err() {
            return;
        }
    }
}

/// What getaddrinfo(3) says when the name exists without an address; not every system has it.
#[cfg(any(target_os = "linux", target_os = "macos"))]
const NO_ADDRESS: libc::c_int = libc::EAI_NODATA;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
const NO_ADDRESS: libc::c_int = libc::EAI_NONAME;

/// The addresses of a host, in the order of RFC 6724. Blocks.
pub fn look_up(name: &str) -> Answer {
    let name = CString::new(name).map_err(|_| NoAddress::NoSuchName)?;
    // SAFETY: `addrinfo` is plain numbers and pointers that may be null.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list: *mut libc::addrinfo = std::ptr::null_mut();
    // SAFETY: all pointers are to live values, and the name ends with a NUL.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), std::ptr::null(), &raw const hints, &raw mut list) };
    if code != 0 {
        let unknown = code == libc::EAI_NONAME || code == NO_ADDRESS;
        return Err(if unknown { NoAddress::NoSuchName } else { NoAddress::NoAnswer });
    }
    let mut addresses = Vec::new();
    let mut entry = list.cast_const();
    // SAFETY: getaddrinfo(3) made the list, which ends with null and lives until it is freed below.
    while let Some(row) = unsafe { entry.as_ref() } {
        if let Some(ip) = address(row).filter(|ip| !addresses.contains(ip) && addresses.len() < ADDRESSES_MAX) {
            addresses.push(ip);
        }
        entry = row.ai_next;
    }
    // SAFETY: the list came from getaddrinfo(3), and nothing refers to it any more.
    unsafe { libc::freeaddrinfo(list) };
    if addresses.is_empty() { Err(NoAddress::NoSuchName) } else { Ok(addresses) }
}

fn address(row: &libc::addrinfo) -> Option<IpAddr> {
    match row.ai_family {
        libc::AF_INET => {
            // SAFETY: the family says what the address points to; it need not be aligned.
            let at: libc::sockaddr_in = unsafe { row.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(at.sin_addr.s_addr))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let at: libc::sockaddr_in6 = unsafe { row.ai_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(IpAddr::V6(Ipv6Addr::from(at.sin6_addr.s6_addr)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll_one;

    fn wait_for(resolver: &mut Resolver, count: usize) -> Vec<(usize, Answer)> {
        let mut answers = Vec::new();
        while answers.len() < count {
            if !resolver.has_answers() {
                let fd = resolver.fd().expect("there is a child");
                assert!(poll_one(fd, libc::POLLIN, 30_000), "no answer in 30 s");
            }
            answers.extend(resolver.read_answers());
        }
        answers.sort_by_key(|answer| answer.0);
        answers
    }

    #[test]
    fn answers_survive_being_written_and_read() {
        let table: [(&str, Answer); 3] = [
            ("7 192.0.2.1 2001:db8::1\n", Ok(vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()])),
            ("0 no-such-name\n", Err(NoAddress::NoSuchName)),
            ("12 no-answer\n", Err(NoAddress::NoAnswer)),
        ];
        for (line, answer) in table {
            let (request, read) = read_answer(line).unwrap();
            assert_eq!(read, answer);
            assert_eq!(write_answer(request, &answer), line);
        }
        for line in ["", "x 192.0.2.1\n", "1 192.0.2.1 localhost\n"] {
            assert_eq!(read_answer(line), None, "{line}");
        }
    }

    #[test]
    fn names_are_looked_up_by_the_system() {
        // Numeric names need no name service, so they work wherever the test runs.
        assert_eq!(look_up("127.0.0.1"), Ok(vec!["127.0.0.1".parse().unwrap()]));
        assert_eq!(look_up("::1"), Ok(vec!["::1".parse().unwrap()]));
        assert_eq!(look_up("::ffff:127.0.0.1"), Ok(vec!["127.0.0.1".parse().unwrap()]));
        assert!(look_up("localhost").is_ok_and(|found| found.iter().all(IpAddr::is_loopback)));
    }

    #[test]
    fn answers_carry_the_number_of_their_question() {
        let mut resolver = Resolver::new(None);
        assert!(resolver.fd().is_none());
        assert!(resolver.read_answers().is_empty());
        let count = 3 * ASKED_AT_ONCE;
        for request in 0..count {
            resolver.ask(request, &format!("127.0.0.{}", request % 200 + 1));
        }
        assert!(resolver.unwatched().is_some());
        assert!(resolver.unwatched().is_none(), "it is given out once");
        for (at, (request, answer)) in wait_for(&mut resolver, count).into_iter().enumerate() {
            assert_eq!(request, at);
            assert_eq!(answer, Ok(vec![format!("127.0.0.{}", at % 200 + 1).parse().unwrap()]));
        }
    }

    #[test]
    fn a_child_that_died_is_replaced_at_the_next_question() {
        let mut resolver = Resolver::new(None);
        resolver.ask(1, "127.0.0.1");
        assert_eq!(wait_for(&mut resolver, 1).len(), 1);
        let child = resolver.child.as_ref().unwrap();
        child._process.kill();
        child._process.wait();
        // The socket's end is noticed either when it is written to or when it is read.
        resolver.ask(2, "127.0.0.2");
        assert_eq!(wait_for(&mut resolver, 1), [(2, Err(NoAddress::NoAnswer))]);
        resolver.ask(3, "127.0.0.3");
        assert_eq!(wait_for(&mut resolver, 1), [(3, Ok(vec!["127.0.0.3".parse().unwrap()]))]);
    }

    #[test]
    fn a_child_that_cannot_be_started_gives_no_answer() {
        if process::ids().0 != 0 {
            println!("cannot test a fork that fails here: not root");
            return;
        }
        // The limit does not bind root, and cannot be raised again, so it is another process that has it.
        let nobody = Identity::find("nobody").unwrap().unwrap();
        let Fork::Parent(child) = process::fork().unwrap() else {
            let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            let limited = unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) } == 0;
            let mut resolver = Resolver::new(None);
            let is_ready = limited && nobody.assume().is_ok() && process::fork().is_err();
            resolver.ask(5, "127.0.0.1");
            let is_right = resolver.has_answers()
                && resolver.read_answers() == [(5, Err(NoAddress::NoAnswer))]
                && resolver.fd().is_none();
            process::exit_child(if !is_ready {
                1
            } else if !is_right {
                2
            } else {
                0
            })
        };
        assert_eq!(child.wait(), Some(0));
    }
}
