//! UDP sockets: those where clients' datagrams arrive, and those that lead to one server.
//!
//! On Linux one call takes or sends many datagrams; elsewhere each has its own.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use super::tcp::{bind, bind_source, connect, new_udp_socket, set_option};
use crate::base::addr::Source;
use crate::net::{Inbox, Outbox, Way};

/// How much the kernel is asked to keep while pen does something else, in bytes. It may give less.
const BUFFER: libc::c_int = 4 * 1024 * 1024;

/// A socket where datagrams arrive.
#[derive(Debug)]
pub struct Arrivals {
    socket: UdpSocket,
    /// Clients reach several addresses of this machine by it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    is_wildcard: bool,
    is_ipv6: bool,
    /// The last call took all there was: an edge tells of more.
    is_drained: bool,
}

impl Arrivals {
    /// Opens one; `shared` as for TCP.
    pub fn open(at: SocketAddr, shared: bool) -> io::Result<Arrivals> {
        let fd = new_udp_socket(at)?;
        if shared {
            set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1 as libc::c_int)?;
        }
        if at.is_ipv6() {
            set_option(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0 as libc::c_int)?;
        }
        fit(&fd, at)?;
        bind(&fd, at)?;
        Arrivals::of(fd)
    }

    /// Makes one that somebody else opened as ours are.
    pub fn fit(&self) -> io::Result<()> {
        fit(&self.socket, self.socket.local_addr()?)
    }

    /// One that was opened in this way.
    pub fn of(fd: OwnedFd) -> io::Result<Arrivals> {
        let socket = UdpSocket::from(fd);
        let at = socket.local_addr()?;
        Ok(Arrivals {
            socket,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            is_wildcard: at.ip().is_unspecified(),
            is_ipv6: at.is_ipv6(),
            is_drained: false,
        })
    }

    /// The socket.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Takes what has come, as far as there is room.
    pub fn receive(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        inbox.clear();
        if std::mem::take(&mut self.is_drained) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.is_drained = self.take_all(inbox)?;
        Ok(())
    }

    /// Sends answers from number `first` on.
    pub fn answer(&mut self, outbox: &Outbox, first: usize) -> io::Result<usize> {
        self.send_all(outbox, first).map_err(told)
    }

    /// Takes what fits; true if there was no more.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn take_all(&self, inbox: &mut Inbox) -> io::Result<bool> {
        many::receive(&self.socket, inbox)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn send_all(&self, outbox: &Outbox, first: usize) -> io::Result<usize> {
        many::send(&self.socket, outbox, first, self.is_wildcard, self.is_ipv6)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn take_all(&self, inbox: &mut Inbox) -> io::Result<bool> {
        let slot = inbox.slots().next().expect("there is room for one");
        let (length, from) = self.socket.recv_from(slot)?;
        inbox.push(Way { client: canonical(from), local: None }, length);
        Ok(false)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn send_all(&self, outbox: &Outbox, first: usize) -> io::Result<usize> {
        let Some((way, bytes)) = outbox.from(first).next() else { return Ok(0) };
        let client = if self.is_ipv6 { SocketAddr::V6(mapped(way.client)) } else { way.client };
        self.socket.send_to(bytes, client).map(|_| 1)
    }
}

/// A socket that leads to one server.
pub fn connected(to: SocketAddr, from: Option<Source>) -> io::Result<UdpSocket> {
    let fd = new_udp_socket(to)?;
    bind_source(&fd, to, from)?;
    connect(&fd, to)?;
    Ok(UdpSocket::from(fd))
}

/// A datagram that is too long for its way is nobody's fault but its own (udp(7)).
pub fn told(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(libc::EMSGSIZE) { io::ErrorKind::InvalidInput.into() } else { error }
}

/// The address of a client, without what differs from one datagram to the next.
fn canonical(from: SocketAddr) -> SocketAddr {
    match (from, from.ip().to_canonical()) {
        (SocketAddr::V6(from), IpAddr::V6(ip)) => {
            SocketAddr::V6(std::net::SocketAddrV6::new(ip, from.port(), 0, from.scope_id()))
        }
        (_, ip) => SocketAddr::new(ip, from.port()),
    }
}

/// The same for a socket of IPv6.
fn mapped(client: SocketAddr) -> std::net::SocketAddrV6 {
    match client {
        SocketAddr::V4(client) => std::net::SocketAddrV6::new(client.ip().to_ipv6_mapped(), client.port(), 0, 0),
        SocketAddr::V6(client) => client,
    }
}

/// Many datagrams by one call (recvmmsg(2), sendmmsg(2)), and which address of this machine they
/// were sent to (ip(7), ipv6(7)).
#[cfg(any(target_os = "linux", target_os = "android"))]
mod many {
    use std::io;
    use std::mem;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
    use std::os::fd::{AsFd, AsRawFd};

    use super::{Way, canonical, mapped};
    use crate::net::{BATCH_MAX, Inbox, Outbox};
    use crate::sys::checked;
    use crate::sys::tcp::{raw_address, set_option};

    /// The room for a note with an address.
    type Note = [u64; 8];

    /// What the kernel is told of each datagram of a call, and tells.
    struct Frames {
        headers: [libc::mmsghdr; BATCH_MAX],
        parts: [libc::iovec; BATCH_MAX],
        peers: [libc::sockaddr_storage; BATCH_MAX],
        notes: [Note; BATCH_MAX],
    }

    impl Frames {
        fn new() -> Frames {
            // SAFETY: plain numbers and pointers, for which zeros are a value.
            unsafe { mem::zeroed() }
        }

        /// Lets the headers point to the rest, which must not move from now on.
        fn aim(&mut self, number: usize, note_length: usize) {
            let header = &mut self.headers[number].msg_hdr;
            header.msg_name = (&raw mut self.peers[number]).cast();
            header.msg_iov = &raw mut self.parts[number];
            header.msg_iovlen = 1;
            header.msg_control =
                if note_length > 0 { self.notes[number].as_mut_ptr().cast() } else { std::ptr::null_mut() };
            header.msg_controllen = note_length as _;
        }
    }

    /// Lets the kernel tell to which address each datagram was sent.
    pub fn tell_addresses(fd: impl AsFd + Copy, is_ipv6: bool) -> io::Result<()> {
        let yes: libc::c_int = 1;
        if is_ipv6 {
            return set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, yes);
        }
        set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, yes)
    }

    pub fn receive(socket: impl AsFd, inbox: &mut Inbox) -> io::Result<bool> {
        let mut frames = Frames::new();
        for (number, slot) in inbox.slots().enumerate() {
            frames.parts[number] = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
            frames.aim(number, mem::size_of::<Note>());
            frames.headers[number].msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        }
        let (fd, headers) = (socket.as_fd().as_raw_fd(), frames.headers.as_mut_ptr());
        // SAFETY: all that the headers point to lives until the call is over, with these lengths.
        let count = unsafe { libc::recvmmsg(fd, headers, BATCH_MAX as libc::c_uint, 0, std::ptr::null_mut()) };
        let count = checked(count)? as usize;
        for number in 0..count {
            let client = canonical(address_of(&frames.peers[number]));
            let header = &frames.headers[number];
            inbox.push(Way { client, local: asked(&header.msg_hdr) }, header.msg_len as usize);
        }
        Ok(count < BATCH_MAX)
    }

    pub fn send(
        socket: impl AsFd,
        outbox: &Outbox,
        first: usize,
        is_wildcard: bool,
        is_ipv6: bool,
    ) -> io::Result<usize> {
        let mut frames = Frames::new();
        let letters = outbox.from(first).take(BATCH_MAX);
        let count = letters.len();
        for (number, (way, bytes)) in letters.enumerate() {
            let client = if is_ipv6 { SocketAddr::V6(mapped(way.client)) } else { way.client };
            let (peer, length) = raw_address(client);
            frames.peers[number] = peer;
            frames.parts[number] = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            let local = way.local.filter(|_| is_wildcard);
            frames.aim(number, local.map_or(0, |local| note_length(local, is_ipv6)));
            frames.headers[number].msg_hdr.msg_namelen = length;
            if let Some(local) = local {
                write_note(&mut frames.headers[number].msg_hdr, local, client, is_ipv6);
            }
        }
        let (fd, headers) = (socket.as_fd().as_raw_fd(), frames.headers.as_mut_ptr());
        // SAFETY: all that the headers point to lives until the call is over, which only reads it.
        let sent = unsafe { libc::sendmmsg(fd, headers, count as libc::c_uint, 0) };
        checked(sent).map(|sent| sent as usize)
    }

    /// The address of this machine that a datagram was sent to, as the kernel notes it.
    fn asked(header: &libc::msghdr) -> Option<IpAddr> {
        // SAFETY: the kernel has filled in the header, and the notes that it points to still live.
        let note = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() }?;
        match (note.cmsg_level, note.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: a note of this kind is followed by this structure, aligned or not.
                let about = unsafe { libc::CMSG_DATA(note).cast::<libc::in_pktinfo>().read_unaligned() };
                let [local, asked] =
                    [about.ipi_spec_dst, about.ipi_addr].map(|ip| Ipv4Addr::from(ip.s_addr.to_ne_bytes()));
                // The kernel does not know it of what came before it was asked for, to a socket that was passed.
                let ip = if local.is_unspecified() { asked } else { local };
                Some(IpAddr::V4(ip)).filter(|ip| !ip.is_multicast() && ip != &Ipv4Addr::BROADCAST)
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: as above.
                let about = unsafe { libc::CMSG_DATA(note).cast::<libc::in6_pktinfo>().read_unaligned() };
                let ip = IpAddr::V6(Ipv6Addr::from(about.ipi6_addr.s6_addr)).to_canonical();
                // What was sent to a group is not answered from there.
                Some(ip).filter(|ip| !ip.is_multicast())
            }
            _ => None,
        }
    }

    fn note_length(_: IpAddr, is_ipv6: bool) -> usize {
        let size = if is_ipv6 { mem::size_of::<libc::in6_pktinfo>() } else { mem::size_of::<libc::in_pktinfo>() };
        // SAFETY: a calculation.
        unsafe { libc::CMSG_SPACE(size as libc::c_uint) as usize }
    }

    /// Notes which address of this machine a datagram is to leave from.
    fn write_note(header: &mut libc::msghdr, local: IpAddr, client: SocketAddr, is_ipv6: bool) {
        // SAFETY: the header has a room for notes, which is zero so far and lives as long as it.
        let Some(note) = (unsafe { libc::CMSG_FIRSTHDR(header).as_mut() }) else { return };
        match local {
            IpAddr::V4(ip) if !is_ipv6 => {
                let size = mem::size_of::<libc::in_pktinfo>() as libc::c_uint;
                // SAFETY: a calculation.
                note.cmsg_len = unsafe { libc::CMSG_LEN(size) } as _;
                (note.cmsg_level, note.cmsg_type) = (libc::IPPROTO_IP, libc::IP_PKTINFO);
                let spec_dst = libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
                let about =
                    libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: spec_dst, ipi_addr: libc::in_addr { s_addr: 0 } };
                // SAFETY: there is room for this structure behind the note, aligned or not.
                unsafe { libc::CMSG_DATA(note).cast::<libc::in_pktinfo>().write_unaligned(about) };
            }
            local => {
                let ip = match local {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                let size = mem::size_of::<libc::in6_pktinfo>() as libc::c_uint;
                // SAFETY: a calculation.
                note.cmsg_len = unsafe { libc::CMSG_LEN(size) } as _;
                (note.cmsg_level, note.cmsg_type) = (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO);
                let scope = match client {
                    SocketAddr::V6(client) => client.scope_id(),
                    SocketAddr::V4(_) => 0,
                };
                let ipi6_addr = libc::in6_addr { s6_addr: ip.octets() };
                let about = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: scope as _ };
                // SAFETY: there is room for this structure behind the note, aligned or not.
                unsafe { libc::CMSG_DATA(note).cast::<libc::in6_pktinfo>().write_unaligned(about) };
            }
        }
    }

    fn address_of(raw: &libc::sockaddr_storage) -> SocketAddr {
        if libc::c_int::from(raw.ss_family) == libc::AF_INET6 {
            // SAFETY: the family says that it is this type, and the storage is large enough for all.
            let raw = unsafe { &*std::ptr::from_ref(raw).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            return SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(raw.sin6_port), 0, raw.sin6_scope_id));
        }
        // SAFETY: as above; a socket of IP has no peers of another family.
        let raw = unsafe { &*std::ptr::from_ref(raw).cast::<libc::sockaddr_in>() };
        SocketAddr::from((raw.sin_addr.s_addr.to_ne_bytes(), u16::from_be(raw.sin_port)))
    }
}

/// Room for what comes, and the addresses that were asked.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn fit(fd: impl AsFd, at: SocketAddr) -> io::Result<()> {
    let fd = fd.as_fd();
    make_room(fd);
    let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER);
    if at.ip().is_unspecified() { many::tell_addresses(fd, at.is_ipv6()) } else { Ok(()) }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn fit(fd: impl AsFd, _: SocketAddr) -> io::Result<()> {
    make_room(fd);
    Ok(())
}

/// Less room only means that more is lost when much comes at once.
fn make_room(fd: impl AsFd) {
    let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{BATCH_MAX, DATAGRAM_MAX};
    use crate::sys::poll_one;

    fn local(at: &str) -> SocketAddr {
        at.parse().unwrap()
    }

    fn receive(arrivals: &mut Arrivals, inbox: &mut Inbox) -> io::Result<()> {
        assert!(poll_one(arrivals.socket(), libc::POLLIN, 10_000), "nothing in 10 s");
        arrivals.receive(inbox)
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn answers_leave_from_the_address_that_was_asked() {
        let mut inbox = Inbox::new();
        for (at, asked, from) in [
            ("0.0.0.0:0", "127.0.0.5", "127.0.0.9:0"),
            ("127.0.0.5:0", "127.0.0.5", "127.0.0.9:0"),
            ("[::]:0", "::1", "[::1]:0"),
            ("[::]:0", "127.0.0.5", "127.0.0.9:0"),
        ] {
            let (Ok(mut arrivals), Ok(client)) = (Arrivals::open(local(at), false), UdpSocket::bind(from)) else {
                println!("cannot test {at} here: no such address");
                continue;
            };
            let port = arrivals.socket().local_addr().unwrap().port();
            client.connect((asked.parse::<IpAddr>().unwrap(), port)).unwrap();
            client.send(b"question").unwrap();
            receive(&mut arrivals, &mut inbox).unwrap();
            let (way, bytes) = inbox.letter(0);
            assert_eq!((way.client, bytes), (client.local_addr().unwrap(), &b"question"[..]));
            let mut outbox = Outbox::default();
            outbox.push(way, b"answer");
            outbox.push(way, b"");
            assert_eq!(arrivals.answer(&outbox, 0).unwrap(), 2);
            let mut buffer = [0; 16];
            client.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
            // A client that is connected hears nobody else.
            assert_eq!(client.recv(&mut buffer).unwrap(), 6, "{at}");
            assert_eq!(client.recv(&mut buffer).unwrap(), 0, "{at}");
        }
    }

    #[test]
    fn many_come_at_once_and_a_short_batch_says_that_there_are_no_more() {
        let mut arrivals = Arrivals::open(local("127.0.0.1:0"), false).unwrap();
        let to = arrivals.socket().local_addr().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut inbox = Inbox::new();
        let count = BATCH_MAX + 5;
        for number in 0..count {
            client.send_to(&vec![b'x'; number * 1500], to).unwrap();
        }
        let mut lengths = Vec::new();
        while receive(&mut arrivals, &mut inbox).is_ok() {
            lengths.extend((0..inbox.len()).map(|number| inbox.letter(number).1.len()));
            if lengths.len() == count {
                break;
            }
        }
        assert_eq!(lengths, (0..count).map(|number| number * 1500).collect::<Vec<_>>());
        assert_eq!(arrivals.receive(&mut inbox).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // The longest that IPv4 has: 20 bytes are the header's, 8 are UDP's.
        client.send_to(&vec![b'y'; DATAGRAM_MAX - 28], to).unwrap();
        receive(&mut arrivals, &mut inbox).unwrap();
        assert_eq!(inbox.letter(0).1.len(), DATAGRAM_MAX - 28);
    }

    #[test]
    fn nobody_else_can_have_the_port_unless_both_say_so() {
        let arrivals = Arrivals::open(local("127.0.0.1:0"), false).unwrap();
        let at = arrivals.socket().local_addr().unwrap();
        assert_eq!(Arrivals::open(at, true).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let one = Arrivals::open(local("127.0.0.1:0"), true).unwrap();
        Arrivals::open(one.socket().local_addr().unwrap(), true).unwrap();
    }

    #[test]
    fn a_server_that_is_not_there_is_told_of_by_the_next_call() {
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = connected(nobody, Some(Source::own(local("127.0.0.7:0").ip()))).unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), local("127.0.0.7:0").ip());
        socket.send(b"x").unwrap();
        assert!(poll_one(&socket, libc::POLLIN, 10_000), "nothing in 10 s");
        assert_eq!(socket.recv(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
