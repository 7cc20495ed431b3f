//! Bytes as a word of a command: printable ASCII stands for itself, the rest is written `\r`, `\n`,
//! `\t`, `\\`, `\s` for a blank, or `\xHH`.

/// The bytes of a word; `None` if a backslash is followed by something else.
pub fn decoded(word: &str) -> Option<Box<[u8]>> {
    let mut bytes = Vec::new();
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b's' => b' ',
            b'\\' => b'\\',
            b'x' => {
                let mut digit = || (rest.next()? as char).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(16 * high + low).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes.into())
}

/// The word for some bytes: one that stands alone on any line.
pub fn encoded(bytes: &[u8]) -> String {
    let mut word = String::new();
    for &byte in bytes {
        match byte {
            b'\r' => word.push_str("\\r"),
            b'\n' => word.push_str("\\n"),
            b'\t' => word.push_str("\\t"),
            b' ' => word.push_str("\\s"),
            b'\\' => word.push_str("\\\\"),
            // These would begin a quotation or a comment.
            b'"' | b'#' => word.push_str(&format!("\\x{byte:02x}")),
            _ if byte.is_ascii_graphic() => word.push(byte as char),
            _ => word.push_str(&format!("\\x{byte:02x}")),
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_word_and_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let word = encoded(&all);
        assert!(!word.contains([' ', '"', '#']) && word.is_ascii());
        assert_eq!(decoded(&word).as_deref(), Some(&all[..]));
        assert_eq!(decoded("PING\\r\\n").as_deref(), Some(&b"PING\r\n"[..]));
        assert_eq!(decoded("a\u{e4}").as_deref(), Some("a\u{e4}".as_bytes()));
        for bad in ["\\", "\\q", "\\x", "\\x4", "\\xg0"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}
