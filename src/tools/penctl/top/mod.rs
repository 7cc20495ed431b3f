//! penctl top: a live table of servers.
//!
//! On a terminal it has the alternate screen, and gives everything back when it ends. Elsewhere it
//! prints as many tables as were asked for.

mod view;

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use super::metrics;
use super::pen::Pen;
use crate::base::error::Error;
use crate::sys::clock::Stopwatch;
use crate::sys::terminal::{Terminal, Wish, size};
use view::{KEYS, Key, Shot, View};

/// How long a pen has for its metrics.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most tables that can be asked for.
pub(super) const TABLES_MAX: u32 = 1_000_000;

/// The longest time between two tables, in seconds.
pub(super) const EVERY_MAX: u32 = 3_600;

/// A terminal that does not tell has this size.
const USUAL: (usize, usize) = (24, 80);

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    /// So many tables, one after the other; none for a live one. The first of one has no rates.
    pub tables: Option<u32>,
    /// Seconds from one to the next.
    pub every: u32,
    /// By what the rows are sorted, one of [`keys`].
    pub key: String,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted { tables: None, every: 1, key: String::from("server") }
    }
}

/// The words for what rows are sorted by.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(_, _, word)| *word)
}

fn key_of(word: &str) -> Key {
    KEYS.iter().find(|(_, _, known)| *known == word).map_or(Key::Server, |(key, _, _)| *key)
}

/// Shows how a pen is doing, until the user has seen enough.
pub(super) fn top(pen: &Pen, token: &str, wanted: &Wanted, out: &mut impl Write) -> Result<(), Error> {
    let watch = Watch { pen, token, last: None };
    match wanted.tables {
        Some(tables) => watch.print(tables, wanted, out),
        None if io::stdout().is_terminal() && io::stdin().is_terminal() => watch.live(wanted, out),
        None => Err(Error::usage("top needs a terminal; --once or -n prints tables anywhere")),
    }
}

/// A pen that is looked at again and again.
struct Watch<'a> {
    pen: &'a Pen,
    token: &'a str,
    last: Option<(Shot, Stopwatch)>,
}

impl Watch<'_> {
    /// The lines of a table, with the rates since the one before.
    fn look(&mut self, key: Key) -> Result<Vec<String>, Error> {
        let shot = Shot::read(&metrics::ask(self.pen, self.token, PATIENCE)?);
        let name = self.pen.to_string();
        let before = self.last.as_ref().map(|(before, clock)| (before, clock.time().as_secs_f64().max(0.001)));
        let lines = View { shot: &shot, before, key, pen: &name }.lines();
        self.last = Some((shot, Stopwatch::started()));
        Ok(lines)
    }

    fn print(mut self, tables: u32, wanted: &Wanted, out: &mut impl Write) -> Result<(), Error> {
        let (key, every) = (key_of(&wanted.key), Duration::from_secs(u64::from(wanted.every)));
        for table in 0..tables {
            if table > 0 {
                thread::sleep(every);
            }
            let text = self.look(key)?.join("\n") + "\n" + if table + 1 < tables { "\n" } else { "" };
            if !super::print(out, text.as_bytes())? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn live(mut self, wanted: &Wanted, out: &mut impl Write) -> Result<(), Error> {
        let mut key = key_of(&wanted.key);
        // A pen that cannot be reached is told before the screen is taken.
        let mut lines = self.look(key)?;
        let cannot = |error: io::Error| Error::system(format!("cannot use the terminal: {error}"));
        let mut screen = Screen::open(out).map_err(cannot)?;
        let every = Duration::from_secs(u64::from(wanted.every));
        loop {
            screen.draw(&lines, key).map_err(cannot)?;
            let clock = Stopwatch::started();
            let mut has_chosen = false;
            while !has_chosen && clock.time() < every {
                match screen.terminal.wish(every.saturating_sub(clock.time())) {
                    Some(Wish::End | Wish::Key(b'q' | b'Q' | 3 | 4)) => return Ok(()),
                    Some(Wish::Key(letter)) => {
                        let chosen = KEYS.iter().find(|(_, known, _)| *known == letter);
                        key = chosen.map_or(key, |(key, _, _)| *key);
                        has_chosen = chosen.is_some() || letter == b' ';
                    }
                    None => {}
                }
            }
            lines = self.look(key).unwrap_or_else(|error| vec![error.to_string()]);
        }
    }
}

/// The alternate screen. Dropping it brings back the one before.
struct Screen<'a, W: Write> {
    out: &'a mut W,
    terminal: Terminal,
}

impl<'a, W: Write> Screen<'a, W> {
    fn open(out: &'a mut W) -> io::Result<Screen<'a, W>> {
        let terminal = Terminal::open()?;
        let screen = Screen { out, terminal };
        // The alternate screen, without a cursor (xterm's control sequences).
        screen.out.write_all(b"\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }

    fn draw(&mut self, lines: &[String], key: Key) -> io::Result<()> {
        let (rows, columns) = size(io::stdout()).unwrap_or(USUAL);
        let mut text = String::from("\x1b[H");
        for (number, line) in lines.iter().take(rows.saturating_sub(1)).enumerate() {
            let line: String = line.chars().take(columns).collect();
            // The heads stand out.
            let (begin, end) = if number == 1 { ("\x1b[7m", "\x1b[0m") } else { ("", "") };
            text.push_str(&format!("{begin}{line}{end}\x1b[K\r\n"));
        }
        let help: String = help(key).chars().take(columns.saturating_sub(1)).collect();
        text.push_str(&format!("{help}\x1b[K\x1b[J"));
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// The line that names the keys, and the one that counts.
fn help(key: Key) -> String {
    let words = KEYS.iter().map(|(each, letter, word)| {
        let mark = if *each == key { "*" } else { "" };
        format!("{} {word}{mark}", char::from(*letter))
    });
    format!("q quit  {}", words.collect::<Vec<_>>().join("  "))
}

impl<W: Write> Drop for Screen<'_, W> {
    fn drop(&mut self) {
        // Whoever closed the terminal does not mind.
        let _ = self.out.write_all(b"\x1b[?25h\x1b[?1049l").and_then(|()| self.out.flush());
    }
}
