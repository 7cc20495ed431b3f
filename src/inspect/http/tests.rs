use super::*;
use crate::base::addr::ClientAddr;

const CLIENT: Sender = Sender { client: ClientAddr::Unix, is_trusted: false };
/// What every request gets.
const ADDED: &str = "X-Forwarded-Proto: http\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n";

fn sender(is_trusted: bool) -> Sender {
    Sender { client: ClientAddr::Inet("192.0.2.7".parse().unwrap()), is_trusted }
}

fn http() -> Http {
    Http::new(sender(false))
}

/// What one call brought: to the server, to the client.
fn requests(http: &mut Http, bytes: &[u8]) -> (String, String) {
    let (mut up, mut down) = (Vec::new(), Vec::new());
    http.requests(bytes, &mut up, &mut down);
    (String::from_utf8(up).unwrap(), String::from_utf8(down).unwrap())
}

fn responses(http: &mut Http, bytes: &[u8]) -> (String, String) {
    let (mut up, mut down) = (Vec::new(), Vec::new());
    http.responses(bytes, &mut up, &mut down);
    (String::from_utf8(up).unwrap(), String::from_utf8(down).unwrap())
}

/// What the server gets of all this, and what the client gets if the server says nothing.
fn through(bytes: &[u8]) -> (String, String) {
    requests(&mut http(), bytes)
}

#[track_caller]
fn refused(bytes: &[u8], status: &str, why: &str) {
    let mut http = http();
    let (up, down) = requests(&mut http, bytes);
    assert_eq!(up, "", "{:?}", bytes.escape_ascii().to_string());
    assert!(down.starts_with(&format!("HTTP/1.1 {status} ")), "{:?}: {down}", bytes.escape_ascii().to_string());
    assert!(down.ends_with(&format!("\r\n\r\n{why}\n")), "{down}");
    assert!(http.is_over() && !http.may_read() && http.refusal().is_some());
}

#[test]
fn every_request_of_any_method_tells_whom_it_is_from() {
    for method in ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "M-SEARCH", "x"] {
        let (up, down) = through(format!("{method} /a?b HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        assert_eq!(up, format!("{method} /a?b HTTP/1.1\r\nHost: h\r\n{ADDED}"));
        assert_eq!(down, "");
    }
    assert_eq!(through(b"GET / HTTP/1.0\r\n\r\n").0, format!("GET / HTTP/1.0\r\n{ADDED}"));
}

#[test]
fn pipelined_requests_and_their_bodies_stay_as_they_are_and_apart() {
    let chunked = "5\r\nGET /\r\n5;a=\"b\"\r\nHello\r\n0\r\nT: v\r\nU:\r\n\r\n";
    let parts = [
        ("POST /1 HTTP/1.1\r\nContent-Length: 29\r\n", "GET /body HTTP/1.1\r\nA: b\r\n\r\n\0"),
        ("GET /2 HTTP/1.1\r\nHost: h\r\n", ""),
        ("PUT /3 HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n", chunked),
        ("DELETE /4 HTTP/1.1\r\ncontent-length:0 \r\n", ""),
    ];
    let (mut sent, mut expected) = (Vec::new(), String::new());
    for (head, body) in parts {
        sent.extend_from_slice(format!("{head}\r\n{body}").as_bytes());
        expected += &format!("{head}{ADDED}{body}");
    }
    assert_eq!(through(&sent), (expected.clone(), String::new()));
    // Cut anywhere it is the same, byte by byte as well.
    for cut in 0..=sent.len() {
        let mut http = http();
        let mut up = requests(&mut http, &sent[..cut]).0;
        up += &requests(&mut http, &sent[cut..]).0;
        assert_eq!(up, expected, "{cut}");
    }
    let mut http = http();
    let up: String = sent.iter().map(|byte| requests(&mut http, &[*byte]).0).collect();
    assert_eq!(up, expected);
}

#[test]
fn what_the_client_says_itself_counts_if_it_is_trusted() {
    let head = b"GET / HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1\r\nHost: h\r\nx-forwarded-FOR: 10.0.0.2 , 10.0.0.3\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\nX_Forwarded_For: 10.0.0.4\r\nX-Forwarded: 5\r\n\r\n";
    let (up, _) = requests(&mut http(), head);
    assert_eq!(up, format!("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded: 5\r\n{ADDED}"));
    let (up, _) = requests(&mut Http::new(sender(true)), head);
    let kept = "Host: h\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\nX_Forwarded_For: 10.0.0.4\r\nX-Forwarded: 5\r\n";
    let addresses = "X-Forwarded-For: 10.0.0.1, 10.0.0.2 , 10.0.0.3, 192.0.2.7\r\n\r\n";
    assert_eq!(up, format!("GET / HTTP/1.1\r\n{kept}{addresses}"));
    let (up, _) = requests(&mut Http::new(CLIENT), b"GET / HTTP/1.1\r\n\r\n");
    assert!(up.ends_with("X-Forwarded-For: unknown\r\n\r\n"), "{up}");
}

#[test]
fn lines_that_end_in_a_line_feed_alone_leave_with_both() {
    let (up, _) = through(b"GET / HTTP/1.0\nHost: h\nA:b\r\n\n");
    assert_eq!(up, format!("GET / HTTP/1.0\r\nHost: h\r\nA:b\r\n{ADDED}"));
}

#[test]
fn empty_lines_before_a_request_are_dropped() {
    let mut http = http();
    assert_eq!(requests(&mut http, b"\r\n\n\r").0, "");
    assert_eq!(requests(&mut http, b"\nGET / HTTP/1.1\r\n\r\n").0, format!("GET / HTTP/1.1\r\n{ADDED}"));
    refused(&b"\r\n".repeat(17), "400", "there are empty lines and no request");
}

#[test]
fn a_request_that_cannot_be_framed_safely_is_refused() {
    let bad: [(&str, &str); 25] = [
        ("Content-Length: 1\r\nTransfer-Encoding: chunked", "there are both Content-Length and Transfer-Encoding"),
        ("Content-Length: 1\r\nContent-Length: 2", "there is more than one Content-Length"),
        ("Content-Length: 1\r\nContent-Length: 1", "there is more than one Content-Length"),
        ("Content-Length: 1, 1", "Content-Length is not a number"),
        ("Content-Length: +1", "Content-Length is not a number"),
        ("Content-Length: -1", "Content-Length is not a number"),
        ("Content-Length: 0x1", "Content-Length is not a number"),
        ("Content-Length:", "Content-Length is not a number"),
        ("Content-Length: 18446744073709551616", "Content-Length is not a number"),
        ("Content_Length: 1", "a field is named almost like one that tells where the body ends"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "there is more than one Transfer-Encoding"),
        ("Transfer-Encoding: identity", "Transfer-Encoding does not end in chunked"),
        ("Transfer-Encoding: chunked, gzip", "Transfer-Encoding does not end in chunked"),
        ("Transfer-Encoding: chunked, chunked", "Transfer-Encoding does not end in chunked"),
        ("Transfer-Encoding: xchunked", "Transfer-Encoding does not end in chunked"),
        ("Transfer-Encoding: chunked;a", "Transfer-Encoding does not end in chunked"),
        ("Transfer-Encoding:", "Transfer-Encoding does not end in chunked"),
        ("Content-Length : 1", "the name of a field has a byte that names do not have"),
        (": 1", "the name of a field has a byte that names do not have"),
        ("A: b\r\n c", "a line of the head begins with a blank"),
        ("A: b\rC: d", "a line of the head has a control character"),
        ("A: b\0", "a line of the head has a control character"),
        ("A: b\r\r", "a line of the head has a control character"),
        ("A", "a line of the head has no colon"),
        ("Connection: close, X-Forwarded-For", "Connection names a field that tells whom a request is from"),
    ];
    for (lines, why) in bad {
        refused(format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\nx").as_bytes(), "400", why);
    }
    refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400", "HTTP/1.0 has no Transfer-Encoding");
    refused(b"CONNECT a:1 HTTP/1.1\r\nContent-Length: 1\r\n\r\n", "400", "CONNECT has no body");
}

#[test]
fn what_is_no_request_is_refused_as_soon_as_that_is_certain() {
    let lines: [&[u8]; 9] = [
        b"GET /\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET /a b HTTP/1.1\r\n",
        b"GET / HTTP/1.1 \r\n",
        b"GET / http/1.1\n",
        b"G\0T / HTTP/1.1\r\n",
        b"EHLO example.org\r\n",
        b"\x16\x03\x01",
        b" GET / HTTP/1.1\r\n",
    ];
    for line in lines {
        refused(line, "400", "that is no HTTP request");
        // Wherever it is cut.
        for at in 1..line.len() {
            let mut http = http();
            requests(&mut http, &line[..at]);
            requests(&mut http, &line[at..]);
            assert!(http.refusal().is_some(), "{:?} {at}", line.escape_ascii().to_string());
        }
    }
    refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", "only HTTP/1.0 and HTTP/1.1 are spoken here");
}

#[test]
fn a_head_has_a_greatest_length() {
    let head = |length: usize| {
        let (start, end) = ("GET / HTTP/1.1\r\nA: ", "\r\n\r\n");
        format!("{start}{}{end}", "b".repeat(length - start.len() - end.len()))
    };
    assert!(through(head(HEAD_MAX).as_bytes()).0.ends_with(ADDED));
    refused(head(HEAD_MAX + 1).as_bytes(), "431", "the head of the request is too long");
    refused(&head(HEAD_MAX + 9).as_bytes()[..HEAD_MAX + 1], "431", "the head of the request is too long");
}

#[test]
fn a_refusal_waits_for_the_answers_to_earlier_requests() {
    let mut http = http();
    let (up, down) =
        requests(&mut http, b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nBAD\r\n\r\nGET /3 HTTP/1.1\r\n\r\n");
    assert_eq!((up.matches("GET").count(), down.as_str()), (2, ""));
    assert!(!http.may_read() && !http.is_over());
    let (up, down) = responses(&mut http, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 204 No\r\n");
    assert_eq!((up.as_str(), http.is_over()), ("", false), "{down}");
    let (up, down) = responses(&mut http, b"\r\nHTTP/1.1 200 not asked for\r\n");
    assert!(down.starts_with("\r\nHTTP/1.1 400 Bad Request\r\n"), "{down}");
    assert!(!down.contains("not asked for") && http.is_over() && up.is_empty());
}

#[test]
fn a_chunk_that_is_none_ends_the_request_in_its_middle() {
    let bad = [
        "x\r\n",
        ";\r\n",
        "-1\r\n",
        "0x1\r\n",
        "\r\n",
        "00000000000000001\r\n",
        "1\n",
        "1 2\r\n",
        "1\rx",
        "1;a\0\r\n",
        "1;a\nb",
        "1\r\nab\r\n",
        "1\r\na\n",
        "0\r\nno trailer\r\n",
        "0\r\n a: b\r\n",
        "0\r\na: b\n\r\n",
        "0\r\na: b\rc",
        "0\r\n\rx",
        "0\r\n: b",
    ];
    for body in bad {
        let mut http = http();
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (_, down) = requests(&mut http, format!("{head}{body}GET / HTTP/1.1\r\n\r\n").as_bytes());
        assert!(down.starts_with("HTTP/1.1 400 ") && http.is_over(), "{body:?}: {down}");
        // If the server has answered before, there is no second answer.
        let mut http = self::http();
        requests(&mut http, head.as_bytes());
        responses(&mut http, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n");
        assert_eq!(requests(&mut http, body.as_bytes()).1, "");
        assert!(http.refusal().is_some() && !http.is_over());
        assert_eq!(responses(&mut http, b"aHTTP/1.1 200 OK\r\n\r\n").1, "a");
        assert!(http.is_over());
        // Nor if it is about to.
        let mut http = self::http();
        requests(&mut http, head.as_bytes());
        responses(&mut http, b"HTTP/1.1 200 OK\r\n");
        requests(&mut http, body.as_bytes());
        assert_eq!(responses(&mut http, b"Content-Length: 0\r\n\r\n").1, "Content-Length: 0\r\n\r\n");
        assert!(http.is_over());
    }
    let long = format!("1;{}", "a".repeat(5000));
    assert!(Body::Chunked(body::Chunk::Size { digits: 0, size: 0 }).advance(long.as_bytes()).is_err());
    let long = format!("0\r\na:{}", "a".repeat(HEAD_MAX));
    assert!(Body::Chunked(body::Chunk::Size { digits: 0, size: 0 }).advance(long.as_bytes()).is_err());
}

#[test]
fn a_request_that_the_client_does_not_finish_is_answered() {
    let mut http = http();
    let mut down = Vec::new();
    requests(&mut http, b"GET / HTTP/1.1\r\nHost:");
    http.requests_ended(&mut down);
    assert!(down.starts_with(b"HTTP/1.1 400 ") && http.is_over());
    for sent in ["", "GET / HTTP/1.1\r\n\r\n", "PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"] {
        let (mut http, mut down) = (self::http(), Vec::new());
        requests(&mut http, sent.as_bytes());
        http.requests_ended(&mut down);
        assert!(down.is_empty() && !http.is_over());
    }
}

#[test]
fn after_an_upgrade_that_is_agreed_to_nothing_is_looked_at() {
    let ask = "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
    for (asked, agreed) in [
        (ask, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
        ("CONNECT a:1 HTTP/1.1\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("CONNECT a:1 HTTP/1.1\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 OK\r\n\r\n"),
    ] {
        let mut http = http();
        // What is sent ahead of the answer waits for it.
        let (up, _) = requests(&mut http, format!("{asked}\r\nGET \0\r\n\r\n").as_bytes());
        assert_eq!((up, http.may_read()), (format!("{asked}{ADDED}"), false));
        let (up, down) = responses(&mut http, format!("{agreed}\0any").as_bytes());
        assert_eq!((up.as_str(), down), ("GET \0\r\n\r\n", format!("{agreed}\0any")));
        assert!(http.is_opaque() && http.may_read());
        assert_eq!(requests(&mut http, b"GET / HTTP/1.1\r\n\r\n").0, "GET / HTTP/1.1\r\n\r\n");
        assert_eq!(responses(&mut http, b"more").1, "more");
    }
}

#[test]
fn after_an_upgrade_that_is_refused_requests_go_on() {
    for (ask, answer) in [
        ("GET / HTTP/1.1\r\nUpgrade: h2c\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"),
        ("HEAD / HTTP/1.1\r\nUpgrade: h2c\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
        ("CONNECT a:1 HTTP/1.1\r\n", "HTTP/1.1 405 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
        ("CONNECT a:1 HTTP/1.1\r\n", "HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n"),
    ] {
        let next = "GET /next HTTP/1.1\r\n";
        let mut http = http();
        let (up, _) = requests(&mut http, format!("{ask}\r\n{next}\r\n").as_bytes());
        assert_eq!(up, format!("{ask}{ADDED}"));
        let (up, down) = responses(&mut http, answer.as_bytes());
        assert_eq!((up, down), (format!("{next}{ADDED}"), String::from(answer)));
        assert!(!http.is_opaque() && http.may_read());
    }
    // Also if it is answered before its body has come.
    let mut http = http();
    requests(&mut http, b"PUT / HTTP/1.1\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nab");
    responses(&mut http, b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(requests(&mut http, b"cGET / HTTP/1.1\r\n\r\n").0, format!("cGET / HTTP/1.1\r\n{ADDED}"));
}

#[test]
fn responses_pass_as_they_are_wherever_they_are_cut() {
    let all = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\r\nHTTP/1.1 200 OK\r\n\
        Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\nHTTP/1.1 200 to HEAD\r\nContent-Length: 9\r\n\r\n\
        HTTP/1.0 200 OK\nA: b\n\nHTTP/1.1 and so on";
    let asked = b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    for cut in 0..all.len() {
        let mut http = http();
        requests(&mut http, asked);
        let mut down = responses(&mut http, &all.as_bytes()[..cut]).1;
        down += &responses(&mut http, &all.as_bytes()[cut..]).1;
        assert_eq!(down, all);
        assert_eq!(http.down, Down::Body(Body::UntilClose), "{cut}");
        assert!(http.awaited.is_empty());
    }
}

#[test]
fn what_no_server_should_say_passes_and_ends_what_is_known() {
    for said in [
        "220 ready\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        "HTTP/1.1 101 nobody asked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n bad\r\n\r\n",
    ] {
        let mut http = http();
        requests(&mut http, b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(responses(&mut http, said.as_bytes()).1, said);
        assert_eq!((http.down, http.is_opaque()), (Down::Body(Body::UntilClose), false), "{said}");
    }
    let mut http = http();
    let long = "a".repeat(RESPONSE_HEAD_MAX + 1);
    assert_eq!(responses(&mut http, long.as_bytes()).1, long);
    assert_eq!(http.down, Down::Body(Body::UntilClose));
    assert_eq!(http.response.capacity(), 0);
}

#[test]
fn no_more_than_so_many_requests_are_ahead_of_their_answers() {
    let mut http = http();
    let request = "GET / HTTP/1.1\r\n\r\n";
    let (up, _) = requests(&mut http, request.repeat(UNANSWERED_MAX + 3).as_bytes());
    assert_eq!((up.matches("GET").count(), http.may_read()), (UNANSWERED_MAX, false));
    for _ in 0..3 {
        let (up, _) = responses(&mut http, b"HTTP/1.1 204 No\r\n\r\n");
        assert_eq!(up, format!("GET / HTTP/1.1\r\n{ADDED}"));
    }
    assert!(!http.may_read());
    responses(&mut http, b"HTTP/1.1 204 No\r\n\r\n");
    assert!(http.may_read() && http.held.is_empty());
}
