//! Handlers that leave a transaction open.

use essaim_contract::{Ask, AskError, Capability, Command, Message};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use serde::{Deserialize, Serialize};

use crate::store::testing::schema;
use crate::store::{Schema, Tx};
use crate::{Actor, Apply, Cx, Fault, Handle, Handles, Harness, Start, StartError};

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
    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }
    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self { written: 0 })
    }
    fn handles(h: &mut Handles<Self>) {
        h.ask::<Add>().ask::<Count>().command::<Note>();
    }
}

async fn insert(tx: &Tx<'_>) -> Result<(), DbErr> {
    tx.execute_unprepared("INSERT INTO t1 (word) VALUES (hex(randomblob(8)))").await.map(drop)
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
            End::Failed => assert!(tx.execute_unprepared("INSERT INTO nowhere VALUES (1)").await.is_err()),
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

async fn words() -> crate::Stage<WordsActor> {
    let one = |settings: &mut crate::config::Settings| {
        settings.capabilities.entry("words".into()).or_default().instances = 1;
        settings.durable.attempts = 2;
    };
    Harness::sqlite().runtime(one).start().await
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
