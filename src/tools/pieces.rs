//! A log as pieces that begin at its lines: each line, or the beginning of one that is too long and
//! then what follows. All bytes come out as they went in.

use std::net::IpAddr;

use memchr::memchr;

/// A longer line comes in several pieces.
pub const PIECE_MAX: usize = 64 * 1024;

/// The longest text of an address (an IPv4 address within an IPv6 address).
const ADDRESS_MAX: usize = 45;

/// A line with its newline, or a part of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece<'a> {
    /// Its bytes.
    pub text: &'a [u8],
    /// False for what follows the beginning of a line that is too long.
    pub is_start: bool,
}

impl Piece<'_> {
    /// The address with which the line begins, as a word of its own, and the length of its text. An
    /// IPv4 address within an IPv6 address is the IPv4 address.
    pub fn address(&self) -> Option<(IpAddr, usize)> {
        if !self.is_start {
            return None;
        }
        let head = &self.text[..self.text.len().min(ADDRESS_MAX + 1)];
        let length = head.iter().position(|byte| byte.is_ascii_whitespace()).unwrap_or(head.len());
        let address = std::str::from_utf8(&head[..length]).ok()?.parse::<IpAddr>().ok()?;
        Some((address.to_canonical(), length))
    }
}

/// What cuts a log into pieces.
#[derive(Debug, Default)]
pub struct Cutter {
    /// The beginning of a line whose end has not come yet.
    held: Vec<u8>,
    is_middle: bool,
}

impl Cutter {
    /// Takes the next bytes, and hands over what is complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            let room = PIECE_MAX - self.held.len();
            let end = memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1).min(room);
            let (head, rest) = bytes.split_at(end);
            bytes = rest;
            let is_whole = head.ends_with(b"\n");
            if !is_whole && end < room {
                self.held.extend_from_slice(head);
                return;
            }
            if self.held.is_empty() {
                take(Piece { text: head, is_start: !self.is_middle });
            } else {
                self.held.extend_from_slice(head);
                take(Piece { text: &self.held, is_start: !self.is_middle });
                self.held.clear();
            }
            self.is_middle = !is_whole;
        }
    }

    /// The end has come: hands over what is left. True if the log ends within a line.
    pub fn end(&mut self, mut take: impl FnMut(Piece<'_>)) -> bool {
        let is_within = self.is_middle || !self.held.is_empty();
        if !self.held.is_empty() {
            take(Piece { text: &self.held, is_start: !self.is_middle });
        }
        *self = Cutter::default();
        is_within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a text that comes in so many bytes at once, and whether it ends within a line.
    fn cut(text: &[u8], step: usize) -> (Vec<(Vec<u8>, bool)>, bool) {
        let mut cutter = Cutter::default();
        let mut pieces = Vec::new();
        let mut keep = |piece: Piece<'_>| pieces.push((piece.text.to_vec(), piece.is_start));
        text.chunks(step).for_each(|bytes| cutter.feed(bytes, &mut keep));
        let is_within = cutter.end(&mut keep);
        (pieces, is_within)
    }

    #[test]
    fn a_log_is_cut_at_its_lines_however_it_comes() {
        let table = [
            ("", &[][..], false),
            ("a b\n", &["a b\n"], false),
            ("a\n\n\x7f\0\r\nd", &["a\n", "\n", "\x7f\0\r\n", "d"], true),
            ("\n\n", &["\n", "\n"], false),
            ("d", &["d"], true),
        ];
        for (text, pieces, is_within) in table {
            let expected: Vec<(Vec<u8>, bool)> = pieces.iter().map(|piece| (piece.as_bytes().to_vec(), true)).collect();
            for step in 1..6 {
                assert_eq!(cut(text.as_bytes(), step), (expected.clone(), is_within), "{text:?}, {step} at once");
            }
        }
    }

    #[test]
    fn a_long_line_comes_in_pieces_of_bounded_size() {
        for length in [PIECE_MAX - 1, PIECE_MAX, PIECE_MAX + 1, 3 * PIECE_MAX, 3 * PIECE_MAX + 7] {
            let text = [&vec![b'x'; length][..], b"\nnext\n"].concat();
            for step in [1000, PIECE_MAX, usize::MAX] {
                let (pieces, is_within) = cut(&text, step);
                assert!(!is_within);
                assert_eq!(pieces.iter().flat_map(|(text, _)| text.clone()).collect::<Vec<u8>>(), text);
                let starts: Vec<usize> = (0..pieces.len()).filter(|at| pieces[*at].1).collect();
                assert_eq!(starts, [0, pieces.len() - 1], "{length}, {step} at once");
                assert!(pieces.iter().all(|(text, _)| text.len() <= PIECE_MAX));
            }
        }
    }

    #[test]
    fn the_first_word_is_the_address() {
        let table = [
            ("192.0.2.1 - - [", Some(("192.0.2.1", 9))),
            ("192.0.2.1\n", Some(("192.0.2.1", 9))),
            ("192.0.2.1", Some(("192.0.2.1", 9))),
            ("2001:DB8::1\tx", Some(("2001:db8::1", 11))),
            ("::ffff:192.0.2.1 x", Some(("192.0.2.1", 16))),
            ("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255 x", Some(("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 45))),
            (" 192.0.2.1 -", None),
            ("192.0.2.1, 192.0.2.2 -", None),
            ("192.0.2.01 -", None),
            ("192.0.2 -", None),
            ("[2001:db8::1] -", None),
            ("fe80::1%eth0 -", None),
            ("host.example -", None),
            ("", None),
            ("\n", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|(address, length)| (address.parse().unwrap(), length));
            assert_eq!(Piece { text: text.as_bytes(), is_start: true }.address(), expected, "{text:?}");
            assert_eq!(Piece { text: text.as_bytes(), is_start: false }.address(), None, "{text:?}");
        }
        assert_eq!(Piece { text: b"192.0.2.1\xff x", is_start: true }.address(), None);
    }
}
