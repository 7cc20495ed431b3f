//! `transparent`: a client behind lbhost, whose own address the servers see.

use std::fs;

use crate::support::lab::Lab;
use crate::support::process::Process;
use crate::support::wait;

const CLIENT: &str = "198.51.100.7";
const CLIENT_V6: &str = "2001:db8:7::7";

/// Brings the machines up, with a client that has addresses which the servers reach by way of lbhost alone.
fn lab(name: &str) -> Option<Lab> {
    lab_with(name, &["nginx", "curl", "nft", "setpriv"])
}

fn lab_with(name: &str, needs: &[&str]) -> Option<Lab> {
    let lab = Lab::up(name, needs)?;
    for (machine, number) in [("client", "100"), ("lbhost", "1"), ("host1", "2")] {
        lab.output(machine, &format!("ip -6 address add fd78::{number}/64 dev eth0 nodad"));
    }
    lab.output(
        "client",
        &format!("ip address add {CLIENT}/32 dev lo && ip -6 address add {CLIENT_V6}/128 dev lo nodad"),
    );
    lab.output("lbhost", "ip route add 198.51.100.0/24 via 123.123.123.100");
    lab.output("lbhost", "ip -6 route add 2001:db8:7::/48 via fd78::100");
    lab.output("host1", "ip route add 198.51.100.0/24 via 123.123.123.1");
    lab.output("host1", "ip -6 route add 2001:db8:7::/48 via fd78::1");
    lab.output("lbhost", "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0");
    Some(lab)
}

/// What `pen -n` says is to be set, set.
fn set_rules(lab: &Lab) {
    let report = lab.output("lbhost", "pen -n -O transparent 8080 host1:80");
    let rules: Vec<&str> = report.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(rules.len(), 7, "{report}");
    for rule in rules {
        lab.output("lbhost", rule);
    }
}

/// A server on host1 that tells whom it sees.
fn start_server(lab: &Lab) -> Process {
    let directory = lab.scratch().path().display();
    let conf = format!(
        "daemon off; master_process off; pid {directory}/seen.pid; error_log {directory}/seen.log; events {{}}
        http {{
            access_log off; client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;
            fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
            server {{ listen 80; listen [::]:80; location / {{ return 200 \"$remote_addr\\n\"; }} }}
        }}"
    );
    let file = lab.scratch().file("seen.conf");
    fs::write(&file, conf).unwrap();
    let server = lab.start("host1", "seen", &["nginx", "-c", &file.display().to_string()]);
    lab.wait_until_listening("host1", 80);
    server
}

/// A name server on host1 that answers whom it sees.
fn start_name_server(lab: &Lab) -> Process {
    let conf = "setLocal('123.123.123.2:53')\naddLocal('[fd78::2]:53')\nsetACL({'0.0.0.0/0', '::/0'})\n\
        addAction(AllRule(), LuaAction(function(dq) return DNSAction.Spoof, dq.remoteaddr:toString() end))\n";
    let file = lab.scratch().file("dnsdist.conf");
    fs::write(&file, conf).unwrap();
    let words = ["dnsdist", "-C", &file.display().to_string(), "--supervised", "--disable-syslog"];
    let server = lab.start("host1", "dnsdist", &words);
    lab.wait_until_listening("host1", 53);
    server
}

fn start_pen(lab: &Lab, words: &[&str], port: u16) -> Process {
    let mut pen = lab.start("lbhost", "pen", words);
    wait::until_true("pen listens", || {
        assert!(!pen.has_ended(), "{:?}", pen.wait());
        lab.is_listening("lbhost", port)
    });
    pen
}

#[test]
fn servers_see_the_clients_own_addresses() {
    let Some(lab) = lab("transparent in routed networks") else { return };
    set_rules(&lab);
    let _server = start_server(&lab);
    let fetch =
        |from: &str, url: &str| lab.run("client", &format!("curl -sS -g --max-time 10 --interface {from} {url}"));
    // As an ordinary user, who keeps nothing but the right to that.
    let options = ["pen", "-f", "-u", "nobody", "-C", "127.0.0.1:9999", "-t", "1", "-O", "transparent"];
    let mut pen = start_pen(&lab, &[&options[..], &["[::]:8080", "123.123.123.2:80"]].concat(), 8080);
    let rights = lab.output("lbhost", &format!("grep -E '^(Uid|CapEff|CapBnd)' /proc/{}/status", pen.pid()));
    assert!(rights.contains("CapEff:\t0000000000002000") && !rights.contains("Uid:\t0"), "{rights}");
    assert_eq!(fetch(CLIENT, "http://123.123.123.1:8080/").stdout, format!("{CLIENT}\n"));
    // A client by IPv6 has no address that an IPv4 server could see.
    assert_eq!(fetch(CLIENT_V6, "http://[fd78::1]:8080/").stdout, "123.123.123.1\n");
    let obey = |command: &str| lab.output("lbhost", &format!("penctl 127.0.0.1:9999 {command}"));
    obey("server 0 address fd78::2 port 80");
    // pen gives its server a second, and new networks may need longer before neighbours find each other (RFC 4861).
    wait::until_true("host1 is reached by IPv6", || {
        lab.run("lbhost", "curl -sS -g --max-time 2 http://[fd78::2]:80/").status.success()
    });
    assert_eq!(fetch(CLIENT_V6, "http://[fd78::1]:8080/").stdout, format!("{CLIENT_V6}\n"));
    obey("server 0 transparent off");
    assert_eq!(fetch(CLIENT_V6, "http://[fd78::1]:8080/").stdout, "fd78::1\n");
    obey("server 0 transparent default source fd78::1");
    assert_eq!(fetch(CLIENT, "http://123.123.123.1:8080/").stdout, "fd78::1\n", "the other family has pen's address");
    // Without the rule answers get lost, and that is said.
    obey("server 0 address 123.123.123.2");
    lab.output("lbhost", "ip rule del fwmark 1 lookup 100");
    assert!(!fetch(CLIENT, "http://123.123.123.1:8080/").status.success());
    pen.wait_for_stderr(
        "is refused: no answer to its address; do such answers come back to pen? pen -n tells the rules",
    );
    pen.stop("TERM");
}

#[test]
fn without_the_right_to_it_pen_does_not_start_and_says_why() {
    let Some(lab) = lab("transparent without the right") else { return };
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let ended = lab.run("lbhost", &format!("{user} pen -f -O transparent 8080 host1:80"));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("pen: transparent needs the capability CAP_NET_RAW or CAP_NET_ADMIN, as root has it"),
        "{ended:?}"
    );
    let checked = lab.run("lbhost", &format!("{user} pen -n -O transparent 8080 host1:80"));
    assert!(checked.status.success() && checked.stderr.contains("transparent needs"), "{checked:?}");
    // Asked for later, it is refused as well.
    let words: Vec<&str> =
        user.split(' ').chain(["pen", "-f", "-C", "127.0.0.1:9999", "-t", "1", "8080", "host1:80"]).collect();
    let mut pen = start_pen(&lab, &words, 8080);
    let refused = lab.run("lbhost", "penctl 127.0.0.1:9999 transparent");
    assert!(!refused.status.success() && refused.stderr.contains("transparent needs the capability"), "{refused:?}");
    pen.stop("TERM");
}

#[test]
fn servers_see_the_own_addresses_of_those_who_send_datagrams() {
    let Some(lab) = lab_with("transparent datagrams in routed networks", &["dnsdist", "dig", "nft"]) else { return };
    set_rules(&lab);
    let _server = start_name_server(&lab);
    let ask = |from: &str, at: &str, kind: &str| {
        let line = format!("dig @{at} -p 5353 -b {from} +short +tries=1 +time=3 {kind} who.test");
        lab.run("client", &line).stdout
    };
    let options = ["pen", "-f", "-U", "-u", "nobody", "-C", "127.0.0.1:9999", "-O", "transparent"];
    let own = ["-O", "udp_requests 1", "-O", "udp_responses 1", "[::]:5353", "123.123.123.2:53"];
    let mut pen = start_pen(&lab, &[&options[..], &own].concat(), 5353);
    assert_eq!(ask(CLIENT, "123.123.123.1", "A"), format!("{CLIENT}\n"));
    // A client by IPv6 has no address that an IPv4 server could see.
    assert_eq!(ask(CLIENT_V6, "fd78::1", "A"), "123.123.123.1\n");
    let obey = |command: &str| lab.output("lbhost", &format!("penctl 127.0.0.1:9999 {command}"));
    obey("server 0 address fd78::2 port 53");
    assert_eq!(ask(CLIENT_V6, "fd78::1", "AAAA"), format!("{CLIENT_V6}\n"));
    assert_eq!(ask(CLIENT, "123.123.123.1", "AAAA"), "fd78::1\n", "the other family has pen's address");
    obey("server 0 transparent off");
    assert_eq!(ask(CLIENT_V6, "fd78::1", "AAAA"), "fd78::1\n");
    obey("server 0 transparent default address 123.123.123.2");
    // Of many questions none is lost.
    let questions = lab.scratch().file("questions");
    fs::write(&questions, (0..50).map(|n| format!("q{n}.test A\n")).collect::<String>()).unwrap();
    let many = format!("dig @123.123.123.1 -p 5353 -b {CLIENT} +short +tries=1 +time=3 -f {}", questions.display());
    assert_eq!(lab.run("client", &many).stdout, format!("{CLIENT}\n").repeat(50));
    // Without the rule the answers get lost.
    lab.output("lbhost", "ip rule del fwmark 1 lookup 100");
    assert!(!ask(CLIENT, "123.123.123.1", "A").contains(CLIENT));
    assert_eq!(pen.stderr(), "");
    pen.stop("TERM");
}
