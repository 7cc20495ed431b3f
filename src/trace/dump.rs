//! How one chunk of bytes is shown.
//!
//! ```text
//! copy_up(0)
//! 23: PORT 127,0,0,1,12,212
//!
//! copy_down(0)
//! 2:
//! 00000000  30 0c                                             |0.|
//!
//! ```
//!
//! The direction and the number of the connection, the length, a colon and a blank; then text
//! as it is, or columns of offset, hexadecimal and ASCII (hexdump(1) `-C`); then a newline. The
//! newline comes whatever the bytes end in: hence the blank line after a chunk that ends in one.

use std::io::Write;

use crate::base::bytes::{is_printable, masked};
use crate::base::diag::DumpForm;
pub use crate::base::direction::Direction;

impl Direction {
    /// The word that dumps have for it.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Up => "copy_up",
            Direction::Down => "copy_down",
        }
    }

    /// The word for it where lines tell of it.
    pub fn word(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }

    /// The word for bytes that an inspector has put in the place of others.
    pub fn name_of_changed(self) -> &'static str {
        match self {
            Direction::Up => "changed_up",
            Direction::Down => "changed_down",
        }
    }
}

/// Bytes on a line of columns.
const ROW: usize = 16;
/// Characters on a line of columns, with its newline.
const ROW_TEXT: usize = 79;
/// Where on the line the ASCII column begins: at its left bar.
const BAR: usize = 60;
/// Room for everything of a dump but its bytes.
const FRAME: usize = 64;

/// Appends the dump of `bytes` to `out`. An empty chunk, the end of a file, appends nothing.
pub fn dump(out: &mut Vec<u8>, direction: Direction, connection: usize, bytes: &[u8], form: DumpForm) {
    dump_as(out, direction.name(), connection, bytes, form);
}

/// The same, with another word for where the bytes go.
pub fn dump_as(out: &mut Vec<u8>, word: &str, connection: usize, bytes: &[u8], form: DumpForm) {
    if bytes.is_empty() {
        return;
    }
    let (as_text, is_clean) = match form {
        DumpForm::Auto => {
            let clean = is_text(bytes);
            (clean, clean)
        }
        DumpForm::Ascii => (true, false),
        DumpForm::Columns => (false, false),
    };
    out.reserve(FRAME + if as_text { bytes.len() } else { bytes.len().div_ceil(ROW) * ROW_TEXT });
    write!(out, "{word}({connection})\n{}: ", bytes.len()).expect("writing to memory does not fail");
    match (as_text, is_clean) {
        (true, true) => out.extend_from_slice(bytes),
        (true, false) => out.extend(bytes.iter().map(|&byte| if is_text_byte(byte) { byte } else { b'.' })),
        (false, _) => columns(out, bytes),
    }
    out.push(b'\n');
}

/// True for the bytes that a text consists of: the printable ones, TAB, LF and CR.
#[inline]
fn is_text_byte(byte: u8) -> bool {
    is_printable(byte) | (byte == b'\t') | (byte == b'\n') | (byte == b'\r')
}

/// Goes by blocks: within one there is no early end, so that it compiles to vector code.
fn is_text(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|block| block.iter().fold(true, |text, &byte| text & is_text_byte(byte)))
}

fn columns(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'\n');
    for (number, row) in bytes.chunks(ROW).enumerate() {
        // All cells are filled in, which compiles to straight code; those of a short row that
        // are too many are blanked again.
        let mut cells = [0; ROW];
        cells[..row.len()].copy_from_slice(row);
        let mut line = [b' '; ROW_TEXT];
        write_offset(&mut line, number * ROW);
        for (column, &byte) in cells.iter().enumerate() {
            line[cell(column)..cell(column) + 2].copy_from_slice(&HEX[usize::from(byte)]);
            line[BAR + 1 + column] = masked(byte);
        }
        line[BAR] = b'|';
        if row.len() < ROW {
            line[cell(row.len())..BAR].fill(b' ');
        }
        let end = BAR + 1 + row.len();
        line[end] = b'|';
        line[end + 1] = b'\n';
        out.extend_from_slice(&line[..end + 2]);
    }
}

fn write_offset(line: &mut [u8; ROW_TEXT], offset: usize) {
    // A chunk is far smaller than four gibibytes.
    for (pair, byte) in line.chunks_exact_mut(2).zip((offset as u32).to_be_bytes()) {
        pair.copy_from_slice(&HEX[usize::from(byte)]);
    }
}

/// Where on the line the hexadecimal digits of a column stand: in two groups of eight.
const fn cell(column: usize) -> usize {
    10 + 3 * column + (column >= ROW / 2) as usize
}

/// The two digits of each byte.
static HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(direction: Direction, connection: usize, bytes: &[u8], form: DumpForm) -> String {
        let mut out = Vec::new();
        dump(&mut out, direction, connection, bytes, form);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_follows_raw_and_a_newline_always_ends_it() {
        use Direction::{Down, Up};
        let table: [(Direction, usize, &[u8], &str); 6] = [
            (Up, 0, b"PORT 127,0,0,1,12,212\r\n", "copy_up(0)\n23: PORT 127,0,0,1,12,212\r\n\n"),
            (Down, 0, b"200 PORT command successful.\r\n", "copy_down(0)\n30: 200 PORT command successful.\r\n\n"),
            (Up, 12, b"no newline", "copy_up(12)\n10: no newline\n"),
            (Down, 499, b"\n", "copy_down(499)\n1: \n\n"),
            (Up, 1_000_000, b"\t", "copy_up(1000000)\n1: \t\n"),
            (Up, 0, b"", ""),
        ];
        for (direction, connection, bytes, text) in table {
            for form in [DumpForm::Auto, DumpForm::Ascii] {
                assert_eq!(shown(direction, connection, bytes, form), text, "{bytes:?}");
            }
        }
    }

    #[test]
    fn one_byte_that_is_not_text_brings_the_columns() {
        let search = b"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\x00\x80\x00 ~\x7f\xffz";
        let text = "copy_up(3)\n19: \n\
            00000000  30 0c 02 01 01 60 07 02  01 03 04 00 80 00 20 7e  |0....`........ ~|\n\
            00000010  7f ff 7a                                          |..z|\n\n";
        assert_eq!(shown(Direction::Up, 3, search, DumpForm::Auto), text);
        let escape = "copy_down(1)\n4: \n\
            00000000  1b 5b 33 6d                                       |.[3m|\n\n";
        assert_eq!(shown(Direction::Down, 1, b"\x1b[3m", DumpForm::Auto), escape);
    }

    #[test]
    fn columns_are_shown_for_text_too_when_asked_for() {
        let text = "copy_up(0)\n9: \n\
            00000000  44 41 54 41 0d 0a 61 62  63                       |DATA..abc|\n\n";
        assert_eq!(shown(Direction::Up, 0, b"DATA\r\nabc", DumpForm::Columns), text);
        assert_eq!(shown(Direction::Up, 0, b"", DumpForm::Columns), "");
    }

    #[test]
    fn forced_text_shows_dots_for_everything_else() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = shown(Direction::Down, 0, &bytes, DumpForm::Ascii);
        let body = text.strip_prefix("copy_down(0)\n256: ").unwrap().strip_suffix('\n').unwrap().as_bytes();
        assert_eq!(body.len(), 256);
        for (&byte, &place) in bytes.iter().zip(body) {
            let is_text = matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
            assert_eq!(place, if is_text { byte } else { b'.' }, "{byte:#04x}");
        }
    }

    #[test]
    fn every_byte_value_alone_is_text_or_columns() {
        for byte in 0..=255u8 {
            let is_text = matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
            for (length, place) in [(1, 0), (63, 62), (64, 0), (65, 64), (130, 100)] {
                let mut bytes = vec![b'x'; length];
                bytes[place] = byte;
                let text = shown(Direction::Up, 0, &bytes, DumpForm::Auto);
                assert_eq!(text.contains(": \n00000000  "), !is_text, "{byte:#04x} at {place} of {length}");
            }
        }
    }

    /// The columns again, by the formatting of the standard library.
    fn naive(bytes: &[u8]) -> String {
        let mut text = format!("copy_up(5)\n{}: \n", bytes.len());
        for (number, row) in bytes.chunks(16).enumerate() {
            let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
            let (left, right) = hex.split_at(hex.len().min(8));
            let ascii: String = row.iter().map(|&b| if (32..127).contains(&b) { char::from(b) } else { '.' }).collect();
            let (left, right) = (left.join(" "), right.join(" "));
            text += &format!("{:08x}  {left:<23}  {right:<23}  |{ascii}|\n", 16 * number);
        }
        text + "\n"
    }

    #[test]
    fn columns_agree_with_the_naive_ones_at_every_length() {
        let mut seed = 17u32;
        for length in (1..200).chain([4095, 4096, 65_535, 65_536, 70_000]) {
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8
            })
            .take(length)
            .collect();
            assert_eq!(shown(Direction::Up, 5, &bytes, DumpForm::Columns), naive(&bytes), "{length}");
        }
    }

    #[test]
    fn a_dump_is_appended_to_what_is_there() {
        let mut out = b"before\n".to_vec();
        dump(&mut out, Direction::Up, 0, b"x", DumpForm::Auto);
        assert_eq!(out, b"before\ncopy_up(0)\n1: x\n");
    }
}
