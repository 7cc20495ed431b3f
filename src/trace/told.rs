//! What decoders tell of a chunk: lines of text, how much of it they do not understand, and which
//! bytes of it are secret.

use std::io::Write;

use crate::base::bytes::masked;

/// The most bytes of a message that are shown.
const SHOWN_MAX: usize = 500;

/// What stands for each byte of a secret.
pub const VEIL: u8 = b'*';

/// Where decoders put what they tell.
#[derive(Debug)]
pub struct Told<'a> {
    lines: &'a mut Vec<u8>,
    /// The protocol, as the lines name it.
    name: &'static str,
    /// Secrets are shown as they are.
    shows_secrets: bool,
    /// Bytes of this chunk that are not understood.
    unknown: usize,
}

impl<'a> Told<'a> {
    /// Appends to `lines`.
    pub fn new(lines: &'a mut Vec<u8>, shows_secrets: bool) -> Told<'a> {
        Told { lines, name: "", shows_secrets, unknown: 0 }
    }

    /// What comes is of this protocol.
    pub fn begin(&mut self, name: &'static str) {
        self.end();
        self.name = name;
    }

    /// Tells what was not understood, if anything.
    pub fn end(&mut self) {
        let unknown = std::mem::take(&mut self.unknown);
        if unknown > 0 {
            let noun = if unknown == 1 { "byte" } else { "bytes" };
            let name = self.name.to_ascii_uppercase();
            self.line(format!("{unknown} {noun} of {name} unknown").as_bytes());
        }
    }

    /// Tells one message. What is not printable shows as dots, what is too long is cut.
    pub fn line(&mut self, text: &[u8]) {
        self.lines.extend_from_slice(b"  ");
        self.lines.extend_from_slice(self.name.as_bytes());
        self.lines.extend_from_slice(b": ");
        self.lines.extend(text.iter().take(SHOWN_MAX).map(|&byte| masked(byte)));
        if text.len() > SHOWN_MAX {
            write!(self.lines, "... ({} bytes)", text.len()).expect("writing to memory does not fail");
        }
        self.lines.push(b'\n');
    }

    /// So many bytes of the chunk mean nothing in this protocol.
    pub fn unknown(&mut self, count: usize) {
        self.unknown += count;
    }

    /// Veils bytes that are secret, unless secrets are shown. The ends of lines stay.
    pub fn veil(&self, bytes: &mut [u8]) {
        if !self.shows_secrets {
            bytes.iter_mut().filter(|byte| !matches!(byte, b'\r' | b'\n')).for_each(|byte| *byte = VEIL);
        }
    }

    /// Veils every byte that is secret, whatever it is.
    pub fn veil_all(&self, bytes: &mut [u8]) {
        if !self.shows_secrets {
            bytes.fill(VEIL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_printable_and_bounded() {
        let mut lines = Vec::new();
        let mut told = Told::new(&mut lines, false);
        told.begin("ftp");
        told.line(b"USER \x1b[31m\xff");
        told.unknown(2);
        told.unknown(1);
        told.line(&[b'x'; 501]);
        told.begin("tls");
        told.line(b"hello");
        told.unknown(1);
        told.end();
        let long = format!("  ftp: {}... (501 bytes)\n", "x".repeat(500));
        let expected = ["  ftp: USER .[31m.\n", &long, "  ftp: 3 bytes of FTP unknown\n", "  tls: hello\n"];
        let text = String::from_utf8(lines).unwrap();
        assert_eq!(text, expected.concat() + "  tls: 1 byte of TLS unknown\n");
    }

    #[test]
    fn a_veil_keeps_length_and_line_ends() {
        let (mut lines, mut bytes) = (Vec::new(), *b"one\r\ntwo");
        Told::new(&mut lines, true).veil(&mut bytes);
        assert_eq!(&bytes, b"one\r\ntwo");
        Told::new(&mut lines, false).veil(&mut bytes);
        assert_eq!(&bytes, b"***\r\n***");
        Told::new(&mut lines, false).veil_all(&mut bytes);
        assert_eq!(&bytes, b"********");
    }
}
