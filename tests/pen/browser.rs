//! The live page in a real browser: Chromium without a window.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::client::connect;
use crate::support::pen::Pen;
use crate::support::process::{Ended, Process};
use crate::support::report::{is_installed, not_tested_here};
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, echo};
use crate::support::wait;
use crate::support::web::get;

/// How long the browser may take on a busy machine: it is many megabytes that come from the disk.
const PATIENCE: Duration = Duration::from_secs(120);

/// Opens a page with these options; what it has come to is on standard output, what its console says on standard
/// error. `None` where there is no browser, which is reported.
#[track_caller]
fn browse(name: &str, at: SocketAddr, options: &[&str]) -> Option<Ended> {
    if !is_installed("chromium") {
        not_tested_here(name, "there is no chromium");
        return None;
    }
    let directory = Scratch::new();
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
    command.args(["--enable-logging=stderr", "--disable-extensions", "--hide-scrollbars"]);
    command.arg(format!("--user-data-dir={}", directory.path().display()));
    command.env("HOME", directory.path()).current_dir(directory.path());
    command.args(options).arg(format!("http://{at}/"));
    let mut process = Process::start(command, &directory, "browser");
    let ended = wait::within(PATIENCE, || process.has_ended().then_some(()));
    assert!(ended.is_some(), "the browser does not end: {}", process.stderr());
    let ended = process.wait();
    assert!(ended.status.success(), "{ended:?}");
    let complaints: Vec<&str> =
        ended.stderr.lines().filter(|line| line.contains("CONSOLE") && !line.contains("sandboxed")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    Some(ended)
}

/// A pen with a status port, and where that is.
fn start(servers: &[impl ToString]) -> (Pen, SocketAddr) {
    let pen = Pen::start_with_control(&[], servers);
    let at = pen.obey("status_listen 127.0.0.1:0").trim_end().parse().expect("an address");
    (pen, at)
}

/// Passes connections on to the status port, and shows `see` what the browser asks for before it gets there. In heads
/// of answers it puts one text in place of another.
fn between(
    at: SocketAddr,
    (from, with): (&'static str, &'static str),
    see: impl Fn(&str) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("127.0.0.1 has a free port");
    let here = listener.local_addr().expect("a bound socket has one");
    let see = Arc::new(see);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = connect(at);
            let (mut back, mut to) = (server.try_clone().expect("ours"), client.try_clone().expect("ours"));
            thread::spawn(move || {
                let mut chunk = [0; 65_536];
                while let Ok(count @ 1..) = back.read(&mut chunk) {
                    let text = String::from_utf8_lossy(&chunk[..count]).replacen(from, with, 1);
                    if to.write_all(text.as_bytes()).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Both);
            });
            let see = Arc::clone(&see);
            thread::spawn(move || pass_on(&client, &server, &*see));
        }
    });
    here
}

fn pass_on(mut client: &TcpStream, mut server: &TcpStream, see: &impl Fn(&str)) {
    let mut chunk = [0; 65_536];
    while let Ok(count @ 1..) = client.read(&mut chunk) {
        see(&String::from_utf8_lossy(&chunk[..count]));
        if server.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

#[test]
fn without_javascript_the_page_is_whole() {
    let server = Server::start(echo);
    let (pen, at) = start(&[server.address()]);
    pen.obey("server 0 name web");
    let client = pen.connect();
    wait::until_true("it is connected", || pen.obey("servers").contains(" conn 1 "));
    let page = get(at, "/").body;
    assert!(page.contains("<p id=\"health\" class=\"state up\" role=\"status\">serving</p>"), "{page}");
    assert!(
        page.contains("<span data-at=\"listeners.0.servers.0.connections\" data-form=\"count\">1</span>"),
        "{page}"
    );
    assert!(page.contains("scope=\"row\">web (0)</th>"), "{page}");
    drop(client);
    assert!(page.contains("<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>"), "{page}");
    // No script runs in a sandbox, whatever it is.
    let sandbox = ("Referrer-Policy: no-referrer", "Content-Security-Policy: sandbox");
    let here = between(at, sandbox, |text| assert!(!text.contains("status.json"), "{text}"));
    let name = "without_javascript_the_page_is_whole";
    let Some(Ended { stdout: shown, stderr, .. }) = browse(name, here, &["--dump-dom"]) else { return };
    assert!(stderr.contains("sandboxed"), "the script is not run: {stderr}");
    assert!(shown.contains("scope=\"row\">web (0)</th>") && !shown.contains("data-live"), "{shown}");
}

#[test]
fn with_javascript_the_page_keeps_itself_up_to_date() {
    let server = Server::start(echo);
    let (pen, at) = start(&[server.address()]);
    let clients = pen.address();
    let held = Arc::new(Mutex::new(Vec::new()));
    let here = between(at, ("", ""), {
        let held = Arc::clone(&held);
        move |text| {
            let mut held = held.lock().expect("nobody panics with it");
            if !text.contains("GET /status.json") || !held.is_empty() {
                return;
            }
            for _ in 0..3 {
                let client = connect(clients);
                (&client).write_all(b"hello").expect("it is connected");
                (&client).read_exact(&mut [0; 5]).expect("it is an echo");
                held.push(client);
            }
        }
    });
    let options = ["--virtual-time-budget=5000", "--dump-dom"];
    let name = "with_javascript_the_page_keeps_itself_up_to_date";
    let Some(Ended { stdout: page, .. }) = browse(name, here, &options) else { return };
    assert_eq!(held.lock().expect("nobody panics with it").len(), 3);
    assert!(page.contains("data-live=\""), "the script runs: {page}");
    for (member, value) in
        [("connections", "3"), ("accepted", "3"), ("up", "15 B"), ("listeners.0.servers.0.connects", "3")]
    {
        let start = format!("data-at=\"{member}\" data-form=\"");
        let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("no {member} in {page}"));
        let shown = rest.split(['<', '>']).nth(1);
        assert_eq!(shown, Some(value), "{member}: {page}");
    }
}

#[test]
fn what_somebody_typed_runs_nowhere() {
    let (pen, at) = start(&["127.0.0.1:9"]);
    pen.obey(
        "server 1 address \"/x/<img src=x onerror=document.title='owned'><script>document.title='owned'</script>\"",
    );
    let options = ["--virtual-time-budget=5000", "--dump-dom"];
    let Some(Ended { stdout: page, .. }) = browse("what_somebody_typed_runs_nowhere", at, &options) else { return };
    assert!(page.contains("<title>pen: serving</title>"), "{page}");
    assert!(page.contains("&lt;script&gt;document.title='owned'&lt;/script&gt;"), "{page}");
    assert!(!page.contains("<img"), "{page}");
    assert!(page.contains("&lt;/script&gt;) was added</span>"), "events are shown, too: {page}");
}

#[test]
fn it_is_drawn_narrow_and_wide_light_and_dark() {
    let (_pen, at) = start(&["127.0.0.1:9"]);
    let mut pictures = Vec::new();
    for (scheme, width) in [(1, 360), (0, 360), (1, 1200), (0, 1200)] {
        let picture = Scratch::new();
        let file = picture.file("page.png");
        let options = [
            format!("--blink-settings=preferredColorScheme={scheme}"),
            format!("--window-size={width},800"),
            format!("--screenshot={}", file.display()),
        ];
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        if browse("it_is_drawn_narrow_and_wide_light_and_dark", at, &options).is_none() {
            return;
        }
        let bytes = std::fs::read(&file).expect("a picture");
        assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
        pictures.push(bytes);
    }
    let differ = (0..4).all(|one| (0..one).all(|other| pictures[one] != pictures[other]));
    assert!(differ, "no two of them look the same");
}
