//! The lines of a web server's access log, and what of them can be found in pen's log.
//!
//! ```text
//! 10.0.0.9 - - [09/Jan/2002:01:28:25 +0100] "GET /index.html HTTP/1.1" 200 10 "http://ref/" "agent"
//! ```
//!
//! Common and combined format, and all that has a client as its first word, a time between
//! brackets and after it a request between quotes. Servers escape quotes and whatever is not
//! printable within the request (`\"`, `\x22`); pen shows dots there, and 100 bytes at most.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::ops::Range;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use memchr::{memchr, memchr_iter, memrchr};

use super::record::TEXT_MAX;
use crate::base::bytes::masked;

/// The longest time between brackets that is looked at, in bytes.
const TIME_MAX: usize = 64;

/// Where the parts of a line are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebLine {
    /// The client is the line up to here.
    pub client_end: usize,
    /// The text between the brackets.
    pub time: Range<usize>,
    /// What that text says.
    pub at: LoggedTime,
    /// The text between the quotes.
    pub request: Range<usize>,
}

/// The time of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoggedTime {
    /// Milliseconds since 1970 in UTC; a time without a zone counts as UTC.
    pub millis: i64,
    /// Whether it has parts of a second.
    pub is_fine: bool,
    /// How it is written.
    pub style: Style,
}

/// How a time is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// `09/Jan/2002:01:28:25 +0100`, as Apache has it.
    Common,
    /// `2002-01-09T01:28:25+01:00`, as RFC 3339 has it.
    Iso,
}

/// Reads lines; remembers the last time that it read, because many lines have the same.
#[derive(Default, Debug)]
pub struct Reader {
    last: Option<LoggedTime>,
    text: Vec<u8>,
}

impl Reader {
    /// Finds the parts of a line without its newline; `None` if it has not all of them.
    pub fn parse(&mut self, line: &[u8]) -> Option<WebLine> {
        let client_end = memchr(b' ', line)?;
        let (time, at) = self.time(line, client_end)?;
        let open = time.end + 1 + memchr(b'"', &line[time.end + 1..])?;
        let rest = &line[open + 1..];
        // Logs of servers that escape nothing may have a backslash before the last quote.
        let length = closing_quote(rest).or_else(|| memchr(b'"', rest))?;
        Some(WebLine { client_end, time, at, request: open + 1..open + 1 + length })
    }

    /// The first time between brackets: what a user calls himself may have brackets, too.
    fn time(&mut self, line: &[u8], start: usize) -> Option<(Range<usize>, LoggedTime)> {
        for open in memchr_iter(b'[', &line[start..]) {
            let open = start + open + 1;
            let rest = &line[open..line.len().min(open + TIME_MAX)];
            let Some(length) = memchr(b']', rest) else { continue };
            let text = &rest[..length];
            let at = match self.last {
                Some(last) if self.text == text => Some(last),
                _ => parse_time(text),
            };
            if let Some(at) = at {
                self.last = Some(at);
                self.text.clear();
                self.text.extend_from_slice(text);
                return Some((open..open + length, at));
            }
        }
        None
    }
}

/// Where the first quote is that no backslash stands before.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', &text[from..])?;
        if text[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
        if from > text.len() {
            return None;
        }
    }
}

/// Reads a time, with or without a zone and parts of a second.
pub fn parse_time(text: &[u8]) -> Option<LoggedTime> {
    let (date, time, style) = match text {
        _ if text.len() >= 20 && text[2] == b'/' && text[6] == b'/' && text[11] == b':' => {
            let month = month(&text[3..6])?;
            ((number(&text[7..11])?, month, number(&text[..2])?), &text[12..], Style::Common)
        }
        _ if text.len() >= 19 && text[4] == b'-' && text[7] == b'-' && matches!(text[10], b'T' | b' ') => {
            ((number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?), &text[11..], Style::Iso)
        }
        _ => return None,
    };
    if time.len() < 8 || time[2] != b':' || time[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (number(&time[..2])?, number(&time[3..5])?, number(&time[6..8])?);
    let (fraction, zone) = parse_fraction(&time[8..])?;
    let offset = parse_zone(zone)?;
    let small = |number: u32| i8::try_from(number).ok();
    // Civil times here have no leap seconds; the log's second 60 is the one before it once more.
    let second = if second == 60 { 59 } else { second };
    let (hour, minute, second) = (small(hour)?, small(minute)?, small(second)?);
    let year = i16::try_from(date.0).ok()?;
    let civil = DateTime::new(year, small(date.1)?, small(date.2)?, hour, minute, second, 0).ok()?;
    let unix = Offset::from_seconds(offset).ok()?.to_timestamp(civil).ok()?.as_second();
    Some(LoggedTime { millis: unix * 1000 + fraction.unwrap_or(0), is_fine: fraction.is_some(), style })
}

/// Milliseconds after a full stop or comma, if there are any, and what follows.
fn parse_fraction(text: &[u8]) -> Option<(Option<i64>, &[u8])> {
    let [b'.' | b',', digits @ ..] = text else { return Some((None, text)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let millis =
        (0..3).fold(0, |millis, at| millis * 10 + digits[..length].get(at).map_or(0, |byte| i64::from(byte - b'0')));
    (length > 0).then_some((Some(millis), &digits[length..]))
}

/// Seconds east of Greenwich: `+0100`, `-05:00`, `Z`, or nothing.
fn parse_zone(text: &[u8]) -> Option<i32> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, digits) = match text {
        [] | [b'Z'] => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [hours @ .., m1, m2] if hours.len() == 2 => (number(hours)?, number(&[*m1, *m2])?),
        [hours @ .., b':', m1, m2] if hours.len() == 2 => (number(hours)?, number(&[*m1, *m2])?),
        _ => return None,
    };
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    (minutes < 60).then_some(sign * seconds)
}

fn number(digits: &[u8]) -> Option<u32> {
    let is_number = !digits.is_empty() && digits.len() < 9 && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |number, byte| number * 10 + u32::from(byte - b'0')))
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn month(name: &[u8]) -> Option<u32> {
    let at = MONTHS.iter().position(|month| month.as_bytes().eq_ignore_ascii_case(name))?;
    u32::try_from(at + 1).ok()
}

/// Appends a time in UTC, written as it was.
pub fn write_utc(out: &mut Vec<u8>, at: LoggedTime) {
    // Every time that was read is within the years that civil times have, give or take a day.
    let timestamp = jiff::Timestamp::from_second(at.millis.div_euclid(1000)).unwrap_or_default();
    let civil = Offset::UTC.to_datetime(timestamp);
    let (year, month, day) = (civil.year(), civil.month(), civil.day());
    let (hour, minute, second) = (civil.hour(), civil.minute(), civil.second());
    let fraction = if at.is_fine { format!(".{:03}", at.millis.rem_euclid(1000)) } else { String::new() };
    let written = match at.style {
        Style::Common => {
            let month = MONTHS[usize::from(month.unsigned_abs()) - 1];
            write!(out, "{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02}{fraction} +0000")
        }
        Style::Iso => write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}+00:00"),
    };
    written.expect("writing to memory does not fail");
}

/// The text that pen's log has for a request of a web server's log: unescaped, masked and cut.
/// `text` is where it is put together when it differs from the request.
pub fn as_recorded<'a>(request: &'a [u8], text: &'a mut Vec<u8>) -> &'a [u8] {
    let start = &request[..request.len().min(TEXT_MAX)];
    if start.iter().all(|&byte| byte != b'\\' && masked(byte) == byte) {
        return start;
    }
    text.clear();
    let mut rest = request;
    while let [first, after @ ..] = rest
        && text.len() < TEXT_MAX
    {
        let (byte, length) = if *first == b'\\' { unescape(after) } else { (*first, 0) };
        text.push(masked(byte));
        rest = &after[length..];
    }
    text
}

/// The byte that an escape stands for, and how many bytes follow the backslash.
fn unescape(after: &[u8]) -> (u8, usize) {
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match after {
        [b'x' | b'X', high, low, ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => (high * 16 + low, 3),
            _ => (b'\\', 0),
        },
        [byte @ (b'"' | b'\\'), ..] => (*byte, 1),
        [b'n' | b't' | b'r' | b'b' | b'v' | b'f', ..] => (0, 1),
        _ => (b'\\', 0),
    }
}

/// A number for what a client calls itself: the last text between quotes after the request, in a
/// line of which `rest` begins with the quote that ends the request. `None` if there is none or the
/// server wrote a dash. That two have the same number is no harm.
pub fn agent(rest: &[u8]) -> Option<u32> {
    let rest = rest.strip_prefix(b"\"")?;
    let mut text = &rest[..memrchr(b'"', rest)?];
    let open = loop {
        let open = memrchr(b'"', text)?;
        if open == 0 || text[open - 1] != b'\\' {
            break open;
        }
        text = &text[..open - 1];
    };
    let agent = &rest[open + 1..memrchr(b'"', rest)?];
    if matches!(agent, b"" | b"-") {
        return None;
    }
    let mut number = agent.len() as u64;
    for eight in agent.chunks(8) {
        let mut bytes = [0; 8];
        bytes[..eight.len()].copy_from_slice(eight);
        number = (number ^ u64::from_ne_bytes(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        number ^= number >> 32;
    }
    Some(number as u32)
}

/// Where the client ends and what the request is, in a line that may have no time: what is between
/// the first quotes.
pub fn request_of(line: &[u8]) -> Option<(usize, Range<usize>)> {
    let client_end = memchr(b' ', line)?;
    let open = client_end + memchr(b'"', &line[client_end..])? + 1;
    let length = closing_quote(&line[open..]).or_else(|| memchr(b'"', &line[open..]))?;
    Some((client_end, open..open + length))
}

/// A number for a request as pen records it, and its server. Two requests that differ have the
/// same number about once in 10^19 pairs, and nobody gains by finding such a pair.
#[inline]
pub fn key(server: impl Hash, recorded: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    server.hash(&mut hasher);
    hasher.write(recorded);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Client, milliseconds, request.
    fn parts(line: &str) -> Option<(String, i64, String)> {
        let found = Reader::default().parse(line.as_bytes())?;
        Some((line[..found.client_end].into(), found.at.millis, line[found.request].into()))
    }

    #[test]
    fn the_parts_of_a_line_are_found() {
        let t = 1_010_536_105_000;
        let table = [
            (r#"h - - [09/Jan/2002:00:28:25 +0000] "GET /i HTTP/1.0" 200 10"#, "h", "GET /i HTTP/1.0"),
            (r#"h - - [09/Jan/2002:01:28:25 +0100] "GET /i HTTP/1.0" 200 10"#, "h", "GET /i HTTP/1.0"),
            (r#"::1 - - [08/Jan/2002:19:28:25 -0500] "GET /i" 200 10 "r" "a [b] \"c\"""#, "::1", "GET /i"),
            (r#"h - me [x] [09/jan/2002:00:28:25] "-" 408 -"#, "h", "-"),
            (r#"h [2002-01-09T05:58:25+05:30] "" 400"#, "h", ""),
            (r#"[::1] - - [2002-01-09T00:28:25Z] "a\"b\\" x"#, "[::1]", r#"a\"b\\"#),
            (r#"h - - [09/Jan/2002:00:28:25 +0000] - "GET /i""#, "h", "GET /i"),
            (r#"h - - [09/Jan/2002:00:28:25 +0000] "GET /i\" 200 5"#, "h", r"GET /i\"),
            (" - - [09/Jan/2002:00:28:25 +0000] \"x\"\r", "", "x"),
        ];
        for (line, client, request) in table {
            assert_eq!(parts(line), Some((client.into(), t, request.into())), "{line}");
        }
    }

    #[test]
    fn a_line_that_lacks_a_part_is_refused() {
        let table = [
            "",
            "no fields",
            r#"h - - 09/Jan/2002:00:28:25 +0000 "GET /i" 200"#,
            r#"h - - [09/Jan/2002:00:28:25 +0000 "GET /i" 200"#,
            "h - - [09/Jan/2002:00:28:25 +0000] GET /i 200",
            "h - - [09/Jan/2002:00:28:25 +0000] \"GET /i 200",
            r#"h - - [31/Feb/2002:00:28:25 +0000] "GET /i" 200"#,
            r#"h - - [09/Foo/2002:00:28:25 +0000] "GET /i" 200"#,
            r#"h - - [09/Jan/2002:24:28:25 +0000] "GET /i" 200"#,
            r#"h - - [09/Jan/2002:00:28:25 +0060] "GET /i" 200"#,
            r#"h - - [09/Jan/2002:00:28:25 +9900] "GET /i" 200"#,
            r#"h - - [09/Jan/2002:00:28:25 MET] "GET /i" 200"#,
            r#"h - - [] "GET /i" 200"#,
        ];
        for line in table {
            assert_eq!(parts(line), None, "{line}");
        }
    }

    #[test]
    fn a_time_is_rewritten_in_utc_and_in_its_style() {
        let table = [
            ("09/Jan/2002:01:28:25 +0100", "09/Jan/2002:00:28:25 +0000"),
            ("01/Jan/2002:00:30:00 +0100", "31/Dec/2001:23:30:00 +0000"),
            ("29/Feb/2004:23:59:59 -0030", "01/Mar/2004:00:29:59 +0000"),
            ("09/Jan/2002:00:28:25", "09/Jan/2002:00:28:25 +0000"),
            ("09/Jan/2002:00:28:25.5 +0000", "09/Jan/2002:00:28:25.500 +0000"),
            ("31/Dec/2016:23:59:60 +0000", "31/Dec/2016:23:59:59 +0000"),
            ("31/Dec/1969:23:59:59.250 +0000", "31/Dec/1969:23:59:59.250 +0000"),
            ("2002-01-09T01:28:25+01:00", "2002-01-09T00:28:25+00:00"),
            ("2002-01-09 00:28:25,123456Z", "2002-01-09T00:28:25.123+00:00"),
        ];
        for (time, utc) in table {
            let mut out = Vec::new();
            write_utc(&mut out, parse_time(time.as_bytes()).unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), utc, "{time}");
        }
    }

    #[test]
    fn the_same_time_is_read_the_same_again() {
        let mut reader = Reader::default();
        for time in ["09/Jan/2002:00:28:25 +0000", "09/Jan/2002:00:28:25 +0100", "09/Jan/2002:00:28:25 +0000"] {
            let line = format!("h - - [{time}] \"x\" 1");
            for _ in 0..2 {
                assert_eq!(reader.parse(line.as_bytes()).unwrap().at, parse_time(time.as_bytes()).unwrap());
            }
        }
    }

    #[test]
    fn a_request_is_put_as_pen_records_it() {
        let long = "x".repeat(150);
        let escaped = r"\xc3".repeat(150);
        let table = [
            ("GET /i HTTP/1.0", "GET /i HTTP/1.0"),
            (r#"GET /\"q\" HTTP/1.0"#, r#"GET /"q" HTTP/1.0"#),
            (r"GET /\x22q\x5C", r#"GET /"q\"#),
            (r"caf\xC3\xa9 \t\n", "caf.. .."),
            ("caf\u{e9}", "caf.."),
            (r"a\zb\x4\", r"a\zb\x4\"),
            ("", ""),
            (&long, &long[..100]),
            (&escaped, &".".repeat(100)),
        ];
        for (request, recorded) in table {
            let mut text = Vec::new();
            let found = as_recorded(request.as_bytes(), &mut text);
            assert_eq!(String::from_utf8_lossy(found), recorded, "{request}");
        }
    }

    #[test]
    fn the_agent_is_the_last_text_between_quotes() {
        let of = |line: &str| agent(&line.as_bytes()[line.find('#').unwrap() + 1..]);
        let number = of(r##"h "GET /#" 200 1 "-" "Mozilla/5.0 (x)""##);
        assert!(number.is_some());
        let same = [
            r##""#" 200 10 "http://ref/" "Mozilla/5.0 (x)""##,
            r##""#" 200 "Mozilla/5.0 (x)" 17 ms"##,
            r##""#" 400 "a\"b" "Mozilla/5.0 (x)""##,
        ];
        for line in same {
            assert_eq!(of(line), number, "{line}");
        }
        let (one, other) = (of(r##""#" 200 "-" "a\"b""##), of(r##""#" 200 "-" "b""##));
        assert!(one.is_some() && other.is_some() && one != other && one != number);
        let none = [
            r##""#" 200 10"##,
            r##""#" 200 "-" "-""##,
            r##""#" 200 "-" """##,
            r##""#" 200 10 "cut"##,
            "#",
            r##""#" 1 ""##,
        ];
        for line in none {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn a_request_is_found_without_a_time() {
        let table = [
            ("h - - \"GET /a\" 200", Some((1, "GET /a"))),
            ("h [no time] \"\"", Some((1, ""))),
            (r#"h "a\"b" c"#, Some((1, r#"a\"b"#))),
            ("no quotes", None),
            ("one \" quote", None),
            ("\"word\"", None),
        ];
        for (line, expected) in table {
            let found = request_of(line.as_bytes()).map(|(end, request)| (end, &line[request]));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn requests_and_servers_have_numbers_of_their_own() {
        let keys = [key(0u32, b"a"), key(0u32, b"b"), key(1u32, b"a"), key(1u32, b"")];
        for (at, one) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(one));
        }
        assert_eq!(key(0u32, b"a"), keys[0]);
    }
}
