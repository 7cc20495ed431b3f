//! What pen tells of a protocol in words, what it veils, and captures, which tshark reads.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::support::client::{ask, connect, read_to_end, reset};
use crate::support::pattern::Pattern;
use crate::support::pen::Pen;
use crate::support::report;
use crate::support::scratch::Scratch;
use crate::support::servers::{Refusing, Server, echo};
use crate::support::wait;

/// Puts bytes in at one end of a pair and takes them at the other.
#[track_caller]
fn carry(mut from: &TcpStream, mut to: &TcpStream, chunk: &[u8]) {
    from.write_all(chunk).unwrap();
    let mut arrived = vec![0; chunk.len()];
    to.read_exact(&mut arrived).unwrap();
    assert_eq!(arrived, chunk, "what is veiled is carried as it is");
}

/// What was said, without the lines of events, and with a word in place of each time and address.
fn without_times(said: &str, client: &TcpStream, server: &TcpStream) -> String {
    let ends = [client.local_addr(), server.local_addr()].map(|address| address.unwrap().to_string());
    let mut text = String::new();
    for line in said.split_inclusive('\n') {
        let is_timed = line.len() > 24 && line.as_bytes()[4] == b'-' && line.as_bytes()[13] == b':';
        match is_timed {
            true if &line[19..20] == "." && &line[23..25] == ": " => text += &format!("TIME{}", &line[23..]),
            true => {}
            false => text += line,
        }
    }
    text.replace(&ends[0], "CLIENT").replace(&ends[1], "SERVER")
}

#[test]
fn level_three_tells_each_message_in_words_before_its_dump() {
    let (mut pen, client, server) = Pen::start_with_both_ends(&["-d", "-d", "-d"]);
    carry(&server, &client, b"220 FTP ready\r\n");
    carry(&client, &server, b"USER anna\r\nPASS sec");
    carry(&client, &server, b"ret\r\n");
    carry(&server, &client, b"230-Welcome\r\n230 in\r\n");
    let (ends, said) = ((client.try_clone().unwrap(), server.try_clone().unwrap()), ());
    drop((client, server, said));
    let said = pen.stop().stderr;
    let expected = "TIME: connection 0 down, client CLIENT, server SERVER\n  ftp: 220 FTP ready\n\
        copy_down(0)\n15: 220 FTP ready\r\n\n\
        TIME: connection 0 up, client CLIENT, server SERVER\n  ftp: USER anna\n\
        copy_up(0)\n19: USER anna\r\nPASS ***\n\
        TIME: connection 0 up, client CLIENT, server SERVER\n  ftp: PASS ***\n\
        copy_up(0)\n5: ***\r\n\n\
        TIME: connection 0 down, client CLIENT, server SERVER\n  ftp: 230-Welcome (2 lines)\n\
        copy_down(0)\n21: 230-Welcome\r\n230 in\r\n\n";
    assert_eq!(without_times(&said, &ends.0, &ends.1), expected);
}

#[test]
fn passwords_are_veiled_in_dumps_and_shown_when_that_is_asked_for() {
    // A bind by LDAP, and a request by HTTP whose secret comes in two pieces.
    let bind = b"\x30\x16\x02\x01\x01\x60\x11\x02\x01\x03\x04\x04cn=a\x80\x06secret";
    let veiled = "copy_up(0)\n24: \n\
        00000000  30 16 02 01 01 60 11 02  01 03 04 04 63 6e 3d 61  |0....`......cn=a|\n\
        00000010  80 06 2a 2a 2a 2a 2a 2a                           |..******|\n\n";
    let shown = veiled.replace("2a 2a 2a 2a 2a 2a", "73 65 63 72 65 74").replace("******", "secret");
    for (options, dump) in
        [(&["-dd"][..], veiled), (&["-dd", "--show-secrets"], &shown), (&["-dd", "-Osecrets show"], &shown)]
    {
        let (mut pen, client, server) = Pen::start_with_both_ends(options);
        carry(&client, &server, bind);
        let said = pen.stop().stderr;
        assert!(said.contains(dump), "{options:?}: {said}");
    }
    let (pen, client, server) = Pen::start_with_both_ends(&[&Pen::control_options()[..], &["-dd"]].concat());
    assert_eq!(pen.obey("secrets"), "hide\n");
    carry(&client, &server, b"GET / HTTP/1.1\r\nAuthorization: Basic YW5");
    carry(&client, &server, b"uYTpz\r\nHost: x\r\n\r\n");
    wait::until_true("it is printed", || pen.stderr().contains("***\r\nHost: x"));
    assert!(pen.stderr().contains("Authorization: *****"), "{}", pen.stderr());
    assert!(!pen.stderr().contains("YW5") && !pen.stderr().contains("uYTpz"), "{}", pen.stderr());
    assert_eq!(pen.obey("secrets show"), "show\n");
    carry(&client, &server, b"GET / HTTP/1.1\r\nCookie: x=7\r\n\r\n");
    wait::until_true("it is shown", || pen.stderr().contains("Cookie: x=7"));
}

#[test]
fn level_three_comes_and_goes_at_run_time_and_a_beginning_that_was_missed_is_no_matter() {
    let (pen, client, server) = Pen::start_with_both_ends(&Pen::control_options());
    carry(&server, &client, b"220 FTP ready\r\n");
    carry(&client, &server, b"USER an");
    pen.obey("debug 3");
    carry(&client, &server, b"na\r\n");
    carry(&server, &client, b"331 Password?\r\n");
    carry(&client, &server, b"PASS secret\r\n");
    wait::until_true("it is told", || pen.stderr().contains("  ftp: PASS ***\n"));
    pen.obey("debug 0");
    carry(&client, &server, b"SYST\r\n");
    assert!(!pen.stderr().contains("SYST") && !pen.stderr().contains("secret"), "{}", pen.stderr());
}

/// What tshark says of a capture: with these fields of the packets that a filter takes.
#[track_caller]
fn tshark(file: &std::path::Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.env("HOME", "/nonexistent").args(["-n", "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]);
    command.args(["-r"]).arg(file).args(["-Y", filter, "-T", "fields"]);
    fields.iter().for_each(|field| _ = command.args(["-e", field]));
    let output = command.output().expect("tshark is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("cut short") && !said.contains("damaged"), "{said}");
    String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect()
}

/// Whether tshark can be asked; says so if not.
fn has_tshark(name: &str) -> bool {
    let is_there = report::is_installed("tshark");
    if !is_there {
        report::not_tested_here(name, "not installed: tshark");
    }
    is_there
}

/// tshark finds nothing odd in a capture.
#[track_caller]
fn assert_clean(file: &std::path::Path) {
    let odd = "_ws.malformed || tcp.analysis.flags || tcp.checksum.status == 0 || ip.checksum.status == 0";
    let found = tshark(file, odd, &["frame.number", "_ws.col.Info"]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_capture_has_every_connection_from_its_handshake_to_its_end_and_tshark_finds_nothing_odd() {
    if !has_tshark("captures") {
        return;
    }
    let server = Server::start(echo);
    let pen = Pen::start_with_control(&["-O", "capture {dir}/x.pcapng"], &[server.address()]);
    let file = pen.directory().file("x.pcapng");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "only its user may read it");
    assert_eq!(ask(&pen.connect(), b"hello"), "hello");
    // Much, in both directions at once.
    let (pattern, client) = (Pattern::new(5), pen.connect());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pattern.write(&client, 700_000, |_| {}).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
        });
        assert_eq!(pattern.check(&client, 65_536).unwrap(), 700_000);
    });
    drop(client);
    let broken = pen.connect();
    (&broken).write_all(b"reset").unwrap();
    (&broken).read_exact(&mut [0; 5]).unwrap();
    reset(broken);
    wait::until_true("all have ended", || pen.obey("status json").contains("\"connections\"") && server.open() == 0);
    assert!(pen.obey("capture").trim_end().ends_with("x.pcapng"));
    pen.obey("no capture");
    assert_eq!(pen.obey("capture"), "");
    assert_clean(&file);
    let count = |filter: &str| tshark(&file, filter, &["frame.number"]).len();
    for interface in ["clients", "servers"] {
        let on = |filter: &str| count(&format!("frame.interface_name == \"{interface}\" && {filter}"));
        assert_eq!(on("tcp.flags.syn == 1 && tcp.flags.ack == 0"), 3, "{interface}");
        assert_eq!(on("tcp.flags.fin == 1"), 4, "{interface}: two connections end on both sides");
        assert_eq!(on("tcp.flags.reset == 1"), 1, "{interface}");
        let lengths = tshark(&file, &format!("frame.interface_name == \"{interface}\" && tcp.len > 0"), &["tcp.len"]);
        let bytes: u64 = lengths.iter().map(|length| length.parse::<u64>().unwrap()).sum();
        assert_eq!(bytes, 2 * (700_000 + 5 + 5), "{interface}");
    }
    // With the addresses as they are.
    let port = server.address().port();
    assert!(count(&format!("frame.interface_name == \"servers\" && tcp.dstport == {port}")) > 0);
    assert!(count(&format!("frame.interface_name == \"clients\" && tcp.dstport == {}", pen.address().port())) > 0);
    let bytes = tshark(&file, "tcp.stream == 0 && tcp.len > 0", &["tcp.payload"]);
    assert_eq!(bytes[0], "68656c6c6f", "hello");
}

#[test]
fn a_capture_begins_in_the_middle_and_its_secrets_are_veiled() {
    let (pen, client, server) = Pen::start_with_both_ends(&Pen::control_options());
    carry(&server, &client, b"220 FTP ready\r\n");
    let file = pen.directory().file("middle.pcapng");
    pen.obey(&format!("capture {}", file.display()));
    carry(&client, &server, b"PASS secret\r\n");
    carry(&server, &client, b"230 in\r\n");
    pen.obey("no capture");
    let bytes = fs::read(&file).unwrap();
    let has = |text: &[u8]| memchr::memmem::find_iter(&bytes, text).count();
    assert_eq!((has(b"PASS ******\r\n"), has(b"230 in\r\n"), has(b"secret")), (2, 2, 0));
    pen.obey("secrets show");
    pen.obey(&format!("capture {}", file.display()));
    carry(&client, &server, b"PASS secret\r\n");
    pen.obey("no capture");
    let bytes = fs::read(&file).unwrap();
    assert_eq!(memchr::memmem::find_iter(&bytes, b"PASS secret\r\n").count(), 2, "the file is a new one");
    if has_tshark("captures that begin in the middle") {
        assert_clean(&file);
    }
}

#[test]
fn a_capture_keeps_to_its_limits_and_no_chunk_is_parted() {
    let server = Server::start(echo);
    let pen = Pen::start_with_control(&[], &[server.address()]);
    let path = |name: &str| pen.directory().file(name);
    // It ends once a file has its size.
    pen.obey(&format!("capture {} size 10000", path("one").display()));
    for _ in 0..40 {
        assert_eq!(ask(&pen.connect(), &[b'x'; 1000]).len(), 1000);
    }
    wait::until_true("it has ended", || pen.obey("capture").is_empty());
    assert!(pen.stderr().contains("one is over: it has its size"), "{}", pen.stderr());
    assert!((5000..=10_000).contains(&fs::metadata(path("one")).unwrap().len()));
    // It goes round.
    pen.obey(&format!("capture {} size 10000 rotate 3", path("many").display()));
    for _ in 0..100 {
        assert_eq!(ask(&pen.connect(), &[b'x'; 1000]).len(), 1000);
    }
    assert!(pen.obey("capture").contains("many size 10000 rotate 3"));
    pen.obey("no capture");
    for number in 1..=3 {
        let file = path(&format!("many.{number}"));
        assert!(fs::metadata(&file).unwrap().len() <= 10_000);
        if has_tshark("captures in turn") {
            // A connection may begin in one file and end in the next.
            let odd = tshark(&file, "_ws.malformed || tcp.checksum.status == 0", &["frame.number"]);
            assert!(odd.is_empty(), "{odd:?}");
            assert!(!tshark(&file, "tcp", &["frame.number"]).is_empty());
        }
    }
    assert!(!path("many").exists() && !path("many.4").exists());
}

#[test]
fn a_capture_overwrites_nothing_but_captures() {
    let server = Server::start(echo);
    let pen = Pen::start_with_control(&[], &[server.address()]);
    let precious = pen.directory().write("precious", "do not lose this");
    let refused = pen.penctl(&[&format!("capture {}", precious.display())]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("it is there, and something else is in it"), "{refused:?}");
    assert_eq!(pen.directory().read("precious"), "do not lose this");
    for (line, why) in [
        ("capture x size 5", "5 is not within 4096 to"),
        ("capture x rotate 3", "size or seconds, when to go on with the next file, is missing"),
        ("capture x frob", "'frob' is not size, seconds or rotate"),
        ("capture x size", "a number of bytes is missing"),
    ] {
        let refused = pen.penctl(&[line]);
        assert!(refused.stderr.contains(why), "{line}: {refused:?}");
    }
}

#[test]
fn a_capture_to_a_full_disk_is_told_once_and_holds_up_nobody() {
    let server = Server::start(echo);
    let pen = Pen::start_with_control(&["-O", "capture /dev/full"], &[server.address()]);
    for _ in 0..20 {
        assert_eq!(ask(&pen.connect(), b"hello"), "hello");
    }
    let said = pen.stderr();
    let told = said.matches("cannot write the capture /dev/full: no space left on device").count();
    assert_eq!(told, 1, "{said}");
    pen.obey("no capture");
    wait::until_true("it is told what was lost", || pen.stderr().contains("did not take all; packets lost: "));
}

#[test]
fn what_is_captured_is_written_back_and_a_reload_leaves_it_alone() {
    let server = Server::start(echo);
    let configured = Scratch::new();
    let config = configured.write("pen.cfg", "").display().to_string();
    let mut pen = Pen::start_with_control(&["-F", &config], &[server.address()]);
    let file = pen.directory().file("x y.pcapng");
    let line = format!("capture \"{}\" size 4096 seconds 3600 rotate 2\n", file.display());
    assert_eq!(pen.obey("capture"), "");
    configured.write("pen.cfg", &line);
    pen.obey("reload");
    assert!(pen.obey("capture").contains("x y.pcapng size 4096 seconds 3600 rotate 2"));
    let written = pen.directory().file("written");
    pen.obey(&format!("write {}", written.display()));
    assert!(pen.directory().read("written").contains(&line));
    let size = fs::metadata(pen.directory().file("x y.pcapng.1")).unwrap().len();
    assert_eq!(pen.obey("reload"), "nothing has changed\n");
    assert_eq!(fs::metadata(pen.directory().file("x y.pcapng.1")).unwrap().len(), size);
    configured.write("pen.cfg", "");
    pen.obey("reload");
    assert_eq!(pen.obey("capture"), "");
    assert!(pen.process().stop("TERM").status.success());
}

#[test]
fn a_connect_that_fails_is_captured_and_one_that_was_opened_ahead_has_no_handshake() {
    if !has_tshark("captures of connects that fail") {
        return;
    }
    let (server, dead) = (Server::start(echo), Refusing::new());
    let pen = Pen::start_with_control(&["-O", "capture {dir}/x.pcapng"], &[dead.address(), server.address()]);
    assert_eq!(ask(&pen.connect(), b"hello"), "hello");
    pen.obey("no capture");
    let file = pen.directory().file("x.pcapng");
    assert_clean(&file);
    let ports = |filter: &str| -> Vec<u16> {
        let filter = format!("frame.interface_name == \"servers\" && {filter}");
        let ports = tshark(&file, &filter, &["tcp.srcport", "tcp.dstport"]);
        let ports = ports.iter().flat_map(|line| line.split('\t')).map(|port| port.parse().unwrap());
        ports.filter(|port| [dead.address().port(), server.address().port()].contains(port)).collect()
    };
    assert_eq!(ports("tcp.flags.syn == 1 && tcp.flags.ack == 0"), [dead.address().port(), server.address().port()]);
    assert_eq!(ports("tcp.flags.reset == 1"), [dead.address().port()]);
    let options = ["-O", "idlers 1", "-O", "capture {dir}/y.pcapng"];
    let pen = Pen::start_with_control(&options, &[server.address()]);
    wait::until_true("one is open", || pen.obey("idlers") == "Idlers: 1/1\n");
    assert_eq!(ask(&pen.connect(), b"hello"), "hello");
    pen.obey("no capture");
    let file = pen.directory().file("y.pcapng");
    assert_clean(&file);
    let count = |filter: &str| {
        tshark(&file, &format!("frame.interface_name == \"servers\" && {filter}"), &["frame.number"]).len()
    };
    assert_eq!((count("tcp.flags.syn == 1"), count("tcp.len == 5"), count("tcp.flags.fin == 1")), (0, 2, 2));
}

#[test]
fn a_unix_server_has_addresses_that_stand_in() {
    if !has_tshark("captures of Unix sockets") {
        return;
    }
    let directory = Scratch::new();
    let path = directory.file("server");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let pen = Pen::start_with_control(&["-O", "capture {dir}/x.pcapng"], &[path.display()]);
    let client = connect(pen.address());
    let (mut server, _) = listener.accept().unwrap();
    (&client).write_all(b"hello").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    drop(server);
    read_to_end(&client);
    pen.obey("no capture");
    let file = pen.directory().file("x.pcapng");
    assert_clean(&file);
    let sent = tshark(&file, "frame.interface_name == \"servers\" && tcp.len > 0", &["ip.src", "ip.dst", "tcp.len"]);
    assert_eq!(sent, ["192.0.2.3\t192.0.2.4\t5"]);
}

#[test]
fn captures_and_secrets_are_for_those_who_may_see_them() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let pen = Pen::start_with_control(&[], &[listener.local_addr().unwrap()]);
    // By TCP, without a word that is to be known.
    let port = wait::until("a port is free", || TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok());
    let other = Pen::start(&["-u", "root", "-C", &port.to_string()], &[listener.local_addr().unwrap()]);
    let by_tcp = |line: &str| ask(&connect(port), format!("{line}\n").as_bytes());
    assert_eq!(by_tcp("pid"), format!("{}\n", other.pid()));
    for line in ["secrets show", "capture /tmp/x", "trace"] {
        assert!(by_tcp(line).starts_with("error: "), "{line}");
    }
    assert_eq!(by_tcp("secrets hide"), "hide\n");
    assert_eq!(pen.obey("secrets show"), "show\n");
}

/// Somebody who traces.
struct Tracing(BufReader<UnixStream>);

impl Tracing {
    #[track_caller]
    fn new(pen: &Pen, command: &str) -> Tracing {
        let mut stream = UnixStream::connect(pen.directory().file("control")).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut tracing = Tracing(BufReader::new(stream));
        let first = tracing.whole_line();
        assert!(first.contains(" event=subscribed "), "{first}");
        tracing
    }

    fn whole_line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("pen tells of something, or ends");
        String::from(line.trim_end())
    }

    /// The next line without its time and addresses; empty at the end.
    fn line(&mut self) -> String {
        let line = self.whole_line();
        let is_address = |word: &&str| *word == ">" || word.contains("127.0.0.1:");
        line.split(' ').skip(2).filter(|word| !is_address(word)).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_trace_tells_what_passes_live_and_veils_what_is_secret() {
    let (pen, client, server) = Pen::start_with_both_ends(&Pen::control_options());
    let mut all = Tracing::new(&pen, "trace");
    let mut ended = Tracing::new(&pen, "trace lines 2");
    let mut others =
        [Tracing::new(&pen, "trace client 192.0.2.1 seconds 600"), Tracing::new(&pen, "trace protocol ldap lines 1")];
    carry(&client, &server, b"USER anna\r\nPASS secret\r\n");
    carry(&server, &client, b"230 in\r\n");
    drop((client, server));
    let lines: Vec<String> = (0..5).map(|_| all.line()).collect();
    let expected =
        ["0 connected", "0 ftp: USER anna", "0 ftp: PASS ***", "0 ftp: 230 in", "0 closed, done; 24 bytes up, 8 down"];
    assert_eq!(lines, expected);
    assert_eq!([ended.line(), ended.line(), ended.line()], ["0 connected", "0 ftp: USER anna", ""]);
    // Nothing was said to those who want something else.
    for other in &mut others {
        other.0.get_ref().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut byte = [0];
        assert!(other.0.read(&mut byte).is_err(), "{byte:?}");
    }
}

#[test]
fn a_trace_has_dumps_and_filters() {
    let server = Server::start(echo);
    let pen = Pen::start_with_control(&[], &[server.address()]);
    pen.obey("server 0 name one");
    let mut dumps = Tracing::new(&pen, "trace server one client 127.0.0.1 listener main dump lines 4");
    assert_eq!(ask(&pen.connect(), b"EHLO me\r\n"), "EHLO me\r\n");
    assert_eq!([dumps.line(), dumps.line()], ["0 connected", "0 smtp: EHLO me"]);
    assert_eq!([dumps.whole_line(), dumps.whole_line()], ["copy_up(0)", "9: EHLO me"]);
    for (line, why) in [
        ("trace client x", "'x' is not an IP address"),
        ("trace protocol gopher", "'gopher' is not ftp, smtp, pop3, imap, http, ldap, tls or dns"),
        ("trace frob", "'frob' is not client, server, connection, protocol, listener, dump, lines or seconds"),
    ] {
        let refused = pen.penctl(&[line]);
        assert!(!refused.status.success() && refused.stderr.contains(why), "{line}: {refused:?}");
    }
}

#[test]
fn a_tracer_that_does_not_read_loses_lines_and_holds_up_nobody() {
    let server = Server::start(echo);
    let pen = Pen::start_with_control(&[], &[server.address()]);
    let mut slow = Tracing::new(&pen, "trace dump");
    let pattern = Pattern::new(9);
    for _ in 0..3 {
        let client = pen.connect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pattern.write(&client, 2_000_000, |_| {}).unwrap();
                client.shutdown(std::net::Shutdown::Write).unwrap();
            });
            assert_eq!(pattern.check(&client, 65_536).unwrap(), 2_000_000);
        });
    }
    let mut lost = String::new();
    wait::until_true("it is told what was lost", || {
        let mut line = Vec::new();
        slow.0.read_until(b'\n', &mut line).unwrap();
        lost = String::from_utf8_lossy(&line).into_owned();
        lost.contains(" event=lost records=")
    });
}
