//! A server of the soak: a process of its own, so that it can be stopped and killed.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use super::{conversation, datagrams, files, web};

/// What every line begins with that tells of something that must never happen.
pub const UNEXPECTED: &str = "unexpected: ";

/// What it says first.
pub const LISTENS: &str = "listens";

/// Where a server is: by TCP for conversations, for HTTP and for FTP, and by UDP.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub talk: SocketAddr,
    pub web: SocketAddr,
    pub files: SocketAddr,
    pub datagrams: SocketAddr,
}

impl Addresses {
    /// As words of a command line.
    pub fn words(&self) -> [String; 4] {
        [self.talk, self.web, self.files, self.datagrams].map(|address| address.to_string())
    }

    fn parse(words: &[&str]) -> Addresses {
        let addresses: Vec<SocketAddr> = words.iter().map(|word| word.parse().expect("an address")).collect();
        let &[talk, web, files, datagrams] = addresses.as_slice() else { panic!("four addresses, not {words:?}") };
        Addresses { talk, web, files, datagrams }
    }
}

/// Serves until it is killed.
pub fn run(number: &str, addresses: &[&str]) {
    let number: u8 = number.parse().expect("a number");
    let Addresses { talk, web, files, datagrams } = Addresses::parse(addresses);
    let listener = |address| TcpListener::bind(address).expect("the address is kept for this server");
    let (talk, web, files) = (listener(talk), listener(web), listener(files));
    let socket = UdpSocket::bind(datagrams).expect("nobody else takes a port of this address");
    println!("{LISTENS}");
    thread::spawn(move || datagrams::server(&socket, number));
    thread::spawn(move || accept(&web, number, web::server));
    thread::spawn(move || accept(&files, number, files::server));
    accept(&talk, number, conversation::server);
}

fn accept(listener: &TcpListener, number: u8, serve: fn(&TcpStream, u8) -> Result<(), String>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        thread::spawn(move || {
            if let Err(what) = serve(&stream, number) {
                // One write, so that lines do not mix.
                let _ = std::io::stdout().write_all(format!("{UNEXPECTED}server {number}: {what}\n").as_bytes());
            }
        });
    }
}
