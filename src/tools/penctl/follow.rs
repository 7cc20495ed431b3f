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
    /// The beginning of the line that is not complete.
    line: Vec<u8>,
}

impl Count {
    fn take(&mut self, piece: &[u8], topic: &Topic) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = BEGINNING - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if is_whole {
                self.records += u64::from(is_record(&self.line, topic));
                self.line.clear();
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

/// Whether a line is a record or, with dumps, begins one.
fn is_record(line: &[u8], topic: &Topic) -> bool {
    let has_dumps = matches!(topic, Topic::Trace(trace) if trace.dumps);
    if let Some(event) = line.strip_prefix(b"time=") {
        let event = event.split(|byte| *byte == b' ').find_map(|word| word.strip_prefix(b"event="));
        return matches!(topic, Topic::Events(_)) && event.is_some_and(|event| !BESIDE.contains(&event));
    }
    let is_dated = line.len() > 10 && line[4] == b'-' && line[7] == b'-' && line[..4].iter().all(u8::is_ascii_digit);
    !has_dumps || is_dated || line.starts_with(b"copy_up(") || line.starts_with(b"copy_down(")
}

#[cfg(test)]
mod tests {
    use super::*;
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
            "copy_up(0)\n7: 7: a\n\nx\n\ncopy_down(0)\n2: \n00000000  30 0c  |0.|\n\n2026-11-26 05:35:00.123 0 c\n";
        assert_eq!(records("trace dump", dumps), 3);
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
            let count = Count { records, line: Vec::new() };
            let found = count.lacks(&wanted(line), Duration::from_secs(seconds));
            assert_eq!(found.as_deref(), expected, "{line}, {records}, {seconds}");
        }
    }
}
