//! Transactions that end in many ways beside each other, in an order that a seed says, against a model of what may be left:
//! all of a transaction or nothing of it, what was answered and nothing that was refused, one effect for each message.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_contract::MessageId;
use futures_util::future::join_all;
use futures_util::{FutureExt, poll};
use sea_orm::{ConnectionTrait, Statement, Value};

use super::bench::{Bench, begin, texts};
use crate::group::NotCommitted;
use crate::tables::outbox::OutboxRow;
use crate::tables::tx_effects::{AppliedMessage, TxEffects};
use crate::tables::{fence, inbox, ledger};
use crate::testing::schema;
use crate::tx_tracker::CommitState;
use crate::{Database, Transaction};

const TRANSACTIONS: u64 = 80;
const MESSAGES: u64 = 30;
const PARTITIONS: u64 = 3;
const EPOCH: u64 = 7;

/// How a transaction ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Commit,
    RollBack,
    Drop,
    DropWithinStatement,
    /// The commit is polled so often, and then dropped.
    DropWithinCommit(u64),
    /// A statement fails before the commit.
    FailStatement,
    /// A statement undoes the whole transaction, and that of its neighbours.
    UndoAll,
}

/// One transaction: which message it applies under which epoch, and how it ends.
#[derive(Debug, Clone, Copy)]
struct Plan {
    number: u64,
    message: u64,
    epoch: u64,
    yields: u64,
    end: End,
}

/// What its handler has heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Committed,
    Refused,
    /// Nothing, or that the outcome is not known.
    Nothing,
}

fn plan(dice: &Env, number: u64) -> Plan {
    let roll = |sides: u64| dice.random() % sides;
    let end = match roll(12) {
        0 => End::RollBack,
        1 => End::Drop,
        2 => End::DropWithinStatement,
        3 => End::DropWithinCommit(roll(4)),
        4 => End::FailStatement,
        5 if roll(3) == 0 => End::UndoAll,
        _ => End::Commit,
    };
    let epoch = if roll(10) == 0 { EPOCH - 1 } else { EPOCH };
    Plan { number, message: roll(MESSAGES), epoch, yields: roll(6), end }
}

fn insert(tx: &Transaction, number: u64, word: &str) -> Statement {
    let values = [Value::from(number as i64), Value::from(word)];
    let sql = "INSERT INTO t1 (id, word) VALUES ($1, $2)";
    Statement::from_sql_and_values(tx.get_database_backend(), sql, values)
}

/// The word that a transaction writes. Its message sends it, too.
fn word(plan: &Plan) -> String {
    format!("{:03} of m/{}", plan.number, plan.message)
}

fn effects(plan: &Plan) -> TxEffects {
    let id = MessageId::planned("m", plan.message).unwrap();
    let mut effects = TxEffects::default();
    let applied = AppliedMessage { id, offset: plan.number, at_ms: 1, contested: true };
    effects.apply((plan.message % PARTITIONS) as u32, plan.epoch, applied);
    let sent = OutboxRow { event: false, target: None, record: word(plan).into_bytes() };
    effects.send(&Arc::from("n/model"), 1 + plan.number, [sent]);
    effects
}

async fn run(database: Database, plan: Plan) -> Heard {
    for _ in 0..plan.yields {
        tokio::task::yield_now().await;
    }
    let (tx, tracker) = begin(&database).await;
    let written = tx.execute_raw(insert(&tx, plan.number, &word(&plan))).await;
    match plan.end {
        End::Drop => return Heard::Refused,
        End::RollBack => {
            let _ = tx.rollback().await;
            return Heard::Refused;
        }
        End::DropWithinStatement => {
            let _ = tx.execute_raw(insert(&tx, 1_000 + plan.number, "never")).now_or_never();
            return Heard::Refused;
        }
        End::FailStatement => assert!(tx.execute_raw(insert(&tx, plan.number, "twice")).await.is_err()),
        End::UndoAll => {
            let sql = "INSERT OR ROLLBACK INTO t1 (id, word) VALUES (-1, 'never'), (-1, 'never')";
            assert!(tx.execute_unprepared(sql).await.is_err());
        }
        End::Commit | End::DropWithinCommit(_) => {}
    }
    let mut commit = pin!(tx.commit_with(effects(&plan)));
    let committed = if let End::DropWithinCommit(polls) = plan.end {
        let mut ended = None;
        for _ in 0..polls {
            if let std::task::Poll::Ready(committed) = poll!(&mut commit) {
                ended = Some(committed);
                break;
            }
            tokio::task::yield_now().await;
        }
        let Some(ended) = ended else { return Heard::Nothing };
        ended
    } else {
        commit.await
    };
    let (heard, state) = match &committed {
        Ok(()) => (Heard::Committed, CommitState::Committed),
        Err(NotCommitted::Perhaps(_)) => (Heard::Nothing, CommitState::Committing),
        Err(_) => (Heard::Refused, CommitState::Nothing),
    };
    assert_eq!(tracker.commit_state(), state, "{plan:?} {committed:?}");
    assert!(written.is_ok() || heard == Heard::Refused, "{plan:?}: {written:?} {committed:?}");
    assert!(plan.epoch == EPOCH || heard != Heard::Committed, "{plan:?} has lost its partition");
    heard
}

/// Waits until all transactions have ended that were dropped.
async fn rest(database: &Database) {
    for _ in 0..10_000 {
        if database.report(Duration::from_secs(5)).await.connections_in_use == 0 && database.awaiting() == 0 {
            // There is one writer, so one that has begun proves that all before it have ended.
            return begin(database).await.0.rollback().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("a connection was not given back");
}

async fn keep_to_the_model(seed: u64) {
    let dice = Env::simulated(seed, Duration::ZERO);
    let mut bench = Bench::sqlite();
    bench.settings.store.group_commit_max = [1, 2, 5, 64][(dice.random() % 4) as usize];
    bench.settings.store.group_commit_ms = [0, 2, 60_000][(dice.random() % 3) as usize];
    // Slow machines must not end anything early.
    bench.settings.store.acquire_timeout_ms = 60_000;
    bench.settings.store.transaction_limit_ms = 60_000;
    let database = bench.open(&schema(1)).await;
    let (tx, _) = begin(&database).await;
    for partition in 0..PARTITIONS {
        fence::take(&tx, partition as u32, EPOCH).await.unwrap();
    }
    tx.commit().await.unwrap();

    let plans: Vec<_> = (0..TRANSACTIONS).map(|number| plan(&dice, number)).collect();
    let running = plans.iter().map(|plan| tokio::spawn(run(database.clone(), *plan)));
    let heard: Vec<_> = join_all(running).await.into_iter().map(Result::unwrap).collect();
    rest(&database).await;

    let left: BTreeSet<_> = texts(database.reads(), "SELECT word FROM t1").await.into_iter().collect();
    let mut by_message = BTreeMap::<u64, u64>::new();
    for (plan, heard) in plans.iter().zip(heard) {
        let is_left = left.contains(&word(plan));
        match heard {
            Heard::Committed => assert!(is_left, "seed {seed}: {plan:?} was answered and is gone"),
            Heard::Refused => assert!(!is_left, "seed {seed}: {plan:?} was refused and is left"),
            Heard::Nothing => {}
        }
        *by_message.entry(plan.message).or_default() += u64::from(is_left);
    }
    assert!(by_message.values().all(|effects| *effects <= 1), "seed {seed}: a message has two effects: {by_message:?}");
    let expected: u64 = by_message.values().sum();
    assert_eq!(left.len() as u64, expected, "seed {seed}: nothing is left that no plan has written");
    let sent: BTreeSet<_> =
        texts(database.reads(), "SELECT CAST(record AS TEXT) FROM essaim_outbox").await.into_iter().collect();
    assert_eq!(sent, left, "seed {seed}: what is written and what is sent are committed together");
    assert_eq!(inbox::count(database.reads()).await.unwrap(), expected, "seed {seed}: each is marked once");
    let handled: u64 = ledger::read(database.reads()).await.unwrap().iter().map(|l| l.fence.tally.handled).sum();
    assert_eq!(handled, expected, "seed {seed}: each is counted once");
}

#[tokio::test]
async fn transactions_that_end_in_any_way_leave_what_the_model_allows() {
    for seed in 0..24 {
        keep_to_the_model(seed).await;
    }
}
