//! What a client and its server do with each other: both scripts together.

use std::time::Duration;

use super::choices::Choices;
use super::peer::{Reader, Step};

/// Both scripts.
#[derive(Clone, Debug)]
pub struct Dialogue {
    pub client: Vec<Step>,
    pub server: Vec<Step>,
    pub client_reader: Reader,
    pub server_reader: Reader,
    /// The server sends back what it gets.
    pub is_echo: bool,
    /// Neither cuts the other short: all that is sent must arrive, and the ends as ends.
    pub is_polite: bool,
    /// Bytes that go to the server, and to the client.
    pub up: u64,
    pub down: u64,
}

impl Dialogue {
    /// Scripts in which nobody is cut short.
    pub fn polite(up: u64, down: u64, client: &[Step], server: &[Step]) -> Dialogue {
        Dialogue {
            client: client.to_vec(),
            server: server.to_vec(),
            client_reader: Reader::Eager,
            server_reader: Reader::Eager,
            is_echo: false,
            is_polite: true,
            up,
            down,
        }
    }

    /// Scripts in which somebody may be cut short.
    pub fn rude(up: u64, down: u64, client: &[Step], server: &[Step]) -> Dialogue {
        Dialogue { is_polite: false, ..Dialogue::polite(up, down, client, server) }
    }

    /// Bytes in all.
    pub fn total(&self) -> u64 {
        self.up + self.down
    }

    /// The client sends its request and waits; the server answers and closes.
    pub fn request(up: u64, down: u64) -> Dialogue {
        let server = [Step::Heard(up), Step::Send(down), Step::Close];
        Dialogue::polite(up, down, &[Step::Send(up), Step::End], &server)
    }

    /// Several requests on one connection, which the client ends.
    pub fn exchange(rounds: u64, up: u64, down: u64) -> Dialogue {
        let (mut client, mut server) = (Vec::new(), Vec::new());
        for round in 1..=rounds {
            client.extend([Step::Send(up), Step::Heard(round * down)]);
            server.extend([Step::Heard(round * up), Step::Send(down)]);
        }
        client.extend([Step::Fin, Step::End]);
        server.extend([Step::End, Step::Close]);
        Dialogue::polite(rounds * up, rounds * down, &client, &server)
    }

    /// The client sends and half-closes; the server answers then, after a while.
    pub fn upload(up: u64, down: u64, rest: Duration) -> Dialogue {
        let server = [Step::End, Step::Rest(rest), Step::Send(down), Step::Close];
        Dialogue::polite(up, down, &[Step::Send(up), Step::Fin, Step::End], &server)
    }

    /// The server sends and half-closes; the client sends then, after a while.
    pub fn download(up: u64, down: u64, rest: Duration) -> Dialogue {
        let client = [Step::End, Step::Rest(rest), Step::Send(up), Step::Fin];
        Dialogue::polite(up, down, &client, &[Step::Send(down), Step::Fin, Step::End])
    }

    /// Everything comes back.
    pub fn echo(up: u64) -> Dialogue {
        let client = [Step::Send(up), Step::Fin, Step::End];
        Dialogue { is_echo: true, ..Dialogue::polite(up, up, &client, &[Step::Echo, Step::Close]) }
    }

    /// As an exchange, in which one byte of each message is urgent.
    pub fn urgent(rounds: u64, before: u64, after: u64) -> Dialogue {
        let (mut client, mut server) = (Vec::new(), Vec::new());
        let message = [Step::Send(before), Step::Urge, Step::Send(after)];
        let length = before + 1 + after;
        for round in 1..=rounds {
            client.extend(message.into_iter().chain([Step::Heard(round * length)]));
            server.extend([Step::Heard(round * length)].into_iter().chain(message));
        }
        client.extend([Step::Fin, Step::End]);
        server.extend([Step::End, Step::Close]);
        Dialogue::polite(rounds * length, rounds * length, &client, &server)
    }

    /// Both send all they have at once.
    pub fn flood(up: u64, down: u64) -> Dialogue {
        let client = [Step::Send(up), Step::Fin, Step::End];
        Dialogue::polite(up, down, &client, &[Step::Send(down), Step::Fin, Step::End])
    }

    /// With these readers.
    pub fn read_by(self, client: Reader, server: Reader) -> Dialogue {
        Dialogue { client_reader: client, server_reader: server, ..self }
    }

    /// Anything, polite or rude.
    pub fn random(choices: &mut Choices, is_small: bool, is_rude: bool) -> Dialogue {
        let (up, down) = (size(choices, is_small), size(choices, is_small));
        let rest = choices.millis(0, 1_500);
        if is_rude {
            return Dialogue::random_rude(choices, up, down, rest);
        }
        let dialogue = match choices.below(7) {
            0 => Dialogue::request(up, down),
            1 => Dialogue::exchange(choices.between(1, 5), up / 5, down / 5),
            2 => Dialogue::upload(up, down, rest),
            3 => Dialogue::download(up, down, rest),
            4 => Dialogue::echo(up),
            5 => Dialogue::urgent(choices.between(1, 3), up / 100, down / 100),
            _ => Dialogue::flood(up, down),
        };
        let (client, server) = (reader(choices, dialogue.down), reader(choices, dialogue.up));
        dialogue.read_by(client, server)
    }

    fn random_rude(choices: &mut Choices, up: u64, down: u64, rest: Duration) -> Dialogue {
        use Step::{Abort, Close, End, Fin, Heard, Rest, Send};
        let (some_up, some_down) = (choices.below(up + 1), choices.below(down + 1));
        let scripts: (Vec<Step>, Vec<Step>) = match choices.below(9) {
            // The client has had enough.
            0 => (vec![Send(up), Heard(some_down), Close], vec![Send(down), Fin, End]),
            1 => (vec![Send(some_up), Rest(rest), Abort], vec![Send(down), End]),
            // It goes before it is served.
            2 => (vec![Send(some_up), Abort], vec![End]),
            // The server has had enough.
            3 => (vec![Send(up), Fin, End], vec![Rest(rest), Close]),
            4 => (vec![Send(up), Fin, End], vec![Heard(some_up), Send(down), Abort]),
            // A reset after the end, from either side.
            5 => (vec![Heard(down), Rest(rest), Send(up), Fin, End], vec![Send(down), Fin, Rest(rest / 2), Abort]),
            6 => (vec![Send(up), Fin, Rest(rest / 2), Abort], vec![End, Rest(rest), Send(down), Close]),
            // Nobody reads.
            7 => (vec![Send(up), Rest(rest), Close], vec![Send(down), Rest(rest / 2), Close]),
            // The server closes, the client goes on.
            _ => (vec![Send(some_up), Rest(rest), Send(up), Fin, End], vec![Heard(some_up), Send(down), Close]),
        };
        let dialogue = Dialogue::rude(up * 2, down, &scripts.0, &scripts.1);
        let readers = (reader(choices, down), reader(choices, up));
        // Who waits for something must read, and two who only write would wait for ever.
        let may_not_read = |script: &[Step]| !script.iter().any(|step| matches!(step, End | Heard(1..)));
        match choices.below(4) {
            1 if may_not_read(&scripts.0) => dialogue.read_by(Reader::Never, readers.1),
            2 if may_not_read(&scripts.1) => dialogue.read_by(readers.0, Reader::Never),
            _ => dialogue.read_by(readers.0, readers.1),
        }
    }
}

fn size(choices: &mut Choices, is_small: bool) -> u64 {
    match choices.below(if is_small { 2 } else { 8 }) {
        0 => choices.below(20),
        1 => choices.below(800),
        2..=4 => choices.below(20_000),
        5 | 6 => choices.below(150_000),
        _ => choices.below(700_000),
    }
}

/// A reader that gets through so many bytes within some seconds.
fn reader(choices: &mut Choices, bytes: u64) -> Reader {
    match choices.below(5) {
        0 => Reader::Slow(usize::try_from(bytes / 40 + 1).unwrap(), choices.millis(1, 50)),
        1 => Reader::After(choices.millis(1, 2_000)),
        _ => Reader::Eager,
    }
}
