//! How the statements are worked on.

use std::collections::HashSet;

use essaim_base::lock::Mutex;
use essaim_contract::MessageId;
use essaim_protocol::log::Tally;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::bench::{Bench, begin};
use super::{parked::message, schema};
use crate::Transaction;
use crate::tables::dead::DeadLetterFilter;
use crate::tables::inbox::InboxMark;
use crate::tables::outbox::OutboxRow;
use crate::tables::tx_effects::{AppliedMessage, TxEffects};
use crate::tables::{dead, fence, inbox, ledger, numbers, outbox, parked, retained, schedules};

/// Passes statements on and remembers their texts.
struct Recorder<'a> {
    tx: &'a Transaction,
    texts: Mutex<Vec<String>>,
}

impl Recorder<'_> {
    fn note(&self, sql: &str) {
        self.texts.lock().push(sql.to_string());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.texts.lock())
    }
}

impl crate::own_rows::OwnQueries for Recorder<'_> {}

#[async_trait::async_trait]
impl ConnectionTrait for Recorder<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.tx.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.note(&statement.sql);
        self.tx.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.note(sql);
        self.tx.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.note(&statement.sql);
        self.tx.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.note(&statement.sql);
        self.tx.query_all_raw(statement).await
    }
}

/// What SQLite does for a statement, line by line.
async fn plan(tx: &Transaction, sql: &str) -> Vec<String> {
    let explain = Statement::from_string(DbBackend::Sqlite, format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = tx.query_all_raw(explain).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(3).unwrap()).collect()
}

/// The table, or its name in the statement, that a line of a plan reads from end to end.
fn scanned(line: &str) -> Option<&str> {
    let name = line.strip_prefix("SCAN ")?.split(' ').next()?;
    // What a statement brings with it.
    let brought = ["v", "page", "few", "found", "CONSTANT"].contains(&name) || line.ends_with(" VALUES CLAUSE");
    (!brought).then_some(name)
}

fn sorts(line: &str) -> bool {
    line.contains("TEMP B-TREE")
}

/// Everything that is done for messages one by one.
async fn all_that_happens_often(db: &Recorder<'_>) {
    fence::take(db, 0, 1).await.unwrap();
    fence::advance(db, 0, 1, Tally::default()).await.unwrap();
    inbox::seen(db, &["a", "b"]).await.unwrap();
    inbox::insert(db, &[InboxMark { id: "a", offset: 1, at_ms: 1, effect: true }]).await.unwrap();
    inbox::release(db, "a").await.unwrap();
    inbox::prune(db, 1, 10).await.unwrap();
    outbox::load(db, "a", 0, 10).await.unwrap();
    outbox::page(db, "a", 10, 10).await.unwrap();
    retained::load(db, "a", "b", 0, (10, 10)).await.unwrap();
    outbox::remove(db, "a", &[1]).await.unwrap();
    outbox::queues(db).await.unwrap();
    outbox::extent(db, "a", 10).await.unwrap();
    retained::queues(db).await.unwrap();
    numbers::through(db, "a").await.unwrap();
    numbers::use_up(db, "a", 1).await.unwrap();
    parked::park(db, &[message(0, 1)]).await.unwrap();
    parked::load(db, 0, 0, 10).await.unwrap();
    parked::failed(db, 0, 1, 1, 1, "").await.unwrap();
    parked::remove(db, 0, 1).await.unwrap();
    dead::find(db, "a").await.unwrap();
    dead::held_keys(db, "orders", 0).await.unwrap();
    dead::remove(db, &[("a", "orders")]).await.unwrap();
    let mut effects = TxEffects::default();
    for (partition, name) in [(0, "b"), (1, "c")] {
        let id = MessageId::planned(name, 1).unwrap();
        effects.apply(partition, 1, AppliedMessage { id, offset: 1, at_ms: 1, contested: false });
    }
    effects.unpark(0, 1, 1);
    effects.send(&"a".into(), 1, [OutboxRow { event: false, target: None, record: Vec::new() }]);
    for step in effects.steps(DbBackend::Sqlite) {
        db.execute_raw(step.statement).await.unwrap();
    }
}

#[tokio::test]
async fn what_happens_often_uses_indexes_and_sorts_nothing() {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    let (tx, _) = begin(&database).await;
    let db = Recorder { tx: &tx, texts: Mutex::default() };
    all_that_happens_often(&db).await;
    for sql in db.take() {
        let plan = plan(&tx, &sql).await;
        assert!(!plan.iter().any(|line| scanned(line).is_some() || sorts(line)), "{sql}\n{plan:#?}");
    }
}

#[tokio::test]
async fn lists_follow_an_index_and_what_counts_all_reads_no_records() {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    let (tx, _) = begin(&database).await;
    let db = Recorder { tx: &tx, texts: Mutex::default() };
    let after = Some(dead::DeadLetterCursor { dead_at_ms: 1, id: "a".into(), capability: "orders".into() });
    for reason in [None, Some(dead::DeadReason::Full)] {
        let filter = DeadLetterFilter {
            reason,
            after: after.clone(),
            most: 10,
            name: Some("a".into()),
            ..DeadLetterFilter::default()
        };
        dead::list(&db, &filter).await.unwrap();
    }
    dead::count(&db).await.unwrap();
    outbox::count(&db, 10).await.unwrap();
    inbox::count(&db).await.unwrap();
    parked::count(&db).await.unwrap();
    ledger::read(&db).await.unwrap();
    schedules::read(&db).await.unwrap();
    for sql in db.take() {
        let plan = plan(&tx, &sql).await;
        // The fences and schedules are few, and the inbox has nothing but its key.
        let small = ["f", "essaim_fence", "essaim_inbox", "essaim_schedule"];
        let slow = |line: &String| {
            sorts(line) || scanned(line).is_some_and(|table| !small.contains(&table) && !line.contains(" INDEX "))
        };
        assert!(!plan.iter().any(slow), "{sql}\n{plan:#?}");
    }
}

#[tokio::test]
async fn bulks_of_any_size_are_statements_of_few_texts() {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    let (tx, _) = begin(&database).await;
    let db = Recorder { tx: &tx, texts: Mutex::default() };
    let one = OutboxRow { event: true, target: None, record: vec![1] };
    let sizes: Vec<u64> = (1..=20).chain((21..=301).step_by(40)).collect();
    for size in sizes.iter().copied() {
        let ids: Vec<String> = (0..size).map(|n| format!("{size}/{n}")).collect();
        let marks: Vec<InboxMark> = ids.iter().map(|id| InboxMark { id, offset: 0, at_ms: 0, effect: true }).collect();
        inbox::insert(&db, &marks).await.unwrap();
        inbox::seen(&db, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap();
        outbox::insert(&db, &size.to_string(), 1, &vec![one.clone(); size as usize]).await.unwrap();
    }
    let texts = db.take();
    assert!(texts.len() >= 3 * sizes.len());
    assert_eq!(texts.into_iter().collect::<HashSet<_>>().len(), 15);
}
