//! Requests to the status port: what is read does not depend on what follows it, nothing that is too long is waited
//! for, and a request is one for somebody else's reader, too.

use pen::control::http::{HEAD_MAX, Parsed, parse};

/// Judges what becomes of this input.
pub fn check(bytes: &[u8]) {
    let whole = parse(bytes);
    let lengths = (0..bytes.len()).step_by(1 + bytes.len() / 200);
    match whole {
        Parsed::Request(_, length) => {
            assert!(length > 0 && length <= HEAD_MAX.min(bytes.len()));
            assert_eq!(parse(&bytes[..length]), whole, "what follows is another request's");
            for shorter in lengths.filter(|shorter| *shorter < length) {
                assert_eq!(parse(&bytes[..shorter]), Parsed::Incomplete, "{shorter} of {length}");
            }
        }
        Parsed::Incomplete => {
            assert!(bytes.len() <= HEAD_MAX);
            for shorter in lengths {
                assert_eq!(parse(&bytes[..shorter]), Parsed::Incomplete, "{shorter}");
            }
        }
        Parsed::Refused(_) => {
            let mut more = bytes.to_vec();
            more.extend_from_slice(b"x\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let again = parse(&more);
            assert!(matches!(again, Parsed::Refused(_)), "more does not make it good: {again:?}");
        }
    }
}
