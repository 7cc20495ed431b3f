//! The word that users of the control port by TCP may have to know.

/// The longest word that users of the control port may have to know.
pub const TOKEN_MAX: usize = 256;

/// The shortest: what is shorter can be guessed.
const TOKEN_MIN: usize = 8;

/// What is before the command in a line of somebody who says the word.
pub const TOKEN: &[u8] = b"token ";

/// The word in a file: its first line, without blanks around it.
pub fn token_of(text: &str) -> Result<Box<[u8]>, String> {
    let word = text.lines().next().unwrap_or_default().trim();
    let is_word = word.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_word || !(TOKEN_MIN..=TOKEN_MAX).contains(&word.len()) {
        return Err(format!("its first line is not a word of {TOKEN_MIN} to {TOKEN_MAX} printable characters"));
    }
    Ok(word.as_bytes().into())
}

/// Takes the word from the front of a line; the word, if there is one, and the command.
pub fn split_token(line: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let Some(rest) = line.strip_prefix(TOKEN) else { return (None, line) };
    let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
    let (word, rest) = rest.split_at(end);
    (Some(word), rest)
}

/// Whether two words are the same, in a time that tells nothing of where they differ.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differs = one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differs) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_first_line_of_its_file() {
        let longest = "x".repeat(TOKEN_MAX);
        for (text, word) in [("12345678", "12345678"), (" s3cret-word \r\nmore\n", "s3cret-word"), (&longest, &longest)]
        {
            assert_eq!(token_of(text).as_deref(), Ok(word.as_bytes()));
        }
        for text in ["", "\n12345678", "1234567", "two words", "wörd-wörd", &"x".repeat(TOKEN_MAX + 1)] {
            assert!(token_of(text).unwrap_err().starts_with("its first line is not a word of 8 to 256"), "{text:?}");
        }
    }

    /// A line, its word, its command.
    type Split = (&'static [u8], Option<&'static [u8]>, &'static [u8]);

    #[test]
    fn a_line_may_begin_with_the_word() {
        let table: [Split; 6] = [
            (b"servers", None, b"servers"),
            (b"token abc servers", Some(b"abc"), b" servers"),
            (b"token abc", Some(b"abc"), b""),
            (b"token  servers", Some(b""), b" servers"),
            (b"tokens", None, b"tokens"),
            (b"", None, b""),
        ];
        for (line, word, command) in table {
            assert_eq!(split_token(line), (word, command), "{line:?}");
        }
    }

    #[test]
    fn only_equal_words_are_the_same() {
        for (one, other, same) in
            [("abc", "abc", true), ("abc", "abd", false), ("abc", "ab", false), ("", "a", false), ("xbc", "abc", false)]
        {
            assert_eq!(is_same(one.as_bytes(), other.as_bytes()), same, "{one} {other}");
        }
    }
}
