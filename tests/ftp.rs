//! FTP through pen with real servers and real clients, on machines where the one cannot reach the other: network
//! namespaces, with pen in the only one that is in both networks. Needs root, and programs that `tests/all` installs.

#[allow(unused_imports, reason = "every test program uses another part of it")]
mod support;

#[path = "ftp/machines.rs"]
mod machines;
#[path = "ftp/servers.rs"]
mod servers;

use std::time::{Duration, Instant};

use machines::{Machines, SERVER_ADDRESSES};
use servers::Server;
use support::process::Process;
use support::report;

/// The addresses of pen, as clients see it.
const PEN: [&str; 2] = ["10.77.1.1", "fd77:1::1"];

/// The machines with one server and pen before it, which connects to this address of the server.
struct Setting {
    machines: Machines,
    server: Server,
    _pen: Process,
}

impl Setting {
    /// `None` where that cannot be.
    #[track_caller]
    fn up(name: &str, kind: servers::Kind, at: &str, needs: &[&str], options: &[&str]) -> Option<Setting> {
        let missing: Vec<&str> = needs.iter().copied().filter(|program| !report::is_installed(program)).collect();
        if !missing.is_empty() {
            report::not_tested_here(name, &format!("not installed: {}", missing.join(" ")));
            return None;
        }
        let program = kind.program().map_err(|why| report::not_tested_here(name, &why)).ok()?;
        let machines = Machines::up(name)?;
        let server = Server::start(&machines, kind, &program);
        let pen = support::pen::program().display().to_string();
        let words = [&[pen.as_str(), "-d", "-f", "-O", "ftp"], options, &[":::21", at]].concat();
        let pen = machines.start("pen", "pen", &words);
        machines.wait_until_listening("pen", 21);
        Some(Setting { machines, server, _pen: pen })
    }

    /// Runs a command line of a client, which must succeed; what it prints.
    #[track_caller]
    fn client(&self, line: &str) -> String {
        let ended = self.machines.run("client", line);
        assert!(ended.status.success(), "{line}\n{ended:?}\npen: {}", self.machines.scratch.read("pen.err"));
        ended.stdout
    }

    /// A URL at one of pen's addresses.
    fn url(&self, host: &str, path: &str) -> String {
        let host = if host.contains(':') { format!("[{host}]") } else { String::from(host) };
        format!("ftp://{}:{}@{host}/{path}", self.server.user(), self.server.password())
    }

    /// What is in a file that was uploaded.
    fn uploaded(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.server.root.join("up").join(name)).unwrap_or_default()
    }
}

/// All that ftplib can do, passive and active, by both families.
fn everything_by_ftplib(name: &str, kind: servers::Kind) {
    for (family, at) in SERVER_ADDRESSES.iter().enumerate() {
        let at = if family == 0 { format!("{at}:21") } else { format!("[{at}]:21") };
        let Some(setting) = Setting::up(name, kind, &at, &["python3"], &[]) else { return };
        let direct =
            format!("python3 -c 'import socket; socket.create_connection((\"{}\", 21), 2)'", SERVER_ADDRESSES[0]);
        assert!(!setting.machines.run("client", &direct).status.success(), "clients have no way to the server");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ftp/client.py");
        for host in PEN {
            let (user, password) = (setting.server.user(), setting.server.password());
            let line = format!("python3 {script} {host} {user} {password} {}", if host.contains(':') { 6 } else { 4 });
            assert_eq!(setting.client(&line), "all is well\n");
        }
    }
}

#[test]
fn ftplib_does_everything_with_vsftpd() {
    everything_by_ftplib("ftplib with vsftpd", servers::Kind::Vsftpd);
}

#[test]
fn ftplib_does_everything_with_proftpd() {
    everything_by_ftplib("ftplib with proftpd", servers::Kind::Proftpd);
}

#[test]
fn ftplib_does_everything_with_pure_ftpd() {
    everything_by_ftplib("ftplib with pure-ftpd", servers::Kind::PureFtpd);
}

#[test]
fn curl_lists_fetches_stores_appends_and_resumes_in_every_mode() {
    let at = format!("{}:21", SERVER_ADDRESSES[0]);
    let name = "curl with vsftpd";
    let Some(setting) = Setting::up(name, servers::Kind::Vsftpd, &at, &["curl"], &[]) else { return };
    let big = std::fs::read(setting.server.root.join("big")).unwrap();
    let scratch = &setting.machines.scratch;
    std::fs::write(scratch.file("head"), &big[..100_000]).unwrap();
    std::fs::write(scratch.file("tail"), &big[100_000..]).unwrap();
    let modes = [("", 0), ("--disable-epsv", 0), ("-P -", 0), ("-P - --disable-eprt", 0), ("", 1), ("-P -", 1)];
    for (number, (mode, family)) in modes.into_iter().enumerate() {
        let host = PEN[family];
        let curl = format!("curl -sS --max-time 20 {mode}");
        let listed = setting.client(&format!("{curl} '{}'", setting.url(host, "")));
        assert!(listed.lines().any(|line| line.ends_with(" big")), "{mode}: {listed}");
        setting.client(&format!("{curl} -o whole '{}'", setting.url(host, "big")));
        assert!(std::fs::read(scratch.file("whole")).unwrap() == big, "{mode}: the whole file");
        setting.client(&format!("cp head part && {curl} -C - -o part '{}'", setting.url(host, "big")));
        assert!(std::fs::read(scratch.file("part")).unwrap() == big, "{mode}: the rest of it");
        let there = setting.url(host, &format!("up/file-{number}"));
        setting.client(&format!("{curl} -T head '{there}'"));
        setting.client(&format!("{curl} -a -T tail '{there}'"));
        assert!(setting.uploaded(&format!("file-{number}")) == big, "{mode}: both parts");
    }
}

#[test]
fn lftp_mirrors_many_files_and_tnftp_fetches_and_stores() {
    let at = format!("{}:21", SERVER_ADDRESSES[0]);
    let name = "lftp and tnftp with vsftpd";
    let Some(setting) = Setting::up(name, servers::Kind::Vsftpd, &at, &["lftp", "tnftp"], &[]) else { return };
    let (user, password) = (setting.server.user(), setting.server.password());
    for number in 0..50 {
        setting.server.write(&format!("many/file-{number}"), &format!("file {number}\n"));
    }
    for (host, passive) in [(PEN[0], "on"), (PEN[0], "off"), (PEN[1], "on"), (PEN[1], "off")] {
        let there = if host.contains(':') { format!("[{host}]") } else { String::from(host) };
        let what = "set net:max-retries 1; set net:timeout 10; set ftp:ssl-allow off";
        let get = format!(
            "rm -rf many && lftp -c '{what}; set ftp:passive-mode {passive}; open -u {user},{password} ftp://{there}; mirror -P 5 many'"
        );
        setting.client(&get);
        for number in 0..50 {
            let text = setting.machines.scratch.read(&format!("many/file-{number}"));
            assert_eq!(text, format!("file {number}\n"), "{host} {passive}");
        }
        let mode = if passive == "on" { "-p" } else { "-A" };
        let number = format!("{passive}-{}", host.len());
        setting.client(&format!("rm -f big && tnftp {mode} -o big '{}'", setting.url(host, "big")));
        setting.client(&format!("tnftp {mode} -u '{}' big", setting.url(host, &format!("up/tnftp-{number}"))));
        let big = std::fs::read(setting.server.root.join("big")).unwrap();
        assert!(setting.uploaded(&format!("tnftp-{number}")) == big, "{host} {passive}");
    }
}

/// What curl fetches in each mode and family, through a pen that was told `command` for its server.
#[track_caller]
fn fetches_in_every_mode(setting: &Setting, command: &str) {
    let penctl = env!("CARGO_BIN_EXE_penctl");
    let told = setting.machines.run("pen", &format!("{penctl} ./pen.ctl {command}"));
    assert!(told.status.success(), "{told:?}");
    for mode in ["", "--disable-epsv", "-P -", "-P - --disable-eprt"] {
        for host in PEN {
            let url = setting.url(host, "name");
            assert_eq!(setting.client(&format!("curl -sS --max-time 20 {mode} '{url}'")), "here\n", "{mode} {host}");
        }
    }
}

#[test]
fn servers_see_data_connections_from_the_address_of_the_control_connection() {
    let options = ["-u", "root", "-C", "./pen.ctl", "-O", "timeout 10"];
    let at = format!("{}:21", SERVER_ADDRESSES[0]);
    let name = "vsftpd, which compares addresses";
    let Some(setting) = Setting::up(name, servers::Kind::Vsftpd, &at, &["curl", "nft"], &options) else { return };
    let run = |role: &str, line: &str| {
        let ended = setting.machines.run(role, line);
        assert!(ended.status.success(), "{line}: {ended:?}");
        ended.stdout
    };
    setting.server.write("name", "here\n");
    run("pen", "ip address add 10.77.2.9/24 dev net2");
    fetches_in_every_mode(&setting, "server 0 source 10.77.2.9");
    run("server", "ip route add 10.77.1.0/24 via 10.77.2.1 && ip -6 route add fd77:1::/64 via fd77:2::1");
    let pen = support::pen::program().display().to_string();
    let report = run("pen", &format!("{pen} -n -O transparent 8080 192.0.2.1:80"));
    for rule in report.lines().filter_map(|line| line.strip_prefix("  ")) {
        run("pen", rule);
    }
    fetches_in_every_mode(&setting, "server 0 source default transparent on");
    let address = SERVER_ADDRESSES[1];
    fetches_in_every_mode(&setting, &format!("server 0 address {address} port 21"));
}

#[test]
fn a_thousand_transfers_at_the_same_moment_all_arrive() {
    const COUNT: usize = 1_000;
    let at = format!("{}:21", SERVER_ADDRESSES[0]);
    let name = "a thousand FTP transfers";
    let options = ["-x", "2000", "-O", "pending_max 2000", "-O", "ftp_ports 40000-44999"];
    let Some(setting) = Setting::up(name, servers::Kind::Vsftpd, &at, &["python3"], &options) else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ftp/many.py");
    let began = Instant::now();
    let (user, password) = (setting.server.user(), setting.server.password());
    let line = format!("timeout 200 python3 {script} {} {user} {password} {COUNT} big 300000", PEN[0]);
    let ended = setting.machines.run_for(Duration::from_secs(200), "client", &line);
    assert!(ended.status.success(), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(200), "{:?}", began.elapsed());
    println!("{COUNT} transfers in {:?}", began.elapsed());
}
