//! How a line becomes a command.

use super::command::{COMMANDS, Command, Row};
use super::read;
use super::scope::Scope;
use super::words::{CommandError, LINE_MAX, Problem, Words};
use crate::balance::listeners::MAIN_NAME;
use crate::base::operand::Services;

/// Reads one line for the first listener: as [`parse_for`].
pub fn parse(line: &str, services: &Services) -> Result<Option<Command>, CommandError> {
    parse_for(MAIN_NAME, line, services)
}

/// Reads one line for the listener of this name. `None` stands for a blank line or a comment.
///
/// A line is at most 4096 bytes; its words are separated by blanks and tabs; a word that begins
/// with `#` begins a comment, one that begins with `"` ends at the next one. An error says in one sentence which word is wrong.
pub fn parse_for(listener: &str, line: &str, services: &Services) -> Result<Option<Command>, CommandError> {
    let fail = |problem| CommandError::new(None, problem);
    if line.len() > LINE_MAX {
        return Err(fail(Problem::LongLine));
    }
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(fail(Problem::ControlCharacter));
    }
    // What stands in quotes has none itself.
    if let Some(word) = Words::new(line, services).find(|word| word.starts_with('"')) {
        return Err(fail(Problem::LooseQuote(String::from(word))));
    }
    let mut words = Words::new(line, services);
    let Some(first) = words.next() else { return Ok(None) };
    if first != "on" {
        return command(listener, first, &mut words).map(Some);
    }
    let named = |problem| CommandError::new(Some("on"), problem);
    let name = read::listener_name(&mut words).map_err(named)?;
    let first = words.need("a command").map_err(named)?;
    let command = command(&name, first, &mut words)?;
    match command {
        Command::Listener { .. } | Command::Listeners | Command::NoListener(_) => Err(named(Problem::WithinOn)),
        _ => Ok(Some(Command::On { listener: name, command: Box::new(command) })),
    }
}

/// Reads the command that begins with this word.
fn command(listener: &str, first: &str, words: &mut Words<'_>) -> Result<Command, CommandError> {
    let fail = |problem| CommandError::new(None, problem);
    let row = if first == "no" {
        let second = words.need("a command after 'no'").map_err(fail)?;
        find_no(second).ok_or_else(|| fail(Problem::Unknown(format!("no {second}"))))?
    } else {
        find(first).ok_or_else(|| fail(Problem::Unknown(String::from(first))))?
    };
    // "not in this pen" names the command itself.
    let name = if row.exists() { Some(row.name) } else { None };
    if row.scope() == Scope::Process && listener != MAIN_NAME {
        return Err(CommandError::new(name, Problem::OfProcess(String::from(listener))));
    }
    row.read(words).map_err(|problem| CommandError::new(name, problem))
}

fn find(name: &str) -> Option<&'static Row> {
    COMMANDS.iter().find(|row| row.name == name)
}

fn find_no(name: &str) -> Option<&'static Row> {
    // What is not in this pen has no rows of its own for its "no" forms.
    let absent = || find(name).filter(|row| !row.exists());
    COMMANDS.iter().find(|row| row.name.strip_prefix("no ") == Some(name)).or_else(absent)
}
