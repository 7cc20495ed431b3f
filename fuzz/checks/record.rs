//! Records: whatever a client sends, each is one line of bounded length and printable bytes,
//! the first reads back as what was sent, and lines of other hands do no harm.

use std::net::IpAddr;

use pen::base::addr::ClientAddr;
use pen::logs::record::{DATAGRAM_MAX, Record, TEXT_MAX, parse, write_datagrams, write_records};

/// Judges what becomes of this input: a line `client unix server` and then the chunk.
pub fn check(input: &[u8]) {
    let (head, chunk) = input.split_at(input.iter().position(|&byte| byte == b'\n').unwrap_or(0));
    let chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
    let head = String::from_utf8_lossy(head);
    let mut words = head.splitn(3, ' ');
    let client = words.next().and_then(|word| word.parse::<IpAddr>().ok());
    let client = client.map_or(ClientAddr::Unix, |ip| ClientAddr::Inet(ip.to_canonical()));
    let unix = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let server = words.next().unwrap_or("");

    let mut lines = Vec::new();
    let count = write_records(&mut lines, client, unix, &server, chunk);
    let mut datagrams = Vec::new();
    assert_eq!(write_datagrams(&mut datagrams, client, &server, chunk), count);

    let lines: Vec<&[u8]> = lines.split_inclusive(|&byte| byte == b'\n').collect();
    let datagrams: Vec<&[u8]> = datagrams.split_inclusive(|&byte| byte == b'\n').collect();
    assert_eq!(lines.len(), count);
    assert_eq!(datagrams.len(), count);
    assert_eq!(count == 0, chunk.is_empty());
    // Requests do not overlap, and none is shorter than this.
    assert!(count <= 1 + chunk.len() / "A b HTTP/1.\n".len());

    let mut texts = Vec::new();
    for (line, datagram) in lines.iter().zip(&datagrams) {
        let Some((b'\n', printable)) = line.split_last() else { panic!("{line:?} has no end") };
        assert!(printable.iter().all(|byte| (b' '..=b'~').contains(byte)), "{line:?}");
        let record = parse(line).expect("a record that was written is one that can be read");
        assert_eq!((record.client, record.unix), (client, unix));
        assert!(record.text.len() <= TEXT_MAX);
        assert!(datagram.starts_with(b"+ ") && datagram.len() <= DATAGRAM_MAX);
        assert!(datagram.ends_with(&line[line.len() - record.text.len() - record.server.len() - 2..]));
        texts.push(record.text);
    }
    // Without empty lines before it, the first text is the start of the chunk.
    if let Some(text) = texts.first().filter(|_| !chunk.starts_with(b"\r") && !chunk.starts_with(b"\n")) {
        let start = chunk.iter().map(|&byte| if (b' '..=b'~').contains(&byte) { byte } else { b'.' });
        assert!(start.zip(*text).all(|(sent, shown)| sent == *shown));
    }

    // The chunk itself as a line of the log.
    if let Some(Record { client, unix, server, text }) = parse(chunk) {
        let again = [format!("{client} {unix} {server} ").as_bytes(), text, b"\r\n"].concat();
        assert_eq!(parse(&again), Some(Record { client, unix, server, text }));
    }
}
