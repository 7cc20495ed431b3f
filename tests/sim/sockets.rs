//! The seam, put onto the simulated world. A loop that spins is told so by a panic; what the
//! calls do is in `calls`.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use pen::base::addr::{Endpoint, Source};
use pen::base::diag::Severity;
use pen::base::time::{Moment, Now};
use pen::net::{Event, ListenOptions, LogTarget, Net, Ready, Stream, Token, Unread};
use pen::proxy::listener::listening_token;

use super::pipes::SimPipe;
use super::plan::Lack;
use super::wire::PROXY;
use super::world::{Stage, World};

/// Turns in a row that may have no event, no time to wait and nothing done.
const IDLE_TURNS_MAX: u32 = 2;

/// The simulated world as pen sees it.
#[derive(Debug)]
pub struct SimNet {
    pub world: Rc<RefCell<World>>,
    /// What had been done at the last wait, and how many such turns there were in a row.
    progress: u64,
    idle_turns: u32,
}

impl SimNet {
    pub fn new(world: Rc<RefCell<World>>) -> SimNet {
        SimNet { world, progress: 0, idle_turns: 0 }
    }

    fn refuse_to_spin(&mut self, timeout: Option<Duration>, is_quiet: bool, progress: u64) {
        let is_idle = timeout == Some(Duration::ZERO) && is_quiet && progress == self.progress;
        self.idle_turns = if is_idle { self.idle_turns + 1 } else { 0 };
        self.progress = progress;
        assert!(self.idle_turns <= IDLE_TURNS_MAX, "the loop spins: no event, no time to wait, and nothing done");
    }
}

/// A connection of pen's.
#[derive(Debug)]
pub struct SimStream {
    world: Rc<RefCell<World>>,
    line: usize,
    /// Where the network tells all.
    unread: Option<Unread>,
}

/// A listener, and which.
#[derive(Debug)]
pub struct SimListener(Rc<RefCell<World>>, Spot);

/// Where somebody may come.
#[derive(Clone, Copy, Debug)]
enum Spot {
    /// The queue of a listener.
    Queue(usize),
    /// A port for a data connection.
    Port(usize),
}

/// The request log, or a capture, on a disk that may be full.
#[derive(Debug)]
pub struct SimLog(Rc<RefCell<World>>, Option<usize>);

impl SimStream {
    fn new(world: &Rc<RefCell<World>>, line: usize) -> SimStream {
        let unread = world.borrow().odds().tells_all.then(Unread::default);
        SimStream { world: world.clone(), line, unread }
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if let Ok(mut world) = self.0.try_borrow_mut() {
            let queue = match self.1 {
                Spot::Queue(queue) => queue,
                Spot::Port(port) => return world.close_port(port),
            };
            world.open -= 1;
            // A successor that is being set up has the same socket, and would keep the port for nobody.
            assert!(world.successor.is_none() || std::thread::panicking(), "the port is free when the listener goes");
            if world.is_handed_over { world.serve_elsewhere() } else { world.turn_away(queue) }
        }
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        // In a panic the world may be in use.
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.close(self.line);
        }
    }
}

impl Net for SimNet {
    type Listener = SimListener;
    type Stream = SimStream;
    type Log = SimLog;

    fn listen(&mut self, _: &Endpoint, _: ListenOptions, token: Token) -> io::Result<SimListener> {
        let listeners = self.world.borrow().queues.len();
        let listener = (0..listeners).find(|listener| token == listening_token(*listener));
        self.world.borrow_mut().count_open();
        Ok(SimListener(self.world.clone(), Spot::Queue(listener.expect("there are no others"))))
    }

    fn listen_once(&mut self, at: &Endpoint, _: ListenOptions, token: Token) -> io::Result<SimListener> {
        let port = self.world.borrow_mut().open_port(at, token)?;
        Ok(SimListener(self.world.clone(), Spot::Port(port)))
    }

    fn local(&self, listener: &SimListener) -> io::Result<Endpoint> {
        match listener.1 {
            Spot::Port(port) => Ok(self.world.borrow().address_of_port(port)),
            Spot::Queue(_) => Ok(Endpoint::inet("192.0.2.1:80".parse().unwrap())),
        }
    }

    fn accept(&mut self, listener: &mut SimListener) -> io::Result<(SimStream, Endpoint)> {
        let accepted = match listener.1 {
            Spot::Queue(queue) => self.world.borrow_mut().accept(queue),
            Spot::Port(port) => self.world.borrow_mut().accept_data(port),
        };
        self.world.borrow_mut().note(|_| format!("pen accepts: {accepted:?}"));
        let (line, from) = accepted?;
        Ok((SimStream::new(&self.world, line), from))
    }

    fn connect(&mut self, to: &Endpoint, _: Option<Source>) -> io::Result<SimStream> {
        let line = self.world.borrow_mut().connect(to)?;
        Ok(SimStream::new(&self.world, line))
    }

    fn is_lack(&self, error: &io::Error) -> bool {
        Lack::is_lack(error)
    }

    fn has_memory(&mut self, bytes: usize) -> bool {
        self.world.borrow_mut().has_memory(bytes)
    }

    fn pipe(&mut self, open: usize) -> io::Result<SimPipe> {
        SimPipe::open(&self.world, open)
    }

    fn watch(&mut self, stream: &mut SimStream, token: Token) -> io::Result<()> {
        self.world.borrow_mut().watch(stream.line, token)
    }

    fn rewatch(&mut self, stream: &mut SimStream, token: Token) -> io::Result<()> {
        self.world.borrow_mut().rewatch(stream.line, token)
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<Now> {
        let before = self.world.borrow().progress;
        self.world.borrow_mut().wait(events, timeout)?;
        self.world.borrow_mut().stop_pen();
        let moment = self.world.borrow().now;
        self.refuse_to_spin(timeout, events.is_empty(), before);
        Ok(Now { moment: Moment::from_nanos(moment), unix: self.world.borrow().unix() })
    }

    fn gather(&mut self, time: Duration) {
        self.world.borrow_mut().gather(time);
    }

    fn resolve(&mut self, request: usize, name: &str) {
        self.world.borrow_mut().resolve(request, name);
    }

    fn open_log(&mut self, _: &LogTarget) -> io::Result<SimLog> {
        let mut world = self.world.borrow_mut();
        match world.lacking() {
            Some(lack) => Err(lack.error()),
            None => {
                world.count_open();
                Ok(SimLog(self.world.clone(), None))
            }
        }
    }

    fn open_anew(&mut self, _: &Path, magic: &[u8], continues: bool) -> io::Result<SimLog> {
        assert!(!continues && magic.len() == 4, "a capture is of this process");
        let number = self.world.borrow_mut().open_capture()?;
        Ok(SimLog(self.world.clone(), Some(number)))
    }

    fn read_commands(&mut self, _: &Path) -> io::Result<String> {
        Err(ErrorKind::NotFound.into())
    }

    fn say(&mut self, severity: Severity, text: &str) {
        let mut world = self.world.borrow_mut();
        world.calls.say += 1;
        world.note(|_| format!("pen says ({severity:?}): {text}"));
        if severity != Severity::Debug {
            world.said.push(text.to_owned());
        }
    }

    fn dump(&mut self, bytes: &[u8]) {
        self.world.borrow_mut().calls.dump += 1;
        assert!(bytes.starts_with(b"copy_") || bytes.starts_with(b"changed_"), "a dump says which way the bytes went");
    }

    fn start_successor(&mut self, _: &[&SimListener], _: Option<&SimListener>) -> Result<(), String> {
        self.world.borrow_mut().start_successor()
    }

    fn end_successor(&mut self) -> String {
        self.world.borrow_mut().successor = None;
        String::new()
    }

    fn hand_over(&mut self, clients: &[u8], listeners: Vec<SimListener>, _: Option<SimListener>) {
        self.world.borrow_mut().hand_over(clients);
        drop(listeners);
    }
}

impl Read for SimStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(outcome) = self.unread.and_then(Unread::foretell) {
            return outcome;
        }
        let outcome = self.world.borrow_mut().read(self.line, buffer);
        if let Some(unread) = &mut self.unread {
            unread.read(&outcome, buffer.len());
        }
        outcome
    }
}

impl Write for SimStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.world.borrow_mut().write(self.line, bytes, false)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for SimStream {
    type Pipe = SimPipe;

    fn is_drained(&self) -> bool {
        self.unread == Some(Unread::Nothing)
    }

    fn is_at_end(&self) -> bool {
        self.unread == Some(Unread::OnlyEnd)
    }

    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.world.borrow_mut().write(self.line, bytes, true)
    }

    fn fill(&mut self, pipe: &mut SimPipe) -> io::Result<usize> {
        if self.unread.is_some_and(|unread| !unread.is_plain()) {
            return Ok(0);
        }
        pipe.fill(self.line)
    }

    fn pour(&mut self, pipe: &mut SimPipe) -> io::Result<usize> {
        pipe.pour(self.line)
    }

    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(outcome) = self.unread.and_then(Unread::foretell) {
            return outcome;
        }
        self.world.borrow_mut().peek(self.line, buffer)
    }

    fn edge(&mut self, ready: Ready) {
        if let Some(unread) = &mut self.unread {
            unread.edge(ready);
        }
    }

    fn settle(&mut self) {
        self.world.borrow_mut().calls.settle += 1;
    }

    fn connected(&mut self, _: Ready) -> io::Result<bool> {
        self.world.borrow_mut().connected(self.line)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        let mut world = self.world.borrow_mut();
        world.calls.take_error += 1;
        world.preempt();
        let line = &mut world.lines[self.line];
        let kind = match &mut line.stage {
            Stage::Failed(why) => why.take(),
            Stage::Connecting | Stage::Up | Stage::Abandoned => line.wire.halves[PROXY].take_error(),
        };
        Ok(kind.map(io::Error::from))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        world.calls.shutdown_write += 1;
        world.preempt();
        world.progress += 1;
        let outcome = world.lines[self.line].wire.shutdown_write(PROXY);
        world.note(|_| format!("pen ends line {}: {outcome:?}", self.line));
        world.follow_up(self.line);
        outcome
    }

    fn unsent(&self) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        world.calls.unsent += 1;
        world.preempt();
        Ok(world.lines[self.line].wire.halves[PROXY].unsent())
    }

    fn reset_on_drop(&mut self) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        world.calls.reset_on_drop += 1;
        world.lines[self.line].wire.reset_on_close(PROXY);
        Ok(())
    }

    fn no_delay(&mut self) -> io::Result<()> {
        self.world.borrow_mut().calls.no_delay += 1;
        Ok(())
    }

    fn local(&self) -> io::Result<Endpoint> {
        if self.world.borrow().ftp.is_some() {
            return self.world.borrow().local_of(self.line);
        }
        Ok(Endpoint::inet("192.0.2.1:80".parse().unwrap()))
    }

    fn descriptor(&self) -> i32 {
        i32::try_from(self.line).unwrap()
    }
}

impl Drop for SimLog {
    fn drop(&mut self) {
        if let Ok(mut world) = self.0.try_borrow_mut() {
            world.open -= 1;
            if let Some(number) = self.1 {
                world.captures[number].is_open = false;
            }
        }
    }
}

impl Write for SimLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.0.borrow_mut();
        if let Some(number) = self.1 {
            return world.write_capture(number, bytes);
        }
        let odds = world.odds();
        if world.choices.one_in(odds.disk) {
            let kind = *world.choices.pick(&[ErrorKind::StorageFull, ErrorKind::WouldBlock, ErrorKind::Interrupted]);
            return Err(kind.into());
        }
        let count = if world.choices.one_in(odds.short) { world.choices.part(bytes.len()) } else { bytes.len() };
        world.log.extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
