//! One direction of a pair. The same code serves both.
//!
//! A stuck flow is not read, so that the end of a source is only ever seen with nothing held
//! back: there is no "draining". Readiness is cleared by `WouldBlock` and by nothing else.
//!
//! Bytes are taken from a source only if there is a ring for them. While there is no memory for
//! one, they are looked at where they are, in the kernel of the source, and only what the sink
//! takes is taken away: slower, but nobody waits for anybody else's ring.

use std::io::ErrorKind;
use std::mem::Discriminant;

use super::pair::End;
use super::pool::Pool;
use super::ring::Ring;
use crate::net::Stream;

/// The state of one direction.
#[derive(Debug)]
pub enum Flow {
    /// Everything that was read has been written; more may come.
    Open,
    /// The sink would not take these bytes yet; without a ring they are still where they came from.
    Stuck(Option<Ring>),
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
    /// The flow ended just now.
    Ended,
}

impl Flow {
    /// True if nothing more will be carried.
    pub fn has_ended(&self) -> bool {
        matches!(self, Flow::Ended)
    }

    /// True if bytes may be read.
    pub fn is_open(&self) -> bool {
        matches!(self, Flow::Open)
    }

    /// True if bytes wait for the sink.
    pub fn is_stuck(&self) -> bool {
        matches!(self, Flow::Stuck(_))
    }

    /// Which state it is in, whatever it holds.
    pub fn state(&self) -> Discriminant<Flow> {
        std::mem::discriminant(self)
    }

    /// Bytes that wait for the sink.
    pub fn held(&self) -> usize {
        match self {
            Flow::Stuck(Some(ring)) => ring.len(),
            Flow::Stuck(None) | Flow::Open | Flow::Ended => 0,
        }
    }

    /// True if it holds a ring.
    pub fn has_ring(&self) -> bool {
        matches!(self, Flow::Stuck(Some(_)))
    }

    /// Writes what waits for the sink, if anything does and as far as it takes it.
    pub fn free<S: Stream>(&mut self, sink: &mut End<S>, pool: &mut Pool) {
        let Flow::Stuck(ring) = self else { return };
        let Some(ring) = ring else {
            if sink.writable {
                *self = Flow::Open;
            }
            return;
        };
        while !ring.is_empty() {
            let written = write(sink, ring.front());
            ring.consume(written);
            if sink.is_broken {
                return self.abandon(pool);
            }
            if !sink.writable {
                return;
            }
        }
        if let Flow::Stuck(Some(ring)) = std::mem::replace(self, Flow::Open) {
            pool.give_back(ring);
        }
    }

    /// Reads once into `scratch`, if nothing waits for the sink; or only looks at what is there,
    /// if the pool has no ring to lend.
    ///
    /// At the end of the source the sink is told, unless the source broke: a cut transfer must
    /// not look complete. It need not be told if it `is_leaving`: the other direction has ended,
    /// and closing the socket says the same.
    pub fn receive<S: Stream>(
        &mut self,
        source: &mut End<S>,
        sink: &mut End<S>,
        is_leaving: bool,
        scratch: &mut [u8],
        pool: &Pool,
    ) -> Receipt {
        match self {
            Flow::Open => {}
            Flow::Stuck(_) | Flow::Ended => return Receipt::Nothing,
        }
        while source.readable {
            let outcome = if pool.is_ready() { source.stream.read(scratch) } else { source.stream.peek(scratch) };
            match outcome {
                Ok(0) => {
                    *self = Flow::Ended;
                    if !source.is_broken && !is_leaving && sink.stream.shutdown_write().is_err() {
                        sink.broke();
                    }
                    return Receipt::Ended;
                }
                Ok(count) if pool.is_ready() => return Receipt::Bytes(count),
                Ok(count) => return Receipt::Sight(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => source.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    source.is_broken = true;
                    *self = Flow::Ended;
                    return Receipt::Ended;
                }
            }
        }
        Receipt::Nothing
    }

    /// Writes `chunk`; what the sink does not take is held in a ring.
    pub fn send<S: Stream>(&mut self, sink: &mut End<S>, chunk: &[u8], pool: &mut Pool) {
        debug_assert!(matches!(self, Flow::Open), "only an open flow is read");
        let written = write(sink, chunk);
        if sink.is_broken {
            *self = Flow::Ended;
        } else if written < chunk.len() {
            let mut ring = pool.take();
            ring.push(&chunk[written..]);
            *self = Flow::Stuck(Some(ring));
        }
    }

    /// Writes the bytes that were only looked at, `chunk`, and takes those away from the source
    /// that the sink took. Returns how many.
    pub fn pass<S: Stream>(&mut self, source: &mut End<S>, sink: &mut End<S>, chunk: &mut [u8]) -> usize {
        debug_assert!(matches!(self, Flow::Open), "only an open flow is looked at");
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
    pub fn abandon(&mut self, pool: &mut Pool) {
        if let Flow::Stuck(Some(ring)) = std::mem::replace(self, Flow::Ended) {
            pool.give_back(ring);
        }
    }
}

/// Writes until the sink has taken all, would block or broke; returns how much it took.
fn write<S: Stream>(sink: &mut End<S>, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() && sink.writable {
        sink.prepare_send();
        match sink.stream.write(&bytes[written..]) {
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
