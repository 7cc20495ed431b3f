//! What active checks have found of a server.

use super::servers::{Server, ServerId};
use super::{Balancer, Duty};
use crate::base::time::{Moment, Now};
use crate::check::Check;

/// How a server is checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum OwnCheck {
    /// As its listener has it for all.
    #[default]
    AsListener,
    /// Not at all.
    None,
    /// In a way of its own.
    Own(Check),
}

/// What checks of a server came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// It has failed as many checks in a row as it takes, and gets no client.
    pub is_down: bool,
    /// How many in a row came to the other verdict since.
    in_a_row: u32,
    /// Checks since the start.
    pub checks: u64,
    /// Those of them that it failed.
    pub failures: u64,
}

impl Health {
    /// One more check; true if that changes whether it is down. `rise` checks that it passes bring it
    /// up again, `fall` that it fails take it down.
    pub fn note(&mut self, is_good: bool, rise: u32, fall: u32) -> bool {
        self.checks += 1;
        self.failures += u64::from(!is_good);
        if is_good != self.is_down {
            self.in_a_row = 0;
            return false;
        }
        self.in_a_row += 1;
        let changes = self.in_a_row >= if is_good { rise } else { fall };
        if changes {
            self.is_down = !is_good;
            self.in_a_row = 0;
        }
        changes
    }
}

impl Server {
    /// Whether it gets no client at this moment: it is down by checks, or blacklisted.
    pub fn is_left_out(&self, moment: Moment) -> bool {
        self.health.is_down || self.is_blacklisted(moment)
    }
}

impl Balancer {
    /// A server has shown that it is there. True if it had failed before.
    pub fn answered(&mut self, id: ServerId) -> bool {
        self.servers.server_mut(id).is_some_and(|mut server| std::mem::take(&mut server.failing))
    }

    /// How a server is checked, if it is.
    pub fn check_of(&self, id: ServerId) -> Option<&Check> {
        let server = self.servers.server(id)?;
        let may_be = id != ServerId::Abuse && server.duty != Duty::Leaving && !server.is_unresolved();
        let check = match &server.check {
            OwnCheck::AsListener => self.settings.check.as_ref(),
            OwnCheck::None => None,
            OwnCheck::Own(check) => Some(check),
        };
        check.filter(|_| may_be)
    }

    /// A check of a server came to this verdict; true if the server is down from now on, or up again.
    pub fn checked(&mut self, id: ServerId, is_good: bool, now: Now) -> bool {
        let (rise, fall) = (self.settings.check_rise, self.settings.check_fall);
        let Some(mut server) = self.servers.server_mut(id) else { return false };
        let changes = server.health.note(is_good, rise, fall);
        if changes && is_good {
            server.returned_at = Some(now.moment);
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_some_in_a_row_to_go_down_and_to_come_back() {
        let mut health = Health::default();
        // Verdict, whether it changes, whether it is down then.
        let table = [
            (false, false, false),
            (false, false, false),
            (true, false, false),
            (false, false, false),
            (false, false, false),
            (false, true, true),
            (false, false, true),
            (true, false, true),
            (false, false, true),
            (true, false, true),
            (true, true, false),
            (true, false, false),
        ];
        for (step, (is_good, changes, is_down)) in table.into_iter().enumerate() {
            assert_eq!((health.note(is_good, 2, 3), health.is_down), (changes, is_down), "step {step}");
        }
        assert_eq!((health.checks, health.failures), (12, 7));
    }
}
