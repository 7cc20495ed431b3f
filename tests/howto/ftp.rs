//! FTP in active mode: the commands go through pen, the file goes past it; and the HOWTO's debug session.

use crate::support::dumps::{self, Dump, Form};
use crate::support::lab::{FTP_FILE, Lab, client_address};
use crate::{assert_all_used, curl};

/// Fetches the HOWTO's file in active mode; what curl told of the session.
#[track_caller]
fn fetch_actively(lab: &Lab, number: usize) -> String {
    let (file, length) = FTP_FILE;
    let _ = std::fs::remove_file(lab.scratch().file(file));
    let options = format!("-v --ftp-port {} --disable-eprt -o {file}", client_address(number));
    let ended = lab.run("client", &curl(number, &options, &format!("ftp://lbhost/{file}")));
    assert!(ended.status.success(), "client {number}: {ended:?}");
    assert_eq!(lab.scratch().read(file), "x".repeat(length), "client {number}");
    ended.stderr
}

#[test]
fn ftp_in_active_mode_fetches_a_file_past_pen() {
    let Some(lab) = Lab::up("FTP of the HOWTO", &["vsftpd", "curl"]) else { return };
    let _servers = ["host1", "host2"].map(|machine| lab.vsftpd(machine));
    let pen = lab.pen_in_background("pen -l pen.log -p pen.pid lbhost:21 host1:21 host2:21", 21);

    let greeting = |session: String| {
        let line = session.lines().find_map(|line| line.strip_prefix("< 220 "));
        line.unwrap_or_else(|| panic!("{session}")).trim().to_string()
    };
    let first: Vec<String> = (0..4).map(|number| greeting(fetch_actively(&lab, number))).collect();
    assert_all_used(&first, &["FTP server on host1", "FTP server on host2"]);
    for (number, greeted) in first.iter().enumerate() {
        assert_eq!(&greeting(fetch_actively(&lab, number)), greeted, "client {number} went to another server");
    }
    let log = crate::records(&lab, "pen.log");
    for number in 0..4 {
        let of_client = || log.iter().filter(|record| record.client == client_address(number));
        let port = format!("PORT {},", client_address(number).replace('.', ","));
        assert_eq!(of_client().filter(|record| record.text.starts_with(&port)).count(), 2, "{log:?}");
        assert_eq!(of_client().filter(|record| record.text == "RETR loadlin.exe").count(), 2, "{log:?}");
    }
    lab.end_pen(pen);
    assert!(!lab.scratch().file("pen.pid").exists(), "TERM removes the pid file");
}

#[test]
fn a_debug_session_shows_the_ftp_commands_as_in_the_howto() {
    let Some(lab) = Lab::up("the HOWTO's FTP debug session", &["vsftpd", "curl"]) else { return };
    let _servers = ["host1", "host2"].map(|machine| lab.vsftpd(machine));
    let mut pen = lab.pen_in_foreground("pen -d -d -f lbhost:21 host1:21 host2:21", 21);
    let session = fetch_actively(&lab, 0);
    let ended = pen.stop("INT");
    assert!(ended.status.success(), "INT ends pen cleanly: {ended:?}");

    let raw = pen.stderr_bytes();
    let (dumps, events) = dumps::parse(&raw).unwrap_or_else(|mistake| panic!("{mistake}"));
    assert!(!events.is_empty(), "-d tells of the connection too");
    assert!(dumps.iter().all(|dump| dump.connection == 0 && dump.form == Form::Text), "{dumps:?}");
    // Byte for byte as in the HOWTO: header, length, the line with its CR and LF, a newline.
    let port = session.lines().find_map(|line| line.strip_prefix("> PORT ")).expect("curl tells its commands").trim();
    let port = format!("PORT {port}");
    let verbatim = [
        format!("copy_up(0)\n{}: {port}\r\n\n", port.len() + 2),
        // vsftpd adds a remark to the HOWTO's answer.
        "copy_down(0)\n51: 200 PORT command successful. Consider using PASV.\r\n\n".to_string(),
        "copy_up(0)\n18: RETR loadlin.exe\r\n\n".to_string(),
    ];
    let shown = String::from_utf8_lossy(&raw).into_owned();
    let mut rest = shown.as_str();
    for entry in &verbatim {
        let Some((_, after)) = rest.split_once(entry.as_str()) else { panic!("{entry:?} is not in {rest:?}") };
        rest = after;
    }
    assert_opening_and_complete(&dumps);

    // The file itself went straight from the server to the client.
    let seen: usize = dumps.iter().map(|dump| dump.bytes.len()).sum();
    assert!(seen < FTP_FILE.1, "pen saw {seen} bytes");
}

/// The two entries after RETR.  A server that is done before pen looks again has them read as one.
#[track_caller]
fn assert_opening_and_complete(dumps: &[Dump]) {
    let opening = "150 Opening BINARY mode data connection for loadlin.exe (32177 bytes).\r\n";
    let complete = "226 Transfer complete.\r\n";
    let retr = dumps.iter().position(|dump| dump.text() == "RETR loadlin.exe\r\n").expect("seen above");
    let after: Vec<String> = dumps[retr + 1..].iter().filter(|dump| !dump.up).map(Dump::text).collect();
    let as_one = format!("{opening}{complete}");
    assert!(after.starts_with(&[opening.into(), complete.into()]) || after.starts_with(&[as_one]), "{after:?}");
}
