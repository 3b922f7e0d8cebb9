//! Owners, one after the other.

use essaim_protocol::log::Tally;
use futures_util::future::join;

use super::bench::{Bench, begin, texts};
use super::{committed, fences, in_a_transaction, on_both, schema};
use crate::tables::fence::Takeover;
use crate::tables::log_gaps::LogGap;
use crate::tables::{fence, ledger, log_gaps, logs, parked};

const ONE: Tally = Tally { handled: 1, duplicates: 0, dead: 0, expired: 0 };

#[tokio::test]
async fn epochs_only_grow() {
    in_a_transaction(async |tx| {
        for (partition, epoch, taken) in [(0, 5, true), (0, 5, true), (0, 4, false), (0, 9, true), (1, 7, true)] {
            let ours = fence::take(tx, partition, epoch).await.unwrap();
            assert_eq!(ours == Takeover::Done(String::new()), taken, "{partition} {epoch}");
            assert!(taken || ours == Takeover::Stale(5), "it says whose it is: {ours:?}");
        }
        let epochs: Vec<_> = fences(tx).await.iter().map(|f| f.epoch).collect();
        assert_eq!(epochs, [9, 7], "each partition has its own");
    })
    .await;
}

/// Takes a partition, which nobody has had at a later epoch.
async fn take(tx: &impl crate::own_rows::OwnQueries, partition: u32, epoch: u64) -> u64 {
    assert_eq!(fence::take(tx, partition, epoch).await.unwrap(), Takeover::Done(String::new()));
    epoch
}

#[tokio::test]
async fn an_owner_counts_until_another_one_comes() {
    in_a_transaction(async |tx| {
        assert!(!fence::advance(tx, 3, 1, ONE).await.unwrap(), "nobody has taken it");
        let old = take(tx, 3, 1).await;
        assert!(fence::advance(tx, 3, old, Tally { handled: 60, duplicates: 2, dead: 1, expired: 1 }).await.unwrap());
        let new = take(tx, 3, 2).await;
        assert!(!fence::advance(tx, 3, old, ONE).await.unwrap());
        assert!(fence::advance(tx, 3, new, ONE).await.unwrap());
        let fences = fences(tx).await;
        let tally = Tally { handled: 61, duplicates: 2, dead: 1, expired: 1 };
        assert_eq!(fences, [fence::Fence { partition: 3, epoch: new, tally }]);
    })
    .await;
}

#[tokio::test]
async fn how_much_a_log_has_appended_is_known_by_the_last_message_that_was_finished() {
    in_a_transaction(async |tx| {
        let appended = async || logs::appended(tx, 0).await.unwrap();
        let epoch = take(tx, 0, 1).await;
        logs::change(tx, 0, "", "a").await.unwrap();
        assert_eq!(appended().await, 0);
        assert!(fence::advance(tx, 0, epoch, ONE).await.unwrap());
        assert_eq!(appended().await, 1, "as an earlier release has left it: so many are finished");
        let of_a_log = |offset: u64| (7 << 40) | offset;
        for (offset, known) in [(8, 9), (3, 9), (20, 21)] {
            let through = fence::through(of_a_log(offset));
            assert!(fence::advance_through(tx, 0, epoch, ONE, through).await.unwrap());
            assert_eq!(appended().await, known);
        }
        logs::change(tx, 0, "a", "b").await.unwrap();
        assert_eq!(appended().await, 0, "of another log nothing is known");
    })
    .await;
}

#[tokio::test]
async fn a_gap_of_the_log_is_recorded_once_and_stays() {
    in_a_transaction(async |tx| {
        take(tx, 0, 1).await;
        logs::change(tx, 0, "", "a").await.unwrap();
        let gap = |first, through, found_ms| LogGap { partition: 0, first, through, found_ms };
        for gap in [gap(3, 5, 100), gap(3, 5, 200), gap(7, 9, 300)] {
            log_gaps::record(tx, gap).await.unwrap();
        }
        logs::change(tx, 0, "a", "b").await.unwrap();
        assert_eq!(log_gaps::read(tx).await.unwrap(), [gap(3, 5, 100), gap(7, 9, 300)]);
    })
    .await;
}

#[tokio::test]
async fn what_an_owner_has_not_committed_is_not_counted() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let epoch = committed(&database, async |tx| take(tx, 0, 1).await).await;
        let (tx, _) = begin(&database).await;
        assert!(fence::advance(&tx, 0, epoch, ONE).await.unwrap());
        tx.rollback().await.unwrap();
        assert_eq!(fences(database.reads()).await[0].tally, Tally::default());
    })
    .await;
}

/// Waits until a session of this capability waits for another one's lock.
pub(super) async fn somebody_waits(bench: &Bench, database: &crate::Database) {
    let waiting = format!(
        "SELECT pid::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'essaim/%/{}'",
        bench.capability
    );
    while texts(database.reads(), &waiting).await.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn of_two_transactions_at_once_the_later_one_waits_and_finds_the_new_owner() {
    let Some(bench) = Bench::postgres() else { return };
    let database = bench.open(&schema(1)).await;
    let old = committed(&database, async |tx| take(tx, 0, 1).await).await;
    let ((taking, _), (late, _)) = (begin(&database).await, begin(&database).await);
    let new = take(&taking, 0, 2).await;
    let (advanced, ()) = join(fence::advance(&late, 0, old, ONE), async {
        somebody_waits(&bench, &database).await;
        taking.commit().await.unwrap();
    })
    .await;
    assert!(!advanced.unwrap() && new > old);
    late.rollback().await.unwrap();
    // And the other way round: a new owner waits for what the old one has begun.
    let ((working, _), (taking, _)) = (begin(&database).await, begin(&database).await);
    assert!(fence::advance(&working, 0, new, ONE).await.unwrap());
    let (taken, ()) = join(take(&taking, 0, 3), async {
        somebody_waits(&bench, &database).await;
        working.commit().await.unwrap();
    })
    .await;
    taking.commit().await.unwrap();
    let fences = fences(database.reads()).await;
    assert_eq!((fences[0].epoch, fences[0].tally), (taken, ONE));
}

#[tokio::test]
async fn of_new_owners_at_once_the_latest_stays() {
    let Some(bench) = Bench::postgres() else { return };
    let database = bench.open(&schema(1)).await;
    let database = &database;
    let takes = (1..=8).map(|epoch| committed(database, async move |tx| fence::take(tx, 0, epoch).await.unwrap()));
    assert_eq!(futures_util::future::join_all(takes).await[7], Takeover::Done(String::new()));
    assert_eq!(fences(database.reads()).await[0].epoch, 8);
}

#[tokio::test]
async fn the_ledger_has_what_is_counted_and_what_waits() {
    in_a_transaction(async |tx| {
        for partition in [1, 0] {
            let epoch = take(tx, partition, 1).await;
            assert!(fence::advance(tx, partition, epoch, ONE).await.unwrap());
        }
        parked::park(tx, &[super::parked::message(1, 1), super::parked::message(1, 2)]).await.unwrap();
        let lines = ledger::read(tx).await.unwrap();
        let told: Vec<_> = lines.iter().map(|l| (l.fence.partition, l.fence.tally, l.parked)).collect();
        assert_eq!(told, [(0, ONE, 0), (1, ONE, 2)]);
    })
    .await;
}

#[tokio::test]
async fn the_ledger_goes_on_with_another_log_and_back() {
    in_a_transaction(async |tx| {
        let before = async || ledger::read(tx).await.unwrap()[0].before;
        let mut epoch = 0;
        let mut enter = async |from: &str, to: &str| {
            epoch += 1;
            assert_eq!(fence::take(tx, 0, epoch).await.unwrap(), Takeover::Done(from.into()));
            logs::change(tx, 0, from, to).await.unwrap();
            epoch
        };
        let handled = |handled| Tally { handled, ..Tally::default() };
        let first = enter("", "a").await;
        assert_eq!(before().await, 0);
        fence::advance(tx, 0, first, handled(5)).await.unwrap();
        parked::park(tx, &[super::parked::message(0, 1)]).await.unwrap();
        let second = enter("a", "b").await;
        assert_eq!(before().await, 6, "of `b` nothing is accounted for yet");
        parked::remove(tx, 0, 1).await.unwrap();
        fence::advance(tx, 0, second, handled(1 + 3)).await.unwrap();
        enter("b", "a").await;
        assert_eq!(before().await, 3, "`a` has appended all but those of `b`");
        enter("a", "b").await;
        assert_eq!(before().await, 6);
    })
    .await;
}
