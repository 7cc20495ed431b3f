//! HTTP connections: whatever both sides say, the outcome is the same wherever it is cut, what the server gets is
//! framed so that whoever reads it again finds the same requests, each with one line of whom it is from, and little is
//! kept.

use pen::base::addr::ClientAddr;
use pen::inspect::http::Http;
use pen::inspect::http::forwarded::Sender;
use pen::inspect::http::head::HEAD_MAX;

/// Ends what one side says; the other one is next. The client begins.
const TURN: u8 = 0x1e;

/// What became of a conversation, and what each turn brought to the server.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    ups: Vec<Vec<u8>>,
    down: Vec<u8>,
    is_opaque: bool,
    is_over: bool,
    is_refused: bool,
}

/// Judges what becomes of this input.
pub fn check(bytes: &[u8]) {
    let turns: Vec<&[u8]> = bytes.split(|&byte| byte == TURN).collect();
    let whole = talk(&turns, usize::MAX);
    assert_eq!(whole, talk(&turns, 1), "byte by byte it is the same");
    assert_eq!(whole, talk(&turns, 7));
    let mut again = turns.clone();
    for (turn, up) in again.iter_mut().zip(&whole.ups).step_by(2) {
        *turn = up;
    }
    // What an answer lets go on comes one turn later there.
    if whole.ups.iter().skip(1).step_by(2).all(Vec::is_empty) {
        let read_again = talk(&again, usize::MAX);
        assert_eq!(read_again.ups, whole.ups, "a server finds the same requests");
        assert!(!read_again.is_refused || whole.is_refused);
    }
}

fn talk(turns: &[&[u8]], piece: usize) -> Outcome {
    let client = ClientAddr::Inet("192.0.2.7".parse().expect("an address"));
    let mut http = Http::new(Sender { client, is_trusted: false });
    let (mut ups, mut down) = (Vec::new(), Vec::new());
    let mut most_held = HEAD_MAX;
    for (number, turn) in turns.iter().enumerate() {
        let mut up = Vec::new();
        for bytes in turn.chunks(piece) {
            most_held += bytes.len();
            match number % 2 {
                0 => http.requests(bytes, &mut up, &mut down),
                _ => http.responses(bytes, &mut up, &mut down),
            }
            assert!(http.held() <= most_held);
        }
        ups.push(up);
    }
    let is_refused = http.refusal().is_some();
    assert!(!is_refused || !http.may_read());
    assert!(!http.is_opaque() || http.held() == 0);
    Outcome { ups, down, is_opaque: http.is_opaque(), is_over: http.is_over(), is_refused }
}
