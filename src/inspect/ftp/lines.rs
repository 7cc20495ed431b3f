//! Lines of an FTP control connection: split anywhere by the network, with telnet sequences in
//! them (RFC 959 section 5.3, RFC 854), ended by CR LF or by LF alone.

use std::mem;

/// Bytes that a line may have before it is passed on in parts: longer than any path.
pub const LINE_MAX: usize = 8192;

/// "Interpret as command": what follows is for telnet.
const IAC: u8 = 255;
/// The first of the telnet commands; bytes below it after IAC mean nothing.
const FIRST_COMMAND: u8 = 240;
/// WILL, WONT, DO and DONT, which have an option after them.
const NEGOTIATION: std::ops::RangeInclusive<u8> = 251..=254;

/// What a splitter yields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    /// A whole line with its end, exactly as it came.
    Line(&'a [u8]),
    /// The first [`LINE_MAX`] bytes of a line that is too long to be understood.
    Head(&'a [u8]),
    /// A further part of such a line.
    Rest(&'a [u8]),
}

/// Where the bytes are within a telnet sequence.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Telnet {
    #[default]
    Outside,
    /// After IAC.
    Command,
    /// After WILL, WONT, DO or DONT.
    Option,
}

impl Telnet {
    fn after(self, byte: u8) -> Telnet {
        match (self, byte) {
            (Telnet::Outside, IAC) => Telnet::Command,
            (Telnet::Command, byte) if NEGOTIATION.contains(&byte) => Telnet::Option,
            (Telnet::Outside | Telnet::Command | Telnet::Option, _) => Telnet::Outside,
        }
    }

    /// True if this byte is no character of a line.
    fn hides(self, byte: u8) -> bool {
        match self {
            Telnet::Outside => byte == IAC,
            Telnet::Command => byte >= FIRST_COMMAND && byte != IAC,
            Telnet::Option => true,
        }
    }
}

/// Cuts a stream into lines. It holds at most one unfinished line, of at most [`LINE_MAX`] bytes.
#[derive(Default, Debug)]
pub struct Splitter {
    held: Vec<u8>,
    /// What is held was yielded, and is to be forgotten.
    is_spent: bool,
    /// Within a line that was too long.
    is_overlong: bool,
    telnet: Telnet,
}

impl Splitter {
    /// The next piece of what is held and of `input`, which is shortened by what was used;
    /// nothing if a line is unfinished.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Option<Piece<'a>> {
        if mem::take(&mut self.is_spent) {
            self.held.clear();
        }
        if input.is_empty() {
            return None;
        }
        let room = if self.is_overlong { input.len() } else { input.len().min(LINE_MAX - self.held.len()) };
        let end = self.line_end(&input[..room]);
        let (used, rest) = input.split_at(end.unwrap_or(room));
        *input = rest;
        if self.is_overlong {
            self.is_overlong = end.is_none();
            return Some(Piece::Rest(used));
        }
        self.is_overlong = end.is_none() && self.held.len() + used.len() == LINE_MAX;
        let is_whole = end.is_some() || self.is_overlong;
        let text = if self.held.is_empty() && is_whole {
            used
        } else {
            self.held.extend_from_slice(used);
            if !is_whole {
                return None;
            }
            self.is_spent = true;
            &self.held
        };
        Some(if end.is_some() { Piece::Line(text) } else { Piece::Head(text) })
    }

    /// True if something is held of an unfinished line.
    pub fn holds(&self) -> bool {
        !self.is_spent && !self.held.is_empty()
    }

    /// Takes what is held of an unfinished line.
    pub fn take_held(&mut self) -> Vec<u8> {
        if mem::take(&mut self.is_spent) {
            self.held.clear();
        }
        mem::take(&mut self.held)
    }

    /// Where the line ends, that is after its LF.
    fn line_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (place, &byte) in bytes.iter().enumerate() {
            let is_hidden = self.telnet.hides(byte);
            self.telnet = self.telnet.after(byte);
            if byte == b'\n' && !is_hidden {
                return Some(place + 1);
            }
        }
        None
    }
}

/// The characters of a line: without its end and without telnet sequences, which are appended to
/// `telnet`.
pub fn characters(line: &[u8], telnet: &mut Vec<u8>) -> Vec<u8> {
    let mut state = Telnet::Outside;
    let mut text = Vec::with_capacity(line.len());
    for &byte in line {
        // The IAC before a byte that is no telnet command is dropped, as telnet does.
        if state.hides(byte) {
            telnet.push(byte)
        } else {
            text.push(byte)
        }
        state = state.after(byte);
    }
    while let [rest @ .., b'\r' | b'\n'] = &text[..] {
        text.truncate(rest.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a stream that comes in chunks of this size.
    fn pieces(stream: &[u8], chunk: usize) -> Vec<(char, Vec<u8>)> {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for mut input in stream.chunks(chunk) {
            while let Some(piece) = splitter.next(&mut input) {
                found.push(match piece {
                    Piece::Line(text) => ('L', text.to_vec()),
                    Piece::Head(text) => ('H', text.to_vec()),
                    Piece::Rest(text) => ('R', text.to_vec()),
                });
            }
        }
        found.push(('E', splitter.take_held()));
        found
    }

    #[test]
    fn lines_are_the_same_wherever_the_network_splits_them() {
        let stream = b"USER a\r\nPASS b\n\r\n\xff\xf4\xff\xf2ABOR\r\n\xff\xfd\x0aQUIT\r\nnot yet";
        let expected = [
            ('L', &b"USER a\r\n"[..]),
            ('L', b"PASS b\n"),
            ('L', b"\r\n"),
            ('L', b"\xff\xf4\xff\xf2ABOR\r\n"),
            ('L', b"\xff\xfd\x0aQUIT\r\n"),
            ('E', b"not yet"),
        ];
        let expected: Vec<_> = expected.iter().map(|(kind, text)| (*kind, text.to_vec())).collect();
        for chunk in 1..stream.len() + 1 {
            assert_eq!(pieces(stream, chunk), expected, "in chunks of {chunk}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_passes_in_parts_and_the_next_is_a_line_again() {
        let mut stream = vec![b'x'; 3 * LINE_MAX];
        stream.extend_from_slice(b"\r\nNOOP\r\n");
        for chunk in [1, 7, LINE_MAX - 1, LINE_MAX, LINE_MAX + 1, stream.len()] {
            let found = pieces(&stream, chunk);
            assert_eq!(found[0], ('H', vec![b'x'; LINE_MAX]), "in chunks of {chunk}");
            let whole: Vec<u8> = found.iter().flat_map(|(_, text)| text.iter().copied()).collect();
            assert_eq!(whole, stream, "in chunks of {chunk}");
            assert_eq!(found[found.len() - 2], ('L', b"NOOP\r\n".to_vec()), "in chunks of {chunk}");
            assert!(found[1..found.len() - 2].iter().all(|(kind, _)| *kind == 'R'), "in chunks of {chunk}");
        }
        let mut just_fits = vec![b'x'; LINE_MAX - 1];
        just_fits.push(b'\n');
        assert_eq!(pieces(&just_fits, 100), [('L', just_fits.clone()), ('E', Vec::new())]);
    }

    #[test]
    fn telnet_sequences_are_no_characters() {
        let table: [(&[u8], &[u8], &[u8]); 6] = [
            (b"ABOR\r\n", b"ABOR", b""),
            (b"\xff\xf4\xff\xf2ABOR\r\n", b"ABOR", b"\xff\xf4\xff\xf2"),
            (b"ST\xff\xfb\x01AT\n", b"STAT", b"\xff\xfb\x01"),
            (b"RETR \xff\xff.txt\r\n", b"RETR \xff.txt", b"\xff"),
            (b"RETR \xffa\r\r\n", b"RETR a", b"\xff"),
            (b"\n", b"", b""),
        ];
        for (line, text, telnet) in table {
            let mut sequences = Vec::new();
            assert_eq!(characters(line, &mut sequences), text, "{line:?}");
            assert_eq!(sequences, telnet, "{line:?}");
        }
    }
}
