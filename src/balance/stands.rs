//! What selectors read of every server, in flat memory.
//!
//! A choice among a thousand servers looks at each of them. A server has hundreds of bytes, of which that takes a few:
//! they are side by side here. They follow every change, because a server of the table is changed through
//! [`Changing`] only.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::Server;
use crate::base::time::Moment;

/// One server as a selector sees it; where there is none, as one with nothing set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stand {
    /// Places in use by clients.
    pub clients: u32,
    /// Weight; 0 is "not set" and counts as 1.
    pub weight: u32,
    /// Priority, the lowest first.
    pub prio: i32,
    /// When it came back last, or will: nothing warms up that has been back for long.
    back: Moment,
}

impl Stand {
    /// What is to be known of this server.
    pub fn of(server: &Server) -> Stand {
        let back = server.blacklisted_until.max(server.returned_at).unwrap_or_default();
        Stand { clients: server.clients(), weight: server.weight, prio: server.prio, back }
    }

    /// False if it gets its full share for sure, where servers take `warm_up` to warm up.
    pub fn may_warm_up(&self, moment: Moment, warm_up: Duration) -> bool {
        moment.since(self.back) < warm_up
    }
}

/// A server of the table that is being changed. What was changed counts when this is dropped.
#[derive(Debug)]
pub struct Changing<'a> {
    server: &'a mut Server,
    /// Its place in flat memory; a server that no selector sees has none.
    stand: Option<&'a mut Stand>,
}

impl<'a> Changing<'a> {
    /// This server, and its place in flat memory if it has one.
    pub(super) fn new(server: &'a mut Server, stand: Option<&'a mut Stand>) -> Changing<'a> {
        Changing { server, stand }
    }
}

impl Deref for Changing<'_> {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.server
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut Server {
        self.server
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        if let Some(stand) = &mut self.stand {
            **stand = Stand::of(self.server);
        }
    }
}
