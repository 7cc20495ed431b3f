//! A server of the soak: a process of its own, so that it can be stopped and killed.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use super::conversation;

/// What every line begins with that tells of something that must never happen.
pub const UNEXPECTED: &str = "unexpected: ";

/// What it says first.
pub const LISTENS: &str = "listens";

/// Serves until it is killed.
pub fn run(address: &str, number: &str) {
    let address: SocketAddr = address.parse().expect("an address");
    let number: u8 = number.parse().expect("a number");
    let listener = TcpListener::bind(address).expect("the address is kept for this server");
    println!("{LISTENS}");
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        thread::spawn(move || {
            if let Err(what) = conversation::server(&stream, number) {
                // One write, so that lines do not mix.
                let _ = std::io::stdout().write_all(format!("{UNEXPECTED}server {number}: {what}\n").as_bytes());
            }
        });
    }
}
