//! `-H` and `http`: every request tells the server whom it is from.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread;

use crate::support::client::{End, connect_from, read_line, read_to_end};
use crate::support::pattern::Pattern;
use crate::support::pen::Pen;
use crate::support::process::Process;
use crate::support::report::{is_installed, not_tested_here};
use crate::support::scratch::Scratch;
use crate::support::servers::{After, Server, echo};
use crate::support::wait;

/// A web server that answers each request with its head, as it came, and the length of its body.
fn mirror() -> Server {
    Server::start(|stream| {
        let mut reader = BufReader::new(stream);
        while let Some(head) = read_head(&mut reader) {
            let length = length_of(&head);
            if std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).is_err() {
                break;
            }
            let body = format!("{head}body {length}\n");
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let mut writer = stream;
            if writer.write_all(answer.as_bytes()).is_err() {
                break;
            }
        }
        After::Close
    })
}

/// A head with its empty line; `None` if there is none any more.
fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

fn length_of(head: &str) -> u64 {
    let value = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    value.map_or(0, |value| value.trim().parse().unwrap())
}

/// What the server says it got.
#[track_caller]
fn answer(reader: &mut impl BufRead) -> String {
    let head = read_head(reader).expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let mut body = vec![0; length_of(&head) as usize];
    reader.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

const FROM: &str = "127.0.0.7";
const ADDED: &str = "X-Forwarded-Proto: http\r\nX-Forwarded-For: 127.0.0.7\r\n\r\n";

fn client(pen: &Pen) -> TcpStream {
    connect_from(FROM.parse().unwrap(), pen.address())
}

// What probes 32 and 33 show of pen 0.34.1, which leaves most of these requests alone.
#[test]
fn every_request_of_a_connection_tells_whom_it_is_from() {
    let server = mirror();
    let mut pen = Pen::start(&["-H", "-d", "-d"], &[server.address()]);
    let stream = client(&pen);
    let (mut writer, mut reader) = (&stream, BufReader::new(&stream));
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"] {
        write!(writer, "{method} /x HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert_eq!(answer(&mut reader), format!("{method} /x HTTP/1.1\r\nHost: h\r\n{ADDED}body 0\n"));
    }
    // In pieces, each of which pen gets by itself; with an empty line before, and lines that end in LF.
    for piece in ["G", "ET /sp", "lit HTTP/1.1\r\nHo", "st: h\r\n", "\r", "\n"] {
        let dumps = |pen: &mut Pen| pen.process().stderr().matches("copy_up(").count();
        let before = dumps(&mut pen);
        writer.write_all(piece.as_bytes()).unwrap();
        wait::until_true("pen has read the piece", || dumps(&mut pen) > before);
    }
    assert_eq!(answer(&mut reader), format!("GET /split HTTP/1.1\r\nHost: h\r\n{ADDED}body 0\n"));
    writer.write_all(b"\r\nGET /bare HTTP/1.0\nHost: h\n\n").unwrap();
    assert_eq!(answer(&mut reader), format!("GET /bare HTTP/1.0\r\nHost: h\r\n{ADDED}body 0\n"));
    // Three at once; the body of the first looks like a request.
    let body = "GET /no HTTP/1.1\r\nA: b\r\n\r\n";
    let length = body.len();
    let posted = format!("POST /1 HTTP/1.1\r\nContent-Length: {length}\r\n");
    write!(writer, "{posted}\r\n{body}GET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(answer(&mut reader), format!("{posted}{ADDED}body {length}\n"));
    assert_eq!(answer(&mut reader), format!("GET /2 HTTP/1.1\r\nHost: h\r\n{ADDED}body 0\n"));
    assert_eq!(answer(&mut reader), format!("GET /3 HTTP/1.1\r\n{ADDED}body 0\n"));
    assert_eq!(server.served(), 1);
}

#[test]
fn what_a_client_says_itself_is_replaced_unless_it_is_trusted() {
    let server = mirror();
    let pen = Pen::start_with_control(&["-O", "http"], &[server.address()]);
    let ask = |pen: &Pen| {
        let stream = client(pen);
        let (mut writer, mut reader) = (&stream, BufReader::new(&stream));
        writer
            .write_all(
                b"GET / HTTP/1.1\r\nX-Forwarded-For: 9.9.9.9\r\nx_forwarded_for: 1\r\nX-Forwarded-Proto: https\r\n\r\n",
            )
            .unwrap();
        answer(&mut reader)
    };
    assert_eq!(ask(&pen), format!("GET / HTTP/1.1\r\n{ADDED}body 0\n"));
    assert_eq!(pen.obey("http_trust 127.0.0.0/29"), "127.0.0.0/29\n");
    let kept = "x_forwarded_for: 1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 9.9.9.9, 127.0.0.7\r\n\r\n";
    assert_eq!(ask(&pen), format!("GET / HTTP/1.1\r\n{kept}body 0\n"));
    assert_eq!(pen.obey("http_trust 127.0.0.8"), "127.0.0.8/32\n");
    assert_eq!(ask(&pen), format!("GET / HTTP/1.1\r\n{ADDED}body 0\n"));
    assert_eq!(pen.obey("acl proxies permit 127.0.0.7"), "");
    assert_eq!(pen.obey("http_trust proxies"), "proxies\n");
    assert_eq!(ask(&pen), format!("GET / HTTP/1.1\r\n{kept}body 0\n"));
    assert_eq!(pen.obey("no http_trust"), "none\n");
    assert_eq!(pen.obey("no http"), "tcp\n");
    assert!(ask(&pen).contains("X-Forwarded-For: 9.9.9.9\r\n"));
}

#[test]
fn what_cannot_be_framed_safely_is_answered_and_reaches_no_server() {
    let server = mirror();
    let mut pen = Pen::start(&["-H", "-d"], &[server.address()]);
    let smuggle = "POST / HTTP/1.1\r\nContent-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n";
    let stream = client(&pen);
    (&stream).write_all(smuggle.as_bytes()).unwrap();
    let (said, end) = read_to_end(&stream);
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
    assert!(said.ends_with("\r\n\r\nthere are both Content-Length and Transfer-Encoding\n"), "{said}");
    assert_eq!(end, End::Finished);
    pen.process().wait_for_stderr("closed, there are both Content-Length and Transfer-Encoding; 0 bytes up");
    // Behind a request that is in order it comes after the answer to that.
    let stream = client(&pen);
    write!(&stream, "GET /1 HTTP/1.1\r\n\r\nGET /2\r\n\r\n").unwrap();
    let mut reader = BufReader::new(&stream);
    assert_eq!(answer(&mut reader), format!("GET /1 HTTP/1.1\r\n{ADDED}body 0\n"));
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 400 Bad Request\r\n") && rest.ends_with("that is no HTTP request\n"), "{rest}");
    // Who ends in the middle of a head is answered, too.
    let stream = client(&pen);
    write!(&stream, "GET /1 HTTP/1.1\r\nHost").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let (said, end) = read_to_end(&stream);
    assert!(said.starts_with(b"HTTP/1.1 400 ") && end == End::Finished);
    // And so is who sends a head without an end, though much of it is still to be read.
    let stream = client(&pen);
    let flood = thread::spawn({
        let mut stream = stream.try_clone().unwrap();
        move || {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nA: ");
            while stream.write_all(&[b'a'; 10_000]).is_ok() {}
        }
    });
    assert!(read_line(&stream).starts_with("HTTP/1.1 431 "));
    drop(stream);
    flood.join().unwrap();
}

#[test]
fn after_an_upgrade_or_a_tunnel_bytes_pass_as_they_are() {
    // It agrees, says what it got, and is an echo from then on.
    let server = Server::start(|stream| {
        let head = read_head(&mut BufReader::with_capacity(1, stream)).unwrap_or_default();
        let agreed = if head.starts_with("CONNECT") { "200 OK" } else { "101 Switching Protocols" };
        let lines = head.lines().count();
        let mut writer = stream;
        let _ = write!(writer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 {agreed}\r\n\r\n{lines}\n");
        echo(stream)
    });
    let pen = Pen::start(&["-H"], &[server.address()]);
    for ask in
        ["GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", "CONNECT h:1 HTTP/1.1\r\nA: b\r\nC: d"]
    {
        let stream = client(&pen);
        // What is sent ahead of the answer arrives, too, and as it is.
        write!(&stream, "{ask}\r\n\r\nGET / HTTP/1.1\r\n\r\n").unwrap();
        let mut reader = BufReader::new(&stream);
        read_head(&mut reader).unwrap();
        read_head(&mut reader).unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "6\n", "the head has two lines more");
        assert_eq!(read_head(&mut reader).unwrap(), "GET / HTTP/1.1\r\n\r\n");
        let pattern = Arc::new(Pattern::new(3));
        let writing = thread::spawn({
            let (stream, pattern) = (stream.try_clone().unwrap(), Arc::clone(&pattern));
            move || {
                pattern.write(&stream, 2_000_000, |_| {}).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            }
        });
        assert!(reader.buffer().is_empty());
        assert_eq!(pattern.check(&stream, 65_536).unwrap(), 2_000_000);
        writing.join().unwrap();
    }
}

#[test]
fn large_bodies_pass_whole_in_both_directions() {
    const LENGTH: usize = 3_000_000;
    let pattern = Arc::new(Pattern::new(4));
    let (sender, arrived) = mpsc::channel();
    let server = Server::start({
        let pattern = Arc::clone(&pattern);
        move |stream| {
            let head = read_head(&mut BufReader::with_capacity(1, stream)).unwrap_or_default();
            sender.send((head, pattern.check(stream.take(LENGTH as u64), 65_536))).unwrap();
            let mut writer = stream;
            let _ = write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
            let _ = pattern.write(stream, LENGTH, |_| {});
            After::Close
        }
    });
    let pen = Pen::start(&["-H"], &[server.address()]);
    let stream = client(&pen);
    write!(&stream, "PUT / HTTP/1.1\r\nContent-Length: {LENGTH}\r\n\r\n").unwrap();
    pattern.write(&stream, LENGTH, |_| {}).unwrap();
    let (head, came) = arrived.recv_timeout(wait::PATIENCE).unwrap();
    assert!(head.ends_with(ADDED), "{head}");
    came.unwrap();
    read_head(&mut BufReader::with_capacity(1, &stream)).unwrap();
    assert_eq!(pattern.check(&stream, 65_536).unwrap(), LENGTH);
}

#[test]
fn the_request_log_has_what_clients_say() {
    let mut logs = Vec::new();
    for protocol in ["http", "no http"] {
        let server = mirror();
        let pen = Pen::start(&["-l", "{dir}/log", "-O", protocol], &[server.address()]);
        let stream = client(&pen);
        let (mut writer, mut reader) = (&stream, BufReader::new(&stream));
        for request in
            ["GET /a HTTP/1.1\r\n\r\n", "GET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\nX-Forwarded-For: 1\r\n\r\n"]
        {
            writer.write_all(request.as_bytes()).unwrap();
            for _ in 0..request.matches("GET").count() {
                answer(&mut reader);
            }
        }
        let log = fs::read_to_string(pen.directory().file("log")).unwrap();
        // All but the time.
        logs.push(log.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap().to_string()).collect::<Vec<_>>());
    }
    assert_eq!(logs[0].len(), 3, "{logs:?}");
    assert_eq!(logs[0], logs[1]);
}

#[test]
fn real_servers_and_clients_get_along_with_it() {
    const NAME: &str = "http with nginx and curl";
    if let Some(missing) = ["nginx", "curl"].into_iter().find(|program| !is_installed(program)) {
        return not_tested_here(NAME, &format!("not installed: {missing}"));
    }
    let scratch = Scratch::new();
    let page = vec![b'p'; 300_000];
    fs::write(scratch.file("page"), &page).unwrap();
    let directory = scratch.path().display();
    let conf = format!(
        "daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log;
        events {{}}
        http {{
            access_log off; client_body_temp_path {directory}/body; client_max_body_size 10m;
            proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
            server {{
                listen unix:{directory}/nginx.socket;
                location = /page {{ root {directory}; }}
                location / {{ return 200 \"$request_method $http_x_forwarded_for $http_x_forwarded_proto\\n\"; }}
            }}
        }}"
    );
    fs::write(scratch.file("nginx.conf"), conf).unwrap();
    let mut command = Command::new("nginx");
    command.args(["-c", &scratch.file("nginx.conf").display().to_string()]);
    let _nginx = Process::start(command, &scratch, "nginx");
    let socket = scratch.file("nginx.socket");
    wait::until("nginx listens", || UnixStream::connect(&socket).ok());
    let pen = Pen::start(&["-H"], &[socket.display()]);
    let base = format!("http://{}", pen.address());
    let curl = |words: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--interface", FROM]).args(words);
        let ended = Process::run(command);
        assert!(ended.status.success(), "{words:?}: {ended:?}");
        ended.stdout
    };
    let url = |path: &str| format!("{base}{path}");
    let forged = "X-Forwarded-For: 8.8.8.8";
    let said = curl(&["-H", forged, &url("/1"), &url("/2"), &url("/3")]);
    assert_eq!(said, "GET 127.0.0.7 http\n".repeat(3), "three requests of one connection");
    let file = format!("@{directory}/page");
    let said = curl(&[
        "-H",
        "Transfer-Encoding: chunked",
        "--data-binary",
        &file,
        &url("/1"),
        "--next",
        "-sS",
        "--interface",
        FROM,
        "-X",
        "DELETE",
        &url("/2"),
    ]);
    assert_eq!(said, "POST 127.0.0.7 http\nDELETE 127.0.0.7 http\n");
    let said = curl(&["-I", &url("/page")]);
    assert!(said.contains("Content-Length: 300000\r\n"), "{said}");
    assert_eq!(
        curl(&["-H", "Expect: 100-continue", "-T", &format!("{directory}/page"), &url("/put")]),
        "PUT 127.0.0.7 http\n"
    );
    assert_eq!(curl(&[&url("/page"), &url("/page")]).len(), 600_000);
    // curl offers an upgrade, nginx goes on as before.
    assert_eq!(curl(&["--http2", &url("/1"), &url("/2")]), "GET 127.0.0.7 http\n".repeat(2));
}
