//! The disk with the request log is full.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use crate::alone::is_alone;
use crate::support::client::ask;
use crate::support::pen::Pen;
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, echo};

/// A file system of 64 KiB, which this process alone sees.
struct Disk(PathBuf);

impl Disk {
    fn mount(directory: &Scratch) -> Disk {
        let at = directory.file("disk");
        fs::create_dir(&at).unwrap();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&at).status();
        assert!(status.expect("there is a mount").success());
        Disk(at)
    }

    /// Takes all the room that there is.
    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        while filler.write_all(&[b'x'; 512]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_costs_lines_that_are_counted_and_is_said_once() {
    if !is_alone("disk::a_full_disk_costs_lines_that_are_counted_and_is_said_once", &["mount", "umount"]) {
        return;
    }
    let directory = Scratch::new();
    let disk = Disk::mount(&directory);
    let log = disk.0.join("pen.log");
    let server = Server::start(echo);
    let pen = Pen::start(&["-l", &log.display().to_string()], &[server.address()]);
    let mut sent = 0;
    let mut request = || {
        sent += 1;
        let text = format!("{sent:06} {} whole", "x".repeat(70));
        assert_eq!(ask(&pen.connect(), text.as_bytes()), text);
        sent
    };
    request();
    for _ in 0..2 {
        disk.fill();
        // The last page of the log has some room left, so the first line that does not fit is torn.
        let said = pen.stderr().matches("cannot write the log").count();
        while pen.stderr().matches("cannot write the log").count() == said {
            assert!(request() < 500, "the disk is not full");
        }
        (0..20).for_each(|_| _ = request());
        fs::remove_file(disk.0.join("filler")).unwrap();
        request();
    }
    let said = pen.stderr();
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(said.contains("cannot write the log: no space left on device"), "{said}");
    let lost: usize = said.lines().filter_map(|line| line.split("lines lost: ").nth(1)?.parse::<usize>().ok()).sum();
    let log = fs::read_to_string(&log).unwrap();
    let whole = log.lines().filter(|line| line.ends_with(" whole")).count();
    assert_eq!(whole + lost, sent, "{said}");
    for line in log.lines() {
        // Nothing is glued to what was torn.
        assert!(line.starts_with("127.0.0.1 ") && line.matches("127.0.0.1").count() <= 2, "{line}");
    }
    assert!(log.ends_with(" whole\n"), "{log}");
}
