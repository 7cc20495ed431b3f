//! What is counted of servers and listeners since the start, for those who look at pen from outside.
//!
//! Nothing is decided by these numbers. They only grow.

/// Why a connect to a server failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The server's machine refused it.
    Refused,
    /// Nobody answered in time.
    TimedOut,
    /// Anything else: no way to it, a path that is not there.
    Other,
}

impl Failure {
    /// What an error of a connect says.
    pub fn of(error: &std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::ConnectionRefused => Failure::Refused,
            std::io::ErrorKind::TimedOut => Failure::TimedOut,
            _ => Failure::Other,
        }
    }
}

/// What was counted at one server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Connects that were made.
    pub connects: u64,
    /// Connects that were refused.
    pub refused: u64,
    /// Connects that nobody answered in time.
    pub timed_out: u64,
    /// Connects that failed otherwise.
    pub failed: u64,
}

impl Counts {
    /// Counts a connect that failed.
    pub fn fail(&mut self, why: Failure) {
        match why {
            Failure::Refused => self.refused += 1,
            Failure::TimedOut => self.timed_out += 1,
            Failure::Other => self.failed += 1,
        }
    }
}

/// What was carried, and for how many: since the start, or within some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Connections that began: of clients at a listener, to the server at a server.
    pub begun: u64,
    /// Bytes from clients to servers.
    pub up: u64,
    /// Bytes from servers to clients.
    pub down: u64,
}

impl Traffic {
    /// What has come since `before`; what was counted anew meanwhile is nothing.
    pub fn since(self, before: Traffic) -> Traffic {
        Traffic {
            begun: self.begun.saturating_sub(before.begun),
            up: self.up.saturating_sub(before.up),
            down: self.down.saturating_sub(before.down),
        }
    }

    /// Both together.
    pub fn and(self, other: Traffic) -> Traffic {
        Traffic {
            begun: self.begun.saturating_add(other.begun),
            up: self.up.saturating_add(other.up),
            down: self.down.saturating_add(other.down),
        }
    }
}

/// What went on in the last interval of the history, and how that is found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lately {
    /// In that interval.
    pub traffic: Traffic,
    /// At its end, since the start.
    noted: Traffic,
}

impl Lately {
    /// So many intervals are over, with `total` at the end of the first: nothing came after that.
    pub fn note(&mut self, total: Traffic, intervals: usize) {
        self.traffic = if intervals > 1 { Traffic::default() } else { total.since(self.noted) };
        self.noted = total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn failures_are_told_apart() {
        let mut counts = Counts::default();
        for kind in [ErrorKind::ConnectionRefused, ErrorKind::TimedOut, ErrorKind::HostUnreachable, ErrorKind::NotFound]
        {
            counts.fail(Failure::of(&Error::from(kind)));
        }
        assert_eq!(counts, Counts { connects: 0, refused: 1, timed_out: 1, failed: 2 });
    }

    #[test]
    fn the_last_interval_is_what_was_carried_within_it() {
        let total = |begun| Traffic { begun, up: 10 * begun, down: 100 * begun };
        let mut lately = Lately::default();
        lately.note(total(3), 1);
        assert_eq!(lately.traffic, total(3));
        lately.note(total(5), 1);
        assert_eq!(lately.traffic, total(2));
        lately.note(total(9), 2);
        assert_eq!(lately.traffic, total(0), "it came in the interval before the last");
        lately.note(total(4), 1);
        assert_eq!(lately.traffic, total(0), "it was counted anew");
    }
}
