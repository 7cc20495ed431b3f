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
    let tshark = |name: &str, filter: &str, fields: &[&str]| -> Vec<String> {
        let mut command = Command::new("tshark");
        command.env("HOME", "/nonexistent").args(["-n", "-d", "tcp.port==3890,ldap", "-o", "tcp.check_checksum:TRUE"]);
        command.args(["-r", &capture(name), "-Y", filter, "-T", "fields"]);
        fields.iter().for_each(|field| _ = command.args(["-e", field]));
        let output = command.output().expect("tshark is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect()
    };
    for name in ["ftp.pcapng", "http.pcapng", "ldap.pcapng"] {
        let odd = tshark(name, "_ws.malformed || tcp.analysis.flags || tcp.checksum.status == 0", &["_ws.col.Info"]);
        assert!(odd.is_empty(), "{name}: {odd:?}");
        assert!(!tshark(name, "tcp.flags.fin == 1", &["frame.number"]).is_empty(), "{name}");
    }
    // On both sides of pen.
    let commands = tshark("ftp.pcapng", "ftp.request.command == \"RETR\"", &["ftp.request.arg"]);
    assert_eq!(commands, [file, file]);
    let requests = tshark("http.pcapng", "http.request", &["http.request.method"]);
    assert_eq!(requests, ["GET"; 4]);
    assert_eq!(tshark("http.pcapng", "http.response", &["http.response.code"]), ["200"; 4]);
    let binds = tshark("ldap.pcapng", "ldap.bindRequest_element", &["ldap.name", "ldap.simple"]);
    assert_eq!(binds.len(), 2, "{binds:?}");
    assert!(binds.iter().all(|bind| bind.starts_with("cn=admin,o=Qbranch,c=SE") && !bind.contains("secret")));
}
