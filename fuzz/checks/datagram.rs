//! What penlogd gets: anybody may send anything, and what is taken for pen's reads back the same.

use pen::logs::record::parse_datagram;

/// Judges a datagram.
pub fn check(input: &[u8]) {
    for line in input.split_inclusive(|&byte| byte == b'\n') {
        let Some((client, server, text)) = parse_datagram(line) else { continue };
        assert!(line.starts_with(b"+ "));
        let again = [format!("+ {client} {server} ").as_bytes(), text, b"\r\n"].concat();
        assert_eq!(parse_datagram(&again), Some((client, server, text)));
    }
}
