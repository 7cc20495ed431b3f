//! One direction of a pair. The same code serves both.
//!
//! A stuck flow is not read, so that the end of a source is only ever seen with nothing held
//! back: there is no "draining". Readiness is cleared by `WouldBlock` and by nothing else.
//!
//! Bytes are taken from a source only if there is a ring for them. While there is no memory for
//! one, they are looked at where they are, in the kernel of the source, and only what the sink
//! takes is taken away: slower, but nobody waits for anybody else's ring.
//!
//! A flow that has filled a whole read, or that was stuck, moves its bytes through a pipe in the
//! kernel from then on, if nobody looks at them and there are pipes; until it moves little at once.
//! The pipe is lent for one such move, and for as long as bytes are left in it.

use std::io::{self, ErrorKind};

use super::pair::End;
use super::pool::Pool;
use super::ring::{RING_SIZE, Ring};
use crate::net::{Net, Pipe, Stream};

/// Bytes that a move through a pipe brings at least for the next to be one, too: fewer are copied
/// at less cost than the calls for a pipe.
const MOVE_MIN: usize = 8 * 1024;

/// Which state a flow is in, whatever it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Everything that was read has been written.
    Open,
    /// Bytes wait for the sink.
    Stuck,
    /// Nothing more will be carried.
    Ended,
}

/// How much comes at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Little, as far as is known.
    Easy,
    /// So much that copying it is what costs.
    Bulk,
}

/// The state of one direction.
#[derive(Debug)]
pub enum Flow<P> {
    /// Everything that was read has been written; more may come.
    Open(Pace),
    /// The sink would not take these bytes yet; without a ring they are still where they came from.
    Stuck(Option<Ring>),
    /// The same, and they are in this pipe.
    Piped(P),
    /// Nothing more will be carried.
    Ended,
}

/// What [`Flow::receive`] brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receipt {
    /// This many bytes at the start of the scratch buffer.
    Bytes(usize),
    /// The same, but there is no ring for them, and they are still to be taken from the source.
    Sight(usize),
    /// Nothing for now: an edge will come.
    Nothing,
    /// The source has ended, and the flow has not: what was held back of it is to be sent first.
    LastWords,
    /// The flow ended just now.
    Ended,
}

/// How bytes are taken from a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taking {
    /// They are read: there is a ring for them.
    Read {
        /// The other direction has ended, and closing the socket tells the sink the same as this end.
        is_leaving: bool,
    },
    /// They are looked at where they are.
    Sight {
        /// The same.
        is_leaving: bool,
    },
    /// They are read to be inspected.
    Inspected {
        /// The same.
        is_leaving: bool,
        /// Bytes that were read before have not gone on yet.
        holds_back: bool,
    },
}

impl<P: Pipe> Flow<P> {
    /// True if nothing more will be carried.
    pub fn has_ended(&self) -> bool {
        matches!(self, Flow::Ended)
    }

    /// True if bytes may be read.
    pub fn is_open(&self) -> bool {
        matches!(self, Flow::Open(_))
    }

    /// True if bytes may be moved through a pipe, and that is worth while.
    pub fn is_bulk(&self) -> bool {
        matches!(self, Flow::Open(Pace::Bulk))
    }

    /// True if bytes wait for the sink.
    pub fn is_stuck(&self) -> bool {
        matches!(self, Flow::Stuck(_) | Flow::Piped(_))
    }

    /// Which state it is in, whatever it holds.
    pub fn state(&self) -> State {
        match self {
            Flow::Open(_) => State::Open,
            Flow::Stuck(_) | Flow::Piped(_) => State::Stuck,
            Flow::Ended => State::Ended,
        }
    }

    /// Bytes that wait for the sink.
    pub fn held(&self) -> usize {
        match self {
            Flow::Stuck(Some(ring)) => ring.len(),
            Flow::Piped(pipe) => pipe.len(),
            Flow::Stuck(None) | Flow::Open(_) | Flow::Ended => 0,
        }
    }

    /// True if it holds a ring.
    pub fn has_ring(&self) -> bool {
        matches!(self, Flow::Stuck(Some(_)))
    }

    /// True if its bytes wait in a pipe.
    pub fn has_pipe(&self) -> bool {
        matches!(self, Flow::Piped(_))
    }

    /// Writes what waits for the sink, if anything does and as far as it takes it. Who was stuck
    /// gets more at once than goes on at once.
    pub fn free<S: Stream<Pipe = P>>(&mut self, sink: &mut End<S>, pool: &mut Pool<P>) {
        match self {
            Flow::Open(_) | Flow::Ended => return,
            Flow::Stuck(None) => {}
            Flow::Stuck(Some(ring)) => {
                while !ring.is_empty() && sink.writable && !sink.is_broken {
                    let written = write(sink, ring.front());
                    ring.consume(written);
                }
            }
            Flow::Piped(pipe) => pour(sink, pipe),
        }
        if sink.is_broken {
            self.abandon(pool);
        } else if self.held() == 0 && (sink.writable || !matches!(self, Flow::Stuck(None))) {
            self.lay_down(pool, Flow::Open(Pace::Bulk));
        }
    }

    /// Moves what has come to the sink through a pipe; `None` if it must be read. Returns how much
    /// it took from the source, 0 if it must wait or has ended.
    pub fn move_through_pipe<N: Net>(
        &mut self,
        source: &mut End<N::Stream>,
        sink: &mut End<N::Stream>,
        net: &mut N,
        pool: &mut Pool<P>,
    ) -> Option<usize>
    where
        N::Stream: Stream<Pipe = P>,
    {
        debug_assert!(self.is_bulk(), "only an open flow is moved");
        // What is found out here holds until much comes at once again.
        *self = Flow::Open(Pace::Easy);
        let mut pipe = pool.take_pipe(net)?;
        let outcome = loop {
            match source.stream.fill(&mut pipe) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        let moved = match outcome {
            Ok(0) => None,
            Ok(count) => {
                pour(sink, &mut pipe);
                let pace = if count < MOVE_MIN { Pace::Easy } else { Pace::Bulk };
                *self = if sink.is_broken { Flow::Ended } else { Flow::Open(pace) };
                if !sink.is_broken && !pipe.is_empty() {
                    *self = Flow::Piped(pipe);
                    return Some(count);
                }
                Some(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                source.readable = false;
                *self = Flow::Open(Pace::Bulk);
                Some(0)
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => None,
            Err(_) => {
                source.is_broken = true;
                *self = Flow::Ended;
                Some(0)
            }
        };
        pool.give_pipe_back(pipe);
        moved
    }

    /// Reads once into `scratch`, if nothing waits for the sink; or only looks at what is there, if
    /// it is `taking` so.
    ///
    /// At the end of the source the sink is told, unless the source broke: a cut transfer must
    /// not look complete. It need not be told if it `is_leaving`.
    pub fn take<S: Stream<Pipe = P>>(
        &mut self,
        source: &mut End<S>,
        sink: &mut End<S>,
        taking: Taking,
        scratch: &mut [u8],
    ) -> Receipt {
        if !self.is_open() {
            return Receipt::Nothing;
        }
        let (is_leaving, holds_back) = match taking {
            Taking::Read { is_leaving } | Taking::Sight { is_leaving } => (is_leaving, false),
            Taking::Inspected { is_leaving, holds_back } => (is_leaving, holds_back),
        };
        let is_sight = matches!(taking, Taking::Sight { .. });
        while source.readable {
            let outcome = if is_sight { source.stream.peek(scratch) } else { source.stream.read(scratch) };
            match outcome {
                Ok(0) if holds_back => return Receipt::LastWords,
                Ok(0) => {
                    *self = Flow::Ended;
                    if !source.is_broken && !is_leaving && sink.stream.shutdown_write().is_err() {
                        sink.broke();
                    }
                    return Receipt::Ended;
                }
                Ok(count) if is_sight => return Receipt::Sight(count),
                Ok(count) => return Receipt::Bytes(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => source.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) if holds_back => {
                    // It will say that it has ended when it is read again.
                    source.broke();
                    return Receipt::LastWords;
                }
                Err(_) => {
                    source.is_broken = true;
                    *self = Flow::Ended;
                    return Receipt::Ended;
                }
            }
        }
        Receipt::Nothing
    }

    /// Writes `chunk`, which is the last or not; what the sink does not take is held in a ring.
    pub fn send<S: Stream<Pipe = P>>(&mut self, sink: &mut End<S>, chunk: &[u8], is_last: bool, pool: &mut Pool<P>) {
        debug_assert!(self.is_open(), "only an open flow is read");
        let written = if is_last { write_with(sink, chunk, S::write_last) } else { write(sink, chunk) };
        if sink.is_broken {
            *self = Flow::Ended;
        } else if written < chunk.len() {
            let mut ring = pool.take();
            ring.push(&chunk[written..]);
            *self = Flow::Stuck(Some(ring));
        } else {
            *self = Flow::Open(if written == RING_SIZE { Pace::Bulk } else { Pace::Easy });
        }
    }

    /// Writes what an inspector made of some bytes; what the sink does not take is held in a ring, or
    /// in memory of its own size if there is no ring.
    pub fn send_turned<S: Stream<Pipe = P>>(&mut self, sink: &mut End<S>, turned: &[u8], pool: &mut Pool<P>) {
        if pool.is_ready() {
            return self.send(sink, turned, false, pool);
        }
        let written = write(sink, turned);
        if sink.is_broken {
            *self = Flow::Ended;
        } else if written < turned.len() {
            *self = Flow::Stuck(Some(pool.hold(&turned[written..])));
        }
    }

    /// Writes the bytes that were only looked at, `chunk`, and takes those away from the source
    /// that the sink took. Returns how many.
    pub fn pass<S: Stream<Pipe = P>>(&mut self, source: &mut End<S>, sink: &mut End<S>, chunk: &mut [u8]) -> usize {
        debug_assert!(self.is_open(), "only an open flow is looked at");
        let written = write(sink, chunk);
        let mut taken = 0;
        while taken < written {
            match source.stream.read(&mut chunk[taken..written]) {
                Ok(count) if count > 0 => taken += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It broke meanwhile, and the kernel threw its bytes away: the sink has had them.
                Ok(_) | Err(_) => {
                    source.broke();
                    break;
                }
            }
        }
        if sink.is_broken {
            *self = Flow::Ended;
        } else if written < chunk.len() {
            *self = Flow::Stuck(None);
        }
        written
    }

    /// Carries nothing any more; what is held is lost.
    pub fn abandon(&mut self, pool: &mut Pool<P>) {
        self.lay_down(pool, Flow::Ended);
    }

    /// Gives back what it holds, and is in this state from then on.
    fn lay_down(&mut self, pool: &mut Pool<P>, next: Flow<P>) {
        match std::mem::replace(self, next) {
            Flow::Stuck(Some(ring)) => pool.give_back(ring),
            Flow::Piped(pipe) => pool.give_pipe_back(pipe),
            Flow::Stuck(None) | Flow::Open(_) | Flow::Ended => {}
        }
    }
}

/// Writes until the sink has taken all, would block or broke; returns how much it took.
fn write<S: Stream>(sink: &mut End<S>, bytes: &[u8]) -> usize {
    write_with(sink, bytes, S::write)
}

/// The same, by this call.
#[inline]
fn write_with<S: Stream>(sink: &mut End<S>, bytes: &[u8], call: fn(&mut S, &[u8]) -> io::Result<usize>) -> usize {
    let mut written = 0;
    while written < bytes.len() && sink.writable {
        sink.prepare_send();
        match call(&mut sink.stream, &bytes[written..]) {
            Ok(0) => sink.writable = false,
            Ok(count) => {
                written += count;
                sink.sent += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => sink.writable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => {
                sink.broke();
                break;
            }
        }
    }
    written
}

/// Writes what is in a pipe until the sink has taken all, would block or broke.
fn pour<S: Stream>(sink: &mut End<S>, pipe: &mut S::Pipe) {
    while !pipe.is_empty() && sink.writable {
        sink.prepare_send();
        match sink.stream.pour(pipe) {
            Ok(0) => sink.writable = false,
            Ok(count) => sink.sent += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => sink.writable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => {
                sink.broke();
                break;
            }
        }
    }
}
