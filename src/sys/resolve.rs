//! Host names to addresses, in a child process, because getaddrinfo(3) blocks.
//!
//! The child is forked when the first name is asked for (or at [`Resolver::keep`]), takes questions
//! over a socket pair, answers each as soon as it can, and ends with pen. When it dies, what it was
//! asked counts as not answered, and the next question starts another one.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::look_up::{self, Way};
use super::process::{self, Child, Fork, Identity};
use crate::net::NoAddress;

/// What a name turned out to be: at least one address, or why there is none.
pub type Answer = Result<Vec<IpAddr>, NoAddress>;

/// How many questions may be with the child; more would fill the socket if names are slow.
const ASKED_AT_ONCE: usize = 64;
/// Longest answer in bytes, with room to spare; longer ones are not from our child.
pub(super) const ANSWER_MAX: usize = 4096;
/// What says that nothing that was asked before will be answered.
pub(super) const LOST: &str = "lost\n";

/// Asks for names without blocking.
#[derive(Debug, Default)]
pub struct Resolver {
    identity: Option<Identity>,
    way: Way,
    /// The child that there is was started for good: another one would see other files.
    is_kept: bool,
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
    /// Closed before the child is waited for: its end is the one thing that ends a child which is root still, if pen
    /// has become another user meanwhile and may not kill it.
    socket: UnixStream,
    /// Dropping it ends the child.
    _process: Child,
    input: Vec<u8>,
}

impl Resolver {
    /// A resolver whose child runs as `identity`, if there is one, and as pen does otherwise.
    pub fn new(identity: Option<Identity>) -> Resolver {
        Resolver { identity, ..Resolver::default() }
    }

    /// Forks the child now, and for good. A child from before chroot(2) still sees the files of the
    /// system (resolv.conf(5), hosts(5)), which one from after it would not: so this one is kept
    /// alive by a process of its own, and if both are ended, no name is looked up any more.
    pub fn keep(&mut self) -> io::Result<()> {
        self.start(true)?;
        self.is_kept = true;
        Ok(())
    }

    /// Forks the child if it is not there.
    fn start(&mut self, for_good: bool) -> io::Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        if self.is_kept {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        match process::fork()? {
            Fork::Child => {
                drop(ours);
                look_up::serve(theirs, self.identity.as_ref(), self.way, for_good)
            }
            Fork::Parent(process) => {
                self.child = Some(Running { socket: ours, _process: process, input: Vec::new() });
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
            let sent = self.start(false).is_ok()
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
        while let Some(running) = &mut self.child
            && let Some(end) = memchr::memchr(b'\n', &running.input)
        {
            let line: Vec<u8> = running.input.drain(..=end).collect();
            if line == LOST.as_bytes() {
                self.give_up();
                continue;
            }
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
    // Never within whoever waits for events, whose every turn would touch this buffer's pages.
    #[inline(never)]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll_one;
    use std::time::Duration;

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

    /// Looks up what is an address; other names say how it goes wrong.
    fn oddly(name: &str) -> Answer {
        match name {
            "hangs" => loop {
                std::thread::park();
            },
            "dies" => process::exit_child(3),
            "says-nothing" => process::exit_child(0),
            _ => look_up::look_up(name),
        }
    }

    fn odd(seconds: u64) -> Resolver {
        let way = Way { look_up: oddly, patience: Duration::from_secs(seconds) };
        Resolver { way, ..Resolver::new(None) }
    }

    fn known(last: u8) -> Answer {
        Ok(vec![IpAddr::from([127, 0, 0, last])])
    }

    #[test]
    fn a_name_that_hangs_or_kills_holds_up_no_other() {
        let mut resolver = odd(3600);
        for (request, name) in ["hangs", "127.0.0.1", "hangs", "dies", "says-nothing", "127.0.0.2"].iter().enumerate() {
            resolver.ask(request, name);
        }
        let none = || Err(NoAddress::NoAnswer);
        assert_eq!(wait_for(&mut resolver, 4), [(1, known(1)), (3, none()), (4, none()), (5, known(2))]);
    }

    #[test]
    fn names_that_hang_are_given_up_in_time_and_make_room() {
        let mut resolver = odd(1);
        let many = 2 * ASKED_AT_ONCE;
        for request in 0..many {
            resolver.ask(request, if request % 2 == 0 { "hangs" } else { "127.0.0.9" });
        }
        for (at, (request, answer)) in wait_for(&mut resolver, many).into_iter().enumerate() {
            let right = if at % 2 == 0 { Err(NoAddress::NoAnswer) } else { known(9) };
            assert_eq!((request, answer), (at, right));
        }
    }

    /// The children of a process.
    #[cfg(target_os = "linux")]
    fn children(pid: u32) -> Vec<u32> {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    #[cfg(target_os = "linux")]
    fn kill(pid: u32) {
        assert_eq!(unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) }, 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_child_that_is_kept_is_started_again_by_its_keeper_alone() {
        let mut resolver = odd(3600);
        resolver.keep().unwrap();
        let keeper = resolver.child.as_ref().unwrap()._process.number();
        for request in 0..3 {
            resolver.ask(10 * request, "hangs");
            resolver.ask(10 * request + 1, "127.0.0.1");
            assert_eq!(wait_for(&mut resolver, 1), [(10 * request + 1, known(1))]);
            let [child] = children(keeper)[..] else { panic!("not one child") };
            kill(child);
            assert_eq!(wait_for(&mut resolver, 1), [(10 * request, Err(NoAddress::NoAnswer))], "what it was asked");
        }
        // Without its keeper it goes on.
        resolver.ask(100, "127.0.0.1");
        assert_eq!(wait_for(&mut resolver, 1), [(100, known(1))]);
        let [child] = children(keeper)[..] else { panic!("not one child") };
        kill(keeper);
        resolver.child.as_ref().unwrap()._process.wait();
        resolver.ask(101, "127.0.0.1");
        assert_eq!(wait_for(&mut resolver, 1), [(101, known(1))]);
        // With neither of them nobody is started, for it would see other files.
        kill(child);
        resolver.ask(102, "127.0.0.1");
        assert_eq!(wait_for(&mut resolver, 1), [(102, Err(NoAddress::NoAnswer))]);
        resolver.ask(103, "127.0.0.1");
        assert!(resolver.has_answers() && resolver.fd().is_none());
        assert_eq!(resolver.read_answers(), [(103, Err(NoAddress::NoAnswer))]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn nothing_is_left_of_a_child_that_was_kept() {
        let mut resolver = odd(3600);
        resolver.keep().unwrap();
        resolver.ask(1, "hangs");
        resolver.ask(2, "127.0.0.1");
        assert_eq!(wait_for(&mut resolver, 1), [(2, known(1))]);
        let keeper = resolver.child.as_ref().unwrap()._process.number();
        let [child] = children(keeper)[..] else { panic!("not one child") };
        let [hanging] = children(child)[..] else { panic!("not one name") };
        drop(resolver);
        let is_there =
            |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        let end = std::time::Instant::now() + Duration::from_secs(30);
        while [keeper, child, hanging].into_iter().any(is_there) {
            assert!(std::time::Instant::now() < end, "one of {keeper}, {child}, {hanging} is left");
            std::thread::yield_now();
        }
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
