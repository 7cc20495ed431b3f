//! `proxy_protocol` and `proxy_accept`: whom a connection is from, told before all else.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use crate::support::client::{End, ask, bounded, connect_from, read_line, read_to_end};
use crate::support::pen::Pen;
use crate::support::process::Process;
use crate::support::report::{is_installed, not_tested_here};
use crate::support::scratch::Scratch;
use crate::support::servers::{After, Refusing, Server};
use crate::support::wait;

/// Sends back all that came, once the client has ended: header and all.
fn mirror() -> Server {
    Server::start(|mut stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let _ = stream.write_all(all.escape_ascii().to_string().as_bytes());
        After::Close
    })
}

/// What a server sees of a client from this address that sends this.
#[track_caller]
fn seen(pen: &Pen, from: &str, sent: &str) -> String {
    ask(&connect_from(from.parse().unwrap(), pen.address()), sent.as_bytes())
}

/// The port in the middle of a line is nobody's choice.
fn without_ports(line: &str) -> String {
    let words = line.split(' ').enumerate();
    words.map(|(at, word)| if at == 4 { "PORT" } else { word }).collect::<Vec<_>>().join(" ")
}

#[test]
fn servers_are_told_whom_a_connection_is_from() {
    let (one, two) = (mirror(), mirror());
    let pen = Pen::start_with_control(&["-r", "-O", "proxy_protocol v1"], &[one.address(), two.address()]);
    pen.obey("server 1 proxy_protocol off");
    let port = pen.address().port();
    let told = format!("PROXY TCP4 127.0.0.7 127.0.0.1 PORT {port}\\r\\nhello");
    assert_eq!(without_ports(&seen(&pen, "127.0.0.7", "hello")), told);
    assert_eq!(seen(&pen, "127.0.0.7", "hello"), "hello");
    assert_eq!(pen.obey("proxy_protocol v2"), "v2\n");
    let start = "\\r\\n\\r\\n\\x00\\r\\nQUIT\\n!\\x11\\x00\\x0c\\x7f\\x00\\x00\\x07\\x7f\\x00\\x00\\x01";
    let bytes = seen(&pen, "127.0.0.7", "hello");
    assert!(bytes.starts_with(start) && bytes.ends_with("hello"), "{bytes}");
    pen.obey("server 1 proxy_protocol v1");
    assert_eq!(without_ports(&seen(&pen, "127.0.0.7", "")), told.replace("hello", ""), "also who sends nothing");
    assert_eq!(pen.obey("no proxy_protocol"), "none\n");
    assert_eq!(seen(&pen, "127.0.0.7", "hello"), "hello");
}

#[test]
fn every_family_has_its_header() {
    let server = mirror();
    let pen = Pen::start_at(Ipv6Addr::LOCALHOST.into(), &["-O", "proxy_protocol v1"], &[server.address()]);
    let line = without_ports(&ask(&pen.connect(), b"x"));
    assert_eq!(line, format!("PROXY TCP6 ::1 ::1 PORT {}\\r\\nx", pen.address().port()));
    drop(pen);
    let pen = Pen::start_with_control(&[], &[server.address()]);
    let socket = pen.directory().file("socket");
    pen.obey(&format!("listener local {}", socket.display()));
    let at = server.address();
    pen.obey(&format!("on local server 0 address {} port {}", at.ip(), at.port()));
    let ask_local = || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"x").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    };
    pen.obey("on local proxy_protocol v1");
    assert_eq!(ask_local(), "PROXY UNKNOWN\\r\\nx");
    pen.obey("on local proxy_protocol v2");
    let said = ask_local();
    let name = socket.display();
    assert!(said.contains("QUIT\\n!1\\x00\\xd8") && said.contains(&format!("{name}\\x00")), "{said}");
}

#[test]
fn a_proxy_is_believed_and_nobody_else() {
    let server = mirror();
    let options = ["-l", "{dir}/log", "-O", "proxy_accept 127.0.0.7", "-O", "proxy_protocol v1", "-d"];
    let mut pen = Pen::start_with_control(&options, &[server.address()]);
    let header = "PROXY TCP4 192.0.2.9 198.51.100.2 56324 443\r\n";
    let told = format!("{header}GET /a HTTP/1.0\r\n\r\n").escape_default().to_string();
    assert_eq!(seen(&pen, "127.0.0.7", &format!("{header}GET /a HTTP/1.0\r\n\r\n")), told);
    let log = fs::read_to_string(pen.directory().file("log")).unwrap();
    assert!(log.starts_with("192.0.2.9 ") && log.ends_with(" GET /a HTTP/1.0\n"), "{log}");
    assert!(pen.obey("recent").contains("192.0.2.9"), "it is the one that is remembered");
    // In the pieces that a slow proxy sends.
    let stream = connect_from("127.0.0.7".parse().unwrap(), pen.address());
    for (number, piece) in ["PRO", "XY TCP6 2001:db8::1 2001:db8::2", " 1 2\r", "\nx"].into_iter().enumerate() {
        (&stream).write_all(piece.as_bytes()).unwrap();
        wait::until_true("it was looked at", || {
            pen.stderr().matches("a proxy that will say").count() >= 2 || number > 0
        });
    }
    assert_eq!(ask(&stream, b"y"), "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\\r\\nxy");
    // The proxy speaks for itself.
    let own = seen(&pen, "127.0.0.7", "PROXY UNKNOWN\r\nx");
    assert!(own.starts_with("PROXY TCP4 127.0.0.7 127.0.0.1 "), "{own}");
    // From somebody else these are bytes like others.
    let forged = seen(&pen, "127.0.0.8", header);
    assert!(forged.starts_with("PROXY TCP4 127.0.0.8 127.0.0.1 "), "{forged}");
    assert!(forged.ends_with(r"\r\nPROXY TCP4 192.0.2.9 198.51.100.2 56324 443\r\n"), "{forged}");
    // Who is refused is the client, not its proxy.
    pen.obey("acl 1 deny 192.0.2.9");
    pen.obey("client_acl 1");
    assert_eq!(seen(&pen, "127.0.0.7", header), "");
    assert!(seen(&pen, "127.0.0.7", &header.replace("2.9", "2.8")).contains("192.0.2.8"));
    // And HTTP servers hear of it.
    pen.obey("no proxy_protocol");
    pen.obey("http");
    let said = seen(&pen, "127.0.0.7", &format!("{}GET / HTTP/1.0\r\n\r\n", header.replace("2.9", "2.8")));
    assert!(said.ends_with("X-Forwarded-For: 192.0.2.8\\r\\n\\r\\n"), "{said}");
    pen.process().wait_for_stderr("accepted 192.0.2.9:56324\n");
}

#[test]
fn a_proxy_without_a_good_header_is_closed_in_time() {
    let server = mirror();
    let mut pen = Pen::start(&["-d", "-t", "1", "-O", "proxy_accept 127.0.0.7"], &[server.address()]);
    let proxy = || connect_from("127.0.0.7".parse().unwrap(), pen.address());
    for (sent, why) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "it does not begin with a header"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8\r\n", "its header names no addresses"),
        (b"PROXY TCP4 1.2.3.4", "its header does not come in time"),
        (b"", "its header does not come in time"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "its header is too long"),
    ] {
        let stream = proxy();
        (&stream).write_all(sent).unwrap();
        let mut rest = Vec::new();
        // With or without a reset: what it has sent is not read.
        let _ = (&stream).read_to_end(&mut rest);
        assert!(rest.is_empty());
        wait::until_true(why, || pen.stderr().contains(&format!("closed, {why}; ")));
    }
    let stream = proxy();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&stream), (Vec::new(), End::Finished));
    assert_eq!(server.served(), 0);
    pen.process().wait_for_stderr("proxy 127.0.0.7:");
}

#[test]
fn nothing_is_said_ahead_of_a_client_and_a_server_that_refuses_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = ["-O", "proxy_protocol v1", "-O", "idlers 1", "-O", "proxy_accept 127.0.0.7"];
    let pen = Pen::start(&options, &[listener.local_addr().unwrap()]);
    let idler = bounded(listener.accept().unwrap().0);
    idler.set_nonblocking(true).unwrap();
    let silent = idler.peek(&mut [0]).unwrap_err();
    assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock);
    idler.set_nonblocking(false).unwrap();
    let client = connect_from("127.0.0.7".parse().unwrap(), pen.address());
    (&client).write_all(b"PROXY TCP4 192.0.2.9 192.0.2.1 5 6\r\nhello\n").unwrap();
    assert_eq!(read_line(&idler), "PROXY TCP4 192.0.2.9 192.0.2.1 5 6\r");
    assert_eq!(read_line(&idler), "hello");
    drop(pen);
    let (dead, alive) = (Refusing::new(), mirror());
    let pen = Pen::start(&["-r", "-O", "proxy_protocol v2"], &[dead.address(), alive.address()]);
    for _ in 0..4 {
        let said = seen(&pen, "127.0.0.7", "hello");
        assert!(said.contains("QUIT") && said.ends_with("hello"), "{said}");
    }
}

/// Starts a server by a file of its own.
fn start(program: &str, options: &[&str], scratch: &Scratch, config: &str, sockets: &[&Path]) -> Process {
    let path = scratch.file(&format!("{program}.conf"));
    fs::write(&path, config).unwrap();
    let mut command = Command::new(program);
    command.args(options).arg(path);
    let process = Process::start(command, scratch, program);
    for socket in sockets {
        wait::until(&format!("{program} listens"), || UnixStream::connect(socket).ok());
    }
    process
}

/// Asks a web server on a Unix socket, or pen, with something before the request; the last line of the answer.
#[track_caller]
fn last_line(mut stream: impl Read + Write, before: &str) -> String {
    write!(stream, "{before}GET / HTTP/1.0\r\nHost: h\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said.lines().last().unwrap_or_default().to_string()
}

#[test]
fn nginx_and_haproxy_understand_what_they_are_told() {
    const NAME: &str = "the PROXY protocol with nginx and haproxy";
    if let Some(missing) = ["nginx", "haproxy"].into_iter().find(|program| !is_installed(program)) {
        return not_tested_here(NAME, &format!("not installed: {missing}"));
    }
    let scratch = Scratch::new();
    let directory = scratch.path().display();
    let (nginx_at, haproxy_at) = (scratch.file("nginx.socket"), scratch.file("haproxy.socket"));
    let nginx = format!(
        "daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log; events {{}}
        http {{
            access_log off; client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;
            fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
            server {{
                listen unix:{directory}/nginx.socket proxy_protocol;
                location / {{ return 200 \"$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port\\n\"; }}
            }}
        }}"
    );
    let _nginx = start("nginx", &["-c"], &scratch, &nginx, &[&nginx_at]);
    let haproxy = format!(
        "defaults\n  mode http\n  timeout client 20s\n  timeout server 20s\n  timeout connect 20s\n
        frontend f\n  bind unix@{directory}/haproxy.socket accept-proxy\n
        http-request return status 200 content-type text/plain lf-string \"%[src] %[src_port] %[dst_port]\\n\"\n"
    );
    let _haproxy = start("haproxy", &["-db", "-f"], &scratch, &haproxy, &[&haproxy_at]);
    for server in [&nginx_at, &haproxy_at] {
        for version in ["v1", "v2"] {
            let pen = Pen::start(&["-O", &format!("proxy_protocol {version}")], &[server.display()]);
            let stream = connect_from("127.0.0.7".parse().unwrap(), pen.address());
            let (own, port) = (stream.local_addr().unwrap().port(), pen.address().port());
            assert_eq!(last_line(stream, ""), format!("127.0.0.7 {own} {port}"), "{version} to {}", server.display());
        }
    }
}

#[test]
fn haproxy_is_understood_on_both_sides() {
    const NAME: &str = "the PROXY protocol from haproxy";
    if !is_installed("haproxy") {
        return not_tested_here(NAME, "not installed: haproxy");
    }
    let server = mirror();
    for (send, version) in
        [("send-proxy", "v1"), ("send-proxy-v2", "v2"), ("send-proxy-v2 proxy-v2-options crc32c", "v1")]
    {
        let scratch = Scratch::new();
        let directory = scratch.path().display();
        let options = ["-d", "-O", "proxy_accept 127.0.0.0/8", "-O", "proxy_protocol v1", "-O", "http"];
        let pen = Pen::start(&options, &[server.address()]);
        let config = format!(
            "defaults\n  mode tcp\n  timeout client 20s\n  timeout server 20s\n  timeout connect 20s\n
            frontend f\n  bind unix@{directory}/front.socket accept-proxy\n  default_backend b\n
            backend b\n  server pen {} {send}\n",
            pen.address()
        );
        let front = scratch.file("front.socket");
        let _haproxy = start("haproxy", &["-db", "-f"], &scratch, &config, &[&front]);
        for (family, from, to) in [("TCP4", "192.0.2.33", "192.0.2.1"), ("TCP6", "2001:db8::33", "2001:db8::1")] {
            let mut stream = UnixStream::connect(&front).unwrap();
            let header = format!("PROXY {family} {from} {to} 4444 80\r\n");
            write!(stream, "{header}GET / HTTP/1.0\r\n\r\n").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            assert!(said.starts_with(&header.escape_default().to_string()), "{send} {version}: {said}");
            assert!(said.ends_with(&format!("X-Forwarded-For: {from}\\r\\n\\r\\n")), "{said}");
        }
    }
}
