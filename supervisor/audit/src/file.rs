//! The file: how it is opened, its table, and what is wrong with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use essaim_base::file_identity::FileIdentity;
use essaim_config::NodeConfig;
use essaim_store::{DatabaseError, classify, sqlite};
use sea_orm::sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{ConnectOptions, Error, Executor, Row, SqliteConnection, query};

/// How long SQLite waits for another program's lock of the file.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// The form of the table, as the file tells it.
const VERSION: i64 = 1;

/// Numbers only rise, also when all acts are gone.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS acts (id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, who TEXT NOT NULL,
        via TEXT NOT NULL, origin TEXT NOT NULL, act TEXT NOT NULL, ended_ms INTEGER, ended TEXT, detail TEXT) STRICT;
    CREATE INDEX IF NOT EXISTS acts_at ON acts (at_ms, id);
    PRAGMA user_version = 1;";

/// Where the audit of a node is: nodes of one machine may share a data directory.
pub fn file_of(node: &NodeConfig) -> PathBuf {
    node.data_dir.join(format!("{}.audit.sqlite3", node.name))
}

/// Why the audit cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened.
    #[error(transparent)]
    File(#[from] DatabaseError),
    /// SQLite refuses, in words that say what to do about it.
    #[error("{0}")]
    Sqlite(String),
    /// The disk or a lock takes longer than anybody waits.
    #[error("{}", sqlite::silent(.0))]
    Silent(PathBuf),
    /// Another version of the binary has made the file.
    #[error("{} has the form {found}, which this binary does not know: move it away, and keep it", .path.display())]
    OtherVersion { path: PathBuf, found: i64 },
}

impl AuditError {
    pub(crate) fn of(path: &Path, error: &Error) -> Self {
        let damaged =
            error.as_database_error().and_then(classify::sqlite_code).is_some_and(|code| matches!(code, 11 | 26));
        Self::Sqlite(match damaged {
            true => format!("{} is damaged: move it away, and keep it; a new one is made", path.display()),
            false => sqlite::explain(path, error),
        })
    }
}

/// The open file. It has no lock of its own beside SQLite's: a process that drains and its successor both write into it.
pub(crate) struct OpenFile {
    pub connection: SqliteConnection,
    /// Which file it is, so that one that was moved away is noticed.
    file: Option<FileIdentity>,
}

impl OpenFile {
    /// Opens the file, and makes it if there is none.
    pub async fn open(path: &Path) -> Result<Self, AuditError> {
        sqlite::prepare(path)?;
        let wrong = |error: Error| AuditError::of(path, &error);
        // A commit is on the disk before an act begins, so that no machine that loses power forgets who did it.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(LOCK_PATIENCE)
            .thread_name(|id| format!("audit-{id}"))
            .disable_statement_logging()
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // Only macOS knows it: there an ordinary sync does not reach the disk.
            .pragma("fullfsync", "ON")
            .pragma("checkpoint_fullfsync", "ON")
            .pragma("journal_size_limit", "1048576");
        let mut connection = options.connect().await.map_err(wrong)?;
        let version = query("PRAGMA user_version").fetch_one(&mut connection).await.map_err(wrong)?;
        let found: i64 = version.try_get(0).map_err(wrong)?;
        if found > VERSION {
            return Err(AuditError::OtherVersion { path: path.into(), found });
        }
        if found < VERSION {
            connection.execute(TABLES).await.map_err(wrong)?;
        }
        Ok(Self { connection, file: FileIdentity::at(path) })
    }

    /// Whether the file at the path is the one that was opened.
    pub fn is_at(&self, path: &Path) -> bool {
        self.file.is_some() && self.file == FileIdentity::at(path)
    }
}
