//! A UDP socket on which others send lines, and what came in too fast to be taken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::{checked, set_nonblocking};

/// How much the kernel is asked to keep while nobody takes it, in bytes. It may give less.
const BUFFER: libc::c_int = 8 * 1024 * 1024;

/// The longest datagram there is (RFC 768: 16 bits for the length, of which headers take some).
pub const DATAGRAM_MAX: usize = 65_535;

/// A socket that receives.
#[derive(Debug)]
pub struct Receiver {
    socket: UdpSocket,
    /// How many datagrams the kernel has thrown away because nobody took them in time.
    dropped: u32,
}

impl Receiver {
    /// Listens on all addresses, IPv6 ones too where the system has them.
    pub fn any(port: u16) -> io::Result<Receiver> {
        match dual(port) {
            Ok(socket) => Receiver::new(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            Err(_) => Receiver::at(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
        }
    }

    /// Listens on one address.
    pub fn at(address: SocketAddr) -> io::Result<Receiver> {
        Receiver::new(UdpSocket::bind(address)?)
    }

    fn new(socket: UdpSocket) -> io::Result<Receiver> {
        set_nonblocking(&socket)?;
        // Less room only means that more is lost when much comes at once, which is counted.
        let _ = set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER);
        #[cfg(target_os = "linux")]
        {
            let _ = set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER);
            let _ = set_option(&socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1);
        }
        Ok(Receiver { socket, dropped: 0 })
    }

    /// Where it listens.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// How many datagrams were lost here so far, as of the last one that was received: the
    /// kernel tells with each what was lost before it. Always 0 where it does not tell.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Takes a datagram of at most `buffer.len()` bytes, without waiting for one: its length, and
    /// who sent it. `buffer` of [`DATAGRAM_MAX`] bytes takes any.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, IpAddr)> {
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: plain numbers, for which zeros are a value.
        let mut from: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let mut notes = [0u64; 8];
        // SAFETY: plain numbers and pointers, for which zeros are a value.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = size_of_val(&from) as libc::socklen_t;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = notes.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&notes) as _;
        // SAFETY: all that `message` points to lives until the call is over, with these lengths.
        let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, 0) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        if let Some(dropped) = dropped(&message) {
            self.dropped = dropped;
        }
        Ok((length, sender(&from)))
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket that IPv4 senders reach as well.
fn dual(port: u16) -> io::Result<UdpSocket> {
    // SAFETY: no memory is passed.
    let fd = checked(unsafe { libc::socket(libc::AF_INET6, libc::SOCK_DGRAM, 0) })?;
    // SAFETY: the descriptor is new and nobody else's.
    let socket = UdpSocket::from(unsafe { OwnedFd::from_raw_fd(fd) });
    set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
    // SAFETY: plain numbers, for which zeros are a value.
    let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    address.sin6_family = libc::AF_INET6 as libc::sa_family_t;
    address.sin6_port = port.to_be();
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address lives until the call is over and has this size.
    checked(unsafe { libc::bind(fd, (&raw const address).cast(), size) })?;
    Ok(socket)
}

fn set_option(socket: &UdpSocket, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let size = size_of_val(&value) as libc::socklen_t;
    let fd = socket.as_raw_fd();
    // SAFETY: the value lives until the call is over and has this size.
    checked(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size) })?;
    Ok(())
}

/// What the kernel says with a datagram about those before it.
#[cfg(target_os = "linux")]
fn dropped(message: &libc::msghdr) -> Option<u32> {
    // SAFETY: the kernel has filled in the header, and the notes that it points to still live.
    let note = unsafe { libc::CMSG_FIRSTHDR(message).as_ref() }?;
    if (note.cmsg_level, note.cmsg_type) != (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) {
        return None;
    }
    // SAFETY: a note of this kind is followed by a number of 32 bits, aligned or not.
    Some(unsafe { libc::CMSG_DATA(note).cast::<u32>().read_unaligned() })
}

#[cfg(not(target_os = "linux"))]
fn dropped(_: &libc::msghdr) -> Option<u32> {
    None
}

fn sender(from: &libc::sockaddr_storage) -> IpAddr {
    if libc::c_int::from(from.ss_family) == libc::AF_INET6 {
        // SAFETY: the family says that it is this type, and the storage is large enough for all.
        let address = unsafe { &*std::ptr::from_ref(from).cast::<libc::sockaddr_in6>() };
        return IpAddr::V6(Ipv6Addr::from(address.sin6_addr.s6_addr)).to_canonical();
    }
    // SAFETY: as above; any other family than IPv4 cannot be, and would give an address of no use.
    let address = unsafe { &*std::ptr::from_ref(from).cast::<libc::sockaddr_in>() };
    IpAddr::V4(Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes()))
}

/// Waits until one of the two can be read, or the time is up; for ever without one.
pub fn wait_for_either(one: impl AsFd, other: impl AsFd, limit: Option<Duration>) {
    let entry = |fd: BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut entries = [entry(one.as_fd()), entry(other.as_fd())];
    // Rounded up, so that a wait is never over too soon.
    let millis = limit.map_or(-1, |limit| libc::c_int::try_from(limit.as_millis() + 1).unwrap_or(libc::c_int::MAX));
    // A signal may end the wait, which is as good as anything else.
    // SAFETY: two valid elements, and the call keeps no reference to them.
    unsafe { libc::poll(entries.as_mut_ptr(), 2, millis) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_comes_with_its_sender_whatever_the_family() {
        let mut receiver = Receiver::any(0).unwrap();
        let port = receiver.local().unwrap().port();
        let mut buffer = vec![0; DATAGRAM_MAX];
        assert_eq!(receiver.receive(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        for (from, to) in [("127.0.0.7:0", "127.0.0.1"), ("[::1]:0", "[::1]")] {
            let Ok(sender) = UdpSocket::bind(from) else {
                println!("cannot test {from} here: no such address");
                continue;
            };
            let long = vec![b'x'; 60_000];
            sender.send_to(&long, format!("{to}:{port}")).unwrap();
            wait_for_either(&receiver, &receiver, Some(Duration::from_secs(10)));
            let (length, ip) = receiver.receive(&mut buffer).unwrap();
            assert_eq!((length, ip), (long.len(), sender.local_addr().unwrap().ip()));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_the_kernel_throws_away_is_counted() {
        let mut receiver = Receiver::at("127.0.0.1:0".parse().unwrap()).unwrap();
        set_option(&receiver.socket, libc::SOL_SOCKET, libc::SO_RCVBUF, 4096).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local().unwrap();
        let mut buffer = vec![0; DATAGRAM_MAX];
        let mut received = 0;
        for _ in 0..2 {
            for _ in 0..500 {
                sender.send_to(b"line\n", to).unwrap();
            }
            while receiver.receive(&mut buffer).is_ok() {
                received += 1;
            }
        }
        // The first one after the loss tells of it.
        sender.send_to(b"line\n", to).unwrap();
        wait_for_either(&receiver, &receiver, Some(Duration::from_secs(10)));
        receiver.receive(&mut buffer).unwrap();
        assert!(received < 1000, "a small buffer overflows");
        assert_eq!(receiver.dropped() + received, 1000);
    }
}
