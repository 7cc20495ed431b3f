//! The processes that look names up: one that takes questions, and another for each name.
//!
//! getaddrinfo(3) blocks, half a minute and more where a name server is silent. So each name has a
//! process of its own, and no name waits for another one, up to a bound. Whatever goes wrong in
//! there costs one answer.
//!
//! A pen in a jail cannot start the first of them again where the system's files are (hosts(5),
//! resolv.conf(5)). There it is kept by one more process, which does nothing but start it again.

use std::collections::VecDeque;
use std::ffi::CString;
use std::io::{self, PipeReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::process::{self, Child, Fork, Identity};
use super::resolve::{ANSWER_MAX, Answer, LOST, read_answer, write_answer};
use super::{poll_one, poll_readable, signal};
use crate::net::NoAddress;

/// How many names are looked up at once.
const LOOKED_UP_AT_ONCE: usize = 16;
/// The most addresses of one name.
const ADDRESSES_MAX: usize = 32;

/// How one name is looked up.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Blocks until there is an answer.
    pub look_up: fn(&str) -> Answer,
    /// How long it may; then the name counts as not answered.
    pub patience: Duration,
}

impl Default for Way {
    fn default() -> Way {
        // Three silent name servers, each asked twice, are 30 seconds (resolv.conf(5)).
        Way { look_up, patience: Duration::from_secs(60) }
    }
}

/// One name being looked up.
struct LookUp {
    request: usize,
    answer: PipeReader,
    until: Instant,
    /// Dropping it ends the process, if it has not ended.
    _process: Child,
}

/// The life of the process that takes questions from `socket`, as `identity` if there is one; if
/// it `is_kept`, it is another one that does, and this one starts it again when it dies.
pub fn serve(mut socket: UnixStream, identity: Option<&Identity>, way: Way, is_kept: bool) -> ! {
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
    if is_kept {
        keep(&mut socket);
    }
    answer_all(socket, way);
    process::exit_child(0)
}

/// Starts a process that goes on from here, and another one whenever it dies, until it ends by itself.
fn keep(socket: &mut UnixStream) {
    loop {
        // A process that dies at once costs a question each time, and so cannot die all the time.
        let _ = poll_one(&*socket, libc::POLLIN, -1);
        let status = match process::fork() {
            // It goes on without its keeper, until pen closes the socket.
            Ok(Fork::Child) => return,
            Ok(Fork::Parent(child)) => child.wait(),
            Err(_) => None,
        };
        if status == Some(0) || lose(socket).is_err() {
            process::exit_child(0);
        }
    }
}

/// Nobody knows which questions were taken, and whether one was taken in part: all are lost.
fn lose(socket: &mut UnixStream) -> io::Result<()> {
    let mut lost = [0; ANSWER_MAX];
    while poll_one(&*socket, libc::POLLIN, 0) {
        if socket.read(&mut lost)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    socket.write_all(LOST.as_bytes())
}

/// Takes questions and gives answers until pen closes the socket. Pen asks no more at once than it
/// may, so what waits here is bounded.
fn answer_all(mut socket: UnixStream, way: Way) {
    let mut input = Vec::new();
    let mut waiting: VecDeque<(usize, String)> = VecDeque::new();
    let mut running: Vec<LookUp> = Vec::new();
    loop {
        while running.len() < LOOKED_UP_AT_ONCE
            && let Some((request, name)) = waiting.pop_front()
        {
            match begin(request, &name, way) {
                Ok(begun) => running.push(begun),
                Err(_) if tell(&mut socket, request, &Err(NoAddress::NoAnswer)).is_ok() => {}
                Err(_) => return,
            }
        }
        let until = running.iter().map(|one| one.until).min();
        let fds: Vec<_> = running.iter().map(|one| one.answer.as_fd()).chain([socket.as_fd()]).collect();
        let mut is_ready = poll_readable(&fds, until.map(|until| until.saturating_duration_since(Instant::now())));
        if is_ready.pop() == Some(true) && !take_questions(&mut socket, &mut input, &mut waiting) {
            return;
        }
        let now = Instant::now();
        for at in (0..running.len()).rev() {
            if is_ready[at] || running[at].until <= now {
                let mut ended = running.swap_remove(at);
                let request = ended.request;
                let answer = if is_ready[at] { ended.read() } else { Err(NoAddress::NoAnswer) };
                // Nothing is left of it when pen hears of it.
                drop(ended);
                if tell(&mut socket, request, &answer).is_err() {
                    return;
                }
            }
        }
    }
}

fn tell(socket: &mut UnixStream, request: usize, answer: &Answer) -> io::Result<()> {
    socket.write_all(write_answer(request, answer).as_bytes())
}

/// Reads what is there; false if there will be nothing more.
fn take_questions(socket: &mut UnixStream, input: &mut Vec<u8>, waiting: &mut VecDeque<(usize, String)>) -> bool {
    let mut bytes = [0; ANSWER_MAX];
    match socket.read(&mut bytes) {
        Ok(0) => return false,
        Ok(count) => input.extend_from_slice(&bytes[..count]),
        Err(error) => return error.kind() == io::ErrorKind::Interrupted,
    }
    while let Some(end) = memchr::memchr(b'\n', input) {
        let line: Vec<u8> = input.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line);
        let Some((request, name)) = line.trim_end().split_once(' ') else { return false };
        let Ok(request) = request.parse() else { return false };
        waiting.push_back((request, String::from(name)));
    }
    true
}

fn begin(request: usize, name: &str, way: Way) -> io::Result<LookUp> {
    let (reader, mut writer) = io::pipe()?;
    match process::fork()? {
        Fork::Child => {
            process::close_all_but(&writer);
            process::end_with_parent();
            // Shorter than what a pipe takes at once (PIPE_BUF), so it is there whole or not at all.
            let _ = writer.write_all(write_answer(request, &(way.look_up)(name)).as_bytes());
            process::exit_child(0)
        }
        Fork::Parent(process) => {
            Ok(LookUp { request, answer: reader, until: Instant::now() + way.patience, _process: process })
        }
    }
}

impl LookUp {
    /// What the process wrote before it ended; it does nothing after that.
    fn read(&mut self) -> Answer {
        let mut line = String::new();
        let _ = (&mut self.answer).take(ANSWER_MAX as u64).read_to_string(&mut line);
        match read_answer(&line) {
            Some((request, answer)) if request == self.request => answer,
            _ => Err(NoAddress::NoAnswer),
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

    #[test]
    fn names_are_looked_up_by_the_system() {
        // Numeric names need no name service, so they work wherever the test runs.
        assert_eq!(look_up("127.0.0.1"), Ok(vec!["127.0.0.1".parse().unwrap()]));
        assert_eq!(look_up("::1"), Ok(vec!["::1".parse().unwrap()]));
        assert_eq!(look_up("::ffff:127.0.0.1"), Ok(vec!["127.0.0.1".parse().unwrap()]));
        assert!(look_up("localhost").is_ok_and(|found| found.iter().all(IpAddr::is_loopback)));
    }
}
