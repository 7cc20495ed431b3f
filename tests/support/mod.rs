//! What the test programs share.  It knows nothing of the library `pen`: it runs the built program and looks at it from outside.
//!
//! * `wait` bounded waiting for a condition, `report` what could not be tested, `scratch` a directory for one test
//! * `process` a child with its output kept, ended with the test
//! * `datagrams` small servers and clients by UDP
//! * `pen` the program under test on loopback, `servers` small TCP servers in threads, `client` the other end, `web` one of HTTP
//! * `preload` libraries in C that come between the program under test and the system
//! * `metrics` a strict reader of what Prometheus reads
//! * `dumps` reads the tracer's output, `pattern` bytes that show what is missing, `proc` what a process uses
//! * `lab` the load-balancing HOWTO's machines as network namespaces, with real servers
//!
//! `PEN_UNDER_TEST=/usr/bin/pen` runs the same tests against another pen, for comparison.

// Every test program includes this module and uses another part of it.
#![allow(dead_code)]

pub mod client;
pub mod datagrams;
pub mod dumps;
pub mod lab;
pub mod metrics;
pub mod pattern;
pub mod pen;
pub mod preload;
pub mod proc;
pub mod process;
pub mod report;
pub mod scratch;
pub mod servers;
pub mod wait;
pub mod web;
