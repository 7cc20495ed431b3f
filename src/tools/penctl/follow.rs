//! Replies that go on: they are printed as they come, and judged at their end.
//!
//! When all has come that was asked for, pen ends the connection; if pen dies, the system does, and both look alike. So
//! what was asked for is counted here.

use std::io::Write;
use std::time::Duration;

use super::pen::Pen;
use super::{obeyed, print};
use crate::base::error::Error;
use crate::control::subscription::{Subscription, Topic};
use crate::sys::clock::Stopwatch;

/// So much of each line says what it is.
const BEGINNING: usize = 48;

/// What pen says of itself among the records: these do not count.
const BESIDE: [&[u8]; 3] = [b"subscribed", b"alive", b"lost"];

/// Sends a command whose reply goes on, and prints that as it comes, until pen ends it or nobody
/// reads on.
///
/// # Errors
/// As well if it ends before all has come that was asked for.
pub(super) fn follow(
    pen: &Pen,
    line: &str,
    wanted: &Subscription,
    patience: Duration,
    out: &mut impl Write,
) -> Result<(), Error> {
    let clock = Stopwatch::started();
    let mut count = Count::default();
    let reply = pen.ask(line, patience);
    let mut next = reply.first()?;
    if let Some(first) = &next {
        obeyed(first)?;
    }
    while let Some(piece) = next {
        count.take(&piece, &wanted.topic);
        if !print(out, &piece)? {
            return Ok(());
        }
        next = reply.next()?;
    }
    match count.lacks(wanted, clock.time()) {
        Some(why) => Err(Error::unavailable(format!("the connection to {pen} has ended{why}"))),
        None => Ok(()),
    }
}

/// The records that have come.
#[derive(Debug, Default)]
struct Count {
    records: u64,
    within: Within,
    /// The beginning of the line that is not complete.
    line: Vec<u8>,
}

/// Where the next byte belongs. What was relayed may look like anything, so that a dump is passed over by its length.
#[derive(Clone, Copy, Debug, Default)]
enum Within {
    /// A line that says what it is.
    #[default]
    Line,
    /// The length of a dump, a colon and a blank: so far this.
    Length(usize),
    /// A dump of so many bytes, of which these begin one in columns or are text.
    Dump { length: usize, alike: usize },
    /// Text, and so many bytes to come with its newline.
    Text(usize),
    /// Columns, and so many lines to come with the blank one.
    Rows(usize),
}

/// What a dump in columns begins with, after its length.
const COLUMNS: &[u8] = b"\n00000000  ";

/// Bytes on a line of columns.
const ROW: usize = 16;

impl Within {
    /// Where the byte behind this one belongs.
    fn behind(self, byte: u8) -> Within {
        match self {
            Within::Line => Within::Line,
            Within::Length(length) => match byte {
                b'0'..=b'9' => Within::Length(length.saturating_mul(10).saturating_add(usize::from(byte - b'0'))),
                b' ' => Within::Dump { length, alike: 0 },
                _ => Within::Length(length),
            },
            Within::Dump { length, alike } if byte == COLUMNS[alike] => match alike + 1 {
                all if all == COLUMNS.len() => Within::Rows(length.div_ceil(ROW) + 1),
                alike => Within::Dump { length, alike },
            },
            Within::Dump { length, alike } => Within::Text(length - alike.min(length)),
            Within::Text(left) => Within::Text(left - 1),
            Within::Rows(left) => Within::Rows(left - usize::from(byte == b'\n')),
        }
        .or_line()
    }

    /// A line, if nothing of a dump is to come.
    fn or_line(self) -> Within {
        match self {
            Within::Text(0) | Within::Rows(0) => Within::Line,
            within => within,
        }
    }
}

impl Count {
    fn take(&mut self, piece: &[u8], topic: &Topic) {
        for &byte in piece {
            match self.within {
                Within::Line if byte == b'\n' => {
                    self.records += u64::from(is_record(&self.line, topic));
                    if begins_dump(&self.line, topic) {
                        self.within = Within::Length(0);
                    }
                    self.line.clear();
                }
                Within::Line if self.line.len() < BEGINNING => self.line.push(byte),
                within => self.within = within.behind(byte),
            }
        }
    }

    /// What of that which was asked for has not come, as the end of a sentence.
    fn lacks(&self, wanted: &Subscription, time: Duration) -> Option<String> {
        match (wanted.records, wanted.seconds) {
            (Some(records), _) if self.records >= u64::from(records) => None,
            (_, Some(seconds)) if time >= Duration::from_secs(u64::from(seconds)) => None,
            (Some(records), _) => Some(format!(": {} of {records} lines have come", self.records)),
            (None, Some(seconds)) => Some(format!(": {} of {seconds} seconds are over", time.as_secs())),
            (None, None) => Some(String::new()),
        }
    }
}

/// Whether a line is a record or begins one.
fn is_record(line: &[u8], topic: &Topic) -> bool {
    let Some(event) = line.strip_prefix(b"time=") else { return true };
    let event = event.split(|byte| *byte == b' ').find_map(|word| word.strip_prefix(b"event="));
    matches!(topic, Topic::Events(_)) && event.is_some_and(|event| !BESIDE.contains(&event))
}

/// Whether the dump of a chunk is behind a line.
fn begins_dump(line: &[u8], topic: &Topic) -> bool {
    let has_dumps = matches!(topic, Topic::Trace(trace) if trace.dumps);
    has_dumps && (line.starts_with(b"copy_up(") || line.starts_with(b"copy_down("))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diag::DumpForm;
    use crate::base::operand::Services;
    use crate::control::command::{Command, parse};

    fn wanted(line: &str) -> Subscription {
        match parse(line, &Services::default()) {
            Ok(Some(Command::Subscribe(wanted))) => wanted,
            other => panic!("{other:?}"),
        }
    }

    /// How many records a reply has, however it is cut.
    fn records(line: &str, reply: &str) -> u64 {
        let topic = wanted(line).topic;
        let counts = [1, 2, 7, 10_000].map(|length| {
            let mut count = Count::default();
            reply.as_bytes().chunks(length).for_each(|piece| count.take(piece, &topic));
            count.records
        });
        assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
        counts[0]
    }

    #[test]
    fn records_are_what_was_asked_for_and_nothing_beside() {
        const T: &str = "time=2026-11-26T05:35:00Z event=";
        let events =
            format!("{T}subscribed version=1\n{T}accepted a=1\n{T}alive\n{T}lost records=3\n{T}closed\n{T}clo");
        assert_eq!(records("events", &events), 2);
        let long = "x".repeat(1_000);
        let lines = format!("{T}subscribed\n2026-11-26 05:35:00.123 0 a > b ftp: {long}\n{T}alive\n2026-11-26 x\n");
        assert_eq!(records("trace", &lines), 2);
        let dumps =
            "copy_up(0)\n8: 7: a\n\nx\n\ncopy_down(0)\n2: \n00000000  30 0c  |0.|\n\n2026-11-26 05:35:00.123 0 c\n";
        assert_eq!(records("trace dump", dumps), 3);
    }

    #[test]
    fn what_was_relayed_is_no_record_whatever_it_looks_like() {
        use crate::trace::Tracer;
        use crate::trace::dump::Direction::{Down, Up};

        let chunks: [&[u8]; 9] = [
            b"copy_up(0)\n7: ",
            b"2026-11-26 05:35:00.123 0 a > b ftp: QUIT\r\n",
            b"\n",
            b"\n\n\n",
            b"\n00",
            b"\n0000000x\ncopy_down(1)\n",
            b"x",
            b"\xff\ncopy_up(2)\n\n",
            &[0; 33],
        ];
        for form in [DumpForm::Auto, DumpForm::Ascii, DumpForm::Columns] {
            let mut tracer = Tracer::new(2, form);
            let mut reply = Vec::new();
            for chunk in chunks {
                reply.extend_from_slice(b"2026-11-26 05:35:00.123 0 a > b 7 bytes\n");
                reply.extend_from_slice(tracer.dump(Up, 0, chunk));
                reply.extend_from_slice(tracer.dump(Down, 12, chunk));
            }
            assert_eq!(records("trace dump", std::str::from_utf8(&reply).unwrap_or("?")), 27, "{form:?}");
        }
    }

    #[test]
    fn what_has_not_come_is_told() {
        let table = [
            ("events", 9, 9, Some("")),
            ("events lines 3", 2, 9, Some(": 2 of 3 lines have come")),
            ("events lines 3", 3, 0, None),
            ("events seconds 5", 9, 4, Some(": 4 of 5 seconds are over")),
            ("events seconds 5", 0, 5, None),
            ("events lines 3 seconds 5", 2, 4, Some(": 2 of 3 lines have come")),
            ("events lines 3 seconds 5", 3, 4, None),
            ("events lines 3 seconds 5", 2, 5, None),
        ];
        for (line, records, seconds, expected) in table {
            let count = Count { records, ..Count::default() };
            let found = count.lacks(&wanted(line), Duration::from_secs(seconds));
            assert_eq!(found.as_deref(), expected, "{line}, {records}, {seconds}");
        }
    }
}
