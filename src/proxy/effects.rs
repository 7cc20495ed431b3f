//! What commands ask of the event loop, done.
//!
//! An effect that fails is answered with a refusal; the others of the same command are still
//! done. One that needs the address of a host waits for it without holding anything up.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use super::batch::Batch;
use super::ending::CloseReason;
use super::memory::fit_connections;
use super::pair::{Pair, PairKey, Phase};
use super::reload::Loads;
use super::trust::Trust;
use super::{Ending, Proxy};
use crate::balance::MAIN;
use crate::base::error::reason;
use crate::base::operand::Host;
use crate::control::command::{LogSpec, LogTo, parse};
use crate::control::config::load;
use crate::control::execute::{Around, Effect, Outcome, execute, reply_text};
use crate::control::origins::leads_nowhere;
use crate::control::status::{self, ConnectionStatus, State};
use crate::control::subscription::Subscription;
use crate::net::{LogTarget, Net, NoAddress, Stream};

/// A command under way: what is still to be done, and the reply so far.
#[derive(Debug)]
pub struct Work {
    effects: VecDeque<Effect>,
    /// The file that is to be obeyed in the end.
    batch: Option<Batch>,
    reply: Result<String, String>,
    trust: Trust,
    /// What pen was started with is read again.
    pub(super) is_reload: bool,
    /// What is loaded once the batch is obeyed.
    loads: Option<Loads>,
}

/// A log that is open and not used yet, or none, and what the settings will say of it.
#[derive(Debug)]
pub(super) struct NewLog<N: Net>(Option<(LogTarget, N::Log)>, Option<String>);

/// How work goes on.
#[derive(Debug)]
pub enum Next {
    /// The address of this host is needed.
    LookUp(String),
    /// Whoever asked is to be told of what happens.
    Subscribed(Subscription),
    /// It is done; this is the reply.
    Ended(String),
}

impl Work {
    fn refused(why: String) -> Work {
        Work::of(Outcome { reply: Err(why), effects: Vec::new() }, Trust::Limited)
    }

    /// The work that an outcome leaves.
    pub(super) fn of(outcome: Outcome, trust: Trust) -> Work {
        let Outcome { reply, effects } = outcome;
        Work { effects: effects.into(), batch: None, reply, trust, is_reload: false, loads: None }
    }

    /// Notes what became of an effect. The first refusal is the reply.
    fn note(&mut self, done: Result<String, String>) {
        match (&mut self.reply, done) {
            (Ok(reply), Ok(more)) => reply.push_str(&more),
            (Ok(_), Err(why)) => self.reply = Err(why),
            (Err(_), _) => {}
        }
    }
}

impl<N: Net> Proxy<N> {
    /// Reads a line and executes it.
    pub(super) fn obey(&mut self, line: &[u8], trust: Trust) -> Work {
        let Ok(line) = std::str::from_utf8(line) else {
            return Work::refused(String::from("the line is not UTF-8 text"));
        };
        let command = match parse(line, &self.control.services) {
            Ok(Some(command)) => command,
            Ok(None) => return Work::of(Outcome { reply: Ok(String::new()), effects: Vec::new() }, trust),
            Err(error) => return Work::refused(error.to_string()),
        };
        let refused = self.check_trust(&command, trust).err().or_else(|| leads_nowhere(&self.listeners, &command));
        if let Some(why) = refused {
            return Work::refused(why);
        }
        let command = match load(command, &mut |path| self.net.read_commands(path)) {
            Ok(command) => command,
            Err(error) => return Work::refused(error.to_string()),
        };
        let around = Around { pid: self.control.pid, control: &self.control.written };
        let outcome = execute(&mut self.listeners, MAIN, command, self.now, &around);
        self.follow_settings();
        Work::of(outcome, trust)
    }

    /// Tells those who have their own copy of a setting.
    pub(super) fn follow_settings(&mut self) {
        let common = &self.listeners.common;
        self.watch.follow(common.debug, common.dump_form, common.shows_secrets);
        self.idlers.follow();
        self.checks.follow();
        self.note_listeners();
        self.queue.follow();
    }

    /// Does what is to be done, up to an effect that needs the address of a host. `found` is the
    /// address that was asked for last.
    pub(super) fn work(&mut self, work: &mut Work, mut found: Option<Result<IpAddr, NoAddress>>) -> Next {
        while let Some(mut effect) = work.effects.pop_front() {
            if let Some(host) = unknown_host(&mut effect) {
                let name = host.to_string();
                match found.take() {
                    Some(Ok(ip)) => *host = Host::Addr(ip),
                    Some(Err(why)) => {
                        work.note(Err(not_found(&name, why)));
                        if let Effect::Listen(at, _) = effect {
                            self.drop_if_nowhere(at);
                        }
                        continue;
                    }
                    None => {
                        work.effects.push_front(effect);
                        return Next::LookUp(name);
                    }
                }
            }
            if let Effect::Include(at, path) = &effect {
                match self.read_batch(*at, path, work.trust) {
                    Ok(batch) => work.batch = Some(batch),
                    Err(error) => work.note(Err(error.to_string())),
                }
                continue;
            }
            if let Effect::Subscribe(subscription) = effect {
                return Next::Subscribed(subscription);
            }
            if effect == Effect::Reload {
                work.is_reload = true;
                match self.read_changes() {
                    Ok((batch, loads)) => (work.batch, work.loads) = (Some(batch), Some(loads)),
                    Err(why) => work.note(Err(why)),
                }
                continue;
            }
            let done = self.take_effect(effect);
            work.note(done);
        }
        if let Some(mut batch) = work.batch.take() {
            let done = match batch.next_name(found) {
                Ok(Some(name)) => {
                    work.batch = Some(batch);
                    return Next::LookUp(name);
                }
                Ok(None) => self.obey_batch(batch),
                Err(error) => Err(error),
            };
            let done = match work.loads.take() {
                Some(loads) => done.map(|_| self.note_loaded(loads)),
                None => done,
            };
            work.note(done.map_err(|error| error.to_string()));
        }
        Next::Ended(reply_text(std::mem::replace(&mut work.reply, Ok(String::new()))))
    }

    pub(super) fn take_effect(&mut self, effect: Effect) -> Result<String, String> {
        let done = Ok(String::new());
        match effect {
            Effect::Listen(at, there) => self.listen_at(at, &there),
            Effect::RemoveListener(at) => {
                self.remove_listener(at)?;
                self.tell_lost_routes();
                done
            }
            Effect::SetLog(log) => {
                let log = self.prepare_log(log)?;
                self.move_log(log);
                done
            }
            Effect::SetCapture(_) | Effect::Fault(_) | Effect::FaultConnection(..) => self.watch_or_fault(effect),
            Effect::Close(number) => self.close_by_operator(number),
            Effect::ShowConnection(number) => self.show_connection(number),
            Effect::Resolve(at, id) => {
                self.look_up_server(at, id);
                done
            }
            Effect::Reopen(at, before) => self.reopen(at, before).map(|()| String::new()),
            Effect::Limits => {
                self.limits_changed();
                self.look_at_associations();
                done
            }
            Effect::Dummy => Err(String::from("dummy: only at the start")),
            Effect::Keepalive => self.keep_alive(),
            Effect::Exit => {
                self.ending = Some(Ending::Command);
                done
            }
            Effect::Recount(at) => {
                self.recount_clients(at);
                done
            }
            Effect::ShowSocket(descriptor) => Ok(self.owner_of(descriptor)),
            Effect::ServerChanged(at, id, what) => {
                self.tell_server(at, id, what);
                done
            }
            Effect::Status(form) => self.status(form),
            Effect::StatusListen(there) => self.listen_for_viewers(there),
            Effect::Token(path) => self.set_token(path),
            Effect::WebStats(before) => self.may_write_page().inspect_err(|_| {
                self.listeners.common.web_stats = before;
            }),
            Effect::Write(path) => self.write_configuration(path),
            // Whether there is room is asked anew for every client.
            Effect::ClientsMax(_) | Effect::PendingMax(_) => done,
            Effect::ConnMax(_) => self.fit_connections(),
            Effect::Include(..) | Effect::Reload | Effect::Subscribe(_) => {
                unreachable!("files are read where their effects can be queued")
            }
        }
    }

    fn keep_alive(&mut self) -> Result<String, String> {
        let how = self.listeners.common.keepalive;
        let sockets = self.listening.sockets().map(|arriving| &arriving.socket);
        let set = self.net.keep_alive(how, &sockets.collect::<Vec<_>>());
        set.map_err(|error| format!("keepalive: {}", reason(&error))).map(|()| String::new())
    }

    fn fit_connections(&mut self) -> Result<String, String> {
        let listening = self.listening.sockets().count();
        match fit_connections(&mut self.net, &mut self.listeners, listening) {
            Ok(Some(warning)) => Err(warning),
            Ok(None) => Ok(String::new()),
            Err(error) => Err(format!("conn_max: cannot read the limit of files: {}", reason(&error))),
        }
    }

    fn watch_or_fault(&mut self, effect: Effect) -> Result<String, String> {
        match effect {
            Effect::SetCapture(spec) => {
                let capture = self.prepare_capture(spec)?;
                self.move_capture(capture);
                Ok(String::new())
            }
            Effect::Fault(at) => {
                self.faults_changed(at);
                Ok(String::new())
            }
            Effect::FaultConnection(number, fault) => self.fault_connection(number, fault),
            _ => unreachable!("the caller has others"),
        }
    }

    fn show_connection(&mut self, number: usize) -> Result<String, String> {
        let pair = self.pairs.get(number).map(|pair| self.status_of(number, pair));
        let status = pair.or_else(|| self.association_status(number));
        let told = status::connection(number, status.as_ref(), self.listeners.common.conn_max)?;
        let fault = self.faults.of(PairKey(number)).map(|fault| format!("fault = {fault}\n"));
        Ok(told + &fault.unwrap_or_default())
    }

    /// Opens a log, or none.
    pub(super) fn prepare_log(&mut self, log: Option<LogSpec>) -> Result<NewLog<N>, String> {
        let Some(log) = log else { return Ok(NewLog(None, None)) };
        let target = match log.to {
            LogTo::File(path) => LogTarget::File(path),
            LogTo::Network { host: Host::Addr(ip), port } => LogTarget::Udp(SocketAddr::new(ip, port)),
            LogTo::Network { host: Host::Name(_) | Host::Unix(_), .. } => unreachable!("{LOOKED_UP}"),
        };
        Ok(NewLog(Some(self.open_log(target)?), Some(log.text)))
    }

    /// Writes to this log from now on.
    pub(super) fn move_log(&mut self, NewLog(log, text): NewLog<N>) {
        self.use_log(log);
        self.listeners.common.log = text;
    }

    fn close_by_operator(&mut self, number: usize) -> Result<String, String> {
        let is_pair = self.pairs.contains(number);
        if is_pair {
            self.close(PairKey(number), CloseReason::Operator);
        }
        let in_use = is_pair || self.close_association(number);
        status::closing(number, in_use, self.listeners.common.conn_max)
    }

    /// A pair as reports show it.
    pub(super) fn status_of(&self, number: usize, pair: &Pair<N::Stream>) -> ConnectionStatus {
        let (up_fd, state) = match &pair.phase {
            Phase::Arriving { .. } | Phase::Queued { .. } | Phase::Searching { .. } => (-1, State::Connecting),
            Phase::Connecting { server, .. } => (server.stream.descriptor(), State::Connecting),
            Phase::Relaying { server, up, down, .. } => {
                let state = State::Connected { server_ended: down.has_ended(), client_ended: up.has_ended() };
                (server.stream.descriptor(), state)
            }
            // For the client this looks like a server that has said all.
            Phase::Farewell => (-1, State::Connected { server_ended: true, client_ended: false }),
        };
        let (pending_up, pending_down) = pair.held();
        let listener = &self.listeners[pair.listener];
        let remembered = pair.client_id.filter(|id| listener.balancer.clients.client(*id).is_some());
        ConnectionStatus {
            number,
            listener: (pair.listener != MAIN).then(|| listener.name.clone()),
            state,
            down_fd: pair.client.stream.descriptor(),
            up_fd,
            pending_down,
            pending_up,
            client: remembered.map(|id| id.slot()),
            server: pair.place().map(|place| place.id),
        }
    }
}

/// Why an effect can count on an address.
pub(super) const LOOKED_UP: &str = "a name is replaced by its address before the effect is taken";

/// The host of an effect that must have an address, if it is still a name.
fn unknown_host(effect: &mut Effect) -> Option<&mut Host> {
    let host = match effect {
        Effect::Listen(_, there) => {
            let mut hosts = there.iter_mut().map(|at| &mut at.spec.host);
            return hosts.find(|host| matches!(host, Host::Name(_)));
        }
        Effect::SetLog(Some(LogSpec { to: LogTo::Network { host, .. }, .. })) => host,
        Effect::StatusListen(Some(there)) => &mut there.spec.host,
        _ => return None,
    };
    matches!(host, Host::Name(_)).then_some(host)
}

pub(super) fn not_found(name: &str, why: NoAddress) -> String {
    match why {
        NoAddress::NoSuchName => format!("no such host '{name}'"),
        NoAddress::NoAnswer => format!("the name service does not answer for '{name}'"),
    }
}
