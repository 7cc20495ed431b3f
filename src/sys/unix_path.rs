//! The file that a Unix socket is reached by: when it may be replaced, and its removal.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Makes `path` free for a socket: removes a socket that nobody listens on any more.
///
/// Fails with `AddrInUse` if somebody does or may listen there, and with `AlreadyExists` if what
/// is there is no socket, a symbolic link included: that is never removed.
pub fn claim(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(about) if !about.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is not a socket"));
        }
        Ok(_) => {}
    }
    // mio's connect does not block, unlike std's, which waits where the listener's queue is full.
    match mio::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // It took the connection, or would have if its queue had room, or is of another type.
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EPROTOTYPE)) => {
            Err(io::ErrorKind::AddrInUse.into())
        }
        Err(error) => Err(error),
    }
}

/// The file of a socket that is bound. Dropping it removes the file, if it is still the same one:
/// not what somebody else has put in its place, and nothing that has the same name within a jail.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    is_ours: bool,
}

impl SocketFile {
    /// The file of a socket that was just bound to `path`. Fails if something that is no socket has
    /// taken its place in this moment: nobody could reach the socket.
    pub fn bound(path: &Path) -> io::Result<SocketFile> {
        let about = fs::symlink_metadata(path)?;
        if !about.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "another file took its place"));
        }
        Ok(SocketFile { path: path.to_path_buf(), device: about.dev(), inode: about.ino(), is_ours: true })
    }

    /// Its path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is up to this process to remove it, or to another one.
    pub fn own(&mut self, is_ours: bool) {
        self.is_ours = is_ours;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same =
            fs::symlink_metadata(&self.path).is_ok_and(|about| about.dev() == self.device && about.ino() == self.inode);
        if same && self.is_ours {
            // Where pen may not unlink it any more, the next start will find it stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens a listening socket at `path`; `private`: only pen's user may connect.
pub fn bind(path: &Path, private: bool) -> io::Result<mio::net::UnixListener> {
    if !private {
        return mio::net::UnixListener::bind(path);
    }
    // SAFETY: umask(2) cannot fail, and there are no other threads that it could surprise.
    let before = unsafe { libc::umask(0o177) };
    let bound = mio::net::UnixListener::bind(path);
    // SAFETY: as above.
    unsafe { libc::umask(before) };
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::test_dir;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    #[test]
    fn only_a_socket_that_refuses_is_replaced() {
        let dir = test_dir("claim");
        let path = |name: &str| dir.join(name);
        drop(UnixListener::bind(path("stale")).unwrap());
        let _live = UnixListener::bind(path("live")).unwrap();
        let _datagrams = UnixDatagram::bind(path("datagrams")).unwrap();
        fs::write(path("file"), "precious").unwrap();
        std::os::unix::fs::symlink(path("stale"), path("link")).unwrap();
        fs::create_dir(path("directory")).unwrap();
        let table = [
            ("link", Err(io::ErrorKind::AlreadyExists), true),
            ("stale", Ok(()), false),
            ("nothing", Ok(()), false),
            ("live", Err(io::ErrorKind::AddrInUse), true),
            ("datagrams", Err(io::ErrorKind::AddrInUse), true),
            ("file", Err(io::ErrorKind::AlreadyExists), true),
            ("directory", Err(io::ErrorKind::AlreadyExists), true),
            ("file/below", Err(io::ErrorKind::NotADirectory), false),
        ];
        for (name, result, remains) in table {
            assert_eq!(claim(&path(name)).map_err(|error| error.kind()), result, "{name}");
            assert_eq!(fs::symlink_metadata(path(name)).is_ok(), remains, "{name}");
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_listener_whose_queue_is_full_is_live() {
        let dir = test_dir("claim-full");
        let path = dir.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 1) }, 0);
        let mut clients = Vec::new();
        while let Ok(client) = mio::net::UnixStream::connect(&path) {
            clients.push(client);
            assert!(clients.len() < 100, "the queue has no end");
        }
        assert_eq!(claim(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_socket_file_is_removed_unless_it_is_another_one_by_now() {
        let dir = test_dir("socket-file");
        let path = dir.join("socket");
        let _one = UnixListener::bind(&path).unwrap();
        let file = SocketFile::bound(&path).unwrap();
        drop(file);
        assert!(!path.exists());
        let _two = UnixListener::bind(&path).unwrap();
        let file = SocketFile::bound(&path).unwrap();
        // The old one must stay somewhere, or the new one might get its inode.
        fs::rename(&path, dir.join("old")).unwrap();
        let _three = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        assert_eq!(SocketFile::bound(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "precious").unwrap();
        assert_eq!(SocketFile::bound(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_dir_all(dir).unwrap();
    }
}
