//! The servers as one client's search sees them.

use super::stands::Stand;
use super::{Acls, Search, Server, Servers, Settings};
use crate::base::time::Moment;
use crate::select::{Candidates, FULL_SHARE};

/// What is open to a selector.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Every server that there is.
    Any,
    /// Those that could serve the client at this moment.
    Available,
}

/// The servers as one search sees them.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) servers: &'a Servers,
    /// Of these servers.
    pub(super) stands: &'a [Stand],
    pub(super) acls: &'a Acls,
    pub(super) settings: &'a Settings,
    pub(super) search: &'a Search,
    pub(super) moment: Moment,
    pub(super) choice: Choice,
}

impl View<'_> {
    /// Where clients are not sent back, none comes back to a server that drains.
    pub(super) fn is_on_duty(&self, server: &Server, comes_back: bool) -> bool {
        server.duty.serves(comes_back && !self.settings.modes.roundrobin)
    }

    pub(super) fn is_available(&self, server: &Server, comes_back: bool) -> bool {
        server.has_place(comes_back) && self.could_serve(server, comes_back)
    }

    /// Whether this client may be sent to the server of this index.
    fn is_open_to_client(&self, index: usize) -> bool {
        let Some(server) = self.servers.regular(index) else { return false };
        let comes_back = self.search.tracked() == Some(index);
        match self.choice {
            Choice::Any => self.is_on_duty(server, comes_back),
            Choice::Available => !self.search.has_tried(index) && self.is_available(server, comes_back),
        }
    }

    /// Whether it could if it has a place.
    pub(super) fn could_serve(&self, server: &Server, comes_back: bool) -> bool {
        self.is_on_duty(server, comes_back)
            && !server.health.is_down
            && !server.is_unresolved()
            && !server.is_blacklisted(self.moment)
            && server.acl.is_none_or(|list| self.acls.check(list, self.search.from()))
    }
}

impl Candidates for View<'_> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.stands.len()
    }

    #[inline(always)]
    fn is_open(&self, index: usize) -> bool {
        // Many may be shut at a time; a server is looked at only where that may be worth it.
        if self.choice == Choice::Available && self.stands[index].is_shut(self.moment) {
            return false;
        }
        self.is_open_to_client(index)
    }

    #[inline(always)]
    fn connections(&self, index: usize) -> u32 {
        self.stands[index].clients
    }

    #[inline(always)]
    fn weight(&self, index: usize) -> u32 {
        self.stands[index].weight
    }

    #[inline(always)]
    fn prio(&self, index: usize) -> i32 {
        self.stands[index].prio
    }

    fn some_warm_up(&self) -> bool {
        !self.settings.slow_start.is_zero()
    }

    fn share(&self, index: usize) -> u32 {
        let warm_up = self.settings.slow_start;
        if !self.stands[index].may_warm_up(self.moment, warm_up) {
            return FULL_SHARE;
        }
        self.servers.regular(index).map_or(FULL_SHARE, |server| server.share(self.moment, warm_up))
    }
}
