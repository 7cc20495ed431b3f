//! The real world behind the seam: epoll or kqueue by mio, and the clocks.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};

use super::alarm::Alarm;
use super::arrivals::Arrivals;
use super::clock::{Clocks, LocalTime};
use super::console::Console;
use super::folder;
use super::image::Image;
use super::lack;
use super::listener::Listener;
use super::log::Log;
use super::memory;
use super::process;
use super::resolve::Resolver;
use super::signal::Signals;
use super::socket::Socket;
use super::spare::Spares;
use super::upgrade::Upgrader;
use super::watch_readable;
use crate::base::addr::{Endpoint, Source};
use crate::base::diag::Severity;
use crate::base::error::reason;
use crate::base::keepalive::Keepalive;
use crate::base::time::Now;
use crate::net::{Event, Inbox, ListenOptions, LogTarget, Lost, Net, Outbox, Ready, Token};

/// Events taken from the kernel in one turn at most; the others come in the next.
const EVENTS_MAX: usize = 256;

/// Tokens of what this part watches for itself.
const SIGNALS: usize = usize::MAX - 2;
const CONSOLE: usize = usize::MAX - 3;
const RESOLVER: usize = usize::MAX - 4;
const SUCCESSOR: usize = usize::MAX - 5;
const ALARM: usize = usize::MAX - 6;

/// The operating system.
#[derive(Debug)]
pub struct OsNet {
    poll: Poll,
    events: Events,
    arrivals: Arrivals,
    signals: Signals,
    console: Console,
    /// The console's descriptor once it is watched.
    watched_console: Option<RawFd>,
    resolver: Resolver,
    keepalive: Option<Keepalive>,
    upgrader: Upgrader,
    spares: Spares,
    image: Image,
    /// Pipes for which there are descriptors beside those of the pairs.
    pipes_max: usize,
    clocks: Clocks,
    alarm: Alarm,
}

impl OsNet {
    /// The world, with a way to the operator, the signals that were installed, and somebody who
    /// looks names up.
    pub fn new(console: Console, signals: Signals, resolver: Resolver) -> io::Result<OsNet> {
        memory::give_back_large();
        let poll = Poll::new()?;
        watch_readable(&poll, signals.as_fd(), SIGNALS)?;
        Ok(OsNet {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            arrivals: Arrivals::default(),
            signals,
            console,
            watched_console: None,
            resolver,
            keepalive: Some(Keepalive::default()),
            upgrader: Upgrader::refusing("pen does not run yet"),
            spares: Spares::default(),
            image: Image::default(),
            pipes_max: 0,
            clocks: Clocks::started(),
            alarm: Alarm::default(),
        })
    }

    /// Replaces the way to the operator, as when going to the background.
    pub fn set_console(&mut self, console: Console) {
        self.console = console;
        self.watched_console = None;
    }

    /// Sets how many pipes there may be at once.
    pub fn set_pipes_max(&mut self, pipes_max: usize) {
        self.pipes_max = pipes_max;
    }

    /// Sets how a successor is started.
    pub fn set_upgrader(&mut self, upgrader: Upgrader) {
        self.upgrader = upgrader;
    }

    /// How a successor is started.
    pub fn upgrader(&mut self) -> &mut Upgrader {
        &mut self.upgrader
    }

    /// Makes a listener that was inherited one of ours, as [`Net::listen`] does with a new one.
    pub fn adopt(&mut self, listener: &Listener, token: Token) -> io::Result<()> {
        listener.keep_alive(self.keepalive)?;
        self.watch_listener(listener, token)
    }

    fn watch_listener(&mut self, listener: &Listener, token: Token) -> io::Result<()> {
        if listener.is_datagrams() {
            // That a datagram can be sent is not worth an event: nothing waits for it.
            return watch_readable(&self.poll, listener.as_fd(), token.0);
        }
        self.arrivals.watch(&self.poll, listener.as_fd().as_raw_fd(), token.0)
    }

    /// Closes a listener that another process may have, too: as long as it is open there, the
    /// kernel would go on to tell of it here (epoll(7)).
    fn close_listener(&mut self, mut listener: Listener, is_taken: bool) {
        self.arrivals.forget(&self.poll, listener.as_fd().as_raw_fd());
        if is_taken {
            listener.own_file(false);
        }
    }

    /// Writes what still waits for the operator, within bounds.
    pub fn finish(&mut self) {
        self.console.finish(Duration::from_secs(1));
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        self.clocks.now().0
    }

    /// Watches the console while something waits there.
    fn watch_console(&mut self) {
        let Some(fd) = self.console.pending().map(|fd| fd.as_raw_fd()) else { return };
        if self.watched_console != Some(fd) {
            let watched = self.poll.registry().register(&mut SourceFd(&fd), mio::Token(CONSOLE), Interest::WRITABLE);
            // What cannot be watched is written to again with the next words.
            self.watched_console = watched.is_ok().then_some(fd);
        }
    }

    /// Watches the resolver's child, each time there is a new one.
    fn watch_resolver(&mut self) {
        let Some(fd) = self.resolver.unwatched() else { return };
        // Without it the answers come with the next event of another kind.
        let _ = watch_readable(&self.poll, fd, RESOLVER);
    }

    /// Takes note of the kernel's events; true for each of our own: signals, console, resolver,
    /// successor.
    fn sort(&mut self, events: &mut Vec<Event>) -> [bool; 4] {
        let mut own = [false; 4];
        for event in &self.events {
            match event.token().0 {
                SIGNALS => own[0] = true,
                CONSOLE => own[1] = true,
                RESOLVER => own[2] = true,
                SUCCESSOR => own[3] = true,
                ALARM => self.alarm.rings(),
                // It happened to a connection that was over.
                number if self.spares.has(number) => {}
                number => {
                    self.arrivals.told(&self.poll, number);
                    let ready = Ready {
                        readable: event.is_readable(),
                        writable: event.is_writable(),
                        read_closed: event.is_read_closed(),
                        urgent: event.is_priority(),
                        failed: event.is_error(),
                    };
                    events.push(Event::Ready { token: Token(number), ready });
                }
            }
        }
        self.arrivals.all_told();
        own
    }
}

impl Net for OsNet {
    type Listener = Listener;
    type Stream = Socket;
    type Log = Log;

    fn listen(&mut self, at: &Endpoint, options: ListenOptions, token: Token) -> io::Result<Listener> {
        let listener = Listener::open(at, options, self.keepalive)?;
        self.watch_listener(&listener, token)?;
        Ok(listener)
    }

    fn listen_once(&mut self, at: &Endpoint, options: ListenOptions, token: Token) -> io::Result<Listener> {
        self.arrivals.listen_once(&self.poll, at, options, self.keepalive, token.0)
    }

    fn local(&self, listener: &Listener) -> io::Result<Endpoint> {
        listener.local()
    }

    fn accept(&mut self, listener: &mut Listener) -> io::Result<(Socket, Endpoint)> {
        self.spares.pass_over();
        self.arrivals.accept(&self.poll, listener.as_fd().as_raw_fd(), || listener.accept())
    }

    fn connect(&mut self, to: &Endpoint, from: Option<Source>) -> io::Result<Socket> {
        self.spares.connect(to, from, self.keepalive)
    }

    fn retire(&mut self, stream: Socket, token: Token) {
        self.spares.keep(stream, token.0);
    }

    fn rest(&mut self) {
        self.spares.limit(0);
        self.image.let_go(self.clocks.moment);
    }

    fn connect_datagrams(&mut self, to: &Endpoint, from: Option<Source>) -> io::Result<Socket> {
        self.spares.pass_over();
        Socket::connect_datagrams(to, from)
    }

    fn receive(&mut self, listener: &mut Listener, inbox: &mut Inbox) -> io::Result<()> {
        listener.receive(inbox)
    }

    fn answer(&mut self, listener: &mut Listener, outbox: &Outbox, first: usize) -> io::Result<usize> {
        listener.answer(outbox, first)
    }

    fn keep_alive(&mut self, how: Option<Keepalive>, listeners: &[&Listener]) -> io::Result<()> {
        self.keepalive = how;
        listeners.iter().try_for_each(|listener| listener.keep_alive(how))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn pipe(&mut self, open: usize) -> io::Result<super::pipe::Pipe> {
        if open < self.pipes_max {
            super::pipe::Pipe::open(open)
        } else {
            Err(io::Error::from_raw_os_error(libc::EMFILE))
        }
    }

    fn is_lack(&self, error: &io::Error) -> bool {
        lack::is_lack(error)
    }

    fn has_memory(&mut self, bytes: usize) -> bool {
        memory::is_available(bytes)
    }

    fn raise_descriptors(&mut self, needed: u64, welcome: u64) -> io::Result<u64> {
        let limit = process::raise_descriptor_limit(welcome)?;
        let for_pipes = self.spares.allow(limit.saturating_sub(needed));
        self.set_pipes_max(usize::try_from(for_pipes / 2).unwrap_or(usize::MAX));
        Ok(limit)
    }

    fn watch(&mut self, stream: &mut Socket, token: Token) -> io::Result<()> {
        if stream.is_datagrams() {
            return watch_readable(&self.poll, stream.as_fd(), token.0);
        }
        self.spares.watch(&self.poll, stream.as_fd().as_raw_fd(), token.0)
    }

    fn rewatch(&mut self, stream: &mut Socket, token: Token) -> io::Result<()> {
        self.spares.rewatch(&self.poll, stream.as_fd().as_raw_fd(), token.0)
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<Now> {
        self.watch_console();
        self.watch_resolver();
        // An answer without an event: the resolver's child could not be started.
        let timeout = if self.resolver.has_answers() { Some(Duration::ZERO) } else { timeout };
        let timeout = self.alarm.timeout(&self.poll, ALARM, self.clocks.moment, timeout);
        let mut outcome = self.poll.poll(&mut self.events, timeout);
        if outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            // pen may have been stopped for longer than its limits: what came in meanwhile is told
            // before anybody is taken for silent.
            outcome = self.poll.poll(&mut self.events, Some(Duration::ZERO));
        }
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Err(_) => self.events.clear(),
            Ok(()) => {}
        }
        let [signals, console, resolver, successor] = self.sort(events);
        if signals {
            events.extend(self.signals.take().into_iter().map(Event::Signal));
        }
        if console {
            self.console.flush();
        }
        if resolver || self.resolver.has_answers() {
            let answers = self.resolver.read_answers().into_iter();
            events.extend(answers.map(|(request, answer)| Event::Resolved { request, answer }));
        }
        if successor {
            events.extend(self.upgrader.read().map(Event::Successor));
        }
        Ok(self.clocks.tick())
    }

    fn gather(&mut self, time: Duration) {
        self.clocks.nap(time);
    }

    fn subsecond(&self) -> u32 {
        self.clocks.subsecond
    }

    fn local_time(&self, unix: u64) -> String {
        LocalTime::at(unix).to_string()
    }

    fn resolve(&mut self, request: usize, name: &str) {
        self.resolver.ask(request, name);
    }

    fn open_log(&mut self, target: &LogTarget) -> io::Result<Log> {
        Log::open(target)
    }

    fn open_anew(&mut self, path: &Path, magic: &[u8], continues: bool) -> io::Result<Log> {
        folder::open_anew(path, magic, continues).map(Log::File)
    }

    fn read_commands(&mut self, path: &Path) -> io::Result<String> {
        folder::read_text(path, false)
    }

    fn write_file(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        folder::replace(path, bytes)
    }

    fn may_write_file(&mut self, path: &Path) -> io::Result<()> {
        folder::may_replace(path)
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        folder::real_path(path)
    }

    fn say(&mut self, severity: Severity, text: &str) {
        self.console.say(severity, text);
    }

    fn dump(&mut self, bytes: &[u8]) {
        self.console.dump(bytes);
    }

    fn lost(&self) -> Lost {
        self.console.lost()
    }

    fn start_successor(&mut self, listeners: &[&Listener], control: Option<&Listener>) -> Result<(), String> {
        let listeners: Vec<BorrowedFd<'_>> = listeners.iter().map(|listener| listener.as_fd()).collect();
        self.upgrader.start(&listeners, control.map(AsFd::as_fd))?;
        let watched = self.upgrader.fds().try_for_each(|fd| watch_readable(&self.poll, fd, SUCCESSOR));
        watched.map_err(|error| {
            self.upgrader.abandon();
            format!("cannot wait for the new process: {}", reason(&error))
        })
    }

    fn end_successor(&mut self) -> String {
        self.upgrader.abandon()
    }

    fn close(&mut self, listener: Listener) {
        self.close_listener(listener, false);
    }

    fn hand_over(&mut self, clients: &[u8], listeners: Vec<Listener>, control: Option<Listener>) {
        let taken = self.upgrader.taken();
        for (place, listener) in listeners.into_iter().enumerate() {
            self.close_listener(listener, taken.listeners.get(place).is_some_and(|taken| *taken));
        }
        if let Some(control) = control {
            self.close_listener(control, taken.control);
        }
        if let Err(error) = self.upgrader.hand_over(clients) {
            self.say(Severity::Warning, &format!("upgrade: the client table is lost: {}", reason(&error)));
        }
    }
}
