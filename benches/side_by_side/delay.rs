//! A wire with a delay: what comes in at one interface goes out at the other after a while. It stands in for netem,
//! which not every kernel has.

#![allow(unsafe_code, reason = "neither std nor socket2 names interfaces or binds packet sockets")]

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::mem::size_of;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

/// The longest frame: what a sender leaves to its interface to cut.
const FRAME_MAX: usize = 66_000;
/// IPv4 (ether(4)). A socket for one protocol is not given what leaves the interface, only what comes in.
const IPV4: u16 = 0x0800;
const ETHERNET: usize = 14;

struct Port {
    socket: Socket,
    /// Frames on their way to the other port, and when each is due there.
    frames: VecDeque<(Instant, Vec<u8>)>,
}

/// Carries frames between two interfaces for ever. Says `up` on standard output once it does.
pub fn carry(interfaces: [&str; 2], delay: Duration) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let open = |name: &str| open(name).map(|socket| Port { socket, frames: VecDeque::new() });
    let mut ports = [open(interfaces[0])?, open(interfaces[1])?];
    for (number, port) in ports.iter().enumerate() {
        let fd = port.socket.as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), Token(number), Interest::READABLE)?;
    }
    println!("up");
    let mut events = Events::with_capacity(16);
    let mut buffer = vec![0; FRAME_MAX];
    loop {
        let next = ports.iter().filter_map(|port| port.frames.front().map(|frame| frame.0)).min();
        poll.poll(&mut events, next.map(|due| due.saturating_duration_since(Instant::now())))?;
        for port in &mut ports {
            loop {
                match (&port.socket).read(&mut buffer) {
                    Ok(count) => {
                        finish_checksum(&mut buffer[..count]);
                        port.frames.push_back((Instant::now() + delay, buffer[..count].to_vec()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        let now = Instant::now();
        for from in [0, 1] {
            while ports[from].frames.front().is_some_and(|frame| frame.0 <= now) {
                let Some((_, frame)) = ports[from].frames.pop_front() else { break };
                // What an interface does not take is lost, as on any wire.
                let _ = (&ports[1 - from].socket).write(&frame);
            }
        }
    }
}

fn open(interface: &str) -> io::Result<Socket> {
    let name = std::ffi::CString::new(interface)?;
    // SAFETY: the name ends with a zero, and outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    let protocol = IPV4.to_be();
    let socket = Socket::new(
        Domain::from(libc::AF_PACKET),
        Type::from(libc::SOCK_RAW),
        Some(Protocol::from(i32::from(protocol))),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(4 << 20)?;
    // SAFETY: zero is a valid value for every field.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = protocol;
    address.sll_ifindex = libc::c_int::try_from(index).map_err(io::Error::other)?;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointer and length are those of an address that outlives the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if bound == 0 { Ok(socket) } else { Err(io::Error::last_os_error()) }
}

/// A sender leaves the checksum of TCP to its interface, which here has none of its own (RFC 9293 section 3.1).
fn finish_checksum(frame: &mut [u8]) {
    let Some(packet) = frame.get_mut(ETHERNET..) else { return };
    let header = packet.first().map_or(0, |byte| usize::from(byte & 15) * 4);
    let is_tcp = packet.get(9) == Some(&6) && packet.len() >= header + 20 && header >= 20;
    let length = if is_tcp { usize::from(u16::from_be_bytes([packet[2], packet[3]])) } else { 0 };
    if length < header + 20 || length > packet.len() {
        return;
    }
    let (ip, segment) = packet[..length].split_at_mut(header);
    segment[16..18].fill(0);
    let tail = [0, 6, (segment.len() >> 8) as u8, segment.len() as u8];
    let words = ip[12..20].chunks(2).chain(tail.chunks(2)).chain(segment.chunks(2));
    let sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    segment[16..18].copy_from_slice(&checksum.to_be_bytes());
}
