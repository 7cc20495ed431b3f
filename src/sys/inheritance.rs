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
use super::socket::Listener;
use super::upgrade::{IS_READY, TOOK_CONTROL, TOOK_LISTENER, VARIABLE};
use crate::base::addr::Endpoint;

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
    listener: Option<OwnedFd>,
    control: Option<OwnedFd>,
    took: u8,
}

/// What a listener is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Clients.
    Clients,
    /// Commands.
    Control,
}

impl Inheritance {
    /// What the process that started this one left to it; `None` if that was no pen. To be called
    /// once, before anything else is opened and while there is one thread.
    pub fn claim() -> io::Result<Option<Inheritance>> {
        let Some(text) = std::env::var_os(VARIABLE) else { return Ok(None) };
        // SAFETY: there is no other thread that could look at the environment meanwhile.
        unsafe { std::env::remove_var(VARIABLE) };
        let text = text.to_string_lossy();
        let mut numbers = text.split(' ').map(str::parse);
        // A process further down may have kept the variable without keeping the descriptors.
        if numbers.next() != Some(Ok(std::os::unix::process::parent_id())) {
            return Ok(None);
        }
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, format!("{VARIABLE} is '{text}'"));
        let numbers: Vec<u32> = numbers.collect::<Result<_, _>>().map_err(|_| invalid())?;
        let is_distinct = numbers.iter().enumerate().all(|(at, number)| !numbers[..at].contains(number));
        if !is_distinct || !(3..=4).contains(&numbers.len()) {
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
        Ok(Some(Inheritance { channel, clients, listener: fds.next(), control: fds.next(), took: 0 }))
    }

    /// The listener for this use, if it listens there; port 0 is any.
    pub fn listener(&mut self, what: Use, at: &Endpoint, backlog: u32) -> io::Result<Option<Listener>> {
        let (fd, took) = match what {
            Use::Clients => (&mut self.listener, TOOK_LISTENER),
            Use::Control => (&mut self.control, TOOK_CONTROL),
        };
        let Some(fd) = fd.take() else { return Ok(None) };
        let listener = Listener::inherited(fd, backlog)?;
        if !is_at(&listener.local()?, at) {
            return Ok(None);
        }
        self.took |= took;
        Ok(Some(listener))
    }

    /// All is set up: tells the old pen, waits until it has closed its listeners, and returns what
    /// it remembers of clients. If it is gone meanwhile, nothing is remembered.
    pub fn tell(mut self) -> io::Result<Vec<u8>> {
        // What was not taken must be closed before the old pen closes it.
        (self.listener, self.control) = (None, None);
        let mut channel = ManuallyDrop::into_inner(self.channel);
        channel.set_read_timeout(Some(PATIENCE))?;
        channel.write_all(&[IS_READY | self.took])?;
        channel.read_exact(&mut [0])?;
        let mut bytes = Vec::new();
        self.clients.rewind()?;
        self.clients.take(CLIENTS_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn is_at(local: &Endpoint, wanted: &Endpoint) -> bool {
    match (local, wanted) {
        (Endpoint::Inet(local), Endpoint::Inet(wanted)) if wanted.port() == 0 => local.ip() == wanted.ip(),
        _ => local == wanted,
    }
}

/// Takes possession of a descriptor, which is closed on exec from now on.
fn adopt(number: RawFd) -> io::Result<OwnedFd> {
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
    use crate::sys::socket::Listener as Opened;
    use std::os::fd::AsFd;

    fn options() -> crate::net::ListenOptions {
        crate::net::ListenOptions { backlog: 5, private: false }
    }

    /// An inheritance with a copy of this listener for clients, and the old pen's end.
    fn inheritance(listener: &Opened) -> (Inheritance, UnixStream) {
        let (old, channel) = UnixStream::pair().unwrap();
        let path = std::env::temp_dir().join(format!("pen-inherited-{}", std::process::id()));
        let clients = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        let listener = Some(listener.as_fd().try_clone_to_owned().unwrap());
        let channel = ManuallyDrop::new(channel);
        (Inheritance { channel, clients, listener, control: None, took: 0 }, old)
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
            assert!(inheritance.listener(Use::Control, wanted, 5).unwrap().is_none());
            let taken = inheritance.listener(Use::Clients, wanted, 5).unwrap();
            assert_eq!(taken.map(|listener| listener.local().unwrap()), is_taken.then(|| local.clone()));
            assert!(inheritance.listener(Use::Clients, wanted, 5).unwrap().is_none(), "it is taken once");
            assert_eq!(inheritance.took, if is_taken { TOOK_LISTENER } else { 0 });
        }
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let any: Endpoint = Endpoint::inet("127.0.0.1:0".parse().unwrap());
        let opened = Opened::open(&any, options(), None).unwrap();
        let (mut inheritance, old) = inheritance(&opened);
        inheritance.listener = Some(old.into());
        assert!(inheritance.listener(Use::Clients, &any, 5).is_err());
        inheritance.listener = Some(inheritance.clients.as_fd().try_clone_to_owned().unwrap());
        assert!(inheritance.listener(Use::Clients, &any, 5).is_err());
    }

    #[test]
    fn the_file_of_an_inherited_socket_is_removed_only_by_its_owner() {
        let dir = crate::sys::test_dir("inherited-socket");
        let path = dir.join("socket");
        let at = Endpoint::Unix(path.clone());
        let mut opened = Opened::open(&at, options(), None).unwrap();
        let (mut inheritance, _old) = inheritance(&opened);
        drop(inheritance.listener(Use::Clients, &at, 5).unwrap().expect("it listens there"));
        assert!(path.exists(), "the old one still has it");
        inheritance.listener = Some(opened.as_fd().try_clone_to_owned().unwrap());
        let mut taken = inheritance.listener(Use::Clients, &at, 5).unwrap().unwrap();
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
        drop(new.listener(Use::Clients, &any, 5).unwrap());
        let mut clients = new.clients.try_clone().unwrap();
        clients.write_all(b"somebody").unwrap();
        old.write_all(b"!").unwrap();
        assert_eq!(new.tell().unwrap(), b"somebody");
        let mut byte = [0];
        old.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [IS_READY | TOOK_LISTENER]);

        let (new, old) = inheritance(&opened);
        drop(old);
        assert!(new.tell().is_err());
    }
}
