//! A database for one test.

use std::time::Duration;

use essaim_base::Env;
use essaim_base::task::Tasks;
use essaim_config::Settings;
use sea_orm::{ConnectionTrait, ExecResult, Statement};
use tokio::time::Instant;

use crate::testing::Directory;
use crate::tx_tracker::TxTracker;
use crate::{ConnectionBudget, Database, DatabaseError, Schema, Transaction, TxError};

/// The settings of a capability with a database of its own.
pub struct Bench {
    pub capability: String,
    pub settings: Settings,
    pub env: Env,
    pub tasks: Tasks,
    pub dir: Directory,
}

impl Bench {
    pub fn sqlite() -> Self {
        let (dir, env) = (Directory::new(), Env::system());
        let capability = format!("test-{}", env.id());
        let mut settings = Settings::default();
        settings.node.data_dir = dir.path().join("data");
        Self { capability, settings, env, tasks: Tasks::without_node(), dir }
    }

    /// `None` where no server is named, or none can be used.
    pub fn postgres() -> Option<Self> {
        if !cfg!(feature = "postgres") {
            return None;
        }
        let url = std::env::var("ESSAIM_TEST_POSTGRES").ok()?;
        let mut bench = Self::sqlite();
        bench.settings.capabilities.entry(bench.capability.clone()).or_default().database = url;
        Some(bench)
    }

    pub async fn try_open(&self, schema: &Schema) -> Result<Database, DatabaseError> {
        self.open_with(&self.settings, schema).await
    }

    /// As a node of its own with these settings.
    pub async fn open_with(&self, settings: &Settings, schema: &Schema) -> Result<Database, DatabaseError> {
        let budget = ConnectionBudget::of(settings, [&*self.capability].into_iter()).expect("there is room for one");
        Database::open(&self.capability, settings, schema, &self.env, &self.tasks, &budget).await
    }

    pub async fn open(&self, schema: &Schema) -> Database {
        self.try_open(schema).await.expect("the database can be opened")
    }
}

/// Runs the test on SQLite, and on PostgreSQL where there is a server.
pub async fn on_both(test: impl AsyncFn(Bench)) {
    test(Bench::sqlite()).await;
    if let Some(bench) = Bench::postgres() {
        test(bench).await;
    }
}

/// A transaction, and what is known of it.
pub async fn begin(database: &Database) -> (Transaction, TxTracker) {
    let tracker = TxTracker::default();
    (database.begin_for(None, tracker.clone()).await.expect("a transaction begins"), tracker)
}

pub async fn try_begin(database: &Database, patience: Duration) -> Result<Transaction, TxError> {
    database.begin_for(Some(Instant::now() + patience), TxTracker::default()).await
}

pub async fn insert(tx: &impl ConnectionTrait, word: &str) -> Result<ExecResult, sea_orm::DbErr> {
    let sql = "INSERT INTO t1 (id, word) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM t1), $1)";
    tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, [word.into()])).await
}

/// The words in the table, in order.
pub async fn words(database: &Database) -> Vec<String> {
    let sql = "SELECT word FROM t1 ORDER BY word";
    texts(database.reads(), sql).await
}

/// The first column of the answer as text.
pub async fn texts(c: &impl ConnectionTrait, sql: &str) -> Vec<String> {
    let rows =
        c.query_all_raw(Statement::from_string(c.get_database_backend(), sql)).await.expect("the query is answered");
    rows.iter().map(|r| r.try_get_by_index(0).expect("the first column is a text")).collect()
}
