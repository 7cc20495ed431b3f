//! One TCP connection as the kernels at its two sides see it: what tcp(7) on Linux does, without
//! sockets, descriptors or time. When bytes travel is for the world to say.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

/// pen's side of a wire.
pub const PROXY: usize = 0;
/// The side of the client or server.
pub const PEER: usize = 1;

/// One side: a socket's buffers and state.
#[derive(Debug, Default)]
pub struct Half {
    incoming: VecDeque<u8>,
    incoming_max: usize,
    /// Bytes that came in all.
    pub arrived: u64,
    /// Those of them that nobody had read when the socket was closed.
    unread: u64,
    /// Where the urgent byte is among those that were written.
    urgent_out: Option<u64>,
    /// Where the urgent byte is among those that arrived, until it is read.
    urgent_in: Option<u64>,
    outgoing: VecDeque<u8>,
    /// So many of them, the last ones, wait for the end (`MSG_MORE`). A kernel would let them go after a fifth of a
    /// second; here they wait for ever.
    held_back: usize,
    /// Bytes that writes took in all.
    pub written: u64,
    outgoing_max: usize,
    /// It said that it has said everything.
    pub fin_wanted: bool,
    /// The other side knows.
    fin_gone: bool,
    /// The other side has said everything.
    pub fin_came: bool,
    /// What `SO_ERROR` would tell.
    error: Option<ErrorKind>,
    /// The connection does not exist any more for this side.
    pub is_reset: bool,
    /// The program has closed its socket.
    pub is_closed: bool,
    /// Closing resets.
    lingers_not: bool,
    /// A reset must be sent to the other side.
    pub sends_reset: bool,
}

impl Half {
    /// True if a read would not block.
    pub fn is_readable(&self) -> bool {
        !self.incoming.is_empty() || self.fin_came || self.is_reset
    }

    /// True if a write would not block, and at least one part in `third` of the buffer is free.
    pub fn is_writable(&self, third: usize) -> bool {
        let room = self.room();
        self.is_reset || self.fin_wanted || (room > 0 && room * third >= self.outgoing_max)
    }

    /// Bytes that a write could take.
    fn room(&self) -> usize {
        self.outgoing_max - self.outgoing.len()
    }

    /// True if there is urgent data that was not read.
    pub fn is_urgent(&self) -> bool {
        self.urgent_in.is_some_and(|place| place < self.arrived)
    }

    /// True if the next byte is the urgent one.
    pub fn is_at_urgent(&self) -> bool {
        !self.incoming.is_empty() && self.urgent_in == Some(self.arrived - self.incoming.len() as u64)
    }

    /// Bytes that a read gets at most: it stops before the urgent one.
    fn readable_at_once(&self) -> usize {
        let read = self.arrived - self.incoming.len() as u64;
        match self.urgent_in {
            Some(place) if place > read => usize::try_from(place - read).unwrap().min(self.incoming.len()),
            Some(_) | None => self.incoming.len(),
        }
    }

    /// Bytes that the other side's kernel has not got yet; a FIN counts as one (`SIOCOUTQ`).
    pub fn unsent(&self) -> usize {
        self.outgoing.len() + usize::from(self.fin_wanted && !self.fin_gone && !self.is_reset)
    }

    /// Bytes that can be read.
    pub fn readable_bytes(&self) -> usize {
        self.incoming.len()
    }

    /// Bytes that reads took away in all.
    pub fn taken(&self) -> u64 {
        self.arrived - self.incoming.len() as u64 - self.unread
    }

    /// `SO_ERROR`, which is taken away.
    pub fn take_error(&mut self) -> Option<ErrorKind> {
        self.error.take()
    }
}

/// What travelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carried {
    /// Nothing: there is nothing, or the window is closed.
    Nothing,
    /// So many bytes arrived.
    Bytes(usize),
    /// The end arrived.
    Fin,
    /// Bytes arrived at a socket that is closed: its kernel resets the connection.
    Refused,
}

/// Both sides.
#[derive(Debug, Default)]
pub struct Wire {
    /// By [`PROXY`] and [`PEER`].
    pub halves: [Half; 2],
}

impl Wire {
    /// A wire whose buffers have these sizes, by side.
    pub fn new(incoming_max: [usize; 2], outgoing_max: [usize; 2]) -> Wire {
        let half = |side: usize| Half {
            incoming_max: incoming_max[side],
            outgoing_max: outgoing_max[side],
            ..Half::default()
        };
        Wire { halves: [half(PROXY), half(PEER)] }
    }

    /// read(2), of at most `buffer.len()` bytes.
    pub fn read(&mut self, side: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let half = &mut self.halves[side];
        if !half.incoming.is_empty() {
            let count = buffer.len().min(half.readable_at_once());
            let (front, back) = half.incoming.as_slices();
            let first = count.min(front.len());
            buffer[..first].copy_from_slice(&front[..first]);
            buffer[first..count].copy_from_slice(&back[..count - first]);
            half.incoming.drain(..count);
            let read = half.arrived - half.incoming.len() as u64;
            half.urgent_in = half.urgent_in.filter(|place| *place >= read);
            return Ok(count);
        }
        if half.fin_came {
            return Ok(0);
        }
        match half.error.take() {
            Some(kind) => Err(kind.into()),
            None if half.is_reset => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// recv(2) with `MSG_PEEK`.
    pub fn peek(&mut self, side: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let half = &self.halves[side];
        if half.incoming.is_empty() {
            return self.read(side, buffer);
        }
        let count = buffer.len().min(half.readable_at_once());
        buffer[..count].iter_mut().zip(&half.incoming).for_each(|(to, from)| *to = *from);
        Ok(count)
    }

    /// write(2).
    pub fn write(&mut self, side: usize, bytes: &[u8]) -> io::Result<usize> {
        let half = &mut self.halves[side];
        if let Some(kind) = half.error.take() {
            return Err(kind.into());
        }
        if half.is_reset || half.fin_wanted {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(half.room());
        if count == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        half.outgoing.extend(&bytes[..count]);
        half.written += count as u64;
        half.held_back = 0;
        Ok(count)
    }

    /// send(2) with `MSG_MORE`. Where there is no more room, what there is goes.
    pub fn write_last(&mut self, side: usize, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.write(side, bytes);
        if let Ok(count) = outcome
            && count == bytes.len()
        {
            self.halves[side].held_back = count;
        }
        outcome
    }

    /// The next byte that is written is urgent (`MSG_OOB`, send(2)).
    pub fn urge(&mut self, side: usize) {
        let half = &mut self.halves[side];
        half.urgent_out = Some(half.written);
    }

    /// shutdown(2) with `SHUT_WR`.
    pub fn shutdown_write(&mut self, side: usize) -> io::Result<()> {
        let half = &mut self.halves[side];
        if half.is_reset {
            return Err(ErrorKind::NotConnected.into());
        }
        half.fin_wanted = true;
        half.held_back = 0;
        Ok(())
    }

    /// `SO_LINGER` with a time of zero.
    pub fn reset_on_close(&mut self, side: usize) {
        self.halves[side].lingers_not = true;
    }

    /// close(2): a FIN after what is still to be sent; but a reset if something was not read, or
    /// if that was asked for. `kept` of the unsent bytes arrive before the reset.
    pub fn close(&mut self, side: usize, kept: usize) {
        let over = self.is_over(side);
        let half = &mut self.halves[side];
        half.is_closed = true;
        half.held_back = 0;
        if half.is_reset || over {
            return;
        }
        if half.lingers_not || !half.incoming.is_empty() {
            half.outgoing.truncate(kept);
            half.unread += half.incoming.len() as u64;
            half.incoming.clear();
            half.is_reset = true;
            half.sends_reset = true;
        } else {
            half.fin_wanted = true;
        }
    }

    /// True if both ends were told, and heard, everything.
    fn is_over(&self, side: usize) -> bool {
        let half = &self.halves[side];
        half.fin_gone && half.fin_came
    }

    /// True if something could travel from this side now.
    pub fn may_carry(&self, from: usize) -> bool {
        let (sender, taker) = (&self.halves[from], &self.halves[1 - from]);
        if sender.outgoing.is_empty() {
            return sender.fin_wanted && !sender.fin_gone && !sender.is_reset;
        }
        if sender.outgoing.len() <= sender.held_back {
            return false;
        }
        taker.is_closed || taker.incoming.len() < taker.incoming_max
    }

    /// Lets at most `most` bytes travel from one side to the other, or the FIN after the last.
    pub fn carry(&mut self, from: usize, most: usize) -> Carried {
        if !self.may_carry(from) {
            return Carried::Nothing;
        }
        let [proxy, peer] = &mut self.halves;
        let (sender, taker) = if from == PROXY { (proxy, peer) } else { (peer, proxy) };
        if sender.outgoing.is_empty() {
            sender.fin_gone = true;
            taker.fin_came |= !taker.is_reset;
            return Carried::Fin;
        }
        if taker.is_reset {
            // What arrives after the end of the connection goes nowhere.
            sender.outgoing.clear();
            return Carried::Nothing;
        }
        if taker.is_closed {
            taker.outgoing.clear();
            taker.is_reset = true;
            taker.sends_reset = true;
            return Carried::Refused;
        }
        let count = most.min(sender.outgoing.len() - sender.held_back).min(taker.incoming_max - taker.incoming.len());
        taker.incoming.extend(sender.outgoing.drain(..count));
        taker.arrived += count as u64;
        // There is one mark at a time (tcp(7)).
        taker.urgent_in = sender.urgent_out.take_if(|place| *place < taker.arrived).or(taker.urgent_in);
        Carried::Bytes(count)
    }

    /// A reset arrives at one side. What it received before stays readable. True if that is news.
    pub fn reset(&mut self, side: usize) -> bool {
        let over = self.is_over(side);
        let half = &mut self.halves[side];
        if half.is_reset || over {
            return false;
        }
        half.is_reset = true;
        half.outgoing.clear();
        half.error = Some(if half.fin_came { ErrorKind::BrokenPipe } else { ErrorKind::ConnectionReset });
        true
    }
}
