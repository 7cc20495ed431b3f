//! Sockets that whoever supervises pen has opened for it (sd_listen_fds(3)).
//!
//! They come once, to the process that was started. A successor inherits those that pen uses from the
//! pen before it; of this it learns only where they are and how they were called.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

use super::inheritance::adopt;
use super::listener::Listener;
use super::set_nonblocking;
use crate::base::addr::Endpoint;
use crate::base::bytes::is_hidden;
use crate::net::Token;

/// The first descriptor, and the most that there may be.
const FIRST: RawFd = 3;
const MOST: usize = 1024;

/// Tells successors where the sockets are: a line for each.
const PLACES: &str = "PEN_ACTIVATED";

/// A socket that was passed.
#[derive(Debug)]
pub struct Passed {
    /// How it was called; empty if it was not.
    pub name: String,
    /// Where it is bound.
    pub at: Endpoint,
    /// Whether it is for datagrams.
    pub is_datagrams: bool,
    /// The socket itself, until it is used; a successor has none.
    pub listener: Option<Listener>,
    /// What uses it.
    pub token: Option<Token>,
}

impl Passed {
    /// What was passed to this very process, or to the one whose successor it is. To be called once,
    /// before anything else is opened and while there is one thread. The variables are gone then.
    ///
    /// An error says which socket cannot be used, and why.
    pub fn claim() -> Result<Vec<Passed>, String> {
        let [pid, count, names] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].map(|name| {
            let text = std::env::var_os(name).map(|text| text.to_string_lossy().into_owned());
            // SAFETY: there is no other thread that could look at the environment meanwhile.
            unsafe { std::env::remove_var(name) };
            text
        });
        let is_ours = pid.is_some_and(|text| text.parse() == Ok(std::process::id()));
        let Some(count) = count.filter(|_| is_ours) else {
            let places = std::env::var(PLACES).unwrap_or_default();
            return Ok(places.lines().filter_map(Passed::told).collect());
        };
        let number = count.parse().ok().filter(|number| *number <= MOST);
        let number = number.ok_or_else(|| format!("LISTEN_FDS is '{}'", count.escape_default()))?;
        let names = names.unwrap_or_default();
        let mut names = names.split(':');
        let mut all = Vec::new();
        for fd in (FIRST..).take(number) {
            let name = names.next().unwrap_or_default();
            let name: String = name.chars().filter(|letter| !is_hidden(*letter)).collect();
            let passed = Passed::found(fd, name.clone());
            all.push(passed.map_err(|error| {
                format!("descriptor {fd} '{name}', passed by LISTEN_FDS: {}", crate::base::error::reason(&error))
            })?);
        }
        let places: Vec<String> = all.iter().map(Passed::place).collect();
        // SAFETY: as above.
        unsafe { std::env::set_var(PLACES, places.join("\n")) };
        Ok(all)
    }

    fn found(number: RawFd, name: String) -> io::Result<Passed> {
        let fd: OwnedFd = adopt(number)?;
        let listener = Listener::inherited(fd)?;
        let at = listener.local()?;
        if at.port() == Some(0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is bound to no address"));
        }
        set_nonblocking(&listener)?;
        listener.fit()?;
        let is_datagrams = listener.is_datagrams();
        Ok(Passed { name, at, is_datagrams, listener: Some(listener), token: None })
    }

    /// What successors are told.
    fn place(&self) -> String {
        let kind = if self.is_datagrams { 'd' } else { 's' };
        format!("{kind} {} {}", self.at, self.name)
    }

    fn told(line: &str) -> Option<Passed> {
        let (kind, rest) = line.split_once(' ')?;
        // A path may have spaces in it, a name of ours may not.
        let (at, name) = rest.rsplit_once(' ')?;
        let at = at.parse().map_or_else(|_| Endpoint::Unix(PathBuf::from(at)), Endpoint::inet);
        Some(Passed { name: String::from(name), at, is_datagrams: kind == "d", listener: None, token: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_is_told_all_but_the_socket() {
        for line in ["s 127.0.0.1:80 web", "d [::1]:53 dns", "s /run/pen.sock main", "s /run/a b "] {
            assert_eq!(Passed::told(line).unwrap().place(), line);
        }
        assert!(Passed::told("").is_none());
    }
}
