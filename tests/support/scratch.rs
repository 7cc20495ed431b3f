//! A directory for one test, removed with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A new empty directory that everybody may read (servers of a test run as users of their own).
/// It is kept, and its name printed, when the test fails and `KEEP` is set.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a directory under the system's temporary one: the path stays short enough for a Unix socket's name.
    pub fn new() -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pen-test.{}.{number}", std::process::id()));
        // A killed run of an earlier process with our number may have left one.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the directory is ours");
        Scratch(path)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What is in a file of it, with bytes that are no UTF-8 replaced; nothing when there is no such file.
    pub fn read(&self, name: &str) -> String {
        fs::read(self.file(name)).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Makes or replaces a file in it, and the directories on the way.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        let directory = path.parent().expect("a file of the directory has a parent");
        fs::create_dir_all(directory).expect("the directory is ours");
        fs::write(&path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("KEEP").is_some() {
            eprintln!("kept: {}", self.0.display());
            return;
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}
