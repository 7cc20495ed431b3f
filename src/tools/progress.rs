//! The line on a terminal that says how far a long run has come.

use std::io::Write;
use std::time::Duration;

use crate::sys::clock::Stopwatch;

/// Work that is done sooner needs no line.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the line changes.
const PERIOD: Duration = Duration::from_millis(250);
/// After so many calls the clock is looked at.
const CALLS: u32 = 64;

/// The line; without a terminal it is never written.
#[derive(Debug)]
pub struct Progress<W> {
    terminal: Option<W>,
    program: &'static str,
    watch: Stopwatch,
    /// When the next line is due.
    due: Duration,
    calls: u32,
    is_shown: bool,
}

impl<W: Write> Progress<W> {
    /// For a program; `None` if nobody looks.
    pub fn new(terminal: Option<W>, program: &'static str) -> Progress<W> {
        let watch = Stopwatch::started();
        Progress { terminal, program, watch, due: PATIENCE, calls: 0, is_shown: false }
    }

    /// Writes a new line if it is time: `text` is asked for only then. Cheap to call often.
    pub fn tell(&mut self, text: impl FnOnce() -> String) {
        let Some(terminal) = &mut self.terminal else { return };
        self.calls += 1;
        if !self.calls.is_multiple_of(CALLS) || self.watch.time() < self.due {
            return;
        }
        self.due = self.watch.time() + PERIOD;
        self.is_shown = true;
        // A terminal that has gone away is no reason to stop.
        let _ = write!(terminal, "\r{}: {}\x1b[K", self.program, text()).and_then(|()| terminal.flush());
    }

    /// Takes the line away.
    pub fn end(&mut self) {
        if let Some(terminal) = self.terminal.as_mut().filter(|_| self.is_shown) {
            let _ = write!(terminal, "\r\x1b[K").and_then(|()| terminal.flush());
        }
        self.is_shown = false;
    }
}

/// A number with commas: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_when_it_is_due_and_is_taken_away() {
        let mut screen = Vec::new();
        let mut progress = Progress::new(Some(&mut screen), "x");
        for _ in 0..3 * CALLS {
            progress.tell(|| panic!("it is too early"));
        }
        progress.end();
        progress.due = Duration::ZERO;
        for _ in 0..CALLS {
            progress.tell(|| String::from("7 %"));
        }
        progress.end();
        progress.end();
        assert_eq!(String::from_utf8(screen).unwrap(), "\rx: 7 %\x1b[K\r\x1b[K");

        let mut nobody = Progress::new(None::<Vec<u8>>, "x");
        nobody.due = Duration::ZERO;
        (0..2 * CALLS).for_each(|_| nobody.tell(|| panic!("nobody looks")));
        nobody.end();
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
