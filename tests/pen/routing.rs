//! `route`: whose servers a client gets by what it says first.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::client::{ask, connect_from, read_to_end};
use crate::support::pen::Pen;
use crate::support::process::Process;
use crate::support::report::{is_installed, not_tested_here};
use crate::support::scratch::Scratch;
use crate::support::servers::{After, Refusing, Server, greet};
use crate::support::wait;

/// Says its name and what it got, once the client has ended.
fn named(name: &'static str) -> Server {
    Server::start(move |mut stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let _ = stream.write_all(format!("{name}: ").as_bytes());
        let _ = stream.write_all(&all);
        After::Close
    })
}

/// A pen whose pools have these servers.
fn pen_with(options: &[&str], main: &Server, pools: &[(&str, &Server)]) -> Pen {
    let pen = Pen::start_with_control(options, &[main.address()]);
    for (name, server) in pools {
        pen.obey(&format!("pool {name}"));
        let at = server.address();
        pen.obey(&format!("on {name} server 0 address {} port {}", at.ip(), at.port()));
    }
    pen
}

#[test]
fn clients_go_where_their_first_bytes_say() {
    let (other, web, a, ssh) = (named("other"), named("web"), named("a"), named("ssh"));
    let pen = pen_with(&[], &other, &[("web", &web), ("a", &a), ("ssh", &ssh)]);
    for route in ["host *.a.example a", "host a.example a", "http web", "ssh ssh"] {
        pen.obey(&format!("route {route}"));
    }
    assert_eq!(pen.obey("route"), "host *.a.example a\nhost a.example a\nhttp web\nssh ssh\n");
    let get = |host: &str| format!("GET / HTTP/1.1\r\nA: b\r\nHost: {host}\r\n\r\n");
    for (says, server) in [
        (get("a.example"), "a"),
        (get("X.Y.a.example:80"), "a"),
        (get("aa.example"), "web"),
        (String::from("GET http://a.example/ HTTP/1.1\r\nHost: b\r\n\r\n"), "a"),
        (String::from("POST / HTTP/1.0\r\n\r\nbody"), "web"),
        (String::from("SSH-2.0-test\r\n"), "ssh"),
        (String::from("EHLO there\r\n"), "other"),
        (String::new(), "other"),
    ] {
        assert_eq!(ask(&pen.connect(), says.as_bytes()), format!("{server}: {says}"));
    }
    // Byte by byte, with a rest that comes later.
    let mut stream = pen.connect();
    stream.set_nodelay(true).unwrap();
    for byte in get("a.example").bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(ask(&stream, b"more"), format!("a: {}more", get("a.example")));
    // A listener that is gone is nobody's.
    pen.obey("no listener a");
    assert_eq!(ask(&pen.connect(), get("a.example").as_bytes()), format!("web: {}", get("a.example")));
    pen.obey("no route http");
    assert_eq!(ask(&pen.connect(), get("b").as_bytes()), format!("other: {}", get("b")));
    let refused = pen.penctl(&["no route http"]);
    assert!(
        refused.stdout.contains("error: there is no route for http")
            || refused.stderr.contains("there is no route for http"),
        "{refused:?}"
    );
}

#[test]
fn who_waits_for_the_server_to_speak_first_gets_the_listener_s_own() {
    let (web, mail) = (named("web"), Server::start(greet("220 mail\r\n")));
    let pen = pen_with(&["-O", "route_timeout 1"], &mail, &[("web", &web)]);
    pen.obey("route http web");
    let start = Instant::now();
    let stream = pen.connect();
    let (said, _) = read_to_end(&stream);
    assert_eq!(said, b"220 mail\r\n");
    assert!(start.elapsed() >= Duration::from_millis(990), "{:?}", start.elapsed());
    // Half a request is no more than nothing.
    let mut stream = pen.connect();
    stream.write_all(b"GET /").unwrap();
    let (said, _) = read_to_end(&stream);
    assert_eq!(said, b"220 mail\r\n");
    stream.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn a_pool_fails_over_and_loses_nothing_and_has_its_own_clients() {
    let (dead, alive, other) = (Refusing::new(), named("alive"), named("other"));
    let pen = pen_with(&["-r"], &other, &[("web", &alive)]);
    let at = dead.address();
    pen.obey(&format!("on web server 1 address {} port {}", at.ip(), at.port()));
    pen.obey("on web roundrobin");
    pen.obey("route http web");
    for _ in 0..4 {
        assert_eq!(ask(&pen.connect(), b"GET / HTTP/1.0\r\n\r\n"), "alive: GET / HTTP/1.0\r\n\r\n");
    }
    // Who may not come in at the listener does not come into the pool.
    pen.obey("acl 1 deny 127.0.0.9");
    pen.obey("client_acl 1");
    let refused = connect_from("127.0.0.9".parse().unwrap(), pen.address());
    assert_eq!(ask(&refused, b""), "");
    assert_eq!(pen.obey("listeners").lines().count(), 2);
}

#[test]
fn pools_and_routes_are_written_and_read_back() {
    let (other, web) = (named("other"), named("web"));
    let pen = pen_with(&[], &other, &[("web", &web)]);
    pen.obey("route sni *.example.org web");
    pen.obey("route tls web");
    let file = pen.directory().file("written");
    pen.obey(&format!("write {}", file.display()));
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains("\npool web\n"), "{written}");
    assert!(
        written.contains("\non main no route\non main route sni *.example.org web\non main route tls web\n"),
        "{written}"
    );
    pen.obey(&format!("include {}", file.display()));
    let again = pen.directory().file("again");
    pen.obey(&format!("write {}", again.display()));
    // Behind the first line, which has the time.
    let commands = |text: &str| text.split_once('\n').map(|(_, commands)| commands.to_string());
    assert_eq!(commands(&fs::read_to_string(&again).unwrap()), commands(&written));
}

#[test]
fn routes_that_lead_nowhere_are_told_at_the_start_and_after_a_reload() {
    let other = named("other");
    let scratch = Scratch::new();
    let file = scratch.file("pen.conf");
    fs::write(&file, "route ssh shell\n").unwrap();
    let mut pen = Pen::start_with_control(&["-F", &file.display().to_string()], &[other.address()]);
    pen.process().wait_for_stderr("route ssh shell of main: there is no listener 'shell'");
    fs::write(&file, "route tls web\nroute http main\n").unwrap();
    pen.obey("reload");
    pen.process().wait_for_stderr("route tls web of main: there is no listener 'web'");
    assert!(!pen.stderr().contains("route http main"), "{}", pen.stderr());
}

#[test]
fn a_route_that_leads_nowhere_is_refused_and_one_whose_listener_goes_is_told() {
    let (other, web) = (named("other"), named("web"));
    let mut pen = pen_with(&[], &other, &[("web", &web)]);
    pen.obey("route http web");
    for command in ["route tls shell", "on web route tls shell"] {
        let refused = pen.penctl(&[command]);
        let why = "penctl: route tls shell: there is no listener 'shell'\n";
        assert_eq!((refused.status.code(), refused.stderr.as_str()), (Some(1), why), "{command}");
    }
    assert_eq!(pen.obey("route") + &pen.obey("on web route"), "http web\n");
    // In a file the listener may come later, and what is missing in the end is told.
    let file = pen.directory().file("more");
    fs::write(&file, "route tls shell\nroute ssh gone\npool shell\n").unwrap();
    pen.obey(&format!("include {}", file.display()));
    pen.process().wait_for_stderr("route ssh gone of main: there is no listener 'gone'");
    pen.obey("no listener web");
    pen.process().wait_for_stderr("route http web of main: there is no listener 'web'");
    assert!(!pen.stderr().contains("route tls shell"), "{}", pen.stderr());
    assert_eq!(pen.obey("route"), "http web\ntls shell\nssh gone\n");
}

#[test]
fn tls_clients_go_where_they_ask_for() {
    const NAME: &str = "routing by SNI and ALPN with openssl, curl, nginx and ssh";
    if let Some(missing) = ["openssl", "curl", "nginx", "ssh"].into_iter().find(|program| !is_installed(program)) {
        return not_tested_here(NAME, &format!("not installed: {missing}"));
    }
    let scratch = Scratch::new();
    let directory = scratch.path().display();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=a.example", "-addext", "subjectAltName=DNS:a.example,DNS:b.example"]);
    openssl.args(["-keyout", &format!("{directory}/key"), "-out", &format!("{directory}/certificate")]);
    assert!(Process::run(openssl).status.success());
    let conf = format!(
        "daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log; events {{}}
        http {{
            access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/p;
            fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
            ssl_certificate {directory}/certificate; ssl_certificate_key {directory}/key;
            server {{ listen unix:{directory}/a ssl http2; location / {{ return 200 \"a $ssl_server_name $server_protocol\\n\"; }} }}
            server {{ listen unix:{directory}/b ssl; location / {{ return 200 \"b $ssl_server_name $server_protocol\\n\"; }} }}
        }}"
    );
    fs::write(scratch.file("nginx.conf"), conf).unwrap();
    let mut command = Command::new("nginx");
    command.args(["-c", &scratch.file("nginx.conf").display().to_string()]);
    let _nginx = Process::start(command, &scratch, "nginx");
    wait::until("nginx listens", || UnixStream::connect(scratch.file("a")).ok());
    let other = named("other");
    let ssh = Server::start(greet("SSH-2.0-nobody\r\n"));
    let pen = pen_with(&[], &other, &[("ssh", &ssh)]);
    for name in ["a", "b"] {
        pen.obey(&format!("pool {name}"));
        pen.obey(&format!("on {name} server 0 address {directory}/{name}"));
    }
    for route in ["alpn h2 a", "sni b.example b", "ssh ssh"] {
        pen.obey(&format!("route {route}"));
    }
    let port = pen.address().port();
    let curl = |words: &[&str], host: &str| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--cacert", &format!("{directory}/certificate")]).args(words);
        command.args(["--resolve", &format!("{host}:{port}:127.0.0.1"), &format!("https://{host}:{port}/")]);
        let ended = Process::run(command);
        assert!(ended.status.success(), "{words:?} {host}: {ended:?}");
        ended.stdout
    };
    assert_eq!(curl(&["--http2"], "a.example"), "a a.example HTTP/2.0\n");
    assert_eq!(curl(&["--http2"], "b.example"), "a b.example HTTP/2.0\n", "the first route that fits counts");
    assert_eq!(curl(&["--no-alpn"], "b.example"), "b b.example HTTP/1.1\n");
    pen.obey("no route alpn h2");
    pen.obey("route tls a");
    assert_eq!(curl(&["--no-alpn"], "a.example"), "a a.example HTTP/1.1\n");
    assert_eq!(curl(&["--no-alpn", "--tlsv1.2", "--tls-max", "1.2"], "b.example"), "b b.example HTTP/1.1\n");
    // openssl, without a name, and with one.
    for (name, subject) in [(&["-noservername"][..], "a"), (&["-servername", "b.example"], "b")] {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}")]).args(name);
        let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_to_string(&mut said).unwrap();
        child.wait().unwrap();
        assert!(said.lines().last().unwrap_or_default().starts_with(&format!("{subject} ")), "{said}");
    }
    let mut command = Command::new("ssh");
    command.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    command.args(["-o", "ConnectTimeout=10", "-p", &port.to_string(), "127.0.0.1", "true"]);
    assert!(!Process::run(command).status.success(), "it is no real server");
    assert_eq!((ssh.served(), other.served()), (1, 0));
    drop(TcpStream::connect(pen.address()));
}
