//! Dumps: no bytes make one panic, the length it tells is right, it ends as promised, and no
//! form of it lets a control byte through.

use pen::base::bytes::SYSLOG_LINE_MAX;
use pen::base::diag::DumpForm;
use pen::trace::{Direction, Tracer, for_syslog};

/// Judges what becomes of this input.
pub fn check(bytes: &[u8]) {
    let connection = bytes.len();
    let direction = if connection.is_multiple_of(2) { Direction::Up } else { Direction::Down };
    let mut tracer = Tracer::new(2, DumpForm::Auto);
    let mut shown = Vec::new();
    for form in [DumpForm::Auto, DumpForm::Ascii, DumpForm::Columns] {
        tracer.set_form(form);
        let dump = tracer.dump(direction, connection, bytes).to_vec();
        if bytes.is_empty() {
            assert!(dump.is_empty());
            return;
        }
        let head = format!("{}({connection})\n{}: ", direction.name(), bytes.len());
        let body = dump.strip_prefix(head.as_bytes()).expect("the head comes first");
        let body = body.strip_suffix(b"\n").expect("a newline ends it");
        let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
        assert!(body.iter().all(is_text));
        let as_text = form == DumpForm::Ascii || (form == DumpForm::Auto && bytes.iter().all(is_text));
        if as_text {
            assert_eq!(body.len(), bytes.len());
            assert!(body.iter().zip(bytes).all(|(shown, sent)| shown == sent || (*shown == b'.' && !is_text(sent))));
        } else {
            assert_eq!(undumped(body), bytes);
        }
        for line in for_syslog(&dump) {
            assert!((1..=SYSLOG_LINE_MAX).contains(&line.len()));
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
        shown.push(dump);
    }
    assert!(shown[0] == shown[1] || shown[0] == shown[2]);
    for line in for_syslog(bytes) {
        assert!((1..=SYSLOG_LINE_MAX).contains(&line.len()) && line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}

/// The bytes that columns show.
fn undumped(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let body = std::str::from_utf8(body).expect("columns are ASCII");
    for line in body.strip_prefix('\n').expect("columns begin on a line of their own").lines() {
        let offset = usize::from_str_radix(&line[..8], 16).expect("an offset");
        assert_eq!(offset, bytes.len());
        let digits = line[8..60].split_whitespace();
        bytes.extend(digits.map(|digits| u8::from_str_radix(digits, 16).expect("two digits")));
        assert_eq!(line.len(), 62 + bytes.len() - offset);
    }
    bytes
}
