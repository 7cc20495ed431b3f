//! What unit tests of this layer have instead of a network.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use crate::net::{NoPipe, Ready, Stream};

/// A peer that sends what it is told to, and takes so many bytes at a time.
#[derive(Debug, Default)]
pub struct Wire {
    /// Chunks, errors; an empty chunk is the end. When there is no more it would block.
    pub sends: VecDeque<Result<Vec<u8>, ErrorKind>>,
    pub takes: VecDeque<usize>,
    pub got: Vec<u8>,
    pub got_fin: bool,
    pub is_reset: bool,
}

impl Read for Wire {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self.sends.pop_front() {
            None => Err(io::Error::from(ErrorKind::WouldBlock)),
            Some(Err(kind)) => Err(io::Error::from(kind)),
            Some(Ok(mut chunk)) => {
                let rest = chunk.split_off(chunk.len().min(room.len()));
                room[..chunk.len()].copy_from_slice(&chunk);
                if !rest.is_empty() {
                    self.sends.push_front(Ok(rest));
                }
                Ok(chunk.len())
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.takes.pop_front().ok_or(ErrorKind::WouldBlock)?.min(bytes.len());
        self.got.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Wire {
    type Pipe = NoPipe;

    fn peek(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("sessions keep what they read")
    }

    fn connected(&mut self, _: Ready) -> io::Result<bool> {
        Ok(true)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.got_fin = true;
        Ok(())
    }

    fn unsent(&self) -> io::Result<usize> {
        Ok(0)
    }

    fn reset_on_drop(&mut self) -> io::Result<()> {
        self.is_reset = true;
        Ok(())
    }

    fn no_delay(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> i32 {
        3
    }
}

/// What a world has not.
#[derive(Debug)]
pub enum Nothing {}

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }
}

impl Write for Nothing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match *self {}
    }
}

impl Stream for Nothing {
    type Pipe = NoPipe;

    fn peek(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn connected(&mut self, _: Ready) -> io::Result<bool> {
        match *self {}
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        match *self {}
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match *self {}
    }

    fn unsent(&self) -> io::Result<usize> {
        match *self {}
    }

    fn reset_on_drop(&mut self) -> io::Result<()> {
        match *self {}
    }

    fn no_delay(&mut self) -> io::Result<()> {
        match *self {}
    }

    fn descriptor(&self) -> i32 {
        match *self {}
    }
}

/// Takes `room` bytes, then behaves as told.
#[derive(Debug)]
pub struct Disk {
    pub written: Vec<u8>,
    pub room: usize,
    pub full: ErrorKind,
    /// The room there is after an error.
    pub refill: usize,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            self.room = std::mem::take(&mut self.refill);
            return Err(io::Error::from(self.full));
        }
        let count = bytes.len().min(self.room);
        self.room -= count;
        self.written.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
