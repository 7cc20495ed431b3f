//! A client's end of a connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::wait::PATIENCE;

/// Connects; reads and writes on it are bounded by [`PATIENCE`].
#[track_caller]
pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap_or_else(|e| panic!("cannot connect to {to}: {e}"));
    bounded(stream)
}

/// Connects from the address `source` (on Linux all of 127.0.0.0/8 is there): another client for pen.
#[track_caller]
pub fn connect_from(source: IpAddr, to: SocketAddr) -> TcpStream {
    let connected = Socket::new(Domain::for_address(to), Type::STREAM, None).and_then(|socket| {
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect_timeout(&to.into(), PATIENCE)?;
        Ok(socket)
    });
    match connected {
        Ok(socket) => bounded(socket.into()),
        Err(e) => panic!("cannot connect from {source} to {to}: {e}"),
    }
}

/// The same stream, with its reads and writes bounded by [`PATIENCE`].
pub fn bounded(stream: TcpStream) -> TcpStream {
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .expect("a connected socket takes time-outs");
    stream
}

/// How a connection ended, seen from the reader.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum End {
    /// An orderly end: a FIN.
    Finished,
    /// A reset.
    Reset,
}

/// Reads to the end: the bytes, and what kind of end it was.  Silence for [`PATIENCE`] is a failure.
#[track_caller]
pub fn read_to_end(mut stream: &TcpStream) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => (bytes, End::Finished),
        Err(e) if e.kind() == ErrorKind::ConnectionReset => (bytes, End::Reset),
        Err(e) => panic!("after {} bytes: {e}", bytes.len()),
    }
}

/// Reads one line, without its newline.  Byte by byte, so that nothing behind it is taken away.
#[track_caller]
pub fn read_line(mut stream: &TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).unwrap_or_else(|e| panic!("after {:?}: {e}", String::from_utf8_lossy(&line)));
        if byte[0] == b'\n' {
            return String::from_utf8_lossy(&line).into_owned();
        }
        line.push(byte[0]);
    }
}

/// Sends `request`, ends the sending direction, and reads the answer to its orderly end.
#[track_caller]
pub fn ask(mut stream: &TcpStream, request: &[u8]) -> String {
    stream.write_all(request).expect("the other end reads");
    stream.shutdown(Shutdown::Write).expect("still connected");
    let (answer, end) = read_to_end(stream);
    assert_eq!(end, End::Finished, "after {} bytes", answer.len());
    String::from_utf8_lossy(&answer).into_owned()
}

/// Closes with a reset.
pub fn reset(stream: TcpStream) {
    let socket = Socket::from(stream);
    socket.set_linger(Some(std::time::Duration::ZERO)).expect("a socket takes SO_LINGER");
}
