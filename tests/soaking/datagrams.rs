//! What a client and a server of the soak say to each other in datagrams: some may be lost, but none may be changed, or
//! come to somebody else.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::conversation::patterns;
use super::tally::{Tally, add};
use super::traffic::Random;

/// How long a client waits for one answer; a server may be stopped for longer.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// Its length, its place, and so many bytes that nobody else sends.
fn datagram(seed: u8, place: u8, length: usize, mark: [u8; 8]) -> Vec<u8> {
    [&[seed, place], mark.as_slice(), patterns(seed).0.at(usize::from(place), length)].concat()
}

/// Sends some, each after the answer to the one before or after some time without.
pub fn client(from: [u8; 4], pen: SocketAddr, tally: &Tally, random: &mut Random) {
    let socket = UdpSocket::bind(SocketAddr::from((from, 0))).expect("the address is this machine's");
    socket.connect(pen).expect("it has a way to loopback");
    socket.set_read_timeout(Some(ANSWER_TIME)).expect("a time-out");
    let (seed, mark) = (random.below(256) as u8, random.below(u64::MAX).to_be_bytes());
    let most = if random.below(4) == 0 { 60_000 } else { 1_400 };
    let lengths: Vec<usize> = (0..1 + random.below(30)).map(|_| random.size(most)).collect();
    let sent: Vec<Vec<u8>> =
        lengths.iter().enumerate().map(|(place, length)| datagram(seed, place as u8, *length, mark)).collect();
    let mut buffer = vec![0; 65_536];
    for datagram in &sent {
        if let Err(error) = socket.send(datagram) {
            tally.unexpected(format!("cannot send {} bytes: {error}", datagram.len()));
            continue;
        }
        match socket.recv(&mut buffer) {
            // The answer may be that to an earlier one, which came late.
            Ok(count) if count > 0 && sent.iter().any(|datagram| buffer[1..count] == *datagram) => {
                add(&tally.answered, 1);
                add(&tally.bytes, 2 * count as u64);
            }
            Ok(count) => {
                let begin = &buffer[..count.min(20)];
                tally.unexpected(format!("an answer of {count} bytes to nothing that was sent: {begin:?}"));
            }
            Err(_) => add(&tally.unanswered, 1),
        }
    }
}

/// Sends each back, behind the server's number.
pub fn server(socket: &UdpSocket, number: u8) {
    let mut buffer = vec![0; 65_536];
    buffer[0] = number;
    loop {
        if let Ok((count, from)) = socket.recv_from(&mut buffer[1..]) {
            let _ = socket.send_to(&buffer[..=count], from);
        }
    }
}
