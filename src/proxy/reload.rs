//! Reading again what pen was started with: all of it is read and checked first, and what has
//! changed since the last time is applied to what runs, as commands. No pair is touched.

use super::Proxy;
use super::batch::Batch;
use super::control::Asker;
use super::effects::Work;
use super::trust::Trust;
use crate::balance::{ListenerKey, ServerId};
use crate::base::diag::Severity;
use crate::base::operand::Host;
use crate::control::config::Line;
use crate::control::event::OfProcess;
use crate::control::execute::{Around, Effect, Outcome};
use crate::control::origin::{Origin, as_lines, changes, place};
use crate::control::written::{Block, written};
use crate::net::Net;

/// Lines of a difference that are said at HUP.
const SAID_MAX: usize = 200;

/// The reply where there is no difference.
const UNCHANGED: &str = "nothing has changed\n";

/// What pen was started with, and what came of it.
#[derive(Debug)]
pub struct Reload {
    origin: Origin,
}

impl Reload {
    /// What pen was started with.
    pub fn new(origin: Origin) -> Reload {
        Reload { origin }
    }
}

/// A configuration that was read, and is not in force yet.
#[derive(Debug)]
pub(super) struct Loads {
    blocks: Vec<Block>,
    /// What differs from the one before.
    shown: String,
}

impl<N: Net> Proxy<N> {
    /// The configuration as its files have it now, and the lines of the files.
    fn read_origin(&mut self) -> Result<(Vec<Block>, Vec<Line>), String> {
        let around = Around { pid: self.control.pid, control: &self.control.written };
        let (services, net) = (&self.control.services, &mut self.net);
        let (pen, files) = self.reload.origin.read(services, self.now, &around, &mut |path| net.read_commands(path))?;
        let blocks = written(&pen).map_err(|error| error.to_string())?;
        Ok((blocks, files))
    }

    /// Reads everything again, and finds out what has changed: commands, and what is loaded when
    /// they are obeyed. Nothing is changed here.
    pub(super) fn read_changes(&mut self) -> Result<(Batch, Loads), String> {
        let (blocks, files) = self.read_origin()?;
        let live = written(&self.listeners).map_err(|error| error.to_string())?;
        let changes = changes(&self.reload.origin.loaded, &blocks, &live);
        let lines = as_lines(&changes, &self.control.services, &mut |path| self.net.read_commands(path));
        let mut lines = lines.map_err(|error| error.to_string())?;
        place(&mut lines, &files);
        let text: String = changes.shown.iter().map(|line| format!("{line}\n")).collect();
        let shown = if text.is_empty() { String::from(UNCHANGED) } else { text };
        Ok((Batch::new(lines), Loads { blocks, shown }))
    }

    /// The commands have been obeyed: what was read is in force. The difference.
    pub(super) fn note_loaded(&mut self, loads: Loads) -> String {
        self.reload.origin.loaded = loads.blocks;
        self.look_up_all();
        loads.shown
    }

    /// Asks for the addresses of all servers that have names. What is known counts until the answer.
    fn look_up_all(&mut self) {
        let all = self.listeners.iter().flat_map(|(at, listener)| {
            let servers = listener.balancer.servers.all();
            servers.filter(|(_, server)| matches!(server.host, Host::Name(_))).map(move |(id, _)| (at, id))
        });
        let named: Vec<(ListenerKey, ServerId)> = all.collect();
        named.into_iter().for_each(|(at, id)| self.look_up_server(at, id));
    }

    /// HUP: reads everything again if there is a file, and opens the log anew.
    pub(super) fn hang_up(&mut self) {
        let log_before = self.listeners.common.log.clone();
        if self.reload.origin.has_file() {
            let outcome = Outcome { reply: Ok(String::new()), effects: vec![Effect::Reload] };
            self.go_on(Asker::Hangup, Work::of(outcome, Trust::Full), None);
        } else {
            self.look_up_all();
        }
        if self.listeners.common.log == log_before {
            self.reopen_log();
        }
    }

    /// Tells what came of a reload: what differs as well, if the one who asked gets no reply.
    pub(super) fn tell_reload(&mut self, reply: &str, in_full: bool) {
        if let Some(why) = reply.strip_prefix("error: ") {
            return self.tell_process(OfProcess::ReloadFailed { why: why.trim_end() });
        }
        let changes = if reply == UNCHANGED { 0 } else { reply.lines().count() };
        self.tell_process(OfProcess::Reloaded { changes });
        let said = if in_full { SAID_MAX.min(changes) } else { 0 };
        for line in reply.lines().take(said) {
            self.say(Severity::Notice, &format!("reload: {line}"));
        }
        if in_full && changes > said {
            self.say(Severity::Notice, &format!("reload: and {} more lines", changes - said));
        }
    }
}
