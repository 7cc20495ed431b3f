//! webresolve as a filter: streams, pipes, files, its cache, and what it says when something is wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

use crate::fake::{Fake, answer};
use crate::support::process::Process;
use crate::support::report;
use crate::support::scratch::Scratch;
use crate::support::wait;
use crate::{output, piped, run, tool};

fn honest() -> Fake {
    Fake::start(|socket, question, from, _| drop(socket.send_to(&answer(question), from)))
}

#[test]
fn lines_come_out_while_the_input_goes_on() {
    let directory = Scratch::new();
    let server = honest();
    let mut child = piped(&directory, &["-n", &server.at.to_string()]);
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for n in 1..20 {
        write!(input, "10.0.0.{n} one\n10.0.0.{n} tw").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), format!("host-10-0-0-{n}.test one"));
        writeln!(input, "o").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), format!("host-10-0-0-{n}.test two"));
    }
    write!(input, "10.0.0.1 last").unwrap();
    drop(input);
    assert_eq!(lines.next().unwrap().unwrap(), "host-10-0-0-1.test last");
    assert!(child.wait().unwrap().success());
    assert_eq!(server.asked(), 19, "each address is asked once");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let directory = Scratch::new();
    let server = honest();
    let mut child = piped(&directory, &["-n", &server.at.to_string()]);
    let mut input = child.stdin.take().unwrap();
    let mut first = [0; 10];
    input.write_all(b"10.0.0.1 x\n").unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    drop(out);
    // It may notice at any of these; then its own end of this pipe is closed.
    let status = wait::until("it ends", || {
        let _ = input.write_all(b"10.0.0.2 x\n");
        child.try_wait().unwrap()
    });
    assert!(status.success(), "{status:?}");
    assert_eq!(directory.read("piped.err"), "");
}

#[test]
fn a_reader_that_stops_costs_no_name_and_no_memory() {
    let directory = Scratch::new();
    let server = honest();
    let mut child = piped(&directory, &["-t", "2", "-n", &server.at.to_string()]);
    let mut input = child.stdin.take().unwrap();
    let mut out = child.stdout.take().unwrap();
    let count = 2_000_000;
    let writing = std::thread::spawn(move || {
        let mut all = String::new();
        for n in 0..count {
            all += &format!("10.{}.{}.{} {}\n", n % 2, n / 100 % 200, n % 100, "x".repeat(60));
            if all.len() > 100_000 {
                input.write_all(all.as_bytes()).unwrap();
                all.clear();
            }
        }
        input.write_all(all.as_bytes()).unwrap();
    });
    // Nobody reads until the window is full and its memory grows no more.
    let memory = |name: &str| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap().to_string();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let mut last = (0, Instant::now());
    wait::until_true("its memory grows no more", || {
        let now = memory("VmRSS:");
        if now != last.0 {
            last = (now, Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(1_500)
    });
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let (peak, minutes) = (last.0, Duration::from_secs(120));
    assert!(wait::within(minutes, || reading.is_finished().then_some(())).is_some(), "it stands still");
    let text = reading.join().unwrap().unwrap();
    wait::until("it ends", || child.try_wait().unwrap());
    writing.join().unwrap();
    assert_eq!(text.lines().count(), count);
    assert_eq!(text.lines().filter(|line| !line.starts_with("host-10-")).count(), 0);
    assert!(peak < 150_000, "{peak} kB");
}

#[test]
fn long_lines_and_odd_bytes_pass_through() {
    let directory = Scratch::new();
    let server = honest();
    let long = "x".repeat(300_000);
    let log = format!("10.0.0.1 {long}\n\n \n10.0.0.2\n10.0.0.1\t\u{1}\u{7f}é\0\n10.0.0.256 x\n{long}\n10.0.0.3 end");
    let expected = log
        .replace("10.0.0.1", "host-10-0-0-1.test")
        .replace("10.0.0.2\n", "host-10-0-0-2.test\n")
        .replace("10.0.0.3", "host-10-0-0-3.test");
    for program in ["webresolve", "splitwr"] {
        let found = output(program, &directory, &format!("-n {}", server.at), &log);
        assert!(found == expected, "{program}");
    }
}

#[test]
fn several_logs_are_one_after_the_other() {
    let directory = Scratch::new();
    let server = honest();
    directory.write("one", "10.0.0.1 one");
    directory.write("two", "10.0.0.2 two\n");
    directory.write("empty", "");
    let line = format!("-n {} one empty two", server.at);
    // What `output` adds is the last.
    for program in ["webresolve", "splitwr"] {
        let found = output(program, &directory, &line, "10.0.0.3 three\n");
        assert_eq!(found, "host-10-0-0-1.test one\nhost-10-0-0-2.test two\nhost-10-0-0-3.test three\n", "{program}");
    }
    let gzip = std::process::Command::new("gzip").arg("two").current_dir(directory.path()).status();
    if !gzip.is_ok_and(|status| status.success()) {
        return report::not_tested_here("compressed logs", "no gzip");
    }
    for program in ["webresolve", "splitwr"] {
        let found = output(program, &directory, &format!("-n {} two.gz", server.at), "10.0.0.3 three\n");
        assert_eq!(found, "host-10-0-0-2.test two\nhost-10-0-0-3.test three\n", "{program}");
    }
}

#[test]
fn hosts_and_resolv_conf_are_read() {
    let directory = Scratch::new();
    let server = honest();
    directory.write("hosts", "10.0.0.1 Known.example other\n");
    directory.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1\n");
    let line = format!("-H hosts -R resolv.conf -n {}", server.at);
    let found = output("webresolve", &directory, &line, "10.0.0.1 x\n10.0.0.2 x\n");
    assert_eq!(found, "known.example x\nhost-10-0-0-2.test x\n");
    assert_eq!(server.asked(), 1);
}

#[test]
fn a_cache_saves_the_questions_of_the_next_run() {
    let directory = Scratch::new();
    let server = honest();
    let line = format!("-c cache -n {}", server.at);
    let (log, expected) = ("10.0.0.1 x\n10.0.0.2 x\n", "host-10-0-0-1.test x\nhost-10-0-0-2.test x\n");
    for program in ["webresolve", "splitwr", "webresolve"] {
        assert_eq!(output(program, &directory, &line, log), expected);
        assert_eq!(server.asked(), 2);
    }
    let cache = directory.read("cache");
    assert!(cache.starts_with("# webresolve cache 1\n10.0.0.1 ") && cache.lines().count() == 3, "{cache}");
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("cache.")), "{left:?}");
}

#[test]
fn what_is_no_cache_is_named_and_left_alone() {
    let directory = Scratch::new();
    let server = honest();
    let line = format!("-c precious -n {}", server.at);
    for (text, what) in [
        ("10.0.0.1 - - x\n", "it is no cache of webresolve: its first line is not '# webresolve cache 1'"),
        ("# webresolve cache 1\n10.0.0.1 1 a\n10.0.0.1\n", "line 3 is not an address, a time and a name: '10.0.0.1'"),
    ] {
        directory.write("precious", text);
        let ended = run("webresolve", &directory, &line, "10.0.0.1 x\n");
        assert_eq!(ended.status.code(), Some(78));
        assert_eq!(ended.stderr, format!("webresolve: cannot use the cache precious: {what}\n"));
        assert_eq!((directory.read("precious").as_str(), ended.stdout.as_str()), (text, ""));
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_named_before_anything_is_asked() {
    let directory = Scratch::new();
    let server = honest();
    std::fs::create_dir(directory.file("folder")).unwrap();
    for (cache, program, status, why) in [
        ("no/such/dir", "webresolve", 1, "cannot write the cache no/such/dir: no such file or directory"),
        ("no/such/dir", "splitwr", 1, "cannot write the cache no/such/dir: no such file or directory"),
        ("/proc/cache", "webresolve", 1, "cannot write the cache /proc/cache: no such file or directory"),
        ("folder", "webresolve", 78, "cannot read folder: is a directory"),
    ] {
        let ended = run(program, &directory, &format!("-c {cache} -n {}", server.at), "10.0.0.1 x\n");
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(status), ""), "{program} {cache}");
        assert_eq!(ended.stderr, format!("{program}: {why}\n"));
    }
    assert_eq!(server.asked(), 0);
    // What is there is as it was when a run ends early, and nothing is beside it.
    directory.write("cache", "# webresolve cache 1\n");
    let ended = run("webresolve", &directory, &format!("-c cache -n {} nowhere", server.at), "");
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(directory.read("cache"), "# webresolve cache 1\n");
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("cache.")), "{left:?}");
}

#[test]
fn mistakes_are_one_line_that_names_the_culprit() {
    let directory = Scratch::new();
    directory.write("log", "10.0.0.1 x\n");
    let table = [
        ("webresolve", "nowhere", 1, "webresolve: cannot open nowhere: no such file or directory\n"),
        ("webresolve", ".", 1, "webresolve: cannot read .: is a directory\n"),
        ("webresolve", "-H nowhere", 78, "webresolve: cannot read nowhere: no such file or directory\n"),
        ("splitwr", "-H nowhere log", 78, "splitwr: cannot read nowhere: no such file or directory\n"),
        ("webresolve", "-j many", 64, "webresolve: -j: 'many' is not a number\n"),
        ("webresolve", "-n ns1", 64, "webresolve: -n: 'ns1' is not an address, or an address and a port\n"),
        ("splitwr", "nowhere", 1, "splitwr: cannot open nowhere: no such file or directory\n"),
        ("splitwr", ".", 1, "splitwr: cannot read . twice: it is not a file; webresolve needs none\n"),
        ("splitwr", "", 64, "splitwr: no log; try 'splitwr --help'\n"),
    ];
    for (program, line, status, message) in table {
        let mut command = tool(program, &directory);
        command.args(line.split_whitespace());
        let ended = Process::start(command, &directory, "tool").wait();
        assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(status), message), "{program} {line}");
    }
    // Lines before the one that cannot be read are out.
    let server = honest();
    directory.write("one", "10.0.0.1 one\n");
    let mut command = tool("webresolve", &directory);
    command.args(["-n", &server.at.to_string(), "one", "nowhere", "one"]);
    let ended = Process::start(command, &directory, "tool").wait();
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), "host-10-0-0-1.test one\n"));
}
