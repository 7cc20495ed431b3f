//! What is told to whoever supervises pen, if that wants to know (sd_notify(3)): that it is ready, which
//! process it is after an upgrade, and that it ends.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Names the socket; one that begins with `@` has no file (unix(7)).
const VARIABLE: &str = "NOTIFY_SOCKET";

/// The way to whoever supervises this process.
#[derive(Debug, Default)]
pub struct Supervisor(Option<UnixDatagram>);

impl Supervisor {
    /// Finds it, before there is a jail. One that cannot be reached is none: pen serves all the same.
    pub fn find() -> Supervisor {
        let Some(name) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else { return Supervisor(None) };
        let reach = || {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            connect(&socket, &name).map(|()| socket)
        };
        Supervisor(reach().ok())
    }

    /// Tells that pen serves, and which process that is.
    pub fn ready(&self) {
        self.tell(&format!("READY=1\nMAINPID={}\nSTATUS=serving", std::process::id()));
    }

    /// Tells that pen ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, text: &str) {
        if let Some(socket) = &self.0 {
            // Nobody is there to be told that nobody is there.
            let _ = socket.send(text.as_bytes());
        }
    }
}

#[cfg(target_os = "linux")]
fn connect(socket: &UnixDatagram, name: &OsStr) -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?),
        None => socket.connect(Path::new(name)),
    }
}

#[cfg(not(target_os = "linux"))]
fn connect(socket: &UnixDatagram, name: &OsStr) -> std::io::Result<()> {
    socket.connect(Path::new(OsStr::from_bytes(name.as_bytes())))
}
