//! Sockets towards servers are used again: whatever one connection was like, the next knows nothing of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use socket2::SockRef;

use crate::support::client::{End, read_to_end, reset};
use crate::support::pen::Pen;
use crate::support::report::not_tested_here;
use crate::support::servers::{After, Refusing, Server};
use crate::support::wait;

/// How one conversation ends, as the first byte of the request says it to the server.
const SORTS: [u8; 7] = *b"acwrshg";

/// What the server makes of a request of 64 bytes: an answer of it, repeated, and an end.
fn talk(mut stream: &TcpStream) -> After {
    let mut request = [0; 64];
    if stream.read_exact(&mut request).is_err() {
        return After::Close;
    }
    let answer = request.repeat(usize::from(request[1]) * 8);
    // Whoever went meanwhile does not want it.
    let _ = stream.write_all(&answer);
    match request[0] {
        // It ends first, at once or by its direction only.
        b'a' | b's' => {}
        b'h' => {
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        // It waits for the client's end.
        b'w' | b'g' => {
            let _ = stream.read_to_end(&mut Vec::new());
        }
        b'r' => {
            let _ = SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
        }
        // The client resets.
        _ => {
            let _ = stream.read(&mut [0]);
        }
    }
    After::Close
}

/// One conversation through pen, which brings its own answer and nothing else.
fn converse(to: SocketAddr, client: usize, turn: usize) {
    let stream = crate::support::client::connect(to);
    let sort = SORTS[(client + turn) % SORTS.len()];
    let mut request = [b'.'; 64];
    (request[0], request[1]) = (sort, 1 + (turn % 5) as u8);
    let name = format!("{client} {turn} {to}");
    request[2..2 + name.len()].copy_from_slice(name.as_bytes());
    (&stream).write_all(&request).unwrap();
    let expected = request.repeat(usize::from(request[1]) * 8);
    let mut answer = vec![0; expected.len()];
    match sort {
        b'c' => {
            (&stream).read_exact(&mut answer).unwrap();
            reset(stream);
        }
        b'w' | b'g' => {
            if sort == b'g' {
                stream.shutdown(Shutdown::Write).unwrap();
            }
            (&stream).read_exact(&mut answer).unwrap();
            if sort == b'w' {
                stream.shutdown(Shutdown::Write).unwrap();
            }
            assert_eq!(read_to_end(&stream), (Vec::new(), End::Finished), "{name}");
        }
        // A reset may take the answer along, and never looks like an end.
        b'r' => {
            let (got, end) = read_to_end(&stream);
            assert_eq!(end, End::Reset, "{name}");
            assert!(expected.starts_with(&got), "{name}");
            return;
        }
        _ => {
            let (got, end) = read_to_end(&stream);
            assert_eq!(end, End::Finished, "{name}");
            answer = got;
        }
    }
    assert!(answer == expected, "{name}: {} bytes of {}", answer.len(), expected.len());
}

#[test]
fn each_conversation_has_its_own_answer_whatever_the_one_before_was() {
    let servers = [Server::start(talk), Server::start(talk), Server::start_at("[::1]:0".parse().unwrap(), talk)];
    // One that refuses: its socket fails over to another server.
    let dead = Refusing::new();
    let mut at: Vec<SocketAddr> = servers.iter().map(Server::address).collect();
    at.push(dead.address());
    let pen = Pen::start(&["-r", "-b", "1"], &at);
    let to = pen.address();
    let clients: Vec<_> =
        (0..24).map(|client| thread::spawn(move || (0..60).for_each(|turn| converse(to, client, turn)))).collect();
    for client in clients {
        client.join().unwrap();
    }
    assert!(servers.iter().all(|server| server.served() > 100), "{:?}", servers.each_ref().map(Server::served));
    wait::until_true("nobody is left", || servers.iter().all(|server| server.open() == 0));
}

#[test]
fn a_source_address_that_is_set_meanwhile_holds_for_the_next_connection() {
    if !cfg!(target_os = "linux") {
        return not_tested_here("a source address", "127.0.0.0/8 is not this machine's");
    }
    let server = Server::start(talk);
    let pen = Pen::start(&Pen::control_options(), &[server.address()]);
    for (source, seen) in [("source 127.0.0.9", "127.0.0.9"), ("no source", "127.0.0.1")] {
        (0..3).for_each(|turn| converse(pen.address(), turn, 0));
        pen.obey(source);
        (0..3).for_each(|turn| converse(pen.address(), turn, 0));
        let peers = server.peers();
        assert!(peers[peers.len() - 3..].iter().all(|peer| peer.ip().to_string() == seen), "{source}: {peers:?}");
    }
}
