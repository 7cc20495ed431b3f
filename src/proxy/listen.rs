//! Where a listener listens: opened, moved, closed.

use std::net::SocketAddr;

use super::Proxy;
use super::effects::LOOKED_UP;
use super::listener::{Arriving, Transport};
use crate::balance::settings::Protocol;
use crate::balance::{ListenerKey, MAIN};
use crate::base::addr::Endpoint;
use crate::base::diag::Severity;
use crate::base::error::reason;
use crate::base::operand::{Host, ListenSpec};
use crate::control::command::ListenAt;
use crate::control::execute::Effect;
use crate::net::{ListenOptions, Net};

/// Where a listener will listen: its sockets are open.
#[derive(Debug)]
pub(super) struct NewAddresses {
    /// The listener.
    pub(super) at: ListenerKey,
    /// What arrives there.
    transport: Transport,
    /// All of its addresses, as they were written.
    addresses: Vec<String>,
    /// Those that were opened for it.
    opened: Vec<String>,
    /// Those that were a removed listener's, with those who wait there.
    taken: Vec<(String, ListenerKey)>,
}

impl<N: Net> Proxy<N> {
    /// Lets a listener listen there and nowhere else: all or nothing. The reply is the addresses.
    pub(super) fn listen_at(&mut self, at: ListenerKey, there: &[ListenAt]) -> Result<String, String> {
        match self.prepare_listen(at, there) {
            Ok(new) => self.move_listener(new),
            Err(why) => {
                self.drop_if_nowhere(at);
                return Err(why);
            }
        }
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
        let transport = Transport::of(self.listeners[at].balancer.settings.protocol);
        let is_open = |written: &str| {
            let mut sockets = self.listening.sockets().filter(|arriving| arriving.transport == transport);
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
        let (mut opened, mut taken): (Vec<String>, Vec<_>) = (Vec::new(), Vec::new());
        for (place, there) in there.iter().enumerate().filter(|(_, there)| new.contains(there)) {
            let is_free = |one: &&Arriving<N>| {
                one.written == there.text && one.transport == transport && self.listeners.is_removed(one.listener)
            };
            let of = self.listening.sockets().find(is_free).map(|one| one.listener);
            if let Some(of) = of {
                self.listening.pass_on(&there.text, transport, of, at);
                taken.push((there.text.clone(), of));
                continue;
            }
            match self.open_at(at, there, transport) {
                Ok(written) => addresses[place].clone_from(&written),
                Err(why) => {
                    self.forgo_listen(&NewAddresses { at, transport, addresses, opened, taken });
                    return Err(format!("cannot listen on {}: {why}", there.text));
                }
            }
            opened.push(addresses[place].clone());
        }
        Ok(NewAddresses { at, transport, addresses, opened, taken })
    }

    /// Closes what was opened: the listener stays where it is.
    pub(super) fn forgo_listen(&mut self, new: &NewAddresses) {
        new.taken.iter().for_each(|(written, of)| self.listening.pass_on(written, new.transport, new.at, *of));
        let is_new = |arriving: &Arriving<N>| arriving.listener == new.at && arriving.transport == new.transport;
        self.close_where(|arriving| is_new(arriving) && new.opened.contains(&arriving.written));
    }

    /// Lets a listener listen at its new addresses, and nowhere else.
    pub(super) fn move_listener(&mut self, new: NewAddresses) {
        let NewAddresses { at, transport, addresses, .. } = new;
        let stays = |arriving: &Arriving<N>| arriving.transport == transport && addresses.contains(&arriving.written);
        self.close_where(|arriving| arriving.listener == at && !stays(arriving));
        self.end_orphans();
        self.listeners[at].at = addresses;
    }

    /// Opens one more socket; the address, or why that cannot be: the end of a sentence.
    fn open_at(&mut self, at: ListenerKey, there: &ListenAt, transport: Transport) -> Result<String, String> {
        let endpoint = match &there.spec.host {
            Host::Unix(path) => Endpoint::Unix(path.clone()),
            Host::Addr(ip) => Endpoint::inet(SocketAddr::new(*ip, there.spec.port)),
            Host::Name(_) => unreachable!("{LOOKED_UP}"),
        };
        let common = &self.listeners.common;
        let (backlog, shared) = (common.backlog, common.shares_ports);
        let datagrams = transport == Transport::Udp;
        let options = ListenOptions { backlog, private: false, shared, datagrams, foreign: false };
        let Some(token) = self.listening.vacant() else { return Err(String::from("there are too many addresses")) };
        let socket = self.net.listen(&endpoint, options, token).map_err(|error| reason(&error))?;
        let written = match (endpoint.port(), self.net.local(&socket)) {
            (Some(0), Ok(local)) => local.to_string(),
            _ => there.text.clone(),
        };
        self.listening.open(Arriving::new(at, socket, written.clone()).carrying(transport));
        Ok(written)
    }

    /// A listener that was to be added and has no socket is not added.
    pub(super) fn drop_if_nowhere(&mut self, at: ListenerKey) {
        let is_new = at != MAIN && self.listeners.contains(at) && self.listeners[at].at.is_empty();
        // In a drain and after an upgrade nobody has a socket.
        if is_new && !self.listeners.is_removed(at) && self.listening.sockets().next().is_some() {
            self.listeners.remove(at);
            self.names.forget(at);
            self.listeners.let_go(at);
        }
    }

    /// Closes a listener that was removed, or brings it back where that cannot be.
    pub(super) fn remove_listener(&mut self, at: ListenerKey) -> Result<(), String> {
        let removed = self.may_remove_listener(at);
        match removed {
            Ok(()) => self.close_listener(at),
            Err(_) => self.listeners.bring_back(at),
        }
        removed
    }

    /// Tells which routes lead nowhere now.
    pub(super) fn tell_lost_routes(&mut self) {
        self.listeners.lost_routes().iter().for_each(|lost| self.say(Severity::Warning, lost));
    }

    /// Why a listener cannot be removed now, if so.
    pub(super) fn may_remove_listener(&self, at: ListenerKey) -> Result<(), String> {
        match self.upgrade.holds_listener() {
            Some(why) => Err(format!("cannot remove listener {}: {why}", self.listeners[at].name)),
            None => Ok(()),
        }
    }

    /// Lets nobody in any more at a listener that was removed. Its pairs go on to their ends.
    pub(super) fn close_listener(&mut self, at: ListenerKey) {
        self.close_where(|arriving| arriving.listener == at);
        self.end_orphans();
        self.names.forget(at);
        self.forget_addresses(at);
    }

    fn close_where(&mut self, closes: impl Fn(&Arriving<N>) -> bool) {
        self.listening.close(closes).into_iter().for_each(|arriving| self.net.close(arriving.socket));
    }

    /// Lets nobody in any more, anywhere.
    pub(super) fn close_listening(&mut self) -> Vec<Arriving<N>> {
        self.forget_all_addresses();
        let closed = self.listening.close(|_| true);
        self.end_orphans();
        closed
    }

    /// Lets nobody new in. Where datagrams arrive, the associations that there are still need the socket.
    pub(super) fn close_to_new_clients(&mut self) {
        self.forget_all_addresses();
        self.close_where(|arriving| arriving.transport == Transport::Tcp);
    }

    fn forget_all_addresses(&mut self) {
        let keys: Vec<ListenerKey> = self.listeners.all().map(|(at, _)| at).collect();
        keys.into_iter().for_each(|at| self.forget_addresses(at));
    }

    /// Where a listener listens, as addresses to listen on anew.
    pub(super) fn own_addresses(&self, at: ListenerKey) -> Vec<ListenAt> {
        let own = self.listening.sockets().filter(|arriving| arriving.listener == at);
        let there = own.filter_map(|arriving| {
            let (host, port) = match self.net.local(&arriving.socket).ok()? {
                Endpoint::Inet(addr) => (Host::Addr(addr.ip()), addr.port()),
                Endpoint::Unix(path) => (Host::Unix(path), 0),
            };
            Some(ListenAt { spec: ListenSpec { host, port }, text: arriving.written.clone() })
        });
        there.collect()
    }

    /// Lets a listener listen where it does for what its protocol needs.
    pub(super) fn reopen(&mut self, at: ListenerKey, before: Protocol) -> Result<(), String> {
        let there = self.own_addresses(at);
        let opened = if there.is_empty() { Ok(String::new()) } else { self.listen_at(at, &there) };
        if opened.is_err() {
            self.listeners[at].balancer.settings.protocol = before;
        }
        opened?;
        self.idlers.follow();
        // It may need other descriptors than before.
        self.take_effect(Effect::ConnMax(self.listeners.common.conn_max)).map(drop)
    }

    fn forget_addresses(&mut self, at: ListenerKey) {
        self.listeners[at].at.clear();
        self.listeners.let_go(at);
    }
}
