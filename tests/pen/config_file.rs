//! The example of pen.conf(5) is one from which pen starts.

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
