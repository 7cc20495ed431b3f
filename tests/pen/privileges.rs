//! Root, and how pen stops being root: the user, the jail, the control port.

use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use crate::support::client::ask;
use crate::support::pattern::again;
use crate::support::pen::{Pen, program, run};
use crate::support::process::Process;
use crate::support::report::{is_installed, is_root, not_tested_here};
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, greet};
use crate::support::wait;

/// The number of the user `nobody` and of its group.
fn nobody() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("nobody:")).expect("there is a user nobody");
    let fields: Vec<&str> = line.split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

/// A line of /proc/PID/status, without its name.
fn status(pid: u32, name: &str) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

// B22: pen 0.34.1 keeps the groups of root, and its working directory is outside of the jail.
#[test]
fn b22_user_and_jail_leave_nothing_of_root() {
    if !is_root() {
        return not_tested_here("user_and_jail_leave_nothing_of_root", "only root can become another user");
    }
    let jail = Scratch::new();
    let (uid, gid) = nobody();
    fs::create_dir(jail.file("run")).unwrap();
    chown(jail.file("run"), Some(uid), Some(gid)).unwrap();
    let options = ["-u", "nobody", "-j", &jail.path().display().to_string(), "-p", "run/pen.pid", "-l", "/run/pen.log"];
    // Whoever runs the tests may have no group to lose.
    let by = ["setpriv", "--groups", "0,4,24"];
    let by: &[&str] = if is_installed("setpriv") { &by } else { &[] };
    let mut pen = Pen::start_under(by, Ipv4Addr::LOCALHOST.into(), &options, &[] as &[&str]);
    let pid = pen.process().pid();
    wait::until_true("the pid file is in the jail", || jail.read("run/pen.pid") == pid.to_string());
    assert!(jail.file("run/pen.log").is_file());
    assert_eq!(status(pid, "Uid:"), [uid; 4]);
    assert_eq!(status(pid, "Gid:"), [gid; 4]);
    let left = status(pid, "Groups:");
    assert!(![0, 4, 24].iter().any(|group| left.contains(group)), "groups are left: {left:?}");
    let root = fs::canonicalize(jail.path()).unwrap();
    for name in ["root", "cwd"] {
        assert_eq!(fs::read_link(format!("/proc/{pid}/{name}")).unwrap(), root);
    }
    assert_eq!(pen.stop().status.code(), Some(0));
    assert!(!jail.file("run/pen.pid").exists(), "the pid file is left");
}

#[test]
fn a_pid_file_that_may_not_be_removed_is_emptied() {
    if !is_root() {
        return not_tested_here("a_pid_file_that_may_not_be_removed_is_emptied", "only root can become another user");
    }
    let directory = Scratch::new();
    let (uid, gid) = nobody();
    let path = directory.write("pen.pid", "99999999");
    chown(&path, Some(uid), Some(gid)).unwrap();
    let mut pen = Pen::start(&["-u", "nobody", "-p", &path.display().to_string()], &[] as &[&str]);
    let pid = pen.process().pid().to_string();
    wait::until_true("the pid file is written", || directory.read("pen.pid") == pid);
    assert_eq!(pen.stop().status.code(), Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
}

#[test]
fn as_root_there_is_no_control_port_by_accident() {
    if !is_root() {
        return not_tested_here("as_root_there_is_no_control_port_by_accident", "it is about root");
    }
    let directory = Scratch::new();
    let path = directory.file("control").display().to_string();
    let mut pen = Pen::start(&["-C", &path], &[] as &[&str]);
    assert!(!directory.file("control").exists());
    let warning = "pen: no control port as root; use -u to run as another user, or -u root\n";
    assert_eq!(pen.stop().stderr, warning);

    let mut pen = Pen::start(&["-C", &path, "-u", "root"], &[] as &[&str]);
    wait::until_true("there is a control socket", || directory.file("control").exists());
    assert_eq!(pen.stop().stderr, "");
    assert!(!directory.file("control").exists(), "the socket is left");
}

// B22: pen 0.34.1 leaves the socket to root, so that nobody else can connect to it.
#[test]
fn the_control_socket_belongs_to_the_user_and_to_nobody_else() {
    if !is_root() {
        return not_tested_here("the_control_socket_belongs_to_the_user", "only root can become another user");
    }
    let directory = Scratch::new();
    let (uid, gid) = nobody();
    let path = directory.file("control");
    // The directory is root's, so the socket cannot be removed at the end, and is stale afterwards.
    for _ in 0..2 {
        let mut pen = Pen::start(&["-C", &path.display().to_string(), "-u", "nobody"], &[] as &[&str]);
        let owner = || fs::metadata(&path).is_ok_and(|about| (about.uid(), about.gid()) == (uid, gid));
        wait::until_true("there is a control socket of that user", owner);
        let about = fs::metadata(&path).unwrap();
        assert_eq!(about.permissions().mode() & 0o077, 0, "{:o}", about.permissions().mode());
        assert_eq!(pen.stop().status.code(), Some(0));
        assert!(UnixListener::bind(&path).is_err(), "it was removed, or the test shows nothing");
    }
}

// B21: at the control port of pen 0.34.1, which anybody on the machine can reach, there are commands that write and
// read any file of pen's user.
#[test]
fn b21_commands_are_for_pens_user_and_open_only_what_that_user_may() {
    if !is_root() {
        return not_tested_here("b21_commands_are_for_pens_user", "it needs three users");
    }
    let directory = Scratch::new();
    let (uid, gid) = nobody();
    let name = |name: &str| directory.file(name).display().to_string();
    let secret = directory.write("secret", "secret of root\n").display().to_string();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let shared = directory.file("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    let target = directory.write("target", "of pen's user").display().to_string();
    chown(&target, Some(uid), Some(gid)).unwrap();
    let link = shared.join("link").display().to_string();
    symlink(&target, &link).unwrap();
    lchown(&link, Some(uid - 1), None).unwrap();
    let open = shared.join("open").display().to_string();
    fs::write(&open, "of a stranger, and open to all").unwrap();
    chown(&open, Some(uid - 1), None).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).unwrap();

    let mut pen = Pen::start(&["-u", "nobody", "-C", &name("control")], &[] as &[&str]);
    wait::until_true("there is a control socket", || directory.file("control").exists());
    // Another user may look at the socket, and no more. A copy, because what cargo builds may be closed to others.
    let penctl = name("penctl");
    assert!(Command::new("cp").args([env!("CARGO_BIN_EXE_penctl"), &penctl]).status().unwrap().success());
    let say = |uid: u32, words: &[&str]| {
        let mut command = Command::new(&penctl);
        std::os::unix::process::CommandExt::uid(&mut command, uid);
        command.arg(name("control")).args(words);
        Process::run(command)
    };
    let stranger = say(uid - 1, &["pid"]);
    assert_eq!(stranger.status.code(), Some(69), "{stranger:?}");
    assert!(stranger.stderr.contains("permission denied"), "{stranger:?}");
    let itself = say(uid, &["pid"]);
    assert_eq!(itself.stdout, format!("{}\n", pen.process().pid()), "{itself:?}");

    let written = name("written");
    let table = [
        (format!("include {secret}"), "permission denied"),
        (format!("log {secret}"), "permission denied"),
        (format!("log {link}"), "it is a symbolic link of somebody else in a directory that"),
        (format!("log {open}"), "it belongs to somebody else, in a directory that"),
        (format!("write {written}"), "permission denied"),
        // What is no file of commands is not shown, but for the word that is none.
        (String::from("include /etc/passwd"), "/etc/passwd:1: unknown command 'root:"),
    ];
    for (line, why) in table {
        let mut stream = UnixStream::connect(directory.file("control")).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("error: ") && reply.contains(why), "{line}: {reply}");
        assert!(reply.lines().count() == 1 && reply.len() < 300, "{line}: {reply}");
    }
    assert!(!directory.file("written").exists());
    assert_eq!(directory.read("secret"), "secret of root\n");
    assert_eq!(directory.read("target"), "of pen's user");
    assert_eq!(fs::read_to_string(&open).unwrap(), "of a stranger, and open to all");
    assert_eq!(pen.stop().status.code(), Some(0));
}

#[test]
fn a_log_that_cannot_be_reopened_from_within_a_jail_does_not_end_it() {
    let name = "a_log_that_cannot_be_reopened_from_within_a_jail_does_not_end_it";
    if !is_root() {
        return not_tested_here(name, "only root can make a jail");
    }
    let jail = Scratch::new();
    let (uid, gid) = nobody();
    let log = jail.write("logs/pen.log", "");
    chown(&log, Some(uid), Some(gid)).unwrap();
    let options = ["-u", "nobody", "-j", &jail.path().display().to_string(), "-l", "/logs/pen.log"];
    let server = Server::start(greet("here"));
    let mut pen = Pen::start(&options, &[server.address()]);
    let logged = || jail.read("logs/old.log").lines().count();
    // The directory is root's: the file can be moved away, and pen cannot make a new one.
    fs::rename(&log, jail.file("logs/old.log")).unwrap();
    pen.process().signal("HUP");
    pen.process().wait_for_stderr("cannot open the log /logs/pen.log: permission denied");
    assert_eq!(ask(&pen.connect(), b"one\n"), "here");
    wait::until_true("lines go on into the old file", || logged() == 1);
    assert_eq!(pen.stop().status.code(), Some(0));
}

#[test]
fn where_the_status_page_goes_is_asked_as_pen_s_user_within_the_jail() {
    let name = "where_the_status_page_goes_is_asked_as_pen_s_user_within_the_jail";
    if !is_root() {
        return not_tested_here(name, "only root can make a jail");
    }
    let jail = Scratch::new();
    let (uid, gid) = nobody();
    fs::create_dir(jail.file("pages")).unwrap();
    let jailed = ["-u", "nobody", "-j", &jail.path().display().to_string(), "-w"];
    let ended = run(&[&["-f"], &jailed[..], &["pages/page.html", "127.0.0.1:0", "127.0.0.1:1"]].concat());
    let message = "pen: cannot write the status page pages/page.html: permission denied\n";
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(1), message));
    chown(jail.file("pages"), Some(uid), Some(gid)).unwrap();
    let mut pen = Pen::start(&[&jailed[..], &["pages/page.html"]].concat(), &[] as &[&str]);
    pen.process().signal("USR1");
    wait::until_true("the page is there", || jail.file("pages/page.html").is_file());
}

#[test]
fn who_is_not_root_cannot_change_user_or_root() {
    if !is_root() {
        return not_tested_here("who_is_not_root_cannot_change_user_or_root", "it needs two users");
    }
    let directory = Scratch::new();
    let (uid, gid) = nobody();
    // A copy, because the directory in which cargo builds may be closed to others. Made by another process:
    // a file that is open for writing here could not be run while any child of another test still has it.
    let copy = directory.file("pen");
    let copied = Command::new("cp").arg(program()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let table: [(&[&str], &str); 2] = [
        (&["-u", "root"], "cannot become user root: operation not permitted"),
        (&["-j", "/"], "cannot chroot to /: operation not permitted"),
    ];
    for (options, line) in table {
        let mut command = Command::new(&copy);
        std::os::unix::process::CommandExt::uid(&mut command, uid);
        std::os::unix::process::CommandExt::gid(&mut command, gid);
        command.arg("-f").args(options).arg("127.0.0.1:0");
        let ended = Process::run(command);
        assert_eq!((ended.status.code(), ended.stderr), (Some(1), format!("pen: {line}\n")));
    }
    // Who is that user already may say so.
    let mut command = Command::new(&copy);
    std::os::unix::process::CommandExt::uid(&mut command, uid);
    std::os::unix::process::CommandExt::gid(&mut command, gid);
    command.args(["-f", "-u", "nobody", "127.0.0.1:0"]);
    let mut pen = Process::start(command, &directory, "pen");
    wait::until("pen listens", || pen.listens_on().first().copied());
    assert_eq!(pen.stop("TERM").status.code(), Some(0));
}

#[test]
fn nothing_of_somebody_else_in_a_shared_folder_is_written_to() {
    let name = "nothing_of_somebody_else_in_a_shared_folder_is_written_to";
    if !is_root() {
        return not_tested_here(name, "only root can make files of two users");
    }
    let directory = Scratch::new();
    let (uid, gid) = nobody();
    let precious = directory.write("precious", "precious");
    let shared = directory.file("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    for link in ["pen.log", "pen.pid"] {
        symlink(&precious, shared.join(link)).unwrap();
        lchown(shared.join(link), Some(uid), Some(gid)).unwrap();
    }
    let (log, pid_file) = (shared.join("pen.log").display().to_string(), shared.join("pen.pid").display().to_string());
    let table = [
        (
            "-l",
            &log,
            format!(
                "cannot open the log {log}: it is a symbolic link of somebody else in a directory that others may write"
            ),
        ),
        ("-p", &pid_file, format!("cannot write the pid file {pid_file}: it is a symbolic link")),
    ];
    for (option, path, message) in table {
        let ended = crate::support::pen::run(&["-f", option, path, "127.0.0.1:0"]);
        assert_eq!((ended.status.code(), ended.stderr), (Some(1), format!("pen: {message}\n")));
    }
    // The same at HUP: it goes on with the old one.
    let mut pen = Pen::start(&["-l", &shared.join("moved.log").display().to_string()], &[] as &[&str]);
    wait::until_true("the log is there", || shared.join("moved.log").exists());
    fs::rename(shared.join("pen.log"), shared.join("moved.log")).unwrap();
    pen.process().signal("HUP");
    pen.process().wait_for_stderr("it is a symbolic link of somebody else");
    assert_eq!(pen.stop().status.code(), Some(0));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    // A link in a folder that only its owner writes is how logs are put elsewhere.
    symlink("precious", directory.file("link.log")).unwrap();
    let server = Server::start(greet("x"));
    let pen = Pen::start(&["-l", &directory.file("link.log").display().to_string()], &[server.address()]);
    ask(&pen.connect(), b"a request\n");
    wait::until_true("it is logged", || directory.read("precious").contains("a request"));
}

#[test]
fn a_socket_that_somebody_else_has_put_in_its_place_is_left_alone() {
    let directory = Scratch::new();
    let path = directory.file("listener");
    let mut command = Command::new(program());
    command.arg("-f").arg(&path);
    let mut pen = Process::start(command, &directory, "pen");
    // Once it serves, or sends away, it has done all that it does at the start.
    let mut client = wait::until("it listens", || UnixStream::connect(&path).ok());
    assert_eq!(again(|| client.read(&mut [0])).unwrap(), 0);
    fs::rename(&path, directory.file("old")).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    assert_eq!(pen.stop("TERM").status.code(), Some(0));
    assert!(path.exists(), "the socket of another was removed");
}

#[test]
fn transparent_is_refused_at_once_when_its_right_has_been_given_up() {
    if !is_root() {
        return not_tested_here("transparent_is_refused_at_once", "only root can become another user");
    }
    let directory = ["-u", "nobody", "-C", "{dir}/control"];
    let pen = Pen::start(&directory, &["127.0.0.1:1"]);
    for command in ["transparent", "server 0 transparent on"] {
        let ended = pen.penctl(&[command]);
        assert!(!ended.status.success(), "{command}: {ended:?}");
        assert!(ended.stderr.contains("transparent needs the capability CAP_NET_RAW"), "{command}: {ended:?}");
    }
    // One that begins with it has it, and may switch it off and on.
    let pen = Pen::start(&[&directory[..], &["-O", "transparent"]].concat(), &["127.0.0.1:1"]);
    pen.obey("no transparent");
    pen.obey("transparent");
}
