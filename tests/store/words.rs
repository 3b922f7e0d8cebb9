//! A capability that keeps words, and can be stopped before it commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use essaim::store::Schema;
use essaim::{Actor, Cx, Fault, Handle, Handles, Start, StartError};
use essaim_contract::{Ask, Capability, Message, Never};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub struct Words;
impl Capability for Words {
    const NAME: &'static str = "words";
}

/// Adds a word; answers how many there are then.
#[derive(Serialize, Deserialize)]
pub struct Add(pub String);
impl Message for Add {
    type To = Words;
    const NAME: &'static str = "add";
    const VERSION: u16 = 1;
}
impl Ask for Add {
    type Reply = i64;
    type Error = String;
}

/// Answers how many words there are.
#[derive(Serialize, Deserialize)]
pub struct Count;
impl Message for Count {
    type To = Words;
    const NAME: &'static str = "count";
    const VERSION: u16 = 1;
}
impl Ask for Count {
    type Reply = i64;
    type Error = Never;
}

/// The gate that every commit passes.
#[derive(Clone)]
pub struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    pub fn open() -> Self {
        let gate = Self::shut();
        gate.open.add_permits(Semaphore::MAX_PERMITS);
        gate
    }

    pub fn shut() -> Self {
        Self { reached: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }

    /// Waits until a handler is about to commit.
    pub async fn reached(&self) {
        self.reached.acquire().await.expect("the semaphore is never closed").forget();
    }

    /// Lets one handler commit.
    pub fn let_pass(&self) {
        self.open.add_permits(1);
    }

    async fn pass(&self) {
        self.reached.add_permits(1);
        self.open.acquire().await.expect("the semaphore is never closed").forget();
    }
}

pub struct WordsActor(Arc<Gate>);

impl Actor for WordsActor {
    type Capability = Words;
    type Settings = BTreeMap<String, String>;
    type Shared = Arc<Gate>;

    fn schema() -> Option<Schema> {
        let first = Step("the_words", "CREATE TABLE words (word TEXT PRIMARY KEY)");
        let second = Step("when_they_came", "ALTER TABLE words ADD COLUMN came_at_ms BIGINT");
        Some(Schema::new(vec![Box::new(first), Box::new(second)]))
    }

    async fn share(_: Self::Settings, start: &mut Start) -> Result<Arc<Gate>, StartError> {
        start.provided::<Gate>().ok_or_else(|| StartError::new("the test provides a gate"))
    }

    async fn start(gate: &Arc<Gate>, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(gate.clone()))
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Add>().ask::<Count>();
    }
}

impl Handle<Add> for WordsActor {
    async fn handle(&mut self, m: Add, cx: &mut Cx) -> Result<i64, Fault<String>> {
        let tx = cx.begin().await?;
        let insert = "INSERT INTO words (word) VALUES ($1)";
        tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, insert, [m.0.into()])).await?;
        let count = count(&tx).await?;
        self.0.pass().await;
        tx.commit().await?;
        Ok(count)
    }
}

impl Handle<Count> for WordsActor {
    async fn handle(&mut self, _: Count, cx: &mut Cx) -> Result<i64, Fault> {
        Ok(count(cx.db()).await?)
    }
}

async fn count(c: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let sql = Statement::from_string(DbBackend::Postgres, "SELECT count(*) FROM words");
    c.query_one_raw(sql).await?.map_or(Ok(0), |row| row.try_get_by_index(0))
}

/// A migration: its name and what it does.
struct Step(&'static str, &'static str);

impl MigrationName for Step {
    fn name(&self) -> &str {
        self.0
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(self.1).await.map(drop)
    }
}
