//! What happens to a connection.

use super::called;
use crate::balance::listeners::MAIN_NAME;
use crate::balance::{Listener, ServerId};
use crate::base::addr::Endpoint;
use crate::control::line::Line;

/// What happens to a connection.
#[derive(Clone, Debug)]
pub enum OfConnection<'a> {
    /// Its client was accepted.
    Accepted {
        /// The client.
        from: &'a Endpoint,
        /// The access list refuses it.
        refused: bool,
    },
    /// A proxy was accepted, which is to say who its client is.
    Proxy {
        /// The proxy.
        from: &'a Endpoint,
    },
    /// Its client has sent a datagram.
    Began {
        /// The client.
        from: &'a Endpoint,
        /// The access list refuses it.
        refused: bool,
    },
    /// Its datagrams go to a server, of which nobody knows yet whether it is there.
    SentTo {
        /// The server.
        server: ServerId,
    },
    /// It carries a file, and the other end is there.
    Transfer {
        /// Where that is.
        to: &'a Endpoint,
    },
    /// Something about a data connection that it has, or is.
    DataConnection {
        /// What.
        what: &'a str,
    },
    /// Nothing more of it is to be understood: it passes unchanged.
    Unchanged,
    /// Something is lacking here to connect to a server; it is tried again.
    Waits {
        /// What is lacking.
        why: &'a str,
    },
    /// A connect failed; the next address or server is tried.
    FailedOver {
        /// What was tried.
        server: ServerId,
        /// What the system said.
        why: &'a str,
    },
    /// A server has taken it.
    Connected {
        /// The server.
        server: ServerId,
    },
    /// It is over.
    Closed {
        /// The server that it had.
        server: Option<ServerId>,
        /// Why.
        why: &'a str,
        /// Bytes that the server took.
        up: u64,
        /// Bytes that the client took.
        down: u64,
    },
}

impl OfConnection<'_> {
    pub(super) fn name(&self) -> &'static str {
        match self {
            OfConnection::Accepted { .. } => "accepted",
            OfConnection::Proxy { .. } => "proxy",
            OfConnection::Began { .. } => "began",
            OfConnection::SentTo { .. } => "sent-to",
            OfConnection::Transfer { .. } => "connected",
            OfConnection::DataConnection { .. } => "data-connection",
            OfConnection::Unchanged => "unchanged",
            OfConnection::Waits { .. } => "waits",
            OfConnection::FailedOver { .. } => "failed-over",
            OfConnection::Connected { .. } => "connected",
            OfConnection::Closed { .. } => "closed",
        }
    }

    pub(super) fn sentence(&self, at: Option<&Listener>) -> String {
        match self {
            OfConnection::Accepted { from, refused } => format!("accepted {from}{}", place(at, *refused)),
            OfConnection::Proxy { from } => format!("accepted {from}, a proxy that will say who it is"),
            OfConnection::Began { from, refused } => format!("datagrams of {from}{}", place(at, *refused)),
            OfConnection::SentTo { server } => format!("to {}", called(at, *server)),
            OfConnection::Transfer { to } => format!("connected to {to}"),
            OfConnection::DataConnection { what } => String::from(*what),
            OfConnection::Unchanged => String::from("what follows cannot be understood, and passes as it is"),
            OfConnection::Waits { why } => format!("cannot connect yet: {why}"),
            OfConnection::FailedOver { server, why } => format!("{} failed: {why}", called(at, *server)),
            OfConnection::Connected { server } => format!("connected to {}", called(at, *server)),
            OfConnection::Closed { why, up, down, .. } => format!("closed, {why}; {up} bytes up, {down} down"),
        }
    }

    pub(super) fn put(&self, line: &mut Line, at: Option<&Listener>) {
        match self {
            OfConnection::Accepted { from, refused } | OfConnection::Began { from, refused } => {
                line.put("from", from);
                if *refused {
                    line.put("refused", &"yes");
                }
            }
            OfConnection::Transfer { to } => line.put("to", to),
            OfConnection::DataConnection { what } => line.put("what", what),
            OfConnection::Unchanged => {}
            OfConnection::Proxy { from } => line.put("from", from),
            OfConnection::Waits { why } => line.put("why", why),
            OfConnection::FailedOver { server, why } => {
                line.server(at, *server);
                line.put("why", why);
            }
            OfConnection::Connected { server } | OfConnection::SentTo { server } => line.server(at, *server),
            OfConnection::Closed { server, why, up, down } => {
                if let Some(server) = server {
                    line.server(at, *server);
                }
                line.put("why", why);
                line.put("up", up);
                line.put("down", down);
            }
        }
    }
}

/// Where a client came in, and whether in vain.
fn place(at: Option<&Listener>, is_refused: bool) -> String {
    let elsewhere = at.filter(|at| at.name != MAIN_NAME);
    let place = elsewhere.map_or_else(String::new, |at| format!(" at {}", at.name));
    if is_refused { place + ", which the client list refuses" } else { place }
}
