//! What a client and a server of the soak say to each other in FTP (RFC 959, RFC 2428): every file must be whole, and
//! one that was cut short must not look whole.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};

use socket2::SockRef;

use super::conversation::{SILENCE_MAX, patterns, silent_for_long};
use super::tally::{Tally, add};
use super::traffic::Random;
use crate::support::client::reset;

/// What becomes of a file.  Its name says so, and how long it is, so that the server knows what must come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Get,
    Put,
    /// Sent by half, then reset.
    Cut,
}

/// How the data connection comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pasv,
    Epsv,
    Port,
    Eprt,
}

const MODES: [Mode; 4] = [Mode::Pasv, Mode::Epsv, Mode::Port, Mode::Eprt];

type Outcome<T> = Result<T, String>;

fn told(what: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// A control connection.
struct Control<'a> {
    stream: &'a TcpStream,
    reader: BufReader<&'a TcpStream>,
}

impl Control<'_> {
    fn new(stream: &TcpStream) -> Control<'_> {
        Control { stream, reader: BufReader::new(stream) }
    }

    fn say(&mut self, line: &str) -> Outcome<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).map_err(told(line))
    }

    /// The next line; `None` at the end.
    fn hear(&mut self) -> Outcome<Option<String>> {
        let mut line = String::new();
        self.reader.read_line(&mut line).map_err(told("a line"))?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(Some(line.to_string())),
            None if line.is_empty() => Ok(None),
            None => Err(format!("an end behind {line:?}")),
        }
    }

    /// A reply that must have this code.
    fn expect(&mut self, code: &str) -> Outcome<String> {
        let line = self.hear()?.ok_or_else(|| format!("an end instead of {code}"))?;
        if line.starts_with(code) { Ok(line) } else { Err(format!("instead of {code}: {line}")) }
    }

    fn ask(&mut self, line: &str, code: &str) -> Outcome<String> {
        self.say(line)?;
        self.expect(code)
    }
}

/// The client's part.
pub fn client(stream: &TcpStream, tally: &Tally, random: &mut Random, mut served_by: impl FnMut(u8)) -> Outcome<()> {
    silent_for_long(stream)?;
    let mut control = Control::new(stream);
    let greeting = control.expect("220 ")?;
    served_by(greeting[4..].parse().map_err(|_| format!("greeted with {greeting:?}"))?);
    control.ask("USER soak", "331 ")?;
    control.ask("PASS secret", "230 ")?;
    control.ask("TYPE I", "200 ")?;
    for _ in 0..1 + random.below(5) {
        let mode = MODES[random.below(4) as usize];
        let way = match random.below(5) {
            0 => Way::Cut,
            1 | 2 => Way::Put,
            _ => Way::Get,
        };
        let (seed, length) = (random.below(256) as u8, 2 + random.size(1 << 22));
        carry(&mut control, mode, way, seed, length).map_err(|text| format!("{mode:?} {way:?} {length}: {text}"))?;
        add(if way == Way::Cut { &tally.files_cut } else { &tally.files }, 1);
        add(&tally.bytes, if way == Way::Cut { 0 } else { length as u64 });
    }
    control.ask("QUIT", "221 ")?;
    match control.hear()? {
        None => Ok(()),
        Some(line) => Err(format!("behind the end: {line}")),
    }
}

/// One file.
fn carry(control: &mut Control, mode: Mode, way: Way, seed: u8, length: usize) -> Outcome<()> {
    let (data, listener) = arrange(control, mode)?;
    let verb = if way == Way::Get { "RETR" } else { "STOR" };
    let cut = if way == Way::Cut { "cut" } else { "whole" };
    control.ask(&format!("{verb} {cut}-{seed}-{length}"), "150 ")?;
    let data = match (data, listener) {
        (Some(data), _) => data,
        (None, Some(listener)) => accept(&listener)?,
        (None, None) => unreachable!("it is one or the other"),
    };
    silent_for_long(&data)?;
    let (up, down) = patterns(seed);
    match way {
        Way::Get => {
            let count = down.check(&data, 65_536).map_err(told("file"))?;
            if count != length {
                return Err(format!("a clean end after {count} bytes"));
            }
        }
        Way::Put => {
            up.write(&data, length, |_| {}).map_err(told("file"))?;
        }
        Way::Cut => {
            up.write(&data, length / 2, |_| {}).map_err(told("file"))?;
            reset(data);
            return control.expect("426 ").map(drop);
        }
    }
    drop(data);
    control.expect("226 ").map(drop)
}

/// The data connection, or where it will arrive.
fn arrange(control: &mut Control, mode: Mode) -> Outcome<(Option<TcpStream>, Option<TcpListener>)> {
    let (own, peer) = control
        .stream
        .local_addr()
        .and_then(|own| Ok((own, control.stream.peer_addr()?)))
        .map_err(told("addresses"))?;
    let port = match mode {
        Mode::Pasv => {
            let reply = control.ask("PASV", "227 ")?;
            let address = pasv(&reply).ok_or_else(|| reply.clone())?;
            if IpAddr::V4(*address.ip()) != peer.ip() {
                return Err(format!("not at {}: {reply}", peer.ip()));
            }
            address.port()
        }
        Mode::Epsv => {
            let reply = control.ask("EPSV", "229 ")?;
            reply.split('|').nth(3).and_then(|port| port.parse().ok()).ok_or(reply)?
        }
        Mode::Port | Mode::Eprt => {
            let listener = TcpListener::bind((own.ip(), 0)).map_err(told("a port"))?;
            let port = listener.local_addr().map_err(told("a port"))?.port();
            let line = match mode {
                Mode::Port => {
                    format!("PORT {},{},{}", own.ip().to_string().replace('.', ","), port >> 8, port & 255)
                }
                _ => format!("EPRT |1|{}|{port}|", own.ip()),
            };
            control.ask(&line, "200 ")?;
            return Ok((None, Some(listener)));
        }
    };
    // From the same address as the control connection, as pen wants it.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).map_err(told("a socket"))?;
    socket.bind(&SocketAddr::new(own.ip(), 0).into()).map_err(told("bind"))?;
    let to = SocketAddr::new(peer.ip(), port);
    socket.connect_timeout(&to.into(), SILENCE_MAX).map_err(told("data connection"))?;
    Ok((Some(socket.into()), None))
}

/// The address of a 227 reply.
fn pasv(reply: &str) -> Option<SocketAddrV4> {
    address(reply.split_once('(')?.1.split_once(')')?.0)
}

/// An address of PASV and PORT: six numbers.
fn address(text: &str) -> Option<SocketAddrV4> {
    let numbers: Vec<u8> = text.split(',').map_while(|number| number.parse().ok()).collect();
    let &[a, b, c, d, high, low] = numbers.as_slice() else { return None };
    Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])))
}

/// Accepts within a bounded time.
fn accept(listener: &TcpListener) -> Outcome<TcpStream> {
    SockRef::from(listener).set_read_timeout(Some(SILENCE_MAX)).map_err(told("time-out"))?;
    let (stream, _) = listener.accept().map_err(told("no data connection"))?;
    Ok(stream)
}

/// The server's part; an error is something that must never happen.
pub fn server(stream: &TcpStream, number: u8) -> Outcome<()> {
    // What goes wrong with the control connection is said by the client.
    let mut control = Control::new(stream);
    let mut place = None;
    if control.say(&format!("220 {number}")).is_err() {
        return Ok(());
    }
    while let Ok(Some(line)) = control.hear() {
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let reply = match verb {
            "USER" => "331 and the password".to_string(),
            "PASS" => "230 welcome".to_string(),
            "TYPE" => "200 as you like".to_string(),
            "PASV" | "EPSV" => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(told("a port"))?;
                let port = listener.local_addr().map_err(told("a port"))?.port();
                place = Some(Place::Here(listener));
                match verb {
                    "PASV" => format!("227 at (127,0,0,1,{},{})", port >> 8, port & 255),
                    _ => format!("229 at (|||{port}|)"),
                }
            }
            "PORT" => {
                place = address(rest).map(|address| Place::There(address.into()));
                "200 there".to_string()
            }
            "EPRT" => {
                let mut parts = rest.split('|').skip(2);
                let ip = parts.next().and_then(|ip| ip.parse().ok());
                let port = parts.next().and_then(|port| port.parse().ok());
                place = ip.zip(port).map(|(ip, port)| Place::There(SocketAddr::new(ip, port)));
                "200 there".to_string()
            }
            "RETR" | "STOR" => match open(place.take()) {
                Ok(data) => {
                    if control.say("150 now").is_err() {
                        return Ok(());
                    }
                    transfer(verb, rest, &data).map_err(|text| format!("{line}: {text}"))?
                }
                Err(text) => format!("425 {text}"),
            },
            "QUIT" => {
                let _ = control.say("221 bye");
                return Ok(());
            }
            _ => format!("500 {line}"),
        };
        if control.say(&reply).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Where the server's data connection comes from.
enum Place {
    Here(TcpListener),
    There(SocketAddr),
}

fn open(place: Option<Place>) -> Outcome<TcpStream> {
    let data = match place {
        Some(Place::Here(listener)) => accept(&listener)?,
        Some(Place::There(address)) => TcpStream::connect_timeout(&address, SILENCE_MAX).map_err(told("connect"))?,
        None => return Err("where?".to_string()),
    };
    silent_for_long(&data)?;
    Ok(data)
}

/// Carries a file and returns the reply.
fn transfer(verb: &str, name: &str, data: &TcpStream) -> Outcome<String> {
    let parts: Vec<&str> = name.split('-').collect();
    let &[cut, seed, length] = parts.as_slice() else { return Err("what name is that".to_string()) };
    let (seed, length) = seed.parse().ok().zip(length.parse::<usize>().ok()).ok_or("a name of other parts")?;
    let (up, down) = patterns(seed);
    if verb == "RETR" {
        let sent = down.write(data, length, |_| {}).and_then(|()| data.shutdown(Shutdown::Write));
        // The client's end: what was sent has come by then.
        return Ok(match sent.and_then(|()| up.check(data, 1)) {
            Ok(_) => "226 done".to_string(),
            Err(error) => format!("426 {error}"),
        });
    }
    match (up.check(data, 65_536), cut) {
        (Ok(count), "cut") => Err(format!("a file that was cut had a clean end after {count} bytes")),
        (Ok(count), _) if count == length => Ok("226 done".to_string()),
        (Ok(count), _) => Err(format!("a clean end after {count} bytes")),
        (Err(error), "cut") if error.kind() == io::ErrorKind::ConnectionReset => Ok("426 cut".to_string()),
        (Err(error), _) => Err(error.to_string()),
    }
}
