//! Conversations as they are told and veiled, whole and split at every byte.

#![cfg(feature = "decoders")]

use super::Conversation;
use crate::trace::dump;
use dump::Direction::{self, Down, Up};

type Said<'a> = [(Direction, &'a [u8])];

/// What is told of a conversation, and how its bytes look afterwards, up and down.
fn watched(port: Option<u16>, is_fresh: bool, said: &Said, piece: usize, shows: bool) -> (String, [Vec<u8>; 2]) {
    let mut conversation = Conversation::new(port, is_fresh);
    let (mut lines, mut bytes) = (Vec::new(), [Vec::new(), Vec::new()]);
    for (direction, text) in said {
        for part in text.chunks(piece) {
            let mut part = part.to_vec();
            conversation.take(*direction, &mut part, &mut lines, shows);
            bytes[*direction as usize].extend(part);
        }
    }
    (String::from_utf8(lines).unwrap(), bytes)
}

/// Checks what is told and which texts are veiled, at every size of pieces.
#[track_caller]
fn check(port: Option<u16>, said: &Said, expected: &str, secrets: &[&str]) {
    let raw = |direction| said.iter().filter(move |(way, _)| *way == direction).flat_map(|(_, text)| text.to_vec());
    let raw: [Vec<u8>; 2] = [raw(Up).collect(), raw(Down).collect()];
    let mut veiled = raw.clone();
    for secret in secrets {
        let places: Vec<(usize, usize)> = (0..2)
            .flat_map(|way| memchr::memmem::find_iter(&raw[way], secret).map(move |place| (way, place)))
            .collect();
        assert!(!places.is_empty(), "{secret} is nowhere");
        for (way, place) in places {
            veiled[way][place..place + secret.len()].fill(b'*');
        }
    }
    let longest = said.iter().map(|(_, text)| text.len()).max().unwrap_or(1);
    for piece in [longest, 1, 2, 3, 5, 7, 64] {
        let (lines, bytes) = watched(port, true, said, piece, false);
        assert_eq!(lines, expected, "in pieces of {piece}");
        for way in 0..2 {
            let (found, wanted) = (bytes[way].escape_ascii(), veiled[way].escape_ascii());
            assert_eq!(found.to_string(), wanted.to_string(), "in pieces of {piece}");
        }
        let (_, bytes) = watched(port, true, said, piece, true);
        assert_eq!(bytes, raw, "in pieces of {piece}");
    }
}

#[test]
fn ftp_is_told_and_its_password_is_not() {
    let said: [(Direction, &[u8]); 12] = [
        (Down, b"220-Welcome\r\n220-to all\r\n220 FTP here\r\n"),
        (Up, b"USER anna\r\n"),
        (Down, b"331 Password, please.\r\n"),
        (Up, b"pass s3cr et\r\n"),
        (Down, b"230 Login successful.\r\n"),
        (Up, b"PORT 127,0,0,1,12,212\r\nRETR loadlin.exe\r\n"),
        (Down, b"200 PORT command successful.\r\n150 Opening BINARY mode.\r\n226 Transfer complete.\r\n"),
        (Up, b"\xff\xf4\xff\xf2ABOR\r\n"),
        (Down, b"226 Closed.\r\n"),
        (Up, b"AUTH TLS\r\n"),
        (Down, b"234 Go on.\r\n"),
        (Up, b"\x15\x03\x03\x00\x02\x01\x00"),
    ];
    let expected = "  ftp: 220-Welcome (3 lines)\n  ftp: USER anna\n  ftp: 331 Password, please.\n  ftp: pass ***\n\
        \x20 ftp: 230 Login successful.\n  ftp: PORT 127,0,0,1,12,212 (127.0.0.1 port 3284)\n  ftp: RETR loadlin.exe\n\
        \x20 ftp: 200 PORT command successful.\n  ftp: 150 Opening BINARY mode.\n  ftp: 226 Transfer complete.\n\
        \x20 ftp: ABOR\n  ftp: 226 Closed.\n  ftp: AUTH TLS\n  ftp: 234 Go on.\n\
        \x20 tls: alert: warning, close_notify (0)\n";
    for port in [Some(21), None] {
        check(port, &said, expected, &["s3cr et"]);
    }
}

#[test]
fn smtp_is_told_with_the_size_of_mails_and_without_what_logs_in() {
    let said: [(Direction, &[u8]); 18] = [
        (Down, b"220 mail.example.org ESMTP\r\n"),
        (Up, b"EHLO me\r\n"),
        (Down, b"250-mail.example.org\r\n250-AUTH LOGIN PLAIN\r\n250 STARTTLS\r\n"),
        (Up, b"AUTH LOGIN\r\n"),
        (Down, b"334 VXNlcm5hbWU6\r\n"),
        (Up, b"YW5uYQ==\r\n"),
        (Down, b"334 UGFzc3dvcmQ6\r\n"),
        (Up, b"c2VjcmV0\r\n"),
        (Down, b"235 2.7.0 Yes\r\n"),
        (Up, b"AUTH PLAIN AGFubmEAc2VjcmV0\r\n"),
        (Down, b"503 Already\r\n"),
        (Up, b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"),
        (Down, b"250 ok\r\n250 ok\r\n354 go on\r\n"),
        (Up, b"Subject: x\r\n\r\nAUTH PLAIN x\r\n..\r\n.\r\nSTARTTLS\r\n"),
        (Down, b"250 queued\r\n220 ready\r\n"),
        (Up, b"\x16\x03\x01\x00\x04\x0e\x00\x00\x00"),
        (Down, b"\x14\x03\x03\x00\x01\x01rest"),
        (Up, b"\x17\x03\x03\x00\x01x"),
    ];
    let expected = "  smtp: 220 mail.example.org ESMTP\n  smtp: EHLO me\n  smtp: 250-mail.example.org (3 lines)\n\
        \x20 smtp: AUTH LOGIN\n  smtp: 334 ***\n  smtp: ***\n  smtp: 334 ***\n  smtp: ***\n\
        \x20 smtp: 235 2.7.0 Yes\n  smtp: AUTH PLAIN ***\n  smtp: 503 Already\n  smtp: MAIL FROM:<a@example.org>\n\
        \x20 smtp: RCPT TO:<b@example.org>\n  smtp: DATA\n  smtp: 250 ok\n  smtp: 250 ok\n  smtp: 354 go on\n\
        \x20 smtp: body of 32 bytes\n  smtp: STARTTLS\n  smtp: 250 queued\n  smtp: 220 ready\n\
        \x20 tls: ServerHelloDone\n  tls: encrypted from here\n  tls: encrypted from here\n";
    let secrets = ["VXNlcm5hbWU6", "YW5uYQ==", "UGFzc3dvcmQ6", "c2VjcmV0", "AGFubmEAc2VjcmV0"];
    for port in [Some(25), None] {
        check(port, &said, expected, &secrets);
    }
}

#[test]
fn smtp_chunks_are_bodies() {
    let said: [(Direction, &[u8]); 2] = [(Down, b"220 ESMTP\r\n"), (Up, b"BDAT 5\r\nab\r\n.BDAT 0 LAST\r\nQUIT\r\n")];
    let expected = "  smtp: 220 ESMTP\n  smtp: BDAT 5\n  smtp: body of 5 bytes\n  smtp: BDAT 0 LAST\n  smtp: QUIT\n";
    check(Some(25), &said, expected, &[]);
}

#[test]
fn pop3_is_told_with_the_size_of_mails_and_without_what_logs_in() {
    let said: [(Direction, &[u8]); 12] = [
        (Down, b"+OK ready <1@x>\r\n"),
        (Up, b"APOP anna c4c9334bac560ecc\r\n"),
        (Down, b"-ERR no\r\n"),
        (Up, b"USER anna\r\nPASS secret word\r\n"),
        (Down, b"+OK\r\n+OK in\r\n"),
        (Up, b"LIST\r\nLIST 1\r\nRETR 1\r\n"),
        (Down, b"+OK 1\r\n1 20\r\n.\r\n+OK 1 20\r\n+OK\r\nFrom: x\r\n\r\n..\r\n.\r\n"),
        (Up, b"AUTH PLAIN\r\n"),
        (Down, b"+ \r\n"),
        (Up, b"AGFubmE=\r\n"),
        (Down, b"+OK\r\n"),
        (Up, b"QUIT\r\n"),
    ];
    let expected = "  pop3: +OK ready <1@x>\n  pop3: APOP anna ***\n  pop3: -ERR no\n  pop3: USER anna\n\
        \x20 pop3: PASS ***\n  pop3: +OK\n  pop3: +OK in\n  pop3: LIST\n  pop3: LIST 1\n  pop3: RETR 1\n\
        \x20 pop3: +OK 1\n  pop3: body of 6 bytes\n  pop3: +OK 1 20\n  pop3: +OK\n  pop3: body of 15 bytes\n\
        \x20 pop3: AUTH PLAIN\n  pop3: + \n  pop3: ***\n  pop3: +OK\n  pop3: QUIT\n";
    for port in [Some(110), None] {
        check(port, &said, expected, &["c4c9334bac560ecc", "secret word", "AGFubmE="]);
    }
}

#[test]
fn imap_is_told_with_its_literals_and_without_what_logs_in() {
    let said: [(Direction, &[u8]); 15] = [
        (Down, b"* OK ready\r\n"),
        (Up, b"a1 LOGIN \"an na\" \"secret word\"\r\n"),
        (Down, b"a1 NO no\r\n"),
        (Up, b"a2 login {4}\r\n"),
        (Down, b"+ go on\r\n"),
        (Up, b"anna {6}\r\nsesame\r\n"),
        (Down, b"a2 OK in\r\n"),
        (Up, b"a3 FETCH 1 BODY[]\r\na4 IDLE\r\nDONE\r\n"),
        (Down, b"* 1 FETCH (BODY[] {12}\r\na1 OK no\r\n\r\n UID 7)\r\na3 OK done\r\n"),
        (Up, b"a5 AUTHENTICATE PLAIN\r\n"),
        (Down, b"+ Y2hhbGxlbmdl\r\n"),
        (Up, b"AGFubmE=\r\n"),
        (Down, b"a5 OK\r\n"),
        (Up, b"a6 STARTTLS\r\n"),
        (Down, b"a6 OK go on\r\n\x17\x03\x03\x00"),
    ];
    let expected = "  imap: * OK ready\n  imap: a1 LOGIN \"an na\" ***\n  imap: a1 NO no\n  imap: + go on\n\
        \x20 imap: a2 login ***\n  imap: a2 OK in\n  imap: a3 FETCH 1 BODY[]\n  imap: a4 IDLE\n  imap: DONE\n\
        \x20 imap: * 1 FETCH (BODY[] {12} UID 7)\n  imap: a3 OK done\n  imap: a5 AUTHENTICATE PLAIN\n  imap: + ***\n\
        \x20 imap: ***\n  imap: a5 OK\n  imap: a6 STARTTLS\n  imap: a6 OK go on\n";
    for port in [Some(143), None] {
        // What is veiled of a login with literals is all of it.
        check(port, &said, expected, &["\"secret word\"", "{4}", "anna {6}", "sesame", "Y2hhbGxlbmdl", "AGFubmE="]);
    }
}

#[test]
fn http_heads_are_told_and_bodies_counted() {
    let said: [(Direction, &[u8]); 8] = [
        (Up, b"GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: Basic YTpi\r\nCookie: x=1;\r\n y=2\r\n\r\n"),
        (Down, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: id=77\r\nServer: x\r\n\r\nhello"),
        (Up, b"POST /p HTTP/1.1\r\nHost: b\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"),
        (Down, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
        (Up, b"HEAD / HTTP/1.1\r\n\r\n"),
        (Down, b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
        (Up, b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
        (Down, b"HTTP/1.1 101 Switching\r\n\r\n\x81\x05hello"),
    ];
    let expected = "  http: GET / HTTP/1.1; Host: a.example; Authorization: ***\n\
        \x20 http: HTTP/1.1 200 OK; Content-Length: 5\n  http: body of 5 bytes\n\
        \x20 http: POST /p HTTP/1.1; Host: b; transfer-encoding: chunked\n  http: body of 13 bytes\n\
        \x20 http: HTTP/1.1 100 Continue\n  http: HTTP/1.1 204 No\n\
        \x20 http: HEAD / HTTP/1.1\n  http: HTTP/1.1 200 OK; Content-Length: 5000\n\
        \x20 http: GET /ws HTTP/1.1; Upgrade: websocket\n  http: HTTP/1.1 101 Switching\n\
        \x20 http: another protocol from here, which is not decoded\n";
    for port in [Some(80), None] {
        check(port, &said, expected, &["Basic YTpi", "x=1;", " y=2", "id=77"]);
    }
}

#[test]
fn ldap_is_told_and_what_binds_is_not() {
    let bind = b"\x30\x23\x02\x01\x01\x60\x1e\x02\x01\x03\x04\x11cn=admin,dc=a,c=b\x80\x06secret";
    let search =
        b"\x30\x2f\x02\x01\x02\x63\x2a\x04\x04dc=a\x0a\x01\x02\x0a\x01\x00\x02\x01\x0a\x02\x01\x00\x01\x01\x00\
        \xa3\x09\x04\x02cn\x04\x03Bob\x30\x08\x04\x02cn\x04\x02sn";
    let entry = b"\x30\x36\x02\x01\x02\x64\x31\x04\x06cn=Bob\x30\x27\x30\x09\x04\x02cn\x31\x03\x04\x01B\
        \x30\x1a\x04\x0cuserPassword\x31\x0a\x04\x03one\x04\x03two";
    let change = b"\x30\x25\x02\x01\x03\x77\x20\x80\x171.3.6.1.4.1.4203.1.11.1\x81\x05newpw";
    let said: [(Direction, &[u8]); 9] = [
        (Up, bind),
        (Down, b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00"),
        (Up, search),
        (Down, entry),
        (Down, b"\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00"),
        (Up, change),
        (Up, b"\x30\x05\x02\x01\x04\x42\x00"),
        (Up, b"\x30\x1d\x02\x01\x05\x77\x18\x80\x161.3.6.1.4.1.1466.20037"),
        (Down, b"\x30\x0c\x02\x01\x05\x78\x07\x0a\x01\x00\x04\x00\x04\x00\x17"),
    ];
    let expected = "  ldap: 1 BindRequest version 3, dn \"cn=admin,dc=a,c=b\", simple ***\n\
        \x20 ldap: 1 BindResponse invalidCredentials (49)\n\
        \x20 ldap: 2 SearchRequest base \"dc=a\", scope sub, at most 10, filter (cn=Bob), attributes cn sn\n\
        \x20 ldap: 2 SearchResultEntry \"cn=Bob\", attributes cn (1), userPassword (2)\n\
        \x20 ldap: 2 SearchResultDone success (0)\n\
        \x20 ldap: 3 ExtendedRequest 1.3.6.1.4.1.4203.1.11.1 (change a password)\n\
        \x20 ldap: 4 UnbindRequest\n\
        \x20 ldap: 5 ExtendedRequest 1.3.6.1.4.1.1466.20037 (StartTLS)\n\
        \x20 ldap: 5 ExtendedResponse success (0)\n";
    check(Some(389), &said, expected, &["secret", "one", "two", "newpw"]);
}

#[test]
fn tls_is_told_as_far_as_it_is_in_the_clear() {
    let mut hello = b"\x03\x03".to_vec();
    hello.extend([7; 32]);
    hello.extend(b"\x00\x00\x06\x13\x01\x13\x02\xc0\x2f\x01\x00");
    let extensions = b"\x00\x00\x00\x0d\x00\x0b\x00\x00\x08a.sample\x00\x10\x00\x0b\x00\x09\x02h2\x05http1\
        \x00\x2b\x00\x07\x06\x2a\x2a\x03\x04\x03\x03";
    hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    hello.extend(extensions);
    let mut message = vec![1, 0, 0, u8::try_from(hello.len()).unwrap()];
    message.extend(hello);
    // In two records.
    let (first, second) = message.split_at(50);
    let mut client = vec![22, 3, 1, 0, 50];
    client.extend(first);
    client.extend([22, 3, 1, 0, u8::try_from(second.len()).unwrap()]);
    client.extend(second);
    let mut server = b"\x16\x03\x03\x00\x30\x02\x00\x00\x28\x03\x03".to_vec();
    server.extend([9; 32]);
    server.extend(b"\x00\xc0\x2f\x00\x00\x00\x0e\x00\x00\x00\x15\x03\x03\x00\x02\x02\x28\x14\x03\x03\x00\x01\x01\x16\x03\x03\x00\x03xyz");
    let said: [(Direction, &[u8]); 3] = [(Up, &client), (Down, &server), (Up, b"\x17\x03\x03\x00\x01x\x17")];
    let expected = "  tls: ClientHello TLS 1.3, server name a.sample, ALPN h2 http1, 3 ciphers\n\
        \x20 tls: ServerHello TLS 1.2, cipher ECDHE_RSA_AES_128_GCM_SHA256\n  tls: ServerHelloDone\n\
        \x20 tls: alert: fatal, handshake_failure (40)\n  tls: encrypted from here\n  tls: encrypted from here\n";
    for port in [Some(443), Some(80), None] {
        check(port, &said, expected, &[]);
    }
}

#[test]
fn dns_is_told() {
    let question = b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x1c\x00\x01";
    let answer = b"\x00\x1d\x12\x34\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x1c\x00\x01";
    let twice = [&question[..], &question[..]].concat();
    let expected = "  dns: 4660 question example.org. AAAA\n  dns: 4660 question example.org. AAAA\n\
        \x20 dns: 4660 answer example.org. AAAA, NXDOMAIN, 0 answers\n";
    for port in [Some(53), None] {
        check(port, &[(Up, &twice), (Down, answer)], expected, &[]);
    }
}

#[test]
fn what_is_no_such_protocol_is_counted() {
    let table: [(u16, &[u8], &str); 6] = [
        (21, b"\0\x01\x02\r\n", "  ftp: 5 bytes of FTP unknown\n"),
        (25, b"1234\r\n", "  smtp: 6 bytes of SMTP unknown\n"),
        (110, b"\xff\xfe\n", "  pop3: 3 bytes of POP3 unknown\n"),
        (389, b"hello, world", "  ldap: 12 bytes of LDAP unknown\n"),
        (53, b"\0\x01x", "  dns: 3 bytes of DNS unknown\n"),
        (443, b"hello", "  tls: 5 bytes of TLS unknown\n"),
    ];
    for (port, bytes, expected) in table {
        let (lines, _) = watched(Some(port), true, &[(Up, bytes)], bytes.len(), false);
        assert_eq!(lines.replace("2 bytes of DNS", "3 bytes of DNS"), expected);
    }
    assert_eq!(watched(None, true, &[(Up, &[b'x'; 5000])], 100, false).0, "");
}

#[test]
fn of_a_conversation_whose_beginning_was_missed_the_next_message_is_found() {
    let unbind: &[u8] = b"\x30\x05\x02\x01\x04\x42\x00";
    type Row<'a> = (Option<u16>, &'a Said<'a>, &'a str);
    let table: [Row<'_>; 5] = [
        (
            Some(389),
            &[(Up, b"rest of one"), (Up, unbind)],
            "  ldap: 11 bytes of LDAP unknown\n  ldap: 4 UnbindRequest\n",
        ),
        (None, &[(Up, unbind)], "  ldap: 4 UnbindRequest\n"),
        // The rest of a login is veiled.
        (
            Some(25),
            &[(Up, b"c2VjcmV0\r\n"), (Down, b"235 yes\r\n"), (Up, b"NOOP\r\n")],
            "  smtp: 10 bytes of SMTP unknown\n  smtp: 235 yes\n  smtp: NOOP\n",
        ),
        (Some(21), &[(Down, b"of a line\r\n226 done\r\n")], "  ftp: 226 done\n  ftp: 11 bytes of FTP unknown\n"),
        (
            Some(80),
            &[(Up, b"ody\r\nGET / HTTP/1.0\r\n\r\n")],
            "  http: GET / HTTP/1.0\n  http: 5 bytes of HTTP unknown\n",
        ),
    ];
    for (port, said, expected) in table {
        let (lines, bytes) = watched(port, false, said, usize::MAX, false);
        assert_eq!(lines, expected);
        assert!(!bytes[0].starts_with(b"c2Vj"));
    }
}

#[test]
fn secrets_in_what_is_not_known_are_veiled_too() {
    let said: [(Direction, &[u8]); 2] =
        [(Down, b"Hello!\r\n"), (Up, b"xyzzy\r\nAuthorization: Bearer abc\r\nwhat AUTHENTICATE PLAIN def\r\n")];
    check(None, &said, "", &["Bearer abc", "def"]);
}
