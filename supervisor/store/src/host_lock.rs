//! The lock beside a SQLite file: its holder is the one live host of the capability.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::DatabaseError;

/// The lock of a SQLite file. The operating system frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct HostLock {
    file: File,
}

impl Drop for HostLock {
    /// Closing the file would not be enough: a child process that another thread is just starting has it open as well,
    /// until it has become another program.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl HostLock {
    /// Takes the lock of this database.
    ///
    /// # Errors
    /// If another host holds it (the error names the process if that is known), or the file cannot be made.
    pub fn take(database: &Path) -> Result<Self, DatabaseError> {
        let path = path_of(database);
        let broken = |e: std::io::Error| DatabaseError::Unlockable { path: path.clone(), why: e.to_string() };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(broken)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DatabaseError::Held { path: database.into(), holder: name(holder(&mut file)) });
            }
            Err(TryLockError::Error(e)) => return Err(broken(e)),
        }
        // The process id is for the message of a host that is refused; the lock holds without it.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self { file })
    }

    /// The process that hosts this database now, as far as is known; `None` without one.
    pub fn holder(database: &Path) -> Option<String> {
        let mut file = File::open(path_of(database)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(name(holder(&mut file))),
            _ => None,
        }
    }
}

/// The lock file of a database: beside the real file, so that two paths to one file find the same lock.
fn path_of(database: &Path) -> PathBuf {
    let real = std::fs::canonicalize(database).or_else(|_| {
        let directory = database.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::canonicalize(directory).map(|d| d.join(database.file_name().unwrap_or_default()))
    });
    let mut path = real.unwrap_or_else(|_| database.to_path_buf()).into_os_string();
    path.push(".lock");
    path.into()
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn name(holder: Option<u32>) -> String {
    match holder {
        Some(pid) if pid == std::process::id() => "this process itself".into(),
        Some(pid) => format!("process {pid}"),
        None => "another process".into(),
    }
}

/// The message that a database has a host already, and what to do.
pub fn held_by(database: &Path, holder: &str) -> String {
    format!(
        "{} is in use by {holder}: a SQLite database has one live host; stop the other, or give this one a file of its \
         own (node.data_dir or capabilities.NAME.database)",
        database.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Directory;

    #[test]
    fn a_second_host_is_refused_by_name_until_the_first_is_gone() {
        let dir = Directory::new();
        let database = dir.path().join("a.sqlite3");
        assert_eq!(HostLock::holder(&database), None);
        let first = HostLock::take(&database).unwrap();
        let refused = HostLock::take(&database).unwrap_err().to_string();
        assert!(refused.contains("a.sqlite3 is in use by this process itself"), "{refused}");
        assert_eq!(HostLock::holder(&database).unwrap(), "this process itself");
        let inherited = first.file.try_clone().unwrap();
        drop(first);
        assert_eq!(HostLock::holder(&database), None, "whoever has inherited the file has not inherited the lock");
        drop(inherited);
        HostLock::take(&database).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn another_path_to_the_same_file_finds_the_same_lock() {
        let dir = Directory::new();
        let database = dir.path().join("a.sqlite3");
        std::fs::write(&database, "").unwrap();
        let link = dir.path().join("b.sqlite3");
        std::os::unix::fs::symlink(&database, &link).unwrap();
        let _first = HostLock::take(&database).unwrap();
        assert!(HostLock::take(&link).is_err());
    }
}
