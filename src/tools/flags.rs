//! What the log tools' command lines have in common: a table of flags for each, which the parser,
//! `--help` and the test of the manuals read, and numbers that are numbers.

use std::ffi::OsString;
use std::fmt::Write as _;

use lexopt::{Arg, Parser};

use crate::base::error::Error;

/// One flag of a log tool; `--help` and `--version` are every tool's and in no table.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// The letter after one dash.
    pub letter: char,
    /// The name of what it takes; empty for nothing.
    pub argument: &'static str,
    /// What it does, as `--help` says it.
    pub what: &'static str,
}

/// A tool's command line, word by word.
pub struct Words {
    program: &'static str,
    usage: &'static str,
    flags: &'static [Flag],
    parser: Parser,
}

/// What a word of it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Word {
    /// A flag of the table that takes nothing.
    Set(char),
    /// A flag of the table, and its value.
    Value(char, OsString),
    /// Anything else.
    Operand(OsString),
    /// `--help` or `--version`: print this, and nothing else counts.
    Print(String),
}

impl Words {
    /// The words of `args`, of which the first is the program's name.
    pub fn new(
        program: &'static str,
        usage: &'static str,
        flags: &'static [Flag],
        args: impl IntoIterator<Item = OsString>,
    ) -> Words {
        Words { program, usage, flags, parser: Parser::from_iter(args) }
    }

    /// The next word; `None` at the end. Fails for a flag that is not in the table, or whose value
    /// is missing or too much.
    pub fn word(&mut self) -> Result<Option<Word>, Error> {
        let fail = |error: lexopt::Error| wrong(self.program, error);
        let word = match self.parser.next().map_err(fail)? {
            None => return Ok(None),
            Some(Arg::Value(operand)) => Word::Operand(operand),
            Some(Arg::Long("help")) => Word::Print(help(self.usage, self.flags)),
            Some(Arg::Long("version")) => Word::Print(version(self.program)),
            Some(arg) => match self.flags.iter().find(|flag| arg == Arg::Short(flag.letter)) {
                None => return Err(fail(arg.unexpected())),
                Some(flag) if flag.argument.is_empty() => Word::Set(flag.letter),
                Some(flag) => Word::Value(flag.letter, self.parser.value().map_err(fail)?),
            },
        };
        Ok(Some(word))
    }
}

/// What `--help` prints.
fn help(usage: &str, flags: &[Flag]) -> String {
    let mut text = format!("usage: {usage}\n\noptions:\n");
    let rows = flags.iter().map(|flag| (format!("-{} {}", flag.letter, flag.argument), flag.what));
    let common = [(String::from("--help"), "prints this"), (String::from("--version"), "prints the version")];
    for (flag, what) in rows.chain(common) {
        writeln!(text, "  {:14} {what}", flag.trim_end()).expect("writing into a string does not fail");
    }
    text
}

/// What `--version` prints.
fn version(program: &str) -> String {
    format!("{program} {}\n", env!("CARGO_PKG_VERSION"))
}

/// An error of usage, which names the culprit and says where help is.
pub fn wrong(program: &str, what: impl std::fmt::Display) -> Error {
    Error::usage(format!("{what}; try '{program} --help'"))
}

/// The value of a flag as text.
pub fn text(flag: char, value: OsString) -> Result<String, Error> {
    value.into_string().map_err(|value| Error::usage(format!("-{flag}: {value:?} is not UTF-8 text")))
}

/// The value of a flag as a whole number within its bounds.
pub fn number(flag: char, value: OsString, least: i64, most: i64) -> Result<i64, Error> {
    let text = text(flag, value)?;
    let digits = text.strip_prefix('-').filter(|_| least < 0).unwrap_or(&text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if is_number && (least..=most).contains(&number) => Ok(number),
        _ if is_number => Err(Error::usage(format!("-{flag}: {text} is not within {least} to {most}"))),
        _ => Err(Error::usage(format!("-{flag}: '{}' is not a number", text.escape_debug()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_number_within_its_bounds() {
        let table = [
            ("0", 0, 9, Ok(0)),
            ("9", 0, 9, Ok(9)),
            ("007", 0, 9, Ok(7)),
            ("-5", -9, 9, Ok(-5)),
            ("10", 0, 9, Err("-j: 10 is not within 0 to 9")),
            ("99999999999999999999", 0, 9, Err("-j: 99999999999999999999 is not within 0 to 9")),
            ("-1", 0, 9, Err("-j: '-1' is not a number")),
            ("+1", 0, 9, Err("-j: '+1' is not a number")),
            ("-", -9, 9, Err("-j: '-' is not a number")),
            ("", 0, 9, Err("-j: '' is not a number")),
            ("1s", 0, 9, Err("-j: '1s' is not a number")),
        ];
        for (text, least, most, expected) in table {
            let found = number('j', OsString::from(text), least, most).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(String::from), "{text:?}");
        }
    }

    const TABLE: [Flag; 2] = [
        Flag { letter: 'j', argument: "seconds", what: "is near" },
        Flag { letter: 'u', argument: "", what: "is UTC" },
    ];

    #[test]
    fn the_table_says_which_words_are_flags_and_which_values() {
        let words = |line: &str| {
            let args = ["x"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty())).map(OsString::from);
            let mut words = Words::new("x", "x [-u]", &TABLE, args);
            let mut found = Vec::new();
            loop {
                match words.word() {
                    Ok(Some(word)) => found.push(word),
                    Ok(None) => return Ok(found),
                    Err(error) => return Err(error.to_string()),
                }
            }
        };
        let (value, operand) = (|text: &str| Word::Value('j', text.into()), |text: &str| Word::Operand(text.into()));
        let table = [
            ("", Ok(vec![])),
            (
                "a -u - -j 5 -uj7 -j=8",
                Ok(vec![
                    operand("a"),
                    Word::Set('u'),
                    operand("-"),
                    value("5"),
                    Word::Set('u'),
                    value("7"),
                    value("8"),
                ]),
            ),
            ("-j -u", Ok(vec![value("-u")])),
            ("-- -u", Ok(vec![operand("-u")])),
            ("--version", Ok(vec![Word::Print(format!("x {}\n", env!("CARGO_PKG_VERSION")))])),
            ("-u -x", Err("invalid option '-x'; try 'x --help'")),
            ("--long", Err("invalid option '--long'; try 'x --help'")),
            ("-j", Err("missing argument for option '-j'; try 'x --help'")),
            ("--help=5", Err("unexpected argument for option '--help': \"5\"; try 'x --help'")),
        ];
        for (line, expected) in table {
            assert_eq!(words(line), expected.map_err(String::from), "{line:?}");
        }
    }

    #[test]
    fn help_has_a_line_for_each_flag() {
        let expected = "usage: x [-u]\n\noptions:\n  -j seconds     is near\n  -u             is UTC\n  \
                        --help         prints this\n  --version      prints the version\n";
        assert_eq!(help("x [-u]", &TABLE), expected);
    }
}
