//! Whom an operator lets a server serve.

/// Whom a server may serve, as an operator has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Duty {
    /// Everybody.
    #[default]
    Enabled,
    /// Clients that are sent where they were before, but nobody new.
    Draining,
    /// Nobody; the connections that there are go on.
    Disabled,
    /// Nobody; it goes from the table with its last connection.
    Leaving,
}

impl Duty {
    /// Whether a client may be sent to a server with this duty; `comes_back` if it had it before.
    pub fn serves(self, comes_back: bool) -> bool {
        match self {
            Duty::Enabled => true,
            Duty::Draining => comes_back,
            Duty::Disabled | Duty::Leaving => false,
        }
    }
}
