//! A restore: the files of a backup take the places from which they were copied, while no node has them.
//!
//! First all are copied to `FILE.restoring` beside their places, and checked; then each is renamed to its place, after what was there has
//! been moved aside. No node starts while there is a `FILE.restoring` of one of its files: whenever the process ends, the places
//! hold what they held, or the restore is to be run again, and goes on.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use essaim_base::crash;
use essaim_config::Settings;
use rusqlite::{Connection, OpenFlags};

use super::backup::{in_words, sync_directory};
use super::location::DatabaseLocation;
use super::manifest::{BackupFile, BackupManifest, BackupOf, digest};
use super::sqlite::{beside, directory_of, make_private};
use super::{DatabaseError, HostLock};

/// What a restore has come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Where the files of the backup are now.
    pub placed: Vec<PathBuf>,
    /// What was at these places, and where it is now.
    pub aside: Vec<(PathBuf, PathBuf)>,
    /// Files that were left as they were.
    pub left: Vec<PathBuf>,
}

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(
        "it is a backup of the node `{backup}`, and this is the configuration of `{here}`: give the one with which `{backup}` ran"
    )]
    OtherNode { backup: String, here: String },
    #[error("{0} is in it, and not in a file in this configuration: give the one with which the backup was made")]
    Elsewhere(BackupOf),
    #[error("the node runs: {} is in use by {holder}; stop it (SIGTERM), and run this again when it has ended", .path.display())]
    Running { path: PathBuf, holder: String },
    #[error("there are databases already ({}): --replace moves them aside", paths(.0))]
    Occupied(Vec<PathBuf>),
    #[error("{} is damaged: {why}; nothing was restored from it", .path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{} cannot be written: {why}", .path.display())]
    Unwritable { path: PathBuf, why: String },
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Puts the files of the backup in a directory at their places in these settings. What is there is moved aside if `replace` says so.
///
/// # Errors
/// See [`RestoreError`]. The places hold what they held, or no node starts on them.
pub fn restore(
    from: &Path,
    manifest: &BackupManifest,
    settings: &Settings,
    replace: bool,
) -> Result<Restored, RestoreError> {
    if manifest.node != settings.node.name {
        let (backup, here) = (manifest.node.clone(), settings.node.name.clone());
        return Err(RestoreError::OtherNode { backup, here });
    }
    let targets = manifest.files.iter().map(|file| Target::of(file, settings)).collect::<Result<Vec<_>, _>>()?;
    let _locks = targets.iter().filter_map(|target| target.lock().transpose()).collect::<Result<Vec<_>, _>>()?;
    // What was begun may have been half-way, and who began it has said whether to replace what is there.
    let was_begun = targets.iter().any(|target| staged(&target.path).exists());
    let mut restored = Restored::default();
    let (mut missing, mut occupied) = (Vec::new(), Vec::new());
    for target in targets {
        match () {
            () if !target.is_occupied() => missing.push(target),
            // An earlier run came so far.
            () if target.is_in_place() => restored.placed.push(target.path),
            // What was done is not undone, and stays known.
            () if matches!(target.file.of, BackupOf::Audit(_)) => restored.left.push(target.path),
            () if replace || was_begun => missing.push(target),
            () => occupied.push(target.path),
        }
    }
    if !occupied.is_empty() {
        return Err(RestoreError::Occupied(occupied));
    }
    if let Err(error) = stage(&missing, from) {
        if !was_begun {
            missing.iter().for_each(|target| drop(fs::remove_file(staged(&target.path))));
        }
        return Err(error);
    }
    for target in missing {
        restored.aside.extend(target.put_in_place()?);
        crash::point("restore.after-file");
        restored.placed.push(target.path);
    }
    Ok(restored)
}

/// Takes the lock of a file that is to be opened.
///
/// # Errors
/// As [`HostLock::take`]; or a restore of the file has not ended.
pub fn lock_whole(path: &Path) -> Result<HostLock, DatabaseError> {
    let lock = HostLock::take(path)?;
    refuse_unfinished(path).map(|()| lock)
}

/// Refuses a file that a restore has not ended to put in its place.
///
/// # Errors
/// If there is what such a restore leaves.
pub fn refuse_unfinished(path: &Path) -> Result<(), DatabaseError> {
    let staged = staged(path);
    if staged.exists() { Err(DatabaseError::HalfRestored(staged)) } else { Ok(()) }
}

/// What a restore that has not ended has left of the file of this capability, or of the `log`, if anything.
pub fn unfinished_restore(capability: &str, settings: &Settings) -> Option<DatabaseError> {
    match DatabaseLocation::of(capability, settings) {
        Ok(DatabaseLocation::Sqlite(path)) => refuse_unfinished(&path).err(),
        _ => None,
    }
}

/// A file of the backup, and its place.
struct Target<'a> {
    file: &'a BackupFile,
    path: PathBuf,
}

impl<'a> Target<'a> {
    fn of(file: &'a BackupFile, settings: &Settings) -> Result<Self, RestoreError> {
        let in_data_dir = settings.node.data_dir.join(&file.file);
        let path = match &file.of {
            BackupOf::Audit(_) => in_data_dir,
            // A node that has a bridge would take its messages there, and to the wrong ones.
            BackupOf::Log if settings.bridge.url.is_empty() => in_data_dir,
            BackupOf::Log => return Err(RestoreError::Elsewhere(file.of.clone())),
            BackupOf::Capability(name) => match DatabaseLocation::of(name, settings)? {
                DatabaseLocation::Sqlite(path) => path,
                DatabaseLocation::Postgres { .. } => return Err(RestoreError::Elsewhere(file.of.clone())),
            },
        };
        Ok(Self { file, path })
    }

    /// Keeps hosts away from it; the audit has none.
    fn lock(&self) -> Result<Option<HostLock>, RestoreError> {
        make_private(&directory_of(&self.path)).map_err(|error| unwritable(&self.path, &error))?;
        if matches!(self.file.of, BackupOf::Audit(_)) {
            return Ok(None);
        }
        match HostLock::take(&self.path) {
            Err(DatabaseError::Held { path, holder }) => Err(RestoreError::Running { path, holder }),
            lock => Ok(Some(lock?)),
        }
    }

    /// Whether anything is at its place. A start that failed may have left an empty file.
    fn is_occupied(&self) -> bool {
        [self.path.clone(), beside(&self.path, "-wal")].iter().any(|path| length(path) > 0)
    }

    /// Whether what is at its place is what the backup has.
    fn is_in_place(&self) -> bool {
        let is_alone = length(&self.path) == self.file.bytes && length(&beside(&self.path, "-wal")) == 0;
        let digest = || digest(File::open(&self.path)?, |_| Ok(()));
        is_alone && digest().is_ok_and(|(_, sha256)| sha256 == self.file.sha256)
    }

    /// Copies it beside its place.
    fn stage(&self, from: &Path) -> Result<(), RestoreError> {
        let (source, to) = (from.join(&self.file.file), staged(&self.path));
        let damaged = |why: String| RestoreError::Damaged { path: source.clone(), why };
        let read = File::open(&source).map_err(|error| damaged(error.to_string()))?;
        let written = File::options().write(true).create(true).truncate(true).mode(0o600).open(&to);
        let mut written = written.map_err(|error| unwritable(&to, &error))?;
        let mut failed = None;
        let copied = digest(read, |chunk| {
            written.write_all(chunk).map_err(|error| {
                failed = Some(unwritable(&to, &error));
                io::ErrorKind::Other.into()
            })
        });
        if let Some(failed) = failed {
            return Err(failed);
        }
        let (bytes, sha256) = copied.map_err(|error| damaged(error.to_string()))?;
        if (bytes, &sha256) != (self.file.bytes, &self.file.sha256) {
            return Err(damaged("it is not as its manifest says".into()));
        }
        written.sync_all().map_err(|error| unwritable(&to, &error))?;
        match problem(&to) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(damaged(why)),
            Err(error) => Err(damaged(error.to_string())),
        }
    }

    /// Puts what was copied at its place, and returns what was there and where it is now.
    fn put_in_place(&self) -> Result<Option<(PathBuf, PathBuf)>, RestoreError> {
        let put = || {
            let aside = self.move_aside()?;
            crash::point("restore.before-rename");
            fs::rename(staged(&self.path), &self.path)?;
            sync_directory(&directory_of(&self.path))?;
            Ok(aside.map(|aside| (self.path.clone(), aside)))
        };
        put().map_err(|error| unwritable(&self.path, &error))
    }

    /// Moves away what is at its place. The journal goes first: if nothing else comes after it, the next run has the database
    /// follow it.
    fn move_aside(&self) -> io::Result<Option<PathBuf>> {
        let aside = (1..).map(|n| beside(&self.path, &format!(".replaced-{n}"))).find(|path| !path.exists());
        let aside = aside.ok_or(io::ErrorKind::AlreadyExists)?;
        let mut is_moved = false;
        for suffix in ["-wal", ""] {
            match fs::rename(beside(&self.path, suffix), beside(&aside, suffix)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                moved => {
                    moved?;
                    is_moved = true;
                }
            }
        }
        // An index of the journal, which is made anew.
        let _ = fs::remove_file(beside(&self.path, "-shm"));
        Ok(is_moved.then_some(aside))
    }
}

/// Copies all beside their places, and has them on the disk.
fn stage(targets: &[Target<'_>], from: &Path) -> Result<(), RestoreError> {
    for target in targets {
        target.stage(from)?;
        crash::point("restore.staging");
    }
    let directories: BTreeSet<PathBuf> = targets.iter().map(|target| directory_of(&target.path)).collect();
    directories.iter().try_for_each(|path| sync_directory(path).map_err(|error| unwritable(path, &error)))
}

/// What SQLite finds wrong in a file that nobody else has.
fn problem(path: &Path) -> rusqlite::Result<Option<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let found = Connection::open_with_flags(path, flags)?
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))?;
    Ok((found != "ok").then_some(found))
}

/// Where a file is until it is put in its place.
fn staged(path: &Path) -> PathBuf {
    beside(path, ".restoring")
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn unwritable(path: &Path, error: &io::Error) -> RestoreError {
    RestoreError::Unwritable { path: path.into(), why: in_words(error) }
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
