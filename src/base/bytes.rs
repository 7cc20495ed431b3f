//! Bytes from outside, made fit to be shown.
//!
//! What a client or a server sent may hold terminal escapes, line ends and worse. Nothing of it
//! reaches a log or syslog but the printable bytes of ASCII; a dot stands for any other byte.

use std::borrow::Cow;
use std::io;

/// The most bytes of one message to syslog: with its header it stays within the 1,024 bytes
/// that every receiver takes (RFC 3164 section 4.1).
pub const SYSLOG_LINE_MAX: usize = 1000;

/// True for what shows as one character on every terminal: 0x20 to 0x7e.
#[inline]
pub const fn is_printable(byte: u8) -> bool {
    byte.wrapping_sub(0x20) < 0x5f
}

/// The byte itself if it is printable, a dot otherwise.
#[inline]
pub const fn masked(byte: u8) -> u8 {
    if is_printable(byte) { byte } else { b'.' }
}

/// True for what does not show but changes how other characters show: control characters, and those that
/// turn the direction in which a text is read (Unicode Standard Annex #9, Bidi_Control).
pub fn is_hidden(character: char) -> bool {
    let turns = matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || turns
}

/// The character itself if it shows as what it is, a dot otherwise.
pub fn veiled(character: char) -> char {
    if is_hidden(character) { '.' } else { character }
}

/// A word that somebody typed, as a message shows it: as it was typed, and what is not visible ASCII escaped.
pub fn escaped(word: &str) -> impl Iterator<Item = char> {
    // Nothing that shows needs a backslash: the word stands in a sentence, and is not read again.
    word.chars().flat_map(|c| c.escape_default().skip(usize::from(matches!(c, '"' | '\'' | '\\'))))
}

/// Where a word begins in a text of moderate length, for those who do not ask for it all the time.
pub fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    if word.is_empty() {
        return Some(0);
    }
    text.windows(word.len()).position(|part| part == word)
}

/// Cuts a text into messages for syslog, of at most [`SYSLOG_LINE_MAX`] bytes each.
///
/// One message per line, without its LF or CR LF; empty lines give none, long lines several.
/// Everything that is not printable is masked.
pub fn syslog_lines(text: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    text.split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .flat_map(|line| line.chunks(SYSLOG_LINE_MAX))
        .map(shown)
}

/// The bytes of a file as text.
///
/// # Errors
/// If they are no UTF-8; the message says in which line.
pub fn text_of(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8 text"))
    })
}

/// The bytes as text, with everything masked that is not printable.
fn shown(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(|&byte| is_printable(byte)) => Cow::Borrowed(text),
        _ => Cow::Owned(bytes.iter().map(|&byte| char::from(masked(byte))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_where_it_first_begins() {
        let table: [(&[u8], &[u8], Option<usize>); 7] = [
            (b"", b"", Some(0)),
            (b"abc", b"", Some(0)),
            (b"", b"a", None),
            (b"aab", b"ab", Some(1)),
            (b"abab", b"ab", Some(0)),
            (b"abc", b"abcd", None),
            (b"abc", b"c", Some(2)),
        ];
        for (text, word, place) in table {
            assert_eq!(find(text, word), place, "{text:?} {word:?}");
        }
    }

    #[test]
    fn only_the_printable_bytes_of_ascii_are_left_alone() {
        for byte in 0..=255u8 {
            let plain = (b' '..=b'~').contains(&byte);
            assert_eq!(is_printable(byte), plain, "{byte:#04x}");
            assert_eq!(masked(byte), if plain { byte } else { b'.' }, "{byte:#04x}");
        }
    }

    #[test]
    fn what_turns_the_direction_of_a_text_does_not_show() {
        let turning = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        assert_eq!(turning.chars().map(veiled).collect::<String>(), ".".repeat(12));
        assert_eq!("\0\n\u{7f}\u{9b}".chars().map(veiled).collect::<String>(), "....");
        let text = "caf\u{e9} \u{5d0}\u{200b}\u{200d}\u{2029}\u{202f}\u{2065}\u{206a}";
        assert_eq!(text.chars().map(veiled).collect::<String>(), text);
    }

    #[test]
    fn a_word_is_shown_as_it_was_typed() {
        for word in ["plain", "\"a", "it's", "\\q"] {
            assert_eq!(escaped(word).collect::<String>(), word);
        }
        assert_eq!(escaped("\u{1b}[31m\t\u{e9}\u{202e}").collect::<String>(), "\\u{1b}[31m\\t\\u{e9}\\u{202e}");
    }

    #[test]
    fn bytes_that_are_no_text_are_told_with_their_line() {
        assert_eq!(text_of("caf\u{e9}\n".into()).unwrap(), "caf\u{e9}\n");
        for (bytes, line) in [(&b"\xff"[..], 1), (b"\n\ncaf\xe9\nx", 3), (b"a\nb\xc3", 2)] {
            let error = text_of(bytes.to_vec()).unwrap_err();
            assert_eq!(error.to_string(), format!("line {line} is not UTF-8 text"), "{bytes:?}");
        }
    }

    #[test]
    fn a_text_is_cut_into_syslog_messages_at_its_lines() {
        let table: [(&[u8], &[&str]); 8] = [
            (b"", &[]),
            (b"\n\r\n\n", &[]),
            (b"one", &["one"]),
            (b"copy_up(0)\n6: DATA\r\n\n", &["copy_up(0)", "6: DATA"]),
            (b"a\rb\n", &["a.b"]),
            (b"a\r\r\n", &["a."]),
            (b"tab\there \x1b[31m\x7f", &["tab.here .[31m."]),
            (b"caf\xc3\xa9 \xff\nnext", &["caf.. .", "next"]),
        ];
        for (text, lines) in table {
            assert_eq!(syslog_lines(text).collect::<Vec<_>>(), lines, "{text:?}");
        }
    }

    #[test]
    fn no_syslog_message_is_longer_than_allowed_and_nothing_is_lost() {
        for length in [SYSLOG_LINE_MAX - 1, SYSLOG_LINE_MAX, SYSLOG_LINE_MAX + 1, 3 * SYSLOG_LINE_MAX] {
            let text = vec![b'x'; length];
            let lines: Vec<_> = syslog_lines(&text).collect();
            assert_eq!(lines.len(), length.div_ceil(SYSLOG_LINE_MAX), "{length}");
            assert!(lines.iter().all(|line| line.len() <= SYSLOG_LINE_MAX), "{length}");
            assert_eq!(lines.concat().as_bytes(), text, "{length}");
        }
    }

    #[test]
    fn a_clean_line_is_not_copied() {
        assert!(syslog_lines(b"plain\r\n").all(|line| matches!(line, Cow::Borrowed(_))));
    }
}
