//! What selectors read of every server, in flat memory.
//!
//! A choice among a thousand servers looks at each of them. A server has hundreds of bytes, of which that takes a few:
//! they are side by side here. They follow every change, because a server of the table is changed through
//! [`Changing`] only.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::{Duty, Server};
use crate::base::time::Moment;

/// A moment that never comes.
const NEVER: Moment = Moment::from_nanos(u64::MAX);

/// One server as a selector sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stand {
    /// Places in use by clients.
    pub clients: u32,
    /// Weight; 0 is "not set" and counts as 1.
    pub weight: u32,
    /// Priority, the lowest first.
    pub prio: i32,
    /// When it came back last, or will: nothing warms up that has been back for long.
    back: Moment,
    /// Before this moment it serves nobody, whoever comes; later it depends.
    shut_until: Moment,
}

impl Default for Stand {
    /// No server.
    fn default() -> Stand {
        Stand { clients: 0, weight: 0, prio: 0, back: Moment::default(), shut_until: NEVER }
    }
}

impl Stand {
    /// What is to be known of this server.
    pub fn of(server: &Server) -> Stand {
        let back = server.blacklisted_until.max(server.returned_at).unwrap_or_default();
        let is_out = server.health.is_down || server.is_unresolved() || !server.has_place(true);
        let is_shut = is_out || matches!(server.duty, Duty::Disabled | Duty::Leaving);
        let shut_until = if is_shut { NEVER } else { server.blacklisted_until.unwrap_or_default() };
        Stand { clients: server.clients(), weight: server.weight, prio: server.prio, back, shut_until }
    }

    /// True if it serves nobody at this moment, whoever comes. Where this is false the server itself tells.
    #[inline(always)]
    pub fn is_shut(&self, moment: Moment) -> bool {
        moment < self.shut_until
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
