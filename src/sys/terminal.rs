//! A terminal for a program that redraws its screen: its size, and its keys one at a time.

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use super::signal::Signals;
use super::{checked, poll_readable};
use crate::net::Signal;

/// Standard input without echo and without lines. Dropping it puts it back as it was.
#[derive(Debug)]
pub struct Terminal {
    before: libc::termios,
    /// Standard input without a buffer, so that what is not read yet shows when it is asked for.
    keys: File,
    signals: Signals,
}

/// What a user, or whoever ends the program, wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// A key was pressed.
    Key(u8),
    /// The program is to end: a signal, or nobody is there any more.
    End,
}

impl Terminal {
    /// Takes over the terminal at standard input. Keys that end or stop a program are keys like any other.
    pub fn open() -> io::Result<Terminal> {
        let stdin = io::stdin();
        let mut before = MaybeUninit::uninit();
        // SAFETY: `before` has room for what is written, and is read only after success.
        checked(unsafe { libc::tcgetattr(stdin.as_fd().as_raw_fd(), before.as_mut_ptr()) })?;
        // SAFETY: the call has filled it in.
        let before = unsafe { before.assume_init() };
        let keys = File::from(stdin.as_fd().try_clone_to_owned()?);
        let signals = Signals::install()?;
        let mut raw = before;
        raw.c_lflag &= !(libc::ICANON | libc::ECHO | libc::ISIG);
        raw.c_cc[libc::VMIN] = 1;
        raw.c_cc[libc::VTIME] = 0;
        set(&raw)?;
        Ok(Terminal { before, keys, signals })
    }

    /// The next wish within this time, if there is one.
    pub fn wish(&mut self, within: Duration) -> Option<Wish> {
        let ready = poll_readable(&[self.keys.as_fd(), self.signals.as_fd()], Some(within));
        if self.signals.take().iter().any(|signal| matches!(signal, Signal::Terminate | Signal::Quit | Signal::Hangup))
        {
            return Some(Wish::End);
        }
        if !ready.first().copied().unwrap_or(false) {
            return None;
        }
        let mut key = [0];
        match self.keys.read(&mut key) {
            Ok(1) => Some(Wish::Key(key[0])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Ok(_) | Err(_) => Some(Wish::End),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nothing else to be done about a terminal that is gone.
        let _ = set(&self.before);
    }
}

fn set(how: &libc::termios) -> io::Result<()> {
    let stdin = io::stdin();
    // SAFETY: the descriptor is open, and `how` is only read.
    checked(unsafe { libc::tcsetattr(stdin.as_fd().as_raw_fd(), libc::TCSADRAIN, how) }).map(|_| ())
}

/// Rows and columns of a terminal, if this is one that knows.
pub fn size(terminal: impl AsFd) -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is what this request fills in, and outlives the call.
    let told = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    let is_known = told == 0 && size.ws_row > 0 && size.ws_col > 0;
    is_known.then_some((usize::from(size.ws_row), usize::from(size.ws_col)))
}
