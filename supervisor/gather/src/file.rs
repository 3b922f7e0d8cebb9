//! The file: how it is opened, its tables, and what is wrong with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use essaim_base::codec;
use essaim_base::file_identity::FileIdentity;
use essaim_store::{DatabaseError, HostLock, classify, sqlite};
use essaim_trace::Cursor;
use sea_orm::sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{ConnectOptions, Error, Executor, Row, SqliteConnection, query};

/// The name of the file in `node.data_dir`.
pub const FILE: &str = "trace.sqlite3";

/// How long SQLite waits for another program's lock of the file.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// The form of the tables, as the file tells it.
const VERSION: i64 = 1;

/// Records lie in the order in which they were gathered; ids only rise, also when all records are gone, since readers go on
/// behind them. `gathered_ms` is by this node's clock, `at_us` by that of the node that wrote the record.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS records (id INTEGER PRIMARY KEY AUTOINCREMENT, trace BLOB NOT NULL, message TEXT, key TEXT,
        at_us INTEGER NOT NULL, gathered_ms INTEGER NOT NULL, record BLOB NOT NULL) STRICT;
    CREATE INDEX IF NOT EXISTS records_trace ON records (trace);
    CREATE INDEX IF NOT EXISTS records_message ON records (message) WHERE message IS NOT NULL;
    CREATE INDEX IF NOT EXISTS records_key ON records (key) WHERE key IS NOT NULL;
    CREATE INDEX IF NOT EXISTS records_at ON records (at_us);
    CREATE TABLE IF NOT EXISTS cursors (node TEXT PRIMARY KEY, gathered_ms INTEGER NOT NULL, cursor BLOB NOT NULL) STRICT;
    DELETE FROM cursors WHERE node NOT IN (SELECT node FROM cursors ORDER BY gathered_ms DESC LIMIT 1000);
    PRAGMA user_version = 1;";

/// Why records cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
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
    #[error("{} has the form {found}, which this binary does not know: move it away", .path.display())]
    OtherVersion { path: PathBuf, found: i64 },
}

impl GatherError {
    pub fn of(path: &Path, error: &Error) -> Self {
        let damaged = error.as_database_error().and_then(classify::sqlite_code).is_some_and(|code| code == 11);
        Self::Sqlite(match damaged {
            true => format!("{} is damaged: move it away, and a new one is made", path.display()),
            false => sqlite::explain(path, error),
        })
    }
}

/// The connection that writes. The lock beside the file keeps other nodes away.
pub struct Writer {
    pub connection: SqliteConnection,
    /// Where each node's next page begins. Bounded by the rows that are kept at opening, and the nodes of the cluster.
    pub cursors: BTreeMap<String, Cursor>,
    /// Which file it is, so that one that was moved away is noticed.
    file: Option<FileIdentity>,
    _lock: HostLock,
}

impl Writer {
    /// Opens the file, and makes it if there is none.
    pub async fn open(path: &Path) -> Result<Self, GatherError> {
        sqlite::prepare(path)?;
        let lock = HostLock::take(path)?;
        let wrong = |error: Error| GatherError::of(path, &error);
        // Gathered records may be lost with the machine: nothing waits for the disk at a commit.
        let options = options(path)
            .create_if_missing(true)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .pragma("journal_size_limit", "4194304");
        let mut connection = options.connect().await.map_err(wrong)?;
        let version = query("PRAGMA user_version").fetch_one(&mut connection).await.map_err(wrong)?;
        let found: i64 = version.try_get(0).map_err(wrong)?;
        if found > VERSION {
            return Err(GatherError::OtherVersion { path: path.into(), found });
        }
        connection.execute(TABLES).await.map_err(wrong)?;
        let cursors = read_cursors(&mut connection).await.map_err(wrong)?;
        Ok(Self { connection, cursors, file: FileIdentity::at(path), _lock: lock })
    }

    /// Whether the file at the path is the one that was opened.
    pub fn is_at(&self, path: &Path) -> bool {
        self.file.is_some() && self.file == FileIdentity::at(path)
    }
}

/// Opens a connection that only reads.
pub async fn open_reader(path: &Path) -> Result<SqliteConnection, Error> {
    options(path).pragma("query_only", "ON").connect().await
}

/// Where each node's next page begins, as far as it can be read.
pub async fn read_cursors(connection: &mut SqliteConnection) -> Result<BTreeMap<String, Cursor>, Error> {
    let rows = query("SELECT node, cursor FROM cursors").fetch_all(connection).await?;
    let cursor = |row| -> Result<(String, Cursor), Error> {
        let row: sea_orm::sqlx::sqlite::SqliteRow = row;
        let bytes: Vec<u8> = row.try_get(1)?;
        Ok((row.try_get(0)?, codec::decode(&bytes).unwrap_or_default()))
    };
    rows.into_iter().map(cursor).collect()
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(LOCK_PATIENCE)
        .thread_name(|id| format!("records-{id}"))
        .disable_statement_logging()
}
