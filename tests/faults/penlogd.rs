//! The request log goes to a penlogd that is not there.

use std::net::UdpSocket;

use crate::support::client::ask;
use crate::support::pen::Pen;
use crate::support::servers::{Server, echo};
use crate::support::wait;

#[test]
fn a_penlogd_that_is_gone_is_said_once_and_gets_its_lines_when_it_is_back() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap();
    let server = Server::start(echo);
    let mut pen = Pen::start(&["-l", &address.to_string()], &[server.address()]);
    let request = |text: &str| assert_eq!(ask(&pen.connect(), text.as_bytes()), text);
    let mut datagram = [0; 2048];
    request("there");
    let count = socket.recv(&mut datagram).unwrap();
    assert_eq!(&datagram[..count], b"+ 127.0.0.1 127.0.0.1 there\n");
    drop(socket);
    (0..50).for_each(|_| request("lost"));
    let said = pen.stderr();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("cannot write the log: connection refused"), "{said}");
    // Another program may have taken the port in the meantime, which is nobody's mistake.
    let Ok(socket) = UdpSocket::bind(address) else { return };
    socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    (0..300).for_each(|_| request("back"));
    for _ in 0..100 {
        let count = socket.recv(&mut datagram).unwrap();
        assert_eq!(&datagram[..count], b"+ 127.0.0.1 127.0.0.1 back\n");
    }
    // How many were lost nobody knows: only some of them are ever refused.
    assert_eq!(pen.stderr().lines().count(), 1, "{}", pen.stderr());
    assert!(pen.stop().status.success());
}
