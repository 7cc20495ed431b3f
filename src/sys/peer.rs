//! Who is at the other end of a Unix socket.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::process;

/// Whether the peer of a Unix socket was a process of this user or of root when it connected, as
/// the kernel has it.
pub fn is_same_user(socket: BorrowedFd<'_>) -> bool {
    user_of(socket).is_some_and(|user| user == 0 || user == process::ids().0)
}

/// The user of the peer (`SO_PEERCRED`, unix(7)).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn user_of(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    let (fd, value) = (socket.as_raw_fd(), (&raw mut peer).cast());
    // SAFETY: `value` points to `size` bytes that are live and of the type that the option has.
    let result = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, value, &raw mut size) };
    (result == 0).then_some(peer.uid)
}

/// The user of the peer (getpeereid(3)).
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn user_of(socket: BorrowedFd<'_>) -> Option<u32> {
    let (mut user, mut group) = (u32::MAX, u32::MAX);
    // SAFETY: both places are live.
    let result = unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut user, &raw mut group) };
    (result == 0).then_some(user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_peer_of_a_pair_is_this_user() {
        let (one, other) = UnixStream::pair().unwrap();
        assert_eq!(user_of(one.as_fd()), Some(process::ids().0));
        assert!(is_same_user(one.as_fd()) && is_same_user(other.as_fd()));
    }

    #[test]
    fn of_what_is_no_socket_nothing_is_known() {
        let file = std::fs::File::open("/").unwrap();
        assert!(!is_same_user(file.as_fd()));
    }
}
