//! What [`Net::wait`](super::Net::wait) tells: edges, signals, answers.

use std::net::IpAddr;

/// Names a watched socket in events.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token(pub usize);

/// What readiness an edge brought. Each is only a hint, and may be spurious.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ready {
    /// A read may return something: bytes, the end, an error.
    pub readable: bool,
    /// A write may take something.
    pub writable: bool,
    /// The peer has ended its direction.
    pub read_closed: bool,
    /// Urgent data has come that was not read yet: a read stops before it.
    pub urgent: bool,
    /// The socket is in error: a refused connect, a reset. May come with nothing else, also
    /// after the end was read.
    pub failed: bool,
}

/// Something happened.
///
/// Readiness is edge-triggered: after an event nothing more is promised until a call has
/// returned `WouldBlock`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// An edge on a watched socket.
    Ready {
        /// The socket.
        token: Token,
        /// What it is said to be ready for.
        ready: Ready,
    },
    /// A signal came in.
    Signal(Signal),
    /// The answer to [`Net::resolve`](super::Net::resolve).
    Resolved {
        /// The number that was given with the question.
        request: usize,
        /// The addresses, at least one.
        answer: Result<Vec<IpAddr>, NoAddress>,
    },
    /// What became of the successor that [`Net::start_successor`](super::Net::start_successor) started.
    Successor(Successor),
}

/// What became of a successor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Successor {
    /// It is set up, and waits for [`Net::hand_over`](super::Net::hand_over).
    Ready,
    /// It ended before that: why, as the end of a sentence, with all that it said.
    Failed(String),
}

/// Why a name has no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoAddress {
    /// The name does not exist, or has no address: asking again will not help.
    NoSuchName,
    /// Nobody answered: asking again may help.
    NoAnswer,
}

/// The signals that pen acts on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// TERM or INT: end.
    Terminate,
    /// QUIT: let nobody in any more, and end when those who are there have finished.
    Quit,
    /// HUP: reopen the log.
    Hangup,
    /// USR1: print statistics.
    Statistics,
    /// USR2: let a successor take over.
    Upgrade,
}
