//! The state of a capability's database, as it is reported to operators.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use essaim_config::Settings;
use sea_orm::sqlx::Error;
use sea_orm::{DbErr, RuntimeErr, Statement};
use serde::{Deserialize, Serialize};
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use super::connection::Connector;
use super::host_lock::{HostLock, LockedBy, held_by};
use super::location::DatabaseLocation;
use super::migrate::Bookkeeping;
use super::rights;
use super::schema::{AppliedMigration, NextMigration};
use super::tables::migrations;
use super::{DatabaseKind, Schema, migrate, postgres, restore, sqlite};

/// The state of a capability's database. It displays as one line without secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatabaseReport {
    /// The capability that owns it.
    pub capability: String,
    /// Its kind.
    pub kind: DatabaseKind,
    /// Where it is, without the password.
    #[serde(rename = "place")]
    pub location: String,
    /// The version of its schema; `None` while there is none, or it cannot be read.
    pub schema_version: Option<u32>,
    /// The version that this binary knows.
    pub binary_version: u32,
    /// Connections that are at work.
    pub connections_in_use: usize,
    /// A remark, such as who uses it.
    pub note: Option<String>,
    /// What keeps it from being used, and what to do about it.
    pub problem: Option<String>,
}

impl fmt::Display for DatabaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.capability, self.kind, self.location)?;
        match self.schema_version {
            Some(version) => write!(f, ", schema {version} (this binary: {})", self.binary_version)?,
            None if self.problem.is_none() => write!(f, ", made at the first start")?,
            None => {}
        }
        if let Some(note) = &self.note {
            write!(f, ", {note}")?;
        }
        match &self.problem {
            Some(problem) => write!(f, ": {problem}"),
            None => Ok(()),
        }
    }
}

/// Looks at the database that the settings name for this capability, from outside and without changing it.
pub async fn check(capability: &str, settings: &Settings, schema: &Schema) -> DatabaseReport {
    let mut report = DatabaseReport {
        capability: capability.to_string(),
        kind: DatabaseKind::Sqlite,
        location: String::new(),
        schema_version: None,
        binary_version: schema.version(),
        connections_in_use: 0,
        note: None,
        problem: None,
    };
    let location = match DatabaseLocation::of(capability, settings) {
        Ok(location) => location,
        Err(error) => return DatabaseReport { problem: Some(error.to_string()), ..report },
    };
    report.kind = location.kind();
    report.location = location.to_string();
    let connector = match &location {
        DatabaseLocation::Sqlite(path) => {
            report.note = HostLock::holder(path).map(|holder| format!("in use by {}", holder.process));
            if let Err(unfinished) = restore::refuse_unfinished(path) {
                report.problem = Some(unfinished.to_string());
                return report;
            }
            if !path.exists() {
                report.problem = what_is_in_the_way(path);
                return report;
            }
            Connector::sqlite(sqlite::looker(path, &settings.store))
        }
        DatabaseLocation::Postgres { options, schema } => {
            Connector::Postgres(postgres::worker(options, schema, "essaim/check", settings))
        }
    };
    let limit = Duration::from_millis(settings.store.acquire_timeout_ms);
    if let DatabaseLocation::Postgres { options, .. } = &location
        && let Ok(Ok(true)) = timeout(limit, postgres::shares_sessions(options, limit / 2)).await
    {
        report.problem = Some(postgres::shared_sessions(options));
        return report;
    }
    let schema_there = match &location {
        DatabaseLocation::Postgres { schema, .. } => Some(schema.as_str()),
        DatabaseLocation::Sqlite(_) => None,
    };
    match within_limits(&connector, schema_there, settings).await {
        Err(_) => report.problem = Some(connector.silent()),
        Ok(Err(error)) => report.problem = Some(connector.explain(&error)),
        Ok(Ok((_, Some(missing)))) => report.problem = Some(missing),
        Ok(Ok(([runtime, own], None))) => {
            report.schema_version = own.last().map(|a| a.version);
            let runtime = migrations::schema().next(&runtime).map_err(|e| Bookkeeping::Runtime.of(e.into()));
            let next = runtime.and_then(|runtime| Ok([runtime, schema.next(&own)?]));
            match next {
                Err(error) => report.problem = Some(error.to_string()),
                Ok(next) if !own.is_empty() && next.iter().any(|next| matches!(next, NextMigration::Apply(_))) => {
                    report.note = Some(and(report.note.take(), "migrated at the next start"));
                }
                Ok(_) => {}
            }
        }
    }
    report
}

/// A SQLite file that another process has. It displays with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The file.
    pub file: PathBuf,
    /// Who has it.
    pub by: LockedBy,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&held_by(&self.file, &self.by.process))
    }
}

/// Which other process has the SQLite file of this capability now; `None` if none has, as far as can be seen from this machine.
pub fn held(capability: &str, settings: &Settings) -> Option<Held> {
    match DatabaseLocation::of(capability, settings) {
        Ok(DatabaseLocation::Sqlite(file)) => HostLock::holder(&file).map(|by| Held { file, by }),
        _ => None,
    }
}

/// As [`look`], within the time that a connection may take. A server that is starting up is waited for, as a node would, for as long as a
/// migration may take.
async fn within_limits(
    connector: &Connector,
    schema: Option<&str>,
    settings: &Settings,
) -> Result<Result<Looked, Error>, Elapsed> {
    let store = &settings.store;
    let [limit, patience, pause] =
        [store.acquire_timeout_ms, store.migration_limit_ms, store.recheck_first_ms].map(Duration::from_millis);
    let wait = async {
        loop {
            match timeout(limit, look(connector, schema)).await {
                Ok(Err(error)) if is_starting(&error) => sleep(pause).await,
                looked => return looked,
            }
        }
    };
    match timeout(patience.max(limit), wait).await {
        Ok(looked) => looked,
        Err(elapsed) => Err(elapsed),
    }
}

/// Whether the server will take connections soon (`cannot_connect_now`).
fn is_starting(error: &Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "57P03")
}

/// The bookkeeping, the runtime's and the capability's; and what the user has no right to.
type Looked = ([Vec<AppliedMigration>; 2], Option<String>);

/// Reads the bookkeeping; nothing where there is none.
async fn look(connector: &Connector, schema: Option<&str>) -> Result<Looked, Error> {
    let backend = connector.backend();
    let mut connection = connector.connect().await?;
    let missing = match schema {
        Some(schema) => rights::missing(&mut connection, schema).await?,
        None => None,
    };
    let mut both = [Vec::new(), Vec::new()];
    for (books, applied) in [Bookkeeping::Runtime, Bookkeeping::Capability].into_iter().zip(&mut both) {
        if connection.query_one(Statement::from_string(backend, books.find(backend))).await?.is_some() {
            for row in connection.query_all(Statement::from_string(backend, books.read())).await? {
                applied.push(migrate::applied(&row).map_err(unreadable)?);
            }
        }
    }
    connection.close().await?;
    Ok((both, missing))
}

fn unreadable(error: DbErr) -> Error {
    match error {
        DbErr::Query(RuntimeErr::SqlxError(e)) => Error::Protocol(e.to_string()),
        other => Error::Protocol(format!("its table essaim_schema or essaim_runtime is not the runtime's: {other}")),
    }
}

/// Why a file could not be made here; `None` if nothing is in the way, as far as looking tells.
fn what_is_in_the_way(path: &Path) -> Option<String> {
    let directory = sqlite::directory_of(path);
    let there = directory.ancestors().find(|d| d.exists())?;
    if there.is_dir() {
        return None;
    }
    Some(format!("{} is a file: its directory cannot be made; choose another with --data-dir", there.display()))
}

fn and(note: Option<String>, more: &str) -> String {
    note.map_or_else(|| more.to_string(), |note| format!("{note}, {more}"))
}
