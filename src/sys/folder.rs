//! Files in folders that others may write: what they have put there is not followed, and not
//! written to.
//!
//! The rules are those of `protected_symlinks` and `protected_regular` (proc(5)), which are not
//! in force everywhere.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{poll_one, process};
use crate::base::bytes::text_of;

/// Bytes that a file of commands, or of an access list, has at most.
const TEXT_MAX: u64 = 1024 * 1024;

/// How many symbolic links may lead to a file (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Reads a file of text, at most a mebibyte of it.
///
/// If it `waits`, a pipe is read to its end, until a signal comes. Otherwise only files are read: a pipe has as
/// much in it as happens to be, and after the start standard input has nothing.
///
/// # Errors
/// As well if it is longer, and if it is not UTF-8.
pub fn read_text(path: &Path, waits: bool) -> io::Result<String> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    if !waits && !about.is_file() && !about.is_dir() {
        return Err(io::Error::other("it is not a file"));
    }
    let (mut bytes, mut chunk) = (Vec::new(), [0; 8192]);
    while bytes.len() as u64 <= TEXT_MAX {
        if waits && !poll_one(&file, libc::POLLIN, -1) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match file.read(&mut chunk) {
            Ok(0) => return text_of(bytes),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && waits => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than a mebibyte"))
}

/// Opens a file for append, and creates it if it is not there. Never waits, for a reader of a
/// named pipe for instance.
///
/// Fails where a folder that others may write has a symbolic link of somebody who is neither its
/// owner nor this user, or a file of such a one.
pub fn open_for_append(path: &Path) -> io::Result<File> {
    open_as(path, OpenOptions::new().append(true).create(true))
}

/// Opens a file in the same way, and empties it unless it `continues`. Only this user may read one that
/// is new.
///
/// Fails as well if there are bytes in it and it does not begin with `magic`.
pub fn open_anew(path: &Path, magic: &[u8], continues: bool) -> io::Result<File> {
    let file = open_as(path, OpenOptions::new().read(true).append(true).create(true).mode(0o600))?;
    let about = file.metadata()?;
    if !about.is_file() || about.len() == 0 {
        return Ok(file);
    }
    let mut start = vec![0; magic.len()];
    if file.read_at(&mut start, 0)? != magic.len() || start != magic {
        return Err(io::Error::other("it is there, and something else is in it"));
    }
    if !continues {
        file.set_len(0)?;
    }
    Ok(file)
}

fn open_as(path: &Path, how: &OpenOptions) -> io::Result<File> {
    let open = |path: &Path, more| {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY | more;
        how.clone().custom_flags(flags).open(path)
    };
    let mut path = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        let error = match open(&path, libc::O_NOFOLLOW) {
            Ok(file) => return refuse_foreign(&path, &file.metadata()?).map(|()| file),
            Err(error) => error,
        };
        let Ok(link) = fs::symlink_metadata(&path) else { return Err(error) };
        if !link.is_symlink() {
            return Err(error);
        }
        let folder = folder_of(&path);
        let about = fs::metadata(&folder)?;
        if others_may_write(&about) && ![process::ids().0, about.uid()].contains(&link.uid()) {
            return Err(io::Error::other(
                "it is a symbolic link of somebody else in a directory that others may write",
            ));
        }
        if fs::canonicalize(&folder).is_ok_and(|folder| folder.starts_with("/proc")) {
            // The text of these is no path (proc(5), /proc/PID/fd), and nobody can put others there.
            return open(&path, 0);
        }
        path = folder.join(fs::read_link(&path)?);
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// Puts a file in place of the one that is there, if there is one. Whoever reads it sees the old one
/// or the new one, whole. The new one has the permissions of the old one.
///
/// Fails where there is something else than a file, a symbolic link for instance.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (mut file, new, mode) = beside(path)?;
    let permissions = mode.map(fs::Permissions::from_mode);
    let written = file.write_all(bytes).and_then(|()| permissions.map_or(Ok(()), |mode| file.set_permissions(mode)));
    let moved = written.and_then(|()| fs::rename(&new, path));
    if moved.is_err() {
        let _ = fs::remove_file(&new);
    }
    moved
}

/// Whether a file can be put there, as far as that is known before there are any bytes for it.
pub fn may_replace(path: &Path) -> io::Result<()> {
    beside(path).and_then(|(_, new, _)| fs::remove_file(new))
}

/// A new file in the folder of another one, its path, and the permissions of the other one if that is there.
fn beside(path: &Path) -> io::Result<(File, PathBuf, Option<u32>)> {
    let mode = match fs::symlink_metadata(path) {
        Ok(about) if !about.is_file() => return Err(io::Error::other("it exists and is not a file")),
        Ok(about) => Some(about.mode() & 0o777),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let new = folder_of(path).join(format!(".{name}.{}", std::process::id()));
    // Left by a process that was killed and had the same number.
    let _ = fs::remove_file(&new);
    let file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    Ok((file, new, mode))
}

/// The path of a file from the root and without symbolic links in the folders on its way. The file
/// need not be there; one that is there may be a link no more than its folders.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or(error)?;
            // A link to nowhere is not a name that is free.
            if fs::symlink_metadata(path).is_ok() {
                return Err(io::Error::other("it is a symbolic link to nothing"));
            }
            Ok(fs::canonicalize(folder_of(path))?.join(name))
        }
        found => found,
    }
}

/// Fails for a file in a folder that everybody may write, if it is of somebody who is neither
/// the folder's owner nor this user, or has other names: it was put there to have it written to.
pub fn refuse_foreign(path: &Path, file: &Metadata) -> io::Result<()> {
    let folder = fs::metadata(folder_of(path))?;
    if folder.mode() & 0o002 == 0 {
        return Ok(());
    }
    if ![process::ids().0, folder.uid()].contains(&file.uid()) {
        return Err(io::Error::other("it belongs to somebody else, in a directory that everybody may write"));
    }
    if file.nlink() > 1 {
        return Err(io::Error::other("it has other names, in a directory that everybody may write"));
    }
    Ok(())
}

fn others_may_write(folder: &Metadata) -> bool {
    folder.mode() & 0o022 != 0
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{Fork, Identity, exit_child, fork, ids};
    use crate::sys::test_dir;
    use std::os::unix::fs::symlink;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What becomes of opening a file as another user: its message, or nothing.
    fn as_nobody(path: &Path) -> String {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let Fork::Parent(child) = fork().unwrap() else {
            let result = Identity::find("nobody").unwrap().unwrap().assume().and_then(|()| open_for_append(path));
            let text = result.err().map(|error| error.to_string()).unwrap_or_default();
            exit_child(u8::from(writer.write_all(text.as_bytes()).is_err()));
        };
        drop(writer);
        let said = io::read_to_string(&mut reader).unwrap();
        assert_eq!(child.wait(), Some(0));
        said
    }

    #[test]
    fn what_is_no_file_is_no_text_for_those_who_cannot_wait() {
        let dir = test_dir("pipe");
        let path = dir.join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        for (path, waits, message) in [
            (path.as_path(), false, "it is not a file"),
            (Path::new("/dev/null"), false, "it is not a file"),
            (Path::new("/dev/zero"), true, "more than a mebibyte"),
        ] {
            assert_eq!(read_text(path, waits).unwrap_err().to_string(), message);
        }
        assert_eq!(read_text(&dir, false).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let text = "x".repeat(TEXT_MAX as usize);
        fs::write(dir.join("text"), &text).unwrap();
        assert!(read_text(&dir.join("text"), false).unwrap() == text);
        fs::write(dir.join("text"), text + "x").unwrap();
        assert!(read_text(&dir.join("text"), true).is_err());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_permissions() {
        let dir = test_dir("folder-replace");
        let path = dir.join("status.html");
        replace(&path, b"one").unwrap();
        chmod(&path, 0o640);
        let before = fs::metadata(&path).unwrap().ino();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let about = fs::metadata(&path).unwrap();
        assert!(about.mode() & 0o777 == 0o640 && about.ino() != before);
        symlink("status.html", dir.join("link")).unwrap();
        for (name, why) in
            [("link", "it exists and is not a file"), ("nosuch/x", "No such file or directory (os error 2)")]
        {
            assert_eq!(replace(&dir.join(name), b"x").unwrap_err().to_string(), why);
        }
        assert!(replace(&dir, b"x").is_err());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing is left behind");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_real_path_has_no_links_and_no_dots() {
        let dir = fs::canonicalize(test_dir("folder-real")).unwrap();
        fs::create_dir(dir.join("in")).unwrap();
        fs::write(dir.join("secret"), "").unwrap();
        symlink("../secret", dir.join("in/link")).unwrap();
        symlink("nowhere", dir.join("in/broken")).unwrap();
        symlink("..", dir.join("in/up")).unwrap();
        let table =
            [("in/new", "in/new"), ("in/../secret", "secret"), ("in/link", "secret"), ("in/up/new", "new"), (".", "")];
        for (path, real) in table {
            assert_eq!(real_path(&dir.join(path)).unwrap(), dir.join(real), "{path}");
        }
        for path in ["in/broken", "nosuch/file", "in/.."] {
            let _ = real_path(&dir.join(path)).map(|real| assert_eq!(real, dir, "{path}"));
        }
        assert!(real_path(&dir.join("in/broken")).is_err() && real_path(&dir.join("nosuch/file")).is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn links_are_followed_where_only_their_owner_can_make_them() {
        let dir = test_dir("folder-own");
        let elsewhere = dir.join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        symlink("elsewhere/log", dir.join("link")).unwrap();
        symlink("link", dir.join("second")).unwrap();
        symlink(&elsewhere, dir.join("way")).unwrap();
        // Its own links are followed in a folder of others, too.
        let shared = dir.join("shared");
        fs::create_dir(&shared).unwrap();
        symlink("../elsewhere/log", shared.join("own")).unwrap();
        chmod(&shared, 0o1777);
        for name in ["plain", "link", "second", "way/log", "shared/own"] {
            open_for_append(&dir.join(name)).unwrap().write_all(b"x").unwrap();
        }
        assert_eq!(fs::read(elsewhere.join("log")).unwrap(), b"xxxx");
        symlink("circle", dir.join("circle")).unwrap();
        assert_eq!(open_for_append(&dir.join("circle")).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert!(open_for_append(&dir).is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_streams_of_a_process_are_reached_by_their_links() {
        let (mut reader, writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        open_for_append(Path::new(&path)).unwrap().write_all(b"x").unwrap();
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "x");
    }

    #[test]
    fn what_others_have_put_into_a_shared_folder_is_not_followed_or_written_to() {
        if ids().0 != 0 {
            println!("cannot test files of other users here: not root");
            return;
        }
        let dir = test_dir("folder-shared");
        let nobody = Identity::find("nobody").unwrap().unwrap();
        let own = |path: &Path| std::os::unix::fs::lchown(path, Some(nobody.uid), Some(nobody.gid)).unwrap();
        chmod(&dir, 0o755);
        fs::write(dir.join("precious"), "precious").unwrap();
        for (mode, name) in [(0o1777, "sticky"), (0o777, "open"), (0o775, "group")] {
            let shared = dir.join(name);
            fs::create_dir(&shared).unwrap();
            for link in ["link", "dangling"] {
                symlink(if link == "link" { "../precious" } else { "../made" }, shared.join(link)).unwrap();
                own(&shared.join(link));
            }
            fs::hard_link(dir.join("precious"), shared.join("hard")).unwrap();
            fs::write(shared.join("foreign"), "").unwrap();
            own(&shared.join("foreign"));
            chmod(&shared, mode);
            let message = |name: &str| open_for_append(&shared.join(name)).err().map(|error| error.to_string());
            for link in ["link", "dangling"] {
                let expected = "it is a symbolic link of somebody else in a directory that others may write";
                assert_eq!(message(link).as_deref(), Some(expected), "{mode:o}");
            }
            let everybody = mode & 0o002 != 0;
            assert_eq!(message("hard").is_some(), everybody, "{mode:o}");
            assert_eq!(message("foreign").is_some(), everybody, "{mode:o}");
            assert_eq!(message("new"), None, "{mode:o}");
            // Who is not root: root's own links are as good as its folder.
            symlink("../precious", shared.join("roots")).unwrap();
            let said = as_nobody(&shared.join("roots"));
            assert!(said.contains("ermission denied"), "followed, to a file that is closed to it: {said}");
            if everybody {
                assert_eq!(as_nobody(&shared.join("foreign")), "");
                assert_eq!(as_nobody(&shared.join("of-nobody")), "");
            }
        }
        // A link in a folder that only its owner writes, who may be anybody.
        let home = dir.join("home");
        fs::create_dir(&home).unwrap();
        symlink("../made", home.join("link")).unwrap();
        own(&home);
        own(&home.join("link"));
        assert!(!dir.join("made").exists(), "a dangling link made a file");
        open_for_append(&home.join("link")).unwrap();
        assert_eq!(fs::read_to_string(dir.join("precious")).unwrap(), "precious");
        fs::remove_dir_all(dir).unwrap();
    }
}
