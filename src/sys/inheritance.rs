//! The new side of an upgrade: what a successor inherited, and its conversation with the old pen.
//!
//! [`upgrade`](super::upgrade) says how they talk. Nothing that was inherited is used before it
//! was found to be what it should be, and nothing of it is passed on to a further process.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::checked;
use super::listener::Listener;
use super::upgrade::{LEFT, NONE, TOOK, VARIABLE};
use crate::base::addr::Endpoint;
use crate::net::ListenOptions;

/// How long the old pen may take to write down its clients.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes that are read of what it wrote.
const CLIENTS_MAX: u64 = 1 << 27;

/// What a pen inherited from the one that it takes over from.
#[derive(Debug)]
pub struct Inheritance {
    /// Not closed before the end of a process that gives up: until then it has something to say.
    channel: ManuallyDrop<UnixStream>,
    clients: File,
    control: Inherited,
    listeners: Vec<Inherited>,
}

/// A listener that was inherited.
#[derive(Debug)]
enum Inherited {
    /// Nobody has asked for it.
    Here(Listener),
    /// It is one of ours now.
    Taken,
    /// There is none, or not any more.
    Gone,
}

/// What a listener is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Clients.
    Clients,
    /// Commands.
    Control,
}

impl Inherited {
    fn found(fd: OwnedFd) -> io::Result<Inherited> {
        Ok(Inherited::Here(Listener::inherited(fd)?))
    }
}

impl Inheritance {
    /// What the process that started this one left to it; `None` if that was no pen. To be called
    /// once, before anything else is opened and while there is one thread.
    pub fn claim() -> io::Result<Option<Inheritance>> {
        let Some(text) = std::env::var_os(VARIABLE) else { return Ok(None) };
        // SAFETY: there is no other thread that could look at the environment meanwhile.
        unsafe { std::env::remove_var(VARIABLE) };
        let text = text.to_string_lossy();
        let mut words = text.split(' ');
        // A process further down may have kept the variable without keeping the descriptors.
        if words.next().map(str::parse) != Some(Ok(std::os::unix::process::parent_id())) {
            return Ok(None);
        }
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, format!("{VARIABLE} is '{text}'"));
        let mut words: Vec<&str> = words.collect();
        let has_control = words.get(2).is_some_and(|word| *word != NONE);
        if !has_control && words.len() > 2 {
            words.remove(2);
        }
        let numbers: Vec<u32> =
            words.iter().map(|word| word.parse()).collect::<Result<_, _>>().map_err(|_| invalid())?;
        let is_distinct = numbers.iter().enumerate().all(|(at, number)| !numbers[..at].contains(number));
        if !is_distinct {
            return Err(invalid());
        }
        let mut fds = Vec::new();
        for number in numbers {
            let number = RawFd::try_from(number).ok().filter(|number| *number > 2).ok_or_else(invalid)?;
            fds.push(adopt(number)?);
        }
        let mut fds = fds.into_iter();
        let (Some(channel), Some(clients)) = (fds.next(), fds.next()) else { return Err(invalid()) };
        let (channel, clients) = (ManuallyDrop::new(UnixStream::from(channel)), File::from(clients));
        let control = if has_control { fds.next() } else { None };
        let control = control.map_or(Ok(Inherited::Gone), Inherited::found)?;
        let listeners = fds.map(Inherited::found).collect::<io::Result<_>>()?;
        Ok(Some(Inheritance { channel, clients, control, listeners }))
    }

    /// The first listener for this use that listens there and was not taken yet; port 0 is any.
    pub fn listener(&mut self, what: Use, at: &Endpoint, options: ListenOptions) -> io::Result<Option<Listener>> {
        let inherited = match what {
            Use::Clients => &mut self.listeners[..],
            Use::Control => std::slice::from_mut(&mut self.control),
        };
        for slot in inherited {
            if let Inherited::Here(listener) = slot
                && listener.is_datagrams() == options.datagrams
                && is_at(&listener.local()?, at)
                && let Inherited::Here(listener) = std::mem::replace(slot, Inherited::Taken)
            {
                listener.set_backlog(options.backlog)?;
                return Ok(Some(listener));
            }
        }
        Ok(None)
    }

    /// All is set up: tells the old pen, waits until it has closed its listeners, and returns what
    /// it remembers of clients. If it is gone meanwhile, nothing is remembered.
    pub fn tell(mut self) -> io::Result<Vec<u8>> {
        let all = std::iter::once(&self.control).chain(&self.listeners);
        let said: Vec<u8> = all.map(|one| if matches!(one, Inherited::Taken) { TOOK } else { LEFT }).collect();
        // What was not taken must be closed before the old pen closes it.
        self.control = Inherited::Gone;
        self.listeners.clear();
        let mut channel = ManuallyDrop::into_inner(self.channel);
        channel.set_read_timeout(Some(PATIENCE))?;
        channel.write_all(&said)?;
        channel.read_exact(&mut [0])?;
        let mut bytes = Vec::new();
        self.clients.rewind()?;
        self.clients.take(CLIENTS_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Whether a listener there is one that is wanted here; port 0 is any.
pub fn is_at(local: &Endpoint, wanted: &Endpoint) -> bool {
    match (local, wanted) {
        (Endpoint::Inet(local), Endpoint::Inet(wanted)) if wanted.port() == 0 => local.ip() == wanted.ip(),
        _ => local == wanted,
    }
}

/// Takes possession of a descriptor, which is closed on exec from now on.
pub(super) fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed; a number that is not open makes it fail.
    checked(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and was left to this process, in which nothing else was opened so far.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    debug_assert!(fd.as_raw_fd() > 2, "the standard ones belong to std");
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::listener::Listener as Opened;
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn options() -> crate::net::ListenOptions {
        crate::net::ListenOptions { backlog: 5, private: false, shared: false, datagrams: false, foreign: false }
    }

    /// An inheritance with a copy of this listener for clients, and the old pen's end.
    fn inheritance(listener: &Opened) -> (Inheritance, UnixStream) {
        let (old, channel) = UnixStream::pair().unwrap();
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pen-inherited-{}-{number}", std::process::id()));
        let clients = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        // As the file of a real inheritance it has no name any more.
        std::fs::remove_file(path).unwrap();
        let channel = ManuallyDrop::new(channel);
        (Inheritance { channel, clients, control: Inherited::Gone, listeners: vec![copy(listener)] }, old)
    }

    fn copy(listener: &Opened) -> Inherited {
        Inherited::found(listener.as_fd().try_clone_to_owned().unwrap()).unwrap()
    }

    /// Which of the listeners for clients were taken.
    fn taken_of(inheritance: &Inheritance) -> Vec<bool> {
        inheritance.listeners.iter().map(|listener| matches!(listener, Inherited::Taken)).collect()
    }

    #[test]
    fn a_listener_is_taken_where_it_is_wanted_and_nowhere_else() {
        let any: Endpoint = Endpoint::inet("127.0.0.1:0".parse().unwrap());
        let opened = Opened::open(&any, options(), None).unwrap();
        let local = opened.local().unwrap();
        let other = Endpoint::inet("127.0.0.2:0".parse().unwrap());
        let unix = Endpoint::Unix("/tmp/x".into());
        for (wanted, is_taken) in [(&local, true), (&any, true), (&other, false), (&unix, false)] {
            let (mut inheritance, _old) = inheritance(&opened);
            assert!(inheritance.listener(Use::Control, wanted, options()).unwrap().is_none());
            let taken = inheritance.listener(Use::Clients, wanted, options()).unwrap();
            assert_eq!(taken.map(|listener| listener.local().unwrap()), is_taken.then(|| local.clone()));
            assert!(inheritance.listener(Use::Clients, wanted, options()).unwrap().is_none(), "it is taken once");
            assert_eq!(taken_of(&inheritance), [is_taken]);
        }
    }

    #[test]
    fn of_several_listeners_each_is_taken_once_and_told_of() {
        let any: Endpoint = Endpoint::inet("127.0.0.1:0".parse().unwrap());
        let opened: Vec<Opened> = (0..3).map(|_| Opened::open(&any, options(), None).unwrap()).collect();
        let local: Vec<Endpoint> = opened.iter().map(|listener| listener.local().unwrap()).collect();
        let (mut inheritance, mut old) = inheritance(&opened[0]);
        inheritance.listeners.extend(opened[1..].iter().map(copy));
        let mut take =
            |at: &Endpoint| inheritance.listener(Use::Clients, at, options()).unwrap().map(|one| one.local().unwrap());
        assert_eq!(take(&local[1]), Some(local[1].clone()));
        assert_eq!(take(&any), Some(local[0].clone()));
        assert_eq!(take(&local[0]), None);
        assert_eq!(taken_of(&inheritance), [true, true, false]);
        old.write_all(b"!").unwrap();
        inheritance.tell().unwrap();
        let mut said = [0; 4];
        old.read_exact(&mut said).unwrap();
        assert_eq!(said, [LEFT, TOOK, TOOK, LEFT]);
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let any: Endpoint = Endpoint::inet("127.0.0.1:0".parse().unwrap());
        let opened = Opened::open(&any, options(), None).unwrap();
        let (inheritance, old) = inheritance(&opened);
        assert!(Inherited::found(old.into()).is_err());
        assert!(Inherited::found(inheritance.clients.as_fd().try_clone_to_owned().unwrap()).is_err());
    }

    #[test]
    fn the_file_of_an_inherited_socket_is_removed_only_by_its_owner() {
        let dir = crate::sys::test_dir("inherited-socket");
        let path = dir.join("socket");
        let at = Endpoint::Unix(path.clone());
        let mut opened = Opened::open(&at, options(), None).unwrap();
        let (mut inheritance, _old) = inheritance(&opened);
        drop(inheritance.listener(Use::Clients, &at, options()).unwrap().expect("it listens there"));
        assert!(path.exists(), "the old one still has it");
        inheritance.listeners.push(copy(&opened));
        let mut taken = inheritance.listener(Use::Clients, &at, options()).unwrap().unwrap();
        taken.own_file(true);
        opened.own_file(false);
        drop(opened);
        assert!(path.exists(), "the new one has it");
        drop(taken);
        assert!(!path.exists());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_old_one_answers_with_its_clients_or_is_gone() {
        let any: Endpoint = Endpoint::inet("127.0.0.1:0".parse().unwrap());
        let opened = Opened::open(&any, options(), None).unwrap();
        let (mut new, mut old) = inheritance(&opened);
        drop(new.listener(Use::Clients, &any, options()).unwrap());
        let mut clients = new.clients.try_clone().unwrap();
        clients.write_all(b"somebody").unwrap();
        old.write_all(b"!").unwrap();
        assert_eq!(new.tell().unwrap(), b"somebody");
        let mut said = [0; 2];
        old.read_exact(&mut said).unwrap();
        assert_eq!(said, [LEFT, TOOK]);

        let (new, old) = inheritance(&opened);
        drop(old);
        assert!(new.tell().is_err());
    }
}
