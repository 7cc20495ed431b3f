//! The one privilege that outlives a change of user: to have sockets with addresses of others, which
//! the kernel calls `CAP_NET_RAW` (capabilities(7)).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::tcp::{allow_foreign, new_tcp_socket};

/// Whether this process may have sockets with addresses of others.
pub fn check_foreign() -> io::Result<()> {
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    allow_foreign(&new_tcp_socket(any)?, true)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod kept {
    use std::io;

    use crate::sys::checked;

    /// Its number, and the version of the call (linux/capability.h).
    const NET_RAW: u32 = 13;
    const VERSION_3: u32 = 0x2008_0522;

    /// The next change of user takes no capabilities that may be used again.
    pub fn across_change_of_user() -> io::Result<()> {
        // SAFETY: the call takes numbers.
        checked(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1 as libc::c_ulong) }).map(drop)
    }

    /// Gives up all capabilities but that one, which a successor has too.
    pub fn alone() -> io::Result<()> {
        let header: [u32; 2] = [VERSION_3, 0];
        // Effective, permitted and inheritable, of the first 32 and of the others.
        let sets: [u32; 6] = [1 << NET_RAW, 1 << NET_RAW, 1 << NET_RAW, 0, 0, 0];
        // SAFETY: both pointers are those of structures of this version, which outlive the call.
        let code = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
        if code != 0 {
            return Err(io::Error::last_os_error());
        }
        let (raise, raw) = (libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, libc::c_ulong::from(NET_RAW as u8));
        let zero: libc::c_ulong = 0;
        // SAFETY: the call takes numbers.
        checked(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, raw, zero, zero) }).map(drop)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod kept {
    use std::io;

    pub fn across_change_of_user() -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn alone() -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

pub(super) use kept::{across_change_of_user, alone};
