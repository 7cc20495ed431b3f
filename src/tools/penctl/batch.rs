//! Commands from standard input, one a line: each is checked and sent, and its reply printed, before
//! the next is looked at.

use std::io::{BufRead, Read, Write};
use std::time::Duration;

use super::follow::follow;
use super::pen::Pen;
use super::{ask, checked};
use crate::base::error::{Error, ErrorKind, reason};
use crate::base::operand::Services;
use crate::control::command::{Command, parse_for};
use crate::control::scope::{Scope, scope_of};
use crate::control::{LINE_MAX, MAIN_NAME};

/// Who is asked, and how.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// The pen.
    pub pen: Pen,
    /// What stands before each line.
    pub token: String,
    /// How long it has for each.
    pub patience: Duration,
    /// Names of ports.
    pub services: &'a Services,
}

/// Passes on all lines. The exit status of the first that failed, or 0; when pen cannot be reached
/// there is no use in going on.
pub(super) fn obey(
    asked: &Asked<'_>,
    input: &mut impl BufRead,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<u8, Error> {
    let mut section = String::from(MAIN_NAME);
    let mut status = 0;
    for number in 1_u64.. {
        let Some(line) = next_line(input)? else { break };
        if let Err(error) = asked.line(&line, &mut section, out) {
            // There is nobody else to be told.
            let _ = writeln!(err, "penctl: line {number}: {error}");
            status = if status == 0 { error.exit_status() } else { status };
            if error.kind() == ErrorKind::Unavailable {
                break;
            }
        }
    }
    Ok(status)
}

impl Asked<'_> {
    /// Passes on one line. Each is a session of its own for pen, so that it is here where a line
    /// `listener` counts for those that follow.
    fn line(&self, line: &[u8], section: &mut String, out: &mut impl Write) -> Result<(), Error> {
        let line = std::str::from_utf8(line).map_err(|_| Error::usage("the line is not UTF-8 text"))?;
        let command = parse_for(section, line, self.services);
        if let Ok(Some(Command::Listener { name, .. })) = &command {
            section.clone_from(name);
        }
        let goes_on = checked(command).map_err(|error| Error::usage(error.to_string()))?;
        let mut words = line.split_ascii_whitespace();
        let name = match (words.next(), words.next()) {
            (Some("no"), Some(name)) | (Some(name), _) => name,
            (None, _) => "",
        };
        let whose = match scope_of(name) {
            Scope::Listener if section != MAIN_NAME => format!("on {section} "),
            Scope::Listener | Scope::Process | Scope::Itself => String::new(),
        };
        let line = format!("{}{whose}{line}", self.token);
        match goes_on {
            None => Ok(()),
            Some(None) => ask(&self.pen, &line, self.patience, out),
            Some(Some(wanted)) => follow(&self.pen, &line, &wanted, self.patience, out),
        }
    }
}

/// The next line without its end; nothing at the end. Of one that is too long only so much is kept
/// that it is refused.
fn next_line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, Error> {
    let cannot = |error| Error::system(format!("cannot read standard input: {}", reason(&error)));
    let mut line = Vec::new();
    let most = LINE_MAX as u64 + 2;
    let count = input.by_ref().take(most).read_until(b'\n', &mut line).map_err(cannot)?;
    if count == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if count as u64 == most {
        input.skip_until(b'\n').map_err(cannot)?;
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_whole_and_long_ones_are_cut() {
        let long = "x".repeat(3 * LINE_MAX);
        let text = format!("pid\r\n\n{long}\nlast");
        let mut input = text.as_bytes();
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut input).unwrap() {
            lines.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[0].as_str(), lines[1].as_str(), lines[3].as_str()), ("pid", "", "last"));
        assert_eq!(lines[2].len(), LINE_MAX + 2);
    }
}
