//! The first message of a TLS client (RFC 8446 section 4.1.2, RFC 6066 section 3, RFC 7301 section
//! 3.1): the name that it asks for and the protocols that it offers. Nothing is decrypted.
//!
//! It may be split anywhere, by the network and over several records. What is not a ClientHello, or
//! is longer than [`HELLO_MAX`], is nothing to this part.

/// The most bytes that are looked at.
pub const HELLO_MAX: usize = 16 * 1024;

/// What a TLS client says in the clear.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hello {
    /// The host that it wants, in lower case and without a dot at its end.
    pub server_name: Option<String>,
    /// The protocols that it offers, the one it likes best first.
    pub protocols: Vec<Vec<u8>>,
}

/// What bytes at the beginning of a connection are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    /// The beginning of one: more must come.
    Partial,
    /// A whole one.
    Hello(Hello),
    /// Something else.
    Other,
}

/// The bytes are nothing that a ClientHello has here.
struct Malformed;

/// Reads the beginning of a connection.
pub fn read_hello(bytes: &[u8]) -> Read {
    let mut message = Vec::new();
    let mut rest = &bytes[..bytes.len().min(HELLO_MAX)];
    loop {
        // A record: type, version, length (RFC 8446 section 5.1).
        let (length, body) = match *rest {
            [] | [0x16] | [0x16, 3] | [0x16, 3, _] | [0x16, 3, _, _] => return partial(bytes),
            [0x16, 3, _, high, low, ref body @ ..] => (usize::from(u16::from_be_bytes([high, low])), body),
            _ => return Read::Other,
        };
        if length == 0 || length > 16 * 1024 {
            return Read::Other;
        }
        let fragment = &body[..body.len().min(length)];
        message.extend_from_slice(fragment);
        // A handshake message: type, length.
        let needed = match message[..] {
            [] | [1] | [1, _] | [1, _, _] => None,
            [1, high, middle, low, ..] => Some(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)),
            _ => return Read::Other,
        };
        match needed {
            Some(needed) if needed > HELLO_MAX => return Read::Other,
            Some(needed) if message.len() >= 4 + needed => {
                return hello(&message[4..4 + needed]).map_or(Read::Other, Read::Hello);
            }
            _ if fragment.len() < length => return partial(bytes),
            _ => rest = &body[length..],
        }
    }
}

fn partial(bytes: &[u8]) -> Read {
    if bytes.len() < HELLO_MAX { Read::Partial } else { Read::Other }
}

fn hello(bytes: &[u8]) -> Result<Hello, Malformed> {
    let mut rest = bytes;
    // Version, random, session, cipher suites, compression.
    take(&mut rest, 2 + 32)?;
    vector(&mut rest, 1)?;
    vector(&mut rest, 2)?;
    vector(&mut rest, 1)?;
    let mut hello = Hello::default();
    // Clients of old have none.
    if rest.is_empty() {
        return Ok(hello);
    }
    let mut extensions = vector(&mut rest, 2)?;
    while !extensions.is_empty() {
        let number = number(&mut extensions, 2)?;
        let mut body = vector(&mut extensions, 2)?;
        match number {
            0 => hello.server_name = server_name(&mut body)?,
            16 => hello.protocols = protocols(&mut body)?,
            _ => {}
        }
    }
    Ok(hello)
}

fn server_name(body: &mut &[u8]) -> Result<Option<String>, Malformed> {
    let mut names = vector(body, 2)?;
    while !names.is_empty() {
        let kind = number(&mut names, 1)?;
        let name = vector(&mut names, 2)?;
        if kind == 0 {
            return Ok(host(name));
        }
    }
    Ok(None)
}

fn protocols(body: &mut &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut list = vector(body, 2)?;
    let mut protocols = Vec::new();
    while !list.is_empty() {
        protocols.push(vector(&mut list, 1)?.to_vec());
    }
    Ok(protocols)
}

/// A host's name as names are compared: in lower case, without the dot of the root. `None` if it is
/// not one.
pub fn host(name: &[u8]) -> Option<String> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let is_name = !name.is_empty() && name.len() <= 255 && name.iter().all(u8::is_ascii_graphic);
    let name = std::str::from_utf8(name).ok().filter(|_| is_name)?;
    Some(name.to_ascii_lowercase())
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (taken, left) = rest.split_at_checked(count).ok_or(Malformed)?;
    *rest = left;
    Ok(taken)
}

/// A number of one or two bytes.
fn number(rest: &mut &[u8], size: usize) -> Result<usize, Malformed> {
    Ok(take(rest, size)?.iter().fold(0, |number, &byte| number << 8 | usize::from(byte)))
}

/// What a length of so many bytes stands before.
fn vector<'a>(rest: &mut &'a [u8], size: usize) -> Result<&'a [u8], Malformed> {
    let length = number(rest, size)?;
    take(rest, length)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn with_length(size: usize, bytes: &[u8]) -> Vec<u8> {
        [&u64::try_from(bytes.len()).unwrap().to_be_bytes()[8 - size..], bytes].concat()
    }

    /// A message with these extensions, in records of so many bytes.
    pub fn records(extensions: &[(u16, Vec<u8>)], record: usize) -> Vec<u8> {
        let extensions: Vec<u8> = extensions
            .iter()
            .flat_map(|(number, body)| [&number.to_be_bytes()[..], &with_length(2, body)].concat())
            .collect();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &with_length(1, &[9; 32]),
            &with_length(2, &[0x13, 1, 0x13, 2]),
            &with_length(1, &[0]),
            &with_length(2, &extensions),
        ]
        .concat();
        let message = [&[1][..], &with_length(3, &body)].concat();
        message.chunks(record).flat_map(|part| [&[0x16, 3, 1][..], &with_length(2, part)].concat()).collect()
    }

    pub fn sni(name: &str) -> (u16, Vec<u8>) {
        (0, with_length(2, &[&[0][..], &with_length(2, name.as_bytes())].concat()))
    }

    pub fn alpn(names: &[&str]) -> (u16, Vec<u8>) {
        let list: Vec<u8> = names.iter().flat_map(|name| with_length(1, name.as_bytes())).collect();
        (16, with_length(2, &list))
    }

    #[test]
    fn the_name_and_the_protocols_are_found_wherever_it_is_split() {
        let grease = (0x1a1a, vec![0]);
        for record in [1, 2, 5, 40, 10_000] {
            let extensions = [grease.clone(), sni("WWW.Example.org."), (43, vec![2, 3, 4]), alpn(&["h2", "http/1.1"])];
            let bytes = records(&extensions, record);
            let hello = Hello {
                server_name: Some(String::from("www.example.org")),
                protocols: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            };
            for cut in 0..bytes.len() {
                assert_eq!(read_hello(&bytes[..cut]), Read::Partial, "{record} {cut}");
            }
            assert_eq!(read_hello(&bytes), Read::Hello(hello.clone()), "{record}");
            assert_eq!(read_hello(&[&bytes[..], b"more"].concat()), Read::Hello(hello));
        }
    }

    #[test]
    fn a_client_may_ask_for_nothing() {
        assert_eq!(read_hello(&records(&[], 100)), Read::Hello(Hello::default()));
        assert_eq!(read_hello(&records(&[(0, vec![0, 0])], 100)), Read::Hello(Hello::default()));
        assert_eq!(read_hello(&records(&[sni("a b")], 100)), Read::Hello(Hello::default()));
        // Without even a place for extensions.
        let mut old = records(&[], 100);
        old.truncate(old.len() - 2);
        old[4] -= 2;
        old[8] -= 2;
        assert_eq!(read_hello(&old), Read::Hello(Hello::default()));
    }

    #[test]
    fn what_is_something_else_is_not_waited_for() {
        let good = records(&[sni("a.example")], 1000);
        let changed = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        let others = [
            b"GET / HTTP/1.1\r\n".to_vec(),
            vec![0x80, 0x2e, 1, 3, 1],
            changed(0, 0x15),
            changed(1, 2),
            // A record that is too long, or has nothing.
            changed(3, 0xff),
            vec![0x16, 3, 1, 0, 0],
            // A message that is no ClientHello, or is too long.
            changed(5, 2),
            changed(6, 1),
            // A session that is longer than the message.
            changed(43, 0xff),
            records(&[(0, vec![0, 9, 0])], 1000),
            records(&[(16, vec![0, 3, 9, 9, 9])], 1000),
        ];
        for bytes in others {
            assert_eq!(read_hello(&bytes), Read::Other, "{:x?}", &bytes[..5]);
        }
        let long = records(&[(21, vec![0; HELLO_MAX - 200])], 100);
        assert_eq!(read_hello(&long), Read::Other, "records have so many bytes that it is too long");
        assert_eq!(read_hello(&long[..HELLO_MAX - 1]), Read::Partial);
        assert!(matches!(read_hello(&records(&[(21, vec![0; 15_000])], 16_384)), Read::Hello(_)));
    }
}
