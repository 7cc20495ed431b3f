//! Pipes in the simulated kernel, with what is odd about splice(2) on Linux.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use pen::net::Pipe;

use super::plan::Lack;
use super::wire::PROXY;
use super::world::World;

/// A pipe of pen's.
#[derive(Debug)]
pub struct SimPipe {
    world: Rc<RefCell<World>>,
    bytes: VecDeque<u8>,
    room: usize,
}

impl Pipe for SimPipe {
    fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Drop for SimPipe {
    fn drop(&mut self) {
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.open -= 2;
            world.open_pipes -= 1;
        }
    }
}

impl SimPipe {
    /// A pipe, if there may be one more.
    pub fn open(world: &Rc<RefCell<World>>, lent: usize) -> io::Result<SimPipe> {
        let mut state = world.borrow_mut();
        if state.plan.pipes == 0 {
            return Err(ErrorKind::Unsupported.into());
        }
        if lent >= state.plan.pipes {
            return Err(Lack::Descriptors.error());
        }
        if let Some(lack) = state.lacking() {
            return Err(lack.error());
        }
        state.count_open();
        state.count_open();
        state.open_pipes += 1;
        assert_eq!(state.open_pipes, lent + 1, "a spare pipe is used before another is opened");
        let room = if state.odds().short > 0 { *state.choices.pick(&[1, 5_000, 65_536]) } else { 1_000_000 };
        drop(state);
        Ok(SimPipe { world: world.clone(), bytes: VecDeque::new(), room })
    }

    /// Moves what has come on a line into this pipe.
    pub fn fill(&mut self, line: usize) -> io::Result<usize> {
        assert!(self.bytes.is_empty(), "only an empty pipe is filled");
        let world = Rc::clone(&self.world);
        let mut world = world.borrow_mut();
        let count = world.splice_in(line, self.room, &mut self.bytes)?;
        Ok(count)
    }

    /// Writes what is in this pipe to a line.
    pub fn pour(&mut self, line: usize) -> io::Result<usize> {
        let world = Rc::clone(&self.world);
        let mut world = world.borrow_mut();
        let count = world.write(line, self.bytes.make_contiguous(), false)?;
        self.bytes.drain(..count);
        Ok(count)
    }
}

impl World {
    fn splice_in(&mut self, id: usize, room: usize, bytes: &mut VecDeque<u8>) -> io::Result<usize> {
        self.calls.splice += 1;
        self.assert_usable(id);
        assert!(self.plan.common.debug < 2, "what is dumped is not moved unseen");
        assert!(self.captures.iter().all(|file| !file.is_open), "what is captured is not moved unseen");
        self.interruption()?;
        let odds = self.odds();
        if self.choices.one_in(odds.would_block) {
            return Err(self.block_reads(id));
        }
        let half = &self.lines[id].wire.halves[PROXY];
        if half.is_at_urgent() {
            // It goes no further, and what it says then is not true.
            return if half.fin_came || !odds.tells_all { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let most = room.min(half.readable_bytes().max(1));
        let most = if self.choices.one_in(odds.short) { self.choices.part(most) } else { most };
        let mut buffer = vec![0; most];
        let outcome = self.lines[id].wire.read(PROXY, &mut buffer);
        self.note(|_| format!("pen moves from line {id}: {outcome:?}"));
        self.finish_call(id, &outcome, |watch| watch.read_armed = true);
        bytes.extend(&buffer[..*outcome.as_ref().unwrap_or(&0)]);
        outcome
    }
}
