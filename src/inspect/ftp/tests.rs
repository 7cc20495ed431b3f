//! Conversations, whole and in pieces of every size.

use super::*;

/// Ports that are opened one after another, from 50000 on.
struct Ports {
    to_client: IpAddr,
    to_server: IpAddr,
    asked: Vec<String>,
    is_out: bool,
}

impl Ports {
    fn new(peers: Peers) -> Ports {
        let own = |peer: IpAddr| -> IpAddr {
            if peer.is_ipv4() { "192.0.2.100".parse().unwrap() } else { "2001:db8::100".parse().unwrap() }
        };
        Ports { to_client: own(peers.client), to_server: own(peers.server), asked: Vec::new(), is_out: false }
    }

    fn open(&mut self, what: &str, at: SocketAddr, own: IpAddr) -> Option<SocketAddr> {
        self.asked.push(format!("{what} {at}"));
        (!self.is_out).then(|| SocketAddr::new(own, 49_999 + u16::try_from(self.asked.len()).unwrap()))
    }
}

impl TransferPorts for Ports {
    fn for_server(&mut self, client: SocketAddr) -> Option<SocketAddr> {
        self.open("to the client at", client, self.to_server)
    }

    fn for_client(&mut self, server: SocketAddr) -> Option<SocketAddr> {
        self.open("to the server at", server, self.to_client)
    }

    fn close(&mut self) {
        self.asked.push(String::from("close"));
    }
}

const BOTH_IPV4: (&str, &str) = ("198.51.100.7", "10.0.0.1");
const BOTH_IPV6: (&str, &str) = ("2001:db8::7", "fd00::1");
const TO_IPV4: (&str, &str) = ("2001:db8::7", "10.0.0.1");
const TO_IPV6: (&str, &str) = ("198.51.100.7", "fd00::1");

/// One step of a conversation: who sends what, and what arrives.
enum Step {
    Client(&'static str, &'static str),
    Server(&'static str, &'static str),
}
use Step::{Client, Server};

struct Talk {
    ftp: Ftp,
    ports: Ports,
}

impl Talk {
    fn new((client, server): (&str, &str), refuses_auth: bool) -> Talk {
        let peers = Peers { client: client.parse().unwrap(), server: server.parse().unwrap() };
        Talk { ftp: Ftp::new(peers, refuses_auth), ports: Ports::new(peers) }
    }

    fn up(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.ftp.commands(bytes, &mut out, &mut self.ports).unwrap();
        out
    }

    fn down(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.ftp.replies(bytes, &mut out, &mut self.ports);
        out
    }
}

/// Goes through the steps with every chunk size; returns which ports were asked for.
fn talk(peers: (&str, &str), steps: &[Step]) -> Vec<String> {
    let mut asked = None;
    for chunk in [1, 2, 3, 5, 17, usize::MAX] {
        let mut talk = Talk::new(peers, false);
        for step in [Server("220 hello\r\n", "220 hello\r\n")].iter().chain(steps) {
            let (arrives, expected): (Vec<u8>, _) = match step {
                Client(sent, arrives) => {
                    (sent.as_bytes().chunks(chunk).flat_map(|part| talk.up(part)).collect(), arrives)
                }
                Server(sent, arrives) => {
                    (sent.as_bytes().chunks(chunk).flat_map(|part| talk.down(part)).collect(), arrives)
                }
            };
            assert_eq!(String::from_utf8_lossy(&arrives), *expected, "in chunks of {chunk}");
        }
        assert_eq!(asked.get_or_insert(talk.ports.asked.clone()), &talk.ports.asked, "in chunks of {chunk}");
    }
    asked.unwrap()
}

#[test]
fn what_has_nothing_to_do_with_addresses_passes_unchanged() {
    let lines = ["USER a\r\n", "PASS b\r\n", "\r\n", "CWD /portable\n", "TYPE I\r\n", "PORTABLE 1,2,3,4,5,6\r\n"];
    for line in lines {
        talk(BOTH_IPV4, &[Client(line, line), Server("200 227 (1,2,3,4,5,6)\r\n", "200 227 (1,2,3,4,5,6)\r\n")]);
    }
    let odd = "hello\r\n\r\n12\r\n9999 x\r\n214-one\r\n 214 two\r\n227 (1,2,3,4,5,6)\r\n214 end\r\n";
    talk(BOTH_IPV4, &[Client("HELP\r\n", "HELP\r\n"), Server(odd, odd)]);
}

#[test]
fn an_active_transfer_comes_to_a_port_of_pens() {
    let asked = talk(
        BOTH_IPV4,
        &[
            Client("PORT 198,51,100,7,19,137\r\n", "PORT 192,0,2,100,195,80\r\n"),
            Server("200 ok\r\n", "200 ok\r\n"),
            Client("eprt |1|198.51.100.7|5002|\n", "PORT 192,0,2,100,195,81\r\n"),
            Server("500 no\r\n", "500 no\r\n"),
        ],
    );
    assert_eq!(asked, ["to the client at 198.51.100.7:5001", "to the client at 198.51.100.7:5002", "close"]);
    let asked = talk(BOTH_IPV6, &[Client("EPRT |2|2001:db8::7|5001|\r\n", "EPRT |2|2001:db8::100|50000|\r\n")]);
    assert_eq!(asked, ["to the client at [2001:db8::7]:5001"]);
}

#[test]
fn a_passive_transfer_comes_to_a_port_of_pens_and_goes_to_where_the_server_is() {
    let told = "227 Entering Passive Mode (192,0,2,100,195,80)\r\n";
    for reply in [
        "227 Entering Passive Mode (10,0,0,1,19,137)\r\n",
        "227 Entering Passive Mode. 0,0,0,0,19,137\n",
        "227 =172,16,0,9,19,137\r\n",
        "227-Entering\r\n 172,16,0,9,19,137\r\n227 now\r\n",
        "227-172,16,0,9,19,137\r\n227 now\r\n",
    ] {
        let asked = talk(BOTH_IPV4, &[Client("PASV\r\n", "PASV\r\n"), Server(reply, told)]);
        assert_eq!(asked, ["to the server at 10.0.0.1:5001"], "{reply}");
    }
    let asked = talk(
        BOTH_IPV6,
        &[
            Client("EPSV\r\n", "EPSV\r\n"),
            Server("229 Extended (|||5001|)\r\n", "229 Entering Extended Passive Mode (|||50000|)\r\n"),
        ],
    );
    assert_eq!(asked, ["to the server at [fd00::1]:5001"]);
    let refused = "500 what?\r\n";
    assert!(talk(BOTH_IPV4, &[Client("EPSV 1\r\n", "EPSV 1\r\n"), Server(refused, refused)]).is_empty());
}

#[test]
fn a_passive_reply_without_an_address_tells_the_client_so() {
    for reply in ["227 Entering Passive Mode\r\n", "227 (10,0,0,1,0,0)\r\n", "229 (|||0|)\r\n"] {
        let steps = [Client("PASV\r\n", "PASV\r\n"), Server(reply, "425 Cannot open a data connection.\r\n")];
        assert!(talk(BOTH_IPV4, &steps).is_empty(), "{reply}");
    }
}

#[test]
fn families_that_differ_are_turned_into_each_other() {
    let asked = talk(
        TO_IPV4,
        &[
            Client("EPSV\r\n", "PASV\r\n"),
            Server("227 (10,0,0,1,19,137)\r\n", "229 Entering Extended Passive Mode (|||50000|)\r\n"),
            Client("EPSV 2\r\n", "PASV\r\n"),
            Server("227 (10,0,0,1,19,138)\r\n", "229 Entering Extended Passive Mode (|||50001|)\r\n"),
            Client("EPRT |2|2001:db8::7|5003|\r\n", "PORT 192,0,2,100,195,82\r\n"),
            Server("200 ok\r\n", "200 ok\r\n"),
            Client("EPSV ALL\r\n", "NOOP\r\n"),
            Server("200 zzz\r\n", "200 EPSV ALL is in force.\r\n"),
            Client("EPRT |2|2001:db8::7|5003|\r\n", "NOOP\r\n"),
            Server("200 zzz\r\n", "503 After EPSV ALL only EPSV is accepted.\r\n"),
            Client("EPSV\r\n", "PASV\r\n"),
        ],
    );
    let expected =
        ["to the server at 10.0.0.1:5001", "to the server at 10.0.0.1:5002", "to the client at [2001:db8::7]:5003"];
    assert_eq!(asked, expected);
    let asked = talk(
        TO_IPV6,
        &[
            Client("PASV\r\n", "EPSV\r\n"),
            Server("229 (|||5001|)\r\n", "227 Entering Passive Mode (192,0,2,100,195,80)\r\n"),
            Client("EPSV 1\r\n", "EPSV\r\n"),
            Server("229 (|||5002|)\r\n", "229 Entering Extended Passive Mode (|||50001|)\r\n"),
            Client("PORT 198,51,100,7,19,139\r\n", "EPRT |2|2001:db8::100|50002|\r\n"),
        ],
    );
    assert_eq!(asked.len(), 3);
}

#[test]
fn a_client_cannot_send_data_to_others() {
    let table = [
        (BOTH_IPV4, "PORT 198,51,100,8,19,137", ILLEGAL_ADDRESS),
        (BOTH_IPV4, "PORT 10,0,0,1,19,137", ILLEGAL_ADDRESS),
        (BOTH_IPV4, "EPRT |1|198.51.100.8|5001|", ILLEGAL_ADDRESS),
        (BOTH_IPV6, "EPRT |2|2001:db8::8|5001|", ILLEGAL_ADDRESS),
        (BOTH_IPV6, "PORT 198,51,100,7,19,137", ILLEGAL_ADDRESS),
        (BOTH_IPV4, "PORT 198,51,100,7,3,255", ILLEGAL_PORT),
        (BOTH_IPV4, "EPRT |1|198.51.100.7|25|", ILLEGAL_PORT),
        (BOTH_IPV4, "PORT 198,51,100,7,19", SYNTAX),
        (BOTH_IPV4, "PORT", SYNTAX),
        (BOTH_IPV4, "EPRT |1|198.51.100.7|5001", SYNTAX),
        (BOTH_IPV4, "EPRT |2|2001:db8::7|5001|", USE_IPV4),
        (BOTH_IPV6, "EPRT |1|198.51.100.7|5001|", USE_IPV6),
        (BOTH_IPV6, "EPRT |3|x|5001|", USE_IPV6),
        (BOTH_IPV4, "EPSV 2", USE_IPV4),
        (BOTH_IPV6, "EPSV 1", USE_IPV6),
        (BOTH_IPV6, "PASV", NOT_SUPPORTED),
        (BOTH_IPV4, "LPRT 4,4,198,51,100,7,2,19,137", NOT_SUPPORTED),
        (BOTH_IPV4, "cpsv", NOT_SUPPORTED),
    ];
    for (peers, command, answer) in table {
        let mut talk = Talk::new(peers, false);
        talk.down(b"220 hello\r\n");
        assert_eq!(talk.up(format!("{command}\r\n").as_bytes()), b"NOOP\r\n", "{command}");
        let answered = talk.down(b"200-NOOP\r\n200 ok\r\n");
        assert_eq!(String::from_utf8(answered).unwrap(), format!("{answer}\r\n"), "{command}");
        assert!(talk.ports.asked.is_empty(), "{command}");
        assert_eq!(talk.up(b"QUIT\r\n"), b"QUIT\r\n");
        assert_eq!(talk.down(b"221 bye\r\n"), b"221 bye\r\n");
    }
}

#[test]
fn replies_stay_in_order_when_commands_are_sent_ahead() {
    let asked = talk(
        BOTH_IPV4,
        &[
            Client(
                "USER a\r\nPORT 1,2,3,4,5,6\r\nPASV\r\nRETR f\r\nNOOP\r\nPASV\r\n",
                "USER a\r\nNOOP\r\nPASV\r\nRETR f\r\nNOOP\r\nPASV\r\n",
            ),
            Server(
                "331 go\r\n200 noop\r\n227 (10,0,0,1,19,137)\r\n150 opening\r\n226 done\r\n200 noop\r\n227 (10,0,0,1,19,138)\r\n",
                "331 go\r\n504 Data goes to your own address alone.\r\n227 Entering Passive Mode (192,0,2,100,195,80)\r\n\
                 150 opening\r\n226 done\r\n200 noop\r\n227 Entering Passive Mode (192,0,2,100,195,81)\r\n",
            ),
        ],
    );
    assert_eq!(asked.len(), 2);
}

#[test]
fn abort_and_status_during_a_transfer_confuse_nothing() {
    let abort = "\u{0}ABOR\r\n";
    talk(
        BOTH_IPV4,
        &[
            Client("RETR f\r\n", "RETR f\r\n"),
            Server("150 opening\r\n", "150 opening\r\n"),
            Client("STAT\r\n", "STAT\r\n"),
            Server("211-status\r\n half\r\n211 end\r\n", "211-status\r\n half\r\n211 end\r\n"),
            Client(abort, abort),
            // The answer to the next PASV does not come before that to ABOR.
            Client("PASV\r\n", "PASV\r\n"),
            Server("426 cut\r\n226 aborted\r\n", "426 cut\r\n226 aborted\r\n"),
            Server("227 (10,0,0,1,19,137)\r\n", "227 Entering Passive Mode (192,0,2,100,195,80)\r\n"),
        ],
    );
    let mut talk = Talk::new(BOTH_IPV4, false);
    let urgent = b"\xff\xf4\xff\xf2ABOR\r\n";
    assert_eq!(talk.up(urgent), urgent);
    let telnet = b"\xff\xf4PORT 198,51,100,7,19,137\r\n";
    assert_eq!(talk.up(telnet), b"\xff\xf4PORT 192,0,2,100,195,80\r\n");
}

#[test]
fn after_the_answer_to_auth_the_stream_is_left_alone() {
    for (answer, is_opaque) in
        [("234 go\r\n", true), ("334 go on\r\n", true), ("502 no\r\n", false), ("534 no\r\n", false)]
    {
        let mut talk = Talk::new(BOTH_IPV4, false);
        talk.down(b"220 hello\r\n");
        assert_eq!(talk.up(b"AUTH TLS\r\n"), b"AUTH TLS\r\n");
        assert_eq!(talk.down(answer.as_bytes()), answer.as_bytes());
        assert_eq!(talk.ftp.is_opaque(), is_opaque, "{answer}");
        let bytes = b"PORT 198,51,100,7,19,137\r\n";
        assert_eq!(talk.up(bytes) == bytes, is_opaque, "{answer}");
        let reply = b"\x17\x03\x03 no line";
        assert_eq!(talk.down(reply) == reply, is_opaque, "{answer}");
    }
    let mut talk = Talk::new(BOTH_IPV4, true);
    talk.down(b"220 hello\r\n");
    assert_eq!(talk.up(b"AUTH TLS\r\n"), b"NOOP\r\n");
    assert_eq!(talk.down(b"200 ok\r\n"), b"534 Encryption is not allowed here.\r\n");
    let mut talk = Talk::new(BOTH_IPV4, false);
    assert_eq!(talk.up(b"\x16\x03\x01\x02"), b"\x16\x03\x01\x02", "implicit TLS");
    assert!(talk.ftp.is_opaque());
}

#[test]
fn when_no_port_is_to_be_had_the_client_is_told() {
    let mut talk = Talk::new(BOTH_IPV4, false);
    talk.ports.is_out = true;
    talk.down(b"220 hello\r\n");
    assert_eq!(talk.up(b"PORT 198,51,100,7,19,137\r\nPASV\r\n"), b"NOOP\r\nPASV\r\n");
    let replies = talk.down(b"200 ok\r\n227 (10,0,0,1,19,137)\r\n");
    assert_eq!(String::from_utf8(replies).unwrap(), format!("{NO_PORT}\r\n{NO_PORT}\r\n"));
}

#[test]
fn a_client_that_never_waits_for_answers_is_stopped() {
    let mut talk = Talk::new(BOTH_IPV4, false);
    talk.down(b"220 hello\r\n");
    let mut out = Vec::new();
    let flood = b"NOOP\r\n".repeat(UNANSWERED_MAX);
    assert_eq!(talk.ftp.commands(&flood, &mut out, &mut talk.ports), Ok(()));
    assert_eq!(talk.ftp.commands(b"NOOP\r\n", &mut out, &mut talk.ports), Err(TooManyUnanswered));
}

#[test]
fn what_is_unfinished_at_the_end_is_still_there() {
    let mut talk = Talk::new(BOTH_IPV4, false);
    assert_eq!(talk.up(b"QUI"), b"");
    assert_eq!(talk.down(b"220 hel"), b"");
    assert_eq!(talk.ftp.last_of_commands(), b"QUI");
    assert_eq!(talk.ftp.last_of_replies(), b"220 hel");
}
