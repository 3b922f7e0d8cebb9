//! The tables of the log.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use essaim_store::{Schema, recheck};

/// A partition has a number of its own for its entries, so that their rows need not name the capability. Entries are found
/// by partition and position alone, and lie in that order.
const TABLES: &str = "
    CREATE TABLE registry (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
    INSERT INTO registry (one, version) VALUES (1, 0);
    CREATE TABLE capabilities (name TEXT PRIMARY KEY, partitions INTEGER NOT NULL) STRICT;
    CREATE TABLE subscriptions (event TEXT NOT NULL, capability TEXT NOT NULL, how TEXT NOT NULL,
        PRIMARY KEY (event, capability)) STRICT;
    CREATE TABLE partitions (id INTEGER PRIMARY KEY, capability TEXT NOT NULL, number INTEGER NOT NULL,
        last INTEGER NOT NULL, appended INTEGER NOT NULL, waiting INTEGER NOT NULL, epoch INTEGER NOT NULL,
        handled INTEGER NOT NULL, duplicates INTEGER NOT NULL, dead INTEGER NOT NULL, expired INTEGER NOT NULL,
        UNIQUE (capability, number)) STRICT;
    CREATE TABLE entries (partition INTEGER NOT NULL, position INTEGER NOT NULL, first INTEGER NOT NULL,
        count INTEGER NOT NULL, batch BLOB NOT NULL, PRIMARY KEY (partition, position)) STRICT, WITHOUT ROWID;
    CREATE TABLE dead_letters (capability TEXT NOT NULL, id TEXT NOT NULL, letter BLOB NOT NULL,
        PRIMARY KEY (capability, id)) STRICT;";

pub(super) fn schema() -> Schema {
    Schema::new(vec![Box::new(LogTables), Box::new(Identity), Box::new(Recheck)])
}

struct LogTables;

impl MigrationName for LogTables {
    fn name(&self) -> &str {
        "m0001_log"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for LogTables {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(TABLES).await.map(drop)
    }
}

/// The identity of the log, made with the file.
struct Identity;

impl MigrationName for Identity {
    fn name(&self) -> &str {
        "m0002_identity"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Identity {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "CREATE TABLE identity (identity TEXT PRIMARY KEY) STRICT;
            INSERT INTO identity (identity) VALUES ('embedded/' || lower(hex(randomblob(16))));";
        manager.get_connection().execute_unprepared(sql).await.map(drop)
    }
}

/// The table by which the runtime finds out that the log can be written again.
struct Recheck;

impl MigrationName for Recheck {
    fn name(&self) -> &str {
        "m0003_recheck"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Recheck {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(recheck::TABLE).await.map(drop)
    }
}
