//! The real world: sockets, signals, processes, the resolver, stderr and syslog.
//!
//! All `unsafe`, all of libc and mio, and both clocks are in here and nowhere else. Nothing in
//! here decides anything that the balancer should decide.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

pub mod activation;
pub mod alarm;
pub mod arrivals;
pub mod capability;
pub mod clock;
pub mod console;
pub mod datagram;
#[cfg(feature = "tools")]
pub mod dns;
pub mod exec;
pub mod folder;
pub mod image;
pub mod inheritance;
pub mod lack;
pub mod listener;
pub mod log;
pub mod look_up;
pub mod memory;
pub mod nap;
pub mod net;
pub mod peer;
pub mod pid_file;
pub mod pipe;
pub mod process;
#[cfg(feature = "tools")]
pub mod random;
pub mod resolve;
pub mod service;
pub mod signal;
pub mod socket;
pub mod spare;
pub mod syslog;
pub mod tcp;
pub mod terminal;
pub mod udp;
pub mod unix_path;
#[cfg(all(not(panic = "unwind"), target_os = "linux", not(target_arch = "arm")))]
mod unwind;
pub mod upgrade;

/// The result of a system call that returns -1 and sets errno when it fails.
pub(crate) fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes calls on the descriptor return `WouldBlock` instead of waiting. This is a property of
/// the open file description, so it must not be done to what is shared with other processes.
pub(crate) fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open for as long as it is borrowed; no memory is passed.
    let flags = checked(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    // SAFETY: as above.
    checked(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// Has the event loop told once each time there is something new to read.
pub(crate) fn watch_readable(poll: &mio::Poll, fd: BorrowedFd<'_>, token: usize) -> io::Result<()> {
    let fd = fd.as_raw_fd();
    poll.registry().register(&mut mio::unix::SourceFd(&fd), mio::Token(token), mio::Interest::READABLE)
}

/// Waits until the descriptor is ready for `events` (poll(2)) or `milliseconds` have gone by.
/// True if it is ready, which includes being in error.
pub(crate) fn poll_one(fd: impl AsFd, events: libc::c_short, milliseconds: libc::c_int) -> bool {
    let mut entry = libc::pollfd { fd: fd.as_fd().as_raw_fd(), events, revents: 0 };
    // SAFETY: `entry` is one valid element, and the call keeps no reference to it.
    unsafe { libc::poll(&raw mut entry, 1, milliseconds) == 1 }
}

/// Waits until one of the descriptors can be read, or is at its end or in error, or `timeout` is
/// over; which of them are. No time: as long as it takes.
pub(crate) fn poll_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Vec<bool> {
    let entry = |fd: &BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut entries: Vec<libc::pollfd> = fds.iter().map(entry).collect();
    // A part of a millisecond more is better than none.
    let milliseconds =
        timeout.map_or(-1, |time| libc::c_int::try_from(time.as_millis() + 1).unwrap_or(libc::c_int::MAX));
    // SAFETY: the entries are as many as is said, and the call keeps no reference to them.
    let result = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, milliseconds) };
    entries.iter().map(|entry| result > 0 && entry.revents != 0).collect()
}

/// A new directory of this test's own, which it removes when it is done.
#[cfg(test)]
pub(crate) fn test_dir(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("pen-{name}-{}", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    path
}

/// True if this process is for the test of this name alone. Otherwise such a process does the test, and here there is
/// nothing left to do.
#[cfg(test)]
pub(crate) fn is_alone(test: &str) -> bool {
    const ALONE: &str = "PEN_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    let output = alone.args([test, "--exact", "--nocapture"]).env(ALONE, test).output().unwrap();
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}{why}");
    false
}
