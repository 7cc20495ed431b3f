//! Replies that begin with three digits, of one line or of several, as FTP and SMTP have them.

use super::lines::{Line, reply_code};
use super::told::Told;

/// A reply as far as it has come.
#[derive(Default, Debug)]
pub struct Replies {
    line: Line,
    /// Its code, and its first line as it is to be told, once that has come and more follow.
    open: Option<(u16, Vec<u8>)>,
    /// Lines so far.
    lines: usize,
}

impl Replies {
    /// Takes the bytes up to the end of a reply; how many, and the code of the reply if it is
    /// whole, which is told then. `is_secret` says that what follows the code 334 is secret.
    pub fn take(&mut self, chunk: &mut [u8], is_secret: bool, told: &mut Told<'_>) -> (usize, Option<u16>) {
        let mut used = 0;
        while used < chunk.len() {
            let veiled = |line: &[u8]| (is_secret && line.starts_with(b"334 ")).then_some(4);
            let (count, is_whole) = self.line.take(&mut chunk[used..], told, veiled);
            used += count;
            if !is_whole {
                break;
            }
            let code = self.end_line(told);
            self.line.clear();
            if code.is_some() {
                return (used, code);
            }
        }
        (used, None)
    }

    /// A line is whole; the code if the reply is.
    fn end_line(&mut self, told: &mut Told<'_>) -> Option<u16> {
        let found = reply_code(self.line.text());
        self.lines += 1;
        match (&mut self.open, found) {
            (None, None) => {
                self.lines = 0;
                told.unknown(self.line.length());
                None
            }
            (None, Some((code, false))) => {
                self.lines = 0;
                told.line(&self.line.shown(told));
                Some(code)
            }
            (None, Some((code, true))) => {
                self.open = Some((code, self.line.shown(told)));
                None
            }
            (Some((code, first)), Some((last, false))) if last == *code => {
                let code = *code;
                first.extend_from_slice(format!(" ({} lines)", self.lines).as_bytes());
                told.line(first);
                (self.open, self.lines) = (None, 0);
                Some(code)
            }
            (Some(_), _) => None,
        }
    }
}
