//! The real FTP servers. Their packages exclude each other, so two are unpacked beside the one that is installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::machines::Machines;
use crate::support::process::Process;
use crate::support::report;

/// The packages that are unpacked: those of the servers, and libraries that nothing else needs.
const PACKAGES: [&str; 8] = [
    "proftpd-core",
    "pure-ftpd",
    "pure-ftpd-common",
    "libhashkit2",
    "libhiredis0.14",
    "libmemcached11",
    "libmemcachedutil2",
    "libpcre2-posix3",
];

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Vsftpd,
    Proftpd,
    PureFtpd,
}

impl Kind {
    /// Where its program is, or why there is none.
    pub fn program(self) -> Result<PathBuf, String> {
        let name = match self {
            Kind::Vsftpd => "vsftpd",
            Kind::Proftpd => "proftpd",
            Kind::PureFtpd => "pure-ftpd",
        };
        if report::is_installed(name) {
            return Ok(PathBuf::from(name));
        }
        if self == Kind::Vsftpd {
            return Err(String::from("not installed: vsftpd"));
        }
        let program = unpacked()?.join("usr/sbin").join(name);
        if program.exists() { Ok(program) } else { Err(format!("not installed, and not to be had: {name}")) }
    }
}

/// A directory with the packages unpacked in it, which is kept for the next run.
fn unpacked() -> Result<PathBuf, String> {
    static ONCE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONCE.lock();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ftp-servers");
    let is_there = |program: &str| directory.join("root/usr/sbin").join(program).exists();
    if is_there("proftpd") && is_there("pure-ftpd") {
        return Ok(directory.join("root"));
    }
    fs::create_dir_all(directory.join("root")).map_err(|error| error.to_string())?;
    for package in PACKAGES {
        let line = format!("apt-get -qq download {package} && dpkg -x {package}_*.deb root");
        // What this distribution does not have is missed when it is started.
        let _ = Command::new("sh").args(["-c", &line]).current_dir(&directory).output();
    }
    Ok(directory.join("root"))
}

/// A server that runs.
pub struct Server {
    kind: Kind,
    /// The directory that its users see.
    pub root: PathBuf,
    _process: Process,
}

impl Server {
    /// Starts it on port 21 of its machine, with a file `big` and a directory `up` that its users may write.
    #[track_caller]
    pub fn start(machines: &Machines, kind: Kind, program: &Path) -> Server {
        let root = machines.scratch.file("root");
        for directory in ["root/up", "root/many", "empty", "run"] {
            fs::create_dir_all(machines.scratch.file(directory)).unwrap();
        }
        let big: Vec<u8> = (0..300_000_u32).map(|place| (place * 7 % 251).to_le_bytes()[0]).collect();
        fs::write(root.join("big"), big).unwrap();
        fs::set_permissions(root.join("up"), fs::Permissions::from_mode(0o777)).unwrap();
        let libraries = program.parent().map(|sbin| sbin.join("../lib/x86_64-linux-gnu").display().to_string());
        let libraries = format!("LD_LIBRARY_PATH={}", libraries.unwrap_or_default());
        let program = program.display().to_string();
        let words: Vec<String> = match kind {
            Kind::Vsftpd => vec![program, configured(machines, "vsftpd.conf", include_str!("vsftpd.conf"))],
            Kind::Proftpd => {
                let file = configured(machines, "proftpd.conf", include_str!("proftpd.conf"));
                [program.as_str(), "-n", "-q", "-c", &file].map(String::from).to_vec()
            }
            Kind::PureFtpd => {
                let users = pure_users(machines, &program);
                let options = ["-A", "-H", "-E", "-c", "2000", "-C", "2000", "-S", "21", "-l"];
                [program.as_str()].iter().chain(&options).map(|word| String::from(*word)).chain([users]).collect()
            }
        };
        let words: Vec<&str> = ["env", &libraries].into_iter().chain(words.iter().map(String::as_str)).collect();
        let process = machines.start("server", "server", &words);
        machines.wait_until_listening("server", 21);
        Server { kind, root, _process: process }
    }

    /// Who may write into `up`.
    pub fn user(&self) -> &'static str {
        if self.kind == Kind::PureFtpd { "alice" } else { "anonymous" }
    }

    /// The password.
    pub fn password(&self) -> &'static str {
        "secret"
    }

    /// Makes a file for clients to fetch.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.root.join(name), text).unwrap();
    }
}

/// Writes a configuration file; `@DIR@` in it is the directory of the test.
fn configured(machines: &Machines, name: &str, text: &str) -> String {
    let directory = machines.scratch.path().display().to_string();
    machines.scratch.write(name, &text.replace("@DIR@", &directory)).display().to_string()
}

/// A user alice, with a password; how the server is told of it.
#[track_caller]
fn pure_users(machines: &Machines, program: &str) -> String {
    let tool = Path::new(program).parent().unwrap().join("../bin/pure-pw").display().to_string();
    let directory = machines.scratch.path().display();
    let line = format!(
        "printf 'secret\\nsecret\\n' | {tool} useradd alice -f {directory}/passwd -u ftp -d {directory}/root && \
         {tool} mkdb {directory}/pdb -f {directory}/passwd"
    );
    let ended = machines.run("server", &line);
    assert!(ended.status.success(), "{line}\n{ended:?}");
    format!("puredb:{directory}/pdb")
}
