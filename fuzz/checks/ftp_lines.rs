//! FTP control connections: whatever both sides say, the outcome is the same wherever it is cut, no port is opened for
//! anybody but the client and the server, what one look makes of it fits a ring, and little is kept.

use std::net::{IpAddr, SocketAddr};

use pen::base::direction::Direction;
use pen::inspect::ftp::lines::LINE_MAX;
use pen::inspect::ftp::{Ftp, Peers, TransferPorts};
use pen::inspect::{Inspector, TURNED_MAX, Turned};

/// Ends what one side says; the other one is next. The server begins.
const TURN: u8 = 0x1e;

/// Ports that are there as long as numbers last.
struct Ports {
    peers: Peers,
    told: [IpAddr; 2],
    asked: Vec<Option<SocketAddr>>,
}

impl Ports {
    fn open(&mut self, to: SocketAddr, told: IpAddr) -> Option<SocketAddr> {
        self.asked.push(Some(to));
        let port = 40_000 + u16::try_from(self.asked.len()).ok()?;
        (!self.asked.len().is_multiple_of(5)).then(|| SocketAddr::new(told, port))
    }
}

impl TransferPorts for Ports {
    fn for_server(&mut self, client: SocketAddr) -> Option<SocketAddr> {
        assert!(client.ip() == self.peers.client && client.port() >= 1024, "{client}");
        self.open(client, self.told[1])
    }

    fn for_client(&mut self, server: SocketAddr) -> Option<SocketAddr> {
        assert!(server.ip() == self.peers.server && server.port() > 0, "{server}");
        self.open(server, self.told[0])
    }

    fn close(&mut self) {
        self.asked.push(None);
    }
}

/// What became of a conversation.
#[derive(PartialEq, Eq, Debug, Default)]
struct Outcome {
    up: Vec<u8>,
    down: Vec<u8>,
    asked: Vec<Option<SocketAddr>>,
    has_ended: bool,
}

/// Judges what becomes of this input, whose first byte says by which families they speak.
pub fn check(bytes: &[u8]) {
    let Some((&families, bytes)) = bytes.split_first() else { return };
    let turns: Vec<&[u8]> = bytes.split(|&byte| byte == TURN).collect();
    let whole = talk(families, &turns, 2048);
    for piece in [1, 7, 256] {
        let cut = talk(families, &turns, piece);
        // One that is sent away is so in the middle of a piece.
        assert_eq!(whole.has_ended, cut.has_ended);
        assert!(whole.has_ended || whole == cut, "in pieces of {piece}");
    }
}

fn talk(families: u8, turns: &[&[u8]], piece: usize) -> Outcome {
    let address = |is_ipv6: bool, last: u8| match is_ipv6 {
        true => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)]),
        false => IpAddr::from([192, 0, 2, last]),
    };
    let [client, server] = [families & 1 > 0, families & 2 > 0];
    let peers = Peers { client: address(client, 7), server: address(server, 8) };
    let told = [address(client, 1), address(server, 2)];
    let mut ports = Ports { peers, told, asked: Vec::new() };
    let mut inspector = Inspector::Ftp(Ftp::new(peers, families & 4 > 0));
    let mut outcome = Outcome::default();
    let mut turned = Turned::default();
    for (number, turn) in turns.iter().enumerate() {
        let direction = if number % 2 == 0 { Direction::Down } else { Direction::Up };
        for bytes in turn.chunks(piece) {
            turned.clear();
            inspector.inspect(direction, bytes, &mut turned, &mut ports);
            assert!(turned.on.len() <= TURNED_MAX);
            match direction {
                Direction::Up => outcome.up.extend_from_slice(&turned.on),
                Direction::Down => outcome.down.extend_from_slice(&turned.on),
            }
            outcome.has_ended |= turned.ends.is_some();
            if outcome.has_ended {
                return outcome;
            }
        }
    }
    for direction in Direction::BOTH {
        let last = inspector.last(direction);
        assert!(last.len() <= LINE_MAX && !inspector.holds(direction));
        match direction {
            Direction::Up => outcome.up.extend_from_slice(&last),
            Direction::Down => outcome.down.extend_from_slice(&last),
        }
    }
    outcome.asked = ports.asked;
    outcome
}
