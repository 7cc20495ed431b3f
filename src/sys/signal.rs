//! Signals, turned into something that the event loop can wait for.
//!
//! What runs at the moment of the signal only notes it and writes one byte into a pipe. There is
//! one set of signals per process, so [`Signals`] is installed once.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use super::{checked, set_nonblocking};
use crate::net::Signal;

/// What each signal that pen acts on means.
const MEANINGS: [(libc::c_int, Signal); 6] = [
    (libc::SIGTERM, Signal::Terminate),
    (libc::SIGINT, Signal::Terminate),
    (libc::SIGQUIT, Signal::Quit),
    (libc::SIGHUP, Signal::Hangup),
    (libc::SIGUSR1, Signal::Statistics),
    (libc::SIGUSR2, Signal::Upgrade),
];

/// The rows of [`MEANINGS`] that came in and were not taken yet, one bit each.
static NOTED: AtomicU32 = AtomicU32::new(0);
/// The writable end of the pipe, or -1.
static WAKE: AtomicI32 = AtomicI32::new(-1);

/// The signals of this process, from when they were installed. Dropping it gives them back their
/// default actions.
#[derive(Debug)]
pub struct Signals {
    readable: PipeReader,
    // The signal's side writes to it by number; it lives here so that it is closed some day.
    _writable: PipeWriter,
}

impl Signals {
    /// Catches TERM, INT, QUIT, HUP, USR1 and USR2 from now on, and ignores PIPE.
    pub fn install() -> io::Result<Signals> {
        let (readable, writable) = io::pipe()?;
        set_nonblocking(&readable)?;
        set_nonblocking(&writable)?;
        WAKE.store(writable.as_raw_fd(), Ordering::SeqCst);
        let signals = Signals { readable, _writable: writable };
        for (number, _) in MEANINGS {
            set_action(number, note as extern "C" fn(libc::c_int) as libc::sighandler_t)?;
        }
        set_action(libc::SIGPIPE, libc::SIG_IGN)?;
        Ok(signals)
    }

    /// What came in since the last call, each at most once, ending first. Reads the pipe until it
    /// is empty, so it may be watched edge-triggered.
    pub fn take(&mut self) -> Vec<Signal> {
        let mut bytes = [0; 64];
        while self.readable.read(&mut bytes).is_ok_and(|count| count > 0) {}
        // After the pipe is emptied, not before: a signal in between is taken here, and at worst
        // leaves a byte that wakes the loop once for nothing.
        let noted = NOTED.swap(0, Ordering::SeqCst);
        let mut signals: Vec<Signal> = Vec::new();
        for (row, (_, signal)) in MEANINGS.iter().enumerate() {
            if noted & (1 << row) != 0 && !signals.contains(signal) {
                signals.push(*signal);
            }
        }
        signals
    }
}

impl AsFd for Signals {
    /// To watch for reading.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        default_actions();
        WAKE.store(-1, Ordering::SeqCst);
    }
}

/// Gives the caught signals back their default actions: for a child process that goes its own way.
pub(crate) fn default_actions() {
    for (number, _) in MEANINGS {
        // Cannot fail for these signals; and if it did, nothing could be done about it.
        let _ = set_action(number, libc::SIG_DFL);
    }
}

/// Ignores a signal.
pub(crate) fn ignore(number: libc::c_int) -> io::Result<()> {
    set_action(number, libc::SIG_IGN)
}

/// Runs when a signal comes in, between any two instructions of the program: only what
/// signal-safety(7) allows.
extern "C" fn note(number: libc::c_int) {
    let Some(row) = MEANINGS.iter().position(|row| row.0 == number) else { return };
    // Only the first writes, so the pipe is never full, the write never fails, and the errno of
    // what was interrupted stays as it is.
    if NOTED.fetch_or(1 << row, Ordering::SeqCst) == 0 {
        let fd = WAKE.load(Ordering::SeqCst);
        // SAFETY: the byte is static; a descriptor of -1 makes the call fail, which is harmless.
        unsafe { libc::write(fd, b"!".as_ptr().cast(), 1) };
    }
}

fn set_action(number: libc::c_int, action: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: `sigaction` is plain numbers, for which zeroes are valid: no flags, empty mask.
    let mut entry: libc::sigaction = unsafe { std::mem::zeroed() };
    entry.sa_sigaction = action;
    entry.sa_flags = libc::SA_RESTART;
    // SAFETY: `entry` is live and complete, and `action` is a constant or a function that does only
    // what is safe in a signal.
    checked(unsafe { libc::sigaction(number, &raw const entry, std::ptr::null_mut()) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll_one;

    // One test, because the signals of a process are one thing and tests run side by side.
    #[test]
    fn signals_wake_the_loop_and_are_taken_once() {
        let raise = |number| assert_eq!(unsafe { libc::raise(number) }, 0);
        let mut signals = Signals::install().unwrap();
        assert!(!poll_one(&signals, libc::POLLIN, 0));
        assert_eq!(signals.take(), []);

        let table: [(&[libc::c_int], &[Signal]); 6] = [
            (&[libc::SIGHUP], &[Signal::Hangup]),
            (&[libc::SIGINT, libc::SIGTERM], &[Signal::Terminate]),
            (&[libc::SIGUSR1, libc::SIGUSR1, libc::SIGTERM], &[Signal::Terminate, Signal::Statistics]),
            (&[libc::SIGQUIT, libc::SIGTERM], &[Signal::Terminate, Signal::Quit]),
            (&[libc::SIGUSR2], &[Signal::Upgrade]),
            (&[libc::SIGPIPE], &[]),
        ];
        for (raised, taken) in table {
            raised.iter().for_each(|number| raise(*number));
            assert_eq!(poll_one(&signals, libc::POLLIN, 0), !taken.is_empty());
            assert_eq!(signals.take(), taken);
            assert_eq!(signals.take(), []);
            assert!(!poll_one(&signals, libc::POLLIN, 0), "the pipe is not empty");
        }
    }
}
