//! A pair: a client's connection and the one made for it to a server.

use std::time::Duration;

use super::flow::{Flow, State};
use super::inspection::Inspection;
use super::pool::Pool;
use super::timers::Timer;
use super::transfers::Tie;
use crate::balance::{ClientId, ListenerKey, Search, ServerId};
use crate::base::addr::Endpoint;
use crate::base::time::Moment;
use crate::net::{Ready, Stream};
use crate::trace::Direction;

/// The slot of a pair: its number in dumps, diagnostics and commands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PairKey(pub usize);

/// Which end of a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The client's.
    Client,
    /// The server's.
    Server,
}

/// One socket of a pair, with what is known of its readiness.
#[derive(Debug)]
pub struct End<S> {
    /// The socket.
    pub stream: S,
    /// A read may bring something.
    pub readable: bool,
    /// A write may take something.
    pub writable: bool,
    /// The connection was reset or has failed; what came before may still be there to read.
    pub is_broken: bool,
    /// Bytes that the socket took.
    pub sent: u64,
    /// Bytes that the kernel was seen to have for the peer since the last were sent; 0 if nobody has
    /// looked.
    pub unsent_seen: u32,
    sends: Sends,
}

/// Whether small segments leave at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sends {
    /// Nothing was sent yet.
    None,
    /// One send was made.
    One,
    /// They do, or it does not matter.
    AtOnce,
}

impl<S: Stream> End<S> {
    /// A client that was accepted: its listener's options hold for it.
    pub fn client(stream: S) -> End<S> {
        End { stream, readable: false, writable: true, is_broken: false, sent: 0, unsent_seen: 0, sends: Sends::AtOnce }
    }

    /// A server that is being connected to.
    pub fn server(stream: S) -> End<S> {
        End { stream, readable: false, writable: true, is_broken: false, sent: 0, unsent_seen: 0, sends: Sends::None }
    }

    /// Whether a read may bring something.
    #[inline]
    pub fn may_bring(&mut self) -> bool {
        // A break is told once more, whatever the stream knows.
        if self.readable && !self.is_broken && self.stream.is_drained() {
            self.readable = false;
        }
        self.readable
    }

    /// True if the next read is known to bring the end, which is then told to the other side.
    #[inline]
    pub fn is_at_end(&self) -> bool {
        // That it broke is told to nobody in this way.
        !self.is_broken && self.stream.is_at_end()
    }

    /// Takes note of an edge.
    pub fn edge(&mut self, ready: Ready) {
        self.stream.edge(ready);
        self.readable |= ready.readable || ready.read_closed;
        self.writable |= ready.writable;
        if ready.failed && matches!(self.stream.take_error(), Ok(Some(_)) | Err(_)) {
            self.broke();
        }
    }

    /// The connection is gone. What the peer sent before is still read: no further edge is
    /// promised for it.
    pub fn broke(&mut self) {
        self.is_broken = true;
        self.readable = true;
    }

    /// Switches Nagle's algorithm off before the second send: the first leaves at once anyway,
    /// and many connections have only one.
    pub fn prepare_send(&mut self) {
        self.sends = match self.sends {
            Sends::None => Sends::One,
            Sends::One => {
                // A socket that refuses this is slower, not wrong.
                let _ = self.stream.no_delay();
                Sends::AtOnce
            }
            Sends::AtOnce => Sends::AtOnce,
        };
    }
}

/// The server at which a pair holds a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The server.
    pub id: ServerId,
    /// Which of its addresses.
    pub address: u16,
}

/// What must be known of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wants {
    /// The header of the PROXY protocol, which says who it is.
    Header,
    /// What it says first, which says where it goes.
    FirstBytes,
}

/// How far a pair has come.
#[derive(Debug)]
pub enum Phase<S: Stream> {
    /// The client has not said yet what must be known before a server is looked for.
    Arriving {
        /// What that is.
        wants: Wants,
        /// When to stop waiting for it.
        until: Moment,
    },
    /// All servers are full, and the client waits for a place.
    Queued {
        /// Its number in the queue.
        ticket: u64,
    },
    /// No connect is under way. Between turns only while something is lacking here to begin one;
    /// a place is held then.
    Searching {
        /// The server that is to be tried, once something is to be had.
        place: Option<Place>,
        /// When to stop trying.
        until: Moment,
    },
    /// A connect is under way.
    Connecting {
        /// The socket.
        server: End<S>,
        /// What it connects to.
        place: Place,
    },
    /// Bytes are carried.
    Relaying {
        /// The server's socket.
        server: End<S>,
        /// What it is connected to.
        place: Place,
        /// Client to server.
        up: Flow<S::Pipe>,
        /// Server to client.
        down: Flow<S::Pipe>,
    },
    /// The client was sent a FIN and nothing else; what it still sends is discarded until it
    /// goes, so that it sees no reset.
    Farewell,
}

/// What must change, up and down, for something to have moved: how much was taken, and the state
/// of the flow.
pub type Progress = [(u64, Option<State>); 2];

/// A client's connection and the one made for it to a server: one slot of the slab.
#[derive(Debug)]
pub struct Pair<S: Stream> {
    /// The client's socket.
    pub client: End<S>,
    /// Where it came in.
    pub listener: ListenerKey,
    /// Where the server's socket connects or is connected to. The table of servers may say
    /// something else by now.
    pub to: Option<Endpoint>,
    /// Its entry in the client table.
    pub client_id: Option<ClientId>,
    /// Who it is, and what it was offered so far.
    pub search: Search,
    /// How far it has come, with the server's socket.
    pub phase: Phase<S>,
    /// What it waits for.
    pub timer: Option<Timer>,
    /// When something last moved, up and down: bytes that were taken, bytes that have to wait,
    /// the end.
    pub moved: [Moment; 2],
    /// In the queue of pairs that ran out of budget.
    pub is_queued: bool,
    /// Whose data connection it is.
    pub tie: Tie,
    /// What looks at its bytes, or is to be sent before them.
    pub inspection: Option<Box<Inspection>>,
}

impl<S: Stream> Pair<S> {
    /// Whether something may be carried in this direction now: bytes wait for its sink, or its source may
    /// bring some.
    #[inline]
    pub fn may_carry(&mut self, direction: Direction) -> bool {
        let Phase::Relaying { server, up, down, .. } = &mut self.phase else { return false };
        let (flow, source) = match direction {
            Direction::Up => (up, &mut self.client),
            Direction::Down => (down, server),
        };
        flow.is_stuck() || (flow.is_open() && source.may_bring())
    }

    /// The place that this pair holds.
    pub fn place(&self) -> Option<Place> {
        match self.phase {
            Phase::Searching { place, .. } => place,
            Phase::Connecting { place, .. } | Phase::Relaying { place, .. } => Some(place),
            Phase::Arriving { .. } | Phase::Queued { .. } | Phase::Farewell => None,
        }
    }

    /// The socket of one side, if there is one.
    pub fn end_mut(&mut self, side: Side) -> Option<&mut End<S>> {
        match (side, &mut self.phase) {
            (Side::Client, _) => Some(&mut self.client),
            (Side::Server, Phase::Connecting { server, .. } | Phase::Relaying { server, .. }) => Some(server),
            (
                Side::Server,
                Phase::Arriving { .. } | Phase::Queued { .. } | Phase::Searching { .. } | Phase::Farewell,
            ) => None,
        }
    }

    /// True while no server has answered yet.
    pub fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::Searching { .. } | Phase::Connecting { .. })
    }

    /// True while a server is chosen and something is lacking here to connect to it.
    pub fn is_lacking(&self) -> bool {
        matches!(self.phase, Phase::Searching { place: Some(_), .. })
    }

    /// True in the farewell.
    pub fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Farewell)
    }

    /// Bytes sent to the server, and to the client.
    pub fn sent(&self) -> (u64, u64) {
        let up = match &self.phase {
            Phase::Relaying { server, .. } => server.sent,
            Phase::Arriving { .. }
            | Phase::Queued { .. }
            | Phase::Searching { .. }
            | Phase::Connecting { .. }
            | Phase::Farewell => 0,
        };
        (up, self.client.sent)
    }

    /// How far it has come.
    #[inline]
    pub fn progress(&self) -> Progress {
        let flows = match &self.phase {
            Phase::Relaying { up, down, .. } => [Some(up.state()), Some(down.state())],
            Phase::Arriving { .. }
            | Phase::Queued { .. }
            | Phase::Searching { .. }
            | Phase::Connecting { .. }
            | Phase::Farewell => [None; 2],
        };
        let sent = self.sent();
        [(sent.0, flows[0]), (sent.1, flows[1])]
    }

    /// Takes note that something has moved since `before`, if so.
    pub fn note_progress(&mut self, before: &Progress, now: Moment) {
        let after = self.progress();
        let Phase::Relaying { server, .. } = &mut self.phase else { return };
        for (direction, sink) in [server, &mut self.client].into_iter().enumerate() {
            if before[direction] != after[direction] {
                self.moved[direction] = now;
                sink.unsent_seen = 0;
            }
        }
    }

    /// When something last moved, in whichever direction.
    pub fn last_active(&self) -> Moment {
        self.moved[0].max(self.moved[1])
    }

    /// True if one side has ended its direction and the other has not.
    pub fn is_half_closed(&self) -> bool {
        match &self.phase {
            Phase::Relaying { up, down, .. } => up.has_ended() != down.has_ended(),
            Phase::Arriving { .. }
            | Phase::Queued { .. }
            | Phase::Searching { .. }
            | Phase::Connecting { .. }
            | Phase::Farewell => false,
        }
    }

    /// Bytes read but not yet taken by the other end: client's, server's.
    pub fn held(&self) -> (usize, usize) {
        match &self.phase {
            Phase::Relaying { up, down, .. } => (up.held(), down.held()),
            Phase::Arriving { .. }
            | Phase::Queued { .. }
            | Phase::Searching { .. }
            | Phase::Connecting { .. }
            | Phase::Farewell => (0, 0),
        }
    }

    /// True if a FIN now would make a transfer look complete that is not: bytes are on their
    /// way, or one side has ended and waits for the answer.
    pub fn is_cut_short(&self, now: Moment) -> bool {
        match &self.phase {
            Phase::Relaying { server, .. } => {
                // What the kernel took may not have arrived: its network may be gone. An ACK comes
                // within this time if all is well (RFC 1122 section 4.2.3.2).
                let is_due = now.since(self.last_active()) >= Duration::from_millis(500);
                let is_underway = |end: &End<S>| is_due && end.stream.unsent().is_ok_and(|count| count > 0);
                self.held() != (0, 0)
                    || self.inspection.as_ref().is_some_and(|inspection| inspection.holds())
                    || self.client.readable
                    || server.readable
                    || self.is_half_closed()
                    || is_underway(&self.client)
                    || is_underway(server)
            }
            Phase::Arriving { .. } | Phase::Queued { .. } | Phase::Searching { .. } | Phase::Connecting { .. } => {
                self.client.readable
            }
            Phase::Farewell => false,
        }
    }

    /// True if one of the connections is gone.
    pub fn is_broken(&self) -> bool {
        let server = match &self.phase {
            Phase::Connecting { server, .. } | Phase::Relaying { server, .. } => server.is_broken,
            Phase::Arriving { .. } | Phase::Queued { .. } | Phase::Searching { .. } | Phase::Farewell => false,
        };
        self.client.is_broken || server
    }

    /// True if a break came to light and what was received before it is still to be read.
    pub fn has_last_words(&self) -> bool {
        let waits = |end: &End<S>, flow: &Flow<S::Pipe>| end.is_broken && end.readable && flow.is_open();
        match &self.phase {
            Phase::Relaying { server, up, down, .. } => waits(&self.client, up) || waits(server, down),
            Phase::Arriving { .. }
            | Phase::Queued { .. }
            | Phase::Searching { .. }
            | Phase::Connecting { .. }
            | Phase::Farewell => false,
        }
    }

    /// Ends the flow towards a broken end: nobody is there to take its bytes.
    pub fn give_up_broken(&mut self, pool: &mut Pool<S::Pipe>) {
        let Phase::Relaying { server, up, down, .. } = &mut self.phase else { return };
        if self.client.is_broken {
            down.abandon(pool);
        }
        if server.is_broken {
            up.abandon(pool);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Pipe;
    use std::io::{Read, Result, Write};

    /// A stream and a pipe of the size of real ones.
    #[derive(Debug)]
    struct Words<const WORDS: usize>([u64; WORDS]);

    impl Pipe for Words<3> {
        fn len(&self) -> usize {
            self.0.len()
        }
    }

    impl Read for Words<1> {
        fn read(&mut self, _: &mut [u8]) -> Result<usize> {
            Ok(0)
        }
    }

    impl Write for Words<1> {
        fn write(&mut self, _: &[u8]) -> Result<usize> {
            Ok(0)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    impl Stream for Words<1> {
        type Pipe = Words<3>;

        fn peek(&mut self, _: &mut [u8]) -> Result<usize> {
            Ok(0)
        }

        fn is_at_end(&self) -> bool {
            true
        }

        fn connected(&mut self, _: Ready) -> Result<bool> {
            Ok(true)
        }

        fn take_error(&self) -> Result<Option<std::io::Error>> {
            Ok(None)
        }

        fn shutdown_write(&mut self) -> Result<()> {
            Ok(())
        }

        fn unsent(&self) -> Result<usize> {
            Ok(0)
        }

        fn reset_on_drop(&mut self) -> Result<()> {
            Ok(())
        }

        fn no_delay(&mut self) -> Result<()> {
            Ok(())
        }

        fn descriptor(&self) -> i32 {
            0
        }
    }

    #[test]
    fn an_end_that_broke_is_not_told_as_the_end_of_what_was_said() {
        let mut end = End::client(Words([0; 1]));
        assert!(end.is_at_end());
        end.broke();
        assert!(!end.is_at_end());
    }

    #[test]
    fn a_pair_is_small() {
        let size = size_of::<Pair<Words<1>>>();
        assert!(size <= 256, "{size}");
    }
}
