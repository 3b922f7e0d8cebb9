//! Messages whose handlers fail: retries, parking, dead letters.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Duration;

use essaim_base::lock::Mutex;
use essaim_contract::{Command, Message};
use essaim_core::{Apply, Cx, Fault, fail};
use essaim_durable::SendOptions;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use serde::{Deserialize, Serialize};

use super::{Shop, Stage, note, tables};

static SEEN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
static TRIES: LazyLock<Mutex<HashMap<String, u32>>> = LazyLock::new(Mutex::default);

/// Whether a word is tried for the first time.
pub fn is_first(word: &str) -> bool {
    SEEN.lock().insert(word.into())
}

/// For twelve tries what the handler needs is away, then it fails once.
pub fn outage(word: &str) -> Result<(), Fault<String>> {
    let mut tries = TRIES.lock();
    let tries = tries.entry(word.into()).or_default();
    *tries += 1;
    match *tries {
        1..=12 => Err(DbErr::Conn(sea_orm::RuntimeErr::Internal("it is away".into())).into()),
        13 => Err(fail("not yet")),
        _ => Ok(()),
    }
}

/// A message that this version of the shop does not handle.
#[derive(Serialize, Deserialize)]
struct Strange {}
impl Message for Strange {
    type To = Shop;
    const NAME: &'static str = "strange";
    const VERSION: u16 = 9;
}
impl Command for Strange {}

/// A message that cannot be read without a panic.
#[derive(Serialize)]
pub struct Touchy {}
impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("do not touch")
    }
}
impl Message for Touchy {
    type To = Shop;
    const NAME: &'static str = "touchy";
    const VERSION: u16 = 1;
}
impl Command for Touchy {}

impl Apply<Touchy> for super::ShopActor {
    async fn apply(&mut self, _: Touchy, _: &mut Cx) -> Result<(), Fault<String>> {
        Ok(())
    }
}

/// Waits for a dead letter.
async fn dead(t: &Stage) -> tables::dead::DeadLetter {
    let filter = tables::dead::DeadLetterFilter { most: 10, ..Default::default() };
    let database = t.database("shop");
    t.run(async {
        loop {
            match tables::dead::list(database.reads(), &filter).await.unwrap().pop() {
                Some(letter) => return letter,
                None => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_outage_of_what_a_handler_needs_uses_up_no_attempts() {
    let t = Stage::start(&["shop"], |s| s.durable.backoff_most_ms = 2).await;
    t.note("a", "away-shop").await;
    assert_eq!(t.words("shop", 1).await, ["away-shop"]);
    assert_eq!(t.at_rest("shop").await, (1, 0, 0, 0));
}

#[tokio::test]
async fn what_nobody_handles_is_a_dead_letter_that_says_so() {
    let t = Stage::start(&["shop"], |_| {}).await;
    t.run(t.client().send(Strange {})).await.unwrap();
    t.note("a", "fine").await;
    assert_eq!(t.at_rest("shop").await, (1, 0, 1, 0));
    let dead = dead(&t).await;
    assert_eq!((dead.reason, dead.attempts), (tables::dead::DeadReason::Unsupported, 3));
    assert!(dead.error.as_ref().unwrap().contains("no handler of `shop.strange.v9`"), "{dead:?}");
}

#[tokio::test]
async fn a_panic_while_a_message_is_read_is_a_dead_letter_of_that_message_alone() {
    let t = Stage::start(&["shop"], |_| {}).await;
    t.run(t.client().send(Touchy {})).await.unwrap();
    t.note("a", "fine").await;
    assert_eq!(t.at_rest("shop").await, (1, 0, 1, 0));
    let dead = dead(&t).await;
    assert_eq!(dead.reason, tables::dead::DeadReason::Unreadable);
    assert!(dead.error.as_ref().unwrap().contains("do not touch"), "{dead:?}");
}

#[tokio::test]
async fn too_old_a_message_is_never_applied_and_holds_its_key_if_keys_are_held() {
    let hold = |s: &mut essaim_config::Settings| s.durable.after_dead = essaim_config::AfterDead::Hold;
    let t = Stage::start(&["shop"], hold).await;
    let old = essaim_contract::MessageId::planned("old", 1).unwrap();
    t.run(t.client().send_with(note("a", "old"), SendOptions::new().id(old))).await.unwrap();
    t.note("a", "waits").await;
    t.note("b", "beside").await;
    assert_eq!(dead(&t).await.reason, tables::dead::DeadReason::TooOld);
    t.note("b", "last").await;
    assert_eq!(t.words("shop", 2).await, ["beside", "last"], "whatever comes after it in its key waits");
}

#[tokio::test]
async fn a_message_from_too_far_ahead_is_a_dead_letter_whose_replay_is_applied_and_forgotten_in_time() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let now = t.node.bus().env.wall_ms();
    let skew = t.node.bus().settings.durable.clock_skew_ms;
    let of = |name, at| SendOptions::new().id(essaim_contract::MessageId::planned(name, at).unwrap());
    // Of the year 2500, or so: twice, and with a delay.
    let far = now + 474 * 365 * 24 * 3_600_000;
    for options in [of("far", far), of("far", far), of("delayed", far).after(Duration::from_millis(1))] {
        t.run(t.client().send_with(note("a", "ahead"), options)).await.unwrap();
    }
    t.run(t.client().send_with(note("a", "apart"), of("apart", now + skew))).await.unwrap();
    t.note("a", "now").await;
    assert_eq!(t.words("shop", 2).await, ["apart", "now"]);
    t.at_rest("shop").await;
    let database = t.database("shop");
    let all = tables::dead::DeadLetterFilter { most: 9, ..Default::default() };
    let letters = t.run(tables::dead::list(database.reads(), &all)).await.unwrap();
    assert!(letters.iter().all(|letter| letter.reason == tables::dead::DeadReason::TooNew), "{letters:?}");
    assert_eq!((letters.len(), super::effects::replay(&t).await), (2, 2));
    assert_eq!(t.words("shop", 4).await, ["apart", "now", "ahead", "ahead"]);
    t.at_rest("shop").await;
    // Nothing is remembered for longer than it must be.
    let latest = "SELECT id FROM essaim_inbox WHERE at_ms > $1";
    let until = t.node.bus().env.wall_ms() + skew;
    let statement = Statement::from_sql_and_values(DbBackend::Sqlite, latest, [(until as i64).into()]);
    assert!(t.run(database.reads().query_all_raw(statement)).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_due_and_others_of_its_key_are_applied_one_at_a_time() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let soon = || SendOptions::new().after(Duration::from_millis(20));
    let client = t.client();
    t.note("a", "slow").await;
    t.run(client.send_with(note("a", "quick"), soon())).await.unwrap();
    assert_eq!(t.words("shop", 2).await, ["slow", "quick"], "it was due while `slow` was being applied");
}
