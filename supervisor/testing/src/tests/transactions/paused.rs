//! An actor's transactions while its test's clock is paused.

use std::time::Duration;

use essaim_contract::{Ask, AskError, Capability, Message};
use essaim_core::{Actor, Cx, Fault, Handle, Handles, Start, StartError};
use essaim_store::Schema;
use essaim_store::testing::schema;
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};
use serde::{Deserialize, Serialize};

use crate::Harness;

struct Words;
impl Capability for Words {
    const NAME: &'static str = "words";
}

/// Adds a word and waits before the commit; answers how many there are.
#[derive(Default, Serialize, Deserialize)]
struct Add {
    wait_ms: u64,
    /// How long the whole process sleeps before the commit: nothing else runs meanwhile, no timer either.
    asleep_ms: u64,
}
impl Message for Add {
    type To = Words;
    const NAME: &'static str = "add";
    const VERSION: u16 = 1;
}
impl Ask for Add {
    type Reply = i64;
    type Error = String;
}

struct WordsActor;
impl Actor for WordsActor {
    type Capability = Words;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = ();

    fn schema() -> Option<Schema> {
        Some(schema(1))
    }
    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }
    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }
    fn handles(h: &mut Handles<Self>) {
        h.ask::<Add>();
    }
}

impl Handle<Add> for WordsActor {
    async fn handle(&mut self, m: Add, cx: &mut Cx) -> Result<i64, Fault<String>> {
        let word = Value::from(cx.new_id().to_string());
        let tx = cx.begin().await?;
        let insert = "INSERT INTO t1 (word) VALUES ($1)";
        tx.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, insert, [word])).await?;
        tokio::time::sleep(Duration::from_millis(m.wait_ms)).await;
        if m.asleep_ms > 0 {
            tokio::time::advance(Duration::from_millis(m.asleep_ms)).await;
        }
        tx.commit().await?;
        let count = Statement::from_string(DbBackend::Sqlite, "SELECT count(*) FROM t1");
        let row = cx.db().query_one_raw(count).await?;
        Ok(row.map_or(Ok(0), |r| r.try_get_by_index(0))?)
    }
}

#[tokio::test(start_paused = true)]
async fn no_deadline_passes_while_the_database_works() {
    let t = Harness::<WordsActor>::sqlite().start().await;
    let client = t.client().within(Duration::from_secs(1));
    for n in 1..=300 {
        assert_eq!(t.run(client.ask(Add::default())).await, Ok(n));
    }
}

#[tokio::test(start_paused = true)]
async fn transactions_that_wait_for_time_and_for_each_other_go_on() {
    let t = Harness::<WordsActor>::sqlite().start().await;
    let client = t.client().within(Duration::from_secs(1));
    let asks = (0..12).map(|_| client.ask(Add { wait_ms: 50, ..Add::default() }));
    let counts = t.run(futures_util::future::join_all(asks)).await;
    // One after the other they take 600 ms of paused time: each waits for the writer, none for longer than its limit.
    let mut counts: Vec<_> = counts.into_iter().map(|c| c.unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts.last(), Some(&12));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_wakes_after_its_deadline_commits_nothing() {
    let t = Harness::<WordsActor>::sqlite().start().await;
    let client = t.client().within(Duration::from_secs(1));
    let ended = t.run(client.ask(Add { asleep_ms: 3_000, ..Add::default() })).await;
    assert!(matches!(ended, Err(AskError::Unknown(_) | AskError::Failed(_))), "{ended:?}");
    assert_eq!(t.run(client.ask(Add::default())).await, Ok(1), "the late word is not there");
}
