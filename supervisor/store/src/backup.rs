//! A backup: a directory with a copy of each file of a cut, and a manifest. It is made as `DIR.part`, and gets its name when all of it
//! is on the disk: what is called `DIR` is whole, however the process ends.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use essaim_base::file_identity::FileIdentity;
use essaim_base::{Env, crash};
use rusqlite::{Connection, OpenFlags};

use super::cut::{self, CopyError, CutError, CutFile, Snapshot};
use super::manifest::{self, BackupFile, BackupManifest};
use super::sqlite::{directory_of, make_private_file};

/// What a backup is to tell of itself.
pub struct AboutBackup {
    pub node: String,
    /// The identity of the log.
    pub log: Option<String>,
    /// What belongs to the node and is elsewhere, in words.
    pub not_in_it: Vec<String>,
}

/// Why there is no backup. Nothing of it remains.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} exists already, and no backup is written over anything: name a directory that does not exist", .0.display())]
    Exists(PathBuf),
    #[error("a backup is being made at {} already", .0.display())]
    Underway(PathBuf),
    #[error("{} has `{name}`, which no backup has put there: move it away, or name another directory", .part.display())]
    Foreign { part: PathBuf, name: String },
    #[error(transparent)]
    Cut(#[from] CutError),
    #[error("{} cannot be written: {why}", .path.display())]
    Unwritable { path: PathBuf, why: String },
    #[error("the node leaves: the backup was ended before it was whole")]
    Ended,
}

impl BackupError {
    /// Whether another directory would do.
    pub fn is_mistake(&self) -> bool {
        matches!(self, Self::Exists(_) | Self::Underway(_) | Self::Foreign { .. })
    }
}

/// Makes a backup of these files in a directory that does not exist yet. It is ended early if `goes_on` says no.
///
/// # Errors
/// See [`BackupError`].
pub async fn back_up(
    directory: PathBuf,
    files: Vec<CutFile>,
    about: AboutBackup,
    env: &Env,
    goes_on: impl Fn() -> bool + Send + 'static,
) -> Result<BackupManifest, BackupError> {
    let part = cut::blocking(move || PartDirectory::make(directory)).await??;
    let (at_ms, cut) = cut::cut(files, env).await?;
    let manifest = BackupManifest::new(&about.node, at_ms, about.log, about.not_in_it);
    cut::blocking(move || part.fill(cut, manifest, &goes_on)).await?
}

/// The directory while it is made. It goes with the value, unless it has got its name.
struct PartDirectory {
    path: PathBuf,
    to: PathBuf,
    /// Locked as long as it is open, so that of two who make the same backup one is refused. It is free once its process has ended.
    _lock: File,
    is_whole: bool,
}

impl PartDirectory {
    /// Makes it anew; what a process has left there that died is removed.
    fn make(to: PathBuf) -> Result<Self, BackupError> {
        if to.symlink_metadata().is_ok() {
            return Err(BackupError::Exists(to));
        }
        let mut path = to.clone().into_os_string();
        path.push(".part");
        let path = PathBuf::from(path);
        let failed = |error| unwritable(&path, &error);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let lock = File::open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Underway(to)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Who had it before may have given it its name, or removed it, since it was opened.
        let locked = FileIdentity::of(&lock.metadata().map_err(failed)?);
        if FileIdentity::at(&path) != Some(locked) {
            return Err(BackupError::Underway(to));
        }
        if let Some(name) = foreign(&path).map_err(failed)? {
            return Err(BackupError::Foreign { part: path, name });
        }
        empty(&path).map_err(failed)?;
        Ok(Self { path, to, _lock: lock, is_whole: false })
    }

    /// Copies all into it, and gives it its name.
    fn fill(
        mut self,
        cut: Vec<Snapshot>,
        mut manifest: BackupManifest,
        goes_on: &impl Fn() -> bool,
    ) -> Result<BackupManifest, BackupError> {
        // Each snapshot is dropped when it is copied: its journal grows until then.
        for snapshot in cut {
            manifest.files.push(self.copy(&snapshot, goes_on)?);
        }
        manifest.files.sort_by(|a, b| a.of.cmp(&b.of));
        crash::point("backup.before-manifest");
        self.finish(&manifest).map_err(|error| unwritable(&self.path, &error))?;
        Ok(manifest)
    }

    fn copy(&self, snapshot: &Snapshot, goes_on: &impl Fn() -> bool) -> Result<BackupFile, BackupError> {
        let (of, file) = (snapshot.of.clone(), snapshot.of.file_name());
        let path = self.path.join(&file);
        snapshot.copy_to(&path, goes_on).map_err(|error| match error {
            CopyError::Ended => BackupError::Ended,
            CopyError::File(error) => unwritable(&path, &error),
            CopyError::Sqlite(error) => BackupError::Unwritable { path: path.clone(), why: error.to_string() },
        })?;
        let [schema, runtime_schema] = versions(&path);
        let read = File::open(&path).and_then(|copy| manifest::digest(copy, |_| Ok(())));
        let (bytes, sha256) = read.map_err(|error| unwritable(&path, &error))?;
        Ok(BackupFile { of, file, bytes, sha256, schema, runtime_schema })
    }

    fn finish(&mut self, manifest: &BackupManifest) -> io::Result<()> {
        let path = self.path.join(manifest::FILE);
        make_private_file(&path)?;
        let mut file = File::options().write(true).open(&path)?;
        file.write_all(&serde_json::to_vec_pretty(manifest)?)?;
        file.sync_all()?;
        sync_directory(&self.path)?;
        crash::point("backup.before-rename");
        if self.to.symlink_metadata().is_ok() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "meanwhile something is at its place"));
        }
        fs::rename(&self.path, &self.to)?;
        self.is_whole = true;
        sync_directory(&directory_of(&self.to))
    }
}

impl Drop for PartDirectory {
    fn drop(&mut self) {
        if !self.is_whole {
            // What stays is removed by the next one.
            let _ = empty(&self.path).and_then(|()| fs::remove_dir(&self.path));
        }
    }
}

/// A file in the directory that is none of a backup.
fn foreign(directory: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_own = name == manifest::FILE || name.contains(".sqlite3");
        if !is_own || !entry.file_type()?.is_file() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Removes the files of a backup.
fn empty(directory: &Path) -> io::Result<()> {
    fs::read_dir(directory)?.try_for_each(|entry| fs::remove_file(entry?.path()))
}

/// Has the names in a directory on the disk.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The versions of a copy's tables, the capability's and the runtime's; none where there is no such table.
fn versions(path: &Path) -> [Option<u32>; 2] {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(copy) = Connection::open_with_flags(path, flags) else { return [None, None] };
    ["SELECT max(version) FROM essaim_schema", "SELECT max(version) FROM essaim_runtime"]
        .map(|sql| copy.query_row(sql, [], |row| row.get(0)).ok().flatten())
}

fn unwritable(path: &Path, error: &io::Error) -> BackupError {
    BackupError::Unwritable { path: path.into(), why: in_words(error) }
}

/// What is wrong with a file, and what to do about it.
pub fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full: free some space".into(),
        io::ErrorKind::NotFound => "the directory above it does not exist: make it first".into(),
        io::ErrorKind::PermissionDenied => "this user may not write there".into(),
        io::ErrorKind::NotADirectory => "a file is in the way".into(),
        _ => error.to_string(),
    }
}
