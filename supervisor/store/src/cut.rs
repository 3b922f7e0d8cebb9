//! A cut: the files of several databases as they were at one moment.
//!
//! Their writers are held, one after the other in the order of their paths, so that two cuts never wait for each other. Once all are
//! held, a connection of its own begins to read each file, and the writers go on. Such a connection sees its file as it was at that
//! moment for as long as it reads: SQLite appends to the journal what is written meanwhile, and leaves in it what somebody reads.
//!
//! So the cut has what was committed by then and nothing that followed from what it lacks, like the files of a node that was killed
//! at that moment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use essaim_base::{Env, crash};
use futures_util::future::join_all;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::clock_hold::ClockHold;
use super::manifest::BackupOf;
use super::transaction::Transaction;
use super::tx_tracker::TxTracker;
use super::{Database, sqlite};

/// How long writers are held at most: who waits for one meanwhile waits longer than that before giving up.
const HELD_AT_MOST: Duration = Duration::from_secs(2);
/// How long another program's lock of a file is waited for.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// Pages that are copied before it is looked whether to go on: about a megabyte.
const PAGES_AT_ONCE: i32 = 256;

/// A file that is to be in a cut.
pub struct CutFile {
    /// Whose it is.
    pub of: BackupOf,
    pub path: PathBuf,
    /// Whose writer is held meanwhile; `None` for a file on which no other depends.
    pub database: Option<Database>,
}

/// A file as it was at the moment of the cut.
pub struct Snapshot {
    pub of: BackupOf,
    connection: Connection,
}

/// Why there is no cut.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    #[error(
        "{of} could not be held still within {} ms ({why}): nothing was copied; try again when it has less to do",
        HELD_AT_MOST.as_millis()
    )]
    Busy { of: BackupOf, why: String },
    #[error("{of} cannot be read: {why}")]
    Unreadable { of: BackupOf, why: String },
    #[error("the files could not be opened within {} ms: nothing was copied; look at their disk", HELD_AT_MOST.as_millis())]
    Slow,
    #[error("a thread that read files ended early: nothing was copied")]
    Panicked,
}

/// Why a snapshot was not copied.
#[derive(Debug)]
pub enum CopyError {
    Sqlite(rusqlite::Error),
    File(std::io::Error),
    /// It was to go on no longer.
    Ended,
}

impl Database {
    /// Its file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        self.inner.file.as_ref().map(|file| file.path())
    }
}

/// Cuts these files; the moment, in milliseconds since 1970, and a snapshot of each.
///
/// # Errors
/// If a writer or a file cannot be had in time: all go on as if nothing had been.
pub async fn cut(mut files: Vec<CutFile>, env: &Env) -> Result<(u64, Vec<Snapshot>), CutError> {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let _hold = ClockHold::of(env);
    let paths: Vec<_> = files.iter().map(|file| (file.of.clone(), file.path.clone())).collect();
    let opened = blocking(move || paths.into_iter().map(Snapshot::open).collect::<Result<Vec<_>, _>>()).await??;
    let until = env.now() + HELD_AT_MOST;
    let mut held = Vec::with_capacity(files.len());
    for CutFile { of, database, .. } in files {
        let Some(database) = database else { continue };
        let begun = Transaction::begin(&database.inner.writes, until, None, TxTracker::default()).await;
        held.push(begun.map_err(|why| CutError::Busy { of, why: why.to_string() })?);
    }
    let (at_ms, held_since) = (env.wall_ms(), env.now());
    let begin = blocking(move || opened.into_iter().map(Opened::begin).collect::<Result<Vec<_>, _>>());
    let snapshots = timeout_at(until, begin).await;
    // A transaction that shared a commit with them hears of its end here, which is of no interest.
    join_all(held.into_iter().map(Transaction::rollback)).await;
    let all_held_us = env.now().saturating_duration_since(held_since).as_micros() as u64;
    tracing::debug!(all_held_us, "writers were held for a backup");
    Ok((at_ms, snapshots.map_err(|_| CutError::Slow)???))
}

/// A connection that does not read yet.
struct Opened {
    of: BackupOf,
    connection: Connection,
}

impl Snapshot {
    fn open((of, path): (BackupOf, PathBuf)) -> Result<Opened, CutError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&path, flags);
        let opened = opened.and_then(|connection| connection.busy_timeout(LOCK_PATIENCE).map(|()| connection));
        match opened {
            Ok(connection) => Ok(Opened { of, connection }),
            Err(why) => Err(CutError::Unreadable { of, why: why.to_string() }),
        }
    }

    /// Copies it into a new file that only this user can read, and has that on the disk. `goes_on` is asked again and again.
    ///
    /// # Errors
    /// If it was to end early, or one of the files cannot be read or written: what there is of the copy stays.
    pub fn copy_to(&self, path: &Path, goes_on: &impl Fn() -> bool) -> Result<(), CopyError> {
        sqlite::make_private_file(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut to = Connection::open_with_flags(path, flags)?;
        // What ends half-way is thrown away.
        to.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
        // SQLite begins to read by itself only from a connection that does not read yet, so this copies the moment of the cut.
        let copying = Backup::new(&self.connection, &mut to)?;
        loop {
            if !goes_on() {
                return Err(CopyError::Ended);
            }
            if step(&copying)? == StepResult::Done {
                break;
            }
        }
        drop(copying);
        drop(to);
        // Without a journal of its own it is whole by itself, and can be looked at where nothing may be written.
        Connection::open_with_flags(path, flags)?.execute_batch("PRAGMA journal_mode = DELETE")?;
        Ok(std::fs::File::open(path)?.sync_all()?)
    }
}

/// The next pages. Nobody else has either file locked.
fn step(copying: &Backup<'_, '_>) -> Result<StepResult, CopyError> {
    crash::point("backup.copying");
    match copying.step(PAGES_AT_ONCE)? {
        StepResult::Busy | StepResult::Locked => Err(std::io::Error::from(std::io::ErrorKind::ResourceBusy).into()),
        step => Ok(step),
    }
}

impl Opened {
    /// Begins to read: a transaction sees what was committed before its first look.
    fn begin(self) -> Result<Snapshot, CutError> {
        let Self { of, connection } = self;
        let began = connection
            .execute_batch("BEGIN")
            .and_then(|()| connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())));
        match began {
            Ok(()) => Ok(Snapshot { of, connection }),
            Err(why) => Err(CutError::Unreadable { of, why: why.to_string() }),
        }
    }
}

/// Works on a thread that may wait for disks.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CutError> {
    #[allow(clippy::disallowed_methods)] // Few for each backup, and operators make few at a time.
    spawn_blocking(work).await.map_err(|_| CutError::Panicked)
}

impl From<rusqlite::Error> for CopyError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::File(std::io::ErrorKind::StorageFull.into()),
            _ => Self::Sqlite(error),
        }
    }
}

impl From<std::io::Error> for CopyError {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}
