//! FTP with its data connections, between ends that are the test's own.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::support::client::{self, End, bounded, read_line, read_to_end};
use crate::support::pen::Pen;
use crate::support::wait;

/// A control connection: the ends of both sides, and what they say to each other.
struct Talk {
    pen: Pen,
    client: TcpStream,
    server: TcpStream,
}

impl Talk {
    /// Both sides by IPv4, greeted.
    #[track_caller]
    fn begin(options: &[&str]) -> Talk {
        Talk::between(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into(), options)
    }

    #[track_caller]
    fn between(client: IpAddr, server: IpAddr, options: &[&str]) -> Talk {
        let listener = TcpListener::bind((server, 0)).unwrap();
        let options = [&["-O", "ftp"], options].concat();
        let pen = Pen::start_at(client, &options, &[listener.local_addr().unwrap()]);
        let client = pen.connect();
        let server = bounded(listener.accept().unwrap().0);
        let talk = Talk { pen, client, server };
        talk.says("220 hello", "220 hello");
        talk
    }

    /// The client sends a line, and another one arrives.
    #[track_caller]
    fn asks(&self, line: &str, arrives: &str) {
        (&self.client).write_all(format!("{line}\r\n").as_bytes()).unwrap();
        assert_eq!(read_line(&self.server), format!("{arrives}\r"));
    }

    /// The server sends a line, and another one arrives.
    #[track_caller]
    fn says(&self, line: &str, arrives: &str) {
        (&self.server).write_all(format!("{line}\r\n").as_bytes()).unwrap();
        assert_eq!(read_line(&self.client), format!("{arrives}\r"));
    }

    /// The client asks for passive mode; a server's listener for it, and where the client is sent.
    #[track_caller]
    fn passive(&self) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        self.asks("PASV", "PASV");
        let port = listener.local_addr().unwrap().port();
        (&self.server).write_all(format!("227 go (127,0,0,1,{},{})\r\n", port >> 8, port & 255).as_bytes()).unwrap();
        (listener, told(&read_line(&self.client)))
    }

    /// The client wants active mode to `listener`; where the server is sent.
    #[track_caller]
    fn active(&self, listener: &TcpListener) -> SocketAddr {
        let port = listener.local_addr().unwrap().port();
        (&self.client).write_all(format!("PORT 127,0,0,1,{},{}\r\n", port >> 8, port & 255).as_bytes()).unwrap();
        let line = read_line(&self.server);
        assert!(line.starts_with("PORT "), "{line}");
        let to = told(&line);
        assert_ne!(to.port(), port);
        self.says("200 ok", "200 ok");
        to
    }
}

/// The address in a PORT command or a 227 reply.
#[track_caller]
fn told(line: &str) -> SocketAddr {
    let numbers: Vec<u8> = line
        .split(|c: char| !c.is_ascii_digit())
        .filter(|word| !word.is_empty())
        .filter_map(|word| word.parse().ok())
        .collect();
    let [.., a, b, c, d, high, low] = numbers[..] else { panic!("{line}") };
    SocketAddr::new([a, b, c, d].into(), u16::from_be_bytes([high, low]))
}

/// Sends these bytes and the end, while the other side reads; what it gets, and how that ends.
#[track_caller]
fn pass(mut from: &TcpStream, to: &TcpStream, bytes: &[u8]) {
    let got = std::thread::scope(|scope| {
        let reading = scope.spawn(|| read_to_end(to));
        from.write_all(bytes).unwrap();
        from.shutdown(Shutdown::Write).unwrap();
        reading.join().unwrap()
    });
    assert!(got.0 == bytes, "{} bytes of {} arrive as they are", got.0.len(), bytes.len());
    assert_eq!(got.1, End::Finished);
}

fn some_bytes(count: usize) -> Vec<u8> {
    (0..count).map(|place| (place * 7 % 251) as u8).collect()
}

#[test]
fn passive_data_goes_both_ways_through_pen() {
    let talk = Talk::begin(&["-d", "-l", "{dir}/log"]);
    let (listener, to) = talk.passive();
    assert_eq!(to.ip(), Ipv4Addr::LOCALHOST);
    assert_ne!(to.port(), listener.local_addr().unwrap().port());
    let client = client::connect(to);
    let server = bounded(listener.accept().unwrap().0);
    talk.asks("RETR file", "RETR file");
    talk.says("150 here it comes", "150 here it comes");
    pass(&server, &client, &some_bytes(3_000_000));
    drop((client, server));
    talk.says("226 done", "226 done");

    // And once more, the other way.
    let (listener, to) = talk.passive();
    let client = client::connect(to);
    let server = bounded(listener.accept().unwrap().0);
    pass(&client, &server, &some_bytes(3_000_000));
    drop((client, server));
    let ended = |said: String| said.matches("connection 1: closed, done; ").count();
    wait::until_true("both data connections are gone", || ended(talk.pen.stderr()) == 2);
    // Data is no request.
    let log = talk.pen.directory().read("log");
    let texts: Vec<&str> = log.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap()).collect();
    assert_eq!(texts, ["PASV", "RETR file", "PASV"]);
}

#[test]
fn active_data_goes_both_ways_through_pen() {
    let talk = Talk::begin(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for is_upload in [false, true] {
        let to = talk.active(&listener);
        let server = client::connect(to);
        let client = bounded(listener.accept().unwrap().0);
        let (from, to) = if is_upload { (&client, &server) } else { (&server, &client) };
        pass(from, to, &some_bytes(2_000_000));
    }
}

#[test]
fn only_the_one_who_is_expected_can_use_a_data_port_and_only_once() {
    let talk = Talk::begin(&[]);
    let (listener, to) = talk.passive();
    let stranger = client::connect_from([127, 0, 0, 9].into(), to);
    let (bytes, _) = read_to_end(&stranger);
    assert!(bytes.is_empty());
    let client = client::connect(to);
    let server = bounded(listener.accept().unwrap().0);
    wait::until_true("the port is closed", || TcpStream::connect(to).is_err());
    pass(&server, &client, b"to the client alone");
}

#[test]
fn a_port_that_is_not_used_is_closed_by_the_next_and_with_its_control_connection() {
    let talk = Talk::begin(&[]);
    let (_first, one) = talk.passive();
    let (_second, two) = talk.passive();
    wait::until_true("the first port is closed", || TcpStream::connect(one).is_err());
    drop((talk.client, talk.server));
    wait::until_true("the second port is closed", || TcpStream::connect(two).is_err());
}

#[test]
fn nobody_is_sent_to_others_or_to_the_ports_of_services() {
    let talk = Talk::begin(&[]);
    for line in ["PORT 127,0,0,2,19,137", "PORT 127,0,0,1,0,25", "EPRT |1|192.0.2.7|5001|", "EPRT |1|127.0.0.1|1023|"] {
        talk.asks(line, "NOOP");
        (&talk.server).write_all(b"200 noop\r\n").unwrap();
        let reply = read_line(&talk.client);
        assert!(reply.starts_with("504 "), "{line}: {reply}");
    }
}

#[test]
fn the_ports_and_the_address_are_as_the_operator_says() {
    let ports: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let numbers: Vec<u16> = ports.iter().map(|port| port.local_addr().unwrap().port()).collect();
    let one = numbers[0];
    drop(ports);
    let range = format!("ftp_ports {one}-{one}");
    let talk = Talk::begin(&["-O", &range, "-O", "ftp_address 192.0.2.7"]);
    let (_first, to) = talk.passive();
    assert_eq!(to, SocketAddr::new([192, 0, 2, 7].into(), one));
    // The range is used up: another client gets none, and the same one has its port anew.
    let (listener, to) = talk.passive();
    assert_eq!(to.port(), one);
    let client = client::connect(SocketAddr::new([127, 0, 0, 1].into(), one));
    pass(&bounded(listener.accept().unwrap().0), &client, b"file");

    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let range = format!("ftp_ports {0}-{0}", taken.local_addr().unwrap().port());
    let talk = Talk::begin(&["-O", &range]);
    talk.asks("PASV", "PASV");
    talk.says("227 (127,0,0,1,19,137)", "425 Cannot open a data connection.");
    talk.asks("PORT 127,0,0,1,19,137", "NOOP");
    talk.says("200 ok", "425 Cannot open a data connection.");
}

#[test]
fn a_client_by_ipv6_gets_files_of_a_server_by_ipv4_and_the_other_way_round() {
    let (four, six): (IpAddr, IpAddr) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    let talk = Talk::between(six, four, &[]);
    let listener = TcpListener::bind((four, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    talk.asks("EPSV", "PASV");
    (&talk.server).write_all(format!("227 (127,0,0,1,{},{})\r\n", port >> 8, port & 255).as_bytes()).unwrap();
    let reply = read_line(&talk.client);
    let port = reply.split('|').nth(3).and_then(|port| port.parse().ok());
    let to = SocketAddr::new(six, port.unwrap_or_else(|| panic!("{reply}")));
    let client = client::connect(to);
    pass(&bounded(listener.accept().unwrap().0), &client, &some_bytes(100_000));

    let listener = TcpListener::bind((six, 0)).unwrap();
    let line = format!("EPRT |2|::1|{}|\r\n", listener.local_addr().unwrap().port());
    (&talk.client).write_all(line.as_bytes()).unwrap();
    let server = client::connect(told(&read_line(&talk.server)));
    pass(&bounded(listener.accept().unwrap().0), &server, &some_bytes(100_000));

    let talk = Talk::between(four, six, &[]);
    let listener = TcpListener::bind((six, 0)).unwrap();
    talk.asks("PASV", "EPSV");
    let reply = format!("229 Extended (|||{}|)\r\n", listener.local_addr().unwrap().port());
    (&talk.server).write_all(reply.as_bytes()).unwrap();
    let client = client::connect(told(&read_line(&talk.client)));
    pass(&bounded(listener.accept().unwrap().0), &client, &some_bytes(100_000));
}

#[test]
fn a_fault_cuts_a_file_off_and_the_control_connection_goes_on() {
    let talk = Talk::begin(&["-O", "fault truncate 200"]);
    let (listener, at) = talk.passive();
    let at_client = bounded(TcpStream::connect(at).unwrap());
    let at_server = bounded(listener.accept().unwrap().0);
    (&at_server).write_all(&some_bytes(1_000)).unwrap();
    assert_eq!(read_to_end(&at_client), (some_bytes(200), End::Finished));
    // The client still has its end, and pen waits for that to go.
    talk.says("226 done", "226 done");
    talk.asks("NOOP", "NOOP");
}

#[test]
fn a_data_connection_ends_with_its_control_connection_as_what_is_not_complete() {
    let talk = Talk::begin(&[]);
    let (listener, to) = talk.passive();
    let client = client::connect(to);
    let mut server = bounded(listener.accept().unwrap().0);
    server.write_all(b"half a file").unwrap();
    let mut some = [0; 11];
    (&client).read_exact(&mut some).unwrap();
    client::reset(talk.client);
    assert_eq!(read_to_end(&client).1, End::Reset);
    assert_eq!(read_to_end(&server).1, End::Reset);
}

#[test]
fn a_file_that_is_under_way_when_its_control_connection_ends_well_arrives() {
    let talk = Talk::begin(&["-d"]);
    let (listener, to) = talk.passive();
    let client = client::connect(to);
    let mut server = bounded(listener.accept().unwrap().0);
    server.write_all(b"the first half, ").unwrap();
    let Talk { pen, client: control, server: other } = talk;
    drop((control, other));
    wait::until_true("the control connection is gone", || pen.stderr().contains("connection 0: closed, done; "));
    server.write_all(b"and the second").unwrap();
    drop(server);
    assert_eq!(read_to_end(&client), (b"the first half, and the second".to_vec(), End::Finished));
}

#[test]
fn a_data_connection_whose_end_cannot_be_reached_is_reset_and_no_server_has_failed() {
    let talk = Talk::begin(&["-d"]);
    let (listener, to) = talk.passive();
    drop(listener);
    // The reset may be there before the client has seen that it is connected.
    if let Ok(client) = TcpStream::connect(to) {
        assert_eq!(read_to_end(&bounded(client)), (Vec::new(), End::Reset));
    }
    talk.says("425 nobody came", "425 nobody came");
    assert!(!talk.pen.stderr().contains("blacklisted"), "{}", talk.pen.stderr());
}

#[test]
fn after_auth_the_stream_passes_as_it_is_and_auth_can_be_refused() {
    let mut talk = Talk::begin(&["-d"]);
    talk.asks("AUTH TLS", "AUTH TLS");
    talk.says("234 go", "234 go");
    talk.asks("PORT 192,0,2,1,1,1", "PORT 192,0,2,1,1,1");
    talk.says("227 (192,0,2,1,19,137)", "227 (192,0,2,1,19,137)");
    let said = talk.pen.stop().stderr;
    assert!(said.contains("connection 0: what follows cannot be understood, and passes as it is"), "{said}");
    let talk = Talk::begin(&["-O", "ftp_auth off"]);
    talk.asks("AUTH TLS", "NOOP");
    talk.says("200 noop", "534 Encryption is not allowed here.");
}

#[test]
fn abor_that_comes_as_urgent_data_is_passed_on_in_its_place() {
    let talk = Talk::begin(&[]);
    (&talk.client).write_all(b"RETR file\r\n\xff\xf4\xff").unwrap();
    SockRef::from(&talk.client).send_out_of_band(b"\xf2").unwrap();
    (&talk.client).write_all(b"ABOR\r\nNOOP\r\n").unwrap();
    let mut got = [0; 27];
    (&talk.server).read_exact(&mut got).unwrap();
    assert_eq!(&got, b"RETR file\r\n\xff\xf4\xff\xf2ABOR\r\nNOOP\r\n"[..27].as_ref());
}

#[test]
fn what_pen_puts_in_the_place_of_an_address_is_shown() {
    let mut talk = Talk::begin(&["-d", "-d"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = talk.active(&listener);
    let said = String::from_utf8_lossy(&{
        talk.pen.stop();
        talk.pen.process().stderr_bytes()
    })
    .into_owned();
    let line = |address: SocketAddr| {
        let line = format!("PORT 127,0,0,1,{},{}\r\n", address.port() >> 8, address.port() & 255);
        format!("{}: {line}\n", line.len())
    };
    let shown = format!("copy_up(0)\n{}", line(listener.local_addr().unwrap()));
    let changed = format!("changed_up(0)\n{}", line(to));
    assert!(said.contains(&format!("{shown}{changed}")), "{said}");
}

#[test]
fn a_client_that_waits_for_no_answers_is_sent_away_with_a_reply() {
    let talk = Talk::begin(&[]);
    talk.client.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let flood = b"NOOP\r\n".repeat(2_000);
    match (&talk.client).write_all(&flood) {
        Ok(()) => {}
        Err(error) => assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}"),
    }
    assert_eq!(read_line(&talk.client), "421 Too many commands are unanswered.\r");
}

#[test]
fn in_a_drain_transfers_go_on_and_further_ones_begin() {
    let mut talk = Talk::begin(&[]);
    let (listener, to) = talk.passive();
    let client = client::connect(to);
    let server = bounded(listener.accept().unwrap().0);
    talk.pen.process().signal("QUIT");
    talk.pen.process().wait_for_stderr("nobody is let in any more");
    pass(&server, &client, &some_bytes(500_000));
    drop((client, server));
    let (listener, to) = talk.passive();
    let client = client::connect(to);
    pass(&client, &bounded(listener.accept().unwrap().0), &some_bytes(500_000));
    let Talk { mut pen, client, server } = talk;
    drop((client, server));
    assert!(pen.process().wait().status.success());
}
