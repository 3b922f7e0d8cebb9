//! What the runtime writes with handlers' transactions.

use std::sync::Arc;

use essaim_contract::MessageId;
use futures_util::future::{join, join_all};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::bench::{Bench, begin, insert, words};
use super::fence::somebody_waits;
use super::parked::message;
use super::{committed, fences, in_a_transaction, on_both, schema};
use crate::group::NotCommitted;
use crate::tables::outbox::{self, OutboxRow};
use crate::tables::tx_effects::{AppliedMessage, MissingRow, TxEffects};
use crate::tables::{fence, inbox, logs, parked};
use crate::{Database, Transaction, TxError};

pub fn id(number: u64) -> MessageId {
    MessageId::planned("m", number).unwrap()
}

fn applied(number: u64) -> AppliedMessage {
    AppliedMessage { id: id(number), offset: number, at_ms: 5, contested: false }
}

fn outgoing(number: u8) -> OutboxRow {
    OutboxRow { event: false, target: None, record: vec![number] }
}

/// Runs the steps, as far as each finds what it must; what the first does not find that finds something else.
async fn write(db: &impl ConnectionTrait, effects: &TxEffects) -> Result<Option<MissingRow>, DbErr> {
    for step in effects.steps(db.get_database_backend()) {
        let found = db.execute_raw(step.statement).await?.rows_affected();
        if let Some(missing) = step.expects.missing(found) {
            return Ok(Some(missing));
        }
    }
    Ok(None)
}

#[tokio::test]
async fn what_many_transactions_enclose_is_written_at_once() {
    in_a_transaction(async |tx| {
        for partition in 0..300 {
            fence::take(tx, partition, 7).await.unwrap();
        }
        parked::park(tx, &[message(2, 4), message(2, 6)]).await.unwrap();
        let queue: Arc<str> = "p/2".into();
        let mut all = TxEffects::default();
        for number in 0..700 {
            let mut one = TxEffects::default();
            one.apply(number % 300, 7, applied(number.into()));
            one.send(&queue, 10 + 2 * u64::from(number), [outgoing(1), outgoing(2)]);
            all.add(one);
        }
        let mut parked_one = TxEffects::default();
        parked_one.unpark(2, 7, 4);
        all.add(parked_one);
        assert_eq!(write(tx, &all).await.unwrap(), None);
        let handled: Vec<_> = fences(tx).await.iter().map(|f| f.tally.handled).collect();
        assert_eq!(handled.iter().sum::<u64>(), 701);
        assert_eq!((handled[0], handled[2], handled[299]), (3, 4, 2));
        assert_eq!(inbox::count(tx).await.unwrap(), 700);
        let through = logs::appended(tx, 0).await.unwrap();
        assert_eq!(through, fence::through(applied(600).offset), "the last of its messages has this offset");
        assert_eq!(parked::load(tx, 2, 0, 9).await.unwrap(), [message(2, 6)]);
        let sent = outbox::load(tx, "p/2", 0, 2_000).await.unwrap();
        assert!(sent.len() == 1_400 && sent[0] == (10, outgoing(1)) && sent[1_399] == (1_409, outgoing(2)));
    })
    .await;
}

#[tokio::test]
async fn a_partition_with_another_owner_and_a_message_that_is_gone_are_not_found() {
    in_a_transaction(async |tx| {
        for (partition, epoch) in [(0, 7), (1, 8)] {
            fence::take(tx, partition, epoch).await.unwrap();
        }
        let mut late = TxEffects::default();
        late.apply(0, 7, applied(1));
        late.apply(1, 7, applied(2));
        assert_eq!(write(tx, &late).await.unwrap(), Some(MissingRow::Owner));
        let mut gone = TxEffects::default();
        gone.unpark(0, 7, 4);
        assert_eq!(write(tx, &gone).await.unwrap(), Some(MissingRow::Parked));
        assert!(TxEffects::default().steps(tx.get_database_backend()).is_empty(), "nothing is written for nothing");
    })
    .await;
}

/// What one handler encloses: a message of a partition, parked or not, and what it sends.
fn of_one(partition: u32, epoch: u64, parked: Option<u64>, sends: u64) -> TxEffects {
    let mut one = TxEffects::default();
    match parked {
        Some(seq) => one.unpark(partition, epoch, seq),
        None => one.apply(partition, epoch, applied(1)),
    }
    if sends > 0 {
        one.send(&"p/0".into(), 10, (0..sends).map(|number| outgoing(number as u8)));
    }
    one
}

#[tokio::test]
async fn what_one_handler_encloses_is_one_statement_for_a_server_that_is_a_round_trip_away() {
    for (parked, sends) in [(None, 0), (None, 1), (None, 6), (Some(4), 0), (Some(4), 2)] {
        in_a_transaction(async |tx| {
            fence::take(tx, 0, 7).await.unwrap();
            parked::park(tx, &[message(0, 4)]).await.unwrap();
            let one = of_one(0, 7, parked, sends);
            let steps = one.steps(tx.get_database_backend());
            assert!(steps.len() == 1 || tx.get_database_backend() == DbBackend::Sqlite, "{} statements", steps.len());
            assert_eq!(write(tx, &one).await.unwrap(), None);
            assert_eq!(fences(tx).await[0].tally.handled, 1);
            let appended = if parked.is_some() { 1 } else { fence::through(applied(1).offset) };
            assert_eq!(logs::appended(tx, 0).await, Ok(appended));
            let there = (inbox::count(tx).await.unwrap(), parked::load(tx, 0, 0, 9).await.unwrap().len());
            assert_eq!(there, if parked.is_some() { (0, 0) } else { (1, 1) });
            let sent = outbox::load(tx, "p/0", 0, 9).await.unwrap();
            let expected: Vec<_> = (0..sends).map(|number| (10 + number, outgoing(number as u8))).collect();
            assert_eq!(sent, expected);
            tx.execute_unprepared("DELETE FROM essaim_outbox").await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn a_handler_whose_partition_or_parked_message_is_gone_is_told_which() {
    in_a_transaction(async |tx| {
        fence::take(tx, 0, 8).await.unwrap();
        parked::park(tx, &[message(0, 4)]).await.unwrap();
        let backend = tx.get_database_backend();
        for (epoch, parked, why) in
            [(7, None, MissingRow::Owner), (7, Some(4), MissingRow::Owner), (8, Some(5), MissingRow::Parked)]
        {
            let missing = write(tx, &of_one(0, epoch, parked, 2)).await.unwrap();
            assert_eq!(missing, Some(why), "{backend:?} {epoch} {parked:?}");
        }
        assert_eq!((inbox::count(tx).await.unwrap(), parked::load(tx, 0, 0, 9).await.unwrap().len()), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_commits_while_another_owner_comes_waits_and_commits_nothing() {
    let Some(bench) = Bench::postgres() else { return };
    let database = bench.open(&schema(1)).await;
    take_two(&database).await;
    let (taking, _) = begin(&database).await;
    fence::take(&taking, 1, 8).await.unwrap();
    let late = applying(&database, 1, 7, 1).await;
    insert(&late.0, "late").await.unwrap();
    let (late, ()) = join(late.commit(), async {
        somebody_waits(&bench, &database).await;
        taking.commit().await.unwrap();
    })
    .await;
    assert!(matches!(late, Err(NotCommitted::Fenced)), "{late:?}");
    assert_eq!((words(&database).await.len(), inbox::count(database.reads()).await.unwrap()), (0, 0));
}

/// A transaction in which a message of a partition is applied under this epoch, and what goes with it.
async fn applying(database: &Database, partition: u32, epoch: u64, number: u64) -> Applying {
    applying_copy(database, partition, epoch, (number, number), false).await
}

/// A transaction, and what the runtime writes with it.
pub struct Applying(pub Transaction, TxEffects);

impl Applying {
    pub async fn commit(self) -> Result<(), NotCommitted> {
        self.0.commit_with(self.1).await
    }
}

/// A transaction in which the copy of a message that has this offset is applied.
pub async fn applying_copy(
    database: &Database,
    partition: u32,
    epoch: u64,
    (number, offset): (u64, u64),
    contested: bool,
) -> Applying {
    let mut effects = TxEffects::default();
    effects.apply(partition, epoch, AppliedMessage { offset, contested, ..applied(number) });
    Applying(begin(database).await.0, effects)
}

pub async fn take_two(database: &Database) {
    committed(database, async |tx| {
        for partition in [0, 1] {
            fence::take(tx, partition, 7).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn transactions_side_by_side_are_each_counted_once_with_what_they_wrote() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        take_two(&database).await;
        let many = (0..40).map(|number| {
            let database = &database;
            async move {
                let tx = applying(database, number as u32 % 2, 7, number).await;
                if number % 4 != 1 {
                    tx.0.execute_raw(word(&tx.0, number)).await.unwrap();
                }
                if number % 4 == 3 { tx.0.rollback().await.unwrap() } else { tx.commit().await.unwrap() }
            }
        });
        join_all(many).await;
        let handled: Vec<_> = fences(database.reads()).await.iter().map(|f| f.tally.handled).collect();
        assert_eq!(handled, [20, 10]);
        assert_eq!(inbox::count(database.reads()).await.unwrap(), 30);
        assert_eq!(words(&database).await.len(), 20);
    })
    .await;
}

fn word(tx: &Transaction, number: u64) -> sea_orm::Statement {
    let sql = "INSERT INTO t1 (id, word) VALUES ($1, $2)";
    let values = [(number as i64).into(), format!("word {number}").into()];
    sea_orm::Statement::from_sql_and_values(tx.get_database_backend(), sql, values)
}

#[tokio::test]
async fn nothing_of_an_owner_that_lost_its_partition_is_committed_nor_of_those_who_share_its_commit() {
    let bench = super::bench::Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    take_two(&database).await;
    let plain = async {
        let (tx, _) = begin(&database).await;
        insert(&tx, "plain").await.unwrap();
        tx.commit().await
    };
    let late = async {
        let tx = applying(&database, 1, 6, 1).await;
        insert(&tx.0, "late").await.unwrap();
        tx.commit().await
    };
    let first = applying(&database, 0, 7, 2).await;
    let ((plain, late), first) = join(join(plain, late), first.commit()).await;
    assert!(matches!(plain, Err(TxError::Database(DbErr::Conn(_)))), "{plain:?}");
    assert!(matches!((&late, &first), (Err(NotCommitted::Fenced), Err(NotCommitted::Fenced))), "{late:?} {first:?}");
    assert_eq!(words(&database).await, [""; 0]);
    assert_eq!(inbox::count(database.reads()).await.unwrap(), 0);
    applying(&database, 0, 7, 2).await.commit().await.unwrap();
    assert_eq!(fences(database.reads()).await[0].tally.handled, 1, "it goes on with those who are left");
}
