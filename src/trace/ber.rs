//! BER as LDAP has it (RFC 4511 section 5.1): elements of definite length.

/// An element that was read, perhaps without its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element<'a> {
    /// Its tag, of one byte.
    pub tag: u8,
    /// What is in it, as far as it is there.
    pub content: &'a [u8],
    /// The length that it says.
    pub length: usize,
}

impl<'a> Element<'a> {
    /// The elements within.
    pub fn elements(&self) -> Elements<'a> {
        Elements(self.content)
    }

    /// A small whole number.
    pub fn number(&self) -> Option<i64> {
        let [first, ..] = self.content else { return None };
        if self.content.len() > 8 || self.content.len() < self.length {
            return None;
        }
        let sign = if *first & 0x80 == 0 { 0 } else { -1 };
        Some(self.content.iter().fold(sign, |sum, byte| (sum << 8) | i64::from(*byte)))
    }
}

/// The elements of a text, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Elements<'a>(pub &'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (tag, length, header) = header(self.0)?;
        let rest = &self.0[header..];
        let (content, rest) = rest.split_at(length.min(rest.len()));
        self.0 = rest;
        Some(Element { tag, content, length })
    }
}

/// The tag, the length and how many bytes say so; nothing if it is not all there or not BER.
pub fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let [tag, first, rest @ ..] = bytes else { return None };
    // No tag of LDAP has more than one byte.
    if tag & 0x1f == 0x1f {
        return None;
    }
    if *first < 0x80 {
        return Some((*tag, usize::from(*first), 2));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 || rest.len() < count {
        return None;
    }
    let length = rest[..count].iter().fold(0usize, |sum, byte| (sum << 8) | usize::from(*byte));
    (length <= i32::MAX as usize).then_some((*tag, length, 2 + count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_both_forms_and_bounds() {
        type Row = (&'static [u8], Option<(u8, usize, usize)>);
        let table: [Row; 9] = [
            (b"\x30\x05", Some((0x30, 5, 2))),
            (b"\x30\x7f", Some((0x30, 127, 2))),
            (b"\x30\x81\x80", Some((0x30, 128, 3))),
            (b"\x30\x84\x00\x00\x01\x00", Some((0x30, 256, 6))),
            (b"\x30\x80", None),
            (b"\x30\x85\x00\x00\x00\x00\x01", None),
            (b"\x30\x84\xff\xff\xff\xff", None),
            (b"\x1f\x05", None),
            (b"\x30\x82\x01", None),
        ];
        for (bytes, found) in table {
            assert_eq!(header(bytes), found, "{bytes:?}");
        }
    }

    #[test]
    fn numbers_have_signs() {
        let number = |content: &[u8]| Element { tag: 2, content, length: content.len() }.number();
        assert_eq!((number(b"\x05"), number(b"\xff"), number(b"\x00\x80")), (Some(5), Some(-1), Some(128)));
        assert_eq!((number(b""), number(b"123456789")), (None, None));
    }
}
