//! Lines of web logs: whatever stands in them, the parts are within the line, and a time that was
//! read and written in UTC reads as the same time.

use pen::logs::record::TEXT_MAX;
use pen::logs::weblog::{Reader, as_recorded, parse_time, request_of, write_utc};

/// Judges what becomes of these lines.
pub fn check(input: &[u8]) {
    let mut reader = Reader::default();
    let mut text = Vec::new();
    for line in input.split(|&byte| byte == b'\n') {
        let recorded = as_recorded(line, &mut text);
        assert!(recorded.len() <= TEXT_MAX && recorded.iter().all(|byte| (b' '..=b'~').contains(byte)));
        if let Some((client_end, request)) = request_of(line) {
            assert!(client_end < request.start && line[request.start - 1] == b'"' && line[request.end] == b'"');
        }
        let Some(found) = reader.parse(line) else { continue };
        assert_eq!(line[found.client_end], b' ');
        assert!(!line[..found.client_end].contains(&b' '));
        assert!(found.client_end < found.time.start && found.time.end < found.request.start);
        assert_eq!((line[found.time.start - 1], line[found.time.end]), (b'[', b']'));
        assert_eq!((line[found.request.start - 1], line[found.request.end]), (b'"', b'"'));
        // Whatever was read before, the time is that of this line.
        assert_eq!(parse_time(&line[found.time.clone()]), Some(found.at));
        let mut utc = Vec::new();
        write_utc(&mut utc, found.at);
        if let Some(again) = parse_time(&utc) {
            assert_eq!(again.millis, found.at.millis);
        }
    }
}
