//! Operands: nothing that anybody types makes the parsers panic, every error is one printable
//! line, and what was understood is well formed.

use pen::base::addr::UNIX_PATH_MAX;
use pen::base::operand::{Host, ListenSpec, OperandError, ServerSpec, Services, parse_host};

/// Judges what becomes of this input, up to the first byte that is no UTF-8.
pub fn check(input: &[u8]) {
    let text = input.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let services = Services::parse("pop3 110/tcp pop-3\nhttp 80/tcp www\n");
    let listen = ListenSpec::parse(text, &services);
    if let Ok(spec) = &listen {
        check_host(&spec.host);
        assert!(spec.port > 0 || text.contains('/') || text.ends_with(":0"), "{text:?}");
    }
    check_error(listen.err());
    let server = ServerSpec::parse(text, &services);
    if let Ok(spec) = &server {
        check_host(&spec.host);
        assert!(spec.port != Some(0), "{text:?}");
    }
    check_error(server.err());
    let host = parse_host(text);
    if let Ok(host) = &host {
        check_host(host);
        assert_eq!(parse_host(&host.to_string()).as_ref(), Ok(host), "{text:?}");
    }
    check_error(host.err());
    Services::parse(text);
}

fn check_host(host: &Host) {
    match host {
        Host::Addr(ip) => assert_eq!(*ip, ip.to_canonical()),
        Host::Name(name) => assert!((1..=254).contains(&name.len()) && name.is_ascii(), "{name:?}"),
        Host::Unix(path) => assert!((1..=UNIX_PATH_MAX).contains(&path.as_os_str().len()), "{path:?}"),
    }
}

fn check_error(error: Option<OperandError>) {
    let Some(error) = error else { return };
    let text = error.to_string();
    assert!((1..200).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
}
