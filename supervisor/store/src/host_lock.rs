//! The lock beside a SQLite file: its holder is the one live host of the capability.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use essaim_base::lock::Mutex;

use super::DatabaseError;

/// The lock of a SQLite file. The operating system frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct HostLock {
    file: Arc<File>,
}

/// The process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedBy {
    /// Its id for people, as far as it is known.
    pub process: String,
    /// When it will have ended at the latest, in milliseconds since 1970, if it drains.
    pub drains_until_ms: Option<u64>,
}

/// The locks of this process. Bounded by its SQLite files.
static HELD: Mutex<Vec<Weak<File>>> = Mutex::new(Vec::new());

/// Tells those who wait for a lock of this process that it drains, and will have ended at that time, in milliseconds since 1970.
pub fn announce_end(until_ms: u64) {
    for file in HELD.lock().iter().filter_map(Weak::upgrade) {
        write_holder(&file, &format!("{} draining {until_ms}", std::process::id()));
    }
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
                return Err(DatabaseError::Held { path: database.into(), holder: name(holder(&mut file).0) });
            }
            Err(TryLockError::Error(e)) => return Err(broken(e)),
        }
        write_holder(&file, &std::process::id().to_string());
        let file = Arc::new(file);
        let mut held = HELD.lock();
        held.retain(|file| file.strong_count() > 0);
        held.push(Arc::downgrade(&file));
        Ok(Self { file })
    }

    /// The process that hosts this database now; `None` without one.
    pub fn holder(database: &Path) -> Option<LockedBy> {
        let mut file = File::open(path_of(database)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let (process, drains_until_ms) = holder(&mut file);
                Some(LockedBy { process: name(process), drains_until_ms })
            }
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

/// Writes who holds the lock: for the message of a host that is refused, and for one that waits. The lock holds without it. What is written
/// over a shorter text is never read as none.
fn write_holder(mut file: &File, text: &str) {
    let written = file.rewind().and_then(|()| file.write_all(text.as_bytes()));
    let _ = written.and_then(|()| file.set_len(text.len() as u64));
}

/// The process that holds the lock, and when it will have ended if it drains.
fn holder(file: &mut File) -> (Option<u32>, Option<u64>) {
    let mut text = String::new();
    if file.rewind().and_then(|()| file.take(64).read_to_string(&mut text)).is_err() {
        return (None, None);
    }
    let mut words = text.split_whitespace();
    let process = words.next().and_then(|word| word.parse().ok());
    let until = words.next().filter(|word| *word == "draining").and(words.next());
    (process, until.and_then(|word| word.parse().ok()))
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
        assert_eq!(HostLock::holder(&database).unwrap().process, "this process itself");
        assert_eq!(HostLock::holder(&database).unwrap().drains_until_ms, None);
        announce_end(1_800_000_000_000);
        let holder = HostLock::holder(&database).unwrap();
        assert_eq!((holder.process.as_str(), holder.drains_until_ms), ("this process itself", Some(1_800_000_000_000)));
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
