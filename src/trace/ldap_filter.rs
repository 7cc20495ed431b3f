//! Filters of LDAP searches in their string form (RFC 4515), and texts as RFC 4514 writes them.

use super::ber::Element;

/// How deep filters within filters are shown.
const DEPTH_MAX: usize = 16;
/// Bytes that a filter has at most when it is shown.
const SHOWN_MAX: usize = 400;

/// Appends the string form of a filter.
pub fn write_filter(out: &mut Vec<u8>, filter: &Element<'_>) {
    let end = out.len() + SHOWN_MAX;
    write_within(out, filter, 0, end);
}

fn write_within(out: &mut Vec<u8>, filter: &Element<'_>, depth: usize, end: usize) {
    if depth == DEPTH_MAX || out.len() > end {
        return out.extend_from_slice(b"(...)");
    }
    out.push(b'(');
    match filter.tag {
        0xa0..=0xa2 => {
            out.push([b'&', b'|', b'!'][usize::from(filter.tag - 0xa0)]);
            for part in filter.elements() {
                if out.len() > end {
                    out.extend_from_slice(b"...");
                    break;
                }
                write_within(out, &part, depth + 1, end);
            }
        }
        0xa3 => write_comparison(out, filter, b"="),
        0xa4 => write_substrings(out, filter),
        0xa5 => write_comparison(out, filter, b">="),
        0xa6 => write_comparison(out, filter, b"<="),
        0x87 => {
            write_escaped(out, filter.content);
            out.extend_from_slice(b"=*");
        }
        0xa8 => write_comparison(out, filter, b"~="),
        0xa9 => write_extensible(out, filter),
        _ => out.extend_from_slice(b"?"),
    }
    out.push(b')');
}

fn write_comparison(out: &mut Vec<u8>, filter: &Element<'_>, operator: &[u8]) {
    let mut parts = filter.elements().map(|part| part.content);
    write_escaped(out, parts.next().unwrap_or_default());
    out.extend_from_slice(operator);
    write_escaped(out, parts.next().unwrap_or_default());
}

fn write_substrings(out: &mut Vec<u8>, filter: &Element<'_>) {
    let mut parts = filter.elements();
    write_escaped(out, parts.next().map_or(&b""[..], |name| name.content));
    out.push(b'=');
    let mut is_open = false;
    for part in parts.next().iter().flat_map(Element::elements) {
        // "initial" has no star before it, "final" none behind it.
        if part.tag != 0x80 && !is_open {
            out.push(b'*');
        }
        write_escaped(out, part.content);
        is_open = part.tag != 0x82;
        if is_open {
            out.push(b'*');
        }
    }
}

fn write_extensible(out: &mut Vec<u8>, filter: &Element<'_>) {
    let part = |tag| filter.elements().find(|part| part.tag == tag).map(|part| part.content);
    write_escaped(out, part(0x82).unwrap_or_default());
    if part(0x84).is_some_and(|content| content != b"\0") {
        out.extend_from_slice(b":dn");
    }
    if let Some(rule) = part(0x81) {
        out.push(b':');
        write_escaped(out, rule);
    }
    out.extend_from_slice(b":=");
    write_escaped(out, part(0x83).unwrap_or_default());
}

/// A value with everything escaped that RFC 4515 section 3 says, and all that is not ASCII.
fn write_escaped(out: &mut Vec<u8>, value: &[u8]) {
    write_with(out, value, |byte| matches!(byte, b'(' | b')' | b'*' | b'\\'));
}

/// A name or a text between quotes.
pub fn write_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    write_with(out, text, |byte| byte == b'"');
    out.push(b'"');
}

fn write_with(out: &mut Vec<u8>, text: &[u8], is_special: impl Fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in text.iter().take(SHOWN_MAX) {
        if (b' '..=b'~').contains(&byte) && !is_special(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'\\', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    if text.len() > SHOWN_MAX {
        out.extend_from_slice(b"...");
    }
}

#[cfg(test)]
mod tests {
    use super::super::ber::Elements;
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write_filter(&mut out, &Elements(bytes).next().unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn filters_read_as_people_write_them() {
        let table: [(&[u8], &str); 9] = [
            (b"\x87\x0bobjectClass", "(objectClass=*)"),
            (b"\xa3\x09\x04\x02cn\x04\x03Bob", "(cn=Bob)"),
            (b"\xa3\x0b\x04\x02cn\x04\x05(*\\\x00\xfc", "(cn=\\28\\2a\\5c\\00\\fc)"),
            (b"\xa4\x0c\x04\x02cn\x30\x06\x80\x01A\x82\x01z", "(cn=A*z)"),
            (b"\xa4\x0c\x04\x02cn\x30\x06\x81\x01A\x81\x01z", "(cn=*A*z*)"),
            (b"\xa0\x1a\xa5\x07\x04\x01a\x04\x021\x30\xa2\x0f\xa1\x0d\xa6\x06\x04\x01b\x04\x01\x32\x87\x03\x63\x64\x65",
             "(&(a>=10)(!(|(b<=2)(cde=*))))"),
            (b"\xa9\x10\x81\x052.5.4\x82\x02ou\x83\x01x\x84\x00", "(ou:dn:2.5.4:=x)"),
            (b"\xa9\x0d\x82\x02ou\x83\x01x\x84\x01\xff\x00\x00", "(ou:dn:=x)"),
            (b"\x85\x00", "(?)"),
        ];
        for (bytes, text) in table {
            assert_eq!(shown(bytes), text);
        }
    }

    #[test]
    fn filters_that_are_too_deep_are_cut() {
        let mut bytes = b"\x87\x01a".to_vec();
        for _ in 0..60 {
            let mut outer = vec![0xa2, u8::try_from(bytes.len()).unwrap()];
            outer.append(&mut bytes);
            bytes = outer;
        }
        assert_eq!(shown(&bytes), format!("{}(...){}", "(!".repeat(16), ")".repeat(16)));
    }
}
