//! The book as a file: a first line that says what it is, and a line for each address, with the
//! time until which it holds, in seconds since 1970, and its name, or a hyphen if it has none.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::book::{Book, Known};
use super::name::is_host_name;
use crate::base::time::Now;

/// The first line.
const TITLE: &str = "# webresolve cache 1";

/// No answer is kept for longer (two days): a date beyond that is a mistake.
const KEPT_MOST: u64 = 2 * 86_400;

/// The book as the text of a file.
pub fn write_book(book: &Book, now: Now) -> String {
    let mut text = format!("{TITLE}\n");
    for (address, name, until) in book.kept(now.moment) {
        let until = now.unix + until.since(now.moment).as_secs();
        let name = name.unwrap_or("-");
        writeln!(text, "{address} {until} {name}").expect("writing into a string does not fail");
    }
    text
}

/// Reads such a text into a book, without what is over. Fails with the end of a sentence that names
/// the line which is wrong; the book is then of no use.
pub fn read_book(text: &[u8], book: &mut Book, now: Now) -> Result<(), String> {
    let mut lines = text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n').zip(1..);
    if lines.next().is_none_or(|(first, _)| first != TITLE.as_bytes()) {
        return Err(format!("it is no cache of webresolve: its first line is not '{TITLE}'"));
    }
    for (line, number) in lines {
        let Some((address, until, known)) = read_line(line) else {
            let shown: String = String::from_utf8_lossy(line).chars().take(80).collect();
            return Err(format!("line {number} is not an address, a time and a name: '{}'", shown.escape_debug()));
        };
        if until > now.unix {
            let left = (until - now.unix).min(KEPT_MOST);
            book.enter(address, known, now.moment + Duration::from_secs(left));
        }
    }
    Ok(())
}

fn read_line(line: &[u8]) -> Option<(IpAddr, u64, Known)> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (address, until, name) = (words.next()?, words.next()?, words.next()?);
    let known = match name {
        "-" => Known::Nameless,
        name if is_host_name(name) => Known::Name(name.into()),
        _ => return None,
    };
    let is_number = until.bytes().all(|byte| byte.is_ascii_digit());
    let address = address.parse::<IpAddr>().ok()?.to_canonical();
    (words.next().is_none() && is_number).then_some((address, until.parse().ok()?, known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Moment;
    use crate::dns::lookup::Outcome;

    const NOW: Now = Now { moment: Moment::from_nanos(1 << 50), unix: 1_795_369_321 };

    #[test]
    fn what_was_written_is_read_again() {
        let mut book = Book::new(9);
        let outcomes = [
            ("192.0.2.1", Outcome::Name(String::from("one.example"), 100)),
            ("192.0.2.2", Outcome::Nameless(200)),
            ("2001:db8::3", Outcome::Name(String::from("three_x.example"), 300)),
            ("192.0.2.4", Outcome::Unanswered),
            ("192.0.2.5", Outcome::Unfit(500)),
        ];
        for (address, outcome) in outcomes {
            let (at, _) = book.look(address.parse().unwrap(), NOW.moment);
            book.answered(at, &outcome, NOW.moment);
        }
        book.look("192.0.2.6".parse().unwrap(), NOW.moment);
        let text = write_book(&book, NOW);
        let expected = "# webresolve cache 1\n192.0.2.1 1795369421 one.example\n192.0.2.2 1795369521 -\n\
            2001:db8::3 1795369621 three_x.example\n192.0.2.5 1795369821 -\n";
        assert_eq!(text, expected);
        let mut again = Book::new(9);
        read_book(text.as_bytes(), &mut again, NOW).unwrap();
        assert_eq!(write_book(&again, NOW), text);
        let later = Now { moment: NOW.moment, unix: NOW.unix + 250 };
        let mut again = Book::new(9);
        read_book(text.as_bytes(), &mut again, later).unwrap();
        assert_eq!(again.len(), 2, "the others are over");
    }

    #[test]
    fn what_is_no_cache_is_refused_with_its_line() {
        let table = [
            ("", "no cache of webresolve"),
            ("192.0.2.1 - - [22/Nov/2026:17:39:50 +0000] \"GET / HTTP/1.1\" 200 1\n", "no cache of webresolve"),
            ("# webresolve cache 1\n192.0.2.1 9999999999 a.b\nx\n", "line 3 "),
            ("# webresolve cache 1\n192.0.2.1 9999999999 a b\n", "line 2 "),
            ("# webresolve cache 1\n192.0.2.1 +9 a\n", "line 2 "),
            ("# webresolve cache 1\n192.0.2.1  a\n", "line 2 "),
            ("# webresolve cache 1\n192.0.2.300 9999999999 a\n", "line 2 "),
            (
                "# webresolve cache 1\n192.0.2.1 9999999999 a\x1b[2J\n",
                "line 2 is not an address, a time and a name: '192.0.2.1 9999999999 a\\u{1b}[2J'",
            ),
            ("# webresolve cache 1\n192.0.2.1 9999999999 10.0.0.1\n", "line 2 "),
            ("# webresolve cache 1\n\n", "line 2 "),
        ];
        for (text, part) in table {
            let message = read_book(text.as_bytes(), &mut Book::new(9), NOW).unwrap_err();
            assert!(message.contains(part), "{text:?}: {message}");
        }
        let mut book = Book::new(9);
        read_book(b"# webresolve cache 1\n192.0.2.1 99999999999999999 a\n", &mut book, NOW).unwrap();
        assert_eq!(book.kept(NOW.moment).next().unwrap().2, NOW.moment + Duration::from_secs(KEPT_MOST));
    }
}
