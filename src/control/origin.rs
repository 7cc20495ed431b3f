//! What pen was started with, in the language of commands, so that it can be read again.
//!
//! Reading it again makes a configuration from nothing, as the start did; what has changed between
//! two of these is what a reload applies. So what somebody has changed at run time stays as it is,
//! unless the file says something new of it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::command::{Command, parse_for};
use super::config::{ConfigError, Line, Source, load, read_file};
use super::execute::{Around, Effect, Outcome, apply, direct, execute};
use super::token::token_of;
use super::written::Block;
use crate::balance::listeners::MAIN_NAME;
use crate::balance::{Common, ListenerKey, Listeners, MAIN, Settings};
use crate::base::error::reason;
use crate::base::operand::Services;
use crate::base::time::Now;

/// One thing that was said at the start.
#[derive(Clone, Debug)]
pub enum Said {
    /// An option or an operand, as the command that does the same.
    Command(Command),
    /// The command of an option `-O`.
    Line(String),
    /// The file of the option `-F`.
    File(PathBuf),
}

/// What pen was started with.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The settings that no command can set; the others are the defaults.
    pub common: Common,
    /// What was said, in the order in which it counts.
    pub said: Vec<Said>,
    /// Whether `dummy` was among it, which only a start can change.
    pub is_dummy: bool,
    /// What came of it.
    pub loaded: Vec<Block>,
}

impl Origin {
    /// Whether there is a file that may have changed.
    pub fn has_file(&self) -> bool {
        self.said.iter().any(|said| matches!(said, Said::File(_)))
    }

    /// Reads everything again, and returns the lines of the files as well. A mistake names its file, its
    /// line and what is wrong.
    pub fn read(
        &self,
        services: &Services,
        now: Now,
        around: &Around<'_>,
        read: &mut Source<'_>,
    ) -> Result<(Listeners, Vec<Line>), String> {
        let listeners = Listeners::new(self.common.clone(), Settings::default());
        let section = String::from(MAIN_NAME);
        let (may_be_dummy, is_dummy, lines) = (self.is_dummy, false, Vec::new());
        let mut draft =
            Draft { listeners, section, services, now, around: *around, read, may_be_dummy, is_dummy, lines };
        for said in &self.said {
            match said {
                Said::Command(command) => draft.command(MAIN, command.clone())?,
                Said::Line(line) => draft.line(line).map_err(|why| format!("option -O: {why}"))?,
                Said::File(path) => draft.file(path, MAIN_NAME)?,
            }
        }
        if self.is_dummy && !draft.is_dummy {
            return Err(String::from("dummy is not there any more: to have servers pen must be started anew"));
        }
        if let Some(why) = draft.listeners.unfit_for_dummy().filter(|_| draft.is_dummy) {
            return Err(why);
        }
        Ok((draft.listeners, draft.lines))
    }
}

struct Draft<'a> {
    listeners: Listeners,
    /// The name of the listener that commands of `-O` are for.
    section: String,
    services: &'a Services,
    now: Now,
    around: Around<'a>,
    read: &'a mut Source<'a>,
    /// It was so at the start.
    may_be_dummy: bool,
    is_dummy: bool,
    /// The lines of the files.
    lines: Vec<Line>,
}

impl Draft<'_> {
    fn command(&mut self, at: ListenerKey, command: Command) -> Result<(), String> {
        let command = load(command, self.read).map_err(|error| error.to_string())?;
        let outcome = execute(&mut self.listeners, at, command, self.now, &self.around);
        self.obey(outcome)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let parsed = parse_for(&self.section, line, self.services).map_err(|error| error.to_string())?;
        let Some(command) = parsed else { return Ok(()) };
        match direct(&self.listeners, &mut self.section, command)? {
            (at, Command::Include(path)) => {
                let listener = self.listeners[at].name.clone();
                self.file(&path, &listener)
            }
            (at, command) => self.command(at, command),
        }
    }

    fn file(&mut self, path: &Path, listener: &str) -> Result<(), String> {
        let text = |error: ConfigError| error.to_string();
        let lines = read_file(path, listener, self.services, self.read).map_err(text)?;
        self.lines.extend_from_slice(&lines);
        let batch = apply(&mut self.listeners, lines, self.now, &self.around).map_err(text)?;
        for (file, number, effect) in batch.effects {
            self.take_down(effect).map_err(|why| text(ConfigError::at(&file, number, &why)))?;
        }
        Ok(())
    }

    fn obey(&mut self, outcome: Outcome) -> Result<(), String> {
        outcome.reply?;
        outcome.effects.into_iter().try_for_each(|effect| self.take_down(effect))
    }

    /// Notes what the loop would do.
    fn take_down(&mut self, effect: Effect) -> Result<(), String> {
        let not_then = |what| Err(format!("{what}: only while pen runs"));
        match effect {
            Effect::Listen(at, there) => {
                self.listeners[at].at = there.into_iter().map(|there| there.text).collect();
            }
            Effect::RemoveListener(at) => {
                self.listeners[at].at.clear();
                self.listeners.let_go(at);
            }
            Effect::SetCapture(spec) => self.listeners.common.capture = spec,
            Effect::SetLog(log) => self.listeners.common.log = log.map(|log| log.text),
            Effect::StatusListen(there) => self.listeners.common.status_at = there.map(|there| there.text),
            Effect::Token(path) => {
                path.as_deref().map(|path| self.check_token(path)).transpose()?;
                self.listeners.common.control_token = path;
            }
            Effect::FaultConnection(..) | Effect::Close(_) | Effect::ShowConnection(_) | Effect::ShowSocket(_) => {
                return Err(String::from("there are no connections at the start"));
            }
            Effect::Exit => return not_then("exit"),
            Effect::Reload => return not_then("reload"),
            Effect::Status(_) => return not_then("status"),
            Effect::Write(_) => return not_then("write"),
            Effect::Include(..) => return not_then("include"),
            Effect::Subscribe(subscription) => {
                return Err(format!("{}: nobody can be told at the start", subscription.topic.name()));
            }
            Effect::ServerChanged(..) | Effect::WebStats(_) => {}
            // What the settings say already, or what the loop does once it has them.
            Effect::Resolve(..) | Effect::ConnMax(_) | Effect::PendingMax(_) | Effect::Limits | Effect::Reopen(..) => {}
            Effect::Fault(_) | Effect::Recount(_) | Effect::ClientsMax(_) | Effect::Keepalive => {}
            Effect::Dummy if self.may_be_dummy => self.is_dummy = true,
            Effect::Dummy => return Err(String::from("dummy: only at the start; pen must be started anew for it")),
        }
        Ok(())
    }

    fn check_token(&mut self, path: &Path) -> Result<(), String> {
        let fail = |why: &str| format!("control_token: {}: {why}", path.display());
        let text = (self.read)(path).map_err(|error| fail(&reason(&error)))?;
        token_of(&text).map(|_| ()).map_err(|why| fail(&why))
    }
}

/// What has changed between two configurations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// For people: `- ` and a line that was there, `+ ` and one that is new.
    pub shown: Vec<String>,
    /// The commands that make one of the other, each with its listener.
    pub commands: Vec<(Rc<str>, String)>,
}

/// Compares two configurations. `live` says what the running one has of a thing that may be there
/// or not, such as `server 3`: what is gone already need not be removed.
pub fn changes(before: &[Block], after: &[Block], live: &[Block]) -> Changes {
    let same = |one: &Block, other: &Block| one.of == other.of && one.listener == other.listener;
    let is_in = |blocks: &[Block], block: &Block| blocks.iter().any(|other| same(block, other));
    let shown = |sign, block: &Block, line| match block.is_said_by_itself() {
        true => format!("{sign} {line}"),
        false => format!("{sign} on {} {line}", block.listener),
    };
    let mut changes = Changes { shown: Vec::new(), commands: Vec::new() };
    let (mut removals, mut names, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for old in before.iter().filter(|old| !is_in(after, old)) {
        changes.shown.extend(old.lines.iter().map(|line| shown('-', old, line)));
        // What is a listener's goes with it.
        let stays = |of: &str| after.iter().any(|new| &*new.listener == of);
        let goes_alone = old.is_listener() || stays(&old.listener);
        if let Some(removal) = old.removal.as_ref().filter(|_| goes_alone && is_in(live, old)) {
            removals.push((Rc::clone(&old.listener), removal.clone()));
        }
    }
    for new in after {
        let old = before.iter().find(|old| same(old, new));
        if old.is_some_and(|old| old.lines == new.lines) {
            if is_back(before, after, live, &new.listener) {
                lines.extend(new.lines.iter().map(|line| (Rc::clone(&new.listener), line.clone())));
            }
            continue;
        }
        if let Some(old) = old {
            changes.shown.extend(old.lines.iter().map(|line| shown('-', old, line)));
        }
        changes.shown.extend(new.lines.iter().map(|line| shown('+', new, line)));
        if new.of.starts_with("server ") && is_in(live, new) {
            // Two servers may exchange their names.
            names.push((Rc::clone(&new.listener), format!("{} name none", new.of)));
        }
        lines.extend(new.lines.iter().map(|line| (Rc::clone(&new.listener), line.clone())));
    }
    changes.commands = [removals, names, lines].concat();
    changes
}

/// True if this listener was removed at run time, and something new is said of it: then all is.
fn is_back(before: &[Block], after: &[Block], live: &[Block], listener: &str) -> bool {
    let of = |blocks: &[Block]| -> Vec<Block> {
        blocks.iter().filter(|block| &*block.listener == listener).cloned().collect()
    };
    listener != MAIN_NAME && of(live).is_empty() && of(before) != of(after)
}

/// The commands as lines of a file, which are applied all or none.
pub fn as_lines(changes: &Changes, services: &Services, read: &mut Source<'_>) -> Result<Vec<Line>, ConfigError> {
    let file: Rc<Path> = Rc::from(Path::new("reload"));
    let mut lines = Vec::new();
    for (number, (listener, text)) in (1..).zip(&changes.commands) {
        let command =
            parse_for(listener, text, services).map_err(|error| ConfigError::at(&file, number, &error.to_string()))?;
        let Some(command) = command else { continue };
        let command = load(command, read).map_err(|error| ConfigError::at(&file, number, &error.to_string()))?;
        lines.push(Line { file: Rc::clone(&file), number, listener: Rc::clone(listener), command });
    }
    Ok(lines)
}

/// Says of each line of a difference where a file has it: a mistake is found only when it is tried to
/// listen there, or to open that log. The last that says the same counts.
pub fn place(lines: &mut [Line], files: &[Line]) {
    for line in lines {
        if let Some(there) = files.iter().rev().find(|there| says_same(there, line)) {
            (line.file, line.number) = (Rc::clone(&there.file), there.number);
        }
    }
}

fn says_same(one: &Line, other: &Line) -> bool {
    let (Line { listener, command, .. }, at) = (one, &other.listener);
    let (listener, command) = match command {
        Command::On { listener, command } => (listener.as_str(), &**command),
        command => (&**listener, command),
    };
    // That line names its listener itself.
    *command == other.command && (listener == &**at || matches!(command, Command::Listener { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Moment;
    use crate::control::written::{as_file, written};
    use std::io;

    const NOW: Now = Now { moment: Moment::from_nanos(7), unix: 7 };
    const AROUND: Around<'_> = Around { pid: 1, control: "" };

    fn origin(lines: &[&str]) -> Origin {
        let said = lines.iter().map(|line| Said::Line(String::from(*line)));
        let file = Said::File(PathBuf::from("pen.cfg"));
        Origin { said: said.chain([file]).collect(), ..Origin::default() }
    }

    fn read(origin: &Origin, file: &str) -> Result<Listeners, String> {
        let mut open = |path: &Path| match path.to_str() {
            Some("pen.cfg") => Ok(String::from(file)),
            Some("list") => Ok(String::from("10.0.0.0/8\n")),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        origin.read(&Services::default(), NOW, &AROUND, &mut open).map(|(listeners, _)| listeners)
    }

    fn blocks(origin: &Origin, file: &str) -> Vec<Block> {
        written(&read(origin, file).unwrap()).unwrap()
    }

    #[test]
    fn what_has_not_changed_is_not_applied() {
        let origin = origin(&["listen 80", "blacklist 5"]);
        let file = "server 0 address 127.0.0.1 port 81\nacl 1 file list\nlog pen.log\ntimeout 3\n";
        let before = blocks(&origin, file);
        let other =
            "# the same\ntimeout 3\nlog pen.log\nserver 0 address 127.0.0.1\nserver 0 port 81\nacl 1 file list\n";
        let none = changes(&before, &blocks(&origin, other), &before);
        assert_eq!(none, Changes { shown: Vec::new(), commands: Vec::new() });
    }

    #[test]
    fn changes_are_shown_and_make_one_of_the_other() {
        let origin = origin(&["listen 80"]);
        let old = "server 0 address 127.0.0.1 port 81 name a\nserver 1 address 127.0.0.2 port 81 name b\n\
                   server 2 address 127.0.0.3 port 81\nserver 3 address 127.0.0.4 port 1\nacl 1 deny 10.0.0.1\ntimeout 3\n";
        let new = "server 0 address 127.0.0.1 port 81 name b\nserver 1 address 127.0.0.2 port 81 name a\n\
                   server 4 address 127.0.0.5 port 1\nacl 1 deny 10.0.0.2\nblacklist 9\nhash\nacl office permit ::1\n";
        let (before, after) = (blocks(&origin, old), blocks(&origin, new));
        let mut live = read(&origin, old).unwrap();
        // At run time server 2 was removed, and another setting changed, of which the file says nothing new.
        live.main_mut().balancer.remove_server(crate::balance::ServerId::Regular(2));
        live.main_mut().balancer.settings.client_max = 7;
        let changes = changes(&before, &after, &written(&live).unwrap());
        for line in ["- timeout 3", "+ timeout 5", "- acl 1 deny 10.0.0.1 255.255.255.255", "+ hash", "- no hash"] {
            assert!(changes.shown.iter().any(|shown| shown == line), "{line}: {:#?}", changes.shown);
        }
        assert!(changes.shown.iter().all(|line| !line.contains("client_max")));
        let lines = as_lines(&changes, &Services::default(), &mut |_| Err(io::ErrorKind::NotFound.into())).unwrap();
        apply(&mut live, lines, NOW, &AROUND).unwrap();
        assert_eq!(live.main().balancer.settings.client_max, 7);
        live.main_mut().balancer.settings.client_max = 0;
        assert_eq!(as_file(&written(&live).unwrap()), as_file(&after));
    }

    #[test]
    fn dummy_stays_as_it_was_at_the_start() {
        let mut origin = origin(&["listen 80"]);
        assert!(read(&origin, "timeout 3\n").is_ok());
        let why = "pen.cfg:2: dummy: only at the start; pen must be started anew for it";
        assert_eq!(read(&origin, "timeout 3\ndummy\n").unwrap_err(), why);
        origin.is_dummy = true;
        assert!(read(&origin, "dummy\n").is_ok());
        let why = "dummy: it takes no servers, not '192.0.2.1'";
        assert_eq!(read(&origin, "dummy\nserver 0 address 192.0.2.1 port 1\n").unwrap_err(), why);
        let why = "dummy is not there any more: to have servers pen must be started anew";
        assert_eq!(read(&origin, "timeout 3\n").unwrap_err(), why);
    }

    #[test]
    fn a_mistake_names_its_file_and_line() {
        let origin = origin(&["listen 80"]);
        let table = [
            ("hash\n\nserver 0 port x\n", "pen.cfg:3: server: 'x': 'x' is not a port or TCP service"),
            ("client_acl office", "pen.cfg:1: there is no access list 'office'"),
            ("include nosuch", "pen.cfg:1: cannot read nosuch: entity not found"),
            ("reload", "pen.cfg:1: reload: only while pen runs"),
            ("hash\nwrite x", "pen.cfg:2: write: only while pen runs"),
            ("control_token nosuch", "pen.cfg:1: control_token: nosuch: entity not found"),
        ];
        for (file, message) in table {
            assert_eq!(read(&origin, file).unwrap_err(), message);
        }
    }

    #[test]
    fn listeners_come_move_and_go_with_what_is_theirs() {
        let origin = origin(&["listener early 90", "blacklist 4", "listener"]);
        let old = "listen 80\nlistener a 81\nserver 0 address 127.0.0.1 port 1\nlistener b 82\nblacklist 7\n";
        let new = "listen 80\nlistener b 83 84\nblacklist 8\nlistener c 85\nserver 0 address 127.0.0.2 port 2\n";
        let (before, after) = (blocks(&origin, old), blocks(&origin, new));
        let lines_of = |live: &Listeners| {
            let changes = changes(&before, &after, &written(live).unwrap());
            let lines = as_lines(&changes, &Services::default(), &mut |_| Err(io::ErrorKind::NotFound.into())).unwrap();
            (changes, lines)
        };
        let mut live = read(&origin, old).unwrap();
        let (changes, lines) = lines_of(&live);
        for line in
            ["- listener a 81", "+ listener b 83 84", "- on b blacklist 7", "+ on b blacklist 8", "+ listener c 85"]
        {
            assert!(changes.shown.iter().any(|shown| shown == line), "{line}: {:#?}", changes.shown);
        }
        assert!(changes.commands.iter().all(|(listener, _)| &**listener != "early"), "{:#?}", changes.commands);
        take(&mut live, lines);
        assert_eq!(as_file(&written(&live).unwrap()), as_file(&after));
        // One that was removed at run time is not missed when it goes, and is back when something new is said of it.
        let mut live = read(&origin, old).unwrap();
        for name in ["a", "b"] {
            let gone = live.find(name).unwrap();
            live[gone].at.clear();
            live.remove(gone);
            live.let_go(gone);
        }
        let (_, lines) = lines_of(&live);
        take(&mut live, lines);
        let sorted = |blocks: &[Block]| {
            let mut lines: Vec<String> = blocks
                .iter()
                .flat_map(|block| block.lines.iter().map(|line| format!("{} {line}", block.listener)))
                .collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&written(&live).unwrap()), sorted(&after));
    }

    /// Does what the lines say, and what the loop would do.
    fn take(live: &mut Listeners, lines: Vec<Line>) {
        for (_, _, effect) in apply(live, lines, NOW, &AROUND).unwrap().effects {
            match effect {
                Effect::Listen(at, there) => live[at].at = there.into_iter().map(|there| there.text).collect(),
                Effect::RemoveListener(at) => {
                    live[at].at.clear();
                    live.let_go(at);
                }
                _ => {}
            }
        }
    }
}
