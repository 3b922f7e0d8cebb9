//! Handlers and starts that report success although what they have written is lost: with a transaction that they leave open, or
//! a commit whose failure they pass over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use essaim_contract::{Ask, AskError, Capability, Command, Message, Unknown};
use essaim_core::api::tx::Tx;
use essaim_core::{Actor, Apply, Cx, Fault, Handle, Handles, Start, StartError};
use essaim_store::Schema;
use essaim_store::testing::schema;
use futures_util::FutureExt;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use serde::{Deserialize, Serialize};

use crate::{Harness, Stage};

struct Words;
impl Capability for Words {
    const NAME: &'static str = "words";
}

/// How a handler ends its transaction.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
enum End {
    Commit,
    RollBack,
    /// Not at all, although it has written.
    LeftOpen,
    /// It commits another one afterwards.
    LeftOpenBefore,
    /// A statement of it has failed, and the handler makes do without.
    Failed,
    /// Its commit fails, and the handler passes over that.
    Refused,
    /// It does so, and writes again in another one, which it commits.
    Again,
    /// The handler does not wait for the end of its commit.
    Unheard,
}

/// Writes a word; answers how many words this instance believes to have written.
#[derive(Serialize, Deserialize)]
struct Add(End);
impl Message for Add {
    type To = Words;
    const NAME: &'static str = "add";
    const VERSION: u16 = 1;
}
impl Ask for Add {
    type Reply = u32;
    type Error = String;
}

/// The same as a command.
#[derive(Serialize, Deserialize)]
struct Note(End);
impl Message for Note {
    type To = Words;
    const NAME: &'static str = "note";
    const VERSION: u16 = 1;
}
impl Command for Note {}

#[derive(Serialize, Deserialize)]
struct Count;
impl Message for Count {
    type To = Words;
    const NAME: &'static str = "count";
    const VERSION: u16 = 1;
}
impl Ask for Count {
    type Reply = i64;
    type Error = String;
}

/// Which part of a start leaves a transaction open, in its first try.
#[derive(Clone, Copy, PartialEq)]
enum Opener {
    Nobody,
    Share,
    Start,
}

/// How often it was tried.
struct Tries(Opener, AtomicU32);

struct WordsActor {
    written: u32,
}
impl Actor for WordsActor {
    type Capability = Words;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = ();

    fn schema() -> Option<Schema> {
        Some(schema(1))
    }
    async fn share(_: Self::Settings, start: &mut Start) -> Result<(), StartError> {
        begin_to_write(Opener::Share, start).await
    }
    async fn start((): &(), start: &mut Start) -> Result<Self, StartError> {
        begin_to_write(Opener::Start, start).await?;
        Ok(Self { written: 0 })
    }
    fn handles(h: &mut Handles<Self>) {
        h.ask::<Add>().ask::<Count>().command::<Note>();
    }
}

async fn insert(tx: &Tx<'_>) -> Result<(), DbErr> {
    tx.execute_unprepared("INSERT INTO t1 (word) VALUES (hex(randomblob(8)))").await.map(drop)
}

/// Writes a word, and forgets the commit in the first try.
async fn begin_to_write(part: Opener, start: &mut Start) -> Result<(), StartError> {
    let Some(tries) = start.provided::<Arc<Tries>>().filter(|tries| tries.0 == part) else { return Ok(()) };
    let first = tries.1.fetch_add(1, Ordering::Relaxed) == 0;
    let tx = start.begin().await?;
    insert(&tx).await?;
    if !first {
        tx.commit().await?;
    }
    Ok(())
}

/// A transaction whose commit fails.
async fn fail_in(tx: &Tx<'_>) {
    assert!(tx.execute_unprepared("INSERT INTO nowhere VALUES (1)").await.is_err());
}

impl WordsActor {
    async fn write(&mut self, end: End, cx: &mut Cx) -> Result<(), Fault<String>> {
        if end == End::LeftOpenBefore {
            insert(&cx.begin().await?).await?;
        }
        let tx = cx.begin().await?;
        insert(&tx).await?;
        match end {
            End::Commit | End::LeftOpenBefore => tx.commit().await?,
            End::RollBack => tx.rollback().await?,
            End::LeftOpen => drop(tx),
            End::Failed => {
                fail_in(&tx).await;
                drop(tx);
            }
            End::Refused | End::Again => {
                fail_in(&tx).await;
                assert!(tx.commit().await.is_err());
            }
            // SQLite's thread may be as fast as that.
            End::Unheard => tx.commit().now_or_never().unwrap_or(Ok(()))?,
        }
        if end == End::Again {
            let tx = cx.begin().await?;
            insert(&tx).await?;
            tx.commit().await?;
        }
        self.written += 1;
        Ok(())
    }
}

impl Handle<Add> for WordsActor {
    async fn handle(&mut self, m: Add, cx: &mut Cx) -> Result<u32, Fault<String>> {
        self.write(m.0, cx).await?;
        Ok(self.written)
    }
}
impl Apply<Note> for WordsActor {
    async fn apply(&mut self, m: Note, cx: &mut Cx) -> Result<(), Fault<String>> {
        self.write(m.0, cx).await
    }
}
impl Handle<Count> for WordsActor {
    async fn handle(&mut self, _: Count, cx: &mut Cx) -> Result<i64, Fault<String>> {
        let count = Statement::from_string(DbBackend::Sqlite, "SELECT count(*) FROM t1");
        let row = cx.db().query_one_raw(count).await?;
        Ok(row.map_or(Ok(0), |r| r.try_get_by_index(0))?)
    }
}

async fn words() -> Stage<WordsActor> {
    words_of(Opener::Nobody).await.0
}

async fn words_of(opener: Opener) -> (Stage<WordsActor>, Arc<Tries>) {
    let one = |settings: &mut essaim_config::Settings| {
        settings.capabilities.entry("words".into()).or_default().instances = 1;
        settings.durable.attempts = 2;
    };
    let tries = Arc::new(Tries(opener, AtomicU32::new(0)));
    (Harness::sqlite().runtime(one).provide(tries.clone()).start().await, tries)
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_leaves_its_transaction_open_has_failed_and_its_state_is_made_anew() {
    let t = words().await;
    assert_eq!(t.ask(Add(End::Commit)).await, Ok(1));
    assert_eq!(t.ask(Add(End::RollBack)).await, Ok(2));
    assert_eq!(t.ask(Add(End::Failed)).await, Ok(3), "what has failed is over");
    let Err(AskError::Failed(failure)) = t.ask(Add(End::LeftOpen)).await else { panic!("it wrote nothing") };
    assert!(failure.detail.contains("tx.commit() or tx.rollback()"), "{failure}");
    assert_eq!((t.ask(Count).await, t.ask(Add(End::Commit)).await), (Ok(1), Ok(1)), "its state was ahead");
    let half = t.ask(Add(End::LeftOpenBefore)).await;
    assert!(matches!(half, Err(AskError::Unknown(_))), "one of its two was committed: {half:?}");
}

#[tokio::test(start_paused = true)]
async fn a_durable_message_whose_transaction_is_left_open_is_not_applied() {
    let t = words().await;
    t.deliver(Note(End::Commit)).await.unwrap();
    t.deliver(Note(End::RollBack)).await.unwrap();
    let died = t.deliver(Note(End::LeftOpen)).await.unwrap_err();
    assert!(died.contains("neither committed nor rolled back"), "{died}");
    assert_eq!(t.ask(Count).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_passes_over_a_failed_commit_has_failed_and_its_state_is_made_anew() {
    let t = words().await;
    assert_eq!(t.ask(Add(End::Commit)).await, Ok(1));
    let Err(AskError::Failed(failure)) = t.ask(Add(End::Refused)).await else { panic!("it wrote nothing") };
    assert!(failure.detail.contains("although the commit had failed"), "{failure}");
    assert_eq!(t.ask(Add(End::Again)).await, Ok(1), "its state was ahead, and what is written again is written");
    assert_eq!(t.ask(Count).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_does_not_wait_for_its_commit_has_an_unknown_outcome() {
    let t = words().await;
    for _ in 0..1_000 {
        match t.ask(Add(End::Unheard)).await {
            Ok(_) => {}
            unheard => return assert_eq!(unheard, Err(AskError::Unknown(Unknown::CommitUnanswered))),
        }
    }
    panic!("each of its commits was heard of, or none");
}

#[tokio::test(start_paused = true)]
async fn a_durable_message_whose_commit_has_failed_is_not_applied() {
    let t = words().await;
    let died = t.deliver(Note(End::Refused)).await.unwrap_err();
    assert!(died.contains("although the commit had failed"), "{died}");
    t.deliver(Note(End::Again)).await.unwrap();
    assert_eq!(t.ask(Count).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_durable_message_whose_commit_nobody_has_heard_of_is_applied_once() {
    let t = words().await;
    // It is tried again if the commit has not taken place, and counts as applied if it has.
    let _ = t.deliver(Note(End::Unheard)).await;
    t.deliver(Note(End::Commit)).await.unwrap();
    assert!((1..=2).contains(&t.ask(Count).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_leaves_its_transaction_open_has_failed_and_is_tried_again() {
    for opener in [Opener::Share, Opener::Start] {
        let (t, tries) = words_of(opener).await;
        assert_eq!(t.ask(Count).await, Ok(1));
        assert_eq!(tries.1.load(Ordering::Relaxed), 2);
    }
}
