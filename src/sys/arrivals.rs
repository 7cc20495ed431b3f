//! How many clients to accept at once, so that an empty queue is hardly ever asked.
//!
//! An accept that finds nobody costs as much as ten other calls. So on Linux a listener is watched
//! by level: as long as somebody waits, every wait tells. After as many accepts as have lately found
//! somebody the queue is said to be empty, and if it is not, the wait that comes next anyway says
//! so. Behind the seam this looks as it must: `WouldBlock`, and an edge once somebody is there.
//!
//! A listener that is told of and not asked, since there is no room for anybody, is not watched
//! until it is: otherwise no wait would ever sleep.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use mio::Interest;
use mio::Poll;
use mio::unix::SourceFd;

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::checked;
use super::listener::Listener;
use crate::base::addr::Endpoint;
use crate::base::keepalive::Keepalive;
use crate::net::ListenOptions;

/// The most clients that are accepted on the strength of one event.
const BATCH_MAX: u32 = 64;

/// What is known of a listener.
#[derive(Debug)]
struct Queue {
    token: usize,
    fd: RawFd,
    /// Accepts for one event.
    batch: u32,
    /// Accepts that are left of these; `None` if the queue was said to be empty since.
    left: Option<u32>,
    /// They were used up since the last wait.
    is_used_up: bool,
    /// Somebody tried to accept since the last event.
    is_asked: bool,
    /// Not watched for now.
    is_muted: bool,
}

/// The listeners that are watched by level.
#[derive(Debug, Default)]
pub struct Arrivals {
    queues: Vec<Queue>,
    /// No listener has a token above this.
    highest: usize,
}

impl Arrivals {
    /// Watches a listener. One that had this token before is forgotten.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn watch(&mut self, poll: &Poll, fd: RawFd, token: usize) -> io::Result<()> {
        control(poll, libc::EPOLL_CTL_ADD, fd, token, libc::EPOLLIN)?;
        // A number that was given anew belongs to a listener that is not there any more.
        self.queues.retain(|queue| queue.token != token && queue.fd != fd);
        self.highest = self.highest.max(token);
        let queue = Queue { token, fd, batch: 1, left: None, is_used_up: false, is_asked: true, is_muted: false };
        self.queues.push(queue);
        Ok(())
    }

    /// Watches a listener, as everything else is watched.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub fn watch(&mut self, poll: &Poll, fd: RawFd, token: usize) -> io::Result<()> {
        poll.registry().register(&mut SourceFd(&fd), mio::Token(token), mio::Interest::READABLE)
    }

    /// A listener is not watched any more.
    pub fn forget(&mut self, poll: &Poll, fd: RawFd) {
        self.queues.retain(|queue| queue.fd != fd);
        // It was registered, or it would not be known.
        let _ = poll.registry().deregister(&mut SourceFd(&fd));
    }

    /// Opens a listener for one peer, and watches it as everything else is watched: nothing is to be
    /// learned of how many come at once.
    pub fn listen_once(
        &mut self,
        poll: &Poll,
        at: &Endpoint,
        options: ListenOptions,
        keepalive: Option<Keepalive>,
        token: usize,
    ) -> io::Result<Listener> {
        let listener = Listener::open(at, options, keepalive)?;
        let fd = listener.as_fd().as_raw_fd();
        // A number that was given anew belongs to a listener that is not there any more.
        self.queues.retain(|queue| queue.fd != fd);
        poll.registry().register(&mut SourceFd(&fd), mio::Token(token), mio::Interest::READABLE)?;
        Ok(listener)
    }

    /// Somebody waits, if this is the token of a listener.
    pub fn told(&mut self, poll: &Poll, token: usize) {
        if token > self.highest {
            return;
        }
        let Some(queue) = self.queues.iter_mut().find(|queue| queue.token == token) else { return };
        if queue.is_used_up {
            queue.batch = (queue.batch + 1).min(BATCH_MAX);
        }
        queue.left = Some(queue.batch);
        if !std::mem::take(&mut queue.is_asked) {
            queue.watch_again(poll, false);
        }
    }

    /// All that a wait has brought was told.
    pub fn all_told(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.is_used_up = false);
    }

    /// Accepts by `accept`, if somebody may be there.
    pub fn accept<T>(&mut self, poll: &Poll, fd: RawFd, accept: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(queue) = self.queues.iter_mut().find(|queue| queue.fd == fd) else { return accept() };
        queue.is_asked = true;
        let outcome = if queue.left == Some(0) {
            queue.is_used_up = true;
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            let outcome = accept();
            if outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                queue.batch = (queue.batch / 2).max(1);
            }
            queue.left = queue.left.map(|left| left - 1);
            outcome
        };
        if outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            queue.left = None;
            if queue.is_muted {
                queue.watch_again(poll, true);
            }
        }
        outcome
    }
}

impl Queue {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn watch_again(&mut self, poll: &Poll, is_wanted: bool) {
        let events = if is_wanted { libc::EPOLLIN } else { 0 };
        // It is registered, and then this cannot fail (epoll_ctl(2)).
        if control(poll, libc::EPOLL_CTL_MOD, self.fd, self.token, events).is_ok() {
            self.is_muted = !is_wanted;
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn watch_again(&mut self, _: &Poll, _: bool) {}
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn control(poll: &Poll, what: libc::c_int, fd: RawFd, token: usize, events: libc::c_int) -> io::Result<()> {
    let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: token as u64 };
    let epoll = std::os::fd::AsRawFd::as_raw_fd(poll);
    // SAFETY: both descriptors are open, and the event outlives the call, which keeps a copy.
    checked(unsafe { libc::epoll_ctl(epoll, what, fd, &raw mut event) }).map(drop)
}

/// What a stream is watched for.
pub fn both_ways() -> Interest {
    let interest = Interest::READABLE | Interest::WRITABLE;
    // Urgent data stops a read at its mark, and only this edge tells that more is there.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let interest = interest | Interest::PRIORITY;
    interest
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use super::*;

    /// A listener that is watched, and how often it was really asked.
    struct World {
        poll: Poll,
        events: mio::Events,
        arrivals: Arrivals,
        listener: TcpListener,
        clients: Vec<TcpStream>,
        asked: u32,
    }

    impl World {
        fn new() -> World {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let (poll, mut arrivals) = (Poll::new().unwrap(), Arrivals::default());
            arrivals.watch(&poll, listener.as_raw_fd(), 7).unwrap();
            World { poll, events: mio::Events::with_capacity(8), arrivals, listener, clients: Vec::new(), asked: 0 }
        }

        fn arrive(&mut self, count: usize) {
            let at = self.listener.local_addr().unwrap();
            self.clients.extend((0..count).map(|_| TcpStream::connect(at).unwrap()));
        }

        /// Waits; true if somebody is told of.
        fn wait(&mut self) -> bool {
            self.poll.poll(&mut self.events, Some(Duration::ZERO)).unwrap();
            let told = self.events.iter().any(|event| event.token().0 == 7);
            if told {
                self.arrivals.told(&self.poll, 7);
            }
            self.arrivals.all_told();
            told
        }

        /// Accepts until that would block; how many came.
        fn accept_all(&mut self) -> usize {
            let World { poll, arrivals, listener, asked, .. } = self;
            let mut accept = || {
                arrivals.accept(poll, listener.as_raw_fd(), || {
                    *asked += 1;
                    listener.accept()
                })
            };
            let mut count = 0;
            while accept().is_ok() {
                count += 1;
            }
            count
        }
    }

    #[test]
    fn single_clients_cost_one_call_each() {
        let mut world = World::new();
        for _ in 0..10 {
            world.arrive(1);
            assert!(world.wait());
            assert_eq!(world.accept_all(), 1);
            assert!(!world.wait());
        }
        assert_eq!(world.asked, 10);
    }

    #[test]
    fn a_crowd_is_let_in_by_growing_groups_and_nobody_is_forgotten() {
        let mut world = World::new();
        world.arrive(100);
        let (mut accepted, mut turns) = (0, 0);
        while world.wait() {
            accepted += world.accept_all();
            turns += 1;
        }
        assert_eq!(accepted, 100);
        assert!(turns <= 15 && world.asked <= 103, "{turns} turns, {} calls", world.asked);
    }

    #[test]
    fn whoever_asks_without_an_event_gets_the_truth() {
        let mut world = World::new();
        world.arrive(5);
        assert!(world.wait());
        assert_eq!(world.accept_all(), 1);
        assert_eq!(world.accept_all(), 4);
        assert_eq!(world.accept_all(), 0);
    }

    #[test]
    fn a_listener_that_has_the_number_of_one_that_is_closed_is_told_of() {
        let mut world = World::new();
        let fd = world.listener.as_raw_fd();
        // As if it had been watched under another token, and closed since.
        world.arrivals.queues[0].token = 9;
        world.arrivals.forget(&world.poll, -1);
        world.poll.registry().deregister(&mut SourceFd(&fd)).unwrap();
        world.arrivals.watch(&world.poll, fd, 7).unwrap();
        for _ in 0..4 {
            world.arrive(1);
            assert!(world.wait());
            assert_eq!(world.accept_all(), 1);
        }
    }

    #[test]
    fn a_listener_that_is_not_asked_wakes_nobody_until_it_is() {
        let mut world = World::new();
        world.arrive(3);
        assert!(world.wait() && world.wait());
        for _ in 0..5 {
            assert!(!world.wait());
        }
        let mut accepted = 0;
        while accepted < 3 {
            accepted += world.accept_all();
            assert_eq!(world.wait(), accepted < 3);
        }
        world.arrive(1);
        assert!(world.wait());
    }
}
