//! The clients of the soak: threads that talk, one conversation after another.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::conversation::{Sort, Talk, client, pause};
use super::tally::{Tally, add};
use super::{datagrams, files, web};
use crate::support::client::{connect_from, reset};
use crate::support::pen::Pen;

/// xorshift64*.
pub struct Random(pub u64);

impl Random {
    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    /// Milliseconds from `low` to `high`.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(low + self.below(high - low))
    }

    /// A length from nothing to about half of `most`.
    pub fn size(&mut self, most: u64) -> usize {
        // Small ones and large ones: the logarithm is what is spread evenly.
        let most = 1 << self.below(most.ilog2().into());
        self.below(most + 1) as usize
    }
}

/// The further listeners of pen.
#[derive(Debug, Clone, Copy)]
pub struct Listeners {
    pub web: SocketAddr,
    pub files: SocketAddr,
    pub datagrams: SocketAddr,
}

/// Talks until the soak is over.
pub fn run(pen: &Pen, listeners: Listeners, tally: &Tally, mut random: Random) {
    while !tally.is_over() {
        match random.below(20) {
            0 => hang_up(pen, tally, &mut random),
            1 => wait_first(pen, tally, &mut random),
            2..=4 => browse(listeners.web, tally, &mut random),
            5 | 6 => fetch(listeners.files, tally, &mut random),
            7 => datagrams::client(address(&mut random), listeners.datagrams, tally, &mut random),
            _ => talk(pen, tally, &mut random, Duration::ZERO),
        }
    }
}

/// Counts a connection and what comes of it.
fn converse(
    to: SocketAddr,
    tally: &Tally,
    random: &mut Random,
    conversation: impl FnOnce(&TcpStream, &mut Random, &mut dyn FnMut(u8)) -> Result<(), String>,
) {
    let begun = Instant::now();
    let stream = connect_from(address(random).into(), to);
    add(&tally.connections, 1);
    let mut server = None;
    match conversation(&stream, random, &mut |number| server = Some(number)) {
        Ok(()) => add(&tally.whole, 1),
        Err(text) => tally.failed(begun, server, &text),
    }
}

/// Requests of HTTP.
fn browse(to: SocketAddr, tally: &Tally, random: &mut Random) {
    converse(to, tally, random, |stream, random, served_by| {
        let (slow, most) = match random.below(8) {
            0 => (random.millis(1, 5), 1 << 16),
            _ => (Duration::ZERO, 1 << 21),
        };
        let requests = web::Request::some(random, most);
        web::client(stream, &requests, slow, random.below(2) == 0, served_by)?;
        add(&tally.requests, requests.len() as u64);
        add(&tally.bytes, requests.iter().map(web::Request::bytes).sum());
        Ok(())
    });
}

/// Files by FTP.
fn fetch(to: SocketAddr, tally: &Tally, random: &mut Random) {
    converse(to, tally, random, |stream, random, served_by| files::client(stream, tally, random, served_by));
}

/// Another client for pen each time.
fn address(random: &mut Random) -> [u8; 4] {
    [127, 0, 1, 1 + random.below(100) as u8]
}

fn hang_up(pen: &Pen, tally: &Tally, random: &mut Random) {
    let count = 1 + random.below(40);
    for _ in 0..count {
        let stream = pen.connect_from(address(random));
        if random.below(2) == 0 {
            reset(stream);
        }
    }
    add(&tally.connections, count);
    add(&tally.hung_up, count);
}

fn wait_first(pen: &Pen, tally: &Tally, random: &mut Random) {
    let time = random.millis(100, 2_000);
    talk(pen, tally, random, time);
}

fn talk(pen: &Pen, tally: &Tally, random: &mut Random, before: Duration) {
    let sort = match random.below(10) {
        0 => Sort::Cut,
        1 | 2 => Sort::EndsFirst,
        3 | 4 => Sort::AtOnce,
        5 => Sort::AnswersFirst,
        _ => Sort::Plain,
    };
    let (slow, most) = match random.below(8) {
        0 => (random.millis(1, 5), 1 << 18),
        _ => (Duration::ZERO, 1 << 24),
    };
    let talk = Talk { sort, seed: random.below(256) as u8, up: 2 + random.size(most), down: random.size(most) };
    let begun = Instant::now();
    let stream = pen.connect_from(address(random));
    add(&tally.connections, 1);
    pause(before);
    let mut server = None;
    match client(stream, talk, slow, |number| server = Some(number)) {
        Ok(()) => {
            let is_cut = sort == Sort::Cut;
            add(if is_cut { &tally.cut } else { &tally.whole }, 1);
            add(&tally.bytes, if is_cut { talk.up / 2 } else { talk.up + talk.down } as u64);
        }
        Err(text) => tally.failed(begun, server, &format!("{talk:?}: {text}")),
    }
}
