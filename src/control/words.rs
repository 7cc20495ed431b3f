//! A line of the control language as words, and what can be wrong with it.
//!
//! Reading is strict: a number is digits and nothing else, every word must be expected, and the
//! message of an error names the word that is wrong. Words come from strangers, so messages show
//! them escaped and shortened.

use std::fmt;

use crate::balance::acl::AclError;
use crate::base::bytes::escaped;
use crate::base::operand::{OperandError, Services};

/// Longest line in bytes, without its end.
pub const LINE_MAX: usize = 4096;

/// Why a line is not a command. Reads as a sentence without its full stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandError {
    /// The command, when it is known; the message begins with it.
    command: Option<&'static str>,
    problem: Problem,
}

impl CommandError {
    pub(super) fn new(command: Option<&'static str>, problem: Problem) -> CommandError {
        CommandError { command, problem }
    }

    /// True if somebody with other service names might understand the line.
    pub fn lacks_service(&self) -> bool {
        matches!(&self.problem, Problem::Operand(_, OperandError::UnknownPort(_)))
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(command) = self.command {
            write!(f, "{command}: ")?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for CommandError {}

/// What is wrong with a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Problem {
    /// The line has more than [`LINE_MAX`] bytes.
    LongLine,
    /// A control character other than TAB; it would get into logs and onto terminals.
    ControlCharacter,
    /// A quote at the beginning of a word to which there is none at its end.
    LooseQuote(String),
    /// No such command.
    Unknown(String),
    /// A command for the process where this listener is meant.
    OfProcess(String),
    /// A command about listeners where one for a listener is expected.
    WithinOn,
    /// Not the name of a listener.
    NotAListener(String),
    /// A command of other pens.
    Absent(&'static str),
    /// The line ends too early; says what should have followed.
    Missing(&'static str),
    /// The line goes on where it should end.
    Extra(String),
    /// Not a number.
    NotANumber(String),
    /// A number outside its range, which follows.
    OutOfRange(String, i64, i64),
    /// Not one of the words that may stand here; says which may.
    NotOneOf(String, &'static str),
    /// Not a numeric address.
    NotAnAddress(String),
    /// An entry of an access list, or the number of a list, that is malformed.
    Acl(AclError),
    /// Not a name for a server.
    NotAName(String),
    /// A key that `server` does not have.
    UnknownKey(String),
    /// A key that is there already.
    Twice(String),
    /// A key at the end of the line.
    NoValue(String),
    /// An address, port or path that is malformed.
    Operand(String, OperandError),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::LongLine => write!(f, "the line is longer than {LINE_MAX} bytes"),
            Problem::ControlCharacter => f.write_str("the line has a control character"),
            Problem::LooseQuote(word) => write!(f, "'{}' begins with a quote and does not end with one", shown(word)),
            Problem::Unknown(word) => write!(f, "unknown command '{}'", shown(word)),
            Problem::OfProcess(listener) => write!(f, "it is for all of pen, and not for listener {}", shown(listener)),
            Problem::WithinOn => f.write_str("what is for no listener in particular cannot be within 'on'"),
            Problem::NotAListener(word) => {
                write!(f, "'{}' is no name: a letter, then letters, digits, '-', '_' or '.', 32 at most", shown(word))
            }
            Problem::Absent(name) => write!(f, "'{name}' is not in this pen"),
            Problem::Missing(what) => write!(f, "{what} is missing"),
            Problem::Extra(word) => write!(f, "unexpected word '{}'", shown(word)),
            Problem::NotANumber(word) => write!(f, "'{}' is not a number", shown(word)),
            Problem::OutOfRange(word, low, high) => write!(f, "{} is not within {low} to {high}", shown(word)),
            Problem::NotOneOf(word, words) => write!(f, "'{}' is not {words}", shown(word)),
            Problem::NotAnAddress(word) => write!(f, "'{}' is not an IP address", shown(word)),
            Problem::Acl(error) => error.fmt(f),
            Problem::NotAName(word) => write!(f, "'{}' is not a name", shown(word)),
            Problem::UnknownKey(word) => write!(f, "unknown key '{}'", shown(word)),
            Problem::Twice(word) => write!(f, "'{}' is given twice", shown(word)),
            Problem::NoValue(word) => write!(f, "'{}' has no value", shown(word)),
            // These errors name the part that is wrong, but not always the whole word.
            Problem::Operand(word, error) => write!(f, "'{}': {}", shown(word), error),
        }
    }
}

/// A word as a message shows it: escaped, and not longer than a line of a terminal.
fn shown(word: &str) -> String {
    const SHOWN: usize = 60;
    let mut text: String = escaped(word).take(SHOWN + 1).collect();
    if text.len() > SHOWN {
        text.truncate(SHOWN - 3);
        text.push_str("...");
    }
    text
}

/// The words of one line, read from left to right. A word that begins with `#` ends the line.
#[derive(Clone)]
pub(super) struct Words<'a> {
    rest: &'a str,
    /// The names of services, for ports.
    pub services: &'a Services,
}

impl<'a> Words<'a> {
    pub fn new(line: &'a str, services: &'a Services) -> Words<'a> {
        Words { rest: line, services }
    }

    /// The next word, which must be there: `what` it is.
    pub fn need(&mut self, what: &'static str) -> Result<&'a str, Problem> {
        self.next().ok_or(Problem::Missing(what))
    }

    /// Fails if there is a further word.
    pub fn end(&mut self) -> Result<(), Problem> {
        self.next().map_or(Ok(()), |word| Err(Problem::Extra(String::from(word))))
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() || rest.starts_with('#') {
            self.rest = "";
            return None;
        }
        let (word, rest) = match quoted(rest) {
            Some(parts) => parts,
            None => rest.split_at(rest.find([' ', '\t']).unwrap_or(rest.len())),
        };
        self.rest = rest;
        Some(word)
    }
}

/// A word in quotes at the beginning of a text, and what follows; nothing in it means anything.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.strip_prefix('"')?.split_once('"')?;
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some((word, rest))
}

/// Reads a number from `low` to `high`: a minus sign if `low` is negative, digits, and nothing
/// else.
pub(super) fn number(word: &str, low: i64, high: i64) -> Result<i64, Problem> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::NotANumber(String::from(word)));
    }
    // Whatever does not fit into 64 bits is out of every range.
    match word.parse() {
        Ok(value) if (low..=high).contains(&value) => Ok(value),
        Ok(_) | Err(_) => Err(Problem::OutOfRange(String::from(word), low, high)),
    }
}

/// Reads an unsigned number up to `high`.
pub(super) fn unsigned(word: &str, low: u32, high: u32) -> Result<u32, Problem> {
    let value = number(word, i64::from(low), i64::from(high))?;
    Ok(u32::try_from(value).expect("the range is one of u32"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_separated_by_blanks_and_tabs_and_end_at_a_comment() {
        let table: [(&str, &[&str]); 7] = [
            ("", &[]),
            (" \t ", &[]),
            ("a", &["a"]),
            ("  a\tb  c\t", &["a", "b", "c"]),
            ("a # b c", &["a"]),
            ("#a", &[]),
            ("a b#c", &["a", "b#c"]),
        ];
        for (line, expected) in table {
            let services = Services::default();
            let mut words = Words::new(line, &services);
            assert_eq!(words.by_ref().collect::<Vec<_>>(), expected, "{line:?}");
            assert_eq!(words.end(), Ok(()), "{line:?}");
        }
    }

    #[test]
    fn a_number_is_digits_within_its_range() {
        for (word, low, high, value) in [("0", 0, 9, 0), ("9", 0, 9, 9), ("007", 0, 9, 7), ("-3", -5, 5, -3)] {
            assert_eq!(number(word, low, high), Ok(value), "{word}");
        }
        for word in ["", "-", "+5", "5x", "x5", "0x5", "5.0", "5 ", "1e3", "٣"] {
            assert_eq!(number(word, 0, 9), Err(Problem::NotANumber(String::from(word))), "{word}");
        }
        for word in ["10", "-1", "99999999999999999999999", "-99999999999999999999999"] {
            assert_eq!(number(word, 0, 9), Err(Problem::OutOfRange(String::from(word), 0, 9)), "{word}");
        }
    }

    #[test]
    fn a_message_shows_a_word_escaped_and_shortened() {
        assert_eq!(shown("plain"), "plain");
        assert_eq!(shown("\u{1b}[31m"), "\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(60)), "x".repeat(60));
        assert_eq!(shown(&"x".repeat(61)), format!("{}...", "x".repeat(57)));
    }
}
