//! The migrations of the runtime's own tables.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use crate::{Schema, recheck};

/// The runtime's migrations. Nodes of two releases work on one database while a cluster is updated, so tables
/// stay: a release adds tables and columns that the one before does not need, and raises `min_compatible` when it no
/// longer writes what older ones read.
pub fn schema() -> Schema {
    Schema::new(vec![
        Box::new(DurableMessages),
        Box::new(KeptEvents),
        Box::new(Logs),
        Box::new(OneEffect),
        Box::new(Numbers),
        Box::new(Recheck),
        Box::new(LogGaps),
    ])
    .min_compatible(1)
}

/// `CLUSTERED` tables are small rows kept in the order of their key. Rows of the others hold a record of any size, and
/// stay where they are.
const DURABLE_MESSAGES: [&str; 12] = [
    "CREATE TABLE essaim_fence (partition BIGINT PRIMARY KEY, epoch BIGINT NOT NULL, handled BIGINT NOT NULL, \
     duplicates BIGINT NOT NULL, dead BIGINT NOT NULL, expired BIGINT NOT NULL) CLUSTERED",
    "CREATE TABLE essaim_inbox (id TEXT NOT NULL, msg_offset BIGINT NOT NULL, at_ms BIGINT NOT NULL, \
     PRIMARY KEY (id, msg_offset)) CLUSTERED",
    "CREATE INDEX essaim_inbox_age ON essaim_inbox (at_ms)",
    "CREATE TABLE essaim_outbox (lane TEXT NOT NULL, seq BIGINT NOT NULL, event BOOLEAN NOT NULL, target TEXT, \
     record BYTES NOT NULL, PRIMARY KEY (lane, seq))",
    "CREATE TABLE essaim_parked (partition BIGINT NOT NULL, seq BIGINT NOT NULL, id TEXT NOT NULL UNIQUE, \
     order_key TEXT NOT NULL, ordered BOOLEAN NOT NULL, attempts BIGINT NOT NULL, due_ms BIGINT NOT NULL, error TEXT, \
     held BOOLEAN NOT NULL, record BYTES NOT NULL, PRIMARY KEY (partition, seq))",
    // Nothing is asked of the keys of messages that nothing queues behind.
    "CREATE INDEX essaim_parked_keys ON essaim_parked (partition, order_key, seq) WHERE ordered",
    "CREATE INDEX essaim_parked_due ON essaim_parked (partition, due_ms)",
    // An event may be dead for several subscribers at once, in the database of its publisher.
    "CREATE TABLE essaim_dead (id TEXT NOT NULL, capability TEXT NOT NULL, partition BIGINT NOT NULL, \
     order_key TEXT NOT NULL, ordered BOOLEAN NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, \
     attempts BIGINT NOT NULL, error TEXT, trace TEXT NOT NULL, first_at_ms BIGINT NOT NULL, \
     dead_at_ms BIGINT NOT NULL, held BOOLEAN NOT NULL, record BYTES NOT NULL, PRIMARY KEY (id, capability))",
    "CREATE INDEX essaim_dead_age ON essaim_dead (dead_at_ms, id, capability)",
    "CREATE INDEX essaim_dead_reasons ON essaim_dead (reason, dead_at_ms, id, capability)",
    "CREATE INDEX essaim_dead_held ON essaim_dead (partition, order_key) WHERE held",
    "CREATE TABLE essaim_schedule (name TEXT PRIMARY KEY, expression TEXT NOT NULL, zone TEXT NOT NULL, \
     planned_ms BIGINT NOT NULL)",
];

const KEPT_EVENTS: [&str; 4] = [
    "CREATE TABLE essaim_kept (lane TEXT NOT NULL, seq BIGINT NOT NULL, event TEXT NOT NULL, until_ms BIGINT NOT NULL, \
     record BYTES NOT NULL, PRIMARY KEY (lane, seq))",
    "CREATE INDEX essaim_kept_age ON essaim_kept (until_ms, lane, seq)",
    "CREATE INDEX essaim_kept_events ON essaim_kept (lane, event, seq)",
    "CREATE TABLE essaim_caught_up (lane TEXT NOT NULL, event TEXT NOT NULL, subscriber TEXT NOT NULL, \
     since BIGINT NOT NULL, through BIGINT NOT NULL, PRIMARY KEY (lane, event, subscriber)) CLUSTERED",
];

/// A capability can go on with another log. `before` is how many messages are accounted for here that the log has not
/// appended, and `until` how many all were when the log was left. The indexes were of no use.
const LOGS: [&str; 4] = [
    "ALTER TABLE essaim_fence ADD COLUMN log TEXT NOT NULL DEFAULT ''",
    "CREATE TABLE essaim_logs (partition BIGINT NOT NULL, log TEXT NOT NULL, before BIGINT NOT NULL, until BIGINT, \
     PRIMARY KEY (partition, log)) CLUSTERED",
    "DROP INDEX essaim_parked_keys",
    "DROP INDEX essaim_parked_due",
];

/// Of the rows of one id at most one stands for its effect. Rows from before stand for none: they are found when a copy of
/// their message comes, and need no index to be unique in, so a database that already holds two effects of an id opens.
const ONE_EFFECT: [&str; 2] = [
    "ALTER TABLE essaim_inbox ADD COLUMN effect BOOLEAN NOT NULL DEFAULT FALSE",
    "CREATE UNIQUE INDEX essaim_inbox_effects ON essaim_inbox (id) WHERE effect",
];

/// Sequence numbers of an outbox queue that are used up although no row has them.
const NUMBERS: [&str; 1] = ["CREATE TABLE essaim_numbers (lane TEXT PRIMARY KEY, through BIGINT NOT NULL) CLUSTERED"];

/// `through` of a fence is one more than the highest offset of the present log that its owners have finished. A log that counts
/// fewer is older than the database.
const LOG_GAPS: [&str; 2] = [
    "ALTER TABLE essaim_fence ADD COLUMN through BIGINT NOT NULL DEFAULT 0",
    "CREATE TABLE essaim_log_gaps (partition BIGINT NOT NULL, log TEXT NOT NULL, first BIGINT NOT NULL, \
     through BIGINT NOT NULL, found_ms BIGINT NOT NULL, PRIMARY KEY (partition, log, first)) CLUSTERED",
];

/// Declares a migration that runs statements.
macro_rules! migration {
    ($name:ident, $known_as:literal, $statements:expr) => {
        struct $name;

        impl MigrationName for $name {
            fn name(&self) -> &str {
                $known_as
            }
        }

        #[async_trait::async_trait]
        impl MigrationTrait for $name {
            async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                let connection = manager.get_connection();
                for sql in $statements {
                    connection.execute_unprepared(&in_dialect_of(connection.get_database_backend(), sql)).await?;
                }
                Ok(())
            }
        }
    };
}
migration!(DurableMessages, "essaim_durable_messages", DURABLE_MESSAGES);
migration!(KeptEvents, "essaim_kept_events", KEPT_EVENTS);
migration!(Logs, "essaim_logs", LOGS);
migration!(OneEffect, "essaim_one_effect", ONE_EFFECT);
migration!(Numbers, "essaim_numbers", NUMBERS);
migration!(Recheck, "essaim_recheck", [recheck::TABLE]);
migration!(LogGaps, "essaim_log_gaps", LOG_GAPS);

/// The statement in the dialect of the backend. Ids and keys are compared byte by byte on both, as in Rust, and not by the
/// server's collation.
fn in_dialect_of(backend: DbBackend, sql: &str) -> String {
    match backend {
        DbBackend::Postgres => {
            sql.replace("CLUSTERED", "").replace("BYTES", "BYTEA").replace("TEXT", "TEXT COLLATE \"C\"")
        }
        _ => sql.replace("CLUSTERED", "WITHOUT ROWID").replace("BYTES", "BLOB"),
    }
}
