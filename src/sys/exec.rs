//! Another program in a process of its own.
//!
//! What std has for it comes with a table of the environment, ways to start, pipes and waits that a
//! pen has no need of: a fiftieth of the program.

use std::ffi::{CStr, CString, OsString};
use std::io::{self, PipeWriter, Read, Write};
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use super::checked;
use super::process::{Child, Fork, exit_child, fork};

/// A program that is to be started.
#[derive(Debug)]
pub struct Program<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// Its arguments, after the path.
    pub args: &'a [OsString],
    /// A variable of its environment, and what it says; it has all others as well.
    pub variable: (&'a str, &'a str),
    /// What it says goes there and not where this process speaks.
    pub stderr: Option<PipeWriter>,
    /// Descriptors that it inherits.
    pub kept: &'a [RawFd],
}

impl Program<'_> {
    /// Starts it. That it cannot be is known before this returns.
    pub fn start(self) -> io::Result<Child> {
        // All memory that the child needs is there before: it calls what may be called between fork and exec.
        let words = self.words()?;
        let variables = self.variables()?;
        let (words, variables) = (List::of(&words), List::of(&variables));
        let (mut told, mut teller) = io::pipe()?;
        match fork()? {
            Fork::Child => {
                let error = self.take_over(&words, &variables);
                // Whoever waits for it has gone, if it cannot be told.
                let _ = teller.write_all(&error.raw_os_error().unwrap_or_default().to_ne_bytes());
                exit_child(127)
            }
            Fork::Parent(child) => {
                drop(teller);
                let mut errno = [0; 4];
                // Once the program runs the pipe is closed without a word.
                match told.read_exact(&mut errno) {
                    Ok(()) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
                    Err(_) => Ok(child),
                }
            }
        }
    }

    fn words(&self) -> io::Result<Vec<CString>> {
        let words = std::iter::once(self.path.as_os_str()).chain(self.args.iter().map(OsString::as_os_str));
        words.map(|word| Ok(CString::new(word.as_bytes())?)).collect()
    }

    fn variables(&self) -> io::Result<Vec<CString>> {
        let (name, value) = self.variable;
        let others = std::env::vars_os().filter(|(other, _)| other != name);
        let all = others.chain([(OsString::from(name), OsString::from(value))]);
        all.map(|(name, value)| Ok(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?)).collect()
    }

    /// In the child: the program takes the place of this one. Returns only if it cannot.
    fn take_over(&self, words: &List<'_>, variables: &List<'_>) -> io::Error {
        if let Err(error) = self.prepare() {
            return error;
        }
        // SAFETY: both lists are of texts that end with a NUL and that live, and end with a null pointer.
        unsafe { libc::execve(words.0[0], words.0.as_ptr(), variables.0.as_ptr()) };
        io::Error::last_os_error()
    }

    fn prepare(&self) -> io::Result<()> {
        if let Some(writer) = &self.stderr {
            // SAFETY: both are descriptors of this process; standard error is only pointed elsewhere.
            checked(unsafe { libc::dup2(writer.as_raw_fd(), libc::STDERR_FILENO) })?;
        }
        for fd in self.kept {
            // SAFETY: the descriptor is open in the parent, and so in the child; no memory is passed.
            checked(unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) })?;
        }
        // SAFETY: the default action is no function; pen ignores this signal, and other programs do not expect that.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        Ok(())
    }
}

/// Pointers to texts, and a null pointer behind them, as exec(3) wants them.
struct List<'a>(Vec<*const libc::c_char>, PhantomData<&'a CStr>);

impl List<'_> {
    fn of(texts: &[CString]) -> List<'_> {
        List(texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect(), PhantomData)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(path: &str, args: &[&str], stderr: Option<PipeWriter>, kept: &[RawFd]) -> io::Result<Child> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        Program { path: Path::new(path), args: &args, variable: ("PEN_TEST", "a b"), stderr, kept }.start()
    }

    #[test]
    fn a_program_has_its_words_its_variable_and_the_descriptors_that_it_is_given() {
        let (mut said, writer) = io::pipe().unwrap();
        let (mut got, kept) = io::pipe().unwrap();
        let (_other, closed) = io::pipe().unwrap();
        let script = format!(
            "echo \"$0 $1 $PEN_TEST $HOME\" >&2; [ -e /dev/fd/{1} ] || echo x >&{0}; exit 7",
            kept.as_raw_fd(),
            closed.as_raw_fd()
        );
        // Not any shell: a descriptor may have two digits, which dash does not take. And first the look: to echo elsewhere
        // bash keeps its own output at some descriptor of two digits.
        let bash =
            ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"].into_iter().find(|path| Path::new(path).exists());
        let child =
            start(bash.unwrap(), &["-c", &script, "zero", "one two"], Some(writer), &[kept.as_raw_fd()]).unwrap();
        assert_eq!(child.wait(), Some(7));
        drop((child, kept));
        let (mut text, mut also) = (String::new(), String::new());
        said.read_to_string(&mut text).unwrap();
        got.read_to_string(&mut also).unwrap();
        let home = std::env::var("HOME").unwrap_or_default();
        assert_eq!((text, also), (format!("zero one two a b {home}\n"), String::from("x\n")));
    }

    #[test]
    fn what_cannot_be_started_is_known_at_once() {
        assert_eq!(start("/no/such/program", &[], None, &[]).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(start("/", &[], None, &[]).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(start("/bin/sh", &["a\0b"], None, &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(start("/bin/sh", &["-c", "exit 0"], None, &[-1]).is_err());
    }
}
