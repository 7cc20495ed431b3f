//! No descriptor is left for the log.  (What happens to clients and servers then is in `tests/pen/leak.rs`.)

use std::fs;
use std::path::Path;

use crate::support::client::ask;
use crate::support::pen::Pen;
use crate::support::proc::limit_descriptors;
use crate::support::report::not_tested_here;
use crate::support::servers::{Server, echo};
use crate::support::wait;

#[test]
fn a_log_that_cannot_be_reopened_for_want_of_descriptors_goes_on_in_the_old_file() {
    let server = Server::start(echo);
    let mut pen = Pen::start(&["-l", "{dir}/pen.log"], &[server.address()]);
    // The limit is of numbers: the lowest that is free cannot be had.
    let lowest = (0..).find(|fd| !Path::new(&format!("/proc/{}/fd/{fd}", pen.pid())).exists()).unwrap();
    if !limit_descriptors(pen.pid(), &format!("{lowest}:")) {
        let name = "a_log_that_cannot_be_reopened_for_want_of_descriptors_goes_on_in_the_old_file";
        return not_tested_here(name, "there is no prlimit, or it is not allowed");
    }
    fs::rename(pen.directory().file("pen.log"), pen.directory().file("old.log")).unwrap();
    pen.process().signal("HUP");
    pen.process().wait_for_stderr("the old log stays open");
    assert!(limit_descriptors(pen.pid(), &format!("{}:", lowest + 100)));
    assert_eq!(ask(&pen.connect(), b"one"), "one");
    wait::until_true("it is logged", || pen.directory().read("old.log").ends_with("one\n"));
    pen.process().signal("HUP");
    wait::until_true("there is a new log", || pen.directory().file("pen.log").exists());
    assert_eq!(ask(&pen.connect(), b"two"), "two");
    wait::until_true("it is logged there", || pen.directory().read("pen.log").ends_with("two\n"));
}
