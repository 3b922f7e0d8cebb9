//! SQLite: files, settings, and errors in words.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use essaim_config::{Durability, StoreConfig};
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{ConnectOptions, Error};
use sea_orm::{DatabaseConnection, SqlxSqliteConnector};

use super::connection::Connector;
use super::in_place::InPlaceOptions;
use super::{DatabaseError, classify};

/// The part of the time for which a transaction waits at most, after which the lock of another program is an outage.
pub const LOOKS_AT_A_LOCK: u32 = 4;

/// How the one connection that writes is made.
pub fn writer(path: &Path, config: &StoreConfig) -> Connector {
    let in_place = InPlaceOptions {
        path: path.into(),
        pragmas: [("foreign_keys", "ON")].into_iter().chain(of_writers(config)).collect(),
        statement_cache: config.statement_cache,
        lock: patience_for_locks(config),
        waits_for_disk: config.durability >= Durability::Machine,
        writes: true,
    };
    Connector::InPlace(Box::new(in_place), Box::new(writing(path, config)))
}

/// What every connection that writes is told.
fn of_writers(config: &StoreConfig) -> [(&'static str, &'static str); 4] {
    let synchronous = if config.durability == Durability::Process { "NORMAL" } else { "FULL" };
    // Only macOS knows it: there an ordinary sync does not reach the disk.
    let full = if config.durability >= Durability::Machine { "ON" } else { "OFF" };
    [("journal_mode", "WAL"), ("synchronous", synchronous), ("fullfsync", full), ("checkpoint_fullfsync", full)]
}

/// How a connection is made that reads in place.
pub fn reader_in_place(path: &Path, config: &StoreConfig) -> Connector {
    let in_place = InPlaceOptions {
        path: path.into(),
        pragmas: vec![("query_only", "ON")],
        statement_cache: config.statement_cache,
        lock: patience_for_locks(config),
        waits_for_disk: false,
        writes: false,
    };
    Connector::InPlace(Box::new(in_place), Box::new(reader(path, config)))
}

/// How to connect for writing beside the one connection that does. The lock of the file keeps other nodes away, so waiting for
/// SQLite's own lock is for tools that look into the file.
fn writing(path: &Path, config: &StoreConfig) -> SqliteConnectOptions {
    let options = base(path, config).create_if_missing(true).busy_timeout(patience_for_locks(config));
    of_writers(config).into_iter().fold(options, |options, (name, value)| options.pragma(name, value))
}

/// A transaction that waits for another program's lock must learn of it before it gives up.
fn patience_for_locks(config: &StoreConfig) -> Duration {
    Duration::from_millis(config.acquire_timeout_ms) / LOOKS_AT_A_LOCK
}

/// How to connect for reading beside the writer.
pub fn reader(path: &Path, config: &StoreConfig) -> SqliteConnectOptions {
    base(path, config).pragma("query_only", "ON")
}

/// How to connect for migrations: tables are rebuilt without their foreign keys firing, and all keys are checked
/// before the commit.
pub fn migrator(path: &Path, config: &StoreConfig) -> SqliteConnectOptions {
    let patience = Duration::from_millis(config.migration_limit_ms);
    writing(path, config).foreign_keys(false).busy_timeout(patience)
}

/// A pool of one connection, against which migrations are written.
pub async fn migration_pool(options: &SqliteConnectOptions) -> Result<DatabaseConnection, Error> {
    let pool = PoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).test_before_acquire(false);
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.connect_with(options.clone()).await?))
}

/// How to look into a file without changing it.
pub fn looker(path: &Path, config: &StoreConfig) -> SqliteConnectOptions {
    base(path, config).read_only(true)
}

fn base(path: &Path, config: &StoreConfig) -> SqliteConnectOptions {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(config.transaction_limit_ms))
        .statement_cache_capacity(config.statement_cache)
        .thread_name(move |id| format!("sqlite-{id}-{file}"))
        .disable_statement_logging()
}

/// Makes the directory of a database that is about to be opened, and finds what is wrong with its path.
///
/// # Errors
/// What is wrong, and what to do about it.
pub fn prepare(path: &Path) -> Result<(), DatabaseError> {
    let directory = directory_of(path);
    make_private(&directory).map_err(|e| {
        let why = match e.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "a file is in the way".into(),
            _ => e.to_string(),
        };
        DatabaseError::Directory { path: directory.clone(), why }
    })?;
    if path.is_dir() {
        return Err(DatabaseError::IsDirectory(path.into()));
    }
    // SQLite gives its other files the mode of this one. What keeps it from being made is explained when it is opened.
    let _ = make_private_file(path);
    Ok(())
}

/// Makes an empty file that only this user can read, unless the file exists.
pub fn make_private_file(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// The path of what belongs to a file and is named as it is, with a suffix.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    path.with_file_name(name)
}

pub fn directory_of(path: &Path) -> PathBuf {
    path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

/// Makes a directory that only this user can look into: databases hold password hashes and signing keys.
///
/// # Errors
/// If it does not exist and cannot be made.
pub fn make_private(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

/// What keeps a SQLite file from being used, and what to do about it.
pub fn explain(path: &Path, error: &Error) -> String {
    let (file, path) = (path, path.display());
    let code = error.as_database_error().and_then(classify::sqlite_code);
    match code {
        Some(5 | 6) => format!("{path} is locked by another program: end whatever has it open"),
        Some(8) => format!("{path} is read-only: make it and its directory writable for this user"),
        Some(11) => damaged(file, "a page makes no sense"),
        Some(13) => format!("the disk of {path} is full: free some space"),
        Some(14) => format!("{path} cannot be opened: make it and its directory writable for this user"),
        Some(26) => format!("{path} is no SQLite database: move it away, or name another file"),
        Some(10) => format!("{path} cannot be read or written ({error}): look at its disk"),
        _ => format!("{path} cannot be used: {error}"),
    }
}

/// What is said of a file that is damaged.
pub fn damaged(path: &Path, how: &str) -> String {
    let how = how.lines().collect::<Vec<_>>().join(" ");
    format!("{} is damaged ({how}): stop the node and restore a backup (docs/backups.md)", path.display())
}

/// What is said when a file does not answer at all.
pub fn silent(path: &Path) -> String {
    format!("{} does not answer in time: another program has locked it, or its disk is slow", path.display())
}
