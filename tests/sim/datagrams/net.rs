//! The seam, put onto the world of datagrams.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use pen::base::addr::{Endpoint, Source};
use pen::base::diag::Severity;
use pen::base::time::{Moment, Now};
use pen::net::{Event, Inbox, ListenOptions, LogTarget, Net, NoPipe, Outbox, Ready, Stream, Token};
use pen::proxy::listener::listening_token;

use super::world::World;

/// The world as pen sees it.
#[derive(Debug)]
pub struct UdpNet(Rc<RefCell<World>>);

/// A listener, and which.
#[derive(Debug)]
pub struct UdpListener(Rc<RefCell<World>>, usize);

/// A socket that leads to a server.
#[derive(Debug)]
pub struct UdpSocket(Rc<RefCell<World>>, usize);

impl UdpNet {
    pub fn new(world: Rc<RefCell<World>>) -> UdpNet {
        UdpNet(world)
    }
}

impl Drop for UdpListener {
    fn drop(&mut self) {
        if let Ok(mut world) = self.0.try_borrow_mut() {
            world.listening -= 1;
        }
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        if let Ok(mut world) = self.0.try_borrow_mut() {
            world.close(self.1);
        }
    }
}

impl Net for UdpNet {
    type Listener = UdpListener;
    type Stream = UdpSocket;
    type Log = Vec<u8>;

    fn listen(&mut self, _: &Endpoint, options: ListenOptions, token: Token) -> io::Result<UdpListener> {
        assert!(options.datagrams);
        self.0.borrow_mut().listening += 1;
        let number = (0..).find(|number| listening_token(*number) == token).unwrap();
        Ok(UdpListener(Rc::clone(&self.0), number))
    }

    fn local(&self, _: &UdpListener) -> io::Result<Endpoint> {
        Ok(Endpoint::inet("0.0.0.0:53".parse().unwrap()))
    }

    fn accept(&mut self, _: &mut UdpListener) -> io::Result<(UdpSocket, Endpoint)> {
        panic!("nobody is accepted where datagrams arrive")
    }

    fn connect(&mut self, _: &Endpoint, _: Option<Source>) -> io::Result<UdpSocket> {
        panic!("nothing connects by TCP")
    }

    fn connect_datagrams(&mut self, to: &Endpoint, _: Option<Source>) -> io::Result<UdpSocket> {
        let Endpoint::Inet(to) = to else { panic!("all servers have addresses") };
        let number = self.0.borrow_mut().connect(*to)?;
        Ok(UdpSocket(Rc::clone(&self.0), number))
    }

    fn receive(&mut self, listener: &mut UdpListener, inbox: &mut Inbox) -> io::Result<()> {
        self.0.borrow_mut().receive(listener.1, inbox)
    }

    fn answer(&mut self, listener: &mut UdpListener, outbox: &Outbox, first: usize) -> io::Result<usize> {
        self.0.borrow_mut().answer(listener.1, outbox, first)
    }

    fn is_lack(&self, error: &io::Error) -> bool {
        matches!(error.raw_os_error(), Some(12 | 24))
    }

    fn has_memory(&mut self, _: usize) -> bool {
        !self.0.borrow_mut().lacks_memory()
    }

    fn watch(&mut self, stream: &mut UdpSocket, token: Token) -> io::Result<()> {
        self.0.borrow_mut().watch(stream.1, token)
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<Now> {
        self.0.borrow_mut().wait(events, timeout)?;
        let nanos = self.0.borrow().now;
        Ok(Now { moment: Moment::from_nanos(nanos), unix: nanos / 1_000_000_000 })
    }

    fn resolve(&mut self, _: usize, _: &str) {
        panic!("no server has a name")
    }

    fn open_log(&mut self, _: &LogTarget) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn read_commands(&mut self, _: &Path) -> io::Result<String> {
        Err(ErrorKind::NotFound.into())
    }

    fn say(&mut self, severity: Severity, text: &str) {
        self.0.borrow_mut().note(|| format!("pen says ({severity:?}): {text}"));
    }

    fn dump(&mut self, bytes: &[u8]) {
        assert!(bytes.starts_with(b"copy_"), "a dump says which way the bytes went");
    }
}

impl Read for UdpSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(self.1, buffer)
    }
}

impl Write for UdpSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(self.1, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for UdpSocket {
    type Pipe = NoPipe;

    fn peek(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("nobody looks at datagrams")
    }

    fn connected(&mut self, _: Ready) -> io::Result<bool> {
        Ok(true)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        panic!("there is no end of datagrams")
    }

    fn unsent(&self) -> io::Result<usize> {
        Ok(0)
    }

    fn reset_on_drop(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn no_delay(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> i32 {
        i32::try_from(self.1).unwrap()
    }
}
