//! HTTP, the redirect that gives a second port away, two addresses on one machine, HTTPS.

use std::io::Write;
use std::process::Stdio;

use crate::support::lab::{Lab, client_address};
use crate::support::wait;
use crate::{assert_all_used, curl, fetch, records, unix_now};

const HOSTS: [&str; 2] = ["hello from host1\n", "hello from host2\n"];

/// The address of the server that gave this answer.
fn server_of(answer: &str) -> &str {
    if answer == HOSTS[0] { "123.123.123.2" } else { "123.123.123.3" }
}

#[test]
fn http_is_spread_and_tracked_and_logged_and_fails_over() {
    let Some(lab) = Lab::up("HTTP of the HOWTO", &["nginx", "curl"]) else { return };
    let mut servers = ["host1", "host2"].map(|machine| Some(lab.nginx(machine, &["80"])));
    let started = unix_now();
    let pen = lab.pen_in_background("pen -l pen.log -p pen.pid lbhost:80 host1:80 host2:80", 80);
    assert_eq!(lab.scratch().read("pen.pid").trim(), pen.to_string());

    let first: Vec<String> = (0..8).map(|number| fetch(&lab, number, "", "http://lbhost/")).collect();
    assert_all_used(&first, &HOSTS);
    for (number, answer) in first.iter().enumerate() {
        let before = records(&lab, "pen.log").len();
        assert_eq!(&fetch(&lab, number, "", "http://lbhost/"), answer, "client {number} went to another server");
        // The line is there when the client has its answer: no waiting.
        let log = records(&lab, "pen.log");
        assert_eq!(log.len(), before + 1, "one request, one line: {log:?}");
        let last = &log[before];
        assert_eq!(last.client, client_address(number));
        assert_eq!(last.server, server_of(answer), "for {answer:?}");
        assert_eq!(last.text, "GET / HTTP/1.1");
        assert!((started..=unix_now()).contains(&last.time), "{last:?}");
    }

    // The server of client 0 goes away: the very next request succeeds, from the other one.
    let gone = usize::from(first[0] == HOSTS[1]);
    let machine = ["host1", "host2"][gone];
    lab.end_server(machine, servers[gone].take().expect("still running"), 80);
    for number in 0..8 {
        assert_eq!(fetch(&lab, number, "", "http://lbhost/"), HOSTS[1 - gone], "client {number}");
    }
    let log = records(&lab, "pen.log");
    let last = log.last().expect("there were requests");
    assert_eq!((last.client.as_str(), last.server.as_str()), (&*client_address(7), server_of(HOSTS[1 - gone])));

    lab.end_pen(pen);
    assert!(!lab.scratch().file("pen.pid").exists(), "TERM removes the pid file");
    assert_eq!(records(&lab, "pen.log"), log, "the log stays");
}

#[test]
fn a_web_server_on_another_port_gives_that_port_away() {
    let Some(lab) = Lab::up("the HOWTO's alternative port", &["apache2", "curl", "telnet"]) else { return };
    let _apache = lab.apache("lbhost");
    let pen = lab.pen_in_background("pen lbhost:80 lbhost:8080", 80);

    let said = telnet(&lab, "lbhost 8080", "GET /bb\n");
    for expected in [
        "Trying 123.123.123.1...",
        "Connected to lbhost.",
        "Escape character is '^]'.",
        "<title>301 Moved Permanently</title>",
        r#"The document has moved <a href="http://lbhost:8080/bb/">here</a>."#,
        "Connection closed by foreign host.",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }

    // The same through pen: the client is sent past it.
    let head = fetch(&lab, 1, "-i", "http://lbhost/bb");
    assert!(head.contains("Location: http://lbhost:8080/bb/\r\n"), "{head}");
    let followed = fetch(&lab, 2, r"-L -w '%{url_effective}'", "http://lbhost/bb");
    assert_eq!(followed, "bb of lbhost\nhttp://lbhost:8080/bb/");
    let through_pen = "123.123.123.1 GET /bb HTTP/1.1".to_string();
    let past_pen = format!("{} GET /bb/ HTTP/1.1", client_address(2));
    wait::until_true("Apache logs the request through pen and the one past it", || {
        let log = lab.scratch().read("lbhost-apache/access.log");
        [&through_pen, &past_pen].iter().all(|line| log.lines().any(|logged| logged == *line))
    });
    lab.end_pen(pen);
}

/// A session with telnet on lbhost that the server ends.
#[track_caller]
fn telnet(lab: &Lab, to: &str, typed: &str) -> String {
    let mut command = lab.command("lbhost", &["sh", "-c", &format!("telnet {to} 2>&1")]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh is there");
    // Standard input stays open: at its end telnet would leave before the answer.
    let mut keyboard = child.stdin.take().expect("it is piped");
    keyboard.write_all(typed.as_bytes()).expect("telnet reads");
    wait::until("telnet ends", || child.try_wait().expect("the child is ours"));
    let output = child.wait_with_output().expect("it has ended");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn two_addresses_on_one_machine_serve_pen_and_a_web_server() {
    let Some(lab) = Lab::up("the HOWTO's two addresses", &["nginx", "curl"]) else { return };
    let _own = lab.nginx("lbhost", &["123.123.123.12:80"]);
    let _other = lab.nginx("host2", &["80"]);
    let pen = lab.pen_in_background("pen address1:80 address2:80 server2:80", 80);

    let answers: Vec<String> = (0..8).map(|number| fetch(&lab, number, "", "http://address1/")).collect();
    assert_all_used(&answers, &["hello from host2\n", "hello from lbhost\n"]);
    // A redirect now leads to pen again, whichever server sends it.
    for (number, answer) in answers.iter().enumerate() {
        let followed = fetch(&lab, number, r"-L -w '%{url_effective}'", "http://address1/bb");
        assert_eq!(followed, format!("{}http://address1/bb/", answer.replace("hello from", "bb of")));
    }
    lab.end_pen(pen);
}

#[test]
fn https_goes_through_untouched() {
    let Some(lab) = Lab::up("HTTPS of the HOWTO", &["nginx", "curl", "openssl"]) else { return };
    let _servers = ["host1", "host2"].map(|machine| lab.nginx(machine, &["443 ssl"]));
    let pen = lab.pen_in_background("pen -l pen.log -p pen.pid lbhost:443 host1:443 host2:443", 443);

    // curl trusts no certificate but the servers' own, and that only for the name lbhost.
    let answers: Vec<String> =
        (0..8).map(|number| fetch(&lab, number, "--cacert certificate.pem", "https://lbhost/")).collect();
    assert_all_used(&answers, &HOSTS);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(&fetch(&lab, number, "--cacert certificate.pem", "https://lbhost/"), answer, "client {number}");
    }
    let refused = lab.run("client", &curl(0, "", "https://lbhost/"));
    assert_eq!(refused.status.code(), Some(60), "without the certificate curl must not trust it: {refused:?}");

    let shown = lab.output("client", "openssl s_client -connect lbhost:443 </dev/null 2>/dev/null | openssl x509");
    assert_eq!(shown, lab.output("client", "openssl x509 -in certificate.pem"), "the servers' certificate");

    // What the log can say of encrypted bytes is harmless: a name or a terminal escape never gets into it.
    let log = records(&lab, "pen.log");
    assert!(log.len() >= 16, "every chunk of a client is a line: {log:?}");
    let printable = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    assert!(log.iter().all(|record| printable(&record.text)), "{log:?}");
    lab.end_pen(pen);
}
