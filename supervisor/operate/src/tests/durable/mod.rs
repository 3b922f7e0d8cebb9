//! Durable messages in one node, from end to end.

mod backfill;
mod bounds;
mod copies;
mod effects;
mod failing;
mod logs;
mod metrics;
mod no_database;
mod outbox_queues;
mod overflow;
mod ownership;
mod records;
mod relay;
mod schedules;
mod trace_state;
mod why;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use essaim_base::Env;
use essaim_config::{AfterDead, Config, Settings};
use essaim_contract::{Capability, Command, Event, Message, MessageId};
use essaim_core::{Actor, Apply, Client, Cx, Fault, Handles, Roster, Start, StartError, fail, reject};
use essaim_durable::SendOptions;
use essaim_store::testing::Directory;
use essaim_store::{Schema, tables};
use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

use crate::Node;
use crate::requests::{Operator, OperatorRequest};

pub struct Shop;
impl Capability for Shop {
    const NAME: &'static str = "shop";
}

pub struct Till;
impl Capability for Till {
    const NAME: &'static str = "till";
}

/// Writes down a word under a key; some words have their own meaning.
#[derive(Clone, Serialize, Deserialize)]
struct Note {
    key: Option<String>,
    word: String,
}
impl Message for Note {
    type To = Shop;
    const NAME: &'static str = "note";
    const VERSION: u16 = 1;
    fn key(&self) -> Option<Cow<'_, str>> {
        self.key.as_deref().map(Cow::Borrowed)
    }
}
impl Command for Note {}

/// A word was written down.
#[derive(Serialize, Deserialize)]
struct Noted {
    word: String,
}
impl Message for Noted {
    type To = Shop;
    const NAME: &'static str = "noted";
    const VERSION: u16 = 1;
}
impl Event for Noted {}

struct Words;
impl MigrationName for Words {
    fn name(&self) -> &str {
        "words"
    }
}
#[async_trait::async_trait]
impl MigrationTrait for Words {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "CREATE TABLE words (seq INTEGER PRIMARY KEY, word TEXT NOT NULL)";
        manager.get_connection().execute_unprepared(sql).await.map(drop)
    }
}

fn words() -> Option<Schema> {
    Some(Schema::new(vec![Box::new(Words)]))
}

async fn write(db: &impl ConnectionTrait, word: &str) -> Result<(), DbErr> {
    let word = word.replace('\'', "");
    db.execute_unprepared(&format!("INSERT INTO words (word) VALUES ('{word}')")).await.map(drop)
}

async fn read(db: &impl ConnectionTrait) -> Vec<String> {
    let sql = sea_orm::Statement::from_string(db.get_database_backend(), "SELECT word FROM words ORDER BY seq");
    let rows = db.query_all_raw(sql).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

/// Declares an actor that shares nothing and has a table of words.
macro_rules! actor {
    ($actor:ident, $capability:ty, $handles:expr) => {
        pub struct $actor;
        impl Actor for $actor {
            type Capability = $capability;
            type Settings = BTreeMap<String, String>;
            type Shared = ();
            fn schema() -> Option<Schema> {
                words()
            }
            async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
                Ok(())
            }
            async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
                Ok(Self)
            }
            fn handles(h: &mut Handles<Self>) {
                let handles: fn(&mut Handles<Self>) = $handles;
                handles(h);
            }
        }
    };
}
use actor;

/// How often the word `twice`, of one test, has failed, in whichever instance.
static FAILURES: AtomicU32 = AtomicU32::new(0);

actor!(ShopActor, Shop, |h| {
    h.command::<Note>().command::<failing::Touchy>();
});
impl Apply<Note> for ShopActor {
    async fn apply(&mut self, m: Note, cx: &mut Cx) -> Result<(), Fault<String>> {
        if m.word == ownership::LONG {
            ownership::RUNS.fetch_add(1, Ordering::Relaxed);
        }
        if m.word == "slow" || m.word == ownership::LONG {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let tx = cx.begin().await?;
        write(&tx, &m.word).await?;
        match &*m.word {
            "holds" => drop(why::HELD.acquire().await),
            "reject" => return Err(reject("never")),
            "fail" => return Err(fail("as it was told to")),
            "panic" => panic!("as it was told to"),
            "twice" if FAILURES.fetch_add(1, Ordering::Relaxed) < 2 => return Err(fail("not yet")),
            word if word.starts_with("once-") && failing::is_first(word) => return Err(fail("not yet")),
            word if word.starts_with("away-") => failing::outage(word)?,
            _ => {}
        }
        tx.publish(Noted { word: m.word }).await?;
        tx.commit().await?;
        Ok(())
    }
}

actor!(TillActor, Till, |h| {
    h.event::<Noted>();
});
impl Apply<Noted> for TillActor {
    async fn apply(&mut self, m: Noted, cx: &mut Cx) -> Result<(), Fault<String>> {
        let tx = cx.begin().await?;
        write(&tx, &m.word).await?;
        tx.commit().await?;
        Ok(())
    }
}

struct Stage {
    rung: no_database::Rung,
    local: LocalSet,
    node: Node,
    directory: Arc<Directory>,
}

impl Stage {
    async fn start(hosts: &[&str], change: impl FnOnce(&mut Settings)) -> Self {
        Self::again(Arc::new(Directory::new()), hosts, change).await
    }

    async fn again(directory: Arc<Directory>, hosts: &[&str], change: impl FnOnce(&mut Settings)) -> Self {
        Self::within(Env::system(), directory, hosts, change).await
    }

    async fn within(env: Env, directory: Arc<Directory>, hosts: &[&str], change: impl FnOnce(&mut Settings)) -> Self {
        let mut config = Config::default();
        let settings = &mut config.settings;
        (settings.node.arbiters, settings.node.watchdog_ms, settings.node.control_thread) = (1, 0, false);
        settings.node.data_dir = directory.path().to_path_buf();
        (settings.durable.attempts, settings.durable.backoff_first_ms, settings.durable.backoff_most_ms) = (3, 1, 10);
        settings.durable.partitions = 2;
        settings.trace.store_bytes = 0;
        change(settings);
        let roster = Roster::new().host::<ShopActor>().host::<TillActor>();
        let rung = no_database::Rung::default();
        let roster = roster.host::<backfill::PressActor>().host::<backfill::ArchiveActor>();
        let roster = roster.host::<no_database::BellActor>().provide(rung.clone());
        let roster = roster.host::<overflow::DeskActor>().host::<overflow::ClerkActor>();
        let roster = roster.host::<trace_state::DepotActor>().host::<trace_state::ShelfActor>();
        let local = LocalSet::new();
        let node = local
            .run_until(async {
                let node = Node::start(&roster, hosts, config, env).await.unwrap();
                node.up().await;
                node
            })
            .await;
        Self { rung, local, node, directory }
    }

    async fn run<F: Future>(&self, work: F) -> F::Output {
        self.local.run_until(work).await
    }

    fn client(&self) -> Client {
        self.node.client()
    }

    async fn note(&self, key: &str, word: &str) -> MessageId {
        self.run(self.client().send(note(key, word))).await.unwrap()
    }

    fn database(&self, capability: &str) -> essaim_store::Database {
        self.node.bus().host(capability).unwrap().database().unwrap()
    }

    /// Waits until a capability has written so many words; all of them.
    async fn words(&self, capability: &str, count: usize) -> Vec<String> {
        let database = self.database(capability);
        self.run(async {
            loop {
                let words = read(database.reads()).await;
                if words.len() >= count {
                    return words;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }

    /// Waits until nothing of a capability is in flight, and checks its ledger; handled, duplicates, dead, expired.
    async fn at_rest(&self, capability: &str) -> (u64, u64, u64, u64) {
        let (database, log) = (self.database(capability), self.node.bus().durable().unwrap().log.clone());
        self.run(async {
            loop {
                let counts = log.counts(capability).await.unwrap();
                let lines = tables::ledger::read(database.reads()).await.unwrap();
                let waiting: u64 = counts.iter().map(|c| c.waiting).sum();
                let parked: u64 = lines.iter().map(|l| l.parked).sum();
                if waiting + parked > 0 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                }
                for count in &counts {
                    let tally = lines.iter().find(|l| l.fence.partition == count.number).unwrap().fence.tally;
                    let accounted = tally.handled + tally.duplicates + tally.dead + tally.expired;
                    let before = lines.iter().find(|l| l.fence.partition == count.number).unwrap().before;
                    let appended = count.appended as i64 + before;
                    assert_eq!(appended, accounted as i64, "partition {}: {tally:?}", count.number);
                }
                let sum = |of: fn(&essaim_protocol::log::Tally) -> u64| lines.iter().map(|l| of(&l.fence.tally)).sum();
                return (sum(|t| t.handled), sum(|t| t.duplicates), sum(|t| t.dead), sum(|t| t.expired));
            }
        })
        .await
    }

    /// Asks what operators ask.
    async fn operate<Q: OperatorRequest>(&self, question: Q) -> Q::Answer {
        question.answer(&Operator::of(self.node.bus())).await.unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    async fn end(self) -> Arc<Directory> {
        self.run(self.node.drain()).await;
        let Self { local, node, directory, .. } = self;
        drop((node, local));
        let mut settings = Settings::default();
        settings.node.data_dir = directory.path().to_path_buf();
        while essaim_store::held("log", &settings).is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        directory
    }
}

fn note(key: &str, word: &str) -> Note {
    Note { key: (!key.is_empty()).then(|| key.into()), word: word.into() }
}

#[tokio::test]
async fn a_command_is_applied_once_and_its_event_reaches_the_subscriber() {
    let t = Stage::start(&["shop", "till"], |_| {}).await;
    t.note("a", "one").await;
    t.note("a", "two").await;
    t.note("", "three").await;
    assert_eq!(t.words("till", 3).await.len(), 3);
    assert_eq!((t.at_rest("shop").await, t.at_rest("till").await), ((3, 0, 0, 0), (3, 0, 0, 0)));
}

#[tokio::test]
async fn messages_of_one_key_are_applied_in_their_order() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let client = t.client();
    let sent = async {
        for number in 0..100 {
            client.send(note(&format!("k{}", number % 3), &format!("{number:03}"))).await.unwrap();
        }
    };
    t.run(sent).await;
    let words = t.words("shop", 100).await;
    for key in 0..3 {
        let of_key: Vec<_> = words.iter().filter(|w| w.parse::<u32>().unwrap() % 3 == key).collect();
        assert!(of_key.is_sorted() && of_key.len() >= 33, "{of_key:?}");
    }
    assert_eq!(t.at_rest("shop").await, (100, 0, 0, 0));
}

#[tokio::test]
async fn a_message_sent_twice_under_one_id_has_one_effect() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let id = t.note("a", "once").await;
    for _ in 0..3 {
        t.run(t.client().send_with(note("a", "once"), SendOptions::new().id(id.clone()))).await.unwrap();
    }
    assert_eq!(t.at_rest("shop").await, (1, 3, 0, 0));
    assert_eq!(t.words("shop", 1).await, ["once"]);
}

#[tokio::test]
async fn what_fails_is_tried_again_and_holds_up_its_own_key_only() {
    let t = Stage::start(&["shop"], |s| s.durable.backoff_first_ms = 200).await;
    for (key, word) in [("a", "twice"), ("a", "after"), ("b", "beside")] {
        t.note(key, word).await;
    }
    assert_eq!(t.words("shop", 1).await[0], "beside");
    let words = t.words("shop", 3).await;
    assert_eq!(words, ["beside", "twice", "after"]);
    assert_eq!(t.at_rest("shop").await, (3, 0, 0, 0));
}

#[tokio::test]
async fn what_cannot_be_applied_becomes_a_dead_letter_and_its_key_goes_on() {
    let t = Stage::start(&["shop"], |_| {}).await;
    for word in ["reject", "fail", "panic", "fine"] {
        t.note("a", word).await;
    }
    assert_eq!(t.words("shop", 1).await, ["fine"]);
    assert_eq!(t.at_rest("shop").await, (1, 0, 3, 0));
    let database = t.database("shop");
    let filter = tables::dead::DeadLetterFilter { most: 10, ..Default::default() };
    let dead = t.run(tables::dead::list(database.reads(), &filter)).await.unwrap();
    let told: Vec<_> = dead.iter().map(|d| (d.reason.as_str(), d.attempts)).collect();
    assert_eq!(told, [("rejected", 1), ("attempts", 3), ("attempts", 3)]);
    assert_eq!(dead[0].error.as_deref(), Some("never"));
}

#[tokio::test]
async fn a_key_can_be_kept_on_hold_after_a_dead_letter() {
    let t = Stage::start(&["shop"], |s| s.durable.after_dead = AfterDead::Hold).await;
    for (key, word) in [("a", "reject"), ("a", "waits"), ("b", "beside")] {
        t.note(key, word).await;
    }
    assert_eq!(t.words("shop", 1).await, ["beside"]);
    // Also after a new start.
    let t = Stage::again(t.end().await, &["shop"], |s| s.durable.after_dead = AfterDead::Hold).await;
    t.note("a", "waits too").await;
    t.note("b", "last").await;
    assert_eq!(t.words("shop", 2).await, ["beside", "last"]);
}

#[tokio::test]
async fn what_waits_for_nobody_is_there_when_its_receiver_comes() {
    let t = Stage::start(&["till"], |_| {}).await;
    t.note("a", "early").await;
    let t = Stage::again(t.end().await, &["shop", "till"], |_| {}).await;
    assert_eq!(t.words("till", 1).await, ["early"]);
    assert_eq!(t.at_rest("shop").await, (1, 0, 0, 0));
}

#[tokio::test]
async fn an_absent_subscriber_gets_everything_when_it_comes() {
    let t = Stage::start(&["shop", "till"], |_| {}).await;
    t.note("a", "one").await;
    t.words("till", 1).await;
    let t = Stage::again(t.end().await, &["shop"], |_| {}).await;
    t.note("a", "two").await;
    t.note("a", "three").await;
    t.words("shop", 3).await;
    let t = Stage::again(t.end().await, &["shop", "till"], |_| {}).await;
    let mut words = t.words("till", 3).await;
    words.sort();
    assert_eq!(words, ["one", "three", "two"]);
}

#[tokio::test]
async fn a_message_can_wait_for_its_time_and_expire() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let later = SendOptions::new().after(Duration::from_millis(300));
    t.run(t.client().send_with(note("a", "later"), later)).await.unwrap();
    t.note("a", "now").await;
    let expired = SendOptions::new().time_to_live(Duration::ZERO).at(1);
    t.run(t.client().send_with(note("a", "never"), expired)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(t.words("shop", 2).await, ["now", "later"]);
    let (handled, _, dead, expired) = t.at_rest("shop").await;
    assert_eq!((handled, dead), (2, 0));
    assert_eq!(expired, 1);
}
