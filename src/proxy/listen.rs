//! Where a listener listens: opened, moved, closed.

use std::net::SocketAddr;

use super::Proxy;
use super::effects::LOOKED_UP;
use super::listener::Arriving;
use crate::balance::ListenerKey;
use crate::base::addr::Endpoint;
use crate::base::error::reason;
use crate::base::operand::Host;
use crate::control::command::ListenAt;
use crate::net::{ListenOptions, Net};

/// Where a listener will listen: its sockets are open.
#[derive(Debug)]
pub(super) struct NewAddresses {
    /// The listener.
    pub(super) at: ListenerKey,
    /// All of its addresses, as they were written.
    addresses: Vec<String>,
    /// Those that were opened for it.
    opened: Vec<String>,
}

impl<N: Net> Proxy<N> {
    /// Lets a listener listen there and nowhere else: all or nothing. The reply is the addresses.
    pub(super) fn listen_at(&mut self, at: ListenerKey, there: &[ListenAt]) -> Result<String, String> {
        let new = self.prepare_listen(at, there)?;
        self.move_listener(new);
        Ok(format!("{}\n", self.listeners[at].at.join(" ")))
    }

    /// Opens the sockets that a listener does not have yet: all or none. One that is there already
    /// stays, with those who wait in its queue.
    pub(super) fn prepare_listen(&mut self, at: ListenerKey, there: &[ListenAt]) -> Result<NewAddresses, String> {
        if self.draining_since.is_some() {
            return Err(String::from("pen drains, and lets nobody in any more"));
        }
        if !self.listeners.contains(at) {
            return Err(String::from("the listener was removed"));
        }
        let is_open = |written: &str| {
            let mut sockets = self.listening.sockets();
            sockets.any(|arriving| arriving.listener == at && arriving.written == written)
        };
        let new: Vec<&ListenAt> = there.iter().filter(|there| !is_open(&there.text)).collect();
        if let Some(why) = self.upgrade.holds_listener()
            && (!new.is_empty() || there.len() != self.listeners[at].at.len())
        {
            let texts: Vec<&str> = there.iter().map(|there| there.text.as_str()).collect();
            return Err(format!("cannot listen on {}: {why}", texts.join(" ")));
        }
        let mut addresses: Vec<String> = there.iter().map(|there| there.text.clone()).collect();
        let mut opened: Vec<String> = Vec::new();
        for (place, there) in there.iter().enumerate().filter(|(_, there)| new.contains(there)) {
            match self.open_at(at, there) {
                Ok(written) => addresses[place].clone_from(&written),
                Err(why) => {
                    self.forgo_listen(&NewAddresses { at, addresses, opened });
                    return Err(format!("cannot listen on {}: {why}", there.text));
                }
            }
            opened.push(addresses[place].clone());
        }
        Ok(NewAddresses { at, addresses, opened })
    }

    /// Closes what was opened: the listener stays where it is.
    pub(super) fn forgo_listen(&mut self, new: &NewAddresses) {
        drop(self.listening.close(|arriving| arriving.listener == new.at && new.opened.contains(&arriving.written)));
    }

    /// Lets a listener listen at its new addresses, and nowhere else.
    pub(super) fn move_listener(&mut self, new: NewAddresses) {
        let NewAddresses { at, addresses, .. } = new;
        drop(self.listening.close(|arriving| arriving.listener == at && !addresses.contains(&arriving.written)));
        self.listeners[at].at = addresses;
    }

    /// Opens one more socket; the address, or why that cannot be: the end of a sentence.
    fn open_at(&mut self, at: ListenerKey, there: &ListenAt) -> Result<String, String> {
        let endpoint = match &there.spec.host {
            Host::Unix(path) => Endpoint::Unix(path.clone()),
            Host::Addr(ip) => Endpoint::inet(SocketAddr::new(*ip, there.spec.port)),
            Host::Name(_) => unreachable!("{LOOKED_UP}"),
        };
        let common = &self.listeners.common;
        let options = ListenOptions { backlog: common.backlog, private: false, shared: common.shares_ports };
        let Some(token) = self.listening.vacant() else { return Err(String::from("there are too many addresses")) };
        let socket = self.net.listen(&endpoint, options, token).map_err(|error| reason(&error))?;
        let written = match (endpoint.port(), self.net.local(&socket)) {
            (Some(0), Ok(local)) => local.to_string(),
            _ => there.text.clone(),
        };
        self.listening.open(Arriving::new(at, socket, written.clone()));
        Ok(written)
    }

    /// Lets nobody in any more, anywhere.
    pub(super) fn close_listening(&mut self) -> Vec<Arriving<N>> {
        let keys: Vec<ListenerKey> = self.listeners.all().map(|(at, _)| at).collect();
        keys.into_iter().for_each(|at| self.forget_addresses(at));
        self.listening.close(|_| true)
    }

    fn forget_addresses(&mut self, at: ListenerKey) {
        self.listeners[at].at.clear();
        self.listeners.let_go(at);
    }
}
