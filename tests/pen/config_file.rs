//! The example of pen.conf(5) is one from which pen starts.

use std::fs;
use std::io::Write;
use std::process::Command;

use crate::support::pen;
use crate::support::process::Process;
use crate::support::report::is_root;
use crate::support::scratch::Scratch;
use crate::support::wait;

/// The example as it stands in the manual.
fn example() -> String {
    let page = include_str!("../../man/pen.conf.5");
    let (_, examples) = page.split_once("\n.Sh EXAMPLES\n").expect("the manual has examples");
    let (_, text) = examples.split_once("\n.Bd -literal\n").expect("the example is literal");
    let (text, _) = text.split_once("\n.Ed").expect("it has an end");
    format!("{text}\n")
}

#[test]
fn the_example_of_the_manual_passes_the_check_and_starts() {
    let files = Scratch::new();
    let log = files.file("pen.log").display().to_string();
    let text = example().replace("/var/log/pen.log", &log);
    let path = files.write("pen.conf", &text).display().to_string();
    let checked = pen::run(&["-n", "-F", &path]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert!(checked.stdout.contains("no mistakes found"), "{checked:?}");
    let wrong = files.write("wrong.conf", &text.replace("blacklist 10", "blacklist ten")).display().to_string();
    let checked = pen::run(&["-n", "-F", &wrong]);
    assert_eq!(checked.status.code(), Some(78), "{checked:?}");
    assert!(checked.stderr.contains(": blacklist: 'ten' is not a number"), "{checked:?}");
    // Its ports are not for everybody to open.
    let text =
        text.replace("listen 80\n", "listen 127.0.0.1:0\n").replace("listener tls 443\n", "listener tls 127.0.0.1:0\n");
    let path = files.write("here.conf", &text).display().to_string();
    let control = files.file("ctl");
    let mut command = Command::new(pen::program());
    command.args(["-f", "-F", &path, "-C"]).arg(&control);
    if is_root() {
        command.args(["-u", "root"]);
    }
    let mut process = Process::start(command, &files, "pen");
    wait::until_true("pen listens at both", || process.listens_on().len() == 2);
    let mut penctl = Command::new(env!("CARGO_BIN_EXE_penctl"));
    penctl.arg(&control).arg("listeners");
    let listeners = Process::run(penctl).stdout;
    assert!(listeners.contains("main conn 0 pending 0 servers 3 ") && listeners.contains("tls conn 0 "), "{listeners}");
    process.stop("TERM");
}

#[test]
fn commands_come_from_a_pipe_whenever_they_are_written() {
    let files = Scratch::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = Command::new(pen::program());
    command.args(["-n", "-F", "/dev/stdin", "127.0.0.1:0", "127.0.0.1:9"]);
    let mut process = Process::start_with(command, reader.into(), &files, "pen");
    // Once it has the pipe open a second time, it reads.
    let descriptors = format!("/proc/{}/fd", process.pid());
    wait::until_true("it reads", || {
        let links =
            || fs::read_dir(&descriptors).into_iter().flatten().filter_map(|one| one.ok()?.path().read_link().ok());
        let pipe = fs::read_link(format!("{descriptors}/0")).ok();
        process.has_ended() || links().filter(|link| Some(link) == pipe.as_ref()).count() == 2
    });
    writer.write_all(b"hash\nblacklist x\n").unwrap();
    drop(writer);
    let ended = process.wait();
    assert_eq!(ended.stderr, "pen: /dev/stdin:2: blacklist: 'x' is not a number\n");
    assert_eq!(ended.status.code(), Some(78));
}
