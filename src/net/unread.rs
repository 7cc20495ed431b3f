//! Which reads need not be made.

use std::io;

use super::Ready;

/// What is known of the bytes that wait on a socket without asking: which reads need not be made.
///
/// This holds only where the system tells of every arrival by an edge, tells of the end and of
/// urgent data in the same edge as long as they are there, and where a read takes all that has come,
/// up to urgent data. TCP on Linux does (epoll(7), tcp(7)). Then a read that came back short has
/// taken everything:
///
/// - What comes after the wait brings an edge, which the next wait delivers (`EPOLLET` is armed
///   again by every arrival, not by an empty read). If it came before the read it was taken along,
///   and that edge tells of nothing; if it came later, that edge is when to read it.
/// - The end brings no bytes, so that a short read may well stand before it. If the edge told of the
///   end, nothing can have come behind it, and the next read would bring the end. If the end came
///   after the wait, it brings an edge like any other arrival.
/// - A read stops before urgent data (`SO_OOBINLINE`), and what is behind brings no edge if it was
///   there before. So nothing is known from an edge that tells of it on, until a read has really
///   found nothing. If it came after the wait, the next edge tells of it.
/// - After an error everything is possible: every read is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unread {
    /// Anything, or nobody tells of edges: every read is made.
    #[default]
    Unknown,
    /// Bytes, and behind them nothing that an edge has told of.
    Bytes,
    /// Nothing, until an edge comes.
    Nothing,
    /// Bytes among which a read stops.
    Urgent,
    /// Bytes, perhaps, and the end.
    End,
    /// The end, and nothing before it.
    OnlyEnd,
    /// Anything, for ever.
    Anything,
}

impl Unread {
    /// Takes note of an edge.
    pub fn edge(&mut self, ready: Ready) {
        use Unread::{Anything, Bytes, End, Nothing, OnlyEnd, Unknown, Urgent};
        let is_odd = ready.failed || (ready.read_closed && ready.urgent);
        *self = match *self {
            Anything => Anything,
            _ if is_odd => Anything,
            Urgent if ready.read_closed => Anything,
            End | OnlyEnd if ready.urgent => Anything,
            Unknown | Bytes | Nothing if ready.read_closed => End,
            Unknown | Bytes | Nothing if ready.urgent => Urgent,
            Unknown | Nothing if ready.readable => Bytes,
            as_before => as_before,
        };
    }

    /// What a read would bring, if it need not be made.
    pub fn foretell(self) -> Option<io::Result<usize>> {
        match self {
            Unread::Nothing => Some(Err(io::ErrorKind::WouldBlock.into())),
            Unread::OnlyEnd => Some(Ok(0)),
            Unread::Unknown | Unread::Bytes | Unread::Urgent | Unread::End | Unread::Anything => None,
        }
    }

    /// True if bytes may be moved unseen. At urgent data that stops, and the end of what can be
    /// moved looks like the end of everything (splice(2) on Linux).
    pub fn is_plain(self) -> bool {
        matches!(self, Unread::Bytes | Unread::End)
    }

    /// Takes note of what a read brought into `room` bytes.
    pub fn read(&mut self, outcome: &io::Result<usize>, room: usize) {
        let is_short = outcome.as_ref().is_ok_and(|count| (1..room).contains(count));
        let is_empty = outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        *self = match *self {
            Unread::Bytes if is_short || is_empty => Unread::Nothing,
            Unread::Urgent if is_empty => Unread::Nothing,
            Unread::End if is_short => Unread::OnlyEnd,
            as_before => as_before,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Ready = Ready { readable: false, writable: true, read_closed: false, urgent: false, failed: false };
    const READABLE: Ready = Ready { readable: true, ..NONE };
    const END: Ready = Ready { read_closed: true, ..READABLE };
    const URGENT: Ready = Ready { urgent: true, ..READABLE };
    const FAILED: Ready = Ready { failed: true, ..READABLE };

    /// What happens to a socket.
    #[derive(Debug)]
    enum Step {
        Edge(Ready),
        /// A read that brings so many of ten bytes.
        Read(usize),
        /// A read that finds nothing.
        Blocked,
    }
    use Step::{Blocked, Edge, Read};

    #[test]
    fn only_what_is_certain_is_foretold() {
        type Foretold = Option<Result<usize, ()>>;
        let table: [(&[Step], Foretold); 18] = [
            (&[], None),
            (&[Read(3)], None),
            (&[Blocked], None),
            (&[Edge(READABLE)], None),
            (&[Edge(READABLE), Read(3)], Some(Err(()))),
            (&[Edge(READABLE), Blocked], Some(Err(()))),
            (&[Edge(READABLE), Read(10)], None),
            (&[Edge(READABLE), Read(10), Read(3)], Some(Err(()))),
            (&[Edge(READABLE), Read(3), Edge(NONE)], Some(Err(()))),
            (&[Edge(READABLE), Read(3), Edge(READABLE)], None),
            (&[Edge(END), Read(3)], Some(Ok(0))),
            (&[Edge(END), Read(10)], None),
            (&[Edge(READABLE), Read(3), Edge(END)], None),
            (&[Edge(URGENT), Read(3)], None),
            (&[Edge(URGENT), Read(3), Edge(READABLE), Read(3)], None),
            (&[Edge(URGENT), Read(3), Blocked], Some(Err(()))),
            (&[Edge(URGENT), Edge(END), Read(3)], None),
            (&[Edge(END), Edge(FAILED), Read(3)], None),
        ];
        for (steps, expected) in table {
            let mut unread = Unread::default();
            for step in steps {
                match step {
                    Edge(arrival) => unread.edge(*arrival),
                    Read(count) => unread.read(&Ok(*count), 10),
                    Blocked => unread.read(&Err(io::ErrorKind::WouldBlock.into()), 10),
                }
            }
            let foretold = unread.foretell().map(|outcome| outcome.map_err(|_| ()));
            assert_eq!(foretold, expected, "{steps:?}");
        }
    }
}
