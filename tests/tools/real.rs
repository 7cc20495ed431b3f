//! nginx and Apache behind pen, clients at several addresses: mergelogs gives each line its client
//! back, and pen, penlog and penlogd do so as it happens.  Each client says its address as its
//! agent, which is the truth that the logs are compared with.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::thread;

use crate::support::pen::Pen;
use crate::support::process::Process;
use crate::support::scratch::Scratch;
use crate::support::{client, report, wait};
use crate::{MERGELOGS, PENLOG, PENLOGD, command};

/// Clients, each with an address of its own.
const CLIENTS: u8 = 8;

fn address(client: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, 10 + client).into()
}

fn free(ip: [u8; 4]) -> SocketAddr {
    TcpListener::bind((IpAddr::from(ip), 0)).unwrap().local_addr().unwrap()
}

/// nginx on 127.0.1.1 and Apache on 127.0.1.2, their logs in `access_log.host1` and `access_log.host2`.
fn servers(directory: &Scratch, name: &str, pipe: Option<u16>) -> Option<([Process; 2], [SocketAddr; 2])> {
    let missing: Vec<&str> =
        ["nginx", "apache2"].into_iter().filter(|program| !report::is_installed(program)).collect();
    if !missing.is_empty() {
        report::not_tested_here(name, &format!("not installed: {}", missing.join(" ")));
        return None;
    }
    let here = directory.path().display().to_string();
    let page = "x".repeat(50);
    directory.write("www/index.html", &page);
    for number in 0..20 {
        directory.write(&format!("www/p{number}.html"), &page);
    }
    directory.write("nginx/x", "");
    let at = [free([127, 0, 1, 1]), free([127, 0, 1, 2])];
    let nginx = format!(
        "daemon off; pid {here}/nginx/pid; worker_processes 1; error_log {here}/nginx/error;\n\
         events {{ worker_connections 256; }}\nhttp {{ access_log {here}/access_log.host1 combined;\n\
         client_body_temp_path {here}/nginx; proxy_temp_path {here}/nginx; fastcgi_temp_path {here}/nginx;\n\
         uwsgi_temp_path {here}/nginx; scgi_temp_path {here}/nginx;\n\
         large_client_header_buffers 4 32k;\n\
         server {{ listen {}; root {here}/www; }} }}\n",
        at[0]
    );
    let nginx = directory.write("nginx.conf", &nginx).display().to_string();
    let log = match pipe {
        Some(port) => format!("\"|{PENLOG} 127.0.0.1 {port} 127.0.1.2\""),
        None => format!("{here}/access_log.host2"),
    };
    let apache = format!(
        "ServerRoot {here}\nServerName host2\nPidFile {here}/apache.pid\nListen {}\nErrorLog {here}/apache.error\n\
         LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
         LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
         LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so\nDirectoryIndex index.html\n\
         DocumentRoot {here}/www\nLimitRequestLine 16000\nMaxKeepAliveRequests 0\n\
         LogFormat \"%h %l %u %t \\\"%r\\\" %>s %O \\\"%{{Referer}}i\\\" \\\"%{{User-Agent}}i\\\"\" combined\n\
         CustomLog {log} combined\n<Directory {here}/www>\nRequire all granted\n</Directory>\n",
        at[1]
    );
    let apache = if report::is_root() { format!("User www-data\nGroup www-data\n{apache}") } else { apache };
    let apache = directory.write("apache.conf", &apache).display().to_string();
    let start = |name: &str, words: &[&str]| {
        let mut command = Command::new(words[0]);
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(&words[1..]).env("PATH", format!("{path}:/usr/sbin:/sbin")).env("TZ", "Europe/Stockholm");
        Process::start(command, directory, name)
    };
    let processes = [
        start("nginx-run", &["nginx", "-c", &nginx, "-e", &format!("{here}/nginx/error")]),
        start("apache-run", &["apache2", "-D", "FOREGROUND", "-f", &apache]),
    ];
    for at in &at {
        wait::until_true("the web servers listen", || std::net::TcpStream::connect(at).is_ok());
    }
    Some((processes, at))
}

/// Requests of one client in one connection that is kept, each answered before the next.
fn ask(pen: SocketAddr, client: u8, paths: &[String]) {
    let mut stream = client::connect_from(address(client), pen);
    for (number, path) in paths.iter().enumerate() {
        let last = if number + 1 == paths.len() { "Connection: close\r\n" } else { "" };
        let agent = address(client);
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\n{last}\r\n");
        // In one piece, as clients do: pen's log has a line for each piece.
        stream.write_all(request.as_bytes()).unwrap();
        let answer = read_answer(&stream);
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    }
}

/// An answer with its body, which Content-Length bounds.
fn read_answer(stream: &std::net::TcpStream) -> String {
    let mut head = String::new();
    let mut length = 0;
    loop {
        let line = client::read_line(stream);
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    std::io::Read::read_exact(&mut &*stream, &mut body).unwrap();
    head
}

/// Lines whose client is not their agent.
fn wrong(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.split(' ').next() != line.rsplit('"').nth(1)).collect()
}

#[test]
fn lines_of_nginx_and_apache_get_their_clients_back() {
    let directory = Scratch::new();
    let Some((_servers, at)) = servers(&directory, "mergelogs with nginx and Apache", None) else { return };
    let mut pen = Pen::start(&["-r", "-l", "pen.log"], &at);
    let to = pen.address();
    // At the same time: pages of their own, missing ones, long ones, and bytes that logs escape.
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            thread::spawn(move || {
                for round in 0..6 {
                    let long = "y".repeat(if round % 2 == 0 { 200 } else { 3000 });
                    let paths = [
                        format!("/p{client}.html?{client}-{round}"),
                        format!("/nosuch-{client}-{round}"),
                        format!("/?q={client}-{round}-{long}"),
                        format!("/\"{client}-{round}\\\u{e9}"),
                    ];
                    ask(to, client, &paths);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    // One after the other: all the same page.
    for round in 0..3 {
        for client in 0..CLIENTS {
            ask(to, client, &vec![String::from("/"); 1 + round]);
        }
    }
    let total = usize::from(CLIENTS) * (6 * 4 + 1 + 2 + 3);
    wait::until_true("all lines are in the servers' logs", || {
        directory.read("access_log.host1").lines().count() + directory.read("access_log.host2").lines().count() == total
    });
    pen.stop();
    let log = pen.directory().file("pen.log").display().to_string();
    let words = ["-p", &log, "127.0.1.1:access_log.host1", "127.0.1.2:access_log.host2"];
    let ended = Process::run(command(MERGELOGS, &directory, &words));
    assert_eq!(ended.stdout.lines().count(), total);
    assert_eq!(ended.stderr, "");
    assert!(wrong(&ended.stdout).is_empty(), "{:#?}", wrong(&ended.stdout));
    // Apart from the clients and the order, nothing has changed.
    let rest = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(|line| line.split_once(' ').unwrap().1.to_string()).collect();
        lines.sort();
        lines
    };
    let logs = directory.read("access_log.host1") + &directory.read("access_log.host2");
    assert_eq!(rest(&ended.stdout), rest(&logs));
}

#[test]
fn pen_penlog_and_penlogd_do_it_as_it_happens() {
    let directory = Scratch::new();
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let number = port.to_string();
    let mut daemon =
        Process::start(command(PENLOGD, &directory, &["-f", "-l", "live", &number]), &directory, "penlogd");
    let Some((_servers, at)) = servers(&directory, "penlogd with Apache", Some(port)) else { return };
    let mut pen = Pen::start(&["-l", &format!("127.0.0.1:{port}")], &at[1..]);
    for round in 0..3 {
        for client in 0..CLIENTS {
            ask(pen.address(), client, &[format!("/p{client}.html?{round}"), String::from("/")]);
        }
    }
    let total = usize::from(CLIENTS) * 6;
    wait::until_true("all lines are in the log", || directory.read("live").lines().count() == total);
    pen.stop();
    daemon.stop("TERM");
    let log = directory.read("live");
    assert!(wrong(&log).is_empty(), "{:#?}", wrong(&log));
}
