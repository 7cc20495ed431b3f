//! Messages of the TLS handshake in words (RFC 8446 section 4, RFC 6066, RFC 7301).

use std::io::Write;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// The random value of a hello that wants another one (RFC 8446 section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Bytes that are read from their beginning on; what is not there is empty.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        let taken = self.bytes(bytes);
        (taken.len() == bytes).then(|| taken.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)))
    }

    /// What a length of so many bytes goes before.
    fn counted(&mut self, bytes: usize) -> &'a [u8] {
        let count = self.number(bytes).unwrap_or(0);
        self.bytes(count)
    }
}

/// What a hello says.
#[derive(Default)]
struct Hello<'a> {
    version: u16,
    server_name: &'a [u8],
    protocols: Vec<&'a [u8]>,
}

impl<'a> Hello<'a> {
    fn read_extensions(&mut self, extensions: &'a [u8], is_client: bool) {
        let mut all = Reader(extensions);
        while let Some(sort) = all.number(2) {
            let mut content = Reader(all.counted(2));
            match u16::try_from(sort).unwrap_or(u16::MAX) {
                SERVER_NAME if is_client => {
                    let mut names = Reader(content.counted(2));
                    if names.number(1) == Some(0) {
                        self.server_name = names.counted(2);
                    }
                }
                ALPN => {
                    let mut names = Reader(content.counted(2));
                    while !names.0.is_empty() && self.protocols.len() < 16 {
                        self.protocols.push(names.counted(1));
                    }
                }
                SUPPORTED_VERSIONS => {
                    let list = if is_client { content.counted(1) } else { content.0 };
                    let offered = list.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                    // Values such as 0x2a2a mean nothing (RFC 8701).
                    self.version = offered.filter(|version| version & 0x0f0f != 0x0a0a).max().unwrap_or(self.version);
                }
                _ => {}
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        if !self.server_name.is_empty() {
            out.extend_from_slice(b", server name ");
            out.extend_from_slice(self.server_name);
        }
        if !self.protocols.is_empty() {
            out.extend_from_slice(b", ALPN ");
            out.extend_from_slice(&self.protocols.join(&b' '));
        }
    }
}

/// True if this is a server's hello that wants another one from the client.
pub fn is_retry(message: &[u8]) -> bool {
    message.first() == Some(&SERVER_HELLO) && message.get(6..38) == Some(&RETRY[..])
}

/// A message in words.
pub fn message(message: &[u8]) -> Vec<u8> {
    let mut body = Reader(message);
    let sort = body.number(1).unwrap_or(0);
    let _ = body.number(3);
    let name = match u8::try_from(sort).unwrap_or(0) {
        CLIENT_HELLO => return client_hello(body),
        SERVER_HELLO => return server_hello(body, is_retry(message)),
        0 => "HelloRequest",
        4 => "NewSessionTicket",
        11 => "Certificate",
        12 => "ServerKeyExchange",
        13 => "CertificateRequest",
        14 => "ServerHelloDone",
        15 => "CertificateVerify",
        16 => "ClientKeyExchange",
        20 => "Finished",
        21 => "CertificateURL",
        22 => "CertificateStatus",
        _ => return format!("message {sort}").into_bytes(),
    };
    name.as_bytes().to_vec()
}

fn client_hello(mut body: Reader<'_>) -> Vec<u8> {
    let mut hello = Hello { version: version(&mut body), ..Hello::default() };
    body.bytes(32);
    body.counted(1);
    let ciphers = body.counted(2).len() / 2;
    body.counted(1);
    hello.read_extensions(body.counted(2), true);
    let mut out = format!("ClientHello {}", version_name(hello.version)).into_bytes();
    hello.write(&mut out);
    write!(out, ", {ciphers} ciphers").expect("writing to memory does not fail");
    out
}

fn server_hello(mut body: Reader<'_>, is_retry: bool) -> Vec<u8> {
    let mut hello = Hello { version: version(&mut body), ..Hello::default() };
    body.bytes(32);
    body.counted(1);
    let cipher = body.number(2).unwrap_or(0);
    body.bytes(1);
    hello.read_extensions(body.counted(2), false);
    let name = if is_retry { "HelloRetryRequest" } else { "ServerHello" };
    let mut out = format!("{name} {}, cipher {}", version_name(hello.version), cipher_name(cipher)).into_bytes();
    hello.write(&mut out);
    out
}

fn version(body: &mut Reader<'_>) -> u16 {
    u16::try_from(body.number(2).unwrap_or(0)).unwrap_or(0)
}

fn version_name(version: u16) -> String {
    match version {
        0x0300 => String::from("SSL 3.0"),
        0x0301..=0x0304 => format!("TLS 1.{}", version - 0x0301),
        _ => format!("version {version:#06x}"),
    }
}

/// The name of the ciphers that are in use; a number for others.
fn cipher_name(cipher: usize) -> String {
    let name = match cipher {
        0x1301 => "TLS_AES_128_GCM_SHA256",
        0x1302 => "TLS_AES_256_GCM_SHA384",
        0x1303 => "TLS_CHACHA20_POLY1305_SHA256",
        0xc02b => "ECDHE_ECDSA_AES_128_GCM_SHA256",
        0xc02c => "ECDHE_ECDSA_AES_256_GCM_SHA384",
        0xc02f => "ECDHE_RSA_AES_128_GCM_SHA256",
        0xc030 => "ECDHE_RSA_AES_256_GCM_SHA384",
        0xcca8 => "ECDHE_RSA_CHACHA20_POLY1305_SHA256",
        0xcca9 => "ECDHE_ECDSA_CHACHA20_POLY1305_SHA256",
        _ => return format!("{cipher:#06x}"),
    };
    String::from(name)
}
