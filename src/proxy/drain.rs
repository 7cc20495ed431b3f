//! The end in good order: nobody is let in any more, and those who are there may finish.

use super::{Ending, Proxy};
use crate::base::diag::Severity;
use crate::base::time::Moment;
use crate::net::Net;

impl<N: Net> Proxy<N> {
    /// Closes the listening sockets, so that clients go elsewhere and others can listen there. Told so a
    /// second time, pen ends at once.
    pub(super) fn drain(&mut self) {
        if self.draining_since.is_some() {
            self.ending = Some(Ending::Signal);
            return;
        }
        self.give_up_upgrade();
        self.let_in_who_waits();
        self.close_to_new_clients();
        self.draining_since = Some(self.now.moment);
        self.close_idlers();
        let limit = self.listeners.common.drain.as_secs();
        let time = if limit > 0 { format!("{limit} s") } else { String::from("as long as they need") };
        let text = format!("nobody is let in any more; {} connections have {time} to finish", self.connections());
        self.say(Severity::Notice, &text);
    }

    /// Those in the kernel's queues are connected as far as they know, and closing the sockets
    /// would reset them. So they are served, as far as there is room.
    fn let_in_who_waits(&mut self) {
        // There is no later time to try again.
        self.listening.resume();
        let common = &self.listeners.common;
        // Once more than that, as it may be said once that nobody waits though somebody does.
        for _ in 0..=common.backlog as usize / common.multi_accept + 1 {
            self.listening.look_everywhere();
            self.accept();
        }
    }

    /// When those who have not finished are closed.
    pub(super) fn drain_ends(&self) -> Option<Moment> {
        let limit = self.listeners.common.drain;
        self.draining_since.filter(|_| !limit.is_zero()).map(|since| since + limit)
    }

    /// Ends if the last pair has gone, or their time is over.
    pub(super) fn end_if_drained(&mut self) {
        if self.draining_since.is_none() || self.ending.is_some() {
            return;
        }
        let is_over = self.drain_ends().is_some_and(|due| due <= self.now.moment);
        if is_over && self.connections() > 0 {
            let text = format!("{} connections have not finished in time, and are closed", self.connections());
            self.say(Severity::Notice, &text);
        }
        if is_over || self.connections() == 0 {
            self.ending = Some(Ending::Signal);
        }
    }
}
