//! What is nobody's fault: this machine has no more of something, or a rule of its own forbids it.

use std::io;

/// Whether an error tells of something that this machine lacks or forbids, so that no peer is to blame.
pub fn is_lack(error: &io::Error) -> bool {
    let lacking = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::ENOSPC,
        libc::EADDRNOTAVAIL,
        libc::EPERM,
        libc::EAGAIN,
    ];
    error.raw_os_error().is_some_and(|number| lacking.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_this_machine_is_told_from_the_fault_of_a_peer() {
        use libc::{EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM};
        use libc::{ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH, ENOENT, ETIMEDOUT};
        for number in [EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EPERM] {
            assert!(is_lack(&io::Error::from_raw_os_error(number)), "{number}");
        }
        for number in [ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH, ENOENT, ETIMEDOUT] {
            assert!(!is_lack(&io::Error::from_raw_os_error(number)), "{number}");
        }
        assert!(!is_lack(&io::ErrorKind::TimedOut.into()));
        assert!(!is_lack(&io::Error::new(io::ErrorKind::AddrNotAvailable, "as of a source that is not there")));
    }
}
