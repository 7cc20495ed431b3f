//! Requests to the status port and answers to them, as HTTP/1.1 has them (RFC 9110, RFC 9112).
//!
//! Only what a port needs that is looked at: GET and HEAD, no bodies, one connection for several
//! requests. Reading is strict: what is not clearly a request is refused, and ends the connection.

use std::fmt::Write;

use memchr::memchr;

/// The longest head of a request that is read, in bytes.
pub const HEAD_MAX: usize = 8192;

/// The most fields of a head.
const FIELDS_MAX: usize = 100;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// To see it.
    Get,
    /// The same without the body.
    Head,
    /// Anything else, which this port does not do.
    Other,
}

/// What there is to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// `/`, for people.
    Page,
    /// `/status.json`.
    Json,
    /// `/metrics`, for Prometheus.
    Metrics,
    /// `/health`, for those who decide whether to send somebody here.
    Health,
    /// Anything else.
    Nothing,
}

/// A request that is complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// With what.
    pub target: Target,
    /// Another request may follow on the same connection.
    pub keeps: bool,
}

/// The status codes that are in use (RFC 9110 section 15).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// Here it is.
    Ok = 200,
    /// That is no request.
    BadRequest = 400,
    /// There is no such thing here.
    NotFound = 404,
    /// It can only be looked at.
    NotAllowed = 405,
    /// The head has too many bytes or fields (RFC 6585).
    HeadTooLarge = 431,
    /// pen does not serve.
    Unavailable = 503,
    /// Another version of HTTP.
    WrongVersion = 505,
}

impl Code {
    /// In words.
    pub fn phrase(self) -> &'static str {
        match self {
            Code::Ok => "OK",
            Code::BadRequest => "Bad Request",
            Code::NotFound => "Not Found",
            Code::NotAllowed => "Method Not Allowed",
            Code::HeadTooLarge => "Request Header Fields Too Large",
            Code::Unavailable => "Service Unavailable",
            Code::WrongVersion => "HTTP Version Not Supported",
        }
    }
}

/// What the bytes of a connection come to, so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// More must come.
    Incomplete,
    /// A request, and how many bytes it has.
    Request(Request, usize),
    /// Not a request: the answer, after which the connection ends.
    Refused(Code),
}

/// Reads what has come so far. As long as it is incomplete it is to be read again from its beginning
/// when more has come.
pub fn parse(bytes: &[u8]) -> Parsed {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let Some(end) = end_of_head(&bytes[start..]).map(|length| start + length) else {
        return match first_line_of(&bytes[start..]) {
            _ if bytes.len() > HEAD_MAX => Parsed::Refused(Code::HeadTooLarge),
            // Somebody speaks another protocol, and waits for an answer.
            line if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\r') => {
                Parsed::Refused(Code::BadRequest)
            }
            _ => Parsed::Incomplete,
        };
    };
    if end > HEAD_MAX {
        return Parsed::Refused(Code::HeadTooLarge);
    }
    match request(&bytes[start..end]) {
        Ok(request) => Parsed::Request(request, end),
        Err(code) => Parsed::Refused(code),
    }
}

/// The length of a head with its empty line. A line may end with LF alone (RFC 9112 section 2.2).
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(end) = memchr(b'\n', &bytes[at..]) {
        let line = &bytes[at..at + end];
        at += end + 1;
        if line.is_empty() || line == b"\r" {
            return Some(at);
        }
    }
    None
}

fn first_line_of(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr(b'\n', bytes).unwrap_or(bytes.len())]
}

/// What the fields of a head say, as far as that counts here.
#[derive(Default)]
struct Fields {
    hosts: usize,
    closes: bool,
    keeps: bool,
    length: Option<u64>,
    is_coded: bool,
}

fn request(head: &[u8]) -> Result<Request, Code> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (method, target, minor) = request_line(lines.next().unwrap_or_default())?;
    let mut fields = Fields::default();
    for (count, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
        if count >= FIELDS_MAX {
            return Err(Code::HeadTooLarge);
        }
        fields.take(line)?;
    }
    // One that names no host, or several, may be meant for somebody else (RFC 9112 section 3.2).
    if fields.hosts > 1 || minor > 0 && fields.hosts == 0 || fields.is_coded && fields.length.is_some() {
        return Err(Code::BadRequest);
    }
    let has_body = fields.is_coded || fields.length.is_some_and(|length| length > 0);
    // A body is not read, so that nothing after it could be found.
    let keeps = !has_body && !fields.closes && (minor > 0 || fields.keeps);
    Ok(Request { method, target, keeps })
}

fn request_line(line: &[u8]) -> Result<(Method, Target, u8), Code> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Code::BadRequest);
    };
    if !is_token(method) || !target.iter().all(u8::is_ascii_graphic) {
        return Err(Code::BadRequest);
    }
    let minor = match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] => minor - b'0',
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(Code::WrongVersion),
        _ => return Err(Code::BadRequest),
    };
    let method = match method {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        _ => Method::Other,
    };
    Ok((method, target_of(target)?, minor))
}

/// What a path names, with or without a host before it and a query behind it.
fn target_of(target: &[u8]) -> Result<Target, Code> {
    let path = match target.strip_prefix(b"http://") {
        Some(rest) => &rest[memchr(b'/', rest).unwrap_or(rest.len())..],
        None if target.starts_with(b"/") => target,
        // For OPTIONS and CONNECT, which are not here.
        None if target == b"*" || target.contains(&b':') => return Ok(Target::Nothing),
        None => return Err(Code::BadRequest),
    };
    let path = &path[..memchr(b'?', path).unwrap_or(path.len())];
    Ok(match path {
        b"/" | b"" => Target::Page,
        b"/status.json" => Target::Json,
        b"/metrics" => Target::Metrics,
        b"/health" => Target::Health,
        _ => Target::Nothing,
    })
}

impl Fields {
    fn take(&mut self, line: &[u8]) -> Result<(), Code> {
        let colon = memchr(b':', line).ok_or(Code::BadRequest)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if !is_token(name) || value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(Code::BadRequest);
        }
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            let is_host = |byte: &u8| byte.is_ascii_graphic() && !b"/?#@\\,".contains(byte);
            if !value.iter().all(is_host) {
                return Err(Code::BadRequest);
            }
        } else if name.eq_ignore_ascii_case(b"connection") {
            let mut words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            self.closes |= words.clone().any(|word| word.eq_ignore_ascii_case(b"close"));
            self.keeps |= words.any(|word| word.eq_ignore_ascii_case(b"keep-alive"));
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let length = digits.and_then(|digits| digits.parse().ok()).ok_or(Code::BadRequest)?;
            if self.length.replace(length).is_some_and(|before| before != length) {
                return Err(Code::BadRequest);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.is_coded = true;
        }
        Ok(())
    }
}

/// A word of letters, digits and some marks (RFC 9110 section 5.6.2).
fn is_token(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// What is sent back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// How it went.
    pub code: Code,
    /// What the body is.
    pub media_type: &'static str,
    /// Further fields, each with its CR LF.
    pub fields: &'static str,
    /// The body.
    pub body: String,
}

/// The media type of short texts.
pub const TEXT: &str = "text/plain; charset=utf-8";

impl Answer {
    /// One that only says how it went.
    pub fn plain(code: Code) -> Answer {
        let fields = if code == Code::NotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
        Answer { code, media_type: TEXT, fields, body: format!("{} {}\n", code as u16, code.phrase()) }
    }

    /// The bytes on the wire. `unix` is the time in seconds since 1970-01-01 00:00:00 UTC.
    pub fn bytes(&self, unix: u64, has_body: bool, keeps: bool) -> Vec<u8> {
        let Answer { code, media_type, fields, body } = self;
        let connection = if keeps { "keep-alive" } else { "close" };
        let mut text = String::with_capacity(512 + if has_body { body.len() } else { 0 });
        // Writing into a string does not fail.
        let _ = write!(
            text,
            "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\
             Connection: {connection}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{fields}\r\n",
            *code as u16,
            code.phrase(),
            date(unix),
            body.len(),
        );
        if has_body {
            text.push_str(body);
        }
        text.into_bytes()
    }
}

/// A time as HTTP shows it (RFC 9110 section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn date(unix: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, second) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(days);
    let weekday = DAYS[(days % 7) as usize];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT", MONTHS[month])
}

/// The same time for people and programs alike: `1994-11-06 08:49:37`.
pub fn utc(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}", month + 1)
}

/// Year, month from 0 and day from 1 of a day since 1970-01-01.
fn civil(mut days: u64) -> (u64, usize, u64) {
    // Four centuries are 146,097 days, whenever they begin.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(text: &str) -> Parsed {
        parse(text.as_bytes())
    }

    fn request(method: Method, target: Target, keeps: bool) -> Request {
        Request { method, target, keeps }
    }

    #[test]
    fn requests_are_understood() {
        use Method::{Get, Head, Other};
        use Target::{Health, Json, Metrics, Nothing, Page};
        let table = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", request(Get, Page, true)),
            ("\r\nGET / HTTP/1.1\nhost:a:80\n\n", request(Get, Page, true)),
            ("GET /?x=1 HTTP/1.0\r\n\r\n", request(Get, Page, false)),
            ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", request(Get, Page, true)),
            ("GET http://a/status.json?t HTTP/1.1\r\nHost: a\r\n\r\n", request(Get, Json, true)),
            ("GET /metrics HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", request(Get, Metrics, true)),
            ("HEAD /health HTTP/1.1\r\nHost:\r\nConnection: x , Close\r\n\r\n", request(Head, Health, false)),
            ("GET /Health HTTP/1.1\r\nHost: a\r\n\r\n", request(Get, Nothing, true)),
            ("GET /status%2ejson HTTP/1.1\r\nHost: a\r\nX: \t\u{e9}\t\r\n\r\n", request(Get, Nothing, true)),
            ("get / HTTP/1.9\r\nHost: a\r\n\r\n", request(Other, Page, true)),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", request(Other, Page, true)),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", request(Other, Page, false)),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", request(Other, Page, false)),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", request(Other, Nothing, true)),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", request(Other, Nothing, true)),
        ];
        for (text, expected) in table {
            assert_eq!(got(text), Parsed::Request(expected, text.len()), "{text}");
            let mut fields = [httparse::EMPTY_HEADER; 8];
            let somebody_else = httparse::Request::new(&mut fields).parse(text.as_bytes());
            let is_known = !text.contains("HTTP/1.9");
            assert!(!is_known || somebody_else == Ok(httparse::Status::Complete(text.len())), "{text}");
            assert_eq!(got(&format!("{text}GET / HTT")), Parsed::Request(expected, text.len()), "{text}");
            for length in 0..text.len() {
                assert_eq!(parse(&text.as_bytes()[..length]), Parsed::Incomplete, "{length} of {text}");
            }
        }
    }

    #[test]
    fn what_is_not_clearly_a_request_is_refused() {
        let host = "Host: a\r\n";
        let table = [
            ("GET /\r\n\r\n", Code::BadRequest),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Code::BadRequest),
            (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Code::BadRequest),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", Code::BadRequest),
            ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", Code::BadRequest),
            ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", Code::BadRequest),
            ("GET / http/1.1\r\nHost: a\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1x\r\nHost: a\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Code::WrongVersion),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Code::WrongVersion),
            ("GET / HTTP/1.1\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nx\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nx: \0\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nx: a\rb\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Code::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Code::BadRequest),
            ("\u{16}\u{3}\u{1}", Code::BadRequest),
            ("GET /\0", Code::BadRequest),
        ];
        for (text, code) in table {
            assert_eq!(got(text), Parsed::Refused(code), "{text:?}");
        }
        let long = |fill: usize| format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(fill));
        let fits = HEAD_MAX - long(0).len();
        assert!(matches!(got(&long(fits)), Parsed::Request(_, HEAD_MAX)));
        assert_eq!(got(&long(fits + 1)), Parsed::Refused(Code::HeadTooLarge));
        assert_eq!(got(&"x".repeat(HEAD_MAX)), Parsed::Incomplete);
        assert_eq!(got(&"x".repeat(HEAD_MAX + 1)), Parsed::Refused(Code::HeadTooLarge));
        assert_eq!(got(&"\r\n".repeat(HEAD_MAX)), Parsed::Refused(Code::HeadTooLarge));
        let many = |count| format!("GET / HTTP/1.1\r\n{host}{}\r\n", "X: x\r\n".repeat(count));
        assert!(matches!(got(&many(FIELDS_MAX - 1)), Parsed::Request(..)));
        assert_eq!(got(&many(FIELDS_MAX)), Parsed::Refused(Code::HeadTooLarge));
    }

    #[test]
    fn an_answer_says_how_long_it_is_and_whether_another_may_follow() {
        let answer = Answer::plain(Code::NotAllowed);
        let head = "HTTP/1.1 405 Method Not Allowed\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n\
                    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 23\r\nConnection: keep-alive\r\n\
                    Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nAllow: GET, HEAD\r\n\r\n";
        let text = |has_body, keeps| String::from_utf8(answer.bytes(1_700_000_000, has_body, keeps)).unwrap();
        assert_eq!(text(true, true), format!("{head}405 Method Not Allowed\n"));
        assert_eq!(text(false, false), head.replace("keep-alive", "close"));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let table = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (13_574_563_200, "Tue, 29 Feb 2400 00:00:00 GMT"),
        ];
        for (unix, expected) in table {
            assert_eq!(date(unix), expected);
        }
        assert_eq!(utc(784_111_777), "1994-11-06 08:49:37");
        date(u64::MAX);
    }
}
