//! Real sessions by FTP, LDAP and HTTP in one capture, which tshark reads without a complaint.

use std::process::Command;

use crate::support::lab::{FTP_FILE, Lab};

#[test]
fn tshark_dissects_ftp_ldap_and_http_in_captures_of_real_sessions_and_finds_nothing_odd() {
    let needs = ["vsftpd", "curl", "slapd", "ldapsearch", "nginx", "tshark"];
    let Some(lab) = Lab::up("captures of real sessions", &needs) else { return };
    let _ftp = lab.vsftpd("host1");
    let _ldap = lab.slapd(389, "o=Qbranch,c=SE");
    let _web = lab.nginx("host1", &["80"]);
    let capture = |name: &str| lab.scratch().file(name).display().to_string();
    let mut running = Vec::new();
    for (name, at, to) in
        [("ftp", "lbhost:21", "host1:21"), ("http", "lbhost:80", "host1:80"), ("ldap", "3890", "localhost:389")]
    {
        lab.scratch().write(&format!("{name}.cfg"), &format!("capture {}\n", capture(&format!("{name}.pcapng"))));
        let port = at.rsplit(':').next().and_then(|port| port.parse().ok()).expect("each address has a port");
        running.push(lab.pen_in_foreground(&format!("pen -f -F {name}.cfg {at} {to}"), port));
    }
    let (file, _) = FTP_FILE;
    lab.output("client", &format!("curl -s --disable-epsv --ftp-port - -o {file} ftp://lbhost/{file}"));
    lab.output("client", "curl -s http://lbhost/ http://lbhost/");
    let bind = "-x -D cn=admin,o=Qbranch,c=SE -w secret";
    lab.run("lbhost", &format!("ldapsearch -H ldap://localhost:3890 {bind} -b '' -s base '(objectclass=*)'"));
    for mut pen in running {
        assert!(pen.stop("TERM").status.success());
    }
    let ftp = frames(&capture("ftp.pcapng"));
    let http = frames(&capture("http.pcapng"));
    let ldap = frames(&capture("ldap.pcapng"));
    for (name, frames) in [("ftp", &ftp), ("http", &http), ("ldap", &ldap)] {
        let is_odd = |frame: &&Vec<String>| {
            let [malformed, analysis, checksum] = [&frame[MALFORMED], &frame[ANALYSIS], &frame[CHECKSUM]];
            !malformed.is_empty() || !analysis.is_empty() || checksum != "1"
        };
        let odd: Vec<_> = frames.iter().filter(is_odd).collect();
        assert!(odd.is_empty(), "{name}: {odd:?}");
        assert!(frames.iter().any(|frame| ["1", "True"].contains(&frame[FIN].as_str())), "{name}: there is an end");
    }
    let told = |frames: &[Vec<String>], field: usize| -> Vec<String> {
        frames.iter().map(|frame| frame[field].clone()).filter(|text| !text.is_empty()).collect()
    };
    // On both sides of pen.
    let is_retrieval = |frame: &&Vec<String>| frame[FTP_COMMAND] == "RETR";
    let asked: Vec<_> = ftp.iter().filter(is_retrieval).map(|frame| frame[FTP_OPERAND].as_str()).collect();
    assert_eq!(asked, [file, file]);
    assert_eq!(told(&http, HTTP_METHOD), ["GET"; 4]);
    assert_eq!(told(&http, HTTP_CODE), ["200"; 4]);
    let is_bind = |frame: &&Vec<String>| !frame[LDAP_BIND].is_empty();
    let binds: Vec<_> = ldap.iter().filter(is_bind).map(|frame| (&frame[LDAP_NAME], &frame[LDAP_SECRET])).collect();
    assert_eq!(binds.len(), 2, "{binds:?}");
    assert!(binds.iter().all(|(name, secret)| *name == "cn=admin,o=Qbranch,c=SE" && !secret.contains("secret")));
    assert!(binds.iter().all(|(_, secret)| !secret.is_empty()), "{binds:?}");
}

/// What tshark tells of each frame, and where it stands in a line.
const FIELDS: [&str; 11] = [
    "_ws.malformed",
    "tcp.analysis.flags",
    "tcp.checksum.status",
    "tcp.flags.fin",
    "ftp.request.command",
    "ftp.request.arg",
    "http.request.method",
    "http.response.code",
    "ldap.bindRequest_element",
    "ldap.name",
    "ldap.simple",
];
const MALFORMED: usize = 0;
const ANALYSIS: usize = 1;
const CHECKSUM: usize = 2;
const FIN: usize = 3;
const FTP_COMMAND: usize = 4;
const FTP_OPERAND: usize = 5;
const HTTP_METHOD: usize = 6;
const HTTP_CODE: usize = 7;
const LDAP_BIND: usize = 8;
const LDAP_NAME: usize = 9;
const LDAP_SECRET: usize = 10;

/// The frames of a file. To start tshark is most of its work, so it is asked for everything at once.
fn frames(file: &str) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.env("HOME", "/nonexistent").args(["-n", "-d", "tcp.port==3890,ldap", "-o", "tcp.check_checksum:TRUE"]);
    command.args(["-r", file, "-T", "fields"]);
    FIELDS.iter().for_each(|field| _ = command.args(["-e", field]));
    let output = command.output().expect("tshark is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let frames: Vec<Vec<String>> = text.lines().map(|line| line.split('\t').map(String::from).collect()).collect();
    assert!(!frames.is_empty() && frames.iter().all(|frame| frame.len() == FIELDS.len()), "{text}");
    frames
}
