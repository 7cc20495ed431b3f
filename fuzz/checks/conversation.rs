//! Decoders: no bytes make one panic, what they tell is printable and bounded, and what they veil is
//! veiled however the bytes were split.
//!
//! The first byte chooses the port and whether the beginning was missed. Then come chunks: a byte
//! with the direction in its highest bit and the length in the others, and the bytes.

use pen::trace::{Conversation, Direction, Protocol};

/// The longest line that is told: a message cut to 500 bytes, and what goes around it.
const LINE_MAX: usize = 600;

type Said<'a> = Vec<(Direction, &'a [u8])>;

/// LDAP.
pub fn ldap(bytes: &[u8]) {
    check(bytes, &[389]);
}

/// TLS.
pub fn tls(bytes: &[u8]) {
    check(bytes, &[443]);
}

/// DNS over TCP.
pub fn dns(bytes: &[u8]) {
    check(bytes, &[53]);
}

/// HTTP.
pub fn http(bytes: &[u8]) {
    check(bytes, &[80]);
}

/// What consists of lines, and what is told from the first bytes.
pub fn lines(bytes: &[u8]) {
    check(bytes, &[21, 25, 110, 143, 7777]);
}

fn check(bytes: &[u8], ports: &[u16]) {
    let Some((&choice, rest)) = bytes.split_first() else { return };
    let port = ports[usize::from(choice >> 1) % ports.len()];
    let is_fresh = choice & 1 == 0;
    let said = chunks(rest);
    let (as_sent, veiled) = watched(port, is_fresh, &said);
    let single = said.iter().flat_map(|(way, text)| text.chunks(1).map(|byte| (*way, byte))).collect();
    let (one_by_one, veiled_one_by_one) = watched(port, is_fresh, &single);
    let has_lines = |protocol| !matches!(protocol, None | Some(Protocol::Tls | Protocol::Ldap | Protocol::Dns));
    // Where a protocol was told from the first chunk alone, less is known from its first byte.
    if is_fresh && as_sent == one_by_one && has_lines(as_sent) && port != 7777 {
        assert_eq!(veiled, veiled_one_by_one);
    }
}

fn chunks(mut bytes: &[u8]) -> Said<'_> {
    let mut said = Vec::new();
    while let Some((&head, rest)) = bytes.split_first() {
        let (text, rest) = rest.split_at(usize::from(head & 0x7f).min(rest.len()));
        said.push((if head & 0x80 == 0 { Direction::Up } else { Direction::Down }, text));
        bytes = rest;
    }
    said
}

/// The protocol that it was taken for, and the bytes up and down with their secrets veiled.
fn watched(port: u16, is_fresh: bool, said: &Said<'_>) -> (Option<Protocol>, [Vec<u8>; 2]) {
    let mut conversation = Conversation::new(Some(port), is_fresh);
    let mut open = Conversation::new(Some(port), is_fresh);
    let (mut lines, mut veiled) = (Vec::new(), [Vec::new(), Vec::new()]);
    for (direction, text) in said {
        let (mut hidden, mut shown) = (text.to_vec(), text.to_vec());
        lines.clear();
        conversation.take(*direction, &mut hidden, &mut lines, false);
        assert_eq!(hidden.len(), text.len());
        assert!(hidden.iter().zip(*text).all(|(hidden, sent)| hidden == sent || *hidden == b'*'));
        check_lines(&lines);
        open.take(*direction, &mut shown, &mut lines, true);
        assert_eq!(shown, *text);
        check_lines(&lines);
        veiled[*direction as usize].extend(hidden);
    }
    (conversation.protocol(), veiled)
}

fn check_lines(lines: &[u8]) {
    assert!(lines.is_empty() || lines.ends_with(b"\n"));
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        assert!(line.starts_with(b"  ") && line.len() <= LINE_MAX);
        assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)));
    }
}
