//! Somebody else in the event loop, who has events and moments of its own.

use crate::base::time::{Moment, Now};
use crate::net::{Net, Ready, Token};

/// Somebody else who uses the same loop, such as the servers of the demonstration.
pub trait Foreign<N: Net> {
    /// An event whose token is [`FOREIGN`](super::FOREIGN) or above.
    fn event(&mut self, net: &mut N, token: Token, ready: Ready, now: Now);

    /// When to be called again without an event.
    fn next_due(&self) -> Option<Moment>;

    /// It is that time.
    fn tick(&mut self, net: &mut N, now: Now);
}

/// Nobody else.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl<N: Net> Foreign<N> for Nobody {
    fn event(&mut self, _: &mut N, _: Token, _: Ready, _: Now) {}

    fn next_due(&self) -> Option<Moment> {
        None
    }

    fn tick(&mut self, _: &mut N, _: Now) {}
}

/// Perhaps somebody else.
impl<N: Net, F: Foreign<N>> Foreign<N> for Option<F> {
    fn event(&mut self, net: &mut N, token: Token, ready: Ready, now: Now) {
        if let Some(foreign) = self {
            foreign.event(net, token, ready, now);
        }
    }

    fn next_due(&self) -> Option<Moment> {
        self.as_ref()?.next_due()
    }

    fn tick(&mut self, net: &mut N, now: Now) {
        if let Some(foreign) = self {
            foreign.tick(net, now);
        }
    }
}
