//! The file that says which process pen is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::folder;

/// A pid file that is written. Dropping it removes the file, or empties it where it cannot be
/// removed; it leaves alone what somebody else has put in its place.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Writes the decimal number of this process, without a newline, mode 0644. What was there
    /// before is replaced at one stroke; where pen may not make new files, it is overwritten.
    /// Nothing is ever written through a symbolic link.
    pub fn create(path: &Path) -> io::Result<PidFile> {
        Ok(PidFile { path: path.to_path_buf(), file: put(path)? })
    }

    /// Writes it again, unless it still is as it was: a successor that came to nothing may have
    /// put its own there, or removed it with its own end.
    pub fn restore(&mut self) -> io::Result<()> {
        if !self.is_ours() {
            self.file = put(&self.path)?;
        }
        Ok(())
    }

    /// True if the file is the one that was written here, and names this process: where it could
    /// not be replaced, another process may have written over it.
    fn is_ours(&self) -> bool {
        let is_same = |about: fs::Metadata| {
            self.file.metadata().is_ok_and(|ours| ours.dev() == about.dev() && ours.ino() == about.ino())
        };
        let mut text = [0; 16];
        let count = self.file.read_at(&mut text, 0).unwrap_or(0);
        fs::symlink_metadata(&self.path).is_ok_and(is_same)
            && text[..count] == *std::process::id().to_string().as_bytes()
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.is_ours() && fs::remove_file(&self.path).is_err() {
            // An empty file at least names no process that may by then be somebody else's.
            let _ = self.file.set_len(0);
        }
    }
}

fn put(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.file_type().is_symlink() => return Err(io::Error::other("it is a symbolic link")),
        Ok(about) if !about.is_file() => return Err(io::Error::other("it is not a regular file")),
        Ok(_) | Err(_) => {}
    }
    match replace(path) {
        Err(error) if is_denied(&error) => overwrite(path),
        result => result,
    }
}

/// A new file, moved into place when it is complete.
fn replace(path: &Path) -> io::Result<File> {
    let pid = std::process::id();
    let mut name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_os_string();
    name.push(format!(".{pid}"));
    let beside = path.with_file_name(name);
    let options = || OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(&beside);
    // A pen with the same number that crashed between the two steps may have left one.
    let mut file = match options() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&beside)?;
            options()?
        }
        result => result?,
    };
    let written = write!(file, "{pid}").and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    Ok(file)
}

fn overwrite(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    // Looked at again, for it may have changed since: nothing else is to be truncated.
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    folder::refuse_foreign(path, &file.metadata()?)?;
    file.set_len(0)?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
}

fn is_denied(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM | libc::EROFS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{Fork, Identity, exit_child, fork, ids};
    use crate::sys::test_dir;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn own_pid() -> String {
        std::process::id().to_string()
    }

    #[test]
    fn it_is_written_without_a_newline_and_removed() {
        let dir = test_dir("pid");
        let path = dir.join("pen.pid");
        for old in [None, Some("99999999 an old one"), Some("")] {
            if let Some(old) = old {
                fs::write(&path, old).unwrap();
            }
            let file = PidFile::create(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), own_pid());
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777 & !0o022, 0o644);
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is left beside it");
            drop(file);
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn nothing_is_written_through_links_or_over_other_things() {
        let dir = test_dir("pid-link");
        fs::write(dir.join("precious"), "precious").unwrap();
        symlink(dir.join("precious"), dir.join("link")).unwrap();
        symlink(dir.join("nowhere"), dir.join("dangling")).unwrap();
        fs::create_dir(dir.join("directory")).unwrap();
        let table = [
            ("link", "it is a symbolic link"),
            ("dangling", "it is a symbolic link"),
            ("directory", "it is not a regular file"),
        ];
        for (name, message) in table {
            assert_eq!(PidFile::create(&dir.join(name)).unwrap_err().to_string(), message, "{name}");
        }
        assert_eq!(fs::read_to_string(dir.join("precious")).unwrap(), "precious");
        assert!(PidFile::create(&dir.join("no/such/place")).is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_file_of_another_is_left_alone() {
        let dir = test_dir("pid-other");
        let path = dir.join("pen.pid");
        let file = PidFile::create(&path).unwrap();
        fs::write(dir.join("new"), "12345").unwrap();
        fs::rename(dir.join("new"), &path).unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "12345");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_a_successor_left_there_is_replaced_and_what_it_wrote_over_is_left_alone() {
        let dir = test_dir("pid-successor");
        let path = dir.join("pen.pid");
        let mut file = PidFile::create(&path).unwrap();
        let removed = || fs::remove_file(&path).unwrap();
        let replaced = || {
            fs::write(dir.join("new"), "12345").unwrap();
            fs::rename(dir.join("new"), &path).unwrap();
        };
        let overwritten = || fs::write(&path, "12345").unwrap();
        for left in [&removed as &dyn Fn(), &replaced, &overwritten] {
            left();
            file.restore().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), own_pid());
        }
        overwritten();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "12345", "it names another process");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn where_it_cannot_be_replaced_it_is_overwritten_and_emptied() {
        if ids().0 != 0 {
            println!("cannot test a pid file in a directory of another user here: not root");
            return;
        }
        let dir = test_dir("pid-denied");
        let path = dir.join("pen.pid");
        fs::write(&path, "99999999").unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let nobody = Identity::find("nobody").unwrap().unwrap();
        let Fork::Parent(child) = fork().unwrap() else {
            let status = nobody.assume().map_or(1, |()| match PidFile::create(&path) {
                Ok(file) => {
                    let right = fs::read_to_string(&path).is_ok_and(|text| text == own_pid());
                    drop(file);
                    u8::from(!right) * 2
                }
                Err(_) => 3,
            });
            exit_child(status);
        };
        assert_eq!(child.wait(), Some(0));
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        fs::remove_dir_all(dir).unwrap();
    }
}
