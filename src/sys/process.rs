//! The process itself: children, the background, its user, its jail, its limits.

use std::ffi::{CStr, CString};
use std::fs::{File, Metadata};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::{capability, checked};

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Fork {
    /// The process that was there before.
    Parent(Child),
    /// The new process. It leaves by [`exit_child`] if it must not run the parent's clean-up.
    Child,
}

/// A child process. Dropping it kills the child and waits for its end.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
}

/// Forks. There must be no other thread that the new process needs.
pub fn fork() -> io::Result<Fork> {
    // SAFETY: pen has one thread, so nothing is left half done in the child.
    match checked(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(Child { pid })),
    }
}

impl Child {
    /// The number of the process.
    pub fn number(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Ends the child at once.
    pub fn kill(&self) {
        // SAFETY: no memory is passed; the child is not waited for yet, so its number is still its.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }

    /// Waits for its end, which is then noted for whoever waits afterwards: the exit status, or
    /// `None` if a signal ended it.
    pub fn wait(&self) -> Option<u8> {
        // SAFETY: zeroes are a valid value of this plain structure.
        let mut about: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let id = libc::id_t::try_from(self.pid).expect("fork returned a positive number");
        loop {
            // SAFETY: `about` is live. The child stays a zombie, so that its number stays its own.
            let result = unsafe { libc::waitid(libc::P_PID, id, &raw mut about, libc::WEXITED | libc::WNOWAIT) };
            match checked(result) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        // SAFETY: waitid(2) has filled in what a child's end has.
        let status = unsafe { about.si_status() };
        if about.si_code == libc::CLD_EXITED { u8::try_from(status).ok() } else { None }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        // SAFETY: no status is asked for; the child is ours and not waited for yet.
        while unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) } == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}

/// Ends a forked child without running what the parent registered for its own end.
pub fn exit_child(status: u8) -> ! {
    // SAFETY: it does not return, and touches no memory of ours.
    unsafe { libc::_exit(libc::c_int::from(status)) }
}

/// In a child: points 0, 1 and 2 to /dev/null, and closes all other descriptors but one.
pub fn close_all_but(keep: impl AsFd) {
    let _ = open_null().and_then(|null| null_stdio(&null));
    let keep = keep.as_fd().as_raw_fd();
    for range in [3..=keep - 1, keep + 1..=libc::c_int::MAX] {
        close_range(*range.start(), *range.end());
    }
}

#[cfg(target_os = "linux")]
fn close_range(first: libc::c_int, last: libc::c_int) {
    let unsigned = |fd: libc::c_int| libc::c_long::from(fd);
    // SAFETY: the child owns nothing but the one that is kept, and drops nothing.
    if unsafe { libc::syscall(libc::SYS_close_range, unsigned(first), unsigned(last), 0 as libc::c_long) } == -1 {
        close_each(first, last);
    }
}

#[cfg(not(target_os = "linux"))]
fn close_range(first: libc::c_int, last: libc::c_int) {
    close_each(first, last);
}

fn close_each(first: libc::c_int, last: libc::c_int) {
    let limit = descriptor_limit().map_or(1024, |limit| limit.rlim_cur.min(1 << 16));
    let limit = libc::c_int::try_from(limit).unwrap_or(1 << 16);
    for fd in first..=last.min(limit) {
        // SAFETY: the child owns nothing but the one that is kept, and drops nothing.
        unsafe { libc::close(fd) };
    }
}

/// In a child: ends it when its parent ends, where the system can do that.
pub fn end_with_parent() {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes a number.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)
    };
}

fn open_null() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/null")
}

/// Points standard input, output and error to /dev/null.
fn null_stdio(null: &File) -> io::Result<()> {
    for fd in 0..=2 {
        // SAFETY: both are descriptors of ours; 0 to 2 are never closed, only pointed elsewhere.
        checked(unsafe { libc::dup2(null.as_raw_fd(), fd) })?;
    }
    Ok(())
}

/// What is owed to those who started this process, once all is set up.
#[derive(Debug)]
pub struct Readiness(Owed);

#[derive(Debug)]
enum Owed {
    /// Nothing: pen stays in the foreground.
    Nothing,
    /// The terminal is let go; nobody waits. /dev/null is opened before there is a jail, which may
    /// not have one.
    Silence(File),
    /// The terminal is let go, and a process that waits may end.
    Word(File, PipeWriter),
}

impl Readiness {
    /// Nobody waits: pen stays in the foreground.
    pub fn foreground() -> Readiness {
        Readiness(Owed::Nothing)
    }

    /// Nobody waits: this process was started in the background.
    pub fn background() -> io::Result<Readiness> {
        open_null().map(|null| Readiness(Owed::Silence(null)))
    }

    /// All is set up: lets go of the terminal and lets the waiting process end with status 0.
    pub fn tell(self) -> io::Result<()> {
        match self.0 {
            Owed::Nothing => Ok(()),
            Owed::Silence(null) => null_stdio(&null),
            Owed::Word(null, mut pipe) => {
                null_stdio(&null)?;
                // If the other process is gone already, there is nobody to tell.
                let _ = pipe.write_all(b"!");
                Ok(())
            }
        }
    }
}

/// What became of the wish to run in the background.
#[derive(Debug)]
pub enum Background {
    /// This is the process in the background, in a session of its own. Standard error is still
    /// the terminal's until [`Readiness::tell`].
    Here(Readiness),
    /// This is the process that was started; it must end with this status. Everything that there
    /// is to say was said by the other.
    Ended(u8),
}

/// Goes into the background: forks, and in the old process waits until the new one is ready or
/// has ended. The working directory stays.
pub fn background() -> io::Result<Background> {
    let (reader, writer) = io::pipe()?;
    match fork()? {
        Fork::Child => {
            drop(reader);
            // SAFETY: the call takes nothing, and cannot fail in a process that was just forked.
            unsafe { libc::setsid() };
            Ok(Background::Here(Readiness(Owed::Word(open_null()?, writer))))
        }
        Fork::Parent(child) => {
            drop(writer);
            Ok(Background::Ended(wait_for_ready(reader, child)))
        }
    }
}

fn wait_for_ready(mut reader: PipeReader, child: Child) -> u8 {
    if reader.read_exact(&mut [0]).is_ok() {
        // It goes on without us.
        std::mem::forget(child);
        return 0;
    }
    child.wait().unwrap_or(1)
}

/// A user to become: numbers that were looked up before there was a jail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The name that was asked for.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The number of the user's primary group.
    pub gid: u32,
    /// All groups of the user, the primary one included.
    pub groups: Vec<u32>,
}

impl Identity {
    /// Looks a user up (passwd(5), group(5)); `None` if there is none of that name.
    pub fn find(name: &str) -> io::Result<Option<Identity>> {
        let text = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut buffer = vec![0; 1 << 16];
        // SAFETY: `passwd` is plain numbers and pointers that may be null.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        let (space, len) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: all pointers are live, and the buffer has the length that is passed.
        let code = unsafe { libc::getpwnam_r(text.as_ptr(), &raw mut entry, space, len, &raw mut found) };
        // Some of these only say, in one way or another, that there is no such user (getpwnam(3)).
        match code {
            0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM if found.is_null() => Ok(None),
            0 => {
                let (uid, gid) = (entry.pw_uid, entry.pw_gid);
                Ok(Some(Identity { name: String::from(name), uid, gid, groups: groups_of(&text, gid) }))
            }
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Becomes the user, for good: groups, group and user, in this order, and checks that there
    /// is no way back. Without being root it works only for who is that user already.
    pub fn assume(&self) -> io::Result<()> {
        self.assume_with(false)
    }

    /// The same; it may keep the right to have sockets with addresses of others.
    pub fn assume_with(&self, foreign_addresses: bool) -> io::Result<()> {
        let (uid, gid) = ids();
        if uid != 0 && uid == self.uid && gid == self.gid {
            return Ok(());
        }
        if foreign_addresses && self.uid != 0 {
            capability::across_change_of_user()?;
        }
        // SAFETY: the pointer and the length, whose type differs between systems, are those of a list.
        checked(unsafe { libc::setgroups(self.groups.len() as _, self.groups.as_ptr().cast()) })?;
        // SAFETY: the calls take numbers.
        checked(unsafe { libc::setgid(self.gid) })?;
        // SAFETY: as above.
        checked(unsafe { libc::setuid(self.uid) })?;
        if foreign_addresses && self.uid != 0 {
            capability::alone()?;
        }
        // SAFETY: as above.
        if self.uid != 0 && unsafe { libc::setuid(0) == 0 || libc::seteuid(0) == 0 } {
            return Err(io::Error::other("privileges can be regained"));
        }
        if ids() == (self.uid, self.gid) { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

/// All groups of a user, before getting into a jail where group(5) may not be.
fn groups_of(name: &CStr, primary: libc::gid_t) -> Vec<u32> {
    let mut count: libc::c_int = 1024;
    let mut groups: Vec<libc::gid_t> = vec![primary; 1024];
    #[cfg(target_os = "macos")]
    let (primary, list) = (primary as libc::c_int, groups.as_mut_ptr().cast::<libc::c_int>());
    #[cfg(not(target_os = "macos"))]
    let list = groups.as_mut_ptr();
    // SAFETY: the list has room for as many as `count` says, and `count` is live.
    if unsafe { libc::getgrouplist(name.as_ptr(), primary, list, &raw mut count) } == -1 {
        count = 1;
    }
    groups.truncate(usize::try_from(count).unwrap_or(1));
    groups
}

/// The effective user and group.
pub fn ids() -> (u32, u32) {
    // SAFETY: the calls take nothing and cannot fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Makes `dir` the root directory, and the working directory as well, so that nothing outside of
/// it has a name any more.
pub fn jail(dir: &Path) -> io::Result<()> {
    let text = CString::new(dir.as_os_str().as_bytes())?;
    // SAFETY: the text ends with a NUL and outlives the call.
    checked(unsafe { libc::chroot(text.as_ptr()) })?;
    std::env::set_current_dir("/")
}

/// Gives a Unix socket's file of this user to another.
///
/// Fails if there is something else at the path by now: who may write its folder must not choose
/// what is given away.
pub fn give_to(path: &Path, to: &Identity) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        refuse_other_than_socket(&file.metadata()?)?;
        // SAFETY: the descriptor is open, the text is empty and ends with a NUL: the file itself.
        let given = unsafe { libc::fchownat(file.as_raw_fd(), c"".as_ptr(), to.uid, to.gid, libc::AT_EMPTY_PATH) };
        checked(given).map(drop)
    }
    // Elsewhere a socket's file cannot be opened, and only its path is left.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        refuse_other_than_socket(&std::fs::symlink_metadata(path)?)?;
        std::os::unix::fs::lchown(path, Some(to.uid), Some(to.gid))
    }
}

fn refuse_other_than_socket(about: &Metadata) -> io::Result<()> {
    if about.file_type().is_socket() && about.uid() == ids().0 && about.nlink() == 1 {
        return Ok(());
    }
    Err(io::Error::other("it is not the socket that was opened there"))
}

fn descriptor_limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok(limit)
}

/// Raises the limit of open descriptors to `wanted` or as near as the system lets it, never
/// lowers it, and returns what it is then.
pub fn raise_descriptor_limit(wanted: u64) -> io::Result<u64> {
    let old = descriptor_limit()?;
    let set = |limit: libc::rlimit| {
        // SAFETY: `limit` is live.
        checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })
    };
    // The type of a limit has a sign on some systems.
    let wanted = libc::rlim_t::try_from(wanted).unwrap_or(libc::rlim_t::MAX);
    if old.rlim_cur < wanted {
        let raised = libc::rlimit { rlim_cur: wanted, rlim_max: old.rlim_max.max(wanted) };
        if set(raised).is_err() {
            // Only root may raise the hard limit.
            let _ = set(libc::rlimit { rlim_cur: wanted.min(old.rlim_max), rlim_max: old.rlim_max });
        }
    }
    // An i128 has room for both types of limit.
    let new = i128::from(descriptor_limit()?.rlim_cur);
    Ok(u64::try_from(new).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_of_ones_own_with_one_name_is_given_away() {
        let dir = crate::sys::test_dir("given");
        let (socket, file, link, second) = (dir.join("socket"), dir.join("file"), dir.join("link"), dir.join("second"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        let (uid, gid) = ids();
        // Nobody but root may give anything away, but everybody to themselves.
        let to = Identity { name: String::new(), uid, gid, groups: Vec::new() };
        give_to(&socket, &to).unwrap();
        for path in [&file, &link, &dir] {
            assert!(give_to(path, &to).unwrap_err().to_string().starts_with("it is not the socket"), "{path:?}");
        }
        std::fs::hard_link(&socket, &second).unwrap();
        assert!(give_to(&socket, &to).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }

    /// Runs `body` in a child process, as it changes what a process cannot change back.
    fn status_of(body: impl FnOnce() -> u8) -> Option<u8> {
        match fork().unwrap() {
            Fork::Child => exit_child(body()),
            Fork::Parent(child) => child.wait(),
        }
    }

    #[test]
    fn a_child_is_waited_for_more_than_once_and_killed_when_dropped() {
        let Fork::Parent(child) = fork().unwrap() else { exit_child(7) };
        assert_eq!([child.wait(), child.wait()], [Some(7), Some(7)]);
        drop(child);
        let Fork::Parent(child) = fork().unwrap() else {
            loop {
                unsafe { libc::pause() };
            }
        };
        child.kill();
        assert_eq!(child.wait(), None);
        let pid = child.pid;
        drop(child);
        assert_eq!(unsafe { libc::kill(pid, 0) }, -1, "nobody has that number any more");
    }

    #[test]
    fn only_the_kept_descriptor_survives() {
        let (keep, _writer) = io::pipe().unwrap();
        let (before, _after) = io::pipe().unwrap();
        let status = status_of(|| {
            close_all_but(&keep);
            let is_open = |fd| u8::from(unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1);
            is_open(keep.as_raw_fd()) << 3 | is_open(2) << 2 | is_open(before.as_raw_fd()) << 1
        });
        assert_eq!(status, Some(0b1100));
    }

    #[test]
    fn the_waiting_process_ends_when_the_other_is_ready_or_has_failed() {
        for (fails, expected) in [(false, 0), (true, 78)] {
            // A process of its own, because the one that waits must not be the test.
            let status = status_of(|| match background().unwrap() {
                Background::Ended(status) => status,
                Background::Here(_) if fails => exit_child(78),
                Background::Here(ready) => {
                    let told = ready.tell();
                    exit_child(u8::from(told.is_err()))
                }
            });
            assert_eq!(status, Some(expected));
        }
    }

    #[test]
    fn users_are_found_by_name() {
        let root = Identity::find("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        assert_eq!(Identity::find("no-such-user-here").unwrap(), None);
        assert!(Identity::find("nul\0").is_err());
    }

    #[test]
    fn becoming_a_user_leaves_no_group_and_no_way_back() {
        if ids().0 != 0 {
            println!("cannot test privileges here: not root");
            return;
        }
        let nobody = Identity::find("nobody").unwrap().unwrap();
        let status = status_of(|| {
            let more: [libc::gid_t; 2] = [0, 4];
            unsafe { libc::setgroups(2, more.as_ptr()) };
            if nobody.assume().is_err() || unsafe { libc::setuid(0) } == 0 {
                return 1;
            }
            let mut groups = [0 as libc::gid_t; 64];
            let count = unsafe { libc::getgroups(64, groups.as_mut_ptr()) };
            let left = &groups[..usize::try_from(count).unwrap()];
            u8::from(ids() != (nobody.uid, nobody.gid) || left != &nobody.groups[..]) * 2
        });
        assert_eq!(status, Some(0));
    }

    #[test]
    fn becoming_another_user_without_being_root_fails() {
        if ids().0 != 0 {
            println!("cannot test privileges here: not root");
            return;
        }
        let nobody = Identity::find("nobody").unwrap().unwrap();
        let root = Identity::find("root").unwrap().unwrap();
        let status = status_of(|| {
            nobody.assume().unwrap();
            // Whoever is that user already stays it.
            u8::from(root.assume().is_ok()) + 2 * u8::from(nobody.assume().is_err())
        });
        assert_eq!(status, Some(0));
    }

    #[test]
    fn a_jail_has_no_outside() {
        if ids().0 != 0 {
            println!("cannot test a jail here: not root");
            return;
        }
        let dir = crate::sys::test_dir("jail");
        std::fs::write(dir.join("inside"), "").unwrap();
        let status = status_of(|| {
            jail(&dir).unwrap();
            u8::from(!Path::new("inside").exists()) + 2 * u8::from(Path::new("/proc/self").exists())
        });
        assert_eq!(status, Some(0));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes_and_never_lowered() {
        let set = |cur, max| {
            let limit = libc::rlimit { rlim_cur: cur, rlim_max: max };
            u8::from(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0)
        };
        // Being root is not enough where the capability to do this was taken away.
        let may_raise = status_of(|| set(100, 300) + 2 * set(100, 400)) == Some(0);
        let most = if may_raise { 400 } else { 300 };
        let status = status_of(|| {
            let lowered = set(100, 300);
            let results = [(200, 200), (150, 200), (400, most)]
                .map(|(wanted, limit)| u8::from(raise_descriptor_limit(wanted).unwrap() != limit));
            lowered * 8 + results[0] + results[1] * 2 + results[2] * 4
        });
        assert_eq!(status, Some(0));
    }
}
