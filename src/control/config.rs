//! Files of commands: read whole, with the files that they include, before any of it is applied.
//!
//! Files are read through a closure, so that the simulation can have its own.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::command::{Command, parse_for};
use crate::balance::acl::Entry;
use crate::base::error::reason;
use crate::base::operand::Services;

/// How deep files may include files.
pub const DEPTH_MAX: usize = 8;

/// How many files may be read in all: eight levels can otherwise multiply without end.
pub const FILES_MAX: usize = 256;

/// A command of a file, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The file.
    pub file: Rc<Path>,
    /// The number of the line, from 1.
    pub number: usize,
    /// The name of the listener that the command is for.
    pub listener: Rc<str>,
    /// The command.
    pub command: Command,
}

/// Why a file of commands cannot be used: `FILE:LINE: what is wrong`, or `cannot read FILE: why`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError(String);

impl ConfigError {
    /// What is wrong with all of it.
    pub fn of(message: &str) -> ConfigError {
        ConfigError(String::from(message))
    }

    /// What is wrong with a line.
    pub fn at(file: &Path, number: usize, message: &str) -> ConfigError {
        ConfigError(format!("{}:{number}: {message}", file.display()))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// What brings the text of a file.
pub type Source<'a> = dyn FnMut(&Path) -> io::Result<String> + 'a;

/// Reads a file and the files that it includes, which stand in the place of their `include`
/// lines. `read` brings the text of a file; names are taken as they are written, so a relative
/// one begins at the directory of the process. Commands are for `listener` up to a `listener` line;
/// one in a file that is included counts to its end.
pub fn read_file(
    path: &Path,
    listener: &str,
    services: &Services,
    read: &mut Source<'_>,
) -> Result<Vec<Line>, ConfigError> {
    let listener = Rc::from(listener);
    let mut reader = Reader { services, read, listener, open: Vec::new(), files: 0, lines: Vec::new() };
    match reader.file(path) {
        Ok(()) => Ok(reader.lines),
        Err(Fault::File(message)) => Err(ConfigError(message)),
        Err(Fault::Line(error)) => Err(error),
    }
}

enum Fault {
    /// Something about a file as such: it is for whoever named it to say where that was.
    File(String),
    /// Something about a line.
    Line(ConfigError),
}

struct Reader<'a> {
    services: &'a Services,
    read: &'a mut Source<'a>,
    /// Whose commands are read.
    listener: Rc<str>,
    /// The files that are being read, each included by the one before it.
    open: Vec<PathBuf>,
    files: usize,
    lines: Vec<Line>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path) -> Result<(), Fault> {
        let name = path.display();
        if self.open.iter().any(|open| open == path) {
            return Err(Fault::File(format!("{name} includes itself")));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(Fault::File(format!("{name} is included more than {DEPTH_MAX} files deep")));
        }
        if self.files >= FILES_MAX {
            return Err(Fault::File(format!("{name} is one of more than {FILES_MAX} files")));
        }
        self.files += 1;
        let text = (self.read)(path).map_err(|error| Fault::File(format!("cannot read {name}: {}", reason(&error))))?;
        self.open.push(path.to_path_buf());
        let file: Rc<Path> = Rc::from(path);
        let listener = Rc::clone(&self.listener);
        for (number, line) in (1..).zip(text.lines()) {
            self.line(&file, number, line)?;
        }
        self.open.pop();
        self.listener = listener;
        Ok(())
    }

    fn include(&mut self, path: &Path, file: &Path, number: usize) -> Result<(), Fault> {
        self.file(path).map_err(|fault| match fault {
            Fault::File(message) => Fault::Line(ConfigError::at(file, number, &message)),
            Fault::Line(error) => Fault::Line(error),
        })
    }

    fn line(&mut self, file: &Rc<Path>, number: usize, line: &str) -> Result<(), Fault> {
        let fail = |message: &str| Fault::Line(ConfigError::at(file, number, message));
        match parse_for(&self.listener, line, self.services) {
            Err(error) => Err(fail(&error.to_string())),
            Ok(None) => Ok(()),
            Ok(Some(Command::Include(path))) => self.include(&path, file, number),
            Ok(Some(Command::On { listener, command })) if matches!(*command, Command::Include(_)) => {
                let Command::Include(path) = *command else { unreachable!("it was just looked at") };
                let before = std::mem::replace(&mut self.listener, Rc::from(listener));
                self.include(&path, file, number)?;
                self.listener = before;
                Ok(())
            }
            Ok(Some(command)) => {
                if let Command::Listener { name, .. } = &command {
                    self.listener = Rc::from(name.as_str());
                }
                let command = load(command, self.read).map_err(|error| fail(&error.to_string()))?;
                let listener = Rc::clone(&self.listener);
                self.lines.push(Line { file: Rc::clone(file), number, listener, command });
                Ok(())
            }
        }
    }
}

/// Reads the file of an access list; other commands are left as they are.
pub fn load(command: Command, read: &mut Source<'_>) -> Result<Command, ConfigError> {
    let (list, path) = match command {
        Command::AclFile { list, path } => (list, path),
        Command::On { listener, command } => {
            return load(*command, read).map(|command| Command::On { listener, command: Box::new(command) });
        }
        other => return Ok(other),
    };
    let text =
        read(&path).map_err(|error| ConfigError(format!("cannot read {}: {}", path.display(), reason(&error))))?;
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(entry) = entry(line).map_err(|message| ConfigError::at(&path, number, &message))? {
            entries.push(entry);
        }
    }
    Ok(Command::AclLoaded { list, path, entries })
}

/// A line of such a file: an entry as `acl` has it, an address that is permitted, or nothing.
fn entry(line: &str) -> Result<Option<Entry>, String> {
    let line = line.split('#').next().unwrap_or_default();
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let entry = match words[..] {
        [] => return Ok(None),
        [address] if !matches!(address, "permit" | "deny") => Entry::parse(&["permit", address]),
        _ => Entry::parse(&words),
    };
    entry.map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::listeners::MAIN_NAME;
    use crate::control::command::{Mode, Number};

    /// Reads `main` of some files: file, number and command of each line.
    fn read(files: &[(&str, &str)]) -> Result<Vec<(String, usize, Command)>, String> {
        let mut open = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| String::from(*text)).ok_or_else(|| io::Error::from_raw_os_error(2))
        };
        match read_file(Path::new("main"), MAIN_NAME, &Services::default(), &mut open) {
            Ok(lines) => {
                let parts = |line: Line| (line.file.display().to_string(), line.number, line.command);
                Ok(lines.into_iter().map(parts).collect())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_file_is_its_commands_with_those_of_its_includes_in_place() {
        let main = "# comment\n\n \troundrobin # in turn\r\ninclude other\r\nhash";
        let lines = read(&[("main", main), ("other", "\nblacklist 7\n")]).unwrap();
        let expected = [
            ("main", 3, Command::Switch(Mode::RoundRobin, true)),
            ("other", 2, Command::Number(Number::Blacklist, Some(7))),
            ("main", 5, Command::Switch(Mode::Hash, true)),
        ];
        assert_eq!(lines, expected.map(|(file, number, command)| (String::from(file), number, command)));
        assert_eq!(read(&[("main", "")]), Ok(vec![]));
    }

    #[test]
    fn commands_are_for_the_listener_of_their_section_and_a_file_has_sections_of_its_own() {
        let main = "hash\nlistener a 80\nhash\ninclude other\nhash\nlistener\nhash\non b include third\nhash";
        let files = [("main", main), ("other", "hash\nlistener b 81\nhash"), ("third", "hash\non a hash")];
        let mut open = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            Ok(String::from(found.expect("it is one of them").1))
        };
        let lines = read_file(Path::new("main"), MAIN_NAME, &Services::default(), &mut open).unwrap();
        let hash = Command::Switch(Mode::Hash, true);
        let of: Vec<String> = lines.iter().map(|line| format!("{} {}", line.listener, line.command == hash)).collect();
        let expected = [
            "main true",
            "a false",
            "a true",
            "a true",
            "b false",
            "b true",
            "a true",
            "main false",
            "main true",
            "b true",
            "b false",
            "main true",
        ];
        assert_eq!(of, expected);
        let lines = read(&[("main", "listener a 80\nserver 0 port 1\nconn_max 3")]);
        assert_eq!(lines.unwrap_err(), "main:3: conn_max: it is for all of pen, and not for listener a");
    }

    #[test]
    fn an_error_says_in_which_file_and_line_it_is() {
        let table: [(&[(&str, &str)], &str); 6] = [
            (&[("main", "hash\nfrob 3\n")], "main:2: unknown command 'frob'"),
            (&[("main", "hash\n\nblacklist x")], "main:3: blacklist: 'x' is not a number"),
            (&[("main", "include other"), ("other", "\nno\n")], "other:2: a command after 'no' is missing"),
            (&[], "cannot read main: no such file or directory"),
            (&[("main", "hash\ninclude gone")], "main:2: cannot read gone: no such file or directory"),
            (&[("main", "include")], "main:1: include: the name of a file is missing"),
        ];
        for (files, message) in table {
            assert_eq!(read(files), Err(String::from(message)));
        }
    }

    #[test]
    fn an_access_list_may_come_from_a_file() {
        let list = "# office\n10.0.0.0/8\n\ndeny 192.0.2.1 # no\n permit 2001:db8::/32\n";
        let lines = read(&[("main", "acl office file list\nhash"), ("list", list)]).unwrap();
        let Command::AclLoaded { list, path, entries } = &lines[0].2 else { panic!("{lines:?}") };
        assert_eq!((list.to_string().as_str(), path.to_str()), ("office", Some("list")));
        let shown: Vec<String> = entries.iter().map(Entry::to_string).collect();
        assert_eq!(shown, ["permit 10.0.0.0 255.0.0.0", "deny 192.0.2.1 255.255.255.255", "permit 2001:db8::/32"]);
        for (text, message) in [
            ("10.0.0.1\nhost1", "main:1: list:2: 'host1' is not an address"),
            ("permit", "main:1: list:1: no address after permit or deny"),
            ("10.0.0.0/33", "main:1: list:1: '33' is not the length of a prefix"),
        ] {
            assert_eq!(read(&[("main", "acl 1 file list"), ("list", text)]), Err(String::from(message)));
        }
        let missing = "main:1: cannot read list: no such file or directory";
        assert_eq!(read(&[("main", "acl 1 file list")]), Err(String::from(missing)));
    }

    #[test]
    fn files_that_include_each_other_are_refused() {
        assert_eq!(read(&[("main", "hash\ninclude main")]), Err(String::from("main:2: main includes itself")));
        let circle = [("main", "include a"), ("a", "include b"), ("b", "\ninclude a")];
        assert_eq!(read(&circle), Err(String::from("b:2: a includes itself")));
        // The same file under another name each time is stopped by the depth.
        let mut open = |path: &Path| Ok(format!("include y/../{}", path.display()));
        let error = read_file(Path::new("x"), MAIN_NAME, &Services::default(), &mut open).unwrap_err().to_string();
        assert!(error.ends_with("is included more than 8 files deep"), "{error}");
        // A file may well be included twice, but not for ever.
        assert_eq!(read(&[("main", "include a\ninclude a"), ("a", "hash")]).unwrap().len(), 2);
        let wide = "include a\n".repeat(FILES_MAX);
        let error = read(&[("main", &wide), ("a", "hash")]).unwrap_err();
        assert_eq!(error, "main:256: a is one of more than 256 files");
    }
}
