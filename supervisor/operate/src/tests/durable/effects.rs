//! One effect of a message id, whichever of its copies comes when.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_config::Settings;
use essaim_contract::MessageId;
use essaim_core::Client;
use essaim_durable::SendOptions;
use essaim_store::tables::inbox::InboxMark;
use essaim_store::testing::Directory;
use essaim_store::{Database, Transaction};
use futures_util::future::join_all;
use tokio::time::{advance, sleep};

use super::{Note, Stage, note, read, tables};
use crate::api::ReplayDead;

/// An ordinary day.
const DAY: Duration = Duration::from_secs(1_800_000_000);

/// The shop alone, on a clock that the test moves.
async fn paused(seed: u64, change: impl FnOnce(&mut Settings)) -> Stage {
    Stage::within(Env::simulated(seed, DAY), Arc::new(Directory::new()), &["shop"], change).await
}

/// Keeps everybody else from writing.
async fn writer(database: &Database) -> Transaction {
    database.begin().await.unwrap()
}

/// Waits until so many transactions wait to begin.
async fn awaits(database: &Database, count: usize) {
    while database.awaiting() < count {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_due_while_the_first_is_being_parked_has_no_effect_of_its_own() {
    let t = paused(1, |s| s.durable.partitions = 1).await;
    let (client, database) = (t.client(), t.database("shop"));
    t.note("a", "first").await;
    assert_eq!(t.at_rest("shop").await, (1, 0, 0, 0), "the partition has its owner");
    let id = MessageId::parse(client.env().id().to_string()).unwrap();
    let later = SendOptions::new().id(id).at(client.env().wall_ms() + 3_000);
    t.run(async {
        let writer = writer(&database).await;
        client.send_with(note("a", "later"), later.clone()).await.unwrap();
        awaits(&database, 1).await;
        advance(Duration::from_secs(3)).await;
        client.send_with(note("a", "later"), later).await.unwrap();
        awaits(&database, 2).await;
        client.send(note("b", "beside")).await.unwrap();
        awaits(&database, 3).await;
        writer.rollback().await.unwrap();
    })
    .await;
    assert_eq!(t.at_rest("shop").await, (3, 1, 0, 0));
    let mut words = t.words("shop", 3).await;
    words.sort();
    assert_eq!(words, ["beside", "first", "later"], "its neighbour in the commit is applied, and each once");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_of_which_a_copy_was_applied_is_replayed_without_an_effect_of_its_own() {
    let t = paused(2, |_| {}).await;
    let id = t.note("a", "reject").await.to_string();
    assert_eq!(t.at_rest("shop").await, (0, 0, 1, 0));
    let database = t.database("shop");
    let applied = async {
        let tx = writer(&database).await;
        let mark = InboxMark { id: &id, offset: 99, at_ms: t.client().env().wall_ms(), effect: true };
        assert!(tx.mark(mark).await.unwrap());
        tx.commit().await.unwrap();
    };
    t.run(applied).await;
    assert_eq!(replay(&t).await, 1);
    assert_eq!(t.at_rest("shop").await, (1, 0, 1, 0), "what the operator wanted is dealt with");
    assert_eq!((t.run(dead(&t)).await.len(), t.words("shop", 0).await.len()), (0, 0));
}

/// Messages of one seed, and what is done to each stage.
const MESSAGES: u64 = 4;
const MOVES: usize = 40;

/// Stores one copy, again and again until the log has it.
async fn store(client: Client, note: Note, options: SendOptions) {
    while client.send_with(note.clone(), options.clone()).await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
}

async fn dead(t: &Stage) -> Vec<String> {
    dead_of(t, "shop").await
}

async fn dead_of(t: &Stage, capability: &str) -> Vec<String> {
    let filter = tables::dead::DeadLetterFilter { most: 100, ..Default::default() };
    let letters = tables::dead::list(t.database(capability).reads(), &filter).await.unwrap();
    letters.into_iter().map(|letter| letter.id).collect()
}

pub async fn replay(t: &Stage) -> usize {
    replay_of(t, "shop").await
}

/// Replays all dead letters of a capability; how many there are.
pub async fn replay_of(t: &Stage, capability: &str) -> usize {
    let ids = t.run(dead_of(t, capability)).await;
    let count = ids.len();
    t.run(t.operate(ReplayDead { ids, capability: None, payload: None })).await;
    count
}

/// Copies of few messages with delays of their own, a writer that is busy for a while, dead letters that are replayed, and
/// a clock that jumps: in an order that the seed says.
async fn interleave(seed: u64) {
    let dice = Env::simulated(seed, DAY);
    let roll = |sides: u64| dice.random() % sides;
    let attempts = 1 + roll(2) as u32;
    let t = paused(seed, |s| s.durable.attempts = attempts).await;
    let (client, database) = (t.client(), t.database("shop"));
    let known: Vec<_> = (0..MESSAGES)
        .map(|n| {
            let word = if roll(3) == 0 { format!("once-{seed}-{n}") } else { format!("{seed}-{n}") };
            (MessageId::parse(client.env().id().to_string()).unwrap(), note(&format!("k{}", n % 2), &word))
        })
        .collect();
    let (mut copies, mut writing, mut sent) = (Vec::new(), None, vec![0_u64; known.len()]);
    for _ in 0..MOVES {
        match roll(10) {
            0..=3 => {
                let which = roll(MESSAGES) as usize;
                let (id, note) = known[which].clone();
                let later = client.env().wall_ms() + [0, 0, 3_000, 10_000][roll(4) as usize];
                sent[which] += 1;
                copies.push(t.local.spawn_local(store(client.clone(), note, SendOptions::new().id(id).at(later))));
            }
            4..=6 => {
                let ms = [1, 500, 3_000, 6_000, 3_600_000][roll(5) as usize];
                t.run(advance(Duration::from_millis(ms))).await;
            }
            7 if writing.is_none() => writing = Some(t.run(writer(&database)).await),
            8 => drop(writing.take()),
            9 if writing.is_none() => drop(replay(&t).await),
            _ => {}
        }
        t.run(sleep(Duration::from_millis(roll(3)))).await;
    }
    drop(writing);
    t.run(join_all(copies)).await;
    loop {
        t.run(advance(Duration::from_secs(11))).await;
        t.at_rest("shop").await;
        if replay(&t).await == 0 {
            break;
        }
    }
    let mut words = t.run(read(database.reads())).await;
    words.sort();
    let mut expected: Vec<_> =
        known.into_iter().zip(&sent).filter(|(_, sent)| **sent > 0).map(|((_, n), _)| n.word).collect();
    expected.sort();
    assert_eq!(words, expected, "seed {seed}: each message that was stored has one effect");
}

#[tokio::test(start_paused = true)]
async fn an_id_has_one_effect_in_whatever_order_its_copies_come() {
    for seed in 0..20 {
        interleave(seed).await;
    }
}
