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
use essaim_base::task::{TaskName, Tasks};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Database;
use super::error::StoreError;
use super::pool::Pool;
use super::sqlite::{beside, directory_of, make_private, make_private_file};

/// The smallest page of a database. What is cut short elsewhere SQLite finds itself, where it reads it. (Opening the file to look
/// would be worse: closing it again would give up the locks that SQLite has on it.)
const SMALLEST_BYTES: u64 = 512;

/// A file that was opened.
pub struct OpenFile {
    path: PathBuf,
    file: FileIdentity,
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
                    let Some(damage) = file.damage() else { continue };
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
        Ok(Self { path: path.into(), file, found: Notify::new() })
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

    /// Why nothing may be written to it any more, if so.
    pub fn refusal(&self) -> Option<String> {
        self.damage()
            .map(|damage| format!("{} {}: nothing is written to it any more", self.path.display(), damage.words()))
    }

    /// Copies its content from the open connection to its path, or beside it if another file is there; returns where to. No
    /// transaction may begin to write to it.
    ///
    /// # Errors
    /// Why it cannot be copied.
    pub async fn rescue(&self, damage: FileDamage, writes: &Arc<Pool>) -> Result<PathBuf, RescueError> {
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
        }
    }
}

/// Copies the database of the connection that writes, once its transaction has ended.
async fn copy_into(copy: &Path, writes: &Arc<Pool>) -> Result<(), StoreError> {
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
        let statement = format!("VACUUM INTO '{}'", copy.display().to_string().replace('\'', "''"));
        return lease.work(limit, |mut c| async move { c.execute_unprepared(statement).await.map(drop) }).await;
    }
}
