//! One direction of a pair. The same code serves both.
//!
//! A stuck flow is not read, so that the end of a source is only ever seen with nothing held
//! back: there is no "draining". Readiness is cleared by `WouldBlock` and by nothing else.

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
    /// The sink would not take these bytes yet.
    Stuck(Ring),
    /// Nothing more will be carried.
    Ended,
}

/// What [`Flow::receive`] brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receipt {
    /// This many bytes at the start of the scratch buffer.
    Bytes(usize),
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
            Flow::Stuck(ring) => ring.len(),
            Flow::Open | Flow::Ended => 0,
        }
    }

    /// Frees the flow if it is stuck, then reads once into `scratch`.
    ///
    /// At the end of the source the sink is told, unless the source broke: a cut transfer must
    /// not look complete.
    pub fn receive<S: Stream>(
        &mut self,
        source: &mut End<S>,
        sink: &mut End<S>,
        scratch: &mut [u8],
        pool: &mut Pool,
    ) -> Receipt {
        if self.is_stuck() {
            self.free(sink, pool);
        }
        match self {
            Flow::Open => {}
            Flow::Stuck(_) | Flow::Ended => return Receipt::Nothing,
        }
        while source.readable {
            match source.stream.read(scratch) {
                Ok(0) => {
                    *self = Flow::Ended;
                    if !source.is_broken && sink.stream.shutdown_write().is_err() {
                        sink.broke();
                    }
                    return Receipt::Ended;
                }
                Ok(count) => return Receipt::Bytes(count),
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
            *self = Flow::Stuck(ring);
        }
    }

    /// Carries nothing any more; what is held is lost.
    pub fn abandon(&mut self, pool: &mut Pool) {
        if let Flow::Stuck(ring) = std::mem::replace(self, Flow::Ended) {
            pool.give_back(ring);
        }
    }

    fn free<S: Stream>(&mut self, sink: &mut End<S>, pool: &mut Pool) {
        let Flow::Stuck(ring) = self else { return };
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
        if let Flow::Stuck(ring) = std::mem::replace(self, Flow::Open) {
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
