//! Active checks: what is asked of a server to see that it serves, and what is said on the way.
//!
//! Pure: a [`Dialogue`] gets what the server says and says what to answer; it opens no socket and
//! reads no clock. Each ends as its protocol has it, so that no server finds anything to complain of.

mod binary;
mod dialogue;
mod lines;
mod talk;

pub use dialogue::Dialogue;
pub use talk::{decoded, encoded};

/// How to find out whether a server serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// What is said.
    pub kind: Kind,
    /// The port, if it is not the server's own.
    pub port: Option<u16>,
}

/// What is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nothing: it is enough that it accepts.
    Tcp,
    /// A GET request (RFC 9112).
    Http {
        /// What is asked for.
        path: Box<str>,
        /// The site; the server's host if none is given.
        host: Option<Box<str>>,
        /// What is good; without it all of 200 to 399.
        status: Option<u16>,
    },
    /// A greeting, and QUIT (RFC 5321).
    Smtp,
    /// The same with FTP (RFC 959).
    Ftp,
    /// The same with POP3 (RFC 1939).
    Pop3,
    /// A greeting, and LOGOUT (RFC 9051).
    Imap,
    /// An anonymous bind, and an unbind (RFC 4511).
    Ldap,
    /// A question for the address of this name, by UDP (RFC 1035).
    Dns(Box<str>),
    /// PING, and QUIT.
    Redis,
    /// The handshake for this user, who has no password, and COM_QUIT.
    Mysql(Box<str>),
    /// What somebody wrote down: what to send, if anything, and what must come.
    Talk {
        /// Bytes.
        send: Option<Box<[u8]>>,
        /// Bytes that must come somewhere in what is said.
        expect: Box<[u8]>,
    },
}

/// The user of a check of MySQL where none is named.
pub const MYSQL_USER: &str = "pen";

impl Check {
    /// True if it is made by datagrams.
    pub fn is_datagrams(&self) -> bool {
        matches!(self.kind, Kind::Dns(_))
    }

    /// The words of the command that asks for it.
    pub fn words(&self) -> String {
        let words = match &self.kind {
            Kind::Tcp => String::from("tcp"),
            Kind::Http { path, host, status } => {
                let host = host.as_ref().map(|host| format!(" {host}"));
                let status = status.map(|status| format!(" {status}"));
                // A status without a host needs something in its place.
                let host = host.or_else(|| status.as_ref().map(|_| String::from(" -")));
                format!("http {path}{}{}", host.unwrap_or_default(), status.unwrap_or_default())
            }
            Kind::Smtp => String::from("smtp"),
            Kind::Ftp => String::from("ftp"),
            Kind::Pop3 => String::from("pop3"),
            Kind::Imap => String::from("imap"),
            Kind::Ldap => String::from("ldap"),
            Kind::Dns(name) => format!("dns {name}"),
            Kind::Redis => String::from("redis"),
            Kind::Mysql(user) => format!("mysql {user}"),
            Kind::Talk { send, expect } => {
                let send = send.as_ref().map_or(String::new(), |bytes| format!("send {} ", encoded(bytes)));
                format!("{send}expect {}", encoded(expect))
            }
        };
        match self.port {
            Some(port) => format!("{words} port {port}"),
            None => words,
        }
    }
}
