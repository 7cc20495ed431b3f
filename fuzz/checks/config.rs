//! Files of commands that include each other in any way: reading them always ends, gives the lines that a naive reader
//! gives or an error that names a file, and a file is applied whole or not at all. What is written of a pen that has
//! applied it reads back as the same pen.

use std::io;
use std::path::Path;

use pen::balance::{Common, Listeners, Settings};
use pen::base::operand::Services;
use pen::base::time::Now;
use pen::control::command::{Command, parse_for};
use pen::control::config::{DEPTH_MAX, FILES_MAX, Line, read_file};
use pen::control::execute::{Around, Effect, apply};
use pen::control::written::{as_file, written};

const AROUND: Around<'_> = Around { pid: 1, control: "" };

/// The files' names, in the order in which the input holds them.
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// The input is up to six files with a form feed between them; the first is the one to read.
pub fn check(input: &[u8]) {
    let services = Services::parse("pop3 110/tcp\nhttp 80/tcp www\n");
    let files: Vec<Option<String>> = input
        .split(|byte| *byte == b'\x0c')
        .take(NAMES.len())
        .map(|file| std::str::from_utf8(&file[..file.len().min(400)]).ok().map(String::from))
        .collect();
    let open = |path: &Path| -> io::Result<String> {
        let index = NAMES.iter().position(|name| Path::new(name) == path).ok_or(io::ErrorKind::NotFound)?;
        let file = files.get(index).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.clone().ok_or(io::ErrorKind::InvalidData)?)
    };
    let listener = String::from("main");
    let mut naive =
        Naive { services: &services, open: &open, listener, above: Vec::new(), files: 0, lines: Vec::new() };
    let expected = naive.read("a").map(|()| naive.lines);
    let found = read_file(Path::new("a"), "main", &services, &mut { open });
    match (found, expected) {
        (Ok(lines), Ok(expected)) => {
            let parts = lines.iter().map(|line| {
                (line.file.display().to_string(), line.number, line.listener.to_string(), line.command.clone())
            });
            assert_eq!(parts.collect::<Vec<_>>(), expected);
            if let Some(listeners) = judge(|listeners| carry_out(listeners, lines)) {
                judge_written(&listeners, &services, &open);
            }
        }
        (Err(error), Err(place)) => {
            let said = error.to_string();
            assert!(said.starts_with(&place), "{said:?} is about {place:?}");
            assert!(!said.chars().any(char::is_control), "{said:?}");
        }
        (found, expected) => panic!("{found:?}, but {expected:?}"),
    }
}

/// Applies lines, and notes what the loop notes once it has done what they ask for.
fn carry_out(listeners: &mut Listeners, lines: Vec<Line>) -> Result<(), String> {
    let batch = apply(listeners, lines, Now::default(), &AROUND).map_err(|error| error.to_string())?;
    for (_, _, effect) in batch.effects {
        match effect {
            Effect::SetLog(log) => listeners.common.log = log.map(|log| log.text),
            Effect::Token(path) => listeners.common.control_token = path,
            Effect::StatusListen(there) => listeners.common.status_at = there.map(|there| there.text),
            Effect::SetCapture(spec) => listeners.common.capture = spec,
            Effect::Listen(at, there) if listeners.contains(at) => {
                listeners[at].at = there.into_iter().map(|at| at.text).collect();
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is written says the same to a new pen. A word that no line can have is no word of a line.
fn judge_written(before: &Listeners, services: &Services, open: &dyn Fn(&Path) -> io::Result<String>) {
    let blocks = written(before).unwrap_or_else(|error| panic!("{error}"));
    let text = as_file(&blocks);
    let mut opens = |path: &Path| if path == Path::new("written") { Ok(text.clone()) } else { open(path) };
    let lines = read_file(Path::new("written"), "main", services, &mut opens);
    let lines = lines.unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut after = Listeners::new(Common::default(), Settings::default());
    carry_out(&mut after, lines).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(written(&after), Ok(blocks), "{text}");
}

fn judge(apply: impl FnOnce(&mut Listeners) -> Result<(), String>) -> Option<Listeners> {
    let mut listeners = Listeners::new(Common::default(), Settings::default());
    let outcome = apply(&mut listeners);
    let balancer = &listeners.main().balancer;
    if let Err(said) = &outcome {
        assert!(NAMES.iter().any(|name| said.starts_with(&format!("{name}:"))), "{said:?}");
        assert_eq!(balancer.settings, Settings::default());
        assert_eq!(listeners.common, Common::default());
        assert_eq!(balancer.servers.len(), 0);
        assert_eq!(listeners.all().count(), 1);
    }
    balancer.check();
    outcome.is_ok().then_some(listeners)
}

/// Reads as the manual says it, without a thought for anything else.
struct Naive<'a> {
    services: &'a Services,
    open: &'a dyn Fn(&Path) -> io::Result<String>,
    listener: String,
    above: Vec<String>,
    files: usize,
    lines: Vec<(String, usize, String, Command)>,
}

impl Naive<'_> {
    fn include(&mut self, path: &Path, place: String) -> Result<(), String> {
        let below = self.read(&path.display().to_string());
        below.map_err(|inner| if inner.is_empty() { place } else { inner })
    }

    /// An error is the beginning of the message: where it is.
    fn read(&mut self, name: &str) -> Result<(), String> {
        let whole = match self.above.last() {
            Some(_) => String::new(),
            None => String::from("cannot read a: "),
        };
        // `b/` is `b`, as far as paths go.
        let is_above = self.above.iter().any(|above| Path::new(above) == Path::new(name));
        if is_above || self.above.len() == DEPTH_MAX || self.files == FILES_MAX {
            return Err(whole);
        }
        self.files += 1;
        let text = (self.open)(Path::new(name)).map_err(|_| whole)?;
        self.above.push(String::from(name));
        let listener = self.listener.clone();
        for (index, line) in text.lines().enumerate() {
            let place = format!("{name}:{}: ", index + 1);
            match parse_for(&self.listener, line, self.services).map_err(|_| place.clone())? {
                None => {}
                Some(Command::Include(path)) => self.include(&path, place)?,
                Some(Command::On { listener, command }) if matches!(*command, Command::Include(_)) => {
                    let Command::Include(path) = *command else { continue };
                    let before = std::mem::replace(&mut self.listener, listener);
                    self.include(&path, place)?;
                    self.listener = before;
                }
                Some(command) => {
                    if let Command::Listener { name, .. } = &command {
                        self.listener.clone_from(name);
                    }
                    self.lines.push((String::from(name), index + 1, self.listener.clone(), command));
                }
            }
        }
        self.above.pop();
        self.listener = listener;
        Ok(())
    }
}
