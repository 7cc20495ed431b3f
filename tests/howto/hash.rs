//! HTTP and HTTPS in parallel: the same server for both, by `-h`; and with `-s` no fail-over.

use crate::support::lab::{CLIENTS, Lab};
use crate::support::pen::is_another;
use crate::support::process::Process;
use crate::support::report::not_tested_here;
use crate::{assert_all_used, curl, fetch};

const HOSTS: [&str; 2] = ["hello from host1\n", "hello from host2\n"];

fn servers(lab: &Lab) -> [Option<Process>; 2] {
    ["host1", "host2"].map(|machine| Some(lab.nginx(machine, &["80", "443 ssl"])))
}

/// What every client gets by both protocols, which must be the same.
#[track_caller]
fn by_both_protocols(lab: &Lab) -> Vec<String> {
    (0..CLIENTS)
        .map(|number| {
            let http = fetch(lab, number, "", "http://lbhost/");
            let https = fetch(lab, number, "--cacert certificate.pem", "https://lbhost/");
            assert_eq!(http, https, "client {number} has two servers");
            http
        })
        .collect()
}

#[test]
fn both_protocols_of_a_client_go_to_one_server() {
    let Some(lab) = Lab::up("HTTP + HTTPS of the HOWTO", &["nginx", "curl", "openssl"]) else { return };
    let mut servers = servers(&lab);
    let pens = [
        lab.pen_in_background("pen -l pen80.log -p pen80.pid -h lbhost:80 host1:80 host2:80", 80),
        lab.pen_in_background("pen -l pen443.log -p pen443.pid -h lbhost:443 host1:443 host2:443", 443),
    ];
    let answers = by_both_protocols(&lab);
    assert_all_used(&answers, &HOSTS);
    let of_host1 = answers.iter().filter(|answer| *answer == HOSTS[0]).count();
    // 32 neighbouring addresses on two servers; a fair hash leaves these bounds about once in 50,000 sets of addresses.
    assert!((5..=27).contains(&of_host1), "host1 serves {of_host1} of {CLIENTS}");

    // One machine goes away: its clients go to the other one for both protocols, and nobody else moves.
    lab.end_server("host1", servers[0].take().expect("still running"), 80);
    assert_all_used(&by_both_protocols(&lab), &HOSTS[1..]);
    for pen in pens {
        lab.end_pen(pen);
    }
    for file in ["pen80.pid", "pen443.pid"] {
        assert!(!lab.scratch().file(file).exists(), "TERM removes {file}");
    }
}

#[test]
fn a_stubborn_pen_closes_the_client_whose_server_is_down() {
    let Some(lab) = Lab::up("-s of the HOWTO", &["nginx", "curl", "openssl"]) else { return };
    let mut servers = servers(&lab);
    let pens = [
        lab.pen_in_background("pen -l pen80.log -p pen80.pid -h -s lbhost:80 host1:80 host2:80", 80),
        lab.pen_in_background("pen -l pen443.log -p pen443.pid -h -s lbhost:443 host1:443 host2:443", 443),
    ];
    let answers = by_both_protocols(&lab);
    assert_all_used(&answers, &HOSTS);

    lab.end_server("host1", servers[0].take().expect("still running"), 80);
    for (number, answer) in answers.iter().enumerate() {
        if answer == HOSTS[1] {
            assert_eq!(&fetch(&lab, number, "", "http://lbhost/"), answer, "client {number} has its server still");
            continue;
        }
        // 52: "Empty reply from server", an orderly end without a byte; a reset would be 56.  35: no TLS handshake.
        for (url, code) in [("http://lbhost/", 52), ("http://lbhost/", 52), ("https://lbhost/", 35)] {
            let ended = lab.run("client", &curl(number, "", url));
            assert_eq!(ended.status.code(), Some(code), "client {number}, {url}: {ended:?}");
        }
    }
    for pen in pens {
        lab.end_pen(pen);
    }
}

#[test]
fn one_process_with_two_listeners_does_what_the_two_do() {
    if is_another() {
        return not_tested_here("one_process_with_two_listeners_does_what_the_two_do", "pen 0.34.1 has one listener");
    }
    let Some(lab) = Lab::up("HTTP + HTTPS of the HOWTO in one pen", &["nginx", "curl", "openssl"]) else { return };
    let mut servers = servers(&lab);
    lab.scratch().write(
        "pen.cfg",
        "listen lbhost:80\nhash\nserver 0 address host1 port 80\nserver 1 address host2 port 80\n\
         listener tls lbhost:443\nhash\nserver 0 address host1 port 443\nserver 1 address host2 port 443\n",
    );
    let pen = lab.pen_in_background("pen -l pen.log -p pen.pid -F pen.cfg", 80);
    lab.wait_until_listening("lbhost", 443);
    let answers = by_both_protocols(&lab);
    assert_all_used(&answers, &HOSTS);
    lab.end_server("host1", servers[0].take().expect("still running"), 80);
    assert_all_used(&by_both_protocols(&lab), &HOSTS[1..]);
    lab.end_pen(pen);
}
