//! The file of a SQLite database while it is open.
//!
//! A file that is deleted or replaced while it is open lives on for the process that has it open, and no other ever sees it
//! again: what is committed would be gone when the process ends. So the file at the path is compared with the one that was
//! opened, before each transaction and now and then. If it is another one nothing more is written, the content is copied from
//! the open file, and the node ends. So it is with the `-wal`, in which what was committed last is: it moves from the open one into the
//! file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use essaim_base::exit::{self, Fatal};
use essaim_base::file_identity::FileIdentity;
use essaim_base::lock::Mutex;
use essaim_base::task::{TaskName, Tasks};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Database;
use super::connection_lease::ConnectionLease;
use super::error::StoreError;
use super::pool::Pool;
use super::sqlite::{beside, directory_of, make_private, make_private_file};

/// The smallest page of a database. What is cut short elsewhere SQLite finds itself, where it reads it. (Opening the file to look
/// would be worse: closing it again would give up the locks that SQLite has on it.)
const SMALLEST_BYTES: u64 = 512;

/// How long who still reads from a journal is left to it.
const BETWEEN_TRIES_TO_SETTLE: Duration = Duration::from_millis(20);

/// A file that was opened.
pub struct OpenFile {
    path: PathBuf,
    file: FileIdentity,
    /// Its `-wal`, which SQLite makes once while somebody has the file open.
    journal: FileIdentity,
    is_without_journal: AtomicBool,
    _open: Mutex<Connection>,
    /// Notified when it was found damaged.
    pub found: Notify,
}

/// Damage to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileDamage {
    /// Nothing is at its path.
    Deleted,
    /// Another file is at its path.
    Replaced,
    /// Nothing is in it.
    Emptied,
    /// Nothing, or another file, is at the path of its `-wal`.
    WithoutJournal,
}

impl Database {
    /// Checks its file, if it is one, every `every` and when a transaction finds it damaged: then its content is copied, and the
    /// node ends.
    pub fn watch_file(&self, tasks: &Tasks, every: Duration) {
        let Some(file) = self.inner.file.clone() else { return };
        let (database, ended) = (Arc::downgrade(&self.inner), tasks.clone());
        tasks.restarted_anywhere(TaskName::of("file", &self.capability().into()), move || {
            let (file, database, ended) = (file.clone(), database.clone(), ended.clone());
            async move {
                loop {
                    let _ = timeout(every, file.found.notified()).await;
                    let Some(database) = database.upgrade() else { return };
                    let Some(damage) = file.damage().or_else(|| file.journal_damage()) else { continue };
                    let saving = ended.saving().await;
                    let copied = file.rescue(damage, &database.writes).await;
                    drop(saving);
                    let what = match copied {
                        Ok(path) if path == file.path() => "what was in it is there again".to_string(),
                        Ok(path) => format!("what was in it is saved as {}", path.display()),
                        Err(why) => format!("what was in it could not be copied ({why})"),
                    };
                    let reason = format!(
                        "the file {} {}: {what}; the node ends, and starts with what is there: stop it before you touch its files",
                        file.path().display(),
                        damage.words()
                    );
                    tracing::error!(capability = database.capability, "{reason}");
                    // Where one file is gone all may be, and each must be copied.
                    return ended.end_node_later(2 * every, Fatal::new(exit::FILE, reason)).await;
                }
            }
        });
    }
}

impl OpenFile {
    /// The file that was just opened at this path; it stays open with this.
    ///
    /// # Errors
    /// If it does not exist, or is no database.
    pub fn at(path: &Path) -> io::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = Connection::open_with_flags(path, flags).map_err(io::Error::other)?;
        // With the first look at its content it opens the journal.
        open.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(io::Error::other)?;
        let identity = |path: &Path| fs::metadata(path).map(|metadata| FileIdentity::of(&metadata));
        let (file, journal) = (identity(path)?, identity(&beside(path, "-wal"))?);
        let (path, open) = (path.into(), Mutex::new(open));
        Ok(Self { path, file, journal, is_without_journal: false.into(), _open: open, found: Notify::new() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The damage that it has suffered, if any.
    pub fn damage(&self) -> Option<FileDamage> {
        let damage = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(FileDamage::Deleted),
            // An error of looking at it does not say that it cannot be written.
            Err(_) => None,
            Ok(metadata) if FileIdentity::of(&metadata) != self.file => Some(FileDamage::Replaced),
            Ok(metadata) => (metadata.len() < SMALLEST_BYTES).then_some(FileDamage::Emptied),
        };
        if damage.is_some() {
            self.found.notify_one();
        }
        damage
    }

    /// Whether its `-wal` is gone. That is looked for now and then, and remembered: what is committed meanwhile is in the open one
    /// as well, and moves into the file with it.
    fn journal_damage(&self) -> Option<FileDamage> {
        let is_gone = match fs::metadata(beside(&self.path, "-wal")) {
            Ok(metadata) => FileIdentity::of(&metadata) != self.journal,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        self.is_without_journal.fetch_or(is_gone, Ordering::Relaxed);
        is_gone.then_some(FileDamage::WithoutJournal)
    }

    /// Why nothing may be written to it any more, if so.
    pub fn refusal(&self) -> Option<String> {
        let without = self.is_without_journal.load(Ordering::Relaxed).then_some(FileDamage::WithoutJournal);
        self.damage()
            .or(without)
            .map(|damage| format!("{} {}: nothing is written to it any more", self.path.display(), damage.words()))
    }

    /// Copies its content from the open connection to its path, or beside it if another file is there; returns where to. What is in a
    /// journal that is gone moves into the file. No transaction may begin to write to it.
    ///
    /// # Errors
    /// Why it cannot be copied.
    pub async fn rescue(&self, damage: FileDamage, writes: &Arc<Pool>) -> Result<PathBuf, RescueError> {
        if damage == FileDamage::WithoutJournal {
            settle(writes).await?;
            return Ok(self.path.clone());
        }
        make_private(&directory_of(&self.path))?;
        let copy = (0..).map(|n| beside(&self.path, &format!(".rescued-{n}"))).find(|path| !path.exists());
        let copy = copy.ok_or(RescueError::TooManyCopies)?;
        make_private_file(&copy)?;
        copy_into(&copy, writes).await?;
        if damage != FileDamage::Deleted {
            return Ok(copy);
        }
        // These belong to the file that is gone, and would be taken for the copy's.
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(&self.path, suffix));
        }
        // Unless another file was put there meanwhile.
        match fs::hard_link(&copy, &self.path).and_then(|()| fs::remove_file(&copy)) {
            Ok(()) => Ok(self.path.clone()),
            Err(_) => Ok(copy),
        }
    }
}

/// Why the content of a damaged file could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum RescueError {
    #[error("there are too many copies")]
    TooManyCopies,
    /// The copy or its directory cannot be made.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The database does not give its content.
    #[error(transparent)]
    Database(#[from] StoreError),
}

impl FileDamage {
    /// The damage, as the rest of a sentence about the file.
    pub fn words(self) -> &'static str {
        match self {
            Self::Deleted => "was deleted or moved away while this node had it open",
            Self::Replaced => "is another file than the one that this node has open",
            Self::Emptied => "was emptied while this node had it open",
            Self::WithoutJournal => "has lost its -wal, which was deleted or moved away while this node had it open",
        }
    }
}

/// Copies the database of the connection that writes.
async fn copy_into(copy: &Path, writes: &Arc<Pool>) -> Result<(), StoreError> {
    let statement = format!("VACUUM INTO '{}'", copy.display().to_string().replace('\'', "''"));
    let (mut lease, limit) = (lease_alone(writes).await?, writes.env.now() + 10 * writes.limits.transaction);
    lease.work(limit, |mut c| async move { c.execute_unprepared(statement).await.map(drop) }).await
}

/// Moves what is in the journal of the connection that writes into the file, once nobody reads from the journal.
async fn settle(writes: &Arc<Pool>) -> Result<(), StoreError> {
    let (mut lease, limit) = (lease_alone(writes).await?, writes.env.now() + 10 * writes.limits.transaction);
    while !lease.work(limit, |mut c| async move { c.settle().await }).await? {
        sleep(BETWEEN_TRIES_TO_SETTLE).await;
    }
    Ok(())
}

/// The connection that writes, once the transaction that others share has ended, or should have long since.
async fn lease_alone(writes: &Arc<Pool>) -> Result<ConnectionLease, StoreError> {
    let until = writes.env.now() + writes.longest_doubt();
    loop {
        let lease = writes.turn().await.ok_or(StoreError::ConnectionGone)?;
        if lease.group.is_none() || writes.env.now() >= until {
            return Ok(lease);
        }
        drop(lease);
        tokio::task::yield_now().await;
    }
}
