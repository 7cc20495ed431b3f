//! Pipes through which bytes go from one socket to another without being copied: splice(2).
//!
//! Only Linux has them; elsewhere there are none, and bytes are copied.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use with_splice::Pipe;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use crate::net::NoPipe as Pipe;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod with_splice {
    use std::io::{self, Write};
    use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

    use crate::sys::checked;

    /// Bytes that a pipe has room for if the system allows it, and what is enough. What a pipe holds is
    /// memory of the kernel that nobody else limits: so where many are stuck, further ones are smaller.
    const SIZE: libc::c_int = 1024 * 1024;
    const SIZE_OF_MANY: libc::c_int = 256 * 1024;
    const SIZE_ENOUGH: libc::c_int = 64 * 1024;

    /// So many are not many.
    const FEW: usize = 16;

    /// Bytes that are moved at once if they must be copied.
    const COPY: usize = 64 * 1024;

    /// A pipe, and how much is in it. Dropping it loses that.
    #[derive(Debug)]
    pub struct Pipe {
        reader: OwnedFd,
        writer: OwnedFd,
        len: usize,
        /// Taken out to be copied, and not written yet: only for a sink that cannot be spliced to.
        rest: Option<Box<Rest>>,
    }

    /// Bytes that could not be spliced.
    #[derive(Debug, Default)]
    struct Rest(Vec<u8>);

    impl Pipe {
        /// An empty pipe; there are `others`.
        pub fn open(others: usize) -> io::Result<Pipe> {
            let mut ends = [0; 2];
            // SAFETY: `ends` has room for the two numbers that are written.
            checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
            // SAFETY: the descriptors are new, and nobody else owns them.
            let [reader, writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
            let mut size = if others < FEW { SIZE } else { SIZE_OF_MANY };
            // Users other than root have a limit for all their pipes (pipe(7)).
            while size >= SIZE_ENOUGH && set_size(&writer, size).is_err() {
                size /= 2;
            }
            Ok(Pipe { reader, writer, len: 0, rest: None })
        }

        /// Moves what has come from a socket into the pipe; 0 at the end, and at urgent data.
        pub fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
            let count = splice(from, &self.writer)?;
            self.len += count;
            Ok(count)
        }

        /// Moves what is in the pipe to a socket.
        pub fn pour<S: AsFd + Write>(&mut self, to: &mut S) -> io::Result<usize> {
            if self.rest.is_none() {
                match splice(&self.reader, &*to) {
                    Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                    outcome => {
                        let count = outcome?;
                        self.len -= count;
                        return Ok(count);
                    }
                }
            }
            let Rest(rest) = &mut **self.rest.get_or_insert_default();
            if rest.is_empty() {
                rest.resize(COPY, 0);
                // SAFETY: the pointer and length are those of `rest`, which outlives the call.
                let count = unsafe { libc::read(self.reader.as_raw_fd(), rest.as_mut_ptr().cast(), COPY) };
                rest.truncate(usize::try_from(count).map_err(|_| io::Error::last_os_error())?);
            }
            let count = to.write(rest)?;
            rest.drain(..count);
            self.len -= count;
            Ok(count)
        }
    }

    impl crate::net::Pipe for Pipe {
        fn len(&self) -> usize {
            self.len
        }
    }

    fn set_size(pipe: &OwnedFd, size: libc::c_int) -> io::Result<()> {
        // SAFETY: the descriptor is open; no memory is passed.
        checked(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, size) }).map(drop)
    }

    /// Moves bytes; `Unsupported` where the system cannot, or may not.
    fn splice(from: impl AsFd, to: impl AsFd) -> io::Result<usize> {
        let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
        let (no, size) = (std::ptr::null_mut(), usize::try_from(SIZE).unwrap_or(COPY));
        let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
        // SAFETY: both descriptors are open; without offsets no memory is passed.
        let count = unsafe { libc::splice(from, no, to, no, size, flags) };
        usize::try_from(count).map_err(|_| {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINVAL | libc::ENOSYS | libc::EPERM) => io::ErrorKind::Unsupported.into(),
                _ => error,
            }
        })
    }

    #[cfg(test)]
    mod tests {
        use std::fs::File;
        use std::io::Read;
        use std::os::unix::net::UnixStream;

        use super::*;
        use crate::net::Pipe as _;

        #[test]
        fn bytes_go_through_a_pipe_in_order_and_it_knows_how_many_wait() {
            let (mut sender, from) = UnixStream::pair().unwrap();
            let (mut to, mut taker) = UnixStream::pair().unwrap();
            let mut pipe = Pipe::open(0).unwrap();
            sender.write_all(b"some bytes").unwrap();
            assert_eq!((pipe.fill(&from).unwrap(), pipe.len()), (10, 10));
            assert_eq!((pipe.pour(&mut to).unwrap(), pipe.len()), (10, 0));
            let mut seen = [0; 10];
            taker.read_exact(&mut seen).unwrap();
            assert_eq!(&seen, b"some bytes");
        }

        #[test]
        fn pipes_are_smaller_where_there_are_many() {
            let size = |others| {
                let pipe = Pipe::open(others).unwrap();
                // SAFETY: the descriptor is open; no memory is passed.
                checked(unsafe { libc::fcntl(pipe.writer.as_raw_fd(), libc::F_GETPIPE_SZ) }).unwrap()
            };
            // Without privileges there may be less left.
            assert!([SIZE, SIZE / 2, SIZE_OF_MANY, SIZE_ENOUGH].contains(&size(FEW - 1)));
            assert!([SIZE_OF_MANY, SIZE_OF_MANY / 2, SIZE_ENOUGH].contains(&size(FEW)));
        }

        #[test]
        fn a_sink_that_cannot_be_spliced_to_gets_copies() {
            let directory = crate::sys::test_dir("pipe");
            let path = directory.join("sink");
            // splice(2) refuses a file that is open for append.
            let mut to = File::options().append(true).create(true).open(&path).unwrap();
            let (mut sender, from) = UnixStream::pair().unwrap();
            let mut pipe = Pipe::open(0).unwrap();
            let sent: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[n as usize % 2]).collect();
            // A socket's buffer has room for that.
            sender.write_all(&sent).unwrap();
            let mut arrived = 0;
            while arrived < sent.len() {
                arrived += pipe.fill(&from).unwrap();
                while pipe.len() > 0 {
                    pipe.pour(&mut to).unwrap();
                }
            }
            assert!(pipe.rest.is_some(), "it was not copied");
            assert_eq!(std::fs::read(&path).unwrap(), sent);
            std::fs::remove_dir_all(directory).unwrap();
        }
    }
}
