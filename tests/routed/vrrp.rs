//! Two pens that share an address by VRRP, with real keepalived and the files of `contrib/keepalived`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::lab::{CLIENTS, Lab, client_address};
use crate::support::process::{self, Process};
use crate::support::wait;

const ADDRESS: &str = "123.123.123.200";
/// Where the two pens are. What serves is on the client's machine: it has addresses enough.
const MACHINES: [&str; 2] = ["lbhost", "host2"];

/// The keepalived of a machine, with the file of contrib for this network.
fn keepalived(lab: &Lab, machine: &str, priority: u32) -> Process {
    let directory = lab.scratch().file(machine);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/keepalived/keepalived.conf");
    let conf = fs::read_to_string(shipped)
        .unwrap()
        .replace("/run/pen/control", "127.0.0.1:9999")
        .replace("/usr/bin/penctl", &lab.scratch().file("bin/penctl").display().to_string())
        .replace("/run/pen/", &format!("{}/", directory.display()))
        .replace("enable_script_security", "")
        .replace("priority 100", &format!("priority {priority}"))
        .replace("192.0.2.100/24", &format!("{ADDRESS}/24"));
    let file = directory.join("keepalived.conf");
    fs::write(&file, conf).unwrap();
    let path = |name: &str| directory.join(name).display().to_string();
    let (file, own, vrrp, checker) = (file.display().to_string(), path("k.pid"), path("v.pid"), path("c.pid"));
    let words = ["keepalived", "-n", "-l", "-f", &file, "-p", &own, "-r", &vrrp, "-c", &checker];
    lab.start(machine, &format!("{machine}-keepalived"), &words)
}

/// A pen on a machine, run as contrib has it.
fn pen(lab: &Lab, machine: &str) -> Process {
    let directory = lab.scratch().file(machine);
    fs::create_dir_all(&directory).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/keepalived/pen-vrrp");
    let state = format!("PEN_VRRP={}/vrrp", directory.display());
    let script = script.display().to_string();
    let words = [
        "env",
        &state,
        &script,
        "-h",
        "-u",
        "root",
        "-C",
        "127.0.0.1:9999",
        "0.0.0.0:80",
        "123.123.123.2:81",
        "123.123.123.2:82",
    ];
    let pen = lab.start(machine, &format!("{machine}-pen"), &words);
    lab.wait_until_listening(machine, 80);
    pen
}

fn has_address(lab: &Lab, machine: &str) -> bool {
    lab.output(machine, "ip -br address show eth0").contains(ADDRESS)
}

/// Which server each client gets.
fn servers_of_clients(lab: &Lab) -> BTreeMap<usize, String> {
    let ask = |number| {
        let line = format!("curl -sS --max-time 5 --interface {} http://{ADDRESS}/", client_address(number));
        lab.output("client", &line)
    };
    (0..CLIENTS).map(|number| (number, ask(number))).collect()
}

#[test]
fn the_address_moves_within_half_a_second_and_every_client_finds_its_server_again() {
    let name = "VRRP with keepalived";
    let Some(lab) = Lab::up(name, &["keepalived", "nginx", "curl"]) else { return };
    let directory = lab.scratch().path().display();
    let conf = format!(
        "daemon off; master_process off; pid {directory}/n.pid; error_log {directory}/n.log; events {{}}
        http {{
            access_log off; client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;
            fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
            server {{ listen 81; location / {{ return 200 \"one\\n\"; }} }}
            server {{ listen 82; location / {{ return 200 \"two\\n\"; }} }}
        }}"
    );
    fs::write(lab.scratch().file("n.conf"), conf).unwrap();
    let _nginx = lab.start("host1", "n", &["nginx", "-c", &lab.scratch().file("n.conf").display().to_string()]);
    lab.wait_until_listening("host1", 82);
    let _pens = MACHINES.map(|machine| pen(&lab, machine));
    let _keepers = [keepalived(&lab, "lbhost", 100), keepalived(&lab, "host2", 90)];
    wait::until_true("the first machine has the address", || {
        has_address(&lab, "lbhost") && !has_address(&lab, "host2")
    });
    let before = servers_of_clients(&lab);
    let of_one = before.values().filter(|server| *server == "one\n").count();
    assert!((1..CLIENTS).contains(&of_one), "both serve: {of_one}");
    // The pen itself, not what runs it.
    let victims = lab.pens();
    assert_eq!(victims.len(), 1, "{victims:?}");
    let start = Instant::now();
    process::send(victims[0], "KILL");
    // Fetched again and again, so that the gap is what a client sees.
    let fetch = format!("curl -s --connect-timeout 0.05 --max-time 0.2 http://{ADDRESS}/");
    wait::until_true("the other machine serves", || lab.run("client", &fetch).status.success());
    let gap = start.elapsed();
    wait::until_true("the address has moved", || has_address(&lab, "host2") && !has_address(&lab, "lbhost"));
    println!("the address was served again after {gap:?}");
    assert!(gap < Duration::from_millis(500), "{gap:?}");
    assert_eq!(servers_of_clients(&lab), before, "with -h every client finds its server again");
}
