//! The file of a SQLite database while it is open.
//!
//! A file that is deleted or replaced while it is open lives on for the process that has it open, and no other ever sees it
//! again: what is committed would be gone when the process ends. So the file at the path is compared with the one that was
//! opened, before each transaction and now and then. If it is another one nothing more is written, the content is copied from
//! the open file, and the node ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use essaim_base::exit::{self, Fatal};
use essaim_base::file_identity::FileIdentity;
use essaim_base::lock::Mutex;
use essaim_base::task::{TaskName, Tasks};
use sea_orm::sqlx::Error;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Database;
use super::connection_lease::BusyConnection;
use super::error::StoreError;
use super::pool::Pool;
use super::sqlite::{directory_of, make_private, make_private_file};

/// The smallest page of a database. What is cut short elsewhere SQLite finds itself, where it reads it. (Opening the file to look
/// would be worse: closing it again would give up the locks that SQLite has on it.)
const SMALLEST_BYTES: u64 = 512;

/// A file that was opened.
pub struct OpenFile {
    path: PathBuf,
    file: FileIdentity,
    /// Notified when it was found damaged.
    pub found: Notify,
    journal: Mutex<Journal>,
}

/// Its journal, as it was found last.
#[derive(Default)]
struct Journal {
    /// The file, and by which connection that writes it was open: a new one may have made a new journal.
    found: Option<(FileIdentity, u64)>,
    is_gone: bool,
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
    /// Its journal is deleted. What is committed is in the one that is open, which nobody would find after a crash.
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
                    let Some(damage) = file.look(database.writes.connection()) else { continue };
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
    /// The file that was just opened at this path.
    ///
    /// # Errors
    /// If it does not exist.
    pub fn at(path: &Path) -> io::Result<Self> {
        let file = FileIdentity::of(&fs::metadata(path)?);
        Ok(Self { path: path.into(), file, found: Notify::new(), journal: Mutex::default() })
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

    /// As [`OpenFile::damage`], by a look at the journal too, which this connection that writes has open.
    pub fn look(&self, connection: Option<u64>) -> Option<FileDamage> {
        if let Some(damage) = self.damage() {
            return Some(damage);
        }
        let there = fs::metadata(beside(&self.path, "-wal")).map(|metadata| FileIdentity::of(&metadata)).ok();
        let mut journal = self.journal.lock();
        match (journal.found, connection) {
            (Some((found, by)), Some(connection)) if by == connection => journal.is_gone |= there != Some(found),
            (_, connection) => journal.found = there.zip(connection),
        }
        drop(journal);
        self.journal_damage()
    }

    fn journal_damage(&self) -> Option<FileDamage> {
        self.journal.lock().is_gone.then_some(FileDamage::WithoutJournal)
    }

    /// Why nothing may be written to it any more, if so.
    pub fn refusal(&self) -> Option<String> {
        self.damage()
            .or_else(|| self.journal_damage())
            .map(|damage| format!("{} {}: nothing is written to it any more", self.path.display(), damage.words()))
    }

    /// Copies its content from the open connection to its path, or beside it if another file is there; returns where to. What is in a
    /// journal that is gone moves into the file. No transaction may begin to write to it.
    ///
    /// # Errors
    /// Why it cannot be copied.
    pub async fn rescue(&self, damage: FileDamage, writes: &Arc<Pool>) -> Result<PathBuf, RescueError> {
        if damage == FileDamage::WithoutJournal {
            save(None, writes).await?;
            return Ok(self.path.clone());
        }
        make_private(&directory_of(&self.path))?;
        let copy = (0..).map(|n| beside(&self.path, &format!(".rescued-{n}"))).find(|path| !path.exists());
        let copy = copy.ok_or(RescueError::TooManyCopies)?;
        make_private_file(&copy)?;
        save(Some(&copy), writes).await?;
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
            Self::WithoutJournal => "has lost its -wal, which was deleted while this node had it open",
        }
    }
}

/// Has the connection that writes copy its database, or empty its journal into the file, once its transaction has ended.
async fn save(copy: Option<&Path>, writes: &Arc<Pool>) -> Result<(), StoreError> {
    let copy = copy.map(|copy| format!("VACUUM INTO '{}'", copy.display().to_string().replace('\'', "''")));
    let until = writes.env.now() + writes.longest_doubt();
    loop {
        let Some(mut lease) = writes.turn().await else { return Err(StoreError::ConnectionGone) };
        // Others share its transaction, which ends when its turn comes.
        if lease.group.is_some() && writes.env.now() < until {
            drop(lease);
            tokio::task::yield_now().await;
            continue;
        }
        let limit = writes.env.now() + 10 * writes.limits.transaction;
        return lease.work(limit, |c| saved(c, copy)).await;
    }
}

async fn saved(mut connection: BusyConnection, copy: Option<String>) -> Result<(), Error> {
    match copy {
        Some(copy) => connection.execute_unprepared(copy).await.map(drop),
        None if connection.settle().await? => Ok(()),
        None => Err(Error::Protocol("others read from its journal".into())),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    path.with_file_name(name)
}
