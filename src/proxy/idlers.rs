//! Idlers: connections to servers that are opened ahead, so that a client need not wait for a
//! handshake with a server far away.
//!
//! Which server a client gets is decided as ever; an idler only takes the place of a connect to
//! that server. It is looked at before it is handed over, and one that has ended is replaced: at
//! once if it had lasted for a while, and after a pause that doubles if its server does not keep
//! connections at which nothing happens.

use std::io::{self, ErrorKind};
use std::time::Duration;

use slab::Slab;

use super::pair::{End, PairKey, Phase, Place, Side};
use super::{FIRST_IDLER, Proxy, token};
use crate::balance::{Balancer, Duty, ListenerKey, Server, ServerId};
use crate::base::addr::{Endpoint, Source};
use crate::base::error::reason;
use crate::base::time::Moment;
use crate::control::event::OfServer;
use crate::net::{Net, Ready, Stream, Token};

/// How often to look after idlers while some are missing or under way.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The first pause of a server that ends idlers, and the longest. One that keeps them for so long
/// has no pause.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A connection opened ahead.
#[derive(Debug)]
struct Idler<S> {
    stream: S,
    /// The listener and its server.
    at: ListenerKey,
    id: ServerId,
    /// Which of its addresses, and from where.
    address: u16,
    to: Endpoint,
    from: Option<Source>,
    /// When it was begun, and later when it was connected.
    since: Moment,
    is_ready: bool,
}

/// When a server may have its next idler.
#[derive(Clone, Copy, Debug)]
struct Pause {
    at: ListenerKey,
    id: ServerId,
    time: Duration,
    until: Moment,
}

/// All of them.
#[derive(Debug)]
pub struct Idlers<S> {
    all: Slab<Idler<S>>,
    /// Of servers that do not keep them; nearly always none.
    pauses: Vec<Pause>,
    /// Something has changed that they depend on.
    is_due: bool,
    /// When to look after them even so.
    look_at: Option<Moment>,
    /// None is begun before that: something was lacking here.
    not_before: Moment,
}

impl<S> Default for Idlers<S> {
    fn default() -> Idlers<S> {
        Idlers {
            all: Slab::new(),
            pauses: Vec::new(),
            // The settings of the start are news.
            is_due: true,
            look_at: None,
            not_before: Moment::default(),
        }
    }
}

impl<S> Idlers<S> {
    /// Servers or settings have changed.
    pub fn follow(&mut self) {
        self.is_due = true;
    }

    /// When to look after them without an event.
    pub fn next_due(&self) -> Option<Moment> {
        self.look_at
    }

    /// How many a listener has.
    pub fn count(&self, at: ListenerKey) -> usize {
        self.all.iter().filter(|(_, idler)| idler.at == at).count()
    }

    /// How many of them are not connected yet.
    fn connecting(&self, at: ListenerKey) -> usize {
        self.all.iter().filter(|(_, idler)| idler.at == at && !idler.is_ready).count()
    }

    /// The youngest of a server that is connected: the likeliest to live.
    fn ready(&self, at: ListenerKey, id: ServerId) -> Option<usize> {
        let fits = |idler: &Idler<S>| idler.is_ready && idler.at == at && idler.id == id;
        let all = self.all.iter().filter(|(_, idler)| fits(idler));
        all.max_by_key(|(_, idler)| idler.since).map(|(key, _)| key)
    }

    /// A server ends idlers, or has refused one.
    fn put_off(&mut self, at: ListenerKey, id: ServerId, now: Moment) {
        let place = self.pauses.iter().position(|pause| (pause.at, pause.id) == (at, id));
        let place = place.unwrap_or_else(|| {
            self.pauses.push(Pause { at, id, time: Duration::ZERO, until: now });
            self.pauses.len() - 1
        });
        let pause = &mut self.pauses[place];
        pause.time = (pause.time * 2).clamp(PAUSES.0, PAUSES.1);
        pause.until = now + pause.time;
    }

    /// A server keeps idlers.
    fn trust(&mut self, at: ListenerKey, id: ServerId) {
        self.pauses.retain(|pause| (pause.at, pause.id) != (at, id));
    }
}

impl<N: Net> Proxy<N> {
    /// Closes idlers that nobody may use any more, and begins those that are missing.
    pub(super) fn tend_idlers(&mut self) {
        let now = self.now.moment;
        if !std::mem::take(&mut self.idlers.is_due) && self.idlers.look_at.is_none_or(|at| at > now) {
            return;
        }
        self.idlers.look_at = None;
        self.close_unfit_idlers();
        let listeners: Vec<ListenerKey> = self.listeners.all().map(|(at, _)| at).collect();
        self.idlers.pauses.retain(|pause| listeners.contains(&pause.at));
        for at in listeners {
            self.tend_idlers_of(at);
        }
    }

    fn tend_idlers_of(&mut self, at: ListenerKey) {
        let now = self.now.moment;
        let wanted = self.wanted_idlers(at);
        let surplus = self.idlers.count(at).saturating_sub(wanted);
        let own = self.idlers.all.iter().filter(|(_, idler)| idler.at == at);
        let keys: Vec<usize> = own.map(|(key, _)| key).take(surplus).collect();
        keys.into_iter().for_each(|key| self.close_idler(key));
        let most = self.listeners[at].balancer.settings.pending_max;
        let (mut count, mut connecting) = (self.idlers.count(at), self.idlers.connecting(at));
        while count < wanted && connecting < most && self.idlers.not_before <= now && self.begin_idler(at) {
            (count, connecting) = (self.idlers.count(at), self.idlers.connecting(at));
        }
        if count < wanted || connecting > 0 {
            self.idlers.look_at = Some(now + LOOK_EVERY);
        }
    }

    fn wanted_idlers(&self, at: ListenerKey) -> usize {
        // Nothing is opened ahead for datagrams.
        let listens = self.listening.accepts_at(at) || self.listeners[at].is_pool;
        let is_over = !listens || self.draining_since.is_some() || self.ending.is_some();
        if is_over { 0 } else { self.listeners[at].balancer.settings.idlers }
    }

    /// Closes those whose server has gone, moved or failed, or may not have new clients, and those
    /// that take too long to connect.
    fn close_unfit_idlers(&mut self) {
        let now = self.now.moment;
        let keys: Vec<usize> = self.idlers.all.iter().map(|(key, _)| key).collect();
        for key in keys {
            // The server's next address takes the place of one that has failed.
            let Some(idler) = self.idlers.all.get(key) else { continue };
            let server = self.balancer_of(idler.at).and_then(|balancer| balancer.servers.server(idler.id));
            let may_stay = |server: &Server| server.duty == Duty::Enabled && !server.is_left_out(now);
            if !server.is_some_and(may_stay) || !self.is_where_it_was(idler) {
                self.close_idler(key);
            } else if !idler.is_ready && now.since(idler.since) >= self.patience(idler.at) {
                self.fail_idler(key, &io::Error::from(ErrorKind::TimedOut));
            }
        }
    }

    /// The decisions of a listener that is still there.
    fn balancer_of(&self, at: ListenerKey) -> Option<&Balancer> {
        self.listeners.contains(at).then(|| &self.listeners[at].balancer)
    }

    fn patience(&self, at: ListenerKey) -> Duration {
        self.balancer_of(at).map_or(Duration::ZERO, |balancer| balancer.settings.connect_timeout)
    }

    fn is_where_it_was(&self, idler: &Idler<N::Stream>) -> bool {
        let Some(balancer) = self.balancer_of(idler.at) else { return false };
        let server = balancer.servers.server(idler.id);
        let there = server.and_then(|server| server.endpoints.get(usize::from(idler.address)));
        there == Some(&idler.to) && balancer.idle_source(idler.id) == Some(idler.from)
    }

    /// Begins to connect one more. False if that must wait.
    fn begin_idler(&mut self, at: ListenerKey) -> bool {
        let now = self.now.moment;
        let paused = |pause: &&Pause| pause.at == at && pause.until > now;
        let paused: Vec<Option<usize>> = self.idlers.pauses.iter().filter(paused).map(|p| p.id.index()).collect();
        let may = |index: usize| !paused.contains(&Some(index));
        match self.listeners[at].balancer.next_idler(now, may) {
            Some(id) => self.connect_idler(at, id, 0, None),
            None => false,
        }
    }

    /// Tries the addresses of a server from this one on; its place is claimed. `error` is what the
    /// one before failed with. False if something is lacking here.
    fn connect_idler(&mut self, at: ListenerKey, id: ServerId, first: u16, mut error: Option<io::Error>) -> bool {
        let from = self.listeners[at].balancer.own_source(id);
        for address in first.. {
            let server = self.listeners[at].balancer.servers.server(id);
            let Some(to) = server.and_then(|server| server.endpoints.get(usize::from(address))).cloned() else { break };
            let stream =
                super::connect::begin_connection(&mut self.net, &to, from, &self.listeners[at].balancer.settings);
            let begun = stream.and_then(|mut stream| {
                let token = Token(FIRST_IDLER + self.idlers.all.vacant_key());
                self.net.watch(&mut stream, token).map(|()| stream)
            });
            match begun {
                Ok(stream) => {
                    let since = self.now.moment;
                    self.idlers.all.insert(Idler { stream, at, id, address, to, from, since, is_ready: false });
                    return true;
                }
                Err(lack) if self.net.is_lack(&lack) => {
                    self.give_idlers_place_back(at, id, false);
                    self.idlers.not_before = self.now.moment + LOOK_EVERY;
                    return false;
                }
                Err(why) => error = Some(why),
            }
        }
        self.give_idlers_place_back(at, id, false);
        self.idlers.put_off(at, id, self.now.moment);
        if let Some(error) = error {
            self.server_failed(at, id, &error);
        }
        self.idlers.is_due = true;
        true
    }

    /// An edge came on the socket of an idler.
    pub(super) fn idler_event(&mut self, key: usize, ready: Ready) {
        let Some(idler) = self.idlers.all.get_mut(key) else { return };
        idler.stream.edge(ready);
        if !idler.is_ready {
            match idler.stream.connected(ready) {
                Ok(false) => return,
                Ok(true) => {}
                // It stood, and was reset (tcp(7)).
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return self.lose_idler(key);
                }
                Err(error) => return self.fail_idler(key, &error),
            }
            (idler.is_ready, idler.since) = (true, self.now.moment);
            let (at, id) = (idler.at, idler.id);
            self.idlers.is_due = true;
            if self.listeners.contains(at) && self.listeners[at].balancer.idler_connected(id) {
                self.tell_server(at, id, OfServer::Back);
            }
        }
        let stream = &mut self.idlers.all[key].stream;
        let has_failed = ready.failed && matches!(stream.take_error(), Ok(Some(_)) | Err(_));
        // A server that has said its last word does not wait for a client.
        let has_ended = ready.read_closed || ready.readable && looks_ended(stream);
        if has_failed || has_ended {
            self.lose_idler(key);
        }
    }

    /// Hands over an idler of the server that was chosen for a pair, if there is one that lives.
    pub(super) fn use_idler(&mut self, key: PairKey, id: ServerId) -> bool {
        let at = self.pairs[key.0].listener;
        while let Some(youngest) = self.idlers.ready(at, id) {
            if !self.is_where_it_was(&self.idlers.all[youngest]) {
                self.close_idler(youngest);
                continue;
            }
            // It may have ended a moment ago, and no edge told so yet.
            if looks_ended(&mut self.idlers.all[youngest].stream) {
                self.lose_idler(youngest);
                continue;
            }
            let mut idler = self.idlers.all.remove(youngest);
            self.listeners[at].balancer.idler_used(id);
            self.idlers.is_due = true;
            self.idlers.trust(at, id);
            if self.net.rewatch(&mut idler.stream, token(key, Side::Server)).is_err() {
                return false;
            }
            self.pairs[key.0].to = Some(idler.to);
            let mut server = End::server(idler.stream);
            // What the server has said already is still to be read.
            server.readable = true;
            self.enter(key, Phase::Connecting { server, place: Place { id, address: idler.address } });
            self.connected(key, false);
            return true;
        }
        if self.listeners[at].balancer.is_crowded(id)
            && let Some((under_way, _)) = self.idlers.all.iter().find(|(_, idler)| idler.at == at && idler.id == id)
        {
            self.close_idler(under_way);
        }
        false
    }

    /// Gives up all of them: their descriptors are needed for clients, or nobody will come. True if
    /// there were any.
    pub(super) fn close_idlers(&mut self) -> bool {
        let were_there = !self.idlers.all.is_empty();
        let keys: Vec<usize> = self.idlers.all.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.close_idler(key);
        }
        self.idlers.not_before = self.now.moment + LOOK_EVERY;
        self.idlers.is_due = true;
        were_there
    }

    /// It did not come to be connected: the server's next address, or nobody's turn for a while.
    fn fail_idler(&mut self, key: usize, error: &io::Error) {
        let idler = self.idlers.all.remove(key);
        let again = io::Error::new(error.kind(), reason(error));
        // Its place goes over to the next address, if the server has not moved.
        let next = if self.is_where_it_was(&idler) { idler.address + 1 } else { 0 };
        let (at, id) = (idler.at, idler.id);
        drop(idler);
        if self.listeners.contains(at) {
            self.connect_idler(at, id, next, Some(again));
        }
    }

    /// It has ended before anybody used it.
    fn lose_idler(&mut self, key: usize) {
        let Idler { at, id, since, .. } = self.idlers.all[key];
        match self.now.moment.since(since) < PAUSES.1 {
            true => self.idlers.put_off(at, id, self.now.moment),
            false => self.idlers.trust(at, id),
        }
        if self.tells_events() && self.listeners.contains(at) {
            self.tell_server(at, id, OfServer::IdlerLost);
        }
        self.close_idler(key);
        self.idlers.is_due = true;
    }

    fn close_idler(&mut self, key: usize) {
        let Idler { at, id, is_ready, .. } = self.idlers.all.remove(key);
        self.give_idlers_place_back(at, id, is_ready);
    }

    fn give_idlers_place_back(&mut self, at: ListenerKey, id: ServerId, was_ready: bool) {
        // With a listener that is forgotten its places are, too.
        if self.listeners.contains(at) {
            let name = self.listeners[at].name_of(id);
            let emptied = self.listeners[at].balancer.idler_gone(id, was_ready);
            self.tell_emptied(at, id, &name, emptied);
        }
        self.has_given_back = true;
        self.listening.resume();
    }

    /// What must hold between turns.
    pub(super) fn check_idlers(&self) {
        for (at, listener) in self.listeners.all() {
            let all = || self.idlers.all.iter().map(|(_, idler)| idler).filter(|idler| idler.at == at);
            let ready = all().filter(|idler| idler.is_ready).count();
            assert_eq!(
                ready, listener.balancer.idlers_ready,
                "idlers of listener {} as reports have it",
                listener.name
            );
            for (id, server) in listener.balancer.servers.all() {
                let count = all().filter(|idler| idler.id == id).count();
                assert_eq!(server.idlers as usize, count, "idlers of server {id}");
            }
        }
    }
}

/// True if nothing more will come and nothing is left to read.
fn looks_ended<S: Stream>(stream: &mut S) -> bool {
    loop {
        return match stream.peek(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
    }
}
