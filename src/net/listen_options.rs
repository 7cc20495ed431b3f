//! How a listening socket is opened.

/// How to open a listening socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenOptions {
    /// Length of the kernel's queue of clients that are not accepted yet.
    pub backlog: u32,
    /// For a Unix socket: only pen's user may connect. Without it the umask decides (umask(2)).
    pub private: bool,
    /// Other processes of the same user may listen at the same address, if they say so too; the kernel
    /// shares the clients out among them (`SO_REUSEPORT`, socket(7)). Nothing on a Unix socket.
    pub shared: bool,
    /// It takes datagrams (UDP): nobody is accepted there, and [`Net::receive`](super::Net::receive) and [`Net::answer`](super::Net::answer) are
    /// for it. Not on a Unix socket.
    pub datagrams: bool,
    /// The address is not this machine's but a client's (`IP_TRANSPARENT`, ip(7)).
    pub foreign: bool,
}

impl ListenOptions {
    /// Of a socket where one peer is to come. Strangers may come before it.
    pub const ONE_PEER: ListenOptions =
        ListenOptions { backlog: 16, private: false, shared: false, datagrams: false, foreign: false };
}
