//! What somebody at the control port wants to be told of what passes: the words of `trace`.

use std::net::IpAddr;

use super::command::{Command, ServerRef};
use super::read::{connection_number, listener_name, once, server_ref};
use super::subscription::{Subscription, Topic, limit};
use super::words::{Problem, Words};
use crate::balance::ServerId;
use crate::base::addr::ClientAddr;

/// The protocols that are told in words, by the names that lines begin with.
pub const PROTOCOLS: [&str; 8] = ["ftp", "smtp", "pop3", "imap", "http", "ldap", "tls", "dns"];

/// Which connections, and how much of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    client: Option<IpAddr>,
    server: Option<ServerRef>,
    connection: Option<usize>,
    protocol: Option<&'static str>,
    /// Only those of this listener.
    pub listener: Option<String>,
    /// The bytes as well.
    pub dumps: bool,
}

/// A connection, as far as it matters for whom it is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// Its number.
    pub connection: usize,
    /// The client.
    pub client: ClientAddr,
    /// The server.
    pub server: ServerId,
    /// The server's name, if it has one.
    pub server_name: Option<Box<str>>,
    /// The name of the listener.
    pub listener: String,
}

impl Trace {
    /// True if it has this connection, which speaks this protocol as far as is known.
    pub fn wants(&self, about: &About, protocol: Option<&str>) -> bool {
        let is_client = self.client.is_none_or(|ip| about.client == ClientAddr::Inet(ip));
        let is_server = match &self.server {
            None => true,
            Some(ServerRef::Id(id)) => about.server == *id,
            Some(ServerRef::Name(name)) => about.server_name.as_ref() == Some(name),
        };
        is_client
            && is_server
            && self.connection.is_none_or(|number| about.connection == number)
            && self.protocol.is_none_or(|name| protocol == Some(name))
            && self.listener.as_ref().is_none_or(|name| about.listener == *name)
    }
}

/// The words after `trace`.
pub(super) fn trace(words: &mut Words<'_>) -> Result<Command, Problem> {
    const KNOWN: &str = "client, server, connection, protocol, listener, dump, lines or seconds";
    let mut trace = Trace::default();
    let (mut records, mut seconds) = (None, None);
    while let Some(word) = words.next() {
        match word {
            "client" => {
                let address = words.need("an address")?;
                let ip: IpAddr = address.parse().map_err(|_| Problem::NotAnAddress(String::from(address)))?;
                once(&mut trace.client, word, ip.to_canonical())?;
            }
            "server" => once(&mut trace.server, word, server_ref(words)?)?,
            "connection" => once(&mut trace.connection, word, connection_number(words)?)?,
            "protocol" => {
                let name = words.need("a protocol")?;
                let found = PROTOCOLS.into_iter().find(|known| *known == name);
                let unknown = || Problem::NotOneOf(String::from(name), "ftp, smtp, pop3, imap, http, ldap, tls or dns");
                once(&mut trace.protocol, word, found.ok_or_else(unknown)?)?;
            }
            "listener" => once(&mut trace.listener, word, listener_name(words)?)?,
            "dump" => trace.dumps = true,
            _ => limit(word, words, &mut records, &mut seconds, KNOWN)?,
        }
    }
    Ok(Command::Subscribe(Subscription { topic: Topic::Trace(Box::new(trace)), records, seconds }))
}
