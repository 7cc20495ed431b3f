//! What bytes go through that nobody looks at.

use std::fmt;

/// A pipe in the kernel, through which bytes go from one stream to another without being copied.
/// Dropping it loses what is in it.
pub trait Pipe: fmt::Debug {
    /// Bytes in it.
    fn len(&self) -> usize;

    /// True if nothing is in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The pipe of a world that has none.
#[derive(Debug)]
pub enum NoPipe {}

impl Pipe for NoPipe {
    fn len(&self) -> usize {
        match *self {}
    }
}
