//! A file of commands, obeyed whole or not at all.
//!
//! Names are looked up first, which may take its time. The rest is done at one go: the commands
//! change the balancer, what can fail is tried (sockets and logs are opened, but not used yet),
//! and if anything does, all is as it was; only then the rest is done, which cannot fail.

use std::net::IpAddr;
use std::path::Path;

use super::Proxy;
use super::capture::Capture;
use super::effects::{NewLog, not_found};
use super::listen::NewAddresses;
use super::trust::{NewToken, Trust};
use super::viewers::NewStatus;
use crate::balance::ListenerKey;
use crate::base::diag::Severity;
use crate::base::operand::Host;
use crate::control::command::{Command, LogSpec, LogTo};
use crate::control::config::{ConfigError, Line, read_file};
use crate::control::execute::{Around, Asked, Effect, Snapshot, apply, settle};
use crate::net::{Net, NoAddress};

/// The lines of a file and of those that it includes.
#[derive(Debug)]
pub struct Batch {
    lines: Vec<Line>,
    /// The first line whose host may still be a name.
    next: usize,
}

/// What is open and not used yet.
#[derive(Debug)]
struct Opened<N: Net> {
    /// Where listeners go; the last counts for each.
    addresses: Vec<NewAddresses>,
    /// To write to from now on, if that changes.
    log: Option<NewLog<N>>,
    /// Where viewers come in from now on, if that changes.
    status: Option<NewStatus<N>>,
    /// The capture from now on, if that changes.
    capture: Option<Option<Capture<N::Log>>>,
    /// What users of the control port must know from now on, if that changes.
    token: Option<NewToken>,
}

impl Batch {
    /// Lines that were read.
    pub fn new(lines: Vec<Line>) -> Batch {
        Batch { lines, next: 0 }
    }

    /// Goes on to the next name that must be looked up first, if there is one. `found` is the
    /// address of the one before.
    pub fn next_name(&mut self, mut found: Option<Result<IpAddr, NoAddress>>) -> Result<Option<String>, ConfigError> {
        while let Some(line) = self.lines.get_mut(self.next) {
            while let Some(host) = unknown_host(&mut line.command) {
                match found.take() {
                    None => return Ok(Some(host.to_string())),
                    Some(Ok(ip)) => *host = Host::Addr(ip),
                    Some(Err(why)) => {
                        let why = not_found(&host.to_string(), why);
                        return Err(ConfigError::at(&line.file, line.number, &why));
                    }
                }
            }
            self.next += 1;
        }
        Ok(None)
    }
}

/// The host of a command that must have an address, if it is still a name.
fn unknown_host(command: &mut Command) -> Option<&mut Host> {
    let host = match command {
        Command::On { command, .. } => return unknown_host(command),
        Command::Listen(there) | Command::Listener { there, .. } => {
            let mut hosts = there.iter_mut().map(|at| &mut at.spec.host);
            return hosts.find(|host| matches!(host, Host::Name(_)));
        }
        Command::Log(Some(LogSpec { to: LogTo::Network { host, .. }, .. })) => host,
        Command::StatusListen(Some(there)) => &mut there.spec.host,
        _ => return None,
    };
    matches!(host, Host::Name(_)).then_some(host)
}

impl<N: Net> Proxy<N> {
    /// Reads a file of commands, and those that it includes.
    pub(super) fn read_batch(&mut self, at: ListenerKey, path: &Path, trust: Trust) -> Result<Batch, ConfigError> {
        if !self.listeners.contains(at) {
            return Err(ConfigError::of("the listener was removed"));
        }
        let listener = &self.listeners[at].name;
        let lines = read_file(path, listener, &self.control.services, &mut |path| self.net.read_commands(path))?;
        for Line { file, number, command, .. } in &lines {
            self.check_trust(command, trust).map_err(|why| ConfigError::at(file, *number, &why))?;
        }
        Ok(Batch::new(lines))
    }

    /// Obeys all lines, or none; their names must have been looked up. The replies follow one
    /// another. An error says in which file and line it is.
    pub(super) fn obey_batch(&mut self, batch: Batch) -> Result<String, ConfigError> {
        let before = Snapshot::of(&self.listeners);
        let keepalive = self.listeners.common.keepalive;
        let around = Around { pid: self.control.pid, control: &self.control.written };
        let is_empty = batch.lines.is_empty();
        let asked = apply(&mut self.listeners, batch.lines, self.now, &around)?;
        let mut opened = Opened { addresses: Vec::new(), log: None, status: None, capture: None, token: None };
        if let Err(error) = self.try_all(&asked.effects, &mut opened) {
            opened.addresses.iter().for_each(|new| self.forgo_listen(new));
            before.restore(&mut self.listeners);
            // It was so before, so that it can be so again.
            let sockets = self.listening.sockets().map(|arriving| &arriving.socket);
            let _ = self.net.keep_alive(keepalive, &sockets.collect::<Vec<_>>());
            return Err(error);
        }
        self.follow_settings();
        let text = asked.text + &self.finish(asked.effects, opened);
        if !is_empty {
            self.tell_lost_routes();
        }
        Ok(text)
    }

    /// Tries all that can fail, in an order in which it can be undone.
    fn try_all(&mut self, effects: &[Asked], opened: &mut Opened<N>) -> Result<(), ConfigError> {
        let mut in_order: Vec<&Asked> = effects.iter().collect();
        in_order.sort_by_key(|(_, _, effect)| match effect {
            // Listeners that are opened have it from the start.
            Effect::Keepalive => 0,
            // Clients that leave the table do not come back.
            Effect::ClientsMax(_) => 2,
            _ => 1,
        });
        for (file, number, effect) in in_order {
            self.try_effect(effect, opened).map_err(|why| ConfigError::at(file, *number, &why))?;
        }
        Ok(())
    }

    fn try_effect(&mut self, effect: &Effect, opened: &mut Opened<N>) -> Result<(), String> {
        match effect {
            Effect::Listen(at, there) => opened.addresses.push(self.prepare_listen(*at, there)?),
            // Where it goes is said already, or what is said later counts.
            Effect::Reopen(at, _) if opened.addresses.iter().any(|new| new.at == *at) => {}
            Effect::Reopen(at, _) => {
                let there = self.own_addresses(*at);
                if !there.is_empty() {
                    opened.addresses.push(self.prepare_listen(*at, &there)?);
                }
            }
            Effect::SetLog(log) => opened.log = Some(self.prepare_log(log.clone())?),
            Effect::SetCapture(spec) => opened.capture = Some(self.prepare_capture(spec.clone())?),
            Effect::Close(number) if self.pairs.contains(*number) || self.association_status(*number).is_some() => {}
            Effect::StatusListen(there) => opened.status = Some(self.prepare_status(there.as_ref())?),
            Effect::ClientsMax(at) => settle(&mut self.listeners, *at)?,
            Effect::Token(path) => opened.token = Some(self.prepare_token(path.clone())?),
            Effect::Subscribe(subscription) => {
                return Err(format!("{}: nobody can be told from within a file", subscription.topic.name()));
            }
            Effect::Write(_) | Effect::Reload => return Err(String::from("write and reload are not for files")),
            Effect::Close(_) | Effect::ShowConnection(_) | Effect::Dummy | Effect::Keepalive => {
                self.take_effect(effect.clone())?;
            }
            Effect::RemoveListener(at) => self.may_remove_listener(*at)?,
            Effect::WebStats(_) => drop(self.may_write_page()?),
            Effect::Include(..) => unreachable!("what a file includes is part of it"),
            Effect::Fault(_)
            | Effect::FaultConnection(..)
            | Effect::Recount(_)
            | Effect::ShowSocket(_)
            | Effect::Status(_) => {}
            Effect::Resolve(..) | Effect::ConnMax(_) | Effect::PendingMax(_) | Effect::Limits | Effect::Exit => {}
            Effect::ServerChanged(..) => {}
        }
        Ok(())
    }

    /// Does what cannot fail any more.
    fn finish(&mut self, effects: Vec<Asked>, opened: Opened<N>) -> String {
        let mut addresses = opened.addresses;
        while let Some(last) = addresses.pop() {
            addresses.retain(|earlier| earlier.at != last.at);
            self.move_listener(last);
        }
        if let Some(log) = opened.log {
            self.move_log(log);
        }
        if let Some(status) = opened.status {
            self.move_status(status);
        }
        if let Some(capture) = opened.capture {
            self.move_capture(capture);
        }
        if let Some(token) = opened.token {
            self.use_token(token);
        }
        let mut text = String::new();
        for (_, _, effect) in effects {
            match effect {
                Effect::Listen(at, _) => text.push_str(&format!("{}\n", self.listeners[at].at.join(" "))),
                Effect::StatusListen(Some(_)) => {
                    text.push_str(&format!("{}\n", self.listeners.common.status_at.as_deref().unwrap_or_default()));
                }
                Effect::StatusListen(None) | Effect::SetLog(_) | Effect::SetCapture(_) => {}
                Effect::Keepalive | Effect::Token(_) | Effect::Reopen(..) | Effect::WebStats(_) => {}
                Effect::ConnMax(_) => {
                    if let Err(why) = self.take_effect(effect) {
                        self.say(Severity::Warning, &why);
                    }
                }
                // Whether it may go was asked, and what leads nowhere then is told of the whole file.
                Effect::RemoveListener(at) => self.close_listener(at),
                // A connection may have been closed by the line before.
                other => text.push_str(&self.take_effect(other).unwrap_or_default()),
            }
        }
        text
    }
}
