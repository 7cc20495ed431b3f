//! Names of DNS as text that may stand in a log.
//!
//! DNS carries any bytes in a name (RFC 2181 section 11), and who answers for an address need not be
//! a friend. What is not plainly a host name is not let through, in whole or in part.

use domain::base::name::ToLabelIter;

/// A name as messages have it.
pub type Name = domain::base::Name<Vec<u8>>;

/// The most bytes of a host name as text (RFC 1035 section 2.3.4, without the root's dot).
pub const HOST_NAME_MAX: usize = 253;

/// The name as text in small letters, without a dot at its end; `None` if it is not fit for a log:
/// not only letters, digits, hyphens and underscores between its dots, a hyphen at an edge of a
/// label, or digits alone after the last dot, for that could pass for an address.
pub fn host_name(name: &impl ToLabelIter) -> Option<String> {
    let mut text = String::new();
    for label in name.iter_labels().filter(|label| !label.is_root()) {
        if !text.is_empty() {
            text.push('.');
        }
        if label.iter().any(|byte| byte == b'.') {
            return None;
        }
        text.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
    }
    is_host_name(&text).then_some(text)
}

/// Whether this text is what [`host_name`] may return. What is kept on disk is looked at again.
pub fn is_host_name(text: &str) -> bool {
    let is_fit = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(byte))
            && bytes[0] != b'-'
            && bytes[bytes.len() - 1] != b'-'
    };
    let last = text.rsplit('.').next().unwrap_or("");
    text.len() <= HOST_NAME_MAX && text.split('.').all(is_fit) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name of these labels, whatever bytes they have.
    fn name(labels: &[&[u8]]) -> Name {
        let mut octets = Vec::new();
        for label in labels {
            octets.push(u8::try_from(label.len()).unwrap());
            octets.extend_from_slice(label);
        }
        octets.push(0);
        Name::from_octets(octets).unwrap()
    }

    #[test]
    fn only_host_names_are_let_through() {
        let table: [(&[&[u8]], Option<&str>); 21] = [
            (&[b"www", b"Example", b"COM"], Some("www.example.com")),
            (&[b"host_1", b"a-b", b"xn--bcher-kva"], Some("host_1.a-b.xn--bcher-kva")),
            (&[b"localhost"], Some("localhost")),
            (&[b"1", b"2", b"3", b"host"], Some("1.2.3.host")),
            (&[b"_dmarc", b"example", b"com"], Some("_dmarc.example.com")),
            // Addresses of somebody else.
            (&[b"10", b"0", b"0", b"1"], None),
            (&[b"host", b"1"], None),
            (&[b"7"], None),
            // Lines and escapes of somebody else.
            (&[b"a\nb", b"com"], None),
            (&[b"a\r", b"com"], None),
            (&[b"\x1b[2J", b"com"], None),
            (&[b"a b", b"com"], None),
            (&[b"a.b", b"com", b"\x80"], None),
            (&[b"a\"", b"com"], None),
            (&[b"a\0", b"com"], None),
            (&[b"fe80::1"], None),
            (&[b"-a", b"com"], None),
            (&[b"a-", b"com"], None),
            (&[b"a.b", b"com"], None),
            (&[b"1.2.3.4"], None),
            (&[], None),
        ];
        for (labels, text) in table {
            assert_eq!(host_name(&name(labels)).as_deref(), text, "{labels:?}");
        }
    }

    #[test]
    fn names_of_any_length_are_judged() {
        let long = [b'a'; 63];
        let most = name(&[&long, &long, &long, &long[..61]]);
        assert_eq!(host_name(&most).map(|text| text.len()), Some(HOST_NAME_MAX));
        assert!(!is_host_name(&"a".repeat(64)));
        assert!(!is_host_name(&["a"; 128].join(".")));
        assert!(!is_host_name(""));
        assert!(!is_host_name("a..b"));
        assert!(!is_host_name("A.b"));
    }
}
