//! Lines of a protocol, split anywhere, and the bodies between them.
//!
//! Of a line only its beginning is kept. Where in it a secret begins is told by what stands before,
//! so that each byte of a secret is veiled as it comes, however the line was split.

use memchr::memchr;

use super::told::{Told, VEIL};

/// Bytes of a line that are kept.
pub const LINE_KEPT: usize = 1024;

/// A line as far as it has come.
#[derive(Default, Debug)]
pub struct Line {
    text: Vec<u8>,
    /// Bytes so far, also those that are not kept.
    length: usize,
    /// Where a secret begins.
    secret_from: Option<usize>,
}

impl Line {
    /// Takes the bytes up to the end of the line; how many, and whether it is whole. `secret` tells
    /// from the beginning of a line where in it a secret begins, as soon as a byte of it is there.
    pub fn take(
        &mut self,
        chunk: &mut [u8],
        told: &Told<'_>,
        secret: impl Fn(&[u8]) -> Option<usize>,
    ) -> (usize, bool) {
        let end = memchr(b'\n', chunk);
        let count = end.map_or(chunk.len(), |end| end + 1);
        let part = &mut chunk[..count];
        let room = LINE_KEPT - self.text.len();
        self.text.extend_from_slice(&part[..count.min(room)]);
        if self.secret_from.is_none() {
            self.secret_from = secret(without_end(&self.text));
        }
        if let Some(from) = self.secret_from {
            let from = from.saturating_sub(self.length).min(count);
            told.veil(&mut part[from..]);
        }
        self.length += count;
        (count, end.is_some())
    }

    /// What is kept of it, without its end.
    pub fn text(&self) -> &[u8] {
        without_end(&self.text)
    }

    /// The same with its secret veiled, unless secrets are shown: fit to be told.
    pub fn shown(&self, told: &Told<'_>) -> Vec<u8> {
        let mut text = self.text().to_vec();
        if let Some(from) = self.secret_from {
            let from = from.min(text.len());
            told.veil(&mut text[from..]);
            // How long it is the dump tells.
            if text.ends_with(&[VEIL]) {
                text.truncate(from);
                text.extend_from_slice(&[VEIL; 3]);
            }
        }
        text
    }

    /// Bytes so far, its end included.
    pub fn length(&self) -> usize {
        self.length
    }

    /// True if a secret has begun.
    pub fn is_secret(&self) -> bool {
        self.secret_from.is_some()
    }

    /// Forgets it: the next one begins.
    pub fn clear(&mut self) {
        *self = Line { text: std::mem::take(&mut self.text), ..Line::default() };
        self.text.clear();
        self.text.shrink_to(LINE_KEPT);
    }

    /// Forgets its end alone: it goes on behind a literal.
    pub fn resume(&mut self) {
        self.text.truncate(self.text().len());
        self.length = self.text.len();
    }
}

fn without_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// What is carried between lines, and not looked into.
#[derive(Debug)]
pub struct Body {
    end: BodyEnd,
    /// Bytes so far.
    pub bytes: u64,
}

#[derive(Debug)]
enum BodyEnd {
    /// After so many bytes.
    Counted(u64),
    /// With a line that is a single dot; this much of one has come (RFC 5321 section 4.5.2).
    Dot(Dot),
    /// With the connection.
    Never,
}

/// How much of the line that ends a body has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dot {
    LineStart,
    Point,
    PointReturn,
    Within,
}

impl Body {
    /// One of so many bytes.
    pub fn counted(bytes: u64) -> Body {
        Body { end: BodyEnd::Counted(bytes), bytes: 0 }
    }

    /// One that a line with a single dot ends, which is not counted.
    pub fn to_dot() -> Body {
        Body { end: BodyEnd::Dot(Dot::LineStart), bytes: 0 }
    }

    /// One that goes on to the end.
    pub fn endless() -> Body {
        Body { end: BodyEnd::Never, bytes: 0 }
    }

    /// Takes its bytes; how many, and whether it is whole.
    pub fn take(&mut self, chunk: &[u8]) -> (usize, bool) {
        match &mut self.end {
            BodyEnd::Counted(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(chunk.len());
                *left -= count as u64;
                self.bytes += count as u64;
                (count, *left == 0)
            }
            BodyEnd::Dot(state) => {
                for (place, &byte) in chunk.iter().enumerate() {
                    let end = match (*state, byte) {
                        (Dot::Point, b'\n') => 2,
                        (Dot::PointReturn, b'\n') => 3,
                        _ => 0,
                    };
                    *state = match (*state, byte) {
                        (_, b'\n') => Dot::LineStart,
                        (Dot::LineStart, b'.') => Dot::Point,
                        (Dot::Point, b'\r') => Dot::PointReturn,
                        (Dot::LineStart | Dot::Point | Dot::PointReturn | Dot::Within, _) => Dot::Within,
                    };
                    if end > 0 {
                        self.bytes = (self.bytes + place as u64 + 1).saturating_sub(end);
                        return (place + 1, true);
                    }
                }
                self.bytes += chunk.len() as u64;
                (chunk.len(), false)
            }
            BodyEnd::Never => {
                self.bytes += chunk.len() as u64;
                (chunk.len(), false)
            }
        }
    }
}

/// Tells the size of a body.
pub fn tell_body(bytes: u64, told: &mut Told<'_>) {
    let noun = if bytes == 1 { "byte" } else { "bytes" };
    told.line(format!("body of {bytes} {noun}").as_bytes());
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Where word number `count`, from 0, begins in a line, once there is a byte of it.
pub fn word_start(line: &[u8], count: usize) -> Option<usize> {
    let mut place = 0;
    for number in 0.. {
        place += line[place..].iter().position(|byte| !is_blank(byte))?;
        if number == count {
            return Some(place);
        }
        place += line[place..].iter().position(is_blank)?;
    }
    None
}

/// A word of a line, by number; empty if there is none.
pub fn word(line: &[u8], number: usize) -> &[u8] {
    let Some(start) = word_start(line, number) else { return b"" };
    let rest = &line[start..];
    &rest[..rest.iter().position(is_blank).unwrap_or(rest.len())]
}

/// True if the word is one of these, whatever its case.
pub fn is_one_of(word: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
}

/// True if the word is or may still become one of these.
pub fn begins_one_of(word: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| name.len() >= word.len() && name.as_bytes()[..word.len()].eq_ignore_ascii_case(word))
}

/// The three digits that a reply begins with, and whether more lines of it follow (RFC 959 section
/// 4.2, RFC 5321 section 4.2.1).
pub fn reply_code(line: &[u8]) -> Option<(u16, bool)> {
    let [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else { return None };
    let digit = |byte: &u8| u16::from(byte - b'0');
    let follows = match rest.first() {
        None | Some(b' ') => false,
        Some(b'-') => true,
        Some(_) => return None,
    };
    Some((100 * digit(a) + 10 * digit(b) + digit(c), follows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_veiled_however_its_line_is_split() {
        let line = b"PASS se cret\r\nNOOP\r\n";
        let secret = |line: &[u8]| if word(line, 0) == b"PASS" { word_start(line, 1) } else { None };
        for cut in 0..line.len() {
            let (mut lines, mut bytes) = (Vec::new(), *line);
            let told = Told::new(&mut lines, false);
            let mut reader = Line::default();
            let (first, second) = bytes.split_at_mut(cut);
            for part in [first, second] {
                let mut used = 0;
                while used < part.len() {
                    let (count, is_whole) = reader.take(&mut part[used..], &told, secret);
                    used += count;
                    if is_whole {
                        let shown = reader.shown(&told);
                        assert!(shown == b"PASS ***" || shown == b"NOOP", "{cut}");
                        reader.clear();
                    }
                }
            }
            assert_eq!(String::from_utf8_lossy(&bytes), "PASS *******\r\nNOOP\r\n", "{cut}");
        }
    }

    #[test]
    fn a_body_ends_at_its_dot_however_it_is_split() {
        let table: [(&[u8], usize, u64); 6] = [
            (b".\r\nrest", 3, 0),
            (b"a\r\n.\r\n", 6, 3),
            (b"..\r\n.x\r\n.\r\n", 11, 8),
            (b"a\n.\nx", 4, 2),
            (b"a.\r\n.\r\n", 7, 4),
            (b"\r\n.\r\r\n.\r\n", 9, 6),
        ];
        for (text, used, bytes) in table {
            for cut in 0..text.len() {
                let mut body = Body::to_dot();
                let (mut count, mut done) = body.take(&text[..cut.min(used)]);
                if !done {
                    let (more, is_over) = body.take(&text[count..]);
                    (count, done) = (count + more, is_over);
                }
                assert_eq!((count, done, body.bytes), (used, true, bytes), "{text:?} at {cut}");
            }
        }
    }

    #[test]
    fn long_lines_are_counted_and_not_kept() {
        let (mut lines, mut chunk) = (Vec::new(), vec![b'x'; 10_000]);
        let told = Told::new(&mut lines, false);
        let mut line = Line::default();
        for _ in 0..10 {
            assert_eq!(line.take(&mut chunk, &told, |_| None), (10_000, false));
        }
        assert_eq!((line.length(), line.text().len()), (100_000, LINE_KEPT));
    }

    #[test]
    fn replies_begin_with_three_digits() {
        for (line, code) in [
            (&b"220 ready"[..], Some((220, false))),
            (b"220-ready", Some((220, true))),
            (b"220", Some((220, false))),
            (b"2200", None),
            (b" 220 x", None),
            (b"920 x", None),
            (b"22", None),
        ] {
            assert_eq!(reply_code(line), code);
        }
    }
}
