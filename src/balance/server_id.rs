//! What servers are called inside.

use std::fmt;

/// Names a server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ServerId {
    /// One of the table, by its index.
    Regular(u32),
    /// The one for clients that no regular server may serve.
    Emergency,
    /// The one for clients that the access list refuses.
    Abuse,
}

impl ServerId {
    /// Its place in the table, for one that is there.
    pub fn index(self) -> Option<usize> {
        match self {
            ServerId::Regular(index) => Some(index as usize),
            ServerId::Emergency | ServerId::Abuse => None,
        }
    }
}

impl fmt::Display for ServerId {
    /// `0`, `emergency` or `abuse`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerId::Regular(index) => index.fmt(f),
            ServerId::Emergency => f.write_str("emergency"),
            ServerId::Abuse => f.write_str("abuse"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_as_people_write_them() {
        let names = [ServerId::Regular(7), ServerId::Emergency, ServerId::Abuse].map(|id| id.to_string());
        assert_eq!(names, ["7", "emergency", "abuse"]);
    }
}
