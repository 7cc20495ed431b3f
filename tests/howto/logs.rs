//! The web servers' logs get their clients back, by the HOWTO's command line.

use std::fs;

use crate::support::lab::{Lab, client_address};
use crate::support::wait;
use crate::{curl, fetch};

/// Word for word.
const LINE: &str =
    "mergelogs -p pen.log \\\n        10.0.0.1:access_log.host1 10.0.0.2:access_log.host2 \\\n        > access_log";

#[test]
fn the_servers_logs_become_one_with_the_clients_addresses() {
    let Some(lab) = Lab::up("mergelogs of the HOWTO", &["nginx", "curl"]) else { return };
    fs::copy(env!("CARGO_BIN_EXE_mergelogs"), lab.scratch().file("bin/mergelogs")).expect("it is built");
    // Here host1 and host2 have the addresses of the command line.
    for (machine, address) in [("lbhost", "10.0.0.254"), ("host1", "10.0.0.1"), ("host2", "10.0.0.2")] {
        lab.output(machine, &format!("ip address add {address}/24 dev eth0"));
    }
    let hosts = "sed -e 's/^.*\\thost1$/10.0.0.1\\thost1/; s/^.*\\thost2 .*$/10.0.0.2\\thost2/' /etc/hosts >hosts && cat hosts >/etc/hosts";
    lab.output("lbhost", hosts);
    let _servers = ["host1", "host2"].map(|machine| lab.nginx(machine, &["80"]));
    let pen = lab.pen_in_background("pen -l pen.log -p pen.pid lbhost:80 host1:80 host2:80", 80);
    for number in 0..12 {
        // Everybody's page, and each one's own, which is not there.
        fetch(&lab, number, "", "http://lbhost/");
        lab.run("client", &curl(number, &format!("-A client{number}"), &format!("http://lbhost/own{number}")));
    }
    let log = |machine: &str| lab.scratch().read(&format!("{machine}-nginx/access.log"));
    wait::until_true("all requests are logged", || log("host1").lines().count() + log("host2").lines().count() == 24);
    lab.end_pen(pen);
    for machine in ["host1", "host2"] {
        lab.scratch().write(&format!("access_log.{machine}"), &log(machine));
    }
    let ended = lab.run("lbhost", LINE);
    assert_eq!((ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "", ""));
    let merged = lab.scratch().read("access_log");
    assert_eq!(merged.lines().count(), 24);
    for number in 0..12 {
        let own = merged.lines().find(|line| line.contains(&format!("GET /own{number} HTTP"))).expect("it is there");
        assert!(own.starts_with(&format!("{} - - [", client_address(number))), "{own}");
        assert!(own.ends_with(&format!("\"-\" \"client{number}\"")), "the rest is as it was: {own}");
        let page = format!("{} - - [", client_address(number));
        let of_all = merged.lines().filter(|line| line.starts_with(&page) && line.contains("\"GET / HTTP"));
        assert_eq!(of_all.count(), 1, "client {number} in {merged}");
    }
}
